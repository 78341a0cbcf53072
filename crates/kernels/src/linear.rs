//! Affine maps of a few vectors: y = x W + b.

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::simd::{Kernel, Simd, dispatch};

/// Number of outputs whose weights lie together: whole registers of every vector unit.
const CHUNK: usize = 64;

/// Smallest number of chunks that one task computes.
const SHARE: usize = 2;

/// An affine map for inference, whose weights are brought into the kernel's order once.
#[derive(Debug)]
pub struct PackedLinear {
    inputs: usize,
    /// Weights, `[chunk of outputs, input, output in chunk]`, the last chunk filled up with zeros.
    weight: Aligned,
    bias: Vec<f32>,
}

impl PackedLinear {
    /// Returns the map with `weight` `[inputs, outputs]` and `bias` `[outputs]`.
    ///
    /// # Panics
    /// Panics on a weight of another length.
    pub fn new(weight: &[f32], bias: &[f32]) -> Self {
        let outputs = bias.len();
        let inputs = weight.len().checked_div(outputs).unwrap_or(0);
        assert_eq!(weight.len(), inputs * outputs, "weight length");

        let mut packed = Aligned::default();
        let chunks = packed.room(inputs * outputs.next_multiple_of(CHUNK));
        for (c, chunk) in chunks.chunks_mut((inputs * CHUNK).max(1)).enumerate() {
            let rows = weight.chunks_exact(outputs).zip(chunk.chunks_exact_mut(CHUNK));
            for (from, to) in rows {
                let from = &from[c * CHUNK..outputs.min((c + 1) * CHUNK)];
                to[..from.len()].copy_from_slice(from);
            }
        }
        Self { inputs, weight: packed, bias: bias.to_vec() }
    }

    /// Returns the number of values of an output.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Computes `out` `[batch, outputs]` from `x` `[batch, inputs]`.
    ///
    /// # Panics
    /// Panics on slices whose lengths do not fit each other.
    pub fn forward(&self, x: &[f32], out: &mut [f32]) {
        let (inputs, outputs) = (self.inputs, self.outputs());
        if outputs == 0 || out.is_empty() {
            return;
        }

        let batch = out.len() / outputs;
        assert_eq!(out.len(), batch * outputs, "output length");
        assert_eq!(x.len(), batch * inputs, "input length");

        // Chunks of outputs for the whole batch, in another order than that of `out`.
        let mut chunks = vec![0.0; batch * outputs.next_multiple_of(CHUNK)];
        let tasks = chunks.par_chunks_mut(batch * CHUNK).with_min_len(SHARE).enumerate();
        tasks.for_each(|(c, out)| {
            let weight = &self.weight.values()[c * inputs * CHUNK..][..inputs * CHUNK];
            dispatch(Columns { x, weight, inputs, out });
        });

        for (c, chunk) in chunks.chunks_exact(batch * CHUNK).enumerate() {
            let bias = &self.bias[c * CHUNK..outputs.min((c + 1) * CHUNK)];
            for (out, values) in out.chunks_exact_mut(outputs).zip(chunk.chunks_exact(CHUNK)) {
                let sums = bias.iter().zip(values).map(|(b, v)| b + v);
                out[c * CHUNK..].iter_mut().zip(sums).for_each(|(out, sum)| *out = sum);
            }
        }
    }
}

/// A chunk of the outputs of every vector, without the bias.
struct Columns<'a> {
    x: &'a [f32],
    /// Weights, `[input, output in chunk]`.
    weight: &'a [f32],
    inputs: usize,
    /// Outputs, `[batch, output in chunk]`.
    out: &'a mut [f32],
}

impl Kernel for Columns<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, weight, inputs, out } = self;
        for (b, out) in out.chunks_exact_mut(CHUNK).enumerate() {
            let x = &x[b * inputs..][..inputs];
            for c in (0..CHUNK).step_by(4 * S::LANES) {
                let mut acc = [simd.splat(0.0); 4];
                for (&x, row) in x.iter().zip(weight.chunks_exact(CHUNK)) {
                    let (factor, row) = (simd.splat(x), &row[c..c + 4 * S::LANES]);
                    for w in 0..4 {
                        acc[w] = simd.mul_add(factor, simd.load(&row[w * S::LANES..]), acc[w]);
                    }
                }

                for w in 0..4 {
                    simd.store(acc[w], &mut out[c + w * S::LANES..]);
                }
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
        for (batch, inputs, outputs) in
            [(1, 1, 1), (3, 5, 17), (2, 33, 128), (1, 4, 131), (2, 0, 3)]
        {
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
                PackedLinear::new(&weight, &bias).forward(&x, &mut out);
                out
            };

            for ours in each_unit(run) {
                assert_close(&ours, &naive, 1e-5, &format!("{batch} {inputs}->{outputs}"));
            }
            assert_eq!(threads(1, run), threads(2, run));
        }
    }
}
