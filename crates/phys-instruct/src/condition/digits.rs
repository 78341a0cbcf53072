//! Numbers in sentences and tables, with as many digits as they mean.

use phys_instruct_physics::Grid;

/// The digits of a number that is compared with others.
const FEW: i32 = 3;
/// The digits of a number that was given, so that it is found again in its file. `f32` has no more.
const GIVEN: i32 = 7;
/// A coordinate ends so many digits behind the first one of the spacing.
const OF_SPACING: i32 = 5;
/// A value ends at this digit of its standard deviation.
const OF_DEVIATION: i32 = 3;
/// The most digits of a value beside its deviation: `f32` has no more.
const MOST: i32 = 8;

/// The zeros behind the point up to which a small number is written without a power of ten.
const MOST_DECIMALS: i32 = 3;
/// The decimals, less than 0, from which on a large one is: its last four digits may be zeros.
const MOST_ZEROS: i32 = -4;

/// The number with three digits.
pub(crate) fn short(value: f64) -> String {
    rounded(value, FEW)
}

/// The number as it was given, up to seven digits.
///
/// ```
/// use phys_instruct::condition::digits::given;
///
/// assert_eq!(given(544.3), "544.3");
/// ```
pub fn given(value: f64) -> String {
    rounded(value, GIVEN)
}

/// The coordinates y and x to a hundred-thousandth of the grid's spacings, without zeros at the
/// end.
///
/// ```
/// use phys_instruct::condition::digits::place;
/// use phys_instruct_physics::Grid;
///
/// let grid = Grid::new([20, 63], [1000.0, 1.0])?;
/// assert_eq!(place([5_641_123.4, 10.0 / 63.0], grid), ["5641123.4", "0.1587302"]);
/// # Ok::<(), phys_instruct_physics::Error>(())
/// ```
pub fn place([y, x]: [f64; 2], grid: Grid) -> [String; 2] {
    let Grid { ny, nx, ly, lx } = grid;
    [coordinate(y, ly / ny as f64), coordinate(x, lx / nx as f64)]
}

/// A coordinate to a hundred-thousandth of the grid's `spacing` there.
fn coordinate(value: f64, spacing: f64) -> String {
    if !(spacing > 0.0 && spacing.is_finite()) {
        return given(value);
    }
    let unit = 10f64.powi(OF_SPACING - magnitude(spacing));
    let rounded = (value * unit).round() / unit;
    if rounded.is_finite() { format!("{}", rounded + 0.0) } else { given(value) }
}

/// The value to the third digit of its standard deviation, with three digits at least. Without a
/// deviation above 0 it is shown as given.
///
/// ```
/// use phys_instruct::condition::digits::within;
///
/// assert_eq!(within(105.9, 0.013), "105.9000");
/// assert_eq!(within(0.0123456, 0.2), "0.0123");
/// ```
pub fn within(value: f64, sd: f64) -> String {
    if !(sd > 0.0 && sd.is_finite() && value.is_finite()) || value == 0.0 {
        return given(value);
    }
    let digits = (OF_DEVIATION + magnitude(value) - magnitude(sd)).clamp(FEW, MOST);
    let decimals = digits - 1 - magnitude(value);
    match usize::try_from(decimals) {
        // Zeros at the end are digits of the value, too.
        Ok(shown) if decimals <= MOST_DECIMALS + digits => format!("{value:.shown$}"),
        _ => rounded(value, digits),
    }
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
    if (MOST_ZEROS..=MOST_DECIMALS + digits).contains(&decimals) {
        let unit = 10f64.powi(decimals);
        return format!("{}", (value * unit).round() / unit);
    }
    // The number's own notation leaves out zeros at the end.
    let text = format!("{value:.*e}", digits.max(1) as usize - 1);
    text.parse::<f64>().map_or(text, |rounded| format!("{rounded:e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_the_digits_that_it_means() {
        for (found, expected) in [
            (short(105.948), "106"),
            (short(0.0012345), "0.00123"),
            (short(1163.0), "1160"),
            (short(1.234e9), "1.23e9"),
            (short(-1.234e-9), "-1.23e-9"),
            (given(-9999.0), "-9999"),
            (given(101.23), "101.23"),
            (given(1.5e12), "1.5e12"),
            (given(f64::from(0.00123456_f32)), "0.00123456"),
            (given(12345.6), "12345.6"),
            (given(0.507_812_5), "0.5078125"),
            (given(1000.0), "1000"),
            (within(105.9, 0.013), "105.9000"),
            (within(105.9483, 4.0), "105.95"),
            (within(f64::INFINITY, 1.0), "inf"),
            (within(105.9483, 400.0), "106"),
            (within(3.25, 0.0), "3.25"),
            (within(3.25, f64::NAN), "3.25"),
            (within(0.0, 0.1), "0"),
            (coordinate(32_356_123.25, 0.5), "32356123.25"),
            (coordinate(0.21, 1.0 / 64.0), "0.21"),
            (coordinate(-1e-12, 0.1), "0"),
            (coordinate(0.5, f64::NAN), "0.5"),
            (short(f64::NAN), "NaN"),
            (short(f64::INFINITY), "inf"),
        ] {
            assert_eq!(found, expected);
        }
    }
}
