//! The numbers that other programs write where a value is missing.

/// The marks of ESRI's grids and most tables, of NetCDF and climate models, of Surfer, and of
/// programs that take a very large number. None of them is a measured value.
const MARKS: [f64; 9] =
    [-9999.0, -99_999.0, 9.969_21e36, 1e20, 1.70141e38, 1e30, -1e30, 3.402_823e38, -3.402_823e38];
/// The relative difference up to which a value is a mark: that of its digits in files.
const SAME: f64 = 1e-5;

/// Tells whether a value is a mark for a missing one. -9998.5 is a value.
pub(crate) fn is_mark(value: f64) -> bool {
    // Nearly every value of a large data set is done with here.
    if (-9998.0..1e19).contains(&value) {
        return false;
    }
    MARKS.iter().any(|mark| match mark.abs() < 1e6 {
        true => value == *mark,
        false => (value - mark).abs() < SAME * mark.abs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_other_programs_are_known_and_values_beside_them_are_values() {
        for mark in [-9999.0, -99_999.0, 9.96921e36, 1.70141e38, f64::from(f32::MIN)] {
            assert!(is_mark(mark), "{mark}");
        }
        for value in [0.0, 9999.0, -9998.5, -9999.01, -999.0, 1e19, 1e29, f64::MAX, f64::NAN] {
            assert!(!is_mark(value), "{value}");
        }
    }
}
