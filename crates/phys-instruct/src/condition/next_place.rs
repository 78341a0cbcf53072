//! The place where one more value would tell most.
//!
//! Let var and cov be the variances and covariances of the members. Let one more value be given at
//! the entry e, with an error of the deviation s. For a Gaussian law it lowers the variance of an
//! entry t by cov(e, t)^2 / (var(e) + s^2). The gain of e is the sum over all t that are asked for.
//! From few members the covariances are rough: the place is advice, and its gain is not reported.

use phys_instruct_physics::Pde;
use rayon::prelude::*;
use serde::Serialize;

use crate::condition::observations::place::Lattice;
use crate::condition::{Answer, Posterior, Task};

/// A place for one more value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NextPlace {
    /// The field to be observed.
    pub field: String,
    /// The coordinate y, within the domain.
    pub y: f64,
    /// The coordinate x, within the domain.
    pub x: f64,
}

impl Answer {
    /// The place of the observed fields where one more value, of the errors that the others have,
    /// would tell most of what the task asks for; none if nothing is unknown.
    pub fn next_place(&self, pde: &dyn Pde, task: Task) -> Option<NextPlace> {
        let points = self.observations.points();
        let mut errors = vec![None; self.observations.channels().len()];
        for point in points {
            let most = errors[point.channel].get_or_insert(0.0f64);
            *most = most.max(point.deviation());
        }

        let grid = self.observations.grid();
        let area = grid.points();
        let candidates: Vec<usize> = task
            .observed(pde, grid)
            .into_iter()
            .filter(|entry| errors[entry / area].is_some())
            .collect();
        let sd = |entry: usize| errors[entry / area].unwrap_or_default();
        let best = best(&self.posterior, &candidates, &task.target(pde, grid), &sd)?;

        let (channel, at) = (best / area, best % area);
        let place = [(at / grid.nx) as f64, (at % grid.nx) as f64];
        let [y, x] = Lattice::new(pde, grid).coordinates(channel, place);
        Some(NextPlace { field: self.observations.channels()[channel].clone(), y, x })
    }
}

/// The candidate of the largest gain over the `targets`; none if no candidate varies. `sd` is the
/// deviation of the error at a candidate.
fn best(
    posterior: &Posterior,
    candidates: &[usize],
    targets: &[usize],
    sd: &(dyn Fn(usize) -> f64 + Sync),
) -> Option<usize> {
    let mean = posterior.mean();
    let members = posterior.samples.count;
    let away = |entry: usize| -> Vec<f64> {
        let value = |m: usize| f64::from(posterior.samples.sample(m)[entry] - mean[entry]);
        (0..members).map(value).collect()
    };

    // The sum over the targets of cov^2 is a quadratic form in the candidate's deviations.
    let mut form = vec![0.0; members * members];
    for &target in targets {
        let d = away(target);
        for (i, row) in form.chunks_mut(members).enumerate() {
            row.iter_mut().zip(&d).for_each(|(sum, dj)| *sum += d[i] * dj);
        }
    }

    let gain = |&entry: &usize| {
        let d = away(entry);
        let variance: f64 = d.iter().map(|v| v * v).sum::<f64>() / members as f64;
        if variance == 0.0 {
            return 0.0;
        }
        let rows = form.chunks(members).zip(&d);
        let product: f64 =
            rows.map(|(row, di)| di * row.iter().zip(&d).map(|(f, dj)| f * dj).sum::<f64>()).sum();
        product / (members * members) as f64 / (variance + sd(entry).powi(2))
    };
    let gains: Vec<f64> = candidates.par_iter().map(gain).collect();

    let largest = (0..gains.len()).max_by(|&i, &j| gains[i].total_cmp(&gains[j]))?;
    (gains[largest] > 0.0).then(|| candidates[largest])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::samples_of;

    #[test]
    fn the_best_place_varies_with_what_is_asked_for_and_is_measured_well() {
        // Entry 0 is asked for; entry 1 varies with it, entry 2 more strongly but on its own,
        // entry 3 as entry 1 with a large error, and entry 4 not at all.
        let data = vec![
            1.0, 1.0, 5.0, 1.0, 2.0, //
            -1.0, -1.0, 5.0, -1.0, 2.0, //
            1.0, 1.0, -5.0, 1.0, 2.0, //
            -1.0, -1.0, -5.0, -1.0, 2.0,
        ];
        let posterior = Posterior::of(samples_of(4, 1, 1, 5, data), false, 0);
        let sd = |entry: usize| if entry == 3 { 10.0 } else { 0.1 };
        assert_eq!(best(&posterior, &[2, 3, 1, 4], &[0], &sd), Some(1));
        assert_eq!(best(&posterior, &[2, 3], &[0], &sd), Some(3));
        assert_eq!(best(&posterior, &[4], &[0], &sd), None);
        assert_eq!(best(&posterior, &[], &[0], &sd), None);
    }
}
