//! Darcy flow -div(a grad u) = f on a rectangle, u = 0 on the boundary.
//!
//! Along a side of length l, n points lie at `(j + b) h` with h = l/(n - 1 + 2 b). They are cell
//! centres for b = 1/2, and the inner nodes of a grid of nodes for b = 1.
//!
//! The discretisation is by finite volumes (Patankar, "Numerical Heat Transfer and Fluid Flow",
//! 1980, section 4.2). The flux through a face between two cells carries the harmonic mean of their
//! coefficients. The flux through a boundary face carries the cell's own coefficient over the
//! distance b h. Harmonic means keep the flux continuous where the coefficient jumps. The equations
//! are solved by a sparse Cholesky factorisation and one step of iterative refinement.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::linalg::cholesky::{LltRef, SymbolicCholesky, factorize_symbolic_cholesky};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMat};
use faer::{Conj, MatMut, Par, Side};
use rayon::prelude::*;

use crate::input::{self, inset};
use crate::random_field::FieldLaw;
use crate::symmetry::Symmetry;
use crate::{
    Basis, Channel, Differentiable, Error, Fields, GaussianField, Grid, InputLaw, Linearisable,
    Linearised, Param, Pde, Result, Solution, SolveReport,
};

mod two_grids;

const NAME: &str = "darcy";
const SMALLEST: usize = 2;

/// The largest backward error that a solution may have.
const TOLERANCE: f64 = 1e-12;

/// Darcy flow with a two-valued coefficient. It is `high` where a Neumann field of law `input` is
/// at least 0, and `low` elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Darcy {
    /// The coefficient where the random field is negative, above 0.
    pub low: f64,
    /// The coefficient where the random field is at least 0, above 0.
    pub high: f64,
    /// The constant source f, not 0.
    pub source: f64,
    /// The distance b of the outermost points from the boundary, in grid spacings: 0.5 for cell
    /// centres, 1 for inner nodes.
    pub boundary: f64,
    /// The law of the random field.
    pub input: FieldLaw,
}

const BOUNDARY: &str = "distance of the outermost points from the boundary in grid spacings: \
                        0.5 (cell centres) or 1 (inner nodes)";

/// The value of `boundary` for cell centres.
const CELLS: f64 = 0.5;

/// The value of `boundary` for inner nodes.
const NODES: f64 = 1.0;

impl Default for Darcy {
    fn default() -> Self {
        let input = FieldLaw { alpha: 2.0, tau: 3.0 };
        Self { low: 3.0, high: 12.0, source: 1.0, boundary: CELLS, input }
    }
}

impl Darcy {
    /// Returns the basis of the pressure along either axis: the eigenvectors of the Laplacian whose
    /// points have this distance from the boundary.
    pub fn solution_basis(&self) -> Basis {
        if self.boundary == NODES { Basis::SineInner } else { Basis::SineCells }
    }
}

impl Pde for Darcy {
    fn name(&self) -> &str {
        NAME
    }

    fn equation(&self) -> &str {
        "-div(a grad u) = f on a rectangle, u = 0 on the boundary"
    }

    fn channels(&self) -> Vec<Channel> {
        vec![
            Channel::new("a", "permeability", [Basis::Cosine; 2]).dimensionless(),
            Channel::new("u", "pressure", [self.solution_basis(); 2]).dimensionless(),
        ]
    }

    fn params(&self) -> Vec<Param> {
        let mut params = vec![
            Param::new("low", self.low, "the lower coefficient of the random input, above 0"),
            Param::new("high", self.high, "the higher coefficient of the random input, above 0"),
            Param::new("source", self.source, "the constant source f, not 0"),
            Param::new("boundary", self.boundary, BOUNDARY),
        ];
        params.extend(self.input.params());
        params
    }

    fn set_param(&mut self, name: &str, value: f64) -> Result<()> {
        let (slot, name, valid, expected) = match name {
            "low" => (&mut self.low, "low", value > 0.0, "finite and above 0"),
            "high" => (&mut self.high, "high", value > 0.0, "finite and above 0"),
            "source" => (&mut self.source, "source", value != 0.0, "finite and not 0"),
            "boundary" => {
                let expected = "0.5 (cell centres) or 1 (inner nodes)";
                (&mut self.boundary, "boundary", value == CELLS || value == NODES, expected)
            }
            _ => return self.input.set(NAME, name, value, "low, high, source, boundary, "),
        };

        if !(valid && value.is_finite()) {
            let (pde, name) = (NAME.into(), name.into());
            return Err(Error::OutOfRange { pde, name, value, expected: expected.into() });
        }
        *slot = value;
        Ok(())
    }

    fn input_law(&self) -> InputLaw {
        InputLaw::TwoValued {
            field: GaussianField::Neumann(self.input),
            negative: self.low,
            positive: self.high,
        }
    }

    fn smallest_grid(&self) -> usize {
        SMALLEST
    }

    fn solve_bytes(&self, grid: Grid) -> f64 {
        // Measured: 500 a point at 64 points a side, 700 at 1024.
        900.0 * grid.points() as f64
    }

    fn solve(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        let source = vec![self.source; input.height * input.width];
        let (u, report) = solve_with_source(grid, input, &source, self.boundary)?;
        let fields = Fields::stack(input.height, input.width, &[input.channel(0), &u]);
        Ok(Solution { fields, report })
    }

    fn solve_checked(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        let mut solution = self.solve(grid, input)?;
        let doubt = self.second_look(grid, input, solution.fields.channel(1))?;
        solution.report.warnings.extend(doubt);
        Ok(solution)
    }

    fn symmetries(&self, grid: Grid) -> Vec<Symmetry> {
        Symmetry::of_rectangle(grid)
    }

    fn differentiable(&self) -> Option<&dyn Differentiable> {
        Some(self)
    }

    fn linearisable(&self) -> Option<&dyn Linearisable> {
        Some(self)
    }

    fn points(&self, grid: Grid) -> [Vec<f64>; 2] {
        [inset(grid.ny, grid.ly, self.boundary), inset(grid.nx, grid.lx, self.boundary)]
    }
}

/// Width of a smoothed step of the coefficient for [`Differentiable`], in units of the random field
/// behind it. The field's standard deviation is about 0.3.
const STEP: f64 = 0.05;

impl Darcy {
    /// Returns the smoothed coefficient at a value of the random field, and its derivative in that
    /// value.
    fn smoothed(&self, field: f64) -> [f64; 2] {
        let (tanh, rise) = ((field / STEP).tanh(), 0.5 * (self.high - self.low));
        [self.low + rise * (1.0 + tanh), rise * (1.0 - tanh * tanh) / STEP]
    }
}

/// The jump of the coefficient, where the field changes its sign, is smoothed over a sixth of the
/// field's standard deviation.
impl Differentiable for Darcy {
    fn unknowns(&self, grid: Grid) -> usize {
        grid.points()
    }

    fn sample(&self, grid: Grid, white: &[f64]) -> Result<Fields> {
        let field = self.input.neumann_modes(grid).field(white);
        let a: Vec<f64> = field.iter().map(|&g| self.smoothed(g)[0]).collect();
        Ok(self.solve(grid, &Fields::stack(grid.ny, grid.nx, &[&a]))?.fields)
    }

    fn gradient(
        &self,
        grid: Grid,
        white: &[f64],
        sample: &Fields,
        pull: &[f64],
    ) -> Result<Vec<f64>> {
        let (a, u) = (sample.channel(0), sample.channel(1));
        let cells = Cells { grid, a, boundary: self.boundary };
        let (of_a, of_u) = pull.split_at(a.len());

        // A is symmetric: the adjoint equation is solved by the same factor.
        let mut adjoint = of_u.to_vec();
        Factor::new(&cells)?.solve_in_place(&mut adjoint)?;

        let modes = self.input.neumann_modes(grid);
        let field = modes.field(white);
        // d(pull)/da_i = of_a_i - adjoint^T (dA / da_i) u, then the chain rule through the smoothed
        // step.
        let in_field = (0..a.len()).map(|i| {
            (of_a[i] - cells.influence(i, u).along(i, &adjoint)) * self.smoothed(field[i])[1]
        });

        Ok(modes.pull_back(&in_field.collect::<Vec<f64>>()))
    }
}

/// Factor by which an admissible coefficient may lie outside of its two values. A linear step that
/// is in doubt between them leads slightly outside; a coefficient far outside is meaningless.
const BEYOND: f64 = 1.5;

impl Linearisable for Darcy {
    fn linearised(&self, grid: Grid, input: &Fields) -> Result<Box<dyn Linearised>> {
        let source = vec![self.source; input.height * input.width];
        let Solved { u, factor, .. } = Solved::new(grid, input, &source, self.boundary)?;
        let cells = Cells { grid, a: input.channel(0), boundary: self.boundary };
        let influence = (0..u.len()).map(|i| cells.influence(i, &u)).collect();
        Ok(Box::new(Near { pde: self.clone(), grid, influence, factor }))
    }

    fn admit(&self, input: &mut Fields) {
        let [low, high] = [self.low.min(self.high) / BEYOND, self.low.max(self.high) * BEYOND];
        input.data.iter_mut().for_each(|a| *a = a.clamp(low, high));
    }
}

/// The linearised equation A du = -(dA / da da) u at one coefficient a and its solution u.
struct Near {
    pde: Darcy,
    grid: Grid,
    /// The influence of every cell's coefficient on the fluxes.
    influence: Vec<Influence>,
    factor: Factor,
}

/// Number of right-hand sides that are solved for at a time, as one thread's task.
const BLOCK: usize = 16;

impl Linearised for Near {
    fn slopes(&self, functionals: &[Vec<(usize, f64)>]) -> Result<Vec<f64>> {
        let cells = self.influence.len();
        if let Some((point, _)) = functionals.iter().flatten().find(|term| term.0 >= cells) {
            let reason = format!("point {point} of a solution of {cells} values");
            return Err(Error::BadInput { pde: NAME.into(), reason });
        }

        let mut slopes = vec![0.0; functionals.len() * cells];
        let blocks = slopes.par_chunks_mut(BLOCK * cells).zip(functionals.par_chunks(BLOCK));
        blocks.try_for_each(|(slopes, functionals)| {
            let mut adjoint = vec![0.0; slopes.len()];
            for (right, terms) in adjoint.chunks_exact_mut(cells).zip(functionals) {
                terms.iter().for_each(|&(point, weight)| right[point] += weight);
            }

            // A is symmetric: the adjoint equation is solved by the same factor.
            self.factor.solve_in_place(&mut adjoint)?;

            for (slopes, v) in slopes.chunks_exact_mut(cells).zip(adjoint.chunks_exact(cells)) {
                let along = self.influence.iter().enumerate().map(|(i, own)| -own.along(i, v));
                slopes.iter_mut().zip(along).for_each(|(slope, along)| *slope = along);
            }
            Ok(())
        })?;
        Ok(slopes)
    }

    fn solution(&self, input: &Fields) -> Result<Vec<f64>> {
        Ok(self.pde.solve(self.grid, input)?.fields.channel(1).to_vec())
    }

    fn change(&self, change: &[f64]) -> Result<Vec<f64>> {
        let cells = self.influence.len();
        if change.len() != cells {
            let reason = format!("a change of {} values, expected {cells}", change.len());
            return Err(Error::BadInput { pde: NAME.into(), reason });
        }

        let mut moved = vec![0.0; cells];
        for (i, (Influence(faces), change)) in self.influence.iter().zip(change).enumerate() {
            for &(neighbour, by) in faces {
                moved[i] -= by * change;
                if let Some(j) = neighbour {
                    moved[j] += by * change;
                }
            }
        }

        self.factor.solve_in_place(&mut moved)?;
        Ok(moved)
    }
}

/// Solves -div(a grad u) = source for a coefficient a of shape `[1, ny, nx]` and any source of
/// `ny * nx` values. The outermost points lie `boundary` grid spacings from the walls (0.5 or
/// 1, see [`Darcy::boundary`]).
///
/// The reported residual is the backward error |r| / | |A||u| + |b| |, with r = b - A u. This is
/// what `f64` can promise. The ratio |r| / |b| is limited by the rounding of u alone, to about
/// 1e-16 max(a) |u| / h^2.
///
/// # Errors
/// Fails on a coefficient that is not on the grid, finite and positive, and on a source of another
/// size or with a non-finite value. Fails on any other distance from the walls, and on a backward
/// error above 1e-12.
pub fn solve_with_source(
    grid: Grid,
    coefficient: &Fields,
    source: &[f64],
    boundary: f64,
) -> Result<(Vec<f64>, SolveReport)> {
    let Solved { u, report, .. } = Solved::new(grid, coefficient, source, boundary)?;
    Ok((u, report))
}

/// A solution with the Cholesky factor that it came from.
struct Solved {
    u: Vec<f64>,
    factor: Factor,
    report: SolveReport,
}

impl Solved {
    /// Solves as [`solve_with_source`] does.
    fn new(grid: Grid, coefficient: &Fields, source: &[f64], boundary: f64) -> Result<Self> {
        let mut pde = Darcy::default();
        pde.set_param("boundary", boundary)?;
        input::check(&pde, grid, coefficient)?;
        let cells = Cells { grid, a: coefficient.channel(0), boundary };
        cells.check(source)?;

        let [hy, hx] = spacing(grid, boundary);
        let rhs: Vec<f64> = source.iter().map(|f| f * (hy * hx)).collect();

        let factor = Factor::new(&cells)?;
        let mut u = rhs.clone();
        factor.solve_in_place(&mut u)?;

        // One step of iterative refinement.
        let (mut correction, _) = cells.defect(&u, &rhs);
        factor.solve_in_place(&mut correction)?;
        u.iter_mut().zip(&correction).for_each(|(u, c)| *u += c);
        let (_, backward_error) = cells.defect(&u, &rhs);

        if backward_error <= TOLERANCE {
            let residual = Some(backward_error);
            let report = SolveReport { steps: 1, residual, ..SolveReport::default() };
            return Ok(Self { u, factor, report });
        }

        let reason = format!("backward error {backward_error:e} above {TOLERANCE:e}");
        Err(Error::NotConverged { pde: NAME.into(), reason })
    }
}

/// Returns the spacings of a grid along y and along x, its outermost points `boundary` spacings
/// from the walls.
pub fn spacing(grid: Grid, boundary: f64) -> [f64; 2] {
    let along = |points: usize, side: f64| side / (points as f64 - 1.0 + 2.0 * boundary);
    [along(grid.ny, grid.ly), along(grid.nx, grid.lx)]
}

/// The four neighbours of a cell, `None` beyond the boundary. The number beside each is the
/// derivative of the flux to it with respect to the cell's coefficient.
struct Influence([(Option<usize>, f64); 4]);

impl Influence {
    /// Returns v^T (dA / da_i) u for cell `i`, with the u of this influence.
    fn along(&self, i: usize, v: &[f64]) -> f64 {
        let at = |j: Option<usize>| j.map_or(0.0, |j| v[j]);
        self.0.iter().map(|&(j, by)| by * (v[i] - at(j))).sum()
    }
}

/// A coefficient on its grid.
struct Cells<'a> {
    grid: Grid,
    a: &'a [f64],
    boundary: f64,
}

impl Cells<'_> {
    /// Refuses a coefficient that is not positive, and a source of another size or with a
    /// non-finite value.
    fn check(&self, source: &[f64]) -> Result<()> {
        let bad = |reason| Err(Error::BadInput { pde: NAME.into(), reason });
        let Self { grid, a, .. } = self;

        if let Some(i) = a.iter().position(|v| *v <= 0.0) {
            let (y, x) = (i / grid.nx, i % grid.nx);
            return bad(format!("coefficient {} at row {y}, column {x}, expected above 0", a[i]));
        }

        if source.len() != a.len() || source.iter().any(|f| !f.is_finite()) {
            return bad(format!("expected a source of {} finite values", a.len()));
        }

        Ok(())
    }

    /// The lengths of a cell's four faces over the distances of the points on either side, in the
    /// order of [`Cells::faces`].
    fn widths(&self) -> [f64; 4] {
        let [hy, hx] = spacing(self.grid, self.boundary);
        [hx / hy, hx / hy, hy / hx, hy / hx]
    }

    /// Returns the neighbours of cell `i` and the coefficients of its four faces, times their
    /// widths. There is no neighbour beyond the boundary, where u = 0.
    fn faces(&self, i: usize) -> [(Option<usize>, f64); 4] {
        let Self { grid: Grid { ny, nx, .. }, a, boundary } = *self;
        let (y, x) = (i / nx, i % nx);
        let [above, below, left, right] = self.widths();

        let face = |inside: bool, j: usize, width: f64| {
            if inside {
                (Some(j), 2.0 * a[i] * (a[j] / (a[i] + a[j])) * width)
            } else {
                (None, a[i] / boundary * width)
            }
        };

        [
            face(y > 0, i.wrapping_sub(nx), above),
            face(y + 1 < ny, i + nx, below),
            face(x > 0, i.wrapping_sub(1), left),
            face(x + 1 < nx, i + 1, right),
        ]
    }

    /// Returns the influence of a_i on the fluxes of `u`.
    fn influence(&self, i: usize, u: &[f64]) -> Influence {
        let widths = self.widths();
        let mut faces = self.faces(i);
        for ((neighbour, by), width) in faces.iter_mut().zip(widths) {
            let alone = match *neighbour {
                Some(j) => {
                    let [own, other] = [self.a[i], self.a[j]];
                    2.0 * (other / (own + other)).powi(2) * (u[i] - u[j])
                }
                None => u[i] / self.boundary,
            };
            *by = alone * width;
        }
        Influence(faces)
    }

    /// Returns the defect b - A u, and its norm relative to | |A||u| + |b| |.
    fn defect(&self, u: &[f64], rhs: &[f64]) -> (Vec<f64>, f64) {
        let [mut defect_square, mut terms_square] = [0.0, 0.0];

        let defect = (0..u.len())
            .map(|i| {
                let [mut flux, mut terms] = [0.0, rhs[i].abs()];
                for (j, c) in self.faces(i) {
                    let neighbour = j.map_or(0.0, |j| u[j]);
                    flux += c * (u[i] - neighbour);
                    terms += c * (u[i].abs() + neighbour.abs());
                }
                let value = rhs[i] - flux;
                defect_square += value * value;
                terms_square += terms * terms;
                value
            })
            .collect();

        let relative = if terms_square > 0.0 { (defect_square / terms_square).sqrt() } else { 0.0 };
        (defect, relative)
    }

    /// Returns the entries of the flux operator A, in the order of [`Pattern`].
    fn lower_triangle(&self) -> Vec<f64> {
        let mut entries = Vec::with_capacity(3 * self.a.len());
        for i in 0..self.a.len() {
            let faces = self.faces(i);
            entries.push(faces.iter().map(|(_, c)| c).sum());
            // The right and the lower neighbour come after the cell: their entries are below the
            // diagonal.
            let after = [faces[3], faces[1]];
            entries.extend(after.iter().filter(|(j, _)| j.is_some()).map(|(_, c)| -c));
        }
        entries
    }
}

/// The sparsity pattern of a grid's flux operator, on and below the diagonal, and the symbolic
/// Cholesky factor that follows from it.
struct Pattern {
    entries: SymbolicSparseColMat<usize>,
    factor: SymbolicCholesky<usize>,
}

impl Pattern {
    /// Returns the pattern for so many points along y and along x. Its computation takes as long as
    /// a factorisation, so that it is cached.
    fn of(shape: [usize; 2]) -> Result<Arc<Self>> {
        static KNOWN: Mutex<BTreeMap<[usize; 2], Arc<Pattern>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = known.get(&shape) {
            return Ok(pattern.clone());
        }
        let pattern = Arc::new(Self::new(shape)?);
        known.insert(shape, pattern.clone());
        Ok(pattern)
    }

    fn new([ny, nx]: [usize; 2]) -> Result<Self> {
        let cells = ny * nx;
        let (mut starts, mut rows) = (vec![0], Vec::with_capacity(3 * cells));

        for i in 0..cells {
            rows.push(i);
            rows.extend(((i + 1) % nx != 0).then_some(i + 1));
            rows.extend((i + nx < cells).then_some(i + nx));
            starts.push(rows.len());
        }

        let entries = SymbolicSparseColMat::new_checked(cells, cells, starts, None, rows);
        let (ordering, params) = (Default::default(), Default::default());
        let factor = factorize_symbolic_cholesky(entries.as_ref(), Side::Lower, ordering, params)
            .map_err(failed)?;
        Ok(Self { entries, factor })
    }
}

/// The Cholesky factor of the flux operator.
struct Factor {
    pattern: Arc<Pattern>,
    values: Vec<f64>,
}

// A sample is solved on one thread. A factorisation on several threads would sum in an order that
// depends on their number.
const SEQUENTIAL: Par = Par::Seq;

impl Factor {
    fn new(cells: &Cells) -> Result<Self> {
        let pattern = Pattern::of(cells.grid.shape())?;
        let (entries, symbolic) = (cells.lower_triangle(), &pattern.factor);
        let mut values = vec![0.0; symbolic.len_val()];

        let scratch = symbolic.factorize_numeric_llt_scratch::<f64>(SEQUENTIAL, Default::default());
        let mut memory = MemBuffer::try_new(scratch).map_err(failed)?;

        symbolic
            .factorize_numeric_llt(
                &mut values,
                SparseColMatRef::new(pattern.entries.as_ref(), &entries),
                Side::Lower,
                Default::default(),
                SEQUENTIAL,
                MemStack::new(&mut memory),
                Default::default(),
            )
            .map_err(failed)?;

        Ok(Self { pattern, values })
    }

    /// Solves in place for any number of right-hand sides, one after the other.
    fn solve_in_place(&self, rhs: &mut [f64]) -> Result<()> {
        let symbolic = &self.pattern.factor;
        let rows = symbolic.nrows();
        let columns = rhs.len() / rows;
        let scratch = symbolic.solve_in_place_scratch::<f64>(columns, SEQUENTIAL);
        let mut memory = MemBuffer::try_new(scratch).map_err(failed)?;
        LltRef::new(symbolic, &self.values).solve_in_place_with_conj(
            Conj::No,
            MatMut::from_column_major_slice_mut(rhs, rows, columns),
            SEQUENTIAL,
            MemStack::new(&mut memory),
        );
        Ok(())
    }
}

fn failed(error: impl std::fmt::Debug) -> Error {
    Error::NotConverged { pde: NAME.into(), reason: format!("Cholesky factorisation: {error:?}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{generate, rng};
    use std::f64::consts::PI;

    fn rms_difference(u: &[f64], v: &[f64]) -> f64 {
        let sum: f64 = u.iter().zip(v).map(|(a, b)| (a - b).powi(2)).sum();
        (sum / u.len() as f64).sqrt()
    }

    #[test]
    fn on_inner_nodes_a_constant_coefficient_gives_poisson_s_solution() {
        let inner = 7;
        let source = rng::normals(&mut rng::stream(4, "source", 0, 0), inner * inner);
        let a = Fields::stack(inner, inner, &[&vec![2.0; inner * inner]]);
        let u = solve_with_source(Grid::square(inner), &a, &source, NODES).unwrap().0;
        let nodes = inner + 2;
        let at = |i: usize| (i / inner + 1) * nodes + i % inner + 1;
        let mut padded = vec![0.0; nodes * nodes];
        source.iter().enumerate().for_each(|(i, f)| padded[at(i)] = -f / 2.0);
        let poisson = crate::poisson::solve_nodes(Grid::square(nodes), &padded, 0.0);
        let expected: Vec<f64> = (0..inner * inner).map(|i| poisson[at(i)]).collect();
        assert!(rms_difference(&u, &expected) < 1e-14);
    }

    #[test]
    fn the_flux_balance_of_every_cell_holds() {
        let size = 24;
        let sample = &generate(&Darcy::default(), Grid::square(size), 3, 0..1).unwrap()[0];
        let [a, u] = [sample.channel(0), sample.channel(1)];
        let at = |f: &[f64], y: i64, x: i64| {
            let inside = |v: i64| (0..size as i64).contains(&v);
            (inside(y) && inside(x)).then(|| f[y as usize * size + x as usize])
        };

        let h = 1.0 / size as f64;
        for (y, x) in (0..size as i64).flat_map(|y| (0..size as i64).map(move |x| (y, x))) {
            let [a0, u0] = [at(a, y, x).unwrap(), at(u, y, x).unwrap()];
            let outflow: f64 = [(1, 0), (-1, 0), (0, 1), (0, -1)]
                .map(|(dy, dx)| match (at(a, y + dy, x + dx), at(u, y + dy, x + dx)) {
                    (Some(a1), Some(u1)) => (u0 - u1) * 2.0 / (1.0 / a0 + 1.0 / a1),
                    _ => (u0 - 0.0) / (0.5 * h) * a0 * h,
                })
                .iter()
                .sum();
            assert!((outflow / (h * h) - 1.0).abs() < 1e-11, "{y} {x}: {outflow}");
        }
    }

    #[test]
    fn high_contrast_reaches_the_tolerance() {
        let size = 256;
        let law = FieldLaw { alpha: 2.0, tau: 3.0 };
        let pde = Darcy { low: 1e-2, high: 1e2, input: law, ..Darcy::default() };
        let input =
            pde.random_input(Grid::square(size), &mut rng::stream(1, "contrast", 0, 0)).unwrap();
        let solution = pde.solve(Grid::square(size), &input).unwrap();
        assert!(solution.report.residual.unwrap() < 1e-15);
        assert!(solution.fields.channel(1).iter().all(|u| *u > 0.0));
    }

    #[test]
    fn a_transposed_coefficient_gives_the_transposed_pressure() {
        let size = 12;
        let transpose = |f: &[f64]| -> Vec<f64> {
            (0..size * size).map(|i| f[(i % size) * size + i / size]).collect()
        };
        let pde = Darcy::default();
        let a = pde.random_input(Grid::square(size), &mut rng::stream(5, "a", 0, 0)).unwrap();
        let flipped = Fields::stack(size, size, &[&transpose(a.channel(0))]);
        let u = transpose(pde.solve(Grid::square(size), &a).unwrap().fields.channel(1));
        let v = pde.solve(Grid::square(size), &flipped).unwrap().fields;
        assert!(rms_difference(&u, v.channel(1)) < 1e-14);
    }

    #[test]
    fn bad_coefficients_are_refused() {
        let pde = Darcy::default();
        let reason = |input: &Fields| pde.solve(Grid::square(4), input).unwrap_err().to_string();

        let mut a = Fields::stack(4, 4, &[&[1.0; 16]]);
        a.data[6] = 0.0;
        assert!(reason(&a).contains("row 1, column 2"));
        a.data[6] = f64::INFINITY;
        assert!(reason(&a).contains("row 1, column 2"));
        assert!(reason(&Fields::zeros(1, 4, 5)).contains("[1, 4, 5]"));

        let a = Fields::stack(4, 4, &[&[1.0; 16]]);
        assert!(solve_with_source(Grid::square(4), &a, &[1.0; 15], CELLS).is_err());
        let far = solve_with_source(Grid::square(4), &a, &[1.0; 16], 0.7);
        assert!(far.unwrap_err().to_string().contains("0.7"));

        let mut pde = Darcy::default();
        assert!(pde.set_param("low", 0.0).is_err());
        assert!(pde.set_param("source", 0.0).is_err());
        assert!(pde.set_param("high", f64::NAN).is_err());
        assert!(pde.set_param("boundary", 0.0).is_err());
    }

    /// Coefficients far from the law, with the largest pressure that finite volumes with harmonic
    /// faces have (computed with another program).
    #[test]
    fn any_coefficient_has_the_pressure_of_finite_volumes_and_loses_no_flow() {
        const N: usize = 32;
        let centre = |i: usize| (i as f64 + 0.5) / N as f64;
        let smooth = |y: usize, x: usize| (centre(x) + 2.0 * (2.0 * PI * centre(y)).sin()).exp();
        let channel = |y: usize, _: usize| if (10..13).contains(&y) { 1e8 } else { 1.0 };
        let checker = |y: usize, x: usize| if (y / 8 + x / 8) % 2 == 1 { 1e6 } else { 1.0 };
        let field = |a: &dyn Fn(usize, usize) -> f64| (0..N * N).map(|i| a(i / N, i % N)).collect();
        let cases: [(&str, Vec<f64>, f64); 4] = [
            ("smooth", field(&smooth), 0.076_317_9),
            ("SI units", vec![1e-13; N * N], 7.361_47e11),
            ("channel", field(&channel), 0.037_707_8),
            ("checker", field(&checker), 0.011_417_8),
        ];

        for (name, a, largest) in cases {
            let solved = Darcy::default()
                .solve(Grid::square(N), &Fields::stack(N, N, &[&a]))
                .unwrap()
                .fields;
            let u = solved.channel(1);
            let most = u.iter().fold(0.0f64, |m, v| m.max(*v));
            assert!((most / largest - 1.0).abs() < 1e-5, "{name}: {most}");

            // Through a wall half a cell away flows a u / (h / 2) over a face of length h. The
            // source is 1.
            let walls = (0..N).flat_map(|i| [i, (N - 1) * N + i, i * N, i * N + N - 1]);
            let outflow: f64 = walls.map(|i| 2.0 * a[i] * u[i]).sum();
            assert!((outflow - 1.0).abs() < 1e-6, "{name}: {outflow}");
        }
    }
}
