//! `ablation`: settings of matching and of guidance for comparison alone. A student is best without
//! them, and no shipped config has one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Keys;
use crate::Result;

/// Other forms of matching.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MatchingAblation {
    /// The measure by which the laws are compared.
    pub divergence: Divergence,
    /// `one` or `dmd`.
    pub weight: MatchingWeight,
}

impl Default for MatchingAblation {
    fn default() -> Self {
        Self { divergence: Divergence::Ikl {}, weight: MatchingWeight::Dmd }
    }
}

impl MatchingAblation {
    /// Checks the numbers; `at` is the table's name.
    pub(super) fn check(&self, at: &str) -> Result<()> {
        match self.divergence {
            Divergence::Ikl {} => Ok(()),
            Divergence::Sid { alpha } => Keys(at).finite("divergence.alpha", alpha),
        }
    }
}

/// The measure by which the noisy laws of student and teacher are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Divergence {
    /// Gradient of the integral KL divergence (Diff-Instruct, the paper's).
    Ikl {},
    /// Score identity distillation (arXiv 2404.04057).
    Sid {
        /// The alpha of the loss `(1 - alpha) |D_T - D_A|^2 + (D_T - D_A) . (D_A - y_0)`, in which
        /// D_T is the teacher's denoiser, D_A the auxiliary model's, and y_0 the clean output.
        #[serde(default = "alpha")]
        alpha: f64,
    },
}

fn alpha() -> f64 {
    1.0
}

/// The weight of the matching gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MatchingWeight {
    /// 1 at every noise level, as in Diff-Instruct.
    One,
    /// `1 / mean |y_0 - D_T|` per sample, as in DMD, with y_0 the clean output and D_T the
    /// teacher's denoiser of its noisy state.
    Dmd,
}

/// Other forms of guidance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuidanceAblation {
    /// `held` keeps the two ratios; `fixed` multiplies the loss by them.
    pub balance: Balance,
    /// Measure the residual against the sample's own source term. An absolute residual rewards
    /// small fields.
    pub relative: bool,
    /// Take the input as given in the physics term.
    pub detach_input: bool,
    /// Round a two-valued input (Darcy's) to the nearer value in the physics term.
    pub threshold_input: bool,
}

impl Default for GuidanceAblation {
    fn default() -> Self {
        Self { balance: Balance::Held, relative: true, detach_input: true, threshold_input: false }
    }
}

/// The balance of guidance against matching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Balance {
    /// The gradient is rescaled to a fraction of the matching gradient's norm at each step.
    Held,
    /// A constant weight, the paper's lambda.
    Fixed,
}
