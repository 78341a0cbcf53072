//! The search for a model: a file, a run folder, or the bundled student of a PDE.

use std::path::{Path, PathBuf};

use crate::config::load::nearest;
use crate::problem;
use crate::{Error, Result};

/// The environment variable that names one folder to search in place of the usual ones.
pub const VARIABLE: &str = "PHYS_INSTRUCT_MODELS";

/// The folders that may hold the bundled models.
#[derive(Debug, Clone)]
pub struct Models {
    /// The folders in the order in which they are searched.
    pub folders: Vec<PathBuf>,
    /// The folders in words, for the message that a model is in none of them.
    pub in_words: String,
}

impl Models {
    /// The folders `usual`, or the one that [`VARIABLE`] names.
    pub fn new(usual: Vec<PathBuf>, in_words: &str) -> Self {
        match std::env::var_os(VARIABLE).map(PathBuf::from) {
            Some(folder) => {
                let in_words = format!("not in {}, which {VARIABLE} names", folder.display());
                Self { folders: vec![folder], in_words }
            }
            None => Self { folders: usual, in_words: in_words.into() },
        }
    }

    /// The files of the bundled models, each name once, in the order of their names.
    pub fn bundled(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        let entries = self.folders.iter().filter_map(|f| std::fs::read_dir(f).ok()).flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            let new = !found.iter().any(|other| other.file_name() == path.file_name());
            if path.extension().is_some_and(|e| e == "safetensors") && new {
                found.push(path);
            }
        }
        found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
        found
    }

    /// The file that `name` means: a model file, a run folder, a PDE (`darcy`) with or without a
    /// grid (`darcy-32`), or the name of a bundled file.
    ///
    /// # Errors
    /// [`Error::Request`] if there is no such model; the message names what is near.
    pub fn find(&self, name: &Path) -> Result<PathBuf> {
        if problem::is_description(name) {
            return Err(Error::Request(format!(
                "{}: a TOML file describes a PDE and is no model; name a model file or a run folder",
                name.display()
            )));
        }
        if name.is_file() {
            return Ok(name.into());
        }

        let inside = name.join("model.safetensors");
        if name.is_dir() {
            let missing =
                || Error::Request(format!("{}: no model.safetensors in it", name.display()));
            return inside.is_file().then_some(inside).ok_or_else(missing);
        }
        let text = name.to_string_lossy();
        let starts_with = |pde: &String| {
            let rest = text.strip_prefix(pde.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let is_known = problem::names().iter().any(starts_with);
        if is_known { self.bundled_as(&text) } else { Err(unknown(&text)) }
    }

    /// The folder for a new file beside the models.
    pub fn folder(&self) -> PathBuf {
        self.folders.first().cloned().unwrap_or_else(|| PathBuf::from("models"))
    }

    /// A file of the first of the models' folders that holds it.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    /// A bundled model by the name of its file, or the student of a PDE: on 64 x 64 if there is
    /// one, or on the grid that is named (`darcy-32`).
    fn bundled_as(&self, name: &str) -> Result<PathBuf> {
        let is_pde = problem::names().iter().any(|pde| pde == name);
        let kinds = if is_pde { &["-64-student", "-32-student"][..] } else { &["-student", ""] };
        let stems: Vec<String> = kinds.iter().map(|kind| format!("{name}{kind}")).collect();
        let found = stems.iter().find_map(|stem| self.file(&format!("{stem}.safetensors")));
        found.ok_or_else(|| {
            Error::Request(format!(
                "no bundled model {name}: {}.safetensors is {}; make one with `phys-instruct \
                 train` and `phys-instruct distill`, or name its folder in {VARIABLE}",
                stems[0], self.in_words
            ))
        })
    }
}

fn unknown(name: &str) -> Error {
    if name.contains(['/', '.']) {
        return Error::Request(format!("{name}: no such file or folder"));
    }
    let known = problem::names();
    let hint = nearest(name, known.iter().map(String::as_str))
        .map(|pde| format!("; did you mean `{pde}`?"));
    let hint = hint.unwrap_or_else(|| format!("; PDEs: {}", known.join(", ")));
    Error::Request(format!(
        "`{name}` is neither a file nor a PDE{hint}; `phys-instruct fit` makes a model of data alone, \
         without an equation (the book's chapter \"Your own data\")"
    ))
}
