//! The report's charts: PDE error against latency (the paper's Figure 1), the spectra and the
//! histograms of each channel.

use phys_instruct::Samples;
use phys_instruct::bench::{Row, SamplingMethod};
use phys_instruct::eval::histogram::{histogram, range};
use phys_instruct::eval::spectrum::{self, power_spectrum};
use phys_instruct_physics::{Channel, Pde};
use phys_instruct_report::lines::{Axis, Chart, Series};

/// Bins of a histogram.
const BINS: usize = 40;

/// The margin on either side of the first set's values, as a share of their range.
const MARGIN: f64 = 0.1;

/// One curve per method over its numbers of steps; the area of a dot is the sliced Wasserstein
/// distance to the data over that of the data's own halves.
pub fn error_against_latency(rows: &[Row]) -> Chart {
    let diffusion = rows.iter().filter(|r| r.key.method != SamplingMethod::Solver);
    let mut series: Vec<Series> = Vec::new();
    for row in diffusion {
        let name = row.key.label();
        let point = [1e3 * row.latency_seconds, row.pde_error];
        let area = row.sliced_wasserstein / row.sliced_wasserstein_floor;
        match series.iter_mut().find(|s| s.name == name) {
            Some(known) => {
                known.points.push(point);
                known.dots.push(area);
            }
            None => series.push(Series {
                name,
                points: vec![point],
                dots: vec![area],
                ..Series::default()
            }),
        }
    }

    Chart {
        title: "PDE error against latency".into(),
        caption: "Every dot is one number of steps; its area is the sliced Wasserstein distance \
                  to held-out data over that of two halves of the data."
            .into(),
        x: Axis { label: "latency of one sample, ms".into(), log: true },
        y: Axis { label: "relative RMS residual".into(), log: true },
        series,
    }
}

/// The radial power spectrum of each channel, one curve per set of samples of `pde`, without the
/// constant and up to the Nyquist wavenumber.
pub fn spectra(pde: &dyn Pde, sets: &[(String, Samples)], about: &str) -> Vec<Chart> {
    let curve = |c: usize, basis, (name, samples): &(String, Samples)| {
        let spectrum = power_spectrum(samples, c, basis);
        let nyquist = spectrum::nyquist(samples.grid());
        let points = spectrum.wavenumber.iter().zip(&spectrum.power).map(|(k, p)| [*k, *p]);
        let shown = |[k, p]: &[f64; 2]| (1.0..=nyquist).contains(k) && *p > 0.0;
        Series { name: name.clone(), points: points.filter(shown).collect(), ..Series::default() }
    };

    let chart = |(c, channel): (usize, &Channel)| Chart {
        title: format!("{}: spectrum of {}", pde.name(), channel.name),
        caption: about.into(),
        x: Axis { label: "wavenumber, cycles over the domain".into(), log: true },
        y: Axis { label: "mean square per mode".into(), log: true },
        series: sets.iter().map(|set| curve(c, channel.basis, set)).collect(),
    };

    pde.channels().iter().enumerate().map(chart).collect()
}

/// The histogram of each channel's values, one curve per set, over the range of the first set.
pub fn histograms(pde: &dyn Pde, sets: &[(String, Samples)], about: &str) -> Vec<Chart> {
    let Some((_, first)) = sets.first() else { return Vec::new() };

    let chart = |(c, channel): (usize, &Channel)| {
        let [low, high] = range(first, c);
        let margin = MARGIN * (high - low);
        let curve = |(name, samples): &(String, Samples)| {
            let points = histogram(samples, c, [low - margin, high + margin], BINS);
            Series { name: name.clone(), points, ..Series::default() }
        };
        Chart {
            title: format!("{}: values of {}", pde.name(), channel.name),
            caption: about.into(),
            x: Axis { label: format!("{}, {}", channel.name, channel.in_words()), log: false },
            y: Axis { label: "share of points in a bin".into(), log: false },
            series: sets.iter().map(curve).collect(),
        }
    };

    pde.channels().iter().enumerate().map(chart).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicBool;

    use phys_instruct::data::{self, Watch};
    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;

    #[test]
    fn every_channel_has_a_spectrum_and_a_histogram_that_can_be_drawn() {
        let pde = by_name("darcy").unwrap();
        let set = |seed: u64| {
            let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
            let samples =
                data::generate(pde.as_ref(), Grid::square(16), seed, 4, &mut watch).unwrap();
            (format!("set {seed}"), samples)
        };
        let sets = [set(1), set(2)];
        let spectra = spectra(pde.as_ref(), &sets, "4 samples each");
        let histograms = histograms(pde.as_ref(), &sets, "4 samples each");
        for charts in [&spectra, &histograms] {
            assert_eq!(charts.len(), 2);
            for chart in charts {
                let svg = chart.canvas().unwrap().to_svg();
                assert!(
                    svg.contains("set 1") && svg.contains("set 2") && svg.contains("4 samples")
                );
            }
        }
        let last = spectra[1].series[0].points.last().unwrap();
        assert_eq!(last[0], 8.0);
    }
}
