//! Conditional tasks: the fields that are observed and those that are asked for.

use std::fmt;
use std::str::FromStr;

use phys_instruct_physics::{Grid, Pde};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A conditional task. The inference is the same for every task; the task names the observed fields
/// and those asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// The input (coefficient, source, initial condition) is observed, the solution asked for.
    Forward,
    /// The solution is observed, the input asked for.
    Inverse,
    /// Any part is observed, all fields are asked for.
    Reconstruct,
}

impl Task {
    /// All tasks.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Inverse, Self::Reconstruct];

    /// The name used on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Inverse => "inverse",
            Self::Reconstruct => "reconstruct",
        }
    }

    /// Tells whether answers improve if every member's solution is replaced by the reference
    /// solver's for its input. They do if the solution alone is asked for.
    pub fn wants_solver(self) -> bool {
        self == Self::Forward
    }

    /// The entries of a joint sample `[channel, y, x]`, flat, that may be observed.
    pub fn observed(self, pde: &dyn Pde, grid: Grid) -> Vec<usize> {
        let layout = pde.layout();
        match self {
            Self::Forward => layout.input.entries(grid.ny, grid.nx),
            Self::Inverse => layout.solution.entries(grid.ny, grid.nx),
            Self::Reconstruct => (0..pde.channels().len() * grid.points()).collect(),
        }
    }

    /// The entries that are asked for.
    pub fn target(self, pde: &dyn Pde, grid: Grid) -> Vec<usize> {
        match self {
            Self::Forward => Self::Inverse.observed(pde, grid),
            Self::Inverse => Self::Forward.observed(pde, grid),
            Self::Reconstruct => Self::Reconstruct.observed(pde, grid),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| {
            Error::Config(format!("no task `{text}`: forward, inverse or reconstruct"))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::registry;

    use super::*;

    #[test]
    fn input_and_solution_are_parts_of_the_sample_and_differ() {
        for pde in registry::all() {
            let [a, u, all] = Task::ALL.map(|task| task.observed(pde.as_ref(), Grid::square(8)));
            assert_eq!(all.len(), pde.channels().len() * 64);
            assert!(a.iter().chain(&u).all(|i| *i < all.len()));
            assert!(a.iter().any(|i| !u.contains(i)), "{}", pde.name());
            assert_eq!(Task::Forward.target(pde.as_ref(), Grid::square(8)), u);
        }
        let burgers = registry::by_name("burgers").unwrap();
        assert_eq!(
            Task::Forward.observed(burgers.as_ref(), Grid::square(8)),
            (0..8).collect::<Vec<_>>()
        );
    }

    #[test]
    fn names_lead_back() {
        for task in Task::ALL {
            assert_eq!(task.name().parse::<Task>().unwrap(), task);
        }
        assert!("backward".parse::<Task>().unwrap_err().to_string().contains("inverse"));
    }
}
