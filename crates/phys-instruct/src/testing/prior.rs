//! Gaussian priors whose posterior is known. Their fields have one channel and are smooth, x = m +
//! B^T (v z), drawn in one to three calls.

#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::{Basis, transform::basis_matrix};

use crate::condition::Observations;
use crate::condition::prior::Prior;
use crate::diffusion::noise::Draw;
use crate::net::params::values;
use crate::testing::samples_of;

pub const SIZE: usize = 8;
const MEAN: f64 = 0.7;
/// The factor of the fields' deviations that each call but the first retains.
const KEPT: [f64; 2] = [0.7, 0.95];

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
        self.linear(z) + MEAN
    }

    fn calls(&self) -> usize {
        1 + KEPT.len()
    }

    /// The noise has the fields' own spectrum, so that the call is a weighted sum of both.
    fn renoise_and_denoise(&self, x: Tensor<4>, z: Tensor<4>, number: usize) -> Tensor<4> {
        let kept = KEPT[number - 2];
        (x - MEAN) * kept + self.linear(z) * (1.0 - kept * kept).sqrt() + MEAN
    }

    fn gaussian_response(&self, change: Tensor<4>, number: usize) -> Tensor<4> {
        change * KEPT[number - 2]
    }

    fn linear(&self, z: Tensor<4>) -> Tensor<4> {
        let modes = z * self.amplitude.clone();
        self.basis.clone().swap_dims(2, 3).matmul(modes).matmul(self.basis.clone())
    }

    fn transposed(&self, x: Tensor<4>) -> Tensor<4> {
        let modes = self.basis.clone().matmul(x).matmul(self.basis.clone().swap_dims(2, 3));
        modes * self.amplitude.clone()
    }
}

/// [`Smooth`] with a linear estimate that knows nothing of how the values depend on each other.
pub struct Independent(Smooth);

impl Independent {
    pub fn new() -> Self {
        Self(Smooth::new())
    }
}

impl Prior for Independent {
    fn shape(&self) -> [usize; 3] {
        self.0.shape()
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn fields(&self, z: Tensor<4>) -> Tensor<4> {
        self.0.fields(z)
    }

    fn calls(&self) -> usize {
        self.0.calls()
    }

    fn renoise_and_denoise(&self, x: Tensor<4>, z: Tensor<4>, number: usize) -> Tensor<4> {
        self.0.renoise_and_denoise(x, z, number)
    }

    fn gaussian_response(&self, change: Tensor<4>, number: usize) -> Tensor<4> {
        self.0.gaussian_response(change, number)
    }

    fn linear(&self, z: Tensor<4>) -> Tensor<4> {
        z
    }

    fn transposed(&self, x: Tensor<4>) -> Tensor<4> {
        x
    }
}

/// An input that equals [`Smooth`] at inner points and 0 on the border, and a solution that is
/// twice the input. Its own linear estimate knows neither.
pub struct Bordered {
    smooth: Smooth,
    inside: Tensor<4>,
}

impl Bordered {
    pub fn new() -> Self {
        let inner = |i: usize| i > 0 && i + 1 < SIZE;
        let inside = (0..SIZE * SIZE).map(|i| inner(i / SIZE) && inner(i % SIZE));
        let inside: Vec<f32> = inside.map(|i| if i { 1.0 } else { 0.0 }).collect();
        let inside = TensorData::new(inside, [1, 1, SIZE, SIZE]);
        Self { smooth: Smooth::new(), inside: Tensor::from_data(inside, &Device::flex()) }
    }
}

impl Prior for Bordered {
    fn shape(&self) -> [usize; 3] {
        [2, SIZE, SIZE]
    }

    fn device(&self) -> Device {
        Device::flex()
    }

    fn fields(&self, z: Tensor<4>) -> Tensor<4> {
        let a = self.smooth.linear(z.clone().narrow(1, 0, 1)) * self.inside.clone();
        self.solved(Tensor::cat(vec![a, z.narrow(1, 1, 1)], 1))
    }

    fn calls(&self) -> usize {
        1
    }

    fn renoise_and_denoise(&self, x: Tensor<4>, _: Tensor<4>, _: usize) -> Tensor<4> {
        x
    }

    fn gaussian_response(&self, change: Tensor<4>, _: usize) -> Tensor<4> {
        change
    }

    fn linear(&self, z: Tensor<4>) -> Tensor<4> {
        z
    }

    fn transposed(&self, x: Tensor<4>) -> Tensor<4> {
        x
    }

    fn solved(&self, x: Tensor<4>) -> Tensor<4> {
        let a = x.narrow(1, 0, 1);
        Tensor::cat(vec![a.clone(), a * 2.0], 1)
    }

    fn solved_transposed(&self, x: Tensor<4>) -> Tensor<4> {
        let [a, u] = [0, 1].map(|c| x.clone().narrow(1, c, 1));
        Tensor::cat(vec![a + u.clone() * 2.0, u.zeros_like()], 1)
    }

    fn solved_inputs(&self) -> Option<usize> {
        Some(1)
    }
}

/// Observations of the field drawn from the noise of `seed`, with errors of deviation `sd`.
pub fn observations(seed: u64, count: usize, sd: f64) -> Observations {
    let draw = Draw { seed, stream: "truth", step: 0, first: 0 };
    let x = Smooth::new().fields(draw.normal([1, 1, SIZE, SIZE], &Device::flex()));
    let samples = samples_of(1, 1, SIZE, SIZE, values(x));
    let all: Vec<usize> = (0..SIZE * SIZE).collect();
    Observations::draw(&samples, 0, &all, count, sd, seed).unwrap()
}
