//! Checks of inputs and grid coordinates that the problems share.

use crate::{Error, Fields, Grid, Pde, Result};

/// Checks the grid and the input of a PDE: one field on it, or a line along x.
pub(crate) fn check(pde: &dyn Pde, grid: Grid, input: &Fields) -> Result<()> {
    pde.check_grid(grid)?;
    let Fields { channels, height, width, data } = input;
    let rows = if pde.layout().input.is_line() { 1 } else { grid.ny };
    let bad = |reason| Err(Error::BadInput { pde: pde.name().into(), reason });

    if [*channels, *height, *width] != [1, rows, grid.nx] || data.len() != rows * grid.nx {
        return bad(format!(
            "shape [{channels}, {height}, {width}], expected [1, {rows}, {}]",
            grid.nx
        ));
    }

    match data.iter().position(|v| !v.is_finite()) {
        Some(i) => bad(format!("value at row {}, column {} is {}", i / width, i % width, data[i])),
        None => Ok(()),
    }
}

/// The coordinates of `points` nodes from 0 to `side`, both ends included.
pub(crate) fn nodes(points: usize, side: f64) -> Vec<f64> {
    (0..points).map(|i| i as f64 / (points.max(2) - 1) as f64 * side).collect()
}

/// The coordinates of `points` evenly spaced points of an interval, the outermost `boundary`
/// spacings from its ends. They are cell centres for 1/2 and inner nodes for 1.
pub(crate) fn inset(points: usize, side: f64, boundary: f64) -> Vec<f64> {
    let spacings = points as f64 - 1.0 + 2.0 * boundary;
    (0..points).map(|i| (i as f64 + boundary) / spacings * side).collect()
}

/// The coordinates of `points` points of a period of length `side`, the first at 0.
pub(crate) fn periodic(points: usize, side: f64) -> Vec<f64> {
    (0..points).map(|i| i as f64 / points as f64 * side).collect()
}
