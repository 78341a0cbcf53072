//! A tile of output channels: their sums for a few registers of positions stay in registers.

// Indexed loops of constant length, which the compiler unrolls: the sums stay in registers.
#![allow(clippy::needless_range_loop)]

use crate::planes::Planes;
use crate::simd::Simd;

/// Number of output channels whose sums stay in registers together.
pub(crate) const TILE: usize = 8;

/// A tile of output channels of one sample.
pub(crate) struct OutputTile<'a> {
    pub(crate) planes: &'a Planes,
    /// Offsets of the kernel's taps in a plane.
    pub(crate) offsets: &'a [usize],
    /// Padded planes of the sample.
    pub(crate) x: &'a [f32],
    /// Weights of the tile, `[in, tap, output in tile]`.
    pub(crate) weights: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
}

impl OutputTile<'_> {
    /// Computes all positions of the tile's channels, unused ones at rows' ends included.
    #[inline(always)]
    pub(crate) fn fill<S: Simd>(&self, simd: S, flat: &mut [f32]) {
        let positions = self.planes.positions;
        let mut p = 0;
        while p + 2 * S::LANES <= positions {
            self.tile::<S, 2>(simd, p, flat);
            p += 2 * S::LANES;
        }
        while p < positions {
            self.tile::<S, 1>(simd, p, flat);
            p += S::LANES;
        }
    }

    /// Computes `W` registers of positions from `p` on, for all channels of the tile. The channels
    /// are treated in two halves where registers are few.
    #[inline(always)]
    fn tile<S: Simd, const W: usize>(&self, simd: S, p: usize, flat: &mut [f32]) {
        if S::MANY_REGISTERS {
            self.channels::<S, W, TILE>(simd, p, 0, flat);
        } else {
            self.channels::<S, W, { TILE / 2 }>(simd, p, 0, flat);
            self.channels::<S, W, { TILE / 2 }>(simd, p, TILE / 2, flat);
        }
    }

    /// Computes channels `first..first + R` of the tile.
    #[inline(always)]
    fn channels<S: Simd, const W: usize, const R: usize>(
        &self,
        simd: S,
        p: usize,
        first: usize,
        flat: &mut [f32],
    ) {
        let mut acc = [[simd.splat(0.0); W]; R];
        if let Some(bias) = self.bias {
            for (acc, &bias) in acc.iter_mut().zip(bias.iter().skip(first)) {
                *acc = [simd.splat(bias); W];
            }
        }

        let per_channel = self.offsets.len() * TILE;
        let planes = self.x.chunks_exact(self.planes.plane);
        for (plane, weights) in planes.zip(self.weights.chunks_exact(per_channel)) {
            let plane = &plane[p..];
            for (&offset, weights) in self.offsets.iter().zip(weights.chunks_exact(TILE)) {
                let signal = &plane[offset..offset + W * S::LANES];

                // One load of the signal serves all R channels.
                let mut x = [simd.splat(0.0); W];
                for w in 0..W {
                    x[w] = simd.load(&signal[w * S::LANES..]);
                }

                let weights = &weights[first..first + R];
                for r in 0..R {
                    let weight = simd.splat(weights[r]);
                    for w in 0..W {
                        acc[r][w] = simd.mul_add(weight, x[w], acc[r][w]);
                    }
                }
            }
        }

        for (r, row) in acc.into_iter().enumerate() {
            let flat = &mut flat[(first + r) * self.planes.positions + p..];
            for (to, value) in flat.chunks_exact_mut(S::LANES).zip(row) {
                simd.store(value, to);
            }
        }
    }
}
