//! The layers of the U-Net, initialised from the counter-based generator.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::rng;
use rand_chacha::ChaCha8Rng;

use super::ops;

/// Draws the initial weights of one network, in order of construction.
pub struct Init<'a> {
    /// The device of the weights.
    pub device: &'a Device,
    /// The generator of the weights; none makes them all zero, to be loaded.
    pub rng: Option<ChaCha8Rng>,
}

impl Init<'_> {
    fn normal<const D: usize>(&mut self, shape: [usize; D], std: f64) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values: Vec<f32> = match &mut self.rng {
            Some(rng) => (0..count).map(|_| (std * rng::normal(rng)) as f32).collect(),
            None => vec![0.0; count],
        };
        Param::from_data(TensorData::new(values, shape), self.device)
    }

    fn constant<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        Param::from_data(TensorData::new(vec![value; count], shape), self.device)
    }
}

/// A "same" convolution with a kernel of side 1 or 3.
#[derive(Module, Debug)]
pub struct Conv {
    pub(super) weight: Param<Tensor<4>>,
    pub(super) bias: Param<Tensor<1>>,
}

impl Conv {
    /// Draws the weights. A `gain` of 1 preserves the variance of the input; a `gain` of 0 starts
    /// at zero.
    pub fn new(channels: [usize; 2], side: usize, gain: f64, init: &mut Init) -> Self {
        let fan_in = (channels[0] * side * side) as f64;
        Self {
            weight: init.normal([channels[1], channels[0], side, side], gain / fan_in.sqrt()),
            bias: init.constant([channels[1]], 0.0),
        }
    }

    /// Maps `[batch, in, y, x]` to `[batch, out, y, x]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        ops::conv2d(x, self.weight.val(), self.bias.val())
    }
}

/// An affine map of vectors.
#[derive(Module, Debug)]
pub struct Linear {
    pub(super) weight: Param<Tensor<2>>,
    pub(super) bias: Param<Tensor<1>>,
}

impl Linear {
    /// Draws the weights with `gain` as for [`Conv::new`].
    pub fn new(features: [usize; 2], gain: f64, init: &mut Init) -> Self {
        Self {
            weight: init.normal(features, gain / (features[0] as f64).sqrt()),
            bias: init.constant([features[1]], 0.0),
        }
    }

    /// Maps `[batch, in]` to `[batch, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

/// Group normalisation, optional FiLM, SiLU.
#[derive(Module, Debug)]
pub struct NormAct {
    pub(super) gamma: Param<Tensor<1>>,
    pub(super) beta: Param<Tensor<1>>,
    pub(super) groups: usize,
}

impl NormAct {
    /// Takes as many groups as divide the channels, at most 16, with at least four channels each.
    pub fn new(channels: usize, init: &mut Init) -> Self {
        let fits = |groups: &usize| channels.is_multiple_of(*groups) && channels / groups >= 4;
        Self {
            gamma: init.constant([channels], 1.0),
            beta: init.constant([channels], 0.0),
            groups: (1..=16).rev().find(fits).unwrap_or(1),
        }
    }

    /// Normalises `x`. `film` holds a scale and a shift per sample and channel, each `[batch,
    /// channel]`.
    pub fn forward(&self, x: Tensor<4>, film: Option<(Tensor<2>, Tensor<2>)>) -> Tensor<4> {
        ops::norm_film_silu(x, self.gamma.val(), self.beta.val(), self.groups, film)
    }
}

/// The residual block of the U-Net: two convolutions, noise-conditioned in between.
#[derive(Module, Debug)]
pub struct ResBlock {
    pub(super) norm_in: NormAct,
    pub(super) conv_in: Conv,
    pub(super) film: Linear,
    pub(super) norm_out: NormAct,
    pub(super) conv_out: Conv,
    pub(super) skip: Option<Conv>,
}

impl ResBlock {
    /// Makes a block that starts as the identity (or as a projection).
    pub fn new(channels: [usize; 2], embedding: usize, init: &mut Init) -> Self {
        let [input, output] = channels;
        Self {
            norm_in: NormAct::new(input, init),
            conv_in: Conv::new([input, output], 3, 1.0, init),
            film: Linear::new([embedding, 2 * output], 0.1, init),
            norm_out: NormAct::new(output, init),
            conv_out: Conv::new([output, output], 3, 0.1, init),
            skip: (input != output).then(|| Conv::new(channels, 1, 1.0, init)),
        }
    }

    /// Maps `x`, `[batch, in, y, x]`, given the `embedding` of the noise, `[batch, embedding]`.
    pub fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let mut film = self.film.forward(embedding).chunk(2, 1);
        let (scale, shift) = (film.remove(0), film.remove(0));
        let h = self.conv_in.forward(self.norm_in.forward(x.clone(), None));
        let h = self.conv_out.forward(self.norm_out.forward(h, Some((scale, shift))));
        let skip = match &self.skip {
            Some(projection) => projection.forward(x),
            None => x,
        };
        skip + h
    }
}
