//! Keeping memory: fresh pages, and clearing them, cost as much as the arithmetic done on them.

use std::cell::RefCell;

/// Arrays that a thread keeps at most; a training step has some sixty outputs.
const SPARE: usize = 128;

thread_local! {
    /// Oldest first.
    static SPARES: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// An array to be written over, whose values are left from an earlier use. Best where the same
/// lengths come back; a length without a spare array is taken anew.
pub fn room(len: usize) -> Vec<f32> {
    let spare = SPARES.with_borrow_mut(|spares| {
        let found = spares.iter().rposition(|spare| spare.len() == len);
        found.map(|i| spares.remove(i))
    });
    spare.unwrap_or_else(|| vec![0.0; len])
}

/// Hands an array to the next [`room`] of its length on this thread.
pub fn recycle(array: Vec<f32>) {
    SPARES.with_borrow_mut(|spares| {
        if spares.len() == SPARE {
            spares.remove(0);
        }
        spares.push(array);
    });
}

/// Asks the C library's allocator to keep what is freed instead of giving it back to the system,
/// for the rest of the process: training frees and takes the same arrays at every step, and
/// fresh pages cost as much as the arithmetic done on them. To be called once, early, by a
/// program (not by a library). Does nothing where the allocator is not glibc's.
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
        recycle(vec![1.0; 3]);
        recycle(vec![2.0; 5]);
        assert_eq!(room(4), [0.0; 4]);
        assert_eq!(room(3), [1.0; 3]);
        assert_eq!(room(3), [0.0; 3]);
        assert_eq!(room(5), [2.0; 5]);
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        for i in 0..=SPARE {
            recycle(vec![i as f32; 7 + usize::from(i == 0)]);
        }
        assert_eq!(room(8), [0.0; 8]);
        assert_eq!(room(7), [SPARE as f32; 7]);
    }
}
