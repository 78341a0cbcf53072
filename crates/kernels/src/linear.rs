//! Affine maps of a few vectors: y = x W + b.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd, dispatch};

/// Outputs that one task computes.
const CHUNK: usize = 128;

/// `out` `[batch, outputs]` = `x` `[batch, inputs]` times `weight` `[inputs, outputs]` plus `bias`
/// `[outputs]`.
///
/// # Panics
/// Slices whose lengths do not fit each other.
pub fn linear(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let outputs = bias.len();
    if outputs == 0 || out.is_empty() {
        return;
    }
    let (batch, inputs) = (out.len() / outputs, weight.len() / outputs);
    assert_eq!(out.len(), batch * outputs, "output length");
    assert_eq!(weight.len(), inputs * outputs, "weight length");
    assert_eq!(x.len(), batch * inputs, "input length");
    let chunks: Vec<Vec<f32>> = (0..outputs.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let first = chunk * CHUNK;
            let width = CHUNK.min(outputs - first);
            let mut out = vec![0.0; batch * width];
            dispatch(Columns { x, weight, bias, inputs, first, width, out: &mut out });
            out
        })
        .collect();
    for (chunk, values) in chunks.iter().enumerate() {
        let width = values.len() / batch;
        for (out, values) in out.chunks_exact_mut(outputs).zip(values.chunks_exact(width)) {
            out[chunk * CHUNK..][..width].copy_from_slice(values);
        }
    }
}

/// Outputs `first..first + width` of every vector.
struct Columns<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    inputs: usize,
    first: usize,
    width: usize,
    /// `[batch, width]`.
    out: &'a mut [f32],
}

impl Kernel for Columns<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, weight, bias, inputs, first, width, out } = self;
        let outputs = bias.len();
        for (b, out) in out.chunks_exact_mut(width).enumerate() {
            let x = &x[b * inputs..][..inputs];
            let mut c = 0;
            while c + 4 * S::LANES <= width {
                let from = first + c;
                let mut acc = [simd.splat(0.0); 4];
                for w in 0..4 {
                    acc[w] = simd.load(&bias[from + w * S::LANES..]);
                }
                for (&x, row) in x.iter().zip(weight.chunks_exact(outputs)) {
                    let (factor, row) = (simd.splat(x), &row[from..from + 4 * S::LANES]);
                    for w in 0..4 {
                        acc[w] = simd.mul_add(factor, simd.load(&row[w * S::LANES..]), acc[w]);
                    }
                }
                for w in 0..4 {
                    simd.store(acc[w], &mut out[c + w * S::LANES..]);
                }
                c += 4 * S::LANES;
            }
            for c in c..width {
                let mut sum = bias[first + c];
                for (x, row) in x.iter().zip(weight.chunks_exact(outputs)) {
                    sum += x * row[first + c];
                }
                out[c] = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{assert_close, each_unit, threads, values};

    #[test]
    fn agrees_with_the_sum_written_out() {
        for (batch, inputs, outputs) in [(1, 1, 1), (3, 5, 17), (2, 33, 128), (1, 4, 131)] {
            let x = values(batch * inputs, 1);
            let (weight, bias) = (values(inputs * outputs, 2), values(outputs, 3));
            let naive: Vec<f64> = (0..batch * outputs)
                .map(|at| {
                    let (b, o) = (at / outputs, at % outputs);
                    let term = |k: usize| {
                        f64::from(x[b * inputs + k]) * f64::from(weight[k * outputs + o])
                    };
                    f64::from(bias[o]) + (0..inputs).map(term).sum::<f64>()
                })
                .collect();
            let run = || {
                let mut out = vec![f32::NAN; batch * outputs];
                linear(&x, &weight, &bias, &mut out);
                out
            };
            for ours in each_unit(run) {
                assert_close(&ours, &naive, 1e-5, &format!("{batch} {inputs}->{outputs}"));
            }
            assert_eq!(threads(1, run), threads(2, run));
        }
    }
}
