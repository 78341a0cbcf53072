//! The rows of the covariance's factor for observed values.
//!
//! Each is as long as all fields, and there is one for each observation. Up to 2 GiB are held.
//! Beyond that they are made whenever they are needed, and their products are put together block by
//! block: every row is made once for each block before it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use faer::linalg::matmul::matmul as product;
use faer::linalg::matmul::triangular::{BlockStructure, matmul as triangular_product};
use faer::prelude::ReborrowMut;
use faer::traits::ComplexField;
use faer::{Accum, Mat, MatMut, MatRef};
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_physics::rng;
use rayon::prelude::*;

use crate::Result;
use crate::condition::observations::place::Stencil;
use crate::condition::prior::Prior;
use crate::condition::prior::covariance::Covariance;
use crate::linalg::parts;
use crate::net::params::values;

/// The most bytes of rows that are held at a time, 2 GiB.
pub(crate) const HELD: usize = 2 << 30;
/// The number of rows of the linear map that one thread makes at a time: few enough for its cache.
pub(crate) const ROWS: usize = 16;
/// The number of rows that are made at a time to be multiplied with those of a block.
pub(crate) const BESIDE: usize = 128;
/// The number of rows whose products are summed at a time in `f64`.
const PART: usize = 1024;

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
        let sum = Stencil::weighted_sum(self.0, weights, len);
        Ok(sum.into_iter().map(|v| v as f32).collect())
    }
}

/// R, the observed part of the covariance's factor in units of the errors, `[factor, point]`.
pub(super) struct Rows<'a> {
    pub maker: Arc<Maker<'a>>,
    /// The reciprocals of the errors' standard deviations.
    pub scale: Vec<f64>,
    /// The rows themselves, where they are few enough.
    pub held: Option<Mat<f32>>,
    /// The most points whose rows are made as one block.
    pub block: usize,
    /// The most points whose rows are made at a time to be multiplied with a block's.
    pub beside: usize,
}

/// All that the rows are made of.
pub(super) struct Maker<'a> {
    pub prior: &'a dyn Prior,
    pub covariance: &'a Covariance,
    /// The factors of the bank and of the linear estimate.
    pub scales: [f64; 2],
    /// The values in all samples of the bank, `[sample, point]`; none if it has no share.
    seen: Option<Mat<f32>>,
    functionals: Box<dyn Functionals + 'a>,
    /// The entries of the linear estimate's noise on which some value depends, if others are left
    /// out of the rows.
    used: Option<Vec<usize>>,
    /// The rows of the linear estimate alone, where they were made before: [`linear_rows`].
    pub known: Option<&'a Mat<f32>>,
}

/// The rows of the linear estimate alone for the values of `stencils`, without units: `[entry,
/// point]`.
///
/// # Errors
/// Fails as [`Functionals::coefficients`] does.
pub(super) fn linear_rows(
    covariance: &Covariance,
    prior: &dyn Prior,
    stencils: &[Stencil],
) -> Result<Mat<f32>> {
    let functionals = Box::new(OfFields(stencils));
    let maker = Maker::new(covariance, prior, [0.0, 1.0], &[], functionals);
    maker.rows(0..stencils.len(), &vec![1.0; stencils.len()])
}

impl<'a> Rows<'a> {
    /// The rows that `maker` makes, held if they take at most `most` bytes.
    pub fn new(mut maker: Maker<'a>, scale: Vec<f64>, most: usize) -> Result<Self> {
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
    pub fn in_units(&self, scale: Vec<f64>) -> Self {
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
    pub fn square(&self, largest: f32) -> Result<(Mat<f64>, bool)> {
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
    pub fn product(&self, solved: &Mat<f64>, precise: bool) -> Result<Mat<f32>> {
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
    pub fn new(
        covariance: &'a Covariance,
        prior: &'a dyn Prior,
        scales: [f64; 2],
        stencils: &[Stencil],
        functionals: Box<dyn Functionals + 'a>,
    ) -> Self {
        // A bank without a share has no part in the rows.
        let seen = (scales[0] > 0.0).then(|| covariance.deviations(stencils));
        Self { prior, covariance, scales, seen, functionals, used: None, known: None }
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
    pub fn height(&self) -> usize {
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
            let count = rows.ncols();
            let made;
            let linear = match self.known {
                Some(known) => known.subcols(first, count),
                None => {
                    made =
                        self.transposed(self.functionals.coefficients(first..first + count, len)?);
                    MatRef::from_column_major_slice(&made, len, count)
                }
            };
            let points = rows.rb_mut().col_iter_mut().zip(linear.col_iter());
            for (p, (row, linear)) in (first..).zip(points) {
                let [of_bank, of_linear] =
                    [of_bank, of_linear].map(|share| share * scale[p] as f32);
                let (own, rest) = row.split_at_row_mut(samples);
                let seen = self.seen.iter().flat_map(|seen| seen.col(p).iter());
                own.iter_mut().zip(seen).for_each(|(to, v)| *to = of_bank * v);
                match &self.used {
                    None => {
                        rest.iter_mut().zip(linear.iter()).for_each(|(to, v)| *to = of_linear * v);
                    }
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
        let [of_bank, of_linear] = self.scales;
        let members = solved.ncols();
        let weights = Mat::from_fn(solved.nrows(), members, |p, m| solved[(p, m)] * scale[p]);

        let sum = |m: usize| {
            let weights: Vec<f64> = weights.col(m).iter().copied().collect();
            self.functionals.sum(&weights, len)
        };
        let sums = (0..members).map(sum).collect::<Result<Vec<_>>>()?;
        let linear = self.transposed(sums.concat());

        let narrow =
            || Mat::from_fn(weights.nrows(), members, |p, m| (weights[(p, m)] * of_bank) as f32);
        let own = self.seen.as_ref().map(|seen| seen * narrow());
        Ok(Mat::from_fn(samples + len, members, |k, m| match &own {
            Some(own) if k < samples => own[(k, m)],
            _ => of_linear as f32 * linear[m * len + k - samples],
        }))
    }
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
