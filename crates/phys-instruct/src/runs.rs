//! Run folders of trainings: who may work in one, and whether it goes on or begins.

use std::path::Path;

use crate::config::Config;
use crate::config::load;
use crate::model::Kind;
use crate::store::lock::Lock;
use crate::store::run::Run;
use crate::training::has_more_steps;
use crate::{Error, Result};

/// Locks `folder` against other processes before any work is done, and refuses a folder that holds
/// a run of another configuration.
///
/// # Errors
/// [`Error::Request`] for a run of another configuration; fails as [`Lock::take`] does.
pub fn claim(folder: &Path, config: &Config, kind: Kind) -> Result<Lock> {
    let lock = Lock::take(folder)?;
    if Run::exists_in(folder) {
        let (run, text) = Run::open(folder)?;
        check(&run, &text, config, kind)?;
    }
    Ok(lock)
}

/// Refuses a run whose configuration differs from `text` by more than the number of its last steps.
fn check(run: &Run, text: &str, config: &Config, kind: Kind) -> Result<()> {
    let theirs = load::of_any_version(text).map_err(|error| {
        Error::Request(format!(
            "{}: {error}: damaged, or of another version; choose another --out",
            run.folder().join("config.toml").display()
        ))
    })?;

    let differences = load::differences(config, &theirs);
    let goes_on = run.has_checkpoint() && has_more_steps(config, &theirs, kind);
    if differences.is_empty() || goes_on {
        return Ok(());
    }

    let list = differences.join("; ");
    Err(Error::Request(format!(
        "{} holds a run of another config: {list} there; choose another --out",
        run.folder().display()
    )))
}

/// Begins the run, or resumes one of the same configuration, which may have been given more steps.
/// A note beside the run then says so.
///
/// # Errors
/// Fails as [`claim`] does, and where the folder cannot be written.
pub fn open(folder: &Path, config: &Config, kind: Kind) -> Result<(Run, Option<String>)> {
    let written = load::to_toml(config)?;
    if !Run::exists_in(folder) {
        return Ok((Run::create(folder, &written)?, None));
    }

    let (run, text) = Run::open(folder)?;
    check(&run, &text, config, kind)?;
    if load::differences(config, &load::of_any_version(&text)?).is_empty() {
        return Ok((run, None));
    }
    let note = format!(
        "{} goes on to more steps; its learning rate follows the new end from here on",
        folder.display()
    );
    Ok((run.with_config(written), Some(note)))
}
