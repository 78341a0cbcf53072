//! The auxiliary model: a denoiser trained on the student's present samples at one number of
//! network calls. It gives matching the student's own distribution.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::Result;
use crate::config::OptimizerConfig;
use crate::diffusion::Network;
use crate::net::optimizer::AdamW;
use crate::net::params;
use crate::store::weights::Array;
use crate::team::Team;

/// The model and its optimizer.
pub struct Auxiliary {
    /// The denoiser, whose parameters record gradients.
    pub network: Network,
    optimizer: AdamW,
}

/// The student's samples and the noise that is added to them, plain.
pub struct Batch {
    /// Clean states, `[batch, channel, y, x]`.
    pub clean: Tensor<4>,
    /// Standard normal values of the same shape.
    pub noise: Tensor<4>,
    /// Noise levels, `[batch]`.
    pub sigma: Tensor<1>,
}

impl Auxiliary {
    /// A copy of the teacher.
    pub fn new(teacher: &Network, optimizer: &OptimizerConfig) -> Self {
        Self { network: teacher.train(), optimizer: AdamW::new(optimizer) }
    }

    /// One step on the EDM loss of a batch, of which `team` holds slices, at `rate` times the
    /// learning rate; returns the loss.
    ///
    /// # Errors
    /// Fails as [`AdamW::step`] does.
    pub fn step(&mut self, batch: Batch, rate: f64, team: &Team) -> Result<f64> {
        let Batch { clean, noise, sigma } = batch;
        let loss = self.network.loss(clean.autodiff(), noise.autodiff(), sigma.autodiff());
        let gradients = loss.backward();
        self.optimizer.step(&mut self.network.net, gradients, rate, team)?;
        team.mean_of(loss.into_scalar::<f32>().into())
    }

    /// The state as arrays, as model number `k`.
    ///
    /// # Errors
    /// Fails where the device does not give the weights back.
    pub fn to_arrays(&self, k: usize) -> Result<BTreeMap<String, Array>> {
        let mut arrays = params::to_arrays(&self.network.net, &format!("auxiliary.{k}."))?;
        arrays.extend(self.optimizer.to_arrays(&format!("auxiliary_optimizer.{k}.")));
        Ok(arrays)
    }

    /// Restores the state that [`Auxiliary::to_arrays`] wrote.
    ///
    /// # Errors
    /// Fails for arrays that are missing or of another shape.
    pub fn restore(&mut self, arrays: &BTreeMap<String, Array>, k: usize) -> Result<()> {
        let plain = self.network.valid();
        let net = params::from_arrays(plain.net, arrays, &format!("auxiliary.{k}."))?;
        self.network = Network::new(net, plain.coordinates).train();
        self.optimizer.restore(arrays, &format!("auxiliary_optimizer.{k}."))
    }
}
