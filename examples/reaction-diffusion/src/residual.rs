//! The residual R = D lap u - u^3 + a as tensor operations. It has the same five points as the
//! solver, and is measured against the source a.

use phys_instruct::burn::tensor::{Device, Tensor, ops::PadMode};
use phys_instruct::residual::operator::{
    InverseLaplacian, differences, input_and_solution, measured,
};
use phys_instruct::residual::{Residual, ResidualOptions, ResidualTerms};
use phys_instruct_physics::{Basis, Grid};

use crate::pde::ReactionDiffusion;

/// The residual of samples (a, u), `[batch, 2, y, x]`.
pub struct ReactionDiffusionResidual {
    diffusion: f64,
    grid: Grid,
    /// The preconditioner: diffusion alone, without the reaction. Its constant D would cancel.
    inverse: InverseLaplacian,
}

impl ReactionDiffusionResidual {
    /// Returns the residual of `pde` on a grid.
    pub fn new(pde: &ReactionDiffusion, grid: Grid, device: &Device) -> Self {
        let inverse = InverseLaplacian::new(Basis::SineInner, grid, device);
        Self { diffusion: pde.diffusion, grid, inverse }
    }
}

impl Residual for ReactionDiffusionResidual {
    fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms {
        let [a, u] = input_and_solution(x, options.detach_input);
        let second = |axis: usize, pad: [(usize, usize); 2]| {
            let walled = u.clone().pad(pad, PadMode::Constant(0.0));
            differences(differences(walled, axis), axis)
        };
        let Grid { ny, nx, ly, lx } = self.grid;
        let [by_y, by_x] = [(ny + 1) as f64 / ly, (nx + 1) as f64 / lx].map(|v| v.powi(2));
        let along_y = second(2, [(1, 1), (0, 0)]) * (self.diffusion * by_y);
        let diffusion = along_y + second(3, [(0, 0), (1, 1)]) * (self.diffusion * by_x);
        let reaction = u.clone() * u.clone() * u.clone();
        let residual = diffusion - reaction + a.clone();
        measured(residual, a, self.grid.points(), &self.inverse, options)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use phys_instruct::burn::tensor::TensorData;
    use phys_instruct_physics::{Fields, generate, rng};

    fn residual(size: usize) -> ReactionDiffusionResidual {
        let pde = ReactionDiffusion::default();
        ReactionDiffusionResidual::new(&pde, Grid::square(size), &Device::flex())
    }

    fn batch(samples: &[Fields]) -> Tensor<4> {
        let data: Vec<f32> = samples.iter().flat_map(|s| &s.data).map(|&v| v as f32).collect();
        let Fields { channels, height, width, .. } = samples[0];
        let shape = [samples.len(), channels, height, width];
        Tensor::from_data(TensorData::new(data, shape), &Device::flex())
    }

    /// Returns the gradient of the squared relative residual at `leaf`.
    fn gradient(leaf: &Tensor<4>, terms: ResidualTerms) -> Vec<f32> {
        let gradients = terms.relative_square().sum().backward();
        leaf.grad(&gradients).unwrap().into_data().iter::<f32>().collect()
    }

    #[test]
    fn reference_data_has_no_residual_beyond_round_off() {
        let pde = ReactionDiffusion::default();
        for size in [16, 64] {
            let samples = generate(&pde, Grid::square(size), 5, 0..4).unwrap();
            let relative = |x: &[Fields]| {
                let terms = residual(size).terms(batch(x), ResidualOptions::default());
                terms.relative().max().into_scalar::<f32>()
            };
            let floor = relative(&samples);
            assert!(floor < 1e-4, "{size}: {floor}");

            // The zero solution has a residual of 1: the whole source is left.
            let empty: Vec<Fields> = samples
                .iter()
                .map(|s| Fields::stack(size, size, &[s.channel(0), &vec![0.0; size * size]]))
                .collect();
            assert!((relative(&empty) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn gradient_agrees_with_finite_differences() {
        let size = 5;
        let noise = rng::normals(&mut rng::stream(1, "rough", 0, 0), 2 * size * size);
        let x = Fields { channels: 2, height: size, width: size, data: noise };
        for preconditioned in [false, true] {
            let options = ResidualOptions { preconditioned, ..Default::default() };
            let terms = |x: Tensor<4>| residual(size).terms(x, options);
            let scale = terms(batch(std::slice::from_ref(&x))).scale;

            // The scale is detached, so that the difference quotient must hold it fixed too.
            let loss = |x: &Fields| {
                let terms =
                    ResidualTerms { scale: scale.clone(), ..terms(batch(std::slice::from_ref(x))) };
                f64::from(terms.relative_square().into_scalar::<f32>())
            };

            let leaf = batch(std::slice::from_ref(&x)).autodiff().require_grad();
            let gradient = gradient(&leaf, terms(leaf.clone()));
            let largest = gradient.iter().fold(0f32, |m, g| m.max(g.abs()));

            for (i, &g) in gradient.iter().enumerate() {
                let moved = |by: f64| {
                    let mut moved = x.clone();
                    moved.data[i] += by;
                    loss(&moved)
                };

                let quotient = (moved(5e-3) - moved(-5e-3)) / 1e-2;
                let off = (f64::from(g) - quotient).abs() / f64::from(largest);
                assert!(off < 1e-2, "{preconditioned} {i}: {g} {quotient} of {largest}");
            }
        }
    }

    #[test]
    fn a_detached_input_has_no_gradient() {
        let samples = generate(&ReactionDiffusion::default(), Grid::square(8), 5, 0..1).unwrap();
        let leaf = (batch(&samples) * 1.1).autodiff().require_grad();
        let options = ResidualOptions { detach_input: true, ..Default::default() };
        let gradient = gradient(&leaf, residual(8).terms(leaf.clone(), options));
        assert!(gradient[..64].iter().all(|g| *g == 0.0));
        assert!(gradient[64..].iter().any(|g| *g != 0.0));
    }
}
