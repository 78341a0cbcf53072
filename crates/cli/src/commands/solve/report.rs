//! The report of an answer: its figures, its files, and what does not fit.

use std::path::{Path, PathBuf};

use phys_instruct::Samples;
use phys_instruct::condition::export::{self, Format, Layers, Level};
use phys_instruct::condition::{Answer, AnswerFigures, TrialScores};
use phys_instruct::store::atomic;
use phys_instruct_physics::Pde;
use phys_instruct_pictures::answer::{self, Answered};
use phys_instruct_pictures::page::{self, Texts};
use phys_instruct_pictures::words;
use serde_json::Value;

use super::many::Job;
use crate::args::extension;
use crate::failure::{Failure, Outcome};
use crate::output::{line, seconds, show, tell};
use crate::picture;
use crate::warnings::warn;

/// An answer, with the fields by which it is measured.
pub(super) struct Report {
    /// The name of the model's file.
    pub name: String,
    /// The seed of the ensemble.
    pub seed: u64,
    /// The PDE.
    pub pde: Box<dyn Pde>,
    /// The answer.
    pub answer: Answer,
    /// The answer's figures.
    pub figures: AnswerFigures,
    /// The true fields, one sample.
    pub truth: Option<Samples>,
    /// The number of places without a value.
    pub unobserved: usize,
    /// The seconds for the prior's covariance, and for the answer.
    pub times: [f64; 2],
    /// The levels of which the probabilities are written.
    pub levels: Vec<Level>,
    /// The scores of test problems at the same places; none where they were not asked for.
    pub check: Option<TrialScores>,
}

impl Report {
    /// Prints to stderr what was assumed and what does not fit, each line of it after `origin`.
    pub fn say(&self, origin: &str) {
        self.answer.notes.iter().for_each(|note| tell!("note: {origin}{note}"));
        let warnings: Vec<String> =
            self.answer.warnings.iter().map(|w| format!("{origin}{}", w.message)).collect();
        warn(&warnings);
    }

    /// Writes the files of a job and returns their paths.
    pub fn write_all(&self, job: &Job) -> Result<Vec<PathBuf>, Failure> {
        let mut written = self.write(&job.out)?;
        if let Some(path) = &job.table {
            export::write_observations(path, &self.answer)?;
            written.push(path.clone());
        }
        written.iter().for_each(|path| tell!("wrote {}", path.display()));
        Ok(written)
    }

    /// Writes the answer to every path, in the format of its extension, and returns the paths of
    /// the files. A path may stand for several.
    fn write(&self, paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        let title = words::title(&self.answer, &self.figures.pde, self.figures.task);
        let caption = words::caption(&self.answer, &self.name, self.seed);

        let summed = || {
            let title = format!("{title}. {caption}");
            Layers::of(&self.answer.posterior, self.pde.as_ref(), &self.levels, &title)
        };
        let is_array = |path: &&PathBuf| Format::of(path).is_some();
        let layers = paths.iter().find(is_array).map(|_| summed()).transpose()?;

        let mut written = Vec::new();
        for path in paths {
            match layers.as_ref().filter(|_| is_array(&path)) {
                Some(layers) => written.extend(layers.write(path)?),
                None => {
                    self.draw(path, &title, &caption)?;
                    written.push(path.clone());
                }
            }
        }
        Ok(written)
    }

    /// Writes a page or a picture of the answer.
    fn draw(&self, path: &Path, title: &str, caption: &str) -> Outcome {
        let warnings = &self.answer.warnings;
        let answered = Answered {
            posterior: &self.answer.posterior,
            observations: &self.answer.observations,
            truth: self.truth.as_ref().map(|truth| truth.sample(0)),
            title,
            caption,
            notes: warnings.iter().map(|w| format!("Warning: {}", w.message)).collect(),
        };

        match extension(path).as_str() {
            "html" => {
                let texts = self.texts();
                let text = page::html(self.pde.as_ref(), &answered, &self.answer, &texts)?;
                atomic::write(path, text.as_bytes())?;
            }
            _ => picture::write(path, &answer::draw(self.pde.as_ref(), &answered)?)?,
        }
        Ok(())
    }

    /// The texts of the answer's page.
    fn texts(&self) -> Texts {
        let arguments = std::env::args_os().skip(1);
        let arguments = arguments.map(|word| quoted(word.to_string_lossy().into_owned()));
        let command = std::iter::once("phys-instruct".into()).chain(arguments).collect::<Vec<_>>();
        let advice = words::advice(&self.figures);
        let all = "--table F.csv writes all";
        Texts { figures: self.lines(), command: command.join(" "), advice, all }
    }

    /// Prints the figures.
    pub fn print(&self, json: bool) -> Outcome {
        show(json, self.value()?, &self.lines())
    }

    /// The figures as JSON.
    pub fn value(&self) -> Result<Value, Failure> {
        let whole = |value: serde_json::Result<Value>| {
            value.map_err(|error| Failure::Usage(error.to_string()))
        };
        let [prepared, spent] = self.times;
        let mut value = whole(serde_json::to_value(&self.figures))?;
        value["unobserved"] = self.unobserved.into();
        value["prepare_seconds"] = prepared.into();
        value["seconds"] = spent.into();
        value["check"] = whole(serde_json::to_value(&self.check))?;
        Ok(value)
    }

    /// The figures in words.
    fn lines(&self) -> Vec<(String, String)> {
        let [prepared, spent] = self.times;
        let mut lines =
            words::figures(&self.answer, &self.figures, self.pde.as_ref(), self.check.as_ref());
        lines.push(line(
            "time",
            format!("{} (and {} to prepare)", seconds(spent), seconds(prepared)),
        ));
        lines
    }
}

/// A word of a command as a shell reads it.
fn quoted(word: String) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
