//! The search for a model: a file, a run folder, or the bundled student of a PDE.

use std::path::{Path, PathBuf};

use phys_instruct::condition::files;
use phys_instruct::config::load::nearest;
use phys_instruct::problem;

use crate::failure::Failure;
use crate::output::tell;

/// The environment variable that names one folder to search in place of the usual ones.
const VARIABLE: &str = "PHYS_INSTRUCT_MODELS";

/// The folders that may hold the bundled models; the first that does is used.
fn folders() -> Vec<PathBuf> {
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return vec![folder.into()];
    }
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("models")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    [Some(PathBuf::from("models")), beside, source.canonicalize().ok()]
        .into_iter()
        .flatten()
        .collect()
}

/// The files of the bundled models.
pub fn bundled() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in folders().iter().filter_map(|f| std::fs::read_dir(f).ok()).flatten().flatten() {
        let path = path.path();
        let new = !found.iter().any(|other| other.file_name() == path.file_name());
        if path.extension().is_some_and(|e| e == "safetensors") && new {
            found.push(path);
        }
    }
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    found
}

/// The file that `name` means.
pub fn find(name: &Path) -> Result<PathBuf, Failure> {
    if problem::is_description(name) {
        return Err(Failure::Usage(format!(
            "{}: a TOML file describes a PDE and is no model; name a model file or a run folder",
            name.display()
        )));
    }
    if name.is_file() {
        return Ok(name.into());
    }

    let inside = name.join("model.safetensors");
    if name.is_dir() {
        let missing = || Failure::Usage(format!("{}: no model.safetensors in it", name.display()));
        return inside.is_file().then_some(inside).ok_or_else(missing);
    }
    let text = name.to_string_lossy();
    let starts_with = |pde: &String| {
        text.strip_prefix(pde.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if problem::names().iter().any(starts_with) { bundled_as(&text) } else { Err(unknown(&text)) }
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
    folders().into_iter().next().unwrap_or_else(|| PathBuf::from("models"))
}

/// A file of the first of the models' folders that holds it.
pub fn file(name: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A bundled model by the name of its file, or the student of a PDE: on 64 x 64 if there is one, or
/// on the grid that is named (`darcy-32`).
fn bundled_as(name: &str) -> Result<PathBuf, Failure> {
    let is_pde = problem::names().iter().any(|pde| pde == name);
    let kinds = if is_pde { &["-64-student", "-32-student"][..] } else { &["-student", ""] };
    let stems: Vec<String> = kinds.iter().map(|kind| format!("{name}{kind}")).collect();
    stems.iter().find_map(|stem| file(&format!("{stem}.safetensors"))).ok_or_else(|| {
        Failure::Usage(format!(
            "no bundled model {name}: {}.safetensors is neither in ./models, nor beside the \
             program, nor in its source; make one with `phys-instruct train` and `phys-instruct \
             distill`, or name a folder of models in {VARIABLE}",
            stems[0]
        ))
    })
}

fn unknown(name: &str) -> Failure {
    if name.contains(['/', '.']) {
        return Failure::Usage(format!("{name}: no such file or folder"));
    }
    let known = problem::names();
    let hint = nearest(name, known.iter().map(String::as_str))
        .map(|pde| format!("; did you mean `{pde}`?"));
    let hint = hint.unwrap_or_else(|| format!("; PDEs: {}", known.join(", ")));
    Failure::Usage(format!(
        "`{name}` is neither a file nor a PDE{hint}; `phys-instruct fit` makes a model of data alone, \
         without an equation"
    ))
}
