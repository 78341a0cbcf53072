//! The trait that every PDE implements, and the generation of its samples.

use std::any::Any;
use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::symmetry::Symmetry;
use crate::{
    Basis, Differentiable, Error, Fields, Grid, InputLaw, Layout, Linearisable, Param, Result,
    Warning, rng,
};

/// The unit of a quantity without one, by the conventions of NetCDF.
pub const DIMENSIONLESS: &str = "1";

/// One field of the joint sample x = (input, solution).
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// The name used in files and on the command line, as in the literature (`a`, `u`, `w0`).
    pub name: String,
    /// The quantity, in words.
    pub meaning: String,
    /// The unit, [`DIMENSIONLESS`] for a quantity without one, as all five benchmarks have; `None`
    /// if it is not known.
    pub unit: Option<String>,
    /// The basis along y and along x.
    pub basis: [Basis; 2],
}

impl Channel {
    /// Returns a channel with its name, its meaning and its basis along y and along x. Its unit is
    /// not known.
    pub fn new(name: &str, meaning: &str, basis: [Basis; 2]) -> Self {
        Self { name: name.into(), meaning: meaning.into(), unit: None, basis }
    }

    /// Returns the channel with a unit, such as `m/s`.
    pub fn in_unit(self, unit: &str) -> Self {
        Self { unit: Some(unit.into()), ..self }
    }

    /// Returns the channel as a quantity without a unit.
    pub fn dimensionless(self) -> Self {
        self.in_unit(DIMENSIONLESS)
    }

    /// The quantity, with its unit in brackets where it has one: `head (m)`.
    pub fn in_words(&self) -> String {
        match self.unit.as_deref() {
            None | Some(DIMENSIONLESS) => self.meaning.clone(),
            Some(unit) => format!("{} ({unit})", self.meaning),
        }
    }
}

/// The work that a solver did, and its doubts about the result.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SolveReport {
    /// Linear iterations or time steps taken.
    pub steps: usize,
    /// The time step chosen, for evolution problems.
    pub time_step: Option<f64>,
    /// The solver's own relative residual, if it iterates.
    pub residual: Option<f64>,
    /// Number of points of the inner grid, if the solution was found on a finer grid than the
    /// input's.
    pub inner_points: Option<usize>,
    /// Doubts about the solution, from [`Pde::solve_checked`].
    pub warnings: Vec<Warning>,
}

/// The joint fields of a solved problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// All channels of the PDE, input included.
    pub fields: Fields,
    /// The solver's report.
    pub report: SolveReport,
}

/// A partial differential equation with its random input and its reference solver.
pub trait Pde: Any + Send + Sync {
    /// The name used everywhere, for example `navier-stokes`.
    fn name(&self) -> &str;

    /// The equation, in one line of plain text.
    fn equation(&self) -> &str;

    /// The channels of the joint sample x, in order.
    fn channels(&self) -> Vec<Channel>;

    /// The physical parameters with their current values.
    fn params(&self) -> Vec<Param>;

    /// Sets a parameter to a value within its documented range.
    ///
    /// # Errors
    /// Fails on an unknown name, or a value outside the documented range.
    fn set_param(&mut self, name: &str, value: f64) -> Result<()>;

    /// The probability law of the random input.
    fn input_law(&self) -> InputLaw;

    /// The rows and channels of the joint sample x that are input and solution.
    fn layout(&self) -> Layout {
        Layout::first_channel(self.channels().len())
    }

    /// The smallest number of points of a grid along either axis.
    fn smallest_grid(&self) -> usize {
        3
    }

    /// Tells whether [`Pde::solve`] solves; without a solver samples come from data alone.
    fn has_solver(&self) -> bool {
        true
    }

    /// The lengths along y and along x that every grid has, where they are fixed.
    fn sides(&self) -> Option<[f64; 2]> {
        None
    }

    /// The coordinates along y and along x of the domain's corner where both are least.
    fn origin(&self) -> [f64; 2] {
        [0.0; 2]
    }

    /// Refuses a grid on which the equation cannot be posed. Where time runs along y, that side is
    /// a share of the final time and must be 1.
    ///
    /// # Errors
    /// Fails with [`Error::BadGrid`].
    fn check_grid(&self, grid: Grid) -> Result<()> {
        grid.check(self.smallest_grid())?;
        if self.layout().input.is_line() && grid.ly != 1.0 {
            let reason = "time along y is a share of the final time: side 1 expected there".into();
            return Err(Error::BadGrid { grid: grid.to_string(), reason });
        }
        Ok(())
    }

    /// Draws the random input on a grid. The shape is `[1, ny, nx]`, or `[1, 1, nx]` where the
    /// input is a line.
    ///
    /// # Errors
    /// Fails on a grid that [`Pde::check_grid`] refuses, or where the inputs are given by data
    /// alone.
    fn random_input(&self, grid: Grid, rng: &mut ChaCha8Rng) -> Result<Fields> {
        self.check_grid(grid)?;
        self.input_law().draw(self.name(), grid, rng)
    }

    /// Solves on `grid` for the given input, whose shape is that of [`Pde::random_input`].
    ///
    /// # Errors
    /// Fails on a grid that [`Pde::check_grid`] refuses, on a wrong shape, and on non-finite or
    /// inadmissible values. Fails on a parameter that the grid does not resolve, and if the solver
    /// does not converge.
    fn solve(&self, grid: Grid, input: &Fields) -> Result<Solution>;

    /// Returns an approximate upper bound of the bytes that [`Pde::solve`] allocates on a grid.
    fn solve_bytes(&self, grid: Grid) -> f64 {
        // More than every solver here but Darcy's, which says its own.
        400.0 * grid.points() as f64
    }

    /// Solves as [`Pde::solve`] does, and checks whether the grid resolves the solution.
    ///
    /// If it does not, the solution comes from a finer grid, or the report carries a warning. Data
    /// sets and everything measured against them use [`Pde::solve`], so that their error is that of
    /// the grid.
    ///
    /// # Errors
    /// Fails as [`Pde::solve`] does.
    fn solve_checked(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        self.solve(grid, input)
    }

    /// Returns the equation's symbol: the factor from each sine mode of the input's inner nodes to
    /// that mode of the solution. The layout is that of [`Basis::SineNodes`] along both axes, with
    /// 0 for boundary nodes. The result is `None` where the equation is not diagonal in these
    /// modes.
    fn symbol(&self, _grid: Grid) -> Option<Vec<f64>> {
        None
    }

    /// Returns some symmetries that law and equation share on a grid. The identity is not among
    /// them.
    fn symmetries(&self, _grid: Grid) -> Vec<Symmetry> {
        Vec::new()
    }

    /// Returns the PDE as a smooth map of standard normal values, if its adjoint is implemented.
    fn differentiable(&self) -> Option<&dyn Differentiable> {
        None
    }

    /// Returns the PDE with the derivative of its solution in the input. The result is `None` for a
    /// linear equation, or where the derivative is not implemented.
    fn linearisable(&self) -> Option<&dyn Linearisable> {
        None
    }

    /// The coordinates of a joint sample's grid points along y, in [0, ly], and along x, in
    /// [0, lx], both from [`Pde::origin`] on. Time is given as a share of the final time.
    fn points(&self, grid: Grid) -> [Vec<f64>; 2];

    /// Returns the input part of a joint sample, which is what [`Pde::solve`] takes.
    fn input_of(&self, sample: &Fields) -> Fields {
        self.layout().input.of(sample)
    }

    /// Returns the solution part of a joint sample, on which errors of solutions are measured.
    fn solution_of(&self, sample: &Fields) -> Fields {
        self.layout().solution.of(sample)
    }
}

/// Draws and solves the samples `indices` of the data set that `seed` names, on all threads. Sample
/// i depends on (seed, i) alone.
///
/// # Errors
/// Fails with an error of [`Pde::random_input`] or [`Pde::solve`] on one of the samples.
pub fn generate(pde: &dyn Pde, grid: Grid, seed: u64, indices: Range<u64>) -> Result<Vec<Fields>> {
    indices
        .into_par_iter()
        .map(|index| {
            let input = pde.random_input(grid, &mut rng::stream(seed, "input", 0, index))?;
            Ok(pde.solve(grid, &input)?.fields)
        })
        .collect()
}
