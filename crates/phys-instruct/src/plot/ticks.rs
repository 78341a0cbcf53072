//! Round numbers along an axis, and numbers as text.

/// Positions along an axis and what to write there.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticks {
    /// Where, in the axis's unit.
    pub values: Vec<f64>,
    /// The labels; multiply by ten to the `exponent`.
    pub labels: Vec<String>,
    /// 0 unless the numbers are below 0.1 or from 100,000.
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
        let exponent = shared_exponent(low.abs().max(high.abs()));
        let unit = 10f64.powi(exponent);
        let decimals = (-(step / unit * 1.000_001).log10().floor()).max(0.0) as usize;
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
}

/// A number with `digits` significant digits, as `0.081` or `3.1×10⁻⁶`.
pub fn significant(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits.max(1) - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 {
        return "0".into();
    }
    if (-3..5).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        return minus(&format!("{value:.decimals$}"));
    }
    let power = power_of_ten(exponent);
    if mantissa == "1" { power } else { format!("{}×{power}", minus(mantissa)) }
}

/// `10⁻³`.
pub fn power_of_ten(exponent: i32) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| match c.to_digit(10) {
        Some(digit) => RAISED[digit as usize],
        None => '⁻',
    };
    format!("10{}", exponent.to_string().chars().map(raise).collect::<String>())
}

/// The multiples of `step` within [low, high].
fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    let [first, last] = [(low / step - 1e-9).ceil(), (high / step + 1e-9).floor()];
    let count = (last - first + 1.0).max(0.0) as usize;
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

fn minus(number: &str) -> String {
    number.replace('-', "−")
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
        assert_eq!(labels(-1.0, 1.0), "−1.0 −0.5 0 0.5 1.0");
        assert_eq!(labels(3.0, 12.0), "4 6 8 10 12");
        assert_eq!(labels(-0.21, 0.21), "−0.2 0 0.2");
        let small = Ticks::linear(0.0, 5.7e-3, 4);
        assert_eq!((small.labels.join(" ").as_str(), small.exponent), ("0 2 4", -3));
    }

    #[test]
    fn decades_are_powers_of_ten_or_round_numbers_within_one() {
        assert_eq!(Ticks::logarithmic(2e-4, 0.3, 5).labels, ["10⁻³", "10⁻²", "10⁻¹"]);
        assert_eq!(Ticks::logarithmic(0.15, 0.9, 5).values, [0.2, 0.5]);
        assert!(Ticks::logarithmic(1e-12, 1.0, 4).values.len() <= 5);
    }

    #[test]
    fn numbers_are_short() {
        let found = [0.0, 0.0812, 3.14159e-6, -2.5, 123456.0, 1e-8].map(|v| significant(v, 2));
        assert_eq!(found, ["0", "0.081", "3.1×10⁻⁶", "−2.5", "1.2×10⁵", "1.0×10⁻⁸"]);
        assert_eq!(significant(1e-8, 1), "10⁻⁸");
    }
}
