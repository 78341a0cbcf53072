//! Numbers as text: typeset for tables and pictures, plain for terminals.

/// A number with `digits` significant digits as it is printed in a table: `0.081`, `3.1×10⁻⁶`.
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".into();
    }

    let scientific = format!("{value:.*e}", digits.max(1) - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-3..5).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        return minus(&format!("{value:.decimals$}"));
    }

    let power = power_of_ten(exponent);
    match mantissa {
        "1" => power,
        "-1" => minus(&format!("-{power}")),
        _ => format!("{}×{power}", minus(mantissa)),
    }
}

/// A number with three significant digits as a terminal shows it and a shell takes it: `1.23e-6`.
pub fn plain(value: f64) -> String {
    if value == 0.0 || (1e-3..1e5).contains(&value.abs()) {
        let before = value.abs().max(f64::MIN_POSITIVE).log10().floor().max(-3.0) as i64;
        let decimals = if value == 0.0 { 0 } else { (2 - before).max(0) as usize };
        format!("{value:.decimals$}")
    } else {
        format!("{value:.2e}")
    }
}

/// A power of ten, `10⁻³`.
pub fn power_of_ten(exponent: i32) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| match c.to_digit(10) {
        Some(digit) => RAISED[digit as usize],
        None => '⁻',
    };
    format!("10{}", exponent.to_string().chars().map(raise).collect::<String>())
}

/// A number with the sign of print in place of the hyphen.
pub(crate) fn minus(number: &str) -> String {
    number.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typeset_numbers_are_short() {
        let found = [0.0, 0.0812, 3.14159e-6, -2.5, 123456.0, 1e-8].map(|v| significant(v, 2));
        assert_eq!(found, ["0", "0.081", "3.1×10⁻⁶", "−2.5", "1.2×10⁵", "1.0×10⁻⁸"]);
        assert_eq!([1e-8, -1e-8].map(|v| significant(v, 1)), ["10⁻⁸", "−10⁻⁸"]);
        assert_eq!(significant(f64::NAN, 3), "NaN");
    }

    #[test]
    fn plain_numbers_keep_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.16849, "0.168"),
            (0.0012345, "0.00123"),
            (12.345, "12.3"),
            (1234.5, "1234"),
            (-0.5, "-0.500"),
            (1.234e-6, "1.23e-6"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(plain(value), text);
        }
    }
}
