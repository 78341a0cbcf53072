//! The processes that train one model together, or draw the members of one answer.
//!
//! Sample i of a step's batch is a function of (seed, step, i), whoever draws it. A process takes a
//! slice of neighbouring samples; the gradients of all slices are averaged before the optimizer's
//! step, so that every process holds the same weights after it.
//!
//! Member i of an ensemble is a function of (seed, i) likewise. A process draws some of the
//! members, and then receives those of all others.
//!
//! One process leads: it alone writes files and talks.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// The connection between processes, which the engine that starts them provides.
///
/// All processes call the same functions in the same order; each call returns once all others have
/// called it.
pub trait Ranks: Send + Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn count(&self) -> usize;

    /// The sums of the values over all processes. Every process receives the same bits, which
    /// depend on the values and the number of processes alone.
    ///
    /// # Errors
    /// Fails if the connection does.
    fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>>;

    /// The sums of the values over all processes, as of [`Ranks::sum`].
    ///
    /// # Errors
    /// Fails if the connection does.
    fn sum_f64(&self, values: Vec<f64>) -> Result<Vec<f64>>;

    /// The bytes of process 0.
    ///
    /// # Errors
    /// Fails if the connection does.
    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>>;

    /// Ends the connection after work that ended well. Without it the engine takes the process for
    /// failed, and ends the others too.
    fn end(&self) {}
}

/// This process among those that work together; by default it is alone.
#[derive(Clone, Default)]
pub struct Team(Option<Arc<dyn Ranks>>);

impl Team {
    /// A process that is alone.
    pub const ALONE: Self = Self(None);

    /// The team of connected processes.
    pub fn new(ranks: Arc<dyn Ranks>) -> Self {
        Self(Some(ranks))
    }

    /// The number of processes.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |ranks| ranks.count())
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |ranks| ranks.rank())
    }

    /// Tells whether this process writes files and talks.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// This process's samples of a batch.
    pub fn slice(&self, batch: usize) -> Range<usize> {
        let length = batch / self.count();
        self.rank() * length..(self.rank() + 1) * length
    }

    /// Refuses a batch that cannot be cut into equal slices.
    ///
    /// # Errors
    /// Fails with [`Error::Config`] that names the batch.
    pub fn check_batch(&self, name: &str, batch: usize) -> Result<()> {
        let count = self.count();
        if batch.is_multiple_of(count) {
            return Ok(());
        }
        Err(Error::Config(format!(
            "{name} = {batch}: {count} processes each take an equal slice; choose a multiple of \
             {count}"
        )))
    }

    /// This process's members of an ensemble. Members 2 i and 2 i + 1 stay together, since they are
    /// drawn with opposite noise.
    pub fn members(&self, ensemble: usize) -> Range<usize> {
        let pairs = ensemble.div_ceil(2);
        let first = |rank: usize| (2 * (rank * pairs / self.count())).min(ensemble);
        first(self.rank())..first(self.rank() + 1)
    }

    /// Refuses an ensemble of which some process would have no member.
    ///
    /// # Errors
    /// Fails with [`Error::Config`] that tells the number of processes.
    pub fn check_ensemble(&self, ensemble: usize) -> Result<()> {
        let (count, pairs) = (self.count(), ensemble.div_ceil(2));
        if count == 1 || pairs >= count {
            return Ok(());
        }
        Err(Error::Config(format!(
            "an ensemble of {ensemble}: {count} processes each draw a pair of members at least; \
             take at most {pairs} processes"
        )))
    }

    /// The values of all members of an ensemble in order, `length` of each. Those of this process's
    /// members are `own`.
    ///
    /// # Errors
    /// Fails for another number of values, and if the connection does.
    pub fn gathered(&self, ensemble: usize, length: usize, own: Vec<f32>) -> Result<Vec<f32>> {
        let members = self.members(ensemble);
        let places = members.start * length..members.end * length;
        if own.len() != places.len() {
            let (got, expected) = (own.len(), places.len());
            return Err(Error::Shape(format!("{got} values of members, {expected} expected")));
        }

        let Some(ranks) = &self.0 else { return Ok(own) };
        // The other processes add -0, which changes no value, not even the sign of a zero.
        let mut all = vec![-0.0; ensemble * length];
        all[places].copy_from_slice(&own);
        ranks.sum(all)
    }

    /// Replaces the arrays by their means over all processes, in one exchange.
    ///
    /// # Errors
    /// Fails if the connection does.
    pub fn mean(&self, arrays: &mut [&mut Vec<f32>]) -> Result<()> {
        let Some(ranks) = &self.0 else { return Ok(()) };
        let mut all = Vec::with_capacity(arrays.iter().map(|array| array.len()).sum());
        arrays.iter().for_each(|array| all.extend_from_slice(array));
        let sums = ranks.sum(all)?;

        let share = 1.0 / ranks.count() as f32;
        let mut rest = &sums[..];
        for array in arrays {
            let lost = || Error::Request("the processes exchanged other arrays than these".into());
            let (own, more) = rest.split_at_checked(array.len()).ok_or_else(lost)?;
            array.iter_mut().zip(own).for_each(|(value, sum)| *value = sum * share);
            rest = more;
        }
        Ok(())
    }

    /// The sum of a number over all processes.
    ///
    /// # Errors
    /// Fails if the connection does.
    pub fn sum(&self, value: f64) -> Result<f64> {
        let Some(ranks) = &self.0 else { return Ok(value) };
        let sums = ranks.sum_f64(vec![value])?;
        Ok(sums.first().copied().unwrap_or(f64::NAN))
    }

    /// The mean of a number over all processes.
    ///
    /// # Errors
    /// Fails if the connection does.
    pub fn mean_of(&self, value: f64) -> Result<f64> {
        Ok(self.sum(value)? / self.count() as f64)
    }

    /// Tells whether `flag` is raised in any process.
    ///
    /// # Errors
    /// Fails if the connection does.
    pub fn any(&self, flag: bool) -> Result<bool> {
        Ok(self.sum(f64::from(u8::from(flag)))? > 0.0)
    }

    /// Replaces fractions among the figures by their means over all processes.
    ///
    /// # Errors
    /// Fails if the connection does.
    pub fn mean_figures(&self, figures: &mut Map<String, Value>) -> Result<()> {
        let Some(ranks) = &self.0 else { return Ok(()) };
        // A figure that is no number in one process becomes null in all.
        let is_fraction = |value: &&mut Value| value.is_f64() || value.is_null();
        let fractions = figures.values_mut().filter(is_fraction);
        let values = fractions.map(|v| v.as_f64().unwrap_or(f64::NAN)).collect();
        let sums = ranks.sum_f64(values)?;
        for (value, sum) in figures.values_mut().filter(is_fraction).zip(sums) {
            *value = (sum / ranks.count() as f64).into();
        }
        Ok(())
    }

    /// Returns once all processes have come here.
    ///
    /// # Errors
    /// Fails if the connection does.
    pub fn meet(&self) -> Result<()> {
        self.sum(0.0).map(drop)
    }

    /// The bytes that the leading process passes on.
    ///
    /// # Errors
    /// Fails if the connection does.
    pub fn from_leader(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        match &self.0 {
            Some(ranks) => ranks.broadcast(bytes),
            None => Ok(bytes),
        }
    }

    /// Ends the connection after work that ended well.
    pub fn end(&self) {
        if let Some(ranks) = &self.0 {
            ranks.end();
        }
    }

    /// Refuses to go on unless `mine`, which has the name `what`, is equal in all processes.
    ///
    /// # Errors
    /// Fails in every process, with [`Error::Config`], if it differs in any.
    pub fn agree(&self, what: &str, mine: &str) -> Result<()> {
        let theirs = self.from_leader(mine.as_bytes().to_vec())?;
        let differs = theirs != mine.as_bytes();
        let many = self.sum(f64::from(u8::from(differs)))?;
        if many == 0.0 {
            return Ok(());
        }
        let (count, own) = (self.count(), if differs { ", this one among them" } else { "" });
        Err(Error::Config(format!(
            "{many} of {count} processes have another {what} than process 0{own}: all need the \
             same program, config and data"
        )))
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of {}", self.rank(), self.count())
    }
}
