//! A prior as a map from standard normal noise to joint fields, which a few-step student is.

use burn::tensor::{Device, Tensor};
use phys_instruct_physics::symmetry::Symmetry;

use crate::diffusion::Denoiser;
use crate::model::{Kind, Model};
use crate::parts::{Parts, part_of, with_part};
use crate::problem;
use crate::residual::{LinearSolution, Residual};
use crate::student::{Calibration, Generator};
use crate::{Error, Result};

mod choice;
pub mod covariance;
pub mod errors;
pub mod expectation;
pub mod gain;
mod linear;
pub(crate) mod rows;

/// A map G from noise z to fields x = G(z), both `[batch, channel, y, x]`.
pub trait Prior: Sync {
    /// The numbers of channels, of points along y, and of points along x.
    fn shape(&self) -> [usize; 3];

    /// The device of its tensors.
    fn device(&self) -> Device;

    /// G: physical fields of standard normal noise; differentiable.
    fn fields(&self, z: Tensor<4>) -> Tensor<4>;

    /// The number of calls behind samples of the last level; [`Prior::fields`] is the first.
    fn calls(&self) -> usize;

    /// The fields of call `number`, 2 to [`Prior::calls`]. Noise of the call's level, made from
    /// standard normal `z`, is added to the fields `x` first.
    fn renoise_and_denoise(&self, x: Tensor<4>, z: Tensor<4>, number: usize) -> Tensor<4>;

    /// The part of a `change` of its fields that call `number` would retain if the fields were
    /// Gaussian.
    fn gaussian_response(&self, change: Tensor<4>, number: usize) -> Tensor<4>;

    /// A linear map of noise to fields without their mean, with roughly the covariance of
    /// [`Prior::fields`].
    fn linear(&self, z: Tensor<4>) -> Tensor<4>;

    /// The transposed map of [`Prior::linear`].
    fn transposed(&self, x: Tensor<4>) -> Tensor<4>;

    /// The symmetries of the fields' points, each of which maps a sample to an equally likely one.
    fn symmetries(&self) -> &[Symmetry] {
        &[]
    }

    /// The fields with their solution computed from the input, if the equation is linear; else
    /// unchanged.
    fn solved(&self, x: Tensor<4>) -> Tensor<4> {
        x
    }

    /// The transposed map of [`Prior::solved`].
    fn solved_transposed(&self, x: Tensor<4>) -> Tensor<4> {
        x
    }

    /// The number of the input's channels, which come first, if the solution is computed from the
    /// input.
    fn solved_inputs(&self) -> Option<usize> {
        None
    }
}

/// A student as prior.
///
/// If its equation is linear, the solution and its covariance are computed from the input. If the
/// student's samples come with the input rounded, the input's calibration is for rounded values.
/// Nothing is rounded here, so that the input is left uncalibrated.
pub struct Student {
    model: Model,
    /// The equation; none for a PDE that is known by data alone.
    residual: Option<Box<dyn Residual>>,
    parts: Parts,
    symmetries: Vec<Symmetry>,
    calibrations: Vec<Calibration>,
}

impl Student {
    /// Prepares `model`. It is cloned, which copies no weights.
    ///
    /// # Errors
    /// Fails for a model that is no student, or of a PDE that this program does not know.
    pub fn new(model: &Model) -> Result<Self> {
        if model.card.kind != Kind::Student {
            let pde = &model.card.pde;
            return Err(Error::Config(format!(
                "a teacher of {pde} cannot serve as prior; name a student"
            )));
        }
        let (pde, grid) = (model.card.pde()?, model.card.grid);
        let residual = problem::equation(pde.as_ref(), grid, &model.device())?;
        let symmetries = pde.symmetries(grid);
        let parts = Parts::of(pde.as_ref());
        let solution = parts.layout.solution.channels.start;
        let first = if model.card.round_input { solution } else { 0 };
        let own = model.calibrations.iter().map(|c| c.clone().only_from(first, None)).collect();
        Ok(Self { model: model.clone(), residual, parts, symmetries, calibrations: own })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The solution of a linear equation.
    fn linear_solution(&self) -> Option<&dyn LinearSolution> {
        self.residual.as_deref()?.solution()
    }

    fn noise(&self, z: Tensor<4>, number: usize) -> Tensor<4> {
        z * self.model.network.profile() * self.model.card.levels[number - 1]
    }

    fn call(&self, noisy: Tensor<4>, number: usize) -> Tensor<4> {
        let generator = Generator { calibrations: &self.calibrations, ..self.model.generator() };
        self.model.network.coordinates.decode(generator.call(noisy, number))
    }
}

impl Prior for Student {
    fn shape(&self) -> [usize; 3] {
        let card = &self.model.card;
        [card.channels.len(), card.grid.ny, card.grid.nx]
    }

    fn device(&self) -> Device {
        self.model.device()
    }

    fn fields(&self, z: Tensor<4>) -> Tensor<4> {
        self.call(self.noise(z, 1), 1)
    }

    fn calls(&self) -> usize {
        self.model.card.levels.len()
    }

    fn renoise_and_denoise(&self, x: Tensor<4>, z: Tensor<4>, number: usize) -> Tensor<4> {
        let clean = self.model.network.coordinates.encode(x);
        self.call(clean + self.noise(z, number), number)
    }

    fn gaussian_response(&self, change: Tensor<4>, number: usize) -> Tensor<4> {
        let coordinates = &self.model.network.coordinates;
        let [sigma, data] = [self.model.card.levels[number - 1], coordinates.sigma_data];
        let share =
            (coordinates.profile() * (sigma / data)).square().add_scalar(1.0).sqrt().recip();
        let mean = coordinates.mean();
        coordinates.decode(coordinates.encode(change + mean.clone()) * share) - mean
    }

    fn linear(&self, z: Tensor<4>) -> Tensor<4> {
        let coordinates = &self.model.network.coordinates;
        self.solved(coordinates.linear(z * coordinates.sigma_data))
    }

    fn transposed(&self, x: Tensor<4>) -> Tensor<4> {
        let coordinates = &self.model.network.coordinates;
        coordinates.linear_transposed(self.solved_transposed(x)) * coordinates.sigma_data
    }

    fn symmetries(&self) -> &[Symmetry] {
        &self.symmetries
    }

    fn solved(&self, x: Tensor<4>) -> Tensor<4> {
        match self.linear_solution() {
            Some(solution) => {
                let solved = solution.of(self.parts.input(x.clone()));
                with_part(x, &self.parts.layout.solution, solved)
            }
            None => x,
        }
    }

    fn solved_transposed(&self, x: Tensor<4>) -> Tensor<4> {
        match self.linear_solution() {
            Some(solution) => {
                let layout = &self.parts.layout;
                let own = part_of(x.clone(), &layout.solution);
                let input = self.parts.input(x.clone()) + solution.transposed(own);
                with_part(x.zeros_like(), &layout.input, input)
            }
            None => x,
        }
    }

    fn solved_inputs(&self) -> Option<usize> {
        self.linear_solution().map(|_| self.parts.layout.input.channels.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;
    use crate::device;
    use crate::diffusion::noise::Draw;
    use crate::net::params::values;

    /// Poisson's equation is linear, Darcy's is not.
    #[test]
    fn a_students_transposed_map_is_the_transpose() {
        for name in ["poisson", "darcy"] {
            let root = env!("CARGO_MANIFEST_DIR");
            let file = format!("{}/../../models/{name}-32-student.safetensors", root);
            let model = Model::load(Path::new(&file), &device::cpu()).unwrap();
            let student = Student::new(&model).unwrap();
            let [channels, height, width] = student.shape();
            let draw = |step| {
                let draw = Draw { seed: 4, stream: "fields", step, first: 0 };
                draw.normal([2, channels, height, width], &student.device())
            };
            let (z, x) = (draw(0), student.linear(draw(1)));
            let product = |a: Tensor<4>, b: Tensor<4>| values((a * b).sum())[0];
            let forward = product(student.linear(z.clone()), x.clone());
            let back = product(z, student.transposed(x));
            assert!((forward - back).abs() < 1e-3 * forward.abs(), "{name}: {forward} {back}");
        }
    }
}
