//! The teacher: EDM diffusion of joint fields, in pixels or mode by mode.

pub mod coordinates;
pub mod denoiser;
pub mod noise;
pub mod sampler;
pub mod train;

pub use coordinates::Coordinates;
pub use denoiser::{Denoiser, ExactGaussian, Network};
