//! Means and standard deviations of the channels.

use rayon::prelude::*;
use serde::Serialize;

use crate::Samples;

/// The mean and the standard deviation of all values of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Moments {
    /// The mean, in the channel's unit.
    pub mean: f64,
    /// The standard deviation, in the channel's unit.
    pub sd: f64,
}

/// The moments of each channel, over samples and points together.
pub fn channel_moments(samples: &Samples) -> Vec<Moments> {
    (0..samples.channels.len()).into_par_iter().map(|c| moments(samples, c)).collect()
}

/// The spread of each channel: the standard deviation over samples at a point, as a root mean
/// square over the points. It is 0 for samples that are all alike, however much the field varies in
/// space.
pub fn spread(samples: &Samples) -> Vec<f64> {
    (0..samples.channels.len()).into_par_iter().map(|c| channel_spread(samples, c)).collect()
}

/// The [`spread`] of the samples over that of the reference, per channel. A ratio below 1 means
/// that the samples lack diversity or amplitude. It is infinite or NaN if the reference does not
/// vary.
pub fn std_ratio(samples: &Samples, reference: &Samples) -> Vec<f64> {
    spread(samples).iter().zip(spread(reference)).map(|(s, r)| s / r).collect()
}

fn moments(samples: &Samples, channel: usize) -> Moments {
    let values = || (0..samples.count).flat_map(|i| samples.field(i, channel));
    let n = (samples.count * samples.height * samples.width) as f64;
    let mean = values().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = values().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    Moments { mean, sd: variance.sqrt() }
}

fn channel_spread(samples: &Samples, channel: usize) -> f64 {
    let points = samples.height * samples.width;
    let mut mean = vec![0.0; points];
    for i in 0..samples.count {
        for (m, &v) in mean.iter_mut().zip(samples.field(i, channel)) {
            *m += f64::from(v) / samples.count as f64;
        }
    }
    let square = |i| -> f64 {
        let field = samples.field(i, channel);
        field.iter().zip(&mean).map(|(&v, m)| (f64::from(v) - m).powi(2)).sum()
    };
    let degrees = (samples.count.max(2) - 1) * points;
    ((0..samples.count).map(square).sum::<f64>() / degrees as f64).sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{gaussian_samples, samples_of};

    #[test]
    fn moments_of_a_small_set_by_hand() {
        let samples = samples_of(2, 1, 1, 2, vec![1.0, 3.0, 5.0, 7.0]);
        let m = channel_moments(&samples)[0];
        assert!((m.mean - 4.0).abs() < 1e-12 && (m.sd - 5f64.sqrt()).abs() < 1e-12);
        // The two values of each point lie 4 apart: their variance is 8.
        assert!((spread(&samples)[0] - 8f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn collapsed_samples_have_no_spread_and_scaled_ones_the_factor() {
        let reference = gaussian_samples(50, 2, 4, 1);
        let mut collapsed = reference.clone();
        for i in 0..50 {
            let n = collapsed.sample_len();
            collapsed.data.copy_within(0..n, i * n);
        }
        assert!(std_ratio(&collapsed, &reference).iter().all(|r| r.abs() < 1e-6));
        let mut scaled = reference.clone();
        scaled.data.iter_mut().for_each(|v| *v = 3.0 - 0.5 * *v);
        assert!(std_ratio(&scaled, &reference).iter().all(|r| (r - 0.5).abs() < 1e-6));
    }
}
