//! The report's charts: PDE error against latency (the paper's Figure 1), the spectra and the
//! histograms of each channel.

use phys_instruct_physics::Pde;

use super::{Row, SamplingMethod, table};
use crate::Samples;
use crate::eval::spectrum::power_spectrum;
use crate::plot::lines::{Axis, Chart, Series};

/// Bins of a histogram.
const BINS: usize = 40;

/// Room on either side of the first set's values, as a share of their range.
const ROOM: f64 = 0.1;

/// One curve per method over its numbers of steps; the area of a dot is the sliced Wasserstein
/// distance to the data over that of the data's own halves.
pub fn error_against_latency(rows: &[Row]) -> Chart {
    let diffusion = rows.iter().filter(|r| r.key.method != SamplingMethod::Solver);
    let mut series: Vec<Series> = Vec::new();
    for row in diffusion {
        let name = table::cells(row)[0].clone();
        let point = [1e3 * row.latency_s, row.pde_error];
        let area = row.sliced_wasserstein / row.sliced_wasserstein_floor;
        match series.iter_mut().find(|s| s.name == name) {
            Some(known) => {
                known.points.push(point);
                known.dots.push(area);
            }
            None => series.push(Series { name, points: vec![point], dots: vec![area] }),
        }
    }
    Chart {
        title: "PDE error against latency; area of a dot: distance to the data".into(),
        x: Axis { label: "latency of one sample, ms".into(), log: true },
        y: Axis { label: "relative RMS residual".into(), log: true },
        series,
    }
}

/// The radial power spectrum of each channel, one curve per set of samples of `pde`, without the
/// constant and up to the Nyquist wavenumber.
pub fn spectra(pde: &dyn Pde, sets: &[(String, Samples)]) -> Vec<Chart> {
    let curve = |c: usize, basis, (name, samples): &(String, Samples)| {
        let spectrum = power_spectrum(samples, c, basis);
        let nyquist = samples.height.min(samples.width) as f64 / 2.0;
        let points = spectrum.wavenumber.iter().zip(&spectrum.power).map(|(k, p)| [*k, *p]);
        let shown = |[k, p]: &[f64; 2]| (1.0..=nyquist).contains(k) && *p > 0.0;
        Series { name: name.clone(), points: points.filter(shown).collect(), dots: vec![] }
    };
    let chart = |(c, channel): (usize, &phys_instruct_physics::Channel)| Chart {
        title: format!("Spectrum of {}", channel.name),
        x: Axis { label: "wavenumber, cycles over the domain".into(), log: true },
        y: Axis { label: "mean square per mode".into(), log: true },
        series: sets.iter().map(|set| curve(c, channel.basis, set)).collect(),
    };
    pde.channels().iter().enumerate().map(chart).collect()
}

/// The histogram of each channel's values, one curve per set, over the range of the first set.
pub fn histograms(sets: &[(String, Samples)]) -> Vec<Chart> {
    let Some((_, first)) = sets.first() else { return Vec::new() };
    let chart = |(c, channel): (usize, &String)| {
        let [low, high] = range(first, c);
        let room = ROOM * (high - low);
        let [low, high] = [low - room, high + room];
        let curve = |(name, samples): &(String, Samples)| {
            let points = histogram(samples, c, [low, high]);
            Series { name: name.clone(), points, dots: vec![] }
        };
        Chart {
            title: format!("Values of {channel}"),
            x: Axis { label: channel.clone(), log: false },
            y: Axis { label: "share of points in a bin".into(), log: false },
            series: sets.iter().map(curve).collect(),
        }
    };
    first.channels.iter().enumerate().map(chart).collect()
}

fn values_of(samples: &Samples, channel: usize) -> impl Iterator<Item = f64> {
    (0..samples.count).flat_map(move |i| samples.field(i, channel)).map(|v| f64::from(*v))
}

fn range(samples: &Samples, channel: usize) -> [f64; 2] {
    let bounds = |[low, high]: [f64; 2], v: f64| [low.min(v), high.max(v)];
    values_of(samples, channel).fold([f64::INFINITY, f64::NEG_INFINITY], bounds)
}

/// The middle of each bin and the share of the values in it; what lies outside is in no bin.
fn histogram(samples: &Samples, channel: usize, [low, high]: [f64; 2]) -> Vec<[f64; 2]> {
    let width = (high - low) / BINS as f64;
    let mut counts = [0usize; BINS];
    for value in values_of(samples, channel) {
        let bin = (value - low) / width;
        if bin >= 0.0 && bin < BINS as f64 {
            counts[bin as usize] += 1;
        }
    }
    let all = samples.count * samples.height * samples.width;
    let point = |(i, n): (usize, &usize)| [low + (i as f64 + 0.5) * width, *n as f64 / all as f64];
    counts.iter().enumerate().map(point).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::eval::testing::{samples_from, samples_of};

    #[test]
    fn every_channel_has_a_spectrum_and_a_histogram_that_can_be_drawn() {
        let pde = by_name("darcy").unwrap();
        let sets: Vec<(String, Samples)> =
            [1, 2].map(|seed| (format!("{seed}"), samples_from(pde.as_ref(), 4, 16, seed))).into();
        let [spectra, histograms] = [spectra(pde.as_ref(), &sets), histograms(&sets)];
        for charts in [&spectra, &histograms] {
            assert_eq!(charts.len(), 2);
            assert!(charts.iter().all(|c| c.series.len() == 2 && c.drawing().is_ok()));
        }
        let last = spectra[1].series[0].points.last().unwrap();
        assert_eq!(last[0], 8.0);
    }

    #[test]
    fn shares_of_a_histogram_are_those_of_the_values() {
        let first = samples_of(1, 1, 2, 2, vec![0.0, 0.0, 0.0, 1.0]);
        let other = samples_of(1, 1, 2, 2, vec![1.0, 1.0, 9.0, -9.0]);
        let charts = histograms(&[("first".into(), first), ("other".into(), other)]);
        let filled = |series: &Series| -> Vec<f64> {
            series.points.iter().map(|p| p[1]).filter(|share| *share > 0.0).collect()
        };
        assert_eq!(filled(&charts[0].series[0]), [0.75, 0.25]);
        assert_eq!(filled(&charts[0].series[1]), [0.5]);
    }
}
