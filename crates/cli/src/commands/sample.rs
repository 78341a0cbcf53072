//! `sample`: samples, their figures, a picture.

use std::path::PathBuf;

use clap::Args;
use phys_instruct::model::Model;

use super::open_device;
use crate::args::{Drawing, Global, ModelName, at_least};
use crate::failure::Outcome;
use crate::figures::Subject;
use crate::output::tell;
use crate::{models, picture};

/// Draw samples from a model, with their figures and a picture
///
/// Figures are taken against data that the reference solver makes on the spot; each comes with the
/// data's own, the floor. Without --out the picture is written to <pde>.png.
///
/// Example: phys-instruct sample poisson --steps 1 --count 64 --out samples.npz --out samples.png
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Sample {
    #[command(flatten)]
    name: ModelName,
    #[command(flatten)]
    drawing: Drawing,
    /// Samples to draw
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least::<2>())]
    count: usize,
    /// Where to: .npz (physical units), .png or .svg; repeatable
    #[arg(long, value_name = "F")]
    out: Vec<PathBuf>,
    /// Held-out data to measure against: a data set folder or a file
    #[arg(long, value_name = "F")]
    reference: Option<PathBuf>,
}

impl Sample {
    pub fn run(&self, global: &Global) -> Outcome {
        self.out.iter().try_for_each(|path| picture::check(path))?;
        let path = models::find(&self.name.model)?;
        let model = Model::load(&path, &open_device(global)?)?;
        let subject = Subject::draw(&model, &path, &self.drawing, self.count)?;
        let reference = subject.reference(self.reference.as_deref())?;
        let residual = subject.residual()?;
        let figures = subject.measure(&reference, residual.as_ref())?;

        let out = match self.out.as_slice() {
            [] => vec![PathBuf::from(format!("{}.png", model.card.pde))],
            given => given.to_vec(),
        };
        for path in &out {
            let pde = subject.pde.as_ref();
            let headline = figures.headline();
            picture::write(path, &subject.samples, pde, residual.as_ref(), &headline)?;
            tell!("wrote {}", path.display());
        }
        figures.print(global.json)
    }
}
