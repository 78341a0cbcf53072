//! The eigenvalues of the discrete Laplacian of fields that vanish on the boundary.

use std::f64::consts::PI;

use crate::{Basis, Grid};

/// Returns the eigenvalue of the second difference quotient for mode `k`, counted from 0, along an
/// axis of `points` points and length `side`.
///
/// The `basis` says where the boundary lies: [`Basis::SineNodes`], [`Basis::SineInner`] or
/// [`Basis::SineCells`]. The result is `None` for boundary nodes and for any other basis.
pub fn along(basis: Basis, points: usize, side: f64, k: usize) -> Option<f64> {
    let (modes, intervals) = match basis {
        Basis::SineNodes => (points.saturating_sub(2), points.saturating_sub(1)),
        Basis::SineInner => (points, points + 1),
        Basis::SineCells => (points, points),
        Basis::Cosine | Basis::CosineNodes | Basis::Fourier => return None,
    };
    let intervals = intervals as f64;
    let half_wave = 2.0 * intervals * (PI * (k + 1) as f64 / (2.0 * intervals)).sin() / side;
    (k < modes).then_some(-half_wave * half_wave)
}

/// Returns the eigenvalue of the five-point Laplacian (of finite volumes for `SineCells`) for the
/// modes `ky` and `kx`, counted from 0, where [`along`] has one on both axes.
pub fn eigenvalue(basis: Basis, grid: Grid, [ky, kx]: [usize; 2]) -> Option<f64> {
    Some(along(basis, grid.ny, grid.ly, ky)? + along(basis, grid.nx, grid.lx, kx)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::basis_matrix;

    /// A value outside the points is zero, or minus the nearest value for cell centres.
    #[test]
    fn the_modes_of_the_basis_are_eigenvectors() {
        let (n, side) = (7, 0.6);
        for (basis, intervals) in
            [(Basis::SineNodes, n - 1), (Basis::SineInner, n + 1), (Basis::SineCells, n)]
        {
            let rows = basis_matrix(basis, n);
            let modes = if basis == Basis::SineNodes { n - 2 } else { n };
            for k in 0..modes {
                let mode = &rows[k * n..][..n];
                let outside =
                    |edge: usize| if basis == Basis::SineCells { -mode[edge] } else { 0.0 };
                let inner = if basis == Basis::SineNodes { 1..n - 1 } else { 0..n };
                for i in inner {
                    let left = if i == 0 { outside(0) } else { mode[i - 1] };
                    let right = if i + 1 == n { outside(n - 1) } else { mode[i + 1] };
                    let quotient =
                        (left + right - 2.0 * mode[i]) * (intervals as f64 / side).powi(2);
                    let expected = along(basis, n, side, k).unwrap_or(f64::NAN) * mode[i];
                    assert!((quotient - expected).abs() < 1e-9, "{basis:?} {k} {i}");
                }
            }
            assert_eq!(along(basis, n, side, modes), None);
        }
        assert_eq!(along(Basis::Cosine, n, side, 0), None);
    }
}
