//! Checks of inputs and grid coordinates that the problems share.

use crate::{Error, Fields, Result};

/// Checks a square input of one field and returns its number of points a side.
pub(crate) fn square_size(pde: &'static str, input: &Fields, smallest: usize) -> Result<usize> {
    let Fields { channels, height, width, data } = input;
    let bad = |reason| Err(Error::BadInput { pde, reason });

    if *channels != 1 || height != width || data.len() != height * width {
        return bad(format!(
            "shape [{channels}, {height}, {width}], expected [1, size, size]: the unit square has as \
             many points along x as along y"
        ));
    }

    if *height < smallest {
        return bad(format!("{height} points a side, expected at least {smallest}"));
    }

    match data.iter().position(|v| !v.is_finite()) {
        Some(i) => bad(format!("value at row {}, column {} is {}", i / width, i % width, data[i])),
        None => Ok(*height),
    }
}

/// Refuses a grid of fewer than `smallest` points a side.
pub(crate) fn check_size(pde: &'static str, size: usize, smallest: usize) -> Result<()> {
    if size >= smallest {
        return Ok(());
    }
    let expected = format!("at least {smallest} points a side");
    Err(Error::OutOfRange { pde, name: "size", value: size as f64, expected })
}

/// The coordinates of `size` nodes from 0 to 1, both ends included.
pub(crate) fn nodes(size: usize) -> Vec<f64> {
    (0..size).map(|i| i as f64 / (size.max(2) - 1) as f64).collect()
}

/// The coordinates of `size` evenly spaced points of the unit interval, the outermost `boundary`
/// spacings from its ends. They are cell centres for 1/2 and inner nodes for 1.
pub(crate) fn inset(size: usize, boundary: f64) -> Vec<f64> {
    let spacings = size as f64 - 1.0 + 2.0 * boundary;
    (0..size).map(|i| (i as f64 + boundary) / spacings).collect()
}

/// The coordinates of `size` points of a unit period, the first at 0.
pub(crate) fn periodic(size: usize) -> Vec<f64> {
    (0..size).map(|i| i as f64 / size as f64).collect()
}
