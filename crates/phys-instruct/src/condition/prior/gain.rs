//! The gain: the change of all fields that best explains observed values.
//!
//! Let R hold the observed rows of the covariance's factor, `[factor, point]`, in units in which
//! every observation's error has the variance 1 (`rows.rs`). A misfit of the values moves the
//! factor by R (R^T R + 1)^-1 misfit, and the factor makes the fields.

use burn::tensor::{Tensor, TensorData};
use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::prelude::Solve;
use faer::{Mat, MatRef};

use crate::Result;
use crate::condition::observations::place::Stencil;
use crate::condition::prior::Prior;
use crate::condition::prior::covariance::Covariance;
use crate::condition::prior::rows::{Functionals, HELD, Maker, OfFields, Rows};
use crate::linalg::cholesky;
use crate::net::params::values;

/// The ratio of prior variance to error variance from which sums are taken in `f64`. Above it
/// rounding in `f32` is no longer small against the observation errors.
const NEEDS_F64: f32 = 1e5;

/// The best linear estimate of the fields from observed values.
pub struct Gain<'a> {
    rows: Rows<'a>,
    errors: ErrorUnits,
}

/// The matrix R^T R + 1, factorised. It is in units of the errors because products of fields as
/// small as 1e-5 leave the range of `f32`. It is held in `f64`, since it is nearly singular for
/// small errors.
struct ErrorUnits {
    factor: Llt<f64>,
    /// Tells whether sums over the rows need `f64`.
    precise: bool,
}

impl Covariance {
    /// The gain for the values of `stencils`, whose errors have the `variances`, all above 0. The
    /// `prior` is the one that was given to [`Covariance::new`].
    ///
    /// # Errors
    /// Fails if the covariance of the values is not finite.
    pub fn gain<'a>(
        &'a self,
        prior: &'a dyn Prior,
        stencils: &'a [Stencil],
        variances: &[f64],
    ) -> Result<Gain<'a>> {
        let functionals = Box::new(OfFields(stencils));
        Gain::new(self, prior, self.scales(), stencils, functionals, variances)
    }

    /// Returns the same gain where the rows of the linear estimate are `known`
    /// ([`linear_rows`](super::rows::linear_rows)).
    ///
    /// # Errors
    /// Fails as [`Covariance::gain`] does.
    pub(super) fn gain_of_rows<'a>(
        &'a self,
        prior: &'a dyn Prior,
        stencils: &'a [Stencil],
        known: &'a Mat<f32>,
        variances: &[f64],
    ) -> Result<Gain<'a>> {
        let functionals = Box::new(OfFields(stencils));
        let mut maker = Maker::new(self, prior, self.scales(), stencils, functionals);
        maker.known = Some(known);
        Gain::of(Rows::new(maker, scale_of(variances), HELD)?)
    }

    /// The gain of the linear estimate alone, for values that are linear in the fields. The
    /// `variances` of the errors are all above 0.
    ///
    /// # Errors
    /// Fails if the covariance of the values is not finite, and as the `functionals` do.
    pub(crate) fn linear_gain<'a>(
        &'a self,
        prior: &'a dyn Prior,
        functionals: impl Functionals + 'a,
        variances: &[f64],
    ) -> Result<Gain<'a>> {
        Gain::new(self, prior, [0.0, 1.0], &[], Box::new(functionals), variances)
    }
}

impl<'a> Gain<'a> {
    /// The gain of a blend of the bank and the linear estimate with the factors `scales`. The
    /// `stencils` are the values in the bank's samples, used where it has a share. The `variances`
    /// of the errors are all above 0.
    ///
    /// # Errors
    /// Fails if the covariance of the values is not finite, and as the `functionals` do.
    pub(super) fn new(
        covariance: &'a Covariance,
        prior: &'a dyn Prior,
        scales: [f64; 2],
        stencils: &[Stencil],
        functionals: Box<dyn Functionals + 'a>,
        variances: &[f64],
    ) -> Result<Self> {
        let maker = Maker::new(covariance, prior, scales, stencils, functionals);
        Self::of(Rows::new(maker, scale_of(variances), HELD)?)
    }

    fn of(rows: Rows<'a>) -> Result<Self> {
        Ok(Self { errors: ErrorUnits::new(&rows)?, rows })
    }

    /// Returns the same gain for errors of other `variances`.
    ///
    /// # Errors
    /// Fails as [`Covariance::gain`] does.
    pub fn with(&self, variances: &[f64]) -> Result<Self> {
        Self::of(self.rows.in_units(scale_of(variances)))
    }

    /// The inverse of the observed values' covariance, errors included: `[point, point]`.
    pub fn inverse(&self) -> Tensor<2> {
        let scale = &self.rows.scale;
        let (n, inverse) = (scale.len(), self.errors.factor.inverse());
        let entry = |i: usize| (inverse[(i / n, i % n)] * scale[i / n] * scale[i % n]) as f32;
        let data: Vec<f32> = (0..n * n).map(entry).collect();
        Tensor::from_data(TensorData::new(data, [n, n]), &self.rows.maker.prior.device())
    }

    /// The change of the fields, `[member, channel, y, x]`, that best explains the `misfit` of the
    /// observed values, `[member, point]`.
    ///
    /// # Errors
    /// Fails where rows are made again and the equation behind them cannot be solved.
    pub fn apply(&self, misfit: Tensor<2>) -> Result<Tensor<4>> {
        let Maker { prior, covariance, scales, .. } = *self.rows.maker;
        let n = misfit.dims()[1];
        let solved = self.errors.solve(&values(misfit), &self.rows.scale, n);
        let factors = self.rows.product(&solved, self.errors.precise)?;

        let (own, linear) = factors.split_at_row(factors.nrows() - covariance.len());
        let linear = covariance.linear.of(prior, fields(prior, linear) * scales[1]);
        if own.nrows() == 0 {
            return Ok(linear);
        }
        Ok(fields(prior, covariance.fields(own).as_ref()) * scales[0] + linear)
    }
}

/// The covariance of the values of `stencils` under the prior, without errors: `[point, point]`. It
/// is that of a blend of the bank and the linear estimate with the factors `scales`.
///
/// # Errors
/// Fails as [`Gain::new`] does.
pub(super) fn covariance_of(
    covariance: &Covariance,
    prior: &dyn Prior,
    scales: [f64; 2],
    stencils: &[Stencil],
) -> Result<Mat<f64>> {
    let maker = Maker::new(covariance, prior, scales, stencils, Box::new(OfFields(stencils)));
    let rows = Rows::new(maker, vec![1.0; stencils.len()], HELD)?;
    // In f64: exact values make the matrix nearly singular.
    let (lower, _) = rows.square(0.0)?;
    Ok(Mat::from_fn(lower.nrows(), lower.ncols(), |i, j| lower[(i.max(j), i.min(j))]))
}

impl ErrorUnits {
    /// Factorises the matrix of `rows`.
    fn new(rows: &Rows) -> Result<Self> {
        let (mut matrix, precise) = rows.square(NEEDS_F64)?;
        for i in 0..matrix.nrows() {
            matrix[(i, i)] += 1.0;
        }
        Ok(Self { factor: cholesky(&matrix)?, precise })
    }

    /// Solves (R^T R + 1) x = misfit for each member with `n` values: `[point, member]`. The
    /// result is in units of the errors, whose reciprocals are `scale`; the misfit is not.
    fn solve(&self, misfit: &[f32], scale: &[f64], n: usize) -> Mat<f64> {
        let members = misfit.len() / n;
        let right = Mat::from_fn(n, members, |i, m| f64::from(misfit[m * n + i]) * scale[i]);
        self.factor.solve(&right)
    }
}

/// The columns of `matrix`, `[entry, member]`, as joint fields.
fn fields(prior: &dyn Prior, matrix: MatRef<f32>) -> Tensor<4> {
    let [channels, height, width] = prior.shape();
    let data: Vec<f32> = matrix.col_iter().flat_map(|c| c.iter().copied()).collect();
    let shape = [matrix.ncols(), channels, height, width];
    Tensor::from_data(TensorData::new(data, shape), &prior.device())
}

/// The reciprocals of the standard deviations of errors with these variances.
fn scale_of(variances: &[f64]) -> Vec<f64> {
    variances.iter().map(|v| v.sqrt().recip()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;

    use std::ops::Range;

    use super::*;
    use crate::condition::observations::observed::{Observed, row};
    use crate::condition::prior::rows::ROWS;
    use crate::testing::prior::{Bordered, Independent, SIZE, Smooth, observations};

    /// The root mean square of fields.
    fn rms(x: &Tensor<4>) -> f32 {
        x.clone().square().mean().into_scalar::<f32>().sqrt()
    }

    #[test]
    fn the_gain_is_that_of_the_exact_covariance_and_meets_exact_observations() {
        const N: usize = 24;
        let (prior, device) = (Smooth::new(), Device::flex());
        let given = observations(3, N, 0.0);
        let observed = Observed::new(&given, &device);
        let mean = prior.fields(Tensor::zeros([1, 1, SIZE, SIZE], &device));
        let misfit = row(&given, |p| p.value, &device) - observed.of(mean);

        let covariance = Covariance::new(&prior, 1).unwrap();
        let gain = covariance.gain(&prior, given.stencils(), &[1e-6; N]).unwrap();
        let change = gain.apply(misfit.clone()).unwrap();
        let left = misfit.clone() - observed.of(change.clone());
        assert!(values(left).iter().all(|v| v.abs() < 1e-2));

        // The factor of the covariance, a field for each mode, and its observed part.
        let len = SIZE * SIZE;
        let unit = Tensor::<2>::eye(len, &device).reshape([len, 1, SIZE, SIZE]);
        let factor = values(prior.linear(unit));
        let factor = Mat::from_fn(len, len, |e, k| f64::from(factor[k * len + e]));
        let entries: Vec<usize> = given.stencils().iter().map(|s| s.terms()[0].0).collect();
        let seen = Mat::from_fn(N, len, |p, k| factor[(entries[p], k)]);

        let misfit = values(misfit);
        let misfit = Mat::from_fn(N, 1, |p, _| f64::from(misfit[p]));
        let square = &seen * seen.transpose() + 1e-6 * Mat::<f64>::identity(N, N);
        let exact = &factor * seen.transpose() * cholesky(&square).unwrap().solve(&misfit);
        let exact: Vec<f32> = exact.col(0).iter().map(|v| *v as f32).collect();
        let exact = Tensor::from_data(TensorData::new(exact, [1, 1, SIZE, SIZE]), &device);
        let far = rms(&(change - exact.clone()));
        assert!(far < 1e-3 * rms(&exact), "{far} of {}", rms(&exact));
    }

    /// Values whose coefficients are the columns of a matrix, `[entry, value]`.
    struct Columns(Mat<f32>);

    impl Functionals for Columns {
        fn coefficients(&self, points: Range<usize>, _: usize) -> Result<Vec<f32>> {
            Ok(points.flat_map(|p| self.0.col(p).iter().copied()).collect())
        }

        fn sum(&self, weights: &[f64], len: usize) -> Result<Vec<f32>> {
            let term = |e: usize, p: usize| f64::from(self.0[(e, p)]) * weights[p];
            let sum = |e: usize| (0..weights.len()).map(|p| term(e, p)).sum::<f64>() as f32;
            Ok((0..len).map(sum).collect())
        }
    }

    /// Hilbert's matrix as coefficients: its products in `f32` are not positive definite.
    #[test]
    fn nearly_dependent_values_with_small_errors_are_followed() {
        const N: usize = 24;
        let prior = Independent::new();
        let covariance = Covariance::new(&prior, 1).unwrap();
        let hilbert = |i: usize, j: usize| if i < N { 1.0 / (i + j + 1) as f32 } else { 0.0 };
        let columns = Mat::from_fn(SIZE * SIZE, N, hilbert);
        let gain = covariance.linear_gain(&prior, Columns(columns.clone()), &[1e-9; N]).unwrap();

        // The values of a field of ones.
        let misfit: Vec<f32> = columns.col_iter().map(|column| column.sum()).collect();
        let given = Tensor::from_data(TensorData::new(misfit.clone(), [1, N]), &Device::flex());
        let change = values(gain.apply(given).unwrap());
        let followed =
            |p: usize| columns.col(p).iter().zip(&change).map(|(c, v)| c * v).sum::<f32>();
        assert!((0..N).all(|p| (misfit[p] - followed(p)).abs() < 1e-3));
    }

    /// The blend of both estimates, with rows that are held, and with at most `points` at a time.
    fn both<'a>(
        covariance: &'a Covariance,
        prior: &'a dyn Prior,
        stencils: &'a [Stencil],
        variance: f64,
        points: usize,
    ) -> [Gain<'a>; 2] {
        let variances = vec![variance; stencils.len()];
        let scales = [0.6, 0.8];
        let row = 4 * (covariance.deviations(stencils).nrows() + covariance.len());
        [HELD, points * row].map(|most| {
            let functionals = Box::new(OfFields(stencils));
            let maker = Maker::new(covariance, prior, scales, stencils, functionals);
            let mut rows = Rows::new(maker, scale_of(&variances), most).unwrap();
            rows.beside = ROWS;
            Gain::of(rows).unwrap()
        })
    }

    #[test]
    fn rows_that_are_not_held_give_the_same_answer() {
        // Three blocks, two of them beside the first.
        const N: usize = 2 * ROWS + 8;
        let draw = |i: usize| ((i * 7919) % 101) as f32 / 101.0 - 0.5;
        let misfit = TensorData::new((0..3 * N).map(draw).collect::<Vec<_>>(), [3, N]);
        let misfit = Tensor::<2>::from_data(misfit, &Device::flex());

        // The second prior's solution is computed from its input: half of the noise is unused.
        let (smooth, bordered) = (Smooth::new(), Bordered::new());
        let inner = |k: usize| (1 + k / 6) * SIZE + 1 + k % 6;
        let of_both: Vec<usize> = (0..N).map(|k| inner(k % 36) + k / 36 * SIZE * SIZE).collect();
        let cases: [(&dyn Prior, Vec<Stencil>); 2] = [
            (&smooth, observations(3, N, 0.1).stencils().to_vec()),
            (&bordered, Stencil::points(&of_both)),
        ];

        for (prior, stencils) in &cases {
            let covariance = Covariance::new(*prior, 1).unwrap();
            // With sums in `f32`, and in `f64`.
            for (variance, precise) in [(1e-2, false), (1e-7, true)] {
                let [held, made] = both(&covariance, *prior, stencils, variance, ROWS);
                assert!(held.rows.held.is_some() && made.rows.held.is_none());
                assert_eq!([held.errors.precise, made.errors.precise], [precise; 2]);
                let shorter = made.rows.maker.height() < held.rows.maker.height();
                assert_eq!(shorter, prior.solved_inputs().is_some());

                let [own, other] = [&held, &made].map(|gain| gain.apply(misfit.clone()).unwrap());
                let far = rms(&(own.clone() - other));
                assert!(far < 1e-4 * rms(&own), "{far} of {}", rms(&own));

                let [own, other] = [held, made].map(|gain| {
                    let gain = gain.with(&[4e-2; N]).unwrap();
                    gain.apply(misfit.clone()).unwrap()
                });
                assert!(rms(&(own.clone() - other)) < 1e-4 * rms(&own));
            }
        }
    }

    #[test]
    fn large_errors_leave_the_fields_alone() {
        let prior = Smooth::new();
        let covariance = Covariance::new(&prior, 1).unwrap();
        let stencils = Stencil::points(&[3, 9]);
        let gain = covariance.gain(&prior, &stencils, &[1e8; 2]).unwrap();
        let misfit = Tensor::<2>::from_data([[1.0f32, -2.0]], &Device::flex());
        assert!(rms(&gain.apply(misfit).unwrap()) < 1e-5);
    }

    #[test]
    fn values_that_depend_on_nothing_move_nothing() {
        const N: usize = 40;
        let prior = Independent::new();
        let covariance = Covariance::new(&prior, 1).unwrap();
        let columns = Box::new(Columns(Mat::zeros(SIZE * SIZE, N)));
        let maker = Maker::new(&covariance, &prior, [0.0, 1.0], &[], columns);
        let rows = Rows::new(maker, vec![1.0; N], 1).unwrap();
        assert_eq!((rows.maker.height(), rows.block), (0, ROWS));

        let misfit = Tensor::<2>::ones([2, N], &Device::flex());
        let change = Gain::of(rows).unwrap().apply(misfit).unwrap();
        assert!(values(change).iter().all(|&v| v == 0.0));
    }
}
