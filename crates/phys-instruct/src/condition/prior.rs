//! A prior as a map from standard normal noise to joint fields: what a few-step student is.

use burn::tensor::{Device, Tensor};

use crate::diffusion::Denoiser;
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
}

/// A student at one network call.
pub struct Student<'a> {
    model: &'a Model,
}

impl<'a> Student<'a> {
    /// Of `model`.
    ///
    /// # Errors
    /// A model that is no student.
    pub fn new(model: &'a Model) -> Result<Self> {
        if model.card.kind != Kind::Student {
            let pde = &model.card.pde;
            return Err(Error::Config(format!(
                "a teacher of {pde} cannot serve as prior; name a student"
            )));
        }
        Ok(Self { model })
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
        let generator = Generator { denoiser: network, levels: &self.model.card.levels };
        let noisy = z * network.profile() * generator.levels[0];
        network.coordinates.decode(generator.call(noisy, 1))
    }

    fn linear(&self, z: Tensor<4>) -> Tensor<4> {
        let coordinates = &self.model.network.coordinates;
        let mean = coordinates.decode(z.zeros_like());
        coordinates.decode(z * coordinates.sigma_data) - mean
    }
}

/// A Gaussian prior whose posterior is known: smooth fields of one channel, x = m + B^T (v z).
#[cfg(test)]
pub(super) mod testing {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::TensorData;
    use phys_instruct_physics::{Basis, transform::basis_matrix};

    use super::*;
    use crate::condition::Observations;
    use crate::diffusion::noise::Draw;
    use crate::eval::testing::samples_of;
    use crate::net::params::values;

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
    }

    /// Observations of the field of the noise drawn at `seed`, errors of `sd` among them.
    pub fn observations(seed: u64, count: usize, sd: f64) -> Observations {
        let draw = Draw { seed, stream: "truth", step: 0, first: 0 };
        let x = Smooth::new().fields(draw.normal([1, 1, SIZE, SIZE], &Device::flex()));
        let samples = samples_of(1, 1, SIZE, SIZE, values(x));
        let all: Vec<usize> = (0..SIZE * SIZE).collect();
        Observations::draw(&samples, 0, &all, count, sd, seed).unwrap()
    }
}
