//! After its first call, inference allocates little more than lists of its parts.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use phys_instruct_kernels::conv::PackedConv;
use phys_instruct_kernels::group_norm::{Modulation, NormShape, norm_film_silu_forward};
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_kernels::silu::silu_forward;

static ASKED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Returns the bytes allocated by one call: the fewest of some calls after the first ones, on all
/// threads.
fn asked(mut call: impl FnMut() + Send) -> usize {
    let mut count = || {
        let before = ASKED.load(Ordering::Relaxed);
        in_pool(&mut call);
        ASKED.load(Ordering::Relaxed) - before
    };
    (0..8).for_each(|_| _ = count());
    (0..8).map(|_| count()).min().unwrap_or(usize::MAX)
}

/// Returns the bytes that a call allocates, as a share of those of the `values` it reads and
/// writes.
fn share(values: usize, call: impl FnMut() + Send) -> f64 {
    asked(call) as f64 / (4 * values) as f64
}

/// All cases are one test: the allocations of tests beside it would be counted.
#[test]
fn the_kernels_of_inference_keep_their_memory() {
    for batch in [1, 3] {
        for (inputs, outputs, kernel, size) in
            [(32, 64, 3, 32), (16, 16, 3, 16), (3, 16, 3, 16), (64, 32, 1, 16), (5, 2, 5, 16)]
        {
            let weight = vec![0.1; outputs * inputs * kernel * kernel];
            let conv = PackedConv::new(&weight, &vec![0.0; outputs], inputs, kernel);

            let x = vec![1.0; batch * inputs * size * size];
            let mut out = vec![0.0; batch * outputs * size * size];

            let share =
                share(x.len() + out.len(), || conv.forward(&x, [batch, size, size], &mut out));
            assert!(share < 0.06, "{inputs} to {outputs} channels, kernel {kernel}: {share}");
        }

        let shape = NormShape { batch, channels: 32, groups: 8, pixels: 256, eps: 1e-5 };
        let modulation = Modulation { gamma: &[1.0; 32], beta: &[0.0; 32], film: None };
        let x = vec![1.0; batch * 32 * 256];
        let mut out = x.clone();

        let norm = share(2 * x.len(), || {
            norm_film_silu_forward(&x, &modulation, &shape, &mut out);
        });
        let silu = share(2 * x.len(), || silu_forward(&x, &mut out));
        assert!(norm < 0.06 && silu < 0.06, "{norm} {silu}");
    }
}
