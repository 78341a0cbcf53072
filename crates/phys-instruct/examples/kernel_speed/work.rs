//! The pieces of work that are timed.

use std::time::Instant;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct::Model;
use phys_instruct::config::{MatchingAblation, OptimizerConfig};
use phys_instruct::diffusion::sampler::constant;
use phys_instruct::diffusion::statistics::Statistics;
use phys_instruct::diffusion::{Coordinates, Denoiser, Network};
use phys_instruct::distill::matching;
use phys_instruct::net::ops::in_pool;
use phys_instruct::net::optimizer::AdamW;
use phys_instruct::net::params::values;
use phys_instruct::parts::Parts;
use phys_instruct::team::Team;
use phys_instruct_physics::Grid;

use crate::Failure;

/// Every noise level.
pub const SIGMA: f64 = 2.0;
const CHANNELS: usize = 2;
/// Seconds of runs that are not counted.
const WARM_UP: f64 = 0.1;
/// So small that no run changes the next.
const LEARNING_RATE: f64 = 1e-9;

/// Networks of one size. Only y is seen here, so that the coordinates' statistics are free.
pub struct Work {
    teacher: Network,
    student: Network,
    auxiliary: Network,
    optimizers: [AdamW; 2],
    inputs: [Tensor<4>; 4],
}

impl Work {
    pub fn new(model: &Model, grid: usize, batch: usize) -> Result<Self, Failure> {
        let parts = Parts::of(model.card.pde()?.as_ref());
        let ones = vec![1.0; CHANNELS * grid * grid];
        let statistics = Statistics {
            mean: vec![0.0; ones.len()],
            spectrum: ones,
            regression: None,
            components: None,
            examples: Vec::new(),
        };

        let config = &model.card.coordinates;
        let coordinates =
            Coordinates::new(&statistics, &parts, Grid::square(grid), config, &model.device())?;
        let teacher = Network::new(model.network.net.clone(), coordinates).freeze();
        let optimizer =
            AdamW::new(&OptimizerConfig { clip: 0.0, ..OptimizerConfig::at(LEARNING_RATE) });

        // The auxiliary model differs, so that matching has something to say.
        let auxiliary =
            Network::new(teacher.net.clone().map(&mut Grow), teacher.coordinates.clone());
        let (student, auxiliary) = (teacher.train(), auxiliary.train());

        let optimizers = [optimizer.clone(), optimizer];
        let inputs = [0, 1, 2, 3].map(|seed| field(batch, grid, seed, &model.device()));
        Ok(Self { teacher, student, auxiliary, optimizers, inputs })
    }

    /// The median of the seconds of `repeats` runs after some that are not counted, and the result
    /// of the first of all.
    pub fn measure(&mut self, what: &str, repeats: usize) -> Result<(f64, Vec<f64>), Failure> {
        let start = Instant::now();
        let (_, result) = self.run(what)?;
        while start.elapsed().as_secs_f64() < WARM_UP {
            self.run(what)?;
        }

        let mut times = Vec::new();
        for _ in 0..repeats.max(1) {
            times.push(self.run(what)?.0);
        }
        times.sort_by(f64::total_cmp);
        Ok((times[times.len() / 2], result))
    }

    /// Seconds of one run, and its result.
    pub fn run(&mut self, what: &str) -> Result<(f64, Vec<f64>), Failure> {
        let [a, b, c, d] = self.inputs.clone();
        let start = Instant::now();
        let result = match what {
            "forward" => self.forward(a),
            "train_step" => in_pool(|| self.auxiliary_update(a, b))?,
            "distill_step" => in_pool(|| self.distill_step([a, b, c, d]))?,
            _ => return Err(format!("unknown work: {what}").into()),
        };
        Ok((start.elapsed().as_secs_f64(), result))
    }

    /// The raw network.
    fn forward(&self, x: Tensor<4>) -> Vec<f64> {
        let c_noise = constant(0.3, &x);
        values(self.teacher.raw(x, c_noise)).into_iter().map(f64::from).collect()
    }

    /// One EDM step (forward, backward, optimizer): loss and gradient norm.
    fn auxiliary_update(
        &mut self,
        y0: Tensor<4>,
        noise: Tensor<4>,
    ) -> phys_instruct::Result<Vec<f64>> {
        let sigma = constant(SIGMA, &y0).autodiff();
        let loss = self.auxiliary.loss(y0.autodiff(), noise.autodiff(), sigma);
        let gradients = loss.backward();
        let report =
            self.optimizers[0].step(&mut self.auxiliary.net, gradients, 1.0, &Team::ALONE)?;
        Ok(vec![f64::from(loss.into_scalar::<f32>()), report.gradient_norm])
    }

    /// One auxiliary update on fresh samples and one generator update by `ikl`: the loss and the
    /// two gradients' norms.
    fn distill_step(
        &mut self,
        [z1, n1, z2, n2]: [Tensor<4>; 4],
    ) -> phys_instruct::Result<Vec<f64>> {
        let sigma = constant(SIGMA, &z1);
        let y0 = self.student.valid().denoise(z1 * SIGMA, sigma.clone());
        let mut result = self.auxiliary_update(y0, n1)?;
        let noisy = (z2 * SIGMA).autodiff();
        let output = self.student.denoise(noisy, sigma.clone().autodiff());
        let y0 = output.clone().detach().inner();
        let settings = MatchingAblation::default();
        let auxiliary = self.auxiliary.valid();
        let gradient = matching::gradient(&settings, &self.teacher, &auxiliary, y0, n2, sigma)?;
        let gradients = (output * gradient.autodiff()).mean().backward();
        let report =
            self.optimizers[1].step(&mut self.student.net, gradients, 1.0, &Team::ALONE)?;
        result.push(report.gradient_norm);
        Ok(result)
    }
}

/// Multiplies every weight by 1.1.
struct Grow;

impl ModuleMapper for Grow {
    fn map_float<const D: usize>(&mut self, weight: Param<Tensor<D>>) -> Param<Tensor<D>> {
        weight.map(|w| w * 1.1)
    }
}

/// Values of variance 1 that Python draws alike: sqrt(2) sin of a steep line.
pub fn field(batch: usize, grid: usize, seed: usize, device: &Device) -> Tensor<4> {
    let shape = [batch, CHANNELS, grid, grid];
    let value =
        |i: usize| (12.9898 * (i + 1 + 7919 * seed) as f64).sin() * std::f64::consts::SQRT_2;
    let data: Vec<f32> = (0..shape.iter().product()).map(|i| value(i) as f32).collect();
    Tensor::from_data(TensorData::new(data, shape), device)
}
