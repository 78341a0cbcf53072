//! `sample`: samples, their figures, a picture.

use std::path::{Path, PathBuf};

use clap::Args;
use phys_instruct::model::Model;
use phys_instruct::residual::Residual;
use phys_instruct::store::dataset;
use phys_instruct_pictures::samples::{self, PICTURED, Shown};
use phys_instruct_pictures::words;

use crate::args::{Global, ModelName, SamplingArgs, at_least, extension};
use crate::failure::Outcome;
use crate::figures::{self, Figures, Printed, Subject};
use crate::output::{keep_apart, tell};
use crate::{models, picture};

/// Draw samples from a model, with their figures and a picture
///
/// Figures are taken against data that the reference solver makes on the spot; each comes with the
/// data's own, the floor. Without --out the picture is written to <pde>.png.
///
/// Example: phys-instruct sample poisson --calls 1 --count 64 --out samples.npz --out samples.png
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Sample {
    #[command(flatten)]
    name: ModelName,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Samples to draw
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least::<1>())]
    count: usize,
    /// A file for the samples: .npz (physical units), .png or .svg; repeatable
    #[arg(long, value_name = "F")]
    out: Vec<PathBuf>,
    /// Held-out data to measure against: a data set folder or a file
    #[arg(long, value_name = "F")]
    reference: Option<PathBuf>,
}

impl Sample {
    pub fn run(&self, global: &Global) -> Outcome {
        self.out.iter().try_for_each(|path| picture::check(path))?;
        keep_apart(self.reference.as_deref(), self.out.iter().map(PathBuf::as_path))?;
        let path = models::find(&self.name.model)?;
        let model = Model::load(&path, &global.open_device()?)?;
        let subject = figures::draw(&model, &path, &self.sampling, self.count)?;
        let reference = figures::reference(&subject, self.reference.as_deref())?;
        let residual = subject.equation()?;
        let figures = figures::measured_on(&subject, reference.as_ref(), residual.as_deref())?;

        let out = match self.out.as_slice() {
            [] => vec![PathBuf::from(format!("{}.png", model.card.pde))],
            given => given.to_vec(),
        };
        for path in &out {
            match extension(path).as_str() {
                "npz" => dataset::write_npz(&subject.samples, path)?,
                _ => draw(path, &subject, residual.as_deref(), &figures)?,
            }
            tell!("wrote {}", path.display());
        }
        figures.print(global.json)
    }
}

/// Draws the first samples.
pub fn draw(
    path: &Path,
    subject: &Subject,
    residual: Option<&dyn Residual>,
    figures: &Figures,
) -> Outcome {
    let [title, caption] = [words::title_of_samples(figures), words::caption_of_samples(figures)];
    let shown = Shown::of(&subject.samples, residual, PICTURED, &title, &caption)?;
    let drawn = samples::draw(subject.pde.as_ref(), &[shown])?;
    drawn.iter().try_for_each(|canvas| picture::write(path, canvas))
}
