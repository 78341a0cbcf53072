//! A data set folder: shards of samples (`shard-00000.npy`, `f32 [n, channel, y, x]`, physical
//! units) and their manifest.
//!
//! Sample i depends on the recipe and i alone, so that an interrupted set is resumed shard by
//! shard, and neither interruptions nor the number of threads change a byte.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use phys_instruct_physics::{Grid, Pde, generate as solve_samples};

use crate::job::Part;
use crate::store::file::bad;
use crate::store::import::{ImportOptions, SIDES, import};
use crate::store::lock::Lock;
use crate::store::manifest::{ChannelStats, FORMAT, GENERATOR, Manifest, Partial, Recipe, Shard};
use crate::store::ndarray::NdArray;
use crate::store::rasters::is_data_set;
pub use crate::store::shard::{file_hash, load, sha256};
use crate::store::shard::{read_fields, read_shard};
use crate::store::{atomic, npy, npz};
use crate::{Error, Result, Samples, memory};

/// The samples to generate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The grid.
    pub grid: Grid,
    /// The number of samples of the whole set, at least 1.
    pub count: usize,
    /// The seed.
    pub seed: u64,
    /// The number of samples in a file, at least 1. Memory and the work lost by an interruption
    /// grow with it.
    pub shard_size: usize,
    /// The part of the set to generate; none for all of it. Parts become one set by
    /// [`merge`](crate::store::merge::merge).
    pub part: Option<Part>,
}

/// A shard that does not agree with the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The difference between what was found and what was expected.
    pub reason: String,
}

/// Returns the samples of a shard that suit the grid: 1000, or as many as keep its file below 256
/// MiB.
pub fn usual_shard(pde: &dyn Pde, grid: Grid) -> usize {
    const MOST_BYTES: f64 = (256u64 << 20) as f64;
    let sample = memory::of_samples(1, [pde.channels().len(), grid.ny, grid.nx]);
    ((MOST_BYTES / sample) as usize).clamp(1, 1000)
}

/// Generates a data set into `folder`, or completes or repairs one begun there. Finished shards
/// with the right hash are kept; missing and damaged ones are made anew. `progress` receives the
/// number of finished samples, and `stop` is tested every few samples.
///
/// # Errors
/// - [`Error::Config`] for an empty plan or part.
/// - [`Error::BadFile`] if the folder holds another data set, if another process writes it, or if a
///   sample is not finite in `f32`.
/// - [`Error::Physics`] and [`Error::Io`].
/// - [`Error::Interrupted`] once `stop` is raised; the finished shards are then kept.
pub fn generate(
    pde: &dyn Pde,
    plan: Plan,
    folder: &Path,
    progress: &mut dyn FnMut(usize),
    stop: &AtomicBool,
) -> Result<Manifest> {
    let recipe = recipe(pde, plan);
    recipe.check().map_err(Error::Config)?;
    // A shard is held twice: as numbers, and as the bytes of its file.
    memory::ask_for_samples(pde, plan.grid, 2 * plan.shard_size.min(plan.count))?;

    let names: Vec<String> = pde.channels().into_iter().map(|channel| channel.name).collect();
    let mut made =
        |index, progress: &mut dyn FnMut(usize)| solve_shard(pde, &recipe, index, stop, progress);
    complete(&names, &recipe, folder, progress, &mut made)
}

/// A receiver of the number of samples that are there.
type Progress<'a> = &'a mut dyn FnMut(usize);

/// Makes what a folder lacks of the recipe's shards, each by `make` from its number, and writes the
/// manifest. `make` tells how many of its samples are there, and `progress` receives those of all
/// shards. The finished shards are kept when it fails.
pub(super) fn complete(
    names: &[String],
    recipe: &Recipe,
    folder: &Path,
    progress: &mut dyn FnMut(usize),
    make: &mut dyn FnMut(usize, Progress) -> Result<Samples>,
) -> Result<Manifest> {
    let _lock = Lock::take(folder)?;
    let mut partial = Partial::resume(folder, recipe.clone())?;
    partial.shards.retain(|_, shard| read_shard(folder, shard).is_ok());
    let mut done = partial.shards.values().map(|s| s.count).sum();
    progress(done);

    for index in 0..recipe.shards() {
        if partial.shards.contains_key(&index) {
            continue;
        }
        let samples = make(index, &mut |n| progress(done + n))?;
        done += samples.count;
        partial.shards.insert(index, write_shard(folder, index, samples)?);
        partial.write(folder)?;
    }
    finish(names, partial, folder)
}

/// Checks every shard of a data set and lists the faults.
///
/// # Errors
/// Fails as [`Manifest::read`] does, without which nothing can be checked.
pub fn verify(folder: &Path) -> Result<Vec<Fault>> {
    let manifest = Manifest::read(folder)?;
    let Manifest { shards, channels, recipe, .. } = &manifest;
    Ok(faults(folder, shards, recipe.grid, channels.len()))
}

/// The faults of shards with so many channels, which are finished ones of a set in `folder`.
pub(super) fn faults(folder: &Path, shards: &[Shard], grid: Grid, channels: usize) -> Vec<Fault> {
    let check = |shard: &Shard| {
        let shape = [shard.count, channels, grid.ny, grid.nx];
        let reason = match read_fields(folder, shard, &shape).err()? {
            Error::BadFile { reason, .. } => reason,
            Error::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        Some(Fault { file: folder.join(&shard.file), reason })
    };
    shards.iter().filter_map(check).collect()
}

/// Writes samples as an `.npz` of one array per channel, `f32 [sample, y, x]` in physical units.
/// Off the unit square the lengths along y and x are the array [`SIDES`].
///
/// # Errors
/// Fails with [`Error::Shape`], with [`Error::BadFile`] for values that are not finite, and with
/// [`Error::Io`].
pub fn write_npz(samples: &Samples, path: &Path) -> Result<()> {
    let shape = vec![samples.count, samples.height, samples.width];
    let arrays = (0..samples.channels.len())
        .map(|c| {
            let fields = (0..samples.count).flat_map(|i| samples.field(i, c));
            NdArray::from_f32(shape.clone(), fields.copied().collect())
                .ok_or_else(|| Error::Shape(format!("channel {c} does not fill {shape:?}")))
        })
        .collect::<Result<Vec<_>>>()?;
    let sides = NdArray::from_f64(vec![2], samples.sides.to_vec())
        .filter(|_| !samples.grid().is_unit())
        .map(|sides| (SIDES, sides));
    let names = samples.channels.iter().map(String::as_str);
    let all = names.zip(&arrays).chain(sides.as_ref().map(|(name, array)| (*name, array)));
    npz::write(path, &all.collect::<Vec<_>>())
}

/// Reads a file of [`write_npz`]: the channels of `pde` by their own names, on any grid.
///
/// # Errors
/// Fails as [`import()`] does.
pub fn read_npz(path: &Path, pde: &dyn Pde) -> Result<Samples> {
    let own = pde.channels().into_iter().map(|c| (c.name.clone(), c.name)).collect();
    import(path, pde, &ImportOptions { map: own, ..ImportOptions::default() })
}

/// Reads samples of `pde` from a data set folder or all else that [`import()`] reads, on any grid.
///
/// # Errors
/// Fails as [`load`] and [`import()`] do, and with [`Error::BadFile`] for a folder of another PDE.
pub fn load_any(path: &Path, pde: &dyn Pde) -> Result<Samples> {
    if !is_data_set(path) {
        return import(path, pde, &ImportOptions::default());
    }
    let samples = load(path)?;
    let channels: Vec<String> = pde.channels().into_iter().map(|c| c.name).collect();
    if samples.pde == pde.name() && samples.channels == channels {
        return Ok(samples);
    }
    let found = (&samples.pde, &samples.channels);
    Err(bad(path, format!("{found:?} found, {:?} expected", (pde.name(), channels))))
}

fn recipe(pde: &dyn Pde, plan: Plan) -> Recipe {
    Recipe {
        pde: pde.name().into(),
        params: pde.params().into_iter().map(|p| (p.name, p.value)).collect(),
        seed: plan.seed,
        grid: plan.grid,
        count: plan.count,
        shard_size: plan.shard_size,
        part: plan.part,
    }
}

/// Solves a shard, a few samples at a time, so that Ctrl-C takes effect within it.
fn solve_shard(
    pde: &dyn Pde,
    recipe: &Recipe,
    index: usize,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Result<Samples> {
    let range = recipe.range(index);
    let group = 4 * rayon::current_num_threads().max(4);
    let names: Vec<String> = pde.channels().into_iter().map(|c| c.name).collect();
    let mut shard: Option<Samples> = None;
    for start in range.clone().step_by(group) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let indices = start as u64..(start + group).min(range.end) as u64;

        let fields = solve_samples(pde, recipe.grid, recipe.seed, indices)?;
        let more = Samples::from_fields(recipe.pde.as_str(), &names, recipe.grid, &fields)?;
        let shard = shard.get_or_insert_with(|| Samples { count: 0, data: vec![], ..more.clone() });
        if (shard.height, shard.width) != (more.height, more.width) {
            return Err(Error::Shape("samples on different grids".into()));
        }
        shard.count += more.count;
        shard.data.extend(more.data);
        progress(shard.count);
    }
    shard.ok_or_else(|| Error::Shape("an empty shard".into()))
}

fn write_shard(folder: &Path, index: usize, samples: Samples) -> Result<Shard> {
    let shape = vec![samples.count, samples.channels.len(), samples.height, samples.width];
    let array = NdArray::from_f32(shape, samples.data)
        .ok_or_else(|| Error::Shape("a shard does not fill its shape".into()))?;
    let file = Shard::file_name(index);
    let path = folder.join(&file);
    npy::check(&path, &array)?;
    let mut bytes = Vec::new();
    npy::to_writer(&mut bytes, &array)
        .map_err(|source| Error::Io { path: path.clone(), source })?;
    atomic::write(&path, &bytes)?;
    Ok(Shard { file, count: samples.count, sha256: sha256(&bytes) })
}

fn finish(names: &[String], partial: Partial, folder: &Path) -> Result<Manifest> {
    let mut moments = vec![Moments::default(); names.len()];
    let points = partial.recipe.grid.shape();
    for shard in partial.shards.values() {
        let array = read_shard(folder, shard)?;
        let [count, channels, y, x] = array.shape[..] else {
            return Err(bad(&folder.join(&shard.file), "an array of four axes expected"));
        };
        if [y, x] != points || (count, channels) != (shard.count, moments.len()) {
            return Err(bad(
                &folder.join(&shard.file),
                "a shard of another shape than the recipe's",
            ));
        }
        let data = array.into_f32();
        let fields = data.chunks_exact((y * x).max(1));
        fields.enumerate().for_each(|(i, field)| moments[i % channels].add(field));
    }

    let manifest = Manifest {
        format: FORMAT,
        generator: GENERATOR.into(),
        recipe: partial.recipe,
        channels: names.iter().zip(moments).map(|(name, m)| m.stats(name)).collect(),
        shards: partial.shards.into_values().collect(),
    };
    manifest.write(folder)?;
    Manifest::read(folder)
}

/// Count, mean and sum of squared deviations, merged field by field (Chan, Golub and LeVeque,
/// 1979). A plain sum of squares would cancel where the mean is large.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    deviations: f64,
}

impl Moments {
    fn add(&mut self, field: &[f32]) {
        let n = field.len() as f64;
        let mean = field.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let deviations: f64 = field.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
        let (total, delta) = (self.count + n, mean - self.mean);
        self.deviations += deviations + delta * delta * self.count * n / total;
        self.mean += delta * n / total;
        self.count = total;
    }

    fn stats(&self, name: &str) -> ChannelStats {
        let std = (self.deviations / self.count).sqrt();
        ChannelStats { name: name.into(), mean: self.mean, std }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use phys_instruct_physics::poisson::Poisson;

    use super::*;
    use crate::testing::dummy::Dummy;

    const PLAN: Plan = Plan { grid: Grid::square(6), count: 7, seed: 3, shard_size: 3, part: None };

    fn make(pde: &dyn Pde, plan: Plan, folder: &Path) -> Result<Manifest> {
        generate(pde, plan, folder, &mut |_| {}, &AtomicBool::new(false))
    }

    fn dummy() -> Dummy {
        Dummy::named("dummy", &["a", "u"])
    }

    /// Every file of a folder, to the byte.
    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        entries
            .map(|p| (p.file_name().unwrap().to_str().unwrap().into(), std::fs::read(p).unwrap()))
            .collect()
    }

    #[test]
    fn a_set_holds_the_solved_samples_and_their_statistics() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = make(&dummy(), PLAN, folder.path()).unwrap();
        let samples = load(folder.path()).unwrap();
        let fields = solve_samples(&dummy(), PLAN.grid, 3, 0..7).unwrap();
        assert_eq!(
            samples,
            Samples::from_fields("dummy", &["a", "u"], PLAN.grid, &fields).unwrap()
        );
        let u: Vec<f64> = (0..7).flat_map(|i| samples.field(i, 1)).map(|&v| v.into()).collect();
        let mean = u.iter().sum::<f64>() / u.len() as f64;
        let var = u.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / u.len() as f64;
        assert!((manifest.channels[1].mean - mean).abs() < 1e-12);
        assert!((manifest.channels[1].std - var.sqrt()).abs() < 1e-12);
        assert_eq!(verify(folder.path()).unwrap(), []);
    }

    #[test]
    fn sha256_is_that_of_the_standard() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
    }

    #[test]
    fn an_interrupted_set_resumes_to_the_same_bytes() {
        let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        make(&Poisson::default(), PLAN, whole.path()).unwrap();
        for samples in [3, 6] {
            let stop = AtomicBool::new(false);
            let mut stop_at = |done| stop.store(done >= samples, Ordering::Relaxed);
            let pde = Poisson::default();
            let error = generate(&pde, PLAN, parts.path(), &mut stop_at, &stop).unwrap_err();
            assert!(matches!(error, Error::Interrupted));
            assert_eq!(files(parts.path()).len(), samples / 3 + 1);
            assert!(load(parts.path()).unwrap_err().to_string().contains("not finished"));
        }
        make(&Poisson::default(), PLAN, parts.path()).unwrap();
        assert_eq!(files(whole.path()), files(parts.path()));
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let made = [1, 3].map(|threads| {
            let folder = tempfile::tempdir().unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| make(&dummy(), PLAN, folder.path())).unwrap();
            files(folder.path())
        });
        assert_eq!(made[0], made[1]);
    }

    #[test]
    fn damage_is_found_and_repaired() {
        let folder = tempfile::tempdir().unwrap();
        make(&dummy(), PLAN, folder.path()).unwrap();
        let good = files(folder.path());
        let path = folder.path().join("shard-00001.npy");
        let mut bytes = good["shard-00001.npy"].clone();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        std::fs::remove_file(folder.path().join("shard-00002.npy")).unwrap();
        let problems = verify(folder.path()).unwrap();
        assert_eq!(problems.len(), 2);
        assert_eq!(problems[0].file, path);
        assert!(problems[0].reason.contains("SHA-256"), "{:?}", problems[0]);
        assert!(load(folder.path()).is_err());
        make(&dummy(), PLAN, folder.path()).unwrap();
        assert_eq!(files(folder.path()), good);
    }

    #[test]
    fn a_folder_of_another_recipe_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        make(&dummy(), PLAN, folder.path()).unwrap();
        let good = files(folder.path());
        let mut other = dummy();
        other.set_param("factor", 3.0).unwrap();
        let errors = [
            make(&other, PLAN, folder.path()),
            make(&dummy(), Plan { seed: 4, ..PLAN }, folder.path()),
            make(&dummy(), Plan { count: 8, ..PLAN }, folder.path()),
        ];
        for error in errors.map(Result::unwrap_err) {
            assert!(error.to_string().contains("another data set"), "{error}");
        }
        assert_eq!(files(folder.path()), good);
        let empty = make(&dummy(), Plan { count: 0, ..PLAN }, folder.path());
        assert!(matches!(empty, Err(Error::Config(_))));
    }

    #[test]
    fn a_right_hash_does_not_excuse_a_wrong_shape() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = make(&dummy(), PLAN, folder.path()).unwrap();
        manifest.recipe.grid = Grid { ny: 4, nx: 9, ly: 1.0, lx: 1.0 };
        manifest.write(folder.path()).unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("[3, 2, 6, 6] found, [3, 2, 4, 9] expected"), "{error}");
    }

    #[test]
    fn archives_round_trip_on_any_grid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        let samples = Samples {
            pde: "dummy".into(),
            channels: vec!["a".into(), "u".into()],
            count: 3,
            height: 3,
            width: 4,
            sides: [0.6, 1.0],
            data: (0..72).map(|i| i as f32 * 0.1).collect(),
        };
        write_npz(&samples, &path).unwrap();
        assert_eq!(read_npz(&path, &dummy()).unwrap(), samples);
        assert_eq!(load_any(&path, &dummy()).unwrap(), samples);
        let error = read_npz(&path, &Dummy::named("dummy", &["a", "v"])).unwrap_err();
        assert!(error.to_string().contains("a + v"), "{error}");
    }

    #[test]
    fn a_folder_of_another_pde_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        make(&dummy(), PLAN, folder.path()).unwrap();
        assert_eq!(load_any(folder.path(), &dummy()).unwrap().count, 7);
        let error = load_any(folder.path(), &Dummy::named("other", &["a", "u"])).unwrap_err();
        assert!(error.to_string().contains("\"other\""), "{error}");
    }
}
