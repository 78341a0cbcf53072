//! Requests for memory before it is taken. Work that cannot fit is refused with the number of
//! bytes, instead of ending the process half-way.
//!
//! An estimate counts the parts that grow with the request (samples, members, weights,
//! activations). It leaves out the memory that every run takes.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use phys_instruct_physics::{Grid, Pde};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::{Error, Result};

/// The number of bytes that a user allows; 0 if no limit was set.
static LIMIT: AtomicU64 = AtomicU64::new(0);

/// The number of samples solved between two tests of the stop flag.
pub(crate) const GROUP: usize = 256;

/// Requests below this, 64 MiB, are granted without asking the system.
const SMALL: f64 = (64u64 << 20) as f64;

/// Sets the most bytes that one piece of work may take, in place of the machine's free memory. 0
/// removes the limit.
pub fn set_limit(bytes: u64) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// Returns the limit of [`set_limit`], if there is one.
pub fn limit() -> Option<u64> {
    Some(LIMIT.load(Ordering::Relaxed)).filter(|&bytes| bytes > 0)
}

/// Returns the number of bytes that may be taken. It is the limit that was set, or the free memory
/// of the machine or of the process's control group, whichever is less.
pub fn available() -> u64 {
    limit().unwrap_or_else(|| {
        let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(memory);
        // The pages of files that were read are given back when the memory is asked for.
        let group = system
            .cgroup_limits()
            .map_or(u64::MAX, |limits| limits.total_memory.saturating_sub(limits.rss));
        system.available_memory().min(group)
    })
}

/// Refuses work that takes more than [`available`] bytes. `what` begins the message, in the
/// plural: "1000 samples of 64 x 64".
///
/// # Errors
/// Fails with [`Error::Memory`] and both numbers.
pub fn ask(bytes: f64, what: impl Display) -> Result<()> {
    if bytes <= SMALL && limit().is_none() {
        return Ok(());
    }
    let available = available();
    if bytes <= available as f64 {
        return Ok(());
    }
    Err(Error::Memory {
        what: what.to_string(),
        needed: sized(bytes),
        available: sized(available as f64),
    })
}

/// Refuses samples if the memory cannot hold `count` of them or the work of solving them.
///
/// # Errors
/// Fails with [`Error::Memory`].
pub fn ask_for_samples(pde: &dyn Pde, grid: Grid, count: usize) -> Result<()> {
    let one = of_samples(1, [pde.channels().len(), grid.ny, grid.nx]);
    // Solutions are in double precision, a group at a time.
    let group = 3.0 * one * count.min(GROUP) as f64;
    let solving = pde.solve_bytes(grid) * count.min(rayon::current_num_threads()) as f64;
    let bytes = one * count as f64 + group + solving;
    ask(bytes, format_args!("{count} samples of {} x {}", grid.ny, grid.nx))
}

/// Returns the bytes of `count` samples of `channels` fields of `height` x `width` points in `f32`.
pub fn of_samples(count: usize, [channels, height, width]: [usize; 3]) -> f64 {
    count as f64 * channels as f64 * height as f64 * width as f64 * 4.0
}

/// Writes a number of bytes in the unit that suits it, powers of 1024.
pub fn sized(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 100.0);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// Parses a number of bytes, with a unit or without: `2G`, `512MiB`, `1.5 GB`. Units are powers of
/// 1024.
///
/// # Errors
/// Fails with a reason for anything but a positive number with one of the units K, M, G and T.
pub fn parse(text: &str) -> std::result::Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);

    let power = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 1,
        "M" | "MB" | "MIB" => 2,
        "G" | "GB" | "GIB" => 3,
        "T" | "TB" | "TIB" => 4,
        _ => return Err(format!("`{unit}`: one of K, M, G and T expected")),
    };

    match number.trim().parse::<f64>().map(|value| value * 1024f64.powi(power)) {
        // More than 2^63 bytes can only be a mistake.
        Ok(bytes) if (1.0..9.2e18).contains(&bytes) => Ok(bytes as u64),
        _ => Err(format!("`{text}`: a size expected, for example 8G or 500M")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit() {
        let sizes = ["1", "2K", "3MiB", "1.5 GB", "1t"].map(parse);
        let expected = [1, 2048, 3 << 20, 3 << 29, 1 << 40].map(Ok);
        assert_eq!(sizes, expected);
        for bad in ["", "G", "-1G", "nan", "inf", "3X", "1e300", "2 gigs", "0.5", "8I", "8GBBB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_written_in_the_unit_that_suits() {
        let written = [0.0, 1023.0, 1536.0, (20u64 << 30) as f64, 1e18].map(sized);
        assert_eq!(written, ["0 B", "1023 B", "1.5 KiB", "20.0 GiB", "888 PiB"]);
    }

    #[test]
    fn what_no_machine_has_is_refused_with_both_numbers() {
        assert!(ask(1.0, "x").is_ok());
        let message = ask(1e18, "1000 samples").err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.starts_with("1000 samples take about 888 PiB"), "{message}");
        assert!(available() > 1 << 20);
    }
}
