//! Calibration as a phase: see [`crate::distill::calibration`] for what is measured.

use crate::Result;
use crate::config::{CalibrateConfig, Channels};
use crate::distill::student::Student;

/// The first channel behind the input's.
const SOLUTION: usize = 1;

/// Calibrates the student's calls, in all channels or in the solution's alone.
///
/// # Errors
/// Fails as [`Student::calibrate`] does.
pub fn calibrate(config: &CalibrateConfig, student: &mut Student) -> Result<()> {
    student.calibrate(match config.channels {
        Channels::All => 0,
        Channels::Solution => SOLUTION,
    })
}
