//! Single-head self-attention over the points of an image, forward and backward, without the matrix
//! of all pairs of points in memory (as in Dao et al. 2022, arXiv 2205.14135).
//!
//! A block of points at a time meets all others. The backward pass recomputes a block's weights
//! from the logarithms of their sums, which the forward pass returns.
//!
//! The points of a block lie along the lanes of a vector. Every operation is then a matrix product
//! of one kind: a value of one factor times a row of the other. The softmax needs no sum across
//! lanes.

use std::cell::Cell;

use rayon::prelude::*;

use crate::silu::exp;
use crate::simd::{Kernel, Simd, dispatch};

/// Number of points of a block.
const BLOCK: usize = 64;

/// Number of rows of a product whose sums are kept in registers.
const ROWS: usize = 6;

thread_local! {
    /// Memory kept from call to call: the results of the blocks, and the workspace of one block.
    static PANELS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static SCRATCH: Cell<[Vec<f32>; 4]> =
        const { Cell::new([Vec::new(), Vec::new(), Vec::new(), Vec::new()]) };
}

/// The sizes of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Number of samples.
    pub batch: usize,
    /// Number of channels of queries, keys and values each.
    pub channels: usize,
    /// Number of points of an image.
    pub points: usize,
}

impl AttentionShape {
    /// Returns the number of values of the output. Queries, keys and values together are three
    /// times as many.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.points
    }

    /// Tells whether the output has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sample(&self) -> usize {
        self.channels * self.points
    }

    fn scale(&self) -> f32 {
        1.0 / (self.channels as f32).sqrt()
    }
}

/// Computes `out` `[batch, channel, point]` = v softmax(q^T k / sqrt(channels))^T. The input `qkv`
/// `[batch, 3 channels, point]` holds queries q, keys k and values v in this order.
///
/// Returns the logarithm of each query's sum of exponentials, `[batch, point]`, for the backward
/// pass.
///
/// # Panics
/// Panics on slices whose lengths do not fit the shape.
pub fn attention_forward(qkv: &[f32], shape: &AttentionShape, out: &mut [f32]) -> Vec<f32> {
    assert!(qkv.len() == 3 * shape.len() && out.len() == shape.len(), "lengths of {shape:?}");
    let mut log_sums = vec![0.0; shape.batch * shape.points];
    if shape.is_empty() {
        return log_sums;
    }

    let sums = log_sums.par_chunks_mut(shape.points);
    let samples = qkv.par_chunks(3 * shape.sample()).zip(sums);
    samples.zip(out.par_chunks_mut(shape.sample())).for_each(|((qkv, log_sums), out)| {
        let sample = Sample::new(qkv, shape);
        in_blocks(shape.channels, out, log_sums, |first, panel, log_sums| {
            dispatch(Forward { sample, first, panel, log_sums });
        });
    });
    log_sums
}

/// Computes the gradient of `qkv` from `grad`, that of the output. `out` and `log_sums` are what
/// [`attention_forward`] wrote and returned for this `qkv`.
///
/// # Panics
/// Panics on slices whose lengths do not fit the shape.
pub fn attention_backward(
    qkv: &[f32],
    [out, log_sums]: [&[f32]; 2],
    grad: &[f32],
    shape: &AttentionShape,
    qkv_grad: &mut [f32],
) {
    let len = shape.len();
    assert!(qkv.len() == 3 * len && qkv_grad.len() == 3 * len, "lengths of {shape:?}");
    assert!(out.len() == len && grad.len() == len, "lengths of {shape:?}");
    assert_eq!(log_sums.len(), shape.batch * shape.points, "logarithms of {shape:?}");
    if shape.is_empty() {
        return;
    }

    let given = out.par_chunks(shape.sample()).zip(grad.par_chunks(shape.sample()));
    let given = given.zip(log_sums.par_chunks(shape.points));
    let samples = qkv.par_chunks(3 * shape.sample()).zip(given);
    let grads = qkv_grad.par_chunks_mut(3 * shape.sample());

    samples.zip(grads).for_each(|((qkv, ((out, grad), log_sums)), qkv_grad)| {
        let sample = Sample::new(qkv, shape);

        // The mean of each point's weights' gradients, which the softmax's derivative subtracts.
        let mut means = vec![0.0; shape.points];
        for (out, grad) in out.chunks_exact(shape.points).zip(grad.chunks_exact(shape.points)) {
            means.iter_mut().zip(out.iter().zip(grad)).for_each(|(m, (o, g))| *m += o * g);
        }

        in_blocks(3 * shape.channels, qkv_grad, &mut vec![0.0; shape.points], |first, panel, _| {
            dispatch(Backward { sample, grad, log_sums, means: &means, first, panel });
        });
    });
}

/// Fills `out` `[row, point]` by blocks of points, in parallel. `fill` takes the first point of a
/// block, a panel `[row, BLOCK]` for its values, and its part of `each`, which has one value for
/// each point.
fn in_blocks(
    rows: usize,
    out: &mut [f32],
    each: &mut [f32],
    fill: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    let points = each.len();
    let mut panels = PANELS.take();
    panels.resize(points.div_ceil(BLOCK) * rows * BLOCK, 0.0);

    let blocks = panels.par_chunks_mut(rows * BLOCK).zip(each.par_chunks_mut(BLOCK)).enumerate();
    blocks.for_each(|(block, (panel, each))| fill(block * BLOCK, panel, each));

    for (row, out) in out.chunks_exact_mut(points).enumerate() {
        for (out, panel) in out.chunks_mut(BLOCK).zip(panels.chunks_exact(rows * BLOCK)) {
            out.copy_from_slice(&panel[row * BLOCK..][..out.len()]);
        }
    }

    PANELS.set(panels);
}

/// Queries, keys and values of one sample, each `[channel, point]`.
#[derive(Clone, Copy)]
struct Sample<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    shape: &'a AttentionShape,
}

impl<'a> Sample<'a> {
    fn new(qkv: &'a [f32], shape: &'a AttentionShape) -> Self {
        let (q, kv) = qkv.split_at(shape.sample());
        let (k, v) = kv.split_at(shape.sample());
        Self { q, k, v, shape }
    }

    /// Returns `values` as a matrix with a row for each channel.
    fn channels(&self, values: &'a [f32]) -> Matrix<'a> {
        let AttentionShape { channels, points, .. } = *self.shape;
        Matrix { values, rows: channels, depth: points, row: points, step: 1 }
    }

    /// Returns `values` as a matrix with a row for each point.
    fn points(&self, values: &'a [f32]) -> Matrix<'a> {
        let AttentionShape { channels, points, .. } = *self.shape;
        Matrix { values, rows: points, depth: channels, row: 1, step: points }
    }

    /// Copies a block of `values`, times `factor`, to `block`, with zeros beyond the last point.
    fn block(&self, values: &[f32], first: usize, factor: f32, block: &mut Vec<f32>) {
        let points = self.shape.points;
        let len = BLOCK.min(points - first);
        block.clear();
        block.resize(self.shape.channels * BLOCK, 0.0);
        for (to, from) in block.chunks_exact_mut(BLOCK).zip(values.chunks_exact(points)) {
            to.iter_mut().zip(&from[first..first + len]).for_each(|(to, v)| *to = factor * v);
        }
    }

    /// Resizes `array` to hold a product with a row for each point.
    fn size_for_points(&self, array: &mut Vec<f32>) {
        array.resize(self.shape.points * BLOCK, 0.0);
    }
}

/// The forward pass of a block of queries.
struct Forward<'a> {
    sample: Sample<'a>,
    first: usize,
    panel: &'a mut [f32],
    log_sums: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { sample, first, panel, log_sums } = self;
        let mut scratch = SCRATCH.take();
        let [query, weights, ..] = &mut scratch;
        sample.block(sample.q, first, sample.shape.scale(), query);
        sample.size_for_points(weights);

        product(simd, &sample.points(sample.k), query, weights);
        let (largest, sums) = exponentials::<S>(weights);

        product(simd, &sample.channels(sample.v), weights, panel);

        // The softmax is normalised after its product with the values.
        for row in panel.chunks_exact_mut(BLOCK) {
            row.iter_mut().zip(&sums).for_each(|(value, sum)| *value /= sum);
        }

        for (to, (largest, sum)) in log_sums.iter_mut().zip(largest.iter().zip(sums)) {
            *to = largest + sum.ln();
        }
        SCRATCH.set(scratch);
    }
}

/// Replaces each column's values by the exponentials of their differences to the column's largest
/// value. Returns the largest values, and the sums of the exponentials.
#[inline(always)]
fn exponentials<S: Simd>(values: &mut [f32]) -> ([f32; BLOCK], [f32; BLOCK]) {
    let mut largest = [f32::NEG_INFINITY; BLOCK];
    let (rows, _) = values.as_chunks_mut::<BLOCK>();
    for row in rows.iter() {
        largest.iter_mut().zip(row).for_each(|(m, &v)| *m = if v > *m { v } else { *m });
    }

    let mut sums = [0.0; BLOCK];
    for row in rows {
        for ((value, largest), sum) in row.iter_mut().zip(&largest).zip(&mut sums) {
            *value = exp::<S>(*value - largest);
            *sum += *value;
        }
    }

    (largest, sums)
}

/// The backward pass of a block of points, as queries and as keys.
struct Backward<'a> {
    sample: Sample<'a>,
    /// Gradient of the output, `[channel, point]`.
    grad: &'a [f32],
    log_sums: &'a [f32],
    /// Each query's gradient times its output: the mean of the gradients of its weights, under
    /// these weights.
    means: &'a [f32],
    first: usize,
    /// Gradients of queries, keys and values, `[3 channels, BLOCK]`.
    panel: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { sample, grad, log_sums, means, first, panel } = self;
        let scale = sample.shape.scale();
        let [mut block, mut pulled, mut weights, mut slopes] = SCRATCH.take();
        sample.size_for_points(&mut weights);
        sample.size_for_points(&mut slopes);
        let (query_grad, others) = panel.split_at_mut(sample.shape.channels * BLOCK);
        let (key_grad, value_grad) = others.split_at_mut(sample.shape.channels * BLOCK);

        // The block as queries: a row of the products for each key.
        sample.block(sample.q, first, scale, &mut block);
        sample.block(grad, first, 1.0, &mut pulled);
        product(simd, &sample.points(sample.k), &block, &mut weights);
        product(simd, &sample.points(sample.v), &pulled, &mut slopes);

        let of_block = |values: &[f32]| {
            let mut own = [0.0; BLOCK];
            own.iter_mut().zip(&values[first..]).for_each(|(to, v)| *to = *v);
            own
        };
        let (sums, mean) = (of_block(log_sums), of_block(means));

        let rows = weights.as_chunks::<BLOCK>().0.iter();
        for (weights, slopes) in rows.zip(slopes.as_chunks_mut::<BLOCK>().0) {
            for i in 0..BLOCK {
                slopes[i] = exp::<S>(weights[i] - sums[i]) * (slopes[i] - mean[i]) * scale;
            }
        }

        product(simd, &sample.channels(sample.k), &slopes, query_grad);

        // The block as keys and values: a row for each query.
        sample.block(sample.k, first, scale, &mut block);
        sample.block(sample.v, first, 1.0, &mut pulled);
        product(simd, &sample.points(sample.q), &block, &mut weights);
        product(simd, &sample.points(grad), &pulled, &mut slopes);

        let rows = weights.as_chunks_mut::<BLOCK>().0.iter_mut();
        let rows = rows.zip(slopes.as_chunks_mut::<BLOCK>().0).zip(log_sums.iter().zip(means));
        for ((weights, slopes), (sum, mean)) in rows {
            for i in 0..BLOCK {
                weights[i] = exp::<S>(weights[i] - sum);
                slopes[i] = weights[i] * (slopes[i] - mean) * scale;
            }
        }

        product(simd, &sample.channels(sample.q), &slopes, key_grad);
        product(simd, &sample.channels(grad), &weights, value_grad);
        SCRATCH.set([block, pulled, weights, slopes]);
    }
}

/// A matrix whose rows lie `row` values apart, and the values of a row `step` apart.
struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    depth: usize,
    row: usize,
    step: usize,
}

/// Computes `out` `[row, BLOCK]` = `a` times `b` `[depth, BLOCK]`.
#[inline(always)]
fn product<S: Simd>(simd: S, a: &Matrix<'_>, b: &[f32], out: &mut [f32]) {
    let mut first = 0;
    for out in out[..a.rows * BLOCK].chunks_mut(ROWS * BLOCK) {
        let rows = out.len() / BLOCK;
        match (rows == ROWS, S::MANY_REGISTERS) {
            (true, true) => rows_of::<S, ROWS, 4>(simd, a, first, b, out),
            (true, false) => rows_of::<S, ROWS, 2>(simd, a, first, b, out),
            (false, _) => {
                for (r, out) in out.chunks_exact_mut(BLOCK).enumerate() {
                    rows_of::<S, 1, 4>(simd, a, first + r, b, out);
                }
            }
        }
        first += rows;
    }
}

/// Computes rows `first..first + R` of a product, `W` registers of each at a time.
///
/// The loops have indices and constant lengths, so that the compiler unrolls them and keeps the
/// sums in registers.
#[inline(always)]
fn rows_of<S: Simd, const R: usize, const W: usize>(
    simd: S,
    a: &Matrix<'_>,
    first: usize,
    b: &[f32],
    out: &mut [f32],
) {
    let a = Matrix { values: &a.values[first * a.row..], ..*a };
    for from in (0..BLOCK).step_by(W * S::LANES) {
        let mut acc = [[simd.splat(0.0); W]; R];
        for (d, b) in b.chunks_exact(BLOCK).take(a.depth).enumerate() {
            let b = &b[from..from + W * S::LANES];
            let mut row = [simd.splat(0.0); W];
            for w in 0..W {
                row[w] = simd.load(&b[w * S::LANES..]);
            }

            for (r, acc) in acc.iter_mut().enumerate() {
                let factor = simd.splat(a.values[d * a.step + r * a.row]);
                for w in 0..W {
                    acc[w] = simd.mul_add(factor, row[w], acc[w]);
                }
            }
        }

        for (acc, out) in acc.iter().zip(out.chunks_exact_mut(BLOCK)) {
            for w in 0..W {
                simd.store(acc[w], &mut out[from + w * S::LANES..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{assert_close, each_unit, threads, values};

    const SHAPES: [[usize; 3]; 5] = [[1, 1, 1], [2, 3, 5], [1, 17, 64], [2, 8, 130], [3, 7, 65]];

    fn shapes() -> impl Iterator<Item = AttentionShape> {
        SHAPES.into_iter().map(|[batch, channels, points]| AttentionShape {
            batch,
            channels,
            points,
        })
    }

    /// Returns widely spread values, for which some points attend to few others.
    fn qkv(shape: &AttentionShape) -> Vec<f32> {
        values(3 * shape.len(), 1).iter().map(|v| 3.0 * v).collect()
    }

    /// Computes the formula in `f64`.
    fn naive(qkv: &[f64], shape: &AttentionShape) -> Vec<f64> {
        let AttentionShape { channels, points, .. } = *shape;
        let mut out = Vec::new();
        for qkv in qkv.chunks_exact(3 * channels * points) {
            let at = |part: usize, c: usize, i: usize| qkv[(part * channels + c) * points + i];
            let score = |i: usize, j: usize| {
                let sum: f64 = (0..channels).map(|c| at(0, c, i) * at(1, c, j)).sum();
                (sum / (channels as f64).sqrt()).exp()
            };

            for c in 0..channels {
                for i in 0..points {
                    let weights: Vec<f64> = (0..points).map(|j| score(i, j)).collect();
                    let mixed: f64 = weights.iter().enumerate().map(|(j, w)| w * at(2, c, j)).sum();
                    out.push(mixed / weights.iter().sum::<f64>());
                }
            }
        }
        out
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&v| f64::from(v)).collect()
    }

    #[test]
    fn agrees_with_the_formula() {
        for shape in shapes() {
            let qkv = qkv(&shape);
            let expected = naive(&wide(&qkv), &shape);
            let run = || {
                let mut out = vec![f32::NAN; shape.len()];
                attention_forward(&qkv, &shape, &mut out);
                out
            };
            for ours in each_unit(run) {
                assert_close(&ours, &expected, 1e-5, &format!("{shape:?}"));
            }
            assert_eq!(threads(1, run), threads(2, run));
        }
    }

    #[test]
    fn the_gradient_agrees_with_differences_of_the_formula() {
        for shape in shapes() {
            let qkv = qkv(&shape);
            let grad = values(shape.len(), 2);
            let pulled = |qkv: &[f64]| -> f64 {
                naive(qkv, &shape).iter().zip(&grad).map(|(o, &g)| o * f64::from(g)).sum()
            };

            let run = || {
                let mut out = vec![0.0; shape.len()];
                let log_sums = attention_forward(&qkv, &shape, &mut out);
                let mut qkv_grad = vec![f32::NAN; qkv.len()];
                attention_backward(&qkv, [&out, &log_sums], &grad, &shape, &mut qkv_grad);
                qkv_grad
            };

            let all = each_unit(run);

            // Every value of the small shapes, and some of the large ones.
            for at in (0..qkv.len()).step_by(1 + qkv.len() / 40) {
                let h = 1e-5;
                let moved = |by: f64| {
                    let mut moved = wide(&qkv);
                    moved[at] += by;
                    pulled(&moved)
                };

                let expected = (moved(h) - moved(-h)) / (2.0 * h);
                for ours in &all {
                    assert_close(&ours[at..=at], &[expected], 2e-5, &format!("{shape:?} at {at}"));
                }
            }

            assert_eq!(threads(1, run), threads(2, run));
        }
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let shape = AttentionShape { batch: 1, channels: 4, points: 70 };
        let qkv: Vec<f32> = values(3 * shape.len(), 3).iter().map(|v| 100.0 * v).collect();
        let mut out = vec![0.0; shape.len()];
        let log_sums = attention_forward(&qkv, &shape, &mut out);
        let mut grad = vec![0.0; qkv.len()];
        attention_backward(&qkv, [&out, &log_sums], &out.clone(), &shape, &mut grad);
        assert!(out.iter().chain(&grad).all(|v| v.is_finite()));
    }
}
