//! Many files of observations for one `solve`: which they are, and where each answer goes.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use phys_instruct::bench::row::{append_row, read_rows};
use phys_instruct::job::Part;
use phys_instruct::store::dataset::file_hash;
use phys_instruct_report::number::plain;
use serde_json::{Map, Value, json};

use super::Solve;
use crate::args::extension;
use crate::failure::{Failure, Outcome, SCHEMA};
use crate::models;
use crate::output::{print, tell};

/// The place of a file's name without extension in the paths of outputs.
const NAME: &str = "{}";
/// The most characters shown of a line that is no file.
const SHOWN: usize = 40;
/// The end of the names of true fields that `--make-obs` writes beside the observations.
const TRUTH: &str = ".truth.npz";

/// One file of observations, and the files of its answer.
pub(super) struct Job {
    pub observations: PathBuf,
    pub truth: Option<PathBuf>,
    pub out: Vec<PathBuf>,
    pub table: Option<PathBuf>,
}

impl Job {
    /// The outputs that are asked for.
    fn outputs(&self) -> Value {
        let paths = self.out.iter().chain(&self.table);
        paths.map(|path| path.to_string_lossy()).collect()
    }
}

/// Tells whether a path stands for many files: a folder, or a list of their names. A text whose
/// first line has commas is a table of observations.
pub(super) fn is_many(path: &Path) -> bool {
    let is_list = || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        !names(&text).next().is_some_and(|line| line.contains(','))
    };
    path.is_dir() || extension(path) == "txt" && is_list()
}

/// Many files of observations.
pub(super) struct Many {
    /// All files.
    files: Vec<PathBuf>,
    /// The jobs of this part.
    pub jobs: Vec<Job>,
}

impl Many {
    /// Returns the files of a folder or a list.
    ///
    /// # Errors
    /// Fails for a list or folder that cannot be read or names no file, and for two files of one
    /// name. Fails for outputs without a place for the name, or among the observations.
    pub fn of(solve: &Solve, source: &Path) -> Result<Self, Failure> {
        let outputs = || solve.out.iter().chain(&solve.table);
        if let Some(path) = outputs().chain(&solve.truth).find(|path| !has_place(path)) {
            let (path, source) = (path.display(), source.display());
            return Err(Failure::Usage(format!(
                "{path}: one name for all files of {source}; put {NAME} where the name of each \
                 belongs"
            )));
        }

        let files = match source.is_dir() {
            true => of_folder(source)?,
            false => of_list(source)?,
        };
        if files.is_empty() {
            let source = source.display();
            return Err(Failure::Usage(format!("{source}: no file of observations, .csv or .npz")));
        }
        if outputs().chain(&solve.truth).next().is_some() {
            check_names(&files)?;
        }

        let folder = |path: &Path| path.parent().and_then(|folder| folder.canonicalize().ok());
        let source = source.canonicalize().ok().filter(|_| source.is_dir());
        if let Some(path) = outputs().find(|path| source.is_some() && folder(path) == source) {
            let path = path.display();
            return Err(Failure::Usage(format!(
                "{path}: an output among the observations would be taken for one; choose another \
                 folder"
            )));
        }

        let mine = |i: &usize| Part::is_taken(solve.job.part, *i);
        let own = files.iter().enumerate().filter(|(i, _)| mine(i));
        let jobs = own.map(|(_, file)| job(solve, file.clone())).collect();
        Ok(Self { files, jobs })
    }

    /// The model that answers all files: the one that the first readable file asks for.
    ///
    /// # Errors
    /// Fails for a name that no model has.
    pub fn model(&self, solve: &Solve) -> Result<PathBuf, Failure> {
        let name = &solve.name.model;
        let asked = |file: &PathBuf| {
            let job = job(solve, file.clone());
            models::for_observations(name, file, job.truth.as_deref()).ok()
        };
        match self.files.iter().find_map(asked) {
            Some((path, note)) => {
                note.iter().for_each(|note| tell!("note: {note}"));
                Ok(path)
            }
            None => models::find(name),
        }
    }
}

/// Tells whether a path has a place for the name of each file.
fn has_place(path: &Path) -> bool {
    path.to_string_lossy().contains(NAME)
}

fn job(solve: &Solve, observations: PathBuf) -> Job {
    let name = stem(&observations);
    let named = |path: &PathBuf| PathBuf::from(path.to_string_lossy().replace(NAME, &name));
    Job {
        truth: solve.truth.as_ref().map(named),
        out: solve.out.iter().map(named).collect(),
        table: solve.table.as_ref().map(named),
        observations,
    }
}

/// The files of observations in a folder, by name.
fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::Usage(format!("{}: {error}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| Ok(entry.map_err(failed)?.path()));
    let mut files = paths.collect::<Result<Vec<PathBuf>, Failure>>()?;
    files.retain(|path| {
        let is_truth = path.to_string_lossy().ends_with(TRUTH);
        path.is_file() && ["csv", "npz"].contains(&extension(path).as_str()) && !is_truth
    });
    files.sort();
    Ok(files)
}

/// The files that a list names, one a line, beside the list where a name has no root.
fn of_list(list: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::Usage(format!("{}: {error}", list.display()));
    let text = std::fs::read_to_string(list).map_err(failed)?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let files: Vec<PathBuf> = names(&text).map(|name| folder.join(name)).collect();

    // A matrix of numbers is no list, and would be an error for each of its lines.
    if let Some(name) = names(&text).next().filter(|_| !files.iter().any(|file| file.exists())) {
        let first: String = name.chars().take(SHOWN).collect();
        let list = list.display();
        return Err(Failure::Usage(format!(
            "{list}: a list of files, one a line, expected; none of its lines is one, the first \
             begins with `{first}`"
        )));
    }
    Ok(files)
}

/// The lines of a list, without empty ones and those that begin with #.
fn names(text: &str) -> impl Iterator<Item = &str> {
    // Editors of one system begin a text with a mark of its order of bytes.
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Refuses two files of one name, whose answers would replace each other.
fn check_names(files: &[PathBuf]) -> Outcome {
    let mut seen = BTreeMap::new();
    for file in files {
        if let Some(other) = seen.insert(stem(file), file) {
            let [one, two] = [other, file].map(|file| file.display());
            return Err(Failure::Usage(format!("{one} and {two}: outputs of one name")));
        }
    }
    Ok(())
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The question put to one file. A logged answer counts only if every value of it is equal.
///
/// # Errors
/// Fails for a file that cannot be read.
pub(super) fn question(solve: &Solve, model: &str, job: &Job) -> Result<Value, Failure> {
    let truth = job.truth.as_deref().map(file_hash).transpose()?;
    let method = solve.method.and_then(|way| way.to_possible_value());
    Ok(json!({
        "file": job.observations.to_string_lossy(), "sha256": file_hash(&job.observations)?,
        "truth_sha256": truth, "model_sha256": model, "version": env!("CARGO_PKG_VERSION"),
        "task": solve.task, "method": method.map(|value| value.get_name().to_owned()),
        "ensemble": solve.ensemble, "rounds": solve.rounds, "seed": solve.seed,
        "noise": solve.noise, "robust": solve.robust, "resolve": solve.resolve,
        "check": solve.check,
        "held_out": solve.held_out.as_ref().map(|path| path.to_string_lossy().into_owned()),
        "above": solve.above.iter().map(|level| (&level.field, level.value)).collect::<Vec<_>>(),
    }))
}

/// The answers of many files: lines on stdout, and in the file of --log.
pub(super) struct Log {
    path: Option<PathBuf>,
    /// The file, held against other processes.
    _held: Option<File>,
    /// The answers in the file by their questions, as text.
    answered: HashMap<String, Logged>,
}

/// What the log holds of an answer.
struct Logged {
    /// The number of its warnings.
    warnings: usize,
    /// The outputs that were asked for.
    asked: Value,
    /// The files written for them, with the SHA-256 of each.
    written: Vec<(PathBuf, String)>,
}

impl Logged {
    /// Reads a line of the log.
    fn of(row: &Value) -> Option<Self> {
        let warnings = row.get("warnings")?.as_array()?.len();
        let written = row.get("written")?.as_object()?.iter();
        let written = written.map(|(path, hash)| Some((path.into(), hash.as_str()?.into())));
        let written = written.collect::<Option<_>>()?;
        Some(Self { warnings, asked: row.get("outputs")?.clone(), written })
    }
}

impl Log {
    /// Opens the log, and makes it where there is none.
    ///
    /// # Errors
    /// Fails for a file that cannot be opened or that another process writes.
    pub fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self { path: None, _held: None, answered: HashMap::new() });
        };
        let name = path.display();
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| Failure::Usage(format!("--log {name}: {error}")))?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            let reason = "another process writes it: each part needs a log of its own";
            return Err(Failure::Usage(format!("--log {name}: {reason}")));
        }

        let rows = read_rows::<Value>(path)?.into_iter();
        let answered =
            rows.filter_map(|row| Some((row.get("question")?.to_string(), Logged::of(&row)?)));
        let answered = answered.collect();
        Ok(Self { path: Some(path.into()), _held: Some(file), answered })
    }

    /// The number of warnings of the answer to all that is asked, if there is one whose files are
    /// in their places as they were written. Another question may have replaced them.
    pub fn answer(&self, question: &Value, job: &Job) -> Option<usize> {
        let Logged { warnings, asked, written } = self.answered.get(&question.to_string())?;
        let is_as_written =
            |(path, known): &(PathBuf, String)| file_hash(path).is_ok_and(|found| found == *known);
        (*asked == job.outputs() && written.iter().all(is_as_written)).then_some(*warnings)
    }

    /// Writes the figures of an answer, as one line of JSON where that is asked for.
    ///
    /// # Errors
    /// Fails where the file or stdout cannot be written, and where a `written` file cannot be read.
    pub fn put(
        &self,
        question: Value,
        mut figures: Value,
        job: &Job,
        written: &[PathBuf],
        json: bool,
    ) -> Outcome {
        figures["schema"] = SCHEMA.into();
        figures["question"] = question;
        if let Some(path) = &self.path {
            let hash =
                |path: &PathBuf| Ok((path.to_string_lossy().into(), file_hash(path)?.into()));
            let written = written.iter().map(hash).collect::<Result<Map<_, _>, Failure>>()?;
            figures["outputs"] = job.outputs();
            figures["written"] = written.into();
            append_row(path, &figures)?;
        }
        print(&if json { figures.to_string() } else { in_words(&figures) })
    }
}

/// The figures of an answer in one line.
fn in_words(figures: &Value) -> String {
    let number = |value: &Value| value.as_f64().map_or("-".into(), plain);
    let file = figures["question"]["file"].as_str().unwrap_or_default();
    let mut text = format!("{file}: {} values", figures["points"]);
    text += &format!(", misfit {}, chi {}", number(&figures["misfit"]), number(&figures["chi"]));
    if !figures["score"].is_null() {
        text += &format!(", error {}", number(&figures["score"]["error"]));
    }
    match figures["warnings"].as_array().map_or(0, Vec::len) {
        0 => text,
        n => format!("{text}, {n} warning(s)"),
    }
}
