//! The readers under attack. Each takes one file's bytes, reads them as the program does, and uses
//! the result.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use phys_instruct::bench::conditional;
use phys_instruct::bench::row::{self, Row};
use phys_instruct::bench::tuning::Tuning;
use phys_instruct::condition::{Task, files};
use phys_instruct::config::load::{self, Changes};
use phys_instruct::device::cpu;
use phys_instruct::diffusion::sampler::Method;
use phys_instruct::problem::{Described, Description};
use phys_instruct::sampling::{SampleOptions, sample};
use phys_instruct::store::weights::Bundle;
use phys_instruct::store::{ImportOptions, Run, arrays as store_arrays, dataset, import_checked};
use phys_instruct::{Config, Model, problem};
use phys_instruct_physics::{Grid, Pde, registry as physics};

use crate::{Answer, seeds};

/// Points a side of the grid that observations are read on.
const GRID: Grid = Grid::square(8);

/// The folder of this process's files. It is in memory where the system has such a folder and
/// `TMPDIR` names it.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("phys-instruct-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
});

/// Writes `bytes` into a file of that name and gives it to `read`.
fn with_file<T, E: Display>(
    name: &str,
    bytes: &[u8],
    read: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, String> {
    let path = FOLDER.join(name);
    std::fs::write(&path, bytes).unwrap();
    read(&path).map_err(|error| error.to_string())
}

/// Returns an empty folder.
fn fresh_folder(name: &str) -> PathBuf {
    let folder = FOLDER.join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn pdes() -> Vec<Box<dyn Pde>> {
    physics::all()
}

/// Reads an `.npy` file.
pub fn npy(bytes: &[u8]) -> Answer {
    let array = with_file("x.npy", bytes, phys_instruct::store::npy::read)?;
    assert_eq!(array.shape.iter().product::<usize>(), array.clone().into_f64().len());
    Ok(())
}

/// Reads an `.npz` file, as a whole and array by array.
pub fn npz(bytes: &[u8]) -> Answer {
    with_file("x.npz", bytes, |path| {
        let _ = store_arrays::read(path, &|name| name == "u");
        phys_instruct::store::npz::read(path)
    })?;
    Ok(())
}

/// Reads a file of arrays in any format, as `data info` does.
pub fn arrays(bytes: &[u8]) -> Answer {
    let contents = with_file("x.dat", bytes, |path| store_arrays::read(path, &|_| true))?;
    let _ = contents.listed();
    for array in contents.arrays.into_values() {
        let count: usize = array.shape.iter().product();
        assert_eq!(array.into_f64().len(), count);
    }
    Ok(())
}

/// Reads foreign data as `data import` does. The first byte chooses the PDE, the second one the
/// options, and the rest is the file.
pub fn import(bytes: &[u8]) -> Answer {
    let [pde, options, file @ ..] = bytes else { return Err("no file".into()) };
    let pdes = pdes();
    let pde = pdes[usize::from(*pde) % pdes.len()].as_ref();
    let channel = pde.channels()[0].name.to_owned();

    let mut chosen = ImportOptions::default();
    match options % 6 {
        1 => chosen.crop = [1, 0, 1, 0],
        2 => chosen.samples = Some(0..1),
        3 => chosen.axes = vec![(None, "nyx".parse().unwrap())],
        4 => chosen.axes = vec![(Some(channel), "t-xy".parse().unwrap())],
        5 => chosen.map = vec![(channel, "u[-1]".into())],
        _ => {}
    }

    with_file("x.dat", file, |path| import_checked(path, pde, &chosen))?;
    Ok(())
}

/// Imports a folder of two ESRI grids, both of these bytes.
pub fn raster(bytes: &[u8]) -> Answer {
    let folder = fresh_folder("rasters");
    for name in ["a_1.asc", "u_1.asc"] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let pde = problem::by_name("poisson").unwrap();
    import_checked(&folder, pde.as_ref(), &ImportOptions::default())
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// Reads a model file, and draws a sample from a model that loads.
pub fn model(bytes: &[u8]) -> Answer {
    let model = with_file("x.safetensors", bytes, |path| Model::load(path, &cpu()))?;
    let _ = (model.card.collapse(), model.deviations());
    let options = SampleOptions { count: 1, calls: 1, method: Method::Euler, seed: 1 };
    sample(&model, options, &mut |_| ()).map_err(|error| error.to_string())?;
    Ok(())
}

/// Reads a checkpoint in a run folder, and takes a step with what is restored. The first byte
/// chooses between teacher and student, and the rest is the file.
pub fn checkpoint(bytes: &[u8]) -> Answer {
    let [which, file @ ..] = bytes else { return Err("no file".into()) };
    let folder = fresh_folder("run");
    std::fs::write(folder.join("config.toml"), seeds::CONFIG).unwrap();
    std::fs::write(folder.join("checkpoint.safetensors"), file).unwrap();

    let (run, _) = Run::open(&folder).map_err(|error| error.to_string())?;
    let mut training = None;
    let mut take = |checkpoint: &Bundle| {
        training.get_or_insert_with(|| seeds::training(usize::from(*which))).restore(checkpoint)
    };
    run.restore(&mut take).map_err(|error| error.to_string())?;

    let mut training = training.ok_or("no checkpoint")?;
    if training.step_count() < training.total() {
        training.step().map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Reads a config as `config check` does. One that is accepted is written and read again.
pub fn config(bytes: &[u8]) -> Answer {
    let config = with_file("x.toml", bytes, |path| load::load(path, &Changes::default()))?;
    let pde = config.pde().map_err(|error| error.to_string())?;
    let text = load::to_toml(&config).map_err(|error| error.to_string())?;
    assert_eq!(Config::from_toml(&text).unwrap(), config, "{text}");
    // A larger grid takes its time, which is no fault.
    if config.grid.points() <= 64 * 64 {
        phys_instruct::problem::residual(pde.as_ref(), config.grid, &cpu())
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Reads the description of a PDE that is known by data alone. One that is accepted is a PDE, and
/// is written and read again.
pub fn description(bytes: &[u8]) -> Answer {
    let own = with_file("x.toml", bytes, Description::read)?;
    let pde = Described::new(own.clone()).map_err(|error| error.to_string())?;
    assert_eq!(pde.channels().len(), own.fields.len());
    assert!(pde.points(Grid::square(8)).iter().flatten().all(|v| v.is_finite()));
    let text = own.to_toml().map_err(|error| error.to_string())?;
    assert_eq!(Description::from_toml(&text).unwrap(), own, "{text}");
    Ok(())
}

/// Reads the text of `--set`.
pub fn set(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let changes = Changes { set: vec![text], ..Changes::default() };
    with_file("x.toml", seeds::CONFIG.as_bytes(), |path| load::load(path, &changes))?;
    Ok(())
}

/// Reads a table of observations, for every PDE.
pub fn table(bytes: &[u8]) -> Answer {
    observations("x.csv", bytes)
}

/// Reads observations in a file of arrays, for every PDE.
pub fn observed(bytes: &[u8]) -> Answer {
    observations("x.npz", bytes)
}

/// Returns the first error, unless some PDE accepts the observations.
fn observations(name: &str, bytes: &[u8]) -> Answer {
    let mut answers = Vec::new();
    for pde in pdes() {
        let read = with_file(name, bytes, |path| files::read(path, pde.as_ref(), GRID));
        answers.push(read.map(|observed| {
            let task = Task::Inverse;
            let allowed = task.observed(pde.as_ref(), GRID);
            let _ = observed.observations.check_task(task, &allowed);
        }));
    }
    answers.iter().find(|answer| answer.is_ok()).or(answers.first()).cloned().unwrap()
}

/// Reads the manifest of a complete data set.
pub fn manifest(bytes: &[u8]) -> Answer {
    let folder = FOLDER.join("set");
    if !folder.is_dir() {
        seeds::write_set(&folder);
    }
    std::fs::write(folder.join("manifest.json"), bytes).unwrap();
    let _ = dataset::verify(&folder);
    dataset::load(&folder).map_err(|error| error.to_string())?;
    Ok(())
}

/// Reads the manifest of a data set that is being made, and completes the set as the same command
/// does.
pub fn partial(bytes: &[u8]) -> Answer {
    let folder = fresh_folder("partial");
    std::fs::write(folder.join("manifest.partial.json"), bytes).unwrap();
    let pde = problem::by_name("poisson").unwrap();
    let stop = AtomicBool::new(false);
    dataset::generate(pde.as_ref(), seeds::PLAN, &folder, &mut |_| (), &stop)
        .map_err(|error| error.to_string())?;
    dataset::load(&folder).map(drop).map_err(|error| panic!("{error}"))
}

/// Reads a shard, after its checksum in the manifest has been corrected.
pub fn shard(bytes: &[u8]) -> Answer {
    let folder = FOLDER.join("shards");
    if !folder.is_dir() {
        seeds::write_set(&folder);
    }

    let path = folder.join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["shards"][0]["sha256"] = dataset::sha256(bytes).into();
    std::fs::write(&path, manifest.to_string()).unwrap();
    std::fs::write(folder.join("shard-00000.npy"), bytes).unwrap();
    dataset::load(&folder).map_err(|error| error.to_string())?;
    Ok(())
}

/// Reads the metrics of a run, and cuts them.
pub fn metrics(bytes: &[u8]) -> Answer {
    let folder = FOLDER.join("metrics");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), seeds::CONFIG).unwrap();
    std::fs::write(folder.join("metrics.jsonl"), bytes).unwrap();
    let (run, _) = Run::open(&folder).map_err(|error| error.to_string())?;
    let all = run.metrics().map_err(|error| error.to_string())?;
    run.cut_metrics(2).map_err(|error| error.to_string())?;
    assert!(run.metrics().unwrap().len() <= all.len());
    Ok(())
}

/// Reads rows of results of both tables, which skip lines that are no rows, and the baselines'
/// settings.
pub fn results(bytes: &[u8]) -> Answer {
    with_file("x.jsonl", bytes, |path| {
        row::read_rows::<Row>(path)?;
        row::read_rows::<conditional::Row>(path)?;
        Tuning::read(path).map(drop)
    })
}
