//! The snapshots of a sample as a chain of steps, each of which is marched at first and then
//! collocated.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustfft::num_complex::Complex;

use super::NavierStokes;
use super::flow::Nested;
use crate::etdrk4::Etdrk4;
use crate::hermite::{Collocation, Hermite, Nearer, Nonlinear};
use crate::{Fields, Grid};

/// Sweeps on the coarse grid after the first one on the full grid. With fewer, two sweeps on the
/// full grid make less progress.
const SMALL_SWEEPS: usize = 8;

/// The part of each interval that is marched from its start.
///
/// One step over three tenths evaluates the advection half as often, but leaves five times the
/// error. One step over four tenths amplifies the power of fine modes, and so do, slightly, two
/// steps over six tenths.
pub const LEAD: Lead = Lead { steps: 2, share: 0.5 };

/// The first part of an interval between snapshots, which is marched by [`Etdrk4`].
///
/// The end of this part depends on the interval's start alone. The shorter the rest, the more
/// accurate is its collocation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lead {
    /// Number of steps, all of one length.
    pub steps: usize,
    /// Share of the interval that is marched, in (0, 1).
    pub share: f64,
}

impl Lead {
    /// Returns the length of a step, for an interval of length `interval`.
    pub fn step(&self, interval: f64) -> f64 {
        self.share * interval / self.steps as f64
    }

    /// Returns the length of the rest of the interval, which is collocated.
    pub fn rest(&self, interval: f64) -> f64 {
        (1.0 - self.share) * interval
    }
}

/// [`Collocation`] of the snapshots of samples on one grid.
///
/// After the first sweep the modes that viscosity leaves are corrected on a coarse grid, where a
/// sweep costs a third. The coarse equation is given the residual of the full one.
pub struct Snapshots {
    workspace: Workspace,
    /// Workspaces left by finished marches, for the next ones.
    idle: Mutex<Vec<Workspace>>,
}

/// Both grids and their steps, with workspace.
#[derive(Clone)]
struct Workspace {
    grids: Nested,
    /// The method of the lead, on the full grid.
    march: Etdrk4,
    /// The collocation of the rest, on the full grid and on the coarse one.
    steps: [Hermite; 2],
}

impl Snapshots {
    /// Returns the chain for `pde` on a grid.
    pub fn new(pde: &NavierStokes, grid: Grid) -> Self {
        let grids = Nested::new(pde, grid);
        let interval = pde.time / pde.intervals.max(1) as f64;
        let march = Etdrk4::new(&grids.full.decay, LEAD.step(interval));
        let steps = [&grids.full, &grids.needed]
            .map(|flow| Hermite::new(&flow.decay, LEAD.rest(interval), flow.kept.clone()));
        Self { workspace: Workspace { grids, march, steps }, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Workspace>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collocation for Snapshots {
    fn march(&self, sample: &mut Fields, sweeps: usize) {
        if sweeps == 0 {
            return;
        }

        let idle = self.idle().pop();
        let mut workspace = idle.unwrap_or_else(|| self.workspace.clone());
        let Workspace { grids: Nested { full, needed, shared }, march, steps: [step, corrections] } =
            &mut workspace;
        let smaller = needed.grid != full.grid;

        let mut last = full.modes_of(sample.channel(0));
        for snapshot in 1..sample.channels {
            let mut next = full.modes_of(sample.channel(snapshot));
            // The lead is marched; the rest of the interval is collocated from there.
            for _ in 0..LEAD.steps {
                march.step(&mut last, |w, rate| full.rate(w, rate));
            }

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

        self.idle().push(workspace);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::f64::consts::PI;

    use super::super::flow::Flow;
    use super::*;
    use crate::testing::{distance, eddies, field, on_grid};
    use crate::{Pde, generate};

    #[test]
    fn marching_leads_from_wrong_snapshots_to_the_solver_s_at_order_four() {
        let far = |intervals: usize| {
            let pde = NavierStokes { nu: 5e-3, intervals, ..Default::default() };
            let exact =
                pde.solve(Grid::square(32), &field(32, &on_grid(32, eddies))).unwrap().fields;
            let mut sample = exact.clone();
            sample.data[32 * 32..].iter_mut().for_each(|w| *w *= 1.1);
            Snapshots::new(&pde, Grid::square(32)).march(&mut sample, 30);
            assert_eq!(sample.channel(0), exact.channel(0));
            distance(sample.channel(intervals), exact.channel(intervals))
        };
        let [coarse, fine] = [4, 8].map(far);
        let order = (coarse / fine).log2();
        assert!((3.5..4.6).contains(&order), "order {order}: {coarse} {fine}");
    }

    /// The correction helps however near a sample is: it adds no error of the coarse grid.
    #[test]
    fn one_sweep_and_its_correction_lead_most_of_the_way() {
        let pde = NavierStokes::default();
        let snapshots = Snapshots::new(&pde, Grid::square(64));
        assert!(snapshots.workspace.grids.needed.grid.nx < 48);
        let mut exact = generate(&pde, Grid::square(64), 5, 0..1).unwrap().remove(0);
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

    /// Power of the last snapshots in each ring of wave numbers, |k| rounded, up to the ring
    /// `last`.
    fn power(pde: &NavierStokes, samples: &[Fields], last: usize) -> Vec<f64> {
        let flow = Flow::new(Grid::square(samples[0].width), pde.nu, 0.0);
        let ring = |decay: &f64| ((decay / pde.nu).sqrt() / (2.0 * PI)).round() as usize;
        let mut power = vec![0.0; last + 1];
        for sample in samples {
            let modes = flow.modes_of(sample.channel(sample.channels - 1));
            for (mode, decay) in modes.iter().zip(&flow.decay) {
                power.get_mut(ring(decay)).into_iter().for_each(|p| *p += mode.norm_sqr());
            }
        }
        power
    }

    /// The changes that marching makes to the solver's own snapshots: the error of the last one,
    /// and the relative error of its power in each ring of wave numbers from 1 to 16.
    fn moved(pde: &NavierStokes, exact: &[Fields], snapshots: &Snapshots) -> (f64, Vec<f64>) {
        let mut samples = exact.to_vec();
        samples.iter_mut().for_each(|sample| snapshots.march(sample, 8));
        let [own, other] = [exact, &samples].map(|samples| power(pde, samples, 16));
        let errors = own.iter().zip(&other).skip(1).map(|(a, b)| b / a - 1.0).collect();
        let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
        let far = |(a, b): (&Fields, &Fields)| {
            let [a, b] = [a, b].map(|fields| fields.channel(fields.channels - 1));
            norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut a.iter().copied())
        };
        (exact.iter().zip(&samples).map(far).sum::<f64>() / exact.len() as f64, errors)
    }

    /// The spectrum is kept even in modes of a hundred-thousandth of the largest ones and less.
    #[test]
    fn marching_keeps_the_solver_s_spectrum() {
        let pde = NavierStokes::default();
        for size in [64, 128] {
            let exact = generate(&pde, Grid::square(size), 5, 0..24).unwrap();
            let (error, power) = moved(&pde, &exact, &Snapshots::new(&pde, Grid::square(size)));
            assert!(error < 3e-5, "{size}: {error}");
            assert!(power.iter().all(|p| p.abs() < 0.12), "{size}: {power:.3?}");
        }
    }
}
