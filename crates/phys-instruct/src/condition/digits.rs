//! Numbers in sentences and tables, with as many digits as they mean.

/// The digits of a number that is compared with others.
const FEW: i32 = 3;
/// The digits of a number that was given, so that it is found again in its file.
const GIVEN: i32 = 6;
/// The digits of a coordinate.
const OF_COORDINATE: i32 = 4;
/// The digits of a standard deviation that the value before it is shown to.
const OF_DEVIATION: i32 = 2;
/// The most digits of a value beside its deviation: `f32` has no more.
const MOST: i32 = 8;

/// The number with three digits.
pub(crate) fn short(value: f64) -> String {
    rounded(value, FEW)
}

/// The number as it was given, up to six digits.
pub(crate) fn given(value: f64) -> String {
    rounded(value, GIVEN)
}

/// The coordinate with four digits.
pub fn coordinate(value: f64) -> String {
    rounded(value, OF_COORDINATE)
}

/// The value to the second digit of its standard deviation, with three digits at least. Without a
/// deviation above 0 it is shown as given.
///
/// ```
/// use phys_instruct::condition::digits::within;
///
/// assert_eq!(within(105.9483, 0.013), "105.948");
/// assert_eq!(within(0.0123456, 0.2), "0.0123");
/// ```
pub fn within(value: f64, sd: f64) -> String {
    if !(sd > 0.0 && sd.is_finite()) || value == 0.0 {
        return given(value);
    }
    let digits = OF_DEVIATION + magnitude(value) - magnitude(sd);
    rounded(value, digits.clamp(FEW, MOST))
}

/// The power of ten of the first digit of a number that is not 0.
fn magnitude(value: f64) -> i32 {
    value.abs().log10().floor() as i32
}

/// The number with so many digits.
fn rounded(value: f64, digits: i32) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let decimals = digits - 1 - magnitude(value);
    if (1 - digits..=3 + digits).contains(&decimals) {
        let unit = 10f64.powi(decimals);
        return format!("{}", (value * unit).round() / unit);
    }
    format!("{value:.*e}", digits.max(1) as usize - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_the_digits_that_it_means() {
        for (found, expected) in [
            (short(105.948), "106"),
            (short(0.0012345), "0.00123"),
            (short(-1.234e-9), "-1.23e-9"),
            (given(-9999.0), "-9999"),
            (given(101.23), "101.23"),
            (given(1.5e12), "1.50000e12"),
            (coordinate(544.31), "544.3"),
            (coordinate(0.5078125), "0.5078"),
            (within(105.9483, 0.013), "105.948"),
            (within(105.9483, 4.0), "105.9"),
            (within(105.9483, 400.0), "106"),
            (within(3.25, 0.0), "3.25"),
            (within(3.25, f64::NAN), "3.25"),
            (within(0.0, 0.1), "0"),
            (short(f64::NAN), "NaN"),
            (short(f64::INFINITY), "inf"),
        ] {
            assert_eq!(found, expected);
        }
    }
}
