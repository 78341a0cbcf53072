//! A question and its answer, compared with the observations and the equation.
//!
//! 1. Errors that nobody stated are estimated ([`super::prior::errors`]).
//! 2. The observations are compared with the prior ([`super::prior::expectation`]).
//! 3. An input that is observed everywhere is solved for; any other is inferred.
//! 4. The answer is compared with the observations ([`super::explained`]) and the equation.

use burn::tensor::Device;
use phys_instruct_physics::{Pde, TwoValues};
use serde::Serialize;

use crate::condition::digits::{place, short};
use crate::condition::explained::Explained;
use crate::condition::methods::known::KnownInput;
use crate::condition::observations::place::Lattice;
use crate::condition::prior::expectation::{Distances, Surprise};
use crate::condition::prior::rows::{BESIDE, HELD, ROWS};
use crate::condition::warnings::{self, Warning};
use crate::condition::{Method, Observation, Observations, Options, Posterior, Solver, Task};
use crate::config::size;
use crate::eval::physics::pde_error;
use crate::parts::Parts;
use crate::residual::Residual;
use crate::{Error, Model, Result, memory, problem};

/// A value may miss the two values of an input by this many deviations of its error.
const ADMISSIBLE: f64 = 5.0;
/// A value may miss the two values by this share of their gap, whatever its error.
const NEAR_A_VALUE: f64 = 0.1;
/// The largest unstated error of an input of two values, in deviations of the input.
const LARGEST_SHARE: f64 = 0.1;

/// The largest error in use, in deviations of its field. Larger ones carry no information either.
const LARGEST_ERROR: f64 = 1e6;
/// The largest value that is accepted, in deviations of its field: `f32` resolves fields to 1e-7
/// and holds squares up to 1e38.
const LARGEST_VALUE: f64 = 1e12;
/// A robust error is named if it is this many times the one stated.
const ENLARGED: f64 = 2.0;
/// The most observations that a note names.
const NAMED: usize = 3;
/// The most turns that separate the errors of wrong values from those of the others.
const ROBUST_TURNS: usize = 4;

/// A question to a student.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The task.
    pub task: Task,
    /// The observations.
    pub observations: Observations,
    /// The errors of observations without a stated one, in deviations of their field; 0 for exact
    /// values. None lets them be estimated.
    pub noise: Option<f64>,
    /// Allows single errors that are far larger than stated (Student's t).
    pub robust: bool,
    /// Replaces every member's solution by the reference solver's; none for the task's default.
    pub resolve: Option<bool>,
    /// The method, the size of the ensemble, the seed and the effort.
    pub options: Options,
}

impl Question {
    /// A question with the defaults: errors that are not stated are estimated, the method is the
    /// one that suits, and 16 members are drawn.
    pub fn new(task: Task, observations: Observations) -> Self {
        Self {
            task,
            observations,
            noise: None,
            robust: false,
            resolve: None,
            options: Options::default(),
        }
    }
}

/// Observations with the errors that are used.
struct Errors {
    observations: Observations,
    /// The input, if it is observed everywhere.
    known: Option<KnownInput>,
    /// The most likely errors of each channel's observations, as a share of the channel's
    /// deviation; none for a channel whose errors are stated.
    shares: Vec<Option<f64>>,
}

/// An answer, with its agreement with the question.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The members.
    pub posterior: Posterior,
    /// The observations with the errors that were used.
    pub observations: Observations,
    /// Assumptions, in sentences.
    pub notes: Vec<String>,
    /// Everything that does not fit the model, the observations or the equation.
    pub warnings: Vec<Warning>,
    /// The distances of the observations from the prior.
    pub surprise: Surprise,
    /// The agreement of the answer with the observations.
    pub explained: Explained,
    /// PDE errors; none for a PDE that is known by data alone.
    pub pde_errors: Option<PdeErrors>,
}

/// Mean relative residuals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PdeErrors {
    /// The mean over the members.
    pub members: f64,
    /// The relative residual of the mean field.
    pub mean: f64,
    /// The mean over samples that the model draws without observations.
    pub model: f64,
}

/// The distances of observations from the prior, and those that its own samples seldom exceed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PriorDistance {
    /// The observations' distances.
    #[serde(flatten)]
    pub found: Distances,
    /// The distances that the prior's own samples seldom exceed.
    pub usual: Distances,
}

impl Answer {
    /// The distances of the observations from the prior.
    pub fn prior_distance(&self) -> PriorDistance {
        PriorDistance { found: self.surprise.distances, usual: self.surprise.usual }
    }
}

/// Refuses an ensemble, or observations, that the memory cannot hold.
///
/// # Errors
/// Fails with an [`Error::Memory`] that names the need.
pub fn ask_for_members(model: &Model, question: &Question) -> Result<()> {
    // Measured: about 13 copies of a member are alive at once, of its state, gain and fields.
    const COPIES: f64 = 16.0;
    let card = &model.card;
    let (members, points) = (question.options.ensemble, question.observations.points().len());

    let fields = COPIES * memory::of_samples(1, [card.channels.len(), card.grid.ny, card.grid.nx]);
    let method = match question.options.method {
        Some(method) => method,
        None => Method::suggested(card.pde()?.as_ref(), card.grid, &question.observations),
    };
    let differentiates = method.inference().differentiates();
    let gradient = if differentiates { size::of_gradient(&card.net, card.grid) } else { 0.0 };
    // Measured: a gain holds its factor, and one is made at a time, of which two more matrices of
    // all observations are alive, in double precision.
    let gains = method.inference().gains();
    let covariances = (gains + 2.0) * 8.0 * (points as f64).powi(2);
    // The row of each observation is as long as all fields. No gain holds more than HELD bytes of
    // them. Beside these are the rows that are being made, in four copies.
    let shape = [card.channels.len(), card.grid.ny, card.grid.nx];
    let making = points.min(BESIDE + 4 * ROWS * rayon::current_num_threads());
    let [rows, making] = [points, making].map(|count| memory::of_samples(count, shape));
    let observed = covariances + gains * rows.min(HELD as f64) + making;
    let bytes = members as f64 * (fields + gradient) + observed;
    memory::ask(bytes, format_args!("{members} members for {points} observations"))
}

impl Solver {
    /// Answers a question and warns of everything that does not fit.
    ///
    /// # Errors
    /// Fails for observations that the task does not take, for values that the input cannot have,
    /// and where the model or the reference solver fails. Fails in every process of a team if they
    /// ask different questions.
    pub fn answer(&self, question: Question) -> Result<Answer> {
        let (pde, grid) = (self.model().card.pde()?, self.model().card.grid);
        let pde = pde.as_ref();
        if self.team.count() > 1 {
            self.team.agree("question", &format!("{question:?}"))?;
        }
        ask_for_members(self.model(), &question)?;
        self.check_ensemble(question.options.ensemble)?;
        if let Some(noise) = question.noise.filter(|noise| !(noise.is_finite() && *noise >= 0.0)) {
            let reason = format!("noise = {noise}: a finite number of at least 0 expected");
            return Err(Error::Request(reason));
        }
        if question.resolve == Some(true) && !pde.has_solver() {
            return Err(phys_instruct_physics::Error::NoSolver { pde: pde.name().into() }.into());
        }

        let lattice = Lattice::new(pde, grid);
        let Question { task, observations, options, .. } = &question;
        self.check_grid(observations)?;
        observations.check_task(*task, &task.observed(pde, grid))?;

        let mut notes = Vec::new();
        notes.extend(repeated_note(observations));
        let Errors { observations, known, shares } =
            self.with_errors(&question, pde, &mut notes)?;

        // The observations are compared with the prior before robust errors hide what is wrong.
        let surprise = self.surprise(&observations)?;
        let advice = warnings::advice(question.robust);
        let mut unusual =
            warnings::of_surprise(&surprise, &observations, &lattice, &self.laws(), advice);
        let named = shares.iter().zip(observations.channels());
        unusual.extend(warnings::of_ranges(&observations, pde, &lattice, advice));
        unusual.extend(named.filter_map(|(share, name)| warnings::of_share(name, (*share)?)));

        let observations = match question.robust {
            true => self.weighed(observations, &lattice, &mut notes)?,
            false => observations,
        };

        // If only the input is observed, the law of inputs matters only to separate errors from
        // values.
        let alone = known.as_ref().is_some_and(|k| k.len() == observations.points().len());
        let solved_for = known.filter(|k| k.is_exact() || (alone && !unusual.is_empty()));
        let (posterior, mut warnings) = match solved_for {
            Some(input) => {
                notes.push(known_note(&unusual, pde));
                let pairs = input.posterior(&observations, pde, options, &self.team)?;
                (pairs, if alone { Vec::new() } else { unusual })
            }
            None => {
                let stated = question.noise.is_some();
                let held = if stated { &observations } else { &question.observations };
                self.check_values(held, pde, &lattice)?;
                self.check_size(&observations, &lattice)?;
                let drawn = self.posterior(&observations, options)?;
                let resolve = question.resolve.unwrap_or(task.wants_solver() && pde.has_solver());
                (if resolve { drawn.solved_by(pde, &self.team)? } else { drawn }, unusual)
            }
        };

        let sd = self.errors(&observations);
        let left_out = surprise.left_out(observations.points().len());
        let explained = Explained::new(&posterior, &observations, &lattice, &sd, &left_out);
        let pde_errors = match problem::equation(pde, grid, &Device::flex())? {
            Some(residual) => {
                Some(self.pde_errors(&posterior, residual.as_ref(), options.method)?)
            }
            None => {
                notes.push(no_equation_note(pde));
                None
            }
        };

        warnings.extend(warnings::of_model(&self.model().card));
        warnings.extend(warnings::of_members(&posterior.samples, pde));
        warnings.extend(warnings::of_explained(&explained));
        warnings.extend(pde_errors.and_then(|e| warnings::of_pde_error(e.members, e.model)));
        warnings.extend(warnings::of_left_out(posterior.left_out, options.ensemble));
        Ok(Answer { posterior, observations, notes, warnings, surprise, explained, pde_errors })
    }

    /// The PDE errors of an answer by the method.
    fn pde_errors(
        &self,
        posterior: &Posterior,
        residual: &dyn Residual,
        method: Option<Method>,
    ) -> Result<PdeErrors> {
        // Members in noise-space have the generator's solutions, where the reference solver has not
        // replaced them. Elsewhere those of a linear equation are solved for.
        let model = match method {
            Some(Method::NoiseSpace) => self.drawn_pde_error(residual)?,
            _ => self.own_pde_error(residual)?,
        };
        Ok(PdeErrors {
            members: pde_error(&posterior.samples, residual)?,
            mean: pde_error(&posterior.mean_sample(), residual)?,
            model,
        })
    }

    /// Returns the observations with an error each, and the input if they give it everywhere.
    fn with_errors(
        &self,
        question: &Question,
        pde: &dyn Pde,
        notes: &mut Vec<String>,
    ) -> Result<Errors> {
        let mut observations = question.observations.clone();
        // Without a stated error, a field that is given everywhere counts as exact.
        if let Some(noise) = question.noise {
            observations = observations.with_noise(noise, self.deviations());
        }
        // Without a solver an input that is known everywhere is observed like any other field.
        let known = KnownInput::of(&observations, pde).filter(|_| pde.has_solver());

        let mut shares = vec![None; observations.channels().len()];
        let unstated = observations.points().iter().filter(|p| p.sd.is_none()).count();
        let is_given = known.as_ref().is_some_and(KnownInput::is_exact);
        if unstated > 0 && !is_given {
            shares = self.likely_shares(&observations, pde, question.robust)?;
            let of_deviation = |(c, share): (usize, &Option<f64>)| {
                let (name, share, unit) =
                    (&observations.channels()[c], (*share)?, self.deviations()[c]);
                let [sd, percent] = [share * unit, 100.0 * share].map(short);
                Some(format!(
                    "{name} +- {sd}, {percent} % of the field's deviation {}",
                    short(unit)
                ))
            };
            let said: Vec<String> = shares.iter().enumerate().filter_map(of_deviation).collect();
            let values = if unstated == 1 { "value has" } else { "values have" };
            notes.push(format!(
                "{unstated} {values} no error stated; taken, as most likely: {} (--noise S \
                 states it as a part of the deviation, --noise 0 is exact)",
                said.join("; ")
            ));

            let deviations = self.deviations().to_vec();
            let own = |p: &Observation| shares[p.channel].unwrap_or(0.0) * deviations[p.channel];
            observations = observations.with_errors(|_, p| p.sd.unwrap_or_else(|| own(p)));
        } else {
            observations = observations.with_noise(0.0, self.deviations());
        }

        // An error beyond this carries no information, and its square leaves the range of numbers.
        let most = |p: &Observation| LARGEST_ERROR * self.deviations()[p.channel];
        observations = observations.with_errors(|_, p| p.deviation().min(most(p)));
        Ok(Errors { observations, known, shares })
    }

    /// Replaces errors by robust ones, and names those that were enlarged.
    fn weighed(
        &self,
        observations: Observations,
        lattice: &Lattice,
        notes: &mut Vec<String>,
    ) -> Result<Observations> {
        let stated = self.errors(&observations);
        let weighed = self.robust(observations)?;
        let factor = |i: usize| weighed.points()[i].deviation() / stated[i];
        // Only enlarged errors are worth a note, the largest first.
        let mut enlarged: Vec<usize> =
            (0..stated.len()).filter(|&i| factor(i) > ENLARGED).collect();
        enlarged.sort_by(|&i, &j| factor(j).total_cmp(&factor(i)));

        if !enlarged.is_empty() {
            let one = |&i: &usize| {
                format!("{}, error x {:.3}", warnings::named(&weighed, lattice, i), factor(i))
            };
            let listed: Vec<String> = enlarged.iter().take(NAMED).map(one).collect();
            let count = enlarged.len();
            notes.push(format!("robust: {count} values count for less: {}", listed.join("; ")));
        }

        Ok(weighed)
    }

    /// The most likely size of each channel's unstated errors, in its deviations; none for a
    /// channel without such errors.
    fn likely_shares(
        &self,
        observations: &Observations,
        pde: &dyn Pde,
        robust: bool,
    ) -> Result<Vec<Option<f64>>> {
        let unstated = |c: usize| {
            observations.points().iter().filter(move |p| p.channel == c && p.sd.is_none())
        };

        let mut shares = vec![None; observations.channels().len()];
        let Parts { layout, values: two_values, .. } = Parts::of(pde);
        let is_input = |c: &usize| layout.input.channels.contains(c);
        let estimated = (0..shares.len()).filter(|c| !is_input(c) || two_values.is_none());
        if estimated.clone().any(|c| unstated(c).count() > 0) {
            let share = match robust {
                true => self.likely_robust_share(observations)?,
                false => self.likely_share(observations)?,
            };
            estimated.filter(|&c| unstated(c).count() > 0).for_each(|c| shares[c] = Some(share));
        }

        // The distance of an input's values from its two values shows their errors directly.
        let Some(two) = two_values else { return Ok(shares) };
        for c in layout.input.channels.filter(|&c| unstated(c).count() > 0) {
            let square: f64 = unstated(c).map(|p| two.distance(p.value).powi(2)).sum();
            let rms = (square / unstated(c).count() as f64).sqrt();
            shares[c] = Some((rms / self.deviations()[c]).min(LARGEST_SHARE));
        }
        Ok(shares)
    }

    /// The most likely share of errors when wrong values are left out of account. In turns, values
    /// far off are found and given large errors of their own.
    fn likely_robust_share(&self, observations: &Observations) -> Result<f64> {
        let mut share = self.likely_share(observations)?;
        for _ in 0..ROBUST_TURNS {
            let all = observations.clone().with_noise(share, self.deviations());
            let stated = self.errors(&all);
            let weighed = self.robust(all)?;

            let rest = observations.clone().with_optional_errors(|i, p| match p.sd {
                None if weighed.points()[i].deviation() < ENLARGED * stated[i] => None,
                _ => Some(weighed.points()[i].deviation()),
            });

            let next = self.likely_share(&rest)?;
            if next >= share {
                break;
            }
            share = next;
        }
        Ok(share)
    }

    /// Refuses values so far from the model's that `f32` arithmetic fails.
    fn check_size(&self, observations: &Observations, lattice: &Lattice) -> Result<()> {
        let far = |p: &Observation| p.value.abs() > LARGEST_VALUE * self.deviations()[p.channel];
        let Some(i) = observations.points().iter().position(far) else { return Ok(()) };
        let deviation = self.deviations()[observations.points()[i].channel];
        Err(Error::Observation(format!(
            "{} is more than {LARGEST_VALUE:e} times the field's deviation in this model, \
             {deviation:.3e}: other units?",
            warnings::named(observations, lattice, i)
        )))
    }

    /// Refuses values that an input of two values cannot have. Errors that are not stated excuse
    /// none.
    fn check_values(
        &self,
        observations: &Observations,
        pde: &dyn Pde,
        lattice: &Lattice,
    ) -> Result<()> {
        let Some(two) = pde.input_law().two_values() else { return Ok(()) };
        let TwoValues { low, high } = two;
        let off = |p: &Observation| two.distance(p.value);
        let most = |p: &Observation| (ADMISSIBLE * p.deviation()).max(NEAR_A_VALUE * two.gap());

        let input = pde.layout().input.channels;
        let points = observations.points().iter().filter(|p| input.contains(&p.channel));
        let Some(odd) = points.clone().find(|p| off(p) > most(p)) else { return Ok(()) };
        let count = points.filter(|p| off(p) > most(p)).count();
        let at = lattice.coordinates(odd.channel, [odd.row, odd.column]);
        let [y, x] = place(at, lattice.grid());
        let name = &observations.channels()[odd.channel];
        Err(Error::Observation(format!(
            "{name} = {} at y {y}, x {x} ({count} such): this model knows {name} = {low} and \
             {high} alone. Where {name} is observed everywhere the solution is found for any value; \
             else state the errors (sd), or train on data of your own law",
            odd.value
        )))
    }
}

/// The note that several values of one place count one by one; none where there is no such place.
fn repeated_note(observations: &Observations) -> Option<String> {
    let count = observations.repeated();
    (count > 0).then(|| {
        let values = if count == 1 { "value is" } else { "values are" };
        format!(
            "{count} {values} of a place that has another one: each counts as a measurement of its \
             own, with an error of its own; leave copies out"
        )
    })
}

/// The note that an answer rests on no equation.
fn no_equation_note(pde: &dyn Pde) -> String {
    format!(
        "no equation was used: {} is known by data alone, so that the answer rests on what the model \
         learnt of its pairs, and its PDE error is not known",
        pde.name()
    )
}

/// The note that the input is known.
fn known_note(unusual: &[Warning], pde: &dyn Pde) -> String {
    let solver = "the solution is the reference solver's for the values as given";
    match unusual.first() {
        None => format!("the input of {} is observed everywhere: {solver}", pde.name()),
        Some(warning) => format!(
            "the input of {} is observed everywhere: {solver}, which rests on no law. It is not of the \
             law that this model knows: {}",
            pde.name(),
            warning.message
        ),
    }
}
