//! Radially averaged power spectra, in the basis that fits each channel's boundary.
//!
//! Wavenumbers count cycles over the domain: mode k of a cosine basis has k/2, of a sine basis
//! (k+1)/2, of the Fourier basis ceil(k/2). On a rectangle they count cycles over its longer side,
//! along either axis. Bin b holds the modes with |wavenumber| in [b - 1/2, b
//! + 1/2). Its power is the mean square coefficient per mode, averaged over samples.

use phys_instruct_physics::transform::forward_2d;
use phys_instruct_physics::{Basis, Grid, Pde};
use rayon::prelude::*;
use serde::Serialize;

use crate::{Error, Result, Samples};

/// Power below this share of the mean power per mode counts as `f32` rounding.
const ROUNDING: f64 = 1e-14;

/// The power of one channel as a function of the wavenumber.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spectrum {
    /// Wavenumber in cycles over the domain's longer side: 0, 1, 2, ...
    pub wavenumber: Vec<f64>,
    /// The mean square coefficient per mode (orthonormal basis), in the channel's unit squared.
    pub power: Vec<f64>,
}

/// The difference of one channel's spectrum from the reference's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpectrumError {
    /// The channel's name.
    pub channel: String,
    /// The wavenumbers of the bins compared, whose reference power is above rounding.
    pub wavenumber: Vec<f64>,
    /// |P - P_ref| / P_ref in each bin.
    pub relative: Vec<f64>,
    /// The largest relative difference over wavenumbers from 1 to half the Nyquist wavenumber.
    pub max: f64,
    /// The mean relative difference over the same wavenumbers.
    pub mean: f64,
}

/// The coefficients of channel `channel` of sample `i`, `[height, width]`.
pub fn modes_of(samples: &Samples, i: usize, channel: usize, bases: [Basis; 2]) -> Vec<f64> {
    let mut field: Vec<f64> = samples.field(i, channel).iter().map(|&v| f64::from(v)).collect();
    forward_2d(bases, samples.height, samples.width, &mut field);
    field
}

/// The power spectrum of one channel, up to the diagonal of the grid's Nyquist rectangle.
pub fn power_spectrum(samples: &Samples, channel: usize, bases: [Basis; 2]) -> Spectrum {
    let bin = bins(bases, samples.grid());
    let last = bin.iter().flatten().max().copied().unwrap_or(0);
    let mut modes = vec![0usize; last + 1];
    bin.iter().flatten().for_each(|&b| modes[b] += 1);
    let parts: Vec<Vec<f64>> = (0..samples.count)
        .into_par_iter()
        .map(|i| binned_squares(&modes_of(samples, i, channel, bases), &bin, last))
        .collect();
    let mean = |b: usize| {
        let sum: f64 = parts.iter().map(|part| part[b]).sum();
        sum / (modes[b].max(1) * samples.count.max(1)) as f64
    };
    let wavenumber = (0..=last).map(|b| b as f64).collect();
    Spectrum { wavenumber, power: (0..=last).map(mean).collect() }
}

/// Compares the spectrum of every channel with the reference's.
///
/// # Errors
/// Fails for channels or grids that do not fit each other.
pub fn spectrum_error(
    samples: &Samples,
    reference: &Samples,
    pde: &dyn Pde,
) -> Result<Vec<SpectrumError>> {
    let channels = pde.channels();
    let shape = |s: &Samples| (s.channels.len(), s.grid());
    if shape(samples) != shape(reference) || channels.len() != samples.channels.len() {
        let [got, want] = [shape(samples), shape(reference)];
        return Err(Error::Shape(format!("spectra of {got:?} against {want:?}")));
    }

    let half_nyquist = 0.5 * nyquist(samples.grid());
    let compare = |(c, channel): (usize, &phys_instruct_physics::Channel)| {
        let [x, y] = [samples, reference].map(|s| power_spectrum(s, c, channel.basis));
        relative_error(&channel.name, &x, &y, half_nyquist)
    };
    Ok(channels.iter().enumerate().map(compare).collect())
}

fn relative_error(
    channel: &str,
    x: &Spectrum,
    reference: &Spectrum,
    half_nyquist: f64,
) -> SpectrumError {
    let mean_power = reference.power.iter().sum::<f64>() / reference.power.len() as f64;

    let kept: Vec<usize> = (0..reference.power.len())
        .filter(|&b| reference.power[b] > ROUNDING * mean_power)
        .collect();
    let wavenumber: Vec<f64> = kept.iter().map(|&b| reference.wavenumber[b]).collect();
    let relative: Vec<f64> =
        kept.iter().map(|&b| (x.power[b] / reference.power[b] - 1.0).abs()).collect();

    let resolved: Vec<f64> = wavenumber
        .iter()
        .zip(&relative)
        .filter(|(k, _)| (1.0..=half_nyquist).contains(*k))
        .map(|(_, &e)| e)
        .collect();
    let max = resolved.iter().copied().fold(0.0, f64::max);
    let mean = resolved.iter().sum::<f64>() / resolved.len().max(1) as f64;
    SpectrumError { channel: channel.into(), wavenumber, relative, max, mean }
}

fn binned_squares(modes: &[f64], bin: &[Option<usize>], last: usize) -> Vec<f64> {
    let mut squares = vec![0.0; last + 1];
    for (value, bin) in modes.iter().zip(bin) {
        if let Some(b) = bin {
            squares[*b] += value * value;
        }
    }
    squares
}

/// The bin of each mode; none for the boundary nodes that [`Basis::SineNodes`] and
/// [`Basis::CosineNodes`] carry last.
fn bins(bases: [Basis; 2], grid: Grid) -> Vec<Option<usize>> {
    let [along_y, along_x] = over_longer(grid);
    let at = |i: usize| {
        let ky = along_y * cycles(bases[0], grid.ny, i / grid.nx)?;
        let kx = along_x * cycles(bases[1], grid.nx, i % grid.nx)?;
        Some(ky.hypot(kx).round() as usize)
    };
    (0..grid.points()).map(at).collect()
}

/// The largest wavenumber that the grid carries along both axes, in cycles over its longer side.
pub fn nyquist(grid: Grid) -> f64 {
    let [along_y, along_x] = over_longer(grid);
    (grid.ny as f64 * along_y).min(grid.nx as f64 * along_x) / 2.0
}

/// The longer side over that along y and over that along x.
fn over_longer(grid: Grid) -> [f64; 2] {
    grid.sides().map(|side| grid.ly.max(grid.lx) / side)
}

/// The cycles over the domain of mode `k` of `n`.
fn cycles(basis: Basis, n: usize, k: usize) -> Option<f64> {
    match basis {
        Basis::Cosine => Some(k as f64 / 2.0),
        Basis::SineCells | Basis::SineInner => Some((k + 1) as f64 / 2.0),
        Basis::SineNodes => (k + 2 < n).then_some((k + 1) as f64 / 2.0),
        Basis::CosineNodes => (k + 2 < n).then_some(k as f64 / 2.0),
        Basis::Fourier => Some(k.div_ceil(2) as f64),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{poisson_samples, samples_of};
    use std::f64::consts::PI;

    #[test]
    fn one_cosine_mode_fills_one_bin_with_its_power() {
        // cos(6 pi x) has 3 cycles. Over n*n points its sum of squares is 9 n^2 / 2 for amplitude
        // 3.
        let n = 16;
        let wave = |i: usize| 3.0 * (6.0 * PI * ((i % n) as f64 + 0.5) / n as f64).cos();
        let samples = samples_of(1, 1, n, n, (0..n * n).map(|i| wave(i) as f32).collect());
        let spectrum = power_spectrum(&samples, 0, [Basis::Cosine; 2]);
        let bin = bins([Basis::Cosine; 2], Grid::square(n));
        let in_bin = bin.iter().filter(|b| **b == Some(3)).count();
        let expected = 4.5 * (n * n) as f64 / in_bin as f64;
        assert!((spectrum.power[3] / expected - 1.0).abs() < 1e-5);
        let rest = spectrum.power.iter().enumerate().filter(|(b, _)| *b != 3).map(|(_, p)| p);
        assert!(rest.sum::<f64>() < 1e-9 * expected);
    }

    #[test]
    fn each_basis_counts_cycles() {
        assert_eq!(cycles(Basis::Fourier, 8, 5), Some(3.0));
        assert_eq!(cycles(Basis::SineCells, 8, 1), Some(1.0));
        assert_eq!(cycles(Basis::SineNodes, 8, 5), Some(3.0));
        assert_eq!(cycles(Basis::SineNodes, 8, 6), None);
        assert_eq!(cycles(Basis::CosineNodes, 8, 5), Some(2.5));
        assert_eq!(cycles(Basis::CosineNodes, 8, 6), None);
    }

    #[test]
    fn halving_the_field_loses_three_quarters_of_the_power() {
        let (pde, reference) = poisson_samples(8, 16, 1);
        let mut halved = reference.clone();
        halved.data.iter_mut().for_each(|v| *v *= 0.5);
        for error in spectrum_error(&halved, &reference, &pde).unwrap() {
            assert!((error.max - 0.75).abs() < 1e-4 && (error.mean - 0.75).abs() < 1e-4);
            assert!(error.wavenumber.len() > 4);
        }
        assert!(spectrum_error(&reference, &reference, &pde).unwrap()[1].max < 1e-12);
    }
}
