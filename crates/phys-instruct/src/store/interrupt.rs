//! Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP as a flag that long work tests between two steps.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;

use crate::Result;
use crate::store::file::io_error;

/// A flag that the first Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP raises. A second Ctrl-C or SIGTERM ends
/// the process at once, with exit code 128 + signal number (130 for Ctrl-C). A SIGHUP that `nohup`
/// has switched off stays off.
///
/// # Errors
/// Fails with [`crate::Error::Io`] if the system refuses a handler.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Handlers run in the order they are registered: the one that ends the process must look
        // at the flag before the other raises it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .map_err(|source| io_error("signal handler".as_ref(), source))?;
    }

    // A terminal that closes may send more than one, and `mpirun` passes SIGUSR1 on, where it
    // follows any other signal by a kill: none of them ends the process at once.
    let gentle = [Some(SIGUSR1), (!hangup_ignored()).then_some(SIGHUP)];
    for signal in gentle.into_iter().flatten() {
        flag::register(signal, Arc::clone(&stop))
            .map_err(|source| io_error("signal handler".as_ref(), source))?;
    }
    Ok(stop)
}

/// Lets a write beyond the size that the system allows fail, where it would end the process.
///
/// # Errors
/// [`crate::Error::Io`] where the system refuses a handler.
pub fn survive_file_size_limit() -> Result<()> {
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))
        .map(drop)
        .map_err(|source| io_error("signal handler".as_ref(), source))
}

/// True where the process was started with SIGHUP ignored and the system tells.
pub fn hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    // Bit n - 1 stands for signal n.
    mask.is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::Command;
    use std::sync::atomic::Ordering;

    use super::*;

    const CHILD: &str = "PHYS_INSTRUCT_TEST_SIGNAL";

    /// Runs itself again as a child, since the second signal ends the process.
    #[test]
    fn the_first_signal_raises_the_flag_and_the_second_ends_the_process() {
        if let Ok(signal) = std::env::var(CHILD) {
            let signal = signal.parse().unwrap();
            let stop = stop_flag().unwrap();
            assert!(!stop.load(Ordering::SeqCst));
            signal_hook::low_level::raise(signal).unwrap();
            assert!(stop.load(Ordering::SeqCst));
            signal_hook::low_level::raise(signal).unwrap();
            panic!("still alive");
        }
        for signal in [SIGINT, SIGTERM] {
            let name = "store::interrupt::tests::\
                        the_first_signal_raises_the_flag_and_the_second_ends_the_process";
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name])
                .env(CHILD, signal.to_string())
                .output()
                .unwrap()
                .status;
            assert_eq!(status.code(), Some(128 + signal));
        }
    }
}
