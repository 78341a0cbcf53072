//! 1x1 convolution, and the gradient of its weights.
//!
//! The convolution is a matrix product of the weights with the image's channels. The gradient
//! consists of products of two images' channels, summed over their points.
//!
//! Values of neighbouring points are close in memory, but those of neighbouring channels are far
//! apart. A block of positions is therefore copied once, and then read from the cache for every
//! tile of output channels.

// Indexed loops of constant length, which the compiler unrolls: the sums stay in registers.
#![allow(clippy::needless_range_loop)]

use std::array::from_fn;
use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::output_tile::{OutputTile, TILE};
use crate::planes::{LANES_MAX, Planes};
use crate::shape::{Accumulate, ConvShape};
use crate::simd::{Kernel, Simd, dispatch};

/// Number of positions of a block.
const BLOCK: usize = 256;

thread_local! {
    /// A block of the input and a tile of the output, kept from call to call.
    static SCRATCH: Cell<Option<[Aligned; 2]>> = const { Cell::new(None) };
    /// Gradients of the output that one task of [`weight_grad`] sums over.
    static PANEL: Cell<Option<Aligned>> = const { Cell::new(None) };
}

/// Computes the forward pass as `conv::correlate` does, which checks the lengths; `packed` is
/// `[output tile, in, output in tile]`. It is parallel over samples, and over groups of tiles where
/// samples are fewer than threads.
pub(crate) fn forward(
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
    accumulate: Accumulate,
    out: &mut [f32],
) {
    let pixels = shape.height * shape.width;
    let groups = rayon::current_num_threads().div_ceil(shape.batch);
    let tiles = shape.out_channels.div_ceil(TILE).div_ceil(groups);
    let samples = x.par_chunks(shape.in_channels * pixels);
    out.par_chunks_mut(shape.out_channels * pixels).zip(samples).for_each(|(out, x)| {
        out.par_chunks_mut(tiles * TILE * pixels).enumerate().for_each(|(group, out)| {
            let packed = &packed[group * tiles * TILE * shape.in_channels..];
            let bias = bias.map(|b| &b[group * tiles * TILE..]);
            dispatch(Tiles { x, packed, bias, pixels, accumulate, out });
        });
    });
}

/// Some tiles of output channels of one sample.
struct Tiles<'a> {
    x: &'a [f32],
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    pixels: usize,
    accumulate: Accumulate,
    out: &'a mut [f32],
}

impl Kernel for Tiles<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, packed, bias, pixels, accumulate, out } = self;
        let inputs = x.len() / pixels;
        let [mut block, mut flat] = SCRATCH.take().unwrap_or_default();

        for first in (0..pixels).step_by(BLOCK) {
            let len = BLOCK.min(pixels - first);
            let planes = Planes::of_row(len);

            // An input of one block is used where it is.
            let block = if planes.plane == pixels {
                x
            } else {
                let block = block.room(inputs * planes.plane);
                for (x, to) in x.chunks_exact(pixels).zip(block.chunks_exact_mut(planes.plane)) {
                    to[..len].copy_from_slice(&x[first..first + len]);
                }
                &*block
            };

            let flat = flat.room(TILE * planes.positions);
            for (t, out) in out.chunks_mut(TILE * pixels).enumerate() {
                let weights = &packed[t * TILE * inputs..][..TILE * inputs];
                let bias = bias.map(|b| &b[t * TILE..]);
                let tile = OutputTile { planes: &planes, offsets: &[0], x: block, weights, bias };
                tile.fill(simd, flat);
                for (out, flat) in out.chunks_exact_mut(pixels).zip(flat.chunks(planes.positions)) {
                    accumulate.store(&flat[..len], &mut out[first..first + len]);
                }
            }
        }

        SCRATCH.set(Some([block, flat]));
    }
}

/// Number of outputs whose weights' gradients one task sums.
const OUTPUTS: usize = 8;

/// Number of positions summed at once, so that a task's gradients stay in the first-level cache.
const SPAN: usize = 1024;

/// Computes the gradient of the weights as `conv2d_weight_grad` does, which checks the lengths and
/// clears the result. It is the sum over samples and pixels of `grad[o] x[i]`.
pub(crate) fn weight_grad(x: &[f32], grad: &[f32], shape: &ConvShape, weight_grad: &mut [f32]) {
    weight_grad.par_chunks_mut(OUTPUTS * shape.in_channels).enumerate().for_each(
        |(tile, weight_grad)| {
            let outs = tile * OUTPUTS..shape.out_channels.min((tile + 1) * OUTPUTS);
            dispatch(Correlate { x, grad, shape, outs, weight_grad });
        },
    );
}

/// The gradient of some outputs' weights.
struct Correlate<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    shape: &'a ConvShape,
    outs: Range<usize>,
    /// The gradient, `[output of the task, input]`.
    weight_grad: &'a mut [f32],
}

/// The samples, and the pixels of each, that are summed at once.
struct Span {
    samples: Range<usize>,
    pixels: Range<usize>,
}

impl Kernel for Correlate<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (batch, pixels) = (self.shape.batch, self.shape.height * self.shape.width);
        let (samples, len) = ((SPAN / pixels).max(1), SPAN.min(pixels));

        let mut panel = PANEL.take().unwrap_or_default();
        for b in (0..batch).step_by(samples) {
            for p in (0..pixels).step_by(len) {
                let span =
                    Span { samples: b..batch.min(b + samples), pixels: p..pixels.min(p + len) };
                let panel = self.fill::<S>(&span, &mut panel);

                // As many sums at a time as leave registers for one value of each factor.
                if S::MANY_REGISTERS {
                    self.inputs::<S, OUTPUTS, 2>(simd, 0, &span, panel);
                } else {
                    self.inputs::<S, { OUTPUTS / 2 }, 2>(simd, 0, &span, panel);
                    self.inputs::<S, { OUTPUTS / 2 }, 2>(simd, OUTPUTS / 2, &span, panel);
                }
            }
        }

        PANEL.set(Some(panel));
    }
}

impl Correlate<'_> {
    /// Copies the gradients of a span to `panel`,
    /// `[sample, register of pixels, output, pixel in register]`. The last register and missing
    /// outputs are filled up with zeros.
    #[inline(always)]
    fn fill<'p, S: Simd>(&self, span: &Span, panel: &'p mut Aligned) -> &'p [f32] {
        let (len, pixels) = (span.pixels.len(), self.shape.height * self.shape.width);
        let sample = len.div_ceil(S::LANES) * OUTPUTS * S::LANES;
        let panel = panel.room(span.samples.len() * sample);

        if self.outs.len() < OUTPUTS || !len.is_multiple_of(S::LANES) {
            panel.fill(0.0);
        }

        for (b, panel) in span.samples.clone().zip(panel.chunks_exact_mut(sample)) {
            for (o, out) in self.outs.clone().enumerate() {
                let at = (b * self.shape.out_channels + out) * pixels;
                let grad = &self.grad[at..][span.pixels.clone()];
                let registers = panel.chunks_exact_mut(OUTPUTS * S::LANES);
                for (to, grad) in registers.zip(grad.chunks(S::LANES)) {
                    to[o * S::LANES..][..grad.len()].copy_from_slice(grad);
                }
            }
        }
        panel
    }

    /// Adds the sums over a span for all inputs, `C` at a time, and outputs `first..first + R` of
    /// the panel.
    #[inline(always)]
    fn inputs<S: Simd, const R: usize, const C: usize>(
        &mut self,
        simd: S,
        first: usize,
        span: &Span,
        panel: &[f32],
    ) {
        let inputs = self.shape.in_channels;
        let mut i = 0;
        while i + C <= inputs {
            self.add::<S, R, C>(simd, first, i, span, panel);
            i += C;
        }
        while i < inputs {
            self.add::<S, R, 1>(simd, first, i, span, panel);
            i += 1;
        }
    }

    /// Adds the sums over a span for inputs `i..i + C` and outputs `first..first + R` of the panel.
    #[inline(always)]
    fn add<S: Simd, const R: usize, const C: usize>(
        &mut self,
        simd: S,
        first: usize,
        i: usize,
        span: &Span,
        panel: &[f32],
    ) {
        let (pixels, inputs) = (self.shape.height * self.shape.width, self.shape.in_channels);
        let len = span.pixels.len();
        let whole = len - len % S::LANES;
        let sample = len.div_ceil(S::LANES) * OUTPUTS * S::LANES;

        let mut acc = [[simd.splat(0.0); C]; R];
        for (b, panel) in span.samples.clone().zip(panel.chunks_exact(sample)) {
            let x = &self.x[(b * inputs + i) * pixels + span.pixels.start..];

            // Slices of one length: one bounds check serves them all.
            let x: [&[f32]; C] = from_fn(|c| &x[c * pixels..][..len]);
            let (body, last) = panel.split_at(whole * OUTPUTS);

            for (p, grad) in (0..).step_by(S::LANES).zip(body.chunks_exact(OUTPUTS * S::LANES)) {
                let mut v = [simd.splat(0.0); C];
                for c in 0..C {
                    v[c] = simd.load(&x[c][p..p + S::LANES]);
                }
                multiply_add(simd, &grad[first * S::LANES..], v, &mut acc);
            }

            // The last register is filled up with zeros, on both sides.
            if whole < len {
                let mut v = [simd.splat(0.0); C];
                for c in 0..C {
                    let mut lanes = [0.0; LANES_MAX];
                    lanes[..len - whole].copy_from_slice(&x[c][whole..]);
                    v[c] = simd.load(&lanes);
                }
                multiply_add(simd, &last[first * S::LANES..], v, &mut acc);
            }
        }

        for (r, acc) in acc.iter().enumerate().take(self.outs.len().saturating_sub(first)) {
            for c in 0..C {
                self.weight_grad[(first + r) * inputs + i + c] += simd.sum(acc[c]);
            }
        }
    }
}

/// Adds the products of `R` registers of gradients and `C` registers of inputs to their sums.
#[inline(always)]
fn multiply_add<S: Simd, const R: usize, const C: usize>(
    simd: S,
    grad: &[f32],
    x: [S::V; C],
    sums: &mut [[S::V; C]; R],
) {
    let grad = &grad[..R * S::LANES];
    for r in 0..R {
        let g = simd.load(&grad[r * S::LANES..]);
        for c in 0..C {
            sums[r][c] = simd.mul_add(g, x[c], sums[r][c]);
        }
    }
}
