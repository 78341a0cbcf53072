//! Residual of Darcy flow: R = -div(a grad u) - f on cells.
//!
//! It is the finite-volume balance of the reference solver, with harmonic face coefficients. On the
//! boundary u = 0; it lies half a spacing from cell centres and one spacing from inner nodes. The
//! source term is f. The preconditioner is minus the Laplacian with the same boundary.

use burn::tensor::{Device, Tensor};
use phys_instruct_physics::darcy::{Darcy, spacing};
use phys_instruct_physics::{Grid, TwoValues};

use super::operator::{self, InverseLaplacian, differences};
use super::{Residual, ResidualOptions, ResidualTerms};
use crate::Result;

/// The smallest coefficient admitted in a sample that has one of zero or less. It is a share of the
/// law's lower value, or of the sample's mean coefficient if that is smaller. A generated
/// coefficient may be negative, and the harmonic mean of two opposite ones has no bound.
/// Coefficients in other units may all be far below the law's.
const SMALLEST_SHARE: f64 = 1e-3;

/// The names of input and solution in the files of DiffusionPDE, PDEBench, and the Fourier neural
/// operator.
pub(crate) const ARRAYS: [[&str; 2]; 3] =
    [["thresh_a_data", "thresh_p_data"], ["nu", "tensor"], ["coeff", "sol"]];

/// The residual of `pde` on a grid.
///
/// # Errors
/// Fails as [`DarcyResidual::new`] does.
pub(crate) fn residual(pde: &Darcy, grid: Grid, device: &Device) -> Result<Box<dyn Residual>> {
    Ok(Box::new(DarcyResidual::new(pde, grid, device)?))
}

/// The residual of (a, u), `[batch, 2, y, x]`.
#[derive(Debug, Clone)]
pub struct DarcyResidual {
    source: f64,
    /// The law's two coefficients.
    values: TwoValues,
    grid: Grid,
    boundary: f64,
    inverse: InverseLaplacian,
}

impl DarcyResidual {
    /// The residual of `pde` on a grid of at least 2 x 2 points. A sample with coefficients of zero
    /// or less has a least one: a thousandth of the law's lower value, or of the sample's mean if
    /// that is smaller. Smaller coefficients count as that.
    ///
    /// # Errors
    /// Fails for a smaller grid.
    pub fn new(pde: &Darcy, grid: Grid, device: &Device) -> Result<Self> {
        grid.check(2)?;
        let inverse = InverseLaplacian::new(pde.solution_basis(), grid, device);
        let values = TwoValues::new(pde.low, pde.high);
        Ok(Self { source: pde.source, values, grid, boundary: pde.boundary, inverse })
    }
}

impl Residual for DarcyResidual {
    fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms {
        let [a, u] = operator::input_and_solution(x, options.detach_input);
        let a = a.clone().max_pair(self.smallest(a));
        // Along x in units of the spacing along y, so that one factor is left for both.
        let [hy, hx] = spacing(self.grid, self.boundary);
        let inflow = self.net_inflow(&a, &u, 2) + self.net_inflow(&a, &u, 3) * (hy / hx).powi(2);
        let cells = self.grid.points();
        let source = u.clone().detach().full_like(self.source);
        let residual = -(inflow / (hy * hy) + source.clone());
        let mut terms = operator::measured(residual, source, cells, &self.inverse, options);
        if options.preconditioned {
            terms.residual = -terms.residual;
        }
        terms
    }

    fn damping(&self) -> Option<f64> {
        Some(1.0 / self.values.high)
    }
}

impl DarcyResidual {
    /// The smallest coefficient admitted in each sample of `a`, detached, in the shape of `a`: its
    /// own smallest if that is positive.
    fn smallest(&self, a: Tensor<4>) -> Tensor<4> {
        let a = a.detach();
        let shape = a.dims();
        let own = (1..4).fold(a.clone(), |least, dim| least.min_dim(dim));
        let mean = a.abs().mean_dims(&[1, 2, 3]);
        let share = mean.clamp_max(self.values.low) * SMALLEST_SHARE;

        let is_bad = own.clone().lower_elem(f32::MIN_POSITIVE);
        own.mask_where(is_bad, share.clamp_min(f32::MIN_POSITIVE)).expand(shape)
    }

    /// The flux in through the two faces of each cell along axis `dim`, times h.
    fn net_inflow(&self, a: &Tensor<4>, u: &Tensor<4>, dim: usize) -> Tensor<4> {
        let n = a.dims()[dim];
        let [left, right] = [0, 1].map(|start| a.clone().narrow(dim, start, n - 1));
        let harmonic = left.clone() * (right.clone() / (left + right)) * 2.0;
        let inner = harmonic * differences(u.clone(), dim);
        let at = |field: &Tensor<4>, cell: usize| field.clone().narrow(dim, cell, 1);
        let edge = |cell: usize| at(a, cell) * at(u, cell) / self.boundary;
        differences(Tensor::cat(vec![edge(0), inner, -edge(n - 1)], dim), dim)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::parts::Parts;
    use crate::testing::residual::{self as testing, Oracle};
    use phys_instruct_physics::Fields;

    const SOURCE: f64 = 1.5;
    /// The distance from the boundary in spacings: for cell centres, and for inner nodes.
    const BOUNDARIES: [f64; 2] = [0.5, 1.0];

    /// The residual -div(a grad u) - f in plain loops.
    fn residual(x: &Fields, boundary: f64, f: f64) -> Vec<f64> {
        let n = x.height as i64;
        let intervals = if boundary == 0.5 { n } else { n + 1 };
        let [a, u] = [x.channel(0), x.channel(1)];
        let mut out = vec![0.0; (n * n) as usize];
        for (y, x) in (0..n).flat_map(|y| (0..n).map(move |x| (y, x))) {
            let i = (y * n + x) as usize;
            let mut outflow = 0.0;
            for (yy, xx) in [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)] {
                outflow += if yy < 0 || xx < 0 || yy == n || xx == n {
                    a[i] * u[i] / boundary
                } else {
                    let j = (yy * n + xx) as usize;
                    2.0 / (1.0 / a[i] + 1.0 / a[j]) * (u[i] - u[j])
                };
            }
            out[i] = outflow * (intervals * intervals) as f64 - f;
        }
        out
    }

    fn oracle(boundary: f64) -> Oracle {
        Oracle {
            residual: Box::new(move |x| residual(x, boundary, SOURCE)),
            source: Box::new(|x| vec![SOURCE; x.height * x.width]),
            operator: Box::new(move |v, n| {
                residual(&Fields::stack(n, n, &[&vec![1.0; n * n], v]), boundary, 0.0)
            }),
            points: |n| n * n,
            offset: 6.0,
        }
    }

    fn build(size: usize, boundary: f64) -> DarcyResidual {
        let pde = Darcy { source: SOURCE, boundary, ..Darcy::default() };
        DarcyResidual::new(&pde, Grid::square(size), &Device::flex()).unwrap()
    }

    #[test]
    fn agrees_with_plain_loops() {
        for (size, boundary) in [2, 5, 12].into_iter().flat_map(|n| BOUNDARIES.map(|b| (n, b))) {
            testing::check_values(&build(size, boundary), size, &oracle(boundary));
        }
    }

    #[test]
    fn gradient_agrees_with_differences() {
        for boundary in BOUNDARIES {
            testing::check_gradient(&build(5, boundary), 5, &oracle(boundary));
        }
    }

    /// The solution far from the boundary is a = e^3x and u = e^-3x (x/3 + 1/9), so that a u' = -x.
    #[test]
    fn truncation_error_falls_at_second_order() {
        for boundary in BOUNDARIES {
            let pde = Darcy { low: 1.0, high: 1.0, boundary, ..Darcy::default() };
            let residual_at_centre = |size: usize| {
                let residual =
                    DarcyResidual::new(&pde, Grid::square(size), &Device::flex()).unwrap();
                let [h, _] = spacing(Grid::square(size), boundary);
                let point = |i: usize| ((i % size) as f64 + boundary) * h;
                let points = 0..size * size;
                let a: Vec<f64> = points.clone().map(|i| (3.0 * point(i)).exp()).collect();
                let u: Vec<f64> = points.map(|i| (point(i) / 3.0 + 1.0 / 9.0) / a[i]).collect();
                let x = testing::batch(&[Fields::stack(size, size, &[&a, &u])]);
                let all = testing::values(residual.terms(x, ResidualOptions::default()).residual);
                all[(size / 2) * size + size / 2].abs()
            };
            let [coarse, fine] = [9, 27].map(|n| spacing(Grid::square(n), boundary)[0]);
            let refinement = coarse / fine;
            let order = (residual_at_centre(9) / residual_at_centre(27)).ln() / refinement.ln();
            assert!((order - 2.0).abs() < 0.1, "{boundary}: order {order}");
        }
    }

    #[test]
    fn reference_data_has_no_residual_beyond_round_off() {
        for (size, boundary, bound) in [(64, 0.5, 1e-4), (128, 0.5, 2e-4), (63, 1.0, 1e-4)] {
            let pde = Darcy { boundary, ..Darcy::default() };
            let residual = DarcyResidual::new(&pde, Grid::square(size), &Device::flex()).unwrap();
            testing::check_floor(&pde, &residual, size, bound);
        }
    }

    #[test]
    fn a_rounded_coefficient_has_the_residual_of_its_nearer_values() {
        let u = [0.3, -0.1, 0.2, 0.7];
        let [noisy, clean] = [[-1.0, 7.4, 7.6, 15.0], [3.0, 3.0, 12.0, 12.0]]
            .map(|a| Fields::stack(2, 2, &[&a, &u]));
        let of = |x: Tensor<4>| {
            let terms = build(2, 0.5).terms(x, ResidualOptions::default());
            testing::values(terms.residual)
        };
        let [noisy, clean] = [noisy, clean].map(|x| testing::batch(&[x]));
        let rounded = Parts::of(&Darcy::default()).rounded(noisy);
        assert_eq!(of(rounded), of(clean));
    }

    #[test]
    fn coefficients_in_other_units_have_the_same_residual() {
        let (a, u) = ([3.0, 12.0, 12.0, 3.0], [0.3, -0.1, 0.2, 0.7]);
        let relative = |unit: f64| {
            let x = Fields::stack(2, 2, &[&a.map(|a| a * unit), &u.map(|u| u / unit)]);
            testing::relative(&build(2, 0.5), &[x], false)
        };
        for unit in [1e-12, 1e-5, 1e5] {
            assert!((relative(unit) / relative(1.0) - 1.0).abs() < 1e-5, "{unit}");
        }
    }

    /// Hydraulic conductivities range from clay to gravel.
    #[test]
    fn positive_coefficients_of_many_orders_count_as_they_are() {
        let x = Fields::stack(2, 2, &[&[1e-6, 1.0, 1e-3, 1e3], &[0.3, -0.1, 0.2, 1e-3]]);
        let wanted = residual(&x, 0.5, SOURCE);
        let terms = build(2, 0.5).terms(testing::batch(&[x]), ResidualOptions::default());
        for (got, want) in testing::values(terms.residual).iter().zip(wanted) {
            assert!((got - want).abs() < 1e-5 * want.abs(), "{got} against {want}");
        }
    }

    #[test]
    fn inadmissible_coefficients_have_a_finite_residual() {
        let x = Fields::stack(2, 2, &[&[-1.0, 1.0, 0.0, 2.0], &[1.0; 4]]);
        let relative = testing::relative(&build(2, 0.5), &[x], false);
        assert!(relative.is_finite());
    }
}
