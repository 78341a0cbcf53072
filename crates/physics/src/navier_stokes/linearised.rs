//! The equation linearised at one flow: gradients by adjoint marches and changes by differences.
//! Both use the coarse grid and longer time steps.

use rayon::prelude::*;
use rustfft::num_complex::Complex;

use super::flow::Nested;
use super::{NAME, NavierStokes};
use crate::etdrk4::Etdrk4;
use crate::{Error, Fields, Grid, Linearisable, Linearised, Pde, Result};

/// Ratio of these time steps to the solver's.
const LONGER: f64 = 4.0;

impl Linearisable for NavierStokes {
    fn linearised(&self, grid: Grid, input: &Fields) -> Result<Box<dyn Linearised>> {
        let solved = self.solve(grid, input)?.fields;
        let (grids, solution) = (Nested::new(self, grid), solved.channel(1).to_vec());

        let [start, end] = [vec![], vec![]];
        let mut near = Near { grids, time: self.time, steps: 1, start, end, solution };
        near.start = near.modes_of(input.channel(0))?;

        let flow = &mut near.grids.needed;
        let longest = LONGER * flow.largest_step(&near.start, self.time);
        near.steps = (self.time / longest).ceil().max(1.0) as usize;
        near.end = near.start.clone();
        flow.advance(&mut near.end, self.time, near.steps);
        Ok(Box::new(near))
    }

    fn admit(&self, _input: &mut Fields) {}
}

/// The flow linearised at the initial vorticity `start`, on the coarse grid.
struct Near {
    grids: Nested,
    time: f64,
    steps: usize,
    /// Modes of the initial vorticity on the coarse grid.
    start: Vec<Complex<f64>>,
    /// Modes of the final vorticity on the coarse grid, in the longer steps.
    end: Vec<Complex<f64>>,
    /// The solver's final vorticity on the full grid.
    solution: Vec<f64>,
}

/// Number of gradients that are taken through the flow at a time, as one thread's task.
const BLOCK: usize = 16;

/// Size of the step of the central difference along a change, relative to the norm of the start.
const DIFFERENCE: f64 = 1e-3;

impl Near {
    /// Returns the change of the final modes if the start changes by `by` times `change`.
    fn moved(&self, change: &[Complex<f64>], by: f64) -> Vec<Complex<f64>> {
        let mut end: Vec<_> = self.start.iter().zip(change).map(|(s, c)| s + c * by).collect();
        self.grids.needed.clone().advance(&mut end, self.time, self.steps);
        end.iter().zip(&self.end).map(|(moved, end)| moved - end).collect()
    }

    /// Checks the number of values of a field and returns its modes on the coarse grid.
    fn modes_of(&self, values: &[f64]) -> Result<Vec<Complex<f64>>> {
        if values.len() != self.solution.len() {
            let expected = self.solution.len();
            let reason = format!("{} values of vorticity, expected {expected}", values.len());
            return Err(Error::BadInput { pde: NAME.into(), reason });
        }
        Ok(self.restricted(values))
    }

    fn restricted(&self, values: &[f64]) -> Vec<Complex<f64>> {
        self.grids.shared.restricted(&self.grids.full.modes_of(values))
    }
}

impl Linearised for Near {
    fn slopes(&self, functionals: &[Vec<(usize, f64)>]) -> Result<Vec<f64>> {
        let outside = |term: &&(usize, f64)| term.0 >= self.solution.len();
        if let Some((point, _)) = functionals.iter().flatten().find(outside) {
            let reason = format!("point {point} of a field of {} values", self.solution.len());
            return Err(Error::BadInput { pde: NAME.into(), reason });
        }

        let block = |functionals: &[Vec<(usize, f64)>]| {
            let mut flow = self.grids.needed.clone();
            let pull = |terms: &Vec<(usize, f64)>| {
                let mut values = vec![0.0; self.solution.len()];
                terms.iter().for_each(|&(point, weight)| values[point] += weight);
                self.restricted(&values)
            };

            let mut pulls: Vec<_> = functionals.iter().map(pull).collect();
            let mut method = Etdrk4::new(&flow.decay, self.time / self.steps as f64);
            method.pull_back(&mut flow, self.start.clone(), self.steps, &mut pulls);
            pulls.iter().flat_map(|pull| self.grids.values_of(pull)).collect::<Vec<_>>()
        };
        Ok(functionals.par_chunks(BLOCK).flat_map_iter(block).collect())
    }

    fn solution(&self, input: &Fields) -> Result<Vec<f64>> {
        let modes = self.modes_of(input.channel(0))?;
        let change: Vec<_> = modes.iter().zip(&self.start).map(|(m, s)| m - s).collect();
        let change = self.grids.values_of(&self.moved(&change, 1.0));
        Ok(self.solution.iter().zip(change).map(|(u, c)| u + c).collect())
    }

    fn change(&self, change: &[f64]) -> Result<Vec<f64>> {
        let change = self.modes_of(change)?;
        let norm = |modes: &[Complex<f64>]| modes.iter().map(|m| m.norm_sqr()).sum::<f64>().sqrt();
        let by = DIFFERENCE * norm(&self.start).max(1.0) / norm(&change).max(f64::MIN_POSITIVE);
        let [above, below] = [by, -by].map(|by| self.moved(&change, by));
        let slope: Vec<_> = above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * by)).collect();
        Ok(self.grids.values_of(&slope))
    }
}
