//! "Same" convolution in two dimensions, with stride 1, an odd square kernel and zero padding:
//! forward pass, gradient of the input, and gradients of weight and bias.
//!
//! Kernels of side 3 between eight channels or more go through `winograd`, those of side 1 through
//! `pointwise`. All others are direct convolutions without im2col.
//!
//! Each channel is copied once into a plane. Its rows are followed by as many zeros as the padding
//! is wide, so that every tap of the kernel is one offset into the plane, whatever the row. The
//! convolution becomes a correlation of flat signals. It uses full vectors at any image width, at
//! the price of a few unused values at the rows' ends. A tile of output channels times pixels stays
//! in registers, as in Georganas et al., "Anatomy of high-performance deep learning convolutions on
//! SIMD architectures" (arXiv 1808.05567).

use std::cell::Cell;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::output_tile::{OutputTile, TILE};
use crate::planes::Planes;
use crate::pointwise;
use crate::shape::Accumulate;
pub use crate::shape::ConvShape;
use crate::simd::{Kernel, Simd, dispatch};
use crate::weight_tile::{OUTPUTS, WeightTile, lane_sum};
use crate::winograd;

/// Computes the output `y` `[batch, out, y, x]` from input `x` `[batch, in, y, x]`, weight `w`
/// `[out, in, ky, kx]` and bias `[out]`. With p the half width of the kernel,
///
/// ```text
/// y[o] = bias[o] + sum over i, ky, kx of w[o, i, ky, kx] x[i, y + ky - p, x + kx - p]
/// ```
///
/// # Panics
/// Panics on slices whose lengths are not those of `shape`, and on an even kernel.
pub fn conv2d_forward(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
    out: &mut [f32],
) {
    check(shape, x, weight, out);
    assert!(bias.is_none_or(|b| b.len() == shape.out_channels), "bias length");
    if winograd::suits(shape) {
        return winograd::forward(x, weight, bias, shape, out);
    }
    let (channels, taps) = (shape.in_channels, shape.taps());
    let packed = pack_weights(shape, |o, i, t| weight[(o * channels + i) * taps + t]);
    correlate(x, &packed, bias, shape, Accumulate::Write, out);
}

/// A convolution for inference, whose weights are brought into their kernel's order once. Those of
/// Winograd's method are transformed when the first image of a size comes.
#[derive(Debug)]
pub struct PackedConv {
    in_channels: usize,
    out_channels: usize,
    kernel: usize,
    weights: Packed,
    bias: Vec<f32>,
}

#[derive(Debug)]
enum Packed {
    Winograd(winograd::Kept),
    Direct(Vec<f32>),
}

impl PackedConv {
    /// Returns the convolution with `weight` `[out, in, k, k]`, k = `kernel` odd, and `bias`
    /// `[out]`.
    ///
    /// # Panics
    /// Panics on a weight of another length, and on an even kernel.
    pub fn new(weight: &[f32], bias: &[f32], in_channels: usize, kernel: usize) -> Self {
        let out_channels = bias.len();
        let shape = ConvShape { batch: 1, in_channels, out_channels, height: 1, width: 1, kernel };
        assert!(kernel % 2 == 1, "an odd kernel");
        assert_eq!(weight.len(), shape.weight_len(), "weight length");

        let taps = shape.taps();
        let weights = if winograd::suits(&shape) {
            Packed::Winograd(winograd::Kept::new(weight))
        } else {
            let at = |o: usize, i: usize, t: usize| weight[(o * in_channels + i) * taps + t];
            Packed::Direct(pack_weights(&shape, at))
        };
        Self { in_channels, out_channels, kernel, weights, bias: bias.to_vec() }
    }

    /// Returns the number of channels of the output.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Computes the output as [`conv2d_forward`] does, for `x` `[batch, in, height, width]` with
    /// `size` = `[batch, height, width]`.
    ///
    /// # Panics
    /// Panics on slices of other lengths.
    pub fn forward(&self, x: &[f32], size: [usize; 3], out: &mut [f32]) {
        self.run(x, size, Accumulate::Write, out);
    }

    /// Adds what [`Self::forward`] computes to `out`.
    ///
    /// # Panics
    /// Panics on slices of other lengths.
    pub fn add(&self, x: &[f32], size: [usize; 3], out: &mut [f32]) {
        self.run(x, size, Accumulate::Add, out);
    }

    fn run(
        &self,
        x: &[f32],
        [batch, height, width]: [usize; 3],
        accumulate: Accumulate,
        out: &mut [f32],
    ) {
        let &Self { in_channels, out_channels, kernel, .. } = self;
        let shape = ConvShape { batch, in_channels, out_channels, height, width, kernel };
        assert_eq!(x.len(), shape.input_len(), "input length");
        assert_eq!(out.len(), shape.output_len(), "output length");

        match &self.weights {
            Packed::Winograd(weights) => {
                let weights = weights.of(&shape);
                winograd::convolve(x, weights, Some(&self.bias), &shape, accumulate, out);
            }
            Packed::Direct(weights) => {
                correlate(x, weights, Some(&self.bias), &shape, accumulate, out);
            }
        }
    }
}

/// Computes the gradient of the input, `[batch, in, y, x]`, from that of the output,
/// `[batch, out, y, x]`.
///
/// # Panics
/// Panics as [`conv2d_forward`] does.
pub fn conv2d_input_grad(grad: &[f32], weight: &[f32], shape: &ConvShape, out: &mut [f32]) {
    check(shape, out, weight, grad);
    if winograd::suits(shape) {
        return winograd::input_grad(grad, weight, shape, out);
    }

    let (channels, taps) = (shape.in_channels, shape.taps());
    let transposed = shape.transposed();
    // Outputs and inputs are exchanged, and the order of the taps is reversed.
    let packed =
        pack_weights(&transposed, |i, o, t| weight[(o * channels + i) * taps + taps - 1 - t]);
    correlate(grad, &packed, None, &transposed, Accumulate::Write, out);
}

/// Computes the gradients of the weight, `[out, in, ky, kx]`, and of the bias, `[out]`, summed over
/// the batch.
///
/// # Panics
/// Panics as [`conv2d_forward`] does.
pub fn conv2d_weight_grad(
    x: &[f32],
    grad: &[f32],
    shape: &ConvShape,
    weight_grad: &mut [f32],
    bias_grad: &mut [f32],
) {
    check(shape, x, weight_grad, grad);
    assert_eq!(bias_grad.len(), shape.out_channels, "bias length");
    bias_grad.fill(0.0);
    if winograd::suits(shape) && !shape.is_empty() {
        winograd::weight_grad(x, grad, shape, weight_grad);
        return bias_sums(grad, shape, bias_grad);
    }

    weight_grad.fill(0.0);
    if shape.is_empty() || shape.weight_len() == 0 {
        return;
    }

    if shape.kernel == 1 {
        pointwise::weight_grad(x, grad, shape, weight_grad);
        return bias_sums(grad, shape, bias_grad);
    }

    // Zero-padded planes as flat signals, in which a tap of the kernel is one offset.
    let planes = Planes::of(shape);
    let [mut x_signals, mut grad_signals] = SCRATCH.take();
    planes.signals(x, shape.in_channels, &mut x_signals);
    planes.signals(grad, shape.out_channels, &mut grad_signals);

    let row = shape.in_channels * shape.taps();
    weight_grad
        .par_chunks_mut(OUTPUTS * row)
        .zip(bias_grad.par_chunks_mut(OUTPUTS))
        .zip(grad_signals.par_chunks(OUTPUTS * planes.signal(shape.batch)))
        .for_each(|((weight_grad, bias_grad), grad)| {
            let (x, planes) = (&x_signals[..], &planes);
            dispatch(WeightTile { shape, planes, x, grad, weight_grad, bias_grad });
        });

    SCRATCH.set([x_signals, grad_signals]);
}

/// Sums the output's gradient over samples and pixels.
fn bias_sums(grad: &[f32], shape: &ConvShape, bias_grad: &mut [f32]) {
    let (pixels, sample) = (shape.pixels(), shape.out_channels * shape.pixels());
    bias_grad.par_iter_mut().enumerate().for_each(|(o, bias)| {
        for grad in grad.chunks_exact(sample) {
            *bias += lane_sum(&grad[o * pixels..][..pixels]);
        }
    });
}

thread_local! {
    // Memory is kept from call to call: fresh pages cost as much as the arithmetic. It holds the
    // padded planes, a tile of the output, and the signals of the weight gradient.
    static PADDED: Cell<Option<Aligned>> = const { Cell::new(None) };
    static FLAT: Cell<Option<Aligned>> = const { Cell::new(None) };
    static SCRATCH: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

fn check(shape: &ConvShape, x: &[f32], weight: &[f32], out: &[f32]) {
    assert!(shape.kernel % 2 == 1, "an odd kernel");
    assert_eq!(x.len(), shape.input_len(), "input length");
    assert_eq!(weight.len(), shape.weight_len(), "weight length");
    assert_eq!(out.len(), shape.output_len(), "output length");
}

/// Returns the weights as `[output tile, in, tap, output in tile]`, the last tile filled up with
/// zeros.
fn pack_weights(shape: &ConvShape, at: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let tiles = shape.out_channels.div_ceil(TILE);
    let mut packed = Vec::with_capacity(tiles * TILE * shape.in_channels * shape.taps());
    for tile in 0..tiles {
        for i in 0..shape.in_channels {
            for t in 0..shape.taps() {
                let outs = tile * TILE..(tile + 1) * TILE;
                packed.extend(outs.map(|o| if o < shape.out_channels { at(o, i, t) } else { 0.0 }));
            }
        }
    }
    packed
}

/// Computes the forward pass with packed weights, in parallel over samples and tiles of output
/// channels.
fn correlate(
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
    accumulate: Accumulate,
    out: &mut [f32],
) {
    if shape.is_empty() || shape.out_channels == 0 {
        return;
    }
    if shape.kernel == 1 {
        return pointwise::forward(x, packed, bias, shape, accumulate, out);
    }
    let planes = Planes::of(shape);
    let offsets = planes.offsets();
    let pixels = shape.pixels();
    let tile_weights = shape.in_channels * shape.taps() * TILE;

    out.par_chunks_mut(shape.out_channels * pixels).enumerate().for_each(|(sample, out)| {
        let images = &x[sample * shape.in_channels * pixels..][..shape.in_channels * pixels];

        // Zero-padded planes, in which a tap of the kernel is one offset.
        let mut memory = PADDED.take().unwrap_or_default();
        let padded = memory.room(shape.in_channels * planes.plane);
        padded.fill(0.0);
        let each = images.chunks_exact(pixels).zip(padded.chunks_mut(planes.plane));
        each.for_each(|(image, plane)| planes.pad(image, plane));
        let padded = &*padded;

        out.par_chunks_mut(TILE * pixels).enumerate().for_each(|(tile, out)| {
            let weights = &packed[tile * tile_weights..][..tile_weights];
            let bias = bias.map(|b| &b[tile * TILE..]);
            let (planes, offsets) = (&planes, &offsets[..]);
            let tile = OutputTile { planes, offsets, x: padded, weights, bias };
            dispatch(Image { tile, accumulate, out });
        });

        PADDED.set(Some(memory));
    });
}

/// A tile and the images that it is written to.
struct Image<'a> {
    tile: OutputTile<'a>,
    accumulate: Accumulate,
    out: &'a mut [f32],
}

impl Kernel for Image<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Planes { height, width, row, positions, .. } = *self.tile.planes;
        let mut memory = FLAT.take().unwrap_or_default();
        let flat = memory.room(TILE * positions);
        self.tile.fill(simd, flat);
        let images = self.out.chunks_exact_mut(height * width);
        for (image, flat) in images.zip(flat.chunks_exact(positions)) {
            for (to, from) in image.chunks_exact_mut(width).zip(flat.chunks(row)) {
                self.accumulate.store(&from[..width], to);
            }
        }
        FLAT.set(Some(memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{assert_close, each_unit, threads, values};

    fn shapes() -> Vec<ConvShape> {
        let mut shapes = Vec::new();
        let channels = [(1, 1), (3, 5), (5, 3), (17, 17), (1, 17), (17, 8)];
        for (in_channels, out_channels) in channels {
            for (height, width) in [(1, 1), (3, 5), (7, 7), (17, 16)] {
                for batch in [1, 3] {
                    for kernel in [1, 3, 5] {
                        shapes.push(ConvShape {
                            batch,
                            in_channels,
                            out_channels,
                            height,
                            width,
                            kernel,
                        });
                    }
                }
            }
        }

        // Five threads cut it into groups of panels, and two into bands of rows.
        for kernel in [1, 3] {
            let (height, width) = (32, 33);
            let (in_channels, out_channels) = (9, 70);
            shapes.push(ConvShape { batch: 1, in_channels, out_channels, height, width, kernel });
        }
        shapes
    }

    /// Calls `each(output, weight, input)` with every triple of indices that meet in the sum.
    fn terms(s: &ConvShape, mut each: impl FnMut(usize, usize, usize)) {
        let pad = s.kernel / 2;
        let inside = |at: usize, k: usize, n: usize| (at + k).checked_sub(pad).filter(|&v| v < n);
        for b in 0..s.batch {
            for o in 0..s.out_channels {
                for i in 0..s.in_channels {
                    for at in 0..s.pixels() {
                        for t in 0..s.taps() {
                            let y = inside(at / s.width, t / s.kernel, s.height);
                            let x = inside(at % s.width, t % s.kernel, s.width);
                            if let (Some(y), Some(x)) = (y, x) {
                                each(
                                    (b * s.out_channels + o) * s.pixels() + at,
                                    (o * s.in_channels + i) * s.taps() + t,
                                    (b * s.in_channels + i) * s.pixels() + y * s.width + x,
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    struct Case {
        x: Vec<f32>,
        w: Vec<f32>,
        bias: Vec<f32>,
        grad: Vec<f32>,
    }

    fn case(s: &ConvShape) -> Case {
        Case {
            x: values(s.input_len(), 1),
            w: values(s.weight_len(), 2),
            bias: values(s.out_channels, 3),
            grad: values(s.output_len(), 4),
        }
    }

    #[test]
    fn packed_weights_give_the_same_bits() {
        for shape in shapes() {
            let (case, mut out) = (case(&shape), vec![f32::NAN; shape.output_len()]);
            let packed = PackedConv::new(&case.w, &case.bias, shape.in_channels, shape.kernel);
            packed.forward(&case.x, [shape.batch, shape.height, shape.width], &mut out);
            assert_eq!(out, all(&shape, &case)[0], "{shape:?}");
        }
    }

    #[test]
    fn adds_the_same_bits_to_what_is_there() {
        for shape in shapes() {
            let case = case(&shape);
            let packed = PackedConv::new(&case.w, &case.bias, shape.in_channels, shape.kernel);
            let size = [shape.batch, shape.height, shape.width];
            let (mut out, mut sum) = (vec![f32::NAN; shape.output_len()], case.grad.clone());
            packed.forward(&case.x, size, &mut out);
            packed.add(&case.x, size, &mut sum);
            let expected: Vec<f32> = case.grad.iter().zip(&out).map(|(a, b)| a + b).collect();
            assert_eq!(sum, expected, "{shape:?}");
        }
    }

    /// Returns the output and the gradients of input, weight and bias.
    fn all(s: &ConvShape, c: &Case) -> [Vec<f32>; 4] {
        let mut out = vec![f32::NAN; s.output_len()];
        let mut dx = vec![f32::NAN; s.input_len()];
        let (mut dw, mut db) = (vec![f32::NAN; s.weight_len()], vec![f32::NAN; s.out_channels]);
        conv2d_forward(&c.x, &c.w, Some(&c.bias), s, &mut out);
        conv2d_input_grad(&c.grad, &c.w, s, &mut dx);
        conv2d_weight_grad(&c.x, &c.grad, s, &mut dw, &mut db);
        [out, dx, dw, db]
    }

    /// Computes the same by the sums over [`terms`], in `f64`.
    fn naive(s: &ConvShape, c: &Case) -> [Vec<f64>; 4] {
        let channel = |at: usize| at / s.pixels() % s.out_channels;
        let mut out: Vec<f64> =
            (0..s.output_len()).map(|at| f64::from(c.bias[channel(at)])).collect();
        let (mut dx, mut dw) = (vec![0.0; s.input_len()], vec![0.0; s.weight_len()]);
        let mut db = vec![0.0; s.out_channels];

        terms(s, |o, w, x| {
            out[o] += f64::from(c.w[w]) * f64::from(c.x[x]);
            dx[x] += f64::from(c.w[w]) * f64::from(c.grad[o]);
            dw[w] += f64::from(c.x[x]) * f64::from(c.grad[o]);
        });
        c.grad.iter().enumerate().for_each(|(at, &g)| db[channel(at)] += f64::from(g));
        [out, dx, dw, db]
    }

    #[test]
    fn agrees_with_the_sum_written_out() {
        for shape in shapes() {
            let case = case(&shape);
            let naive = naive(&shape, &case);
            for ours in each_unit(|| all(&shape, &case)) {
                for (ours, naive) in ours.iter().zip(&naive) {
                    assert_close(ours, naive, 2e-5, &format!("{shape:?}"));
                }
            }
        }
    }

    #[test]
    fn thread_count_changes_no_bit() {
        for shape in shapes() {
            let case = case(&shape);
            let [one, two, five] = [1, 2, 5].map(|n| threads(n, || all(&shape, &case)));
            assert!(one == two && one == five, "{shape:?}");
        }
    }
}
