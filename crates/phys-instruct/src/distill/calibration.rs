//! The measuring of a calibration: one affine map for each mode of each network call of a student.
//!
//! Every mode of the data has mean 0 and the standard deviation `sigma_data` in the diffusion's
//! coordinates. With `coordinates.linear_predictor` this holds for what the regression leaves of
//! a solution. After matching, the student's modes deviate from it by a few percent, and by more
//! with each call. Calibration measures the mean and the deviation of every mode of a call's clean
//! output. One shift and one gain for each mode then bring both to the data's values.
//!
//! The maps act on modes even where the coordinates are principal components across channels. The
//! components of the student's samples are correlated: each may have the right deviation while the
//! modes do not.
//!
//! Two kinds of input need more than one such map.
//!
//! If samples are rounded to a two-valued input, the moments of the rounded fields count, and the
//! next call begins with these. They follow the maps only in part, so that a few rounds of
//! measuring and correcting are made.
//!
//! If the input is the first line of the only channel, as Burgers' initial values are, the modes
//! over both axes do not determine the deviation of that line. All lines are scaled, by one factor
//! for each mode along x, until the first line has the data's deviation. The anchored phase holds
//! that line, mode by mode, and moves the others.

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::Pde;
use phys_instruct_physics::transform::basis_matrix;

use crate::diffusion::Coordinates;
use crate::diffusion::noise::Draw;
use crate::net::params::read;
use crate::parts::{Parts, part_of};
use crate::student::{Calibration, Generator};
use crate::{Result, Samples};

/// The number of samples on which the modes are measured.
const SAMPLES: usize = 2048;
/// The number of samples drawn at a time.
const BATCH: usize = 64;
/// The largest gain of a mode. A mode that needs more has not been matched at all.
const LARGEST: f64 = 1.5;
/// The smallest gain of a mode. A student begun on a coarser grid has several times too much of the
/// finest structure, which frays the interfaces of a rounded input.
const SMALLEST: f64 = 1.0 / 16.0;
/// The largest factor for a mode of a first line; the smallest is its reciprocal. It is larger than
/// [`LARGEST`]: these modes are few, and the high ones are the last to be matched.
const LARGEST_OF_LINE: f64 = 8.0;
/// The share of the largest deviation below which a mode of a first line counts as constant.
const LEAST_SHARE: f32 = 1e-4;
/// The largest number of rounds of measuring and correcting.
const ROUNDS: usize = 16;
/// The power of the correction that a round makes where the input is rounded. The rounded modes
/// follow in part, so that 1 is slow; below 2 a channel that follows in full still converges.
const STEP: f32 = 1.5;
/// The relative change of the gain, and the mean in units of the data's deviation, below which in
/// every mode the rounds end.
const SETTLED: f32 = 1e-3;
/// The targets of calibration beside the deviations of the modes, which the coordinates hold.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The parts of the samples, if these leave the student with the input rounded.
    pub rounding: Option<&'a Parts>,
    /// The statistics of the first line, if the input is that line.
    pub line: Option<&'a FirstLine>,
}

/// The deviations of the modes of the data's first line.
pub struct FirstLine {
    /// The basis along x, one mode a row, `[1, 1, mode, x]`.
    basis: Tensor<4>,
    /// The standard deviation of each mode, physical units, `[1, 1, 1, mode]`.
    deviation: Tensor<4>,
    /// One over `deviation`, or 0 for a mode that counts as constant, `[1, 1, 1, mode]`.
    whitening: Tensor<4>,
}

impl FirstLine {
    /// Measures the first line of `data`. Returns `None` if the input of `pde` is not that line.
    pub fn of(data: &Samples, pde: &dyn Pde, device: &Device) -> Option<Self> {
        let [height, width] = [data.height, data.width];
        if !pde.layout().input.is_line() {
            return None;
        }

        let basis = basis_matrix(pde.channels()[0].basis[1], width);
        let basis: Vec<f32> = basis.into_iter().map(|v| v as f32).collect();
        let basis = Tensor::from_data(TensorData::new(basis, [1, 1, width, width]), device);

        let x = TensorData::new(data.data.clone(), [data.count, 1, height, width]);
        let first = part_of(Tensor::<4>::from_data(x, device), &pde.layout().input);
        let deviation = deviation(modes_along(&basis, first));

        // A floor above 0, so that data without any variation divides by no zero.
        let largest = deviation.clone().max().into_scalar::<f32>();
        let least = (largest * LEAST_SHARE).max(f32::MIN_POSITIVE);
        let varies = deviation.clone().greater_elem(least).float();
        let whitening = varies / deviation.clone().clamp_min(least);
        Some(Self { basis, deviation, whitening })
    }

    /// The modes of `line` `[batch, 1, 1, x]` in units of the data's deviation,
    /// `[batch, 1, 1, mode]`.
    pub fn whitened(&self, line: Tensor<4>) -> Tensor<4> {
        self.modes(line) * self.whitening.clone()
    }

    /// The modes of `line` `[batch, 1, 1, x]`, physical units.
    fn modes(&self, line: Tensor<4>) -> Tensor<4> {
        modes_along(&self.basis, line)
    }
}

/// The modes of `line` `[batch, 1, 1, x]` in `basis` `[1, 1, mode, x]`.
fn modes_along(basis: &Tensor<4>, line: Tensor<4>) -> Tensor<4> {
    line.matmul(basis.clone().swap_dims(2, 3))
}

/// The standard deviation of every entry over the samples, `[1, ..]`.
fn deviation(of: Tensor<4>) -> Tensor<4> {
    (of.clone() - of.mean_dim(0)).square().mean_dim(0).sqrt()
}

/// Measures the calibration of every network call of `student`, one after the other.
///
/// The input of a call is made by the calibrated calls before it. Channels below `first` keep the
/// calibration that `student` has for them. The shape of a sample is `[channels, height, width]`.
///
/// # Errors
/// Fails where the device does not give the modes back.
pub fn measure(
    student: &Generator<'_>,
    wanted: Wanted,
    first: usize,
    [channels, height, width]: [usize; 3],
    seed: u64,
) -> Result<Vec<Calibration>> {
    let Generator { network, levels, calibrations } = *student;
    let coordinates = &network.coordinates;

    // The call's number is in the upper half of the index: no two calls share their noise.
    let noise = |call: usize, batch: usize| {
        let first = ((call as u64) << 32) + (batch * BATCH) as u64;
        let draw = Draw { seed, stream: "calibration", step: 0, first };
        let noise = draw.normal([BATCH, channels, height, width], &coordinates.device());
        noise * coordinates.profile() * levels[call]
    };

    // Outputs are measured without the student's old calibration.
    let generator = Generator { calibrations: &[], ..*student };
    // The calibrated outputs of the last call, batch by batch; none before the first call.
    let mut clean: Vec<Tensor<4>> = Vec::new();
    let mut all = Vec::with_capacity(levels.len());
    for call in 0..levels.len() {
        let noisy = |batch: usize| match clean.get(batch) {
            None => noise(call, batch),
            Some(y0) => y0.clone() + noise(call, batch),
        };
        let made = |batch| generator.call(noisy(batch), call + 1);
        let made: Vec<_> = (0..SAMPLES / BATCH).map(made).collect();

        let mut own = fitted_to(&made, coordinates, wanted.rounding)?;
        if let Some(line) = wanted.line {
            own = with_first_line(own, &made, coordinates, line);
        }
        let own = own.only_from(first, calibrations.get(call));

        let clean_of = |y0| rounded(own.apply(coordinates, y0), coordinates, wanted.rounding);
        clean = made.into_iter().map(clean_of).collect();
        all.push(own);
    }
    Ok(all)
}

/// The map that brings states y, given in batches, to the data's mean and deviation in every
/// mode. With `rounding`, the modes are those of the fields with their input rounded.
fn fitted_to(
    batches: &[Tensor<4>],
    coordinates: &Coordinates,
    rounding: Option<&Parts>,
) -> Result<Calibration> {
    let zero = coordinates.profile().zeros_like();
    let mut own = Calibration { gain: zero.ones_like(), shift: zero };
    let power = if rounding.is_some() { STEP } else { 1.0 };
    for _ in 0..ROUNDS {
        // The modes under the map found so far.
        let modes = |y: &Tensor<4>| {
            let y = own.apply(coordinates, y.clone());
            coordinates.modes(rounded(y, coordinates, rounding))
        };
        let modes = Tensor::cat(batches.iter().map(modes).collect(), 0);

        // With m and s the measured mean and deviation, a mode y becomes
        // (y - m) (sigma_data / s)^power, as far as the limits of the gain allow.
        let mean = modes.clone().mean_dim(0);
        let ratio = deviation(modes).clamp_min(1e-6).recip() * coordinates.sigma_data;
        let gain = (own.gain.clone() * ratio.powf_scalar(power)).clamp(SMALLEST, LARGEST);
        let change = gain.clone() / own.gain;
        own = Calibration { shift: (own.shift - mean.clone()) * change.clone(), gain };

        let unsettled = (change - 1.0).abs().max_pair(mean.abs() / coordinates.sigma_data);
        if read(unsettled.max())?[0] < SETTLED {
            break;
        }
    }
    Ok(own)
}

/// The states `y` with their input rounded, if `rounding` has the parts of a sample.
fn rounded(y: Tensor<4>, coordinates: &Coordinates, rounding: Option<&Parts>) -> Tensor<4> {
    match rounding {
        Some(parts) => coordinates.encode(parts.rounded(coordinates.decode(y))),
        None => y,
    }
}

/// The calibration `own` with all lines scaled, one factor for each mode along x, so that the first
/// line has the deviations of `line`.
fn with_first_line(
    own: Calibration,
    batches: &[Tensor<4>],
    coordinates: &Coordinates,
    line: &FirstLine,
) -> Calibration {
    let modes = |y: &Tensor<4>| {
        line.modes(coordinates.decode(own.apply(coordinates, y.clone())).narrow(2, 0, 1))
    };
    let modes = Tensor::cat(batches.iter().map(modes).collect(), 0);
    let factor = line.deviation.clone() / deviation(modes).clamp_min(1e-6);
    let factor = factor.clamp(1.0 / LARGEST_OF_LINE, LARGEST_OF_LINE);
    Calibration { shift: own.shift * factor.clone(), gain: own.gain * factor }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::burgers::Burgers;
    use phys_instruct_physics::darcy::Darcy;
    use phys_instruct_physics::registry::by_name;

    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{CoordinatesConfig, NamedNoise, Noise, Skip};
    use crate::diffusion::Network;
    use crate::net::UNet;
    use crate::net::params::values;
    use crate::testing::{samples_from, tiny};

    /// Whitened modes, whose noise has the data's spectrum.
    const MODES: CoordinatesConfig =
        CoordinatesConfig::Modes { noise: Noise::Named(NamedNoise::Data), linear_predictor: false };
    const JOINT: CoordinatesConfig = CoordinatesConfig::Joint { modes: 4, linear_predictor: false };

    /// The coordinates fitted to samples of the PDE `name`, and the states of these samples.
    fn fitted(name: &str, count: usize, config: CoordinatesConfig) -> (Coordinates, Tensor<4>) {
        let pde = by_name(name).unwrap();
        let samples = samples_from(pde.as_ref(), count as u64, 8, 1);
        let device = Device::flex();
        let coordinates =
            Coordinates::fit(&samples, &Parts::of(pde.as_ref()), &config, &device).unwrap().0;
        let x = Tensor::from_data(TensorData::new(samples.data, [count, 2, 8, 8]), &device);
        let y = coordinates.encode(x);
        (coordinates, y)
    }

    fn assert_white(coordinates: &Coordinates, y: Tensor<4>, tolerance: f32) {
        let modes = coordinates.modes(y);
        let mean = modes.clone().mean_dim(0);
        let deviation = (modes - mean.clone()).square().mean_dim(0).sqrt();
        assert!(values(mean).iter().all(|m| m.abs() < tolerance));
        for d in values(deviation) {
            assert!((d - 1.0).abs() < tolerance || d == 0.0, "{d}");
        }
    }

    #[test]
    fn calibrated_states_have_the_data_s_mean_and_deviation_in_every_mode() {
        // Too little of every mode, and several times too much.
        for (kind, factor) in [(MODES, 0.8), (JOINT, 0.8), (MODES, 4.0)] {
            let (coordinates, y) = fitted("darcy", 256, kind);
            let off = coordinates.of_modes(coordinates.modes(y) * factor + 0.3);
            let calibration = fitted_to(&off.clone().chunk(4, 0), &coordinates, None).unwrap();
            assert_white(&coordinates, calibration.apply(&coordinates, off), 1e-2);
        }
    }

    #[test]
    fn it_is_the_rounded_fields_that_get_the_data_s_share_of_either_value() {
        let (coordinates, y) = fitted("darcy", 256, MODES);
        let parts = Parts::of(&Darcy::default());
        let mean = |y: &Tensor<4>| {
            values(parts.input(parts.rounded(coordinates.decode(y.clone()))).mean())[0]
        };
        // Too little of every mode, and moved towards the higher value.
        let off = coordinates.of_modes(coordinates.modes(y.clone()) * 0.3 + 0.6);
        let calibration = fitted_to(&off.clone().chunk(4, 0), &coordinates, Some(&parts)).unwrap();
        let [data, before] = [&y, &off].map(mean);
        let after = mean(&calibration.apply(&coordinates, off));
        assert!((before - data).abs() > 0.3, "{before} {data}");
        assert!((after - data).abs() < 0.1, "{after} {data}");

        // The solution is not rounded, and follows in full.
        let off = coordinates.of_modes(coordinates.modes(y) * 0.8 + 0.3);
        let calibration = fitted_to(&off.clone().chunk(4, 0), &coordinates, Some(&parts)).unwrap();
        let modes = coordinates.modes(calibration.apply(&coordinates, off)).narrow(1, 1, 1);
        assert!(values(modes.clone().mean_dim(0)).iter().all(|m| m.abs() < 1e-2));
        assert!(values(deviation(modes)).iter().all(|d| (d - 1.0).abs() < 1e-2));
    }

    #[test]
    fn a_further_call_begins_with_the_rounded_input() {
        let (coordinates, y) = fitted("darcy", 256, MODES);
        let parts = Parts::of(&Darcy::default());
        let device = Device::flex();
        let net = UNet::new(&tiny(&[1]), coordinates.inputs(), 2, 0, &device);
        let network = Network::new(net, coordinates.clone()).with_skip(Skip::Flow).valid();
        let levels = [1.0, 0.7];
        let student = Generator { network: &network, levels: &levels, calibrations: &[] };
        let wanted = Wanted { rounding: Some(&parts), line: None };
        let calibrations = measure(&student, wanted, 0, [2, 8, 8], 3).unwrap();

        let calibrated = Generator { calibrations: &calibrations, ..student };
        let draw = Draw { seed: 9, stream: "test", step: 0, first: 0 };
        let finish = |x| Ok(parts.rounded(x));
        let x = calibrated.finished(draw, 2, [4096, 2, 8, 8], &device, finish).unwrap();
        let modes = |x| coordinates.modes(coordinates.encode(x));
        let [drawn, data] = [x, parts.rounded(coordinates.decode(y))]
            .map(|x| values(deviation(modes(x)).narrow(1, 0, 1).square().mean())[0]);
        // Measured on second calls that begin with inputs not rounded, the ratio is 1.035.
        assert!((drawn / data - 1.0).abs() < 0.02, "{drawn} {data}");
    }

    #[test]
    fn the_first_line_gets_the_data_s_deviation_where_it_is_the_input() {
        let burgers = Burgers::default();
        let data = samples_from(&burgers, 256, 16, 1);
        let config = CoordinatesConfig::default();
        let device = Device::flex();
        let coordinates =
            Coordinates::fit(&data, &Parts::of(&burgers), &config, &device).unwrap().0;
        let line = FirstLine::of(&data, &burgers, &device).unwrap();
        let x = TensorData::new(data.data.clone(), [256, 1, 16, 16]);
        let x = Tensor::<4>::from_data(x, &device);
        let [held, later] = [(0, 1), (1, 15)].map(|(row, rows)| x.clone().narrow(2, row, rows));
        let off = coordinates.encode(Tensor::cat(vec![held.clone() * 1.3, later], 2));
        let plain = fitted_to(std::slice::from_ref(&off), &coordinates, None).unwrap();
        let first = |c: &Calibration| {
            let x = coordinates.decode(c.apply(&coordinates, off.clone())).narrow(2, 0, 1);
            values(deviation(line.modes(x)) / line.deviation.clone())[1..].to_vec()
        };
        assert!(first(&plain).iter().any(|r| (r - 1.0).abs() > 0.1));
        let fitted = with_first_line(plain, std::slice::from_ref(&off), &coordinates, &line);
        assert!(first(&fitted).iter().all(|r| (r - 1.0).abs() < 0.02), "{:?}", first(&fitted));
        let white = values(deviation(line.whitened(held)));
        // The data has no mean along x.
        assert!(white[0] == 0.0 && white[1..].iter().all(|d| (d - 1.0).abs() < 1e-3), "{white:?}");
        let darcy = samples_from(&Darcy::default(), 1, 8, 1);
        assert!(FirstLine::of(&darcy, &Darcy::default(), &device).is_none());
    }

    #[test]
    fn modes_that_are_not_there_are_not_blown_up() {
        let (coordinates, y) = fitted("poisson", 16, MODES);
        let gain = values(fitted_to(&[y * 0.0], &coordinates, None).unwrap().gain);
        assert!(gain.iter().all(|g| *g == LARGEST as f32));
    }

    #[test]
    fn every_call_of_a_calibrated_student_is_white_and_so_is_a_restored_one() {
        let (coordinates, _) = fitted("darcy", 256, MODES);
        let config = tiny(&[1]);
        let net = UNet::new(&config, coordinates.inputs(), 2, 0, &Device::flex());
        // Untrained: from noise of its own deviation alone, the first call makes too little.
        let network = Network::new(net, coordinates.clone()).with_skip(Skip::Flow).valid();
        let levels = [1.0, 0.5];
        let student = Generator { network: &network, levels: &levels, calibrations: &[] };
        let measured = measure(&student, Wanted::default(), 0, [2, 8, 8], 3).unwrap();
        let arrays = Calibration::to_arrays(&measured).unwrap();
        let restored = Calibration::from_arrays(&arrays, 2, &coordinates).unwrap();
        for steps in [1, 2] {
            let sample = |calibrations| {
                let generator = Generator { network: &network, levels: &levels, calibrations };
                let draw = Draw { seed: 9, stream: "test", step: 0, first: 0 };
                generator.sample(draw, steps, [4096, 2, 8, 8], &Device::flex())
            };
            assert_white(&coordinates, sample(&measured), 0.1);
            assert_eq!(values(sample(&measured)), values(sample(&restored)));
        }
        assert!(Calibration::from_arrays(&arrays, 3, &coordinates).is_err());
        let gains =
            |all: &[Calibration], channel| values(all[1].gain.clone().narrow(1, channel, 1));
        let second = measure(&student, Wanted::default(), 1, [2, 8, 8], 3).unwrap();
        assert!(gains(&second, 0).iter().all(|g| *g == 1.0));
        assert!(gains(&second, 1).iter().any(|g| *g != 1.0));
        let held = Generator { calibrations: &measured, ..student };
        let again = measure(&held, Wanted::default(), 1, [2, 8, 8], 3).unwrap();
        assert_eq!(gains(&again, 0), gains(&measured, 0));
        assert!(Calibration::from_arrays(&BTreeMap::new(), 3, &coordinates).unwrap().is_empty());
    }
}
