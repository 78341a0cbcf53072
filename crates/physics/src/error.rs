//! The one error type of this crate.

/// What can go wrong in the physics.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No PDE of that name.
    #[error("unknown PDE `{name}`; known: {known}")]
    UnknownPde {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A parameter the PDE does not have.
    #[error("{pde} has no parameter `{name}`; it has: {known}")]
    UnknownParam {
        /// The PDE.
        pde: &'static str,
        /// The parameter asked for.
        name: String,
        /// The parameters there are.
        known: String,
    },
    /// A parameter outside the range in which the solver is valid.
    #[error("{pde}: {name} = {value} is out of range: {expected}")]
    OutOfRange {
        /// The PDE.
        pde: &'static str,
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would be valid, and why.
        expected: String,
    },
    /// Inputs that have no law to be drawn from.
    #[error("{pde}: its inputs are given by data, so that none can be drawn")]
    NoLaw {
        /// The PDE.
        pde: String,
    },
    /// An input field the solver cannot take.
    #[error("{pde}: bad input: {reason}")]
    BadInput {
        /// The PDE.
        pde: &'static str,
        /// What is wrong with the input and what was expected.
        reason: String,
    },
    /// The solver did not reach its tolerance.
    #[error("{pde}: the solver did not converge: {reason}")]
    NotConverged {
        /// The PDE.
        pde: &'static str,
        /// What happened.
        reason: String,
    },
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
