//! The prior's covariance, and the best linear estimate of all fields from observed values.
//!
//! The covariance is a blend of two estimates. The first is the sample covariance of a bank of
//! prior samples. It knows how all values depend on each other, but its rank is the number of
//! samples. Where the prior has symmetries, the images of each sample under them are counted as
//! samples too. The second is a linear estimate (`linear.rs`), which has full rank.
//!
//! The kind of linear estimate and its share in the blend are chosen by cross-validation. Some
//! samples are left out of the bank and predicted from values of one of their channels, and the
//! choice with the smallest error is taken. The linear estimate alone is preferred where it does
//! nearly as well, since it is exact for Gaussian fields of a linear equation.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use faer::linalg::matmul::triangular::{BlockStructure, matmul as triangular_product};
use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::prelude::{ReborrowMut, Solve};
use faer::traits::ComplexField;
use faer::{Accum, Mat, MatMut, MatRef};
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_physics::symmetry::Symmetry;
use rayon::prelude::*;

use crate::condition::observations::observed::Observed;
use crate::condition::observations::place::Stencil;
use crate::condition::prior::Prior;
use crate::condition::prior::expectation::Expectation;
use crate::condition::prior::linear::{Cosines, Linear};
use crate::diffusion::noise::Draw;
use crate::linalg::{cholesky, parts};
use crate::net::params::{read, values};
use crate::store::weights::{Array, of_shape};
use crate::{Error, Result};

/// Numbers of samples drawn for the bank: without symmetries, and with them.
const BANK: [usize; 2] = [1024, 512];
/// The number of bank samples drawn at a time.
const BATCH: usize = 64;
/// The shares of the linear estimate that are tried.
const SHARES: [f64; 5] = [0.003, 0.01, 0.03, 0.1, 1.0];
/// The linear estimate alone is taken if its error is at most this factor times the best blend's.
/// Cross-validation favours the bank: the samples left out share the systematic errors of the
/// prior's samples with it.
const ALONE: f32 = 1.05;
/// The number of samples left out of the bank for cross-validation.
const LEFT_OUT: usize = 64;
/// The most values of a channel that a left-out sample is predicted from. At most an eighth of the
/// channel's values are used.
const POINTS: usize = 200;
/// The standard deviation of the errors of these values, in units of each value's deviation.
const NOISE: f64 = 1e-2;
/// The number of samples that have no part in the bank. With their symmetric images they suffice
/// to estimate a number that one sample in a hundred exceeds.
const FRESH: usize = 128;
/// The number of rows of the linear map that one thread makes at a time: few enough for its cache.
const ROWS: usize = 16;
/// The number of rows whose products are summed at a time in `f64`.
const PART: usize = 1024;
/// The ratio of prior variance to error variance from which sums are taken in `f64`. Above it
/// rounding in `f32` is no longer small against the observation errors.
const NEEDS_F64: f32 = 1e5;

/// A factor of the blended covariance. Its transpose times standard normal noise is a field of
/// that covariance.
pub struct Covariance {
    /// The mean of the samples and of their symmetric images, `[1, entry]`.
    pub(crate) mean: Tensor<2>,
    /// The deviations of the samples from the mean, sample by sample, divided by the square root
    /// of the number of all samples and images less 1.
    bank: Vec<f32>,
    /// The symmetries, the identity first. Entry e of an image is entry `moves[k][e]` of the
    /// sample.
    moves: Vec<Vec<usize>>,
    linear: Linear,
    /// The share of the linear estimate in the blend, 0 to 1.
    share: f64,
    /// Samples that are not in the bank, one after the other.
    pub(crate) fresh: Vec<f32>,
}

/// The best linear estimate of the fields from observed values.
pub struct Gain<'a> {
    prior: &'a dyn Prior,
    covariance: &'a Covariance,
    /// The factors of the bank and of the linear estimate, as [`Covariance::scales`] returns them.
    scales: [f64; 2],
    /// The observed part of the covariance's factor in units of the errors, `[factor, point]`.
    rows: Mat<f32>,
    errors: ErrorUnits,
}

/// The matrix R R^T + S, factorised, where R holds the observed rows of the covariance's factor
/// and S the variances of the errors. It is scaled to units in which S = I, because products of
/// fields as small as 1e-5 leave the range of `f32`. It is held in `f64`, since it is nearly
/// singular for small errors.
struct ErrorUnits {
    /// The reciprocals of the errors' standard deviations.
    scale: Vec<f64>,
    factor: Llt<f64>,
    /// Tells whether sums over the rows need `f64`.
    precise: bool,
}

impl Covariance {
    /// Draws the bank from `prior` and chooses the linear estimate and its share.
    ///
    /// # Errors
    /// Fails if the samples or their covariance are not finite.
    pub fn new(prior: &dyn Prior, seed: u64) -> Result<Self> {
        let [channels, height, width] = prior.shape();
        let batch = |start: usize| {
            let draw = Draw { seed, stream: "covariance", step: 0, first: start as u64 };
            let z = draw.normal([BATCH, channels, height, width], &prior.device());
            prior.solved(prior.fields(z)).flatten::<2>(1, 3)
        };

        let symmetries = prior.symmetries();
        let bank = BANK[usize::from(!symmetries.is_empty())];
        let all = Tensor::cat((0..bank).step_by(BATCH).map(batch).collect(), 0);
        if !values(all.clone().sum())[0].is_finite() {
            return Err(Error::NonFinite("samples of the student".into()));
        }

        // Each linear estimate is measured with each share on the samples that were left out.
        let used = all.clone().narrow(0, 0, bank - LEFT_OUT);
        let left_out = all.clone().narrow(0, bank - LEFT_OUT, LEFT_OUT);
        let of = |samples| Self::of(samples, moves(channels, height * width, symmetries));
        let (mut used, mut tried) = (of(used), Vec::new());
        for (i, linear) in used.linear_estimates(prior).into_iter().enumerate() {
            used.linear = linear;
            let errors = used.errors(prior, left_out.clone())?;
            tried.extend(errors.into_iter().zip(SHARES).map(|(error, share)| (error, i, share)));
        }

        tried.sort_by(|a, b| a.0.total_cmp(&b.0));
        let alone = tried.iter().find(|t| t.2 == 1.0 && t.0 < ALONE * tried[0].0);
        let &(_, i, share) = alone.unwrap_or(&tried[0]);
        // The bank of the result holds all samples, those left out for the choice too.
        let all = of(all);
        let linear = all.linear_estimates(prior).into_iter().nth(i).unwrap_or(Linear::Own);

        let fresh = (bank..bank + FRESH).step_by(BATCH).map(batch).collect();
        let fresh = values(Tensor::cat(fresh, 0));
        Ok(Self { linear, share, fresh, ..all })
    }

    /// The covariance as arrays, and the position of its share among those that are tried.
    ///
    /// # Errors
    /// Fails where the device does not give them back.
    pub(crate) fn to_arrays(&self) -> Result<(BTreeMap<String, Array>, usize)> {
        let len = self.mean.dims()[1];
        let rows = |data: &[f32]| Array { shape: vec![data.len() / len, len], data: data.to_vec() };
        let mut arrays = match &self.linear {
            Linear::Own => BTreeMap::new(),
            Linear::Cosines(cosines) => cosines.to_arrays()?,
        };
        arrays.insert("mean".into(), rows(&read(self.mean.clone())?));
        arrays.insert("bank".into(), rows(&self.bank));
        arrays.insert("fresh".into(), rows(&self.fresh));
        let share = SHARES.iter().position(|&share| share == self.share).unwrap_or_default();
        Ok((arrays, share))
    }

    /// Restores the covariance of `prior` from what [`Covariance::to_arrays`] gave.
    ///
    /// # Errors
    /// [`Error::Shape`] for arrays that are missing or of another shape, and for a share that is
    /// none.
    pub(crate) fn from_arrays(
        prior: &dyn Prior,
        mut arrays: BTreeMap<String, Array>,
        share: usize,
    ) -> Result<Self> {
        let ([channels, height, width], device) = (prior.shape(), prior.device());
        let len = channels * height * width;
        let symmetries = prior.symmetries();
        let bank = BANK[usize::from(!symmetries.is_empty())];
        let linear = match arrays.contains_key(Cosines::NAMES[0]) {
            true => {
                let cosines = Cosines::from_arrays(&arrays, prior.shape(), &device)?;
                Linear::Cosines(Box::new(cosines))
            }
            false => Linear::Own,
        };
        let mut taken = |name: &str, count: usize| -> Result<Vec<f32>> {
            of_shape(&arrays, name, &[count, len])?;
            Ok(arrays.remove(name).map(|array| array.data).unwrap_or_default())
        };

        let mean = TensorData::new(taken("mean", 1)?, [1, len]);
        let share =
            SHARES.get(share).ok_or_else(|| Error::Shape(format!("there is no share {share}")))?;
        Ok(Self {
            mean: Tensor::from_data(mean, &device),
            bank: taken("bank", bank)?,
            moves: moves(channels, height * width, symmetries),
            linear,
            share: *share,
            fresh: taken("fresh", FRESH)?,
        })
    }

    /// Returns the covariance of `samples` with the prior's own linear estimate at its smallest
    /// share.
    fn of(samples: Tensor<2>, moves: Vec<Vec<usize>>) -> Self {
        let ([count, len], device) = (samples.dims(), samples.device());
        let own = values(samples.clone().mean_dim(0));
        let mean =
            |e: usize| moves.iter().map(|from| own[from[e]]).sum::<f32>() / moves.len() as f32;
        let mean = TensorData::new((0..len).map(mean).collect::<Vec<_>>(), [1, len]);
        let mean = Tensor::<2>::from_data(mean, &device);
        let bank = values((samples - mean.clone()) * unit(count, moves.len()));
        Self { bank, mean, moves, linear: Linear::Own, share: SHARES[0], fresh: Vec::new() }
    }

    /// The linear estimates that are possible for this prior.
    fn linear_estimates(&self, prior: &dyn Prior) -> Vec<Linear> {
        let Some(inputs) = prior.solved_inputs() else { return vec![Linear::Own] };
        let [channels, height, width] = prior.shape();
        let count = self.bank.len() / (channels * height * width);
        let bank = TensorData::new(self.bank.clone(), [count, channels, height, width]);
        let bank = Tensor::<4>::from_data(bank, &prior.device());
        let cosines =
            Cosines::measured(inputs, bank, &self.variances(), unit(count, self.moves.len()));
        [Linear::Own].into_iter().chain(cosines.map(|c| Linear::Cosines(Box::new(c)))).collect()
    }

    /// The law of the values of `stencils` under the prior, without observation errors. The flat
    /// joint samples `fresh` serve as its reference.
    pub(crate) fn expectation(
        &self,
        prior: &dyn Prior,
        stencils: &[Stencil],
        fresh: &[f32],
    ) -> Expectation {
        let wide = |matrix: Mat<f32>, scale: f64| {
            Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| scale * f64::from(matrix[(i, j)]))
        };

        let [of_bank, of_linear] = self.scales();
        let (len, n) = (self.mean.dims()[1], stencils.len());
        let linear = linear_rows(&self.linear, prior, stencils);
        let linear = MatRef::from_column_major_slice(&linear, len, n).to_owned();

        // In f64: exact values make the sum nearly singular.
        let mut covariance = Mat::zeros(n, n);
        let bank = if of_bank > 0.0 { self.deviations(stencils) } else { Mat::zeros(0, n) };
        for (part, scale) in [(bank, of_bank), (linear, of_linear)] {
            let part = wide(part, scale);
            covariance += part.transpose() * &part;
        }

        let own = values(self.mean.clone());
        let mean: Vec<f64> = stencils.iter().map(|stencil| stencil.of(&own)).collect();
        let samples = self.seen(fresh, stencils);
        let samples = Mat::from_fn(n, samples.nrows(), |i, s| f64::from(samples[(s, i)]) - mean[i]);
        Expectation { mean, covariance, samples }
    }

    /// The deviations of all samples and their symmetric images from the mean, in the functionals
    /// `stencils`: `[sample, functional]`.
    pub(crate) fn deviations(&self, stencils: &[Stencil]) -> Mat<f32> {
        self.seen(&self.bank, stencils)
    }

    /// The functionals `stencils` of all `samples` and of their symmetric images, `[sample,
    /// functional]`.
    fn seen(&self, samples: &[f32], stencils: &[Stencil]) -> Mat<f32> {
        let (len, n, all) = (self.mean.dims()[1], stencils.len(), samples);
        let (samples, moved) = (all.len() / len, n * self.moves.len());

        // The loop is over samples, whose entries lie together in memory.
        let mut seen = vec![0.0; samples * moved];
        let bank = all.par_chunks_exact(len).zip(seen.par_chunks_exact_mut(moved.max(1)));
        bank.for_each(|(x, seen)| {
            let value = |from: &[usize], stencil: &Stencil| {
                let term = |&(entry, weight): &(usize, f64)| weight as f32 * x[from[entry]];
                stencil.terms().iter().map(term).sum::<f32>()
            };
            let all = self.moves.iter().flat_map(|from| stencils.iter().map(|s| value(from, s)));
            seen.iter_mut().zip(all).for_each(|(to, v)| *to = v);
        });

        // Sorted by functional: sample s under symmetry g becomes row g `samples` + s.
        let mut all = Mat::zeros(samples * self.moves.len(), n);
        all.par_col_iter_mut().enumerate().for_each(|(p, all)| {
            let seen = (0..self.moves.len()).flat_map(|g| seen[g * n + p..].iter().step_by(moved));
            all.iter_mut().zip(seen).for_each(|(to, v)| *to = *v);
        });

        all
    }

    /// The sum of all deviations, weighted by the `shares` of each sample, `[sample, member]`.
    /// Returns `[entry, member]`.
    fn fields(&self, shares: MatRef<'_, f32>) -> Mat<f32> {
        let (len, members) = (self.mean.dims()[1], shares.ncols());
        let samples = self.bank.len() / len;
        let bank = MatRef::from_column_major_slice(&self.bank, len, samples);
        // Summing before the symmetry is applied needs one permutation a symmetry, not one a
        // sample.
        let beside = Mat::from_fn(samples, self.moves.len() * members, |i, j| {
            shares[(j / members * samples + i, j % members)]
        });
        let unmoved = bank * beside;

        let mut sums = Mat::zeros(len, members);
        sums.par_col_iter_mut().enumerate().for_each(|(m, sum)| {
            let mut sum = sum;
            for (g, from) in self.moves.iter().enumerate() {
                let unmoved = unmoved.col(g * members + m);
                let sums = sum.rb_mut().iter_mut().zip(from);
                sums.for_each(|(to, &e)| *to += unmoved[e]);
            }
        });
        sums
    }

    /// The variance of each entry.
    fn variances(&self) -> Vec<f32> {
        let mut own = vec![0.0; self.mean.dims()[1]];
        for sample in self.bank.chunks_exact(own.len()) {
            own.iter_mut().zip(sample).for_each(|(sum, v)| *sum += v * v);
        }
        (0..own.len()).map(|e| self.moves.iter().map(|from| own[from[e]]).sum()).collect()
    }

    /// Cross-validation errors, one for each of [`SHARES`]. The `samples`, which are not in the
    /// bank, are predicted from some values of one channel, spread over it. The squared errors are
    /// in units of each entry's variance, averaged over samples and entries, and summed over the
    /// observed channels.
    fn errors(&mut self, prior: &dyn Prior, samples: Tensor<2>) -> Result<[f32; SHARES.len()]> {
        let away = samples - self.mean.clone();
        let variances = self.variances();
        let one = TensorData::new(variances.clone(), [1, variances.len()]);
        let variance = Tensor::<2>::from_data(one, &prior.device());
        let [channels, height, width] = prior.shape();

        let size = height * width;
        let mut sums = [0.0; SHARES.len()];
        for channel in 0..channels {
            let own = channel * size..(channel + 1) * size;
            let varied: Vec<usize> = own.filter(|&entry| variances[entry] > 0.0).collect();
            let points = POINTS.min(varied.len().div_ceil(8));
            if points == 0 {
                continue;
            }

            let entries: Vec<_> = (0..points).map(|p| varied[p * varied.len() / points]).collect();
            let errors: Vec<_> =
                entries.iter().map(|&e| NOISE * NOISE * f64::from(variances[e])).collect();
            let stencils = Stencil::points(&entries);
            let seen = Observed::at(&stencils, &prior.device()).of_flat(away.clone());
            let linear = linear_rows(&self.linear, prior, &stencils);

            // Every share predicts the same samples from the same values.
            for (sum, share) in sums.iter_mut().zip(SHARES) {
                self.share = share;
                let len = self.mean.dims()[1];
                let linear = |p: Range<usize>| linear[p.start * len..p.end * len].to_vec();
                let gain = self.gain_of(prior, self.scales(), &stencils, linear, &errors)?;
                let wrong = away.clone() - gain.apply(seen.clone()).flatten::<2>(1, 3);
                let wrong = wrong.square().mean_dim(0);
                *sum += values((wrong / variance.clone().clamp_min(f32::MIN_POSITIVE)).mean())[0];
            }
        }
        Ok(sums)
    }

    /// The factors that scale both estimates in the blend: the bank's, and the linear one's.
    fn scales(&self) -> [f64; 2] {
        [(1.0 - self.share).sqrt(), self.share.sqrt()]
    }

    /// The gain for the values of `stencils`, whose errors have the `variances`, all above 0. The
    /// `prior` is the one that was given to [`Covariance::new`].
    ///
    /// # Errors
    /// Fails if the covariance of the values is not finite.
    pub fn gain<'a>(
        &'a self,
        prior: &'a dyn Prior,
        stencils: &[Stencil],
        variances: &[f64],
    ) -> Result<Gain<'a>> {
        let linear = |points: Range<usize>| {
            rows_of(&self.linear, prior, points, |p, row| add_stencil(&stencils[p], row))
        };
        self.gain_of(prior, self.scales(), stencils, linear, variances)
    }

    /// The gain of the linear estimate alone, for values that are linear in the fields. `rows`
    /// writes the coefficients of value p into a row of zeros. The `variances` of the errors are
    /// all above 0.
    ///
    /// # Errors
    /// Fails if the covariance of the values is not finite.
    pub(crate) fn linear_gain<'a>(
        &'a self,
        prior: &'a dyn Prior,
        rows: impl Fn(usize, &mut [f32]) + Sync,
        variances: &[f64],
    ) -> Result<Gain<'a>> {
        let linear = |points: Range<usize>| rows_of(&self.linear, prior, points, &rows);
        self.gain_of(prior, [0.0, 1.0], &[], linear, variances)
    }

    /// The gain of a blend with the factors `scales`. `linear` makes the rows of the linear
    /// estimate for a range of points, a few at a time: all of them fill the memory of a large
    /// problem. The `stencils` are used only where the bank has a share in the blend.
    fn gain_of<'a>(
        &'a self,
        prior: &'a dyn Prior,
        scales: [f64; 2],
        stencils: &[Stencil],
        linear: impl Fn(Range<usize>) -> Vec<f32> + Sync,
        variances: &[f64],
    ) -> Result<Gain<'a>> {
        let [of_bank, of_linear] = scales.map(|scale| scale as f32);
        let (len, scale) = (self.mean.dims()[1], ErrorUnits::scale(variances));
        // A bank without a share has no part in the rows.
        let seen = (of_bank > 0.0).then(|| self.deviations(stencils));
        let samples = seen.as_ref().map_or(0, Mat::nrows);

        let mut rows = Mat::zeros(samples + len, variances.len());
        let fill = |(chunk, mut rows): (usize, MatMut<f32>)| {
            let first = chunk * ROWS;
            let linear = linear(first..first + rows.ncols());
            let points = rows.rb_mut().col_iter_mut().zip(linear.chunks_exact(len));
            for (p, (row, linear)) in (first..).zip(points) {
                let [of_bank, of_linear] =
                    [of_bank, of_linear].map(|share| share * scale[p] as f32);
                let (own, rest) = row.split_at_row_mut(samples);
                let seen = seen.iter().flat_map(|seen| seen.col(p).iter());
                own.iter_mut().zip(seen).for_each(|(to, v)| *to = of_bank * v);
                rest.iter_mut().zip(linear).for_each(|(to, v)| *to = of_linear * v);
            }
        };
        let chunks = rows.par_col_chunks_mut(ROWS).enumerate();
        in_pool(|| chunks.for_each(fill));

        let errors = ErrorUnits::new(rows.as_ref(), scale)?;
        Ok(Gain { prior, covariance: self, scales, rows, errors })
    }
}

impl Gain<'_> {
    /// Returns the same gain for errors of other `variances`.
    ///
    /// # Errors
    /// Fails as [`Covariance::gain`] does.
    pub fn with(&self, variances: &[f64]) -> Result<Self> {
        let (scale, mut rows) = (ErrorUnits::scale(variances), self.rows.clone());
        let units = scale.iter().zip(&self.errors.scale).map(|(new, old)| (new / old) as f32);
        let columns = rows.col_iter_mut().zip(units);
        columns.for_each(|(row, unit)| row.iter_mut().for_each(|v| *v *= unit));
        let errors = ErrorUnits::new(rows.as_ref(), scale)?;
        let Self { prior, covariance, scales, .. } = *self;
        Ok(Self { prior, covariance, scales, rows, errors })
    }

    /// The inverse of the observed values' covariance, errors included: `[point, point]`.
    pub fn inverse(&self) -> Tensor<2> {
        let ErrorUnits { scale, factor, .. } = &self.errors;
        let (n, inverse) = (scale.len(), factor.inverse());
        let entry = |i: usize| (inverse[(i / n, i % n)] * scale[i / n] * scale[i % n]) as f32;
        let data: Vec<f32> = (0..n * n).map(entry).collect();
        Tensor::from_data(TensorData::new(data, [n, n]), &self.prior.device())
    }

    /// The change of the fields, `[member, channel, y, x]`, that best explains the `misfit` of the
    /// observed values, `[member, point]`.
    pub fn apply(&self, misfit: Tensor<2>) -> Tensor<4> {
        let (n, len) = (misfit.dims()[1], self.covariance.mean.dims()[1]);
        let factors = self.errors.product(&self.rows, &self.errors.solve(&values(misfit), n));
        let [of_bank, of_linear] = self.scales;
        let (own, linear) = factors.split_at_row(factors.nrows() - len);
        let fields = |matrix| fields(self.prior, matrix);
        let linear = self.covariance.linear.of(self.prior, fields(linear) * of_linear);
        if own.nrows() == 0 {
            return linear;
        }
        fields(self.covariance.fields(own).as_ref()) * of_bank + linear
    }
}

/// The columns of `matrix`, `[entry, member]`, as joint fields.
fn fields(prior: &dyn Prior, matrix: MatRef<f32>) -> Tensor<4> {
    let [channels, height, width] = prior.shape();
    let data: Vec<f32> = matrix.col_iter().flat_map(|c| c.iter().copied()).collect();
    let shape = [matrix.ncols(), channels, height, width];
    Tensor::from_data(TensorData::new(data, shape), &prior.device())
}

/// The factor that scales the deviations of `count` samples with `moves` symmetries each, so that
/// their products add up to the sample covariance.
fn unit(count: usize, moves: usize) -> f64 {
    ((count * moves) as f64 - 1.0).sqrt().recip()
}

/// The permutations of [`Covariance::moves`]: the identity and the `symmetries`, on `channels` of
/// `points` each.
fn moves(channels: usize, points: usize, symmetries: &[Symmetry]) -> Vec<Vec<usize>> {
    let entries = |symmetry: &Symmetry| {
        let entry = |c: usize| symmetry.source.iter().map(move |&i| c * points + i);
        (0..channels).flat_map(entry).collect()
    };
    let mut all = vec![(0..channels * points).collect()];
    all.extend(symmetries.iter().map(entries));
    all
}

/// The rows of the linear estimate's factor for `stencils`, `[point, entry]`.
fn linear_rows(linear: &Linear, prior: &dyn Prior, stencils: &[Stencil]) -> Vec<f32> {
    let count = stencils.len();
    let chunk = |first: usize| {
        let points = first..count.min(first + ROWS);
        rows_of(linear, prior, points, |p, row| add_stencil(&stencils[p], row))
    };
    let chunks = (0..count.div_ceil(ROWS)).into_par_iter().map(|chunk| chunk * ROWS);
    in_pool(|| chunks.flat_map_iter(chunk).collect())
}

/// Adds the weights of a stencil to a row.
fn add_stencil(stencil: &Stencil, row: &mut [f32]) {
    stencil.terms().iter().for_each(|&(entry, weight)| row[entry] += weight as f32);
}

/// The rows of the linear estimate's factor for some values: the transposed map of the coefficients
/// that `row` writes.
fn rows_of(
    linear: &Linear,
    prior: &dyn Prior,
    points: Range<usize>,
    row: impl Fn(usize, &mut [f32]),
) -> Vec<f32> {
    let [channels, height, width] = prior.shape();
    let n = channels * height * width;

    let count = points.len();
    let mut rows = vec![0f32; count * n];
    rows.chunks_exact_mut(n).zip(points).for_each(|(own, p)| row(p, own));
    let shape = [count, channels, height, width];
    let rows = Tensor::<4>::from_data(TensorData::new(rows, shape), &prior.device());
    values(linear.transposed(prior, rows))
}

/// The rows that are not zero: the noise on which some value depends.
fn used(rows: MatRef<f32>) -> Vec<usize> {
    let mut largest = vec![0f32; rows.nrows()];
    for column in rows.col_iter() {
        largest.iter_mut().zip(column.iter()).for_each(|(most, v)| *most = v.abs().max(*most));
    }
    (0..rows.nrows()).filter(|&k| largest[k] > 0.0).collect()
}

impl ErrorUnits {
    fn scale(variances: &[f64]) -> Vec<f64> {
        variances.iter().map(|v| v.sqrt().recip()).collect()
    }

    /// Factorises the matrix of `rows`, `[factor, point]`, which are in units of the errors.
    fn new(rows: MatRef<f32>, scale: Vec<f64>) -> Result<Self> {
        let n = scale.len();
        let largest = rows.col_iter().map(|row| row.squared_norm_l2()).fold(0.0, f32::max);
        let precise = largest >= NEEDS_F64;
        let mut matrix = Mat::zeros(n, n);

        if !precise {
            let mut products = Mat::zeros(n, n);
            add_products(rows, &mut products);
            matrix = Mat::from_fn(n, n, |i, j| f64::from(products[(i, j)]));
        } else {
            // Part by part, so that the `f64` copy stays in the cache.
            let mut wide = Mat::zeros(PART, n);
            for part in used(rows).chunks(PART) {
                let mut wide = wide.subrows_mut(0, part.len());
                let columns = wide.rb_mut().par_col_iter_mut().zip(rows.par_col_iter());
                columns.for_each(|(wide, row)| {
                    wide.iter_mut().zip(part).for_each(|(to, &k)| *to = f64::from(row[k]));
                });
                add_products(wide.as_ref(), &mut matrix);
            }
        }

        for i in 0..scale.len() {
            matrix[(i, i)] += 1.0;
        }
        let factor = cholesky(&matrix)?;
        Ok(Self { scale, factor, precise })
    }

    /// Solves (R R^T + S) x = misfit for each member with `n` values: `[point, member]`. The
    /// result is in units of the errors, the misfit is not.
    fn solve(&self, misfit: &[f32], n: usize) -> Mat<f64> {
        let members = misfit.len() / n;
        let right = Mat::from_fn(n, members, |i, m| f64::from(misfit[m * n + i]) * self.scale[i]);
        self.factor.solve(&right)
    }

    /// The `rows` times the solution of [`ErrorUnits::solve`], `[factor, member]`. For small
    /// errors its terms are large and cancel, so that `f32` would lose all digits.
    fn product(&self, rows: &Mat<f32>, solved: &Mat<f64>) -> Mat<f32> {
        if !self.precise {
            let narrow = Mat::from_fn(solved.nrows(), solved.ncols(), |i, m| solved[(i, m)] as f32);
            return rows * narrow;
        }

        let mut all = Mat::zeros(rows.nrows(), solved.ncols());
        for first in (0..rows.nrows()).step_by(PART) {
            let count = PART.min(rows.nrows() - first);
            let part = rows.subrows(first, count);
            let wide = Mat::from_fn(count, part.ncols(), |k, i| f64::from(part[(k, i)]));
            let sums = wide * solved;
            for m in 0..solved.ncols() {
                for k in 0..count {
                    all[(first + k, m)] = sums[(k, m)] as f32;
                }
            }
        }
        all
    }
}

/// Adds the products of all pairs of columns; those above the diagonal are left out.
fn add_products<T: ComplexField<Conj = T>>(columns: MatRef<'_, T>, sums: &mut Mat<T>) {
    triangular_product(
        sums.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Add,
        columns.transpose(),
        BlockStructure::Rectangular,
        columns,
        BlockStructure::Rectangular,
        T::one_impl(),
        parts(),
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;

    use super::*;
    use crate::condition::observations::observed::row;
    use crate::testing::prior::{Bordered, SIZE, Smooth, observations};

    /// The root mean square of fields.
    fn rms(x: &Tensor<4>) -> f32 {
        x.clone().square().mean().into_scalar::<f32>().sqrt()
    }

    #[test]
    fn the_gain_is_that_of_the_exact_covariance_and_meets_exact_observations() {
        let (prior, device) = (Smooth::new(), Device::flex());
        let given = observations(3, 24, 0.0);
        let zero = Tensor::zeros([1, 1, SIZE, SIZE], &device);
        let mean = prior.fields(zero);
        let observed = Observed::new(&given, &device);
        let misfit = row(&given, |p| p.value, &device) - observed.of(mean.clone());
        let covariance = Covariance::new(&prior, 1).unwrap();
        let gain = covariance.gain(&prior, given.stencils(), &[1e-6; 24]).unwrap();
        let change = gain.apply(misfit.clone());
        let left = misfit.clone() - observed.of(change.clone());
        assert!(values(left).iter().all(|v| v.abs() < 1e-2));
        // The linear estimate alone is exact here.
        let rows = linear_rows(&Linear::Own, &prior, given.stencils());
        let rows = MatRef::from_column_major_slice(&rows, SIZE * SIZE, 24);
        let scale = ErrorUnits::scale(&[1e-6; 24]);
        let rows = Mat::from_fn(SIZE * SIZE, 24, |k, i| rows[(k, i)] * scale[i] as f32);
        let exact = ErrorUnits::new(rows.as_ref(), scale).unwrap();
        let z = exact.product(&rows, &exact.solve(&values(misfit), 24));
        let z: Vec<f32> = z.col(0).iter().copied().collect();
        let z = Tensor::<4>::from_data(TensorData::new(z, [1, 1, SIZE, SIZE]), &device);
        let exact = prior.linear(z);
        let far = rms(&(change - exact.clone()));
        assert!(far < 0.15 * rms(&exact), "{far} of {}", rms(&exact));
    }

    /// [`Smooth`] with a linear estimate that knows nothing of how the values depend on each other.
    struct Independent(Smooth);

    impl Prior for Independent {
        fn shape(&self) -> [usize; 3] {
            self.0.shape()
        }

        fn device(&self) -> Device {
            self.0.device()
        }

        fn fields(&self, z: Tensor<4>) -> Tensor<4> {
            self.0.fields(z)
        }

        fn calls(&self) -> usize {
            self.0.calls()
        }

        fn renoise_and_denoise(&self, x: Tensor<4>, z: Tensor<4>, number: usize) -> Tensor<4> {
            self.0.renoise_and_denoise(x, z, number)
        }

        fn gaussian_response(&self, change: Tensor<4>, number: usize) -> Tensor<4> {
            self.0.gaussian_response(change, number)
        }

        fn linear(&self, z: Tensor<4>) -> Tensor<4> {
            z
        }

        fn transposed(&self, x: Tensor<4>) -> Tensor<4> {
            x
        }
    }

    #[test]
    fn a_linear_estimate_has_the_share_that_it_deserves() {
        assert_eq!(Covariance::new(&Smooth::new(), 1).unwrap().share, 1.0);
        assert!(Covariance::new(&Independent(Smooth::new()), 1).unwrap().share < 1.0);
    }

    #[test]
    fn measured_cosines_are_taken_where_they_say_more() {
        let covariance = Covariance::new(&Bordered::new(), 1).unwrap();
        assert!(matches!(covariance.linear, Linear::Cosines(_)));
    }

    #[test]
    fn moved_samples_count_as_if_they_were_written_out() {
        let symmetries = [[1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]];
        let moves = moves(2, 4, &symmetries.map(|s| Symmetry { source: s.to_vec() }));
        assert_eq!(moves[2], [2, 3, 0, 1, 6, 7, 4, 5]);
        let draw = Draw { seed: 2, stream: "samples", step: 0, first: 0 };
        let own = values(draw.normal([3, 2, 2, 2], &Device::flex()));
        let written: Vec<f32> = moves
            .iter()
            .flat_map(|from| own.chunks_exact(8).flat_map(move |x| from.iter().map(move |&e| x[e])))
            .collect();
        let [kept, written] =
            [(own, moves), (written, vec![(0..8).collect()])].map(|(x, moves)| {
                let shape = [x.len() / 8, 8];
                let x = Tensor::<2>::from_data(TensorData::new(x, shape), &Device::flex());
                Covariance::of(x, moves)
            });
        let shares = Mat::from_fn(12, 2, |i, m| (i + 3 * m) as f32);
        let all = |c: &Covariance| {
            let matrices = [c.deviations(&Stencil::points(&[1, 6, 7])), c.fields(shares.as_ref())];
            let entries =
                matrices.iter().flat_map(|m| m.col_iter().flat_map(|c| c.iter().copied()));
            let entries: Vec<f32> = entries.collect();
            [values(c.mean.clone()), c.variances(), entries].concat()
        };
        let [kept, written] = [all(&kept), all(&written)];
        assert_eq!(kept.len(), written.len());
        assert!(kept.iter().zip(&written).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    /// Hilbert's matrix as rows: its products in `f32` are not positive definite.
    #[test]
    fn nearly_dependent_values_with_small_errors_are_followed() {
        const N: usize = 24;
        let scale = ErrorUnits::scale(&[1e-9; N]);
        let rows = Mat::from_fn(N, N, |i, j| 1.0 / (i + j + 1) as f32 * scale[j] as f32);
        let sum = |i: usize| rows.col(i).sum() / scale[i] as f32;
        let misfit: Vec<f32> = (0..N).map(sum).collect();
        let errors = ErrorUnits::new(rows.as_ref(), scale.clone()).unwrap();
        let followed = rows.transpose() * errors.product(&rows, &errors.solve(&misfit, N));
        let left = |i: usize| (misfit[i] - followed[(i, 0)] / scale[i] as f32).abs();
        assert!((0..N).map(left).all(|left| left < 1e-3));
    }

    #[test]
    fn large_errors_leave_the_fields_alone() {
        let prior = Smooth::new();
        let covariance = Covariance::new(&prior, 1).unwrap();
        let gain = covariance.gain(&prior, &Stencil::points(&[3, 9]), &[1e8; 2]).unwrap();
        let misfit = Tensor::<2>::from_data([[1.0f32, -2.0]], &Device::flex());
        assert!(rms(&gain.apply(misfit)) < 1e-5);
    }
}
