//! Conditional solving: fields and their uncertainty from sparse and noisy observations of any
//! channel, with the student as prior.
//!
//! - [`linearised`]: refinement with the equation linearised, for equations whose derivative is
//!   known.
//! - [`input_space`]: Gauss-Newton in the input, for inputs of few values.
//! - [`refinement`]: the student's own steps with linear corrections, for all others.
//! - [`noise_space`]: Gauss-Newton in the student's noise, for comparison.
//! - [`exact`], [`interpolation`], [`most_probable`]: answers without a network, for comparison.

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
