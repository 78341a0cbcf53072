//! The gain: the change of all fields that best explains observed values.
//!
//! Let R hold the observed rows of the covariance's factor, `[factor, point]`, in units in which
//! every observation's error has the variance 1. A misfit of the values moves the factor by
//! R (R^T R + 1)^-1 misfit, and the factor makes the fields.
//!
//! R is as long as all fields and as wide as the observations are many. Up to 2 GiB it is held.
//! Beyond that its parts are made whenever they are needed, and the matrix R^T R is put together
//! block by block: every row is made once for each block before it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use faer::linalg::matmul::matmul as product;
use faer::linalg::matmul::triangular::{BlockStructure, matmul as triangular_product};
use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::prelude::{ReborrowMut, Solve};
use faer::traits::ComplexField;
use faer::{Accum, Mat, MatMut, MatRef};
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_physics::rng;
use rayon::prelude::*;

use crate::Result;
use crate::condition::observations::place::Stencil;
use crate::condition::prior::Prior;
use crate::condition::prior::covariance::Covariance;
use crate::linalg::{cholesky, parts};
use crate::net::params::values;

/// The most bytes of rows that are held at a time, 2 GiB.
pub(crate) const HELD: usize = 2 << 30;
/// The number of rows of the linear map that one thread makes at a time: few enough for its cache.
pub(crate) const ROWS: usize = 16;
/// The number of rows that are made at a time to be multiplied with those of a block.
pub(crate) const BESIDE: usize = 128;
/// The number of rows whose products are summed at a time in `f64`.
const PART: usize = 1024;
/// The ratio of prior variance to error variance from which sums are taken in `f64`. Above it
/// rounding in `f32` is no longer small against the observation errors.
const NEEDS_F64: f32 = 1e5;

/// Values that are linear in the fields.
pub(crate) trait Functionals: Send + Sync {
    /// The coefficients of the values `points` in the fields, `[point, entry]` with `len` entries.
    ///
    /// # Errors
    /// Fails where the equation behind them cannot be solved.
    fn coefficients(&self, points: Range<usize>, len: usize) -> Result<Vec<f32>>;

    /// The coefficients of the sum of all values, weighted with `weights`: `[entry]` with `len`
    /// entries.
    ///
    /// # Errors
    /// Fails where the equation behind them cannot be solved.
    fn sum(&self, weights: &[f64], len: usize) -> Result<Vec<f32>>;
}

/// Values of the fields themselves: one for each stencil.
pub(super) struct OfFields<'a>(pub &'a [Stencil]);

impl Functionals for OfFields<'_> {
    fn coefficients(&self, points: Range<usize>, len: usize) -> Result<Vec<f32>> {
        let mut rows = vec![0.0; points.len() * len];
        for (row, stencil) in rows.chunks_exact_mut(len).zip(&self.0[points]) {
            stencil.terms().iter().for_each(|&(entry, weight)| row[entry] += weight as f32);
        }
        Ok(rows)
    }

    fn sum(&self, weights: &[f64], len: usize) -> Result<Vec<f32>> {
        let mut sum = vec![0f64; len];
        for (stencil, by) in self.0.iter().zip(weights) {
            stencil.terms().iter().for_each(|&(entry, weight)| sum[entry] += by * weight);
        }
        Ok(sum.into_iter().map(|v| v as f32).collect())
    }
}

/// The best linear estimate of the fields from observed values.
pub struct Gain<'a> {
    rows: Rows<'a>,
    errors: ErrorUnits,
}

/// R, the observed part of the covariance's factor in units of the errors, `[factor, point]`.
struct Rows<'a> {
    maker: Arc<Maker<'a>>,
    /// The reciprocals of the errors' standard deviations.
    scale: Vec<f64>,
    /// The rows themselves, where they are few enough.
    held: Option<Mat<f32>>,
    /// The most points whose rows are made as one block.
    block: usize,
    /// The most points whose rows are made at a time to be multiplied with a block's.
    beside: usize,
}

/// All that the rows are made of.
struct Maker<'a> {
    prior: &'a dyn Prior,
    covariance: &'a Covariance,
    /// The factors of the bank and of the linear estimate.
    scales: [f64; 2],
    /// The values in all samples of the bank, `[sample, point]`; none if it has no share.
    seen: Option<Mat<f32>>,
    functionals: Box<dyn Functionals + 'a>,
    /// The entries of the linear estimate's noise on which some value depends, if others are left
    /// out of the rows.
    used: Option<Vec<usize>>,
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

impl<'a> Rows<'a> {
    /// The rows that `maker` makes, held if they take at most `most` bytes.
    fn new(mut maker: Maker<'a>, scale: Vec<f64>, most: usize) -> Result<Self> {
        // In whole chunks, so that a row is always made with the same others. Values that depend on
        // nothing have rows of no length.
        let block = |maker: &Maker| {
            let row = (maker.height() * size_of::<f32>()).max(1);
            (most / row / ROWS).max(1) * ROWS
        };
        let held = if scale.len() <= block(&maker) {
            Some(maker.rows(0..scale.len(), &scale)?)
        } else {
            maker.leave_out_unused(scale.len())?;
            None
        };
        Ok(Self { block: block(&maker), beside: BESIDE, maker: Arc::new(maker), scale, held })
    }

    /// Returns the same rows in units of other errors.
    fn in_units(&self, scale: Vec<f64>) -> Self {
        let mut held = self.held.clone();
        let units = scale.iter().zip(&self.scale).map(|(new, old)| (new / old) as f32);
        let columns = held.iter_mut().flat_map(|held| held.col_iter_mut()).zip(units);
        columns.for_each(|(row, unit)| row.iter_mut().for_each(|v| *v *= unit));
        let Self { block, beside, .. } = *self;
        Self { maker: self.maker.clone(), scale, held, block, beside }
    }

    /// The ranges of points whose rows are held or made together, each of at most `most`.
    fn ranges(&self, from: usize, most: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let n = self.scale.len();
        (from..n).step_by(most.max(1)).map(move |first| first..n.min(first + most))
    }

    /// The blocks of all points.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let most = if self.held.is_some() { self.scale.len() } else { self.block };
        self.ranges(0, most)
    }

    /// The rows of one of [`Rows::blocks`], or of a part of it where none are held.
    fn of(&self, points: Range<usize>) -> Result<Cow<'_, Mat<f32>>> {
        match &self.held {
            Some(held) => Ok(Cow::Borrowed(held)),
            None => self.maker.rows(points, &self.scale).map(Cow::Owned),
        }
    }

    /// Returns the lower half of R^T R, and whether sums over the rows are taken in `f64`. They are
    /// where some value's ratio of prior variance to error variance is at least `largest`.
    fn square(&self, largest: f32) -> Result<(Mat<f64>, bool)> {
        let ratios = |held: &Mat<f32>| held.col_iter().any(|row| row.squared_norm_l2() >= largest);
        let held = self.held.as_ref().map(ratios);
        // The ratios of rows that are not held are known when all are made. To make them again for
        // `f64` would take longer than to sum in it at once.
        let precise = held.unwrap_or(true);

        let n = self.scale.len();
        let mut matrix = Mat::zeros(n, n);
        for points in self.blocks() {
            let (first, last) = (points.start, points.end);
            let rows = self.of(points)?;
            let own = matrix.submatrix_mut(first, first, rows.ncols(), rows.ncols());
            add_products(None, rows.as_ref().as_ref(), precise, own);

            for beside in self.ranges(last, self.beside) {
                let (start, beside) = (beside.start, self.of(beside)?);
                let part = matrix.submatrix_mut(start, first, beside.ncols(), rows.ncols());
                add_products(Some(beside.as_ref().as_ref()), rows.as_ref().as_ref(), precise, part);
            }
        }
        // The diagonal holds the ratios.
        let ratios = || (0..n).any(|i| matrix[(i, i)] >= f64::from(largest));
        let precise = held.unwrap_or_else(ratios);
        Ok((matrix, precise))
    }

    /// R times `solved`, `[point, member]`: `[factor, member]`. For small errors the terms are
    /// large and cancel, so that `f32` would lose all digits; then the sums are `precise`.
    fn product(&self, solved: &Mat<f64>, precise: bool) -> Result<Mat<f32>> {
        let narrow = |x: &Mat<f64>| Mat::from_fn(x.nrows(), x.ncols(), |i, m| x[(i, m)] as f32);
        match &self.held {
            Some(held) if !precise => return Ok(held * narrow(solved)),
            None if !precise => return self.maker.product(solved, &self.scale),
            _ => {}
        }

        let mut all = Mat::<f64>::zeros(self.maker.height(), solved.ncols());
        for points in self.blocks() {
            let solved = solved.subrows(points.start, points.len());
            let rows = self.of(points)?;
            // Part by part, so that the `f64` copy stays in the cache.
            for first in (0..rows.nrows()).step_by(PART) {
                let part = rows.subrows(first, PART.min(rows.nrows() - first));
                let wide =
                    Mat::<f64>::from_fn(part.nrows(), part.ncols(), |k, i| part[(k, i)].into());
                let mut sums = all.subrows_mut(first, part.nrows());
                sums += wide * solved;
            }
        }
        Ok(self.maker.whole(narrow(&all)))
    }
}

impl<'a> Maker<'a> {
    fn new(
        covariance: &'a Covariance,
        prior: &'a dyn Prior,
        scales: [f64; 2],
        stencils: &[Stencil],
        functionals: Box<dyn Functionals + 'a>,
    ) -> Self {
        // A bank without a share has no part in the rows.
        let seen = (scales[0] > 0.0).then(|| covariance.deviations(stencils));
        Self { prior, covariance, scales, seen, functionals, used: None }
    }

    /// Leaves out the noise on which none of the `count` values depends, such as that of a
    /// solution that is computed from the input.
    fn leave_out_unused(&mut self, count: usize) -> Result<()> {
        // A sum with weights without a pattern depends on all that any value depends on.
        let mut random = rng::stream(0, "weights of values", 0, 0);
        let weights = rng::normals(&mut random, count);
        let sum = self.transposed(self.functionals.sum(&weights, self.covariance.len())?);
        let depends = |&k: &usize| sum[k] != 0.0;
        self.used = Some((0..sum.len()).filter(depends).collect());
        Ok(())
    }

    /// The length of a row: the samples of the bank, and the noise of the linear estimate.
    fn height(&self) -> usize {
        let linear = self.used.as_ref().map_or(self.covariance.len(), Vec::len);
        self.samples() + linear
    }

    fn samples(&self) -> usize {
        self.seen.as_ref().map_or(0, Mat::nrows)
    }

    /// The rows of `points` in the units `scale` of all errors, `[factor, point]`.
    fn rows(&self, points: Range<usize>, scale: &[f64]) -> Result<Mat<f32>> {
        let [of_bank, of_linear] = self.scales.map(|scale| scale as f32);
        let (len, samples) = (self.covariance.len(), self.samples());

        let mut rows = Mat::zeros(self.height(), points.len());
        let fill = |(chunk, mut rows): (usize, MatMut<f32>)| -> Result<()> {
            let first = points.start + chunk * ROWS;
            let linear = self.functionals.coefficients(first..first + rows.ncols(), len)?;
            let linear = self.transposed(linear);
            let points = rows.rb_mut().col_iter_mut().zip(linear.chunks_exact(len));
            for (p, (row, linear)) in (first..).zip(points) {
                let [of_bank, of_linear] =
                    [of_bank, of_linear].map(|share| share * scale[p] as f32);
                let (own, rest) = row.split_at_row_mut(samples);
                let seen = self.seen.iter().flat_map(|seen| seen.col(p).iter());
                own.iter_mut().zip(seen).for_each(|(to, v)| *to = of_bank * v);
                match &self.used {
                    None => rest.iter_mut().zip(linear).for_each(|(to, v)| *to = of_linear * v),
                    Some(used) => {
                        rest.iter_mut().zip(used).for_each(|(to, &k)| *to = of_linear * linear[k]);
                    }
                }
            }
            Ok(())
        };
        let chunks = rows.par_col_chunks_mut(ROWS).enumerate();
        in_pool(|| chunks.try_for_each(fill))?;
        Ok(rows)
    }

    /// The `factors`, `[factor, member]`, with zeros for what is left out of the rows.
    fn whole(&self, factors: Mat<f32>) -> Mat<f32> {
        let Some(used) = &self.used else { return factors };
        let samples = self.samples();
        let mut whole = Mat::zeros(samples + self.covariance.len(), factors.ncols());
        for (mut whole, factors) in whole.col_iter_mut().zip(factors.col_iter()) {
            let places = (0..samples).chain(used.iter().map(|k| samples + k));
            places.zip(factors.iter()).for_each(|(place, v)| whole[place] = *v);
        }
        whole
    }

    /// The linear estimate's transposed map of flat fields, one after the other.
    fn transposed(&self, flat: Vec<f32>) -> Vec<f32> {
        let [channels, height, width] = self.prior.shape();
        let shape = [flat.len() / self.covariance.len(), channels, height, width];
        let x = Tensor::<4>::from_data(TensorData::new(flat, shape), &self.prior.device());
        values(self.covariance.linear.transposed(self.prior, x))
    }

    /// The rows times `solved`, `[point, member]`, without making a row: a weighted sum of the
    /// values is a value too. Returns `[factor, member]`.
    fn product(&self, solved: &Mat<f64>, scale: &[f64]) -> Result<Mat<f32>> {
        let (len, samples) = (self.covariance.len(), self.samples());
        let mut all = Mat::zeros(samples + len, solved.ncols());
        for (mut all, solved) in all.col_iter_mut().zip(solved.col_iter()) {
            let weights: Vec<f64> = solved.iter().zip(scale).map(|(v, scale)| v * scale).collect();
            let linear = self.transposed(self.functionals.sum(&weights, len)?);
            let linear = linear.iter().map(|v| v * self.scales[1] as f32);
            all.rb_mut()
                .subrows_mut(samples, len)
                .iter_mut()
                .zip(linear)
                .for_each(|(to, v)| *to = v);

            if let Some(seen) = &self.seen {
                let weight = |p: usize| (weights[p] * self.scales[0]) as f32;
                let weights = Mat::from_fn(weights.len(), 1, |p, _| weight(p));
                let own = seen * weights;
                all.iter_mut().zip(own.col(0).iter()).for_each(|(to, v)| *to = *v);
            }
        }
        Ok(all)
    }
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

/// The reciprocals of the standard deviations of errors with these variances.
fn scale_of(variances: &[f64]) -> Vec<f64> {
    variances.iter().map(|v| v.sqrt().recip()).collect()
}

/// The columns of `matrix`, `[entry, member]`, as joint fields.
fn fields(prior: &dyn Prior, matrix: MatRef<f32>) -> Tensor<4> {
    let [channels, height, width] = prior.shape();
    let data: Vec<f32> = matrix.col_iter().flat_map(|c| c.iter().copied()).collect();
    let shape = [matrix.ncols(), channels, height, width];
    Tensor::from_data(TensorData::new(data, shape), &prior.device())
}

/// Adds the products of all pairs of a column of `left` and one of `right` to `sums`, in `f64` if
/// they are to be `precise`. Without `left` the pairs are those of `right`, and those above the
/// diagonal are left out.
fn add_products(
    left: Option<MatRef<f32>>,
    right: MatRef<f32>,
    precise: bool,
    mut sums: MatMut<f64>,
) {
    if !precise {
        let mut narrow = Mat::zeros(sums.nrows(), sums.ncols());
        add_products_of(left, right, narrow.as_mut());
        let columns = sums.col_iter_mut().zip(narrow.col_iter());
        columns.for_each(|(sums, narrow)| {
            sums.iter_mut().zip(narrow.iter()).for_each(|(to, v)| *to += f64::from(*v));
        });
        return;
    }

    // Part by part, so that the `f64` copies stay in the cache.
    for part in used(right).chunks(PART) {
        let right = widened(right, part);
        let left = left.map(|left| widened(left, part));
        add_products_of(left.as_ref().map(Mat::as_ref), right.as_ref(), sums.rb_mut());
    }
}

/// Adds the products as [`add_products`] does, in the numbers that are given.
fn add_products_of<T: ComplexField<Conj = T>>(
    left: Option<MatRef<T>>,
    right: MatRef<T>,
    sums: MatMut<T>,
) {
    let (one, add) = (T::one_impl(), Accum::Add);
    match left {
        Some(left) => product(sums, add, left.transpose(), right, one, parts()),
        None => {
            let [lower, whole] = [BlockStructure::TriangularLower, BlockStructure::Rectangular];
            let left = right.transpose();
            triangular_product(sums, lower, add, left, whole, right, whole, one, parts());
        }
    }
}

/// The rows `part` of a matrix, in `f64`.
fn widened(matrix: MatRef<f32>, part: &[usize]) -> Mat<f64> {
    let mut wide = Mat::zeros(part.len(), matrix.ncols());
    let columns = wide.par_col_iter_mut().zip(matrix.par_col_iter());
    columns.for_each(|(wide, column)| {
        wide.iter_mut().zip(part).for_each(|(to, &k)| *to = f64::from(column[k]));
    });
    wide
}

/// The rows that are not zero: the noise on which some value depends.
fn used(rows: MatRef<f32>) -> Vec<usize> {
    let mut largest = vec![0f32; rows.nrows()];
    for column in rows.col_iter() {
        largest.iter_mut().zip(column.iter()).for_each(|(most, v)| *most = v.abs().max(*most));
    }
    (0..rows.nrows()).filter(|&k| largest[k] > 0.0).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;

    use super::*;
    use crate::condition::observations::observed::{Observed, row};
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
