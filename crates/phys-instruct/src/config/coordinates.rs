//! `[coordinates]`: what the diffusion's state is made of (see [`crate::diffusion::coordinates`]).

use phys_instruct_physics::Grid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Keys;
use crate::{Error, Result};

/// Modes an axis of which joint components may be taken: their matrix has the square of channels
/// times its square entries.
const MOST_JOINT_MODES: usize = 48;

/// The coordinates of the diffusion's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum CoordinatesConfig {
    /// Pixels in units of their channel's standard deviation, white noise: plain EDM.
    Pixel {},
    /// Modes of the basis that fits the boundary, each in units of its own standard deviation.
    Modes {
        /// The spectrum of the noise: `white`, `data`, or a power between 0 and 1.
        #[serde(default)]
        noise: Noise,
        /// Take the solution's modes less what a linear predictor, one factor a mode, makes of the
        /// input's. An equation of constant coefficients then holds by the coordinates. Needs the
        /// solution in channels beside the input's.
        #[serde(default)]
        linear_predictor: bool,
    },
    /// Modes, the low ones of all channels by their joint principal components. The noise has the
    /// data's covariance.
    Joint {
        /// Modes an axis and channel that are replaced by components; the model file holds the
        /// square of channels x modes^2 values.
        #[serde(default = "joint_modes")]
        modes: usize,
        /// Take the solution's modes less what a linear predictor, one factor a mode, makes of the
        /// input's. An equation of constant coefficients then holds by the coordinates. Needs the
        /// solution in channels beside the input's.
        #[serde(default)]
        linear_predictor: bool,
    },
}

fn joint_modes() -> usize {
    16
}

impl Default for CoordinatesConfig {
    fn default() -> Self {
        Self::Modes { noise: Noise::default(), linear_predictor: false }
    }
}

/// The kind of coordinates alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoordinatesKind {
    /// Every pixel alike, as in EDM.
    Pixel,
    /// Mode by mode.
    Modes,
    /// Mode by mode, the low modes by their joint principal components.
    Joint,
}

impl CoordinatesKind {
    /// The name in configs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixel => "pixel",
            Self::Modes => "modes",
            Self::Joint => "joint",
        }
    }
}

/// The spectrum of the noise: between white (0) and that of the data (1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Noise {
    /// One of the two ends.
    Named(NamedNoise),
    /// The noise's standard deviation in a mode is the data's (with a linear predictor, that of
    /// what it leaves) to this power.
    Power(f64),
}

/// The two ends of the noise spectra.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NamedNoise {
    /// One deviation in every mode.
    White,
    /// Proportional to the data's standard deviation in each mode.
    Data,
}

impl Default for Noise {
    fn default() -> Self {
        Self::Named(NamedNoise::White)
    }
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

impl CoordinatesConfig {
    /// The kind.
    pub fn kind(&self) -> CoordinatesKind {
        match self {
            Self::Pixel {} => CoordinatesKind::Pixel,
            Self::Modes { .. } => CoordinatesKind::Modes,
            Self::Joint { .. } => CoordinatesKind::Joint,
        }
    }

    /// Tells whether the state is made of pixels.
    pub fn is_pixel(&self) -> bool {
        self.kind() == CoordinatesKind::Pixel
    }

    /// The noise's spectrum.
    pub fn noise(&self) -> Noise {
        match self {
            Self::Pixel {} => Noise::Named(NamedNoise::White),
            Self::Modes { noise, .. } => *noise,
            Self::Joint { .. } => Noise::Named(NamedNoise::Data),
        }
    }

    /// Tells whether the solution is taken less its linear prediction from the input.
    pub fn linear_predictor(&self) -> bool {
        match self {
            Self::Pixel {} => false,
            Self::Modes { linear_predictor, .. } | Self::Joint { linear_predictor, .. } => {
                *linear_predictor
            }
        }
    }

    /// Modes an axis that joint components are taken of, if they are.
    pub fn joint_modes(&self) -> Option<usize> {
        match self {
            Self::Joint { modes, .. } => Some(*modes),
            Self::Pixel {} | Self::Modes { .. } => None,
        }
    }

    /// Checks the ranges, for fields on a `grid` with `channels` channels of `pde`.
    ///
    /// # Errors
    /// The first value out of range, with what is expected.
    pub fn check(&self, grid: Grid, pde: &str, channels: usize) -> Result<()> {
        let keys = Keys("coordinates");
        let power = self.noise().power();
        let expected = "`white`, `data` or a power between 0 and 1";
        keys.expect("noise", power, (0.0..=1.0).contains(&power), expected)?;
        if let Some(modes) = self.joint_modes() {
            keys.count("modes", modes, 1..=grid.ny.min(grid.nx).min(MOST_JOINT_MODES))?;
        }
        if self.linear_predictor() && channels < 2 {
            return Err(Error::Config(format!(
                "coordinates.linear_predictor = true: {pde} has no channel beside its input's"
            )));
        }
        Ok(())
    }
}
