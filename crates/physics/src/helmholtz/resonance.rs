//! The distance of k^2 from the eigenvalues of -lap, and the effect of the grid's error on the
//! nearest mode.
//!
//! A mode of the source is divided by k^2 - lambda, with lambda its eigenvalue of -lap. The
//! five-point operator has a lambda that is too small, by an amount of order h^2. Close to a
//! resonance this makes the amplitude useless, or changes its sign.

use std::f64::consts::PI;

use super::{Helmholtz, NAME};
use crate::laplacian::eigenvalue;
use crate::poisson::square_waves;
use crate::{Basis, Grid, Warning, WarningKind};

/// Relative change of an amplitude between the two operators from which on there is a warning.
const TOLD: f64 = 0.1;

/// A mode sin(pi my y / ly) sin(pi mx x / lx) and its eigenvalues of -lap.
pub(super) struct Mode {
    /// Half waves along y and along x, from 1.
    pub waves: [usize; 2],
    /// The eigenvalue on the rectangle.
    pub continuous: f64,
    /// The eigenvalue on the grid.
    pub discrete: f64,
}

impl Mode {
    /// Returns the distance of `square` from the nearer of the two eigenvalues.
    fn distance(&self, square: f64) -> f64 {
        (square - self.continuous).abs().min((square - self.discrete).abs())
    }

    /// Returns the relative change of the mode's amplitude from the rectangle to the grid, for
    /// k^2 = `square`.
    fn amplitude_change(&self, square: f64) -> f64 {
        ((square - self.continuous) / (square - self.discrete) - 1.0).abs()
    }
}

/// The modes of a grid; of two that mirror each other in a square there is one.
pub(super) fn modes(grid: Grid) -> impl Iterator<Item = Mode> {
    let last = move |ky: usize| if grid.is_square() { ky + 1 } else { grid.nx - 2 };
    let pairs = (0..grid.ny - 2).flat_map(move |ky| (0..last(ky)).map(move |kx| [ky, kx]));
    pairs.filter_map(move |[ky, kx]| {
        Some(Mode {
            waves: [ky + 1, kx + 1],
            continuous: PI * PI * square_waves(grid, ky, kx),
            discrete: -eigenvalue(Basis::SineNodes, grid, [ky, kx])?,
        })
    })
}

impl Helmholtz {
    /// Returns a warning if the grid changes the nearest mode by [`TOLD`] or more. `source_change`
    /// is the relative change of the whole solution for the given source.
    pub(super) fn near_resonance(&self, grid: Grid, source_change: f64) -> Option<Warning> {
        let square = self.k * self.k;
        let nearest =
            modes(grid).min_by(|a, b| a.distance(square).total_cmp(&b.distance(square)))?;
        let change = nearest.amplitude_change(square);
        if change < TOLD {
            return None;
        }

        let Mode { waves: [my, mx], continuous, discrete } = nearest;
        let text = format!(
            "{NAME}: k^2 = {square:.8} is near a resonance: mode ({my}, {mx}) has the eigenvalue \
             {continuous:.8} of -lap, {:.2e} away, and {discrete:.8} on this grid, {:.2e} away, which \
             changes that mode's amplitude by {:.3} %, and the solution for this source by {:.3} %; \
             take a finer grid",
            (square - continuous).abs(),
            (square - discrete).abs(),
            100.0 * change,
            100.0 * source_change
        );
        Some(Warning { kind: WarningKind::NearResonance, severity: change, text })
    }
}
