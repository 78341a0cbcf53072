//! The phases of a student's training, and their sequence.
//!
//! A warm start brings the student near the data, and matching gives it the data's distribution.
//! Calibration corrects the error in every mode's deviation that matching leaves. An anchored phase
//! holds the input and pulls the solution onto the equation. An operator learns the solution of
//! whatever input the student makes. A config names the phases of a run in their order; each phase
//! owns the state that it alone needs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::anchored::Anchored;
use self::matching::Matching;
use self::operator::OperatorPhase;
use self::warm_start::WarmStart;
use super::student::Student;
use crate::config::PhaseConfig;
use crate::net::optimizer::StepReport;
use crate::store::weights::Array;
use crate::{Error, Result};

pub mod anchored;
pub(crate) mod calibrate;
pub mod matching;
pub mod operator;
mod phase;
pub(crate) mod warm_start;

pub use self::phase::Phase;

/// The phases of a training, and the one it is in.
pub struct Sequence {
    phases: Vec<PhaseConfig>,
    /// The number of the phase that took the last step, and its state; none before the first.
    current: Option<(usize, Box<dyn Phase>)>,
}

impl Sequence {
    /// A sequence before its first step.
    pub fn new(phases: &[PhaseConfig]) -> Self {
        Self { phases: phases.to_vec(), current: None }
    }

    /// The steps of all phases.
    pub fn total(&self) -> u64 {
        self.phases.iter().filter_map(PhaseConfig::steps).map(|steps| steps as u64).sum()
    }

    /// The number of the phase that takes the step `step` of the training, and the number of steps
    /// before that phase.
    fn at(&self, step: u64) -> Result<(usize, u64)> {
        let mut before = 0;
        for (i, phase) in self.phases.iter().enumerate() {
            let steps = phase.steps().unwrap_or(0) as u64;
            if step < before + steps {
                return Ok((i, before));
            }
            before += steps;
        }
        Err(Error::Config(format!("step {step} is beyond the {before} steps of all phases")))
    }

    /// Takes the next step of the training and returns its figures. After the end of a phase, the
    /// phases without steps that follow it are passed first.
    ///
    /// # Errors
    /// Fails as the phases do, and for a step beyond the last phase.
    pub fn step(&mut self, student: &mut Student) -> Result<(StepReport, Map<String, Value>)> {
        let step = student.card.steps;
        let (number, before) = self.at(step)?;
        let mut phase = match self.current.take() {
            Some((current, phase)) if current == number => phase,
            ended => {
                let first = ended.map_or(0, |(current, _)| current + 1);
                self.pass(first..number, student)?;
                begin(&self.phases[number], student)?
            }
        };

        let done = phase.step(student, step - before);
        self.current = Some((number, phase));
        let (report, mut figures) = done?;
        figures.insert("phase".into(), json!(self.phases[number].kind()));
        Ok((report, figures))
    }

    /// Passes the phases after the last step. The state of the phase that took it is kept, so that
    /// the training can be continued with more of its steps.
    ///
    /// # Errors
    /// Fails as the phases do.
    pub fn end(&self, student: &mut Student) -> Result<()> {
        let first = self.current.as_ref().map_or(0, |(current, _)| current + 1);
        self.pass(first..self.phases.len(), student)
    }

    /// Carries out the phases `numbers`, none of which takes steps.
    fn pass(&self, numbers: std::ops::Range<usize>, student: &mut Student) -> Result<()> {
        numbers.into_iter().try_for_each(|i| match &self.phases[i] {
            PhaseConfig::Calibrate(config) => calibrate::calibrate(config, student),
            _ => Ok(()),
        })
    }

    /// The state of the current phase, as arrays.
    ///
    /// # Errors
    /// Fails as [`Phase::to_arrays`] does.
    pub fn to_arrays(&self) -> Result<BTreeMap<String, Array>> {
        self.current.as_ref().map_or(Ok(BTreeMap::new()), |(_, phase)| phase.to_arrays())
    }

    /// Restores `student` and the phase that took its last step from `arrays`. The card of
    /// `student` has been restored before.
    ///
    /// # Errors
    /// Fails for arrays that are missing or of another shape, and for steps beyond the last phase.
    pub fn restore(
        &mut self,
        student: &mut Student,
        arrays: &BTreeMap<String, Array>,
    ) -> Result<()> {
        self.current = match student.card.steps.checked_sub(1) {
            None => None,
            Some(last) => {
                let (number, _) = self.at(last)?;

                // A phase that follows another begins with the operator of that.
                if let [.., PhaseConfig::Operator(first), PhaseConfig::Operator(_)] =
                    &self.phases[..=number]
                {
                    operator::restore_first(first, student, arrays)?;
                }
                Some((number, begin(&self.phases[number], student)?))
            }
        };

        // A phase that begins may reset the student, which has gone on since then.
        student.restore(arrays)?;
        self.current.as_mut().map_or(Ok(()), |(_, phase)| phase.restore(student, arrays))
    }
}

/// Begins a phase that takes steps.
fn begin(config: &PhaseConfig, student: &mut Student) -> Result<Box<dyn Phase>> {
    match config {
        PhaseConfig::WarmStart(config) => Ok(Box::new(WarmStart::begin(config, student))),
        PhaseConfig::Matching(config) => Ok(Box::new(Matching::begin(config, student))),
        PhaseConfig::Anchored(config) => Ok(Box::new(Anchored::begin(config, student))),
        PhaseConfig::Operator(config) => Ok(Box::new(OperatorPhase::begin(config, student)?)),
        PhaseConfig::Calibrate(_) => {
            Err(Error::Config("a calibration takes no steps and cannot be begun".into()))
        }
    }
}
