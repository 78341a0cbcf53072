//! `optimizer`: AdamW, the same table wherever something is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Keys;
use crate::Result;

/// AdamW. The learning rate is that of what is trained, so that a table without one is refused; a
/// table that is not there at all is the default of its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// First-moment decay.
    #[serde(default = "beta1")]
    pub beta1: f64,
    /// Second-moment decay.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// Decoupled weight decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// Global gradient norm above which a step is scaled down; 0 never.
    #[serde(default = "clip")]
    pub clip: f64,
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.99
}

fn clip() -> f64 {
    1.0
}

impl OptimizerConfig {
    /// The defaults with a peak learning rate.
    pub fn at(learning_rate: f64) -> Self {
        let (beta1, beta2, clip) = (beta1(), beta2(), clip());
        Self { learning_rate, beta1, beta2, weight_decay: 0.0, clip }
    }

    /// Checks the numbers; `at` is the table's name.
    pub(super) fn check(&self, at: &str) -> Result<()> {
        let keys = Keys(at);
        keys.above_zero("learning_rate", self.learning_rate)?;
        keys.below_one("beta1", self.beta1)?;
        keys.below_one("beta2", self.beta2)?;
        keys.at_least_zero("weight_decay", self.weight_decay)?;
        keys.at_least_zero("clip", self.clip)
    }
}
