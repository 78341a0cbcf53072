//! The linear regression of the solution on the input, mode by mode in the solution's basis.
//!
//! An operator with constant coefficients is diagonal in the basis that fits the boundary. A mode
//! of the solution is then a number times the same mode of the input, whatever basis the input is
//! whitened in. This number, the gain, is measured in the data by least squares. The diffusion
//! models the remainder: the solution less the part that the input explains.
//!
//! The remainder of Poisson and Helmholtz is rounding alone, so that every state obeys the
//! equation. For another equation it is the part of the solution that is not such a multiple of
//! the input.
//!
//! The input must be one channel and the solution others.

use burn::tensor::{Tensor, TensorData};
use phys_instruct_physics::Layout;

use super::bases::Bases;
use crate::net::params::read;
use crate::parts::{part_of, with_part};
use crate::{Error, Result};

/// The ratio of a remainder to its mode, in standard deviations, below which the remainder counts
/// as zero. Rounding of the stored data alone leaves a remainder in proportion to the mode.
const LEAST_SHARE: f64 = 1e-3;
/// The ratio of a remainder to the channel's largest mode, in standard deviations, below which the
/// remainder counts as zero. Two transforms in `f32` leave as much.
const ROUNDING: f64 = 1e-6;

/// The regression, as stored in a model file: one value per entry of `[solution channel, y, x]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    /// The gain of each mode: the solution's mode over the input's mode in the same basis.
    pub gain: Vec<f32>,
    /// Standard deviation of each mode's remainder, physical units; 0 where it is rounding alone.
    pub remainder: Vec<f32>,
}

/// Sums over samples from which a [`Regression`] follows.
pub struct Sums {
    /// The change of basis, with all gains 1.
    map: RegressionMap,
    /// The sums of the input's square, and of its product with the solution, for each mode.
    sums: [Vec<f64>; 2],
    /// The number of samples in the sums.
    count: usize,
}

impl Sums {
    /// Empty sums.
    ///
    /// # Errors
    /// Fails if the input is not one channel, or the solution not in others.
    pub fn new(layout: &Layout, bases: &Bases) -> Result<Self> {
        let map = RegressionMap::bare(layout, bases)?;
        let zeros = vec![0.0; map.gain.dims().iter().product()];
        Ok(Self { map, sums: [zeros.clone(), zeros], count: 0 })
    }

    /// Adds the `modes` of a batch of samples less their mean, `[batch, channel, y, x]`.
    ///
    /// # Errors
    /// Fails where the device does not give the products back.
    pub fn add(&mut self, modes: Tensor<4>) -> Result<()> {
        let [count, ..] = modes.dims();
        let [input, own] = self.map.parts(modes);
        let input = self.map.explained(input);
        let products = [input.clone() * input.clone(), input * own];
        for (sums, product) in self.sums.iter_mut().zip(products) {
            for sample in read(product)?.chunks(sums.len()) {
                sums.iter_mut().zip(sample).for_each(|(sum, &v)| *sum += f64::from(v));
            }
        }
        self.count += count;
        Ok(())
    }

    /// The least-squares gains, and the remainders that they leave of `variance`, the variance of
    /// each mode of the solution.
    pub fn regression(&self, variance: &[f64]) -> Regression {
        let [inputs, products] = &self.sums;

        let [_, _, height, width] = self.map.gain.dims();
        let area = height * width;
        let gain = |i: usize| if inputs[i] > 0.0 { products[i] / inputs[i] } else { 0.0 };
        let largest = |channel: &[f64]| channel.iter().fold(0.0f64, |m, &v| m.max(v));
        let largest: Vec<f64> = variance.chunks(area).map(largest).collect();

        let remains = |i: usize| {
            let left = (variance[i] - gain(i) * products[i] / self.count as f64).max(0.0);
            let rounding = ROUNDING.powi(2) * largest[i / area];
            let absent = left <= LEAST_SHARE.powi(2) * variance[i] || left <= rounding;
            if absent { 0.0 } else { left.sqrt() }
        };
        Regression {
            gain: (0..variance.len()).map(|i| gain(i) as f32).collect(),
            remainder: (0..variance.len()).map(|i| remains(i) as f32).collect(),
        }
    }
}

/// The regression on one device, in modes.
#[derive(Debug, Clone)]
pub struct RegressionMap {
    /// The channels of the input and of the solution.
    layout: Layout,
    /// The gain of each mode, `[1, solution channel, y, x]`.
    gain: Tensor<4>,
    /// The matrix along y from the input's modes to modes in the solution's basis,
    /// `[1, solution channel, mode, mode]`.
    along_y: Tensor<4>,
    /// The matrix along x, likewise.
    along_x: Tensor<4>,
}

impl RegressionMap {
    /// Builds the map of a stored regression.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values is not that of the channels and grid of `bases`;
    /// [`Error::Config`] if the input is not one channel, or the solution not in others.
    pub fn new(regression: &Regression, layout: &Layout, bases: &Bases) -> Result<Self> {
        let bare = Self::bare(layout, bases)?;
        let shape = bare.gain.dims();
        let [gains, remainders] = [&regression.gain, &regression.remainder].map(Vec::len);
        let expected = shape.iter().product::<usize>();
        if gains != expected || remainders != expected {
            return Err(Error::Shape(format!(
                "a regression of {gains} gains and {remainders} remainders, expected {shape:?}"
            )));
        }
        let gain = TensorData::new(regression.gain.clone(), shape);
        Ok(Self { gain: Tensor::from_data(gain, &bare.gain.device()), ..bare })
    }

    /// The change of basis alone: a map with all gains 1.
    fn bare(layout: &Layout, bases: &Bases) -> Result<Self> {
        let [.., height, _] = bases.y.dims();
        let [.., width] = bases.x.dims();
        let Layout { input, solution } = layout;
        let channels = solution.channels.len();
        if !layout.is_by_channels() || input.channels.len() != 1 || channels == 0 {
            return Err(Error::Config(
                "coordinates.linear_predictor needs the solution in channels beside the input's"
                    .into(),
            ));
        }

        // B_solution B_input^T: both bases are orthonormal.
        let across = |basis: &Tensor<4>| {
            let own = basis.clone().narrow(1, solution.channels.start, channels);
            let input = basis.clone().narrow(1, input.channels.start, 1).repeat_dim(1, channels);
            own.matmul(input.swap_dims(2, 3))
        };

        let gain = Tensor::ones([1, channels, height, width], &bases.y.device());
        let [along_y, along_x] = [across(&bases.y), across(&bases.x)];
        Ok(Self { layout: layout.clone(), gain, along_y, along_x })
    }

    /// The part of the solution's modes that the input's modes `input` `[batch, 1, y, x]` explain,
    /// `[batch, solution channel, y, x]`.
    fn explained(&self, input: Tensor<4>) -> Tensor<4> {
        let [_, channels, ..] = self.gain.dims();
        let input = input.repeat_dim(1, channels);
        let own = self.along_y.clone().matmul(input).matmul(self.along_x.clone().swap_dims(2, 3));
        own * self.gain.clone()
    }

    /// The modes of all channels, `[batch, channel, y, x]`, the part of the solution that the input
    /// explains subtracted.
    pub fn removed(&self, modes: Tensor<4>) -> Tensor<4> {
        let [input, solution] = self.parts(modes.clone());
        with_part(modes, &self.layout.solution, solution - self.explained(input))
    }

    /// The inverse of [`RegressionMap::removed`].
    pub fn added(&self, modes: Tensor<4>) -> Tensor<4> {
        let [input, solution] = self.parts(modes.clone());
        with_part(modes, &self.layout.solution, solution + self.explained(input))
    }

    /// [`RegressionMap::added`], the explained part detached from the input: no gradient flows
    /// through it.
    pub fn added_held(&self, modes: Tensor<4>) -> Tensor<4> {
        let [input, solution] = self.parts(modes.clone());
        with_part(modes, &self.layout.solution, solution + self.explained(input.detach()))
    }

    /// The transposed map of [`RegressionMap::added`].
    pub fn added_transposed(&self, modes: Tensor<4>) -> Tensor<4> {
        let [input, solution] = self.parts(modes.clone());
        let seen = solution * self.gain.clone();
        let back = self.along_y.clone().swap_dims(2, 3).matmul(seen).matmul(self.along_x.clone());
        with_part(modes, &self.layout.input, input + back.sum_dim(1))
    }

    /// The input and the solution of modes `[batch, channel, y, x]`.
    fn parts(&self, modes: Tensor<4>) -> [Tensor<4>; 2] {
        let Layout { input, solution } = &self.layout;
        [input, solution].map(|part| part_of(modes.clone(), part))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;
    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::config::{CoordinatesConfig, NamedNoise, Noise};
    use crate::diffusion::Coordinates;
    use crate::diffusion::noise::Draw;
    use crate::diffusion::statistics::Statistics;
    use crate::net::params::values;
    use crate::parts::Parts;
    use crate::problem;
    use crate::testing::samples_from;

    const SIZE: usize = 12;
    const COUNT: usize = 200;

    /// Modes whose noise has the data's spectrum.
    const MODES: CoordinatesConfig =
        CoordinatesConfig::Modes { noise: Noise::Named(NamedNoise::Data), linear_predictor: true };
    const JOINT: CoordinatesConfig = CoordinatesConfig::Joint { modes: 6, linear_predictor: true };

    fn fitted(pde: &str, config: CoordinatesConfig) -> (Coordinates, Statistics, Tensor<4>) {
        let pde = by_name(pde).unwrap();
        let samples = samples_from(pde.as_ref(), COUNT as u64, SIZE, 1);
        let device = Device::flex();
        let (coordinates, statistics) =
            Coordinates::fit(&samples, &Parts::of(pde.as_ref()), &config, &device).unwrap();
        let shape = [COUNT, samples.channels.len(), SIZE, SIZE];
        (coordinates, statistics, Tensor::from_data(TensorData::new(samples.data, shape), &device))
    }

    fn normal(step: u64) -> Tensor<4> {
        let draw = Draw { seed: 4, stream: "any", step, first: 0 };
        draw.normal([3, 2, SIZE, SIZE], &Device::flex())
    }

    fn rms(x: Tensor<4>) -> f32 {
        x.square().mean().into_scalar::<f32>().sqrt()
    }

    #[test]
    fn any_state_obeys_an_equation_of_constant_coefficients() {
        for name in ["poisson", "helmholtz"] {
            for kind in [MODES, JOINT] {
                let (coordinates, ..) = fitted(name, kind);
                let pde = by_name(name).unwrap();
                let residual =
                    problem::residual(pde.as_ref(), Grid::square(SIZE), &Device::flex()).unwrap();
                let x = coordinates.decode(normal(0));
                assert!(rms(x.clone().narrow(1, 1, 1)) > 1e-3);
                let relative = values(residual.terms(x, Default::default()).relative());
                assert!(relative.iter().all(|r| *r < 1e-3), "{name}: {relative:?}");
            }
        }
    }

    #[test]
    fn samples_come_back_and_what_remains_is_white() {
        for (name, kind) in
            [("poisson", MODES), ("helmholtz", JOINT), ("navier-stokes", MODES), ("darcy", JOINT)]
        {
            let (coordinates, _, x) = fitted(name, kind);
            let y = coordinates.encode(x.clone());
            for channel in [0, 1] {
                let [own, back] =
                    [x.clone(), coordinates.decode(y.clone())].map(|x| x.narrow(1, channel, 1));
                assert!(rms(back - own.clone()) < 1e-3 * rms(own), "{name}");
            }
            let power = values(y.square().mean_dim(0));
            for (power, present) in power.into_iter().zip(values(coordinates.present())) {
                assert!((power - present).abs() < 1e-2, "{name}: {power} for {present}");
            }
        }
    }

    #[test]
    fn the_heat_flow_of_a_flow_is_no_news() {
        let (_, Statistics { spectrum, regression, .. }, _) = fitted("navier-stokes", MODES);
        let size = |v: &[f32]| v.iter().map(|v| v * v).sum::<f32>().sqrt();
        let whole = size(&spectrum[SIZE * SIZE..]);
        let remains = size(&regression.unwrap().remainder);
        assert!(remains > 0.05 * whole && remains < 0.6 * whole, "{remains} of {whole}");
    }

    #[test]
    fn the_transposed_map_is_the_transpose() {
        for (name, kind) in
            [("poisson", MODES), ("darcy", MODES), ("darcy", JOINT), ("navier-stokes", MODES)]
        {
            let (coordinates, ..) = fitted(name, kind);
            let [y, x] = [normal(1), normal(2)];
            let product = |a: Tensor<4>, b: Tensor<4>| (a * b).sum().into_scalar::<f32>();
            let forward = product(coordinates.linear(y.clone()), x.clone());
            let back = product(y, coordinates.linear_transposed(x));
            assert!((forward - back).abs() < 1e-4 * forward.abs(), "{name}: {forward} {back}");
        }
    }

    /// Three channels, and another basis along each axis.
    #[test]
    fn each_axis_and_channel_has_its_own_bases() {
        use phys_instruct_physics::{Basis, Channel};
        let channel = |basis| Channel::new("any", "test", basis);
        let channels = [
            channel([Basis::Cosine, Basis::Fourier]),
            channel([Basis::SineInner, Basis::Fourier]),
            channel([Basis::Fourier, Basis::SineCells]),
        ];
        let bases = Bases::new(&channels, Grid::square(SIZE), &Device::flex());
        let draw = |step, channels| {
            let draw = Draw { seed: 9, stream: "any", step, first: 0 };
            draw.normal([2, channels, SIZE, SIZE], &Device::flex())
        };
        let gain = values(draw(0, 1));
        let regression = Regression { remainder: gain.clone(), gain };
        let layout = Layout::first_channel(3);
        let map = RegressionMap::new(&regression, &layout, &bases).unwrap();
        let [x, y] = [draw(1, 3), draw(2, 3)];
        // The input's field seen in the solutions' bases.
        let input = bases.fields(x.clone()).narrow(1, 0, 1).repeat_dim(1, 3);
        let seen = bases.modes(input).narrow(1, 1, 2) * map.gain.clone();
        let added = map.added(x.clone());
        assert!(rms((added.clone() - x.clone()).narrow(1, 1, 2) - seen.clone()) < 1e-5 * rms(seen));
        assert!(rms(map.removed(added.clone()) - x.clone()) < 1e-5 * rms(x.clone()));
        let product = |a: Tensor<4>, b: Tensor<4>| (a * b).sum().into_scalar::<f32>();
        let [forward, back] = [product(added, y.clone()), product(x, map.added_transposed(y))];
        assert!((forward - back).abs() < 1e-4 * forward.abs(), "{forward} {back}");
    }

    #[test]
    fn a_pull_on_the_solution_does_not_reach_the_input_where_that_is_held() {
        let (coordinates, ..) = fitted("navier-stokes", MODES);
        let pulled = |held: bool| {
            let y = normal(3).autodiff().require_grad();
            let decoded = y.clone();
            let x =
                if held { coordinates.decode_held(decoded) } else { coordinates.decode(decoded) };
            let loss = x.narrow(1, 1, 1).square().sum();
            let gradient = y.grad(&loss.backward()).unwrap();
            [0, 1].map(|channel| rms(gradient.clone().narrow(1, channel, 1)))
        };
        let [input, solution] = pulled(true);
        assert!(input == 0.0 && solution > 0.0, "{input} {solution}");
        assert!(pulled(false)[0] > 0.0);
    }

    #[test]
    fn a_single_channel_and_a_wrong_shape_are_refused() {
        let burgers = by_name("burgers").unwrap();
        let bases = Bases::new(&burgers.channels(), Grid::square(8), &Device::flex());
        assert!(Sums::new(&burgers.layout(), &bases).is_err());
        let poisson = by_name("poisson").unwrap();
        let bases = Bases::new(&poisson.channels(), Grid::square(8), &Device::flex());
        for [gains, remainders] in [[63, 64], [64, 63]] {
            let regression =
                Regression { gain: vec![1.0; gains], remainder: vec![0.0; remainders] };
            assert!(RegressionMap::new(&regression, &poisson.layout(), &bases).is_err());
        }
    }
}
