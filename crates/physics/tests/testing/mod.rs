//! Grids, fields and distances that the tests of the solvers share.

use std::f64::consts::PI;

use phys_instruct_physics::{Fields, Grid, Pde};

/// A grid of these points and sides.
pub const fn grid([ny, nx]: [usize; 2], [ly, lx]: [f64; 2]) -> Grid {
    Grid { ny, nx, ly, lx }
}

/// The values of `f(y, x)` on the points of a PDE.
pub fn on_points(pde: &dyn Pde, grid: Grid, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let [y, x] = pde.points(grid);
    y.iter().flat_map(|&y| x.iter().map(move |&x| (y, x))).map(|(y, x)| f(y, x)).collect()
}

/// Fields of one channel.
pub fn field(grid: Grid, values: &[f64]) -> Fields {
    Fields::stack(grid.ny, grid.nx, &[values])
}

/// The largest difference of two fields.
pub fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// A few large modes of the rectangle, so that every grid of 16 points or more carries them.
pub fn eddies(grid: Grid) -> impl Fn(f64, f64) -> f64 {
    move |y, x| {
        let (x, y) = (2.0 * PI * x / grid.lx, 2.0 * PI * y / grid.ly);
        2.0 * (x + 0.3).sin() * (2.0 * y).cos() + 3.0 * (x - y).cos() + (3.0 * x + y).sin()
    }
}
