//! The anchored phase: guidance moves the solution, and the input is held to the anchor's. The
//! anchor is the student that the phase begins with (see [`crate::distill::anchored`] for the
//! loss).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::phase::Phase;
use crate::Result;
use crate::config::AnchoredConfig;
use crate::diffusion::Network;
use crate::distill::anchored;
use crate::distill::student::Student;
use crate::net::optimizer::StepReport;
use crate::net::params;
use crate::store::weights::Array;

/// The phase and its anchor.
pub struct Anchored {
    config: AnchoredConfig,
    /// The student that the phase began with.
    anchor: Network,
}

impl Anchored {
    /// The phase before its first step: the student goes on from its averaged weights, which are
    /// the anchor's too.
    pub fn begin(config: &AnchoredConfig, student: &mut Student) -> Self {
        student.restart_from_average(&config.optimizer);
        Self { config: config.clone(), anchor: student.averaged() }
    }
}

impl Phase for Anchored {
    fn step(
        &mut self,
        student: &mut Student,
        step: u64,
    ) -> Result<(StepReport, Map<String, Value>)> {
        let calls = student.calls();
        let plain = student.network.valid();
        let (shape, device) = (student.shape(), student.device.clone());
        let noisy =
            student.generator(&plain).input(student.draw("generator", 0), calls, shape, &device);
        let output = student.generator(&student.network).call(noisy.clone().autodiff(), calls);
        let held = student.generator(&self.anchor).call(noisy, calls);

        let coordinates = &student.network.coordinates;
        let terms = anchored::terms(
            student.equation()?,
            &student.parts,
            student.config.round_input,
            student.first_line.as_ref(),
            coordinates.decode_held(output),
            coordinates.decode(held),
        );
        let rate = self.config.schedule().share(step);
        let report = student.update(&terms.loss(&self.config), rate)?;
        Ok((report, terms.figures(calls)))
    }

    fn to_arrays(&self) -> Result<BTreeMap<String, Array>> {
        params::to_arrays(&self.anchor.net, "anchor.")
    }

    fn restore(&mut self, _: &mut Student, arrays: &BTreeMap<String, Array>) -> Result<()> {
        let net = params::from_arrays(self.anchor.net.clone(), arrays, "anchor.")?;
        self.anchor = self.anchor.with_net(net).freeze();
        Ok(())
    }
}
