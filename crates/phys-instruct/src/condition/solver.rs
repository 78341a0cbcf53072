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

/// What an observation without errors is taken to be off by, in standard deviations of its field: what
/// keeps its covariance regular where the equation is linear and samples are pairs of it.
const EXACT_LINEAR: f64 = 1e-4;
/// Elsewhere: less than a student's pair misses the equation by.
const EXACT: f64 = 1e-3;
/// In input space, where pairs are the solver's: the rounding of values in `f32`, and what the solver's
/// choice of time steps moves them by.
const EXACT_PAIR: f64 = 3.5e-8;
/// The same, in turn, while the search there begins, but for those that make the errors of no value
/// larger than `SOFTER` times its own.
const SOFT: [f64; 8] = [0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
const SOFTER: f64 = 1.1;
/// Members of the refined ensemble from which the search in input space begins where its mean leads
/// nowhere.
const STARTS: usize = 4;

/// Observations that are held against the prior together, at most: a second of work.
pub const TOGETHER: usize = 1000;
/// Observations that the size of unstated errors is estimated from, at most.
const ESTIMATED: usize = 400;

/// The way from observations to fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The student's steps with linear corrections between them ([`super::refinement`]).
    Refinement,
    /// The same with the equation linearised at the ensemble's mean and solved for every member
    /// ([`super::linearised`]).
    Linearised,
    /// Gauss-Newton in the student's noise ([`super::noise_space`]).
    NoiseSpace,
    /// Gauss-Newton in the input from refinement's mean on, the equation solved between
    /// ([`super::input_space`]).
    InputSpace,
}

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The method.
    pub method: Method,
    /// Members of the ensemble.
    pub ensemble: usize,
    /// Network calls at each of the student's levels but the first (refinement, linearised); what suits
    /// the method unless given.
    pub rounds: Option<usize>,
    /// Gauss-Newton steps (noise space).
    pub steps: usize,
    /// Conjugate-gradient iterations of a step.
    pub iterations: usize,
    /// Standard deviation of what the student itself is off by, in units of each channel's
    /// (noise space).
    pub model_error: f64,
    /// The seed.
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

/// A student with what it needs for every question: the covariance of its samples.
pub struct Solver<'a> {
    model: &'a Model,
    student: Student<'a>,
    covariance: Covariance,
    deviations: Vec<f64>,
    /// Samples of the model's inputs with the solution that belongs to them, drawn when first asked
    /// for.
    yardstick: OnceLock<Vec<f32>>,
    /// The PDE error of samples that the model draws, measured when first asked for.
    own_pde_error: OnceLock<f64>,
}

impl<'a> Solver<'a> {
    /// Draws the samples whose covariance serves every question.
    ///
    /// # Errors
    /// A model that is no student, or whose samples are not finite.
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

    /// The mean and the deviation of each channel.
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
    /// Samples that do not fill their grid.
    fn own_samples(&self) -> Result<Samples> {
        let card = &self.model.card;
        let len = card.channels.len() * card.grid * card.grid;
        Ok(Samples {
            pde: card.pde.clone(),
            channels: card.channels.clone(),
            count: self.covariance.fresh.len() / len,
            height: card.grid,
            width: card.grid,
            data: self.covariance.fresh.clone(),
        })
    }

    /// The mean PDE error of samples that the model draws without observations.
    ///
    /// # Errors
    /// A residual that is not finite.
    pub(super) fn own_pde_error(&self, residual: &dyn Residual) -> Result<f64> {
        if let Some(&measured) = self.own_pde_error.get() {
            return Ok(measured);
        }
        let measured = pde_error(&self.own_samples()?, residual)?;
        Ok(*self.own_pde_error.get_or_init(|| measured))
    }

    /// The model's own samples as data are: the input rounded where its law is, its solution the
    /// reference solver's. A student's own solution is off by more than observations may be.
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

    /// The deviation that each observation's error is taken to have, above 0 for exact ones too.
    pub(super) fn errors(&self, observations: &Observations) -> Vec<f64> {
        let one = |p: &Observation| p.deviation().hypot(self.least_error(p));
        observations.points().iter().map(one).collect()
    }

    /// The least deviation of an observation's error: that of pairs that the model draws, or the
    /// rounding of fields in `f32`.
    fn least_error(&self, point: &Observation) -> f64 {
        let rounding = 2.0 * f64::from(f32::EPSILON) * point.value.abs();
        (self.exact() * self.deviations[point.channel]).hypot(rounding)
    }

    /// Refuses observations of another grid or of other fields than the model's.
    ///
    /// # Errors
    /// [`Error::Observation`] that names both.
    pub(super) fn check_grid(&self, observations: &Observations) -> Result<()> {
        let card = &self.model.card;
        if observations.channels() == card.channels && observations.size() == card.grid {
            return Ok(());
        }
        Err(Error::Observation(format!(
            "of {} on a grid of {}; the model has {} on {}",
            observations.channels().join(", "),
            observations.size(),
            card.channels.join(", "),
            card.grid
        )))
    }

    /// How unusual the observations are for the model; of more than [`TOGETHER`] some, evenly
    /// chosen.
    ///
    /// # Errors
    /// A covariance that is not finite.
    pub fn surprise(&self, observations: &Observations) -> Result<Surprise> {
        self.seen(observations, TOGETHER)?.surprise(0)
    }

    /// The most probable share of their field's deviation that errors have which nobody stated.
    ///
    /// # Errors
    /// A covariance that is not finite.
    pub fn likely_share(&self, observations: &Observations) -> Result<f64> {
        self.seen(observations, ESTIMATED)?.likely_share()
    }

    /// Observations with the deviations of robust errors in place of those stated. More than
    /// [`TOGETHER`] are weighed in parts, each of observations from all over the field.
    ///
    /// # Errors
    /// A covariance that is not finite.
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

    /// At most `most` of the observations, with their law under the prior.
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

    /// The method that suits the model's PDE best: input space where the input has few values; linearised
    /// where the equation's derivative is known and some of its solution observed; else refinement.
    ///
    /// # Errors
    /// A PDE that this program does not know.
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
    /// Observations of another grid or other channels than the model's, no member, or members
    /// that are not finite.
    pub fn posterior(&self, observations: &Observations, options: &Options) -> Result<Posterior> {
        self.check_grid(observations)?;
        if options.ensemble == 0 {
            return Err(Error::Config("an ensemble needs at least one member".into()));
        }
        let observed = Observed::new(observations, &self.model.device());
        let aim = Aim::draw(&self.student, observations, options.ensemble, options.seed);
        let (x, nfe) = match options.method {
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
                // Where no input's solution follows the values, the student's own fields do.
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
        Ok(Posterior { left_out, ..Posterior::of(samples, mirrored, nfe) })
    }

    /// Members whose input, where the law gives it two values, lies between them, but for observed
    /// values.
    fn admitted(&self, mut samples: Samples, observations: &Observations) -> Result<Samples> {
        let (pde, grid) = (self.model.card.pde()?, self.model.card.grid);
        let Some(two) = pde.input_law().two_values() else { return Ok(samples) };
        let mut is_free = vec![false; samples.sample_len()];
        for entry in Task::Forward.observed(pde.as_ref(), grid) {
            is_free[entry] = true;
        }
        // A value known to a hundredth of the gap is kept as observed; one less exact is not.
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
            height: card.grid,
            width: card.grid,
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
        let softer = |soft: &Vec<f64>| soft.iter().zip(&deviations).any(|(s, d)| *s > SOFTER * d);
        let used: Vec<f64> = SOFT.iter().copied().filter(|soft| softer(&at_least(soft))).collect();
        let softened: Vec<Vec<f64>> = used.iter().map(&at_least).collect();
        let tolerated = used.iter().position(|&soft| soft <= EXACT).unwrap_or(used.len());
        let problem = input_space::Problem {
            inputs: &inputs,
            pde: pde.as_ref(),
            starts,
            stencils: observations.stencils(),
            values: points.iter().map(|p| p.value).collect(),
            softened,
            tolerated,
            deviations,
        };
        let found = in_pool(|| problem.infer(options.ensemble, options.seed))?;
        let some = (!found.members.is_empty()).then_some(&found.members);
        let samples = some.map(|all| Samples::from_fields(&card.pde, &card.channels, all));
        Ok((samples.transpose()?, found.left_out))
    }

    /// What observations without errors are taken to be off by.
    fn exact(&self) -> f64 {
        if self.student.solved_inputs().is_some() { EXACT_LINEAR } else { EXACT }
    }

    fn gain(&self, observations: &Observations, variances: &[f64]) -> Result<Gain<'_>> {
        self.covariance.gain(&self.student, observations.stencils(), variances)
    }

    /// Of the observations, `model_error` deviations of their fields added.
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
        let left = target - observed.of(state.x.clone());
        let exact = gain.with(&self.variances(observations, self.exact()))?;
        Ok((state.x + exact.apply(left), state.calls))
    }
}
