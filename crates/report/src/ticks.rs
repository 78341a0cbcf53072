//! Round numbers along an axis.

use crate::font::text_width;
use crate::number::{minus, power_of_ten, significant};

/// The share of a letter's size between two labels at least.
const BETWEEN: f64 = 0.8;
/// The range of an axis far from 0, as a share of its largest value.
const OFFSET: f64 = 0.1;

/// Positions along an axis and the labels there.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticks {
    /// The positions, in the axis's unit.
    pub values: Vec<f64>,
    /// The labels; a label times ten to the `exponent` is the value.
    pub labels: Vec<String>,
    /// 0 unless the numbers are below 0.1 or from 100,000, and their range is no small share of
    /// them.
    pub exponent: i32,
}

impl Ticks {
    /// About `count` multiples of 1, 2 or 5 times a power of ten within [low, high].
    pub fn linear(low: f64, high: f64, count: usize) -> Self {
        let rough = (high - low) / count.max(1) as f64;
        let coarse = round_step(rough);
        // Three ticks at least, or the spacing cannot be read.
        let enough = multiples(low, high, coarse).len() > 2;
        let step = if enough { coarse } else { round_step(0.5 * rough) };

        let values = multiples(low, high, step);
        let largest = low.abs().max(high.abs());
        // Coordinates of a map are read digit by digit.
        let is_offset = high - low < OFFSET * largest && largest < 1e8;
        let exponent = if is_offset && largest >= 1.0 { 0 } else { shared_exponent(largest) };
        let unit = 10f64.powi(exponent);
        // The digits of a step that is a rounding error below its power of ten.
        let decimals = (-(step / unit * 1.000_001).log10().floor()).clamp(0.0, 17.0) as usize;
        let label = |v: &f64| match *v {
            0.0 => "0".to_string(),
            v => minus(&format!("{:.decimals$}", v / unit)),
        };
        Self { labels: values.iter().map(label).collect(), values, exponent }
    }

    /// Powers of ten within [low, high], thinned to about `count`; where there is but one, 1-2-5
    /// multiples.
    pub fn logarithmic(low: f64, high: f64, count: usize) -> Self {
        let first = (low.log10() - 1e-9).ceil() as i32;
        let last = (high.log10() + 1e-9).floor() as i32;
        if last <= first {
            return Self::within_a_decade(low, high);
        }
        let stride = ((last - first) as usize / count.max(1)).max(1);
        let powers: Vec<i32> = (first..=last).step_by(stride).collect();
        let values = powers.iter().map(|&p| 10f64.powi(p)).collect();
        Self { values, labels: powers.iter().map(|&p| power_of_ten(p)).collect(), exponent: 0 }
    }

    fn within_a_decade(low: f64, high: f64) -> Self {
        let start = low.log10().floor() as i32;
        let values: Vec<f64> = (start..start + 3)
            .flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p)))
            .filter(|v| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(v))
            .collect();
        let labels = values.iter().map(|&v| significant(v, 1)).collect();
        Self { values, labels, exponent: 0 }
    }

    /// Every second tick, again and again, until the labels fit side by side into `length` pixels.
    pub fn fitting(mut self, length: f64, size: f64) -> Self {
        while self.labels.len() > 1
            && (self.widest(size) + BETWEEN * size) * self.labels.len() as f64 > length
        {
            self.values = self.values.into_iter().step_by(2).collect();
            self.labels = self.labels.into_iter().step_by(2).collect();
        }
        self
    }

    /// Width of the widest label in letters of `size` pixels.
    pub fn widest(&self, size: f64) -> f64 {
        self.labels.iter().map(|label| text_width(label, size)).fold(0.0, f64::max)
    }

    /// The factor that the labels leave out, ` (×10⁻³)`; nothing for 1.
    pub fn factor(&self) -> String {
        match self.exponent {
            0 => String::new(),
            power => format!(" (×{})", power_of_ten(power)),
        }
    }
}

/// The multiples of `step` within [low, high].
fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    // More are asked for nowhere; a step lost to rounding would give any number of them.
    const MOST: f64 = 100.0;
    let [first, last] = [(low / step - 1e-9).ceil(), (high / step + 1e-9).floor()];
    let count = (last - first + 1.0).clamp(0.0, MOST) as usize;
    // Adding 0.0 makes a negative zero positive.
    (0..count).map(|i| (first + i as f64) * step + 0.0).collect()
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let ratio = rough / power;
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| ratio <= f * (1.0 + 1e-9));
    factor.unwrap_or(10.0) * power
}

fn shared_exponent(largest: f64) -> i32 {
    let exponent = largest.log10().floor() as i32;
    if (-1..5).contains(&exponent) || largest == 0.0 { 0 } else { exponent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_one_two_or_five_and_inside() {
        for (low, high) in
            [(0.0, 1.0), (-0.73, 0.73), (-0.048, 0.048), (2.9, 12.1), (-3e-7, 8e-7), (1e5, 1.3e5)]
        {
            let ticks = Ticks::linear(low, high, 4);
            let n = ticks.values.len();
            assert!((3..=6).contains(&n), "{ticks:?}");
            assert!(ticks.values[0] >= low - 1e-12 && ticks.values[n - 1] <= high * (1.0 + 1e-12));
            let step = ticks.values[1] - ticks.values[0];
            let mantissa = step / 10f64.powf((step * 1.000_001).log10().floor());
            assert!([1.0, 2.0, 5.0].iter().any(|m| (mantissa - m).abs() < 1e-6), "{mantissa}");
        }
    }

    #[test]
    fn labels_have_the_digits_the_step_needs() {
        let labels = |low, high| Ticks::linear(low, high, 4).labels.join(" ");
        assert_eq!(labels(5_641_000.0, 5_642_000.0), "5641000 5641500 5642000");
        assert_eq!(labels(-1.0, 1.0), "−1.0 −0.5 0 0.5 1.0");
        assert_eq!(labels(3.0, 12.0), "4 6 8 10 12");
        assert_eq!(labels(-0.21, 0.21), "−0.2 0 0.2");
        let small = Ticks::linear(0.0, 5.7e-3, 4);
        assert_eq!((small.labels.join(" ").as_str(), small.exponent), ("0 2 4", -3));
        assert_eq!(small.factor(), " (×10⁻³)");
    }

    #[test]
    fn numbers_at_the_ends_of_what_can_be_written_have_few_ticks() {
        for (low, high) in
            [(-1e300, 1e300), (0.0, 1e-300), (1.0, 1.0 + 1e-15), (3.4e38, 3.5e38), (0.0, 5e-324)]
        {
            let ticks = Ticks::linear(low, high, 4);
            assert!(ticks.values.len() <= 100 && ticks.labels.len() == ticks.values.len());
            assert!(ticks.labels.iter().all(|label| label.chars().count() < 25), "{ticks:?}");
        }
    }

    #[test]
    fn labels_that_would_overlap_are_thinned() {
        let wide = Ticks::linear(1e9, 1e9 + 70.0, 5);
        let fitting = wide.clone().fitting(150.0, 11.0);
        assert!(fitting.labels.len() < wide.labels.len() && !fitting.labels.is_empty());
        let total = fitting.labels.iter().map(|label| text_width(label, 11.0)).sum::<f64>();
        assert!(fitting.labels.len() == 1 || total < 150.0);
        let narrow = Ticks::linear(0.0, 1.0, 4);
        assert_eq!(narrow.clone().fitting(150.0, 11.0), narrow);
    }

    #[test]
    fn decades_are_powers_of_ten_or_round_numbers_within_one() {
        assert_eq!(Ticks::logarithmic(2e-4, 0.3, 5).labels, ["10⁻³", "10⁻²", "10⁻¹"]);
        assert_eq!(Ticks::logarithmic(0.15, 0.9, 5).values, [0.2, 0.5]);
        assert!(Ticks::logarithmic(1e-12, 1.0, 4).values.len() <= 5);
    }
}
