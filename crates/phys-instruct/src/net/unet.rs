//! The U-Net that predicts the (scaled) denoised field, after Ho et al. 2020 and Karras et al.
//! 2022, with a pixel-unshuffle stem and FiLM noise conditioning.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, activation};
use phys_instruct_physics::rng;

use super::layers::{Conv, Init, Linear, NormAct, ResBlock};
use super::ops::{shuffle, unshuffle};
use crate::config::NetConfig;

/// The number of frequencies of the noise embedding.
const FREQUENCIES: usize = 16;
/// The number of channels that hold a point's coordinates.
pub(super) const POSITIONS: usize = 2;

/// A residual block, `block` in the names of the weights.
#[derive(Module, Debug)]
pub(super) struct Stage {
    pub(super) block: ResBlock,
}

/// One resolution of the U-Net.
#[derive(Module, Debug)]
pub(super) struct Level {
    pub(super) down: Vec<Stage>,
    pub(super) to_coarser: Option<Conv>,
    pub(super) from_coarser: Option<Conv>,
    pub(super) up: Vec<Stage>,
}

/// The network, which maps noisy fields and their noise level to fields.
#[derive(Module, Debug)]
pub struct UNet {
    pub(super) embed_in: Linear,
    pub(super) embed_out: Linear,
    pub(super) stem: Conv,
    pub(super) levels: Vec<Level>,
    pub(super) middle: Stage,
    pub(super) norm: NormAct,
    pub(super) head: Conv,
    pub(super) patch: usize,
    pub(super) multiple: usize,
}

impl UNet {
    /// Makes a network from `inputs` to `outputs` fields, with weights drawn from `seed`. The head
    /// starts at zero.
    pub fn new(
        config: &NetConfig,
        inputs: usize,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> Self {
        let rng = Some(rng::stream(seed, "weights", 0, 0));
        Self::build(config, inputs, outputs, &mut Init { device, rng })
    }

    /// Makes a network whose weights are all zero, to be loaded.
    pub fn zeros(config: &NetConfig, inputs: usize, outputs: usize, device: &Device) -> Self {
        Self::build(config, inputs, outputs, &mut Init { device, rng: None })
    }

    fn build(config: &NetConfig, inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let embedding = 4 * config.width;
        let area = config.patch * config.patch;
        let widths: Vec<usize> = config.multipliers.iter().map(|m| m * config.width).collect();
        let coarsest = widths[widths.len() - 1];

        Self {
            embed_in: Linear::new([2 * FREQUENCIES, embedding], 1.0, init),
            embed_out: Linear::new([embedding, embedding], 1.0, init),
            stem: Conv::new([(inputs + POSITIONS) * area, widths[0]], 3, 1.0, init),
            levels: (0..widths.len())
                .map(|i| Level::new(i, &widths, embedding, config, init))
                .collect(),
            middle: Stage::new([coarsest, coarsest], embedding, init),
            norm: NormAct::new(widths[0], init),
            head: Conv::new([widths[0], outputs * area], 3, 0.0, init),
            patch: config.patch,
            multiple: config.patch << (widths.len() - 1),
        }
    }

    /// Hands the network itself to `change`, so that no other handle shares its weights meanwhile.
    pub(super) fn replace(&mut self, change: impl FnOnce(Self) -> Self) {
        let smallest = NetConfig { width: 1, multipliers: vec![1], blocks: 0, patch: 1 };
        let stand_in = Self::zeros(&smallest, 1, 1, &Device::flex());
        *self = change(std::mem::replace(self, stand_in));
    }

    /// Maps `x` `[batch, inputs, y, x]` and `c_noise` `[batch]`, a logarithm of the noise level, to
    /// `[batch, outputs, y, x]`. A grid that the patch and the levels do not divide is extended by
    /// zeros on its far sides.
    pub fn forward(&self, x: Tensor<4>, c_noise: Tensor<1>) -> Tensor<4> {
        let embedding = self.embed(c_noise);
        let [.., height, width] = x.dims();
        let x = Tensor::cat(vec![x.clone(), positions(&x)], 1);
        let mut h = self.stem.forward(unshuffle(extend(x, self.multiple), self.patch));

        // Down to the coarsest grid, keeping what each level gives for the way back.
        let mut skips = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            for stage in &level.down {
                h = stage.forward(h, embedding.clone());
            }
            skips.push(h.clone());
            if let Some(conv) = &level.to_coarser {
                h = conv.forward(unshuffle(h, 2));
            }
        }

        h = self.middle.forward(h, embedding.clone());
        for (level, skip) in self.levels.iter().zip(skips).rev() {
            if let Some(conv) = &level.from_coarser {
                h = shuffle(conv.forward(h), 2);
            }
            h = Tensor::cat(vec![h, skip], 1);
            for stage in &level.up {
                h = stage.forward(h, embedding.clone());
            }
        }

        let out = shuffle(self.head.forward(self.norm.forward(h, None)), self.patch);
        out.narrow(2, 0, height).narrow(3, 0, width)
    }

    fn embed(&self, c_noise: Tensor<1>) -> Tensor<2> {
        let row = TensorData::new(frequencies(), [1, FREQUENCIES]);
        let angles =
            c_noise.clone().unsqueeze_dim::<2>(1) * Tensor::from_data(row, &c_noise.device());
        let waves = Tensor::cat(vec![angles.clone().sin(), angles.cos()], 1);
        activation::silu(self.embed_out.forward(activation::silu(self.embed_in.forward(waves))))
    }
}

impl Level {
    fn new(
        i: usize,
        widths: &[usize],
        embedding: usize,
        config: &NetConfig,
        init: &mut Init,
    ) -> Self {
        let width = widths[i];

        let stages = |first: usize, init: &mut Init| -> Vec<Stage> {
            (0..config.blocks)
                .map(|b| {
                    let inputs = if b == 0 { first } else { width };
                    Stage::new([inputs, width], embedding, init)
                })
                .collect()
        };

        let coarser = widths.get(i + 1).copied();
        Self {
            down: stages(width, init),
            to_coarser: coarser.map(|c| Conv::new([4 * width, c], 1, 1.0, init)),
            from_coarser: coarser.map(|c| Conv::new([c, 4 * width], 1, 1.0, init)),
            up: stages(2 * width, init),
        }
    }
}

impl Stage {
    fn new(channels: [usize; 2], embedding: usize, init: &mut Init) -> Self {
        Self { block: ResBlock::new(channels, embedding, init) }
    }

    fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        self.block.forward(x, embedding)
    }
}

/// The frequencies of the noise embedding.
pub(super) fn frequencies() -> Vec<f32> {
    (0..FREQUENCIES).map(|i| 0.5 * 1.5f32.powi(i as i32)).collect()
}

/// Extends the far sides by zeros, up to the next multiple of `multiple`.
fn extend(x: Tensor<4>, multiple: usize) -> Tensor<4> {
    let [.., height, width] = x.dims();
    let missing = |n: usize| n.next_multiple_of(multiple) - n;
    if missing(height) == 0 && missing(width) == 0 {
        return x;
    }
    x.pad((0, missing(width), 0, missing(height)), 0.0)
}

/// The coordinates in [-1, 1] along y and x, `[batch, 2, y, x]`.
fn positions(x: &Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = x.dims();
    let line =
        |n: usize| -> Vec<f32> { (0..n).map(|i| (2 * i + 1) as f32 / n as f32 - 1.0).collect() };
    let device = x.device();
    let along_y = Tensor::<4>::from_data(TensorData::new(line(height), [1, 1, height, 1]), &device);
    let along_x = Tensor::<4>::from_data(TensorData::new(line(width), [1, 1, 1, width]), &device);
    let shape = [batch, 1, height, width];
    Tensor::cat(vec![along_y.expand(shape), along_x.expand(shape)], 1)
}
