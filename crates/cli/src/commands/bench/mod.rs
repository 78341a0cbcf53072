//! `bench`: the comparison tables.

use clap::Subcommand;

use self::conditional::Conditional;
use self::five::Five;
use self::tune::Tune;
use crate::args::Global;
use crate::failure::Outcome;

mod charts;
mod choice;
mod conditional;
mod conditional_table;
mod five;
mod five_table;
mod table;
mod tune;

/// The comparison tables, and the search for the baselines' weights
#[derive(Subcommand)]
pub enum Bench {
    Five(Five),
    Conditional(Conditional),
    Tune(Tune),
}

impl Bench {
    pub fn run(&self, global: &Global) -> Outcome {
        match self {
            Bench::Five(verb) => verb.run(global),
            Bench::Conditional(verb) => verb.run(global),
            Bench::Tune(verb) => verb.run(),
        }
    }
}
