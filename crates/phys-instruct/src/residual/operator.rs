//! Operations shared by the residuals of the elliptic problems: difference quotients on tensors,
//! and the inverse of the constant-coefficient Laplacian by small matrix products.

use std::f64::consts::PI;

use burn::tensor::{Device, Tensor, TensorData, ops::PadMode};
use phys_instruct_physics::{Basis, transform::basis_matrix};

use super::{LinearSolution, ResidualOptions, ResidualTerms, mean_square};
use crate::{Error, Result};

/// The smallest scale by which a residual is divided. A smaller source counts as this large, so
/// that an empty sample has a finite relative residual.
pub(super) const SMALLEST_SCALE: f64 = 1e-12;

/// Refuses a grid without a point at which the equation holds.
pub(super) fn check_size(size: usize, smallest: usize) -> Result<()> {
    if size >= smallest {
        return Ok(());
    }
    Err(Error::Shape(format!("{size} points a side, expected at least {smallest}")))
}

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

/// The five-point Laplacian at the inner nodes, times h^2, of a field that vanishes on the
/// boundary. The values of `field` on boundary nodes are not used.
///
/// It is computed as differences of differences. The large values cancel in the first difference,
/// which is nearly exact, and not in a sum five times as large.
pub(super) fn nodal_laplacian(field: Tensor<4>) -> Tensor<4> {
    let inner = inner(field);
    let along = |dim: usize, pad: [(usize, usize); 2]| {
        let padded = inner.clone().pad(pad, PadMode::Constant(0.0));
        differences(differences(padded, dim), dim)
    };
    along(2, [(1, 1), (0, 0)]) + along(3, [(0, 0), (1, 1)])
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
    basis: Tensor<4>,
    transposed: Tensor<4>,
    reciprocals: Tensor<4>,
}

impl InverseLaplacian {
    /// The inverse on grids of `size` points a side. The `basis` selects the Laplacian: `SineNodes`
    /// for five points with the boundary nodes on the grid, `SineInner` for five points without
    /// them, and `SineCells` for finite volumes, half a cell from the boundary.
    pub fn new(basis: Basis, size: usize, device: &Device) -> Self {
        Self::with_constant(basis, size, 0.0, device)
    }

    /// The inverse of the Laplacian plus `constant`, which must not be the negative of an
    /// eigenvalue.
    pub fn with_constant(basis: Basis, size: usize, constant: f64, device: &Device) -> Self {
        let reciprocals = (0..size * size)
            .map(|i| {
                let [y, x] = [i / size, i % size].map(|k| eigenvalue(basis, size, k));
                y.zip(x).map_or(0.0, |(y, x)| 1.0 / (y + x + constant))
            })
            .collect();
        let basis = square(basis_matrix(basis, size), size, device);
        let transposed = basis.clone().swap_dims(2, 3);
        Self { basis, transposed, reciprocals: square(reciprocals, size, device) }
    }

    /// Applies the inverse to fields `[batch, equation, y, x]`; boundary nodes become 0.
    pub fn apply(&self, field: Tensor<4>) -> Tensor<4> {
        let modes = self.basis.clone().matmul(field).matmul(self.transposed.clone());
        let solved = modes * self.reciprocals.clone();
        self.transposed.clone().matmul(solved).matmul(self.basis.clone())
    }
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

/// The eigenvalue of the second difference quotient for mode `k`; none for the boundary nodes.
fn eigenvalue(basis: Basis, size: usize, k: usize) -> Option<f64> {
    let intervals = match basis {
        Basis::SineNodes => size - 1,
        Basis::SineInner => size + 1,
        _ => size,
    };
    let boundary = basis == Basis::SineNodes && k + 2 >= size;
    let half_angle = PI * (k + 1) as f64 / (2 * intervals) as f64;
    (!boundary).then(|| -(2.0 * intervals as f64 * half_angle.sin()).powi(2))
}

/// A constant tensor `[1, 1, size, size]`, without a gradient.
pub(super) fn square(values: Vec<f64>, size: usize, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    let data = TensorData::new(values, [1, 1, size, size]);
    Tensor::from_data(data, &device.clone().without_autodiff())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residual::testing::{tensor, values};
    use phys_instruct_physics::rng;

    #[test]
    fn inverse_undoes_the_nodal_laplacian() {
        let size = 9;
        let noise = rng::normals(&mut rng::stream(1, "u", 0, 0), size * size);
        let u = with_boundary(inner(tensor(&noise, [1, 1, size, size])));
        let inverse = InverseLaplacian::new(Basis::SineNodes, size, &Device::flex());
        let lap = with_boundary(nodal_laplacian(u.clone())) * ((size - 1) * (size - 1)) as f64;
        for (back, u) in values(inverse.apply(lap)).iter().zip(values(u)) {
            assert!((back - u).abs() < 1e-5, "{back} {u}");
        }
    }

    #[test]
    fn nodal_laplacian_ignores_the_values_on_the_boundary() {
        let noise = rng::normals(&mut rng::stream(2, "u", 0, 0), 49);
        let u = tensor(&noise, [1, 1, 7, 7]);
        let cleared = with_boundary(inner(u.clone()));
        assert_eq!(values(nodal_laplacian(u)), values(nodal_laplacian(cleared)));
    }
}
