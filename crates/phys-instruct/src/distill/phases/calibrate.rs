//! Calibration as a phase: see [`crate::distill::calibration`] for what is measured.

use crate::Result;
use crate::config::{CalibrateConfig, Channels};
use crate::distill::student::Student;

/// Calibrates the student's calls, in all channels or in the solution's alone.
///
/// # Errors
/// Fails as [`Student::calibrate`] does.
pub fn calibrate(config: &CalibrateConfig, student: &mut Student) -> Result<()> {
    student.calibrate(match config.channels {
        Channels::All => 0,
        Channels::Solution => student.parts.layout.solution.channels.start,
    })
}
