//! Training by several processes, here by threads that exchange as processes do.
#![allow(clippy::unwrap_used)]

mod common;
mod threads;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use phys_instruct::device;
use phys_instruct::distill::train::StudentTraining;
use phys_instruct::model::Kind;
use phys_instruct::store::weights::Bundle;
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::team::Team;
use phys_instruct::training::{self, Pace, Training};
use phys_instruct::{Config, Error, Model, Result, runs};
use serde_json::{Map, Value};

use self::threads::together;

#[test]
fn slices_are_of_one_length_and_an_uneven_batch_is_refused() {
    let slices = together(4, |team| team.slice(8));
    assert_eq!(slices, [0..2, 2..4, 4..6, 6..8]);
    assert_eq!(Team::ALONE.slice(7), 0..7);
    let errors = together(2, |team| team.check_batch("train.batch", 7).unwrap_err());
    assert!(errors[1].to_string().contains("train.batch = 7: 2 processes"), "{errors:?}");
}

#[test]
fn members_are_shared_out_in_whole_pairs_and_gathered_in_order() {
    for (ensemble, expected) in
        [(10, [0..2, 2..6, 6..10]), (7, [0..2, 2..4, 4..7]), (2, [0..0, 0..0, 0..2])]
    {
        assert_eq!(together(3, |team| team.members(ensemble)), expected);
        // A value that sums of zeros would change: the sign of a zero.
        let gathered = together(3, |team| {
            let own = team.members(ensemble).flat_map(|i| [i as f32, -0.0]).collect();
            team.gathered(ensemble, 2, own).unwrap()
        });
        let expected: Vec<f32> = (0..ensemble).flat_map(|i| [i as f32, -0.0]).collect();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(gathered.iter().all(|all| bits(all) == bits(&expected)));
    }
    assert_eq!(Team::ALONE.members(7), 0..7);
    let short = Team::ALONE.gathered(3, 2, vec![0.0; 5]).unwrap_err();
    assert!(short.to_string().contains("5 values of members, 6 expected"), "{short}");
}

#[test]
fn means_are_over_all_processes_and_none_alone() {
    let means = together(2, |team| {
        let own = team.rank() as f32;
        let [mut a, mut b] = [vec![own, 1.0], vec![own + 4.0]];
        team.mean(&mut [&mut a, &mut b]).unwrap();
        (a, b, team.any(team.rank() == 1).unwrap())
    });
    assert_eq!(means, vec![(vec![0.5, 1.0], vec![4.5], true); 2]);
    assert_eq!(Team::ALONE.mean_of(3.0).unwrap(), 3.0);
}

#[test]
fn figures_that_are_no_number_somewhere_are_none_everywhere() {
    let all = together(2, |team| {
        let odd = if team.leads() { f64::NAN } else { 1.0 };
        let figures = serde_json::json!({ "a": team.rank() as f64, "b": odd, "step": 3 });
        let mut figures = figures.as_object().unwrap().clone();
        team.mean_figures(&mut figures).unwrap();
        Value::from(figures)
    });
    assert_eq!(all, vec![serde_json::json!({ "a": 0.5, "b": null, "step": 3 }); 2]);
}

#[test]
fn a_process_that_differs_is_an_error_in_all() {
    let errors = together(3, |team| {
        let mine = if team.rank() == 2 { "other" } else { "one" };
        team.agree("config", mine).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|e| e.contains("1 of 3 processes have another config")));
    assert!(errors[2].contains("this one among them") && !errors[1].contains("this one"));
    assert!(together(2, |team| team.agree("config", "one").is_ok()).into_iter().all(|ok| ok));
}

/// A student on 8 x 8 points that goes through every kind of phase.
const TINY: &str = "
pde = 'poisson'
grid = 8
net = { width = 8, multipliers = [1], patch = 1 }
data = { count = 16, validation = 8 }
[train]
steps = 6
batch = 4
log_every = 2
optimizer = { learning_rate = 1e-4 }
[distill]
levels = [80.0, 1.0]
batch = 4
log_every = 2
evaluate_every = 4
[[distill.phase]]
kind = 'warm-start'
steps = 2
[[distill.phase]]
kind = 'matching'
steps = 4
warmup = 0
optimizer = { learning_rate = 1e-4 }
guidance = { start = 0, ramp = 1 }
[[distill.phase]]
kind = 'anchored'
steps = 2
[[distill.phase]]
kind = 'operator'
steps = 3
residual_weight = 0.3
net = { width = 8, multipliers = [1], patch = 1 }
";

/// The config with its training and held-out data.
fn setting() -> (Config, [phys_instruct::Samples; 2]) {
    let config = Config::from_toml(TINY).unwrap();
    let both = common::samples(&config);
    (config, both)
}

fn teacher(team: Team) -> TeacherTraining {
    let (config, [samples, _]) = setting();
    let pde = config.pde().unwrap();
    let training = TeacherTraining::new(&config, pde.as_ref(), samples, None, &device::cpu());
    training.unwrap().with_team(team).unwrap()
}

fn student(team: Team) -> StudentTraining {
    let (config, [samples, held_out]) = setting();
    let model: Model = teacher(Team::ALONE).model();
    let device = device::cpu();
    let training = StudentTraining::of_config(&config, model, &held_out, Some(samples), &device);
    training.unwrap().with_team(team).unwrap()
}

/// The state of a training after all its steps, and its metrics.
fn trained(mut training: impl Training) -> (Bundle, Vec<Map<String, Value>>) {
    let mut metrics = Vec::new();
    while training.step_count() < training.total() {
        let figures = training.step().unwrap().metrics;
        metrics.extend(Some(figures).filter(|figures| !figures.is_empty()));
    }
    (training.checkpoint().unwrap(), metrics)
}

/// The distance of two states relative to the norm of the one, over all weights together: a weight
/// of no effect has a gradient of rounding alone, which Adam magnifies.
fn distance(one: &Bundle, other: &Bundle) -> f32 {
    assert!(one.tensors.keys().eq(other.tensors.keys()));
    let is_weight = |name: &String| !name.contains("optimizer");
    let (mut apart, mut whole) = (0f32, 0f32);
    for (name, array) in one.tensors.iter().filter(|(name, _)| is_weight(name)) {
        let theirs = &other.tensors[name];
        assert_eq!(array.shape, theirs.shape, "{name}");
        let both = array.data.iter().zip(&theirs.data);
        apart += both.map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        whole += array.data.iter().map(|v| v * v).sum::<f32>();
    }
    (apart / whole).sqrt()
}

#[test]
fn a_team_trains_what_one_process_trains() {
    for (name, of) in [
        ("teacher", (|team| trained(teacher(team))) as fn(Team) -> (Bundle, Vec<_>)),
        ("student", |team| trained(student(team))),
    ] {
        let (alone, metrics) = of(Team::ALONE);
        for count in [2, 4] {
            let all = together(count, of);
            for (state, figures) in &all {
                assert_eq!(state.tensors, all[0].0.tensors, "{name}: {count} processes agree");
                assert_eq!(figures.len(), metrics.len());
            }
            // The sums of a batch are taken in another order, which Adam's first steps magnify.
            let apart = distance(&alone, &all[0].0);
            assert!(apart < 1e-3, "{name}, {count} processes: {apart}");
            for (own, theirs) in metrics.iter().zip(&all[0].1) {
                // An anchored phase begins where its gradient is one of rounding.
                let anchored = own.get("phase").is_some_and(|phase| phase == "anchored");
                let norm = if anchored { "residual" } else { "gradient_norm" };
                for key in [norm, "loss", "matching_norm", "guidance_norm", "residual"] {
                    let [a, b] = [own, theirs].map(|m| m.get(key).and_then(Value::as_f64));
                    assert_eq!(a.is_some(), b.is_some(), "{name}: {key}");
                    let near = |a: f64, b: f64| (a - b).abs() <= 1e-3 * a.abs();
                    assert!(a.zip(b).is_none_or(|(a, b)| near(a, b)), "{key}: {a:?}, {b:?}");
                }
            }
        }
    }
}

#[test]
fn a_team_goes_on_from_the_checkpoint_of_one_process_and_the_other_way_round() {
    let (config, _) = setting();
    let pace = |until| Pace { checkpoint_minutes: 60.0, until };
    let run = |folder: &Path, team: Team, until: Option<u64>| -> Result<Bundle> {
        let leads = team.leads();
        let (run, _) = leads
            .then(|| runs::open(folder, &config, Kind::Teacher))
            .transpose()?
            .map_or((None, None), |(run, note)| (Some(run), note));
        let (mut training, stop) = (teacher(team), AtomicBool::new(false));
        training::run(&mut training, run.as_ref(), pace(until), &stop, &mut |_, _| ())?;
        training.checkpoint()
    };

    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [mixed, alone] = [0, 1].map(|i| folders[i].path());
    run(mixed, Team::ALONE, Some(2)).unwrap();
    let both = together(2, |team| run(mixed, team, Some(4)).unwrap());
    assert_eq!(both[0].tensors, both[1].tensors);
    assert_eq!(both[1].metadata["card"]["steps"], 4);
    let ended = run(mixed, Team::ALONE, None).unwrap();
    assert!(distance(&run(alone, Team::ALONE, None).unwrap(), &ended) < 1e-3);
}

#[test]
fn a_student_goes_on_in_a_team_from_every_phase() {
    let (config, _) = setting();
    let pace = |until| Pace { checkpoint_minutes: 60.0, until };
    let go = |folder: &Path, team: Team, until: Option<u64>| -> Bundle {
        let open = || runs::open(folder, &config, Kind::Student).unwrap().0;
        let run = team.leads().then(open);
        let (mut training, stop) = (student(team), AtomicBool::new(false));
        training::run(&mut training, run.as_ref(), pace(until), &stop, &mut |_, _| ()).unwrap();
        training.checkpoint().unwrap()
    };

    let whole = trained(student(Team::ALONE)).0;
    // Steps within the warm start, the matching, the anchored phase and the operator.
    for step in [1, 4, 7, 9] {
        let folder = tempfile::tempdir().unwrap();
        go(folder.path(), Team::ALONE, Some(step));
        let both = together(2, |team| go(folder.path(), team, None));
        assert_eq!(both[0].tensors, both[1].tensors, "from step {step}");
        assert!(distance(&whole, &both[0]) < 1e-3, "from step {step}");
    }
}

#[test]
fn one_process_that_is_stopped_stops_all_and_another_config_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = setting();
    let pace = Pace { checkpoint_minutes: 60.0, until: None };
    let outcomes = together(2, |team| {
        let run =
            team.leads().then(|| runs::open(folder.path(), &config, Kind::Teacher).unwrap().0);
        // The second process alone receives the signal.
        let stop = AtomicBool::new(!team.leads());
        let mut training = teacher(team);
        let ended = training::run(&mut training, run.as_ref(), pace, &stop, &mut |_, _| ());
        (ended, training.step_count())
    });
    for (ended, steps) in outcomes {
        assert!(matches!(ended, Err(Error::Interrupted)) && steps == 1);
    }
    assert!(folder.path().join("checkpoint.safetensors").exists());

    let refused = together(2, |team| {
        let until = Some(if team.leads() { 3 } else { 4 });
        let run =
            team.leads().then(|| runs::open(folder.path(), &config, Kind::Teacher).unwrap().0);
        let (mut training, stop) = (teacher(team), AtomicBool::new(false));
        let pace = Pace { until, ..pace };
        training::run(&mut training, run.as_ref(), pace, &stop, &mut |_, _| ()).unwrap_err()
    });
    assert!(refused.iter().all(|error| error.to_string().contains("another config, data")));
}
