//! The whole road from pairs to a student in a given time: what suits the data ([`chosen()`]), how
//! many steps there is time for on this machine ([`Pace`]), and whether the student may be trusted
//! ([`verdict()`]).
//!
//! The number of steps depends on the machine's speed. The config with the steps written out does
//! not: it alone reproduces the model.

mod chosen;
mod pace;
mod verdict;

pub use chosen::{Chosen, FEWEST_PAIRS, chosen, held_out_of, prepared};
pub use pace::{Pace, Work};
pub use verdict::{Verdict, verdict};
