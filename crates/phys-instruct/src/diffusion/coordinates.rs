//! The coordinates y of the diffusion's state, which stand for joint fields x in physical units.
//! Every entry of y has the same standard deviation `sigma_data`.
//!
//! `pixel` (EDM): with s the standard deviation of the channel, y = sigma_data (x - mean) / s.
//!
//! `modes`: let B be the orthonormal basis that fits the channel's boundary, s_j the data's
//! standard deviation in mode j, and s_rms its root mean square over the channel's modes. Then
//! y_j = (B (x - mean))_j / s_j. The noise at sigma = 1 has in entry j of y the deviation
//!
//! ```text
//! eta_j = (s_rms / s_j)^(1 - power),
//! ```
//!
//! the profile. In x the noise then is white for power 0, and has the data's spectrum for power 1.
//!
//! `joint`: the lowest of these whitened modes are replaced by their principal components across
//! all channels, whitened too (see [`super::joint`]). The noise is that of power 1, and so has the
//! data's covariance.
//!
//! The solution's modes may first be reduced by their regression on the input's modes (see
//! [`super::regression`]); s_j and s_rms are then those of the remainder. This excludes `pixel`.

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::{Channel, Grid};

use super::bases::Bases;
use super::joint::JointMap;
use super::regression::RegressionMap;
use super::statistics::{self, Statistics};
use crate::config::{CoordinatesConfig, CoordinatesKind};
use crate::parts::Parts;
use crate::{Error, Result, Samples};

/// The share of the channel's largest standard deviation below which a mode counts as absent. An
/// absent mode is decoded as zero, or as the part that the input explains.
const ABSENT: f64 = 1e-7;
/// The largest ratio of noise to data in a mode, chosen so that `f32` squares stay finite.
const LARGEST_NOISE: f64 = 1e6;

/// The map between x and y on one device.
#[derive(Debug, Clone)]
pub struct Coordinates {
    /// Standard deviation of y.
    pub sigma_data: f64,
    kind: CoordinatesKind,
    /// The data's mean, physical units; this and the next five are `[1, channel, y, x]`.
    mean: Tensor<4>,
    /// The factor from a whitened mode to the mode in physical units, 0 in absent modes.
    gain: Tensor<4>,
    /// The inverse of `gain`, 0 in absent modes.
    inverse_gain: Tensor<4>,
    /// The data's standard deviation in each mode over its root mean square in the channel.
    coloured: Tensor<4>,
    /// The standard deviation of the noise in each entry of y at sigma = 1.
    profile: Tensor<4>,
    /// The mask that is 1 where y carries data.
    present: Tensor<4>,
    bases: Bases,
    regression: Option<RegressionMap>,
    joint: Option<JointMap>,
}

impl Coordinates {
    /// Measures the statistics of `samples` and builds the coordinates.
    ///
    /// # Errors
    /// Fails for samples whose channels are not those of the PDE, for a channel without variance,
    /// and for a regression among pixels or in a single channel.
    pub fn fit(
        samples: &Samples,
        parts: &Parts,
        config: &CoordinatesConfig,
        device: &Device,
    ) -> Result<(Self, Statistics)> {
        let channels = &parts.channels;
        if samples.channels.len() != channels.len() {
            return Err(Error::Shape(format!(
                "samples of {:?} channels; expected {} channels",
                samples.channels,
                channels.len()
            )));
        }

        let grid = samples.grid();
        let basis = Bases::new(channels, grid, device);
        let mut statistics = Statistics::of(samples, &parts.layout, &basis, config)?;

        // Components are measured on the modes that the other statistics whiten.
        let new = |s: &Statistics| Self::new(s, parts, grid, config, device);
        if let Some(side) = config.joint_modes() {
            let modes = new(&statistics)?;
            let encode = |x| modes.encode(x);
            statistics.components = Some(statistics::components(samples, side, encode, device)?);
        }
        Ok((new(&statistics)?, statistics))
    }

    /// Builds the coordinates from stored statistics on a grid.
    ///
    /// # Errors
    /// Fails for statistics of another shape, a channel without variance, or a regression among
    /// pixels.
    pub fn new(
        statistics: &Statistics,
        parts: &Parts,
        grid: Grid,
        config: &CoordinatesConfig,
        device: &Device,
    ) -> Result<Self> {
        let channels = &parts.channels;
        let area = grid.points();
        let shape = [1, channels.len(), grid.ny, grid.nx];
        let expected = channels.len() * area;
        if statistics.mean.len() != expected || statistics.spectrum.len() != expected {
            return Err(Error::Shape(format!(
                "statistics of {} values, expected {expected}",
                statistics.mean.len()
            )));
        }
        if statistics.components.is_some() && config.joint_modes().is_none() {
            return Err(Error::Config(
                "joint components need coordinates of kind \"joint\"".into(),
            ));
        }

        let pixel = config.is_pixel();
        if statistics.regression.is_some() && pixel {
            return Err(Error::Config("a regression of modes does not go with pixels".into()));
        }

        // EDM's value for pixels, unit variance for modes.
        let sigma_data = if pixel { 0.5 } else { 1.0 };
        let bases = Bases::new(channels, grid, device);
        let regression = &statistics.regression;
        let regression = regression.as_ref();
        let regression =
            regression.map(|r| RegressionMap::new(r, &parts.layout, &bases)).transpose()?;

        let mut maps = Maps::default();
        for (i, channel) in channels.iter().enumerate() {
            varies(&statistics.spectrum[i * area..][..area], channel)?;
            maps.push(
                statistics.whitening(&parts.layout, i, area),
                pixel,
                sigma_data,
                config.noise().power(),
            );
        }

        let tensor = |v: Vec<f32>| Tensor::<4>::from_data(TensorData::new(v, shape), device);
        let present = maps.gain.iter().map(|&g| if g > 0.0 { 1.0 } else { 0.0 }).collect();
        let joint = statistics
            .components
            .as_ref()
            .map(|c| JointMap::new(c, channels.len(), grid, device))
            .transpose()?;

        Ok(Self {
            present: match &joint {
                Some(joint) => joint.present(tensor(present)),
                None => tensor(present),
            },
            sigma_data,
            kind: config.kind(),
            mean: tensor(statistics.mean.clone()),
            gain: tensor(maps.gain),
            inverse_gain: tensor(maps.inverse_gain),
            coloured: tensor(maps.coloured),
            profile: tensor(maps.profile),
            bases,
            regression,
            joint,
        })
    }

    /// The device that holds the coordinates.
    pub fn device(&self) -> Device {
        self.mean.device()
    }

    /// The physical fields of y = 0, which are the data's mean, `[1, channel, y, x]`.
    pub fn mean(&self) -> Tensor<4> {
        self.mean.clone()
    }

    /// The coordinates y of physical fields `x`, both `[batch, channel, y, x]`.
    pub fn encode(&self, x: Tensor<4>) -> Tensor<4> {
        let modes = self.analyse(x - self.mean.clone());
        let modes = match &self.regression {
            Some(regression) => regression.removed(modes),
            None => modes,
        };
        self.of_modes(modes * self.inverse_gain.clone())
    }

    /// The physical fields x of coordinates `y`, both `[batch, channel, y, x]`.
    pub fn decode(&self, y: Tensor<4>) -> Tensor<4> {
        self.linear(y) + self.mean.clone()
    }

    /// [`Coordinates::decode`], in whose gradient the part of the solution that the input explains
    /// is held constant. A pull on the solution alone must not move the input through the
    /// regression.
    pub fn decode_held(&self, y: Tensor<4>) -> Tensor<4> {
        let modes = self.modes(y) * self.gain.clone();
        let modes = match &self.regression {
            Some(regression) => regression.added_held(modes),
            None => modes,
        };
        self.synthesise(modes) + self.mean.clone()
    }

    /// The linear part of [`Coordinates::decode`], without the mean.
    pub fn linear(&self, y: Tensor<4>) -> Tensor<4> {
        let modes = self.modes(y) * self.gain.clone();
        self.synthesise(match &self.regression {
            Some(regression) => regression.added(modes),
            None => modes,
        })
    }

    /// The transposed map of [`Coordinates::linear`].
    pub fn linear_transposed(&self, x: Tensor<4>) -> Tensor<4> {
        let modes = self.analyse(x);
        let modes = match &self.regression {
            Some(regression) => regression.added_transposed(modes),
            None => modes,
        };
        let modes = modes * self.gain.clone();
        match &self.joint {
            Some(joint) => joint.modes_transposed(modes),
            None => modes,
        }
    }

    /// The whitened modes of y (pixels for `pixel`), each of the standard deviation `sigma_data`.
    pub fn modes(&self, y: Tensor<4>) -> Tensor<4> {
        match &self.joint {
            Some(joint) => joint.modes(y),
            None => y,
        }
    }

    /// The coordinates y of whitened `modes`, the inverse of [`Coordinates::modes`].
    pub fn of_modes(&self, modes: Tensor<4>) -> Tensor<4> {
        match &self.joint {
            Some(joint) => joint.components(modes),
            None => modes,
        }
    }

    /// The network's input for coordinates `y`, in pixels, `[batch, inputs, y, x]`.
    ///
    /// The first pictures show y with the spectrum that it has. But for `pixel`, as many follow
    /// that show y with the data's spectrum. Every picture has about the variance of y.
    pub fn to_pixels(&self, y: Tensor<4>) -> Tensor<4> {
        if self.kind == CoordinatesKind::Pixel {
            return y;
        }
        let coloured = self.synthesise(self.modes(y.clone()) * self.coloured.clone());
        let plain = match &self.joint {
            Some(joint) => joint.rotated(y),
            None => y,
        };
        Tensor::cat(vec![self.synthesise(plain), coloured], 1)
    }

    /// The network's output in the entries of y, from its `picture` in pixels.
    pub fn from_pixels(&self, picture: Tensor<4>) -> Tensor<4> {
        let modes = self.analyse(picture);
        match &self.joint {
            Some(joint) => joint.rotated_back(modes),
            None => modes,
        }
    }

    /// The number of pictures that [`Coordinates::to_pixels`] returns.
    pub fn inputs(&self) -> usize {
        let channels = self.profile.dims()[1];
        if self.kind == CoordinatesKind::Pixel { channels } else { 2 * channels }
    }

    /// The profile eta: the standard deviation of the noise in each entry of y at sigma = 1,
    /// `[1, channel, y, x]`.
    pub fn profile(&self) -> Tensor<4> {
        self.profile.clone()
    }

    /// Weights that favour the modes with much energy, `[1, channel, y, x]`.
    ///
    /// A weight is the data's standard deviation in the mode (or component) to the `power`, scaled
    /// to mean square 1 over the modes that carry data. All are 1 for power 0 and for `pixel`.
    pub fn mode_weights(&self, power: f64) -> Tensor<4> {
        let energy = match &self.joint {
            Some(joint) => joint.energy(&self.coloured),
            None => self.coloured.clone(),
        };
        let raw = energy.clamp_min(1e-6).powf_scalar(power) * self.present();
        let mean_square = raw.clone().square().mean() / self.present().mean();
        raw / mean_square.sqrt().reshape([1, 1, 1, 1])
    }

    /// The mask that is 1 where y carries data and 0 in absent modes, `[1, channel, y, x]`.
    pub fn present(&self) -> Tensor<4> {
        self.present.clone()
    }

    /// The modes of fields `x` less their mean (the fields themselves for `pixel`).
    fn analyse(&self, x: Tensor<4>) -> Tensor<4> {
        match self.kind {
            CoordinatesKind::Pixel => x,
            CoordinatesKind::Modes | CoordinatesKind::Joint => self.bases.modes(x),
        }
    }

    /// The inverse of [`Coordinates::analyse`].
    fn synthesise(&self, modes: Tensor<4>) -> Tensor<4> {
        match self.kind {
            CoordinatesKind::Pixel => modes,
            CoordinatesKind::Modes | CoordinatesKind::Joint => self.bases.fields(modes),
        }
    }
}

/// The four diagonal maps of [`Coordinates`], one value for each entry of `[channel, y, x]`.
#[derive(Default)]
struct Maps {
    gain: Vec<f32>,
    inverse_gain: Vec<f32>,
    coloured: Vec<f32>,
    profile: Vec<f32>,
}

impl Maps {
    /// Appends the entries of a channel with the deviations `spectrum`; `power` is the noise's.
    fn push(&mut self, spectrum: &[f32], pixel: bool, sigma_data: f64, power: f64) {
        let largest = spectrum.iter().fold(0.0f64, |m, &v| m.max(f64::from(v)));
        let rms = root_mean_square(spectrum);
        for &v in spectrum {
            let v = f64::from(v);
            let present = v > ABSENT * largest;
            let noise = if pixel { 1.0 } else { (rms / v).powf(1.0 - power).min(LARGEST_NOISE) };
            self.gain.push(if present { (v / sigma_data) as f32 } else { 0.0 });
            self.inverse_gain.push(if present { (sigma_data / v) as f32 } else { 0.0 });
            self.coloured.push(if present { (v / rms) as f32 } else { 0.0 });
            self.profile.push(if present { noise as f32 } else { 1.0 });
        }
    }
}

fn root_mean_square(spectrum: &[f32]) -> f64 {
    let squares: f64 = spectrum.iter().map(|&v| f64::from(v).powi(2)).sum();
    (squares / spectrum.len() as f64).sqrt()
}

/// Refuses a channel that does not vary.
fn varies(spectrum: &[f32], channel: &Channel) -> Result<()> {
    let rms = root_mean_square(spectrum);
    if rms > 0.0 && rms.is_finite() {
        return Ok(());
    }
    Err(Error::Shape(format!("channel `{}` of the data has no variance", channel.name)))
}
