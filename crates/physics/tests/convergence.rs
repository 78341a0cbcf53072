//! The order of convergence of every reference solver, against solutions written out by hand.
//!
//! | solver | in space | in time |
//! |---|---|---|
//! | Poisson, Helmholtz, Darcy | second order | |
//! | Navier-Stokes, Burgers | spectral | fourth order |
//!
//! The solvers choose their time steps themselves, so that the order in time is tested beside the
//! steppers: `time_stepping_has_order_four`, `time_converges_to_cole_hopf_with_order_four`, and
//! `the_method_has_order_four` of [`phys_instruct_physics::etdrk4`] and
//! [`phys_instruct_physics::hermite`].

#![allow(clippy::unwrap_used)]

use std::f64::consts::PI;

use phys_instruct_physics::burgers::Burgers;
use phys_instruct_physics::darcy::{Darcy, solve_with_source};
use phys_instruct_physics::helmholtz::Helmholtz;
use phys_instruct_physics::navier_stokes::NavierStokes;
use phys_instruct_physics::poisson::Poisson;
use phys_instruct_physics::{Fields, Grid, Pde};

mod testing;

use testing::{eddies, field, grid, largest_difference, on_points};

/// The unit square, and rectangles of nearly square and of long cells, each with a refinement. All
/// but the first have an even number of points along y, and so a face in the middle.
const PAIRS: [[Grid; 2]; 4] = [
    [grid([17, 17], [1.0, 1.0]), grid([65, 65], [1.0, 1.0])],
    [grid([16, 16], [1.0, 1.0]), grid([64, 64], [1.0, 1.0])],
    [grid([24, 40], [0.6, 1.0]), grid([48, 80], [0.6, 1.0])],
    [grid([30, 16], [0.7, 1.5]), grid([60, 32], [0.7, 1.5])],
];

/// Asserts second order between the two grids of every pair, and the error on the finer one.
fn assert_second_order(
    pde: &dyn Pde,
    pairs: &[[Grid; 2]],
    bound: f64,
    error: impl Fn(Grid) -> f64,
) {
    for pair in pairs {
        let [coarse, fine] = pair.map(&error);
        let [wide, narrow] = pair.map(|grid| {
            let [_, x] = pde.points(grid);
            x[1] - x[0]
        });
        let order = (coarse / fine).ln() / (wide / narrow).ln();
        let what = format!("{} on {}: order {order}, errors {coarse} {fine}", pde.name(), pair[1]);
        assert!((order - 2.0).abs() < 0.15 && fine < bound, "{what}");
    }
}

fn rms_difference(u: &[f64], v: &[f64]) -> f64 {
    let sum: f64 = u.iter().zip(v).map(|(a, b)| (a - b).powi(2)).sum();
    (sum / u.len() as f64).sqrt()
}

/// The function x (lx - x) sin(3 y) (ly - y), and its Laplacian.
fn bump(grid: Grid) -> [impl Fn(f64, f64) -> f64; 2] {
    let Grid { ly, lx, .. } = grid;
    let value = move |y: f64, x: f64| x * (lx - x) * (3.0 * y).sin() * (ly - y);
    let laplacian = move |y: f64, x: f64| {
        let [s, c] = [(3.0 * y).sin(), (3.0 * y).cos()];
        -2.0 * s * (ly - y) + x * (lx - x) * (-9.0 * s * (ly - y) - 6.0 * c)
    };
    let both = move |of_value: f64, of_laplacian: f64| {
        move |y: f64, x: f64| of_value * value(y, x) + of_laplacian * laplacian(y, x)
    };
    [both(1.0, 0.0), both(0.0, 1.0)]
}

#[test]
fn poisson_converges_at_second_order() {
    let pde = Poisson::default();
    assert_second_order(&pde, &PAIRS, 2e-3, |grid| {
        let [exact, laplacian] = bump(grid);
        let source = field(grid, &on_points(&pde, grid, laplacian));
        let u = pde.solve(grid, &source).unwrap().fields;
        largest_difference(u.channel(1), &on_points(&pde, grid, exact))
    });
}

#[test]
fn helmholtz_converges_at_second_order() {
    let pde = Helmholtz { k: 5.0, ..Helmholtz::default() };
    assert_second_order(&pde, &PAIRS, 2e-3, |grid| {
        let [exact, laplacian] = bump(grid);
        let a = on_points(&pde, grid, |y, x| laplacian(y, x) + 25.0 * exact(y, x));
        let u = pde.solve(grid, &field(grid, &a)).unwrap().fields;
        largest_difference(u.channel(1), &on_points(&pde, grid, exact))
    });
}

#[test]
fn darcy_converges_at_second_order() {
    for boundary in [0.5, 1.0] {
        let pde = Darcy { boundary, ..Darcy::default() };
        assert_second_order(&pde, &PAIRS, 2e-3, |grid| {
            let [p, q] = [2.0 * PI / grid.ly, PI / grid.lx];
            let a = on_points(&pde, grid, |y, x| 1.0 + x * y + 0.5 * y.exp());
            let source = on_points(&pde, grid, |y, x| {
                let [sx, cx] = [(q * x).sin(), (q * x).cos()];
                let [sy, cy] = [(p * y).sin(), (p * y).cos()];
                let [a_x, a_y] = [y, x + 0.5 * y.exp()];
                let lap = -(p * p + q * q) * sx * sy;
                -((1.0 + x * y + 0.5 * y.exp()) * lap + a_x * q * cx * sy + a_y * p * sx * cy)
            });
            let (u, _) = solve_with_source(grid, &field(grid, &a), &source, boundary).unwrap();
            rms_difference(&u, &on_points(&pde, grid, |y, x| (p * y).sin() * (q * x).sin()))
        });
    }
}

/// Two layers: a = 3 below the middle of y and a = 12 above. The solution is u = sin(q x) g(y) with
/// a g' continuous across the jump: g = s below and s / 4 above, s = sin(p y).
#[test]
fn darcy_converges_at_second_order_across_a_jump_on_a_face() {
    for boundary in [0.5, 1.0] {
        let pde = Darcy { boundary, ..Darcy::default() };
        assert_second_order(&pde, &PAIRS[1..], 2e-3, |grid| {
            let [p, q] = [2.0 * PI / grid.ly, PI / grid.lx];
            let layer = |y: f64| if y < 0.5 * grid.ly { 3.0 } else { 12.0 };
            let g = |y: f64| (p * y).sin() * 3.0 / layer(y);
            let a = on_points(&pde, grid, |y, _| layer(y));
            let source =
                on_points(&pde, grid, |y, x| layer(y) * (p * p + q * q) * (q * x).sin() * g(y));
            let (u, _) = solve_with_source(grid, &field(grid, &a), &source, boundary).unwrap();
            rms_difference(&u, &on_points(&pde, grid, |y, x| (q * x).sin() * g(y)))
        });
    }
}

#[test]
fn navier_stokes_converges_spectrally_to_a_finer_grid() {
    let pde = NavierStokes { nu: 5e-3, ..Default::default() };
    // The coarsest grid, its refinements, and that of the solution they are held against.
    let families = [([12, 20], [0.6, 1.0], [1, 2, 4], 8), ([16, 16], [1.0, 1.0], [1, 2, 3], 6)];
    for ([ny, nx], sides, refinements, finest) in families {
        let solve = |by: usize| {
            let grid = grid([ny * by, nx * by], sides);
            pde.solve(grid, &field(grid, &on_points(&pde, grid, eddies(grid)))).unwrap().fields
        };
        let fine = solve(finest);
        let error = |by: usize| {
            let coarse = solve(by);
            let (stride, width) = (finest / by, nx * by);
            let row = |i: usize| i / width * stride * nx * finest;
            let at = |i: usize| fine.channel(1)[row(i) + i % width * stride];
            let picked: Vec<f64> = (0..coarse.channel(1).len()).map(at).collect();
            largest_difference(coarse.channel(1), &picked)
        };
        let [rough, middle, good] = refinements.map(error);
        assert!(
            middle < 0.05 * rough && good < 0.05 * middle && good < 1e-5,
            "{sides:?}: {rough} {middle} {good}"
        );
    }
}

/// The closed Cole-Hopf solution 2 nu k e sin kx / (1.2 + e cos kx), e = exp(-nu k^2 t).
#[test]
fn burgers_on_an_interval_is_cole_hopf_s() {
    let pde = Burgers { nu: 0.02, ..Burgers::default() };
    let k = 2.0 * PI / 0.6;
    let exact = |t: f64, x: f64| {
        let e = (-pde.nu * k * k * t).exp();
        2.0 * pde.nu * k * e * (k * x).sin() / (1.2 + e * (k * x).cos())
    };
    let error = |nx: usize| {
        let grid = grid([48, nx], [1.0, 0.6]);
        let all = on_points(&pde, grid, exact);
        let solved = pde.solve(grid, &Fields::stack(1, nx, &[&all[..nx]])).unwrap().fields;
        assert_eq!([solved.height, solved.width], [48, nx]);
        largest_difference(&solved.data, &all)
    };
    let errors = [20, 40, 80].map(error);
    assert!(errors[1] < 0.1 * errors[0] && errors[2] < 1e-6, "{errors:?}");
}
