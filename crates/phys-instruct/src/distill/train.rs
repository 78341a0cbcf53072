//! Training of the student (arXiv 2602.03627, algorithm of section 4): in turn, an auxiliary model
//! learns the student's present distribution, and the student follows the matching gradient plus
//! the guidance's.
//!
//! Each number of network calls has an auxiliary model of its own. A single one tracks the mixture
//! of them all, and once the mixture is matched nothing holds its parts: samples of one call keep
//! too little variance and those of two too much.
//!
//! Before that the student may be brought near the data by regression on the teacher's own flow
//! (warm start), after it onto the PDE with its input held (see [`super::anchored`]).

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use serde_json::{Map, Value, json};

use super::guidance::{self, norm};
use super::matching::{self, Match};
use super::{Auxiliary, Calibration, FirstLine, Generator, Wanted, anchored};
use crate::config::{Config, DiffusionConfig, Preconditioning};
use crate::diffusion::noise::Draw;
use crate::diffusion::sampler::{self, Method};
use crate::diffusion::{Denoiser, Network};
use crate::eval::moments;
use crate::model::{Card, Kind, Model, statistics_arrays};
use crate::net::optimizer::{AdamW, StepReport};
use crate::net::{UNet, params};
use crate::residual::Residual;
use crate::store::weights::Bundle;
use crate::training::{Origin, Outcome, Training, ema_decay, learning_rate};
use crate::{Error, Result, Samples, seeds};

/// Computes figures of student samples (`[batch, ...]` in physical units) for the metrics file.
pub type Monitor = Box<dyn Fn(&Samples) -> Result<Map<String, Value>> + Send>;

/// Samples that training looks at.
const LOOKED_AT: usize = 256;

/// The state of a student's training.
pub struct StudentTraining {
    config: Config,
    card: Card,
    device: Device,
    teacher: Model,
    student: Network,
    average: UNet,
    optimizer: AdamW,
    /// One per number of network calls.
    auxiliaries: Vec<Auxiliary>,
    residual: Box<dyn Residual>,
    monitor: Monitor,
    /// Of the student's calls, once measured.
    calibrations: Vec<Calibration>,
    /// What they are to make of the first line: the deviations that the anchored phase brings an
    /// input to and holds it by, if that is the first line of the only channel.
    first_line: Option<FirstLine>,
    /// The spread of each channel in held-out data.
    data_spread: Vec<f64>,
    /// By number and network call.
    warm_pairs: BTreeMap<(u64, usize), (Tensor<4>, Tensor<4>)>,
    /// The matched student, to which the last phase holds the input, from its first step on.
    anchor: Option<Network>,
    skipped: u64,
    origin: Origin,
}

impl StudentTraining {
    /// A training from the beginning: student and auxiliary start as the teacher. The held-out
    /// `data` tell what the student's samples should vary by.
    ///
    /// # Errors
    /// A model or data of another PDE or grid than configured, or a student where a teacher is needed.
    pub fn new(
        config: &Config,
        teacher: Model,
        residual: Box<dyn Residual>,
        monitor: Monitor,
        data: &Samples,
        device: &Device,
    ) -> Result<Self> {
        check(config, &teacher.card)?;
        check_data(data, &teacher.card)?;
        config.ask_for_student()?;
        let mut origin = Origin::new(config, Kind::Student, data)?;
        origin.add_weights("teacher", &params::to_arrays(&teacher.network.net, "")?);
        // A student that goes on keeps its skip, and what was spent on it counts.
        let (skip, seconds, samples_seen) = match teacher.card.kind {
            Kind::Teacher => (config.distill.skip, 0.0, 0),
            Kind::Student => (teacher.card.skip, teacher.card.seconds, teacher.card.samples_seen),
        };
        let card = Card {
            kind: Kind::Student,
            levels: config.distill.levels.clone(),
            skip,
            round_input: config.distill.round_input,
            steps: 0,
            samples_seen,
            seconds,
            std_ratio: Vec::new(),
            ..teacher.card.clone()
        };
        Ok(Self {
            config: config.clone(),
            card,
            device: device.clone(),
            student: teacher.network.train().with_skip(skip),
            average: teacher.network.net.clone(),
            optimizer: AdamW::new(&config.distill.optimizer),
            auxiliaries: new_auxiliaries(&teacher, config),
            calibrations: teacher.calibrations.clone(),
            teacher,
            residual,
            monitor,
            first_line: FirstLine::of(data, config.pde()?.as_ref(), device),
            data_spread: moments::spread(data),
            warm_pairs: BTreeMap::new(),
            anchor: None,
            skipped: 0,
            origin,
        })
    }

    /// The student with averaged weights.
    pub fn model(&self) -> Model {
        Model {
            card: self.card.clone(),
            statistics: self.teacher.statistics.clone(),
            network: self.averaged(),
            calibrations: self.calibrations.clone(),
        }
    }

    fn averaged(&self) -> Network {
        self.student.with_net(self.average.clone()).freeze()
    }

    fn draw<'a>(&self, stream: &'a str, part: usize) -> Draw<'a> {
        Draw { seed: self.config.seed, stream, step: self.card.steps, first: (part as u64) << 48 }
    }

    fn shape(&self) -> [usize; 4] {
        let c = &self.card;
        [self.config.distill.batch, c.channels.len(), c.grid, c.grid]
    }

    fn generator<'a>(&'a self, network: &'a Network) -> Generator<'a> {
        let (levels, calibrations) = (&self.card.levels, &self.calibrations);
        Generator { network, levels, calibrations }
    }

    /// How many network calls this step's samples take, uniform in 1..=K.
    fn depth(&self) -> usize {
        let levels = self.config.distill.levels.len();
        self.draw("depth", 0).indices(1, levels)[0] + 1
    }

    /// One regression step on what the teacher's own sampler makes of the generator's input.
    fn warm_start(&mut self, rate: f64) -> Result<(StepReport, f64)> {
        let depth = self.depth();
        let (noisy, target) = self.pair(depth);
        let d = &self.config.distill;
        let noisy = noisy.autodiff();
        let sigma = sampler::constant(d.levels[depth - 1], &noisy);
        let weights = self.student.coordinates.mode_weights(d.warm_start_mode_weight);
        let error = self.student.denoise(noisy, sigma) - target.autodiff();
        let loss = (error * weights.autodiff()).square().mean();
        let report = self.update_student(&loss, rate)?;
        Ok((report, f64::from(loss.into_scalar::<f32>())))
    }

    /// This step's batch of pairs for network call number `depth`, each a function of its number
    /// alone: a state at that call's noise level, and where the teacher's flow carries it.
    fn pair(&mut self, depth: usize) -> (Tensor<4>, Tensor<4>) {
        let d = &self.config.distill;
        let number = self.card.steps % d.warm_start_pairs as u64;
        if let Some(pair) = self.warm_pairs.get(&(number, depth)) {
            return pair.clone();
        }
        let draw = Draw { step: number, ..self.draw("warm-start", depth - 1) };
        let level = d.levels[depth - 1];
        let process = DiffusionConfig { sigma_max: level, ..self.card.diffusion.clone() };
        let levels = sampler::schedule(d.warm_start_nfe.div_ceil(2).max(1), &process);
        let noise = draw.normal(self.shape(), &self.device) * self.student.profile() * level;
        let noisy = if depth == 1 { noise } else { self.pair(1).1 + noise };
        let teacher = &self.teacher.network;
        let target = sampler::flow(teacher, noisy.clone(), &levels, Method::Heun, |_| ());
        self.warm_pairs.insert((number, depth), (noisy.clone(), target.clone()));
        (noisy, target)
    }

    /// The EDM loss on fresh student samples.
    fn auxiliary_step(&mut self, depth: usize, part: usize, rate: f64) -> Result<f64> {
        let d = &self.config.distill;
        let student = self.student.valid();
        let draw = self.draw("auxiliary", part);
        let y0 = self.generator(&student).sample(draw, depth, self.shape(), &self.device);
        let noise = self.draw("auxiliary-noise", part).normal(self.shape(), &self.device);
        let (mean, std) = (d.auxiliary_ln_sigma_mean, d.auxiliary_ln_sigma_std);
        let sigma = self.draw("auxiliary-sigma", part).sigma(d.batch, mean, std, &self.device);
        self.auxiliaries[depth - 1].step(d, [y0, noise], sigma, rate)
    }

    /// Matching plus guidance on one batch of fresh samples.
    fn generator_step(
        &mut self,
        depth: usize,
        rate: f64,
    ) -> Result<(StepReport, Map<String, Value>)> {
        let d = &self.config.distill;
        let plain = self.student.valid();
        let draw = self.draw("generator", 0);
        let noisy = self.generator(&plain).input(draw, depth, self.shape(), &self.device);
        let output = self.generator(&self.student).call(noisy.autodiff(), depth);
        let y0 = output.clone().detach().inner();
        let settings = Match { matching: d.matching, weight: d.weight, alpha: d.alpha };
        let noise = self.draw("matching-noise", 0).normal(self.shape(), &self.device);
        let sigma = self.draw("matching-sigma", 0);
        let sigma = sigma.sigma(d.batch, d.ln_sigma_mean, d.ln_sigma_std, &self.device);
        let auxiliary = self.auxiliaries[depth - 1].network.valid();
        let matched = matching::gradient(
            settings,
            &self.teacher.network,
            &auxiliary,
            y0.clone(),
            noise,
            sigma,
        )?;
        let matched = matched * plain.coordinates.mode_weights(d.mode_weight);
        let match_norm = norm(&matched)?;
        let coordinates = &plain.coordinates;
        let residual = self.residual.as_ref();
        let matching_step = self.card.steps - d.warm_start as u64;
        let pull =
            guidance::pull(&d.guidance, residual, coordinates, &y0, match_norm, matching_step)?;
        let figures = json!({
            "depth": depth,
            "matching_norm": match_norm,
            "guidance_norm": norm(&pull.gradient)?,
            "residual": pull.residual,
        });
        let gradient = (matched + pull.gradient).autodiff();
        let report = self.update_student(&(output * gradient).mean(), rate)?;
        Ok((report, figures.as_object().cloned().unwrap_or_default()))
    }

    /// Ends matching: the student goes on from its averaged weights, which are the anchor's too.
    fn end_matching(&mut self) -> Network {
        let matched = self.averaged();
        self.student = matched.train();
        self.auxiliaries.clear();
        self.optimizer = AdamW::new(&self.config.distill.anchored.optimizer);
        matched
    }

    /// Tells whether a checkpoint is of the anchored phase, by its step and by its tensors.
    ///
    /// # Errors
    /// [`Error::Shape`] where the two contradict each other.
    fn is_anchored(&self, checkpoint: &Bundle) -> Result<bool> {
        let d = &self.config.distill;
        let has_anchor = checkpoint.tensors.keys().any(|name| name.starts_with("anchor."));
        // The first step of the phase makes the anchor.
        if has_anchor == (self.card.steps > (d.warm_start + d.steps) as u64) {
            return Ok(has_anchor);
        }
        let found = if has_anchor { "an anchor" } else { "no anchor" };
        Err(Error::Shape(format!("checkpoint: {found} found at step {}", self.card.steps)))
    }

    /// Measures the calls' calibrations anew for the channels from `first` on.
    fn calibrate(&mut self, student: &Network, first: usize) -> Result<()> {
        let [_, channels, height, width] = self.shape();
        let shape = [channels, height, width];
        let rounding = self.config.distill.round_input.then_some(self.residual.as_ref());
        let wanted = Wanted { rounding, line: self.first_line.as_ref() };
        let student = self.generator(student);
        let measured = Calibration::measure(&student, wanted, first, shape, self.config.seed)?;
        self.calibrations = measured;
        Ok(())
    }

    /// Guidance with the input held to the anchor's.
    fn anchored_step(
        &mut self,
        anchor: &Network,
        rate: f64,
    ) -> Result<(StepReport, Map<String, Value>)> {
        let d = &self.config.distill;
        let depth = self.depth();
        let plain = self.student.valid();
        let draw = self.draw("generator", 0);
        let noisy = self.generator(&plain).input(draw, depth, self.shape(), &self.device);
        let output = self.generator(&self.student).call(noisy.clone().autodiff(), depth);
        let held = self.generator(anchor).call(noisy, depth);
        let coordinates = &self.student.coordinates;
        let terms = anchored::terms(
            self.residual.as_ref(),
            d.round_input,
            self.first_line.as_ref(),
            coordinates.decode_held(output),
            coordinates.decode(held),
        );
        let report = self.update_student(&terms.loss(&d.anchored), rate)?;
        Ok((report, terms.figures(depth)))
    }

    /// One step of the phase that is due.
    fn phase_step(&mut self) -> Result<(StepReport, Map<String, Value>)> {
        let d = &self.config.distill;
        let (warm_start, matching) = (d.warm_start as u64, d.steps as u64);
        let step = self.card.steps;
        if step < warm_start {
            let rate = learning_rate(step, warm_start, d.warmup, d.decay);
            let (report, loss) = self.warm_start(rate * d.warm_start_rate)?;
            return Ok((report, Map::from_iter([("warm_start_loss".to_owned(), json!(loss))])));
        }
        self.warm_pairs.clear();
        let d = &self.config.distill;
        let step = step - warm_start;
        if step < matching {
            let rate = learning_rate(step, matching, d.warmup, d.decay);
            let (depth, mut loss) = (self.depth(), None);
            for part in 0..self.config.distill.auxiliary_steps {
                loss = Some(self.auxiliary_step(depth, part, rate)?);
            }
            let (report, mut figures) = self.generator_step(depth, rate)?;
            figures.extend(loss.map(|loss| ("auxiliary_loss".to_owned(), json!(loss))));
            return Ok((report, figures));
        }

        let a = &d.anchored;
        let rate = learning_rate(step - matching, a.steps as u64, a.warmup, a.decay);
        let calibrate = a.calibrate;
        let anchor = match self.anchor.take() {
            Some(anchor) => anchor,
            None => {
                let matched = self.end_matching();
                if calibrate {
                    self.calibrate(&matched, 0)?;
                }
                matched
            }
        };
        let done = self.anchored_step(&anchor, rate)?;
        self.anchor = Some(anchor);
        Ok(done)
    }

    /// Guidance has moved the solution since its modes were measured: once more, without the first
    /// channel, which holds the input.
    fn calibrate_solution(&mut self) -> Result<()> {
        if self.card.channels.len() > 1 {
            self.calibrate(&self.averaged(), 1)?;
        }
        Ok(())
    }

    /// Notes what the samples of the finished student vary by, so that a collapse is told.
    fn note_deviations(&mut self) -> Result<()> {
        let at = |calls| -> Result<Vec<Option<f64>>> {
            let spread = moments::spread(&self.samples(LOOKED_AT, calls)?);
            let ratios = spread.iter().zip(&self.data_spread).map(|(own, data)| own / data);
            Ok(ratios.map(|ratio| ratio.is_finite().then_some(ratio)).collect())
        };
        self.card.std_ratio = (1..=self.card.levels.len()).map(at).collect::<Result<_>>()?;
        Ok(())
    }

    fn update_student(&mut self, loss: &Tensor<1>, rate: f64) -> Result<StepReport> {
        let gradients = loss.backward();
        let report = self.optimizer.step(&mut self.student.net, gradients, rate)?;
        if !report.skipped {
            let decay = ema_decay(self.card.steps, self.config.distill.ema_half_life);
            params::average(&mut self.average, &self.student.net, decay)?;
        }
        Ok(report)
    }

    /// Samples of the averaged student at `steps` calls, from noise that no training step sees.
    fn samples(&self, count: usize, steps: usize) -> Result<Samples> {
        let model = self.model();
        let seed = seeds::MONITOR + self.config.seed;
        crate::sampling::student_samples(&model, count, steps, seed, &mut |_| ())
    }

    fn metrics(
        &self,
        figures: Map<String, Value>,
        report: StepReport,
    ) -> Result<Map<String, Value>> {
        let d = &self.config.distill;
        let due = |every: usize| every > 0 && self.card.steps.is_multiple_of(every as u64);
        let last = self.card.steps == self.total();
        if !due(d.log_every) && !due(d.evaluate_every) && !last {
            return Ok(Map::new());
        }

        let mut all = figures;
        all.insert("step".into(), json!(self.card.steps));
        all.insert("gradient_norm".into(), json!(report.gradient_norm));
        all.insert("skipped".into(), json!(self.skipped));
        all.insert("seconds".into(), json!(self.card.seconds));
        if due(d.evaluate_every) {
            all.extend((self.monitor)(&self.samples(LOOKED_AT, 1)?)?);
        }
        if last {
            all.insert("std_ratio_by_calls".into(), json!(self.card.std_ratio));
            all.extend(self.card.collapse().map(|text| ("collapse".to_owned(), json!(text))));
        }
        Ok(all)
    }
}

/// One copy of the teacher per number of network calls.
fn new_auxiliaries(teacher: &Model, config: &Config) -> Vec<Auxiliary> {
    let auxiliary = |_: &f64| Auxiliary::new(&teacher.network, &config.distill);
    config.distill.levels.iter().map(auxiliary).collect()
}

/// What training starts from has to fit the config.
fn check(config: &Config, start: &Card) -> Result<()> {
    if (start.pde.as_str(), start.grid) != (config.pde.as_str(), config.grid) {
        return Err(Error::Config(format!(
            "distill.teacher is of {} on grid {}; expected {} on {}",
            start.pde, start.grid, config.pde, config.grid
        )));
    }
    let d = &config.distill;
    if d.anchored.calibrate && start.diffusion.preconditioning == Preconditioning::Pixel {
        let reason = "distill.anchored.calibrate = true needs modes, and the teacher is of pixels";
        return Err(Error::Config(reason.into()));
    }
    if start.kind == Kind::Student && (d.warm_start, d.steps, &d.levels) != (0, 0, &start.levels) {
        return Err(Error::Config(format!(
            "distill.teacher is a student: it goes on with the anchored phase alone, \
             distill.warm_start = 0, distill.steps = 0 and its levels {:?}",
            start.levels
        )));
    }
    Ok(())
}

/// Held-out data has to be of the model's channels and grid.
fn check_data(data: &Samples, model: &Card) -> Result<()> {
    let fits = data.channels == model.channels && [data.height, data.width] == [model.grid; 2];
    if fits && data.count > 1 {
        return Ok(());
    }
    let Samples { count, channels, height, width, .. } = data;
    Err(Error::Shape(format!(
        "{count} held-out samples of {channels:?} on {height} x {width}; expected at least 2 of {0:?} \
         on {1} x {1}",
        model.channels, model.grid
    )))
}

impl Training for StudentTraining {
    fn step_count(&self) -> u64 {
        self.card.steps
    }

    fn total(&self) -> u64 {
        let d = &self.config.distill;
        (d.warm_start + d.steps + d.anchored.steps) as u64
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }

    fn step(&mut self) -> Result<Outcome> {
        let (report, figures) = self.phase_step()?;
        self.card.steps = self.card.steps.saturating_add(1);
        self.card.samples_seen =
            self.card.samples_seen.saturating_add(self.config.distill.batch as u64);
        self.skipped = self.skipped.saturating_add(u64::from(report.skipped));
        if self.card.steps == self.total() {
            if self.anchor.is_some() && self.config.distill.anchored.calibrate {
                self.calibrate_solution()?;
            }
            self.note_deviations()?;
        }
        let metrics = self.metrics(figures, report)?;
        Ok(Outcome { metrics, skipped: report.skipped })
    }

    fn checkpoint(&self) -> Result<Bundle> {
        let metadata = json!({
            "checkpoint": "student",
            "card": self.card,
            "config": self.config,
            "origin": self.origin,
            "skipped": self.skipped,
        });
        let mut tensors = params::to_arrays(&self.student.net, "net.")?;
        tensors.extend(params::to_arrays(&self.average, "average.")?);
        tensors.extend(self.optimizer.to_arrays("optimizer."));
        for (k, auxiliary) in self.auxiliaries.iter().enumerate() {
            tensors.extend(auxiliary.to_arrays(k)?);
        }
        if let Some(anchor) = &self.anchor {
            tensors.extend(params::to_arrays(&anchor.net, "anchor.")?);
        }
        tensors.extend(Calibration::to_arrays(&self.calibrations)?);
        tensors.extend(statistics_arrays(&self.teacher.statistics, &self.card));
        Ok(Bundle { metadata, tensors })
    }

    fn restore(&mut self, checkpoint: &Bundle) -> Result<()> {
        let field = |name: &str| checkpoint.metadata.get(name).cloned().unwrap_or_default();
        let bad = |e: serde_json::Error| Error::Shape(format!("checkpoint: {e}"));
        self.origin.check(&checkpoint.metadata)?;
        self.card = self.card.with_counts_of(&field("card"))?;
        self.skipped = serde_json::from_value(field("skipped")).map_err(bad)?;
        let load = |net: &UNet, prefix: &str| {
            params::from_arrays(net.clone(), &checkpoint.tensors, prefix)
        };
        let plain = self.teacher.network.clone().with_skip(self.card.skip);
        let network = |net: UNet| plain.with_net(net).train();
        self.student = network(load(&plain.net, "net.")?);
        self.average = load(&plain.net, "average.")?;
        // A checkpoint that was tried before this one may have ended the matching.
        self.anchor = None;
        self.optimizer = AdamW::new(&self.config.distill.optimizer);
        self.auxiliaries = new_auxiliaries(&self.teacher, &self.config);
        if self.is_anchored(checkpoint)? {
            self.end_matching();
            self.student = network(load(&plain.net, "net.")?);
            let anchor = load(&plain.net, "anchor.")?;
            self.anchor = Some(plain.with_net(anchor).freeze());
        }
        let (arrays, calls) = (&checkpoint.tensors, self.card.levels.len());
        self.calibrations = Calibration::from_arrays(arrays, calls, &plain.coordinates)?;
        self.optimizer.restore(&checkpoint.tensors, "optimizer.")?;
        for (k, auxiliary) in self.auxiliaries.iter_mut().enumerate() {
            auxiliary.restore(&checkpoint.tensors, k)?;
        }
        Ok(())
    }

    fn add_seconds(&mut self, seconds: f64) {
        self.card.seconds += seconds;
    }
}
