//! Reuse of arrays: fresh pages, and clearing them, cost as much as the arithmetic done on them.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// Largest number of arrays of one length that are kept. A training step has some sixty outputs,
/// and inference takes three or four for each thread.
const ALIKE: usize = 64;
/// Most values that are kept in all: 1 GiB of `f32`.
const MOST: usize = 1 << 28;

/// Spare arrays by their length. They belong to the whole process, since a step may run on any
/// thread.
static SPARES: LazyLock<Mutex<Spares>> = LazyLock::new(Mutex::default);

type Spares = HashMap<usize, Vec<Vec<f32>>>;

/// Returns an array of `len` values to be overwritten. Its values are left from an earlier use.
///
/// This pays where the same lengths come back; a length without a spare array is allocated.
pub fn room(len: usize) -> Vec<f32> {
    let spare = spares().entry(len).or_default().pop();
    spare.unwrap_or_else(|| vec![0.0; len])
}

/// Leaves an array to the next [`room`] of its length, if that length has been asked for before.
pub fn recycle(array: Vec<f32>) {
    let mut all = spares();
    let kept: usize = all.iter().map(|(len, alike)| len * alike.len()).sum();
    match all.get_mut(&array.len()) {
        Some(alike) if alike.len() < ALIKE && kept + array.len() <= MOST => alike.push(array),
        // The lengths in use may have changed: the spares of old ones fill the memory.
        Some(_) if kept + array.len() > MOST => all.clear(),
        _ => {}
    }
}

fn spares() -> MutexGuard<'static, Spares> {
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the C library's allocator to keep freed memory instead of returning it to the system, for
/// the rest of the process.
///
/// Training frees and allocates the same arrays at every step, and fresh pages cost as much as the
/// arithmetic done on them. A program, not a library, should call this once and early. Nothing
/// happens where the allocator is not glibc's.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::keep_freed_memory();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
mod glibc {
    use std::ffi::c_int;

    // From <malloc.h>.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;

    unsafe extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }

    pub(super) fn keep_freed_memory() {
        // SAFETY: `mallopt` takes any values, and refuses by its return value. The second value
        // is the largest it accepts for arrays taken from the heap.
        unsafe {
            mallopt(M_TRIM_THRESHOLD, c_int::MAX);
            mallopt(M_MMAP_THRESHOLD, 32 << 20);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_by_their_length() {
        // This length has not been asked for yet.
        recycle(vec![1.0; 1013]);
        assert_eq!(room(1013), [0.0; 1013]);
        recycle(vec![1.0; 1013]);
        recycle(vec![2.0; 1013]);
        let mut both = [room(1013)[0], room(1013)[0]];
        both.sort_by(f32::total_cmp);
        assert_eq!(both, [1.0, 2.0]);
        assert_eq!(room(1013), [0.0; 1013]);
    }

    #[test]
    fn so_many_alike_are_kept() {
        assert_eq!(room(1019), [0.0; 1019]);
        (0..2 * ALIKE).for_each(|_| recycle(vec![1.0; 1019]));
        let kept = (0..2 * ALIKE).filter(|_| room(1019)[0] == 1.0).count();
        assert_eq!(kept, ALIKE);
    }
}
