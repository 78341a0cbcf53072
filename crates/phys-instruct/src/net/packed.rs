//! The U-Net for inference on the processor, with the arithmetic of [`UNet::forward`].
//!
//! It differs from [`UNet::forward`] in three ways. The weights are brought into the kernels'
//! order once (some in the first pass), all FiLM maps are joined into one, and memory is reused
//! from call to call. `x` is `[batch, channel, y, x]` throughout.

use burn::module::Param;
use burn::tensor::Tensor;
use phys_instruct_kernels::conv::PackedConv;
use phys_instruct_kernels::group_norm::{Modulation, NormShape, norm_film_silu_forward};
use phys_instruct_kernels::linear::PackedLinear;
use phys_instruct_kernels::memory::{recycle, room};
use phys_instruct_kernels::patches;
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_kernels::silu::silu_forward;
use rayon::prelude::*;

use super::layers::{Conv, Linear, NormAct, ResBlock};
use super::ops::NORM_EPS;
use super::params::values;
use super::unet::{UNet, frequencies};

/// The most samples of one pass.
const MOST: usize = 8;
/// The least number of values that one task copies.
const SHARE: usize = 1 << 12;

/// A U-Net, ready for inference.
#[derive(Debug)]
pub struct PackedUNet {
    embed_in: PackedLinear,
    embed_out: PackedLinear,
    /// The map to the scales and shifts of all blocks, in the order of the blocks.
    films: PackedLinear,
    stem: PackedConv,
    levels: Vec<Level>,
    middle: Block,
    norm: Norm,
    head: PackedConv,
    patch: usize,
    multiple: usize,
}

#[derive(Debug)]
struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    groups: usize,
}

#[derive(Debug)]
struct Block {
    norm_in: Norm,
    conv_in: PackedConv,
    norm_out: Norm,
    conv_out: PackedConv,
    skip: Option<PackedConv>,
    /// The index of the block's first scale among all FiLM outputs; its shifts follow its scales.
    film: usize,
}

#[derive(Debug)]
struct Level {
    down: Vec<Block>,
    to_coarser: Option<PackedConv>,
    from_coarser: Option<PackedConv>,
    up: Vec<Block>,
}

/// A batch of input images.
struct Images<'a> {
    data: &'a [f32],
    channels: usize,
    height: usize,
    width: usize,
}

/// A batch of feature maps between two layers.
#[derive(Debug)]
struct Map {
    data: Vec<f32>,
    channels: usize,
    height: usize,
    width: usize,
}

/// One forward pass: the size of its batch, and the FiLM outputs of all blocks.
struct Pass {
    batch: usize,
    /// The scales and shifts of all blocks, `[batch, output]`.
    films: Vec<f32>,
}

impl PackedUNet {
    /// Packs the weights of `net`.
    pub fn new(net: &UNet) -> Self {
        let mut films = Films::default();
        let levels = net
            .levels
            .iter()
            .map(|level| Level {
                down: level.down.iter().map(|s| Block::new(&s.block, &mut films)).collect(),
                to_coarser: level.to_coarser.as_ref().map(conv),
                from_coarser: level.from_coarser.as_ref().map(conv),
                up: level.up.iter().map(|s| Block::new(&s.block, &mut films)).collect(),
            })
            .collect();

        let middle = Block::new(&net.middle.block, &mut films);
        Self {
            embed_in: linear(&net.embed_in),
            embed_out: linear(&net.embed_out),
            films: films.join(),
            stem: conv(&net.stem),
            levels,
            middle,
            norm: Norm::new(&net.norm),
            head: conv(&net.head),
            patch: net.patch,
            multiple: net.multiple,
        }
    }

    /// Computes [`UNet::forward`] for plain tensors on the processor.
    pub fn forward(&self, x: Tensor<4>, c_noise: Tensor<1>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let device = x.device();
        let (x, c_noise) = (values(x), values(c_noise));
        let outputs = self.head.out_channels() / (self.patch * self.patch);
        let [input, output] = [channels, outputs].map(|c| c * height * width);
        let mut out = vec![0.0; batch * output];

        let piece = piece(batch);
        in_pool(|| {
            let inputs = x.par_chunks(piece * input).zip(c_noise.par_chunks(piece));
            inputs.zip(out.par_chunks_mut(piece * output)).for_each(|((x, c_noise), out)| {
                let x = Images { data: x, channels, height, width };
                self.run(&x, c_noise, out);
            });
        });

        let shape = [batch, outputs, height, width];
        Tensor::from_data(burn::tensor::TensorData::new(out, shape), &device)
    }

    fn run(&self, x: &Images<'_>, c_noise: &[f32], to: &mut [f32]) {
        let (height, width) = (x.height, x.width);
        let pass = Pass { batch: c_noise.len(), films: self.embed(c_noise) };
        let x = pass.stem_input(x, self.patch, self.multiple);
        let mut h = pass.conv(&self.stem, x);

        // Down to the coarsest grid, keeping what each level gives for the way back.
        let mut skips = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            for stage in &level.down {
                h = pass.block(stage, h);
            }
            let next = level.to_coarser.as_ref().map(|conv| {
                let folded = pass.unshuffle(&h, 2);
                pass.conv(conv, folded)
            });
            skips.push(h);
            match next {
                Some(next) => h = next,
                None => h = pass.copy(&skips[skips.len() - 1]),
            }
        }

        h = pass.block(&self.middle, h);
        for (level, skip) in self.levels.iter().zip(skips).rev() {
            if let Some(conv) = &level.from_coarser {
                let wide = pass.conv(conv, h);
                h = pass.shuffle(wide, 2);
            }
            h = pass.join(h, skip);
            for stage in &level.up {
                h = pass.block(stage, h);
            }
        }

        let normed = pass.norm(&self.norm, &h, None);
        recycle(h.data);
        let out = pass.conv(&self.head, normed);
        let out = pass.shuffle(out, self.patch);
        crop(&out, [height, width], to);
        recycle(out.data);
    }

    /// The FiLM outputs of all blocks.
    fn embed(&self, c_noise: &[f32]) -> Vec<f32> {
        let frequencies = frequencies();
        let mut waves = Vec::with_capacity(2 * frequencies.len() * c_noise.len());
        for &c in c_noise {
            waves.extend(frequencies.iter().map(|f| (c * f).sin()));
            waves.extend(frequencies.iter().map(|f| (c * f).cos()));
        }
        let batch = c_noise.len();
        let hidden = silu(apply(&self.embed_in, &waves, batch));
        let embedding = silu(apply(&self.embed_out, &hidden, batch));
        apply(&self.films, &embedding, batch)
    }
}

fn apply(map: &PackedLinear, x: &[f32], batch: usize) -> Vec<f32> {
    let mut out = vec![0.0; batch * map.outputs()];
    map.forward(x, &mut out);
    out
}

fn silu(x: Vec<f32>) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    silu_forward(&x, &mut out);
    out
}

impl Pass {
    fn map(&self, channels: usize, height: usize, width: usize) -> Map {
        let data = room(self.batch * channels * height * width);
        Map { data, channels, height, width }
    }

    fn conv(&self, conv: &PackedConv, x: Map) -> Map {
        let mut out = self.map(conv.out_channels(), x.height, x.width);
        conv.forward(&x.data, [self.batch, x.height, x.width], &mut out.data);
        recycle(x.data);
        out
    }

    fn norm(&self, norm: &Norm, x: &Map, film: Option<(&[f32], &[f32])>) -> Map {
        let mut out = self.map(x.channels, x.height, x.width);
        let (gamma, beta) = (&norm.gamma[..], &norm.beta[..]);
        let shape = NormShape {
            batch: self.batch,
            channels: x.channels,
            groups: norm.groups,
            pixels: x.height * x.width,
            eps: NORM_EPS,
        };
        norm_film_silu_forward(&x.data, &Modulation { gamma, beta, film }, &shape, &mut out.data);
        out
    }

    fn block(&self, block: &Block, x: Map) -> Map {
        let h = self.norm(&block.norm_in, &x, None);
        let h = self.conv(&block.conv_in, h);
        let [scale, shift] = [0, 1].map(|part| self.film(block.film, part, h.channels));
        let normed = self.norm(&block.norm_out, &h, Some((&scale, &shift)));
        recycle(h.data);
        let skip = match &block.skip {
            Some(conv) => self.conv(conv, x),
            None => x,
        };
        self.add(&block.conv_out, normed, skip)
    }

    /// Adds a convolution of `x` to `to`.
    fn add(&self, conv: &PackedConv, x: Map, mut to: Map) -> Map {
        conv.add(&x.data, [self.batch, x.height, x.width], &mut to.data);
        recycle(x.data);
        to
    }

    /// The scales (part 0) or shifts (part 1) of a block, `[batch, channel]`.
    fn film(&self, first: usize, part: usize, channels: usize) -> Vec<f32> {
        let from = first + part * channels;
        let rows = self.films.chunks_exact(self.films.len() / self.batch);
        rows.flat_map(|row| &row[from..from + channels]).copied().collect()
    }

    fn copy(&self, x: &Map) -> Map {
        let mut out = self.map(x.channels, x.height, x.width);
        out.data.copy_from_slice(&x.data);
        out
    }

    /// Joins the channels of `a`, then those of `b`.
    fn join(&self, a: Map, b: Map) -> Map {
        let mut out = self.map(a.channels + b.channels, a.height, a.width);
        let pixels = a.height * a.width;
        let channels = out.channels;
        let planes = out.data.par_chunks_mut(pixels).with_min_len(SHARE.div_ceil(pixels));
        planes.enumerate().for_each(|(i, plane)| {
            let (sample, c) = (i / channels, i % channels);
            let (from, c) = if c < a.channels { (&a, c) } else { (&b, c - a.channels) };
            plane.copy_from_slice(&from.data[(sample * from.channels + c) * pixels..][..pixels]);
        });
        recycle(a.data);
        recycle(b.data);
        out
    }

    /// The noisy fields and the points' coordinates in patches, extended by zeros to a multiple of
    /// `multiple`.
    fn stem_input(&self, x: &Images<'_>, patch: usize, multiple: usize) -> Map {
        let (height, width) =
            (x.height.next_multiple_of(multiple), x.width.next_multiple_of(multiple));
        let mut full = self.map(x.channels + 2, height, width);
        let line = |i: usize, n: usize| (2 * i + 1) as f32 / n as f32 - 1.0;
        full.data.fill(0.0);

        let sample = (x.channels + 2) * height * width;
        let samples = full.data.par_chunks_mut(sample);
        samples.zip(x.data.par_chunks(x.channels * x.height * x.width)).for_each(|(to, from)| {
            for (c, plane) in to.chunks_exact_mut(height * width).enumerate() {
                for (y, row) in plane.chunks_exact_mut(width).take(x.height).enumerate() {
                    let row = &mut row[..x.width];
                    match c.checked_sub(x.channels) {
                        None => {
                            row.copy_from_slice(&from[(c * x.height + y) * x.width..][..x.width])
                        }
                        Some(0) => row.fill(line(y, x.height)),
                        Some(_) => {
                            row.iter_mut().enumerate().for_each(|(i, v)| *v = line(i, x.width));
                        }
                    }
                }
            }
        });

        let out = self.unshuffle(&full, patch);
        recycle(full.data);
        out
    }

    /// Applies [`super::ops::unshuffle`].
    fn unshuffle(&self, x: &Map, side: usize) -> Map {
        let mut out = self.map(x.channels * side * side, x.height / side, x.width / side);
        patches::unshuffle(&x.data, [x.height * x.width, x.width], side, &mut out.data);
        out
    }

    /// Applies [`super::ops::shuffle`].
    fn shuffle(&self, x: Map, side: usize) -> Map {
        if side == 1 {
            return x;
        }
        let (height, width) = (x.height * side, x.width * side);
        let mut out = self.map(x.channels / (side * side), height, width);
        patches::shuffle(&x.data, [height * width, width], side, &mut out.data);
        recycle(x.data);
        out
    }
}

/// Cuts the corner at the origin out of each image.
fn crop(x: &Map, [height, width]: [usize; 2], to: &mut [f32]) {
    let planes = x.data.chunks_exact(x.height * x.width);
    for (to, from) in to.chunks_exact_mut(height * width).zip(planes) {
        for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(x.width)) {
            to.copy_from_slice(&from[..width]);
        }
    }
}

/// The number of samples of one pass. With enough samples each thread takes its own through all
/// layers. It takes few at a time, so that the output of one layer is still in the cache when the
/// next reads it.
fn piece(batch: usize) -> usize {
    let threads = rayon::current_num_threads();
    if batch < 2 * threads { batch.max(1) } else { (batch / threads).min(MOST) }
}

/// The FiLM maps of all blocks.
#[derive(Default)]
struct Films {
    /// The weight and the bias of each map.
    maps: Vec<[Vec<f32>; 2]>,
    outputs: usize,
}

impl Films {
    /// Adds a map and returns the index of its first output.
    fn add(&mut self, film: &Linear) -> usize {
        let start = self.outputs;
        let bias = array(&film.bias);
        self.outputs += bias.len();
        self.maps.push([array(&film.weight), bias]);
        start
    }

    fn join(self) -> PackedLinear {
        let bias: Vec<f32> = self.maps.iter().flat_map(|[_, bias]| bias).copied().collect();
        let inputs = self.maps.first().map_or(0, |[weight, bias]| weight.len() / bias.len());
        let row = |k: usize| {
            self.maps.iter().flat_map(move |[weight, bias]| &weight[k * bias.len()..][..bias.len()])
        };
        let weight: Vec<f32> = (0..inputs).flat_map(row).copied().collect();
        PackedLinear::new(&weight, &bias)
    }
}

impl Norm {
    fn new(layer: &NormAct) -> Self {
        Self { gamma: array(&layer.gamma), beta: array(&layer.beta), groups: layer.groups }
    }
}

impl Block {
    fn new(block: &ResBlock, films: &mut Films) -> Self {
        let ResBlock { norm_in, conv_in, film, norm_out, conv_out, skip } = block;
        Self {
            norm_in: Norm::new(norm_in),
            conv_in: conv(conv_in),
            norm_out: Norm::new(norm_out),
            conv_out: conv(conv_out),
            skip: skip.as_ref().map(conv),
            film: films.add(film),
        }
    }
}

fn conv(layer: &Conv) -> PackedConv {
    let [_, inputs, side, _] = layer.weight.val().dims();
    PackedConv::new(&array(&layer.weight), &array(&layer.bias), inputs, side)
}

fn linear(layer: &Linear) -> PackedLinear {
    PackedLinear::new(&array(&layer.weight), &array(&layer.bias))
}

fn array<const D: usize>(param: &Param<Tensor<D>>) -> Vec<f32> {
    values(param.val())
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::config::NetConfig;

    /// A network without zero weights; the head of a fresh one is zero.
    fn network(config: &NetConfig) -> UNet {
        use burn::module::ModuleMapper;
        struct Shift;
        impl ModuleMapper for Shift {
            fn map_float<const D: usize>(&mut self, p: Param<Tensor<D>>) -> Param<Tensor<D>> {
                p.map(|t| t + 0.03)
            }
        }
        UNet::new(config, 3, 2, 5, &Device::flex()).map(&mut Shift)
    }

    #[test]
    fn agrees_with_the_network_it_was_packed_from() {
        for (multipliers, patch, blocks) in
            [(vec![1, 2], 2, 1), (vec![1], 1, 2), (vec![1, 1, 2], 1, 1), (vec![1, 1], 2, 2)]
        {
            let config = NetConfig { width: 8, multipliers, blocks, patch };
            let net = network(&config);
            let packed = PackedUNet::new(&net);
            for (batch, height, width) in
                [(1, 16, 16), (3, 15, 9), (2, 32, 8), (1, 4, 4), (35, 8, 8)]
            {
                let count = batch * 3 * height * width;
                let data: Vec<f32> = (0..count).map(|i| (12.9898 * i as f32).sin()).collect();
                let x = TensorData::new(data, [batch, 3, height, width]);
                let x = Tensor::<4>::from_data(x, &Device::flex());
                let c = Tensor::<1>::from_data(
                    TensorData::new(vec![0.3f32; batch], [batch]),
                    &Device::flex(),
                );
                let expected = values(net.forward(x.clone(), c.clone()));
                let got = values(packed.forward(x, c));
                assert_eq!(got.len(), expected.len());
                let scale = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                for (a, b) in got.iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-5 * scale, "{config:?} {batch} {height}: {a} {b}");
                }
            }
        }
    }
}
