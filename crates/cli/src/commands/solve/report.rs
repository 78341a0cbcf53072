//! The report of an answer: its figures, its files, and what does not fit.

use std::path::{Path, PathBuf};

use phys_instruct::condition::export::{self, Format, Layers, Level};
use phys_instruct::condition::{Answer, AnswerFigures, Task, TrialScores};
use phys_instruct::store::atomic;
use phys_instruct::{Model, Samples};
use phys_instruct_physics::Pde;
use phys_instruct_report::number::{plain, significant};
use serde_json::Value;

use super::many::Job;
use crate::args::extension;
use crate::failure::{Failure, Outcome};
use crate::output::{NO_EQUATION, line, seconds, show, tell};
use crate::picture;
use crate::picture::answer::{self, Answered};
use crate::picture::page::{self, Texts};
use crate::warnings::warn;

/// An answer, with the fields by which it is measured.
pub(super) struct Report<'a> {
    /// The model that answered.
    pub model: &'a Model,
    /// The name of the model's file.
    pub name: String,
    /// The seed of the ensemble.
    pub seed: u64,
    /// The PDE.
    pub pde: Box<dyn Pde>,
    /// The task.
    pub task: Task,
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

impl Report<'_> {
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
        let count = self.answer.observations.points().len();
        let title = format!("{}, {}: {count} observations", self.model.card.pde, self.task);
        let caption = self.caption();

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

    /// The origin of the answer, in a sentence or two.
    fn caption(&self) -> String {
        let Answer { posterior, pde_errors, .. } = &self.answer;
        let errors = match pde_errors {
            Some(errors) => {
                let [members, mean] = [errors.members, errors.mean].map(|v| significant(v, 3));
                format!("PDE error of the members {members}, of their mean {mean}.")
            }
            None => "No equation was used: none is known.".into(),
        };

        format!(
            "Made by model {}, {} members of {}, seed {}. {errors}",
            self.name,
            posterior.samples.count,
            picture::in_words(posterior.calls),
            self.seed,
        )
    }

    /// The texts of the answer's page.
    fn texts(&self) -> Texts {
        let advice = self.figures.next_place.as_ref().map(|place| {
            let [y, x] = [place.y, place.x].map(plain);
            format!("One more value would tell most at y {y}, x {x} of {}.", place.field)
        });
        let words = std::env::args().skip(1).map(quoted);
        let command = std::iter::once("phys-instruct".into()).chain(words).collect::<Vec<_>>();
        Texts { figures: self.lines(), command: command.join(" "), advice }
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
        let Answer { posterior, observations, explained, pde_errors, .. } = &self.answer;
        let (samples, figures) = (&posterior.samples, &self.figures);
        let (misfit, score, [prepared, spent]) = (figures.misfit, figures.score, self.times);
        let [chi, of_members] = [explained.chi, explained.chi_of_members].map(plain);
        let errors = pde_errors.map(|e| {
            let [members, mean, model] = [e.members, e.mean, e.model].map(plain);
            format!("{members}, of the mean {mean}; the model's own {model}")
        });

        let mut lines = vec![
            line("PDE", self.pde.equation()),
            line("task", self.task),
            line("observations", observations.points().len()),
            line("ensemble", samples.count),
            line("misfit of the mean", format!("{} of the fields' deviation", plain(misfit))),
            line("chi", format!("{chi} of the mean, {of_members} of the members; 1 is expected")),
            line("PDE error", errors.unwrap_or_else(|| NO_EQUATION.into())),
        ];
        if let Some(score) = score {
            lines.push(line("error", plain(score.error)));
            lines.extend(score.coverage90.map(|c| line("within the 90 % interval", plain(c))));
            lines.push(line("ranked score (CRPS)", plain(score.crps)));
        }

        if let Some(check) = &self.check {
            let [error, sd, chi] = [check.error, check.error_sd, check.chi].map(plain);
            let covered = check.coverage90.map_or("-".into(), plain);
            lines.push(line("check", format!("{} problems of the same places", check.problems)));
            lines.push(line("  error", format!("{error}, standard deviation {sd}")));
            lines.push(line("  within 90 %", covered));
            lines.push(line("  chi", format!("{chi} of the mean")));
        }

        lines.push(line("network calls", posterior.calls));
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
