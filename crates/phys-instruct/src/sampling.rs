//! Samples from a model, in physical units.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::DiffusionConfig;
use crate::data::Watch;
use crate::diffusion::noise::Draw;
use crate::diffusion::sampler::{self, Method};
use crate::model::{Kind, Model};
use crate::net::params::read;
use crate::parts::Parts;
use crate::{Error, Result, Samples, memory};

/// The number of samples per network call.
pub(crate) const BATCH: usize = 64;

/// The options of sampling.
#[derive(Debug, Clone, Copy)]
pub struct SampleOptions {
    /// The number of samples to draw.
    pub count: usize,
    /// The number of network calls per sample: 1 to K for a student, any number for a teacher.
    pub calls: usize,
    /// The solver of a teacher's ODE.
    pub method: Method,
    /// The seed.
    pub seed: u64,
}

impl Default for SampleOptions {
    /// 16 samples at one call.
    fn default() -> Self {
        Self { count: 16, calls: 1, method: Method::Heun, seed: 0 }
    }
}

/// Samples drawn from a model, and the number of network calls behind each.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The joint fields.
    pub samples: Samples,
    /// The number of calls of the generator or teacher per sample. A student's operator is called
    /// as often, beside it.
    pub calls: usize,
}

/// Draws samples; sample i depends on the seed and i alone. `progress` receives the number of
/// finished samples.
///
/// # Errors
/// Fails for a number of calls that the model cannot take.
pub fn sample(
    model: &Model,
    options: SampleOptions,
    progress: &mut dyn FnMut(usize),
) -> Result<Drawn> {
    sample_watched(model, options, &mut unstopped(progress))
}

/// [`sample`], which may be stopped between two batches.
///
/// # Errors
/// Fails as [`sample`] does, and with [`Error::Interrupted`].
pub fn sample_watched(model: &Model, options: SampleOptions, watch: &mut Watch) -> Result<Drawn> {
    match model.card.kind {
        Kind::Student => {
            let most = model.card.levels.len();
            if !(1..=most).contains(&options.calls) {
                return Err(Error::Config(format!(
                    "this student takes 1 to {most} network calls, not {}",
                    options.calls
                )));
            }
            let samples = watched(model, options.count, options.calls, options.seed, watch)?;
            Ok(Drawn { samples, calls: options.calls })
        }
        Kind::Teacher => teacher_samples(model, options, watch),
    }
}

/// Draws samples of a student at `calls` network calls, 1 to K.
///
/// # Errors
/// Fails for a PDE that this program does not know, and for fields that the device does not give
/// back.
pub fn student_samples(
    model: &Model,
    count: usize,
    calls: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize),
) -> Result<Samples> {
    watched(model, count, calls, seed, &mut unstopped(progress))
}

/// A watch that stops nothing.
pub(crate) fn unstopped(progress: &mut dyn FnMut(usize)) -> Watch<'_> {
    static NEVER: AtomicBool = AtomicBool::new(false);
    Watch { progress, stop: &NEVER }
}

/// [`student_samples`], which may be stopped.
fn watched(
    model: &Model,
    count: usize,
    calls: usize,
    seed: u64,
    watch: &mut Watch,
) -> Result<Samples> {
    let generator = model.generator();
    let draw = |first| Draw { seed, stream: "sample", step: 0, first };
    let device = model.device();
    let coordinates = &model.network.coordinates;

    // The fields that count, from those that a call gives.
    let pde = model.card.pde()?;
    let parts = model.card.round_input.then(|| Parts::of(pde.as_ref()));
    let finish = |x| {
        let x = match &parts {
            Some(parts) => parts.rounded(x),
            None => x,
        };
        match &model.operator {
            Some(operator) => operator.solved(x),
            None => Ok(x),
        }
    };

    let samples = collect(model, count, watch, |shape, first| {
        // States that count as they are pass from call to call without rounding errors.
        if parts.is_none() && model.operator.is_none() {
            return Ok(coordinates.decode(generator.sample(draw(first), calls, shape, &device)));
        }
        generator.finished(draw(first), calls, shape, &device, finish)
    })?;

    if !model.card.round_input {
        return Ok(samples);
    }
    Ok(samples.with_input_rounded(pde.as_ref()))
}

fn teacher_samples(model: &Model, options: SampleOptions, watch: &mut Watch) -> Result<Drawn> {
    let steps = sampler::steps_for(options.calls, options.method)?;
    let process: &DiffusionConfig = &model.card.diffusion;
    let levels = sampler::schedule(steps, process);
    let samples = collect(model, options.count, watch, |shape, first| {
        let draw = Draw { seed: options.seed, stream: "sample", step: 0, first };
        let noise = draw.normal(shape, &model.device());
        let y = sampler::sample(&model.network, noise, &levels, options.method, |_| ());
        Ok(model.network.coordinates.decode(y))
    })?;
    Ok(Drawn { samples, calls: sampler::calls(steps, options.method) })
}

/// Draws fields in physical units, in batches.
///
/// # Errors
/// Fails if `draw` does, for fields that the device does not give back, and with
/// [`Error::Interrupted`].
pub(crate) fn collect(
    model: &Model,
    count: usize,
    watch: &mut Watch,
    draw: impl Fn([usize; 4], u64) -> Result<burn::tensor::Tensor<4>>,
) -> Result<Samples> {
    let card = &model.card;
    let [height, width] = card.grid.shape();
    let sample = [card.channels.len(), height, width];
    let what = format_args!("{count} samples of {height} x {width}");
    memory::ask(memory::of_samples(count, sample), what)?;

    let mut data = Vec::with_capacity(count * card.channels.len() * height * width);
    for start in (0..count).step_by(BATCH) {
        if watch.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let shape = [BATCH.min(count - start), card.channels.len(), height, width];
        data.extend(read(draw(shape, start as u64)?)?);
        (watch.progress)(start + shape[0]);
    }
    Samples::on_grid(&card.pde, &card.channels, card.grid, data)
}
