//! The right-hand side f - v . grad w on one grid, in Fourier modes, and the transfer to a coarser
//! grid.

use std::f64::consts::{PI, SQRT_2};

use rustfft::num_complex::Complex;

use super::{NavierStokes, force};
use crate::Grid;
use crate::etdrk4::Etdrk4;
use crate::hermite::Nonlinear;
use crate::spectral::{Fft2, complex, mirrored, real, resolved, wave_number};

/// Courant number of a time step. It is small for accuracy, not for stability: the benchmark's time
/// error is then below 1e-7.
const COURANT: f64 = 0.25;

/// Largest product of time step and vorticity. A fluid element turns by half of it, in radians.
const TURN: f64 = 0.05;

/// Modes that viscosity alone damps below this share by the final time are dropped from the coarse
/// grid.
const DAMPED: f64 = 0.01;

/// The flow on one grid: everything that depends on the wave numbers, and a workspace. Spectra are
/// in the order of [`Fft2`].
#[derive(Clone)]
pub(super) struct Flow {
    pub grid: Grid,
    forcing: f64,
    fft: Fft2,
    /// Decay rates nu |k|^2 of all modes.
    pub decay: Vec<f64>,
    /// The modes that the 2/3 rule keeps, each paired with its complex conjugate in a real field.
    pub kept: Vec<[usize; 2]>,
    /// Multipliers of w that give the velocity (u, v) as c = u + i v; 0 for modes that are not
    /// kept.
    to_velocity: Vec<Complex<f64>>,
    /// Multipliers of the modes of c^2, one for both modes of each pair of `kept`. The product at a
    /// mode plus the conjugate of that at its partner is v . grad w.
    to_advection: Vec<Complex<f64>>,
    /// The nonzero modes of f, with their indices.
    source: Vec<(usize, Complex<f64>)>,
    /// The velocity c at the grid points, of the last vorticity that was set.
    velocity: Vec<Complex<f64>>,
    /// A product with c at the grid points.
    product: Vec<Complex<f64>>,
}

impl Flow {
    pub fn new(grid: Grid, nu: f64, forcing: f64) -> Self {
        let Grid { ny, nx, ly, lx } = grid;
        let fft = Fft2::new(grid);
        let bins: Vec<_> = (0..grid.points()).map(|i| (i / ny, i % ny)).collect();
        let waves: Vec<_> =
            bins.iter().map(|&(x, y)| (wave_number(x, nx, lx), wave_number(y, ny, ly))).collect();
        let keep = |&(x, y): &(usize, usize)| resolved(x, nx) && resolved(y, ny);
        let mirror = |&(x, y): &(usize, usize)| mirrored(x, nx) * ny + mirrored(y, ny);

        let pairs = bins.iter().enumerate().filter(|(_, bin)| keep(bin));
        let pairs = pairs.map(|(k, bin)| [k, mirror(bin)]).filter(|[k, other]| k <= other);
        let kept: Vec<_> = pairs.collect();

        let velocity = |((kx, ky), bin): (&(f64, f64), _)| {
            let square: f64 = kx * kx + ky * ky;
            let factor = if keep(bin) && square > 0.0 { 1.0 / square } else { 0.0 };
            Complex::new(*kx, *ky) * factor
        };

        // v . grad w = (d_xx - d_yy) u v - d_xy (u^2 - v^2), the curl of the divergence of vv.
        let advection = |&[k, _]: &[usize; 2]| {
            let (kx, ky) = waves[k];
            Complex::new(2.0 * kx * ky, kx * kx - ky * ky) * 0.25
        };

        let mut source = complex(&force(grid, forcing));
        fft.forward(&mut source);
        let largest = source.iter().map(|f| f.norm()).fold(0.0, f64::max);
        let source = source.into_iter().enumerate().filter(|(_, f)| f.norm() > 1e-9 * largest);

        let zeros = vec![Complex::default(); grid.points()];
        Self {
            grid,
            forcing,
            fft,
            decay: waves.iter().map(|(kx, ky)| nu * (kx * kx + ky * ky)).collect(),
            to_velocity: waves.iter().zip(&bins).map(velocity).collect(),
            to_advection: kept.iter().map(advection).collect(),
            kept,
            source: source.collect(),
            velocity: zeros.clone(),
            product: zeros,
        }
    }

    /// Returns the modes of a field.
    pub fn modes_of(&self, values: &[f64]) -> Vec<Complex<f64>> {
        let mut modes = complex(values);
        self.fft.forward(&mut modes);
        modes
    }

    /// Returns the field with these modes.
    pub fn values_of(&self, modes: &[Complex<f64>]) -> Vec<f64> {
        let mut values = modes.to_vec();
        self.fft.inverse(&mut values);
        real(&values)
    }

    /// Returns the largest time step that is stable and accurate over the next `interval`.
    pub fn largest_step(&mut self, vorticity: &[Complex<f64>], interval: f64) -> f64 {
        self.set_velocity(vorticity);
        let fastest = self.velocity.iter().map(|v| v.re.abs() + v.im.abs()).fold(0.0, f64::max);
        let strongest = self.values_of(vorticity).iter().map(|w| w.abs()).fold(0.0, f64::max);

        // The contribution of the forcing within the interval. The maximum principle bounds the
        // vorticity. The velocity of f itself is at most |u| + |v| = forcing / (sqrt2 pi) on the
        // unit square, and `wider` times that on another rectangle.
        let Grid { ny, nx, ly, lx } = self.grid;
        let wider = (ly.recip() + lx.recip()) / (ly.powi(-2) + lx.powi(-2));
        let added = self.forcing.abs() * interval;
        let speed = fastest + wider * added / (SQRT_2 * PI);
        let turn = strongest + SQRT_2 * added;

        // One over the smaller of the two spacings.
        let density = (ny as f64 / ly).max(nx as f64 / lx);
        (COURANT / (density * speed)).min(TURN / turn)
    }

    /// Sets the velocity at the grid points to that of `vorticity`, kept modes alone.
    fn set_velocity(&mut self, vorticity: &[Complex<f64>]) {
        let Self { fft, to_velocity, velocity, .. } = self;
        multiply(to_velocity, vorticity, velocity);
        fft.inverse_kept(velocity);
    }

    /// Writes the modes of -v . grad w, given c^2 at the grid points in `product`. Modes that are
    /// not kept are not written.
    fn advection(&mut self, advection: &mut [Complex<f64>]) {
        let Self { fft, product, to_advection, kept, .. } = self;
        fft.forward_kept(product);
        for (&[k, other], to) in kept.iter().zip(to_advection) {
            let mode = -(product[k] * *to + (product[other] * *to).conj());
            advection[k] = mode;
            advection[other] = mode.conj();
        }
    }

    /// Returns the number of time steps of an interval.
    pub fn steps(&mut self, vorticity: &[Complex<f64>], interval: f64) -> usize {
        (interval / self.largest_step(vorticity, interval)).ceil().max(1.0) as usize
    }

    /// Advances the vorticity by `time` in `steps` equal steps.
    pub fn advance(&mut self, vorticity: &mut [Complex<f64>], time: f64, steps: usize) {
        let mut method = Etdrk4::new(&self.decay, time / steps as f64);
        for _ in 0..steps {
            method.step(vorticity, |w, rate| self.rate(w, rate));
        }
    }
}

impl Nonlinear for Flow {
    /// Writes f - v . grad w.
    fn rate(&mut self, vorticity: &[Complex<f64>], rate: &mut [Complex<f64>]) {
        self.set_velocity(vorticity);
        multiply(&self.velocity, &self.velocity, &mut self.product);
        self.advection(rate);
        self.source.iter().for_each(|&(k, f)| rate[k] += f);
    }

    fn slope(&mut self, vorticity: &[Complex<f64>], slope: &mut [Complex<f64>]) {
        let Self { fft, to_velocity, velocity, product, .. } = self;
        multiply(to_velocity, vorticity, product);
        fft.inverse_kept(product);
        product.iter_mut().zip(&*velocity).for_each(|(p, c)| *p *= c + c);
        self.advection(slope);
    }

    fn pull_back(&mut self, y: &[Complex<f64>], pulled: &mut [Complex<f64>]) {
        pulled.fill(Complex::default());
        for (&[k, other], to) in self.kept.iter().zip(&self.to_advection) {
            pulled[k] = to.conj() * (y[k] + y[other].conj());
            pulled[other] = to.conj() * (y[other] + y[k].conj());
        }

        self.fft.inverse_kept(pulled);
        pulled.iter_mut().zip(&self.velocity).for_each(|(p, c)| *p *= 2.0 * c.conj());
        self.fft.forward_kept(pulled);
        pulled.iter_mut().zip(&self.to_velocity).for_each(|(p, to)| *p *= -to.conj());
    }
}

/// The flow on the full grid and on a coarse one, the smallest that holds the modes which viscosity
/// leaves by the final time.
#[derive(Clone)]
pub(super) struct Nested {
    pub full: Flow,
    pub needed: Flow,
    pub shared: Shared,
}

impl Nested {
    pub fn new(pde: &NavierStokes, grid: Grid) -> Self {
        // The wave number at which exp(-nu (2 pi k)^2 T) equals DAMPED, and a grid that keeps it.
        let largest = (-DAMPED.ln() / (pde.nu * pde.time)).sqrt() / (2.0 * PI);
        let needed = |points: usize, side: f64| {
            let needed = (3.0 * (largest * side + 1.0)).ceil().min(points as f64);
            (needed as usize).next_multiple_of(2).min(points)
        };
        let Grid { ny, nx, ly, lx } = grid;
        let small = Grid { ny: needed(ny, ly), nx: needed(nx, lx), ..grid };

        let [full, needed] = [grid, small].map(|grid| Flow::new(grid, pde.nu, pde.forcing));
        let shared = Shared::new(grid, &needed);
        Self { full, needed, shared }
    }

    /// Returns the field on the full grid, given modes of the smaller one.
    pub fn values_of(&self, modes: &[Complex<f64>]) -> Vec<f64> {
        let mut all = vec![Complex::default(); self.full.grid.points()];
        self.shared.put(modes, &mut all);
        self.full.fft.inverse_kept(&mut all);
        real(&all)
    }
}

/// The modes that a grid shares with a smaller one: all that the smaller one keeps.
#[derive(Clone)]
pub(super) struct Shared {
    /// Indices of each mode in the spectrum of the larger grid and in that of the smaller one.
    modes: Vec<[usize; 2]>,
    /// Factor from a mode of the larger grid to that of the smaller one, for transforms without a
    /// norm.
    scale: f64,
    /// Number of points of the smaller grid.
    small: usize,
}

impl Shared {
    fn new(grid: Grid, flow: &Flow) -> Self {
        let small = flow.grid;
        let here = |i: usize, small: usize, n: usize| if 2 * i < small { i } else { i + n - small };
        let place = |&k: &usize| {
            let [x, y] =
                [here(k / small.ny, small.nx, grid.nx), here(k % small.ny, small.ny, grid.ny)];
            [x * grid.ny + y, k]
        };
        let modes = flow.kept.iter().flatten().map(place).collect();
        let share = |small: usize, n: usize| small as f64 / n as f64;
        let scale = share(small.ny, grid.ny) * share(small.nx, grid.nx);
        Self { modes, scale, small: small.points() }
    }

    /// Returns the shared modes of a spectrum, as a spectrum of the smaller grid.
    pub fn restricted(&self, all: &[Complex<f64>]) -> Vec<Complex<f64>> {
        let mut modes = vec![Complex::default(); self.small];
        self.modes.iter().for_each(|&[here, there]| modes[there] = all[here] * self.scale);
        modes
    }

    /// Writes the modes of the smaller grid to their places in a spectrum of the larger one.
    pub fn put(&self, modes: &[Complex<f64>], all: &mut [Complex<f64>]) {
        self.modes.iter().for_each(|&[here, there]| all[here] = modes[there] / self.scale);
    }
}

/// Writes the products `factors * modes`, entry by entry.
fn multiply(factors: &[Complex<f64>], modes: &[Complex<f64>], product: &mut [Complex<f64>]) {
    for ((p, f), m) in product.iter_mut().zip(factors).zip(modes) {
        *p = f * m;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hermite::tests::assert_slope;
    use crate::rng;

    #[test]
    fn the_slope_is_the_change_of_the_rate() {
        let mut law = Flow::new(Grid::square(12), 0.01, 0.3);
        let [v, w] = [1, 2].map(|seed| {
            let values = rng::normals(&mut rng::stream(seed, "field", 0, 0), 144);
            law.modes_of(&values)
        });
        assert_slope(&mut law, &v, &w);
    }
}
