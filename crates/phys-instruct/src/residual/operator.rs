//! Operations shared by the residuals of the elliptic problems: difference quotients on tensors,
//! and the inverse of the constant-coefficient Laplacian by small matrix products.

use burn::tensor::{Device, Tensor, TensorData, ops::PadMode};
use phys_instruct_physics::laplacian::eigenvalue;
use phys_instruct_physics::{Basis, Grid, transform::basis_matrix};

use super::{LinearSolution, ResidualOptions, ResidualTerms, mean_square};

/// The smallest scale by which a residual is divided. A smaller source counts as this large, so
/// that an empty sample has a finite relative residual.
pub(super) const SMALLEST_SCALE: f64 = 1e-12;

/// The input field (channel 0) and the solution (channel 1), each `[batch, 1, y, x]`.
pub fn input_and_solution(x: Tensor<4>, detach_input: bool) -> [Tensor<4>; 2] {
    let input = x.clone().narrow(1, 0, 1);
    [if detach_input { input.detach() } else { input }, x.narrow(1, 1, 1)]
}

/// The differences of neighbours along axis `dim`, one value fewer than points.
pub fn differences(field: Tensor<4>, dim: usize) -> Tensor<4> {
    let n = field.dims()[dim] - 1;
    field.clone().narrow(dim, 1, n) - field.narrow(dim, 0, n)
}

/// The five-point Laplacian at the inner nodes of a field on `grid` that vanishes on the boundary.
/// The values of `field` on boundary nodes are not used.
///
/// It is computed as differences of differences. The large values cancel in the first difference,
/// which is nearly exact, and not in a sum five times as large.
pub(super) fn nodal_laplacian(field: Tensor<4>, grid: Grid) -> Tensor<4> {
    let inner = inner(field);
    let along = |dim: usize, pad: [(usize, usize); 2]| {
        let padded = inner.clone().pad(pad, PadMode::Constant(0.0));
        differences(differences(padded, dim), dim)
    };
    // Along x in units of the spacing along y, so that one factor is left for both.
    let [by_y, by_x] = [(grid.ny - 1) as f64 / grid.ly, (grid.nx - 1) as f64 / grid.lx];
    let both = along(2, [(1, 1), (0, 0)]) + along(3, [(0, 0), (1, 1)]) * (by_x / by_y).powi(2);
    both * (by_y * by_y)
}

/// The inner nodes of a nodal field.
pub(super) fn inner(field: Tensor<4>) -> Tensor<4> {
    let [.., height, width] = field.dims();
    field.narrow(2, 1, height - 2).narrow(3, 1, width - 2)
}

/// A field of inner nodes with zeros on the boundary.
pub(super) fn with_boundary(inner: Tensor<4>) -> Tensor<4> {
    inner.pad([(1, 1), (1, 1)], PadMode::Constant(0.0))
}

/// The residual with its scale, the RMS of `source`. The preconditioner is applied to both if the
/// options ask for it.
pub fn measured(
    residual: Tensor<4>,
    source: Tensor<4>,
    points: usize,
    inverse: &InverseLaplacian,
    options: ResidualOptions,
) -> ResidualTerms {
    let seen = |field: Tensor<4>| if options.preconditioned { inverse.apply(field) } else { field };
    let scale = mean_square(&seen(source.detach()), points).sqrt().clamp_min(SMALLEST_SCALE);
    ResidualTerms { residual: seen(residual), scale, points }
}

/// The inverse of the discrete Laplacian, or of its sum with a constant, with u = 0 on the
/// boundary. It is computed in `f32`, in the basis of eigenvectors.
#[derive(Debug, Clone)]
pub struct InverseLaplacian {
    /// The matrices along y and along x, `[1, 1, mode, point]`.
    bases: [Tensor<4>; 2],
    reciprocals: Tensor<4>,
}

impl InverseLaplacian {
    /// The inverse on a grid. The `basis` selects the Laplacian: `SineNodes` for five points with
    /// the boundary nodes on the grid, `SineInner` for five points without them, and `SineCells`
    /// for finite volumes, half a cell from the boundary.
    pub fn new(basis: Basis, grid: Grid, device: &Device) -> Self {
        Self::with_constant(basis, grid, 0.0, device)
    }

    /// The inverse of the Laplacian plus `constant`, which must not be the negative of an
    /// eigenvalue.
    pub fn with_constant(basis: Basis, grid: Grid, constant: f64, device: &Device) -> Self {
        let Grid { ny, nx, .. } = grid;
        let reciprocals = (0..grid.points())
            .map(|i| {
                let own = eigenvalue(basis, grid, [i / nx, i % nx]);
                own.map_or(0.0, |own| 1.0 / (own + constant))
            })
            .collect();
        let bases = [ny, nx].map(|n| constant_of(basis_matrix(basis, n), [n, n], device));
        Self { bases, reciprocals: constant_of(reciprocals, [ny, nx], device) }
    }

    /// Applies the inverse to fields `[batch, equation, y, x]`; boundary nodes become 0.
    pub fn apply(&self, field: Tensor<4>) -> Tensor<4> {
        let modes = modes_of(field, &self.bases);
        values_of(modes * self.reciprocals.clone(), &self.bases)
    }
}

/// The modes of a field, given the matrices along y and along x.
pub(super) fn modes_of(field: Tensor<4>, [along_y, along_x]: &[Tensor<4>; 2]) -> Tensor<4> {
    along_y.clone().matmul(field).matmul(along_x.clone().swap_dims(2, 3))
}

/// The field of modes, given the matrices along y and along x.
pub(super) fn values_of(modes: Tensor<4>, [along_y, along_x]: &[Tensor<4>; 2]) -> Tensor<4> {
    along_y.clone().swap_dims(2, 3).matmul(modes).matmul(along_x.clone())
}

/// The map is symmetric, so that it is its own transpose.
impl LinearSolution for InverseLaplacian {
    fn of(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input)
    }

    fn transposed(&self, solution: Tensor<4>) -> Tensor<4> {
        self.apply(solution)
    }
}

/// A constant tensor `[1, 1, height, width]`, without a gradient.
pub(super) fn constant_of(
    values: Vec<f64>,
    [height, width]: [usize; 2],
    device: &Device,
) -> Tensor<4> {
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    let data = TensorData::new(values, [1, 1, height, width]);
    Tensor::from_data(data, &device.clone().without_autodiff())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::residual::{tensor, values};
    use phys_instruct_physics::rng;

    #[test]
    fn inverse_undoes_the_nodal_laplacian() {
        for grid in [Grid::square(9), Grid { ny: 8, nx: 11, ly: 0.6, lx: 1.3 }] {
            let noise = rng::normals(&mut rng::stream(1, "u", 0, 0), grid.points());
            let u = with_boundary(inner(tensor(&noise, [1, 1, grid.ny, grid.nx])));
            let inverse = InverseLaplacian::new(Basis::SineNodes, grid, &Device::flex());
            let lap = with_boundary(nodal_laplacian(u.clone(), grid));
            for (back, u) in values(inverse.apply(lap)).iter().zip(values(u)) {
                assert!((back - u).abs() < 1e-5, "{back} {u}");
            }
        }
    }

    #[test]
    fn nodal_laplacian_ignores_the_values_on_the_boundary() {
        let noise = rng::normals(&mut rng::stream(2, "u", 0, 0), 49);
        let u = tensor(&noise, [1, 1, 7, 7]);
        let cleared = with_boundary(inner(u.clone()));
        let laplacian = |u| values(nodal_laplacian(u, Grid::square(7)));
        assert_eq!(laplacian(u), laplacian(cleared));
    }
}
