//! Conditional solving: fields and their uncertainty from sparse and noisy observations of any
//! channel, with the student as prior.
//!
//! - [`linearised`] refines with the equation linearised, where its derivative is known.
//! - [`input_space`] takes Gauss-Newton steps in the input, where that has few values.
//! - [`refinement`] corrects between the student's own steps, in all other cases.
//! - [`noise_space`] takes Gauss-Newton steps in the student's noise, for comparison.
//! - [`exact`], [`interpolation`] and [`most_probable`] answer without a network, for comparison.

pub mod answer;
pub mod covariance;
pub mod errors;
pub mod exact;
pub mod expectation;
pub mod explained;
pub mod files;
pub mod input_space;
pub mod interpolation;
mod known;
mod linear;
pub mod linearised;
pub mod most_probable;
pub mod noise_space;
pub mod observations;
pub mod observed;
pub mod place;
pub mod posterior;
pub mod prior;
pub mod refinement;
pub mod solver;
pub mod table;
pub mod task;
pub mod warnings;

pub use answer::{Answer, Question, ask_for_members};
pub use observations::{Observation, Observations};
pub use posterior::{Posterior, TwoValuedEntries};
pub use solver::{Method, Options, Solver};
pub use task::Task;
pub use warnings::Warning;
