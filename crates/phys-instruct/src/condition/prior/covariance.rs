//! The prior's covariance.
//!
//! The covariance is a blend of two estimates. The first is the sample covariance of a bank of
//! prior samples. It knows how all values depend on each other, but its rank is the number of
//! samples. Where the prior has symmetries, the images of each sample under them are counted as
//! samples too. The second is a linear estimate (`linear.rs`), which has full rank.
//! Which linear estimate, and with which share, is chosen by measurement (`choice.rs`).

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use faer::prelude::ReborrowMut;
use faer::{Mat, MatRef};
use phys_instruct_physics::symmetry::Symmetry;
use rayon::prelude::*;

use crate::condition::observations::place::Stencil;
use crate::condition::prior::Prior;
use crate::condition::prior::linear::{Cosines, Linear};
use crate::net::params::{read, values};
use crate::store::weights::{Array, of_shape};
use crate::{Error, Result};

/// Numbers of samples drawn for the bank: without symmetries, and with them.
pub(super) const BANK: [usize; 2] = [1024, 512];
/// The shares of the linear estimate that are tried.
pub(super) const SHARES: [f64; 5] = [0.003, 0.01, 0.03, 0.1, 1.0];
/// The number of samples that have no part in the bank. With their symmetric images they suffice
/// to estimate a number that one sample in a hundred exceeds.
pub(super) const FRESH: usize = 128;

/// A factor of the blended covariance. Its transpose times standard normal noise is a field of
/// that covariance.
pub struct Covariance {
    /// The mean of the samples and of their symmetric images, `[1, entry]`.
    pub(crate) mean: Tensor<2>,
    /// The deviations of the samples from the mean, sample by sample, divided by the square root
    /// of the number of all samples and images less 1.
    pub(super) bank: Vec<f32>,
    /// The symmetries, the identity first. Entry e of an image is entry `moves[k][e]` of the
    /// sample.
    pub(super) moves: Vec<Vec<usize>>,
    pub(super) linear: Linear,
    /// The share of the linear estimate in the blend, 0 to 1.
    pub(super) share: f64,
    /// Samples that are not in the bank, one after the other.
    pub(crate) fresh: Vec<f32>,
}

impl Covariance {
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
    pub(super) fn of(samples: Tensor<2>, moves: Vec<Vec<usize>>) -> Self {
        let ([count, len], device) = (samples.dims(), samples.device());
        let own = values(samples.clone().mean_dim(0));
        let mean =
            |e: usize| moves.iter().map(|from| own[from[e]]).sum::<f32>() / moves.len() as f32;
        let mean = TensorData::new((0..len).map(mean).collect::<Vec<_>>(), [1, len]);
        let mean = Tensor::<2>::from_data(mean, &device);
        let bank = values((samples - mean.clone()) * unit(count, moves.len()));
        Self { bank, mean, moves, linear: Linear::Own, share: SHARES[0], fresh: Vec::new() }
    }

    /// The deviations of all samples and their symmetric images from the mean, in the functionals
    /// `stencils`: `[sample, functional]`.
    pub(crate) fn deviations(&self, stencils: &[Stencil]) -> Mat<f32> {
        self.seen(&self.bank, stencils)
    }

    /// The functionals `stencils` of all `samples` and of their symmetric images, `[sample,
    /// functional]`.
    pub(super) fn seen(&self, samples: &[f32], stencils: &[Stencil]) -> Mat<f32> {
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
    pub(super) fn fields(&self, shares: MatRef<'_, f32>) -> Mat<f32> {
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
    pub(super) fn variances(&self) -> Vec<f32> {
        let mut own = vec![0.0; self.mean.dims()[1]];
        for sample in self.bank.chunks_exact(own.len()) {
            own.iter_mut().zip(sample).for_each(|(sum, v)| *sum += v * v);
        }
        (0..own.len()).map(|e| self.moves.iter().map(|from| own[from[e]]).sum()).collect()
    }

    /// The factors that scale both estimates in the blend: the bank's, and the linear one's.
    pub(super) fn scales(&self) -> [f64; 2] {
        [(1.0 - self.share).sqrt(), self.share.sqrt()]
    }

    /// The number of values of a joint sample.
    pub(crate) fn len(&self) -> usize {
        self.mean.dims()[1]
    }
}

/// The factor that scales the deviations of `count` samples with `moves` symmetries each, so that
/// their products add up to the sample covariance.
pub(super) fn unit(count: usize, moves: usize) -> f64 {
    ((count * moves) as f64 - 1.0).sqrt().recip()
}

/// The permutations of [`Covariance::moves`]: the identity and the `symmetries`, on `channels` of
/// `points` each.
pub(super) fn moves(channels: usize, points: usize, symmetries: &[Symmetry]) -> Vec<Vec<usize>> {
    let entries = |symmetry: &Symmetry| {
        let entry = |c: usize| symmetry.source.iter().map(move |&i| c * points + i);
        (0..channels).flat_map(entry).collect()
    };
    let mut all = vec![(0..channels * points).collect()];
    all.extend(symmetries.iter().map(entries));
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;

    use super::*;
    use crate::diffusion::noise::Draw;

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
}
