//! The snapshots of a sample as a chain of collocated steps.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustfft::num_complex::Complex;

use super::NavierStokes;
use super::flow::Nested;
use crate::Fields;
use crate::hermite::{Collocation, Hermite, Nearer};

/// Sweeps on the smaller grid after the first one on the whole.
const SMALL_SWEEPS: usize = 10;

/// [`Collocation`] of the snapshots of samples on one grid.
///
/// After the first sweep the modes that the heat flow leaves are corrected on the smaller grid, where a
/// sweep costs a third, for the equation that has the same residual there.
pub struct Snapshots {
    room: Room,
    /// Left by marches that are over, for the next ones.
    idle: Mutex<Vec<Room>>,
}

/// Both grids and their steps, with room to work in.
#[derive(Clone)]
struct Room {
    grids: Nested,
    steps: [Hermite; 2],
}

impl Snapshots {
    /// Of `pde` on grids of `size` points a side.
    pub fn new(pde: &NavierStokes, size: usize) -> Self {
        let grids = Nested::new(pde, size);
        let interval = pde.time / pde.intervals.max(1) as f64;
        let steps = [&grids.full, &grids.needed]
            .map(|flow| Hermite::new(&flow.decay, interval, flow.kept.clone()));
        Self { room: Room { grids, steps }, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Room>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collocation for Snapshots {
    fn march(&self, sample: &mut Fields, sweeps: usize) {
        if sweeps == 0 {
            return;
        }
        let idle = self.idle().pop();
        let mut room = idle.unwrap_or_else(|| self.room.clone());
        let Room { grids: Nested { full, needed, shared }, steps: [step, corrections] } = &mut room;
        let smaller = needed.size < full.size;
        let mut last = full.modes_of(sample.channel(0));
        for snapshot in 1..sample.channels {
            let mut next = full.modes_of(sample.channel(snapshot));
            let start = shared.restricted(&last);
            let mut correct = |before: &[Complex<f64>], after: &mut [Complex<f64>]| {
                let [mut end, wanted] = [before, &*after].map(|modes| shared.restricted(modes));
                corrections.correct(needed, &start, &mut end, &wanted, SMALL_SWEEPS);
                shared.put(&end, after);
            };
            let nearer: Option<Nearer> = if smaller { Some(&mut correct) } else { None };
            step.solve(full, &last, &mut next, sweeps, nearer);
            sample.channel_mut(snapshot).copy_from_slice(&full.values_of(&next));
            last = next;
        }
        self.idle().push(room);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::tests::{distance, eddies, field, on_grid};
    use super::*;
    use crate::{Pde, generate};

    #[test]
    fn marching_leads_from_wrong_snapshots_to_the_solver_s_at_order_four() {
        let far = |intervals: usize| {
            let pde = NavierStokes { nu: 5e-3, intervals, ..Default::default() };
            let exact = pde.solve(&field(32, &on_grid(32, eddies))).unwrap().fields;
            let mut sample = exact.clone();
            sample.data[32 * 32..].iter_mut().for_each(|w| *w *= 1.1);
            Snapshots::new(&pde, 32).march(&mut sample, 30);
            assert_eq!(sample.channel(0), exact.channel(0));
            distance(sample.channel(intervals), exact.channel(intervals))
        };
        let [coarse, fine] = [4, 8].map(far);
        let order = (coarse / fine).log2();
        assert!((3.5..4.6).contains(&order), "order {order}: {coarse} {fine}");
    }

    /// However near a sample is: the smaller grid's own error is none of the correction's.
    #[test]
    fn one_sweep_and_its_correction_lead_most_of_the_way() {
        let pde = NavierStokes::default();
        let snapshots = Snapshots::new(&pde, 64);
        assert!(snapshots.room.grids.needed.size < 48);
        let mut exact = generate(&pde, 64, 5, 0..1).unwrap().remove(0);
        snapshots.march(&mut exact, 40);
        for by in [0.1, 1e-4] {
            let mut sample = exact.clone();
            sample.data[64 * 64..].iter_mut().for_each(|w| *w *= 1.0 + by);
            let before = distance(sample.channel(1), exact.channel(1));
            snapshots.march(&mut sample, 1);
            let after = distance(sample.channel(1), exact.channel(1));
            assert!(after < 0.05 * before, "{by}: {before} to {after}");
        }
    }
}
