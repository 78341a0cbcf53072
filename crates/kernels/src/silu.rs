//! The elementwise SiLU, y = x / (1 + exp(-x)), and its derivative.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd, dispatch};

/// Number of values that one task treats.
const CHUNK: usize = 1 << 14;

/// Computes `out` = silu(`x`).
///
/// # Panics
/// Panics on slices of different lengths.
pub fn silu_forward(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "lengths");
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
        dispatch(Forward { x, out });
    });
}

struct Forward<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = x * sigmoid::<S>(x);
        }
    }
}

/// Returns silu'(x).
#[inline(always)]
pub(crate) fn silu_slope<S: Simd>(x: f32) -> f32 {
    let s = sigmoid::<S>(x);
    s * (1.0 + x * (1.0 - s))
}

/// Returns 1 / (1 + exp(-x)).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<S>(-x))
}

/// Returns exp(x) with a relative error of 5e-7, by operations that vectorise. The result saturates
/// at exp(-87) and exp(88).
///
/// The argument is split into x = n ln 2 + r with |r| <= ln 2 / 2. The factor 2^n comes from the
/// exponent bits. The factor exp(r) comes from its Taylor polynomial of degree 7, with a remainder
/// below 1e-8.
#[inline(always)]
pub(crate) fn exp<S: Simd>(x: f32) -> f32 {
    /// Addend that rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;

    /// ln 2 in two parts; the first has few bits, so that n times it is exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

    let x = x.clamp(-87.0, 88.0);
    let shifted = multiply_add::<S>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = multiply_add::<S>(n, -LN2[1], multiply_add::<S>(n, -LN2[0], x));

    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));

    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = multiply_add::<S>(p, r, c);
    }
    p * power
}

/// Returns a * b + c, by one instruction where the vector unit has it.
#[inline(always)]
fn multiply_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{assert_close, each_unit, threads, values};

    struct Exp<'a>(&'a mut [f32]);

    impl Kernel for Exp<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            self.0.iter_mut().for_each(|x| *x = exp::<S>(*x));
        }
    }

    #[test]
    fn exp_is_accurate_to_a_millionth() {
        let x: Vec<f32> = (-8700..=8800).map(|i| i as f32 * 0.01).collect();
        for ours in each_unit(|| exponentials(&x)) {
            for (x, ours) in x.iter().zip(ours) {
                let exact = f64::from(*x).exp();
                assert!((f64::from(ours) / exact - 1.0).abs() < 5e-7, "exp({x}) = {ours}");
            }
        }
        for ours in each_unit(|| exponentials(&[f32::NAN, 1e30, -1e30])) {
            assert!(ours[0].is_nan() && ours[1].is_finite() && ours[2] < 1e-37, "{ours:?}");
        }
    }

    fn exponentials(x: &[f32]) -> Vec<f32> {
        let mut values = x.to_vec();
        dispatch(Exp(&mut values));
        values
    }

    /// Replaces values by the slope there.
    struct Slope<'a>(&'a mut [f32]);

    impl Kernel for Slope<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            self.0.iter_mut().for_each(|x| *x = silu_slope::<S>(*x));
        }
    }

    #[test]
    fn agrees_with_the_formula() {
        for count in [1, 5, 17, 40_000] {
            let x: Vec<f32> = values(count, 1).iter().map(|v| 20.0 * v).collect();
            let run = || {
                let (mut y, mut slope) = (vec![0.0; count], x.clone());
                silu_forward(&x, &mut y);
                dispatch(Slope(&mut slope));
                [y, slope]
            };

            let silu = |x: f64| x / (1.0 + (-x).exp());
            let h = 1e-5;
            let exact: Vec<f64> = x.iter().map(|&x| silu(f64::from(x))).collect();
            let difference = |x: f64| (silu(x + h) - silu(x - h)) / h / 2.0;
            let exact_slope: Vec<f64> = x.iter().map(|&x| difference(f64::from(x))).collect();

            let [y, slope] = threads(2, run);
            assert_close(&y, &exact, 1e-6, "silu");
            assert_close(&slope, &exact_slope, 1e-6, "slope");
            assert_eq!([y, slope], threads(1, run));
        }
    }
}
