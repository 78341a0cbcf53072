//! `[distill]`: the student, and the sequence of phases that trains it.

use phys_instruct_physics::Pde;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Keys;
use super::{CoordinatesConfig, OperatorConfig, PhaseConfig, check_levels};
use crate::problem::{self, Description};
use crate::{Error, Result};

/// The student's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DistillConfig {
    /// The teacher's model file, or a student's, which then goes on with the phases `calibrate`,
    /// `anchored` and `operator` alone. A model of a grid half or a quarter as fine begins the
    /// config's: its patches become 2 or 4 times as wide, and its statistics those of the data.
    pub teacher: Option<String>,
    /// Noise levels sigma_1 > ... > sigma_K of the generator, one per network call.
    pub levels: Vec<f64>,
    /// Share `c_skip` of the noisy state that is added to the network's output: `flow` or `mean`.
    /// Without it `flow`, or `mean` for coordinates of kind `pixel`. In every entry the clean state
    /// has the deviation `sigma_data`, its noise `sigma eta`.
    pub skip: Option<Skip>,
    /// Samples come with a two-valued input (Darcy's coefficient) rounded to the nearer of its
    /// values; the anchored phase pulls the solution to the rounded input.
    pub round_input: bool,
    /// Samples per step.
    pub batch: usize,
    /// Half-life of the student's weight average, in steps.
    pub ema_half_life: f64,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// Steps between lines of the metrics file.
    pub log_every: usize,
    /// Steps between evaluations against the validation samples; 0 for none.
    pub evaluate_every: usize,
    /// The phases of the training, in their order: `warm-start`, `matching`, then `calibrate` and
    /// `anchored`, and last `operator`, of which a second may follow the first.
    #[serde(rename = "phase")]
    pub phases: Vec<PhaseConfig>,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self {
            teacher: None,
            levels: vec![80.0, 3.0, 1.0, 0.3],
            skip: None,
            round_input: false,
            batch: 32,
            ema_half_life: 50.0,
            checkpoint_minutes: 5.0,
            log_every: 10,
            evaluate_every: 100,
            phases: Vec::new(),
        }
    }
}

/// The factor c_skip of the noisy state, to which the network's output is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Skip {
    /// `sigma_data^2 / (sigma_data^2 + (sigma eta)^2)`, the mean of Gaussian data given the state:
    /// a denoiser's.
    Mean,
    /// `sigma_data / sqrt(sigma_data^2 + (sigma eta)^2)`, where the probability flow of Gaussian
    /// data ends: a generator's, which then has the data's deviation in every mode without the
    /// network. Not for `pixel`.
    Flow,
}

impl DistillConfig {
    /// The skip of a student in these coordinates: the given one, or the best that they allow.
    pub fn skip_in(&self, coordinates: &CoordinatesConfig) -> Skip {
        let best = if coordinates.is_pixel() { Skip::Mean } else { Skip::Flow };
        self.skip.unwrap_or(best)
    }

    /// The steps of all phases before that of `operator`.
    pub fn steps_before(&self, operator: &OperatorConfig) -> u64 {
        let is_other = |phase: &&PhaseConfig| match phase {
            PhaseConfig::Operator(own) => own != operator,
            _ => true,
        };
        let others = self.phases.iter().take_while(is_other);
        others.filter_map(PhaseConfig::steps).map(|steps| steps as u64).sum()
    }

    /// The phase that trains an operator, if there is one; the first of two.
    pub fn operator(&self) -> Option<&OperatorConfig> {
        self.operators().next().map(|(_, operator)| operator)
    }

    /// The phases that train an operator, each with its number among all phases.
    pub fn operators(&self) -> impl Iterator<Item = (usize, &OperatorConfig)> {
        self.phases.iter().enumerate().filter_map(|(i, phase)| match phase {
            PhaseConfig::Operator(operator) => Some((i, operator)),
            _ => None,
        })
    }

    /// Checks the numbers, the order of the phases, and what they need of the coordinates and of
    /// the PDE, which `pde` looks up; `at` is the table's name.
    pub(super) fn check(
        &self,
        at: &str,
        coordinates: &CoordinatesConfig,
        pde: impl Fn() -> Result<Box<dyn Pde>>,
    ) -> Result<()> {
        let keys = Keys(at);
        check_levels(&keys.name("levels"), &self.levels)?;
        keys.count("batch", self.batch, 1..=usize::MAX)?;
        keys.above_zero("ema_half_life", self.ema_half_life)?;
        keys.at_least_zero("checkpoint_minutes", self.checkpoint_minutes)?;
        keys.count("log_every", self.log_every, 1..=usize::MAX)?;

        for (i, phase) in self.phases.iter().enumerate() {
            phase.check(&keys.name(&format!("phase[{i}]")))?;
        }
        self.check_order(at)?;
        self.check_coordinates(coordinates)?;
        self.check_pde(at, pde)
    }

    /// Checks that the phases are in an order in which none undoes what another did.
    fn check_order(&self, at: &str) -> Result<()> {
        let refused = |i: usize, reason: &str| {
            let kind = self.phases[i].kind();
            Err(Error::Config(format!("{at}.phase[{i}] is `{kind}`: {reason}")))
        };

        for (i, pair) in self.phases.windows(2).enumerate() {
            let [before, after] = [pair[0].place(), pair[1].place()];
            if after < before {
                return refused(
                    i + 1,
                    "warm-start comes before matching, both before the rest, and operator last",
                );
            }

            // Two anchored phases may differ in their numbers, and an operator may follow one that
            // follows none; all else would be done twice.
            let may_repeat = match pair {
                [PhaseConfig::Operator(first), PhaseConfig::Operator(second)] => {
                    !first.follows && second.follows && !second.go_on
                }
                _ => pair[1].kind() == "anchored",
            };
            if pair[0].kind() == pair[1].kind() && !may_repeat {
                return refused(i + 1, "so is the phase before it");
            }
        }

        if !self.phases.iter().any(|phase| phase.steps().is_some()) {
            return Err(Error::Config(format!(
                "{at}.phase: no phase that takes steps; add [[{at}.phase]] of kind = \"matching\""
            )));
        }
        Ok(())
    }

    /// Checks that the coordinates, the config's or a teacher's, are such as the student needs.
    pub(crate) fn check_coordinates(&self, coordinates: &CoordinatesConfig) -> Result<()> {
        if !coordinates.is_pixel() {
            return Ok(());
        }
        let needs_modes = "needs modes, and the coordinates are of kind \"pixel\"";
        if self.skip == Some(Skip::Flow) {
            return Err(Error::Config(format!(
                "distill.skip = \"flow\" {needs_modes}; set \"mean\""
            )));
        }

        let calibrate = |phase: &PhaseConfig| matches!(phase, PhaseConfig::Calibrate(_));
        match self.phases.iter().position(calibrate) {
            None => Ok(()),
            Some(i) => Err(Error::Config(format!(
                "distill.phase[{i}] is `calibrate`, which {needs_modes}"
            ))),
        }
    }

    /// Checks what is asked of the PDE, which is looked up only if something is.
    fn check_pde(&self, at: &str, pde: impl Fn() -> Result<Box<dyn Pde>>) -> Result<()> {
        let rounds = self.round_input.then(|| Keys(at).name("round_input"));
        let thresholds = self.phases.iter().enumerate().filter_map(|(i, phase)| match phase {
            PhaseConfig::Matching(matching) => {
                matching.guidance.as_ref().filter(|guidance| guidance.ablation.threshold_input)?;
                Some(format!("{at}.phase[{i}].guidance.ablation.threshold_input"))
            }
            _ => None,
        });
        for key in rounds.into_iter().chain(thresholds) {
            let pde = pde()?;
            // Values that a description leaves open are seen in the data, after this check.
            let may_be_seen = problem::description(pde.as_ref()).is_some_and(Description::is_open);
            if pde.input_law().two_values().is_none() && !may_be_seen {
                let reason = format!("{key} = true: the input of {} has no two values", pde.name());
                return Err(Error::Config(reason));
            }
        }

        for (i, phase) in self.phases.iter().enumerate() {
            if phase.is_solution_alone() && pde()?.channels().len() < 2 {
                let pde = pde()?;
                let name = pde.name();
                return Err(Error::Config(format!(
                    "{at}.phase[{i}].channels = \"solution\": {name} has no channel beside its \
                     input's"
                )));
            }
        }
        Ok(())
    }
}
