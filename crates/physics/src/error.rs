//! The one error type of this crate.

/// The failures of a PDE, its input or its solver.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No PDE of that name.
    #[error(
        "unknown PDE `{name}`; known: {known}; for data without an equation a TOML file with a \
         [pde] table stands for a name: the book's chapter \"Your own data\""
    )]
    UnknownPde {
        /// The requested name.
        name: String,
        /// The known names.
        known: String,
    },
    /// A parameter the PDE does not have.
    #[error("{pde} has no parameter `{name}`; it has: {known}")]
    UnknownParam {
        /// The PDE.
        pde: String,
        /// The requested parameter.
        name: String,
        /// The known parameters.
        known: String,
    },
    /// A parameter outside the range in which the solver is valid.
    #[error("{pde}: {name} = {value} is out of range: {expected}")]
    OutOfRange {
        /// The PDE.
        pde: String,
        /// The parameter.
        name: String,
        /// The value that was refused.
        value: f64,
        /// The valid range, and the reason for it.
        expected: String,
    },
    /// A grid on which an equation cannot be posed.
    #[error("a grid of {grid}: {reason}")]
    BadGrid {
        /// The grid's points, and its sides off the unit square.
        grid: String,
        /// The expected points or sides.
        reason: String,
    },
    /// Inputs that have no law to be drawn from.
    #[error("{pde}: its inputs are given by data, so that none can be drawn")]
    NoLaw {
        /// The PDE.
        pde: String,
    },
    /// A PDE that is known by data alone, so that nothing solves it.
    #[error("{pde} is known by data alone: there is no solver for it")]
    NoSolver {
        /// The PDE.
        pde: String,
    },
    /// An input field the solver cannot take.
    #[error("{pde}: bad input: {reason}")]
    BadInput {
        /// The PDE.
        pde: String,
        /// The fault of the input, and the shape or values that were expected.
        reason: String,
    },
    /// The solver did not reach its tolerance.
    #[error("{pde}: the solver did not converge: {reason}")]
    NotConverged {
        /// The PDE.
        pde: String,
        /// The tolerance that was missed, or the cause.
        reason: String,
    },
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
