//! The one error type of this crate.

use std::path::PathBuf;

/// The failures of the library.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The physics refused.
    #[error(transparent)]
    Physics(#[from] phys_instruct_physics::Error),
    /// Something that needs the equation of a PDE that is known by data alone.
    #[error(
        "{pde} is known by data alone: without an equation there is no PDE error, no guidance and \
         no polish"
    )]
    NoEquation {
        /// The PDE.
        pde: String,
    },
    /// Arrays that do not fit each other.
    #[error("shape mismatch: {0}")]
    Shape(String),
    /// A value that should be a finite number and is not.
    #[error("not finite: {0}")]
    NonFinite(String),
    /// Observations that cannot be used.
    #[error("observations: {0}")]
    Observation(String),
    /// The tensor backend failed.
    #[error("tensor backend: {0}")]
    Backend(String),
    /// A file that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own error.
        source: std::io::Error,
    },
    /// A file with wrong content.
    #[error("{}: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// The field that is wrong, with what was found and what was expected.
        reason: String,
    },
    /// Work that would take more memory than there is.
    #[error(
        "{what} take about {needed} of memory, and {available} are free; ask for less, or allow \
         more with --memory-limit"
    )]
    Memory {
        /// The work, in the plural.
        what: String,
        /// The memory it takes, in words.
        needed: String,
        /// The memory available, in words.
        available: String,
    },
    /// A configuration that cannot be run.
    #[error("config: {0}")]
    Config(String),
    /// A request for what there is not, such as a model that is not found.
    #[error("{0}")]
    Request(String),
    /// Stopped by Ctrl-C, SIGTERM or SIGHUP, after the checkpoint was written.
    #[error("interrupted; the checkpoint is written, the same command resumes")]
    Interrupted,
    /// Training that diverged.
    #[error("training diverged: {0}")]
    Diverged(String),
}

impl Error {
    /// This error; the reason of an [`Error::Config`] becomes what `worded` makes of it, for
    /// instance with the key's name before it.
    pub(crate) fn map_config(self, worded: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Config(reason) => Self::Config(worded(reason)),
            other => other,
        }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
