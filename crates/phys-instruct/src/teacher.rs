//! Training of the teacher: EDM's denoising score matching (Karras et al. 2022, section 5) in
//! pixels or mode by mode.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::Pde;
use serde_json::{Map, json};

use crate::config::{Config, NetConfig};
use crate::diffusion::noise::Draw;
use crate::diffusion::{Coordinates, Network, loss};
use crate::model::{Card, Kind, Model, Record, refine, statistics_arrays, statistics_from};
use crate::net::optimizer::AdamW;
use crate::net::{UNet, params};
use crate::parts::Parts;
use crate::problem::{self, Described};
use crate::residual::Residual;
use crate::store::weights::Bundle;
use crate::team::Team;
use crate::training::{Origin, StepRecord, Training, ema_decay};
use crate::{Error, Result, Samples};

/// The state of a teacher's training.
pub struct TeacherTraining {
    config: Config,
    card: Card,
    data: Samples,
    device: Device,
    statistics: crate::diffusion::statistics::Statistics,
    /// The residual in PIDM's loss; none without `train.residual_weight`.
    residual: Option<Box<dyn Residual>>,
    network: Network,
    average: UNet,
    optimizer: AdamW,
    skipped: u64,
    /// The sum and the number of the finite losses since the last line of metrics.
    loss_since_log: (f64, u64),
    origin: Origin,
    /// The making of the finished model, for its file.
    record: Record,
    team: Team,
}

impl TeacherTraining {
    /// A training on `data` from the beginning, or from the weights of `start`. A start of the same
    /// grid gives its coordinates too.
    ///
    /// # Errors
    /// Data or a start that does not fit the configuration.
    pub fn new(
        config: &Config,
        pde: &dyn Pde,
        data: Samples,
        start: Option<Model>,
        device: &Device,
    ) -> Result<Self> {
        config.ask_for_teacher()?;
        if data.grid() != config.grid {
            return Err(Error::Shape(format!(
                "the data's grid is {}, the configured one {}",
                data.grid(),
                config.grid
            )));
        }

        let described = problem::description(pde).map(|own| own.completed(&data)).transpose()?;
        let described = described.map(Described::new).transpose()?;
        let pde = described.as_ref().map_or(pde, |own| own as &dyn Pde);
        let card = Card::new(Kind::Teacher, config, pde);
        let mut origin = Origin::new(config, Kind::Teacher, &data)?;
        if let Some(model) = &start {
            origin.add_weights("start", &params::to_arrays(&model.network.net, "")?);
        }

        let record = Record::of_training(config, start.as_ref())?;
        let times = start.as_ref().map(|model| times_as_fine(&card, model)).transpose()?;
        let (plain, mut statistics) = match start.zip(times) {
            Some((model, 1)) => (model.network.valid(), model.statistics),
            finer => {
                let spread = |(model, times): (Model, usize)| {
                    refine::network(&model.network, &model.card, times)
                };
                let begun = finer.map(spread).transpose()?;
                let (coordinates, statistics) =
                    Coordinates::fit(&data, &Parts::of(pde), &config.coordinates, device)?;
                let [inputs, outputs] = [coordinates.inputs(), card.channels.len()];
                let new = || UNet::new(&config.net, inputs, outputs, config.seed, device);
                let net = begun.unwrap_or_else(new);
                (Network::new(net, coordinates).valid(), statistics)
            }
        };

        if described.is_some() {
            statistics.keep_examples(&data);
        }

        let guided = config.train.residual_weight.is_some();
        Ok(Self {
            residual: guided.then(|| problem::residual(pde, config.grid, device)).transpose()?,
            config: config.clone(),
            card,
            data,
            device: device.clone(),
            statistics,
            average: plain.net.clone(),
            network: plain.train(),
            optimizer: AdamW::new(&config.train.optimizer),
            skipped: 0,
            loss_since_log: (0.0, 0),
            origin,
            record,
            team: Team::default(),
        })
    }

    /// Refuses a start that does not fit the configuration, before there are data. A start of a PDE
    /// that is known by data alone passes: only the data complete its description.
    ///
    /// # Errors
    /// Fails as [`TeacherTraining::new`] does with such a start.
    pub fn check_start(config: &Config, start: &Model) -> Result<()> {
        let pde = config.pde()?;
        if problem::description(pde.as_ref()).is_none() {
            times_as_fine(&Card::new(Kind::Teacher, config, pde.as_ref()), start)?;
        }
        Ok(())
    }

    /// This training with its slice of every batch.
    ///
    /// # Errors
    /// Fails for a batch that cannot be cut into equal slices.
    pub fn with_team(mut self, team: Team) -> Result<Self> {
        team.check_batch("train.batch", self.config.train.batch)?;
        self.team = team;
        Ok(self)
    }

    /// The model with averaged weights.
    pub fn model(&self) -> Model {
        Model {
            card: Card { record: self.record.clone(), ..self.card.clone() },
            statistics: self.statistics.clone(),
            network: self.network.with_net(self.average.clone()).freeze(),
            calibrations: Vec::new(),
            operator: None,
            checksum: None,
        }
    }

    fn draw<'a>(&self, stream: &'a str) -> Draw<'a> {
        let first = self.slice().start as u64;
        Draw { seed: self.config.seed, stream, step: self.card.steps, first }
    }

    /// The samples of a batch that this process takes.
    fn slice(&self) -> Range<usize> {
        self.team.slice(self.config.train.batch)
    }

    /// A batch of clean states y.
    fn batch(&self) -> Tensor<4> {
        let chosen = self.draw("batch").indices(self.slice().len(), self.data.count);
        batch_of(&self.data, &chosen, &self.network.coordinates, &self.device)
    }

    fn metrics(
        &mut self,
        loss: f64,
        gradient_norm: f64,
        rate: f64,
    ) -> Map<String, serde_json::Value> {
        // The loss of a skipped step is often no number, which would spoil the sum.
        if loss.is_finite() {
            let (sum, count) = self.loss_since_log;
            self.loss_since_log = (sum + loss, count + 1);
        }

        if !self.card.steps.is_multiple_of(self.config.train.log_every as u64) {
            return Map::new();
        }

        let (sum, count) = std::mem::take(&mut self.loss_since_log);
        let value = json!({
            "step": self.card.steps,
            "loss": sum / count as f64,
            "gradient_norm": gradient_norm,
            "learning_rate": rate * self.config.train.optimizer.learning_rate,
            "skipped": self.skipped,
            "seconds": self.card.seconds,
        });
        value.as_object().cloned().unwrap_or_default()
    }
}

impl Training for TeacherTraining {
    fn team(&self) -> &Team {
        &self.team
    }

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn step_count(&self) -> u64 {
        self.card.steps
    }

    fn total(&self) -> u64 {
        self.config.train.steps as u64
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }

    fn step(&mut self) -> Result<StepRecord> {
        let c = &self.config.train;
        let d = &self.config.diffusion;

        let y0 = self.batch();
        let noise = self.draw("noise").normal(y0.dims(), &self.device);
        let sigma = self.draw("sigma");
        let sigma = sigma.sigma(y0.dims()[0], d.ln_sigma_mean, d.ln_sigma_std, &self.device);
        let loss = match (&self.residual, c.residual_weight) {
            (Some(residual), Some(weight)) => {
                loss::physics_informed(&self.network, residual.as_ref(), [y0, noise], sigma, weight)
            }
            _ => self.network.loss(y0, noise, sigma),
        };

        let gradients = loss.backward();
        let rate = c.schedule().share(self.card.steps);
        let report = self.optimizer.step(&mut self.network.net, gradients, rate, &self.team)?;
        if !report.skipped {
            let decay = ema_decay(self.card.steps, c.ema_half_life);
            params::average(&mut self.average, &self.network.net, decay)?;
        }

        self.card.steps = self.card.steps.saturating_add(1);
        self.card.samples_seen =
            self.card.samples_seen.saturating_add(self.config.train.batch as u64);
        self.skipped = self.skipped.saturating_add(u64::from(report.skipped));

        let loss = self.team.mean_of(loss.into_scalar::<f32>().into())?;
        Ok(StepRecord {
            metrics: self.metrics(loss, report.gradient_norm, rate),
            skipped: report.skipped,
        })
    }

    fn checkpoint(&self) -> Result<Bundle> {
        let metadata = json!({
            "checkpoint": "teacher",
            "card": self.card,
            "config": self.config,
            "origin": self.origin,
            "skipped": self.skipped,
            "loss_since_log": self.loss_since_log,
            // JSON may change a fraction's last place, and with it the next line of metrics.
            "loss_bits": self.loss_since_log.0.to_bits(),
        });

        let mut tensors = params::to_arrays(&self.network.net, "net.")?;
        tensors.extend(params::to_arrays(&self.average, "average.")?);
        tensors.extend(self.optimizer.to_arrays("optimizer."));
        tensors.extend(statistics_arrays(&self.statistics, &self.card));
        Ok(Bundle { metadata, tensors })
    }

    fn restore(&mut self, checkpoint: &Bundle) -> Result<()> {
        let field = |name: &str| checkpoint.metadata.get(name).cloned().unwrap_or_default();
        let bad = |e: serde_json::Error| Error::Shape(format!("checkpoint: {e}"));
        self.origin.check(&checkpoint.metadata)?;
        self.card = self.card.with_counts_of(&field("card"))?;
        self.skipped = serde_json::from_value(field("skipped")).map_err(bad)?;

        // A sum that is no number stands as null in old checkpoints; it begins anew.
        let (sum, count): (Option<f64>, u64) =
            serde_json::from_value(field("loss_since_log")).map_err(bad)?;
        self.loss_since_log = sum.map_or((0.0, 0), |sum| (sum, count));
        let bits = field("loss_bits").as_u64().map(f64::from_bits);
        if let Some(sum) = bits.filter(|sum| sum.is_finite()) {
            self.loss_since_log.0 = sum;
        }

        // Not measured anew: the eigenbasis of the same data may come out otherwise.
        self.statistics = statistics_from(&checkpoint.tensors, &self.card)?;
        let (parts, grid) = (Parts::of(self.card.pde()?.as_ref()), self.card.grid);
        let config = &self.card.coordinates;
        let coordinates = Coordinates::new(&self.statistics, &parts, grid, config, &self.device)?;

        let plain = self.network.valid();
        let net = params::from_arrays(plain.net, &checkpoint.tensors, "net.")?;
        self.network = Network::new(net, coordinates).train();
        self.average = params::from_arrays(self.average.clone(), &checkpoint.tensors, "average.")?;
        self.optimizer.restore(&checkpoint.tensors, "optimizer.")
    }

    fn add_seconds(&mut self, seconds: f64) {
        self.card.seconds += seconds;
    }
}

/// The number of points of a teacher like `card` for every point of `start`, along each side.
///
/// # Errors
/// [`Error::Config`] for a start that is no such teacher, on its grid or one 2 or 4 times coarser.
fn times_as_fine(card: &Card, start: &Model) -> Result<usize> {
    let start = &start.card;
    let times = match start.grid == card.grid {
        true => 1,
        false => refine::times_as_fine(start, card.grid).map_err(|error| {
            error.map_config(|reason| {
                format!("train.start: {reason}; `--unset train.start` begins from nothing")
            })
        })?,
    };

    let net = NetConfig { patch: start.net.patch * times, ..start.net.clone() };
    let of = |c: &Card| (c.kind, c.pde.clone(), c.params.clone(), c.channels.clone());
    // A finer grid may have noise levels of its own: those of white noise are others there.
    let diffusion = |c: &Card| (times == 1).then(|| c.diffusion.clone());
    let process = |c: &Card| (c.coordinates.clone(), diffusion(c), c.description.clone());
    if of(card) == of(start) && net == card.net && process(card) == process(start) {
        return Ok(times);
    }

    let patch = match net == card.net {
        true => String::new(),
        false => format!("; net.patch would have to be {}", net.patch),
    };
    Err(Error::Config(format!(
        "train.start is a {:?} of {} on grid {} that differs from the config in its PDE, network, \
         coordinates or diffusion{patch}",
        start.kind, start.pde, start.grid
    )))
}

/// The states y of the `chosen` samples of `data`, `[batch, channel, y, x]`.
pub fn batch_of(
    data: &Samples,
    chosen: &[usize],
    coordinates: &Coordinates,
    device: &Device,
) -> Tensor<4> {
    let values: Vec<f32> = chosen.iter().flat_map(|&i| data.sample(i)).copied().collect();
    let shape = [chosen.len(), data.channels.len(), data.height, data.width];
    coordinates.encode(Tensor::from_data(TensorData::new(values, shape), device))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::rng;

    use super::*;
    use crate::device;
    use crate::diffusion::denoiser::Denoiser;
    use crate::testing::samples_from;

    /// A teacher on `side` x `side` points, 8 patches along a side, that has taken so many steps.
    fn teacher(side: usize, coordinates: &str, start: Option<Model>, steps: u64) -> Model {
        let text = format!(
            "pde = 'darcy'\ngrid = {side}\nseed = 1\n\
             net = {{ width = 16, multipliers = [1, 2], patch = {} }}\n\
             train = {{ steps = 150, batch = 16, warmup = 10 }}\n\
             coordinates = {coordinates}\n",
            side / 8
        );
        let config = Config::from_toml(&text).unwrap();
        let pde = config.pde().unwrap();
        let data = samples_from(pde.as_ref(), 256, side, 1);
        let new = TeacherTraining::new(&config, pde.as_ref(), data, start, &device::cpu());
        let mut training = new.unwrap();
        while training.step_count() < steps {
            training.step().unwrap();
        }
        training.model()
    }

    /// The mean square error of denoised fields in physical units, each channel in units of its
    /// variance, with noise of one level that is the same for every model.
    fn error(model: &Model, truth: &Samples, sigma: f32) -> f32 {
        let (device, network) = (device::cpu(), &model.network);
        let chosen: Vec<usize> = (0..truth.count).collect();
        let y = batch_of(truth, &chosen, &network.coordinates, &device);
        let mut rng = rng::stream(1, "test", 0, 0);
        let noise = rng::normals(&mut rng, y.dims().iter().product());
        let noise: Vec<f32> = noise.into_iter().map(|value| value as f32).collect();
        let noise = Tensor::from_data(TensorData::new(noise, y.dims()), &device);

        let noisy = y.clone() + noise * network.profile() * sigma;
        let denoised = network.denoise(noisy, Tensor::full([truth.count], sigma, &device));
        let [denoised, truth] = [denoised, y].map(|y| network.coordinates.decode(y));
        let of_channel = |x: Tensor<4>| x.square().mean_dim(0).mean_dim(2).mean_dim(3);
        let spread = of_channel(truth.clone() - truth.clone().mean_dim(0));
        (of_channel(denoised - truth) / spread).mean().into_scalar()
    }

    #[test]
    fn a_coarse_teacher_knows_the_coarse_structure_of_the_fine_grid() {
        let pde = phys_instruct_physics::registry::by_name("darcy").unwrap();
        let held_out = samples_from(pde.as_ref(), 64, 32, 2);
        // Modes know the spectrum without training: little is left to learn in so few steps.
        for (coordinates, most) in [
            ("{ kind = 'pixel' }", 0.6),
            ("{ kind = 'modes' }", 0.97),
            ("{ kind = 'modes', noise = 'data' }", 0.99),
        ] {
            let coarse = teacher(16, coordinates, None, 150);
            let [begun, new] = [Some(coarse), None]
                .map(|start| error(&teacher(32, coordinates, start, 0), &held_out, 2.0));
            assert!(begun < most * new, "{coordinates}: {begun}, {new} anew");
        }
    }
}
