//! The operator phase: what it learns is better than what it starts from.
#![allow(clippy::unwrap_used)]

mod common;

use phys_instruct::distill::{monitor, train::StudentTraining};
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::training::Training;
use phys_instruct::{Config, device, problem};

/// A student on a rectangle, distilled in one step, and an operator of some more.
const TINY: &str = "pde = 'darcy'
grid = { points = [16, 24], sides = [0.7, 1.0] }
seed = 2
[data]
count = 256
validation = 16
[net]
width = 8
multipliers = [1]
[train]
batch = 8
steps = 1
[distill]
batch = 8
levels = [5.0]
round_input = true
evaluate_every = 0
log_every = 1
[[distill.phase]]
kind = 'matching'
steps = 1
[[distill.phase]]
kind = 'operator'
steps = 150
sweeps = 2
net.width = 16
";

#[test]
fn an_operator_improves_on_its_guess() {
    let config = Config::from_toml(TINY).unwrap();
    let (pde, device) = (config.pde().unwrap(), device::cpu());
    let [pairs, held_out] = common::samples(&config);

    let mut teacher =
        TeacherTraining::new(&config, pde.as_ref(), pairs.clone(), None, &device).unwrap();
    teacher.step().unwrap();
    let residual = || problem::residual(pde.as_ref(), config.grid, &device).unwrap();
    let monitor = monitor::against(held_out.clone(), config.pde().unwrap(), residual());
    let student = |monitor| {
        StudentTraining::new(&config, teacher.model(), residual(), monitor, &held_out, &device)
            .unwrap()
    };

    // Without pairs it does not begin.
    let other = monitor::against(held_out.clone(), config.pde().unwrap(), residual());
    let message = student(other).step().err().unwrap().to_string();
    assert!(message.contains("needs the run's training data"), "{message}");

    let mut training = student(monitor).with_pairs(pairs).unwrap();
    let mut last = training.step().unwrap();
    while training.step_count() < training.total() {
        last = training.step().unwrap();
    }
    let figure = |name: &str| last.metrics[name].as_f64().unwrap();
    let [guess, error] = ["guess_error", "operator_error"].map(figure);
    assert!(error < 0.6 * guess, "{error} from {guess}");
    let card = training.model().card.operator.unwrap();
    assert_eq!((card.steps, card.sweeps), (150, 2));
}
