//! The distribution of a channel's values, places and samples pooled.

use crate::Samples;

/// The least and the largest value of a channel; infinite and reversed where there is none.
pub fn range(samples: &Samples, channel: usize) -> [f64; 2] {
    let bounds = |[low, high]: [f64; 2], v: f64| [low.min(v), high.max(v)];
    values_of(samples, channel).fold([f64::INFINITY, f64::NEG_INFINITY], bounds)
}

/// The middle of each of `bins` equal parts of \[low, high\], and the share of the channel's values
/// in that part. Values outside the interval are in none.
pub fn histogram(
    samples: &Samples,
    channel: usize,
    [low, high]: [f64; 2],
    bins: usize,
) -> Vec<[f64; 2]> {
    let width = (high - low) / bins as f64;
    let mut counts = vec![0usize; bins];
    for value in values_of(samples, channel) {
        let bin = (value - low) / width;
        if (0.0..bins as f64).contains(&bin) {
            counts[bin as usize] += 1;
        }
    }
    let all = samples.count * samples.height * samples.width;
    let point = |(i, n): (usize, &usize)| [low + (i as f64 + 0.5) * width, *n as f64 / all as f64];
    counts.iter().enumerate().map(point).collect()
}

fn values_of(samples: &Samples, channel: usize) -> impl Iterator<Item = f64> {
    (0..samples.count).flat_map(move |i| samples.field(i, channel)).map(|v| f64::from(*v))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::samples_of;

    #[test]
    fn shares_are_those_of_the_values_and_outliers_are_in_no_bin() {
        let first = samples_of(1, 1, 2, 2, vec![0.0, 0.0, 0.0, 1.0]);
        let other = samples_of(1, 1, 2, 2, vec![1.0, 1.0, 9.0, -9.0]);
        assert_eq!((range(&first, 0), range(&other, 0)), ([0.0, 1.0], [-9.0, 9.0]));
        let filled = |samples: &Samples| -> Vec<[f64; 2]> {
            let all = histogram(samples, 0, [-0.5, 1.5], 2);
            all.into_iter().filter(|[_, share]| *share > 0.0).collect()
        };
        assert_eq!(filled(&first), [[0.0, 0.75], [1.0, 0.25]]);
        assert_eq!(filled(&other), [[1.0, 0.5]]);
    }
}
