//! The Fréchet distance to a Gaussian law whose modes' variances are known.
//!
//! Poisson's and Helmholtz's inputs are Gaussian and their solutions linear in them, so every
//! coefficient of a and of u is a normal variable of known variance. Let k run over the modes of a
//! channel's basis. The distance of the channel is
//!
//! ```text
//! d = sum_k (mean_k^2 + (sd_k - sd_exact_k)^2) / sum_k sd_exact_k^2,
//! ```
//!
//! the squared 2-Wasserstein (Fréchet) distance of normal laws with independent modes (Dowson and
//! Landau, J. Multivariate Anal. 12, 1982), over the law's total variance. It is exact for
//! Poisson's source, whose modes are independent. The modes of u are correlated, and so are those
//! of Helmholtz's source, whose boundary nodes are cut to zero. There the sum is a lower bound of
//! the distance of the joint laws. n exact samples have a distance of about 1.5 / n.

use phys_instruct_physics::transform::basis_matrix;
use phys_instruct_physics::{Basis, GaussianField, Grid, InputLaw, Pde};
use rayon::prelude::*;
use serde::Serialize;

use super::spectrum::modes_of;
use crate::{Error, Result, Samples};

/// The number of samples summed in one task. It is fixed, so that the number of workers changes
/// nothing.
const CHUNK: usize = 32;

/// A channel's law: zero mean, and the variance of each of its modes.
#[derive(Debug, Clone, PartialEq)]
pub struct ModeLaw {
    /// The basis along y and x.
    pub bases: [Basis; 2],
    /// The variance of each mode, `[height, width]`, in the channel's unit squared.
    pub variance: Vec<f64>,
}

/// The distance of one channel, with that of the reference data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frechet {
    /// The channel's name.
    pub channel: String,
    /// The squared distance of the samples, over the law's total variance.
    pub distance: f64,
    /// The squared distance of as many reference samples.
    pub floor: f64,
}

/// The known laws of the channels of `pde` on a grid; none if the law is not Gaussian or not known.
pub fn known_laws(pde: &dyn Pde, grid: Grid) -> Option<Vec<ModeLaw>> {
    let (source, zero_boundary) = neumann_source(pde, grid)?;
    let symbol = pde.symbol(grid)?;
    let nodes = on_inner_nodes(grid, &source);
    let solution = nodes.iter().zip(symbol).map(|(v, s)| v * s * s).collect();

    let sine = |variance| ModeLaw { bases: [Basis::SineNodes; 2], variance };
    let cosine = |variance| ModeLaw { bases: [Basis::Cosine; 2], variance };
    let input = if zero_boundary { sine(nodes) } else { cosine(source) };
    Some(vec![input, sine(solution)])
}

/// The distances of every channel from its law: those of the samples, and those of `min(samples,
/// reference)` reference samples.
///
/// # Errors
/// Fails for laws of another grid or number of channels, and for fewer than two samples.
pub fn frechet(samples: &Samples, reference: &Samples, laws: &[ModeLaw]) -> Result<Vec<Frechet>> {
    let count = samples.count.min(reference.count);
    let fits = |s: &Samples| {
        s.channels.len() == laws.len()
            && laws.iter().all(|law| law.variance.len() == s.height * s.width)
    };
    if count < 2 || !fits(samples) || !fits(reference) {
        return Err(Error::Shape("the laws do not fit the samples, or fewer than two".into()));
    }

    let held_out = reference.slice(0..count);
    let compare = |(c, law): (usize, &ModeLaw)| Frechet {
        channel: samples.channels[c].clone(),
        distance: distance(samples, c, law),
        floor: distance(&held_out, c, law),
    };
    Ok(laws.iter().enumerate().map(compare).collect())
}

/// The squared distance of one channel from its law over the law's total variance.
pub fn distance(samples: &Samples, channel: usize, law: &ModeLaw) -> f64 {
    let (mean, variance) = mode_moments(samples, channel, law.bases);
    let term = |k: usize| mean[k].powi(2) + (variance[k].sqrt() - law.variance[k].sqrt()).powi(2);
    (0..mean.len()).map(term).sum::<f64>() / law.variance.iter().sum::<f64>()
}

/// The mean and the unbiased variance of every mode over the samples.
pub fn mode_moments(samples: &Samples, channel: usize, bases: [Basis; 2]) -> (Vec<f64>, Vec<f64>) {
    let n = samples.count as f64;
    let mut mean = mode_sums(samples, channel, bases, |_, v| v);
    mean.iter_mut().for_each(|m| *m /= n);
    let mut variance = mode_sums(samples, channel, bases, |k, v| (v - mean[k]).powi(2));
    variance.iter_mut().for_each(|v| *v /= (n - 1.0).max(1.0));
    (mean, variance)
}

fn mode_sums(
    samples: &Samples,
    channel: usize,
    bases: [Basis; 2],
    term: impl Fn(usize, f64) -> f64 + Sync,
) -> Vec<f64> {
    let points = samples.height * samples.width;

    let chunk_sum = |start: usize| {
        let mut sum = vec![0.0; points];
        for i in start..(start + CHUNK).min(samples.count) {
            let modes = modes_of(samples, i, channel, bases);
            sum.iter_mut().zip(modes).enumerate().for_each(|(k, (s, v))| *s += term(k, v));
        }
        sum
    };

    let starts: Vec<usize> = (0..samples.count).step_by(CHUNK).collect();
    let chunks: Vec<Vec<f64>> = starts.into_par_iter().map(chunk_sum).collect();
    (0..points).map(|k| chunks.iter().map(|chunk| chunk[k]).sum()).collect()
}

/// The variances of the cosine modes of a Gaussian source with zero normal derivative, and whether
/// it is cut to zero on the boundary; none for another law.
pub(crate) fn neumann_source(pde: &dyn Pde, grid: Grid) -> Option<(Vec<f64>, bool)> {
    let InputLaw::Gaussian { field: field @ GaussianField::Neumann(_), zero_boundary } =
        pde.input_law()
    else {
        return None;
    };
    let deviations = field.modes(grid);
    Some((deviations.deviations().iter().map(|d| d * d).collect(), zero_boundary))
}

/// The variances of the sine modes of that source's inner nodes. With G = sines cosines^T, mode (i,
/// j) is sum_kl G_ik G_jl a_kl, where the a_kl are independent.
fn on_inner_nodes(grid: Grid, cosine_variance: &[f64]) -> Vec<f64> {
    let Grid { ny, nx, .. } = grid;
    let [along_y, along_x] = [ny, nx].map(squares);
    let half = times_transpose(nx, cosine_variance, &along_x);
    // G_y V G_x^T, all squared: the second factor multiplies the transpose of the first product.
    let mut variance = times_transpose(ny, &along_y, &transpose(nx, &half));
    // The boundary nodes, which the basis carries last, are zero.
    for (i, v) in variance.iter_mut().enumerate() {
        if i / nx + 2 >= ny || i % nx + 2 >= nx {
            *v = 0.0;
        }
    }
    variance
}

/// The squares of G along an axis of `n` points.
fn squares(n: usize) -> Vec<f64> {
    let sines = basis_matrix(Basis::SineNodes, n);
    let cosines = basis_matrix(Basis::Cosine, n);
    let entry = |i: usize| -> f64 {
        let row = &sines[i / n * n..][..n];
        let dot: f64 = row.iter().zip(&cosines[i % n * n..]).map(|(s, c)| s * c).sum();
        dot * dot
    };
    (0..n * n).map(entry).collect()
}

/// A B^T of matrices whose rows have `n` values.
fn times_transpose(n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    let columns = b.len() / n;
    let dot = |i: usize| -> f64 {
        let [row, column] = [&a[i / columns * n..][..n], &b[i % columns * n..][..n]];
        row.iter().zip(column).map(|(p, q)| p * q).sum()
    };
    (0..a.len() / n * columns).into_par_iter().map(dot).collect()
}

/// The transpose of a matrix whose rows have `n` values.
fn transpose(n: usize, a: &[f64]) -> Vec<f64> {
    let rows = a.len() / n;
    (0..a.len()).map(|i| a[i % rows * n + i / rows]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::poisson::Poisson;

    use super::*;
    use crate::testing::{poisson_samples, samples_from, samples_of};
    use phys_instruct_physics::registry::by_name;

    #[test]
    fn two_opposite_samples_have_an_exact_distance() {
        // One point with one mode: the values 1 +- 2 have mean 1 and unbiased variance 8.
        let samples = samples_of(2, 1, 1, 1, vec![3.0, -1.0]);
        let law = ModeLaw { bases: [Basis::Cosine; 2], variance: vec![2.0] };
        let expected = (1.0 + (8f64.sqrt() - 2f64.sqrt()).powi(2)) / 2.0;
        assert!((distance(&samples, 0, &law) - expected).abs() < 1e-12);
    }

    #[test]
    fn exact_data_lies_at_three_halves_over_n_in_every_channel() {
        for name in ["poisson", "helmholtz"] {
            let pde = by_name(name).unwrap();
            let samples = samples_from(&*pde, 600, 12, 4);
            let laws = known_laws(&*pde, Grid::square(12)).unwrap();
            for found in frechet(&samples, &samples, &laws).unwrap() {
                let scaled = found.distance * 600.0;
                assert!((0.5..3.0).contains(&scaled), "{name} {}: {scaled}", found.channel);
                assert_eq!(found.distance, found.floor);
            }
        }
        assert_eq!(known_laws(&*by_name("darcy").unwrap(), Grid::square(12)), None);
    }

    #[test]
    fn scaling_the_fields_adds_the_square_of_the_lost_amplitude() {
        let (pde, samples) = poisson_samples(400, 12, 4);
        let laws = known_laws(&pde, Grid::square(12)).unwrap();
        let mut scaled = samples.clone();
        scaled.data.iter_mut().for_each(|v| *v *= 0.6);
        for found in frechet(&scaled, &samples, &laws).unwrap() {
            assert!((found.distance - 0.16).abs() < 0.03, "{found:?}");
        }
    }

    #[test]
    fn the_total_variance_of_the_law_is_that_of_the_field() {
        // Parseval: the sum of the modes' variances over the number of points is the mean variance
        // at a point. For alpha 2, tau 3 on 128 x 128 that is 0.292^2 (FunDPS, NeurIPS 2025).
        let total: f64 =
            neumann_source(&Poisson::default(), Grid::square(128)).unwrap().0.iter().sum();
        assert!(((total / 16384.0).sqrt() - 0.292).abs() < 0.002);
    }

    #[test]
    fn other_grids_are_refused() {
        let (pde, samples) = poisson_samples(4, 8, 1);
        assert!(frechet(&samples, &samples, &known_laws(&pde, Grid::square(9)).unwrap()).is_err());
        let laws = known_laws(&pde, Grid::square(8)).unwrap();
        assert!(frechet(&samples.slice(0..1), &samples, &laws).is_err());
    }
}
