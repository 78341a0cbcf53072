//! The statistics of the data that define the coordinates.

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::Layout;

use super::bases::Bases;
use super::joint::{self, Components};
use super::regression::{Regression, Sums};
use crate::config::CoordinatesConfig;
use crate::net::params::read;
use crate::{Result, Samples};

/// The most examples that are kept. One sample in 65 exceeds the largest of so many numbers.
const EXAMPLES: usize = 64;
/// The most bytes that they take, 8 MiB: those of two fields of 128 x 128 points.
const EXAMPLE_BYTES: usize = 8 << 20;
/// The number of samples whose modes are computed at a time.
const BATCH: usize = 256;

/// The statistics, as stored in a model file: one value per entry of `[channel, y, x]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Mean of the fields at each point, physical units.
    pub mean: Vec<f32>,
    /// Standard deviation of each mode (`modes`, `joint`) or of the channel (`pixel`), physical
    /// units.
    pub spectrum: Vec<f32>,
    /// The regression of the solution's modes on the input's (`linear_predictor`).
    pub regression: Option<Regression>,
    /// The principal components of the low modes (`joint`).
    pub components: Option<Components>,
    /// Some samples of the data, one after the other, physical units. Only where no equation is
    /// known: an answer's observations are compared with them.
    pub examples: Vec<f32>,
}

impl Statistics {
    /// Measures the statistics of `samples`, all but the components. These are measured on modes
    /// that the other statistics whiten.
    ///
    /// # Errors
    /// Fails for a regression without a channel of the solution, or where the device does not give
    /// the modes back.
    pub fn of(
        samples: &Samples,
        layout: &Layout,
        bases: &Bases,
        config: &CoordinatesConfig,
    ) -> Result<Self> {
        let mean = mean(samples);

        let pixel = config.is_pixel();
        let mut power = vec![0.0f64; samples.sample_len()];
        let mut sums = config.linear_predictor().then(|| Sums::new(layout, bases)).transpose()?;
        for x in centred(samples, &mean, bases) {
            let modes = if pixel { x } else { bases.modes(x) };
            if let Some(sums) = &mut sums {
                sums.add(modes.clone())?;
            }
            add_squares(&mut power, modes)?;
        }

        // The mean is subtracted before, so that the mean square is the variance.
        let area = samples.height * samples.width;
        let variance: Vec<f64> = power.iter().map(|p| p / samples.count as f64).collect();
        let solved = &layout.solution.channels;
        let solved = solved.start * area..solved.end * area;
        let regression = sums.map(|sums| sums.regression(&variance[solved]));
        let spectrum = if pixel { of_channels(&variance, area) } else { of_modes(&variance) };
        Ok(Self { mean, spectrum, regression, components: None, examples: Vec::new() })
    }

    /// Keeps some of the `samples` as examples, spread over them.
    pub fn keep_examples(&mut self, samples: &Samples) {
        let fitting = EXAMPLE_BYTES / (size_of::<f32>() * samples.sample_len()).max(1);
        let count = samples.count.min(EXAMPLES).min(fitting);
        let chosen = (0..count).map(|i| i * samples.count / count);
        self.examples = chosen.flat_map(|i| samples.sample(i).iter().copied()).collect();
    }

    /// The standard deviations by which the coordinates whiten the `area` entries of a channel.
    /// Under a regression, those of a solution are the deviations of its remainders.
    pub(super) fn whitening(&self, layout: &Layout, channel: usize, area: usize) -> &[f32] {
        let solved = &layout.solution.channels;
        match &self.regression {
            Some(regression) if solved.contains(&channel) => {
                &regression.remainder[(channel - solved.start) * area..][..area]
            }
            _ => &self.spectrum[channel * area..][..area],
        }
    }
}

/// The principal components of the samples' low modes, the `side` lowest of each axis and channel.
/// `encode` takes physical fields to whitened modes.
pub(super) fn components(
    samples: &Samples,
    side: usize,
    encode: impl Fn(Tensor<4>) -> Tensor<4>,
    device: &Device,
) -> Result<Components> {
    let side = side.min(samples.height).min(samples.width);
    let mut products = vec![0.0; (samples.channels.len() * side * side).pow(2)];
    for start in (0..samples.count).step_by(BATCH) {
        let modes = encode(batch(samples, start, device));
        joint::add_products(&mut products, modes, side)?;
    }
    Components::of(&products, samples.count, side)
}

/// The mean of the samples at each entry of `[channel, y, x]`.
fn mean(samples: &Samples) -> Vec<f32> {
    let mut sum = vec![0.0f64; samples.sample_len()];
    for i in 0..samples.count {
        for (s, &v) in sum.iter_mut().zip(samples.sample(i)) {
            *s += f64::from(v);
        }
    }
    sum.iter().map(|s| (s / samples.count as f64) as f32).collect()
}

/// Adds the squares of every sample of `of` `[batch, channel, y, x]` to `sums`, entry by entry.
fn add_squares(sums: &mut [f64], of: Tensor<4>) -> Result<()> {
    for sample in read(of)?.chunks(sums.len()) {
        for (sum, &v) in sums.iter_mut().zip(sample) {
            *sum += f64::from(v).powi(2);
        }
    }
    Ok(())
}

/// The standard deviation of each mode.
fn of_modes(variance: &[f64]) -> Vec<f32> {
    variance.iter().map(|v| v.sqrt() as f32).collect()
}

/// The standard deviation of the channel, repeated for each of its `area` points.
fn of_channels(variance: &[f64], area: usize) -> Vec<f32> {
    let of = |channel: &[f64]| (channel.iter().sum::<f64>() / channel.len() as f64).sqrt() as f32;
    variance.chunks(area).flat_map(|channel| vec![of(channel); channel.len()]).collect()
}

/// The samples less their mean, batch by batch, `[batch, channel, y, x]`.
fn centred<'a>(
    samples: &'a Samples,
    mean: &[f32],
    bases: &Bases,
) -> impl Iterator<Item = Tensor<4>> + use<'a> {
    let shape = [1, samples.channels.len(), samples.height, samples.width];
    let mean = Tensor::from_data(TensorData::new(mean.to_vec(), shape), &bases.y.device());
    let starts = (0..samples.count).step_by(BATCH);
    starts.map(move |start| batch(samples, start, &mean.device()) - mean.clone())
}

/// The batch of samples that begins at `start`, `[batch, channel, y, x]`; the last may be shorter.
fn batch(samples: &Samples, start: usize, device: &Device) -> Tensor<4> {
    samples.slice(start..(start + BATCH).min(samples.count)).into_tensor(device)
}
