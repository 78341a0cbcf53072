//! Residual of the Helmholtz problem: R = lap u + k^2 u - a at the inner nodes, with the five-point
//! Laplacian.
//!
//! Boundary values u = 0 are imposed, and a sample's values there are not used. The source term is
//! a. The preconditioner is the whole operator while k^2 is at most half the smallest eigenvalue of
//! minus the Laplacian. Beyond that it is the Laplacian alone, which is definite and far from
//! resonance at any k.

use burn::tensor::{Device, Tensor};
use phys_instruct_physics::helmholtz::Helmholtz;
use phys_instruct_physics::laplacian::eigenvalue;
use phys_instruct_physics::{Basis, Grid};

use super::operator::{self, InverseLaplacian};
use super::{LinearSolution, Residual, ResidualOptions, ResidualTerms};
use crate::Result;

/// The names of input and solution in the files of DiffusionPDE, in two of its versions.
pub(crate) const ARRAYS: [[&str; 2]; 2] = [["f_data", "psi_data"], ["f_data", "phi_data"]];

/// The residual of `pde` on a grid.
///
/// # Errors
/// Fails as [`HelmholtzResidual::new`] does.
pub(crate) fn residual(pde: &Helmholtz, grid: Grid, device: &Device) -> Result<Box<dyn Residual>> {
    Ok(Box::new(HelmholtzResidual::new(pde.k, grid, device)?))
}

/// The residual of (a, u), `[batch, 2, y, x]`.
#[derive(Debug, Clone)]
pub struct HelmholtzResidual {
    k_square: f64,
    grid: Grid,
    /// The inverse of the preconditioner.
    inverse: InverseLaplacian,
    /// The inverse of the whole operator; none if k^2 is above the smallest eigenvalue.
    solution: Option<InverseLaplacian>,
}

impl HelmholtzResidual {
    /// The residual for wave number `k` on a grid of at least 3 x 3 nodes.
    ///
    /// # Errors
    /// Fails for a smaller grid.
    pub fn new(k: f64, grid: Grid, device: &Device) -> Result<Self> {
        grid.check(3)?;
        let k_square = k * k;
        let inverse = |c: f64| InverseLaplacian::with_constant(Basis::SineNodes, grid, c, device);
        // Of minus the Laplacian.
        let smallest = eigenvalue(Basis::SineNodes, grid, [0, 0]).map_or(0.0, |own| -own);
        let solution = (k_square < smallest).then(|| inverse(k_square));
        let whole = solution.clone().filter(|_| k_square <= 0.5 * smallest);
        Ok(Self { k_square, grid, inverse: whole.unwrap_or_else(|| inverse(0.0)), solution })
    }
}

impl Residual for HelmholtzResidual {
    /// Returns a factor if k^2 lies below the smallest eigenvalue of minus the Laplacian.
    fn damping(&self) -> Option<f64> {
        self.solution.as_ref().map(|_| 1.0)
    }

    fn solution(&self) -> Option<&dyn LinearSolution> {
        Some(self.solution.as_ref()?)
    }

    fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms {
        let [a, u] = operator::input_and_solution(x, options.detach_input);
        let source = operator::inner(a);
        let laplacian = operator::nodal_laplacian(u.clone(), self.grid);
        let wave = operator::inner(u) * self.k_square;
        let residual = operator::with_boundary(laplacian + wave - source.clone());
        let points = (self.grid.ny - 2) * (self.grid.nx - 2);
        let source = operator::with_boundary(source);
        operator::measured(residual, source, points, &self.inverse, options)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::residual::poisson::PoissonResidual;
    use crate::testing::residual::{self as testing, Oracle};
    use phys_instruct_physics::{Fields, Pde, generate, helmholtz::Helmholtz, poisson::Poisson};

    /// Wave numbers preconditioned by the whole operator, and by the Laplacian.
    const K: [f64; 2] = [2.0, 4.0];

    /// The residual lap u + k^2 u - a in plain loops.
    fn residual(k: f64, x: &Fields) -> Vec<f64> {
        let n = x.height;
        let [a, u] = [x.channel(0), x.channel(1)];
        let on_boundary = |y: usize, x: usize| y == 0 || x == 0 || y == n - 1 || x == n - 1;
        let value = |y: usize, x: usize| if on_boundary(y, x) { 0.0 } else { u[y * n + x] };
        let mut out = vec![0.0; n * n];
        for (y, x) in (1..n - 1).flat_map(|y| (1..n - 1).map(move |x| (y, x))) {
            let around = value(y - 1, x) + value(y + 1, x) + value(y, x - 1) + value(y, x + 1);
            let lap = (around - 4.0 * value(y, x)) * ((n - 1) * (n - 1)) as f64;
            out[y * n + x] = lap + k * k * value(y, x) - a[y * n + x];
        }
        out
    }

    fn oracle(k: f64) -> Oracle {
        Oracle {
            residual: Box::new(move |x| residual(k, x)),
            source: Box::new(|x| {
                let n = x.height;
                let inside = |i: usize| (1..n - 1).contains(&i);
                (0..n * n)
                    .map(|i| if inside(i / n) && inside(i % n) { x.channel(0)[i] } else { 0.0 })
                    .collect()
            }),
            // P v = R: the residual of (0, v) is R, without the k term if P is the Laplacian.
            operator: Box::new(move |v, n| {
                let k = if k == K[0] { k } else { 0.0 };
                residual(k, &Fields::stack(n, n, &[&vec![0.0; n * n], v]))
            }),
            points: |n| (n - 2) * (n - 2),
            offset: 0.0,
        }
    }

    #[test]
    fn agrees_with_plain_loops() {
        let device = Device::flex();
        for size in [3, 7, 12] {
            for k in K {
                let own = HelmholtzResidual::new(k, Grid::square(size), &device).unwrap();
                testing::check_values(&own, size, &oracle(k));
            }
            testing::check_values(
                &PoissonResidual::new(Grid::square(size), &device).unwrap(),
                size,
                &oracle(0.0),
            );
        }
    }

    #[test]
    fn gradient_agrees_with_differences() {
        let device = Device::flex();
        for k in K {
            let own = HelmholtzResidual::new(k, Grid::square(6), &device).unwrap();
            testing::check_gradient(&own, 6, &oracle(k));
        }
        testing::check_gradient(
            &PoissonResidual::new(Grid::square(6), &device).unwrap(),
            6,
            &oracle(0.0),
        );
    }

    #[test]
    fn truncation_error_falls_at_second_order() {
        use std::f64::consts::PI;
        let relative = |size: usize| {
            let residual =
                HelmholtzResidual::new(K[0], Grid::square(size), &Device::flex()).unwrap();
            let h = 1.0 / (size - 1) as f64;
            let u: Vec<f64> = (0..size * size)
                .map(|i| {
                    (PI * h * (i / size) as f64).sin() * (2.0 * PI * h * (i % size) as f64).sin()
                })
                .collect();
            let a: Vec<f64> = u.iter().map(|u| (K[0] * K[0] - 5.0 * PI * PI) * u).collect();
            testing::relative(&residual, &[Fields::stack(size, size, &[&a, &u])], false)
        };
        let order = (relative(9) / relative(33)).log2() / 2.0;
        assert!((order - 2.0).abs() < 0.1, "order {order}");
    }

    #[test]
    fn reference_data_has_no_residual_beyond_round_off() {
        let device = Device::flex();
        for (size, bound) in [(64, 1e-4), (128, 1e-4)] {
            let poisson = PoissonResidual::new(Grid::square(size), &device).unwrap();
            testing::check_floor(&Poisson::default(), &poisson, size, bound);
            let pde = Helmholtz::default();
            let helmholtz = HelmholtzResidual::new(pde.k, Grid::square(size), &device).unwrap();
            testing::check_floor(&pde, &helmholtz, size, bound);
        }
    }

    #[test]
    fn the_solution_is_the_reference_solvers_and_its_map_symmetric() {
        const SIZE: usize = 17;
        for k in [1.0, 3.16, 4.4] {
            let mut pde = Helmholtz::default();
            pde.set_param("k", k).unwrap();
            let own = HelmholtzResidual::new(k, Grid::square(SIZE), &Device::flex()).unwrap();
            let solution = own.solution().unwrap();
            let x = testing::batch(&generate(&pde, Grid::square(SIZE), 1, 0..2).unwrap());
            let [a, u] = [0, 1].map(|c| x.clone().narrow(1, c, 1));
            let far = testing::values((solution.of(a.clone()) - u.clone()).abs().max())[0];
            let size = testing::values(u.clone().abs().max())[0];
            assert!(far < 1e-4 * size, "{k}: {far} of {size}");
            let product = |x: Tensor<4>, y: Tensor<4>| testing::values((x * y).sum())[0];
            let y = a.clone().flip([2]) + u.clone();
            let [forward, back] = [
                product(solution.of(a.clone()), y.clone()),
                product(a.clone(), solution.transposed(y)),
            ];
            assert!((forward - back).abs() < 1e-4 * forward.abs(), "{k}: {forward} {back}");
        }

        // This k^2 lies beyond the smallest eigenvalue.
        let beyond = HelmholtzResidual::new(5.0, Grid::square(SIZE), &Device::flex()).unwrap();
        assert!(beyond.solution().is_none());
    }

    #[test]
    fn a_grid_without_inner_nodes_is_refused() {
        assert!(PoissonResidual::new(Grid::square(2), &Device::flex()).is_err());
    }
}
