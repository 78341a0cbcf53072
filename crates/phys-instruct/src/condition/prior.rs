//! A prior as a map from standard normal noise to joint fields: what a few-step student is.

use burn::tensor::{Device, Tensor};

use crate::diffusion::Denoiser;
use crate::diffusion::noise::Draw;
use crate::distill::Generator;
use crate::model::{Kind, Model};
use crate::{Error, Result};

/// Fields x = G(z) of noise z, both `[batch, channel, y, x]`.
pub trait Prior: Sync {
    /// Channels, points along y and along x.
    fn shape(&self) -> [usize; 3];

    /// Where it lives.
    fn device(&self) -> Device;

    /// G: physical fields of standard normal noise; differentiable.
    fn fields(&self, z: Tensor<4>) -> Tensor<4>;

    /// A linear map, without the mean, of roughly the covariance of [`Prior::fields`]: what the
    /// iterations are preconditioned with.
    fn linear(&self, z: Tensor<4>) -> Tensor<4>;

    /// Network calls of one evaluation of G.
    fn calls(&self) -> usize;
}

/// A student at a fixed number of network calls. Its noise is that of the first call; what is added
/// between calls is drawn once, by the place in the batch.
pub struct Student<'a> {
    model: &'a Model,
    calls: usize,
    seed: u64,
}

impl<'a> Student<'a> {
    /// `calls` in 1..=K.
    ///
    /// # Errors
    /// A model that is no student, or a number of calls it cannot take.
    pub fn new(model: &'a Model, calls: usize, seed: u64) -> Result<Self> {
        let most = model.card.levels.len();
        if model.card.kind != Kind::Student {
            let pde = &model.card.pde;
            return Err(Error::Config(format!(
                "a teacher of {pde} cannot serve as prior; name a student"
            )));
        }
        if !(1..=most).contains(&calls) {
            return Err(Error::Config(format!(
                "this student takes 1 to {most} steps, not {calls}"
            )));
        }
        Ok(Self { model, calls, seed })
    }
}

impl Prior for Student<'_> {
    fn shape(&self) -> [usize; 3] {
        let card = &self.model.card;
        [card.channels.len(), card.grid, card.grid]
    }

    fn device(&self) -> Device {
        self.model.device()
    }

    fn fields(&self, z: Tensor<4>) -> Tensor<4> {
        let network = &self.model.network;
        let levels = &self.model.card.levels;
        let generator = Generator { denoiser: network, levels };
        let shape = z.dims();
        let first = z * network.profile() * levels[0];
        let noisy = (1..self.calls).fold(first, |noisy, k| {
            let draw = Draw { seed: self.seed, stream: "renoise", step: k as u64, first: 0 };
            let noise = draw.normal(shape, &self.device());
            generator.call(noisy, k) + noise * network.profile() * levels[k]
        });
        network.coordinates.decode(generator.call(noisy, self.calls))
    }

    fn linear(&self, z: Tensor<4>) -> Tensor<4> {
        let coordinates = &self.model.network.coordinates;
        let mean = coordinates.decode(z.zeros_like());
        coordinates.decode(z * coordinates.sigma_data) - mean
    }

    fn calls(&self) -> usize {
        self.calls
    }
}

/// A Gaussian prior whose posterior is known: smooth fields of one channel, x = m + B^T (v z).
#[cfg(test)]
pub(super) mod testing {
    use burn::tensor::TensorData;
    use phys_instruct_physics::{Basis, transform::basis_matrix};

    use super::*;

    pub const SIZE: usize = 8;

    pub struct Smooth {
        basis: Tensor<4>,
        amplitude: Tensor<4>,
    }

    impl Smooth {
        pub fn new() -> Self {
            let tensor = |data: Vec<f32>| {
                let data = TensorData::new(data, [1, 1, SIZE, SIZE]);
                Tensor::<4>::from_data(data, &Device::flex())
            };
            let basis = basis_matrix(Basis::Cosine, SIZE);
            let falling = |i: usize| 3.0 / (1.0 + (i / SIZE * i / SIZE + (i % SIZE).pow(2)) as f32);
            Self {
                basis: tensor(basis.iter().map(|&v| v as f32).collect()),
                amplitude: tensor((0..SIZE * SIZE).map(falling).collect()),
            }
        }
    }

    impl Prior for Smooth {
        fn shape(&self) -> [usize; 3] {
            [1, SIZE, SIZE]
        }

        fn device(&self) -> Device {
            Device::flex()
        }

        fn fields(&self, z: Tensor<4>) -> Tensor<4> {
            self.linear(z) + 0.7
        }

        fn linear(&self, z: Tensor<4>) -> Tensor<4> {
            let modes = z * self.amplitude.clone();
            self.basis.clone().swap_dims(2, 3).matmul(modes).matmul(self.basis.clone())
        }

        fn calls(&self) -> usize {
            1
        }
    }

    /// Observations of the field of the noise drawn at `seed`, errors of `sd` among them.
    pub fn observations(seed: u64, count: usize, sd: f64) -> super::super::Observations {
        let draw = Draw { seed, stream: "truth", step: 0, first: 0 };
        let x = Smooth::new().fields(draw.normal([1, 1, SIZE, SIZE], &Device::flex()));
        let samples =
            crate::eval::testing::samples_of(1, 1, SIZE, SIZE, crate::net::params::values(x));
        let all: Vec<usize> = (0..SIZE * SIZE).collect();
        super::super::Observations::draw(&samples, 0, &all, count, sd, seed)
            .unwrap_or_else(|e| panic!("{e}"))
    }
}
