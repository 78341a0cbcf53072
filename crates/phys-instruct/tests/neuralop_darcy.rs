//! Properties of the Darcy data of the neuraloperator project (`experiments/neuralop-darcy-16`),
//! tested on the 50 samples kept with the tests.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use burn::tensor::Device;
use phys_instruct::Samples;
use phys_instruct::eval::physics::{pde_error, solution_error};
use phys_instruct::problem;
use phys_instruct::store::{Affine, ImportOptions, import};
use phys_instruct_physics::{Grid, Pde, darcy::Darcy};

/// The crop to the inner nodes: the first row and column lie on the boundary.
const INNER: [usize; 4] = [1, 0, 1, 0];
/// The values of the coefficient where the file holds 0 and 1, for a source of 1.
const FOUND: [f64; 2] = [0.0201, 0.3755];

fn darcy([low, high]: [f64; 2], boundary: f64) -> Darcy {
    Darcy { low, high, boundary, ..Darcy::default() }
}

fn read(pde: &Darcy, crop: [usize; 4]) -> Samples {
    let file = "tests/data/neuralop_darcy_test_16.npz";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let scale = pde.high - pde.low;
    let affine = vec![Affine { channel: "a".into(), scale, offset: pde.low }];
    import::import(&path, pde, &ImportOptions { crop, affine, ..Default::default() }).unwrap()
}

/// Fits each sample's own solution, for the coefficients 1 and `ratio`, to the data by a factor
/// (least squares). Returns the factor's mean, and its spread relative to the mean.
fn fitted_factor(ratio: f64, boundary: f64, crop: [usize; 4]) -> [f64; 2] {
    let pde = darcy([1.0, ratio], boundary);
    let samples = read(&pde, crop);
    let factors: Vec<f64> = (0..samples.count)
        .map(|i| {
            let sample = samples.fields(i);
            let solved = pde.solve(samples.grid(), &pde.input_of(&sample)).unwrap().fields;
            let [u, s] = [sample.channel(1), solved.channel(1)];
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            dot(u, s) / dot(s, s)
        })
        .collect();
    let mean = factors.iter().sum::<f64>() / factors.len() as f64;
    let variance = factors.iter().map(|f| (f / mean - 1.0).powi(2)).sum::<f64>();
    [mean, (variance / factors.len() as f64).sqrt()]
}

/// The mean solution error with the fitted factor.
fn fitted_error(ratio: f64, boundary: f64, crop: [usize; 4]) -> f64 {
    let factor = fitted_factor(ratio, boundary, crop)[0];
    let pde = darcy([1.0 / factor, ratio / factor], boundary);
    solution_error(&read(&pde, crop), &pde).mean().unwrap()
}

#[test]
fn the_first_row_and_column_lie_on_the_boundary_and_the_last_do_not() {
    let samples = read(&darcy(FOUND, 1.0), [0; 4]);
    let mean = |pick: &dyn Fn(usize) -> bool| {
        let all = (0..samples.count).flat_map(|i| samples.field(i, 1).iter().enumerate());
        let values: Vec<f32> = all.filter(|(i, _)| pick(*i)).map(|(_, &u)| u).collect();
        values.iter().sum::<f32>() / values.len() as f32
    };
    let first = mean(&|i| i < 16 || i % 16 == 0);
    let last = mean(&|i| i >= 240 || i % 16 == 15);
    assert!(first < 0.005 && last > 0.15, "{first} {last}");
}

#[test]
fn the_ratio_of_the_coefficients_is_near_19() {
    let error = |ratio| fitted_error(ratio, 1.0, INNER);
    let best = error(18.7);
    assert!((0.07..0.085).contains(&best), "{best}");
    for ratio in [4.0, 14.0, 25.0] {
        assert!(error(ratio) > 1.25 * best, "{ratio}: {}", error(ratio));
    }
    let [factor, spread] = fitted_factor(18.7, 1.0, INNER);
    assert!((factor * FOUND[0] - 1.0).abs() < 0.02 && spread < 0.06, "{factor} {spread}");
}

#[test]
fn inner_nodes_fit_better_than_cell_centres() {
    let best = fitted_error(18.7, 1.0, INNER);
    for (boundary, crop) in [(0.5, [0; 4]), (0.5, INNER), (1.0, [0; 4]), (1.0, [1; 4])] {
        let error = fitted_error(18.7, boundary, crop);
        assert!(error > 1.25 * best, "{boundary} {crop:?}: {error}, {best}");
    }
}

/// The solution is that of a finer grid. Between neighbours 1/16 apart, across jumps, its flux
/// balance misses zero by more than the source.
#[test]
fn the_coarse_residual_of_the_data_exceeds_its_source() {
    let pde = darcy(FOUND, 1.0);
    let samples = read(&pde, INNER);
    let residual = problem::residual(&pde, Grid::square(15), &Device::flex()).unwrap();
    let error = pde_error(&samples, residual.as_ref()).unwrap();
    assert!((1.4..2.1).contains(&error), "{error}");
    let solution = solution_error(&samples, &pde).mean().unwrap();
    assert!((0.07..0.085).contains(&solution), "{solution}");
}

#[test]
fn the_maximum_principle_fails_on_the_dropped_row_alone() {
    let negative = |crop| {
        let samples = read(&darcy(FOUND, 1.0), crop);
        let of = |i: usize| samples.field(i, 1).iter().filter(|u| **u < 0.0).count();
        (0..samples.count).map(of).sum::<usize>()
    };
    assert_eq!([negative([0; 4]), negative(INNER)], [1, 0]);
}
