//! The operator phase: a network learns the solution of an input, from pairs of the run's data, the
//! residual, or both. The student's generator is not changed.
//!
//! Let N(a) be the operator's solution ([`crate::student::operator`]), u that of the pair, and R
//! the residual. The loss is a weighted sum of three errors, each a mean over the batch:
//!
//! - the relative error |N(a) - u| / |u|;
//! - the squared error in whitened modes: the mean square of the network's output less the output
//!   that would lead to u;
//! - the relative residual: |R(a, N(a))| over that of its source or largest term.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use phys_instruct_physics::symmetry::Symmetry;
use serde_json::{Map, Value, json};

use super::phase::Phase;
use crate::config::OperatorConfig;
use crate::distill::anchored::relative_distance;
use crate::distill::student::Student;
use crate::eval::physics;
use crate::net::optimizer::{AdamW, StepReport};
use crate::net::{UNet, params, refine};
use crate::residual::ResidualOptions;
use crate::store::weights::Array;
use crate::student::operator::{Frame, Guess, Operator, OperatorCard, OperatorStatistics, PREFIX};
use crate::training::ema_decay;
use crate::{Error, Model, Result, Samples};

/// The phase and the network in training.
pub struct OperatorPhase {
    config: OperatorConfig,
    pairs: Arc<Samples>,
    /// The symmetries of the PDE, by which every pair stands for several.
    symmetries: Vec<Symmetry>,
    /// The operator; its network records gradients.
    operator: Operator,
    average: UNet,
    optimizer: AdamW,
    /// The steps of the phases before this one.
    before: u64,
    /// The steps of the operator that this one goes on from.
    given_steps: u64,
}

impl OperatorPhase {
    /// The phase before its first step.
    ///
    /// # Errors
    /// [`Error::Config`] if the training was given no pairs, or if there is no operator to follow;
    /// and as the polish fails.
    pub fn begin(config: &OperatorConfig, student: &mut Student) -> Result<Self> {
        let Some(pairs) = student.pairs.clone() else {
            let reason = "a phase of kind \"operator\" needs the run's training data";
            return Err(Error::Config(reason.into()));
        };
        let pde = student.card.pde()?;
        let frame = student.card.frame(&student.device)?;
        let seen = frame.pictures(config.sees_residual);
        let given = given_operator(config, &student.teacher);
        // The operator that is followed is that of the phase before, or of the teacher.
        let before = student.operator.as_ref().or(student.teacher.operator.as_ref());
        let guess = match (given, before) {
            (Some(own), _) => own.origin().clone(),
            (None, Some(before)) if config.follows => Guess::Before(Arc::new(before.clone())),
            (None, None) if config.follows => return Err(nothing_to_follow()),
            _ => Guess::Sweeps(config.sweeps),
        };
        let (net, mut statistics) = match given {
            Some(own) => {
                (refine::seeing_more(&own.net, &config.net, &seen)?, own.statistics.clone())
            }
            None => {
                let [inputs, outputs] = [seen.inputs.len(), seen.outputs.len()];
                let net = UNet::new(&config.net, inputs, outputs, student.seed, &student.device);
                (net, OperatorStatistics::of_data(&pairs, &frame, &guess)?)
            }
        };
        if config.sees_residual && statistics.residual.is_none() {
            statistics = statistics.with_residual(&pairs, &frame, &guess)?;
        }

        let steps = given.map_or(0, |own| own.card.steps);
        let OperatorConfig { net: of_net, sees_residual, .. } = config.clone();
        let (sweeps, before) = (guess.sweeps(), guess.before());
        let card = OperatorCard { net: of_net, sweeps, sees_residual, steps, before };
        let average = net.clone().valid();
        Ok(Self {
            config: config.clone(),
            symmetries: pde.symmetries(student.card.grid),
            pairs,
            operator: Operator::new(card, average.clone().train(), statistics, guess, frame),
            average,
            optimizer: AdamW::new(&config.optimizer),
            before: student.config.steps_before(config),
            given_steps: steps,
        })
    }

    /// The operator with averaged weights, packed for inference.
    fn averaged(&self) -> Operator {
        self.operator.with_net(self.average.clone()).freeze()
    }

    /// A batch of pairs, each turned by the same symmetry, `[batch, channel, y, x]`.
    fn batch(&self, student: &Student) -> Tensor<4> {
        let draw = student.draw("operator", 0);
        let chosen = draw.indices(student.shape()[0], self.pairs.count);
        // Symmetry 0 is the identity.
        let turned = student.choice("symmetry", self.symmetries.len() + 1);
        let symmetry = turned.checked_sub(1).map(|i| &self.symmetries[i]);

        let area = self.pairs.height * self.pairs.width;
        let count = chosen.len();
        let mut data = Vec::with_capacity(count * self.pairs.sample_len());
        for i in chosen {
            let sample = self.pairs.sample(i);
            match symmetry {
                None => data.extend_from_slice(sample),
                Some(s) => sample.chunks(area).for_each(|field| data.extend(s.apply(field))),
            }
        }
        Samples { count, data, ..self.pairs.slice(0..0) }.into_tensor(&student.device)
    }

    /// The relative error and the relative residual on the held-out samples, of the operator and
    /// of the guess that it starts from.
    fn figures(&self, operator: &Operator, held_out: &Samples) -> Result<Map<String, Value>> {
        let device = self.operator.statistics.left_mean.device();
        let x = held_out.clone().into_tensor(&device);
        let residual = operator.frame().residual();
        let errors = |solved: Tensor<4>| -> Result<(f64, Option<f64>)> {
            let error = relative_error(operator.frame(), solved.clone(), x.clone());
            let solved = Samples { data: params::read(solved)?, ..held_out.clone() };
            let left = residual.map(|r| physics::pde_error(&solved, r)).transpose()?;
            Ok((error.into_scalar::<f32>().into(), left))
        };

        let guess = operator.guess(&x)?;
        let guess = operator.frame().with_solution(x.clone(), guess);
        let (error, left) = errors(operator.solved(x.clone())?)?;
        let (guess_error, guess_left) = errors(guess)?;
        let figures = json!({
            "guess_error": guess_error,
            "guess_residual": guess_left,
            "operator_error": error,
            "operator_residual": left,
        });
        Ok(figures.as_object().cloned().unwrap_or_default())
    }
}

impl Phase for OperatorPhase {
    fn step(
        &mut self,
        student: &mut Student,
        step: u64,
    ) -> Result<(StepReport, Map<String, Value>)> {
        let x = self.batch(student);
        let guess = self.operator.guess(&x)?;
        let target = self.operator.frame().solution_of(x.clone());
        let whitened = self.operator.target(target, guess.clone());
        let pictures = self.operator.pictures(&x, &guess)?;

        // The loss from here on is differentiated by the weights of the operator's network.
        let (x, guess, whitened) = (x.autodiff(), guess.autodiff(), whitened.autodiff());
        let output = self.operator.output(pictures.autodiff());
        let u = self.operator.solution(output.clone(), guess);
        let solved = self.operator.frame().with_solution(x.clone(), u);

        let c = &self.config;
        let error = relative_error(self.operator.frame(), solved.clone(), x);
        let square = (output - whitened).square().mean();
        let mut loss = error.clone() * c.error_weight + square.clone() * c.whitened_weight;
        let scalar = |v: &Tensor<1>| json!(v.clone().detach().into_scalar::<f32>());

        let mut figures = Map::from_iter([
            ("batch_error".to_owned(), scalar(&error)),
            ("batch_whitened".to_owned(), scalar(&square)),
        ]);

        if c.residual_weight > 0.0 {
            let options = ResidualOptions { detach_input: true, ..ResidualOptions::default() };
            let relative = student.equation()?.terms(solved, options).relative().mean();
            figures.insert("batch_residual".into(), scalar(&relative));
            loss = loss + relative * c.residual_weight;
        }

        let gradients = loss.backward();
        let rate = c.schedule().share(step);
        let report = self.optimizer.step(&mut self.operator.net, gradients, rate, &student.team)?;
        if !report.skipped {
            let decay = ema_decay(step, c.ema_half_life);
            params::average(&mut self.average, &self.operator.net, decay)?;
        }
        self.operator.card.steps = self.given_steps + step + 1;

        let every = student.config.evaluate_every as u64;
        let last = step + 1 == c.steps as u64;
        if last || every > 0 && (student.card.steps + 1).is_multiple_of(every) {
            let operator = self.averaged();
            figures.extend(self.figures(&operator, &student.held_out)?);
            student.operator = Some(operator);
        }
        Ok((report, figures))
    }

    fn to_arrays(&self) -> Result<BTreeMap<String, Array>> {
        let mut arrays = params::to_arrays(&self.operator.net, "operator_net.")?;
        arrays.extend(self.operator.statistics.to_arrays(PREFIX)?);
        arrays.extend(self.operator.arrays_of_before()?);
        arrays.extend(params::to_arrays(&self.average, "operator_average.")?);
        arrays.extend(self.optimizer.to_arrays("operator_optimizer."));
        Ok(arrays)
    }

    fn restore(&mut self, student: &mut Student, arrays: &BTreeMap<String, Array>) -> Result<()> {
        let restored = |prefix| params::from_arrays(self.average.clone(), arrays, prefix);
        let [net, average] = [restored("operator_net.")?, restored("operator_average.")?];
        let (frame, sees_residual) = (self.operator.frame(), self.operator.card.sees_residual);
        let statistics = OperatorStatistics::from_arrays(arrays, PREFIX, frame, sees_residual)?;
        self.operator = self.operator.with_net(net.train()).with_statistics(statistics);
        self.operator.card.steps = self.given_steps + student.card.steps - self.before;
        self.average = average;
        self.optimizer.restore(arrays, "operator_optimizer.")?;
        student.operator = Some(self.averaged());
        Ok(())
    }
}

/// Gives the student the operator of the phase `first` from the checkpoint `arrays` of a phase that
/// follows it.
///
/// # Errors
/// Fails for arrays that are missing or of another shape.
pub fn restore_first(
    first: &OperatorConfig,
    student: &mut Student,
    arrays: &BTreeMap<String, Array>,
) -> Result<()> {
    let OperatorConfig { net, sweeps, sees_residual, .. } = first.clone();
    let given = given_operator(first, &student.teacher).map_or(0, |own| own.card.steps);
    let steps = given + first.steps as u64;
    let card = OperatorCard { net, sweeps, sees_residual, steps, before: None };
    let frame = student.card.frame(&student.device)?;
    student.operator = Some(Operator::of_before(arrays, &card, frame)?);
    Ok(())
}

fn nothing_to_follow() -> Error {
    Error::Config("distill.operator.follows = true: there is no operator before it".into())
}

/// The operator of the teacher, if the phase goes on with it.
fn given_operator<'a>(config: &OperatorConfig, teacher: &'a Model) -> Option<&'a Operator> {
    teacher.operator.as_ref().filter(|_| config.go_on)
}

/// The distance of the solutions of `x` from those of `of`, relative to the latter; the mean over
/// the batch.
fn relative_error(frame: &Frame, x: Tensor<4>, of: Tensor<4>) -> Tensor<1> {
    let [u, v] = [x, of].map(|x| frame.masked(frame.solution_of(x)));
    relative_distance(u, v).mean()
}
