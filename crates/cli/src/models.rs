//! The program's folders of bundled models, and the model that observations ask for.

use std::path::{Path, PathBuf};

use phys_instruct::bundled::Models;
use phys_instruct::condition::files;
use phys_instruct::problem;

use crate::failure::Failure;
use crate::output::tell;

/// The folders that may hold the bundled models.
fn models() -> Models {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("models")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let usual = [Some(PathBuf::from("models")), beside, source.canonicalize().ok()];
    let in_words = "neither in ./models, nor beside the program, nor in its source";
    Models::new(usual.into_iter().flatten().collect(), in_words)
}

/// The files of the bundled models.
pub fn bundled() -> Vec<PathBuf> {
    models().bundled()
}

/// The file that `name` means.
pub fn find(name: &Path) -> Result<PathBuf, Failure> {
    Ok(models().find(name)?)
}

/// The file that `name` means where the observations of a file are answered. A table by rows and
/// columns, or a whole field, is of one grid, which a bare PDE does not name: it is read on 32 x 32
/// points, if there is such a student, and that is said.
pub fn find_for_observations(name: &Path, observations: &Path) -> Result<PathBuf, Failure> {
    let text = name.to_string_lossy();
    let Some(pde) = problem::names().into_iter().find(|pde| *pde == text && !name.exists()) else {
        return find(name);
    };

    let coarse = format!("{pde}-32");
    let known = file(&format!("{coarse}-student.safetensors"));
    if known.is_none() || !files::is_of_one_grid(observations, problem::by_name(&pde)?.as_ref())? {
        return find(name);
    }

    tell!(
        "note: {}: rows and columns are read on 32 x 32 points ({coarse}); name `{pde}-64` or \
         another model for its grid",
        observations.display()
    );
    find(Path::new(&coarse))
}

/// The folder for a new file beside the models.
pub fn folder() -> PathBuf {
    models().folder()
}

/// A file of the first of the models' folders that holds it.
pub fn file(name: &str) -> Option<PathBuf> {
    models().file(name)
}
