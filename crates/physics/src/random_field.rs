//! Gaussian random fields with Matern-like spectra, as DiffusionPDE draws its inputs (Huang et al.,
//! NeurIPS 2024; after Li et al., "Fourier Neural Operator", 2021).
//!
//! Each field is a sum of independent modes, of which the constant one is 0. Another grid therefore
//! samples the same law, up to the modes that it cannot represent.

use std::f64::consts::{PI, SQRT_2};

use rand_chacha::ChaCha8Rng;

use crate::transform::{Transform, forward_2d, inverse_2d};
use crate::{Basis, Error, Grid, Param, Result, rng};

/// The law of a Gaussian field with covariance `tau^(2 alpha - 2) (-lap + tau^2)^(-alpha)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldLaw {
    /// Smoothness, above 1 (for a finite variance in two dimensions).
    pub alpha: f64,
    /// Inverse correlation length, above 0.
    pub tau: f64,
}

impl FieldLaw {
    /// Returns the law's parameters in the form of a PDE's.
    pub fn params(&self) -> Vec<Param> {
        vec![
            Param::new("alpha", self.alpha, "smoothness of the random input, above 1"),
            Param::new("tau", self.tau, "inverse correlation length of the random input, above 0"),
        ]
    }

    /// Sets `alpha` or `tau`. `others` lists the PDE's further parameters for the error message.
    ///
    /// # Errors
    /// Fails on another name, or a value outside the range.
    pub fn set(&mut self, pde: &str, name: &str, value: f64, others: &str) -> Result<()> {
        let (slot, name, above) = match name {
            "alpha" => (&mut self.alpha, "alpha", 1.0),
            "tau" => (&mut self.tau, "tau", 0.0),
            _ => {
                let known = format!("{others}alpha, tau");
                return Err(Error::UnknownParam { pde: pde.into(), name: name.into(), known });
            }
        };

        if !(value.is_finite() && value > above) {
            let expected = format!("finite and above {above}");
            let (pde, name) = (pde.into(), name.into());
            return Err(Error::OutOfRange { pde, name, value, expected });
        }
        *slot = value;
        Ok(())
    }

    /// Draws a field with zero normal derivative, one value for each point, row by row. With
    /// xi ~ N(0, 1) for each mode k, and d = (n / area)^(1/2) from the number of points n, it is
    ///
    /// ```text
    /// idct2(d tau^(alpha-1) (pi^2 |k / l|^2 + tau^2)^(-alpha/2) xi)
    /// ```
    ///
    /// where k / l stands for the number of half waves over the side, along both axes.
    pub fn neumann(&self, grid: Grid, rng: &mut ChaCha8Rng) -> Vec<f64> {
        self.neumann_modes(grid).field(&rng::normals(rng, grid.points()))
    }

    /// The modes of [`FieldLaw::neumann`].
    pub fn neumann_modes(&self, grid: Grid) -> Modes {
        self.modes(Basis::Cosine, grid, |mode| PI * mode as f64, 1.0)
    }

    /// Draws a periodic field, one value for each point, row by row. With xi, eta ~ N(0, 1) for
    /// each mode k, n points, and waves over the side k / l, it is the real part of
    ///
    /// ```text
    /// ifft2(n (2 / area)^(1/2) tau^(alpha-1) (4 pi^2 |k / l|^2 + tau^2)^(-alpha/2) (xi + i eta))
    /// ```
    pub fn periodic(&self, grid: Grid, rng: &mut ChaCha8Rng) -> Vec<f64> {
        self.periodic_modes(grid).field(&rng::normals(rng, grid.points()))
    }

    /// The modes of [`FieldLaw::periodic`].
    pub fn periodic_modes(&self, grid: Grid) -> Modes {
        // The real part has covariance sum_k c_k^2 cos(2 pi k/l.(x-y)), n c_k the amplitude of the
        // formula. The real Fourier modes are its eigenvectors, with variance n c_k^2 each.
        self.modes(Basis::Fourier, grid, |row| 2.0 * PI * row.div_ceil(2) as f64, SQRT_2)
    }

    /// Returns independent modes of standard deviation
    /// `factor (n / area)^(1/2) tau^(alpha-1) (|wave / side|^2 + tau^2)^(-alpha/2)`, the constant
    /// one 0. The root turns modes normalised on the rectangle into orthonormal ones of its points.
    fn modes(&self, basis: Basis, grid: Grid, wave: impl Fn(usize) -> f64, factor: f64) -> Modes {
        let density = grid.points() as f64 / grid.area();
        let amplitude = factor * density.sqrt() * self.tau.powf(self.alpha - 1.0);
        let deviation = |i: usize| {
            let [ky, kx] = [wave(i / grid.nx) / grid.ly, wave(i % grid.nx) / grid.lx];
            amplitude * (ky * ky + kx * kx + self.tau * self.tau).powf(-self.alpha / 2.0)
        };
        let mut deviations: Vec<f64> = (0..grid.points()).map(deviation).collect();
        deviations[..1].fill(0.0);
        Modes { basis, width: grid.nx, deviations }
    }
}

/// A Gaussian field as independent modes of an orthonormal basis, along both axes or along a line.
#[derive(Debug, Clone)]
pub struct Modes {
    basis: Basis,
    width: usize,
    /// The standard deviations, row by row.
    deviations: Vec<f64>,
}

impl Modes {
    /// The standard deviation of every mode, row by row.
    pub fn deviations(&self) -> &[f64] {
        &self.deviations
    }

    /// The basis along both axes.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Returns the field whose modes are `white` times their standard deviations. There is one
    /// value of `white` for each mode.
    pub fn field(&self, white: &[f64]) -> Vec<f64> {
        let mut modes: Vec<f64> = white.iter().zip(&self.deviations).map(|(w, d)| w * d).collect();
        match modes.len() / self.width {
            1 => Transform::new(self.basis, self.width).inverse(&mut modes),
            height => inverse_2d([self.basis; 2], height, self.width, &mut modes),
        }
        modes
    }

    /// Applies the adjoint of [`Modes::field`].
    pub fn pull_back(&self, field: &[f64]) -> Vec<f64> {
        let mut modes = field.to_vec();
        match modes.len() / self.width {
            1 => Transform::new(self.basis, self.width).forward(&mut modes),
            height => forward_2d([self.basis; 2], height, self.width, &mut modes),
        }
        modes.iter_mut().zip(&self.deviations).for_each(|(m, d)| *m *= d);
        modes
    }
}

/// The law of a periodic Gaussian line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineLaw {
    /// Smoothness, above 1/2.
    pub gamma: f64,
    /// Inverse correlation length, above 0.
    pub tau: f64,
    /// Amplitude, above 0.
    pub sigma: f64,
}

impl LineLaw {
    /// Draws a periodic line on [0, l) of mean 0, n values at `j l / n`. With xi_k, eta_k ~ N(0, 1)
    /// and w_k = 2 pi k / l it is
    ///
    /// ```text
    /// sum_{k=1}^{n/2} (2 / l)^(1/2) sigma (w_k^2 + tau^2)^(-gamma/2)
    ///     (xi_k cos w_k x + eta_k sin w_k x)
    /// ```
    pub fn periodic(&self, n: usize, length: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
        self.periodic_modes(n, length).field(&rng::normals(rng, n))
    }

    /// The modes of [`LineLaw::periodic`].
    pub fn periodic_modes(&self, n: usize, length: f64) -> Modes {
        let deviation = |row: usize| {
            let wave = 2.0 * PI * row.div_ceil(2) as f64 / length;
            // Cosine and sine of the sum have norm sqrt(n/2), the Nyquist cosine has sqrt(n).
            let nyquist = n.is_multiple_of(2) && row == n - 1;
            let square = if nyquist { n as f64 } else { n as f64 / 2.0 };
            let norm = (square / length).sqrt();
            let decay = (wave * wave + self.tau * self.tau).powf(-self.gamma / 2.0);
            SQRT_2 * self.sigma * decay * norm
        };
        let mut deviations: Vec<f64> = (0..n).map(deviation).collect();
        deviations[..1].fill(0.0);
        Modes { basis: Basis::Fourier, width: n, deviations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 128;

    /// Root mean square over `count` fields, and its standard error from the spread of the fields.
    fn rms(count: usize, draw: impl Fn(&mut ChaCha8Rng) -> Vec<f64>) -> (f64, f64) {
        let squares: Vec<f64> = (0..count)
            .map(|i| {
                let field = draw(&mut rng::stream(11, "field", 0, i as u64));
                field.iter().map(|v| v * v).sum::<f64>() / field.len() as f64
            })
            .collect();
        let mean = squares.iter().sum::<f64>() / count as f64;
        let spread = squares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / count as f64;
        (mean.sqrt(), (spread / count as f64).sqrt() / (2.0 * mean.sqrt()))
    }

    /// The exact standard deviation of a tensor field of the law.
    fn exact(law: FieldLaw, factor: f64, wave: impl Fn(usize) -> f64) -> f64 {
        let mode = |i: usize| {
            let [ky, kx] = [wave(i / SIZE), wave(i % SIZE)];
            (ky * ky + kx * kx + law.tau * law.tau).powf(-law.alpha)
        };
        let sum: f64 = (1..SIZE * SIZE).map(mode).sum();
        factor * law.tau.powf(law.alpha - 1.0) * sum.sqrt()
    }

    fn assert_deviation(drawn: (f64, f64), exact: f64, published: f64) {
        let (value, error) = drawn;
        assert!((value - exact).abs() < 4.0 * error, "drawn {value} +- {error}, exact {exact}");
        assert!((exact / published - 1.0).abs() < 0.015, "exact {exact}, published {published}");
    }

    #[test]
    fn the_neumann_field_has_its_standard_deviation() {
        let law = FieldLaw { alpha: 2.0, tau: 3.0 };
        let expected = exact(law, 1.0, |k| PI * k as f64);
        assert_deviation(rms(200, |rng| law.neumann(Grid::square(SIZE), rng)), expected, 0.292);
    }

    #[test]
    fn the_periodic_field_has_its_standard_deviation() {
        let law = FieldLaw { alpha: 2.5, tau: 7.0 };
        let expected = exact(law, SQRT_2, |row| 2.0 * PI * row.div_ceil(2) as f64);
        assert_deviation(rms(200, |rng| law.periodic(Grid::square(SIZE), rng)), expected, 0.262);
    }

    #[test]
    fn the_periodic_line_has_its_standard_deviation() {
        let law = LineLaw { gamma: 2.5, tau: 7.0, sigma: 49.0 };
        let term = |k: i32| (4.0 * PI * PI * f64::from(k * k) + 49.0).powf(-2.5);
        let expected = 49.0 * (2.0 * (1..=64).map(term).sum::<f64>()).sqrt();
        assert_deviation(rms(2000, |rng| law.periodic(SIZE, 1.0, rng)), expected, 0.274);
    }

    #[test]
    fn constant_modes_vanish() {
        let law = FieldLaw { alpha: 2.0, tau: 3.0 };
        let line = LineLaw { gamma: 2.5, tau: 7.0, sigma: 49.0 };
        for size in [1, 2, 7, 32] {
            let mut rng = rng::stream(1, "mean", 0, size as u64);
            for field in [
                law.neumann(Grid::square(size), &mut rng),
                law.periodic(Grid::square(size), &mut rng),
                line.periodic(size, 1.0, &mut rng),
            ] {
                assert!(field.iter().sum::<f64>().abs() < 1e-11 * field.len() as f64);
            }
        }
    }

    #[test]
    fn a_mode_has_the_variance_of_the_formula() {
        let (size, count) = (16, 4000);
        let law = FieldLaw { alpha: 2.0, tau: 3.0 };
        let [ky, kx] = [2, 5];
        let variance: f64 = (0..count)
            .map(|i| {
                let mut field = law.neumann(Grid::square(size), &mut rng::stream(3, "mode", 0, i));
                forward_2d([Basis::Cosine; 2], size, size, &mut field);
                field[ky * size + kx].powi(2) / count as f64
            })
            .sum();
        let expected = (16.0 * 3.0 / (PI * PI * 29.0 + 9.0)).powi(2);
        let four_standard_errors = 4.0 * (2.0 / count as f64).sqrt();
        assert!((variance / expected - 1.0).abs() < four_standard_errors, "{variance} {expected}");
    }

    /// The formula of the periodic field as a literal double sum.
    #[test]
    fn the_periodic_field_has_the_covariance_of_the_complex_formula() {
        let (size, count) = (6_usize, 20_000);
        let law = FieldLaw { alpha: 2.5, tau: 7.0 };
        let signed = |k: usize| if 2 * k > size { k as f64 - size as f64 } else { k as f64 };
        let (dy, dx) = (1.0 / size as f64, 2.0 / size as f64);
        let expected: f64 = (1..size * size)
            .map(|i| {
                let [ky, kx] = [2.0 * PI * signed(i / size), 2.0 * PI * signed(i % size)];
                let power = 2.0 * 343.0 * (ky * ky + kx * kx + 49.0).powf(-2.5);
                power * (ky * dy + kx * dx).cos()
            })
            .sum();
        let products: Vec<f64> = (0..count)
            .map(|i| {
                let field = law.periodic(Grid::square(size), &mut rng::stream(4, "pair", 0, i));
                field[0] * field[size + 2]
            })
            .collect();
        let mean = products.iter().sum::<f64>() / count as f64;
        let spread = products.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / count as f64;
        let error = (spread / count as f64).sqrt();
        assert!((mean - expected).abs() < 4.0 * error, "{mean} +- {error}, expected {expected}");
    }
}
