//! The whole road from pairs to a student in a given time: what suits the data ([`chosen()`]), how
//! many steps there is time for on this machine ([`Pace`]), and whether the student may be trusted
//! ([`judge()`]).
//!
//! The number of steps depends on the machine's speed. The config with the steps written out does
//! not: it alone reproduces the model.

mod chosen;
mod pace;
mod verdict;

pub use chosen::{Chosen, FEWEST_PAIRS, chosen, held_out_of, prepared};
pub use pace::{Pace, Work};
pub use verdict::{Judged, Verdict, judge, trials};

/// The most test problems of a judgement.
pub const PROBLEMS: usize = 50;
/// The fewest samples that are drawn from a student for its figures.
pub const FEWEST_DRAWN: usize = 64;
