//! The one error type of this crate.

/// A picture that cannot be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Nothing was given to draw.
    #[error("picture: {0}")]
    Empty(String),
    /// Arrays that do not fit each other.
    #[error("picture: {what}: {found} values, not {expected}")]
    Shape {
        /// The array.
        what: String,
        /// The number of its values.
        found: usize,
        /// The number that was expected.
        expected: usize,
    },
    /// A value that should be a finite number, or a positive one on a logarithmic axis.
    #[error("picture: {0}")]
    Value(String),
    /// An axis or a scale from which no number can be read.
    #[error(
        "picture: the range of `{name}` is {low} to {high}; two finite numbers, rising, expected"
    )]
    Range {
        /// The axis or the scale.
        name: String,
        /// The lower end of the range.
        low: f64,
        /// The upper end of the range.
        high: f64,
    },
    /// A picture of no pixels, or of too many.
    #[error("picture: {width} x {height} pixels; between 1 and 100 million expected")]
    Size {
        /// Pixels across.
        width: f64,
        /// Pixels down.
        height: f64,
    },
    /// The encoder or the renderer failed.
    #[error("picture: {0}")]
    Encoding(String),
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// Checks that a range has two finite ends that rise.
pub(crate) fn check_range(name: &str, [low, high]: [f64; 2]) -> Result<()> {
    // A range wider than the largest number has a width that is not finite.
    if low < high && (high - low).is_finite() && 1.0 / (high - low) < f64::INFINITY {
        return Ok(());
    }
    Err(Error::Range { name: name.into(), low, high })
}
