//! The cells of a raster, and the domain whose points are their centres.

use std::fmt;

use phys_instruct_physics::{Grid, Pde};

/// Two places count as equal within this share of a cell.
const SAME: f64 = 1e-3;

/// The cells of a raster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cells {
    /// The number of cells along x.
    pub columns: usize,
    /// The number of cells along y.
    pub rows: usize,
    /// The centre of the south-western cell, x and y.
    pub first: [f64; 2],
    /// The side of a cell.
    pub side: f64,
}

impl Cells {
    /// The coordinates of the centres along `y` or `x`, ascending.
    pub(crate) fn centres(&self, letter: &str) -> Vec<f64> {
        let [x, y] = self.first;
        let (first, count) = if letter == "y" { (y, self.rows) } else { (x, self.columns) };
        (0..count).map(|i| first + self.side * i as f64).collect()
    }

    /// The sides of the domain on which so many points of `pde` along y and x lie as far apart as
    /// the cells. There are as many cells as points, or one less or more where the outermost points
    /// lie on the boundary or within it.
    pub(crate) fn sides(&self, pde: &dyn Pde, points: [usize; 2]) -> [f64; 2] {
        let of = |cells: usize| self.side * cells as f64;
        [0, 1].map(|axis| {
            let n = points[axis];
            let fits = |cells: &usize| {
                let mut sides = points.map(of);
                sides[axis] = of(*cells);
                let grid = Grid::new(points, sides).ok();
                let own = grid.map(|grid| pde.points(grid)[axis].clone()).unwrap_or_default();
                own.get(1)
                    .is_some_and(|second| (second - own[0] - self.side).abs() < SAME * self.side)
            };
            let cells = [n, n.saturating_sub(1).max(1), n + 1].into_iter().find(fits);
            of(cells.unwrap_or(n))
        })
    }

    /// Tells whether another raster has the same cells, to the rounding of files.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= SAME * other.side;
        let [x, y] = [0, 1].map(|axis| near(self.first[axis], other.first[axis]));
        let far = self.columns.max(self.rows) as f64;
        let ends = near(far * self.side, far * other.side);
        (self.columns, self.rows) == (other.columns, other.rows) && x && y && ends
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { columns, rows, first: [x, y], side } = self;
        write!(f, "{rows} x {columns} cells of {side} from y {y}, x {x} on")
    }
}
