//! The operator against what is known of its parts.
#![allow(clippy::unwrap_used)]

use phys_instruct_physics::Pde;

use super::*;
use crate::diffusion::noise::Draw;
use crate::net::params::values;
use crate::testing::{samples_from, tiny};
use crate::{Samples, problem};

const SIZE: usize = 16;
const COUNT: usize = 24;

/// A PDE with solved samples, and an operator that has seen none of them.
struct Case {
    samples: Samples,
    x: Tensor<4>,
    operator: Operator,
}

fn small() -> NetConfig {
    NetConfig { patch: 2, ..tiny(&[1, 2]) }
}

fn pde(name: &str) -> Box<dyn Pde> {
    let mut pde = problem::by_name(name).unwrap();
    if name == "navier-stokes" {
        // Three channels of the solution.
        pde.set_param("intervals", 3.0).unwrap();
    }
    pde
}

fn case(name: &str, sweeps: usize) -> Case {
    let (pde, device) = (pde(name), Device::flex());
    let samples = samples_from(pde.as_ref(), COUNT as u64, SIZE, 1);
    let shape = [COUNT, samples.channels.len(), SIZE, SIZE];
    let x = Tensor::from_data(TensorData::new(samples.data.clone(), shape), &device);
    let frame = Frame::new(pde.as_ref(), Grid::square(SIZE), &device).unwrap();
    let guess = Guess::Sweeps(sweeps);
    let statistics = OperatorStatistics::of(&x, &frame, &guess).unwrap();
    let seen = frame.pictures(false);
    let net = UNet::new(&small(), seen.inputs.len(), seen.outputs.len(), 1, &device).valid();
    let card = OperatorCard { net: small(), sweeps, sees_residual: false, steps: 0, before: None };
    Case { samples, x, operator: Operator::new(card, net, statistics, guess, frame) }
}

fn rms(x: Tensor<4>) -> f32 {
    x.square().mean().into_scalar::<f32>().sqrt()
}

const PDES: [&str; 5] = ["poisson", "helmholtz", "darcy", "navier-stokes", "burgers"];

#[test]
fn the_input_stays_and_the_solution_is_not_looked_at() {
    for name in PDES {
        let Case { samples, x, operator } = case(name, 1);
        let entries = pde(name).layout().input.entries(SIZE, SIZE);
        let own = operator.solved(x.clone()).unwrap();
        let kept = values(own.clone());
        for (before, after) in
            samples.data.chunks(samples.sample_len()).zip(kept.chunks(samples.sample_len()))
        {
            assert!(entries.iter().all(|&e| before[e] == after[e]), "{name}: the input moved");
        }

        let other = operator.frame().solution_of(x.clone()) * 0.3 + 1.0;
        let spoiled = operator.frame().with_solution(x, other);
        let solved = operator.solved(spoiled).unwrap();
        assert_eq!(values(solved), kept, "{name}");
    }
}

/// The last pictures are the residual of the guess, in units of its size.
#[test]
fn the_last_pictures_are_the_residual_of_the_guess() {
    for name in ["darcy", "navier-stokes", "burgers"] {
        let Case { samples, x, operator } = case(name, 1);
        let frame = operator.frame().clone();
        let guess = frame.guess(&x, 1).unwrap();
        let truth = frame.residual_of(&x, frame.solution_of(x.clone())).unwrap();
        let residual = frame.residual_of(&x, guess.clone()).unwrap();
        assert!(rms(truth) < 0.01 * rms(residual.clone()), "{name}");

        let blind = operator.pictures(&x, &guess).unwrap();
        let statistics = operator.statistics.clone();
        let statistics = statistics.with_residual(&samples, &frame, operator.origin()).unwrap();
        let seen = operator.with_statistics(statistics).pictures(&x, &guess).unwrap();
        let [before, after] = [&blind, &seen].map(|pictures| pictures.dims()[1]);
        assert_eq!(after, frame.pictures(true).inputs.len(), "{name}");
        assert_eq!(values(seen.clone().narrow(1, 0, before)), values(blind), "{name}");

        let last = seen.narrow(1, before, after - before);
        assert!((rms(last.clone()) - 1.0).abs() < 1e-3, "{name}");
        let alike = |c: usize| {
            let [own, plain] = [&last, &residual].map(|x| x.clone().narrow(1, c, 1));
            rms(own.clone() - plain.clone() / rms(plain)) < 1e-3
        };
        assert!((0..after - before).all(alike), "{name}");
    }
}

#[test]
fn the_target_of_a_solution_leads_to_it() {
    for name in PDES {
        let Case { x, operator, .. } = case(name, 1);
        let frame = operator.frame();
        let guess = frame.guess(&x, 1).unwrap();
        let u = frame.masked(frame.solution_of(x));
        let output = operator.target(u.clone(), guess.clone());
        let back = frame.masked(operator.solution(output, guess));
        assert!(rms(back - u.clone()) < 1e-4 * rms(u), "{name}");
    }
}

#[test]
fn what_the_guess_leaves_is_white() {
    for name in ["darcy", "navier-stokes", "burgers"] {
        let Case { x, operator, .. } = case(name, 1);
        let frame = operator.frame();
        let guess = frame.guess(&x, 1).unwrap();
        let target = operator.target(frame.solution_of(x), guess);
        let power = values(frame.bases.modes(target).square().mean_dim(0));
        // Modes with less than the least share are below 1; none is above.
        assert!(power.iter().all(|p| *p < 1.01), "{name}");
        let white = power.iter().filter(|p| (**p - 1.0).abs() < 0.01).count();
        assert!(white > power.len() / 4, "{name}: {white} of {}", power.len());
    }
}

#[test]
fn an_untrained_operator_adds_the_mean_to_its_guess() {
    for (name, sweeps, most) in
        [("poisson", 1, 1e-4), ("darcy", 2, 0.3), ("navier-stokes", 1, 0.1), ("burgers", 1, 0.5)]
    {
        let Case { x, operator, .. } = case(name, sweeps);
        let solved = operator.solved(x.clone()).unwrap();
        let [own, truth] = [solved, x].map(|x| operator.frame().solution_of(x));
        let error = rms(own - truth.clone()) / rms(truth);
        assert!(error < most, "{name}: {error}");
    }
}

#[test]
fn a_guess_with_too_much_power_in_a_mode_is_shrunk() {
    let Case { x, operator, .. } = case("navier-stokes", 1);
    let frame = operator.frame();
    let guess = frame.guess(&x, 1).unwrap();
    let power = |u: Tensor<4>| {
        let modes = frame.bases.modes(u.clone() - u.mean_dim(0));
        values(modes.square().mean_dim(0))
    };
    let own = power(operator.solution(guess.zeros_like(), guess.clone()));
    let [guess, truth] = [guess, frame.solution_of(x)].map(power);

    let most = truth.iter().fold(0.0f32, |most, p| most.max(*p));
    let beyond = |own: &[f32]| {
        let modes = own.iter().zip(&truth);
        modes.filter(|(own, u)| **own > 1.1 * **u + 1e-10 * most).count()
    };
    assert!(beyond(&guess) > 0, "no mode is too strong");
    assert_eq!(beyond(&own), 0);
}

#[test]
fn without_sweeps_the_guess_is_zero() {
    let Case { x, operator, .. } = case("darcy", 0);
    let guess = operator.frame().guess(&x, 0).unwrap();
    assert_eq!(rms(guess), 0.0);
    let solved = operator.solved(x).unwrap();
    assert!(values(solved).iter().all(|v| v.is_finite()));
}

#[test]
fn an_operator_that_follows_another_takes_its_solution_for_the_guess() {
    let device = Device::flex();
    for name in ["darcy", "navier-stokes", "burgers"] {
        let Case { samples, x, operator } = case(name, 1);
        let frame = operator.frame().clone();
        let guess = Guess::Before(Arc::new(operator.clone()));
        let statistics = OperatorStatistics::of(&x, &frame, &guess).unwrap();
        let statistics = statistics.with_residual(&samples, &frame, &guess).unwrap();
        let seen = frame.pictures(true);
        let net = UNet::new(&small(), seen.inputs.len(), seen.outputs.len(), 2, &device).valid();
        let (sweeps, before) = (guess.sweeps(), guess.before());
        let card = OperatorCard { net: small(), sweeps, sees_residual: true, steps: 0, before };
        let second = Operator::new(card.clone(), net, statistics, guess, frame.clone());

        let guess = second.guess(&x).unwrap();
        let first = frame.solution_of(operator.solved(x.clone()).unwrap());
        assert_eq!(values(guess.clone()), values(first), "{name}");

        // An untrained one regresses the solution on the guess, which is no worse than the guess.
        let truth = frame.masked(frame.solution_of(x.clone()));
        let error = |u: Tensor<4>| rms(frame.masked(u) - truth.clone());
        let solved = frame.solution_of(second.solved(x.clone()).unwrap());
        assert!(error(solved.clone()) <= 1.001 * error(guess), "{name}");

        let arrays = second.to_arrays().unwrap();
        let names: Vec<String> = arrays.keys().cloned().collect();
        let mut own = second.names();
        own.sort();
        assert_eq!(own, names, "{name}");
        let back = Operator::from_arrays(&arrays, &card, frame.clone()).unwrap();
        assert_eq!(back.to_arrays().unwrap(), arrays, "{name}");
        let again = frame.solution_of(back.solved(x).unwrap());
        assert!(rms(again - solved.clone()) < 1e-5 * rms(solved), "{name}");
    }
}

#[test]
fn arrays_restore_the_operator_and_their_absence_is_named() {
    let Case { x, operator, .. } = case("darcy", 2);
    // A head that is not zero, so that the network counts.
    let draw = Draw { seed: 1, stream: "any", step: 0, first: 0 };
    let mut arrays = operator.to_arrays().unwrap();
    let head = arrays.get_mut("operator.net.head.weight").unwrap();
    let noise = values(draw.normal([1, 1, 1, head.data.len()], &Device::flex()));
    head.data.iter_mut().zip(noise).for_each(|(w, n)| *w = 0.1 * n);
    let restored = |arrays: &BTreeMap<String, Array>| {
        Operator::from_arrays(arrays, &operator.card, operator.frame().clone())
    };
    let back = restored(&arrays).unwrap();
    assert_eq!(back.to_arrays().unwrap(), arrays);
    assert_eq!(back.names().len(), arrays.len());

    let solution =
        |operator: &Operator| operator.frame().solution_of(operator.solved(x.clone()).unwrap());
    let [plain, untrained] = [&back, &operator].map(solution);
    let packed = solution(&back.freeze());
    assert!(rms(packed - plain.clone()) < 1e-5 * rms(plain.clone()));
    let moved = rms(untrained - plain.clone()) / rms(plain);
    assert!(moved > 1e-3, "{moved}");

    // Files of older formats hold no gains, which are 1 then.
    let mut without = arrays.clone();
    without.remove("operator.gain");
    let gain = restored(&without).unwrap().statistics.gain;
    assert!(values(gain).iter().all(|c| *c == 1.0));

    for name in ["operator.guess_mean", "operator.left_deviation", "operator.input"] {
        let mut missing = arrays.clone();
        missing.remove(name);
        let mut cut = arrays.clone();
        cut.get_mut(name).unwrap().shape[0] = 7;
        for damaged in [missing, cut] {
            let error = restored(&damaged).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
