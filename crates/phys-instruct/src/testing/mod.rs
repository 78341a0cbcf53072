//! Samples, networks and files that the tests of several modules share.
#![allow(clippy::unwrap_used)]

pub mod dummy;
pub mod prior;
pub mod residual;

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use phys_instruct_physics::poisson::Poisson;
use phys_instruct_physics::{Grid, Pde, generate, rng};

use crate::Samples;
use crate::config::NetConfig;
use crate::residual::{Residual, ResidualOptions, ResidualTerms};

/// The description of a PDE that is known by data alone, its input the second field.
pub const MINE: &str = "[pde]\nname = 'mine'\ninput = 'k'\nsides = [1.0, 2.0]\n\
    [[pde.field]]\nname = 'u'\nunit = 'm'\nmeaning = 'head'\nbasis = ['fourier', 'sine-nodes']\n\
    [[pde.field]]\nname = 'k'\nrange = [0.0, 5.0]\n";

/// The path of a file of `tests/data`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The smallest network, of levels with these multipliers.
pub fn tiny(multipliers: &[usize]) -> NetConfig {
    NetConfig { width: 8, multipliers: multipliers.to_vec(), blocks: 1, patch: 1 }
}

pub fn samples_of(count: usize, c: usize, height: usize, width: usize, data: Vec<f32>) -> Samples {
    let channels = (0..c).map(|i| format!("c{i}")).collect();
    Samples { pde: "test".into(), channels, count, height, width, sides: [1.0; 2], data }
}

/// White noise of standard deviation 1.
pub fn gaussian_samples(count: usize, channels: usize, size: usize, seed: u64) -> Samples {
    let n = count * channels * size * size;
    let data = rng::normals(&mut rng::stream(seed, "test", 0, 0), n);
    samples_of(count, channels, size, size, data.iter().map(|&v| v as f32).collect())
}

pub fn samples_from(pde: &dyn Pde, count: u64, size: usize, seed: u64) -> Samples {
    samples_on(pde, count, Grid::square(size), seed)
}

pub fn samples_on(pde: &dyn Pde, count: u64, grid: Grid, seed: u64) -> Samples {
    let names: Vec<String> = pde.channels().into_iter().map(|c| c.name).collect();
    let fields = generate(pde, grid, seed, 0..count).unwrap();
    Samples::from_fields(pde.name(), &names, grid, &fields).unwrap()
}

pub fn poisson_samples(count: u64, size: usize, seed: u64) -> (Poisson, Samples) {
    let pde = Poisson::default();
    let samples = samples_from(&pde, count, size, seed);
    (pde, samples)
}

/// The "equation" u = a, whose residual can be computed by hand.
pub struct DifferenceOfChannels;

impl Residual for DifferenceOfChannels {
    fn terms(&self, x: Tensor<4>, _: ResidualOptions) -> ResidualTerms {
        let [batch, _, height, width] = x.dims();
        let a = x.clone().narrow(1, 0, 1);
        let u = x.narrow(1, 1, 1);
        let square = (a.clone() * a.clone()).reshape([batch, height * width]);
        let scale = square.mean_dim(1).sqrt().reshape([batch]);
        ResidualTerms { residual: u - a, scale, points: height * width }
    }
}
