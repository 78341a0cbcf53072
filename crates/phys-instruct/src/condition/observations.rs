//! Observations: values of the fields at grid points, with the standard deviation of their errors.

use phys_instruct_physics::rng;

use super::Task;
use crate::eval::moments::channel_moments;
use crate::{Error, Result, Samples};

/// Two values at one point conflict if they differ by more than this many standard deviations.
const CONFLICT: f64 = 6.0;

/// One value of one field at one grid point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Index of the channel.
    pub channel: usize,
    /// Row of the grid point.
    pub row: usize,
    /// Column of the grid point.
    pub column: usize,
    /// The value, in the field's unit.
    pub value: f64,
    /// Standard deviation of its error, at least 0.
    pub sd: f64,
}

/// Checked observations of one joint sample: at least one, each on the grid and finite, each point
/// once.
#[derive(Debug, Clone, PartialEq)]
pub struct Observations {
    points: Vec<Observation>,
    channels: Vec<String>,
    size: usize,
}

impl Observations {
    /// Checks `points` of the `channels` on a grid of `size` points a side. Repeated points that
    /// agree are merged into one, weighted by their variances.
    ///
    /// # Errors
    /// None at all, one outside the grid or not finite, a negative deviation, or two values of one
    /// point that conflict.
    pub fn new(channels: &[String], size: usize, points: Vec<Observation>) -> Result<Self> {
        if points.is_empty() {
            return Err(Error::Observation("none given; at least one is needed".into()));
        }
        for (i, point) in points.iter().enumerate() {
            check(point, channels, size)
                .map_err(|reason| Error::Observation(format!("number {}: {reason}", i + 1)))?;
        }
        let mut observations =
            Self { points: Vec::with_capacity(points.len()), channels: channels.to_vec(), size };
        let mut sorted = points;
        sorted.sort_by_key(|p| (p.channel, p.row, p.column));
        for point in sorted {
            observations.add(point)?;
        }
        Ok(observations)
    }

    /// `count` random points (all, if there are fewer) of what `task` may observe of sample `i`,
    /// their values with errors of `noise` standard deviations of their channel in `samples`.
    ///
    /// # Errors
    /// No point asked for.
    pub fn draw(
        samples: &Samples,
        i: usize,
        allowed: &[usize],
        count: usize,
        noise: f64,
        seed: u64,
    ) -> Result<Self> {
        let size = samples.width;
        let mut rng = rng::stream(seed, "observations", 0, i as u64);
        let mut entries = allowed.to_vec();
        let count = count.min(entries.len());
        for k in 0..count {
            let other = k + (rng::uniform(&mut rng) * (entries.len() - k) as f64) as usize;
            entries.swap(k, other.min(allowed.len() - 1));
        }
        let moments = channel_moments(samples);
        let points = entries[..count]
            .iter()
            .map(|&entry| {
                let channel = entry / (size * size);
                let sd = noise * moments[channel].sd;
                let value = f64::from(samples.sample(i)[entry]) + sd * rng::normal(&mut rng);
                let (row, column) = (entry / size % size, entry % size);
                Observation { channel, row, column, value, sd }
            })
            .collect();
        Self::new(&samples.channels, size, points)
    }

    /// Those `allowed` entries of joint samples on a grid of `size` points a side that lie in
    /// `count` random columns (all, if there are fewer): sensors that see every row, which for
    /// Burgers is every time.
    pub fn columns(allowed: &[usize], size: usize, count: usize, seed: u64) -> Vec<usize> {
        let mut rng = rng::stream(seed, "sensors", 0, 0);
        let mut columns: Vec<(f64, usize)> =
            (0..size).map(|column| (rng::uniform(&mut rng), column)).collect();
        columns.sort_by(|a, b| a.0.total_cmp(&b.0));
        let chosen = |entry: &usize| columns.iter().take(count).any(|c| c.1 == entry % size);
        allowed.iter().copied().filter(chosen).collect()
    }

    /// The observations, ordered by channel, row and column.
    pub fn points(&self) -> &[Observation] {
        &self.points
    }

    /// The channels' names.
    pub fn channels(&self) -> &[String] {
        &self.channels
    }

    /// Points a side of the grid.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The places in a flat joint sample `[channel, y, x]`.
    pub fn entries(&self) -> Vec<usize> {
        self.points.iter().map(|p| (p.channel * self.size + p.row) * self.size + p.column).collect()
    }

    /// Every observation without a deviation of its own is given `noise` deviations of its
    /// channel.
    pub fn with_noise(mut self, noise: f64, deviations: &[f64]) -> Self {
        for point in self.points.iter_mut().filter(|p| p.sd == 0.0) {
            point.sd = noise * deviations[point.channel];
        }
        self
    }

    /// Refuses observations that `task` does not take.
    ///
    /// # Errors
    /// An observation of what the task asks for.
    pub fn check_task(&self, task: Task, allowed: &[usize]) -> Result<()> {
        match self.entries().iter().position(|entry| !allowed.contains(entry)) {
            None => Ok(()),
            Some(i) => {
                let point = &self.points[i];
                Err(Error::Observation(format!(
                    "`{}` at row {}, column {} is observed, which is what the task {task} asks \
                     for; use reconstruct",
                    self.channels[point.channel], point.row, point.column
                )))
            }
        }
    }

    /// Root mean square difference of the joint sample `x` from the observations, each in units
    /// of `deviations` of its channel.
    pub fn misfit(&self, x: &[f32], deviations: &[f64]) -> f64 {
        let square = |(p, entry): (&Observation, usize)| {
            ((f64::from(x[entry]) - p.value) / deviations[p.channel]).powi(2)
        };
        let sum: f64 = self.points.iter().zip(self.entries()).map(square).sum();
        (sum / self.points.len() as f64).sqrt()
    }

    fn add(&mut self, point: Observation) -> Result<()> {
        let place = |p: &Observation| (p.channel, p.row, p.column);
        match self.points.last_mut() {
            Some(last) if place(last) == place(&point) => {
                *last = merged(last, &point).ok_or_else(|| {
                    Error::Observation(format!(
                        "`{}` at row {}, column {} is given as {} and as {}",
                        self.channels[point.channel],
                        point.row,
                        point.column,
                        last.value,
                        point.value
                    ))
                })?;
            }
            _ => self.points.push(point),
        }
        Ok(())
    }
}

fn check(point: &Observation, channels: &[String], size: usize) -> std::result::Result<(), String> {
    let Observation { channel, row, column, value, sd } = *point;
    if channel >= channels.len() {
        return Err(format!("channel {channel}; there are {}", channels.join(", ")));
    }
    if row >= size || column >= size {
        return Err(format!(
            "row {row}, column {column} is outside the grid of {size} x {size} points"
        ));
    }
    if !value.is_finite() {
        return Err(format!("the value is {value}"));
    }
    if !(sd.is_finite() && sd >= 0.0) {
        return Err(format!("the standard deviation is {sd}; at least 0 expected"));
    }
    Ok(())
}

/// The mean of two values of one point weighted by their variances; none if they conflict.
fn merged(one: &Observation, other: &Observation) -> Option<Observation> {
    let [p, q] = [one.sd * one.sd, other.sd * other.sd];
    if (one.value - other.value).abs() > CONFLICT * (p + q).sqrt() {
        return None;
    }
    if p + q == 0.0 {
        return Some(*one);
    }
    let value = (one.value * q + other.value * p) / (p + q);
    Some(Observation { value, sd: (p * q / (p + q)).sqrt(), ..*one })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::eval::testing::gaussian_samples;

    fn names() -> Vec<String> {
        vec!["a".into(), "u".into()]
    }

    fn at(channel: usize, row: usize, column: usize, value: f64, sd: f64) -> Observation {
        Observation { channel, row, column, value, sd }
    }

    fn refusal(points: Vec<Observation>) -> String {
        Observations::new(&names(), 8, points).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_observed_is_refused_by_number_and_reason() {
        assert!(refusal(vec![]).contains("at least one"));
        let good = at(0, 1, 1, 0.0, 0.0);
        for (bad, reason) in [
            (at(2, 0, 0, 0.0, 0.0), "a, u"),
            (at(0, 8, 0, 0.0, 0.0), "8 x 8"),
            (at(0, 0, 8, 0.0, 0.0), "8 x 8"),
            (at(0, 0, 0, f64::NAN, 0.0), "NaN"),
            (at(0, 0, 0, 1.0, -0.1), "-0.1"),
            (at(0, 0, 0, 1.0, f64::INFINITY), "inf"),
        ] {
            let message = refusal(vec![good, bad]);
            assert!(message.contains("number 2") && message.contains(reason), "{message}");
        }
    }

    #[test]
    fn repeated_points_are_merged_and_conflicts_named() {
        let same = Observations::new(&names(), 8, vec![at(1, 2, 3, 1.0, 0.0); 2]).unwrap();
        assert_eq!(same.points(), &[at(1, 2, 3, 1.0, 0.0)]);
        let points = vec![at(1, 2, 3, 1.0, 0.1), at(1, 2, 3, 1.3, 0.2)];
        let merged = Observations::new(&names(), 8, points).unwrap();
        let Observation { value, sd, .. } = merged.points()[0];
        assert!((value - 1.06).abs() < 1e-12 && (sd - 0.2 / 5f64.sqrt()).abs() < 1e-12);
        let message = refusal(vec![at(1, 2, 3, 1.0, 0.0), at(1, 2, 3, 1.1, 0.0)]);
        assert!(message.contains("`u` at row 2, column 3"), "{message}");
    }

    #[test]
    fn drawn_points_are_distinct_allowed_and_of_the_asked_noise() {
        let samples = gaussian_samples(3, 2, 32, 4);
        let allowed: Vec<usize> = (1024..2048).collect();
        let clean = Observations::draw(&samples, 1, &allowed, 900, 0.0, 7).unwrap();
        assert_eq!(clean.points().len(), 900);
        assert!(clean.entries().iter().all(|e| allowed.contains(e)));
        assert!(clean.misfit(samples.sample(1), &[1.0, 1.0]) < 1e-6);
        let noisy = Observations::draw(&samples, 1, &allowed, 900, 0.5, 7).unwrap();
        assert_eq!(noisy.entries(), clean.entries());
        let misfit = noisy.misfit(samples.sample(1), &[1.0, 1.0]);
        assert!((misfit - 0.5).abs() < 0.05, "{misfit}");
    }

    #[test]
    fn sensors_see_every_allowed_row_of_their_columns() {
        let allowed: Vec<usize> = (8..64).collect();
        let seen = Observations::columns(&allowed, 8, 3, 1);
        assert_eq!(seen.len(), 3 * 7);
        let columns: std::collections::BTreeSet<usize> = seen.iter().map(|e| e % 8).collect();
        assert_eq!(columns.len(), 3);
        assert_ne!(seen, Observations::columns(&allowed, 8, 3, 2));
        assert_eq!(Observations::columns(&allowed, 8, 99, 1), allowed);
    }

    #[test]
    fn a_task_refuses_observations_of_what_it_asks_for() {
        let observations = Observations::new(&names(), 8, vec![at(1, 2, 3, 1.0, 0.0)]).unwrap();
        assert!(observations.check_task(Task::Inverse, &(64..128).collect::<Vec<_>>()).is_ok());
        let error = observations.check_task(Task::Forward, &(0..64).collect::<Vec<_>>());
        assert!(error.unwrap_err().to_string().contains("reconstruct"));
    }
}
