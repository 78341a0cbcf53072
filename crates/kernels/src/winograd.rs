//! 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3), with a quarter of the
//! multiplications of the direct convolution (Lavin and Gray, "Fast algorithms for convolutional
//! neural networks", arXiv 1509.09308).
//!
//! An image is cut into tiles of 4x4 outputs Y. Let d be the window of inputs that a tile sees and
//! g the weights of one input and output channel. With the constant matrices A, B and G of the
//! method and the elementwise product `.`,
//!
//! ```text
//! Y = A^T [sum over inputs of (G g G^T) . (B^T d B)] A
//! ```
//!
//! The transformed window B^T d B has 36 entries, called points. The sum over input channels is a
//! matrix product at each point. Small images have so few tiles that reading the weights takes
//! longer than the arithmetic, since there are four times as many points as taps. Their tiles are
//! therefore 2x2, with 16 points.
//!
//! The gradient of the weight is the adjoint map, with the same points:
//!
//! ```text
//! dg = G^T [sum over tiles of (A dY A^T) . (B^T d B)] G
//! ```
//!
//! Images are brought to a channels-last order strip by strip, so that every transform works on
//! vectors of channels. Transformed tiles are stored as
//! `[panel of channels, point, tile, channel in panel]`. In `f32` the error is a few times that of
//! the direct sum.

// Indexed loops of constant length, which the compiler unrolls: the values stay in registers.
#![allow(clippy::needless_range_loop)]

mod filter;
mod parts;
mod tiling;
mod transform;

use std::cell::Cell;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::aligned::{self, Aligned};
use crate::shape::{Accumulate, ConvShape};
use crate::simd::{Kernel, Simd, dispatch};
use parts::{Part, Strip, tile_rows};
use tiling::{GAP, PANEL, Panels, Tiling};
use transform::{
    Direction, Panel, Transformed, WeightAdjoint, WeightTransform, output_strip, transform_strip,
};

/// Distance, in values, by which weights are prefetched before they are used.
const AHEAD: usize = 1024;

/// The transformed weights, `[panel of outputs, point, input, output in panel]`.
#[derive(Debug)]
pub(crate) struct Weights {
    tiling: Tiling,
    inputs: usize,
    outputs: Panels,
    points: Aligned,
}

impl Weights {
    /// Transforms `weight` for the convolution that is done, of shape `shape`, into the memory
    /// `points`.
    ///
    /// Without `threads` the calling thread does all the work. This avoids a deadlock where the
    /// caller holds a lock: a worker that waits for others may be given work that waits for this
    /// lock.
    fn pack(
        weight: &[f32],
        shape: &ConvShape,
        direction: Direction,
        mut points: Aligned,
        threads: bool,
    ) -> Self {
        let (inputs, outputs) = (shape.in_channels, Panels { channels: shape.out_channels });
        let tiling = Tiling::of(shape);
        let memory = points.room(outputs.len(tiling, inputs));
        let len = Panels::panel_len(tiling.points(), inputs);

        let panel = |(p, points)| {
            dispatch(WeightTransform { tiling, direction, inputs, outputs, p, weight, points });
        };

        if threads {
            memory.par_chunks_mut(len).enumerate().for_each(panel);
        } else {
            memory.chunks_mut(len).enumerate().for_each(panel);
        }

        Self { tiling, inputs, outputs, points }
    }

    /// Leaves the memory to the next call.
    fn recycle(self) {
        WEIGHTS.set(Some(self.points));
    }

    /// Returns the weights `[input, output in panel]` of panel `p` at a point.
    fn point(&self, p: usize, point: usize) -> &[f32] {
        &self.points.values()[self.outputs.at(self.tiling, self.inputs, p, point)]
    }
}

/// Weights for forward passes. They are transformed for a tiling when the first image of such a
/// size comes.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The weights as given, `[out, in, 3, 3]`.
    weight: Vec<f32>,
    transformed: [OnceLock<Weights>; 2],
}

impl Kept {
    pub(crate) fn new(weight: &[f32]) -> Self {
        Self { weight: weight.to_vec(), transformed: Default::default() }
    }

    /// Returns the weights for images of a size, transformed at its first use.
    pub(crate) fn of(&self, shape: &ConvShape) -> &Weights {
        let memory = Aligned::default();
        self.transformed[Tiling::of(shape) as usize]
            .get_or_init(|| Weights::pack(&self.weight, shape, Direction::Forward, memory, false))
    }
}

/// The workspace of one task.
#[derive(Default)]
struct Scratch {
    interleaved: Aligned,
    transformed: Aligned,
    product: Aligned,
}

/// The workspace of one call of [`weight_grad`].
#[derive(Default)]
struct Sums {
    /// Sums, `[point, panel of outputs, input, output in panel]`.
    sums: Aligned,
    /// Transformed strips of the input and of the output's gradient.
    strips: Vec<[Aligned; 2]>,
}

thread_local! {
    // Memory is kept from call to call: to get fresh pages and clear them costs as much as the
    // arithmetic.
    static SCRATCH: Cell<Option<Scratch>> = const { Cell::new(None) };
    static WEIGHTS: Cell<Option<Aligned>> = const { Cell::new(None) };
    static SUMS: Cell<Option<Sums>> = const { Cell::new(None) };
}

/// Tells whether this method is faster for the convolution than the direct one.
pub(crate) fn suits(shape: &ConvShape) -> bool {
    shape.kernel == 3 && shape.in_channels >= 8 && shape.out_channels >= 8
}

/// Computes the forward pass as `conv2d_forward` does, which checks the lengths.
pub(crate) fn forward(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
    out: &mut [f32],
) {
    let weights =
        Weights::pack(weight, shape, Direction::Forward, WEIGHTS.take().unwrap_or_default(), true);
    convolve(x, &weights, bias, shape, Accumulate::Write, out);
    weights.recycle();
}

/// Computes the gradient of the input as `conv2d_input_grad` does, which checks the lengths.
pub(crate) fn input_grad(grad: &[f32], weight: &[f32], shape: &ConvShape, out: &mut [f32]) {
    let shape = &shape.transposed();
    let weights = Weights::pack(
        weight,
        shape,
        Direction::InputGradient,
        WEIGHTS.take().unwrap_or_default(),
        true,
    );
    convolve(grad, &weights, None, shape, Accumulate::Write, out);
    weights.recycle();
}

/// Computes the convolution with transformed weights.
pub(crate) fn convolve(
    x: &[f32],
    weights: &Weights,
    bias: Option<&[f32]>,
    shape: &ConvShape,
    accumulate: Accumulate,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    Part::cut(weights.outputs, shape, out).into_par_iter().for_each(|part| {
        let mut scratch = SCRATCH.take().unwrap_or_default();
        dispatch(Convolve { x, weights, bias, shape, accumulate, part, scratch: &mut scratch });
        SCRATCH.set(Some(scratch));
    });
}

/// The computation of one part of a convolution.
struct Convolve<'a> {
    x: &'a [f32],
    weights: &'a Weights,
    bias: Option<&'a [f32]>,
    shape: &'a ConvShape,
    accumulate: Accumulate,
    part: Part<'a>,
    scratch: &'a mut Scratch,
}

impl Kernel for Convolve<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, weights, bias, shape, accumulate, mut part, scratch } = self;
        let Scratch { interleaved, transformed, product } = scratch;
        let input = Panels { channels: weights.inputs };

        for strip in Strip::cut(part.samples.clone(), part.rows.clone(), shape) {
            transform_strip::<S, true>(simd, x, shape, &strip, input, interleaved, transformed);

            let tiles = strip.tiles(shape);
            let tiling = weights.tiling;
            let values = transformed.values();
            let input = Transformed { tiling, panels: input, tiles, values };
            let product = product.room(Panels::panel_len(tiling.points(), tiles));

            for p in part.panels.clone() {
                let width = weights.outputs.width(p);
                let step = weights.outputs.point_len(tiles, p);
                // One matrix product over the inputs for each point of the transform.
                for point in 0..tiling.points() {
                    let product = &mut product[point * step..][..tiles * width];
                    multiply(simd, &input, point, weights.point(p, point), product);
                }

                let real = weights.outputs.real(p);
                let bias = bias.map(|b| &b[real.clone()]);
                let panel = Panel { width, real, bias, accumulate };
                output_strip(simd, product, panel, shape, &strip, interleaved, &mut part);
            }
        }
    }
}

/// Computes `product[tile, output] = sum over inputs of input[tile, input] weights[input, output]`
/// at one point, for one panel of outputs.
#[inline(always)]
fn multiply<S: Simd>(
    simd: S,
    input: &Transformed<'_>,
    point: usize,
    weights: &[f32],
    product: &mut [f32],
) {
    let width = weights.len() / input.panels.channels;
    let mut column = 0;

    while column < width {
        let mut t = 0;
        // Wider blocks of sums where there are registers for them; the rest in smaller ones.
        if S::MANY_REGISTERS && width == PANEL {
            while t + 8 <= input.tiles {
                rows::<S, 8, 2>(simd, input, point, weights, width, t, column, product);
                t += 8;
            }
        }

        if column + 2 * S::LANES <= width {
            while t + 4 <= input.tiles {
                rows::<S, 4, 2>(simd, input, point, weights, width, t, column, product);
                t += 4;
            }
            while t < input.tiles {
                rows::<S, 1, 2>(simd, input, point, weights, width, t, column, product);
                t += 1;
            }
            column += 2 * S::LANES;
        } else {
            while t + 4 <= input.tiles {
                rows::<S, 4, 1>(simd, input, point, weights, width, t, column, product);
                t += 4;
            }
            while t < input.tiles {
                rows::<S, 1, 1>(simd, input, point, weights, width, t, column, product);
                t += 1;
            }
            column += S::LANES;
        }
    }
}

/// Computes tiles `t..t + R` and `W` registers of outputs from `column` on.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn rows<S: Simd, const R: usize, const W: usize>(
    simd: S,
    input: &Transformed<'_>,
    point: usize,
    weights: &[f32],
    width: usize,
    t: usize,
    column: usize,
    product: &mut [f32],
) {
    let mut acc = [[simd.splat(0.0); W]; R];
    let mut weights = weights.chunks_exact(width);

    for p in 0..input.panels.count() {
        let (stride, depth) = (input.panels.width(p), input.panels.real(p).len());
        let values = &input.point(p, point)[t * stride..];
        let mut a: [&[f32]; R] = [&[]; R];
        for r in 0..R {
            a[r] = &values[r * stride..][..depth];
        }

        for k in 0..depth {
            let Some(b) = weights.next() else { return };
            // The first tiles of a panel read its weights first; later ones find them in the cache.
            if t == 0 {
                simd.prefetch(b, AHEAD);
                simd.prefetch(b, AHEAD + aligned::VALUES);
            }

            let b = &b[column..column + W * S::LANES];
            let mut w = [simd.splat(0.0); W];
            for c in 0..W {
                w[c] = simd.load(&b[c * S::LANES..]);
            }

            for r in 0..R {
                let value = simd.splat(a[r][k]);
                for c in 0..W {
                    acc[r][c] = simd.mul_add(value, w[c], acc[r][c]);
                }
            }
        }
    }

    for r in 0..R {
        let to = &mut product[(t + r) * width + column..][..W * S::LANES];
        for c in 0..W {
            simd.store(acc[r][c], &mut to[c * S::LANES..]);
        }
    }
}

/// Number of strips whose transformed tiles are in memory at once in [`weight_grad`].
const ROUND: usize = 8;

/// Computes the gradient of the weight as `conv2d_weight_grad` does, which checks the lengths.
pub(crate) fn weight_grad(x: &[f32], grad: &[f32], shape: &ConvShape, weight_grad: &mut [f32]) {
    let (inputs, outputs) =
        (Panels { channels: shape.in_channels }, Panels { channels: shape.out_channels });
    let rows = inputs.padded();

    let Sums { mut sums, strips: mut memory } = SUMS.take().unwrap_or_default();
    memory.resize_with(ROUND, Default::default);

    let tiling = Tiling::of(shape);
    let step = rows * outputs.padded() + GAP;
    let all = sums.room(tiling.points() * step);

    let strips = Strip::cut(0..shape.batch, 0..tile_rows(shape), shape);

    for (number, round) in strips.chunks(ROUND).enumerate() {
        memory.par_iter_mut().zip(round).for_each(|([x_points, grad_points], strip)| {
            let x = Tiles::<true> { images: x, shape, strip, panels: inputs, points: x_points };
            let panels = outputs;
            let grad = Tiles::<false> { images: grad, shape, strip, panels, points: grad_points };
            rayon::join(|| dispatch(x), || dispatch(grad));
        });

        let points = all.par_chunks_mut(step);
        points.enumerate().for_each(|(point, sums)| {
            for (i, ([x, grad], strip)) in memory.iter().zip(round).enumerate() {
                let tiles = strip.tiles(shape);
                let x = Transformed { tiling, panels: inputs, tiles, values: x.values() };
                let values = grad.values();
                let grad = Transformed { tiling, panels: outputs, tiles, values };
                // The first sum overwrites what an earlier call has left.
                let fresh = number == 0 && i == 0;
                dispatch(Correlate { x, grad, point, fresh, sums });
            }
        });
    }

    let per_output = shape.in_channels * 9;
    weight_grad.par_chunks_mut(PANEL * per_output).enumerate().for_each(|(p, weight_grad)| {
        let sums = &*all;
        dispatch(WeightAdjoint { tiling, inputs, outputs, p, sums, weight_grad });
    });

    SUMS.set(Some(Sums { sums, strips: memory }));
}

/// The transformation of a strip of the input (`INPUT`), or of the output's gradient.
struct Tiles<'a, const INPUT: bool> {
    images: &'a [f32],
    shape: &'a ConvShape,
    strip: &'a Strip,
    panels: Panels,
    points: &'a mut Aligned,
}

impl<const INPUT: bool> Kernel for Tiles<'_, INPUT> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { images, shape, strip, panels, points } = self;
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let interleaved = &mut scratch.interleaved;
        transform_strip::<S, INPUT>(simd, images, shape, strip, panels, interleaved, points);
        SCRATCH.set(Some(scratch));
    }
}

/// The addition of the sum over a strip's tiles of input times gradient, at one point.
struct Correlate<'a> {
    x: Transformed<'a>,
    grad: Transformed<'a>,
    point: usize,
    /// Tells that nothing has been summed yet, so that `sums` is overwritten.
    fresh: bool,
    /// Sums at the point, `[panel of outputs, input, output in panel]`.
    sums: &'a mut [f32],
}

impl Kernel for Correlate<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for p in 0..self.grad.panels.count() {
            let width = self.grad.panels.width(p);

            // Tiles as wide as what is left of the panel allows.
            let mut column = 0;
            while column < width {
                if S::MANY_REGISTERS && width == PANEL {
                    self.inputs::<S, 8, 2>(simd, p, column);
                    column += 2 * S::LANES;
                } else if column + 2 * S::LANES <= width {
                    self.inputs::<S, 4, 2>(simd, p, column);
                    column += 2 * S::LANES;
                } else {
                    self.inputs::<S, 4, 1>(simd, p, column);
                    column += S::LANES;
                }
            }
        }
    }
}

impl Correlate<'_> {
    /// Sums over all inputs, `R` at a time. Padding is summed too, but never read.
    #[inline(always)]
    fn inputs<S: Simd, const R: usize, const W: usize>(
        &mut self,
        simd: S,
        p: usize,
        column: usize,
    ) {
        let (rows, fresh) = (self.x.panels.padded(), self.fresh);
        let width = self.grad.panels.width(p);
        let sums = &mut self.sums[rows * PANEL * p..][..rows * width];
        let grad = self.grad.point(p, self.point);

        for q in 0..self.x.panels.count() {
            let depth = self.x.panels.width(q);
            let x = self.x.point(q, self.point);

            for i in (0..depth).step_by(R) {
                let mut acc = [[simd.splat(0.0); W]; R];

                for (x, grad) in x.chunks_exact(depth).zip(grad.chunks_exact(width)) {
                    let (x, grad) = (&x[i..i + R], &grad[column..column + W * S::LANES]);
                    let mut g = [simd.splat(0.0); W];
                    for c in 0..W {
                        g[c] = simd.load(&grad[c * S::LANES..]);
                    }
                    for r in 0..R {
                        let value = simd.splat(x[r]);
                        for c in 0..W {
                            acc[r][c] = simd.mul_add(value, g[c], acc[r][c]);
                        }
                    }
                }

                for r in 0..R {
                    let to = &mut sums[(q * PANEL + i + r) * width + column..][..W * S::LANES];
                    for c in 0..W {
                        let to = &mut to[c * S::LANES..][..S::LANES];
                        let sum =
                            if fresh { acc[r][c] } else { simd.add(simd.load(to), acc[r][c]) };
                        simd.store(sum, to);
                    }
                }
            }
        }
    }
}
