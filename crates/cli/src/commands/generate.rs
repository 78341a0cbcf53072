//! `generate`: data from the reference solver.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use phys_instruct::Error;
use phys_instruct::data::{self, Watch};
use phys_instruct::grid::json as grid_json;
use phys_instruct::job::Part;
use phys_instruct::store::dataset::{self, Plan, usual_shard};
use phys_instruct::store::interrupt;
use phys_instruct_physics::{Grid, Pde};
use serde_json::json;

use crate::args::{Global, GridArgs, PartArgs, PdeArgs, at_least, extension};
use crate::failure::{Failure, Outcome, interrupted};
use crate::output::{line, make_room, show, tell};
use crate::progress::bar;

/// Generate data with the reference solver
///
/// Draws random inputs from the seed and solves each. Sample i depends on the seed and i alone: the
/// number of threads changes nothing, and the same command resumes what was interrupted. Parts of
/// one set, made side by side into folders of their own, become one by `data merge`.
///
/// Example: phys-instruct generate poisson --count 1000 --grid 64 --seed 1 --out data/poisson-64
/// Example: phys-instruct generate poisson --count 1000 --part 3/8 --out parts/3
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Generate {
    #[command(flatten)]
    equation: PdeArgs,
    /// Samples to make
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least::<1>())]
    count: usize,
    #[command(flatten)]
    grid: GridArgs,
    /// The seed behind every random number
    #[arg(long, value_name = "K", default_value_t = 0)]
    seed: u64,
    /// A folder for a data set in shards, or a file ending in .npz
    #[arg(long, value_name = "F")]
    out: PathBuf,
    /// Samples in a shard of the data set [default: 1000, fewer where that is more than 256 MiB]
    #[arg(long, value_name = "N", value_parser = at_least::<1>())]
    shard: Option<usize>,
    #[command(flatten)]
    pub(crate) job: PartArgs,
}

impl Generate {
    pub fn run(&self, global: &Global) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let (pde, grid) = (self.equation.build()?, self.grid.build()?);
        pde.check_grid(grid).map_err(Error::from)?;

        match extension(&self.out).as_str() {
            "npz" if self.job.part.is_some() => {
                let name = self.out.display();
                let reason = format!("--out {name}: a part of a data set needs a folder");
                return Err(Failure::Usage(reason));
            }
            "npz" => self.file(pde.as_ref(), grid, &stop)?,
            "npy" | "h5" | "hdf5" | "mat" | "zip" => {
                let name = self.out.display();
                let reason = format!("--out {name}: a folder, or a name ending in .npz, expected");
                return Err(Failure::Usage(reason));
            }
            _ => self.folder(pde.as_ref(), grid, &stop)?,
        }

        let made = self.samples();
        let value = json!({
            "pde": self.equation.pde, "count": made.len(), "first": made.start, "grid": grid_json(grid), "seed": self.seed,
            "out": self.out.to_string_lossy(),
        });
        let samples =
            format!("{} of {}, {grid}, seed {}", self.in_words(), self.equation.pde, self.seed);
        show(global.json, value, &[line("samples", samples), line("out", self.out.display())])
    }

    /// The samples that are made, by their number in the whole set.
    fn samples(&self) -> Range<usize> {
        Part::range_of(self.job.part, self.count)
    }

    /// The number of the samples, and which of a whole set they are.
    fn in_words(&self) -> String {
        let made = self.samples();
        match self.job.part {
            None => made.len().to_string(),
            Some(part) => format!("{} ({part} of {}, from {})", made.len(), self.count, made.start),
        }
    }

    fn file(&self, pde: &dyn Pde, grid: Grid, stop: &AtomicBool) -> Outcome {
        make_room(&self.out)?;
        let bar = bar(self.count, "solving");
        let mut watch = Watch { progress: &mut |done| bar.set_position(done as u64), stop };
        let samples = data::generate(pde, grid, self.seed, self.count, &mut watch)
            .map_err(|e| interrupted(e, "nothing was written"))?;
        bar.finish_and_clear();
        Ok(dataset::write_npz(&samples, &self.out)?)
    }

    fn folder(&self, pde: &dyn Pde, grid: Grid, stop: &AtomicBool) -> Outcome {
        // An engine that asks for more parts than there are samples must not take one for a fault.
        if let Some(part) = self.job.part.filter(|part| part.range(self.count).is_empty()) {
            tell!("part {part}: none of {} samples, nothing to make", self.count);
            return Ok(());
        }

        let bar = bar(self.samples().len(), "solving");
        let shard = self.shard.unwrap_or_else(|| usual_shard(pde, grid));
        let Self { count, seed, job, .. } = self;
        let shard_size = shard.min(*count);
        let plan = Plan { grid, count: *count, seed: *seed, shard_size, part: job.part };
        let mut progress = |done| bar.set_position(done as u64);
        dataset::generate(pde, plan, &self.out, &mut progress, stop)
            .map_err(|e| interrupted(e, "the same command goes on from the last whole shard"))?;
        bar.finish_and_clear();
        Ok(())
    }
}
