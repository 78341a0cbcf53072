//! The failures of commands, and their exit codes.

use phys_instruct::Error;

/// The version of the JSON on stdout and stderr. It grows when a name changes or goes.
pub const SCHEMA: u32 = 1;

/// A failure, whose kind determines the exit code.
#[derive(Debug)]
pub enum Failure {
    /// The command ran, and the object of its check has a fault.
    Check(String),
    /// The command could not run as asked.
    Usage(String),
    /// Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP ended the command; the text says what was saved.
    Interrupted(String),
    /// The library failed.
    Library(Error),
    /// A picture that cannot be drawn.
    Picture(phys_instruct_report::Error),
}

/// The result of every command.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// The failure as JSON, with its exit code.
    pub fn to_json(&self) -> serde_json::Value {
        let (error, code) = (self.to_string(), self.code());
        serde_json::json!({ "schema": SCHEMA, "error": error, "exit_code": code })
    }

    /// The exit code: 1 if the work was done and failed, 2 for usage and environment, 130 for
    /// interruption.
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

/// The failure of work that saves something other than a checkpoint when it is interrupted.
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
