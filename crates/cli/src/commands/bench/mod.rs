//! `bench`: the comparison tables.

use clap::Subcommand;
use phys_instruct::job::Part;

use self::conditional::Conditional;
use self::tune::Tune;
use self::unconditional::Unconditional;
use crate::args::Global;
use crate::failure::Outcome;

mod charts;
mod choice;
mod conditional;
mod conditional_table;
mod table;
mod tune;
mod unconditional;
mod unconditional_table;

/// The comparison tables, and the search for the baselines' weights
#[derive(Subcommand)]
pub enum Bench {
    // The name of an earlier version.
    #[command(alias = "five")]
    Unconditional(Unconditional),
    Conditional(Conditional),
    Tune(Tune),
}

impl Bench {
    /// The part that is asked for.
    pub fn part(&self) -> Option<Part> {
        match self {
            Bench::Unconditional(verb) => verb.rows.job.part,
            Bench::Conditional(verb) => verb.rows.job.part,
            Bench::Tune(_) => None,
        }
    }

    pub fn run(&self, global: &Global) -> Outcome {
        match self {
            Bench::Unconditional(verb) => verb.run(global),
            Bench::Conditional(verb) => verb.run(global),
            Bench::Tune(verb) => verb.run(global),
        }
    }
}
