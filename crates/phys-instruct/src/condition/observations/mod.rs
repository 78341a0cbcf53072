//! Observations: values of the fields at places of the domain, with the standard deviation of their
//! errors.

use std::collections::HashSet;

use phys_instruct_physics::{Grid, rng};

use crate::condition::Task;
use crate::eval::moments::channel_moments;
use crate::{Error, Result, Samples};
use place::Stencil;

pub mod observed;
pub mod place;
pub mod table;

pub use place::Lattice;

/// Two exact values at one place conflict if they differ by more than this share of the larger one,
/// which is some roundings of `f32`.
const CONFLICT: f64 = 1e-6;

/// One value of one field at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The index of the channel.
    pub channel: usize,
    /// The row of the grid, from 0; fractional between two rows.
    pub row: f64,
    /// The column of the grid, from 0; fractional between two columns.
    pub column: f64,
    /// The value, in the field's unit.
    pub value: f64,
    /// The standard deviation of the value's error, at least 0; none if it is unknown.
    pub sd: Option<f64>,
}

/// Checked observations of one joint sample: at least one, each in the domain and finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Observations {
    points: Vec<Observation>,
    stencils: Vec<Stencil>,
    /// The number of each observation in its source, from 1.
    numbers: Vec<usize>,
    /// The name of each observation's place; none where nothing tells it.
    names: Vec<Option<String>>,
    channels: Vec<String>,
    grid: Grid,
}

impl Observation {
    /// A value at a grid point.
    pub fn at_point(
        channel: usize,
        row: usize,
        column: usize,
        value: f64,
        sd: Option<f64>,
    ) -> Self {
        Self { channel, row: row as f64, column: column as f64, value, sd }
    }

    /// The standard deviation of the error, 0 if none is stated.
    pub fn deviation(&self) -> f64 {
        self.sd.unwrap_or(0.0)
    }

    /// Tells whether another observation is of the same field at the same place.
    fn is_at_place_of(&self, other: &Self) -> bool {
        let place = |p: &Self| (p.channel, p.row.to_bits(), p.column.to_bits());
        place(self) == place(other)
    }
}

impl Observations {
    /// Checks `points` at grid points of the `channels`. Two values at one place are two
    /// observations.
    ///
    /// # Errors
    /// Fails if there are no points, or if one lies outside the grid or between its points. Values
    /// must be finite and deviations not negative. Two exact values at one point must agree.
    ///
    /// ```
    /// use phys_instruct::condition::{Observation, Observations};
    /// use phys_instruct_physics::Grid;
    ///
    /// let (channels, grid) = (["a".to_owned(), "u".to_owned()], Grid::square(32));
    /// // The solution u, channel 1, in row 3 and column 5, known to 1e-4.
    /// let point = Observation::at_point(1, 3, 5, 2.0e-3, Some(1e-4));
    /// assert_eq!(Observations::new(&channels, grid, vec![point])?.points().len(), 1);
    /// let outside = Observation::at_point(1, 32, 5, 2.0e-3, Some(1e-4));
    /// assert!(Observations::new(&channels, grid, vec![outside]).is_err());
    /// # Ok::<(), phys_instruct::Error>(())
    /// ```
    pub fn new(channels: &[String], grid: Grid, points: Vec<Observation>) -> Result<Self> {
        Self::with(channels, grid, points, &|p| {
            if p.row.fract() != 0.0 || p.column.fract() != 0.0 {
                return Err(format!("row {}, column {} is no grid point", p.row, p.column));
            }
            let inside = |at: f64, points: usize| (0.0..points as f64).contains(&at);
            if !(inside(p.row, grid.ny) && inside(p.column, grid.nx)) {
                return Err(outside(p, grid));
            }
            let at = (p.channel * grid.ny + p.row as usize) * grid.nx + p.column as usize;
            Ok(Stencil::point(at))
        })
    }

    /// Checks `points` anywhere on a `lattice`.
    ///
    /// # Errors
    /// Fails as [`Observations::new`] does, except that values between grid points are allowed.
    pub fn on(lattice: &Lattice, points: Vec<Observation>) -> Result<Self> {
        let stencil = |p: &Observation| Ok(lattice.stencil(p.channel, [p.row, p.column]));
        Self::with(lattice.names(), lattice.grid(), points, &stencil)
    }

    fn with(
        channels: &[String],
        grid: Grid,
        points: Vec<Observation>,
        stencil: &dyn Fn(&Observation) -> std::result::Result<Stencil, String>,
    ) -> Result<Self> {
        if points.is_empty() {
            return Err(Error::Observation("none given; at least one is needed".into()));
        }

        let mut numbered = Vec::with_capacity(points.len());
        for (i, point) in points.into_iter().enumerate() {
            let checked = check(&point, channels, grid).and_then(|()| stencil(&point));
            let stencil = checked
                .map_err(|reason| Error::Observation(format!("number {}: {reason}", i + 1)))?;
            numbered.push((i + 1, point, stencil));
        }

        // The order does not depend on the file, because the draws of errors go by it.
        numbered.sort_by(|(_, p, _), (_, q, _)| {
            let rows = p.row.total_cmp(&q.row).then(p.column.total_cmp(&q.column));
            p.channel.cmp(&q.channel).then(rows)
        });

        let mut all = Self {
            points: Vec::with_capacity(numbered.len()),
            stencils: Vec::with_capacity(numbered.len()),
            numbers: Vec::with_capacity(numbered.len()),
            names: Vec::new(),
            channels: channels.to_vec(),
            grid,
        };

        for (number, point, stencil) in numbered {
            if !all.repeats(number, &point)? {
                all.points.push(point);
                all.stencils.push(stencil);
                all.numbers.push(number);
            }
        }
        all.names = vec![None; all.points.len()];
        Ok(all)
    }

    /// Tells whether the last observation has the same place and the same exact value.
    fn repeats(&self, number: usize, point: &Observation) -> Result<bool> {
        let Some(last) = self.points.last().filter(|last| last.is_at_place_of(point)) else {
            return Ok(false);
        };
        if last.sd != Some(0.0) || point.sd != Some(0.0) {
            return Ok(false);
        }

        let [one, other] = [last.value, point.value];
        if (one - other).abs() > CONFLICT * one.abs().max(other.abs()) {
            let first = self.numbers.last().copied().unwrap_or_default();
            return Err(Error::Observation(format!(
                "numbers {first} and {number}: `{}` at row {}, column {} is given as {one} and as \
                 {other}, both exact; state their errors (a column sd, or --noise)",
                self.channels[point.channel], point.row, point.column
            )));
        }
        Ok(true)
    }

    /// Draws `count` random points among the `allowed` entries of sample `i`. Their values have
    /// errors of `noise` standard deviations of their channel in `samples`.
    ///
    /// # Errors
    /// Fails with [`Error::Observation`] if no point is asked for, or more than are allowed.
    pub fn draw(
        samples: &Samples,
        i: usize,
        allowed: &[usize],
        count: usize,
        noise: f64,
        seed: u64,
    ) -> Result<Self> {
        if count > allowed.len() {
            let most = allowed.len();
            return Err(Error::Observation(format!("{count} asked for, of {most} places")));
        }

        let grid = samples.grid();
        let mut rng = rng::stream(seed, "observations", 0, i as u64);
        // A partial Fisher-Yates shuffle: the first `count` entries become the chosen ones.
        let mut entries = allowed.to_vec();
        for k in 0..count {
            let other = k + (rng::uniform(&mut rng) * (entries.len() - k) as f64) as usize;
            entries.swap(k, other.min(allowed.len() - 1));
        }

        let moments = channel_moments(samples);
        let points = entries[..count]
            .iter()
            .map(|&entry| {
                let channel = entry / grid.points();
                let sd = noise * moments[channel].sd;
                let value = f64::from(samples.sample(i)[entry]) + sd * rng::normal(&mut rng);
                let (row, column) = (entry / grid.nx % grid.ny, entry % grid.nx);
                Observation::at_point(channel, row, column, value, Some(sd))
            })
            .collect();
        Self::new(&samples.channels, grid, points)
    }

    /// The values of sample `i` at these places, with errors of these sizes drawn anew from `seed`.
    pub fn seen_in(&self, samples: &Samples, i: usize, seed: u64) -> Self {
        let mut rng = rng::stream(seed, "observations", 0, i as u64);
        let mut seen = self.clone();
        for (point, stencil) in seen.points.iter_mut().zip(&self.stencils) {
            let error = point.deviation() * rng::normal(&mut rng);
            point.value = stencil.of(samples.sample(i)) + error;
        }
        seen
    }

    /// The `allowed` entries of joint samples that lie in `count` random columns (all, if there are
    /// fewer) of a grid. Such sensors see every row, which for Burgers is every time.
    pub fn columns(allowed: &[usize], grid: Grid, count: usize, seed: u64) -> Vec<usize> {
        let mut rng = rng::stream(seed, "sensors", 0, 0);
        let mut columns: Vec<(f64, usize)> =
            (0..grid.nx).map(|column| (rng::uniform(&mut rng), column)).collect();
        columns.sort_by(|a, b| a.0.total_cmp(&b.0));
        let chosen = |entry: &usize| columns.iter().take(count).any(|c| c.1 == entry % grid.nx);
        allowed.iter().copied().filter(chosen).collect()
    }

    /// The observations, ordered by channel, row and column.
    pub fn points(&self) -> &[Observation] {
        &self.points
    }

    /// The functionals of a flat joint sample `[channel, y, x]` whose values are observed.
    pub fn stencils(&self) -> &[Stencil] {
        &self.stencils
    }

    /// The number of each observation in the file it comes from, counted from 1.
    pub fn numbers(&self) -> &[usize] {
        &self.numbers
    }

    /// The name of each observation's place; none where nothing tells it.
    pub fn names(&self) -> &[Option<String>] {
        &self.names
    }

    /// The number of observation `i` and, if it has one, the name of its place.
    pub fn label(&self, i: usize) -> String {
        label(self.numbers[i], self.names[i].as_deref())
    }

    /// Names the places. `names` has one for each observation that was given, in the order in which
    /// they were given, or fewer.
    pub fn with_names(mut self, names: &[Option<String>]) -> Self {
        let of = |number: &usize| names.get(number - 1).cloned().flatten();
        self.names = self.numbers.iter().map(of).collect();
        self
    }

    /// The number of observations at the place of another one of the same field.
    pub fn repeated(&self) -> usize {
        self.points.windows(2).filter(|pair| pair[0].is_at_place_of(&pair[1])).count()
    }

    /// The channels' names.
    pub fn channels(&self) -> &[String] {
        &self.channels
    }

    /// The grid.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Gives every observation without a stated error one of `noise` standard deviations of its
    /// channel.
    pub fn with_noise(self, noise: f64, deviations: &[f64]) -> Self {
        self.with_errors(|_, p| p.sd.unwrap_or(noise * deviations[p.channel]))
    }

    /// Returns the observations with the errors' deviations from `sd`, a function of the index in
    /// [`Observations::points`] and the observation.
    pub fn with_errors(self, sd: impl Fn(usize, &Observation) -> f64) -> Self {
        self.with_optional_errors(|i, point| Some(sd(i, point)))
    }

    /// Returns the observations with the deviations from `sd`, which may be none.
    pub fn with_optional_errors(mut self, sd: impl Fn(usize, &Observation) -> Option<f64>) -> Self {
        for (i, point) in self.points.iter_mut().enumerate() {
            point.sd = sd(i, point);
        }
        self
    }

    /// Refuses observations that `task` does not take.
    ///
    /// # Errors
    /// Fails for an observation of the fields that the task asks for.
    pub fn check_task(&self, task: Task, allowed: &[usize]) -> Result<()> {
        let allowed: HashSet<usize> = allowed.iter().copied().collect();
        // Between the input's line and the next, a value belongs to the solution. An observed input
        // may depend on entries of the input alone.
        let is_allowed = |entry: usize| allowed.contains(&entry);
        let fits = |i: usize| {
            let terms = self.stencils[i].terms();
            match (terms, task) {
                // On a wall, where the field is zero, only the channel counts.
                ([], _) => {
                    let channel = self.points[i].channel * self.grid.points();
                    (channel..channel + self.grid.points()).any(is_allowed)
                }
                (_, Task::Forward) => terms.iter().all(|term| is_allowed(term.0)),
                _ => terms.iter().any(|term| is_allowed(term.0)),
            }
        };

        let first = (0..self.points.len()).filter(|&i| !fits(i)).min_by_key(|&i| self.numbers[i]);
        match first {
            None => Ok(()),
            Some(i) => Err(Error::Observation(format!(
                "{}, a value of `{}`, is observed, which is what the task {task} asks for; use \
                 reconstruct",
                self.label(i),
                self.channels[self.points[i].channel]
            ))),
        }
    }

    /// The root mean square difference of the joint sample `x` from the observations, each in units
    /// of its channel's `deviations`.
    pub fn misfit(&self, x: &[f32], deviations: &[f64]) -> f64 {
        let square = |(p, stencil): (&Observation, &Stencil)| {
            ((stencil.of(x) - p.value) / deviations[p.channel]).powi(2)
        };
        let sum: f64 = self.points.iter().zip(&self.stencils).map(square).sum();
        (sum / self.points.len() as f64).sqrt()
    }
}

/// An observation's number and the name of its place.
pub(super) fn label(number: usize, name: Option<&str>) -> String {
    name.map_or_else(|| format!("number {number}"), |name| format!("number {number}, `{name}`"))
}

fn outside(point: &Observation, grid: Grid) -> String {
    let Observation { row, column, .. } = point;
    format!(
        "row {row}, column {column} is outside the grid of {} x {} points; is the table of another \
         grid than the model?",
        grid.ny, grid.nx
    )
}

fn check(point: &Observation, channels: &[String], grid: Grid) -> std::result::Result<(), String> {
    let Observation { channel, row, column, value, sd } = *point;
    if channel >= channels.len() {
        return Err(format!("channel {channel}; there are {}", channels.join(", ")));
    }

    // A wall may lie one spacing beyond the outermost points.
    let inside = |at: f64, points: usize| at > -1.0 - 1e-6 && at < points as f64 + 1e-6;
    if !(inside(row, grid.ny) && inside(column, grid.nx)) {
        return Err(outside(point, grid));
    }

    if !(value.is_finite() && (value as f32).is_finite()) {
        return Err(format!("the value {value:e} is none that a field of `f32` can hold"));
    }
    if let Some(sd) = sd.filter(|sd| !(sd.is_finite() && *sd >= 0.0)) {
        return Err(format!("the standard deviation is {sd}; at least 0 expected"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::gaussian_samples;

    fn names() -> Vec<String> {
        vec!["a".into(), "u".into()]
    }

    fn at(channel: usize, row: usize, column: usize, value: f64, sd: f64) -> Observation {
        Observation::at_point(channel, row, column, value, Some(sd))
    }

    fn refusal(points: Vec<Observation>) -> String {
        Observations::new(&names(), Grid::square(8), points).unwrap_err().to_string()
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
    fn repeated_exact_values_are_one_and_measurements_of_one_point_are_two() {
        let same =
            Observations::new(&names(), Grid::square(8), vec![at(1, 2, 3, 1.0, 0.0); 2]).unwrap();
        assert_eq!(same.points(), &[at(1, 2, 3, 1.0, 0.0)]);
        let points = vec![at(1, 2, 3, 1.0, 0.1), at(1, 2, 3, 1.3, 0.2)];
        assert_eq!(
            Observations::new(&names(), Grid::square(8), points.clone()).unwrap().points(),
            points
        );
        let message = refusal(vec![at(1, 2, 3, 1.0, 0.0), at(1, 2, 3, 1.1, 0.0)]);
        assert!(message.contains("numbers 1 and 2: `u` at row 2, column 3"), "{message}");
    }

    #[test]
    fn observations_keep_the_number_they_were_given_with() {
        let points = vec![at(1, 2, 3, 1.0, 0.1), at(0, 2, 3, 1.3, 0.2), at(0, 0, 3, 1.3, 0.2)];
        assert_eq!(
            Observations::new(&names(), Grid::square(8), points).unwrap().numbers(),
            [3, 2, 1]
        );
    }

    #[test]
    fn drawn_points_are_distinct_allowed_and_of_the_asked_noise() {
        let samples = gaussian_samples(3, 2, 32, 4);
        let allowed: Vec<usize> = (1024..2048).collect();
        let clean = Observations::draw(&samples, 1, &allowed, 900, 0.0, 7).unwrap();
        assert_eq!(clean.points().len(), 900);
        assert!(clean.stencils().iter().all(|s| allowed.contains(&s.terms()[0].0)));
        assert!(clean.misfit(samples.sample(1), &[1.0, 1.0]) < 1e-6);
        let noisy = Observations::draw(&samples, 1, &allowed, 900, 0.5, 7).unwrap();
        assert_eq!(noisy.stencils(), clean.stencils());
        let misfit = noisy.misfit(samples.sample(1), &[1.0, 1.0]);
        assert!((misfit - 0.5).abs() < 0.05, "{misfit}");
    }

    #[test]
    fn more_points_than_there_are_to_observe_are_refused() {
        let samples = gaussian_samples(1, 2, 8, 4);
        let draw = |count| Observations::draw(&samples, 0, &[3, 5, 70], count, 0.0, 7);
        assert_eq!(draw(3).unwrap().points().len(), 3);
        let refused = draw(4).unwrap_err();
        assert!(matches!(refused, Error::Observation(_)), "{refused}");
        assert!(refused.to_string().contains("4 asked for, of 3 places"), "{refused}");
    }

    #[test]
    fn sensors_see_every_allowed_row_of_their_columns() {
        let allowed: Vec<usize> = (8..64).collect();
        let seen = Observations::columns(&allowed, Grid::square(8), 3, 1);
        assert_eq!(seen.len(), 3 * 7);
        let columns: std::collections::BTreeSet<usize> = seen.iter().map(|e| e % 8).collect();
        assert_eq!(columns.len(), 3);
        assert_ne!(seen, Observations::columns(&allowed, Grid::square(8), 3, 2));
        assert_eq!(Observations::columns(&allowed, Grid::square(8), 99, 1), allowed);
    }

    #[test]
    fn a_task_refuses_observations_of_what_it_asks_for() {
        let observations =
            Observations::new(&names(), Grid::square(8), vec![at(1, 2, 3, 1.0, 0.0)]).unwrap();
        assert!(observations.check_task(Task::Inverse, &(64..128).collect::<Vec<_>>()).is_ok());
        let error = observations.check_task(Task::Forward, &(0..64).collect::<Vec<_>>());
        assert!(error.unwrap_err().to_string().contains("reconstruct"));
    }
}
