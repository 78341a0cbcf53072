//! Small files of our own that the readers accept. The library makes them, except for formats that
//! it does not write (see `crates/phys-instruct/tests/data`).

use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use phys_instruct::bench::Strength;
use phys_instruct::bench::tuning::{Trial, Tuned, Tuning};
use phys_instruct::data::{self, Watch};
use phys_instruct::device::cpu;
use phys_instruct::distill::train::StudentTraining;
use phys_instruct::store::{NdArray, Plan, dataset, npy as npy_file, npz as npz_file, weights};
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::training::Training;
use phys_instruct::{Config, Model, Samples, problem};
use phys_instruct_physics::{Grid, registry};
use serde_json::json;

use crate::container::Weights;

/// The config of the trainings behind the checkpoints, which take a second.
pub const CONFIG: &str = "pde = 'poisson'
grid = 8
seed = 3
[data]
count = 8
validation = 8
[net]
width = 8
multipliers = [1]
blocks = 1
[train]
batch = 2
steps = 20
log_every = 1
[distill]
batch = 2
levels = [5.0, 1.0]
log_every = 1
evaluate_every = 5
[[distill.phase]]
kind = 'warm-start'
steps = 2
batches = 2
calls = 3
[[distill.phase]]
kind = 'matching'
steps = 10
[[distill.phase]]
kind = 'calibrate'
[[distill.phase]]
kind = 'anchored'
steps = 4
";

/// The data set behind the manifests.
pub const PLAN: Plan = Plan { grid: Grid::square(8), count: 4, seed: 1, shard_size: 2, part: None };

/// Configs of models of other equations, coordinates and networks.
const OTHER_MODELS: [&str; 2] = [
    "pde = 'darcy'\ngrid = 8\n[data]\ncount = 8\nvalidation = 8\n\
     [net]\nwidth = 8\nmultipliers = [1]\nblocks = 1\n\
     [coordinates]\nkind = 'joint'\nmodes = 4\nlinear_predictor = true\n",
    "pde = 'burgers'\ngrid = 16\n[data]\ncount = 8\nvalidation = 8\n\
     [net]\nwidth = 8\nmultipliers = [1, 2]\nblocks = 1\npatch = 2\n\
     [coordinates]\nkind = 'pixel'\n",
];

/// Returns the bytes that `write` puts into a file.
fn written<E: std::fmt::Debug>(write: impl FnOnce(&Path) -> Result<(), E>) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    write(file.path()).unwrap();
    std::fs::read(file.path()).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/phys-instruct/tests/data");
    std::fs::read(folder.join(name)).unwrap()
}

fn samples(config: &Config, seed: u64) -> Samples {
    let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
    let pde = config.pde().unwrap();
    data::generate(pde.as_ref(), config.grid, seed, 8, &mut watch).unwrap()
}

fn teacher(config: &str) -> TeacherTraining {
    let config = Config::from_toml(config).unwrap();
    let pde = config.pde().unwrap();
    TeacherTraining::new(&config, pde.as_ref(), samples(&config, 1), None, &cpu()).unwrap()
}

static TEACHER: LazyLock<Model> = LazyLock::new(|| teacher(CONFIG).model());

fn student() -> StudentTraining {
    let config = Config::from_toml(CONFIG).unwrap();
    let pde = config.pde().unwrap();
    let residual = problem::residual(pde.as_ref(), config.grid, &cpu()).unwrap();
    let monitor = Box::new(|_: &Samples| Ok(serde_json::Map::new()));
    let data = samples(&config, 2);
    StudentTraining::new(&config, TEACHER.clone(), residual, monitor, &data, &cpu()).unwrap()
}

/// Returns a training from its start: a teacher's where `which` is even, else a student's.
pub fn training(which: usize) -> Box<dyn Training> {
    if which.is_multiple_of(2) { Box::new(teacher(CONFIG)) } else { Box::new(student()) }
}

/// Returns arrays of several types, orders and ranks.
pub fn npy() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        NdArray::from_f32(vec![2, 3], vec![1.0, -2.0, 3.5, 0.0, 1e-30, 7.0]),
        NdArray::from_f64(vec![], vec![0.01]),
        NdArray::from_f64(vec![0, 4], vec![]),
    ]
    .into_iter()
    .map(|array| written(|path| npy_file::write(path, &array.unwrap())))
    .collect();

    // NumPy's other types, orders and versions, written by hand.
    for (version, descr, order, data) in [
        (1, ">i2", "False", vec![0; 12]),
        (2, "|b1", "True", vec![1; 6]),
        (3, "<f2", "True", vec![60; 12]),
        (1, "<u8", "False", vec![0; 48]),
    ] {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': (2, 3), }}\n");
        let start = [0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
        all.push(crate::container::npy_bytes((start, header, data)));
    }
    all
}

/// Returns archives, stored and deflated.
pub fn npz() -> Vec<Vec<u8>> {
    let field = NdArray::from_f32(vec![2, 4, 4], (0..32).map(|i| i as f32).collect()).unwrap();
    let scalar = NdArray::from_f64(vec![], vec![0.01]).unwrap();
    let stored = written(|path| npz_file::write(path, &[("u", &field), ("nu", &scalar)]));
    let entries = crate::container::zip_entries(&stored).unwrap();
    vec![crate::container::zip_bytes(&entries, true).unwrap(), stored]
}

/// Returns MATLAB's files of versions 5 and 7.
pub fn mat() -> Vec<Vec<u8>> {
    ["diffusionpde_poisson_v5.mat", "diffusionpde_helmholtz_v7.mat", "structures.mat"]
        .map(fixture)
        .into()
}

/// Returns HDF5 files of old and new layouts.
pub fn hdf5() -> Vec<Vec<u8>> {
    [
        "pdebench_burgers.hdf5",
        "pdebench_darcy.hdf5",
        "links.h5",
        "latest.h5",
        "diffusionpde_darcy_v73.mat",
        "diffusionpde_navier_stokes.h5",
    ]
    .map(fixture)
    .into()
}

/// Returns solved samples of every PDE, and a file in another program's layout.
pub fn import() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (number, name) in (0u8..).zip(registry::names()) {
        let config = Config::from_toml(&format!("pde = '{name}'\ngrid = 16")).unwrap();
        let file = written(|path| dataset::write_npz(&samples(&config, 1).slice(0..2), path));
        all.push([&[number, 0], &file[..]].concat());
        all.push([&[number, 2], &file[..]].concat());
    }
    all.push([&[1, 0], &fixture("diffusionpde_poisson_v5.mat")[..]].concat());
    all
}

/// Returns models of several kinds: some with a checksum, some of the first format without one, and
/// a packed one.
pub fn model() -> Vec<Vec<u8>> {
    let saved = |model: &Model| written(|path| model.save(path));
    let mut all: Vec<Vec<u8>> = vec![saved(&TEACHER), saved(&calibrated())];
    all.extend(OTHER_MODELS.map(|config| saved(&teacher(config).model())));
    all.push(written(|path| TEACHER.save_packed(path)));
    let old: Vec<Vec<u8>> = all[..2].iter().map(|file| of_first_format(file)).collect();
    all.extend(old);
    all
}

/// Returns the student at the end of its training.
fn calibrated() -> Model {
    let mut training = student();
    while training.step_count() < training.total() {
        training.step().unwrap();
    }
    training.model()
}

/// Rewrites a model file in the first format, which has no checksum and keeps the coordinates, here
/// `modes`, among the numbers of the diffusion.
fn of_first_format(file: &[u8]) -> Vec<u8> {
    let mut weights = Weights::parse(file).unwrap();
    let mut card: serde_json::Value = serde_json::from_str(&weights.document).unwrap();
    card["format"] = json!(1);
    let coordinates = card["coordinates"].clone();
    card["diffusion"]["preconditioning"] = coordinates["kind"].clone();
    card["diffusion"]["noise"] = coordinates["noise"].clone();
    card["diffusion"]["regress"] = coordinates["linear_predictor"].clone();
    for field in ["bases", "sha256", "coordinates"] {
        card.as_object_mut().unwrap().remove(field);
    }
    weights.document = card.to_string();
    weights.to_bytes()
}

/// Returns checkpoints of a teacher, and of a student in each of its phases.
pub fn checkpoint() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (which, stops) in [(0u8, vec![0, 3]), (1, vec![0, 1, 4, 13, 15])] {
        let mut training = training(usize::from(which));
        for stop in stops {
            while training.step_count() < stop {
                training.step().unwrap();
            }
            let bundle = training.checkpoint().unwrap();
            all.push([&[which], &written(|path| weights::write(path, &bundle))[..]].concat());
        }
    }
    all
}

/// Returns configs, one of them with every key.
pub fn config() -> Vec<Vec<u8>> {
    let whole = phys_instruct::config::load::to_toml(&Config::from_toml(CONFIG).unwrap()).unwrap();
    [CONFIG, OTHER_MODELS[0], OTHER_MODELS[1], &whole].map(|text| text.as_bytes().to_vec()).into()
}

/// Returns descriptions, one of them with every key.
pub fn description() -> Vec<Vec<u8>> {
    let whole = "[pde]\nname = 'mine'\ninput = ['a', 'k']\nsides = [1.0, 2.0]\n\
        points = ['nodes', 'periodic']\n[[pde.field]]\nname = 'a'\nmeaning = 'source'\n\
        unit = 'W'\nrange = [0.0, 5.0]\nbasis = ['cosine', 'fourier']\n\
        [[pde.field]]\nname = 'k'\n[[pde.field]]\nname = 'u'\n";
    let short = "[pde]\nname = 'm'\ninput = 'a'\nfield = [{ name = 'a' }, { name = 'u' }]\n";
    [whole, short].map(|text| text.as_bytes().to_vec()).into()
}

/// Returns overrides of keys of every kind.
pub fn set() -> Vec<Vec<u8>> {
    [
        "train.steps=30",
        "pde=darcy",
        "distill.levels=[4.0, 2.0]",
        "coordinates.linear_predictor=true",
        "distill.anchored.steps=6",
        "train={ batch = 4, optimizer = { learning_rate = 1e-3 } }",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Returns tables of observations in several flavours.
pub fn table() -> Vec<Vec<u8>> {
    let field = "field,row,column,value,sd\nu,2,7,-0.01,1e-3\na,0,3,12,\nu,1,1,3,0\n";
    let points = "sep=;\n# two\nfield;y;x;value\nu;0,25;0,5;1e-2\nu;0,1;1;2\n";
    let wide = "row\tcolumn\tu\tu_sd\n1\t2\t0.5\t0.1\n3\t3\t\t\n";
    let utf16: Vec<u8> =
        format!("\u{feff}{wide}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![field.into(), points.into(), wide.into(), utf16]
}

/// Returns ESRI grids: one that names the corner and a mark for missing values, and one that names
/// the centre.
pub fn raster() -> Vec<Vec<u8>> {
    let values: Vec<String> = (0..64).map(|i| format!("{:.3}", f64::from(i).sin())).collect();
    let corner = "ncols 8\nnrows 8\nxllcorner 0\nyllcorner 0\ncellsize 0.125\nNODATA_value -9999\n";
    let centre = "NCOLS 8\nNROWS 8\nXLLCENTER 5.5\nYLLCENTER 1e3\nCELLSIZE 10\n";
    [corner, centre].map(|head| format!("{head}{}\n", values.join(" ")).into_bytes()).into()
}

/// Returns observations as arrays: a field with gaps, and values at points.
pub fn observed() -> Vec<Vec<u8>> {
    let mut values = vec![f32::NAN; 64];
    values[..9].fill(0.5);
    let dense = NdArray::from_f32(vec![8, 8], values).unwrap();

    let entry = |name: &str, array: &NdArray| (format!("{name}.npy"), npy_bytes(array));
    let some = |shape: Vec<usize>, data: &[f64]| NdArray::from_f64(shape, data.to_vec()).unwrap();
    let (at, two) = (some(vec![2, 2], &[1.0, 2.0, 3.0, 4.0]), some(vec![2], &[0.5, 0.25]));
    let points = some(vec![2, 2], &[0.25, 0.5, 0.1, 0.9]);

    let archives = [
        vec![entry("u", &dense), entry("u_sd", &some(vec![], &[0.1]))],
        vec![entry("u_values", &two), entry("u_index", &at), entry("u_sd", &two)],
        vec![entry("u_values", &two), entry("u_points", &points)],
    ];
    archives.map(|entries| crate::container::zip_bytes(&entries, false).unwrap()).into()
}

/// Returns an array as NumPy writes it. The library does not write arrays with NaN.
fn npy_bytes(array: &NdArray) -> Vec<u8> {
    let header = format!(
        "{{'descr': '<f8', 'fortran_order': False, 'shape': ({}), }}\n",
        array.shape.iter().map(|n| format!("{n},")).collect::<String>()
    );
    let data = array.clone().into_f64().iter().flat_map(|v| v.to_le_bytes()).collect();
    crate::container::npy_bytes(([0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0], header, data))
}

/// Writes a complete data set of [`PLAN`].
pub fn write_set(folder: &Path) {
    let pde = problem::by_name("poisson").unwrap();
    let stop = AtomicBool::new(false);
    dataset::generate(pde.as_ref(), PLAN, folder, &mut |_| (), &stop).unwrap();
}

fn in_set(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path());
    std::fs::read(folder.path().join(name)).unwrap()
}

/// Returns the manifest of [`PLAN`].
pub fn manifest() -> Vec<Vec<u8>> {
    vec![in_set("manifest.json")]
}

/// Returns manifests of a set that was begun: one without shards, and one that names all shards
/// although none is there.
pub fn partial() -> Vec<Vec<u8>> {
    let whole: serde_json::Value = serde_json::from_slice(&in_set("manifest.json")).unwrap();
    let part = |shards: serde_json::Value| {
        json!({ "format": whole["format"], "generator": whole["generator"],
                "recipe": whole["recipe"], "shards": shards })
        .to_string()
        .into_bytes()
    };
    vec![part(json!({})), part(json!({ "0": whole["shards"][0], "1": whole["shards"][1] }))]
}

/// Returns the first shard.
pub fn shard() -> Vec<Vec<u8>> {
    vec![in_set("shard-00000.npy")]
}

/// Returns metrics whose last line is cut short.
pub fn metrics() -> Vec<Vec<u8>> {
    let lines = "{\"step\":1,\"loss\":0.5}\n{\"loss\":0.25,\"step\":2}\n{\"step\":3}\n{\"st";
    vec![lines.into()]
}

/// Returns the baselines' settings in TOML, which has no line that is a row.
pub fn results() -> Vec<Vec<u8>> {
    let strength = Strength { weight: 0.1, share: Some(0.2) };
    let trial = Trial { strength, pde_error: 0.2, sliced_wasserstein: 0.3 };
    let tuned = Tuned {
        teacher: "poisson-8".into(),
        sha256: "0".repeat(64),
        method: phys_instruct::bench::SamplingMethod::CoCoGen,
        steps: 10,
        strength,
        count: 8,
        unguided_sliced_wasserstein: 0.3,
        trials: vec![trial],
    };
    vec![written(|path| Tuning { tuned: vec![tuned] }.write(path))]
}
