//! Hands the students of the wheel to maturin, which takes them from the build's own folder.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The end of the names of the bundled students: those on 64 x 64.
const BUNDLED: &str = "-64-student.safetensors";

fn main() -> io::Result<()> {
    // On macOS a linker refuses symbols that the interpreter brings, unless told.
    pyo3_build_config::add_extension_module_link_args();

    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    println!("cargo:rerun-if-changed={}", models.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("models");
    fs::create_dir_all(&out)?;

    for entry in fs::read_dir(&models)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if name.to_string_lossy().ends_with(BUNDLED) {
            fs::copy(&path, out.join(name))?;
        }
    }
    Ok(())
}
