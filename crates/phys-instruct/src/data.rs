//! The samples on which a run trains and against which it is measured.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use phys_instruct_physics::{Fields, Grid, Pde, Solution, generate as solve_drawn};
use rayon::prelude::*;

use crate::memory::{self, GROUP};
use crate::store::dataset;
use crate::{Config, Error, Result, Samples};

/// A receiver of progress that may stop the work.
pub struct Watch<'a> {
    /// A function that receives the number of finished samples.
    pub progress: &'a mut dyn FnMut(usize),
    /// A flag that is raised to stop.
    pub stop: &'a AtomicBool,
}

/// Draws and solves `count` samples on a grid. Sample i depends on the seed and i alone.
///
/// # Errors
/// Fails if no samples are asked for, if the solver refuses an input, and with
/// [`Error::Interrupted`].
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use phys_instruct::data::{self, Watch};
/// use phys_instruct::physics::Grid;
/// use phys_instruct::problem;
///
/// let stop = AtomicBool::new(false);
/// let mut watch = Watch { progress: &mut |_| (), stop: &stop };
/// let pde = problem::by_name("poisson")?;
/// let samples = data::generate(pde.as_ref(), Grid::square(16), 1, 3, &mut watch)?;
/// assert_eq!((samples.count, samples.sample_len()), (3, 2 * 16 * 16));
/// # Ok::<(), phys_instruct::Error>(())
/// ```
pub fn generate(
    pde: &dyn Pde,
    grid: Grid,
    seed: u64,
    count: usize,
    watch: &mut Watch,
) -> Result<Samples> {
    let names: Vec<String> = pde.channels().into_iter().map(|c| c.name).collect();
    memory::ask_for_samples(pde, grid, count)?;

    let mut all: Option<Samples> = None;
    for start in (0..count).step_by(GROUP) {
        if watch.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let end = (start + GROUP).min(count);
        let fields = solve_drawn(pde, grid, seed, start as u64..end as u64)?;
        let part = Samples::from_fields(pde.name(), &names, grid, &fields)?;
        match &mut all {
            None => {
                let mut first = part;
                first.data.reserve_exact((count - end) * first.sample_len());
                all = Some(first);
            }
            Some(all) => {
                all.data.extend(part.data);
                all.count = end;
            }
        }
        (watch.progress)(end);
    }
    all.ok_or_else(|| Error::Shape("no samples asked for".into()))
}

/// The grid of inputs on a domain with these sides along y and x. A line has as many times as
/// points.
///
/// # Errors
/// Fails for a grid on which the equation cannot be posed.
pub fn grid_of(pde: &dyn Pde, inputs: &[Fields], sides: [f64; 2]) -> Result<Grid> {
    let shape = inputs.first().map_or([0; 2], |first| match pde.layout().input.is_line() {
        true => [first.width; 2],
        false => [first.height, first.width],
    });
    let grid = Grid::new(shape, sides)?;
    pde.check_grid(grid)?;
    Ok(grid)
}

/// Solves on a grid for the given inputs in parallel, and checks for each that the grid resolves
/// the solution.
///
/// # Errors
/// Fails with [`Error::Memory`], and with the first failure of [`Pde::solve_checked`].
pub fn solve_checked(pde: &dyn Pde, grid: Grid, inputs: &[Fields]) -> Result<Vec<Solution>> {
    let Grid { ny, nx, .. } = grid;
    let solutions = 2.0 * memory::of_samples(inputs.len(), [pde.channels().len(), ny, nx]);
    let at_once = inputs.len().min(rayon::current_num_threads()) as f64;
    let what = format_args!("{} solutions of {ny} x {nx}", inputs.len());
    memory::ask(solutions + at_once * pde.solve_bytes(grid), what)?;

    inputs.par_iter().map(|input| Ok(pde.solve_checked(grid, input)?)).collect()
}

/// The training samples of a run: the first of `data.path`, or generated from `data.seed`.
///
/// # Errors
/// Fails for data that are missing, damaged, too few or of another grid, and as [`generate`] does.
pub fn training(config: &Config, watch: &mut Watch) -> Result<Samples> {
    let (pde, data) = (config.pde()?, &config.data);
    match &data.path {
        None => generate(pde.as_ref(), config.grid, data.seed, data.count, watch),
        Some(path) => part_of(config, pde.as_ref(), Path::new(path), |total, validation| {
            let rest = total - validation;
            0..if data.count == 0 { rest } else { data.count }
        }),
    }
}

/// The held-out samples of a run: the last of `data.path`, or generated from the seed after
/// `data.seed`.
///
/// # Errors
/// Fails as [`training`] does.
pub fn validation(config: &Config, watch: &mut Watch) -> Result<Samples> {
    let (pde, data) = (config.pde()?, &config.data);
    match &data.path {
        None => {
            let seed = data.seed.wrapping_add(1);
            generate(pde.as_ref(), config.grid, seed, data.validation, watch)
        }
        Some(path) => part_of(config, pde.as_ref(), Path::new(path), |total, validation| {
            total - validation..total
        }),
    }
}

fn part_of(
    config: &Config,
    pde: &dyn Pde,
    path: &Path,
    range: impl Fn(usize, usize) -> Range<usize>,
) -> Result<Samples> {
    let samples = dataset::load_any(path, pde)?;
    let bad = |reason| Err(Error::BadFile { path: path.into(), reason });
    let (total, training, validation) = (samples.count, config.data.count, config.data.validation);

    if samples.grid() != config.grid {
        return bad(format!("a grid of {} found, {} configured", samples.grid(), config.grid));
    }
    if training.max(1).saturating_add(validation) > total {
        return bad(format!(
            "{total} samples found; data.count = {training} and data.validation = {validation} \
             were configured (data.count = 0 takes all but the validation samples)"
        ));
    }
    Ok(samples.slice(range(total, validation)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn config(data: &str) -> Config {
        Config::from_toml(&format!("pde = 'poisson'\ngrid = 8\n[data]\n{data}")).unwrap()
    }

    #[test]
    fn groups_change_nothing() {
        let count = GROUP + 3;
        let config = config(&format!("count = {count}\nvalidation = 4\nseed = 5"));
        let train = both(&config).unwrap().0;
        let fields =
            solve_drawn(config.pde().unwrap().as_ref(), Grid::square(8), 5, 0..count as u64)
                .unwrap();
        let grid = Grid::square(8);
        assert_eq!(train, Samples::from_fields("poisson", &["a", "u"], grid, &fields).unwrap());
    }

    fn both(config: &Config) -> Result<(Samples, Samples)> {
        let stop = AtomicBool::new(false);
        let mut watch = Watch { progress: &mut |_| (), stop: &stop };
        Ok((training(config, &mut watch)?, validation(config, &mut watch)?))
    }

    #[test]
    fn generated_parts_stem_from_two_seeds() {
        let (train, held_out) = both(&config("count = 3\nvalidation = 4\nseed = 5")).unwrap();
        let (other, _) = both(&config("count = 4\nvalidation = 4\nseed = 6")).unwrap();
        assert_eq!((train.count, held_out.count), (3, 4));
        assert_eq!(held_out, other);
        assert_ne!(train.field(0, 0), held_out.field(0, 0));
    }

    #[test]
    fn a_file_is_split_without_overlap() {
        let (all, _) = both(&config("count = 10\nvalidation = 4")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        dataset::write_npz(&all, &path).unwrap();
        let from = |rest: &str| both(&config(&format!("path = '{}'\n{rest}", path.display())));
        let (train, held_out) = from("count = 0\nvalidation = 4").unwrap();
        assert_eq!((train, held_out), (all.slice(0..6), all.slice(6..10)));
        assert_eq!(from("count = 2\nvalidation = 4").unwrap().0, all.slice(0..2));
        let error = from("count = 8\nvalidation = 4").unwrap_err().to_string();
        assert!(error.contains("10 samples found"), "{error}");
    }

    #[test]
    fn a_raised_flag_stops() {
        let stop = AtomicBool::new(true);
        let mut watch = Watch { progress: &mut |_| (), stop: &stop };
        let stopped = training(&config("count = 3"), &mut watch);
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
