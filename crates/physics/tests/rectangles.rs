//! The solvers and the random fields on rectangles, against solutions and spectra written out by
//! hand. The orders of convergence are in `convergence`.

#![allow(clippy::unwrap_used)]

use std::f64::consts::PI;

use phys_instruct_physics::burgers::Burgers;
use phys_instruct_physics::darcy::Darcy;
use phys_instruct_physics::helmholtz::Helmholtz;
use phys_instruct_physics::navier_stokes::NavierStokes;
use phys_instruct_physics::poisson::Poisson;
use phys_instruct_physics::random_field::{FieldLaw, LineLaw};
use phys_instruct_physics::transform::{forward_2d, inverse_2d};
use phys_instruct_physics::{Basis, Error, Fields, Grid, Pde, rng};

mod testing;

use testing::{eddies, field, grid, largest_difference, on_points};

#[test]
fn a_resonance_of_the_rectangle_is_refused() {
    let grid = grid([48, 80], [0.6, 1.0]);
    let square = |my: f64, mx: f64| PI * PI * ((my / 0.6).powi(2) + mx * mx);
    let solve = |k: f64| {
        let pde = Helmholtz { k, ..Helmholtz::default() };
        pde.solve(grid, &Fields::zeros(1, 48, 80))
    };
    // Mode (1, 3) is no mirror image of (3, 1) here.
    for (my, mx) in [(1.0, 1.0), (1.0, 3.0), (3.0, 1.0)] {
        let message = solve(square(my, mx).sqrt()).unwrap_err().to_string();
        assert!(message.contains(&format!("mode ({my}, {mx})")), "{message}");
    }
    // A resonance of the unit square is none of this rectangle.
    assert!(solve(PI * 2f64.sqrt()).is_ok());
}

#[test]
fn a_symbol_is_the_factor_of_every_sine_mode() {
    let grid = grid([9, 13], [0.6, 1.1]);
    let pdes: [&dyn Pde; 2] = [&Poisson::default(), &Helmholtz { k: 2.0, ..Helmholtz::default() }];
    for pde in pdes {
        let a = pde.random_input(grid, &mut rng::stream(1, "a", 0, 0)).unwrap();
        let u = pde.solve(grid, &a).unwrap().fields;
        let mut modes = a.data;
        forward_2d([Basis::SineNodes; 2], 9, 13, &mut modes);
        modes.iter_mut().zip(pde.symbol(grid).unwrap()).for_each(|(m, s)| *m *= s);
        inverse_2d([Basis::SineNodes; 2], 9, 13, &mut modes);
        assert!(largest_difference(&modes, u.channel(1)) < 1e-15, "{}", pde.name());
    }
}

/// A layer of a coefficient of 3 beside one of 12, the jump on a face. In one dimension the flux
/// through both is the same.
#[test]
fn darcy_s_flux_is_continuous_across_a_jump() {
    let grid = grid([8, 40], [30.0, 1.0]);
    let pde = Darcy::default();
    let layer = |x: f64| if x < 0.5 { 3.0 } else { 12.0 };
    let a = field(grid, &on_points(&pde, grid, |_, x| layer(x)));
    let u = pde.solve(grid, &a).unwrap().fields;

    // The walls along x are so far away that the middle row does not see them. There a u' = c - x,
    // with c from u = 0 on both ends: c (1/3 + 1/12) / 2 = 1/24 + 3/96.
    let c = (1.0 / 24.0 + 3.0 / 96.0) / (5.0 / 24.0);
    let left = |x: f64| (c * x - 0.5 * x * x) / 3.0;
    let right = |x: f64| -(c * (1.0 - x) - 0.5 * (1.0 - x * x)) / 12.0;
    let exact = on_points(&pde, grid, |_, x| if x < 0.5 { left(x) } else { right(x) });
    let row = 4 * 40..5 * 40;
    let far = largest_difference(&u.channel(1)[row.clone()], &exact[row]);
    assert!(far < 1e-4, "{far}");
}

#[test]
fn darcy_s_second_look_sees_the_finer_grid_of_the_rectangle() {
    let (grid, pde) = (grid([24, 40], [0.6, 1.0]), Darcy::default());
    let board =
        |y: f64, x: f64| if ((y * 10.0) as i32 + (x * 10.0) as i32) % 2 == 0 { 1e6 } else { 1.0 };
    let checked = |a: &[f64]| pde.solve_checked(grid, &field(grid, a)).unwrap().report.warnings;
    assert_eq!(checked(&on_points(&pde, grid, board)).len(), 1);
    let layers = on_points(&pde, grid, |y, _| if y < 0.3 { 1.0 } else { 1e4 });
    assert_eq!(checked(&layers), []);
}

#[test]
fn vortices_on_a_rectangle_decay_exactly() {
    let grid = grid([48, 80], [0.6, 1.0]);
    let pde = NavierStokes { forcing: 0.0, time: 0.7, ..Default::default() };
    let [p, q] = [4.0 * PI / 0.6, 6.0 * PI];
    let initial = on_points(&pde, grid, |y, x| (p * y).cos() * (q * x).cos());
    let end = pde.solve(grid, &field(grid, &initial)).unwrap().fields;
    let decay = (-1e-3 * (p * p + q * q) * 0.7).exp();
    let exact: Vec<f64> = initial.iter().map(|w| w * decay).collect();
    assert!(largest_difference(end.channel(1), &exact) < 1e-12);
}

/// The product v . grad w for w = a cos q x + b cos p y is a b (q/p - p/q) sin q x sin p y.
#[test]
fn the_first_change_of_a_flow_is_that_of_the_equation() {
    let grid = grid([20, 32], [0.6, 1.0]);
    let (nu, forcing, a, b) = (0.01, 0.7, 1.3, -0.8);
    let [p, q] = [4.0 * PI / grid.ly, 2.0 * PI / grid.lx];
    let difference = |time: f64| {
        let pde = NavierStokes { nu, forcing, time, ..Default::default() };
        let initial = on_points(&pde, grid, |y, x| a * (q * x).cos() + b * (p * y).cos());
        let rate = on_points(&pde, grid, |y, x| {
            let diffusion = -nu * (a * q * q * (q * x).cos() + b * p * p * (p * y).cos());
            let advection = a * b * (q / p - p / q) * (q * x).sin() * (p * y).sin();
            let phase = 2.0 * PI * (x / grid.lx + y / grid.ly);
            diffusion - advection + forcing * (phase.sin() + phase.cos())
        });
        let end = pde.solve(grid, &field(grid, &initial)).unwrap().fields;
        let change = end.channel(1).iter().zip(&initial).map(|(w, w0)| (w - w0) / time);
        largest_difference(&change.collect::<Vec<_>>(), &rate)
    };
    assert!(difference(1e-4) < 3e-3, "{}", difference(1e-4));
    assert!(difference(1e-5) < 0.11 * difference(1e-4));
}

/// One period repeated along an axis is the flow on the longer rectangle.
#[test]
fn a_periodic_flow_repeats_on_twice_the_period() {
    let pde = NavierStokes { forcing: 0.0, ..Default::default() };
    let [one, two] = [grid([32, 32], [1.0, 1.0]), grid([32, 64], [1.0, 2.0])];
    let end = |grid: Grid| {
        let w = on_points(&pde, grid, eddies(Grid::square(32)));
        pde.solve(grid, &field(grid, &w)).unwrap().fields
    };
    let [one, two] = [one, two].map(end);
    let repeated: Vec<f64> =
        one.channel(1).chunks_exact(32).flat_map(|row| [row, row].concat()).collect();
    assert!(largest_difference(two.channel(1), &repeated) < 1e-7);
}

#[test]
fn burgers_front_is_refined_on_an_interval() {
    let pde = Burgers { nu: 2e-3, ..Burgers::default() };
    let line = |nx: usize| {
        let wave = (0..nx).map(|j| 0.5 * (2.0 * PI * j as f64 / nx as f64).sin());
        Fields::stack(1, nx, &[&wave.collect::<Vec<_>>()])
    };
    let solve = |nx: usize| pde.solve_checked(grid([24, nx], [1.0, 0.6]), &line(nx)).unwrap();
    let [coarse, fine] = [64, 512].map(solve);
    assert!(coarse.report.inner_points > Some(64), "{:?}", coarse.report);
    let at = |i: usize| fine.fields.data[i / 64 * 512 + i % 64 * 8];
    let picked: Vec<f64> = (0..24 * 64).map(at).collect();
    assert!(largest_difference(&coarse.fields.data, &picked) < 1e-4);
}

#[test]
fn time_along_y_has_no_other_side_than_one() {
    let pde = Burgers::default();
    let bad = grid([48, 80], [0.6, 1.0]);
    let error = pde.random_input(bad, &mut rng::stream(0, "input", 0, 0)).unwrap_err();
    assert!(matches!(error, Error::BadGrid { .. }), "{error}");
    let error = pde.solve(bad, &Fields::zeros(1, 1, 80)).unwrap_err();
    assert!(error.to_string().contains("share of the final time"), "{error}");
}

/// Variance of the law's mode of half waves `ky` and `kx`, normalised on the rectangle.
fn eigenvalue(law: FieldLaw, grid: Grid, ky: f64, kx: f64) -> f64 {
    let square = (ky / grid.ly).powi(2) + (kx / grid.lx).powi(2);
    law.tau.powf(2.0 * law.alpha - 2.0) * (PI * PI * square + law.tau * law.tau).powf(-law.alpha)
}

#[test]
fn a_field_on_a_rectangle_has_the_spectrum_of_its_law() {
    let (grid, law) = (grid([12, 20], [0.6, 1.1]), FieldLaw { alpha: 2.0, tau: 3.0 });
    let cell = grid.area() / grid.points() as f64;
    let count = 4000;
    let draws: Vec<[Vec<f64>; 2]> = (0..count)
        .map(|i| {
            let rng = &mut rng::stream(3, "mode", 0, i);
            let mut fields = [law.neumann(grid, rng), law.periodic(grid, rng)];
            let bases = [Basis::Cosine, Basis::Fourier];
            for (field, basis) in fields.iter_mut().zip(bases) {
                forward_2d([basis; 2], grid.ny, grid.nx, field);
            }
            fields
        })
        .collect();

    // The coefficient of a mode normalised on the rectangle is that of the orthonormal one of the
    // points, times the root of a cell's area.
    let variance = |kind: usize, ky: usize, kx: usize| {
        let squares = draws.iter().map(|d| cell * d[kind][ky * grid.nx + kx].powi(2));
        squares.sum::<f64>() / count as f64
    };
    let four_standard_errors = 4.0 * (2.0 / count as f64).sqrt();
    for (ky, kx) in [(2, 5), (3, 1), (0, 4), (6, 0)] {
        let expected = eigenvalue(law, grid, ky as f64, kx as f64);
        let own = variance(0, ky, kx);
        assert!((own / expected - 1.0).abs() < four_standard_errors, "{ky} {kx}: {own} {expected}");

        // Rows of the Fourier basis come in pairs of one wave number, which is two half waves.
        let [wy, wx] = [ky, kx].map(|row| 2.0 * row.div_ceil(2) as f64);
        let expected = 2.0 * eigenvalue(law, grid, wy, wx);
        let own = variance(1, ky, kx);
        assert!((own / expected - 1.0).abs() < four_standard_errors, "{ky} {kx}: {own} {expected}");
    }
}

/// The length 1 / tau is one of the domain's, not a share of it: far from the walls a field does
/// not know how large the rectangle is.
#[test]
fn a_field_s_variance_does_not_depend_on_a_large_rectangle() {
    let law = FieldLaw { alpha: 2.0, tau: 80.0 };
    let line = LineLaw { gamma: 2.5, tau: 80.0, sigma: 49.0 };
    let square = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
    let of = |modes: phys_instruct_physics::random_field::Modes| square(modes.deviations());
    let [unit, long] = [grid([64, 64], [1.0, 1.0]), grid([32, 128], [0.5, 2.0])];
    for [one, other] in [
        [unit, long].map(|g| of(law.neumann_modes(g))),
        [unit, long].map(|g| of(law.periodic_modes(g))),
        [(64, 1.0), (128, 2.0)].map(|(n, l)| of(line.periodic_modes(n, l))),
    ] {
        assert!((one / other - 1.0).abs() < 0.04, "{one} {other}");
    }
}
