//! The network: layers, U-Net, parameters by name, gradients, optimizer.

pub mod gradient;
pub(crate) mod layers;
pub mod ops;
pub mod optimizer;
pub(crate) mod packed;
pub mod params;
pub mod refine;
mod unet;

pub use unet::UNet;
