//! A student prepared to answer conditional questions.

use std::sync::OnceLock;

use phys_instruct_kernels::pool::in_pool;
use phys_instruct_physics::Grid;

use super::methods::{Drawn, Given, Method, Options, exact_error};
use super::observations::place::Stencil;
use super::posterior::Posterior;
use super::prior::covariance::Covariance;
use super::prior::expectation::{Expectation, Seen, Surprise};
use super::prior::{Prior, Student};
use super::warnings::FieldLaw;
use super::{Observation, Observations, Task};
use crate::eval::physics::pde_error;
use crate::linalg::parts;
use crate::model::Model;
use crate::net::params::values;
use crate::residual::Residual;
use crate::sampling::student_samples;
use crate::team::Team;
use crate::{Error, Result, Samples, device, seeds};

/// The most observations that are compared with the prior together: a second of work.
pub const TOGETHER: usize = 1000;
/// The most observations from which the size of unstated errors is estimated.
const ESTIMATED: usize = 400;

/// A student prepared for questions: the covariance of its samples is computed once. It owns what
/// it needs and may be kept in a struct or sent to another thread.
///
/// ```
/// use phys_instruct::prelude::*;
///
/// struct Service {
///     solver: Solver,
/// }
///
/// # fn main() -> phys_instruct::Result<()> {
/// let file = "../../models/darcy-32-student.safetensors";
/// let service = Service { solver: Solver::new(&Model::load(file.as_ref(), &device::cpu())?)? };
///
/// // One pressure in the middle of the square, known to 1e-3.
/// let channels = ["a".to_owned(), "u".to_owned()];
/// let point = Observation::at_point(1, 16, 16, 0.01, Some(1e-3));
/// let observations = Observations::new(&channels, Grid::square(32), vec![point])?;
/// let asking = std::thread::spawn(move || {
///     service.solver.answer(Question::new(Task::Inverse, observations))
/// });
/// let answer = asking.join().expect("no panic")?;
/// assert_eq!(answer.posterior.samples.count, 16);
/// # Ok(())
/// # }
/// ```
pub struct Solver {
    pub(super) student: Student,
    pub(super) covariance: Covariance,
    pub(super) deviations: Vec<f64>,
    /// Samples of the model's inputs with the solver's solutions, drawn at first use.
    pub(super) yardstick: OnceLock<Vec<f32>>,
    /// The PDE error of samples that the model draws, measured at first use.
    pub(super) own_pde_error: OnceLock<f64>,
    /// The PDE error of samples of one call of the generator, measured at first use.
    pub(super) drawn_pde_error: OnceLock<f64>,
    /// The processes that draw the members of an answer.
    pub(super) team: Team,
}

impl Solver {
    /// Draws the samples whose covariance serves every question.
    ///
    /// # Errors
    /// Fails for a model that is no student, or whose samples are not finite.
    pub fn new(model: &Model) -> Result<Self> {
        parts();
        let student = Student::new(model)?;
        let covariance = in_pool(|| Covariance::new(&student, 0))?;
        Ok(Self::of(student, covariance))
    }

    /// The solver of a student and its covariance.
    pub(super) fn of(student: Student, covariance: Covariance) -> Self {
        let deviations = student.model().deviations();
        Self {
            student,
            covariance,
            deviations,
            yardstick: OnceLock::new(),
            own_pde_error: OnceLock::new(),
            drawn_pde_error: OnceLock::new(),
            team: Team::ALONE,
        }
    }

    /// Shares the members of every answer out among the processes of a team. All of them ask the
    /// same questions in the same order, and all receive the whole answer. It is that of one
    /// process, to rounding at least.
    ///
    /// # Errors
    /// Fails in every process if their models, devices, threads or vector units differ, and if the
    /// connection does.
    pub fn with_team(self, team: Team) -> Result<Self> {
        if team.count() > 1 {
            team.agree("model, device or number of threads", &made_of(self.model())?)?;
        }
        Ok(Self { team, ..self })
    }

    /// The processes that draw the members of an answer.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// The student.
    pub(super) fn model(&self) -> &Model {
        self.student.model()
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
        let card = &self.model().card;
        Samples::on_grid(&card.pde, &card.channels, card.grid, self.covariance.fresh.clone())
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

    /// The mean PDE error of samples of one call, with the solutions that the generator makes.
    ///
    /// # Errors
    /// Fails if a residual is not finite.
    pub(super) fn drawn_pde_error(&self, residual: &dyn Residual) -> Result<f64> {
        const COUNT: usize = 64;
        if let Some(&measured) = self.drawn_pde_error.get() {
            return Ok(measured);
        }
        let joint = self.model().joint();
        let model = joint.as_ref().unwrap_or(self.model());
        let samples = student_samples(model, COUNT, 1, seeds::MONITOR, &mut |_| ())?;
        let measured = pde_error(&samples, residual)?;
        Ok(*self.drawn_pde_error.get_or_init(|| measured))
    }

    /// Samples in the form of data, with which observations are compared. They are examples of the
    /// data where the model has some, or else its own samples. Of these, inputs of two values are
    /// rounded, and the solution is the reference solver's: a student's own solution is off by more
    /// than observations may be.
    pub(super) fn yardstick(&self) -> Result<&[f32]> {
        if let Some(drawn) = self.yardstick.get() {
            return Ok(drawn);
        }
        // Fewer say too little of what is rare.
        const FEWEST: usize = 32;
        let examples = &self.model().statistics.examples;
        if examples.len() >= FEWEST * self.covariance.len() {
            return Ok(self.yardstick.get_or_init(|| examples.clone()));
        }

        let own = self.own_samples()?;
        let pde = self.model().card.pde()?;
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
        (exact_error(&self.student) * self.deviations[point.channel]).hypot(rounding)
    }

    /// Refuses observations on another grid or of other fields than the model's.
    ///
    /// # Errors
    /// Fails with an [`Error::Observation`] that names both.
    pub(super) fn check_grid(&self, observations: &Observations) -> Result<()> {
        let other = self.another(observations.channels(), observations.grid());
        other.map_or(Ok(()), |words| Err(Error::Observation(words)))
    }

    /// The fields and the grid beside the model's, in words; none if they are the same.
    pub(super) fn another(&self, channels: &[String], grid: Grid) -> Option<String> {
        let card = &self.model().card;
        let words = || {
            let [theirs, ours] = [channels, &card.channels].map(|names| names.join(", "));
            format!("of {theirs} on a grid of {grid}; the model has {ours} on {}", card.grid)
        };
        (channels != card.channels || grid != card.grid).then(words)
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

        let (covariance, fresh) = (&self.covariance, self.yardstick()?);
        let law = || Expectation::new(covariance, &self.student, &stencils, fresh);
        let expectation = in_pool(law)?;

        Ok(Seen {
            channels: points.iter().map(|p| p.channel).collect(),
            values: points.iter().map(|p| p.value).collect(),
            sd: points.iter().map(|p| p.sd).collect(),
            least: points.iter().map(|p| self.least_error(p)).collect(),
            unit,
            expectation,
            chosen,
        })
    }

    /// The method that suits the model's PDE and the observations best ([`super::methods`]).
    ///
    /// # Errors
    /// Fails for a PDE that this program does not know.
    pub fn suggested(&self, observations: &Observations) -> Result<Method> {
        let card = &self.model().card;
        Ok(Method::suggested(card.pde()?.as_ref(), card.grid, observations))
    }

    /// Refuses an ensemble of no member, and one of fewer pairs than there are processes.
    pub(super) fn check_ensemble(&self, ensemble: usize) -> Result<()> {
        if ensemble == 0 {
            return Err(Error::Config("an ensemble needs at least one member".into()));
        }
        self.team.check_ensemble(ensemble)
    }

    /// The posterior of the fields given `observations`.
    ///
    /// # Errors
    /// Fails for observations on another grid or of other channels than the model's, and for a
    /// method that does not take the model's PDE. Fails for an ensemble of no member or of fewer
    /// pairs than there are processes, and for members that are not finite.
    pub fn posterior(&self, observations: &Observations, options: &Options) -> Result<Posterior> {
        self.check_grid(observations)?;
        self.check_ensemble(options.ensemble)?;
        let card = &self.model().card;
        let method = options.method.map_or_else(|| self.suggested(observations), Ok)?.inference();
        method.check(card.pde()?.as_ref(), card.grid)?;

        let Self { student, covariance, deviations, team, .. } = self;
        let given = Given { student, covariance, deviations, observations, team };
        let Drawn { samples, calls, left_out } = method.draw(&given, options)?;

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
        let (pde, grid) = (self.model().card.pde()?, self.model().card.grid);
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
}

/// The model, number of threads, device and vector unit, each of which may change an answer in its
/// last digit.
pub(super) fn made_of(model: &Model) -> Result<String> {
    let threads = rayon::current_num_threads();
    let (device, unit) = (device::name(&model.device())?, device::vector_unit()?);
    Ok(format!("{} {threads} {device} {unit}", model.sha256()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    #[test]
    fn examples_of_the_data_are_the_yardstick_where_there_are_enough() {
        let root = env!("CARGO_MANIFEST_DIR");
        let file = format!("{root}/../../models/poisson-32-student.safetensors");
        let mut model = Model::load(Path::new(&file), &crate::device::cpu()).unwrap();
        let own = Solver::new(&model).unwrap().yardstick().unwrap().to_vec();

        let len = 2 * 32 * 32;
        for (count, expected) in [(40, vec![0.5; 40 * len]), (10, own)] {
            model.statistics.examples = vec![0.5; count * len];
            let solver = Solver::new(&model).unwrap();
            assert!(solver.yardstick().unwrap() == expected, "{count} examples");
        }
    }

    /// A solver is kept in a struct and sent between threads.
    #[test]
    fn a_solver_owns_its_parts() {
        fn is_owned<T: Send + Sync + 'static>() {}
        is_owned::<Solver>();
    }
}
