//! The teacher: EDM diffusion of joint fields, in pixels, mode by mode or by joint principal
//! components.

pub mod bases;
pub mod coordinates;
pub(crate) mod denoiser;
pub mod joint;
pub mod loss;
pub mod noise;
pub mod regression;
pub mod sampler;
pub mod statistics;

pub use coordinates::Coordinates;
pub use denoiser::{Denoiser, ExactGaussian, Network};
