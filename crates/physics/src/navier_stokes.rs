//! The two-dimensional Navier-Stokes equations in vorticity form on a periodic rectangle.
//!
//! ```text
//! w_t + v . grad w = nu lap w + f
//! v = (psi_y, -psi_x),  -lap psi = w
//! f = forcing (sin 2 pi (x/lx + y/ly) + cos 2 pi (x/lx + y/ly))
//! ```
//!
//! The solver is Fourier pseudo-spectral in space and ETDRK4 in time, with n points at `j l / n`
//! along a side of length l. The advection is formed from and projected on the modes `|k| < n / 3`
//! (Orszag's 2/3 rule). Modes above keep the input's values and decay by viscosity alone. A mean
//! vorticity, which no periodic flow has, is conserved and moves nothing.

use std::f64::consts::PI;

use self::flow::Flow;
pub use self::snapshots::{LEAD, Lead, Snapshots};
use crate::etdrk4::{Etdrk4, MOST_STEPS};
use crate::grid::common_divisor;
use crate::input::{self, periodic};
use crate::random_field::FieldLaw;
use crate::spectral::largest_wave_number;
use crate::symmetry::Symmetry;
use crate::{
    Basis, Channel, Differentiable, Error, Fields, GaussianField, Grid, InputLaw, Linearisable,
    Param, Pde, Result, Solution, SolveReport,
};

mod flow;
mod linearised;
mod resolution;
mod snapshots;

const NAME: &str = "navier-stokes";
const SMALLEST: usize = 8;
const BETWEEN: [&str; 7] = ["w1", "w2", "w3", "w4", "w5", "w6", "w7"];

/// The Navier-Stokes problem. Its initial vorticity is a periodic field of law `input`.
#[derive(Debug, Clone, PartialEq)]
pub struct NavierStokes {
    /// Kinematic viscosity, in (0, 1].
    pub nu: f64,
    /// Amplitude of the forcing, from -100 to 100.
    pub forcing: f64,
    /// Final time T, in (0, 100].
    pub time: f64,
    /// Number K of equal intervals between stored snapshots, 1 to 8.
    ///
    /// The default of 1 stores (w0, wT), which already defines a residual (see the residual's own
    /// documentation). More are needed only where the flow moves further, say for larger T.
    pub intervals: usize,
    /// The law of the random initial vorticity.
    pub input: FieldLaw,
}

impl Default for NavierStokes {
    fn default() -> Self {
        let input = FieldLaw { alpha: 2.5, tau: 7.0 };
        Self { nu: 1e-3, forcing: 0.1, time: 1.0, intervals: 1, input }
    }
}

impl Pde for NavierStokes {
    fn name(&self) -> &str {
        NAME
    }

    fn equation(&self) -> &str {
        "w_t + v . grad w = nu lap w + f on a periodic rectangle, \
         f = forcing (sin 2pi(x/lx+y/ly) + cos 2pi(x/lx+y/ly))"
    }

    fn channels(&self) -> Vec<Channel> {
        let channel = |name: &str, meaning: &str| {
            Channel::new(name, meaning, [Basis::Fourier; 2]).dimensionless()
        };
        let mut channels = vec![channel("w0", "initial vorticity")];
        let between = BETWEEN.iter().take(self.intervals.saturating_sub(1));
        channels.extend(between.map(|name| channel(name, "vorticity at an intermediate time")));
        channels.push(channel("wT", "vorticity at the final time"));
        channels
    }

    fn params(&self) -> Vec<Param> {
        let mut params = vec![
            Param::new(
                "nu",
                self.nu,
                "kinematic viscosity, above 0, at most 1; bounded below by the grid",
            ),
            Param::new("forcing", self.forcing, "amplitude of the forcing, -100 to 100"),
            Param::new("time", self.time, "final time, above 0, at most 100"),
            Param::new("intervals", self.intervals as f64, "intervals between snapshots, 1 to 8"),
        ];
        params.extend(self.input.params());
        params
    }

    fn set_param(&mut self, name: &str, value: f64) -> Result<()> {
        let check = |name: &str, valid: bool, expected: &str| {
            let [pde, name, expected] = [NAME, name, expected].map(String::from);
            if valid { Ok(()) } else { Err(Error::OutOfRange { pde, name, value, expected }) }
        };

        match name {
            "nu" => {
                check("nu", value > 0.0 && value <= 1.0, "above 0, at most 1")?;
                self.nu = value;
            }
            "forcing" => {
                check("forcing", value.abs() <= 100.0, "-100 to 100")?;
                self.forcing = value;
            }
            "time" => {
                check("time", value > 0.0 && value <= 100.0, "above 0, at most 100")?;
                self.time = value;
            }
            "intervals" => {
                let valid = (1.0..=8.0).contains(&value) && value.fract() == 0.0;
                check("intervals", valid, "a whole number, 1 to 8")?;
                self.intervals = value as usize;
            }
            _ => self.input.set(NAME, name, value, "nu, forcing, time, intervals, ")?,
        }
        Ok(())
    }

    fn input_law(&self) -> InputLaw {
        InputLaw::gaussian(GaussianField::Periodic(self.input))
    }

    fn smallest_grid(&self) -> usize {
        SMALLEST
    }

    fn solve_bytes(&self, grid: Grid) -> f64 {
        // Measured: 290 a point.
        400.0 * grid.points() as f64
    }

    fn solve(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        input::check(self, grid, input)?;
        self.check_viscosity(grid, input.channel(0))?;
        let mut flow = Flow::new(grid, self.nu, self.forcing);
        let mut vorticity = flow.modes_of(input.channel(0));

        let intervals = self.intervals.max(1);
        let interval = self.time / intervals as f64;
        let mut fields = Fields { channels: intervals + 1, ..input.clone() };
        let mut report = SolveReport::default();

        for _ in 0..intervals {
            let steps = flow.steps(&vorticity, interval);
            check_steps(steps, report.steps)?;
            flow.advance(&mut vorticity, interval, steps);
            fields.data.extend(flow.values_of(&vorticity));
            report.steps += steps;

            let step = interval / steps as f64;
            report.time_step = Some(report.time_step.map_or(step, |shortest| step.min(shortest)));
        }

        if !fields.is_finite() {
            return Err(Error::NotConverged {
                pde: NAME.into(),
                reason: "the vorticity overflowed".into(),
            });
        }
        Ok(Solution { fields, report })
    }

    fn solve_checked(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        let mut solution = self.solve(grid, input)?;
        let doubt = self.unresolved(grid, &solution.fields);
        solution.report.warnings.extend(doubt);
        Ok(solution)
    }

    /// Returns shifts along the lines of equal forcing.
    fn symmetries(&self, grid: Grid) -> Vec<Symmetry> {
        Symmetry::diagonal_shifts(grid)
    }

    fn differentiable(&self) -> Option<&dyn Differentiable> {
        Some(self)
    }

    fn linearisable(&self) -> Option<&dyn Linearisable> {
        (self.intervals <= 1).then_some(self)
    }

    fn points(&self, grid: Grid) -> [Vec<f64>; 2] {
        [periodic(grid.ny, grid.ly), periodic(grid.nx, grid.lx)]
    }
}

/// Refuses `steps` more time steps after `done` ones if their sum exceeds [`MOST_STEPS`].
fn check_steps(steps: usize, done: usize) -> Result<()> {
    if steps <= MOST_STEPS - done.min(MOST_STEPS) {
        return Ok(());
    }
    let reason = format!(
        "a vorticity this large asks for {:.1e} time steps, {MOST_STEPS} at most are taken; check the \
         units, or take a shorter time",
        steps as f64 + done as f64
    );
    Err(Error::BadInput { pde: NAME.into(), reason })
}

impl NavierStokes {
    /// Refuses a viscosity too small for the grid.
    ///
    /// Strain of the size of the vorticity w thins filaments down to sqrt(nu / w), where viscosity
    /// stops it. This length must be at least 1 / k, k being the largest wave number kept along
    /// either axis. The condition is `nu >= w / k^2`, with w the rms vorticity that input and
    /// forcing can reach by the final time.
    fn check_viscosity(&self, grid: Grid, input: &[f64]) -> Result<()> {
        let rms = (input.iter().map(|w| w * w).sum::<f64>() / input.len() as f64).sqrt();
        // The rate at which viscosity damps the forced mode, of wave vector 2 pi (1/lx, 1/ly).
        let square = grid.lx.powi(-2) + grid.ly.powi(-2);
        let forcing_decay = 4.0 * square * PI * PI * self.nu;
        let reached = rms + self.forcing.abs() * self.time.min(1.0 / forcing_decay);

        let largest = largest_wave_number(grid.ny, grid.ly);
        let smallest = reached / largest.min(largest_wave_number(grid.nx, grid.lx)).powi(2);
        if self.nu >= smallest {
            return Ok(());
        }
        let expected = format!(
            "at least {smallest:.2e} on a grid of {grid} for vorticity of rms {reached:.3}, \
             so that the viscous length is resolved; take a finer grid or a larger nu"
        );
        let (pde, name) = (NAME.into(), "nu".into());
        Err(Error::OutOfRange { pde, name, value: self.nu, expected })
    }
}

impl Differentiable for NavierStokes {
    fn unknowns(&self, grid: Grid) -> usize {
        grid.points()
    }

    fn sample(&self, grid: Grid, white: &[f64]) -> Result<Fields> {
        let w0 = self.input.periodic_modes(grid).field(white);
        Ok(self.solve(grid, &Fields::stack(grid.ny, grid.nx, &[&w0]))?.fields)
    }

    fn gradient(
        &self,
        grid: Grid,
        _white: &[f64],
        sample: &Fields,
        pull: &[f64],
    ) -> Result<Vec<f64>> {
        let mut flow = Flow::new(grid, self.nu, self.forcing);
        let interval = self.time / (sample.channels - 1) as f64;
        let mut gradient = flow.modes_of(&pull[pull.len() - grid.points()..]);

        for k in (0..sample.channels - 1).rev() {
            let start = flow.modes_of(sample.channel(k));
            let steps = flow.steps(&start, interval);
            let mut method = Etdrk4::new(&flow.decay, interval / steps as f64);
            method.pull_back(&mut flow, start, steps, std::slice::from_mut(&mut gradient));
            // The snapshot's own pull enters by the adjoint of the inverse transform. That of the
            // forward transform is applied once, after the loop.
            let own = flow.modes_of(&pull[k * grid.points()..][..grid.points()]);
            gradient.iter_mut().zip(own).for_each(|(g, o)| *g += o);
        }
        Ok(self.input.periodic_modes(grid).pull_back(&flow.values_of(&gradient)))
    }
}

/// Returns the forcing f on the points of a grid, row by row.
pub fn force(grid: Grid, amplitude: f64) -> Vec<f64> {
    // The sum x/lx + y/ly in steps that both axes share, so that whole waves drop out exactly.
    let steps = grid.points() / common_divisor(grid.ny, grid.nx);
    let [by_y, by_x] = grid.shape().map(|points| steps / points);
    let step = |i: usize| (i / grid.nx * by_y + i % grid.nx * by_x) % steps;
    let phase = |i: usize| 2.0 * PI * step(i) as f64 / steps as f64;
    (0..grid.points()).map(|i| amplitude * (phase(i).sin() + phase(i).cos())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{distance, eddies, field, on_grid};
    use crate::{generate, rng};

    fn unforced(time: f64) -> NavierStokes {
        NavierStokes { forcing: 0.0, time, ..Default::default() }
    }

    #[test]
    fn a_flow_that_would_take_forever_is_refused() {
        let pde = NavierStokes { nu: 1.0, time: 100.0, ..Default::default() };
        let fast: Vec<_> = on_grid(32, eddies).iter().map(|w| 800.0 * w).collect();
        let message = pde.solve(Grid::square(32), &field(32, &fast)).unwrap_err().to_string();
        assert!(message.contains("time steps"), "{message}");
    }

    #[test]
    fn taylor_green_vortices_decay_exactly() {
        let initial = on_grid(24, |x, y| (4.0 * PI * x).cos() * (4.0 * PI * y).cos());
        let solution = NavierStokes { intervals: 2, ..unforced(1.5) }
            .solve(Grid::square(24), &field(24, &initial));
        let fields = solution.unwrap().fields;
        for (channel, time) in [(1, 0.75), (2, 1.5)] {
            let decay = f64::exp(-1e-3 * 32.0 * PI * PI * time);
            let exact: Vec<_> = initial.iter().map(|w| w * decay).collect();
            assert!(distance(fields.channel(channel), &exact) < 1e-12);
        }
    }

    /// The product v . grad w for w = a cos 2 pi x + b cos 4 pi y is, by hand,
    /// -1.5 a b sin 2 pi x sin 4 pi y.
    #[test]
    fn the_first_change_is_that_of_the_equation() {
        let (nu, forcing, a, b) = (0.01, 0.7, 1.3, -0.8);
        let initial = on_grid(16, |x, y| a * (2.0 * PI * x).cos() + b * (4.0 * PI * y).cos());
        let rate = on_grid(16, |x, y| {
            let (x, y) = (2.0 * PI * x, 2.0 * PI * y);
            let diffusion = -4.0 * PI * PI * nu * (a * x.cos() + 4.0 * b * (2.0 * y).cos());
            let advection = -1.5 * a * b * x.sin() * (2.0 * y).sin();
            diffusion - advection + forcing * ((x + y).sin() + (x + y).cos())
        });
        let difference = |time: f64| {
            let pde = NavierStokes { nu, forcing, time, ..Default::default() };
            let fields = pde.solve(Grid::square(16), &field(16, &initial)).unwrap().fields;
            let change = fields.channel(1).iter().zip(&initial).map(|(w, w0)| (w - w0) / time);
            distance(&change.collect::<Vec<_>>(), &rate)
        };
        assert!(difference(1e-4) < 1e-3, "{}", difference(1e-4));
        assert!(difference(1e-5) < 0.11 * difference(1e-4));
    }

    #[test]
    fn time_stepping_has_order_four() {
        let initial = on_grid(32, eddies);
        let run = |steps| {
            let mut flow = Flow::new(Grid::square(32), 1e-3, 0.1);
            let mut w = flow.modes_of(&initial);
            flow.advance(&mut w, 1.0, steps);
            flow.values_of(&w)
        };
        let exact = run(512);
        let errors = [16, 32, 64].map(|steps| distance(&run(steps), &exact));
        for pair in errors.windows(2) {
            let order = (pair[0] / pair[1]).log2();
            assert!((3.7..4.6).contains(&order), "order {order}, errors {errors:?}");
        }
    }

    #[test]
    fn the_chosen_time_step_is_accurate() {
        for size in [64, 128] {
            let pde = NavierStokes::default();
            let input =
                pde.random_input(Grid::square(size), &mut rng::stream(2, "input", 0, 0)).unwrap();
            let solution = pde.solve(Grid::square(size), &input).unwrap();
            let mut flow = Flow::new(Grid::square(size), pde.nu, pde.forcing);
            let mut w = flow.modes_of(input.channel(0));
            flow.advance(&mut w, 1.0, 4 * solution.report.steps);
            let error = distance(solution.fields.channel(1), &flow.values_of(&w));
            eprintln!("{size}: {} steps, time error {error:.1e}", solution.report.steps);
            assert!(error < 1e-7, "{error}");
        }
    }

    #[test]
    fn the_mean_is_conserved_and_moves_nothing() {
        let initial = on_grid(32, eddies);
        let shifted: Vec<_> = initial.iter().map(|w| w + 0.3).collect();
        let end = |w: &[f64]| {
            NavierStokes::default().solve(Grid::square(32), &field(32, w)).unwrap().fields
        };
        let (plain, moved) = (end(&initial), end(&shifted));
        let back: Vec<_> = moved.channel(1).iter().map(|w| w - 0.3).collect();
        assert!(distance(plain.channel(1), &back) < 1e-5);
        let mean = |w: &[f64]| w.iter().sum::<f64>() / w.len() as f64;
        assert!((mean(moved.channel(1)) - 0.3).abs() < 1e-13);
    }

    #[test]
    fn snapshots_lie_on_one_trajectory() {
        let pde = |intervals, time| NavierStokes { intervals, time, ..Default::default() };
        let input =
            pde(1, 1.0).random_input(Grid::square(32), &mut rng::stream(5, "input", 0, 0)).unwrap();
        let whole = pde(4, 1.0).solve(Grid::square(32), &input).unwrap().fields;
        for k in 1..=4 {
            let part = pde(1, 0.25 * k as f64).solve(Grid::square(32), &input).unwrap().fields;
            let error = distance(whole.channel(k), part.channel(1));
            assert!(error < 1e-6, "{k}: {error}");
        }
        let names: Vec<_> = pde(4, 1.0).channels().iter().map(|c| c.name.clone()).collect();
        assert_eq!(names, ["w0", "w1", "w2", "w3", "wT"]);
        assert_eq!(pde(4, 1.0).solution_of(&whole).channels, 4);
    }

    /// Root mean square of a channel and its standard error, against the published figure.
    #[test]
    fn samples_have_the_published_deviations() {
        let samples = generate(&NavierStokes::default(), Grid::square(128), 17, 0..16).unwrap();
        for (channel, published) in [(0, 0.262), (1, 0.256)] {
            let square = |f: &Fields| {
                f.channel(channel).iter().map(|w| w * w).sum::<f64>() / (128.0 * 128.0)
            };
            let squares: Vec<f64> = samples.iter().map(square).collect();
            let mean = squares.iter().sum::<f64>() / 16.0;
            let spread = squares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 16.0;
            let (rms, error) = (mean.sqrt(), (spread / 16.0).sqrt() / (2.0 * mean.sqrt()));
            eprintln!("channel {channel}: {rms:.4} +- {error:.4}, published {published}");
            assert!((rms - published).abs() < 3.5 * error + 0.01 * published, "{rms} +- {error}");
        }
    }

    #[test]
    fn a_viscosity_too_small_for_the_grid_is_refused() {
        let solve = |nu, size| {
            NavierStokes { nu, ..Default::default() }
                .solve(Grid::square(size), &field(size, &on_grid(size, eddies)))
        };
        assert!(solve(1e-3, 64).is_ok());
        let message = solve(1e-5, 32).err().unwrap().to_string();
        assert!(message.contains("nu = 0.00001") && message.contains("finer grid"), "{message}");
    }

    #[test]
    fn parameters_outside_their_range_are_refused() {
        let mut pde = NavierStokes::default();
        let bad = [("nu", 0.0), ("nu", f64::NAN), ("forcing", 1e3), ("time", -1.0)];
        for (name, value) in bad.into_iter().chain([("intervals", 1.5), ("intervals", 9.0)]) {
            assert!(pde.set_param(name, value).is_err(), "{name} = {value}");
        }
        assert_eq!(pde, NavierStokes::default());
        let message = pde.set_param("viscosity", 1.0).err().unwrap().to_string();
        assert!(message.contains("nu, forcing, time, intervals, alpha, tau"), "{message}");
    }
}
