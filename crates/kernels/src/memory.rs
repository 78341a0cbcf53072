//! Keeping freed memory.

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
