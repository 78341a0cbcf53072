//! Linear estimates of the prior's covariance: linear maps of white noise, of full rank.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::Basis;
use phys_instruct_physics::transform::basis_matrix;

use crate::Result;
use crate::condition::prior::Prior;
use crate::net::params::to_array;
use crate::store::weights::{Array, of_shape};

/// A linear map of standard normal noise to fields without their mean, both `[batch, channel, y,
/// x]`.
pub(super) enum Linear {
    /// [`Prior::linear`].
    Own,
    /// Cosine modes of the input, measured on samples; the solution is computed from the input.
    Cosines(Box<Cosines>),
}

/// Independent cosine modes on the part of each input channel that varies. They span the fields
/// with zero slope beyond that part, in whatever basis the network sees them.
pub(super) struct Cosines {
    /// The modes along y, `[1, channel, mode, point]`.
    along_y: Tensor<4>,
    /// The modes along x, `[1, channel, mode, point]`.
    along_x: Tensor<4>,
    /// The standard deviation of each mode, `[1, channel, mode along y, mode along x]`.
    deviations: Tensor<4>,
}

impl Linear {
    /// The fields of noise `z`.
    pub fn of(&self, prior: &dyn Prior, z: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Own => prior.linear(z),
            Self::Cosines(cosines) => prior.solved(cosines.of(z)),
        }
    }

    /// The transposed map.
    pub fn transposed(&self, prior: &dyn Prior, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Own => prior.transposed(x),
            Self::Cosines(cosines) => cosines.transposed(prior.solved_transposed(x)),
        }
    }
}

impl Cosines {
    /// The names of the arrays of [`Cosines::to_arrays`].
    pub const NAMES: [&str; 3] = ["cosines.along_y", "cosines.along_x", "cosines.deviations"];

    /// The modes as arrays.
    ///
    /// # Errors
    /// Fails where the device does not give them back.
    pub fn to_arrays(&self) -> Result<BTreeMap<String, Array>> {
        let tensors = [&self.along_y, &self.along_x, &self.deviations];
        let named = Self::NAMES.iter().zip(tensors);
        named.map(|(name, tensor)| Ok((name.to_string(), to_array(tensor.clone())?))).collect()
    }

    /// Restores the modes from the arrays of [`Cosines::to_arrays`], for fields of `channels` x
    /// `height` x `width`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for arrays that are missing or of another shape.
    pub fn from_arrays(
        arrays: &BTreeMap<String, Array>,
        [channels, height, width]: [usize; 3],
        device: &Device,
    ) -> Result<Self> {
        let sides = [[height, height], [width, width], [height, width]];
        let tensor = |i: usize| -> Result<Tensor<4>> {
            let shape = [1, channels, sides[i][0], sides[i][1]];
            let data = of_shape(arrays, Self::NAMES[i], &shape)?.data.clone();
            Ok(Tensor::from_data(TensorData::new(data, shape), device))
        };
        Ok(Self { along_y: tensor(0)?, along_x: tensor(1)?, deviations: tensor(2)? })
    }

    /// Measures the modes of the first `inputs` channels. `samples`, `[sample, channel, y, x]`, are
    /// without their mean and multiplied by `scale`; `variances` are those of their entries.
    /// Returns none if the part of a channel that varies is no rectangle.
    pub fn measured(
        inputs: usize,
        samples: Tensor<4>,
        variances: &[f32],
        scale: f64,
    ) -> Option<Self> {
        let ([_, channels, height, width], device) = (samples.dims(), samples.device());
        let [mut along_y, mut along_x] = [vec![], vec![]];
        let mut carries = vec![0f32; channels * height * width];

        for c in 0..channels {
            let varies = |y: usize, x: usize| variances[(c * height + y) * width + x] > 0.0;
            let rows = part(height, |y| (0..width).any(|x| varies(y, x)));
            let columns = part(width, |x| (0..height).any(|y| varies(y, x)));
            if c < inputs {
                let mut points = rows.clone().flat_map(|y| columns.clone().map(move |x| (y, x)));
                // Products of modes along y and along x span no other shape than a rectangle.
                if !points.all(|(y, x)| varies(y, x)) {
                    return None;
                }
                for y in 0..rows.len() {
                    carries[(c * height + y) * width..][..columns.len()].fill(1.0);
                }
            }
            along_y.extend(cosines(height, rows));
            along_x.extend(cosines(width, columns));
        }

        let tensor = |data, shape| Tensor::<4>::from_data(TensorData::new(data, shape), &device);
        let mut own = Self {
            along_y: tensor(along_y, [1, channels, height, height]),
            along_x: tensor(along_x, [1, channels, width, width]),
            deviations: tensor(carries, [1, channels, height, width]),
        };
        let modes = own.transposed(samples);
        own.deviations = modes.square().mean_dim(0).sqrt() / scale;
        Some(own)
    }

    fn of(&self, z: Tensor<4>) -> Tensor<4> {
        let modes = z * self.deviations.clone();
        self.along_y.clone().swap_dims(2, 3).matmul(modes).matmul(self.along_x.clone())
    }

    fn transposed(&self, x: Tensor<4>) -> Tensor<4> {
        let modes = self.along_y.clone().matmul(x).matmul(self.along_x.clone().swap_dims(2, 3));
        modes * self.deviations.clone()
    }
}

/// The range from the first to the last of `size` points for which `any` holds.
fn part(size: usize, any: impl Fn(usize) -> bool) -> Range<usize> {
    let first = (0..size).find(|&i| any(i)).unwrap_or(0);
    let last = (0..size).rfind(|&i| any(i)).map_or(0, |i| i + 1);
    first..last
}

/// The cosine modes of `part` of a line of `size` points, row by row. The remaining rows are zero.
fn cosines(size: usize, part: Range<usize>) -> Vec<f32> {
    let own = basis_matrix(Basis::Cosine, part.len());
    let mut all = vec![0.0; size * size];
    for (row, own) in all.chunks_exact_mut(size).zip(own.chunks_exact(part.len().max(1))) {
        row[part.clone()].iter_mut().zip(own).for_each(|(to, &v)| *to = v as f32);
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::diffusion::noise::Draw;
    use crate::net::params::values;
    use crate::testing::prior::{Bordered, SIZE};

    fn draw(count: usize, step: u64) -> Tensor<4> {
        let draw = Draw { seed: 3, stream: "linear", step, first: 0 };
        draw.normal([count, 2, SIZE, SIZE], &Device::flex())
    }

    fn cosines_of(prior: &Bordered, count: usize) -> Linear {
        let x = prior.fields(draw(count, 0));
        let one = values(x.clone().square().mean_dim(0));
        Linear::Cosines(Box::new(Cosines::measured(1, x * 3.0, &one, 3.0).unwrap()))
    }

    #[test]
    fn cosines_measured_on_samples_have_their_covariance() {
        let prior = Bordered::new();
        let own = cosines_of(&prior, 4000);
        let [truth, drawn] = [prior.fields(draw(4000, 1)), own.of(&prior, draw(4000, 2))];
        let covariance = |x: &Tensor<4>, [e, f]: [usize; 2]| {
            let x: Tensor<2> = x.clone().flatten(1, 3);
            let at = |e: usize| x.clone().narrow(1, e, 1);
            f64::from(values((at(e) * at(f)).mean())[0])
        };
        let inner = SIZE * SIZE + 3 * SIZE;
        for [e, f] in [[9, 9], [9, 18], [27, 29], [27, inner + 2], [inner + 2, inner + 5]] {
            let scale = (covariance(&truth, [e; 2]) * covariance(&truth, [f; 2])).sqrt();
            let [truth, drawn] = [&truth, &drawn].map(|x| covariance(x, [e, f]));
            assert!((truth - drawn).abs() < 0.08 * scale, "{e} {f}: {truth} {drawn}, {scale}");
        }
        let border = covariance(&drawn, [3, 3]);
        assert_eq!(border, 0.0);
    }

    #[test]
    fn the_transposed_map_is_the_transpose() {
        let prior = Bordered::new();
        let own = cosines_of(&prior, 50);
        let [z, x] = [draw(1, 5), draw(1, 6)];
        let product = |a: Tensor<4>, b: Tensor<4>| values((a * b).sum())[0];
        let forward = product(own.of(&prior, z.clone()), x.clone());
        let back = product(z, own.transposed(&prior, x));
        assert!((forward - back).abs() < 1e-4 * forward.abs(), "{forward} {back}");
    }
}
