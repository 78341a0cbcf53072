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

/// The first graphics processor, opened once in a process.
///
/// # Errors
/// Fails in a build without the `gpu` feature, and where no driver offers a graphics processor.
pub fn gpu() -> Result<Device> {
    Ok(opened()?.0.clone())
}

/// The name of that graphics processor, with the interface and the driver.
///
/// # Errors
/// Fails as [`gpu`] does.
pub fn adapter() -> Result<&'static str> {
    Ok(&opened()?.1)
}

/// Returns `cpu`, or the name of the graphics processor.
///
/// # Errors
/// Fails as [`adapter`] does, for a graphics processor.
pub fn name(device: &Device) -> Result<&'static str> {
    Ok(adapter_of(device)?.unwrap_or("cpu"))
}

/// The name of the graphics processor that `device` is; none for the processor.
///
/// # Errors
/// Fails as [`adapter`] does, for a graphics processor.
pub fn adapter_of(device: &Device) -> Result<Option<&'static str>> {
    if *device == cpu() { Ok(None) } else { adapter().map(Some) }
}

#[cfg(not(feature = "gpu"))]
fn opened() -> Result<&'static (Device, String)> {
    let reason = "this build has no GPU support; build it with `--features gpu`";
    Err(crate::Error::Backend(reason.into()))
}

/// The graphics processor and its name. A second opening would fail, so that the first is kept,
/// be it a failure.
#[cfg(feature = "gpu")]
fn opened() -> Result<&'static (Device, String)> {
    use std::sync::OnceLock;
    static OPENED: OnceLock<std::result::Result<(Device, String), String>> = OnceLock::new();
    OPENED.get_or_init(open).as_ref().map_err(|reason| crate::Error::Backend(reason.clone()))
}

/// The variable by which wgpu's runtime is told which of several cards to take.
#[cfg(feature = "gpu")]
const CHOICE: &str = "CUBECL_WGPU_DEFAULT_DEVICE";

#[cfg(feature = "gpu")]
fn open() -> std::result::Result<(Device, String), String> {
    use burn::tensor::wgpu::{WgpuBackend, WgpuInitError};
    // OpenGL, the other interface on Linux, would stand in where a driver for Vulkan is missing,
    // and lacks what the network needs.
    let interface = if cfg!(target_os = "linux") { WgpuBackend::Vulkan } else { WgpuBackend::Auto };
    let opened = Device::wgpu_options().graphics_api(interface).init_with_setup();
    let (device, setup) = opened.map_err(|error| {
        let asked = std::env::var(CHOICE).map(|name| format!(" for {CHOICE}={name}"));
        let reason = match error {
            WgpuInitError::AdapterUnavailable { .. } => {
                format!("no driver offers one{}", asked.unwrap_or_default())
            }
            other => other.to_string(),
        };
        format!(
            "no graphics processor can be used: {reason}; install the card's driver and the \
             Vulkan loader until `vulkaninfo --summary` lists the card, or leave out --device gpu"
        )
    })?;

    let info = setup.adapter.get_info();
    let driver = format!("{} {}", info.driver, info.driver_info);
    Ok((device, format!("{} ({:?}, {})", info.name, info.backend, driver.trim())))
}

/// Tells whether this build can return a [`gpu`].
pub const fn has_gpu() -> bool {
    cfg!(feature = "gpu")
}
