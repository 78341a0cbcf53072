//! AdamW (Loshchilov and Hutter 2019) with global-norm clipping; non-finite steps are skipped.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use phys_instruct_kernels::adamw::{AdamWStep, adamw, sum_of_squares};

use super::UNet;
use super::ops::recycle;
use super::params::{Path, read};
use crate::config::OptimizerConfig;
use crate::store::weights::Array;
use crate::team::Team;
use crate::{Error, Result};

/// Added to the root of the second moment, Adam's own choice.
const EPSILON: f32 = 1e-8;

/// The optimizer's state for one network.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: OptimizerConfig,
    moments: BTreeMap<String, [Array; 2]>,
    step: u64,
}

/// The report of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tells whether the step was skipped because the gradient was not finite.
    pub skipped: bool,
}

impl AdamW {
    /// Makes an optimizer without moments.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self { config: config.clone(), moments: BTreeMap::new(), step: 0 }
    }

    /// Replaces the numbers of the configuration; what is known of the gradients is kept.
    pub fn configure(&mut self, config: &OptimizerConfig) {
        self.config = config.clone();
    }

    /// Takes one step along the mean of the team's gradients, at `rate` times the configured
    /// learning rate. Weights that no other network shares are changed in place.
    ///
    /// # Errors
    /// Fails for gradients or weights that the device does not give back; the weights are then
    /// unusable. Fails as [`Team::mean`] does.
    pub fn step(
        &mut self,
        net: &mut UNet,
        gradients: Gradients,
        rate: f64,
        team: &Team,
    ) -> Result<StepReport> {
        let mut gradients = Values::of(net, gradients)?;
        team.mean(&mut gradients.0.iter_mut().flatten().collect::<Vec<_>>())?;
        let gradient_norm = gradients.norm();
        if !gradient_norm.is_finite() {
            return Ok(StepReport { gradient_norm, skipped: true });
        }

        self.step += 1;
        let clip = self.config.clip;
        let scale = if clip > 0.0 && gradient_norm > clip { clip / gradient_norm } else { 1.0 };
        let gradients = gradients.0.into_iter();
        let (path, outcome) = (Path::default(), Ok(()));
        let mut update = Update { optimizer: self, gradients, scale, rate, path, outcome };
        net.replace(|net| net.map(&mut update));
        update.outcome?;
        Ok(StepReport { gradient_norm, skipped: false })
    }

    fn update(
        &mut self,
        name: String,
        weights: &mut [f32],
        gradient: &[f32],
        scale: f64,
        rate: f64,
    ) {
        let c = &self.config;
        let zeros = || Array { shape: vec![gradient.len()], data: vec![0.0; gradient.len()] };
        let [first, second] = self.moments.entry(name).or_insert_with(|| [zeros(), zeros()]);
        let correction = |beta: f64| 1.0 - beta.powi(self.step.min(1 << 30) as i32);

        let rate = c.learning_rate * rate;
        let step = AdamWStep {
            scale: scale as f32,
            beta1: c.beta1 as f32,
            beta2: c.beta2 as f32,
            epsilon: EPSILON,
            step_size: (rate / correction(c.beta1)) as f32,
            root_correction: (1.0 / correction(c.beta2).sqrt()) as f32,
            keep: (1.0 - rate * c.weight_decay) as f32,
        };
        adamw(&step, gradient, weights, &mut first.data, &mut second.data);
    }

    /// The state as arrays, with `prefix` before each name.
    pub fn to_arrays(&self, prefix: &str) -> BTreeMap<String, Array> {
        let step = Array { shape: vec![2], data: split(self.step).to_vec() };
        self.moments
            .iter()
            .flat_map(|(name, [first, second])| {
                [
                    (format!("{prefix}first.{name}"), first.clone()),
                    (format!("{prefix}second.{name}"), second.clone()),
                ]
            })
            .chain([(format!("{prefix}step"), step)])
            .collect()
    }

    /// Restores the state that [`AdamW::to_arrays`] saved.
    ///
    /// # Errors
    /// Fails if the step count is missing, or if moments lack their pair.
    pub fn restore(&mut self, arrays: &BTreeMap<String, Array>, prefix: &str) -> Result<()> {
        let missing =
            |what: &str| Error::Shape(format!("optimizer state: {prefix}{what} is missing"));
        let step = arrays.get(&format!("{prefix}step")).ok_or_else(|| missing("step"))?;
        let &[low, high] = step.data.as_slice() else { return Err(missing("step")) };
        self.step = join([low, high]);

        self.moments.clear();
        let start = format!("{prefix}first.");
        for (key, first) in arrays.range(start.clone()..).take_while(|(k, _)| k.starts_with(&start))
        {
            let name = &key[start.len()..];
            let second = arrays
                .get(&format!("{prefix}second.{name}"))
                .filter(|second| second.data.len() == first.data.len())
                .ok_or_else(|| missing(name))?;
            self.moments.insert(name.into(), [first.clone(), second.clone()]);
        }
        Ok(())
    }
}

/// A count as two exact `f32`.
fn split(step: u64) -> [f32; 2] {
    [(step % (1 << 20)) as f32, (step >> 20) as f32]
}

fn join([low, high]: [f32; 2]) -> u64 {
    low as u64 + ((high as u64) << 20)
}

/// The gradients of a module's parameters on the host, in the order in which the module is walked;
/// none for a frozen parameter.
struct Values(Vec<Option<Vec<f32>>>);

impl Values {
    fn of(net: &UNet, gradients: Gradients) -> Result<Self> {
        struct Collect(Gradients, Vec<Result<Option<Vec<f32>>>>);
        impl ModuleVisitor for Collect {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.1.push(param.val().grad_remove(&mut self.0).map(read).transpose());
            }
        }
        let mut collect = Collect(gradients, Vec::new());
        net.visit(&mut collect);
        collect.1.into_iter().collect::<Result<_>>().map(Self)
    }

    fn norm(&self) -> f64 {
        self.0.iter().flatten().map(|gradient| sum_of_squares(gradient)).sum::<f64>().sqrt()
    }
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    /// The gradients in the order of [`Values`].
    gradients: std::vec::IntoIter<Option<Vec<f32>>>,
    scale: f64,
    rate: f64,
    path: Path,
    /// The last failure, which the mapping itself cannot return.
    outcome: Result<()>,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.next().flatten() else { return param };
        let name = self.path.name();
        param.map(|old| {
            let (dims, device) = (old.dims(), old.device());
            let mut weights = read(old.detach()).unwrap_or_else(|error| {
                self.outcome = Err(error);
                vec![f32::NAN; gradient.len()]
            });
            self.optimizer.update(name, &mut weights, &gradient, self.scale, self.rate);
            recycle(gradient);
            Tensor::from_data(TensorData::new(weights, dims), &device).require_grad()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_learning_rate_times_the_sign() {
        let config = OptimizerConfig::at(0.1);
        let mut adam = AdamW::new(&config);
        adam.step = 1;
        let mut weights = [1.0, 1.0, 1.0];
        adam.update("w".into(), &mut weights, &[3.0, -0.01, 0.0], 1.0, 1.0);
        for (got, expected) in weights.iter().zip([0.9, 1.1, 1.0]) {
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }
    }

    #[test]
    fn the_state_survives_saving() {
        let mut adam = AdamW::new(&OptimizerConfig::at(1e-3));
        adam.step = (1 << 21) + 5;
        adam.update("a.b".into(), &mut [1.0, 2.0], &[0.5, -0.25], 1.0, 1.0);
        let arrays = adam.to_arrays("adam.");
        let mut other = AdamW::new(&OptimizerConfig::at(1e-3));
        other.restore(&arrays, "adam.").expect("own arrays");
        assert_eq!(other.step, adam.step);
        assert_eq!(other.moments, adam.moments);
    }
}
