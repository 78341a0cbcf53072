//! Rectangular grids.

use std::fmt;

use crate::{Error, Result};

/// A grid of evenly spaced points on the rectangle [0, ly] x [0, lx].
///
/// It is the only type that knows the rectangle's sides. [`Fields`](crate::Fields) know their shape
/// alone, and whoever needs a side or a spacing is given the grid. Where the points lie within the
/// rectangle depends on the equation: [`Pde::points`](crate::Pde::points) tells.
///
/// The y axis of an evolution on one axis of space is time, as a share of the final time. The side
/// `ly` is 1 there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Points along y.
    pub ny: usize,
    /// Points along x.
    pub nx: usize,
    /// Length of the side along y.
    pub ly: f64,
    /// Length of the side along x.
    pub lx: f64,
}

impl Grid {
    /// Returns the grid of `ny` by `nx` points on a rectangle of sides `ly` and `lx`.
    ///
    /// # Errors
    /// Fails with [`Error::BadGrid`] without a point along an axis, and for a side that is not
    /// finite and above 0.
    pub fn new([ny, nx]: [usize; 2], [ly, lx]: [f64; 2]) -> Result<Self> {
        let grid = Self { ny, nx, ly, lx };
        grid.check(1)?;
        Ok(grid)
    }

    /// The grid of `n` points a side on the unit square.
    pub const fn square(n: usize) -> Self {
        Self { ny: n, nx: n, ly: 1.0, lx: 1.0 }
    }

    /// Refuses fewer than `smallest` points along an axis, and sides that are not finite and above
    /// 0.
    ///
    /// # Errors
    /// Fails with [`Error::BadGrid`].
    pub fn check(&self, smallest: usize) -> Result<()> {
        let bad = |reason| Err(Error::BadGrid { grid: self.to_string(), reason });
        if self.ny.min(self.nx) < smallest {
            return bad(format!("at least {smallest} points along each axis expected"));
        }
        if self.sides().iter().any(|side| !(side.is_finite() && *side > 0.0)) {
            return bad("sides that are finite and above 0 expected".into());
        }
        Ok(())
    }

    /// The number of points.
    pub const fn points(&self) -> usize {
        self.ny * self.nx
    }

    /// The points along y and along x.
    pub const fn shape(&self) -> [usize; 2] {
        [self.ny, self.nx]
    }

    /// The sides along y and along x.
    pub const fn sides(&self) -> [f64; 2] {
        [self.ly, self.lx]
    }

    /// The area of the rectangle.
    pub fn area(&self) -> f64 {
        self.ly * self.lx
    }

    /// Tells whether the rectangle is the unit square, whatever the points on it.
    pub fn is_unit(&self) -> bool {
        self.sides() == [1.0, 1.0]
    }

    /// Tells whether a transposition maps the grid onto itself.
    pub fn is_square(&self) -> bool {
        self.ny == self.nx && self.ly == self.lx
    }
}

/// Writes `48 x 80`, and the sides too where they are not 1: `48 x 80 on 0.6 x 1`.
impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ny, nx, ly, lx } = self;
        write!(f, "{ny} x {nx}")?;
        if self.is_unit() { Ok(()) } else { write!(f, " on {ly} x {lx}") }
    }
}

/// The greatest common divisor.
pub(crate) fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_grid_that_is_none_is_refused() {
        for (points, sides) in [
            ([0, 8], [1.0, 1.0]),
            ([8, 0], [1.0, 1.0]),
            ([8, 8], [0.0, 1.0]),
            ([8, 8], [1.0, -1.0]),
            ([8, 8], [f64::NAN, 1.0]),
            ([8, 8], [1.0, f64::INFINITY]),
        ] {
            let error = Grid::new(points, sides).unwrap_err();
            assert!(matches!(error, Error::BadGrid { .. }), "{error}");
        }
        let message = Grid::square(7).check(8).unwrap_err().to_string();
        assert!(message.contains("7 x 7") && message.contains("at least 8"), "{message}");
    }

    #[test]
    fn only_equal_points_and_sides_make_a_square() {
        let square = |points, sides| Grid::new(points, sides).unwrap().is_square();
        assert!(Grid::square(5).is_square() && square([5, 5], [0.3, 0.3]));
        assert!(!square([5, 6], [1.0, 1.0]) && !square([5, 5], [1.0, 2.0]));
        assert_eq!(Grid::new([5, 6], [0.6, 1.0]).unwrap().to_string(), "5 x 6 on 0.6 x 1");
    }
}
