//! Steady reaction-diffusion on a rectangle: D lap u - u^3 + a = 0, with u = 0 on the boundary.
//!
//! A substance of concentration u is fed by the source a, spreads, and is consumed by a reaction of
//! third order.
//!
//! Along a side of length l, n points lie at `(j + 1) h` with h = l/(n + 1). The boundary lies one
//! spacing outside and is not stored. The Laplacian is the five-point one. Newton's method solves
//! the discrete equations. Each linear system is solved by conjugate gradients, since
//! D (-lap) + 3 u^2 is symmetric and positive definite.

use phys_instruct_physics::random_field::FieldLaw;
use phys_instruct_physics::{
    Basis, Channel, Error, Fields, GaussianField, Grid, InputLaw, Param, Pde, Result, Solution,
    SolveReport,
};

/// The name in configs and model files.
pub const NAME: &str = "reaction-diffusion";

/// Norm of the residual, relative to that of the source, at which Newton's method has converged.
const TOLERANCE: f64 = 1e-11;

/// Number of Newton steps after which the solver gives up. Benchmark samples take six or seven.
const MOST_STEPS: usize = 50;

/// The reaction-diffusion problem. Its source `a` is a Neumann field of law `source`, as Poisson's
/// is.
#[derive(Debug, Clone, PartialEq)]
pub struct ReactionDiffusion {
    /// The diffusion coefficient D, above 0.
    pub diffusion: f64,
    /// The law of the random source.
    pub source: FieldLaw,
}

impl Default for ReactionDiffusion {
    /// Chooses D so that the reaction takes about as much of the source as diffusion does.
    fn default() -> Self {
        Self { diffusion: 0.01, source: FieldLaw { alpha: 2.0, tau: 3.0 } }
    }
}

impl Pde for ReactionDiffusion {
    fn name(&self) -> &str {
        NAME
    }

    fn equation(&self) -> &str {
        "D lap u - u^3 + a = 0 on a rectangle, u = 0 on the boundary"
    }

    fn channels(&self) -> Vec<Channel> {
        vec![
            Channel::new("a", "source", [Basis::Cosine; 2]).dimensionless(),
            Channel::new("u", "concentration", [Basis::SineInner; 2]).dimensionless(),
        ]
    }

    fn params(&self) -> Vec<Param> {
        let meaning = "diffusion coefficient, above 0";
        let mut params = vec![Param::new("diffusion", self.diffusion, meaning)];
        params.extend(self.source.params());
        params
    }

    fn set_param(&mut self, name: &str, value: f64) -> Result<()> {
        if name != "diffusion" {
            return self.source.set(NAME, name, value, "diffusion, ");
        }
        if !(value.is_finite() && value > 0.0) {
            let [pde, name, expected] = [NAME, name, "finite and above 0"].map(String::from);
            return Err(Error::OutOfRange { pde, name, value, expected });
        }
        self.diffusion = value;
        Ok(())
    }

    fn input_law(&self) -> InputLaw {
        InputLaw::gaussian(GaussianField::Neumann(self.source))
    }

    fn smallest_grid(&self) -> usize {
        1
    }

    fn solve(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        self.check_grid(grid)?;
        check(grid, input)?;
        let a = input.channel(0);
        let small = TOLERANCE * dot(a, a).sqrt();
        let mut u = vec![0.0; grid.points()];

        for steps in 0..MOST_STEPS {
            let residual = self.residual(grid, a, &u);
            if dot(&residual, &residual).sqrt() <= small {
                let fields = Fields::stack(grid.ny, grid.nx, &[a, &u]);
                return Ok(Solution {
                    fields,
                    report: SolveReport { steps, ..Default::default() },
                });
            }
            let correction = self.newton_correction(grid, &u, &residual);
            u.iter_mut().zip(&correction).for_each(|(u, c)| *u += c);
        }
        let reason = format!("{MOST_STEPS} Newton steps were not enough");
        Err(Error::NotConverged { pde: NAME.into(), reason })
    }

    fn points(&self, grid: Grid) -> [Vec<f64>; 2] {
        let line =
            |n: usize, side: f64| (1..=n).map(|j| j as f64 * side / (n + 1) as f64).collect();
        [line(grid.ny, grid.ly), line(grid.nx, grid.lx)]
    }
}

impl ReactionDiffusion {
    /// Returns D lap u - u^3 + a.
    fn residual(&self, grid: Grid, a: &[f64], u: &[f64]) -> Vec<f64> {
        let spread = minus_laplacian(grid, u);
        (0..u.len()).map(|i| a[i] - self.diffusion * spread[i] - u[i].powi(3)).collect()
    }

    /// Returns the solution c of (D (-lap) + 3 u^2) c = residual.
    fn newton_correction(&self, grid: Grid, u: &[f64], residual: &[f64]) -> Vec<f64> {
        let apply = |v: &[f64]| -> Vec<f64> {
            let spread = minus_laplacian(grid, v);
            (0..v.len()).map(|i| self.diffusion * spread[i] + 3.0 * u[i] * u[i] * v[i]).collect()
        };
        conjugate_gradients(apply, residual)
    }
}

/// Returns -lap u by the five-point formula, with u = 0 one spacing outside the grid.
fn minus_laplacian(grid: Grid, u: &[f64]) -> Vec<f64> {
    let Grid { ny, nx, ly, lx } = grid;
    let [by_y, by_x] =
        [(ny + 1) as f64 / ly, (nx + 1) as f64 / lx].map(|inverse_h| inverse_h.powi(2));
    let at = |inside: bool, i: usize| if inside { u[i] } else { 0.0 };
    let value = |i: usize| {
        let [y, x] = [i / nx, i % nx];
        let vertical = at(y > 0, i.wrapping_sub(nx)) + at(y + 1 < ny, i + nx);
        let horizontal = at(x > 0, i.wrapping_sub(1)) + at(x + 1 < nx, i + 1);
        (2.0 * u[i] - vertical) * by_y + (2.0 * u[i] - horizontal) * by_x
    };
    (0..u.len()).map(value).collect()
}

/// Solves a symmetric positive definite system by conjugate gradients (Hestenes and Stiefel 1952),
/// as far as `f64` goes. Newton's method corrects the rest.
fn conjugate_gradients(apply: impl Fn(&[f64]) -> Vec<f64>, right: &[f64]) -> Vec<f64> {
    let (mut x, mut rest, mut direction) = (vec![0.0; right.len()], right.to_vec(), right.to_vec());
    let start = dot(right, right);
    let mut square = start;

    for _ in 0..right.len() {
        // The rounding of `f64` ends the progress at a relative residual of about 1e-10.
        if square <= 1e-20 * start {
            break;
        }

        let image = apply(&direction);
        let step = square / dot(&direction, &image);
        x.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
        rest.iter_mut().zip(&image).for_each(|(r, i)| *r -= step * i);

        let turn = dot(&rest, &rest) / square;
        square *= turn;
        direction.iter_mut().zip(&rest).for_each(|(d, r)| *d = r + turn * *d);
    }
    x
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Refuses anything but one finite field on the grid.
fn check(grid: Grid, input: &Fields) -> Result<()> {
    let Fields { channels, height, width, .. } = *input;
    let fits = [channels, height, width] == [1, grid.ny, grid.nx];
    if fits && input.data.len() == grid.points() && input.is_finite() {
        return Ok(());
    }
    let reason =
        format!("[{channels}, {height}, {width}]; finite [1, {}, {}] expected", grid.ny, grid.nx);
    Err(Error::BadInput { pde: NAME.into(), reason })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::f64::consts::PI;

    use super::*;
    use phys_instruct_physics::generate;

    fn on_points(size: usize, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let h = 1.0 / (size + 1) as f64;
        let at = |i: usize| f((i / size + 1) as f64 * h, (i % size + 1) as f64 * h);
        (0..size * size).map(at).collect()
    }

    /// Returns the largest error for u = sin(pi x) y (1-y) e^y, whose source is known in closed
    /// form.
    fn error(size: usize) -> f64 {
        let pde = ReactionDiffusion { diffusion: 0.05, ..Default::default() };
        let exact = |y: f64, x: f64| (PI * x).sin() * y * (1.0 - y) * y.exp();
        let source = |y: f64, x: f64| {
            let along_y = (PI * x).sin() * (-3.0 * y - y * y) * y.exp();
            let laplacian = along_y - PI * PI * exact(y, x);
            exact(y, x).powi(3) - pde.diffusion * laplacian
        };
        let input = Fields::stack(size, size, &[&on_points(size, source)]);
        let u = pde.solve(Grid::square(size), &input).unwrap().fields;
        let expected = on_points(size, exact);
        u.channel(1).iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn converges_at_second_order_to_the_exact_solution() {
        let order = (error(15) / error(63)).log2() / 2.0;
        assert!((order - 2.0).abs() < 0.1, "order {order}");
        assert!(error(63) < 2e-4, "{}", error(63));
    }

    #[test]
    fn diffusion_and_reaction_both_matter() {
        let pde = ReactionDiffusion::default();
        let rms = |f: Vec<f64>| (dot(&f, &f) / f.len() as f64).sqrt();
        let samples = generate(&pde, Grid::square(16), 1, 0..50).unwrap();
        let shares = samples.iter().map(|s| {
            let reaction = s.channel(1).iter().map(|u| u.powi(3)).collect();
            rms(reaction) / rms(s.channel(0).to_vec())
        });
        let share = shares.sum::<f64>() / 50.0;
        assert!((0.2..0.8).contains(&share), "the reaction takes {share} of the source");
    }

    #[test]
    fn no_source_leaves_nothing_and_its_sign_is_the_concentration_s() {
        let pde = ReactionDiffusion::default();
        let solve =
            |a: &[f64]| pde.solve(Grid::square(8), &Fields::stack(8, 8, &[a])).unwrap().fields;
        assert_eq!(solve(&[0.0; 64]).channel(1), [0.0; 64]);
        let [fed, drained] = [solve(&[0.3; 64]), solve(&[-0.3; 64])];
        for (plus, minus) in fed.channel(1).iter().zip(drained.channel(1)) {
            assert!(*plus > 0.0 && (plus + minus).abs() < 1e-12);
        }
    }

    #[test]
    fn bad_inputs_and_parameters_are_refused() {
        let mut pde = ReactionDiffusion::default();
        assert!(pde.solve(Grid::square(8), &Fields::zeros(1, 8, 9)).is_err());
        assert!(pde.solve(Grid::square(1), &Fields::stack(1, 1, &[&[f64::NAN]])).is_err());
        assert!(pde.set_param("diffusion", 0.0).is_err());
        assert!(pde.set_param("k", 1.0).unwrap_err().to_string().contains("diffusion, alpha, tau"));
        pde.set_param("diffusion", 0.02).unwrap();
        assert_eq!(pde.diffusion, 0.02);
    }
}
