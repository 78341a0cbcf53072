//! CPU kernels of the network, forward and backward, on `f32` slices in `[batch, channel, y, x]`
//! order. The results do not depend on the number of threads.

mod aligned;
mod output_tile;
mod planes;
mod pointwise;
mod shape;
mod simd;
mod weight_tile;
mod winograd;

pub mod adamw;
pub mod conv;
pub mod group_norm;
pub mod linear;
pub mod memory;
pub mod patches;
pub mod pool;
pub mod silu;

pub use simd::{VARIABLE, asked, unit};

#[cfg(test)]
mod test_values {
    //! Helpers that the tests of several kernels share.
    #![allow(clippy::unwrap_used)]

    /// Returns values in [-1, 1) that are the same on every run (a multiplicative hash of the
    /// index).
    pub fn values(count: usize, seed: u64) -> Vec<f32> {
        (0..count as u64)
            .map(|i| {
                let mixed = (i + 1 + seed * 0x1_0000).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32
                    / (1u64 << 23) as f32
                    - 1.0
            })
            .collect()
    }

    /// Asserts that the largest difference is below `tolerance` times the largest value (or 1).
    pub fn assert_close(ours: &[f32], reference: &[f64], tolerance: f64, what: &str) {
        assert_eq!(ours.len(), reference.len(), "{what}");
        let scale = reference.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        for (i, (&a, &b)) in ours.iter().zip(reference).enumerate() {
            assert!((f64::from(a) - b).abs() < tolerance * scale, "{what}: {a} for {b} at {i}");
        }
    }

    /// Runs `run` in a pool of `count` threads.
    pub fn threads<T: Send>(count: usize, run: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap().install(run)
    }

    /// Runs `run` on each vector unit (the widest, eight lanes, portable) that this processor has.
    pub fn each_unit<T: Send>(run: impl Fn() -> T + Sync) -> Vec<T> {
        let on = |lanes: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2);
            let pool = pool.start_handler(move |_| crate::simd::WIDEST.set(lanes));
            pool.build().unwrap().install(&run)
        };
        [16, 8, 0].map(on).into()
    }
}
