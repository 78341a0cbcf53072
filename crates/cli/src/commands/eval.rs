//! `eval`: the figures of many samples.

use std::path::{Path, PathBuf};

use clap::Args;
use phys_instruct::model::Model;
use phys_instruct::problem;
use phys_instruct::store::dataset;

use crate::args::{Global, Params, SamplingArgs, at_least, extension};
use crate::completion;
use crate::failure::{Failure, Outcome};
use crate::figures::{self, Printed, Subject};
use crate::models;

/// Measure a model, or samples in a file, against held-out data
///
/// PDE error and solution error, sliced Wasserstein distance, standard deviations, and what else is
/// measured always together; each beside the data's own. A single sample has no distribution. For a
/// file of samples name the PDE.
///
/// Example: phys-instruct eval poisson --calls 1 --count 1000 --json
/// Example: phys-instruct eval samples.npz --pde poisson --reference data/poisson-64
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Eval {
    /// A model (file, run folder or PDE) or samples (.npz or another array file, data set folder)
    #[arg(value_name = "SAMPLES|MODEL|PDE")]
    subject: PathBuf,
    /// The PDE of a file of samples: a name, or for data alone a TOML file with a [pde] table
    #[arg(long, value_name = "PDE", add = completion::pdes_and_descriptions())]
    pde: Option<String>,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Samples to draw from a model, or to take at most from a file
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least::<1>())]
    count: usize,
    /// Held-out data: a data set folder or a file [default: made by the reference solver]
    #[arg(long, value_name = "F")]
    reference: Option<PathBuf>,
}

impl Eval {
    pub fn run(&self, global: &Global) -> Outcome {
        let subject = if is_samples(&self.subject) { self.samples()? } else { self.model(global)? };
        let Some(reference) = figures::reference(&subject, self.reference.as_deref())? else {
            return Err(figures::no_reference(subject.pde.name()));
        };
        let residual = subject.equation()?;
        figures::measured_on(&subject, Some(&reference), residual.as_deref())?.print(global.json)
    }

    fn model(&self, global: &Global) -> Result<Subject, Failure> {
        let path = models::find(&self.subject)?;
        let model = Model::load(&path, &global.open_device()?)?;
        figures::draw(&model, &path, &self.sampling, self.count)
    }

    fn samples(&self) -> Result<Subject, Failure> {
        let pde = self.params.pde_of(&self.subject, self.pde.as_deref())?;
        let all = dataset::load_any(&self.subject, pde.as_ref())?;
        let samples = all.slice(0..self.count.min(all.count));
        let pde = problem::completed(pde, &samples)?;
        Ok(Subject::of_file(pde, samples).polished(self.sampling.polish)?)
    }
}

fn is_samples(path: &Path) -> bool {
    let file = path.is_file() && extension(path) != "safetensors";
    file || path.join("manifest.json").is_file()
}
