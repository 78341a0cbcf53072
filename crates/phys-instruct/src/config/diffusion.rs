//! `[diffusion]`: the noise levels of the diffusion process.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Keys;
use crate::Result;

/// The diffusion process, in EDM's terms (Karras et al. 2022, table 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiffusionConfig {
    /// Mean of ln sigma in training.
    pub ln_sigma_mean: f64,
    /// Standard deviation of ln sigma in training.
    pub ln_sigma_std: f64,
    /// Smallest sigma of the sampler.
    pub sigma_min: f64,
    /// Largest sigma of the sampler.
    pub sigma_max: f64,
}

impl Default for DiffusionConfig {
    fn default() -> Self {
        Self { ln_sigma_mean: -0.5, ln_sigma_std: 1.6, sigma_min: 0.002, sigma_max: 80.0 }
    }
}

impl DiffusionConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The first value out of range, with what is expected.
    pub fn check(&self) -> Result<()> {
        let keys = Keys("diffusion");
        keys.finite("ln_sigma_mean", self.ln_sigma_mean)?;
        keys.above_zero("ln_sigma_std", self.ln_sigma_std)?;
        keys.above_zero("sigma_min", self.sigma_min)?;
        keys.above_zero("sigma_max", self.sigma_max)?;
        let above = self.sigma_max > self.sigma_min;
        keys.expect("sigma_max", self.sigma_max, above, "a number above sigma_min")
    }
}
