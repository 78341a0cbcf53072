//! The student in training: the state that every phase reads and updates.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use super::calibration::{self, FirstLine, Wanted};
use crate::config::{DistillConfig, OptimizerConfig};
use crate::diffusion::Network;
use crate::diffusion::noise::Draw;
use crate::model::{Card, Model};
use crate::net::optimizer::{AdamW, StepReport};
use crate::net::{UNet, params};
use crate::parts::Parts;
use crate::residual::Residual;
use crate::store::weights::Array;
use crate::student::{Calibration, Generator, Operator};
use crate::team::Team;
use crate::training::ema_decay;
use crate::{Error, Result, Samples};

/// The student, its average and its optimizer, beside the teacher and the equation.
pub struct Student {
    /// The seed behind every draw.
    pub seed: u64,
    /// The configuration of the training.
    pub config: DistillConfig,
    /// The description of the finished student; its `steps` are those done so far.
    pub card: Card,
    /// The device of all tensors.
    pub device: Device,
    /// The model that training starts from.
    pub teacher: Model,
    /// The student's weights, recording gradients.
    pub network: Network,
    /// The average of its weights over the last steps.
    pub average: UNet,
    /// The optimizer of its weights.
    pub optimizer: AdamW,
    /// The calibration of each network call; empty before the student is calibrated.
    pub calibrations: Vec<Calibration>,
    /// The operator that makes the solution; none before one is trained.
    pub operator: Option<Operator>,
    /// The run's training data, if a phase needs them.
    pub pairs: Option<Arc<Samples>>,
    /// Samples that no phase trains on.
    pub held_out: Samples,
    /// The residual of the PDE; none for one that is known by data alone.
    pub residual: Option<Box<dyn Residual>>,
    /// The parts of its samples.
    pub parts: Parts,
    /// The statistics of the data's first line, if the input is that line.
    pub first_line: Option<FirstLine>,
    /// The processes that train this student together.
    pub team: Team,
}

impl Student {
    /// The draw of this step for the purpose `stream`. Samples are numbered from `part` * 2^48 on;
    /// the draw begins with the first that this process takes.
    pub fn draw<'a>(&self, stream: &'a str, part: usize) -> Draw<'a> {
        let first = ((part as u64) << 48) + self.team.slice(self.config.batch).start as u64;
        Draw { seed: self.seed, stream, step: self.card.steps, first }
    }

    /// An index below `count` for the purpose `stream` that is the same in all processes.
    pub fn choice(&self, stream: &str, count: usize) -> usize {
        Draw { first: 0, ..self.draw(stream, 0) }.indices(1, count)[0]
    }

    /// The shape of this process's slice of a batch, `[sample, channel, y, x]`.
    pub fn shape(&self) -> [usize; 4] {
        let c = &self.card;
        [self.team.slice(self.config.batch).len(), c.channels.len(), c.grid.ny, c.grid.nx]
    }

    /// The residual of the PDE.
    ///
    /// # Errors
    /// [`Error::NoEquation`] for a PDE that is known by data alone.
    pub fn equation(&self) -> Result<&dyn Residual> {
        let none = || Error::NoEquation { pde: self.card.pde.clone() };
        self.residual.as_deref().ok_or_else(none)
    }

    /// The generator with the network `network` and the student's levels and calibrations.
    pub fn generator<'a>(&'a self, network: &'a Network) -> Generator<'a> {
        let (levels, calibrations) = (&self.card.levels, &self.calibrations);
        Generator { network, levels, calibrations }
    }

    /// The number of network calls of this step's samples, uniform in 1..=K.
    pub fn calls(&self) -> usize {
        self.choice("depth", self.card.levels.len()) + 1
    }

    /// The network with averaged weights, packed for inference.
    pub fn averaged(&self) -> Network {
        self.network.with_net(self.average.clone()).freeze()
    }

    /// The model with averaged weights.
    pub fn model(&self) -> Model {
        Model {
            card: Card {
                operator: self.operator.as_ref().map(|operator| operator.card.clone()),
                ..self.card.clone()
            },
            statistics: self.teacher.statistics.clone(),
            network: self.averaged(),
            calibrations: self.calibrations.clone(),
            operator: self.operator.clone(),
            checksum: None,
        }
    }

    /// Continues from the averaged weights with a fresh optimizer: the old one has seen gradients
    /// at other weights.
    pub fn restart_from_average(&mut self, optimizer: &OptimizerConfig) {
        self.network = self.averaged().train();
        self.optimizer = AdamW::new(optimizer);
    }

    /// One step of the weights along the gradient of `loss` at `rate` times the learning rate.
    ///
    /// # Errors
    /// Fails as [`AdamW::step`] does.
    pub fn update(&mut self, loss: &Tensor<1>, rate: f64) -> Result<StepReport> {
        let gradients = loss.backward();
        let report = self.optimizer.step(&mut self.network.net, gradients, rate, &self.team)?;
        if !report.skipped {
            let decay = ema_decay(self.card.steps, self.config.ema_half_life);
            params::average(&mut self.average, &self.network.net, decay)?;
        }
        Ok(report)
    }

    /// Measures the calibration of every call anew, for the channels from `first` on.
    ///
    /// # Errors
    /// Fails as [`calibration::measure`] does.
    pub fn calibrate(&mut self, first: usize) -> Result<()> {
        let [_, channels, height, width] = self.shape();
        let rounding = self.config.round_input.then_some(&self.parts);
        let wanted = Wanted { rounding, line: self.first_line.as_ref() };
        let network = self.averaged();
        let generator = self.generator(&network);
        let shape = [channels, height, width];
        self.calibrations = calibration::measure(&generator, wanted, first, shape, self.seed)?;
        Ok(())
    }

    /// The state as arrays.
    ///
    /// # Errors
    /// Fails where the device does not give the weights back.
    pub fn to_arrays(&self) -> Result<BTreeMap<String, Array>> {
        let mut arrays = params::to_arrays(&self.network.net, "net.")?;
        arrays.extend(params::to_arrays(&self.average, "average.")?);
        arrays.extend(self.optimizer.to_arrays("optimizer."));
        arrays.extend(Calibration::to_arrays(&self.calibrations)?);
        Ok(arrays)
    }

    /// Restores the state that [`Student::to_arrays`] wrote.
    ///
    /// # Errors
    /// Fails for arrays that are missing or of another shape.
    pub fn restore(&mut self, arrays: &BTreeMap<String, Array>) -> Result<()> {
        let plain = self.plain();
        self.network =
            plain.with_net(params::from_arrays(plain.net.clone(), arrays, "net.")?).train();
        self.average = params::from_arrays(plain.net.clone(), arrays, "average.")?;
        let calls = self.card.levels.len();
        self.calibrations = Calibration::from_arrays(arrays, calls, &plain.coordinates)?;
        self.optimizer.restore(arrays, "optimizer.")
    }

    /// The teacher's network with the student's c_skip, in plain tensors.
    pub fn plain(&self) -> Network {
        self.teacher.network.clone().with_skip(self.card.skip)
    }
}
