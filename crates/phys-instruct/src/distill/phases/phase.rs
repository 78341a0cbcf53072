//! The trait of the phases that take steps.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Result;
use crate::distill::student::Student;
use crate::net::optimizer::StepReport;
use crate::store::weights::Array;

/// A phase that takes steps.
pub trait Phase: Send {
    /// Takes step number `step` of the phase, counted from 0, and returns its figures.
    ///
    /// # Errors
    /// Fails as the step's own work does.
    fn step(
        &mut self,
        student: &mut Student,
        step: u64,
    ) -> Result<(StepReport, Map<String, Value>)>;

    /// The state of the phase beside the student's, as arrays.
    ///
    /// # Errors
    /// Fails where the device does not give the weights back.
    fn to_arrays(&self) -> Result<BTreeMap<String, Array>> {
        Ok(BTreeMap::new())
    }

    /// Restores the state that [`Phase::to_arrays`] wrote.
    ///
    /// # Errors
    /// Fails for arrays that are missing or of another shape.
    fn restore(&mut self, _: &mut Student, _: &BTreeMap<String, Array>) -> Result<()> {
        Ok(())
    }
}
