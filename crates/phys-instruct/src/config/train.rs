//! `[train]`: the teacher's training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Keys;
use super::{OptimizerConfig, Schedule};
use crate::Result;

/// The teacher's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The model file of a teacher to go on from; without one training begins anew. The grid may be
    /// 2 or 4 times as fine as the teacher's, with a `net.patch` 2 or 4 times as wide and noise
    /// levels of its own.
    pub start: Option<String>,
    /// Samples per step.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Share of the steps over which the learning rate falls to zero at the end (cosine).
    pub decay: f64,
    /// Weight of the PDE residual in the loss, as PIDM has it; without one there is none.
    pub residual_weight: Option<f64>,
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
            start: None,
            batch: 32,
            steps: 5_000,
            warmup: 200,
            decay: 0.5,
            residual_weight: None,
            ema_half_life: 200.0,
            checkpoint_minutes: 5.0,
            log_every: 50,
            optimizer: OptimizerConfig::at(1e-3),
        }
    }
}

impl TrainConfig {
    /// The steps and the course of their learning rate.
    pub fn schedule(&self) -> Schedule {
        Schedule { steps: self.steps, warmup: self.warmup, decay: self.decay }
    }

    /// Checks the numbers; `at` is the table's name.
    pub(super) fn check(&self, at: &str) -> Result<()> {
        let keys = Keys(at);
        self.schedule().check(at)?;
        self.optimizer.check(&keys.name("optimizer"))?;
        keys.count("batch", self.batch, 1..=usize::MAX)?;
        if let Some(weight) = self.residual_weight {
            keys.above_zero("residual_weight", weight)?;
        }
        keys.above_zero("ema_half_life", self.ema_half_life)?;
        keys.at_least_zero("checkpoint_minutes", self.checkpoint_minutes)?;
        keys.count("log_every", self.log_every, 1..=usize::MAX)
    }
}
