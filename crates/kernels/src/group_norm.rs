//! Group normalisation with feature-wise modulation and SiLU in one pass.
//!
//! ```text
//! y = silu(h (1 + scale) + shift)
//! h = gamma (x - mean) / sqrt(variance + eps) + beta
//! ```
//!
//! The mean and the variance are those over the channels of a group and all pixels of a sample (Wu
//! and He, "Group normalization", arXiv 1803.08494). The modulation by scale and shift is that of
//! Perez et al., "FiLM" (arXiv 1709.07871). The backward pass recomputes h from x instead of
//! storing it.

use rayon::prelude::*;

use crate::silu::{sigmoid, silu_slope};
use crate::simd::{Kernel, Simd, dispatch};

/// Sizes of a normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormShape {
    /// Number of samples.
    pub batch: usize,
    /// Number of channels, a multiple of `groups`.
    pub channels: usize,
    /// Number of groups of neighbouring channels that are normalised together.
    pub groups: usize,
    /// Number of values of a channel.
    pub pixels: usize,
    /// Number added to the variance.
    pub eps: f32,
}

impl NormShape {
    /// Returns the number of values of the input and of the output.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.pixels
    }

    /// Tells whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn per_group(&self) -> usize {
        self.channels / self.groups
    }
}

/// The parameters that the normalised values are modulated by.
#[derive(Debug, Clone, Copy)]
pub struct Modulation<'a> {
    /// Gain of each channel, `[channel]`.
    pub gamma: &'a [f32],
    /// Offset of each channel, `[channel]`.
    pub beta: &'a [f32],
    /// Scale and shift of each sample and channel, each `[batch, channel]`; `None` means zeros.
    pub film: Option<(&'a [f32], &'a [f32])>,
}

impl Modulation<'_> {
    /// Returns gamma, beta, scale and shift of channel `c` of sample `b`.
    fn at(&self, shape: &NormShape, b: usize, c: usize) -> [f32; 4] {
        let at = b * shape.channels + c;
        let [scale, shift] = self.film.map_or([0.0; 2], |(scale, shift)| [scale[at], shift[at]]);
        [self.gamma[c], self.beta[c], scale, shift]
    }
}

/// Smallest number of values that one task normalises.
const SHARE: usize = 1 << 12;

/// Mean and reciprocal standard deviation of each sample's groups, `[batch, group]`.
pub type Moments = Vec<[f32; 2]>;

/// The gradients of all parameters of the modulation.
#[derive(Debug, Clone, PartialEq)]
pub struct ModulationGrad {
    /// Gradient of gamma, `[channel]`.
    pub gamma: Vec<f32>,
    /// Gradient of beta, `[channel]`.
    pub beta: Vec<f32>,
    /// Gradient of the scale, `[batch, channel]`.
    pub scale: Vec<f32>,
    /// Gradient of the shift, `[batch, channel]`.
    pub shift: Vec<f32>,
}

/// Computes `out`, `[batch, channel, y, x]` like the input `x`. Returns the moments for the
/// backward pass.
///
/// # Panics
/// Panics on slices whose lengths are not those of `shape`.
pub fn norm_film_silu_forward(
    x: &[f32],
    modulation: &Modulation<'_>,
    shape: &NormShape,
    out: &mut [f32],
) -> Moments {
    check(shape, modulation, &[x, out]);
    let mut moments = vec![[0.0; 2]; shape.batch * shape.groups];
    if shape.is_empty() {
        return moments;
    }

    let size = shape.per_group() * shape.pixels;
    let groups = out.par_chunks_mut(size).zip(x.par_chunks(size)).zip(&mut moments);
    groups.with_min_len(SHARE.div_ceil(size)).enumerate().for_each(
        |(group, ((out, x), moments))| {
            dispatch(Forward { group: Group { shape, modulation, group }, x, out, moments });
        },
    );

    moments
}

/// Computes the input's gradient `x_grad` from the output's, `grad`. Returns the gradients of the
/// modulation.
///
/// # Panics
/// Panics on slices whose lengths are not those of `shape`.
pub fn norm_film_silu_backward(
    x: &[f32],
    modulation: &Modulation<'_>,
    moments: &[[f32; 2]],
    grad: &[f32],
    shape: &NormShape,
    x_grad: &mut [f32],
) -> ModulationGrad {
    check(shape, modulation, &[x, grad, x_grad]);
    assert_eq!(moments.len(), shape.batch * shape.groups, "moments");

    let mut sums = vec![[0.0; 2]; shape.batch * shape.channels];
    if !shape.is_empty() {
        let size = shape.per_group() * shape.pixels;
        let inputs = x.par_chunks(size).zip(grad.par_chunks(size)).zip(moments);
        let outputs = x_grad.par_chunks_mut(size).zip(sums.par_chunks_mut(shape.per_group()));
        inputs.zip(outputs).with_min_len(SHARE.div_ceil(size)).enumerate().for_each(
            |(group, (((x, grad), &moments), (x_grad, sums)))| {
                let group = Group { shape, modulation, group };
                dispatch(Backward { group, x, grad, moments, x_grad, sums });
            },
        );
    }

    modulation_grad(modulation, shape, &sums)
}

/// Returns the gradients of the modulation, given two sums for each sample and channel. They are
/// those of the gradient of z = h (1 + scale) + shift, plain and times the normalised input.
fn modulation_grad(
    modulation: &Modulation<'_>,
    shape: &NormShape,
    sums: &[[f32; 2]],
) -> ModulationGrad {
    let channels = shape.channels;
    let mut out = ModulationGrad {
        gamma: vec![0.0; channels],
        beta: vec![0.0; channels],
        scale: vec![0.0; sums.len()],
        shift: vec![0.0; sums.len()],
    };

    for (i, &[plain, normalised]) in sums.iter().enumerate() {
        let c = i % channels;
        let [gamma, beta, scale, _] = modulation.at(shape, i / channels, c);
        out.gamma[c] += (1.0 + scale) * normalised;
        out.beta[c] += (1.0 + scale) * plain;
        out.scale[i] = gamma * normalised + beta * plain;
        out.shift[i] = plain;
    }
    out
}

fn check(shape: &NormShape, modulation: &Modulation<'_>, arrays: &[&[f32]]) {
    assert!(
        shape.groups > 0 && shape.channels.is_multiple_of(shape.groups),
        "groups of equal size"
    );
    assert!(arrays.iter().all(|a| a.len() == shape.len()), "lengths");
    assert_eq!(modulation.gamma.len(), shape.channels, "gamma");
    assert_eq!(modulation.beta.len(), shape.channels, "beta");
    let film = shape.batch * shape.channels;
    assert!(modulation.film.is_none_or(|(a, b)| a.len() == film && b.len() == film), "film");
}

/// One group of one sample.
struct Group<'a> {
    shape: &'a NormShape,
    modulation: &'a Modulation<'a>,
    group: usize,
}

impl Group<'_> {
    /// Returns gamma, beta, scale and shift of the group's `c`-th channel.
    #[inline(always)]
    fn modulation(&self, c: usize) -> [f32; 4] {
        let NormShape { groups, .. } = *self.shape;
        let channel = self.group % groups * self.shape.per_group() + c;
        self.modulation.at(self.shape, self.group / groups, channel)
    }

    /// Returns factor and offset of z = factor * x + offset for the group's `c`-th channel.
    #[inline(always)]
    fn affine(&self, c: usize, [mean, rstd]: [f32; 2]) -> [f32; 2] {
        let [gamma, beta, scale, shift] = self.modulation(c);
        let factor = rstd * gamma * (1.0 + scale);
        [factor, (beta - mean * rstd * gamma) * (1.0 + scale) + shift]
    }
}

struct Forward<'a> {
    group: Group<'a>,
    x: &'a [f32],
    out: &'a mut [f32],
    moments: &'a mut [f32; 2],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let count = self.x.len() as f32;
        let [mean] = sums(self.x, self.x, |x, _| [x]).map(|s| s / count);
        let [variance] = sums(self.x, self.x, |x, _| [(x - mean) * (x - mean)]).map(|s| s / count);
        *self.moments = [mean, 1.0 / (variance + self.group.shape.eps).sqrt()];

        let pixels = self.group.shape.pixels;
        let channels = self.out.chunks_exact_mut(pixels).zip(self.x.chunks_exact(pixels));
        for (c, (out, x)) in channels.enumerate() {
            let [factor, offset] = self.group.affine(c, *self.moments);
            for (out, x) in out.iter_mut().zip(x) {
                let z = factor * x + offset;
                *out = z * sigmoid::<S>(z);
            }
        }
    }
}

struct Backward<'a> {
    group: Group<'a>,
    x: &'a [f32],
    grad: &'a [f32],
    moments: [f32; 2],
    x_grad: &'a mut [f32],
    sums: &'a mut [[f32; 2]],
}

impl Kernel for Backward<'_> {
    /// Writes the gradient dz of z to `x_grad` first, and then replaces it by the gradient of x.
    ///
    /// Let g = gamma (1 + scale) dz, and xhat the normalised x. The gradient of x is
    /// rstd (g - mean(g) - xhat mean(g xhat)), with means over the group.
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let pixels = self.group.shape.pixels;
        let [mean, rstd] = self.moments;
        let mut means = [0.0; 2];

        let channels = self.x_grad.chunks_exact_mut(pixels).zip(self.x.chunks_exact(pixels));
        for (c, ((dz, x), grad)) in channels.zip(self.grad.chunks_exact(pixels)).enumerate() {
            let [factor, offset] = self.group.affine(c, self.moments);
            for ((dz, x), grad) in dz.iter_mut().zip(x).zip(grad) {
                *dz = grad * silu_slope::<S>(factor * x + offset);
            }

            let [plain, centred] = sums(dz, x, |dz, x| [dz, dz * (x - mean)]);
            self.sums[c] = [plain, centred * rstd];

            let [gamma, _, scale, _] = self.group.modulation(c);
            means[0] += gamma * (1.0 + scale) * plain / self.x.len() as f32;
            means[1] += gamma * (1.0 + scale) * centred * rstd / self.x.len() as f32;
        }

        // The means over the group are known only now, after all its channels.
        let channels = self.x_grad.chunks_exact_mut(pixels).zip(self.x.chunks_exact(pixels));
        for (c, (x_grad, x)) in channels.enumerate() {
            let [factor, _] = self.group.affine(c, self.moments);
            let slope = rstd * rstd * means[1];
            for (dz, x) in x_grad.iter_mut().zip(x) {
                *dz = factor * *dz - rstd * means[0] - slope * (x - mean);
            }
        }
    }
}

/// Sums terms of pairs of values in so many lanes that the loop vectorises, always in the same
/// order.
#[inline(always)]
fn sums<const N: usize>(a: &[f32], b: &[f32], terms: impl Fn(f32, f32) -> [f32; N]) -> [f32; N] {
    const LANES: usize = 32;
    let mut lanes = [[0.0f32; LANES]; N];

    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            let terms = terms(a[l], b[l]);
            for n in 0..N {
                lanes[n][l] += terms[n];
            }
        }
    }

    let mut sums = lanes.map(|lanes| lanes.iter().sum::<f32>());
    for (&a, &b) in a_rest.iter().zip(b_rest) {
        let terms = terms(a, b);
        for n in 0..N {
            sums[n] += terms[n];
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{assert_close, each_unit, threads, values};

    fn shapes() -> Vec<NormShape> {
        let mut shapes = Vec::new();
        for (channels, groups) in [(1, 1), (3, 3), (5, 1), (17, 17), (6, 2)] {
            for pixels in [15, 49, 256] {
                for batch in [1, 3] {
                    shapes.push(NormShape { batch, channels, groups, pixels, eps: 1e-5 });
                }
            }
        }
        shapes
    }

    /// Returns x, gamma, beta, scale, shift, and the output's gradient.
    fn inputs(s: &NormShape) -> [Vec<f32>; 6] {
        let (film, len) = (s.batch * s.channels, s.len());
        let x = values(len, 1).iter().map(|v| 3.0 * v + 2.0).collect();
        let gamma = values(s.channels, 2).iter().map(|v| 1.0 + 0.5 * v).collect();
        [x, gamma, values(s.channels, 3), values(film, 4), values(film, 5), values(len, 6)]
    }

    /// Returns the output and the gradients of x, gamma, beta, scale and shift.
    fn all(s: &NormShape, film: bool) -> [Vec<f32>; 6] {
        let [x, gamma, beta, scale, shift, grad] = inputs(s);
        let film = film.then_some((&scale[..], &shift[..]));
        let modulation = Modulation { gamma: &gamma, beta: &beta, film };
        let (mut y, mut dx) = (vec![f32::NAN; s.len()], vec![f32::NAN; s.len()]);
        let moments = norm_film_silu_forward(&x, &modulation, s, &mut y);
        let g = norm_film_silu_backward(&x, &modulation, &moments, &grad, s, &mut dx);
        [y, dx, g.gamma, g.beta, g.scale, g.shift]
    }

    /// Computes the formula of the module's documentation in `f64`.
    fn naive(s: &NormShape, inputs: &[Vec<f64>]) -> Vec<f64> {
        let [x, gamma, beta, scale, shift] = [0, 1, 2, 3, 4].map(|i| &inputs[i]);
        let size = s.per_group() * s.pixels;
        let mut out = Vec::new();

        for (group, x) in x.chunks(size).enumerate() {
            let mean = x.iter().sum::<f64>() / size as f64;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / size as f64;

            for (i, x) in x.iter().enumerate() {
                let film = (group * size + i) / s.pixels;
                let c = film % s.channels;
                let h = gamma[c] * (x - mean) / (variance + f64::from(s.eps)).sqrt() + beta[c];
                let z = h * (1.0 + scale[film]) + shift[film];
                out.push(z / (1.0 + (-z).exp()));
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_formula_and_its_finite_differences() {
        for s in shapes() {
            for film in [true, false] {
                let mut at: Vec<Vec<f64>> =
                    inputs(&s).iter().map(|v| v.iter().map(|&v| f64::from(v)).collect()).collect();
                if !film {
                    (at[3], at[4]) = (vec![0.0; at[3].len()], vec![0.0; at[4].len()]);
                }

                let exact = naive(&s, &at);
                let each = each_unit(|| all(&s, film));
                for ours in &each {
                    assert_close(&ours[0], &exact, 3e-6, &format!("{s:?}"));
                }

                let pull = at[5].clone();
                for which in 0..5 {
                    for i in (0..at[which].len()).step_by(37) {
                        let mut loss = |h: f64| {
                            at[which][i] += h;
                            let y = naive(&s, &at);
                            at[which][i] -= h;
                            y.iter().zip(&pull).map(|(y, p)| y * p).sum::<f64>()
                        };

                        let exact = (loss(1e-5) - loss(-1e-5)) / 2e-5;
                        let tolerance = 2e-5 * exact.abs().max(1.0);
                        for ours in &each {
                            let got = f64::from(ours[which + 1][i]);
                            assert!((got - exact).abs() < tolerance, "{s:?} {which}: {got}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_constant_group_gives_finite_values() {
        let s = NormShape { batch: 1, channels: 1, groups: 1, pixels: 1, eps: 1e-5 };
        for values in all(&s, true) {
            assert!(values.iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn thread_count_changes_no_bit() {
        for s in shapes() {
            let [one, two] = [1, 2].map(|n| threads(n, || all(&s, true)));
            assert_eq!(one, two, "{s:?}");
        }
    }
}
