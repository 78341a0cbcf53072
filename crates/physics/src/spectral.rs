//! Fourier transforms and wave numbers on periodic intervals and rectangles.

use std::f64::consts::PI;
use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use crate::Grid;

/// The wave number of bin `i` of `n` on a period of length `side`, times 2 pi. A derivative
/// multiplies the mode by i times it.
pub(crate) fn wave_number(i: usize, n: usize, side: f64) -> f64 {
    let signed = if 2 * i > n { i as f64 - n as f64 } else { i as f64 };
    2.0 * PI * signed / side
}

/// Tells whether bin `i` of `n` is kept by the 2/3 rule, `|k| < n / 3`. The product of two kept
/// modes aliases onto no kept mode.
pub(crate) fn resolved(i: usize, n: usize) -> bool {
    3 * i.min(n - i) < n
}

/// The largest wave number that the 2/3 rule keeps on `n` points of a period of length `side`,
/// times 2 pi, as a real number.
pub(crate) fn largest_wave_number(n: usize, side: f64) -> f64 {
    2.0 * PI * n as f64 / 3.0 / side
}

/// The bin of the wave number -k, k being that of bin `i` of `n`.
pub(crate) fn mirrored(i: usize, n: usize) -> usize {
    (n - i) % n
}

/// The complex FFT of periodic lines of `n` points.
#[derive(Clone)]
pub(crate) struct Fft1 {
    size: usize,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
}

impl Fft1 {
    pub(crate) fn new(size: usize) -> Self {
        let mut planner = FftPlanner::new();
        let forward = planner.plan_fft_forward(size);
        Self { size, forward, inverse: planner.plan_fft_inverse(size) }
    }

    /// Transforms values to modes, without a norm. `lines` holds any number of lines one after the
    /// other.
    pub(crate) fn forward(&self, lines: &mut [Complex<f64>]) {
        self.forward.process(lines);
    }

    /// Transforms modes to values: the inverse of [`Fft1::forward`].
    pub(crate) fn inverse(&self, lines: &mut [Complex<f64>]) {
        self.inverse.process(lines);
        let scale = 1.0 / self.size as f64;
        lines.iter_mut().for_each(|v| *v *= scale);
    }
}

/// The complex FFT of periodic fields.
///
/// Fields are stored row by row, spectra column by column: mode (kx, ky) is at `kx * ny + ky`. This
/// saves a transposition each way.
#[derive(Clone)]
pub(crate) struct Fft2 {
    along_y: Fft1,
    along_x: Fft1,
    /// Number of lines at the start and at the end of a spectrum that hold modes kept by the 2/3
    /// rule.
    kept: [usize; 2],
}

impl Fft2 {
    pub(crate) fn new(grid: Grid) -> Self {
        let kept = (0..grid.nx).filter(|&i| resolved(i, grid.nx)).count();
        let first = kept.div_ceil(2);
        Self {
            along_y: Fft1::new(grid.ny),
            along_x: Fft1::new(grid.nx),
            kept: [first, kept - first],
        }
    }

    /// Transforms values to modes, without a norm.
    pub(crate) fn forward(&self, field: &mut [Complex<f64>]) {
        self.along_x.forward(field);
        transpose(field, self.along_x.size);
        self.along_y.forward(field);
    }

    /// Transforms modes to values: the inverse of [`Fft2::forward`].
    pub(crate) fn inverse(&self, modes: &mut [Complex<f64>]) {
        self.along_y.inverse(modes);
        transpose(modes, self.along_y.size);
        self.along_x.inverse(modes);
    }

    /// Transforms like [`Fft2::forward`] where only kept modes are needed. Lines of the spectrum
    /// without kept modes are left with meaningless values.
    pub(crate) fn forward_kept(&self, field: &mut [Complex<f64>]) {
        self.along_x.forward(field);
        transpose(field, self.along_x.size);
        self.kept_lines(field).into_iter().for_each(|lines| self.along_y.forward(lines));
    }

    /// Transforms like [`Fft2::inverse`], provided that all modes but the kept ones are zero.
    pub(crate) fn inverse_kept(&self, modes: &mut [Complex<f64>]) {
        let scale = 1.0 / modes.len() as f64;
        for lines in self.kept_lines(modes) {
            self.along_y.inverse.process(lines);
            lines.iter_mut().for_each(|v| *v *= scale);
        }
        transpose(modes, self.along_y.size);
        self.along_x.inverse.process(modes);
    }

    /// Returns the lines of a spectrum that hold kept modes: the first ones and the last ones.
    fn kept_lines<'a>(&self, spectrum: &'a mut [Complex<f64>]) -> [&'a mut [Complex<f64>]; 2] {
        let ([first, last], n) = (self.kept, self.along_y.size);
        let (first, rest) = spectrum.split_at_mut(first * n);
        let dropped = rest.len() - last * n;
        [first, &mut rest[dropped..]]
    }
}

/// The side of the square blocks that a transposition swaps, so that the rows of both stay in the
/// cache.
const BLOCK: usize = 8;

/// Transposes lines of `n` values each: in place if there are n of them.
fn transpose(data: &mut [Complex<f64>], n: usize) {
    let lines = data.len() / n;
    if lines != n {
        let old = data.to_vec();
        for (i, value) in data.iter_mut().enumerate() {
            *value = old[i % lines * n + i / lines];
        }
        return;
    }

    for top in (0..n).step_by(BLOCK) {
        for left in (top..n).step_by(BLOCK) {
            for y in top..(top + BLOCK).min(n) {
                for x in left.max(y + 1)..(left + BLOCK).min(n) {
                    data.swap(y * n + x, x * n + y);
                }
            }
        }
    }
}

/// Converts real values to complex ones.
pub(crate) fn complex(values: &[f64]) -> Vec<Complex<f64>> {
    values.iter().map(|&v| Complex::new(v, 0.0)).collect()
}

/// Returns the real parts.
pub(crate) fn real(values: &[Complex<f64>]) -> Vec<f64> {
    values.iter().map(|v| v.re).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_wave_is_one_mode_and_comes_back() {
        let n = 10;
        let wave =
            |i: usize| Complex::cis(2.0 * PI * ((i / n) as f64 * 2.0 - (i % n) as f64) / 10.0);
        let mut field: Vec<_> = (0..n * n).map(wave).collect();
        let fft = Fft2::new(Grid::square(n));
        fft.forward(&mut field);
        for (i, mode) in field.iter().enumerate() {
            // kx = -1 is bin 9, ky = 2 is bin 2.
            let expected = if i == 9 * n + 2 { 100.0 } else { 0.0 };
            assert!((mode - expected).norm() < 1e-12, "{i} {mode}");
        }
        fft.inverse(&mut field);
        assert!(field.iter().enumerate().all(|(i, v)| (v - wave(i)).norm() < 1e-12));
    }

    #[test]
    fn transforms_of_kept_modes_agree_with_those_of_all() {
        for n in [8, 9, 12] {
            let fft = Fft2::new(Grid::square(n));
            let kept = |i: usize| resolved(i / n, n) && resolved(i % n, n);
            let value = |i: usize| Complex::new((7 * i % 11) as f64, (5 * i % 13) as f64);
            let modes: Vec<_> =
                (0..n * n).map(|i| if kept(i) { value(i) } else { Complex::default() }).collect();
            let [mut all, mut own] = [modes.clone(), modes];

            fft.inverse(&mut all);
            fft.inverse_kept(&mut own);
            assert!(all.iter().zip(&own).all(|(a, o)| (a - o).norm() < 1e-12), "{n}");

            fft.forward(&mut all);
            fft.forward_kept(&mut own);
            for i in (0..n * n).filter(|&i| kept(i)) {
                assert!((all[i] - own[i]).norm() < 1e-9, "{n} {i}");
            }
        }
    }

    #[test]
    fn products_of_resolved_modes_do_not_alias_onto_resolved_modes() {
        for n in [8, 9, 12, 64] {
            for (i, j) in (0..n * n).map(|i| (i / n, i % n)) {
                let sum = wave_number(i, n, 1.0) + wave_number(j, n, 1.0);
                let aliases = (sum - wave_number((i + j) % n, n, 1.0)).abs() > 1.0;
                let all = resolved(i, n) && resolved(j, n) && resolved((i + j) % n, n);
                assert!(!(aliases && all), "{n}: {i} {j}");
            }
        }
    }
}
