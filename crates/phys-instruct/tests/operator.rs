//! The operator phase: what it learns is better than what it starts from.
#![allow(clippy::unwrap_used)]

mod common;

use phys_instruct::config::PhaseConfig;
use phys_instruct::distill::{monitor, train::StudentTraining};
use phys_instruct::store::weights::Bundle;
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::training::Training;
use phys_instruct::{Config, Model, device, problem};
use phys_instruct_physics::Grid;

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

    let mut training = student(monitor).with_pairs(pairs.clone()).unwrap();
    let mut last = training.step().unwrap();
    while training.step_count() < training.total() {
        last = training.step().unwrap();
    }
    let figure = |name: &str| last.metrics[name].as_f64().unwrap();
    let [guess, error] = ["guess_error", "operator_error"].map(figure);
    assert!(error < 0.6 * guess, "{error} from {guess}");
    let student = training.model();
    let card = student.card.operator.as_ref().unwrap();
    assert_eq!((card.steps, card.sweeps), (150, 2));

    // A training that goes on begins where this one ended.
    let first_step = |student: &Model, config: &Config, go_on: bool| {
        let mut config = config.clone();
        let distill = config.distill.as_mut().unwrap();
        distill.phases.remove(0);
        if let Some(PhaseConfig::Operator(phase)) = distill.phases.first_mut() {
            (phase.steps, phase.go_on) = (1, go_on);
            phase.optimizer.learning_rate = 1e-12;
        }
        let [pairs, held_out] = common::samples(&config);
        let (student, pairs) = (student.clone(), Some(pairs));
        let training = StudentTraining::of_config(&config, student, &held_out, pairs, &device);
        let mut training = training.unwrap();
        let error = training.step().unwrap().metrics["operator_error"].as_f64().unwrap();
        (error, training.model())
    };
    let operator = |model: &Model| model.card.operator.clone().unwrap();
    let [(anew, _), (on, model)] = [false, true].map(|go_on| first_step(&student, &config, go_on));
    assert!((on - error).abs() < 1e-4 * error, "{on} after {error}");
    assert!(anew > 1.2 * error, "{anew} beside {error}");
    assert_eq!(operator(&model).steps, 151);

    // One that sees the residual makes nothing of it at first.
    let mut seeing = config.clone();
    let phases = &mut seeing.distill.as_mut().unwrap().phases;
    if let Some(PhaseConfig::Operator(phase)) = phases.last_mut() {
        phase.sees_residual = true;
    }
    let (on, seer) = first_step(&student, &seeing, true);
    assert!((on - error).abs() < 1e-4 * error, "{on} after {error}");
    assert!(operator(&seer).sees_residual && !operator(&model).sees_residual);

    // One that follows it begins with its solution.
    let mut following = seeing.clone();
    let phases = &mut following.distill.as_mut().unwrap().phases;
    if let Some(PhaseConfig::Operator(phase)) = phases.last_mut() {
        (phase.follows, phase.sweeps, phase.net.width) = (true, 0, 8);
    }
    let (after, follower) = first_step(&student, &following, false);
    assert!(after < 1.001 * error, "{after} after {error}");
    let two = operator(&follower);
    assert_eq!((two.steps, two.before.clone()), (1, Some(Box::new(operator(&student)))));
    let (on, longer) = first_step(&follower, &following, true);
    assert!((on - after).abs() < 1e-4 * after, "{on} after {after}");
    assert_eq!((operator(&longer).steps, operator(&longer).before), (2, two.before));

    // On a finer grid it begins nearly there, whether it sees the residual or not.
    let on_finer = |config: &Config| {
        let mut finer = config.clone();
        finer.grid = Grid::new([32, 48], [0.7, 1.0]).unwrap();
        let distill = finer.distill.as_mut().unwrap();
        distill.levels = vec![10.0];
        if let Some(PhaseConfig::Operator(phase)) = distill.phases.last_mut() {
            phase.net.patch *= 2;
        }
        finer
    };
    for (student, config) in [(&student, &config), (&seer, &seeing)] {
        let finer = on_finer(config);
        let [(anew, _), (on, _)] = [false, true].map(|go_on| first_step(student, &finer, go_on));
        assert!(on < 1.3 * error && anew > 1.2 * on, "{on} and {anew} after {error}");
    }
    let (on, _) = first_step(&follower, &on_finer(&following), true);
    assert!(on < 1.3 * error, "{on} after {error}");
}

/// One config trains an operator and one that follows it, and goes on where it was interrupted.
#[test]
fn a_second_operator_follows_the_first() {
    let second = "[[distill.phase]]\nkind = 'operator'\nsteps = 6\nsweeps = 0\nfollows = true\n\
                  sees_residual = true\nnet.width = 8\n";
    let config = TINY.replace("steps = 150", "steps = 4");
    let config = Config::from_toml(&format!("{config}{second}")).unwrap();
    let (pde, device) = (config.pde().unwrap(), device::cpu());
    let [pairs, held_out] = common::samples(&config);

    let mut teacher =
        TeacherTraining::new(&config, pde.as_ref(), pairs.clone(), None, &device).unwrap();
    teacher.step().unwrap();
    let begun = || {
        let pairs = Some(pairs.clone());
        StudentTraining::of_config(&config, teacher.model(), &held_out, pairs, &device).unwrap()
    };

    let mut training = begun();
    let mut checkpoints = Vec::new();
    while training.step_count() < training.total() {
        training.step().unwrap();
        checkpoints.push(training.checkpoint().unwrap());
    }
    let whole = training.model();
    let card = whole.card.operator.clone().unwrap();
    assert_eq!((card.steps, card.sweeps, card.net.width), (6, 0, 8));
    let first = card.before.unwrap();
    assert_eq!((first.steps, first.sweeps, first.net.width), (4, 2, 16));

    // Within the first phase, at its end, and within the second.
    for done in [3, 5, 8] {
        let resumed = finished(begun(), &checkpoints[done - 1]);
        assert_eq!(resumed, whole.sha256().unwrap(), "resumed after {done} steps");
    }

    // Going on with the second alone, it keeps the first, which the student has.
    let mut longer = config.clone();
    let phases = &mut longer.distill.as_mut().unwrap().phases;
    phases.drain(..2);
    if let Some(PhaseConfig::Operator(phase)) = phases.first_mut() {
        (phase.go_on, phase.steps) = (true, 3);
    }
    let begun = |student: &Model| {
        let pairs = Some(pairs.clone());
        StudentTraining::of_config(&longer, student.clone(), &held_out, pairs, &device).unwrap()
    };
    let mut training = begun(&whole);
    training.step().unwrap();
    let checkpoint = training.checkpoint().unwrap();
    while training.step_count() < training.total() {
        training.step().unwrap();
    }
    assert_eq!(finished(begun(&whole), &checkpoint), training.model().sha256().unwrap());
    let operator = training.model().card.operator.unwrap();
    assert_eq!((operator.steps, operator.before), (9, Some(first)));

    // Another first operator is another training.
    let mut bundle = whole.to_bundle().unwrap();
    let name = "operator.before.net.head.bias";
    bundle.tensors.get_mut(name).unwrap().data[0] += 1.0;
    let other = Model::from_bundle(&bundle, &device).unwrap();
    assert!(begun(&other).restore(&checkpoint).is_err());
}

/// The checksum of the model at the end of a training that goes on from the checkpoint.
fn finished(mut training: StudentTraining, checkpoint: &Bundle) -> String {
    training.restore(checkpoint).unwrap();
    while training.step_count() < training.total() {
        training.step().unwrap();
    }
    training.model().sha256().unwrap()
}
