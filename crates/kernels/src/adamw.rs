//! AdamW in one pass over weights, gradient and moments (Loshchilov and Hutter, arXiv 1711.05101).
//! Also the sum of squares that gradient clipping needs, and the moving average of the weights.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd, dispatch};

/// Number of values that one task treats.
const CHUNK: usize = 1 << 14;

/// The numbers of one step, bias corrections included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Factor on the gradient, applied first.
    pub scale: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Number added to the denominator.
    pub epsilon: f32,
    /// Learning rate over the first moment's bias correction.
    pub step_size: f32,
    /// Inverse square root of the second moment's bias correction.
    pub root_correction: f32,
    /// Share of a weight that remains after weight decay.
    pub keep: f32,
}

/// Updates the weights and both moments in place.
///
/// # Panics
/// Panics on slices of different lengths.
pub fn adamw(
    step: &AdamWStep,
    gradient: &[f32],
    weights: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let len = gradient.len();
    assert!([weights.len(), first.len(), second.len()] == [len; 3], "lengths");
    let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
    let chunks = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(moments);
    chunks.for_each(|((weights, gradient), (first, second))| {
        dispatch(Update { step: *step, gradient, weights, first, second });
    });
}

struct Update<'a> {
    step: AdamWStep,
    gradient: &'a [f32],
    weights: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Kernel for Update<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let AdamWStep { scale, beta1, beta2, epsilon, step_size, root_correction, keep } =
            self.step;
        let moments = self.first.iter_mut().zip(self.second);
        for ((w, &g), (m, v)) in self.weights.iter_mut().zip(self.gradient).zip(moments) {
            let g = g * scale;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *w = keep * *w - step_size * *m / (v.sqrt() * root_correction + epsilon);
        }
    }
}

/// Updates `average` to `decay` `average` + (1 - `decay`) `weights`.
///
/// # Panics
/// Panics on slices of different lengths.
pub fn moving_average(decay: f64, weights: &[f32], average: &mut [f32]) {
    assert_eq!(weights.len(), average.len(), "lengths");
    let [keep, take] = [decay as f32, (1.0 - decay) as f32];
    average.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK)).for_each(|(average, weights)| {
        dispatch(Average { keep, take, weights, average });
    });
}

struct Average<'a> {
    keep: f32,
    take: f32,
    weights: &'a [f32],
    average: &'a mut [f32],
}

impl Kernel for Average<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for (average, &weight) in self.average.iter_mut().zip(self.weights) {
            *average = self.keep * *average + self.take * weight;
        }
    }
}

/// Returns the sum of squares, summed in `f64` in a fixed order.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let mut parts = vec![0.0; values.len().div_ceil(CHUNK)];
    parts.par_iter_mut().zip(values.par_chunks(CHUNK)).for_each(|(sum, values)| {
        dispatch(Squares { values, sum });
    });
    parts.iter().sum()
}

struct Squares<'a> {
    values: &'a [f32],
    sum: &'a mut f64,
}

impl Kernel for Squares<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let (chunks, rest) = self.values.as_chunks::<16>();
        let mut lanes = [0.0f64; 16];
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(value) * f64::from(value);
            }
        }
        let rest = rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
        *self.sum = lanes.iter().sum::<f64>() + rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{each_unit, values};

    #[test]
    fn agrees_with_the_formula_in_f64() {
        let step = AdamWStep {
            scale: 0.5,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            step_size: 0.02,
            root_correction: 1.5,
            keep: 0.98,
        };
        for len in [0, 1, 17, CHUNK + 3] {
            let start = [1, 2, 3].map(|seed| values(len, seed));
            let second: Vec<f32> = values(len, 4).iter().map(|v| v.abs() + 0.1).collect();

            let run = || {
                let [gradient, mut w, mut m] = start.clone();
                let mut v = second.clone();
                adamw(&step, &gradient, &mut w, &mut m, &mut v);
                [w, m, v]
            };

            for [w, m, v] in each_unit(run) {
                for i in 0..len {
                    let [g, w0, m0] = start.each_ref().map(|x| f64::from(x[i]));
                    let g = 0.5 * g;
                    let exact_m = 0.9 * m0 + 0.1 * g;
                    let exact_v = 0.99 * f64::from(second[i]) + 0.01 * g * g;
                    let exact_w = 0.98 * w0 - 0.02 * exact_m / (exact_v.sqrt() * 1.5 + 1e-8);

                    let exact = [exact_w, exact_m, exact_v];
                    for (got, exact) in [w[i], m[i], v[i]].into_iter().zip(exact) {
                        assert!((f64::from(got) - exact).abs() < 1e-6, "{got} for {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_average_agrees_with_the_formula_in_f64() {
        for len in [0, 1, 17, CHUNK + 3] {
            let (weights, start) = (values(len, 1), values(len, 2));
            let run = || {
                let mut average = start.clone();
                moving_average(0.9, &weights, &mut average);
                average
            };
            for average in each_unit(run) {
                for i in 0..len {
                    let exact = 0.9 * f64::from(start[i]) + 0.1 * f64::from(weights[i]);
                    assert!((f64::from(average[i]) - exact).abs() < 1e-6, "{exact}");
                }
            }
        }
    }

    #[test]
    fn squares_are_summed_whole() {
        for len in [0, 1, 33, 2 * CHUNK + 5] {
            let values = values(len, 7);
            let exact: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
            for got in each_unit(|| sum_of_squares(&values)) {
                assert!((got - exact).abs() <= 1e-12 * exact.max(1.0), "{got} for {exact}");
            }
        }
    }
}
