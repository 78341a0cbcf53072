//! Training of the student (arXiv 2602.03627, algorithm of section 4): the phases of the config in
//! their order (see [`super::phases`]), and the metrics of the run.

use std::sync::Arc;

use burn::tensor::Device;
use phys_instruct_physics::Pde;
use serde_json::{Map, Value, json};

use super::monitor::{self, Monitor};
use super::phases::Sequence;
use super::student::Student;
use crate::config::{Config, DistillConfig, OptimizerConfig, PhaseConfig};
use crate::distill::calibration::FirstLine;
use crate::eval::moments;
use crate::model::{Card, Kind, Model, Record, statistics_arrays};
use crate::net::optimizer::{AdamW, StepReport};
use crate::net::params;
use crate::parts::Parts;
use crate::residual::Residual;
use crate::store::weights::Bundle;
use crate::student::OperatorCard;
use crate::team::Team;
use crate::training::{Origin, StepRecord, Training};
use crate::{Error, Result, Samples, problem, seeds};

/// The number of samples that are drawn for the metrics.
const LOOKED_AT: usize = 256;

/// The number of held-out samples by which an operator is watched.
const HELD_OUT: usize = 64;

/// The relative difference up to which two noise levels count as the same.
const SAME_LEVEL: f64 = 1e-6;

/// The state of a student's training.
pub struct StudentTraining {
    config: Config,
    student: Student,
    sequence: Sequence,
    monitor: Monitor,
    /// The spread of each channel in held-out data.
    data_spread: Vec<f64>,
    skipped: u64,
    origin: Origin,
    /// The making of the finished model, for its file.
    record: Record,
}

impl StudentTraining {
    /// A training from the beginning, in which the student has the teacher's weights. The held-out
    /// `data` gives the deviations that the student's samples should have. There is no residual for
    /// a PDE that is known by data alone.
    ///
    /// # Errors
    /// Fails for a config without a student, for a model or data of another PDE or grid than
    /// configured, and for phases that cannot begin with such a model.
    pub fn new(
        config: &Config,
        teacher: Model,
        residual: impl Into<Option<Box<dyn Residual>>>,
        monitor: Monitor,
        data: &Samples,
        device: &Device,
    ) -> Result<Self> {
        let distill = config.student()?;
        check(config, distill, &teacher.card)?;
        let pde = pde_of(config, &teacher.card)?;
        check_data("held-out", data, &teacher.card)?;
        config.ask_for_student()?;
        let mut origin = Origin::new(config, Kind::Student, data)?;
        origin.add_weights("teacher", &params::to_arrays(&teacher.network.net, "")?);
        let of_teacher = distill.operator().filter(|config| config.go_on || config.follows);
        if let Some((config, given)) = of_teacher.zip(teacher.operator.as_ref()) {
            let weights = match config.follows {
                true => given.to_arrays()?,
                false => params::to_arrays(&given.net, "")?,
            };
            origin.add_weights("operator", &weights);
        }

        let record = Record::of_training(config, Some(&teacher))?;
        let card = card(distill, &teacher.card);
        let student = Student {
            seed: config.seed,
            config: distill.clone(),
            network: teacher.network.train().with_skip(card.skip),
            card,
            device: device.clone(),
            average: teacher.network.net.clone(),
            // Every phase has its own numbers; these are of the time before the first.
            optimizer: AdamW::new(&OptimizerConfig::at(0.0)),
            calibrations: teacher.calibrations.clone(),
            operator: None,
            pairs: None,
            held_out: data.slice(0..data.count.min(HELD_OUT)),
            teacher,
            residual: residual.into(),
            parts: Parts::of(pde.as_ref()),
            first_line: FirstLine::of(data, pde.as_ref(), device),
            team: Team::default(),
        };
        Ok(Self {
            config: config.clone(),
            student,
            sequence: Sequence::new(&distill.phases),
            monitor,
            data_spread: moments::spread(data),
            skipped: 0,
            origin,
            record,
        })
    }

    /// Refuses a teacher that does not fit the config, or that its phases cannot begin with, before
    /// there are data.
    ///
    /// # Errors
    /// Fails as [`StudentTraining::of_config`] does with such a teacher.
    pub fn check_teacher(config: &Config, teacher: &Model) -> Result<()> {
        let teacher = begun_with(config.student()?, teacher.clone());
        let is_coarser = is_on_another_grid(config, &teacher.card)?;
        let finer = is_coarser.then(|| teacher.card_on(config.grid));
        let card = finer
            .transpose()
            .map_err(|error| error.map_config(|reason| format!("distill.teacher: {reason}")))?;
        check(config, config.student()?, card.as_ref().unwrap_or(&teacher.card))?;
        match card {
            Some(_) => config.ask_for_pairs(),
            None => Ok(()),
        }
    }

    /// Tells whether the training needs the run's training data: for an operator, and to take a
    /// teacher of a coarser grid to the config's.
    ///
    /// # Errors
    /// Fails for a config without a student, and for a PDE that is not known.
    pub fn needs_pairs(config: &Config, teacher: &Model) -> Result<bool> {
        Ok(config.student()?.operator().is_some() || is_on_another_grid(config, &teacher.card)?)
    }

    /// [`StudentTraining::new`] with the residual of the config's PDE, watched against the held-out
    /// data. The training data, `pairs`, are there where they are needed
    /// ([`StudentTraining::needs_pairs`]). A teacher of a coarser grid is taken to the config's
    /// ([`Model::refined`]).
    ///
    /// # Errors
    /// Fails as [`StudentTraining::new`] and [`Model::refined`] do, for a PDE that is not known,
    /// and for a coarser teacher without pairs.
    pub fn of_config(
        config: &Config,
        teacher: Model,
        held_out: &Samples,
        pairs: Option<Samples>,
        device: &Device,
    ) -> Result<Self> {
        Self::check_teacher(config, &teacher)?;
        let teacher = begun_with(config.student()?, teacher);
        let teacher = match (is_on_another_grid(config, &teacher.card)?, &pairs) {
            (false, _) => teacher,
            (true, Some(pairs)) => teacher.refined(pairs)?,
            (true, None) => {
                let reason = "distill.teacher is of a coarser grid, which needs the training data";
                return Err(Error::Config(reason.into()));
            }
        };

        let pde = config.pde()?;
        let build = |device: &Device| problem::equation(pde.as_ref(), config.grid, device);
        let watched = build(&crate::device::cpu())?;
        let monitor = monitor::against(held_out.clone(), config.pde()?, watched);
        let training = Self::new(config, teacher, build(device)?, monitor, held_out, device)?;
        match pairs {
            Some(pairs) => training.with_pairs(pairs),
            None => Ok(training),
        }
    }

    /// This training with the run's training data, which an operator learns from. They are not
    /// kept where no phase does.
    ///
    /// # Errors
    /// Fails for samples of another PDE or grid than the student's, and for fewer than two.
    pub fn with_pairs(mut self, pairs: Samples) -> Result<Self> {
        check_data("training", &pairs, &self.student.card)?;
        self.origin.add_data("training data", &pairs);
        self.student.card.data = self.config.data.path.clone().unwrap_or_default();
        if self.student.config.operator().is_some() {
            self.student.pairs = Some(Arc::new(pairs));
        }
        Ok(self)
    }

    /// This training with its slice of every batch.
    ///
    /// # Errors
    /// Fails for a batch that cannot be cut into equal slices.
    pub fn with_team(mut self, team: Team) -> Result<Self> {
        team.check_batch("distill.batch", self.student.config.batch)?;
        self.student.team = team;
        Ok(self)
    }

    /// The student with averaged weights.
    pub fn model(&self) -> Model {
        let mut model = self.student.model();
        model.card.record = self.record.clone();
        model
    }

    /// Stores the deviations of the finished student's samples over the data's in its description,
    /// so that a collapse is reported.
    fn note_deviations(&mut self) -> Result<()> {
        let at = |calls| -> Result<Vec<Option<f64>>> {
            let samples = match self.samples(LOOKED_AT, calls) {
                Err(Error::NonFinite(_)) => return Ok(vec![None; self.data_spread.len()]),
                drawn => drawn?,
            };
            let spread = moments::spread(&samples);
            let ratios = spread.iter().zip(&self.data_spread).map(|(own, data)| own / data);
            Ok(ratios.map(|ratio| ratio.is_finite().then_some(ratio)).collect())
        };
        let calls = 1..=self.student.card.levels.len();
        self.student.card.std_ratio = calls.map(at).collect::<Result<_>>()?;
        Ok(())
    }

    /// Samples of the averaged student after `calls` calls, from noise that no training step uses.
    fn samples(&self, count: usize, calls: usize) -> Result<Samples> {
        let seed = seeds::MONITOR + self.config.seed;
        crate::sampling::student_samples(&self.model(), count, calls, seed, &mut |_| ())
    }

    fn metrics(
        &self,
        figures: Map<String, Value>,
        report: StepReport,
    ) -> Result<Map<String, Value>> {
        let (d, card) = (&self.student.config, &self.student.card);
        let due = |every: usize| every > 0 && card.steps.is_multiple_of(every as u64);
        let last = card.steps == self.total();
        if !due(d.log_every) && !due(d.evaluate_every) && !last {
            return Ok(Map::new());
        }

        let mut all = figures;
        all.insert("step".into(), json!(card.steps));
        all.insert("gradient_norm".into(), json!(report.gradient_norm));
        all.insert("skipped".into(), json!(self.skipped));
        all.insert("seconds".into(), json!(card.seconds));
        if due(d.evaluate_every) {
            all.extend((self.monitor)(&self.samples(LOOKED_AT, 1)?)?);
        }
        if last {
            all.insert("std_ratio_by_calls".into(), json!(card.std_ratio));
            all.extend(card.collapse().map(|text| ("collapse".to_owned(), json!(text))));
        }
        Ok(all)
    }
}

/// The description of a student before its first step.
fn card(config: &DistillConfig, start: &Card) -> Card {
    // A student that goes on keeps its skip, and what was spent on it counts.
    let (skip, seconds, samples_seen) = match start.kind {
        Kind::Teacher => (config.skip_in(&start.coordinates), 0.0, 0),
        Kind::Student => (start.skip, start.seconds, start.samples_seen),
    };

    Card {
        kind: Kind::Student,
        levels: config.levels.clone(),
        skip,
        round_input: config.round_input,
        steps: 0,
        samples_seen,
        seconds,
        std_ratio: Vec::new(),
        operator: None,
        record: Record::default(),
        ..start.clone()
    }
}

/// The teacher without an operator in place of which the student trains one anew.
fn begun_with(distill: &DistillConfig, teacher: Model) -> Model {
    match distill.operator() {
        Some(config) if !config.go_on && !config.follows => {
            let card = Card { operator: None, ..teacher.card };
            Model { card, operator: None, ..teacher }
        }
        _ => teacher,
    }
}

/// Tells whether the teacher is of the config's PDE, but has to be taken to the config's grid.
fn is_on_another_grid(config: &Config, teacher: &Card) -> Result<bool> {
    Ok(teacher.grid != config.grid && teacher.pde == config.pde()?.name())
}

/// The PDE of the config; of a PDE that is known by data alone, the description that training
/// completed.
fn pde_of(config: &Config, start: &Card) -> Result<Box<dyn Pde>> {
    let own = config.pde()?;
    match (problem::description(own.as_ref()), &start.description) {
        (None, None) => Ok(own),
        (Some(own), Some(complete)) if own.may_become(complete) => start.pde(),
        _ => Err(Error::Config(format!(
            "distill.teacher is of another {} than the one that {} describes",
            start.pde, config.pde
        ))),
    }
}

/// Refuses a model `start` that does not fit the config, or that its phases cannot begin with.
fn check(config: &Config, distill: &DistillConfig, start: &Card) -> Result<()> {
    let pde = config.pde()?;
    if (start.pde.as_str(), start.grid) != (pde.name(), config.grid) {
        return Err(Error::Config(format!(
            "distill.teacher is of {} on grid {}; expected {} on {}",
            start.pde,
            start.grid,
            pde.name(),
            config.grid
        )));
    }
    distill
        .check_coordinates(&start.coordinates)
        .map_err(|error| error.map_config(|reason| format!("{reason}, those of the teacher")))?;

    if start.kind == Kind::Student && distill.round_input != start.round_input {
        return Err(Error::Config(format!(
            "distill.round_input = {}: distill.teacher is a student of {}",
            distill.round_input, start.round_input
        )));
    }
    if distill.round_input && start.pde()?.input_law().two_values().is_none() {
        return Err(Error::Config(format!(
            "distill.round_input = true: the input of {} has no two values in the teacher's data",
            start.pde
        )));
    }
    if start.operator.is_some() && distill.operator().is_none() {
        return Err(Error::Config(
            "distill.teacher has an operator, which would be lost: add a phase of kind \
             \"operator\""
                .into(),
        ));
    }

    if distill.operator().is_some_and(|config| config.follows && !config.go_on) {
        let reason = match &start.operator {
            Some(own) if own.before.is_none() => None,
            Some(_) => Some("has two, of which the last follows the other"),
            None => Some("has none"),
        };
        if let Some(reason) = reason {
            return Err(Error::Config(format!(
                "distill.operator.follows = true: distill.teacher has to have one operator, and \
                 {reason}"
            )));
        }
    }

    if let Some(config) = distill.operator().filter(|config| config.go_on) {
        let fits = |own: &&OperatorCard| {
            let sees = config.sees_residual || !own.sees_residual;
            let guesses = own.sweeps == config.sweeps && own.before.is_some() == config.follows;
            own.net == config.net && guesses && sees
        };
        if start.operator.as_ref().filter(fits).is_none() {
            let has = match &start.operator {
                Some(own) => format!(
                    "one of the network {:?} and {} sweeps that {} another and {} the residual",
                    own.net,
                    own.sweeps,
                    if own.before.is_some() { "follows" } else { "does not follow" },
                    if own.sees_residual { "sees" } else { "does not see" }
                ),
                None => "none".into(),
            };
            return Err(Error::Config(format!(
                "distill.operator.go_on = true: distill.teacher has to have an operator of \
                 distill.operator's net, sweeps and follows, which sees the residual only where \
                 this one does, and has {has}"
            )));
        }
    }

    let goes_on = |phase: &PhaseConfig| {
        !matches!(phase, PhaseConfig::WarmStart(_) | PhaseConfig::Matching(_))
    };
    let fresh = distill.phases.iter().find(|phase| !goes_on(phase));
    match (start.kind, fresh) {
        (Kind::Teacher, Some(_)) => Ok(()),
        (Kind::Teacher, None) => Err(Error::Config(
            "distill.phase: a teacher becomes a student by a phase of kind \"warm-start\" or \
             \"matching\", and there is none"
                .into(),
        )),
        (Kind::Student, None) if are_alike(&distill.levels, &start.levels) => Ok(()),
        (Kind::Student, None) => Err(Error::Config(format!(
            "distill.levels = {:?}: distill.teacher is a student, which keeps its levels {:?}",
            distill.levels, start.levels
        ))),
        (Kind::Student, Some(phase)) => Err(Error::Config(format!(
            "distill.teacher is a student: it goes on with phases of kind \"calibrate\", \
             \"anchored\" and \"operator\" alone; --unset distill.{} takes the other one out",
            phase.kind()
        ))),
    }
}

/// Tells whether two lists of noise levels agree, up to the rounding of a factor between grids.
fn are_alike(levels: &[f64], others: &[f64]) -> bool {
    let alike = |(a, b): (&f64, &f64)| (a - b).abs() <= SAME_LEVEL * b.abs();
    levels.len() == others.len() && levels.iter().zip(others).all(alike)
}

/// Refuses data that are not of the model's channels and grid; `kind` names them.
fn check_data(kind: &str, data: &Samples, model: &Card) -> Result<()> {
    let fits = data.channels == model.channels && data.grid() == model.grid;
    if fits && data.count > 1 {
        return Ok(());
    }
    Err(Error::Shape(format!(
        "{} {kind} samples of {:?} on {}; expected at least 2 of {:?} on {}",
        data.count,
        data.channels,
        data.grid(),
        model.channels,
        model.grid
    )))
}

impl Training for StudentTraining {
    fn team(&self) -> &Team {
        &self.student.team
    }

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn step_count(&self) -> u64 {
        self.student.card.steps
    }

    fn total(&self) -> u64 {
        self.sequence.total()
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }

    fn step(&mut self) -> Result<StepRecord> {
        if self.student.pairs.is_none() && self.student.config.operator().is_some() {
            let reason = "a phase of kind \"operator\" needs the run's training data (with_pairs)";
            return Err(Error::Config(reason.into()));
        }
        let (report, figures) = self.sequence.step(&mut self.student)?;
        self.student.card.steps += 1;
        self.student.card.samples_seen += self.student.config.batch as u64;
        self.skipped += u64::from(report.skipped);
        if self.step_count() == self.total() {
            self.sequence.end(&mut self.student)?;
            self.note_deviations()?;
        }

        let mut metrics = self.metrics(figures, report)?;
        self.student.team.mean_figures(&mut metrics)?;
        Ok(StepRecord { metrics, skipped: report.skipped })
    }

    fn checkpoint(&self) -> Result<Bundle> {
        let card = &self.student.card;
        let metadata = json!({
            "checkpoint": "student",
            "card": card,
            "config": self.config,
            "origin": self.origin,
            "skipped": self.skipped,
        });
        let mut tensors = self.student.to_arrays()?;
        tensors.extend(self.sequence.to_arrays()?);
        tensors.extend(statistics_arrays(&self.student.teacher.statistics, card));
        Ok(Bundle { metadata, tensors })
    }

    fn restore(&mut self, checkpoint: &Bundle) -> Result<()> {
        let field = |name: &str| checkpoint.metadata.get(name).cloned().unwrap_or_default();
        let bad = |e: serde_json::Error| Error::Shape(format!("checkpoint: {e}"));
        self.origin.check(&checkpoint.metadata)?;
        self.student.card = self.student.card.with_counts_of(&field("card"))?;
        self.skipped = serde_json::from_value(field("skipped")).map_err(bad)?;
        self.sequence.restore(&mut self.student, &checkpoint.tensors)
    }

    fn add_seconds(&mut self, seconds: f64) {
        self.student.card.seconds += seconds;
    }
}
