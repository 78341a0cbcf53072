//! `bench tune`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use phys_instruct::bench::tuning::{self, Teacher, Tuned, Tuning};
use phys_instruct::bench::{SamplingMethod, unconditional};
use phys_instruct::data::{self, Watch};
use phys_instruct::device::Device;
use phys_instruct::model::{Kind, Model};
use phys_instruct::seeds;
use phys_instruct::store::dataset::file_hash;

use super::choice::{chosen, weights};
use crate::args::{Global, at_least, points};
use crate::completion;
use crate::failure::{Failure, Outcome};
use crate::models;
use crate::output::{make_room, print, tell};
use crate::progress::wait;

/// Search the weights of DiffusionPDE's guidance and CoCoGen's corrections on validation data
///
/// Each teacher, method and number of steps gets the same candidates and samples. The answer, with
/// everything tried, goes into baselines.toml beside the models, where `bench unconditional` finds
/// it.
///
/// Example: phys-instruct bench tune --pde poisson
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Tune {
    /// A PDE; repeatable [default: all]
    #[arg(long, value_name = "PDE", add = completion::pdes())]
    pde: Vec<String>,
    /// Points a side of the teachers, or along y and x: `64`, `48x80`
    #[arg(long, value_name = "S", default_value = "32", value_parser = points)]
    grid: [usize; 2],
    /// Samples of each trial
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least::<4>())]
    count: usize,
    /// The file to write [default: baselines.toml beside the models]
    #[arg(long, value_name = "F")]
    out: Option<PathBuf>,
}

impl Tune {
    pub fn run(&self, global: &Global) -> Outcome {
        let device = global.open_device()?;
        let (path, mut tuning) = match &self.out {
            Some(path) => (path.clone(), Tuning::read(path)?.unwrap_or_default()),
            None => weights()?,
        };
        make_room(&path)?;
        let find = |pde: &str, kind: &str| {
            let name = unconditional::model_name(pde, self.grid, kind);
            models::file(&format!("{name}.safetensors"))
        };

        for pde in chosen(&self.pde, |pde| find(pde, "edm").is_some())? {
            let files: Vec<_> =
                ["edm", "teacher"].iter().filter_map(|kind| find(&pde, kind)).collect();
            if files.is_empty() {
                let [y, x] = self.grid;
                return Err(Failure::Usage(format!("no teacher of {pde} on {y} x {x} points")));
            }
            for file in files {
                for tuned in self.search(&file, &device)? {
                    let same = |t: &Tuned| {
                        (&t.teacher, &t.method, t.steps)
                            == (&tuned.teacher, &tuned.method, tuned.steps)
                    };
                    tuning.tuned.retain(|t| !same(t));
                    tuning.tuned.push(tuned);
                }
                tuning.write(&path)?;
            }
        }
        print(&path.display().to_string())
    }

    /// Searches every method and number of steps of one teacher.
    fn search(&self, file: &Path, device: &Device) -> Result<Vec<Tuned>, Failure> {
        let model = Model::load(file, device)?;
        if model.card.kind != Kind::Teacher {
            return Err(Failure::Usage(format!("{}: not a teacher", file.display())));
        }
        let pde = model.card.pde()?;
        let stop = AtomicBool::new(false);
        let mut watch = Watch { progress: &mut |_| (), stop: &stop };
        let grid = model.card.grid;

        let validation =
            data::generate(pde.as_ref(), grid, seeds::TUNING, 2 * self.count, &mut watch)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let hash = file_hash(file)?;

        let mut all = Vec::new();
        let teacher = Teacher { name: &stem, sha256: &hash, model: &model };
        for method in [SamplingMethod::DiffusionPde, SamplingMethod::CoCoGen] {
            for steps in tuning::STEPS {
                let (pde, count) = (pde.as_ref(), self.count);
                let what = format!("{stem}, {method}, {steps} steps");
                let search = || tuning::search(&teacher, pde, &validation, method, steps, count);
                let tuned = wait(&what, search)?;
                let share =
                    tuned.strength.share.map(|share| format!(", the last {share} of the steps"));
                tell!("{what}: {}{}", tuned.strength.weight, share.unwrap_or_default());
                all.push(tuned);
            }
        }
        Ok(all)
    }
}
