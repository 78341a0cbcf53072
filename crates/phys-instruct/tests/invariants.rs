//! Invariants of ARCHITECTURE.md that only a whole training shows.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use phys_instruct::distill::monitor;
use phys_instruct::distill::train::StudentTraining;
use phys_instruct::store::weights::Array;
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::training::Training;
use phys_instruct::{Config, device, problem};

/// A student of two calls on 8 x 8 points, whose phases are given.
const TINY: &str = "
pde = 'poisson'
grid = 8
net = { width = 8, multipliers = [1], patch = 1 }
data = { count = 16, validation = 8 }
train = { steps = 1, batch = 4 }
[distill]
levels = [80.0, 1.0]
batch = 4
log_every = 1
evaluate_every = 0
";

/// A training of the `phases`, from a teacher that has taken no step.
fn training(phases: &str) -> StudentTraining {
    let config = Config::from_toml(&format!("{TINY}{phases}")).unwrap();
    let (pde, device) = (config.pde().unwrap(), device::cpu());
    let [samples, held_out] = common::samples(&config);

    let teacher = TeacherTraining::new(&config, pde.as_ref(), samples, None, &device).unwrap();
    let residual = || problem::residual(pde.as_ref(), config.grid, &device).unwrap();
    let monitor = monitor::against(held_out.clone(), config.pde().unwrap(), residual());
    StudentTraining::new(&config, teacher.model(), residual(), monitor, &held_out, &device).unwrap()
}

/// The arrays of the training's state whose names begin with `prefix`, without it.
fn arrays(training: &StudentTraining, prefix: &str) -> BTreeMap<String, Array> {
    let all = training.checkpoint().unwrap().tensors;
    let own = |(name, array): (String, Array)| Some((name.strip_prefix(prefix)?.into(), array));
    all.into_iter().filter_map(own).collect()
}

#[test]
fn a_step_moves_the_auxiliary_model_of_its_number_of_calls_alone() {
    let mut training = training("[[distill.phase]]\nkind = 'matching'\nsteps = 8\nwarmup = 0");
    let models = |t: &StudentTraining| [0, 1].map(|k| arrays(t, &format!("auxiliary.{k}.")));

    // The first step makes the models, so that what it moved cannot be seen.
    training.step().unwrap();
    let mut seen = [false; 2];
    while training.step_count() < training.total() {
        let before = models(&training);
        let calls = training.step().unwrap().metrics["calls"].as_u64().unwrap() as usize;
        let after = models(&training);
        for k in [0, 1] {
            assert!(!after[k].is_empty());
            assert_eq!(before[k] != after[k], k + 1 == calls, "model {k}, {calls} calls");
        }
        seen[calls - 1] = true;
    }
    assert_eq!(seen, [true; 2], "both numbers of calls came up");
}

#[test]
fn an_anchored_phase_has_an_anchor_and_no_auxiliary_model() {
    let matching = "[[distill.phase]]\nkind = 'matching'\nsteps = 1\n";
    let anchored = "[[distill.phase]]\nkind = 'anchored'\nsteps = 3\nwarmup = 0";
    let mut training = training(&format!("{matching}{anchored}"));
    let state = |t: &StudentTraining| ["auxiliary.", "anchor.", "net."].map(|p| arrays(t, p));

    training.step().unwrap();
    let [auxiliary, anchor, _] = state(&training);
    assert!(!auxiliary.is_empty() && anchor.is_empty());

    training.step().unwrap();
    let [auxiliary, held, before] = state(&training);
    assert!(auxiliary.is_empty() && !held.is_empty());

    // The anchor stays while the student moves.
    training.step().unwrap();
    let [_, anchor, after] = state(&training);
    assert!(anchor == held && before != after);
}
