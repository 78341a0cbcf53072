//! Joint principal components of the channels' low modes.
//!
//! The channels of a solved sample depend on each other. Where the equation is linear, the solution
//! u is a matrix times the input a, and half of all directions in (a, u) carry no data.
//!
//! Modes whitened one by one do not show this: each has unit variance, and a direction that leaves
//! the PDE has the scale of any other. A network that errs by a tenth errs by a tenth there too. In
//! the eigenbasis of the modes' correlation (the Karhunen-Loeve expansion of the joint field) these
//! directions have the small variance of the data.
//!
//! Only the `side` lowest modes of each axis take part; the eigenbasis of all modes would be a
//! large matrix.

use burn::tensor::{Device, Tensor, TensorData};
use faer::Mat;
use phys_instruct_physics::Grid;

use crate::linalg::eigen;
use crate::net::params::read;
use crate::{Error, Result};

/// The standard deviation, in units of a mode's, below which a component counts as absent. The
/// rounding of the data lies below it.
const ABSENT: f64 = 1e-3;

/// The components, as stored in a model file.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// The number of modes of each axis and channel.
    pub side: usize,
    /// The matrix `[mode, component]` with orthonormal columns, one component each. Modes run over
    /// channel x side x side.
    pub vectors: Vec<f32>,
    /// Standard deviation of each component, in units of a mode's; the largest first.
    pub std: Vec<f32>,
}

impl Components {
    /// The eigenbasis of the correlation of low modes. `products` `[mode, mode]` is the sum of the
    /// modes' products over `count` samples.
    ///
    /// # Errors
    /// Fails where the eigenvalue iteration does not converge.
    pub fn of(products: &[f64], count: usize, side: usize) -> Result<Self> {
        let n = products.len().isqrt();
        let correlation = Mat::from_fn(n, n, |i, j| products[i * n + j] / count as f64);
        let eigen = eigen(&correlation, "correlation of the modes")?;
        let (vectors, variances) = (eigen.U(), eigen.S().column_vector());
        // Largest first, so that component 0 is the leading direction.
        let column = |j: usize| n - 1 - j;
        Ok(Self {
            side,
            vectors: (0..n * n).map(|i| vectors[(i / n, column(i % n))] as f32).collect(),
            std: (0..n).map(|j| variances[column(j)].max(0.0).sqrt() as f32).collect(),
        })
    }
}

/// The change between whitened modes and whitened components on one device.
#[derive(Debug, Clone)]
pub struct JointMap {
    side: usize,
    /// The mask that is 0 on the low modes and 1 elsewhere, `[1, 1, y, x]`.
    others: Tensor<4>,
    /// The matrix `[component, mode]` that takes row vectors of components to modes, each component
    /// at unit variance.
    rotate: Tensor<2>,
    /// The matrix `[component, mode]` that takes row vectors of whitened components to modes, each
    /// component at the data's variance.
    scale: Tensor<2>,
    /// The inverse of `rotate`, `[mode, component]`.
    rotate_back: Tensor<2>,
    /// The inverse of `scale` on the components that carry data, `[mode, component]`.
    scale_back: Tensor<2>,
    /// The mask that is 1 for components that carry data, `[1, channel * side * side]`.
    present: Tensor<2>,
}

impl JointMap {
    /// Builds the map for fields on a grid.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of components is not that of `channels` and their side, or if
    /// the side is 0 or above the grid's points along an axis.
    pub fn new(
        components: &Components,
        channels: usize,
        grid: Grid,
        device: &Device,
    ) -> Result<Self> {
        let Components { side, vectors, std } = components;
        let n = channels * side * side;
        let most = grid.ny.min(grid.nx);
        if *side == 0 || *side > most || std.len() != n || vectors.len() != n * n {
            return Err(Error::Shape(format!(
                "{} joint components of {side} modes an axis; expected {n} and at most {most}",
                std.len()
            )));
        }

        let carries = |s: f32| f64::from(s) > ABSENT;
        let matrix = |entry: &dyn Fn(usize, usize) -> f32| {
            let data = (0..n * n).map(|i| entry(i / n, i % n)).collect::<Vec<f32>>();
            Tensor::<2>::from_data(TensorData::new(data, [n, n]), device)
        };

        // Components without spread are left out both ways.
        let vector = |mode: usize, j: usize| vectors[mode * n + j];
        let inverse = |j: usize| if carries(std[j]) { 1.0 / std[j] } else { 0.0 };
        let present = std.iter().map(|&s| if carries(s) { 1.0 } else { 0.0 }).collect::<Vec<f32>>();

        // The modes that no component covers.
        let low = |i: usize| i / grid.nx < *side && i % grid.nx < *side;
        let other = |i: usize| if low(i) { 0.0 } else { 1.0 };
        let others = (0..grid.points()).map(other).collect::<Vec<f32>>();

        Ok(Self {
            side: *side,
            others: Tensor::from_data(TensorData::new(others, [1, 1, grid.ny, grid.nx]), device),
            rotate: matrix(&|j, mode| vector(mode, j)),
            scale: matrix(&|j, mode| if carries(std[j]) { vector(mode, j) * std[j] } else { 0.0 }),
            rotate_back: matrix(&vector),
            scale_back: matrix(&|mode, j| vector(mode, j) * inverse(j)),
            present: Tensor::from_data(TensorData::new(present, [1, n]), device),
        })
    }

    /// The whitened components of whitened modes, both `[batch, channel, y, x]`. Components take
    /// the places of the low modes.
    pub fn components(&self, modes: Tensor<4>) -> Tensor<4> {
        self.apply(modes, &self.scale_back)
    }

    /// The whitened modes of whitened components. This inverts [`JointMap::components`] but for
    /// absent components, which become 0.
    pub fn modes(&self, components: Tensor<4>) -> Tensor<4> {
        self.apply(components, &self.scale)
    }

    /// The transposed map of [`JointMap::modes`].
    pub fn modes_transposed(&self, modes: Tensor<4>) -> Tensor<4> {
        self.apply(modes, &self.scale.clone().swap_dims(0, 1))
    }

    /// The modes of unit components: a rotation, which leaves white noise white.
    pub fn rotated(&self, components: Tensor<4>) -> Tensor<4> {
        self.apply(components, &self.rotate)
    }

    /// The inverse of [`JointMap::rotated`].
    pub fn rotated_back(&self, modes: Tensor<4>) -> Tensor<4> {
        self.apply(modes, &self.rotate_back)
    }

    /// The mask of the entries that carry data, components in the places of the low modes. `modes`
    /// is the mask of the modes that do, `[1, channel, y, x]`.
    pub fn present(&self, modes: Tensor<4>) -> Tensor<4> {
        let dims = modes.dims();
        self.with_block(modes, self.present.clone(), dims)
    }

    /// The root mean square of each component's contribution to the fields' modes, at the data's
    /// variance, `[1, channel, y, x]`. `colour`, of the same shape, is the standard deviation of
    /// each mode.
    pub fn energy(&self, colour: &Tensor<4>) -> Tensor<4> {
        let weights = self.block(colour.clone());
        let [_, channels, height, width] = colour.dims();
        let square = weights.square().matmul(self.scale.clone().swap_dims(0, 1).square());
        self.with_block(colour.clone(), square.sqrt(), [1, channels, height, width])
    }

    /// `y` with the low modes, as row vectors, times `matrix`.
    fn apply(&self, y: Tensor<4>, matrix: &Tensor<2>) -> Tensor<4> {
        let dims = y.dims();
        let block = self.block(y.clone()).matmul(matrix.clone());
        self.with_block(y, block, dims)
    }

    /// The low modes of all channels of `y`, `[batch, channel * side * side]`.
    fn block(&self, y: Tensor<4>) -> Tensor<2> {
        y.narrow(2, 0, self.side).narrow(3, 0, self.side).flatten(1, 3)
    }

    /// `y` `[batch, channel, y, x]` with `block` in the places of the low modes.
    fn with_block(
        &self,
        y: Tensor<4>,
        block: Tensor<2>,
        [batch, channels, height, width]: [usize; 4],
    ) -> Tensor<4> {
        let block = block.reshape([batch, channels, self.side, self.side]);
        let rest = [height, width].map(|n| (0, n - self.side));
        let padded = block.pad(rest, burn::tensor::ops::PadMode::Constant(0.0));
        y * self.others.clone() + padded
    }
}

/// Adds the products of the low modes of `modes` `[batch, channel, y, x]` to `sums` `[mode, mode]`.
///
/// # Errors
/// Fails where the device does not give the products back.
pub fn add_products(sums: &mut [f64], modes: Tensor<4>, side: usize) -> Result<()> {
    let block: Tensor<2> = modes.narrow(2, 0, side).narrow(3, 0, side).flatten(1, 3);
    let products = block.clone().swap_dims(0, 1).matmul(block);
    for (sum, v) in sums.iter_mut().zip(read(products)?) {
        *sum += f64::from(v);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::{Basis, Channel};

    use crate::Samples;
    use crate::config::CoordinatesConfig;
    use crate::diffusion::Coordinates;
    use crate::diffusion::noise::Draw;
    use crate::net::params::values;

    use super::*;

    const SIZE: usize = 10;
    const LOW: usize = 6;
    const COUNT: usize = 3000;

    /// u is twice the derivative-like difference of neighbouring values of a, periodically: a
    /// linear equation that mixes modes of one wavenumber. Only the low modes carry data.
    fn samples() -> Samples {
        let device = Device::flex();
        let draw = Draw { seed: 5, stream: "joint", step: 0, first: 0 };
        let rough = draw.normal([COUNT, 1, SIZE, SIZE], &device);
        let basis = phys_instruct_physics::transform::basis_matrix(Basis::Fourier, SIZE);
        let rows: Vec<f32> = basis.iter().map(|&v| v as f32).collect();
        let basis = Tensor::<4>::from_data(TensorData::new(rows, [1, 1, SIZE, SIZE]), &device);
        let low = rough.narrow(2, 0, LOW - 1).narrow(3, 0, LOW - 1);
        let rows = basis.narrow(2, 0, LOW - 1);
        let a = rows.clone().swap_dims(2, 3).matmul(low).matmul(rows);
        let x = Tensor::cat(vec![a.clone(), equation(a)], 1);
        Samples {
            pde: "test".into(),
            channels: vec!["a".into(), "u".into()],
            count: COUNT,
            height: SIZE,
            width: SIZE,
            sides: [1.0; 2],
            data: values(x),
        }
    }

    fn equation(a: Tensor<4>) -> Tensor<4> {
        let [first, rest] = [a.clone().narrow(3, 0, 1), a.clone().narrow(3, 1, SIZE - 1)];
        (Tensor::cat(vec![rest, first], 3) - a) * 2.0
    }

    fn fitted() -> (Coordinates, Tensor<4>) {
        let channel = |name| Channel::new(name, "test", [Basis::Fourier, Basis::Fourier]);
        let config = CoordinatesConfig::Joint { modes: LOW, linear_predictor: false };
        let data = samples();
        let channels = [channel("a"), channel("u")];
        let (coordinates, _) =
            Coordinates::fit(&data, &channels, &config, &Device::flex()).unwrap();
        let shape = [COUNT, 2, SIZE, SIZE];
        (coordinates, Tensor::from_data(TensorData::new(data.data, shape), &Device::flex()))
    }

    fn rms(x: &Tensor<4>) -> f32 {
        x.clone().square().mean().into_scalar::<f32>().sqrt()
    }

    #[test]
    fn components_invert_and_are_white() {
        let (coordinates, x) = fitted();
        let y = coordinates.encode(x.clone());
        assert!(rms(&(coordinates.decode(y.clone()) - x.clone())) < 1e-4 * rms(&x));
        let flat: Tensor<2> = y.flatten(1, 3);
        let covariance = flat.clone().swap_dims(0, 1).matmul(flat) / COUNT as f64;
        let present = values(coordinates.present());
        let n = present.len();
        for (i, v) in values(covariance).iter().enumerate() {
            let expected = if i / n == i % n { present[i / n] } else { 0.0 };
            assert!((v - expected).abs() < 0.01, "entry {i}: {v}");
        }
    }

    #[test]
    fn the_transposed_map_is_the_transpose() {
        let (coordinates, _) = fitted();
        let draw = |step| {
            let draw = Draw { seed: 8, stream: "any", step, first: 0 };
            draw.normal([2, 2, SIZE, SIZE], &Device::flex())
        };
        let [y, x] = [draw(0), draw(1)];
        let product = |a: Tensor<4>, b: Tensor<4>| values((a * b).sum())[0];
        let forward = product(coordinates.linear(y.clone()), x.clone());
        let back = product(y, coordinates.linear_transposed(x));
        assert!((forward - back).abs() < 1e-4 * forward.abs(), "{forward} {back}");
    }

    #[test]
    fn directions_that_leave_the_equation_are_absent() {
        let (coordinates, _) = fitted();
        let present = values(coordinates.present()).iter().filter(|&&p| p == 1.0).count();
        assert_eq!(present, (LOW - 1) * (LOW - 1));
        let draw = Draw { seed: 6, stream: "any", step: 0, first: 0 };
        let x = coordinates.decode(draw.normal([4, 2, SIZE, SIZE], &Device::flex()));
        let [a, u] = [0, 1].map(|c| x.clone().narrow(1, c, 1));
        let residual = u.clone() - equation(a);
        assert!(rms(&residual) < 3e-3 * rms(&u), "{} of {}", rms(&residual), rms(&u));
    }

    #[test]
    fn pictures_and_entries_are_a_rotation_apart() {
        let (coordinates, _) = fitted();
        let draw = Draw { seed: 7, stream: "any", step: 0, first: 0 };
        let y = draw.normal([2, 2, SIZE, SIZE], &Device::flex());
        let picture = coordinates.to_pixels(y.clone()).narrow(1, 0, 2);
        assert!((rms(&picture) - rms(&y)).abs() < 1e-4);
        assert!(rms(&(coordinates.from_pixels(picture) - y)) < 1e-4);
    }

    #[test]
    fn unfit_components_are_refused() {
        let components = Components { side: 2, vectors: vec![0.0; 9], std: vec![1.0; 3] };
        assert!(JointMap::new(&components, 1, Grid::square(8), &Device::flex()).is_err());
        let components = Components { side: 9, vectors: vec![0.0; 81 * 81], std: vec![1.0; 81] };
        assert!(JointMap::new(&components, 1, Grid::square(8), &Device::flex()).is_err());
    }
}
