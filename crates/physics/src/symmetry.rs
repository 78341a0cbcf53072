//! Symmetries that a random input's law and the equation share: each turns a sample into another
//! one.

use crate::Grid;
use crate::grid::common_divisor;

/// A map of the grid's points, common to all channels, that takes each sample of a PDE to an
/// equally likely one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symmetry {
    /// The point that each point takes its value from, row by row.
    pub source: Vec<usize>,
}

impl Symmetry {
    /// Returns the map on a grid by which the value at row y, column x is that at `source(y, x)`.
    fn new(grid: Grid, source: impl Fn(usize, usize) -> [usize; 2]) -> Self {
        let at = |i: usize| {
            let [y, x] = source(i / grid.nx, i % grid.nx);
            y * grid.nx + x
        };
        Self { source: (0..grid.points()).map(at).collect() }
    }

    /// The reflections and rotations of a rectangle that map its grid onto itself: seven of a
    /// square, three of another one.
    pub(crate) fn of_rectangle(grid: Grid) -> Vec<Self> {
        let flipped = |i: usize, points: usize, flip: bool| if flip { points - 1 - i } else { i };
        let one = |k: usize| {
            Self::new(grid, move |y, x| {
                let [y, x] = if k & 4 > 0 { [x, y] } else { [y, x] };
                [flipped(y, grid.ny, k & 2 > 0), flipped(x, grid.nx, k & 1 > 0)]
            })
        };
        let count = if grid.is_square() { 8 } else { 4 };
        (1..count).map(one).collect()
    }

    /// Returns shifts by about eighths of the period along x: seven of them, or fewer on a small
    /// grid.
    pub(crate) fn shifts_along_x(grid: Grid) -> Vec<Self> {
        Self::shifts(grid, grid.nx, |_| 0)
    }

    /// Returns shifts by about eighths of the period along x and by the same share of the period
    /// back along y. Only shares that are whole points along both axes are among them.
    pub(crate) fn diagonal_shifts(grid: Grid) -> Vec<Self> {
        let shares = common_divisor(grid.ny, grid.nx);
        Self::shifts(grid, shares, move |k| grid.ny - k * grid.ny / shares)
    }

    /// Returns shifts by k of `shares` equal parts of the period along x, for k near the eighths of
    /// `shares`, and by `down(k)` points along y.
    fn shifts(grid: Grid, shares: usize, down: impl Fn(usize) -> usize) -> Vec<Self> {
        let mut parts: Vec<usize> = (1..8).map(|eighth| eighth * shares / 8).collect();
        parts.dedup();
        let one = |k: usize| {
            let [down, by] = [down(k), k * grid.nx / shares];
            Self::new(grid, move |y, x| [(y + down) % grid.ny, (x + by) % grid.nx])
        };
        parts.into_iter().filter(|&k| k > 0).map(one).collect()
    }

    /// Returns the field with its values moved by the map.
    pub fn apply<T: Copy>(&self, field: &[T]) -> Vec<T> {
        self.source.iter().map(|&i| field[i]).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::registry::{by_name, names};
    use crate::{Fields, Pde, Rows, rng};

    /// Time runs along y for one of the equations, so that this side is 1.
    const GRIDS: [Grid; 2] = [Grid::square(16), Grid { ny: 16, nx: 24, ly: 1.0, lx: 1.2 }];

    fn moved(symmetry: &Symmetry, x: &Fields) -> Fields {
        let fields = (0..x.channels).flat_map(|c| symmetry.apply(x.channel(c)));
        Fields { data: fields.collect(), ..x.clone() }
    }

    fn sample(pde: &dyn Pde, grid: Grid, index: u64) -> Fields {
        let input = pde.random_input(grid, &mut rng::stream(4, "input", 0, index)).unwrap();
        pde.solve(grid, &input).unwrap().fields
    }

    #[test]
    fn moved_samples_solve_the_equation() {
        for (name, grid) in names().into_iter().flat_map(|n| GRIDS.map(|g| (n.clone(), g))) {
            let pde = by_name(&name).unwrap();
            let x = sample(pde.as_ref(), grid, 0);
            let largest = x.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let all = pde.symmetries(grid);
            // A rectangle has no transpositions.
            let elliptic = pde.layout().input.rows == Rows::All && name != "navier-stokes";
            let count = if elliptic && !grid.is_square() { 3 } else { 7 };
            assert_eq!(all.len(), count, "{name} on {grid}");

            for (i, symmetry) in all.iter().enumerate() {
                assert!(!all[..i].contains(symmetry), "{name}: {i} twice");
                let moved = moved(symmetry, &x);
                assert_ne!(moved, x, "{name} {i}");

                let again = pde.solve(grid, &pde.input_of(&moved)).unwrap().fields;
                let far = again.data.iter().zip(&moved.data).map(|(a, b)| (a - b).abs());
                assert!(far.fold(0.0, f64::max) < 1e-8 * largest, "{name} {i}");
            }
        }
    }

    /// The covariance of two points' values equals that of the points they are moved from.
    #[test]
    fn moved_samples_have_the_same_law() {
        const COUNT: u64 = 600;
        for (name, grid) in names().into_iter().flat_map(|n| GRIDS.map(|g| (n.clone(), g))) {
            let pde = by_name(&name).unwrap();
            let all: Vec<Fields> = (0..COUNT).map(|i| sample(pde.as_ref(), grid, i)).collect();
            let mean = |f: &dyn Fn(&Fields) -> f64| all.iter().map(f).sum::<f64>() / COUNT as f64;

            let last = all[0].channels - 1;
            let places = [5 * grid.nx + 3, 9 * grid.nx + 6];
            let covariance = |[p, q]: [usize; 2]| {
                let at = |x: &Fields, p: usize| x.channel(last)[p];
                let [mp, mq] = [mean(&|x| at(x, p)), mean(&|x| at(x, q))];
                mean(&|x| (at(x, p) - mp) * (at(x, q) - mq))
            };

            let own = covariance(places);
            let spread = covariance([places[0]; 2]);
            for symmetry in pde.symmetries(grid) {
                let other = covariance(places.map(|p| symmetry.source[p]));
                assert!((own - other).abs() < 0.2 * spread, "{name}: {own} {other} of {spread}");
            }
        }
    }
}
