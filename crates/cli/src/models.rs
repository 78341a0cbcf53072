//! The program's folders of bundled models, and the model that observations ask for.

use std::path::{Path, PathBuf};

use phys_instruct::bundled::Models;
use phys_instruct::condition::files::{self, GridOf};
use phys_instruct::problem;
use phys_instruct::store::dataset;

use crate::failure::Failure;
use crate::output::say;

/// The bundled models' folder from that of the program, where both are installed.
const INSTALLED: &str = "../share/phys-instruct/models";

/// The folders that may hold the bundled models.
fn models() -> Models {
    let program = std::env::current_exe().ok();
    let from_program = |folder: &str| Some(program.as_ref()?.parent()?.join(folder));
    // A packaged program is made on another machine than it runs on: its source is not here.
    let source = match option_env!("PHYS_INSTRUCT_PACKAGED") {
        Some(_) => None,
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").canonicalize().ok(),
    };
    let usual =
        [Some(PathBuf::from("models")), from_program("models"), from_program(INSTALLED), source];
    let in_words = "neither in ./models, nor where the program is installed, nor in its source";
    Models::new(usual.into_iter().flatten().collect(), in_words)
}

/// The files of the bundled models.
pub fn bundled() -> Vec<PathBuf> {
    models().bundled()
}

/// The file that `name` means.
pub fn find(name: &Path) -> Result<PathBuf, Failure> {
    let path = models().find(name)?;
    say!(Details, "model {}", path.display());
    Ok(path)
}

/// The points a side that rows and columns are of, where a bare PDE names no grid.
const ROWS_AND_COLUMNS: usize = 32;
/// The points a side of the student that a bare PDE names elsewhere.
const USUAL: usize = 64;

/// The file that `name` means where the observations of a file are answered, and measured against
/// a truth if there is one. Both may be of one grid, which a bare PDE does not name: the truth of
/// its own, a whole field of its own, rows and columns of 32 x 32 points. A note says which student
/// is taken then.
pub fn for_observations(
    name: &Path,
    observations: &Path,
    truth: Option<&Path>,
) -> Result<(PathBuf, Option<String>), Failure> {
    let text = name.to_string_lossy();
    let Some(known) = problem::names().into_iter().find(|pde| *pde == text && !name.exists())
    else {
        return Ok((find(name)?, None));
    };

    let pde = problem::by_name(&known)?;
    let (side, source) = match truth {
        Some(truth) => (dataset::load_any(truth, pde.as_ref())?.width, truth),
        None => match files::grid_of(observations, pde.as_ref())? {
            GridOf::Any => return Ok((find(name)?, None)),
            GridOf::Points => (ROWS_AND_COLUMNS, observations),
            GridOf::Field(width) => (width, observations),
        },
    };
    let student = format!("{known}-{side}");
    let is_there = file(&format!("{student}-student.safetensors")).is_some();
    let path = if is_there { find(Path::new(&student))? } else { find(name)? };
    // The usual student needs a word only where the file does not say that it is of that grid.
    if side == USUAL && is_there {
        return Ok((path, None));
    }

    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let note = format!(
        "{}: read on the grid of {stem}; name another model for another grid",
        source.display()
    );
    Ok((path, Some(note)))
}

/// The folder for a new file beside the models.
pub fn folder() -> PathBuf {
    models().folder()
}

/// A file of the first of the models' folders that holds it.
pub fn file(name: &str) -> Option<PathBuf> {
    models().file(name)
}
