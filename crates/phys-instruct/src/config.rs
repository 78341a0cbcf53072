//! The typed run configuration: one TOML file, unknown keys refused.
//!
//! The same file serves the teacher (`train`) and the student (`distill`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub mod load;
mod memory;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The PDE: `darcy`, `poisson`, `helmholtz`, `navier-stokes`, `burgers`, or one that the program
    /// registered.
    pub pde: String,
    /// Points a side.
    pub grid: usize,
    /// The seed behind every random number of the run.
    #[serde(default)]
    pub seed: u64,
    /// Physical parameters that differ from the PDE's defaults.
    #[serde(default)]
    pub params: BTreeMap<String, f64>,
    /// Training and validation data.
    #[serde(default)]
    pub data: DataConfig,
    /// The network.
    #[serde(default)]
    pub net: NetConfig,
    /// The diffusion process.
    #[serde(default)]
    pub diffusion: DiffusionConfig,
    /// The teacher's training.
    #[serde(default)]
    pub train: TrainConfig,
    /// The student's training.
    #[serde(default)]
    pub distill: DistillConfig,
}

/// Where the data comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// A data set folder or file; without one the data is generated from `seed`.
    pub path: Option<String>,
    /// Training samples to generate, or to take from `path` (0: all but the validation samples).
    pub count: usize,
    /// Samples held out: the last ones of `path`, or generated from another seed.
    pub validation: usize,
    /// The seed of generated data; the validation samples come from the one after it.
    pub seed: u64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { path: None, count: 20_000, validation: 1_000, seed: 1_000 }
    }
}

/// A U-Net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetConfig {
    /// Channels of the finest level.
    pub width: usize,
    /// Channels of each level, in units of `width`; each level halves the grid.
    pub multipliers: Vec<usize>,
    /// Residual blocks per level.
    pub blocks: usize,
    /// Levels (0 is the finest) with self-attention.
    pub attention: Vec<usize>,
    /// Side of the pixel-unshuffle patch of the stem: 1, 2 or 4.
    pub patch: usize,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self { width: 64, multipliers: vec![1, 2], blocks: 2, attention: vec![], patch: 2 }
    }
}

/// The largest `net.width`. The largest networks of the literature have 256; the bounds are there
/// so that no product of them overflows.
const MOST_WIDTH: usize = 4096;
/// The largest of `net.multipliers`.
const MOST_MULTIPLIER: usize = 64;
/// The most residual blocks per level.
const MOST_BLOCKS: usize = 64;

impl NetConfig {
    /// Checks the ranges, for fields of `grid` points a side.
    ///
    /// # Errors
    /// The first value out of range, with what is expected.
    pub fn check(&self, grid: usize) -> Result<()> {
        let levels = self.multipliers.len();
        // Each level halves the patches of a side; the coarsest has at least one point.
        let patches = grid / self.patch.max(1);
        let most_levels = patches.checked_ilog2().unwrap_or(0) as usize + 1;
        let beyond = self.attention.iter().find(|&&level| level >= levels);

        first_broken([
            ([1, 2, 4].contains(&self.patch), "net.patch must be 1, 2 or 4".into()),
            (
                self.width >= 8 && self.width.is_multiple_of(8),
                "net.width must be a positive multiple of 8".into(),
            ),
            (
                self.width <= MOST_WIDTH,
                format!("net.width = {}: at most {MOST_WIDTH} expected", self.width),
            ),
            (
                levels > 0 && self.multipliers.iter().all(|&m| m > 0),
                "net.multipliers needs at least one level, all positive".into(),
            ),
            (
                self.multipliers.iter().all(|&m| m <= MOST_MULTIPLIER),
                format!("net.multipliers must be at most {MOST_MULTIPLIER}"),
            ),
            (
                levels <= most_levels,
                format!(
                    "net.multipliers has {levels} levels; each halves the grid, so a grid of {grid} \
                     with net.patch = {} has at most {most_levels}",
                    self.patch
                ),
            ),
            (self.blocks >= 1, "net.blocks must be at least 1".into()),
            (
                self.blocks <= MOST_BLOCKS,
                format!("net.blocks = {}: at most {MOST_BLOCKS} expected", self.blocks),
            ),
            (
                beyond.is_none(),
                format!("net.attention: levels 0 to {} expected", levels.saturating_sub(1)),
            ),
        ])
    }
}

/// The first rule that does not hold, as an error.
fn first_broken<const N: usize>(rules: [(bool, String); N]) -> Result<()> {
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, message)) => Err(Error::Config(message)),
        None => Ok(()),
    }
}

/// Modes an axis of which joint components may be taken: their matrix has the square of channels
/// times its square entries.
const MOST_JOINT_MODES: usize = 48;

/// What EDM preconditioning is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preconditioning {
    /// Every pixel alike, as in EDM.
    Pixel,
    /// Mode by mode, each with the data's own standard deviation.
    Modes,
    /// As `modes`, the low modes of all channels by their joint principal components; the noise
    /// is the data's.
    Joint,
}

impl Preconditioning {
    /// The name in configs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixel => "pixel",
            Self::Modes => "modes",
            Self::Joint => "joint",
        }
    }
}

/// What the network's output is added to: its share of the noisy state, where the data's standard
/// deviation is s and the noise's t.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Skip {
    /// s^2 / (s^2 + t^2), the mean of Gaussian data given the state: a denoiser's.
    #[default]
    Mean,
    /// s / sqrt(s^2 + t^2), where the probability flow of Gaussian data ends: a generator's, which
    /// then has the data's deviation in every mode without the network.
    Flow,
}

/// The spectrum of the noise: between white (0) and that of the data (1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Noise {
    /// One of the two ends.
    Named(NamedNoise),
    /// The noise's standard deviation in mode k is v_k (with `regress` that of what remains) to this power.
    Power(f64),
}

/// The two ends of the noise spectra.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NamedNoise {
    /// The same in every mode.
    White,
    /// Proportional to the data's standard deviation in each mode.
    Data,
}

impl Noise {
    /// The exponent of the data's spectrum, in [0, 1].
    pub fn power(self) -> f64 {
        match self {
            Noise::Named(NamedNoise::White) => 0.0,
            Noise::Named(NamedNoise::Data) => 1.0,
            Noise::Power(p) => p,
        }
    }
}

/// The diffusion process, in EDM's terms (Karras et al. 2022, table 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiffusionConfig {
    /// `pixel`, `modes` or `joint`.
    pub preconditioning: Preconditioning,
    /// `white`, `data`, or a power between 0 and 1.
    pub noise: Noise,
    /// Take the solution's modes less their linear regression on the input's, mode by mode in the
    /// solution's basis: an equation of constant coefficients then holds by the coordinates. Not with
    /// `pixel`, and not where one channel holds both.
    pub regress: bool,
    /// Modes an axis and channel that `joint` takes its components of; the model file holds the
    /// square of channels x joint_modes^2 values.
    pub joint_modes: usize,
    /// Mean of ln sigma in training.
    pub ln_sigma_mean: f64,
    /// Standard deviation of ln sigma in training.
    pub ln_sigma_std: f64,
    /// Smallest sigma of the sampler.
    pub sigma_min: f64,
    /// Largest sigma of the sampler.
    pub sigma_max: f64,
    /// Curvature of the sampler's schedule.
    pub rho: f64,
}

impl Default for DiffusionConfig {
    fn default() -> Self {
        Self {
            preconditioning: Preconditioning::Modes,
            noise: Noise::Named(NamedNoise::White),
            regress: false,
            joint_modes: 16,
            ln_sigma_mean: -0.5,
            ln_sigma_std: 1.6,
            sigma_min: 0.002,
            sigma_max: 80.0,
            rho: 7.0,
        }
    }
}

impl DiffusionConfig {
    /// Checks the ranges, for fields of `grid` points a side and `channels` channels of `pde`.
    ///
    /// # Errors
    /// The first value out of range, with what is expected.
    pub fn check(&self, grid: usize, pde: &str, channels: usize) -> Result<()> {
        let power = self.noise.power();
        let joint = self.preconditioning == Preconditioning::Joint;
        first_broken([
            (
                (0.0..=1.0).contains(&power),
                "diffusion.noise must be `white`, `data` or a power between 0 and 1".into(),
            ),
            (
                !joint || power == 1.0,
                "diffusion.preconditioning = \"joint\" needs noise = \"data\"".into(),
            ),
            (
                !self.regress || self.preconditioning != Preconditioning::Pixel,
                "diffusion.regress needs preconditioning = \"modes\" or \"joint\"".into(),
            ),
            (
                !self.regress || channels > 1,
                format!("diffusion.regress: {pde} has no channel beside its input's"),
            ),
            (
                !joint || (1..=grid.min(MOST_JOINT_MODES)).contains(&self.joint_modes),
                format!(
                    "diffusion.joint_modes must be between 1 and the grid, at most \
                     {MOST_JOINT_MODES}"
                ),
            ),
            (
                0.0 < self.sigma_min
                    && self.sigma_min < self.sigma_max
                    && self.sigma_max.is_finite(),
                "diffusion needs 0 < sigma_min < sigma_max".into(),
            ),
            (self.ln_sigma_mean.is_finite(), "diffusion.ln_sigma_mean must be finite".into()),
        ])?;
        above_zero(&[("diffusion.rho", self.rho), ("diffusion.ln_sigma_std", self.ln_sigma_std)])
    }
}

/// Refuses the first of the named numbers that is not positive and finite.
fn above_zero(numbers: &[(&str, f64)]) -> Result<()> {
    match numbers.iter().find(|(_, v)| !(*v > 0.0 && v.is_finite())) {
        Some((name, value)) => Err(Error::Config(format!("{name} = {value} must be above 0"))),
        None => Ok(()),
    }
}

/// The most network calls of a teacher's sampler, as the command line has it.
const MOST_CALLS: usize = 10_000;
/// The most points a side of a grid, as the command line has it.
const MOST_POINTS: usize = 4096;
/// The most noise levels of a generator, which makes one network call at each.
const MOST_LEVELS: usize = 64;

/// Checks the noise levels of a generator, which the messages call `name`.
///
/// # Errors
/// Levels that are none, too many, not positive, not finite or not falling.
pub fn check_levels(name: &str, levels: &[f64]) -> Result<()> {
    first_broken([
        (
            !levels.is_empty()
                && levels.iter().all(|&s| s > 0.0 && s.is_finite())
                && levels.windows(2).all(|w| w[0] > w[1]),
            format!("{name} must be positive and falling"),
        ),
        (
            levels.len() <= MOST_LEVELS,
            format!("{name} has {} values, at most {MOST_LEVELS} expected", levels.len()),
        ),
    ])
}

/// AdamW with warm-up and decay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// First-moment decay.
    pub beta1: f64,
    /// Second-moment decay.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Global gradient norm above which a step is scaled down; 0 never.
    pub clip: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 5e-4,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.0,
            clip: 1.0,
        }
    }
}

/// The teacher's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Samples per step.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Share of the steps over which the learning rate falls to zero at the end (cosine).
    pub decay: f64,
    /// Power of the data's standard deviation in each mode by which the loss weighs its error:
    /// 0 alike, above it the modes with much energy.
    pub mode_weight: f64,
    /// The model file of a teacher to go on from; empty to begin anew.
    pub start: String,
    /// Weight of the PDE residual in the loss (PIDM's c), 0 for none.
    pub physics_weight: f64,
    /// Half-life of the weight average, in steps.
    pub ema_half_life: f64,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// Steps between lines of the metrics file.
    pub log_every: usize,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch: 32,
            steps: 10_000,
            warmup: 200,
            decay: 0.5,
            mode_weight: 0.0,
            start: String::new(),
            physics_weight: 0.0,
            ema_half_life: 300.0,
            checkpoint_minutes: 5.0,
            log_every: 50,
            optimizer: OptimizerConfig::default(),
        }
    }
}

/// How the student's and the teacher's noisy distributions are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// Gradient of the integral KL divergence (Diff-Instruct, the paper's).
    Ikl,
    /// Score identity distillation (arXiv 2404.04057).
    Sid,
}

/// The weight of the matching gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MatchingWeight {
    /// 1 at every noise level, as in Diff-Instruct.
    One,
    /// 1 / mean |x0 - D_T(x_t)| per sample, as in DMD.
    Dmd,
}

/// The pull of the student's clean output onto the PDE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuidanceConfig {
    /// Norm of the guidance gradient as a fraction of the matching gradient's; 0 for none.
    pub ratio: f64,
    /// The same for the preconditioned residual |P^-1 R|.
    pub preconditioned_ratio: f64,
    /// `held` keeps the two ratios; `fixed` multiplies the loss by them.
    pub balance: Balance,
    /// Measure the residual against the sample's own source term; an absolute residual rewards
    /// small fields and is there for comparison only.
    pub relative: bool,
    /// Detach the coefficient in the physics term.
    pub detach_input: bool,
    /// Round a two-valued coefficient (Darcy's) to the nearer value in the physics term.
    pub round_input: bool,
    /// First step of matching with guidance.
    pub start: usize,
    /// Steps over which it is ramped in.
    pub ramp: usize,
}

impl Default for GuidanceConfig {
    fn default() -> Self {
        Self {
            ratio: 0.3,
            preconditioned_ratio: 0.0,
            balance: Balance::Held,
            relative: true,
            detach_input: true,
            round_input: false,
            start: 100,
            ramp: 100,
        }
    }
}

/// How guidance is balanced against matching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Balance {
    /// The gradient is rescaled to a fraction of the matching gradient's norm at each step.
    Held,
    /// A constant weight, the paper's lambda.
    Fixed,
}

/// The last phase of the student's training: guidance on the solution alone, the input anchored to
/// what the matched student makes of the same noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnchoredConfig {
    /// Steps; 0 for none.
    pub steps: usize,
    /// Shift and scale the clean output of every call, mode by mode, to the data's mean and
    /// deviation, from this phase on and in the finished student (the solution's modes are measured
    /// once more at the end), those of a solution with `diffusion.regress` as what remains of them; not for
    /// `pixel`. Of an input that is rounded, the rounded field; of one that is
    /// the first line of the only channel, that line.
    pub calibrate: bool,
    /// Weight of the input's relative distance to the matched student's; where the input is the first
    /// line of the only channel, of that and the distance of its modes, each in units of the data's.
    pub input_weight: f64,
    /// Weight of the relative residual.
    pub residual_weight: f64,
    /// Weight of the preconditioned residual |P^-1 R|.
    pub preconditioned_weight: f64,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Share of the steps over which the learning rate falls to zero at the end (cosine).
    pub decay: f64,
    /// The optimizer of this phase.
    pub optimizer: OptimizerConfig,
}

impl Default for AnchoredConfig {
    fn default() -> Self {
        Self {
            steps: 0,
            calibrate: false,
            input_weight: 1.0,
            residual_weight: 1.0,
            preconditioned_weight: 1.0,
            warmup: 100,
            decay: 0.7,
            optimizer: OptimizerConfig::default(),
        }
    }
}

/// The student's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DistillConfig {
    /// The teacher's model file, or a student's, which then goes on with the anchored phase alone
    /// (`warm_start` and `steps` 0).
    pub teacher: String,
    /// Noise levels sigma_1 > ... > sigma_K of the generator, one per step.
    pub levels: Vec<f64>,
    /// `mean` or `flow`.
    pub skip: Skip,
    /// `ikl` or `sid`.
    pub matching: Matching,
    /// `one` or `dmd`.
    pub weight: MatchingWeight,
    /// alpha of `sid`.
    pub alpha: f64,
    /// Mean of ln sigma at which distributions are matched.
    pub ln_sigma_mean: f64,
    /// Standard deviation of ln sigma at which distributions are matched.
    pub ln_sigma_std: f64,
    /// The same mean for the auxiliary model's own loss.
    pub auxiliary_ln_sigma_mean: f64,
    /// The same standard deviation for the auxiliary model's own loss.
    pub auxiliary_ln_sigma_std: f64,
    /// Power of the data's standard deviation in each mode by which the matching gradient and the
    /// auxiliary loss are weighed.
    pub mode_weight: f64,
    /// Auxiliary steps per generator step, at least 1.
    pub auxiliary_steps: usize,
    /// Regression steps, before matching, on (state, sample) pairs of the teacher's sampler.
    pub warm_start: usize,
    /// Network calls of that sampler.
    pub warm_start_nfe: usize,
    /// Batches of such pairs drawn; later steps go through them again.
    pub warm_start_pairs: usize,
    /// Power of the data's standard deviation in each mode by which their error is weighed.
    pub warm_start_mode_weight: f64,
    /// Learning rate of those steps, in units of the generator's.
    pub warm_start_rate: f64,
    /// Samples per step.
    pub batch: usize,
    /// Generator steps, the warm start and the anchored phase not counted.
    pub steps: usize,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Share of the steps over which the learning rate falls to zero at the end (cosine).
    pub decay: f64,
    /// Half-life of the student's weight average, in steps.
    pub ema_half_life: f64,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// Steps between lines of the metrics file.
    pub log_every: usize,
    /// Steps between evaluations against the validation samples.
    pub evaluate_every: usize,
    /// The generator's optimizer.
    pub optimizer: OptimizerConfig,
    /// The auxiliary model's optimizer.
    pub auxiliary_optimizer: OptimizerConfig,
    /// Samples come with a two-valued input (Darcy's coefficient) rounded to the nearer of its
    /// values, and the anchored phase pulls the solution to that.
    pub round_input: bool,
    /// The PDE guidance.
    pub guidance: GuidanceConfig,
    /// The phase after matching.
    pub anchored: AnchoredConfig,
}

impl Default for DistillConfig {
    fn default() -> Self {
        let adam = |learning_rate| OptimizerConfig {
            learning_rate,
            beta1: 0.0,
            beta2: 0.99,
            ..OptimizerConfig::default()
        };
        Self {
            teacher: String::new(),
            levels: vec![5.0, 1.0, 0.3, 0.1],
            skip: Skip::Mean,
            matching: Matching::Ikl,
            weight: MatchingWeight::Dmd,
            alpha: 1.0,
            ln_sigma_mean: -0.2,
            ln_sigma_std: 1.5,
            auxiliary_ln_sigma_mean: -0.5,
            auxiliary_ln_sigma_std: 1.6,
            mode_weight: 0.0,
            auxiliary_steps: 1,
            warm_start: 0,
            warm_start_nfe: 17,
            warm_start_pairs: 64,
            warm_start_mode_weight: 0.5,
            warm_start_rate: 10.0,
            batch: 32,
            steps: 2_000,
            warmup: 20,
            decay: 0.5,
            ema_half_life: 50.0,
            checkpoint_minutes: 5.0,
            log_every: 10,
            evaluate_every: 200,
            optimizer: adam(1e-4),
            auxiliary_optimizer: adam(3e-4),
            round_input: false,
            guidance: GuidanceConfig::default(),
            anchored: AnchoredConfig::default(),
        }
    }
}

impl Config {
    /// Reads a configuration from TOML text.
    ///
    /// # Errors
    /// Bad TOML, unknown keys, or values [`Config::check`] refuses.
    pub fn from_toml(text: &str) -> Result<Self> {
        let config: Self =
            toml::from_str(text).map_err(|e| Error::Config(e.to_string().trim_end().into()))?;
        config.check()?;
        Ok(config)
    }

    /// Checks ranges and consistency.
    ///
    /// # Errors
    /// The first value out of range, with what is expected.
    pub fn check(&self) -> Result<()> {
        first_broken([
            (self.grid >= 8, "grid must be at least 8".to_owned()),
            (self.grid <= MOST_POINTS, format!("grid must be at most {MOST_POINTS}")),
        ])?;
        self.net.check(self.grid)?;

        // Without a regression the PDE is looked up where it is first needed.
        let channels = if self.diffusion.regress { self.pde()?.channels().len() } else { 1 };
        self.diffusion.check(self.grid, &self.pde, channels)?;
        check_levels("distill.levels", &self.distill.levels)?;

        let anchored = &self.distill.anchored;
        let weights =
            [anchored.input_weight, anchored.residual_weight, anchored.preconditioned_weight];
        let physics_weight = self.train.physics_weight;
        first_broken([
            (
                physics_weight >= 0.0 && physics_weight.is_finite(),
                "train.physics_weight must be at least 0".into(),
            ),
            (
                weights.iter().all(|w| *w >= 0.0 && w.is_finite()),
                "the weights of distill.anchored must be at least 0".into(),
            ),
            (self.train.batch >= 1 && self.distill.batch >= 1, "batch must be at least 1".into()),
            (
                self.distill.auxiliary_steps >= 1,
                "distill.auxiliary_steps must be at least 1".into(),
            ),
            (
                self.data.validation >= 4,
                "data.validation must be at least 4: the floor needs two halves".into(),
            ),
            (
                self.distill.warm_start_pairs >= 1,
                "distill.warm_start_pairs must be at least 1".into(),
            ),
            (
                self.distill.warm_start_nfe <= MOST_CALLS,
                format!("distill.warm_start_nfe must be at most {MOST_CALLS}"),
            ),
        ])?;
        self.check_numbers()
    }

    /// Reals and counts with a plain lower bound, by name.
    fn check_numbers(&self) -> Result<()> {
        let (train, distill) = (&self.train, &self.distill);
        above_zero(&[
            ("train.steps", train.steps as f64),
            ("train.log_every", train.log_every as f64),
            ("train.ema_half_life", train.ema_half_life),
            ("train.optimizer.learning_rate", train.optimizer.learning_rate),
            ("train.optimizer.epsilon", train.optimizer.epsilon),
            (
                "distill.steps or distill.anchored.steps",
                (distill.steps + distill.anchored.steps) as f64,
            ),
            ("distill.log_every", distill.log_every as f64),
            ("distill.ema_half_life", distill.ema_half_life),
            ("distill.optimizer.learning_rate", distill.optimizer.learning_rate),
            (
                "distill.auxiliary_optimizer.learning_rate",
                distill.auxiliary_optimizer.learning_rate,
            ),
            ("distill.anchored.optimizer.learning_rate", distill.anchored.optimizer.learning_rate),
        ])?;
        let below_one = [
            ("train.optimizer.beta1", train.optimizer.beta1),
            ("train.optimizer.beta2", train.optimizer.beta2),
            ("distill.optimizer.beta1", distill.optimizer.beta1),
            ("distill.optimizer.beta2", distill.optimizer.beta2),
        ];
        if let Some((name, value)) = below_one.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return Err(Error::Config(format!("{name} = {value} must be at least 0 and below 1")));
        }
        let shares = [
            ("train.decay", train.decay),
            ("distill.decay", distill.decay),
            ("distill.anchored.decay", distill.anchored.decay),
        ];
        match shares.iter().find(|(_, v)| !(0.0..=1.0).contains(v)) {
            Some((name, value)) => {
                Err(Error::Config(format!("{name} = {value} must be between 0 and 1")))
            }
            None => Ok(()),
        }
    }

    /// The PDE with the configured parameters.
    ///
    /// # Errors
    /// An unknown name, or a parameter out of range.
    pub fn pde(&self) -> Result<Box<dyn phys_instruct_physics::Pde>> {
        let mut pde = crate::problem::by_name(&self.pde)?;
        for (name, &value) in &self.params {
            pde.set_param(name, value)?;
        }
        Ok(pde)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        let text = format!("pde = \"poisson\"\ngrid = 16\n{line}");
        Config::from_toml(&text).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_defaults_pass() {
        assert_eq!(refusal(""), "");
    }

    #[test]
    fn a_grid_that_no_memory_holds_is_refused() {
        let error = Config::from_toml("pde = \"poisson\"\ngrid = 1000000").err();
        let message = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains("grid must be at most 4096"), "{message}");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (line, name) in [
            ("[train]\nsteps = 0", "train.steps"),
            ("[train.optimizer]\nlearning_rate = -1.0", "train.optimizer.learning_rate"),
            ("[distill.optimizer]\nbeta2 = 1.0", "distill.optimizer.beta2"),
            ("[distill]\nlevels = [1.0, 2.0]", "distill.levels"),
            ("[diffusion]\nnoise = 1.5", "diffusion.noise"),
            ("[diffusion]\nsigma_min = nan", "sigma_min"),
            ("[net]\npatch = 3", "net.patch"),
            ("[diffusion]\nregress = true\npreconditioning = \"pixel\"", "diffusion.regress"),
            ("[data]\nvalidation = 2", "data.validation"),
            ("[net]\nwidth = 1048576", "net.width"),
            ("[net]\nmultipliers = [1, 1, 1, 1, 1]", "net.multipliers has 5 levels"),
            ("[net]\nmultipliers = [1, 1000000]", "net.multipliers"),
            ("[net]\nblocks = 1000000", "net.blocks"),
            ("[net]\nattention = [2]", "net.attention"),
            ("[diffusion]\nsigma_max = inf", "sigma_max"),
            ("[distill]\nlevels = [inf, 1.0]", "distill.levels"),
        ] {
            assert!(refusal(line).contains(name), "{line}: {}", refusal(line));
        }
    }

    #[test]
    fn a_regression_needs_a_solution_beside_the_input() {
        let config = |pde: &str| {
            Config::from_toml(&format!("pde = \"{pde}\"\ngrid = 16\n[diffusion]\nregress = true"))
        };
        assert!(config("navier-stokes").is_ok());
        assert!(config("burgers").is_err_and(|e| e.to_string().contains("diffusion.regress")));
    }
}
