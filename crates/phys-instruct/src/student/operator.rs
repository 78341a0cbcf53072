//! The solution operator N of a student, from an input a to its solution u.
//!
//! The generator of a student makes the input; the operator sees it as it will be used (decoded,
//! and rounded where the law has two values) and makes the solution. It starts from a guess g: what
//! a few sweeps of [`crate::polish`] make of a trivial start, which is zero, or the input at all
//! times for an evolution. B is the basis of the solution's channels.
//!
//! The solution is regressed on the guess, mode by mode. Let m_g and m_u be the means of the guess
//! and of the solution. Then beta_j is the factor from mode j of g - m_g to that of u - m_u. It is
//! 0 where the guess tells nothing of the solution. A network adds the remainder, whose standard
//! deviation in mode j is s_j:
//!
//! ```text
//! N(a) = g + (m_u - m_g) + B^T ((beta - 1) * B (g - m_g) + s * B net(a, g))
//! ```
//!
//! The product * is that of each mode. The network's output has unit variance in every mode.
//!
//! The network may also see the residual R(a, g) of the guess. At the scale of a few points the
//! remainder is little more than R times a factor of the input beside it.
//!
//! An operator may follow another, whose solution is its guess. Where it sees the residual, it
//! learns what a step of an iterative solver does.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::{Grid, Pde};
use serde::{Deserialize, Serialize};

use crate::config::{MEASURED, NetConfig};
use crate::diffusion::bases::Bases;
use crate::net::packed::PackedUNet;
use crate::net::params::{read, to_array};
use crate::net::refine::{Picture, Seen};
use crate::net::{UNet, params};
use crate::parts::{Parts, with_part};
use crate::polish::corrected;
use crate::residual::{Residual, ResidualOptions};
use crate::store::weights::{Array, of_shape};
use crate::{Error, Result, Samples, problem};

/// The prefix of the operator's tensors in a model file.
pub const PREFIX: &str = "operator.";
/// The names of the stored statistics, after [`PREFIX`].
const NAMES: [&str; 4] = ["guess_mean", "guess_deviation", "left_mean", "left_deviation"];
/// The name of the stored gains, after [`PREFIX`]. An operator without them has gains of 1.
const GAIN: &str = "gain";
/// The name of the stored mean and deviation of the input, after [`PREFIX`].
const INPUT: &str = "input";
/// The name of the stored sizes of the guess's residual, after [`PREFIX`].
const RESIDUAL: &str = "residual";
/// The prefix of the tensors of the operator that another follows, after [`PREFIX`].
const BEFORE: &str = "before.";
/// The share of the guess's largest mode below which its modes are not magnified further. Rounding
/// of smooth fields in `f32` is a hundredth of it.
const LEAST_OF_GUESS: f32 = 1e-4;
/// The least deviation of a mode of the remainder, solution less guess, as a share of the largest.
/// A smaller one is raised to it. The network adds to every mode in units of its deviation, so that
/// the tail of the solution's spectrum is kept. Rounding of fields in `f32` is a tenth of this.
const LEAST_OF_REMAINDER: f32 = 1e-7;
/// The number of samples whose guesses are made at a time.
const BATCH: usize = 64;

/// The description of an operator in a model's card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorCard {
    /// The network.
    pub net: NetConfig,
    /// Sweeps of the polish that make the guess; 0 for none, and where the operator follows
    /// another.
    pub sweeps: usize,
    /// Tells whether the network sees the residual of the guess.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sees_residual: bool,
    /// Steps of training, with those of the operator that it went on from.
    pub steps: u64,
    /// The operator that this one follows, whose solution is the guess; none where sweeps make it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<OperatorCard>>,
}

impl OperatorCard {
    /// This description and those of the operators before it, the last first, each with the prefix
    /// of its tensors and keys in a model file.
    pub fn chain(&self) -> impl Iterator<Item = (String, &Self)> {
        let first = Some((PREFIX.to_owned(), self));
        std::iter::successors(first, |(at, card)| {
            Some((format!("{at}{BEFORE}"), card.before.as_deref()?))
        })
    }
}

/// The origin of an operator's guess.
#[derive(Debug, Clone)]
pub enum Guess {
    /// So many sweeps of the polish, from a trivial start.
    Sweeps(usize),
    /// The solution of another operator.
    Before(Arc<Operator>),
}

impl Guess {
    /// The guesses for the inputs of `x` `[batch, channel, y, x]`, `[batch, solution channel, y,
    /// x]`.
    ///
    /// # Errors
    /// Fails as [`Frame::guess`] and [`Operator::solved`] do.
    pub fn of(&self, frame: &Frame, x: &Tensor<4>) -> Result<Tensor<4>> {
        match self {
            Self::Sweeps(sweeps) => frame.guess(x, *sweeps),
            Self::Before(operator) => Ok(frame.solution_of(operator.solved(x.clone())?)),
        }
    }

    /// The number of sweeps; 0 for the solution of another operator.
    pub fn sweeps(&self) -> usize {
        match self {
            Self::Sweeps(sweeps) => *sweeps,
            Self::Before(_) => 0,
        }
    }

    /// The description of the operator before; none for sweeps.
    pub fn before(&self) -> Option<Box<OperatorCard>> {
        match self {
            Self::Sweeps(_) => None,
            Self::Before(operator) => Some(Box::new(operator.card.clone())),
        }
    }
}

/// The statistics of guesses and of what they leave, over pairs of the PDE.
#[derive(Debug, Clone)]
pub struct OperatorStatistics {
    /// The mean of the guess at each point, `[1, solution channel, y, x]` like the next four.
    pub guess_mean: Tensor<4>,
    /// The standard deviation of the guess in each mode.
    pub guess_deviation: Tensor<4>,
    /// The factor by which each mode of the guess, less its mean, is multiplied.
    pub gain: Tensor<4>,
    /// The mean of the solution less the guess, at each point.
    pub left_mean: Tensor<4>,
    /// The standard deviation of what the multiplied guess leaves, in each mode.
    pub left_deviation: Tensor<4>,
    /// The mean and the standard deviation of the input, over all points.
    pub input: [f32; 2],
    /// The root mean square of each equation's residual of the guess, over all points; none where
    /// the network does not see it.
    pub residual: Option<Vec<f32>>,
}

/// A solution operator on one device.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The description.
    pub card: OperatorCard,
    /// The network.
    pub net: UNet,
    /// The statistics behind its input and output.
    pub statistics: OperatorStatistics,
    /// The origin of its guess.
    guess: Guess,
    /// The frame in which it works.
    frame: Frame,
    /// The weights of `net` in the kernels' order; set by [`Operator::freeze`].
    packed: Option<Arc<PackedUNet>>,
}

/// The parts of a sample and the bases of the solution's channels.
#[derive(Debug, Clone)]
pub struct Frame {
    parts: Parts,
    /// The bases of the solution's channels.
    bases: Bases,
    /// The mask that is 1 where a sample holds its solution, `[1, solution channel, y, x]`.
    solution: Tensor<4>,
    /// The equation; none for a PDE that is known by data alone.
    equation: Option<Equation>,
    /// The PDE's name.
    pde: String,
}

/// The residual on the processor, which the guesses are made with.
#[derive(Clone)]
struct Equation(Arc<dyn Residual>);

impl std::fmt::Debug for Equation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Equation")
    }
}

impl Frame {
    /// The frame of the samples of `pde` on a grid.
    ///
    /// # Errors
    /// Fails for a PDE that is in no record, and for a grid too small for its residual.
    pub fn new(pde: &dyn Pde, grid: Grid, device: &Device) -> Result<Self> {
        let parts = Parts::of(pde);
        let layout = &parts.layout;
        let equation = problem::equation(pde, grid, &crate::device::cpu())?;
        let equation = equation.map(|residual| Equation(residual.into()));
        let solved = layout.solution.channels.clone();

        let Grid { ny, nx, .. } = grid;
        let rows = layout.solution.rows_of(ny);
        let inside = |i: usize| if rows.contains(&(i / nx % ny)) { 1.0f32 } else { 0.0 };
        let mask: Vec<f32> = (0..solved.len() * grid.points()).map(inside).collect();
        let shape = [1, solved.len(), ny, nx];

        Ok(Self {
            bases: Bases::new(&parts.channels[solved], grid, device),
            solution: Tensor::from_data(TensorData::new(mask, shape), device),
            parts,
            equation,
            pde: pde.name().into(),
        })
    }

    /// The parts of the samples.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The residual on the processor; none for a PDE that is known by data alone.
    pub fn residual(&self) -> Option<&dyn Residual> {
        self.equation.as_ref().map(|equation| equation.0.as_ref())
    }

    /// The pictures in the order of the network, which sees no noise: the input, the guess, the
    /// guess whitened, and the residual of each equation where it is seen.
    pub fn pictures(&self, sees_residual: bool) -> Seen {
        let [input, solution] =
            [&self.parts.layout.input, &self.parts.layout.solution].map(|part| part.channels.len());
        let plain = vec![Picture::Physical; input + solution];
        let whitened = vec![Picture::Whitened; solution];
        let residual = vec![Picture::Physical; if sees_residual { self.equations() } else { 0 }];
        Seen { inputs: [plain, whitened.clone(), residual].concat(), outputs: whitened, noise: 0.0 }
    }

    /// The number of equations of the residual; 0 for a PDE that is known by data alone.
    fn equations(&self) -> usize {
        let Some(residual) = self.residual() else { return 0 };
        let [.., height, width] = self.solution.dims();
        let shape = [1, self.parts.channels.len(), height, width];
        let none = Tensor::zeros(shape, &crate::device::cpu());
        residual.terms(none, ResidualOptions::default()).residual.dims()[1]
    }

    /// The residual of the inputs of `x` with the solution `u`, `[batch, equation, y, x]`.
    ///
    /// # Errors
    /// [`Error::NoEquation`] for a PDE that is known by data alone. Fails where the device does not
    /// give the fields back.
    pub fn residual_of(&self, x: &Tensor<4>, u: Tensor<4>) -> Result<Tensor<4>> {
        let Some(residual) = self.residual() else {
            return Err(Error::NoEquation { pde: self.pde.clone() });
        };
        let samples = self.with_solution(x.clone(), u);
        let (dims, device) = (samples.dims(), samples.device());
        let samples = TensorData::new(read(samples)?, dims);
        let samples = Tensor::from_data(samples, &crate::device::cpu());
        let field = residual.terms(samples, ResidualOptions::default()).residual;
        let dims = field.dims();
        Ok(Tensor::from_data(TensorData::new(read(field)?, dims), &device))
    }

    /// The solution's channels of samples `x` `[batch, channel, y, x]`.
    pub fn solution_of(&self, x: Tensor<4>) -> Tensor<4> {
        let channels = &self.parts.layout.solution.channels;
        x.narrow(1, channels.start, channels.len())
    }

    /// The input of samples `x` as pictures `[batch, input channel, y, x]`; an input that is a line
    /// is repeated along y.
    fn input_of(&self, x: Tensor<4>) -> Tensor<4> {
        let height = x.dims()[2];
        let input = self.parts.input(x);
        if self.parts.layout.input.is_line() { input.repeat_dim(2, height) } else { input }
    }

    /// The samples `x` with the solution `u` `[batch, solution channel, y, x]` in its place.
    pub fn with_solution(&self, x: Tensor<4>, u: Tensor<4>) -> Tensor<4> {
        let part = &self.parts.layout.solution;
        let rows = part.rows_of(x.dims()[2]);
        with_part(x, part, u.narrow(2, rows.start, rows.len()))
    }

    /// The part of `u` at the points where a sample holds its solution, zero elsewhere.
    pub fn masked(&self, u: Tensor<4>) -> Tensor<4> {
        u * self.solution.clone()
    }

    /// The solution that `sweeps` sweeps of the polish make of a trivial start, for the inputs of
    /// `x`; zero without sweeps.
    ///
    /// # Errors
    /// Fails as the polish does, and for sweeps where the PDE has none.
    pub fn guess(&self, x: &Tensor<4>, sweeps: usize) -> Result<Tensor<4>> {
        let [batch, _, height, width] = x.dims();
        let solved = self.parts.layout.solution.channels.len();
        let shape = [batch, solved, height, width];
        if sweeps == 0 {
            return Ok(Tensor::zeros(shape, &x.device()));
        }
        let Some(residual) = self.residual() else {
            return Err(Error::NoEquation { pde: self.pde.clone() });
        };
        if !crate::polish::is_known(residual) {
            return Err(Error::Config(format!(
                "operator.sweeps = {sweeps}: no correction of the solution is known for this PDE; \
                 0 expected"
            )));
        }

        // An evolution starts from its initial state at all times.
        let input = self.input_of(x.clone());
        let inputs = input.dims()[1];
        let start = match residual.collocation() {
            Some(_) if solved.is_multiple_of(inputs) => input.repeat_dim(1, solved / inputs),
            Some(_) => {
                let reason = format!("an evolution of {inputs} fields has {solved} solved ones");
                return Err(Error::Config(reason));
            }
            None => Tensor::zeros(shape, &x.device()),
        };

        let start = self.with_solution(x.clone(), start);
        let dims = start.dims();
        let swept = corrected(read(start)?, dims, &self.parts.layout, residual, sweeps).map_err(
            |e| match e {
                Error::NonFinite(what) => Error::NonFinite(format!("an operator's guess ({what})")),
                other => other,
            },
        )?;
        let swept = Tensor::from_data(TensorData::new(swept, dims), &x.device());
        Ok(self.solution_of(swept))
    }
}

impl OperatorStatistics {
    /// Measures the statistics on the first solved samples of `data`.
    ///
    /// # Errors
    /// Fails as [`Guess::of`] does.
    pub fn of_data(data: &Samples, frame: &Frame, guess: &Guess) -> Result<Self> {
        let first = data.slice(0..data.count.min(MEASURED));
        Self::of(&first.into_tensor(&frame.solution.device()), frame, guess)
    }

    /// Measures the statistics on `x` `[sample, channel, y, x]`, solved samples.
    ///
    /// # Errors
    /// Fails as [`Guess::of`] does.
    pub fn of(x: &Tensor<4>, frame: &Frame, guess: &Guess) -> Result<Self> {
        let count = x.dims()[0];
        let batches = (0..count).step_by(BATCH);
        let guesses: Result<Vec<Tensor<4>>> = batches
            .map(|start| {
                let part = x.clone().narrow(0, start, BATCH.min(count - start));
                guess.of(frame, &part)
            })
            .collect();
        let guess = Tensor::cat(guesses?, 0);
        let left = frame.masked(frame.solution_of(x.clone()) - guess.clone());

        // The regression of what is left on the guess has the gain less 1.
        let guess_mean = guess.clone().mean_dim(0);
        let left_mean = left.clone().mean_dim(0);
        let guess = guess - guess_mean.clone();
        let told = frame.bases.modes(guess.clone());
        let left = frame.bases.modes(left - left_mean.clone());
        let variance = told.clone().square().mean_dim(0);
        let covariance = (told.clone() * left.clone()).mean_dim(0);
        let never_moves = variance.clone().equal_elem(0.0);
        let slope = covariance / variance.mask_fill(never_moves.clone(), 1.0);
        let gain = slope.mask_fill(never_moves, 0.0) + 1.0;
        let left = left - told.clone() * (gain.clone() - 1.0);

        let deviation = |modes: Tensor<4>, least: f32| -> Result<Tensor<4>> {
            let deviation = modes.square().mean_dim(0).sqrt();
            let largest = read(deviation.clone())?.into_iter().fold(0.0, f32::max);
            // Fields that are always the same, as a guess of zero, have no unit of their own.
            Ok(match largest > 0.0 {
                true => deviation.clamp_min(least * largest),
                false => deviation.ones_like(),
            })
        };
        let guess_deviation = deviation(told.clone(), LEAST_OF_GUESS)?;
        let left_deviation = deviation(left, LEAST_OF_REMAINDER)?;

        let input = read(frame.input_of(x.clone()))?;
        let n = input.len().max(1) as f64;
        let mean = input.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = input.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let deviation = variance.sqrt() as f32;
        let input = [mean as f32, if deviation > 0.0 { deviation } else { 1.0 }];
        let residual = None;
        Ok(Self { guess_mean, guess_deviation, gain, left_mean, left_deviation, input, residual })
    }

    /// These statistics with those of the guess's residual, on the first samples of `data`.
    ///
    /// # Errors
    /// Fails as [`Guess::of`] and [`Frame::residual_of`] do.
    pub fn with_residual(self, data: &Samples, frame: &Frame, guess: &Guess) -> Result<Self> {
        let count = data.count.min(MEASURED);
        let mut squares: Vec<f64> = Vec::new();
        for start in (0..count).step_by(BATCH) {
            let part = data.slice(start..count.min(start + BATCH));
            let x = part.into_tensor(&frame.solution.device());
            let residual = frame.residual_of(&x, guess.of(frame, &x)?)?;
            let mean = residual.square().mean_dims(&[2, 3]).sum_dim(0);
            let own = read(mean)?;
            squares.resize(own.len(), 0.0);
            squares.iter_mut().zip(own).for_each(|(sum, own)| *sum += f64::from(own));
        }

        let size = |sum: f64| (sum / count.max(1) as f64).sqrt() as f32;
        // A guess that solves the equation leaves nothing to magnify.
        let sizes = squares.into_iter().map(size);
        let sizes = sizes.map(|size| if size > 0.0 { size } else { 1.0 });
        Ok(Self { residual: Some(sizes.collect()), ..self })
    }

    /// The statistics as arrays, whose names begin with the prefix `at`.
    ///
    /// # Errors
    /// Fails where the device does not give them back.
    pub fn to_arrays(&self, at: &str) -> Result<BTreeMap<String, Array>> {
        let Self { guess_mean, guess_deviation, gain, left_mean, left_deviation, .. } = self;
        let fields = [guess_mean, guess_deviation, left_mean, left_deviation, gain];
        let mut arrays = BTreeMap::new();
        for (name, field) in NAMES.iter().chain([&GAIN]).zip(fields) {
            arrays.insert(format!("{at}{name}"), to_array(field.clone())?);
        }
        let lists = [(INPUT, Some(self.input.to_vec())), (RESIDUAL, self.residual.clone())];
        for (name, data) in lists {
            let array = data.map(|data| Array { shape: vec![data.len()], data });
            arrays.extend(array.map(|array| (format!("{at}{name}"), array)));
        }
        Ok(arrays)
    }

    /// Restores the statistics from the arrays of [`OperatorStatistics::to_arrays`].
    ///
    /// # Errors
    /// [`Error::Shape`] for arrays that are missing or of another shape, [`Error::Config`] for
    /// deviations that are none.
    pub fn from_arrays(
        arrays: &BTreeMap<String, Array>,
        at: &str,
        frame: &Frame,
        sees_residual: bool,
    ) -> Result<Self> {
        let get = |name: &str, shape: &[usize]| {
            Ok::<_, Error>(&of_shape(arrays, &format!("{at}{name}"), shape)?.data)
        };
        let (shape, device) = (frame.solution.dims(), frame.solution.device());
        let field = |name: &str| -> Result<Tensor<4>> {
            Ok(Tensor::from_data(TensorData::new(get(name, &shape)?.clone(), shape), &device))
        };

        for name in [NAMES[1], NAMES[3]] {
            above_zero(&format!("{at}{name}"), get(name, &shape)?)?;
        }
        let input = get(INPUT, &[2])?;
        above_zero(&format!("{at}{INPUT}"), &input[1..])?;
        let residual = match sees_residual {
            true => Some(get(RESIDUAL, &[frame.equations()])?.clone()),
            false => None,
        };
        above_zero(&format!("{at}{RESIDUAL}"), residual.as_deref().unwrap_or_default())?;
        let gain = match arrays.contains_key(&format!("{at}{GAIN}")) {
            true => field(GAIN)?,
            false => Tensor::ones(shape, &device),
        };
        Ok(Self {
            guess_mean: field(NAMES[0])?,
            guess_deviation: field(NAMES[1])?,
            gain,
            left_mean: field(NAMES[2])?,
            left_deviation: field(NAMES[3])?,
            input: [input[0], input[1]],
            residual,
        })
    }
}

impl Operator {
    /// An operator that is not packed.
    pub fn new(
        card: OperatorCard,
        net: UNet,
        statistics: OperatorStatistics,
        guess: Guess,
        frame: Frame,
    ) -> Self {
        Self { card, net, statistics, guess, frame, packed: None }
    }

    /// The origin of the guess.
    pub fn origin(&self) -> &Guess {
        &self.guess
    }

    /// The guesses for the inputs of `x`, `[batch, solution channel, y, x]`.
    ///
    /// # Errors
    /// Fails as [`Guess::of`] does.
    pub fn guess(&self, x: &Tensor<4>) -> Result<Tensor<4>> {
        self.guess.of(&self.frame, x)
    }

    /// The parts and bases of the samples.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// This operator with another network; not packed.
    pub fn with_net(&self, net: UNet) -> Self {
        Self { net, packed: None, ..self.clone() }
    }

    /// This operator with other statistics.
    pub fn with_statistics(self, statistics: OperatorStatistics) -> Self {
        Self { statistics, ..self }
    }

    /// This operator for inference with fixed weights, which must not be changed afterwards.
    pub fn freeze(self) -> Self {
        let net = self.net.valid();
        let on_processor = self.statistics.left_mean.device() == Device::flex();
        let packed = on_processor.then(|| Arc::new(PackedUNet::new(&net)));
        Self { net, packed, ..self }
    }

    /// The samples `x` `[batch, channel, y, x]`, physical units, with the solution of their inputs.
    ///
    /// # Errors
    /// Fails as [`Guess::of`] and [`Frame::residual_of`] do.
    pub fn solved(&self, x: Tensor<4>) -> Result<Tensor<4>> {
        let guess = self.guess(&x)?;
        let u = self.solution(self.output(self.pictures(&x, &guess)?), guess);
        Ok(self.frame.with_solution(x, u))
    }

    /// The network's output for these [`Operator::pictures`].
    pub fn output(&self, pictures: Tensor<4>) -> Tensor<4> {
        // The network is one that takes a noise level; here there is no noise.
        let level = Tensor::zeros([pictures.dims()[0]], &pictures.device());
        match &self.packed {
            Some(packed) if !pictures.device().is_autodiff() => packed.forward(pictures, level),
            _ => self.net.forward(pictures, level),
        }
    }

    /// The pictures for the network of the inputs of `x` and their guess, in the order of
    /// [`Frame::pictures`]. Each is in units of its own size.
    ///
    /// # Errors
    /// Fails as [`Frame::residual_of`] does.
    pub fn pictures(&self, x: &Tensor<4>, guess: &Tensor<4>) -> Result<Tensor<4>> {
        let OperatorStatistics { guess_mean, guess_deviation, input: [mean, deviation], .. } =
            &self.statistics;
        let input = (self.frame.input_of(x.clone()) - *mean) / *deviation;
        let centred = guess.clone() - guess_mean.clone();
        // An orthonormal basis keeps the mean square.
        let size = guess_deviation.clone().square().mean_dim(2).mean_dim(3).sqrt();
        let modes = self.frame.bases.modes(centred.clone()) / guess_deviation.clone();
        let whitened = self.frame.bases.fields(modes);

        let mut pictures = vec![input, centred / size, whitened];
        if let Some(sizes) = &self.statistics.residual {
            let sizes = TensorData::new(sizes.clone(), [1, sizes.len(), 1, 1]);
            let sizes = Tensor::<4>::from_data(sizes, &x.device());
            pictures.push(self.frame.residual_of(x, guess.clone())? / sizes);
        }
        Ok(Tensor::cat(pictures, 1))
    }

    /// The solution for the network's output and the guess, `[batch, solution channel, y, x]`.
    pub fn solution(&self, output: Tensor<4>, guess: Tensor<4>) -> Tensor<4> {
        let OperatorStatistics { left_mean, left_deviation, .. } = &self.statistics;
        let bases = &self.frame.bases;
        let left = self.told_by(&guess) + bases.modes(output) * left_deviation.clone();
        guess + left_mean.clone() + bases.fields(left)
    }

    /// The output that would lead to the solution `u` for this guess.
    pub fn target(&self, u: Tensor<4>, guess: Tensor<4>) -> Tensor<4> {
        let OperatorStatistics { left_mean, left_deviation, .. } = &self.statistics;
        let left = self.frame.masked(u - guess.clone()) - left_mean.clone();
        let bases = &self.frame.bases;
        bases.fields((bases.modes(left) - self.told_by(&guess)) / left_deviation.clone())
    }

    /// The modes (beta - 1) * B (g - m_g): what the regression changes of the guess.
    fn told_by(&self, guess: &Tensor<4>) -> Tensor<4> {
        let OperatorStatistics { guess_mean, gain, .. } = &self.statistics;
        self.frame.bases.modes(guess.clone() - guess_mean.clone()) * (gain.clone() - 1.0)
    }

    /// The operator as arrays.
    ///
    /// # Errors
    /// Fails where the device does not give the weights back.
    pub fn to_arrays(&self) -> Result<BTreeMap<String, Array>> {
        self.arrays_at(PREFIX)
    }

    /// The arrays under names that begin with the prefix `at`.
    fn arrays_at(&self, at: &str) -> Result<BTreeMap<String, Array>> {
        let mut arrays = params::to_arrays(&self.net, &format!("{at}net."))?;
        arrays.extend(self.statistics.to_arrays(at)?);
        if let Guess::Before(operator) = &self.guess {
            arrays.extend(operator.arrays_at(&format!("{at}{BEFORE}"))?);
        }
        Ok(arrays)
    }

    /// The arrays of the operator before among [`Operator::to_arrays`]; none for sweeps.
    ///
    /// # Errors
    /// Fails where the device does not give the weights back.
    pub fn arrays_of_before(&self) -> Result<BTreeMap<String, Array>> {
        match &self.guess {
            Guess::Sweeps(_) => Ok(BTreeMap::new()),
            Guess::Before(operator) => operator.arrays_at(&format!("{PREFIX}{BEFORE}")),
        }
    }

    /// Restores an operator from the arrays of [`Operator::to_arrays`].
    ///
    /// # Errors
    /// [`Error::Shape`] for arrays that are missing or of another shape, [`Error::Config`] for
    /// deviations that are none.
    pub fn from_arrays(
        arrays: &BTreeMap<String, Array>,
        card: &OperatorCard,
        frame: Frame,
    ) -> Result<Self> {
        Self::from_arrays_at(arrays, PREFIX, card, frame)
    }

    /// Restores an operator from arrays under names that begin with the prefix `at`.
    fn from_arrays_at(
        arrays: &BTreeMap<String, Array>,
        at: &str,
        card: &OperatorCard,
        frame: Frame,
    ) -> Result<Self> {
        let device = frame.solution.device();
        let Seen { inputs, outputs, .. } = frame.pictures(card.sees_residual);
        let net = UNet::zeros(&card.net, inputs.len(), outputs.len(), &device);
        let net = params::from_arrays(net, arrays, &format!("{at}net."))?;

        let statistics = OperatorStatistics::from_arrays(arrays, at, &frame, card.sees_residual)?;
        let guess = match &card.before {
            None => Guess::Sweeps(card.sweeps),
            Some(before) => {
                let at = format!("{at}{BEFORE}");
                let operator = Self::from_arrays_at(arrays, &at, before, frame.clone())?;
                Guess::Before(Arc::new(operator.freeze()))
            }
        };
        Ok(Self::new(card.clone(), net, statistics, guess, frame))
    }

    /// Restores the operator before from the [`Operator::arrays_of_before`] of the one that follows
    /// it, for inference.
    ///
    /// # Errors
    /// Fails as [`Operator::from_arrays`] does.
    pub fn of_before(
        arrays: &BTreeMap<String, Array>,
        card: &OperatorCard,
        frame: Frame,
    ) -> Result<Self> {
        let at = format!("{PREFIX}{BEFORE}");
        Ok(Self::from_arrays_at(arrays, &at, card, frame)?.freeze())
    }

    /// The names of the arrays of [`Operator::to_arrays`].
    pub fn names(&self) -> Vec<String> {
        self.names_at(PREFIX)
    }

    /// The names of the arrays, which begin with the prefix `at`.
    fn names_at(&self, at: &str) -> Vec<String> {
        let seen = self.card.sees_residual.then_some(&RESIDUAL);
        let statistics = NAMES.iter().chain([&GAIN, &INPUT]).chain(seen);
        let statistics = statistics.map(|name| format!("{at}{name}"));
        let net = params::names(&self.net, &format!("{at}net."));

        let mut names: Vec<String> = net.into_iter().chain(statistics).collect();
        if let Guess::Before(operator) = &self.guess {
            names.extend(operator.names_at(&format!("{at}{BEFORE}")));
        }
        names
    }
}

/// Refuses a deviation that would divide by zero or turn a sign.
fn above_zero(name: &str, deviations: &[f32]) -> Result<()> {
    match deviations.iter().position(|&v| v <= 0.0) {
        None => Ok(()),
        Some(at) => Err(Error::Config(format!("{name}: the deviation {at} is not above 0"))),
    }
}

#[cfg(test)]
mod tests;
