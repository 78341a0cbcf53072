//! Agreement of a graphics processor with the CPU: network calls, training steps, distillation
//! steps, an answer. Run by `scripts/gpu-check`; needs the feature `gpu` and a Vulkan driver.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use common::samples;
use phys_instruct::baseline::{self, Guidance, GuidedSampler, Lot};
use phys_instruct::condition::{Method, Observations, Options, Question, Solver, Task};
use phys_instruct::data::{self, Watch};
use phys_instruct::diffusion::noise::Draw;
use phys_instruct::diffusion::sampler::Method as Sampler;
use phys_instruct::diffusion::{Denoiser, Network};
use phys_instruct::distill::train::StudentTraining;
use phys_instruct::net::params::read;
use phys_instruct::sampling::{SampleOptions, sample, student_samples};
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::training::Training;
use phys_instruct::{Config, Model, device, problem};
use phys_instruct_physics::Grid;

mod common;

/// The most by which a value may differ, as a share of the largest: the rounding of some hundred
/// sums in another order.
const AGREEMENT: f64 = 1e-4;

/// Every phase of a student but the warm start, with two operators in a row.
const CONFIG: &str = r#"
grid = 16
seed = 3
[data]
# More than the joint coordinates have components, so that none is of rounding alone.
count = 256
validation = 16
[net]
width = 8
multipliers = [1, 2]
blocks = 1
[train]
batch = 4
steps = 4
warmup = 1
log_every = 1
[distill]
batch = 4
levels = [5.0, 1.0]
log_every = 1
[[distill.phase]]
kind = "matching"
steps = 2
warmup = 1
guidance = { start = 0, ramp = 1 }
[[distill.phase]]
kind = "calibrate"
[[distill.phase]]
kind = "anchored"
steps = 2
[[distill.phase]]
kind = "operator"
steps = 2
sees_residual = true
net = { width = 8, multipliers = [1] }
[[distill.phase]]
kind = "operator"
follows = true
sweeps = 0
steps = 2
sees_residual = true
net = { width = 8, multipliers = [1] }
"#;

fn devices() -> [Device; 2] {
    [device::gpu().unwrap(), device::cpu()]
}

fn model(pde: &str, device: &Device) -> Model {
    bundled(&format!("{pde}-32"), device)
}

/// The bundled student of a PDE and grid, such as `poisson-32`.
fn bundled(name: &str, device: &Device) -> Model {
    file(&format!("{name}-student"), device)
}

/// The bundled teacher of the baselines.
fn plain_teacher(device: &Device) -> Model {
    file("poisson-64-edm", device)
}

fn file(name: &str, device: &Device) -> Model {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    Model::load(&PathBuf::from(format!("{folder}/{name}.safetensors")), device).unwrap()
}

/// The largest difference of two lists as a share of the largest value.
fn difference([ours, reference]: &[Vec<f32>; 2]) -> f64 {
    assert_eq!(ours.len(), reference.len());
    // A maximum passes over what is no number.
    assert!(ours.iter().chain(reference).all(|v| v.is_finite()));
    let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, f32::max);
    let apart = most(&mut ours.iter().zip(reference).map(|(a, b)| (a - b).abs()));
    f64::from(apart) / f64::from(most(&mut reference.iter().map(|v| v.abs())))
}

fn agree(what: &str, most: f64, results: [Vec<f32>; 2]) {
    let found = difference(&results);
    println!("{what}: {found:.1e}");
    assert!(found <= most, "{what}: differs by {found:.1e} of the largest value");
}

#[test]
fn an_adapter_has_a_name() {
    assert!(device::adapter().unwrap().contains('('), "{:?}", device::adapter());
}

#[test]
fn without_a_driver_the_error_says_what_to_do() {
    const CHILD: &str = "PHYS_INSTRUCT_TEST_WITHOUT_DRIVER";
    if std::env::var_os(CHILD).is_some() {
        let message = device::gpu().unwrap_err().to_string();
        assert!(message.contains("no driver offers one"), "{message}");
        assert!(message.contains("install the card's driver"), "{message}");
        assert_eq!(device::gpu().unwrap_err().to_string(), message);
        return;
    }

    // The driver is looked for once in a process.
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "without_a_driver_the_error_says_what_to_do"]).env(CHILD, "1");
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env(name, "/nonexistent");
    }
    assert!(command.status().unwrap().success());
}

#[test]
fn a_network_call_agrees_with_the_cpu() {
    for pde in problem::names() {
        let results = devices().map(|device| {
            let model = model(&pde, &device);
            let shape = [2, model.card.channels.len(), model.card.grid.ny, model.card.grid.nx];
            let draw = Draw { seed: 1, stream: "test", step: 0, first: 0 };
            let noisy = draw.normal(shape, &device) * model.network.profile();
            let sigma = Tensor::full([2], 1.0, &device);
            read(model.network.coordinates.decode(model.network.denoise(noisy, sigma))).unwrap()
        });
        agree(&pde, AGREEMENT, results);
    }
}

#[test]
fn students_with_an_operator_agree_with_the_cpu() {
    for name in ["navier-stokes-64", "burgers-64"] {
        let results = devices().map(|device| {
            let student = bundled(name, &device);
            assert!(student.card.operator.is_some(), "{name} has no operator");
            student_samples(&student, 2, 1, 0, &mut |_| ()).unwrap().data
        });
        agree(name, AGREEMENT, results);
    }
}

#[test]
fn guided_baselines_agree_with_the_cpu() {
    let guidance = GuidedSampler::DiffusionPde { weight: 0.1, share: 1.0 };
    for guided in [guidance, GuidedSampler::CoCoGen(1e-3)] {
        let results = devices().map(|device| {
            let teacher = plain_teacher(&device);
            let pde = teacher.card.pde().unwrap();
            let residual = problem::residual(pde.as_ref(), teacher.card.grid, &device).unwrap();
            let lot = Lot { count: 1, seed: 0 };
            let drawn = baseline::sample(&teacher, residual.as_ref(), guided, 2, lot, &mut |_| ());
            drawn.unwrap().samples.data
        });
        agree(&format!("{guided:?}"), AGREEMENT, results);
    }
}

#[test]
fn answers_by_guidance_agree_with_the_cpu() {
    let results = devices().map(|device| {
        let teacher = plain_teacher(&device);
        let (pde, grid) = (teacher.card.pde().unwrap(), teacher.card.grid);
        let residual = problem::residual(pde.as_ref(), grid, &device).unwrap();
        let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
        let truth = data::generate(pde.as_ref(), grid, 9_300_000, 1, &mut watch).unwrap();
        let places = Task::Inverse.observed(pde.as_ref(), grid);
        let observations = Observations::draw(&truth, 0, &places, 60, 0.01, 1).unwrap();
        let guidance = Guidance { weight: 1.0, physics: 0.3, share: 1.0 };
        let lot = Lot { count: 1, seed: 0 };
        let answer =
            baseline::solve(&teacher, residual.as_ref(), &observations, guidance, 2, lot).unwrap();
        answer.samples.data
    });
    agree("an answer by guidance", AGREEMENT, results);
}

/// The gradient of EDM's loss in every weight.
fn gradient(network: &Network, device: &Device) -> Vec<f32> {
    struct Collect(burn::tensor::Gradients, Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let own = param.val().grad_remove(&mut self.0).unwrap();
            self.1.extend(read(own).unwrap());
        }
    }

    let network = network.train();
    let draw = |stream| Draw { seed: 1, stream, step: 0, first: 0 };
    let [y0, noise] = ["y0", "noise"].map(|s| draw(s).normal([4, 2, 32, 32], device).autodiff());
    let sigma = draw("sigma").sigma(4, -0.5, 1.0, device).autodiff();
    let mut collect = Collect(network.loss(y0 * 0.5, noise, sigma).backward(), Vec::new());
    network.net.visit(&mut collect);
    collect.1
}

#[test]
fn a_training_step_s_gradient_agrees_with_the_cpu() {
    let results = devices().map(|device| gradient(&model("poisson", &device).network, &device));
    agree("gradient", AGREEMENT, results);
}

#[test]
fn trainings_agree_with_the_cpu() {
    let joint = "coordinates = { kind = \"joint\", modes = 6, linear_predictor = true }";
    for (pde, coordinates) in [("poisson", ""), ("darcy", joint), ("burgers", "")] {
        let config = Config::from_toml(&format!("pde = \"{pde}\"\n{coordinates}\n{CONFIG}"));
        let config = config.unwrap();
        let [data, held_out] = samples(&config);
        let [ours, reference] = devices().map(|device| {
            let (known, data) = (config.pde().unwrap(), data.clone());
            let mut teacher =
                TeacherTraining::new(&config, known.as_ref(), data.clone(), None, &device).unwrap();
            let mut figures = of_step(&mut teacher, &["loss", "gradient_norm"]);
            let teacher = teacher.model();
            let drawn = sample(&teacher, options(), &mut |_| ()).unwrap().samples.data;

            let pairs = Some(data);
            let mut student =
                StudentTraining::of_config(&config, teacher, &held_out, pairs, &device).unwrap();
            let matching = ["auxiliary_loss", "gradient_norm", "matching_norm", "guidance_norm"];
            figures.extend(of_step(&mut student, &matching));
            of_step(&mut student, &matching);
            // Before its first step the input is at its anchor up to rounding, which alone has the
            // direction of the input's pull; so that the gradient is left out.
            figures.extend(of_step(&mut student, &["residual", "preconditioned"]));
            of_step(&mut student, &[]);
            // An operator's first step is of its guess alone.
            let operator = ["batch_error", "batch_residual", "gradient_norm"];
            figures.extend(of_step(&mut student, &operator));
            while student.step_count() < student.total() {
                of_step(&mut student, &operator);
            }
            let of_student = student_samples(&student.model(), 2, 2, 0, &mut |_| ()).unwrap();
            (figures, [drawn, of_student.data])
        });

        println!("{pde}: {:?}", ours.0);
        for ((name, a), (_, b)) in ours.0.iter().zip(&reference.0) {
            // The error of a guess that solves the equation is rounding alone.
            let least = if name.starts_with("batch") { 0.01 } else { 0.0 };
            assert!((a - b).abs() <= AGREEMENT * b.abs().max(least), "{pde}, {name}: {a} {b}");
        }
        // Adam's first steps follow the gradient's sign, which rounding may turn where it is small.
        for (own, other) in ours.1.into_iter().zip(reference.1) {
            agree(&format!("{pde}, samples"), 10.0 * AGREEMENT, [own, other]);
        }
    }
}

fn options() -> SampleOptions {
    SampleOptions { count: 2, calls: 3, method: Sampler::Heun, seed: 0 }
}

/// Figures of the next step, as many as it has.
fn of_step<'a>(training: &mut dyn Training, names: &[&'a str]) -> Vec<(&'a str, f64)> {
    let record = training.step().unwrap();
    assert!(!record.skipped);
    names.iter().map(|&name| (name, record.metrics[name].as_f64().unwrap())).collect()
}

#[test]
fn answers_agree_with_the_cpu() {
    // A Laplacian's source loses digits: the solution is differentiated twice. Darcy's coefficient
    // moves by 1e-3 with the processor's own vector instructions.
    let helmholtz = 10.0 * AGREEMENT;
    let (own, in_noise) = (None, Some(Method::NoiseSpace));
    for (name, method, most) in [
        ("navier-stokes", own, AGREEMENT),
        ("helmholtz", own, helmholtz),
        ("helmholtz", in_noise, helmholtz),
    ] {
        let pde = problem::by_name(name).unwrap();
        let grid = Grid::square(32);
        let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
        let truth = data::generate(pde.as_ref(), grid, 9_300_000, 1, &mut watch).unwrap();
        let places = Task::Inverse.observed(pde.as_ref(), grid);
        let observations = Observations::draw(&truth, 0, &places, 60, 0.01, 1).unwrap();
        let results = devices().map(|device| {
            let solver = Solver::new(&model(name, &device)).unwrap();
            let options = Options { method, ensemble: 4, ..Options::default() };
            let question =
                Question { options, ..Question::new(Task::Inverse, observations.clone()) };
            solver.answer(question).unwrap().posterior.samples.data
        });
        agree(&format!("{name} {method:?}"), most, results);
    }
}
