//! The gradient of a convolution's weights: correlations of the output's gradient with the shifted
//! input. The sums of a few output channels times all taps stay in registers.

use std::array::from_fn;
use std::ops::Range;

use crate::planes::{LANES_MAX, Planes};
use crate::shape::ConvShape;
use crate::simd::{Kernel, Simd};

/// The gradient of the weights of a tile of output channels, over all samples.
pub(crate) struct WeightTile<'a> {
    pub(crate) shape: &'a ConvShape,
    pub(crate) planes: &'a Planes,
    /// Flat signals of the input's channels, see [`Planes`].
    pub(crate) x: &'a [f32],
    /// Flat signals of the output's gradient, for the tile's channels.
    pub(crate) grad: &'a [f32],
    pub(crate) weight_grad: &'a mut [f32],
    pub(crate) bias_grad: &'a mut [f32],
}

/// Number of output channels of a tile.
pub(crate) const OUTPUTS: usize = 3;

/// Number of positions of a signal treated at once, so that a tile's part of it stays in the cache.
const BLOCK: usize = 8192;

impl Kernel for WeightTile<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let outs = self.bias_grad.len();
        let positions = self.planes.signal_positions(self.shape.batch);
        for from in (0..positions).step_by(BLOCK) {
            let block = from..positions.min(from + BLOCK);
            match (self.shape.kernel, outs, S::MANY_REGISTERS) {
                (3, OUTPUTS, true) => self.rows::<S, OUTPUTS, 3>(simd, 0, block),
                (kernel, ..) => self.single_rows(simd, kernel, block),
            }
        }
        self.bias();
    }
}

impl WeightTile<'_> {
    /// Treats all rows one by one, in a loop: a closure would not be compiled with the vector
    /// unit's instructions.
    #[inline(always)]
    fn single_rows<S: Simd>(&mut self, simd: S, kernel: usize, block: Range<usize>) {
        for r in 0..self.bias_grad.len() {
            match kernel {
                3 => self.rows::<S, 1, 3>(simd, r, block.clone()),
                _ => self.rows::<S, 1, 1>(simd, r, block.clone()),
            }
        }
    }

    /// Adds a block's part to rows `r..r + R` of the tile's weights. Taps are treated `K` by `K` at
    /// a time: the whole kernel, or single taps.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const K: usize>(
        &mut self,
        simd: S,
        r: usize,
        block: Range<usize>,
    ) {
        let taps = self.shape.taps();
        let offsets = self.planes.offsets();
        for i in 0..self.shape.in_channels {
            for (t, &offset) in offsets.iter().enumerate().step_by(K * K) {
                let sums = self.pair::<S, R, K>(simd, r, i, offset, block.clone());
                for (dr, sums) in sums.iter().enumerate() {
                    let at = ((r + dr) * self.shape.in_channels + i) * taps + t;
                    for (w, sum) in self.weight_grad[at..].iter_mut().zip(sums.as_flattened()) {
                        *w += sum;
                    }
                }
            }
        }
    }

    /// Returns the sums of output gradient times shifted input, for outputs `r..r + R`, input `i`
    /// and the `K` by `K` taps from `offset` on.
    ///
    /// The loops have indices and constant lengths, so that the compiler unrolls them and keeps the
    /// sums in registers.
    #[inline(always)]
    fn pair<S: Simd, const R: usize, const K: usize>(
        &self,
        simd: S,
        r: usize,
        i: usize,
        offset: usize,
        block: Range<usize>,
    ) -> [[[f32; K]; K]; R] {
        let signal = self.planes.signal(self.shape.batch);
        let x = &self.x[i * signal + offset + block.start..];
        let grads = &self.grad[r * signal + self.planes.start() + block.start..];
        let len = block.len();

        // Slices of one length: one bounds check serves them all.
        let x: [&[f32]; K] = from_fn(|ky| &x[ky * self.planes.row..][..len + K - 1]);
        let grads: [&[f32]; R] = from_fn(|dr| &grads[dr * signal..][..len]);

        let mut acc = [[[simd.splat(0.0); K]; K]; R];
        let mut p = 0;
        while p < len {
            let mut g = [simd.splat(0.0); R];
            for dr in 0..R {
                g[dr] = simd.load(&grads[dr][p..p + S::LANES]);
            }

            for ky in 0..K {
                for kx in 0..K {
                    let x = simd.load(&x[ky][p + kx..p + kx + S::LANES]);
                    for dr in 0..R {
                        acc[dr][ky][kx] = simd.mul_add(g[dr], x, acc[dr][ky][kx]);
                    }
                }
            }

            p += S::LANES;
        }

        let mut sums = [[[0.0; K]; K]; R];
        for dr in 0..R {
            for ky in 0..K {
                for kx in 0..K {
                    sums[dr][ky][kx] = simd.sum(acc[dr][ky][kx]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn bias(&mut self) {
        let signals = self.grad.chunks_exact(self.planes.signal(self.shape.batch));
        for (bias, signal) in self.bias_grad.iter_mut().zip(signals) {
            *bias = lane_sum(signal);
        }
    }
}

/// Sums values in so many lanes that the loop vectorises, always in the same order.
#[inline(always)]
pub(crate) fn lane_sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES_MAX>();
    let mut lanes = [0.0f32; LANES_MAX];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}
