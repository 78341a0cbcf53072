//! `[[distill.phase]]`: the phases of a student's training, each with the numbers of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Keys;
use super::{GuidanceAblation, MatchingAblation, NetConfig, OptimizerConfig, Schedule};
use crate::{Error, Result};

/// One phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PhaseConfig {
    /// Regression on what the teacher's own sampler makes of the student's input.
    WarmStart(WarmStartConfig),
    /// Matching of the student's law to the teacher's, with or without guidance.
    Matching(MatchingConfig),
    /// Correction of the mean and the deviation of every mode, call by call. Takes no steps.
    Calibrate(CalibrateConfig),
    /// Guidance of the solution alone, the input held to the matched student's.
    Anchored(AnchoredConfig),
    /// Training of the operator that makes the solution of the student's input.
    Operator(OperatorConfig),
}

/// The most network calls of a teacher's sampler, as the command line has it.
const MOST_CALLS: usize = 10_000;

impl PhaseConfig {
    /// The names of all kinds, in the order in which they may follow each other.
    pub const KINDS: [&str; 5] = ["warm-start", "matching", "calibrate", "anchored", "operator"];

    /// The name of the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::WarmStart(_) => "warm-start",
            Self::Matching(_) => "matching",
            Self::Calibrate(_) => "calibrate",
            Self::Anchored(_) => "anchored",
            Self::Operator(_) => "operator",
        }
    }

    /// The place in the sequence; a later phase has no smaller one.
    pub(super) fn place(&self) -> usize {
        place_of(self.kind())
    }

    /// The number of steps; none for a phase that takes no steps.
    pub fn steps(&self) -> Option<usize> {
        self.schedule().map(|schedule| schedule.steps)
    }

    /// The number of steps, to be changed.
    pub fn steps_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::WarmStart(phase) => Some(&mut phase.steps),
            Self::Matching(phase) => Some(&mut phase.steps),
            Self::Calibrate(_) => None,
            Self::Anchored(phase) => Some(&mut phase.steps),
            Self::Operator(phase) => Some(&mut phase.steps),
        }
    }

    /// The steps and the course of their learning rate; none for a phase that takes no steps.
    fn schedule(&self) -> Option<Schedule> {
        match self {
            Self::WarmStart(phase) => Some(phase.schedule()),
            Self::Matching(phase) => Some(phase.schedule()),
            Self::Calibrate(_) => None,
            Self::Anchored(phase) => Some(phase.schedule()),
            Self::Operator(phase) => Some(phase.schedule()),
        }
    }

    /// The settings that are sound and without effect; `at` is the phase's name.
    pub(super) fn warnings(&self, at: &str) -> Vec<String> {
        let mut warnings: Vec<String> =
            self.schedule().and_then(|schedule| schedule.warning(at)).into_iter().collect();
        if let Self::Matching(MatchingConfig { steps, guidance: Some(guidance), .. }) = self
            && guidance.start >= *steps
        {
            warnings.push(format!(
                "{at}.guidance.start = {}: matching ends after {steps} steps, without guidance",
                guidance.start
            ));
        }
        warnings
    }

    /// Tells whether the phase calibrates the solution alone.
    pub(super) fn is_solution_alone(&self) -> bool {
        matches!(self, Self::Calibrate(CalibrateConfig { channels: Channels::Solution }))
    }

    /// Checks the numbers; `at` is the phase's name.
    pub(super) fn check(&self, at: &str) -> Result<()> {
        match self {
            Self::WarmStart(phase) => phase.check(at),
            Self::Matching(phase) => phase.check(at),
            Self::Calibrate(_) => Ok(()),
            Self::Anchored(phase) => phase.check(at),
            Self::Operator(phase) => phase.check(at),
        }
    }
}

/// The place of a kind of phase in the sequence: calibrations and anchored phases may alternate.
pub(super) fn place_of(kind: &str) -> usize {
    match kind {
        "warm-start" => 0,
        "matching" => 1,
        "operator" => 3,
        _ => 2,
    }
}

/// Regression on (state, sample) pairs of the teacher's sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WarmStartConfig {
    /// Steps.
    pub steps: usize,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Share of the steps over which the learning rate falls to zero at the end (cosine).
    pub decay: f64,
    /// Network calls of the teacher's sampler for each pair.
    pub calls: usize,
    /// Batches of pairs drawn; later steps go through them again.
    pub batches: usize,
    /// The student's optimizer.
    pub optimizer: OptimizerConfig,
}

impl Default for WarmStartConfig {
    fn default() -> Self {
        let optimizer = OptimizerConfig::at(1e-3);
        Self { steps: 1_000, warmup: 20, decay: 0.7, calls: 19, batches: 24, optimizer }
    }
}

impl WarmStartConfig {
    /// The steps and the course of their learning rate.
    pub fn schedule(&self) -> Schedule {
        Schedule { steps: self.steps, warmup: self.warmup, decay: self.decay }
    }

    fn check(&self, at: &str) -> Result<()> {
        let keys = Keys(at);
        self.schedule().check(at)?;
        keys.count("calls", self.calls, 1..=MOST_CALLS)?;
        keys.count("batches", self.batches, 1..=usize::MAX)?;
        self.optimizer.check(&keys.name("optimizer"))
    }
}

/// Matching of the noisy laws of student and teacher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MatchingConfig {
    /// Steps of the generator.
    pub steps: usize,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Share of the steps over which the learning rate falls to zero at the end (cosine).
    pub decay: f64,
    /// Mean of ln sigma at which the laws are compared.
    pub ln_sigma_mean: f64,
    /// Standard deviation of ln sigma at which the laws are compared.
    pub ln_sigma_std: f64,
    /// The student's optimizer.
    pub optimizer: OptimizerConfig,
    /// The auxiliary models.
    pub auxiliary: AuxiliaryConfig,
    /// The pull onto the PDE; without this table there is none.
    pub guidance: Option<GuidanceConfig>,
    /// Other forms of matching, for comparison.
    pub ablation: MatchingAblation,
}

impl Default for MatchingConfig {
    fn default() -> Self {
        Self {
            steps: 200,
            warmup: 20,
            decay: 0.7,
            ln_sigma_mean: 0.8,
            ln_sigma_std: 1.6,
            optimizer: OptimizerConfig::at(2e-5),
            auxiliary: AuxiliaryConfig::default(),
            guidance: None,
            ablation: MatchingAblation::default(),
        }
    }
}

impl MatchingConfig {
    /// The steps and the course of their learning rate.
    pub fn schedule(&self) -> Schedule {
        Schedule { steps: self.steps, warmup: self.warmup, decay: self.decay }
    }

    fn check(&self, at: &str) -> Result<()> {
        let keys = Keys(at);
        self.schedule().check(at)?;
        keys.finite("ln_sigma_mean", self.ln_sigma_mean)?;
        keys.above_zero("ln_sigma_std", self.ln_sigma_std)?;
        self.optimizer.check(&keys.name("optimizer"))?;
        self.ablation.check(&keys.name("ablation"))?;
        self.auxiliary.check(&keys.name("auxiliary"))?;
        match &self.guidance {
            Some(guidance) => guidance.check(&keys.name("guidance")),
            None => Ok(()),
        }
    }
}

/// The auxiliary models, which learn the student's present law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuxiliaryConfig {
    /// Steps for each step of the generator.
    pub steps: usize,
    /// Mean of ln sigma in their loss.
    pub ln_sigma_mean: f64,
    /// Standard deviation of ln sigma in their loss.
    pub ln_sigma_std: f64,
    /// The optimizer of each of them; its learning rate rises and falls with the student's.
    pub optimizer: OptimizerConfig,
}

impl Default for AuxiliaryConfig {
    fn default() -> Self {
        let optimizer = OptimizerConfig::at(3e-4);
        Self { steps: 2, ln_sigma_mean: 0.6, ln_sigma_std: 1.7, optimizer }
    }
}

impl AuxiliaryConfig {
    fn check(&self, at: &str) -> Result<()> {
        let keys = Keys(at);
        keys.count("steps", self.steps, 1..=usize::MAX)?;
        keys.finite("ln_sigma_mean", self.ln_sigma_mean)?;
        keys.above_zero("ln_sigma_std", self.ln_sigma_std)?;
        self.optimizer.check(&keys.name("optimizer"))
    }
}

/// The pull of the student's clean output onto the PDE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuidanceConfig {
    /// Norm of the residual's gradient as a fraction of the matching gradient's.
    pub residual_ratio: f64,
    /// Norm of the gradient of the preconditioned residual, `|P^-1 R|`, as such a fraction.
    pub preconditioned_ratio: f64,
    /// First step of matching with guidance.
    pub start: usize,
    /// Steps over which it is ramped in.
    pub ramp: usize,
    /// Other forms of guidance, for comparison.
    pub ablation: GuidanceAblation,
}

impl Default for GuidanceConfig {
    fn default() -> Self {
        Self {
            residual_ratio: 0.3,
            preconditioned_ratio: 0.1,
            start: 20,
            ramp: 50,
            ablation: GuidanceAblation::default(),
        }
    }
}

impl GuidanceConfig {
    fn check(&self, at: &str) -> Result<()> {
        let keys = Keys(at);
        keys.at_least_zero("residual_ratio", self.residual_ratio)?;
        keys.at_least_zero("preconditioned_ratio", self.preconditioned_ratio)?;
        if self.residual_ratio + self.preconditioned_ratio > 0.0 {
            return Ok(());
        }
        Err(Error::Config(format!(
            "{at}: both ratios are 0, so that nothing is pulled; leave the table out"
        )))
    }
}

/// Guidance of the solution alone. The input is held to what the student that the phase begins
/// with makes of the same noise, by their relative distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnchoredConfig {
    /// Steps.
    pub steps: usize,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Share of the steps over which the learning rate falls to zero at the end (cosine).
    pub decay: f64,
    /// Weight of the relative residual, beside 1 for the distance of the input.
    pub residual_weight: f64,
    /// Weight of the preconditioned residual `|P^-1 R|`.
    pub preconditioned_weight: f64,
    /// The student's optimizer.
    pub optimizer: OptimizerConfig,
}

impl Default for AnchoredConfig {
    fn default() -> Self {
        Self {
            steps: 1_200,
            warmup: 100,
            decay: 0.7,
            residual_weight: 1.0,
            preconditioned_weight: 1.0,
            optimizer: OptimizerConfig::at(1e-4),
        }
    }
}

impl AnchoredConfig {
    /// The steps and the course of their learning rate.
    pub fn schedule(&self) -> Schedule {
        Schedule { steps: self.steps, warmup: self.warmup, decay: self.decay }
    }

    fn check(&self, at: &str) -> Result<()> {
        let keys = Keys(at);
        self.schedule().check(at)?;
        keys.at_least_zero("residual_weight", self.residual_weight)?;
        keys.at_least_zero("preconditioned_weight", self.preconditioned_weight)?;
        self.optimizer.check(&keys.name("optimizer"))?;
        if self.residual_weight + self.preconditioned_weight > 0.0 {
            return Ok(());
        }
        Err(Error::Config(format!("{at}: both weights are 0, so that nothing is moved")))
    }
}

/// Training of a network from the input to its solution. Each error is a mean over the batch. The
/// units of the network's output are measured on pairs of the run's data in any case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorConfig {
    /// Steps.
    pub steps: usize,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Share of the steps over which the learning rate falls to zero at the end (cosine).
    pub decay: f64,
    /// Sweeps of the polish that make the guess to which the network adds; 0 without a guess, and
    /// with `follows`.
    pub sweeps: usize,
    /// Take the solution of the operator before for the guess: that of the phase before this one,
    /// or else of the student `distill.teacher`. The finished student calls both, one after the
    /// other.
    pub follows: bool,
    /// Let the network see the residual of the guess too, which tells where the guess errs.
    pub sees_residual: bool,
    /// Weight of the relative error of the solution.
    pub error_weight: f64,
    /// Weight of the squared error in whitened modes.
    pub whitened_weight: f64,
    /// Weight of the relative residual.
    pub residual_weight: f64,
    /// Half-life of the weight average, in steps.
    pub ema_half_life: f64,
    /// Go on with the operator that the student `distill.teacher` has, of the same network and
    /// guess. It may be one that does not see the residual yet.
    pub go_on: bool,
    /// The network.
    pub net: NetConfig,
    /// The network's optimizer.
    pub optimizer: OptimizerConfig,
}

impl Default for OperatorConfig {
    fn default() -> Self {
        Self {
            steps: 6_000,
            warmup: 100,
            decay: 0.7,
            sweeps: 1,
            follows: false,
            sees_residual: false,
            error_weight: 10.0,
            whitened_weight: 1.0,
            residual_weight: 3.0,
            ema_half_life: 150.0,
            go_on: false,
            net: NetConfig::default(),
            optimizer: OptimizerConfig::at(1.5e-3),
        }
    }
}

/// The number of pairs on which an operator's statistics are measured.
pub const MEASURED: usize = 2_048;

/// The most sweeps of a guess, as the command line has it.
pub const MOST_SWEEPS: usize = 100;

impl OperatorConfig {
    /// The steps and the course of their learning rate.
    pub fn schedule(&self) -> Schedule {
        Schedule { steps: self.steps, warmup: self.warmup, decay: self.decay }
    }

    fn check(&self, at: &str) -> Result<()> {
        let keys = Keys(at);
        self.schedule().check(at)?;
        keys.count("sweeps", self.sweeps, 0..=MOST_SWEEPS)?;
        if self.follows && self.sweeps > 0 {
            return Err(Error::Config(format!(
                "{at}.follows = true: the guess is the solution of the operator before, so that \
                 {at}.sweeps = 0 is expected, {} found",
                self.sweeps
            )));
        }

        let weights = [
            ("error_weight", self.error_weight),
            ("whitened_weight", self.whitened_weight),
            ("residual_weight", self.residual_weight),
        ];
        for (name, weight) in weights {
            keys.at_least_zero(name, weight)?;
        }

        keys.above_zero("ema_half_life", self.ema_half_life)?;
        self.optimizer.check(&keys.name("optimizer"))?;

        if weights.iter().any(|(_, weight)| *weight > 0.0) {
            return Ok(());
        }
        Err(Error::Config(format!("{at}: all three weights are 0, so that nothing is learnt")))
    }
}

/// The correction of every mode's mean and deviation to the data's, one map for each call. With
/// `coordinates.linear_predictor` the remainder of a solution's regression is corrected. If samples
/// come with their input rounded, the rounded field is measured. If the input is the first line of
/// the only channel, that line is measured too.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrateConfig {
    /// `all`, or `solution` for every channel but the input's, which keeps its correction.
    pub channels: Channels,
}

/// The channels that are calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Every channel.
    #[default]
    All,
    /// Every channel but the input's: for after an anchored phase, which has moved the solution.
    Solution,
}
