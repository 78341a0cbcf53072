//! Work that consists of a sequence of small parallel parts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rayon::Yield;

/// Time for which a thread looks for work before it may sleep.
///
/// It is longer than the serial part of a layer. It is bounded because a thread may begin to look
/// for work on top of a frame that another thread waits for.
const PATIENCE: Duration = Duration::from_micros(300);

/// Runs `work` in the thread pool and keeps the pool's other threads awake meanwhile. To wake a
/// thread for each part takes longer than a small layer of a network.
pub fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        let own = rayon::current_thread_index();
        for _ in 1..rayon::current_num_threads() {
            let done = &done;
            scope.spawn(move |_| {
                if rayon::current_thread_index() != own {
                    look_for_work(done);
                }
            });
        }
        let _end = End(&done);
        work()
    })
}

/// Takes work of the pool until `done` is set, or until there has been none for [`PATIENCE`].
fn look_for_work(done: &AtomicBool) {
    let mut idle_since = Instant::now();
    while !done.load(Ordering::Relaxed) && idle_since.elapsed() < PATIENCE {
        match rayon::yield_now() {
            Some(Yield::Executed) => idle_since = Instant::now(),
            _ => std::hint::spin_loop(),
        }
    }
}

/// A guard that ends the search for work when dropped, after a panic too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::test_values::threads;

    #[test]
    fn nested_parallel_work_ends_with_its_result() {
        for count in [1, 2, 3, 8] {
            let sum = threads(count, || {
                in_pool(|| {
                    let part = |i: u64| (0..i).into_par_iter().map(|j| j ^ i).sum::<u64>();
                    (0..200).map(|_| (0..64).into_par_iter().map(part).sum::<u64>()).sum::<u64>()
                })
            });
            let part = |i: u64| (0..i).map(|j| j ^ i).sum::<u64>();
            assert_eq!(sum, 200 * (0..64).map(part).sum::<u64>(), "{count} threads");
        }
    }

    #[test]
    fn a_panic_is_passed_on() {
        let caught = std::panic::catch_unwind(|| threads(2, || in_pool(|| panic!("as expected"))));
        assert!(caught.is_err());
    }
}
