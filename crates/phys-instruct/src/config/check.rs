//! The checks that numbers of a configuration have in common. Every refusal names the key in full.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::{Error, Result};

/// The keys of one table of a configuration; the table's full name, for example `train`, or
/// nothing for the keys outside all tables.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a>(pub &'a str);

impl Keys<'_> {
    /// The full name of `key`.
    pub fn name(self, key: &str) -> String {
        if self.0.is_empty() { key.into() } else { format!("{}.{key}", self.0) }
    }

    /// Refuses a number that is not above 0 and finite.
    pub fn above_zero(self, key: &str, value: f64) -> Result<()> {
        self.expect(key, value, value > 0.0 && value.is_finite(), "a number above 0")
    }

    /// Refuses a number below 0 or one that is not finite.
    pub fn at_least_zero(self, key: &str, value: f64) -> Result<()> {
        self.expect(key, value, value >= 0.0 && value.is_finite(), "a number of at least 0")
    }

    /// Refuses what is not a finite number.
    pub fn finite(self, key: &str, value: f64) -> Result<()> {
        self.expect(key, value, value.is_finite(), "a finite number")
    }

    /// Refuses a number outside [0, 1].
    pub fn share(self, key: &str, value: f64) -> Result<()> {
        self.expect(key, value, (0.0..=1.0).contains(&value), "a number between 0 and 1")
    }

    /// Refuses a number outside [0, 1).
    pub fn below_one(self, key: &str, value: f64) -> Result<()> {
        let expected = "a number of at least 0 and below 1";
        self.expect(key, value, (0.0..1.0).contains(&value), expected)
    }

    /// Refuses a count outside `range`.
    pub fn count(self, key: &str, value: usize, range: RangeInclusive<usize>) -> Result<()> {
        let expected = match *range.end() {
            usize::MAX => format!("at least {}", range.start()),
            most => format!("{} to {most}", range.start()),
        };
        self.expect(key, value, range.contains(&value), &expected)
    }

    /// Refuses a value that does not hold to a rule, with what is `expected` of it.
    pub fn expect(self, key: &str, value: impl Display, holds: bool, expected: &str) -> Result<()> {
        if holds {
            return Ok(());
        }
        Err(Error::Config(format!("{} = {value}: {expected} expected", self.name(key))))
    }
}

/// The most noise levels of a generator, which makes one network call at each.
const MOST_LEVELS: usize = 64;

/// Checks the noise levels of a generator, which the messages call `name`.
///
/// # Errors
/// Levels that are none, too many, not positive, not finite or not falling.
pub fn check_levels(name: &str, levels: &[f64]) -> Result<()> {
    let positive = levels.iter().all(|&s| s > 0.0 && s.is_finite());
    if levels.is_empty() || !positive || levels.windows(2).any(|w| w[0] <= w[1]) {
        let reason = format!("{name} = {levels:?}: positive and falling numbers expected");
        return Err(Error::Config(reason));
    }
    if levels.len() > MOST_LEVELS {
        let found = levels.len();
        let reason = format!("{name} has {found} values, at most {MOST_LEVELS} expected");
        return Err(Error::Config(reason));
    }
    Ok(())
}
