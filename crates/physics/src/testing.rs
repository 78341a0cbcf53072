//! Fields and distances that the tests of several modules share.

use std::f64::consts::PI;

use crate::Fields;

/// The values of `f(x, y)` on the points of a periodic square.
pub fn on_grid(size: usize, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let at = |i: usize| i as f64 / size as f64;
    (0..size * size).map(|i| f(at(i % size), at(i / size))).collect()
}

/// The values of `f(y, x)` on the nodes of the unit square, the boundary among them.
pub fn on_nodes(size: usize, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let h = 1.0 / (size - 1) as f64;
    (0..size * size).map(|i| f((i / size) as f64 * h, (i % size) as f64 * h)).collect()
}

/// Fields of one channel on a square.
pub fn field(size: usize, values: &[f64]) -> Fields {
    Fields::stack(size, size, &[values])
}

/// The largest difference of two fields.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// A few large modes, so that every grid of 16 points or more carries them exactly.
pub fn eddies(x: f64, y: f64) -> f64 {
    let (x, y) = (2.0 * PI * x, 2.0 * PI * y);
    2.0 * (x + 0.3).sin() * (2.0 * y).cos() + 3.0 * (x - y).cos() + (3.0 * x + y).sin()
}
