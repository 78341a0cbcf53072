//! The ways to answer from observations: one trait, and which way is taken when.
//!
//! Every method draws an ensemble of members from the posterior of the joint fields, with the
//! student as prior. They differ in how they use the equation between input and solution.
//!
//! The first that fits is taken:
//!
//! 1. The reference solver (`known`), where the input is observed everywhere and exactly. Its
//!    solution needs no law of inputs, and no network call.
//! 2. [`input_space`], where the input has at most 128 values and is not two-valued (Burgers).
//!    Slopes of the solver itself are affordable there, so that exact values are followed to
//!    rounding. It starts from refinement's mean and takes its network calls.
//! 3. [`linearised`], where the equation's derivative is known and its solution is observed
//!    (Darcy, Navier-Stokes). Samples know a nonlinear equation on average alone; its derivative
//!    is local. It takes one network call a level.
//! 4. [`noise_space`], where no equation is known, up to a thousand observations. It is the most
//!    general and the slowest, with some 28 calls, since every step differentiates the network. Its
//!    slopes are the student's own, and it uses the student's first level alone.
//! 5. [`refinement`] in all other cases (Poisson, Helmholtz, an observed input). Its draws are
//!    exact for a linear equation and Gaussian fields. It takes one network call, then two at each
//!    further level.
//!
//! [`Method::suggested`] is this choice. A caller may name another method
//! ([`Options::method`]); one that does not take the PDE refuses it.
//! Methods that serve tables alone are in [`crate::baseline`].

use burn::tensor::{Tensor, TensorData};
use phys_instruct_physics::{Grid, Pde};
use serde::{Deserialize, Serialize};

use crate::condition::observations::observed::Observed;
use crate::condition::prior::covariance::Covariance;
use crate::condition::prior::gain::Gain;
use crate::condition::prior::{Prior, Student};
use crate::condition::{Observation, Observations};
use crate::net::params::values;
use crate::team::Team;
use crate::{Result, Samples};

use self::aim::Aim;

pub mod aim;
pub mod input_space;
pub(super) mod known;
pub mod linearised;
pub mod noise_space;
pub mod refinement;

/// The error that an exact observation is taken to have, in standard deviations of its field, where
/// the equation is linear. It keeps the covariance of samples that satisfy the equation regular.
const EXACT_LINEAR: f64 = 1e-4;
/// The error of an exact observation where the equation is not linear: less than a student's pair
/// misses the equation by.
const EXACT: f64 = 1e-3;

/// The method of inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The student's steps with linear corrections between them ([`refinement`]).
    Refinement,
    /// Refinement with the equation linearised at the ensemble's mean and solved for every member
    /// ([`linearised`]).
    Linearised,
    /// Gauss-Newton in the student's noise ([`noise_space`]).
    NoiseSpace,
    /// Gauss-Newton in the input, starting at refinement's mean, with the solution from the
    /// reference solver ([`input_space`]).
    InputSpace,
}

impl Method {
    /// The methods in the order in which they are considered. The last suits every PDE.
    const ORDER: [Self; 4] =
        [Self::InputSpace, Self::Linearised, Self::NoiseSpace, Self::Refinement];

    /// The first method that suits `pde` on a grid and for what was observed.
    pub fn suggested(pde: &dyn Pde, grid: Grid, observations: &Observations) -> Self {
        let suits = |method: &Self| method.inference().suits(pde, grid, observations);
        Self::ORDER.into_iter().find(suits).unwrap_or(Self::Refinement)
    }

    /// The method's own code.
    pub(super) fn inference(self) -> &'static dyn Inference {
        match self {
            Self::Refinement => &refinement::Refinement,
            Self::Linearised => &linearised::LinearisedRefinement,
            Self::NoiseSpace => &noise_space::NoiseSpace,
            Self::InputSpace => &input_space::InputSpace,
        }
    }
}

/// The effort of a method and its random numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The method. None: the one that suits the PDE and the observations best
    /// ([`Method::suggested`]).
    pub method: Option<Method>,
    /// The number of members of the ensemble.
    pub ensemble: usize,
    /// Network calls at each of the student's levels but the first (refinement, linearised). None:
    /// the method's own default.
    pub rounds: Option<usize>,
    /// The seed of all random numbers.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { method: None, ensemble: 16, rounds: None, seed: 0 }
    }
}

/// A way to draw members of the posterior.
pub(crate) trait Inference: Sync {
    /// Refuses a PDE for which the method is not made, on a grid.
    ///
    /// # Errors
    /// Fails with an [`crate::Error::Config`] that says what the method needs.
    fn check(&self, _pde: &dyn Pde, _grid: Grid) -> Result<()> {
        Ok(())
    }

    /// Tells whether the method is the one of choice, if no method before it in
    /// [`Method::ORDER`] is.
    fn suits(&self, pde: &dyn Pde, grid: Grid, observations: &Observations) -> bool;

    /// Tells whether the network is differentiated, which takes memory.
    fn differentiates(&self) -> bool {
        false
    }

    /// The number of gains that are held at once, each with a row for every observation.
    fn gains(&self) -> f64 {
        1.0
    }

    /// Draws an ensemble.
    ///
    /// # Errors
    /// Fails if a covariance is not finite, and if the solver refuses an input.
    fn draw(&self, given: &Given, options: &Options) -> Result<Drawn>;
}

/// An ensemble.
pub(crate) struct Drawn {
    /// The members.
    pub samples: Samples,
    /// The network calls behind each member.
    pub calls: usize,
    /// The number of members that were given up.
    pub left_out: usize,
}

/// The things that every method is given: a prepared student, and the observations.
pub(crate) struct Given<'a> {
    /// The prior.
    pub student: &'a Student,
    /// The covariance of the prior's samples.
    pub covariance: &'a Covariance,
    /// The standard deviation of each channel.
    pub deviations: &'a [f64],
    /// The observations, on the student's grid.
    pub observations: &'a Observations,
    /// The processes that draw the members.
    pub team: &'a Team,
}

impl Given<'_> {
    /// The observation operator.
    fn observed(&self) -> Observed {
        Observed::new(self.observations, &self.student.device())
    }

    /// The draws of each of this process's members.
    fn aim(&self, options: &Options) -> Aim {
        let members = self.team.members(options.ensemble);
        Aim::draw(self.student, self.observations, members, options.seed)
    }

    /// The variances of the observations' errors, with `model_error` deviations of their fields
    /// added.
    fn variances(&self, model_error: f64) -> Vec<f64> {
        let variance = |p: &Observation| {
            p.deviation().powi(2) + (model_error * self.deviations[p.channel]).powi(2)
        };
        self.observations.points().iter().map(variance).collect()
    }

    /// The gain of the best linear estimate for errors of these variances.
    fn gain(&self, variances: &[f64]) -> Result<Gain<'_>> {
        self.covariance.gain(self.student, self.observations.stencils(), variances)
    }

    /// The error that exact observations are taken to have, in standard deviations of their field.
    fn exact(&self) -> f64 {
        exact_error(self.student)
    }

    /// The values `[member, channel, y, x]` as samples of the model.
    fn samples(&self, data: Vec<f32>) -> Result<Samples> {
        let card = &self.student.model().card;
        Samples::on_grid(&card.pde, &card.channels, card.grid, data)
    }

    /// The outcome of a method that leaves no member out. The members of all processes are `x`.
    fn drawn(&self, x: Tensor<4>, calls: usize) -> Result<Drawn> {
        Ok(Drawn { samples: self.samples(values(x))?, calls, left_out: 0 })
    }
}

/// The members of all processes, `[member, channel, y, x]`. Those of this process are `x`.
///
/// # Errors
/// Fails if the connection to the other processes does.
fn of_all(team: &Team, ensemble: usize, x: Tensor<4>) -> Result<Tensor<4>> {
    if team.count() == 1 {
        return Ok(x);
    }
    let ([_, channels, height, width], device) = (x.dims(), x.device());
    let all = team.gathered(ensemble, channels * height * width, values(x))?;
    Ok(Tensor::from_data(TensorData::new(all, [ensemble, channels, height, width]), &device))
}

/// The error that exact observations are taken to have with this prior, in standard deviations of
/// their field.
pub(super) fn exact_error(student: &Student) -> f64 {
    if student.solved_inputs().is_some() { EXACT_LINEAR } else { EXACT }
}
