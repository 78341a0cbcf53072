//! The trait of every PDE, and the drawing of its samples.

use std::any::Any;
use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::input::check_size;
use crate::symmetry::Symmetry;
use crate::{Differentiable, Fields, InputLaw, Layout, Linearisable, Result, Warning, rng};

/// The orthonormal basis that fits a field's boundary along one axis of `n` points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// Zero normal derivative, cell centres: type-II cosines.
    Cosine,
    /// Zero on the first and last node: type-I sines on the `n - 2` inner nodes.
    SineNodes,
    /// Cut to zero on the first and last node: type-II cosines on the `n - 2` inner nodes.
    CosineNodes,
    /// Zero half a cell outside the first and last cell centre: type-II sines.
    SineCells,
    /// Zero one spacing outside the first and last point: type-I sines on all `n` points.
    SineInner,
    /// Periodic: real Fourier modes.
    Fourier,
}

/// One field of the joint sample x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// The name used in files and on the command line, as in the literature (`a`, `u`, `w0`).
    pub name: &'static str,
    /// What it is, with its unit (all five benchmarks are dimensionless).
    pub meaning: &'static str,
    /// The basis along y and along x.
    pub basis: [Basis; 2],
}

/// A physical parameter and its present value.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// The name used on the command line and in configs.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// Meaning and valid range, in words.
    pub meaning: &'static str,
}

/// What a solver did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SolveReport {
    /// Linear iterations or time steps taken.
    pub steps: usize,
    /// The time step chosen, for evolution problems.
    pub time_step: Option<f64>,
    /// The solver's own relative residual, where it iterates.
    pub residual: Option<f64>,
    /// Points of the finer grid that the solution was found on, where that is not the input's own.
    pub inner_points: Option<usize>,
    /// Doubts about the solution, from [`Pde::solve_checked`].
    pub warnings: Vec<Warning>,
}

/// The joint fields of a solved problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// All channels of the PDE, input included.
    pub fields: Fields,
    /// What the solver did.
    pub report: SolveReport,
}

/// A partial differential equation with its random input and its reference solver.
pub trait Pde: Any + Send + Sync {
    /// The name used everywhere, for example `navier-stokes`.
    fn name(&self) -> &'static str;

    /// The equation, in one line of plain text.
    fn equation(&self) -> &'static str;

    /// The channels of the joint sample x, in order.
    fn channels(&self) -> Vec<Channel>;

    /// The physical parameters with their present values.
    fn params(&self) -> Vec<Param>;

    /// Sets a parameter.
    ///
    /// # Errors
    /// An unknown name, or a value outside the documented range.
    fn set_param(&mut self, name: &str, value: f64) -> Result<()>;

    /// The law of the input.
    fn input_law(&self) -> InputLaw;

    /// The parts of the joint sample x.
    fn layout(&self) -> Layout {
        Layout::first_channel(self.channels().len())
    }

    /// The fewest points a side of a grid.
    fn smallest_grid(&self) -> usize {
        3
    }

    /// Draws the random input on a grid of `size` points a side: `[1, size, size]`, or
    /// `[1, 1, size]` where the input is a line.
    ///
    /// # Errors
    /// A grid too small for the field, or a law that data alone give.
    fn random_input(&self, size: usize, rng: &mut ChaCha8Rng) -> Result<Fields> {
        check_size(self.name(), size, self.smallest_grid())?;
        self.input_law().draw(self.name(), size, rng)
    }

    /// Solves for the given input (any grid the shape of [`Pde::random_input`]'s).
    ///
    /// # Errors
    /// Wrong shape, non-finite or inadmissible values, a parameter the grid cannot carry, or no
    /// convergence.
    fn solve(&self, input: &Fields) -> Result<Solution>;

    /// Bytes that [`Pde::solve`] takes at most, about, on a grid of `size` points a side.
    fn solve_bytes(&self, size: usize) -> f64 {
        // Measured: Poisson, Helmholtz and Burgers 50 a point, Navier-Stokes 290.
        400.0 * (size as f64).powi(2)
    }

    /// Solves as [`Pde::solve`] does and asks whether the grid carries the answer.
    ///
    /// Where it does not, the solution comes from a finer grid, or the report has a warning. Data
    /// sets and everything measured against them use [`Pde::solve`], whose error is that of the
    /// grid.
    ///
    /// # Errors
    /// Fails as [`Pde::solve`] does.
    fn solve_checked(&self, input: &Fields) -> Result<Solution> {
        self.solve(input)
    }

    /// What the equation multiplies each sine mode of the input's inner nodes by to give the
    /// solution's (its symbol), in the layout of [`Basis::SineNodes`] along both axes, where it is
    /// diagonal in those; 0 for boundary nodes.
    fn symbol(&self, _size: usize) -> Option<Vec<f64>> {
        None
    }

    /// Some symmetries of law and equation on grids of `size` points a side, the identity not among
    /// them.
    fn symmetries(&self, _size: usize) -> Vec<Symmetry> {
        Vec::new()
    }

    /// The PDE as a smooth map of standard normal values, where its adjoint is known.
    fn differentiable(&self) -> Option<&dyn Differentiable> {
        None
    }

    /// The PDE with its solution's derivative in the input, where that is known and the equation is not
    /// linear.
    fn linearisable(&self) -> Option<&dyn Linearisable> {
        None
    }

    /// Coordinates of the grid points of a joint sample along y and along x, `size` each: in the
    /// unit interval, time over the final time.
    fn points(&self, size: usize) -> [Vec<f64>; 2];

    /// The input part of a joint sample: what [`Pde::solve`] takes.
    fn input_of(&self, sample: &Fields) -> Fields {
        self.layout().input.of(sample)
    }

    /// The solved part of a joint sample: what a solution error is measured on.
    fn solution_of(&self, sample: &Fields) -> Fields {
        self.layout().solution.of(sample)
    }
}

/// Draws and solves the samples `indices` of the data set that `seed` names, on all threads.
/// Sample i depends on (seed, i) alone.
///
/// # Errors
/// The first failure of [`Pde::random_input`] or [`Pde::solve`].
pub fn generate(pde: &dyn Pde, size: usize, seed: u64, indices: Range<u64>) -> Result<Vec<Fields>> {
    indices
        .into_par_iter()
        .map(|index| {
            let input = pde.random_input(size, &mut rng::stream(seed, "input", 0, index))?;
            Ok(pde.solve(&input)?.fields)
        })
        .collect()
}
