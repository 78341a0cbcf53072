//! The two-dimensional Navier-Stokes equations in vorticity form on the periodic unit square,
//! w_t + v . grad w = nu lap w + f, with v = (psi_y, -psi_x), -lap psi = w and
//! f = forcing (sin 2 pi (x + y) + cos 2 pi (x + y)).
//!
//! Fourier pseudo-spectral in space, the advection formed from and projected on the modes
//! `|k| < n / 3` (Orszag's 2/3 rule), ETDRK4 in time. Modes above keep the input's values and
//! decay by viscosity alone. Points at `j / n`. A mean vorticity, which no periodic flow has, is
//! carried along and moves nothing.

use std::f64::consts::{PI, SQRT_2};

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use rustfft::num_complex::Complex;

use crate::etdrk4::Etdrk4;
use crate::hermite::{Collocation, Hermite, Nonlinear};
use crate::input::{check_size, only_channel, periodic, square_size};
use crate::random_field::FieldLaw;
use crate::spectral::{Fft2, complex, largest_wave_number, mirrored, real, resolved, wave_number};
use crate::symmetry::Symmetry;
use crate::{
    Basis, Channel, Differentiable, Error, Fields, Linearisable, Linearised, Param, Pde, Result,
    Solution, SolveReport,
};

const NAME: &str = "navier-stokes";
const SMALLEST: usize = 8;
const BETWEEN: [&str; 7] = ["w1", "w2", "w3", "w4", "w5", "w6", "w7"];
/// Courant number of a time step, small for accuracy and not for stability: the time error of
/// the benchmark is then below 1e-7.
const COURANT: f64 = 0.25;
/// Largest product of time step and vorticity: a fluid element turns by half of it, in radians.
const TURN: f64 = 0.05;

/// The Navier-Stokes problem; its initial vorticity is a periodic field of law `input`.
#[derive(Debug, Clone, PartialEq)]
pub struct NavierStokes {
    /// Kinematic viscosity, in (0, 1].
    pub nu: f64,
    /// Amplitude of the forcing, from -100 to 100.
    pub forcing: f64,
    /// Final time T, in (0, 100].
    pub time: f64,
    /// Number K of equal intervals between stored snapshots, 1 to 8. The default of 1 stores
    /// (w0, wT), which already defines a residual (see the residual's own documentation); more
    /// are needed only where the flow moves further, say for larger T.
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
    fn name(&self) -> &'static str {
        NAME
    }

    fn equation(&self) -> &'static str {
        "w_t + v . grad w = nu lap w + f on the periodic unit square, \
         f = forcing (sin 2pi(x+y) + cos 2pi(x+y))"
    }

    fn channels(&self) -> Vec<Channel> {
        let channel = |name, meaning| Channel { name, meaning, basis: [Basis::Fourier; 2] };
        let mut channels = vec![channel("w0", "initial vorticity")];
        let between = BETWEEN.iter().take(self.intervals.saturating_sub(1));
        channels.extend(between.map(|name| channel(name, "vorticity at an intermediate time")));
        channels.push(channel("wT", "vorticity at the final time"));
        channels
    }

    fn params(&self) -> Vec<Param> {
        let param = |name, value, meaning| Param { name, value, meaning };
        let mut params = vec![
            param(
                "nu",
                self.nu,
                "kinematic viscosity, above 0, at most 1; bounded below by the grid",
            ),
            param("forcing", self.forcing, "amplitude of the forcing, -100 to 100"),
            param("time", self.time, "final time, above 0, at most 100"),
            param("intervals", self.intervals as f64, "intervals between snapshots, 1 to 8"),
        ];
        params.extend(self.input.params());
        params
    }

    fn set_param(&mut self, name: &str, value: f64) -> Result<()> {
        let check = |name, valid: bool, expected: &str| {
            let expected = expected.to_owned();
            if valid { Ok(()) } else { Err(Error::OutOfRange { pde: NAME, name, value, expected }) }
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

    fn random_input(&self, size: usize, rng: &mut ChaCha8Rng) -> Result<Fields> {
        check_size(NAME, size, SMALLEST)?;
        Ok(Fields::stack(size, size, &[&self.input.periodic(size, rng)]))
    }

    fn solve(&self, input: &Fields) -> Result<Solution> {
        let size = square_size(NAME, input, SMALLEST)?;
        self.check_grid(size, input.channel(0))?;
        let mut flow = Flow::new(size, self.nu, self.forcing);
        let mut vorticity = flow.modes_of(input.channel(0));
        let intervals = self.intervals.max(1);
        let interval = self.time / intervals as f64;
        let mut fields = Fields { channels: intervals + 1, ..input.clone() };
        let mut report = SolveReport::default();
        for _ in 0..intervals {
            let steps = flow.steps(&vorticity, interval);
            flow.advance(&mut vorticity, interval, steps);
            fields.data.extend(flow.values_of(&vorticity));
            report.steps += steps;
            let step = interval / steps as f64;
            report.time_step = Some(report.time_step.map_or(step, |shortest| step.min(shortest)));
        }
        if !fields.is_finite() {
            return Err(Error::NotConverged {
                pde: NAME,
                reason: "the vorticity overflowed".into(),
            });
        }
        Ok(Solution { fields, report })
    }

    /// Shifts along the lines of equal forcing.
    fn symmetries(&self, size: usize) -> Vec<Symmetry> {
        Symmetry::shifts(size, -1)
    }

    fn differentiable(&self) -> Option<&dyn Differentiable> {
        Some(self)
    }

    fn linearisable(&self) -> Option<&dyn Linearisable> {
        (self.intervals <= 1).then_some(self)
    }

    fn points(&self, size: usize) -> [Vec<f64>; 2] {
        [periodic(size), periodic(size)]
    }

    fn input_of(&self, sample: &Fields) -> Fields {
        only_channel(sample, 0)
    }

    fn solution_of(&self, sample: &Fields) -> Fields {
        let later: Vec<_> = (1..sample.channels).map(|c| sample.channel(c)).collect();
        Fields::stack(sample.height, sample.width, &later)
    }
}

impl NavierStokes {
    /// Refuses a viscosity too small for the grid.
    ///
    /// Strain of the size of the vorticity w thins filaments down to sqrt(nu / w), where viscosity
    /// stops it. That length must not be below 1 / k, k the largest wave number kept:
    /// `nu >= w / k^2`, w the rms vorticity that input and forcing can reach by the final time.
    fn check_grid(&self, size: usize, input: &[f64]) -> Result<()> {
        let rms = (input.iter().map(|w| w * w).sum::<f64>() / input.len() as f64).sqrt();
        let forcing_decay = 8.0 * PI * PI * self.nu;
        let reached = rms + self.forcing.abs() * self.time.min(1.0 / forcing_decay);
        let smallest = reached / largest_wave_number(size).powi(2);
        if self.nu >= smallest {
            return Ok(());
        }
        let expected = format!(
            "at least {smallest:.2e} on {size} points a side for vorticity of rms {reached:.3}, \
             so that the viscous length is resolved; take a finer grid or a larger nu"
        );
        Err(Error::OutOfRange { pde: NAME, name: "nu", value: self.nu, expected })
    }
}

impl Differentiable for NavierStokes {
    fn unknowns(&self, size: usize) -> usize {
        size * size
    }

    fn sample(&self, size: usize, white: &[f64]) -> Result<Fields> {
        let w0 = self.input.periodic_modes(size).field(white);
        Ok(self.solve(&Fields::stack(size, size, &[&w0]))?.fields)
    }

    fn gradient(
        &self,
        size: usize,
        _white: &[f64],
        sample: &Fields,
        pull: &[f64],
    ) -> Result<Vec<f64>> {
        let mut flow = Flow::new(size, self.nu, self.forcing);
        let interval = self.time / (sample.channels - 1) as f64;
        let mut gradient = flow.modes_of(&pull[pull.len() - size * size..]);
        for k in (0..sample.channels - 1).rev() {
            let start = flow.modes_of(sample.channel(k));
            let steps = flow.steps(&start, interval);
            let mut method = Etdrk4::new(&flow.decay, interval / steps as f64);
            method.pull_back(&mut flow, start, steps, std::slice::from_mut(&mut gradient));
            // The adjoint of the inverse transform, that of the forward one being left to the end.
            let own = flow.modes_of(&pull[k * size * size..][..size * size]);
            gradient.iter_mut().zip(own).for_each(|(g, o)| *g += o);
        }
        Ok(self.input.periodic_modes(size).pull_back(&flow.values_of(&gradient)))
    }
}

/// Modes that the heat flow alone leaves less than this share of are left out of the linearised
/// equation.
const LEFT: f64 = 0.01;
/// Its steps of time are so many times longer than the solver's.
const LONGER: f64 = 4.0;

impl Linearisable for NavierStokes {
    fn linearised(&self, input: &Fields) -> Result<Box<dyn Linearised>> {
        let solved = self.solve(input)?.fields;
        let full = Flow::new(input.width, self.nu, self.forcing);
        let largest = (-LEFT.ln() / (self.nu * self.time)).sqrt() / (2.0 * PI);
        let needed = (3.0 * (largest + 1.0)).ceil().min(input.width as f64);
        let size = (needed as usize).next_multiple_of(2).min(input.width);
        let flow = Flow::new(size, self.nu, self.forcing);
        let (shared, solution) = (full.shared(&flow), solved.channel(1).to_vec());
        let [start, end] = [vec![], vec![]];
        let mut near = Near { full, flow, shared, time: self.time, steps: 1, start, end, solution };
        near.start = near.modes_of(input.channel(0))?;
        let longest = LONGER * near.flow.largest_step(&near.start, self.time);
        near.steps = (self.time / longest).ceil().max(1.0) as usize;
        near.end = near.start.clone();
        near.flow.advance(&mut near.end, self.time, near.steps);
        Ok(Box::new(near))
    }

    fn admit(&self, _input: &mut Fields) {}
}

/// The flow near one that starts at `start`, on a grid of no more points than the modes need that
/// the heat flow leaves.
struct Near {
    full: Flow,
    flow: Flow,
    /// [`Flow::shared`].
    shared: Vec<[usize; 2]>,
    time: f64,
    steps: usize,
    start: Vec<Complex<f64>>,
    end: Vec<Complex<f64>>,
    /// The solver's.
    solution: Vec<f64>,
}

/// Gradients taken through the flow at a time.
const BLOCK: usize = 16;
/// Size of the difference that takes the derivative along a change, over that of the start.
const DIFFERENCE: f64 = 1e-3;

impl Near {
    /// The change of the solution if the start changes by these modes.
    fn moved(&self, change: &[Complex<f64>], by: f64) -> Vec<Complex<f64>> {
        let mut end: Vec<_> = self.start.iter().zip(change).map(|(s, c)| s + c * by).collect();
        self.flow.clone().advance(&mut end, self.time, self.steps);
        end.iter().zip(&self.end).map(|(moved, end)| moved - end).collect()
    }

    fn modes_of(&self, values: &[f64]) -> Result<Vec<Complex<f64>>> {
        if values.len() != self.solution.len() {
            let expected = self.solution.len();
            let reason = format!("{} values of vorticity, expected {expected}", values.len());
            return Err(Error::BadInput { pde: NAME, reason });
        }
        Ok(self.restricted(values))
    }

    /// The shared modes of values on the full grid, scaled as transforms of the smaller one are.
    fn restricted(&self, values: &[f64]) -> Vec<Complex<f64>> {
        let (all, scale) = (self.full.modes_of(values), self.scale());
        let mut modes = vec![Complex::default(); self.flow.kept.len()];
        self.shared.iter().for_each(|&[here, there]| modes[there] = all[here] * scale);
        modes
    }

    fn values_of(&self, modes: &[Complex<f64>]) -> Vec<f64> {
        let mut all = vec![Complex::default(); self.full.kept.len()];
        self.shared.iter().for_each(|&[here, there]| all[here] = modes[there] / self.scale());
        self.full.fft.inverse_kept(&mut all);
        real(&all)
    }

    fn scale(&self) -> f64 {
        (self.flow.size as f64 / self.full.size as f64).powi(2)
    }
}

impl Linearised for Near {
    fn slopes(&self, points: &[usize]) -> Result<Vec<f64>> {
        let Self { full, flow, .. } = self;
        if let Some(point) = points.iter().find(|&&point| point >= self.solution.len()) {
            let reason = format!("point {point} of a field of {} values", self.solution.len());
            return Err(Error::BadInput { pde: NAME, reason });
        }
        let block = |points: &[usize]| {
            let mut flow = flow.clone();
            let unit = |&point: &usize| {
                let mut values = vec![0.0; full.size * full.size];
                values[point] = 1.0;
                self.restricted(&values)
            };
            let mut pulls: Vec<_> = points.iter().map(unit).collect();
            let mut method = Etdrk4::new(&flow.decay, self.time / self.steps as f64);
            method.pull_back(&mut flow, self.start.clone(), self.steps, &mut pulls);
            pulls.iter().flat_map(|pull| self.values_of(pull)).collect::<Vec<_>>()
        };
        Ok(points.par_chunks(BLOCK).flat_map_iter(block).collect())
    }

    fn solution(&self, input: &Fields) -> Result<Vec<f64>> {
        let modes = self.modes_of(input.channel(0))?;
        let change: Vec<_> = modes.iter().zip(&self.start).map(|(m, s)| m - s).collect();
        let change = self.values_of(&self.moved(&change, 1.0));
        Ok(self.solution.iter().zip(change).map(|(u, c)| u + c).collect())
    }

    fn change(&self, change: &[f64]) -> Result<Vec<f64>> {
        let change = self.modes_of(change)?;
        let norm = |modes: &[Complex<f64>]| modes.iter().map(|m| m.norm_sqr()).sum::<f64>().sqrt();
        let by = DIFFERENCE * norm(&self.start).max(1.0) / norm(&change).max(f64::MIN_POSITIVE);
        let [above, below] = [by, -by].map(|by| self.moved(&change, by));
        let slope: Vec<_> = above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * by)).collect();
        Ok(self.values_of(&slope))
    }
}

/// The flow on one grid: everything that depends on the wave numbers, and room to work in.
/// Spectra are in the order of [`Fft2`].
#[derive(Clone)]
struct Flow {
    size: usize,
    forcing: f64,
    fft: Fft2,
    decay: Vec<f64>,
    kept: Vec<f64>,
    /// The mode of minus each wave number.
    mirror: Vec<usize>,
    /// Multipliers of w that give c = u + i v, and of c^2 that give, with their mirror image's
    /// conjugate, v . grad w; 0 where the 2/3 rule drops the mode.
    to_velocity: Vec<Complex<f64>>,
    to_advection: Vec<Complex<f64>>,
    source: Vec<Complex<f64>>,
    /// c of the last flow that was looked at, in points.
    velocity: Vec<Complex<f64>>,
    /// A product of it.
    product: Vec<Complex<f64>>,
}

impl Flow {
    fn new(size: usize, nu: f64, forcing: f64) -> Self {
        let fft = Fft2::new(size);
        let bins: Vec<_> = (0..size * size).map(|i| (i / size, i % size)).collect();
        let waves: Vec<_> =
            bins.iter().map(|&(x, y)| (wave_number(x, size), wave_number(y, size))).collect();
        let keep = |&(x, y)| if resolved(x, size) && resolved(y, size) { 1.0 } else { 0.0 };
        let kept: Vec<f64> = bins.iter().map(keep).collect();
        let velocity = |(&(kx, ky), &keep): (&(f64, f64), &f64)| {
            let square: f64 = kx * kx + ky * ky;
            Complex::new(kx, ky) * if square > 0.0 { keep / square } else { 0.0 }
        };
        // v . grad w = (d_xx - d_yy) u v - d_xy (u^2 - v^2), the curl of the divergence of vv.
        let advection = |(&(kx, ky), &keep): (&(f64, f64), &f64)| {
            Complex::new(2.0 * kx * ky, kx * kx - ky * ky) * 0.25 * keep
        };
        let mut source = complex(&force(size, forcing));
        fft.forward(&mut source);
        let zeros = vec![Complex::default(); size * size];
        let mirror = |&(x, y): &(usize, usize)| mirrored(x, size) * size + mirrored(y, size);
        Self {
            size,
            forcing,
            fft,
            decay: waves.iter().map(|(kx, ky)| nu * (kx * kx + ky * ky)).collect(),
            to_velocity: waves.iter().zip(&kept).map(velocity).collect(),
            to_advection: waves.iter().zip(&kept).map(advection).collect(),
            mirror: bins.iter().map(mirror).collect(),
            kept,
            source,
            velocity: zeros.clone(),
            product: zeros,
        }
    }

    fn modes_of(&self, values: &[f64]) -> Vec<Complex<f64>> {
        let mut modes = complex(values);
        self.fft.forward(&mut modes);
        modes
    }

    /// The modes that this grid and one of no more points both keep: here and there.
    fn shared(&self, other: &Self) -> Vec<[usize; 2]> {
        let here = |i: usize| if 2 * i < other.size { i } else { i + self.size - other.size };
        let kept = (0..other.kept.len()).filter(|&k| other.kept[k] > 0.0);
        kept.map(|k| [here(k / other.size) * self.size + here(k % other.size), k]).collect()
    }

    fn values_of(&self, modes: &[Complex<f64>]) -> Vec<f64> {
        let mut values = modes.to_vec();
        self.fft.inverse(&mut values);
        real(&values)
    }

    /// The largest time step that is stable and accurate over the next `interval`.
    fn largest_step(&mut self, vorticity: &[Complex<f64>], interval: f64) -> f64 {
        self.set_velocity(vorticity);
        let fastest = self.velocity.iter().map(|v| v.re.abs() + v.im.abs()).fold(0.0, f64::max);
        let strongest = self.values_of(vorticity).iter().map(|w| w.abs()).fold(0.0, f64::max);
        // What the forcing can add within the interval: the maximum principle bounds the
        // vorticity, and the velocity of f itself is at most |u| + |v| = forcing / (sqrt2 pi).
        let added = self.forcing.abs() * interval;
        let speed = fastest + added / (SQRT_2 * PI);
        let turn = strongest + SQRT_2 * added;
        (COURANT / (self.size as f64 * speed)).min(TURN / turn)
    }

    fn set_velocity(&mut self, vorticity: &[Complex<f64>]) {
        let Self { fft, to_velocity, velocity, .. } = self;
        multiply(to_velocity, vorticity, velocity);
        fft.inverse_kept(velocity);
    }

    /// Minus v . grad w of c^2 in points, which it takes from `product`.
    fn advection(&mut self, advection: &mut [Complex<f64>]) {
        let Self { fft, product, to_advection, mirror, .. } = self;
        fft.forward_kept(product);
        product.iter_mut().zip(&*to_advection).for_each(|(p, to)| *p *= to);
        for (a, (p, &mirror)) in advection.iter_mut().zip(product.iter().zip(&*mirror)) {
            *a = -(p + product[mirror].conj());
        }
    }

    /// Time steps of an interval.
    fn steps(&mut self, vorticity: &[Complex<f64>], interval: f64) -> usize {
        (interval / self.largest_step(vorticity, interval)).ceil().max(1.0) as usize
    }

    fn advance(&mut self, vorticity: &mut [Complex<f64>], time: f64, steps: usize) {
        let mut method = Etdrk4::new(&self.decay, time / steps as f64);
        for _ in 0..steps {
            method.step(vorticity, |w, rate| self.rate(w, rate));
        }
    }
}

impl Nonlinear for Flow {
    /// f - v . grad w.
    fn rate(&mut self, vorticity: &[Complex<f64>], rate: &mut [Complex<f64>]) {
        self.set_velocity(vorticity);
        multiply(&self.velocity, &self.velocity, &mut self.product);
        self.advection(rate);
        rate.iter_mut().zip(&self.source).for_each(|(r, f)| *r += f);
    }

    fn slope(&mut self, vorticity: &[Complex<f64>], slope: &mut [Complex<f64>]) {
        let Self { fft, to_velocity, velocity, product, .. } = self;
        multiply(to_velocity, vorticity, product);
        fft.inverse_kept(product);
        product.iter_mut().zip(&*velocity).for_each(|(p, c)| *p *= c + c);
        self.advection(slope);
    }

    fn pull_back(&mut self, y: &[Complex<f64>], pulled: &mut [Complex<f64>]) {
        for (k, (p, to)) in pulled.iter_mut().zip(&self.to_advection).enumerate() {
            *p = to.conj() * (y[k] + y[self.mirror[k]].conj());
        }
        self.fft.inverse_kept(pulled);
        pulled.iter_mut().zip(&self.velocity).for_each(|(p, c)| *p *= 2.0 * c.conj());
        self.fft.forward_kept(pulled);
        pulled.iter_mut().zip(&self.to_velocity).for_each(|(p, to)| *p *= -to.conj());
    }
}

/// [`Collocation`] of the snapshots of samples on one grid.
pub struct Snapshots {
    flow: Flow,
    step: Hermite,
}

impl Snapshots {
    /// Of `pde` on grids of `size` points a side.
    pub fn new(pde: &NavierStokes, size: usize) -> Self {
        let flow = Flow::new(size, pde.nu, pde.forcing);
        let interval = pde.time / pde.intervals.max(1) as f64;
        let step = Hermite::new(&flow.decay, interval, |k| flow.kept[k] > 0.0, |k| flow.mirror[k]);
        Self { flow, step }
    }
}

impl Collocation for Snapshots {
    fn march(&self, sample: &mut Fields, sweeps: usize) {
        if sweeps == 0 {
            return;
        }
        let (mut flow, mut step) = (self.flow.clone(), self.step.clone());
        let mut last = flow.modes_of(sample.channel(0));
        for snapshot in 1..sample.channels {
            let mut next = flow.modes_of(sample.channel(snapshot));
            step.solve(&mut flow, &last, &mut next, sweeps);
            sample.channel_mut(snapshot).copy_from_slice(&flow.values_of(&next));
            last = next;
        }
    }
}

fn multiply(factors: &[Complex<f64>], modes: &[Complex<f64>], product: &mut [Complex<f64>]) {
    for ((p, f), m) in product.iter_mut().zip(factors).zip(modes) {
        *p = f * m;
    }
}

/// The forcing f on `size * size` points, row by row.
pub fn force(size: usize, amplitude: f64) -> Vec<f64> {
    let phase = |i: usize| 2.0 * PI * ((i / size + i % size) % size) as f64 / size as f64;
    (0..size * size).map(|i| amplitude * (phase(i).sin() + phase(i).cos())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::hermite::tests::assert_slope;
    use crate::{generate, rng};

    fn on_grid(size: usize, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let at = |i: usize| i as f64 / size as f64;
        (0..size * size).map(|i| f(at(i % size), at(i / size))).collect()
    }

    fn field(size: usize, values: &[f64]) -> Fields {
        Fields::stack(size, size, &[values])
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// A few large modes, so that every grid of 16 points or more carries them exactly.
    fn eddies(x: f64, y: f64) -> f64 {
        let (x, y) = (2.0 * PI * x, 2.0 * PI * y);
        2.0 * (x + 0.3).sin() * (2.0 * y).cos() + 3.0 * (x - y).cos() + (3.0 * x + y).sin()
    }

    fn unforced(time: f64) -> NavierStokes {
        NavierStokes { forcing: 0.0, time, ..Default::default() }
    }

    #[test]
    fn taylor_green_vortices_decay_exactly() {
        let initial = on_grid(24, |x, y| (4.0 * PI * x).cos() * (4.0 * PI * y).cos());
        let solution = NavierStokes { intervals: 2, ..unforced(1.5) }.solve(&field(24, &initial));
        let fields = solution.unwrap().fields;
        for (channel, time) in [(1, 0.75), (2, 1.5)] {
            let decay = f64::exp(-1e-3 * 32.0 * PI * PI * time);
            let exact: Vec<_> = initial.iter().map(|w| w * decay).collect();
            assert!(distance(fields.channel(channel), &exact) < 1e-12);
        }
    }

    /// For w = a cos 2 pi x + b cos 4 pi y, v . grad w = -1.5 a b sin 2 pi x sin 4 pi y by hand.
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
            let fields = pde.solve(&field(16, &initial)).unwrap().fields;
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
            let mut flow = Flow::new(32, 1e-3, 0.1);
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
    fn space_converges_spectrally_to_a_finer_grid() {
        let pde = NavierStokes { nu: 5e-3, ..Default::default() };
        let solve = |size| pde.solve(&field(size, &on_grid(size, eddies))).unwrap().fields;
        let fine = solve(96);
        let error = |size: usize| {
            let coarse = solve(size);
            let stride = 96 / size;
            let at = |i: usize| fine.channel(1)[i / size * stride * 96 + i % size * stride];
            let picked: Vec<_> = (0..size * size).map(at).collect();
            distance(coarse.channel(1), &picked)
        };
        let [rough, middle, good] = [16, 32, 48].map(error);
        eprintln!("errors at 16, 32, 48: {rough:.2e} {middle:.2e} {good:.2e}");
        assert!(middle < 0.05 * rough && good < 0.05 * middle && good < 1e-5);
    }

    #[test]
    fn the_chosen_time_step_is_accurate() {
        for size in [64, 128] {
            let pde = NavierStokes::default();
            let input = pde.random_input(size, &mut rng::stream(2, "input", 0, 0)).unwrap();
            let solution = pde.solve(&input).unwrap();
            let mut flow = Flow::new(size, pde.nu, pde.forcing);
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
        let end = |w: &[f64]| NavierStokes::default().solve(&field(32, w)).unwrap().fields;
        let (plain, moved) = (end(&initial), end(&shifted));
        let back: Vec<_> = moved.channel(1).iter().map(|w| w - 0.3).collect();
        assert!(distance(plain.channel(1), &back) < 1e-5);
        let mean = |w: &[f64]| w.iter().sum::<f64>() / w.len() as f64;
        assert!((mean(moved.channel(1)) - 0.3).abs() < 1e-13);
    }

    #[test]
    fn snapshots_lie_on_one_trajectory() {
        let pde = |intervals, time| NavierStokes { intervals, time, ..Default::default() };
        let input = pde(1, 1.0).random_input(32, &mut rng::stream(5, "input", 0, 0)).unwrap();
        let whole = pde(4, 1.0).solve(&input).unwrap().fields;
        for k in 1..=4 {
            let part = pde(1, 0.25 * k as f64).solve(&input).unwrap().fields;
            let error = distance(whole.channel(k), part.channel(1));
            assert!(error < 1e-6, "{k}: {error}");
        }
        let names: Vec<_> = pde(4, 1.0).channels().iter().map(|c| c.name).collect();
        assert_eq!(names, ["w0", "w1", "w2", "w3", "wT"]);
        assert_eq!(pde(4, 1.0).solution_of(&whole).channels, 4);
    }

    /// Root mean square of a channel and its standard error, against the published figure.
    #[test]
    fn samples_have_the_published_deviations() {
        let samples = generate(&NavierStokes::default(), 128, 17, 0..16).unwrap();
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
            NavierStokes { nu, ..Default::default() }.solve(&field(size, &on_grid(size, eddies)))
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

    #[test]
    fn the_slope_is_the_change_of_the_rate() {
        let mut law = Flow::new(12, 0.01, 0.3);
        let [v, w] = [1, 2].map(|seed| {
            let values = rng::normals(&mut rng::stream(seed, "field", 0, 0), 144);
            law.modes_of(&values)
        });
        assert_slope(&mut law, &v, &w);
    }

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
}
