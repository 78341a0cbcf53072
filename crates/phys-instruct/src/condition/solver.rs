//! A student prepared to answer conditional questions.

use std::sync::OnceLock;

use burn::tensor::Tensor;
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_physics::Fields;
use serde::{Deserialize, Serialize};

use super::covariance::{Covariance, Gain};
use super::expectation::{Seen, Surprise};
use super::input_space::{self, Inputs};
use super::linearised::{self, Parts};
use super::noise_space::Problem;
use super::observed::{Aim, Observed, row};
use super::place::Stencil;
use super::posterior::Posterior;
use super::prior::{Prior, Student};
use super::warnings::FieldLaw;
use super::{Observation, Observations, Task, refinement};
use crate::eval::physics::pde_error;
use crate::linalg::parts;
use crate::model::Model;
use crate::net::params::values;
use crate::residual::Residual;
use crate::{Error, Result, Samples};

/// The error that an exact observation is taken to have, in standard deviations of its field,
/// where the equation is linear. It keeps the covariance of samples that satisfy the equation
/// regular.
const EXACT_LINEAR: f64 = 1e-4;
/// The error of an exact observation where the equation is not linear: less than a student's pair
/// misses the equation by.
const EXACT: f64 = 1e-3;
/// The error of an exact observation in input space, where pairs are the solver's. It covers the
/// rounding of values in `f32` and the solver's choice of time steps.
const EXACT_PAIR: f64 = 3.5e-8;
/// Tempering: the larger errors, in standard deviations of the field, with which the search in
/// input space begins, one after the other.
const SOFT: [f64; 8] = [0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// An error of [`SOFT`] is used only if it makes some observation's error larger than its own by
/// more than this factor.
const SOFTER: f64 = 1.1;
/// The number of members of the refined ensemble from which the search in input space starts, if
/// the start at their mean fails.
const STARTS: usize = 4;

/// The most observations that are compared with the prior together: a second of work.
pub const TOGETHER: usize = 1000;
/// The most observations from which the size of unstated errors is estimated.
const ESTIMATED: usize = 400;

/// The method of inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The student's steps with linear corrections between them ([`super::refinement`]).
    Refinement,
    /// Refinement with the equation linearised at the ensemble's mean and solved for every member
    /// ([`super::linearised`]).
    Linearised,
    /// Gauss-Newton in the student's noise ([`super::noise_space`]).
    NoiseSpace,
    /// Gauss-Newton in the input, starting at refinement's mean, with the solution from the
    /// reference solver ([`super::input_space`]).
    InputSpace,
}

/// The effort of a method and its random numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The method.
    pub method: Method,
    /// The number of members of the ensemble.
    pub ensemble: usize,
    /// Network calls at each of the student's levels but the first (refinement, linearised). None:
    /// the method's own default.
    pub rounds: Option<usize>,
    /// The number of Gauss-Newton steps (noise space).
    pub steps: usize,
    /// The number of conjugate-gradient iterations of a step (noise space).
    pub iterations: usize,
    /// The standard deviation of the student's own error, in units of each channel's deviation
    /// (noise space).
    pub model_error: f64,
    /// The seed of all random numbers.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: Method::Refinement,
            ensemble: 16,
            rounds: None,
            steps: 1,
            iterations: 8,
            model_error: 0.02,
            seed: 0,
        }
    }
}

/// A student prepared for questions: the covariance of its samples is computed once.
pub struct Solver<'a> {
    model: &'a Model,
    student: Student<'a>,
    covariance: Covariance,
    deviations: Vec<f64>,
    /// Samples of the model's inputs with the solver's solutions, drawn at first use.
    yardstick: OnceLock<Vec<f32>>,
    /// The PDE error of samples that the model draws, measured at first use.
    own_pde_error: OnceLock<f64>,
}

impl<'a> Solver<'a> {
    /// Draws the samples whose covariance serves every question.
    ///
    /// # Errors
    /// Fails for a model that is no student, or whose samples are not finite.
    pub fn new(model: &'a Model) -> Result<Self> {
        parts();
        let student = Student::new(model)?;
        let covariance = in_pool(|| Covariance::new(&student, 0))?;
        let deviations = model.deviations();
        let (yardstick, own_pde_error) = (OnceLock::new(), OnceLock::new());
        Ok(Self { model, student, covariance, deviations, yardstick, own_pde_error })
    }

    /// The student.
    pub(super) fn model(&self) -> &Model {
        self.model
    }

    /// The standard deviation of each channel.
    pub fn deviations(&self) -> &[f64] {
        &self.deviations
    }

    /// The mean and the standard deviation of each channel.
    pub(super) fn laws(&self) -> Vec<FieldLaw> {
        let mean = values(self.covariance.mean.clone());
        let len = mean.len() / self.deviations.len();
        let fields = mean.chunks(len).zip(&self.deviations);
        let law = |(mean, &deviation): (&[f32], &f64)| {
            let sum: f64 = mean.iter().map(|&v| f64::from(v)).sum();
            FieldLaw { mean: sum / len as f64, deviation }
        };
        fields.map(law).collect()
    }

    /// Samples that the model draws without observations.
    ///
    /// # Errors
    /// Fails if the samples do not fill their grid.
    fn own_samples(&self) -> Result<Samples> {
        let card = &self.model.card;
        let len = card.channels.len() * card.grid.points();
        Ok(Samples {
            pde: card.pde.clone(),
            channels: card.channels.clone(),
            count: self.covariance.fresh.len() / len,
            height: card.grid.ny,
            width: card.grid.nx,
            sides: card.grid.sides(),
            data: self.covariance.fresh.clone(),
        })
    }

    /// The mean PDE error of samples that the model draws without observations.
    ///
    /// # Errors
    /// Fails if a residual is not finite.
    pub(super) fn own_pde_error(&self, residual: &dyn Residual) -> Result<f64> {
        if let Some(&measured) = self.own_pde_error.get() {
            return Ok(measured);
        }
        let measured = pde_error(&self.own_samples()?, residual)?;
        Ok(*self.own_pde_error.get_or_init(|| measured))
    }

    /// The model's own samples in the form of data. Inputs of two values are rounded, and the
    /// solution is the reference solver's, because a student's own solution is off by more than
    /// observations may be.
    fn yardstick(&self) -> Result<&[f32]> {
        if let Some(drawn) = self.yardstick.get() {
            return Ok(drawn);
        }
        let own = self.own_samples()?;
        let pde = self.model.card.pde()?;
        let solved = match self.student.solved_inputs() {
            // A linear equation's samples are pairs of it already.
            Some(_) => own,
            None => {
                Posterior::of(own.clone(), false, 0).solved(pde.as_ref()).map_or(own, |p| p.samples)
            }
        };
        Ok(self.yardstick.get_or_init(|| solved.data))
    }

    /// The standard deviation of each observation's error, above 0 for exact observations too.
    pub(super) fn errors(&self, observations: &Observations) -> Vec<f64> {
        let one = |p: &Observation| p.deviation().hypot(self.least_error(p));
        observations.points().iter().map(one).collect()
    }

    /// The least standard deviation of an observation's error: the error of the model's pairs,
    /// combined with the rounding of fields in `f32`.
    fn least_error(&self, point: &Observation) -> f64 {
        let rounding = 2.0 * f64::from(f32::EPSILON) * point.value.abs();
        (self.exact() * self.deviations[point.channel]).hypot(rounding)
    }

    /// Refuses observations on another grid or of other fields than the model's.
    ///
    /// # Errors
    /// Fails with an [`Error::Observation`] that names both.
    pub(super) fn check_grid(&self, observations: &Observations) -> Result<()> {
        let card = &self.model.card;
        if observations.channels() == card.channels && observations.grid() == card.grid {
            return Ok(());
        }
        Err(Error::Observation(format!(
            "of {} on a grid of {}; the model has {} on {}",
            observations.channels().join(", "),
            observations.grid(),
            card.channels.join(", "),
            card.grid
        )))
    }

    /// Measures how unusual the observations are for the model. If there are more than
    /// [`TOGETHER`], that many evenly spaced ones are used.
    ///
    /// # Errors
    /// Fails if the covariance is not finite.
    pub fn surprise(&self, observations: &Observations) -> Result<Surprise> {
        self.seen(observations, TOGETHER)?.surprise(0)
    }

    /// The most probable size of errors that nobody stated, as a share of their field's deviation.
    ///
    /// # Errors
    /// Fails if the covariance is not finite.
    pub fn likely_share(&self, observations: &Observations) -> Result<f64> {
        self.seen(observations, ESTIMATED)?.likely_share()
    }

    /// Returns the observations with robust estimates of the errors' deviations in place of those
    /// stated. More than [`TOGETHER`] observations are weighed in parts, each spread over the
    /// whole field.
    ///
    /// # Errors
    /// Fails if the covariance is not finite.
    pub fn robust(&self, observations: Observations) -> Result<Observations> {
        let n = observations.points().len();
        let parts = n.div_ceil(TOGETHER);
        let mut sd = vec![0.0; n];
        for part in 0..parts {
            let chosen: Vec<usize> = (part..n).step_by(parts).collect();
            let seen = self.chosen(&observations, chosen)?;
            let own = seen.robust()?;
            seen.chosen.iter().zip(own).for_each(|(&i, own)| sd[i] = own);
        }
        Ok(observations.with_errors(|i, _| sd[i]))
    }

    /// Returns at most `most` of the observations, evenly spaced, with their law under the prior.
    fn seen(&self, observations: &Observations, most: usize) -> Result<Seen> {
        let n = observations.points().len();
        let count = n.min(most);
        self.chosen(observations, (0..count).map(|k| k * n / count).collect())
    }

    /// The `chosen` observations, with their law under the prior.
    fn chosen(&self, observations: &Observations, chosen: Vec<usize>) -> Result<Seen> {
        let points: Vec<Observation> = chosen.iter().map(|&i| observations.points()[i]).collect();
        let stencils: Vec<Stencil> =
            chosen.iter().map(|&i| observations.stencils()[i].clone()).collect();
        let unit: Vec<f64> = points.iter().map(|p| self.deviations[p.channel]).collect();
        let fresh = self.yardstick()?;
        Ok(Seen {
            channels: points.iter().map(|p| p.channel).collect(),
            values: points.iter().map(|p| p.value).collect(),
            sd: points.iter().map(|p| p.sd).collect(),
            least: points.iter().map(|p| self.least_error(p)).collect(),
            unit,
            expectation: in_pool(|| self.covariance.expectation(&self.student, &stencils, fresh)),
            chosen,
        })
    }

    /// The method that suits the model's PDE best.
    ///
    /// - Input space, if the input has few values.
    /// - Linearised, if the equation's derivative is known and some of its solution is observed.
    /// - Refinement otherwise.
    ///
    /// # Errors
    /// Fails for a PDE that this program does not know.
    pub fn suggested(&self, observations: &Observations) -> Result<Method> {
        let (pde, grid) = (self.model.card.pde()?, self.model.card.grid);
        let parts = Parts::of(pde.as_ref(), grid);
        let is_solved = |stencil: &Stencil| {
            stencil.terms().iter().any(|&(entry, _)| parts.place(entry).is_some())
        };
        Ok(if Inputs::suits(pde.as_ref(), grid) {
            Method::InputSpace
        } else if pde.linearisable().is_some() && observations.stencils().iter().any(is_solved) {
            Method::Linearised
        } else {
            Method::Refinement
        })
    }

    /// The posterior of the fields given `observations`.
    ///
    /// # Errors
    /// Fails for observations on another grid or of other channels than the model's, for an
    /// ensemble of no member, and for members that are not finite.
    pub fn posterior(&self, observations: &Observations, options: &Options) -> Result<Posterior> {
        self.check_grid(observations)?;
        if options.ensemble == 0 {
            return Err(Error::Config("an ensemble needs at least one member".into()));
        }

        let observed = Observed::new(observations, &self.model.device());
        let aim = Aim::draw(&self.student, observations, options.ensemble, options.seed);
        let (x, calls) = match options.method {
            Method::Refinement | Method::InputSpace => {
                let gain = self.gain(observations, &self.variances(observations, self.exact()))?;
                let rounds = options.rounds.unwrap_or(refinement::ROUNDS);
                let seed = options.seed;
                in_pool(|| refinement::infer(&self.student, &gain, &observed, &aim, rounds, seed))
            }
            Method::Linearised => self.linearised(observations, &observed, &aim, options)?,
            Method::NoiseSpace => self.gauss_newton(observations, &observed, aim, options)?,
        };

        let (samples, left_out) = match options.method {
            Method::InputSpace => {
                let mean = self.samples(x.clone().mean_dim(0)).fields(0);
                let drawn = self.samples(x);
                let members = (0..drawn.count.min(STARTS)).map(|i| drawn.fields(i));
                let starts: Vec<Fields> = std::iter::once(mean).chain(members).collect();
                // If no input's solution follows the values, the student's own fields are the
                // answer.
                match self.in_input_space(observations, &starts, options)? {
                    (None, left_out) => (drawn, left_out),
                    (Some(found), left_out) => (found, left_out),
                }
            }
            _ => (self.samples(x), 0),
        };

        if let Some(member) = samples.first_not_finite() {
            return Err(Error::NonFinite(format!("member {member} of the posterior")));
        }
        let samples = self.admitted(samples, observations)?;
        let mirrored = samples.count.is_multiple_of(2);
        Ok(Posterior { left_out, ..Posterior::of(samples, mirrored, calls) })
    }

    /// Clamps the input between its two values, where its law has two. Observed values stay as
    /// they are.
    fn admitted(&self, mut samples: Samples, observations: &Observations) -> Result<Samples> {
        let (pde, grid) = (self.model.card.pde()?, self.model.card.grid);
        let Some(two) = pde.input_law().two_values() else { return Ok(samples) };

        let mut is_free = vec![false; samples.sample_len()];
        for entry in Task::Forward.observed(pde.as_ref(), grid) {
            is_free[entry] = true;
        }

        // A value known to a hundredth of the gap stays as observed; a less exact one is clamped.
        let exact = |p: &Observation| p.deviation() <= 0.01 * two.gap();
        for (point, stencil) in observations.points().iter().zip(observations.stencils()) {
            stencil.terms().iter().for_each(|(entry, _)| is_free[*entry] &= !exact(point));
        }

        let len = samples.sample_len().max(1);
        for sample in samples.data.chunks_mut(len) {
            let free = sample.iter_mut().zip(&is_free).filter(|(_, free)| **free);
            free.for_each(|(v, _)| *v = v.clamp(two.low as f32, two.high as f32));
        }
        Ok(samples)
    }

    fn samples(&self, x: Tensor<4>) -> Samples {
        let card = &self.model.card;
        Samples {
            pde: card.pde.clone(),
            channels: card.channels.clone(),
            count: x.dims()[0],
            height: card.grid.ny,
            width: card.grid.nx,
            sides: card.grid.sides(),
            data: values(x),
        }
    }

    fn linearised(
        &self,
        observations: &Observations,
        observed: &Observed,
        aim: &Aim,
        options: &Options,
    ) -> Result<(Tensor<4>, usize)> {
        let card = &self.model.card;
        let pde = card.pde()?;
        let Some(equation) = pde.linearisable() else {
            let (pde, method) = (pde.name(), "linearised");
            return Err(Error::Config(format!(
                "{method} is for equations that are not linear and whose derivative is known; that of \
                 {pde} is none of them"
            )));
        };
        let parts = Parts::of(pde.as_ref(), card.grid);

        let variances = self.variances(observations, self.exact());
        let problem = linearised::Problem {
            prior: &self.student,
            pde: pde.as_ref(),
            grid: card.grid,
            equation,
            covariance: &self.covariance,
            gain: &self.gain(observations, &variances)?,
            observed,
            stencils: observations.stencils(),
            variances: &variances,
            parts: &parts,
        };
        let rounds = options.rounds.unwrap_or(linearised::ROUNDS);
        in_pool(|| problem.infer(aim, rounds, options.seed))
    }

    fn in_input_space(
        &self,
        observations: &Observations,
        starts: &[Fields],
        options: &Options,
    ) -> Result<(Option<Samples>, usize)> {
        let card = &self.model.card;
        let (pde, grid) = (card.pde()?, card.grid);
        if !Inputs::suits(pde.as_ref(), grid) {
            let (pde, method) = (pde.name(), "input-space");
            return Err(Error::Config(format!(
                "{method} is for inputs of few values, none of them fixed by law; {pde} has others"
            )));
        }
        let entries = Task::Forward.observed(pde.as_ref(), grid);

        let mean = values(self.covariance.mean.clone());
        let deviations = self.covariance.deviations(&Stencil::points(&entries));
        let inputs = Inputs::new(&mean, deviations.as_ref(), entries)?;

        let points = observations.points();
        let at_least = |error: &f64| -> Vec<f64> {
            self.variances(observations, *error).into_iter().map(f64::sqrt).collect()
        };
        let deviations = at_least(&EXACT_PAIR);
        // Tempering errors that would change nothing are skipped.
        let softer = |soft: &Vec<f64>| soft.iter().zip(&deviations).any(|(s, d)| *s > SOFTER * d);
        let used: Vec<f64> = SOFT.iter().copied().filter(|soft| softer(&at_least(soft))).collect();
        let softened: Vec<Vec<f64>> = used.iter().map(&at_least).collect();
        let tolerated = used.iter().position(|&soft| soft <= EXACT).unwrap_or(used.len());

        let problem = input_space::Problem {
            inputs: &inputs,
            pde: pde.as_ref(),
            grid,
            starts,
            stencils: observations.stencils(),
            values: points.iter().map(|p| p.value).collect(),
            softened,
            tolerated,
            deviations,
        };

        let found = in_pool(|| problem.infer(options.ensemble, options.seed))?;
        let some = (!found.members.is_empty()).then_some(&found.members);
        let samples = some.map(|all| Samples::from_fields(&card.pde, &card.channels, grid, all));
        Ok((samples.transpose()?, found.left_out))
    }

    /// The error that exact observations are taken to have, in standard deviations of their field.
    fn exact(&self) -> f64 {
        if self.student.solved_inputs().is_some() { EXACT_LINEAR } else { EXACT }
    }

    fn gain(&self, observations: &Observations, variances: &[f64]) -> Result<Gain<'_>> {
        self.covariance.gain(&self.student, observations.stencils(), variances)
    }

    /// The variances of the observations' errors, with `model_error` deviations of their fields
    /// added.
    fn variances(&self, observations: &Observations, model_error: f64) -> Vec<f64> {
        let variance = |p: &Observation| {
            p.deviation().powi(2) + (model_error * self.deviations[p.channel]).powi(2)
        };
        observations.points().iter().map(variance).collect()
    }

    fn gauss_newton(
        &self,
        observations: &Observations,
        observed: &Observed,
        aim: Aim,
        options: &Options,
    ) -> Result<(Tensor<4>, usize)> {
        let device = self.student.device();
        let deviation =
            |p: &Observation| p.deviation().hypot(options.model_error * self.deviations[p.channel]);
        let deviations = row(observations, deviation, &device);
        let gain = self.gain(observations, &self.variances(observations, options.model_error))?;

        let target = aim.values.clone();
        let problem = Problem {
            prior: &self.student,
            observed,
            weights: deviations.clone().recip(),
            preconditioner: gain.inverse() * deviations.clone() * deviations.swap_dims(0, 1),
            aim,
            iterations: options.iterations,
        };

        let mut state = problem.start();
        for _ in 0..options.steps {
            state = in_pool(|| problem.step(state))?;
        }

        // The student's model error is no error of the observations: the last step aims at the
        // values alone.
        let left = target - observed.of(state.x.clone());
        let exact = gain.with(&self.variances(observations, self.exact()))?;
        Ok((state.x + exact.apply(left), state.calls))
    }
}
