//! Parts of one job, which several processes or machines do side by side.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most parts of a job.
const MOST: usize = 1_000_000;

/// Part `number` of the `of` parts of a job, counted from 1: `3/8`.
///
/// ```
/// use phys_instruct::job::Part;
///
/// let part: Part = "2/3".parse()?;
/// assert_eq!(part.range(10), 3..6);
/// assert_eq!((0..10).filter(|&i| part.takes(i)).collect::<Vec<_>>(), [1, 4, 7]);
/// # Ok::<(), phys_instruct::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Part {
    number: usize,
    of: usize,
}

impl Part {
    /// Makes a part.
    ///
    /// # Errors
    /// Fails with [`Error::Config`] unless `1 <= number <= of`.
    pub fn new(number: usize, of: usize) -> Result<Self> {
        if (1..=of).contains(&number) && of <= MOST {
            return Ok(Self { number, of });
        }
        Err(Error::Config(format!(
            "part {number}/{of}: a number from 1 to the number of parts expected"
        )))
    }

    /// The number of parts.
    pub fn of(self) -> usize {
        self.of
    }

    /// Returns the items of this part where `count` items are cut into neighbouring ranges, whose
    /// lengths differ by at most one.
    pub fn range(self, count: usize) -> Range<usize> {
        // The product may be beyond a usize for a giant set.
        let end = |parts: usize| (parts as u128 * count as u128 / self.of as u128) as usize;
        end(self.number - 1)..end(self.number)
    }

    /// Tells whether item `i` belongs to this part where the items are dealt out in turn. Unlike
    /// ranges, that shares out a list whose costly items stand together.
    pub fn takes(self, i: usize) -> bool {
        i % self.of == self.number - 1
    }

    /// Returns the items of [`Part::range`]; all of them without a part.
    pub fn range_of(part: Option<Self>, count: usize) -> Range<usize> {
        part.map_or(0..count, |part| part.range(count))
    }

    /// Tells what [`Part::takes`] does; without a part every item belongs to the job.
    pub fn is_taken(part: Option<Self>, i: usize) -> bool {
        part.is_none_or(|part| part.takes(i))
    }

    /// Returns all parts of the job.
    pub fn all(of: usize) -> impl Iterator<Item = Self> {
        (1..=of).map(move |number| Self { number, of })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').map(|(a, b)| (a.trim().parse(), b.trim().parse()));
        match numbers {
            Some((Ok(number), Ok(of))) => Self::new(number, of),
            _ => Err(Error::Config(format!("part {text}: K/N expected, such as 3/8"))),
        }
    }
}

impl TryFrom<String> for Part {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_item_is_in_one_part() {
        for (count, of) in [(0, 1), (7, 3), (8, 8), (5, 7), (1_000_003, 17)] {
            let ranges: Vec<_> = Part::all(of).map(|part| part.range(count)).collect();
            assert_eq!((ranges[0].start, ranges[of - 1].end), (0, count));
            assert!(ranges.windows(2).all(|two| two[0].end == two[1].start));
            let lengths = ranges.iter().map(ExactSizeIterator::len);
            assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
            for i in 0..count.min(50) {
                assert_eq!(Part::all(of).filter(|part| part.takes(i)).count(), 1);
            }
        }
        let last = Part::new(3, 3).unwrap().range(usize::MAX);
        assert_eq!(last.end, usize::MAX);
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["0/8", "9/8", "1/0", "3", "a/b", "1/8/2", "-1/8", "1/2000000"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
        assert_eq!(" 3 / 8".parse::<Part>().unwrap().to_string(), "3/8");
    }
}
