//! The network: layers, U-Net, parameters by name, gradients, optimizer.

pub mod gradient;
pub mod layers;
pub mod ops;
pub mod optimizer;
pub mod packed;
pub mod params;
mod unet;

pub use unet::UNet;
