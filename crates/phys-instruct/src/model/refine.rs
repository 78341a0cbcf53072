//! A model of a coarse grid as one of a finer grid, without training. [`crate::net::refine`] says
//! what becomes of a network; all statistics are measured anew, on data of the finer grid.

use std::sync::Arc;

use burn::tensor::Tensor;
use phys_instruct_physics::Grid;

use super::{Card, Model, Record};
use crate::config::{CoordinatesConfig, CoordinatesKind, NetConfig};
use crate::diffusion::{Coordinates, Network};
use crate::net::UNet;
use crate::net::refine::{self, Picture, Seen};
use crate::parts::Parts;
use crate::student::Calibration;
use crate::student::operator::{Guess, Operator, OperatorCard, OperatorStatistics};
use crate::{Error, Result, Samples};

/// The modes along an axis, counted from the end, that have no fellow on a finer grid: nodes of the
/// boundary, or the Nyquist cosine.
const ENDS: usize = 2;

impl Model {
    /// This model on the grid of `data`, solved samples of its PDE. Nothing is trained: the law of
    /// the coarse structure is this model's, and the fine structure is left to a training.
    ///
    /// A generator's noise levels are moved to those that a coarse value sees as before. Calibrated
    /// modes of the coarse grid stay calibrated.
    ///
    /// # Errors
    /// Fails as [`times_as_fine`] does, and with [`Error::Shape`] for data of other channels.
    pub fn refined(&self, data: &Samples) -> Result<Self> {
        if data.channels != self.card.channels {
            return Err(Error::Shape(format!(
                "data of {:?} for a model of {:?}",
                data.channels, self.card.channels
            )));
        }
        let card = self.card_on(data.grid())?;
        let times = card.net.patch / self.card.net.patch;
        let network = network(&self.network, &self.card, times)?;

        let device = self.device();
        let parts = Parts::of(card.pde()?.as_ref());
        let (coordinates, mut statistics) =
            Coordinates::fit(data, &parts, &card.coordinates, &device)?;
        if card.description.is_some() {
            statistics.keep_examples(data);
        }

        let operator = self.operator.as_ref().zip(card.operator.clone());
        let operator = operator.map(|(own, finer)| operator_on(own, finer, &card, data));
        let shape = coordinates.profile().dims();
        Ok(Self {
            statistics,
            network: Network::new(network, coordinates).with_skip(card.skip).valid().freeze(),
            calibrations: self.calibrations.iter().map(|own| on_finer(own, shape)).collect(),
            operator: operator.transpose()?,
            // What is trained from this model has the coarse file as its parent.
            checksum: card.record.parent.clone(),
            card,
        })
    }

    /// The description of this model on a finer `grid`.
    ///
    /// # Errors
    /// Fails as [`times_as_fine`] does.
    pub(crate) fn card_on(&self, grid: Grid) -> Result<Card> {
        let own = &self.card;
        let times = times_as_fine(own, grid)?;
        let lifted = (times as f64).powf(noise_power(&own.coordinates));
        let operator = own.operator.as_ref().map(|operator| finer_operator(operator, times));

        let mut diffusion = own.diffusion.clone();
        diffusion.sigma_max *= lifted;
        let parent = self.checksum.clone().map_or_else(|| self.sha256(), Ok)?;
        let licence = own.record.licence.clone();
        Ok(Card {
            grid,
            net: finer(&own.net, times),
            levels: own.levels.iter().map(|level| level * lifted).collect(),
            diffusion,
            operator,
            data: String::new(),
            std_ratio: Vec::new(),
            record: Record { parent: Some(parent), licence, ..Record::default() },
            ..own.clone()
        })
    }
}

/// The description of an operator, and of those before it, with patches that are `times` as wide.
fn finer_operator(own: &OperatorCard, times: usize) -> OperatorCard {
    let before = own.before.as_ref().map(|before| Box::new(finer_operator(before, times)));
    OperatorCard { net: finer(&own.net, times), before, ..own.clone() }
}

/// The operator `own` as one of the description `finer`, in the finer model of `card`, with the
/// statistics of `data`.
fn operator_on(
    own: &Operator,
    finer: OperatorCard,
    card: &Card,
    data: &Samples,
) -> Result<Operator> {
    let frame = card.frame(&own.statistics.left_mean.device())?;
    let guess = match (own.origin(), &finer.before) {
        (Guess::Before(own), Some(finer)) => {
            Guess::Before(Arc::new(operator_on(own, *finer.clone(), card, data)?))
        }
        _ => Guess::Sweeps(finer.sweeps),
    };

    let mut statistics = OperatorStatistics::of_data(data, &frame, &guess)?;
    if finer.sees_residual {
        statistics = statistics.with_residual(data, &frame, &guess)?;
    }

    let times = finer.net.patch / own.card.net.patch;
    let seen = own.frame().pictures(own.card.sees_residual);
    let net = refine::refined(&own.net, &own.card.net, &seen, times)?;
    Ok(Operator::new(finer, net, statistics, guess, frame).freeze())
}

/// The network of the model of `card`, `of`, with patches that are `times` as wide.
///
/// # Errors
/// [`Error::Config`] for joint components.
pub fn network(of: &Network, card: &Card, times: usize) -> Result<UNet> {
    let coordinates = &card.coordinates;
    let Some([plain, coloured]) = pictures(coordinates) else {
        return Err(refusal(card.grid, JOINT));
    };

    // Pixels have no second picture of a channel.
    let channels = card.channels.len();
    let second = of.coordinates.inputs() - channels;
    let inputs = [vec![plain; channels], vec![coloured; second]].concat();
    let seen = Seen { inputs, outputs: vec![plain; channels], noise: noise_power(coordinates) };
    refine::refined(&of.valid().net, &card.net, &seen, times)
}

/// The number of points of `grid` for every point of the model of `card`, along each side.
///
/// # Errors
/// [`Error::Config`] unless the grid is 2 or 4 times as fine, on the same sides; if that needs
/// wider patches than there are, and for a model in joint components.
pub fn times_as_fine(card: &Card, grid: Grid) -> Result<usize> {
    let coarse = card.grid;
    let is_finer = |times: &usize| grid.shape() == coarse.shape().map(|n| n * times);
    let times = [2, 4].into_iter().find(is_finer).filter(|_| grid.sides() == coarse.sides());
    let Some(times) = times else {
        let reason = format!("{grid} is not 2 or 4 times as fine, on the same sides");
        return Err(refusal(coarse, &reason));
    };

    if pictures(&card.coordinates).is_none() {
        return Err(refusal(coarse, JOINT));
    }
    let operators = card.operator.iter().flat_map(OperatorCard::chain);
    let operator = operators.map(|(_, operator)| &operator.net);
    let patches = [&card.net].into_iter().chain(operator).map(|net| net.patch * times);
    match patches.max().filter(|patch| !NetConfig::PATCHES.contains(patch)) {
        None => Ok(times),
        Some(patch) => {
            let there_are = NetConfig::PATCHES;
            let reason =
                format!("{grid} needs patches of {patch} points a side, there are {there_are:?}");
            Err(refusal(coarse, &reason))
        }
    }
}

/// The reason for which a model in joint components stays where it is.
const JOINT: &str = "joint components are of one grid alone";

/// The refusal of a model on `coarse` as the beginning of one on another grid.
fn refusal(coarse: Grid, reason: &str) -> Error {
    Error::Config(format!("a model on {coarse} cannot begin one on another grid: {reason}"))
}

/// The pictures of a channel that a network in `coordinates` sees: its state, and a second one.
/// None for joint components.
fn pictures(coordinates: &CoordinatesConfig) -> Option<[Picture; 2]> {
    match coordinates.kind() {
        CoordinatesKind::Pixel => Some([Picture::Physical; 2]),
        CoordinatesKind::Modes => Some([Picture::Whitened, Picture::Physical]),
        CoordinatesKind::Joint => None,
    }
}

/// The network's settings with patches that are `times` as wide.
fn finer(net: &NetConfig, times: usize) -> NetConfig {
    NetConfig { patch: net.patch * times, ..net.clone() }
}

/// The exponent by which the noise of a coarse value falls as the grid gets finer, see [`Seen`].
fn noise_power(coordinates: &CoordinatesConfig) -> f64 {
    1.0 - coordinates.noise().power()
}

/// A calibration for fields of `shape` `[1, channel, y, x]`, which leaves the finer modes as they
/// are.
fn on_finer(own: &Calibration, shape: [usize; 4]) -> Calibration {
    let [_, channels, height, width] = own.gain.dims();
    let kept = [0..1, 0..channels, 0..height.saturating_sub(ENDS), 0..width.saturating_sub(ENDS)];
    let put = |own: &Tensor<4>, others: Tensor<4>| {
        others.slice_assign(kept.clone(), own.clone().slice(kept.clone()))
    };
    let device = own.gain.device();
    Calibration {
        shift: put(&own.shift, Tensor::zeros(shape, &device)),
        gain: put(&own.gain, Tensor::ones(shape, &device)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::TensorData;

    use super::*;
    use crate::device;
    use crate::net::params::values;

    #[test]
    fn a_calibration_keeps_its_low_modes_and_leaves_the_others() {
        let (device, coarse, fine) = (device::cpu(), [1, 2, 4, 6], [1, 2, 8, 12]);
        let numbers: Vec<f32> = (2..50).map(|v| v as f32).collect();
        let own = Tensor::from_data(TensorData::new(numbers.clone(), coarse), &device);
        let own = Calibration { shift: own.clone(), gain: own };
        let finer = on_finer(&own, fine);
        assert_eq!(finer.gain.dims(), fine);

        let [shift, gain] = [finer.shift, finer.gain].map(values);
        for (i, (shift, gain)) in shift.into_iter().zip(gain).enumerate() {
            let [channel, y, x] = [i / 96, i / 12 % 8, i % 12];
            let is_low = y < 4 - ENDS && x < 6 - ENDS;
            let kept = is_low.then(|| numbers[(channel * 4 + y) * 6 + x]);
            assert_eq!((shift, gain), (kept.unwrap_or(0.0), kept.unwrap_or(1.0)), "{i}");
        }
    }
}
