//! `doctor`: the threads, vector instructions, memory and models of this machine.

use clap::Args;
use phys_instruct::{Error, device};
use serde_json::json;

use crate::args::Global;
use crate::cache;
use crate::failure::Outcome;
use crate::models;
use crate::output::{line, show};

/// Print what this machine offers: threads, vector instructions, memory, models
///
/// Example: phys-instruct doctor --json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Doctor {}

impl Doctor {
    pub fn run(&self, global: &Global) -> Outcome {
        let names: Vec<String> = models::bundled()
            .iter()
            .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        let version = env!("CARGO_PKG_VERSION");
        let system = format!("{}, {}", std::env::consts::OS, std::env::consts::ARCH);
        let threads = rayon::current_num_threads();
        let memory = memory_gib();
        let simd = device::vector_unit()?;

        let value = json!({
            "version": version, "system": system, "threads": threads, "simd": simd,
            "memory_gib": memory, "gpu": device::has_gpu(), "adapter": device::adapter().ok(), "models": names,
            "cache": cache::folder(),
        });
        let gpu = match device::adapter() {
            Ok(name) => name.to_owned(),
            Err(Error::Backend(reason)) if device::has_gpu() => format!("built in; {reason}"),
            Err(_) => "not built in (--features gpu)".into(),
        };
        let memory = memory.map_or("unknown".into(), |gib| format!("{gib:.1} GiB"));
        let models = if names.is_empty() { "none found".into() } else { names.join(", ") };

        let cache = cache::folder().map_or("not kept".into(), |path| path.display().to_string());
        let lines = [
            line("phys-instruct", version),
            line("system", system),
            line("threads", threads),
            line("vector instructions", simd),
            line("memory", memory),
            line("GPU support", gpu),
            line("bundled models", models),
            line("prepared solvers", cache),
        ];
        show(global.json, value, &lines)
    }
}

/// The memory of the machine, if the system reports it.
fn memory_gib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / f64::from(1 << 20))
}
