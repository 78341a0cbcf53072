//! Orthonormal trigonometric transforms, one for each [`Basis`].
//!
//! Algorithms, forward and back:
//!
//! - Cosine: DCT-II and DCT-III, by one complex FFT of the reordered line (Makhoul, "A fast cosine
//!   transform in one and two dimensions", IEEE Trans. ASSP 28, 1980).
//! - SineCells: DST-II and DST-III, as the cosine transform of the line with alternating signs.
//! - SineNodes: DST-I of the inner nodes, by the FFT of the odd extension.
//! - CosineNodes: the cosine transform of the inner nodes.
//! - SineInner: DST-I of all points.
//! - Fourier: the real FFT.
//!
//! Modes run from low to high frequency. Mode k at point j of n is proportional to
//!
//! - Cosine: `cos(pi k (j+1/2)/n)`, k = 0..n.
//! - SineCells: `sin(pi k (j+1/2)/n)`, k = 1..=n.
//! - SineNodes: `sin(pi k j/(n-1))`, k = 1..=n-2, then the first and the last node themselves.
//! - CosineNodes: the cosines of the inner nodes, then the first and the last node themselves.
//! - SineInner: `sin(pi k (j+1)/(n+1))`, k = 1..=n.
//! - Fourier: 1, cos 1, sin 1, cos 2, sin 2, ... and for even n last the Nyquist cosine.
//!
//! A spectrum holds its values in this order, and equals `basis_matrix * line`.

use std::f64::consts::{FRAC_PI_2, PI};
use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use crate::Basis;

/// The fast transform between the `n` values of a line and its `n` modes in one [`Basis`].
///
/// Sizes: `n >= 1`, and `n >= 2` for [`Basis::SineNodes`] and [`Basis::CosineNodes`].
pub struct Transform {
    basis: Basis,
    n: usize,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    /// `exp(-i pi k / 2n)`, for the cosine transform.
    twiddles: Vec<Complex<f64>>,
}

impl Transform {
    /// Plans the transform of lines of `n` points.
    pub fn new(basis: Basis, n: usize) -> Self {
        let mut planner = FftPlanner::new();
        let length = match basis {
            Basis::SineNodes => 2 * n.saturating_sub(1),
            Basis::CosineNodes => n.saturating_sub(2),
            Basis::SineInner => 2 * (n + 1),
            _ => n,
        };

        let forward = planner.plan_fft_forward(length);
        let inverse = planner.plan_fft_inverse(length);
        let twiddle = |k: usize| Complex::cis(-FRAC_PI_2 * k as f64 / length as f64);
        let twiddles = (0..length).map(twiddle).collect();

        Self { basis, n, forward, inverse, twiddles }
    }

    /// Replaces the `n` values of a line by its modes.
    pub fn forward(&self, line: &mut [f64]) {
        match self.basis {
            Basis::Cosine => self.cosine(line),
            Basis::SineCells => {
                alternate(line);
                self.cosine(line);
                line.reverse();
            }
            Basis::SineNodes => {
                self.sine_nodes(&mut line[1..self.n - 1]);
                line[..self.n - 1].rotate_left(1);
            }
            Basis::CosineNodes => {
                self.cosine(&mut line[1..self.n - 1]);
                line[..self.n - 1].rotate_left(1);
            }
            Basis::SineInner => self.sine_nodes(line),
            Basis::Fourier => self.fourier(line),
        }
    }

    /// Replaces `n` modes by the values of the line.
    pub fn inverse(&self, modes: &mut [f64]) {
        match self.basis {
            Basis::Cosine => self.cosine_back(modes),
            Basis::SineCells => {
                modes.reverse();
                self.cosine_back(modes);
                alternate(modes);
            }
            Basis::SineNodes => {
                modes[..self.n - 1].rotate_right(1);
                self.sine_nodes(&mut modes[1..self.n - 1]);
            }
            Basis::CosineNodes => {
                modes[..self.n - 1].rotate_right(1);
                self.cosine_back(&mut modes[1..self.n - 1]);
            }
            Basis::SineInner => self.sine_nodes(modes),
            Basis::Fourier => self.fourier_back(modes),
        }
    }

    fn cosine(&self, line: &mut [f64]) {
        let n = line.len();
        let mut work: Vec<_> = (0..n).map(|i| real(line[makhoul(i, n)])).collect();

        self.forward.process(&mut work);
        for (k, value) in line.iter_mut().enumerate() {
            *value = (work[k] * self.twiddles[k]).re * cosine_norm(k, n);
        }
    }

    fn cosine_back(&self, modes: &mut [f64]) {
        let n = modes.len();
        // The partner of mode k is mode n - k. Mode n, the partner of mode 0, vanishes.
        let plain = |k: usize| if k == n { 0.0 } else { modes[k] / cosine_norm(k, n) };
        let mut work: Vec<_> = (0..n)
            .map(|k| Complex::new(plain(k), -plain(n - k)) * self.twiddles[k].conj())
            .collect();

        self.inverse.process(&mut work);
        for (i, value) in work.iter().enumerate() {
            modes[makhoul(i, n)] = value.re / n as f64;
        }
    }

    fn sine_nodes(&self, inner: &mut [f64]) {
        let intervals = inner.len() + 1;
        let mut work = vec![real(0.0); 2 * intervals];
        for (j, &value) in inner.iter().enumerate() {
            work[j + 1] = real(value);
            work[2 * intervals - 1 - j] = real(-value);
        }

        self.forward.process(&mut work);
        let norm = (2.0 / intervals as f64).sqrt();
        for (k, value) in inner.iter_mut().enumerate() {
            *value = -0.5 * norm * work[k + 1].im;
        }
    }

    fn fourier(&self, line: &mut [f64]) {
        let mut work: Vec<_> = line.iter().map(|&v| real(v)).collect();
        self.forward.process(&mut work);
        for (row, value) in line.iter_mut().enumerate() {
            let coefficient = work[row.div_ceil(2)];
            let part = if fourier_is_sine(row) { -coefficient.im } else { coefficient.re };
            *value = part * fourier_norm(row, self.n);
        }
    }

    fn fourier_back(&self, modes: &mut [f64]) {
        let mut work = vec![real(0.0); self.n];
        for (row, &value) in modes.iter().enumerate() {
            let scaled = value * fourier_norm(row, self.n);
            work[row.div_ceil(2)] +=
                if fourier_is_sine(row) { Complex::new(0.0, -scaled) } else { real(scaled) };
        }

        self.inverse.process(&mut work);
        for (value, w) in modes.iter_mut().zip(&work) {
            *value = w.re;
        }
    }
}

/// Transforms a field `[height, width]` along both axes in place. `bases` are those for y and x.
pub fn forward_2d(bases: [Basis; 2], height: usize, width: usize, field: &mut [f64]) {
    let [along_y, along_x] = [Transform::new(bases[0], height), Transform::new(bases[1], width)];
    along_rows(field, width, |row| along_x.forward(row));
    along_columns(field, width, |column| along_y.forward(column));
}

/// Inverts [`forward_2d`] in place.
pub fn inverse_2d(bases: [Basis; 2], height: usize, width: usize, modes: &mut [f64]) {
    let [along_y, along_x] = [Transform::new(bases[0], height), Transform::new(bases[1], width)];
    along_columns(modes, width, |column| along_y.inverse(column));
    along_rows(modes, width, |row| along_x.inverse(row));
}

/// Returns the orthonormal basis of lines of `n` points, row-major `n * n`. Row k is mode k.
pub fn basis_matrix(basis: Basis, n: usize) -> Vec<f64> {
    (0..n * n).map(|i| basis_value(basis, n, i / n, i % n)).collect()
}

/// The value of mode `k` at point `j` of `n`.
fn basis_value(basis: Basis, n: usize, k: usize, j: usize) -> f64 {
    match basis {
        Basis::Cosine => cosine_value(n, k, j),
        Basis::CosineNodes => edge_value(n, k, j).unwrap_or_else(|| cosine_value(n - 2, k, j - 1)),
        Basis::SineCells => cosine_norm(n - 1 - k, n) * (PI * (k + 1) as f64 * centre(n, j)).sin(),
        Basis::SineNodes => sine_nodes_value(n, k, j),
        Basis::SineInner => sine_nodes_value(n + 2, k, j + 1),
        Basis::Fourier => {
            // The phase is reduced in integers: a large product would lose digits in the sine.
            let phase = 2.0 * PI * ((k.div_ceil(2) * j) % n) as f64 / n as f64;
            fourier_norm(k, n) * if fourier_is_sine(k) { phase.sin() } else { phase.cos() }
        }
    }
}

fn centre(n: usize, j: usize) -> f64 {
    (j as f64 + 0.5) / n as f64
}

fn cosine_value(n: usize, k: usize, j: usize) -> f64 {
    cosine_norm(k, n) * (PI * k as f64 * centre(n, j)).cos()
}

fn sine_nodes_value(n: usize, k: usize, j: usize) -> f64 {
    edge_value(n, k, j).unwrap_or_else(|| {
        let intervals = n - 1;
        let phase = PI * (((k + 1) * j) % (2 * intervals)) as f64 / intervals as f64;
        (2.0 / intervals as f64).sqrt() * phase.sin()
    })
}

/// The value of mode `k` at point `j` in a basis whose last two of `n` modes are the first and the
/// last node. It is `None` for the other modes at inner nodes, which the caller computes.
fn edge_value(n: usize, k: usize, j: usize) -> Option<f64> {
    let edge = |node: usize| Some(if j == node { 1.0 } else { 0.0 });
    match k + 2 {
        m if m == n => edge(0),
        m if m > n => edge(n - 1),
        _ if j == 0 || j == n - 1 => Some(0.0),
        _ => None,
    }
}

fn along_rows(field: &mut [f64], width: usize, mut apply: impl FnMut(&mut [f64])) {
    field.chunks_exact_mut(width).for_each(&mut apply);
}

fn along_columns(field: &mut [f64], width: usize, mut apply: impl FnMut(&mut [f64])) {
    let mut column = vec![0.0; field.len() / width];
    for x in 0..width {
        let cells = || (x..).step_by(width);
        column.iter_mut().zip(cells()).for_each(|(c, i)| *c = field[i]);
        apply(&mut column);
        column.iter().zip(cells()).for_each(|(c, i)| field[i] = *c);
    }
}

/// The point of a line that goes to slot `i` of the reordered line: even points forward, then odd
/// points back.
fn makhoul(i: usize, n: usize) -> usize {
    if 2 * i < n { 2 * i } else { 2 * (n - 1 - i) + 1 }
}

fn cosine_norm(k: usize, n: usize) -> f64 {
    if k == 0 { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() }
}

fn fourier_is_sine(row: usize) -> bool {
    row > 0 && row.is_multiple_of(2)
}

fn fourier_norm(row: usize, n: usize) -> f64 {
    let alone = row == 0 || (n.is_multiple_of(2) && row == n - 1);
    if alone { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() }
}

fn alternate(line: &mut [f64]) {
    line.iter_mut().skip(1).step_by(2).for_each(|v| *v = -*v);
}

fn real(value: f64) -> Complex<f64> {
    Complex::new(value, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;
    use crate::testing::distance;

    const ALL: [Basis; 6] = [
        Basis::Cosine,
        Basis::SineNodes,
        Basis::CosineNodes,
        Basis::SineCells,
        Basis::SineInner,
        Basis::Fourier,
    ];
    const SIZES: [usize; 8] = [2, 3, 4, 5, 8, 13, 64, 127];

    #[test]
    fn every_basis_matrix_is_orthonormal() {
        for (basis, n) in ALL.into_iter().flat_map(|b| SIZES.map(|n| (b, n))) {
            let matrix = basis_matrix(basis, n);
            for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let dot: f64 = (0..n).map(|p| matrix[i * n + p] * matrix[j * n + p]).sum();
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot - expected).abs() < 1e-12, "{basis:?} {n}: rows {i} {j}: {dot}");
            }
        }
    }

    #[test]
    fn fast_transforms_agree_with_the_matrices_both_ways() {
        for (basis, n) in ALL.into_iter().flat_map(|b| SIZES.map(|n| (b, n))) {
            let matrix = basis_matrix(basis, n);
            let line = rng::normals(&mut rng::stream(1, "line", 0, n as u64), n);

            let modes: Vec<f64> = matrix
                .chunks(n)
                .map(|row| row.iter().zip(&line).map(|(m, v)| m * v).sum())
                .collect();

            let transform = Transform::new(basis, n);
            let mut fast = line.clone();
            transform.forward(&mut fast);
            assert!(distance(&fast, &modes) < 1e-12, "{basis:?} {n} forward");
            transform.inverse(&mut fast);
            assert!(distance(&fast, &line) < 1e-12, "{basis:?} {n} inverse");
        }
    }

    #[test]
    fn frequencies_rise_with_the_row() {
        let n = 16;
        for basis in ALL {
            let matrix = basis_matrix(basis, n);
            let nodes = [Basis::SineNodes, Basis::CosineNodes].contains(&basis);
            let modes = if nodes { n - 2 } else { n };

            let sign_changes: Vec<usize> = (0..modes)
                .map(|k| {
                    let row = &matrix[k * n..(k + 1) * n];
                    let signs: Vec<f64> = row.iter().copied().filter(|v| v.abs() > 1e-9).collect();
                    signs.windows(2).filter(|w| w[0] * w[1] < 0.0).count()
                })
                .collect();

            assert!(
                sign_changes.windows(2).all(|w| w[0] <= w[1] + 1),
                "{basis:?} {sign_changes:?}"
            );
            assert!(sign_changes[0] == 0 && sign_changes[modes - 1] + 3 >= modes);
        }
    }

    #[test]
    fn two_dimensions_are_one_after_the_other() {
        let (height, width) = (5, 8);
        let bases = [Basis::SineNodes, Basis::Cosine];
        let field = rng::normals(&mut rng::stream(2, "field", 0, 0), height * width);
        let [by, bx] = [basis_matrix(bases[0], height), basis_matrix(bases[1], width)];
        let mut fast = field.clone();
        forward_2d(bases, height, width, &mut fast);
        for (ky, kx) in (0..height).flat_map(|ky| (0..width).map(move |kx| (ky, kx))) {
            let expected: f64 = (0..height * width)
                .map(|i| by[ky * height + i / width] * bx[kx * width + i % width] * field[i])
                .sum();
            assert!((fast[ky * width + kx] - expected).abs() < 1e-12);
        }
        inverse_2d(bases, height, width, &mut fast);
        assert!(distance(&fast, &field) < 1e-12);
    }
}
