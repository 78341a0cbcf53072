//! Conditional solving: fields and their uncertainty from sparse and noisy observations of any
//! channel, with the student as prior.
//!
//! A [`Solver`] is a prepared student. It answers a [`Question`] with an [`Answer`]: the
//! [`Posterior`], how well it explains the [`Observations`], and warnings where something does not
//! fit. Which of the [`methods`] is taken when is said there.

pub mod answer;
pub mod digits;
pub mod explained;
pub mod export;
pub mod figures;
pub mod files;
pub mod held_out;
pub mod methods;
pub mod next_place;
pub mod observations;
pub mod posterior;
pub mod prior;
pub mod quantiles;
pub mod solver;
pub(crate) mod stored;
pub mod task;
pub mod warnings;

pub use answer::{Answer, Question, ask_for_members};
pub use figures::AnswerFigures;
pub use held_out::{TrialScores, Trials};
pub use methods::{Method, Options};
pub use observations::{Lattice, Observation, Observations};
pub use posterior::{Posterior, TwoValuedEntries};
pub use solver::Solver;
pub use stored::cache_folder;
pub use task::Task;
pub use warnings::Warning;
