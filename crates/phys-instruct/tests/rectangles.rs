//! The library on rectangles: everything between the solvers and a student that samples.
#![allow(clippy::unwrap_used)]

use std::f64::consts::PI;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct::baseline::exact;
use phys_instruct::condition::{Lattice, Observations, Options, Question, Solver, Task};
use phys_instruct::config::{CoordinatesConfig, NamedNoise, Noise};
use phys_instruct::data::{self, Watch};
use phys_instruct::diffusion::Coordinates;
use phys_instruct::distill::{monitor, train::StudentTraining};
use phys_instruct::eval::frechet::{frechet, known_laws};
use phys_instruct::eval::physics::solution_error;
use phys_instruct::eval::spectrum::power_spectrum;
use phys_instruct::eval::{EvalOptions, evaluate};
use phys_instruct::parts::Parts;
use phys_instruct::polish::polish;
use phys_instruct::residual::ResidualOptions;
use phys_instruct::sampling::{SampleOptions, sample};
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::training::Training;
use phys_instruct::{Config, Error, Model, Samples, device, problem};
use phys_instruct_physics::burgers::Burgers;
use phys_instruct_physics::navier_stokes::NavierStokes;
use phys_instruct_physics::{Basis, Fields, Grid, Pde};

/// A rectangle for a PDE; time, which runs along y for some, has the side 1.
fn rectangle(pde: &dyn Pde, points: [usize; 2]) -> Grid {
    let sides = if pde.layout().input.is_line() { [1.0, 0.7] } else { [0.6, 1.0] };
    Grid::new(points, sides).unwrap()
}

fn samples(pde: &dyn Pde, grid: Grid, count: usize) -> Samples {
    let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
    data::generate(pde, grid, 3, count, &mut watch).unwrap()
}

fn tensor(samples: &Samples) -> Tensor<4> {
    let shape = [samples.count, samples.channels.len(), samples.height, samples.width];
    Tensor::from_data(TensorData::new(samples.data.clone(), shape), &Device::flex())
}

fn rms(x: Tensor<4>) -> f32 {
    x.square().mean().into_scalar::<f32>().sqrt()
}

#[test]
fn coordinates_invert_and_are_white() {
    for name in problem::names() {
        let pde = problem::by_name(&name).unwrap();
        let data = samples(pde.as_ref(), rectangle(pde.as_ref(), [20, 33]), 60);
        let noise = Noise::Named(NamedNoise::Data);
        let mut kinds = vec![
            CoordinatesConfig::Pixel {},
            CoordinatesConfig::Modes { noise, linear_predictor: false },
            CoordinatesConfig::Joint { modes: 6, linear_predictor: false },
        ];
        if data.channels.len() > 1 {
            kinds.push(CoordinatesConfig::Modes { noise, linear_predictor: true });
            kinds.push(CoordinatesConfig::Joint { modes: 6, linear_predictor: true });
        }

        for kind in kinds {
            let parts = Parts::of(pde.as_ref());
            let (coordinates, _) = Coordinates::fit(&data, &parts, &kind, &Device::flex()).unwrap();
            let x = tensor(&data);
            let y = coordinates.encode(x.clone());
            let present = coordinates.present().mean().into_scalar::<f32>().sqrt();
            let deviation = rms(y.clone()) / coordinates.sigma_data as f32;
            assert!((deviation / present - 1.0).abs() < 0.02, "{name} {kind:?}: {deviation}");
            for channel in 0..parts.channels.len() {
                let [own, back] =
                    [x.clone(), coordinates.decode(y.clone())].map(|x| x.narrow(1, channel, 1));
                assert!(rms(back - own.clone()) < 1e-3 * rms(own), "{name} {kind:?} {channel}");
            }

            assert_eq!(coordinates.to_pixels(y).dims()[2..], [20, 33]);
        }
    }
}

/// The residual of a single sample, `[equation, y, x]` in one list, and its relative size.
fn residual_of(pde: &dyn Pde, sample: &Fields, grid: Grid) -> (Vec<f64>, f64) {
    let own = problem::residual(pde, grid, &Device::flex()).unwrap();
    let values: Vec<f32> = sample.data.iter().map(|&v| v as f32).collect();
    let shape = [1, sample.channels, sample.height, sample.width];
    let x = Tensor::from_data(TensorData::new(values, shape), &Device::flex());
    let terms = own.terms(x, ResidualOptions::default());
    let relative = terms.relative().into_scalar::<f32>();
    let all = terms.residual.into_data().iter::<f32>().map(f64::from).collect();
    (all, f64::from(relative))
}

/// The order at which an error falls between two grids whose spacings have the ratio 2.
fn order([coarse, fine]: [f64; 2]) -> f64 {
    (coarse / fine).log2()
}

/// A smooth pair that solves the equation: what is left is the truncation error.
#[test]
fn residuals_of_sources_fall_at_second_order_on_a_rectangle() {
    for (name, k) in [("poisson", 0.0), ("helmholtz", 1.0)] {
        let pde = problem::by_name(name).unwrap();
        let relative = |points| {
            let grid = Grid::new(points, [0.6, 1.0]).unwrap();
            let [y, x] = pde.points(grid);
            let u = on(&y, &x, |y, x| (PI * y / 0.6).sin() * (2.0 * PI * x).sin());
            let factor = k - PI * PI / 0.36 - 4.0 * PI * PI;
            let a: Vec<f64> = u.iter().map(|u| factor * u).collect();
            residual_of(pde.as_ref(), &Fields::stack(points[0], points[1], &[&a, &u]), grid).1
        };
        // 24 intervals and 48, which is 49 nodes.
        let found = order([[25, 41], [49, 81]].map(relative));
        assert!((found - 2.0).abs() < 0.1, "{name}: order {found}");
    }
}

/// The pair a = e^3s and u = e^-3s (s/3 + 1/9), along either axis, has -div(a grad u) = 1.
#[test]
fn darcy_s_residual_falls_at_second_order_on_a_rectangle() {
    let pde = problem::by_name("darcy").unwrap();
    for along_y in [true, false] {
        let at_centre = |points: [usize; 2]| {
            let grid = Grid::new(points, [0.6, 1.0]).unwrap();
            let [y, x] = pde.points(grid);
            let s = on(&y, &x, |y, x| if along_y { y } else { x });
            let a: Vec<f64> = s.iter().map(|s| (3.0 * s).exp()).collect();
            let u: Vec<f64> = s.iter().zip(&a).map(|(s, a)| (s / 3.0 + 1.0 / 9.0) / a).collect();
            let sample = Fields::stack(points[0], points[1], &[&a, &u]);
            residual_of(pde.as_ref(), &sample, grid).0[grid.points() / 2].abs()
        };
        // The centres of 9 and of 27 cells are one place.
        let [coarse, fine] = [[9, 15], [27, 45]].map(at_centre);
        let found = (coarse / fine).ln() / 3f64.ln();
        assert!((found - 2.0).abs() < 0.1, "along y {along_y}: order {found}");
    }
}

/// The states between which an evolution is collocated come from the reference solver. The orders
/// at these long intervals are still below their limit of four.
#[test]
fn residuals_of_evolutions_near_order_four_in_time_on_a_rectangle() {
    let flow = |intervals: usize| {
        let grid = Grid::new([24, 40], [0.6, 1.0]).unwrap();
        let pde = NavierStokes { intervals, ..NavierStokes::default() };
        let [y, x] = pde.points(grid);
        let eddies = on(&y, &x, |y, x| {
            let [p, q] = [2.0 * PI * y / 0.6, 2.0 * PI * x];
            2.0 * ((q + 0.3).sin() * (2.0 * p).cos() + (q - p).cos() + (2.0 * q + p).sin())
        });
        let solved = pde.solve(grid, &Fields::stack(24, 40, &[&eddies])).unwrap().fields;
        residual_of(&pde, &solved, grid).1
    };
    let found = order([2, 4].map(flow));
    assert!((3.0..4.4).contains(&found), "navier-stokes: order {found}");

    let line = |rows: usize| {
        let grid = Grid::new([rows, 80], [1.0, 0.6]).unwrap();
        let pde = Burgers::default();
        let [_, x] = pde.points(grid);
        let first = on(&[0.0], &x, |_, x| 0.4 * (2.0 * PI * x / 0.6).sin());
        let solved = pde.solve(grid, &Fields::stack(1, 80, &[&first])).unwrap().fields;
        residual_of(&pde, &solved, grid).1
    };
    let found = order([21, 41].map(line));
    assert!((3.0..4.4).contains(&found), "burgers: order {found}");
}

/// A function of the coordinates along y and x, on all points, row by row.
fn on(y: &[f64], x: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    y.iter().flat_map(|&y| x.iter().map(move |&x| (y, x))).map(|(y, x)| f(y, x)).collect()
}

#[test]
fn exact_data_lies_at_three_halves_over_n() {
    for name in ["poisson", "helmholtz"] {
        let pde = problem::by_name(name).unwrap();
        let grid = Grid::new([12, 17], [0.6, 1.1]).unwrap();
        let data = samples(pde.as_ref(), grid, 600);
        let laws = known_laws(pde.as_ref(), grid).unwrap();
        for found in frechet(&data, &data, &laws).unwrap() {
            let scaled = found.distance * 600.0;
            assert!((0.5..3.0).contains(&scaled), "{name} {}: {scaled}", found.channel);
        }
    }
}

#[test]
fn a_spectrum_counts_cycles_over_the_longer_side() {
    // Three cycles over x, and as long a wave along y: five half waves over 0.6 of a side of 1.
    let pde = problem::by_name("poisson").unwrap();
    let mut data = samples(pde.as_ref(), Grid::new([30, 50], [0.5, 1.0]).unwrap(), 1);
    let wave = |i: usize| {
        let (y, x) = ((i / 50) as f64 + 0.5, (i % 50) as f64 + 0.5);
        ((3.0 * PI * y / 30.0).cos() + (6.0 * PI * x / 50.0).cos()) as f32
    };
    data.data = (0..3000).map(|i| wave(i % 1500)).collect();
    let spectrum = power_spectrum(&data, 0, [Basis::Cosine; 2]);
    let total: f64 = spectrum.power.iter().sum();
    assert!(spectrum.power[3] > 0.999 * total, "{:?}", spectrum.power);
}

#[test]
fn polish_leads_to_the_solver_s_solution() {
    for name in problem::names() {
        let pde = problem::by_name(&name).unwrap();
        let grid = rectangle(pde.as_ref(), [32, 48]);
        let exact = samples(pde.as_ref(), grid, 2);
        let mut off = exact.clone();
        let solution = pde.layout().solution.entries(grid.ny, grid.nx);
        for sample in off.data.chunks_mut(exact.sample_len()) {
            solution.iter().for_each(|&e| sample[e] *= 1.1);
        }
        let residual = problem::residual(pde.as_ref(), grid, &Device::flex()).unwrap();
        let better = polish(&off, pde.as_ref(), residual.as_ref(), 20).unwrap();
        assert_eq!(better.grid(), grid);
        let error = |samples: &Samples| solution_error(samples, pde.as_ref()).mean().unwrap();
        let [before, after] = [&off, &better].map(error);
        assert!(after < 0.02 * before, "{name}: {before} to {after}");
    }
}

#[test]
fn places_are_coordinates_of_the_domain() {
    let pde = problem::by_name("navier-stokes").unwrap();
    let grid = Grid::new([32, 48], [0.6, 1.3]).unwrap();
    let lattice = Lattice::new(pde.as_ref(), grid);
    let [p, q] = [2.0 * PI / grid.ly, 4.0 * PI / grid.lx];
    let f = |y: f64, x: f64| (p * y).cos() + (q * x).sin();
    let [y, x] = pde.points(grid);
    let at = |i: usize| f(y[i / 48 % 32], x[i % 48]);
    let field: Vec<f64> = (0..2 * grid.points()).map(at).collect();
    for i in 0..200 {
        let place = [(f64::from(i) * 0.377).fract() * 0.6, (f64::from(i) * 0.618).fract() * 1.3];
        let found = lattice.locate(1, place).unwrap();
        let value = lattice.stencil(1, found).of_f64(&field);
        assert!((value - f(place[0], place[1])).abs() < 1e-4, "{place:?}");
        let back = lattice.coordinates(1, found);
        assert!((back[0] - place[0]).abs() + (back[1] - place[1]).abs() < 1e-9, "{place:?}");
    }
    let outside = lattice.locate(0, [0.61, 0.2]).unwrap_err();
    assert!(outside.contains("[0, 0.6] along y and [0, 1.3] along x"), "{outside}");
    assert!(lattice.locate(0, [0.2, 1.25]).is_ok());
}

#[test]
fn the_exact_posterior_goes_through_exact_observations() {
    for name in ["poisson", "helmholtz"] {
        let pde = problem::by_name(name).unwrap();
        let grid = Grid::new([14, 21], [0.6, 1.1]).unwrap();
        let truth = samples(pde.as_ref(), grid, 1);
        let solution = Task::Inverse.observed(pde.as_ref(), grid);
        let observations = Observations::draw(&truth, 0, &solution, 40, 0.0, 1).unwrap();
        let found = exact::posterior(pde.as_ref(), &observations, 4, 0).unwrap();
        assert_eq!(found.samples.grid(), grid);
        for member in 0..4 {
            let x = found.samples.sample(member);
            for (point, stencil) in observations.points().iter().zip(observations.stencils()) {
                assert!((stencil.of(x) - point.value).abs() < 1e-4 * point.value.abs().max(1e-3));
            }
        }
        assert!(solution_error(&found.samples, pde.as_ref()).mean().unwrap() < 1e-5);
    }
}

const TINY: &str = "
pde = 'darcy'
grid = { points = [40, 56], sides = [0.6, 1.0] }
seed = 3
[data]
count = 48
validation = 24
[net]
width = 8
multipliers = [1, 2]
blocks = 1
[coordinates]
kind = 'joint'
modes = 6
[train]
batch = 8
steps = 12
warmup = 2
[distill]
batch = 8
levels = [20.0, 1.0]
evaluate_every = 0
[[distill.phase]]
kind = 'warm-start'
steps = 4
batches = 2
[[distill.phase]]
kind = 'matching'
steps = 4
guidance = { residual_ratio = 0.3, preconditioned_ratio = 0.1, start = 1, ramp = 1 }
[[distill.phase]]
kind = 'calibrate'
[[distill.phase]]
kind = 'anchored'
steps = 3
";

fn finish(training: &mut dyn Training) {
    while training.step_count() < training.total() {
        training.step().unwrap();
    }
}

#[test]
fn a_student_of_40_by_56_trains_samples_and_answers() {
    let config = Config::from_toml(TINY).unwrap();
    let (pde, grid) = (config.pde().unwrap(), config.grid);
    let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
    let training = data::training(&config, &mut watch).unwrap();
    let held_out = data::validation(&config, &mut watch).unwrap();
    assert_eq!(held_out.grid(), grid);

    let device = device::cpu();
    let mut teacher = TeacherTraining::new(&config, pde.as_ref(), training, None, &device).unwrap();
    finish(&mut teacher);
    let residual = || problem::residual(pde.as_ref(), grid, &device).unwrap();
    let monitor = monitor::against(held_out.clone(), config.pde().unwrap(), residual());
    let mut student =
        StudentTraining::new(&config, teacher.model(), residual(), monitor, &held_out, &device)
            .unwrap();
    finish(&mut student);

    // The file states the rectangle and gives the same model back.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.safetensors");
    student.model().save(&path).unwrap();
    let model = Model::load(&path, &device).unwrap();
    assert_eq!(model.card, student.model().card);
    let card = serde_json::to_value(&model.card).unwrap();
    assert_eq!(card["grid"], serde_json::json!({ "points": [40, 56], "sides": [0.6, 1.0] }));

    let options = SampleOptions { count: 24, calls: 2, ..SampleOptions::default() };
    let drawn = sample(&model, options, &mut |_| ()).unwrap().samples;
    assert_eq!((drawn.grid(), drawn.first_not_finite()), (grid, None));
    let residual = residual();
    let options = EvalOptions::default();
    let report = evaluate(&drawn, &held_out, pde.as_ref(), residual.as_ref(), options).unwrap();
    assert!(
        report.pde_error.unwrap().is_finite() && report.data_floor.unwrap() < 1e-4,
        "{report:?}"
    );

    let observed = Task::Inverse.observed(pde.as_ref(), grid);
    let observations = Observations::draw(&held_out, 0, &observed, 30, 0.0, 1).unwrap();
    let (noise, robust, resolve) = (None, false, Some(true));
    let options = Options { ensemble: 4, ..Options::default() };
    let task = Task::Inverse;
    let question = Question { task, observations, noise, robust, resolve, options };
    let answer = Solver::new(&model).unwrap().answer(question).unwrap();
    assert_eq!(answer.posterior.samples.grid(), grid);
    assert!(answer.posterior.samples.data.iter().all(|v| v.is_finite()));
}

#[test]
fn data_on_another_rectangle_are_refused() {
    let config = Config::from_toml(TINY).unwrap();
    let pde = config.pde().unwrap();
    for grid in [Grid { ly: 1.0, ..config.grid }, Grid { ny: 56, nx: 40, ..config.grid }] {
        let other = samples(pde.as_ref(), grid, 4);
        let error = TeacherTraining::new(&config, pde.as_ref(), other, None, &device::cpu());
        let message = error.err().unwrap().to_string();
        assert!(message.contains(&grid.to_string()) && message.contains("40 x 56"), "{message}");
    }
    let none = problem::residual(pde.as_ref(), Grid { lx: -1.0, ..config.grid }, &device::cpu());
    assert!(matches!(none.err(), Some(Error::Physics(_))));
}

/// The pull of guidance: along any direction of the solution, the gradient of the squared residual
/// is what differences say.
#[test]
fn the_gradient_of_a_residual_agrees_with_differences() {
    for name in problem::names() {
        let pde = problem::by_name(&name).unwrap();
        let grid = rectangle(pde.as_ref(), [10, 17]);
        let residual = problem::residual(pde.as_ref(), grid, &Device::flex()).unwrap();
        let x = tensor(&samples(pde.as_ref(), grid, 1));
        let solution = pde.layout().solution.entries(grid.ny, grid.nx);
        let size = rms(x.clone().narrow(1, x.dims()[1] - 1, 1));

        // Two rough fields that vanish in the input: one leads away from the equation, the other is
        // the direction.
        let rough = |seed: usize| {
            let wave = |i: usize| ((i * (seed + 7) % 23) as f32 - 11.0) / 11.0 * size;
            let mut data = vec![0.0; x.dims().iter().product()];
            solution.iter().for_each(|&i| data[i] = wave(i));
            Tensor::<4>::from_data(TensorData::new(data, x.dims()), &Device::flex())
        };
        let (x, along) = (x.clone() + rough(1) * 0.2, rough(2));
        let options = ResidualOptions { detach_input: true, ..ResidualOptions::default() };
        let loss = |x: Tensor<4>| residual.terms(x, options).residual.square().mean();

        let leaf = x.clone().autodiff().require_grad();
        let gradient = leaf.grad(&loss(leaf.clone()).backward()).unwrap();
        let slope = (gradient * along.clone()).sum().into_scalar::<f32>();
        let at = |step: f64| loss(x.clone() + along.clone() * step).into_scalar::<f32>();
        let difference = (at(0.02) - at(-0.02)) / 0.04;
        assert!((slope / difference - 1.0).abs() < 0.02, "{name}: {slope}, {difference}");
    }
}
