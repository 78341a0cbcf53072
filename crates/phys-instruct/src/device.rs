//! The devices of tensors.

pub use burn::tensor::Device;

use crate::Result;

/// The processor, with all threads.
pub fn cpu() -> Device {
    Device::flex()
}

/// The vector instructions that the kernels use on this processor.
///
/// # Errors
/// Fails for an unknown name in `PHYS_INSTRUCT_SIMD`, which limits the width to use.
pub fn vector_unit() -> Result<&'static str> {
    phys_instruct_kernels::asked().map_err(crate::Error::Config)?;
    Ok(phys_instruct_kernels::unit())
}

/// The first graphics processor.
///
/// # Errors
/// Fails in a build without the `gpu` feature.
#[cfg(feature = "gpu")]
pub fn gpu() -> Result<Device> {
    Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice))
}

/// The first graphics processor.
///
/// # Errors
/// Fails in a build without the `gpu` feature.
#[cfg(not(feature = "gpu"))]
pub fn gpu() -> Result<Device> {
    let reason = "this build has no GPU support; build it with `--features gpu`";
    Err(crate::Error::Backend(reason.into()))
}

/// Tells whether this build can return a [`gpu`].
pub const fn has_gpu() -> bool {
    cfg!(feature = "gpu")
}
