//! How a command ends when it does not end well.

use phys_instruct::Error;

/// A failure and, by its kind, the exit code.
#[derive(Debug)]
pub enum Failure {
    /// It ran, and what it looked at is not as it should be.
    Check(String),
    /// It could not run as asked.
    Usage(String),
    /// Ctrl-C, SIGTERM or SIGHUP; the text says what was kept.
    Interrupted(String),
    /// The library's answer.
    Library(Error),
    /// A picture that cannot be drawn.
    Picture(phys_instruct_report::Error),
}

/// What every command answers.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// 1 where the work was done and failed, 2 for usage and environment, 130 for interruption.
    pub fn code(&self) -> u8 {
        use phys_instruct_physics::Error::NotConverged;
        match self {
            Self::Check(_) => 1,
            Self::Interrupted(_) | Self::Library(Error::Interrupted) => 130,
            Self::Library(Error::Diverged(_) | Error::NonFinite(_)) => 1,
            Self::Library(Error::Physics(NotConverged { .. })) => 1,
            Self::Picture(phys_instruct_report::Error::Value(_)) => 1,
            Self::Usage(_) | Self::Library(_) | Self::Picture(_) => 2,
        }
    }
}

/// The failure of work that keeps something else than a checkpoint when it is interrupted.
pub fn interrupted(error: Error, kept: &str) -> Failure {
    match error {
        Error::Interrupted => Failure::Interrupted(format!("interrupted; {kept}")),
        other => Failure::Library(other),
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Check(text) | Self::Usage(text) | Self::Interrupted(text) => f.write_str(text),
            Self::Library(error) => error.fmt(f),
            Self::Picture(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<phys_instruct_report::Error> for Failure {
    fn from(error: phys_instruct_report::Error) -> Self {
        Self::Picture(error)
    }
}

impl From<phys_instruct_physics::Error> for Failure {
    fn from(error: phys_instruct_physics::Error) -> Self {
        Self::Library(error.into())
    }
}
