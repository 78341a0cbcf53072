//! Prepared solvers in files: what every question needs and what depends on the model alone.
//!
//! To prepare a [`Solver`] takes a thousand samples of the student, which is most of the time of a
//! single answer. A folder holds what was drawn, one file for each model, number of threads, device
//! and vector unit, since each of them may change a sample in its last digit. The answers are those
//! of a solver that was prepared anew, bit for bit. The oldest files go where there are more than
//! [`MOST`].

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use etcetera::BaseStrategy;
use serde_json::json;

use super::Solver;
use super::prior::Student;
use super::prior::covariance::Covariance;
use super::solver::made_of;
use crate::model::Model;
use crate::store::atomic;
use crate::store::dataset::sha256;
use crate::store::weights::{self, Array, Bundle};
use crate::{Error, Result, device, problem};

/// The version of what is drawn. It changes with every change of the samples, of the covariance
/// that is made of them, or of the solutions they are given.
const VERSION: u32 = 1;
/// The most prepared solvers in a folder. One of 64 x 64 points takes about 20 MB, one of 128 x
/// 128 up to 150 MB.
const MOST: usize = 16;

/// The environment variable that names the folder of prepared solvers; empty for none.
const VARIABLE: &str = "PHYS_INSTRUCT_CACHE";

/// The folder of prepared solvers between two runs of a program, by default that of the user's
/// caches: `$XDG_CACHE_HOME/phys-instruct`, or `~/.cache/phys-instruct`. None if
/// `PHYS_INSTRUCT_CACHE` is empty.
pub fn cache_folder() -> Option<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(folder) if folder.is_empty() => None,
        Some(folder) => Some(folder.into()),
        None => Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("phys-instruct")),
    }
}

impl Solver {
    /// Prepares a solver with [`cache_folder`], if there is one, or anew.
    ///
    /// The error beside the solver is that of a file that could not be written.
    ///
    /// # Errors
    /// Fails as [`Solver::new`] does.
    pub fn cached(model: &Model) -> Result<(Self, Option<Error>)> {
        match cache_folder() {
            Some(folder) => Self::stored(model, &folder),
            None => Ok((Self::new(model)?, None)),
        }
    }

    /// Prepares a solver from the file of `folder` that holds what was drawn for this model before,
    /// or draws it and writes the file.
    ///
    /// A file that is damaged, or of another version, is drawn anew. Where the file cannot be
    /// written the solver is whole all the same, and the error stands beside it.
    ///
    /// # Errors
    /// Fails as [`Solver::new`] does.
    pub fn stored(model: &Model, folder: &Path) -> Result<(Self, Option<Error>)> {
        let path = path_in(folder, model)?;
        let found = weights::read(&path).and_then(|bundle| Self::from_bundle(model, bundle));
        if let Ok(solver) = found {
            return Ok((solver, None));
        }

        let solver = Self::new(model)?;
        let written = solver.write(folder, &path).err();
        Ok((solver, written))
    }

    fn write(&self, folder: &Path, path: &Path) -> Result<()> {
        atomic::create_folder(folder)?;
        weights::write(path, &self.to_bundle()?)?;
        keep_newest(folder);
        Ok(())
    }

    fn to_bundle(&self) -> Result<Bundle> {
        let (mut tensors, share) = self.covariance.to_arrays()?;
        let yardstick = self.yardstick()?.to_vec();
        tensors.insert("yardstick".into(), Array { shape: vec![yardstick.len()], data: yardstick });
        let card = &self.model().card;
        let residual = problem::equation(card.pde()?.as_ref(), card.grid, &device::cpu())?;
        let error = residual.map(|residual| self.own_pde_error(residual.as_ref())).transpose()?;
        let metadata = json!({ "version": VERSION, "share": share, "own_pde_error": error });
        Ok(Bundle { metadata, tensors })
    }

    fn from_bundle(model: &Model, bundle: Bundle) -> Result<Self> {
        let Bundle { metadata, mut tensors } = bundle;
        let wrong = |what: &str| Error::Shape(format!("no prepared solver: {what}"));
        if metadata["version"] != json!(VERSION) {
            return Err(wrong("another version"));
        }
        let share = metadata["share"].as_u64().ok_or_else(|| wrong("no share"))?;
        let error = metadata["own_pde_error"].as_f64();
        if error.is_none() && model.card.description.is_none() {
            return Err(wrong("no PDE error"));
        }

        let student = Student::new(model)?;
        let yardstick = tensors.remove("yardstick").map(|array| array.data).unwrap_or_default();
        let covariance = Covariance::from_arrays(&student, tensors, share as usize)?;
        if yardstick.is_empty() || !yardstick.len().is_multiple_of(covariance.len()) {
            return Err(wrong("a yardstick of another length"));
        }
        Ok(Self {
            yardstick: yardstick.into(),
            own_pde_error: error.map(OnceLock::from).unwrap_or_default(),
            ..Self::of(student, covariance)
        })
    }
}

/// The file of `folder` for what an answer is made of.
fn path_in(folder: &Path, model: &Model) -> Result<PathBuf> {
    let name = sha256(made_of(model)?.as_bytes());
    Ok(folder.join(format!("{}-{}.safetensors", model.card.pde, &name[..16])))
}

/// Removes all but the newest files of `folder`. A file that cannot be removed stays.
fn keep_newest(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    for (_, path) in files.iter().skip(MOST) {
        let _ = std::fs::remove_file(path);
    }
}
