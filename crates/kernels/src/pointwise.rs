//! 1x1 convolution: a matrix product of the weights with the image's channels.
//!
//! Neighbouring values of a channel are far from those of the next, so that a block of positions is
//! copied together once and then read from the cache for every tile of output channels.

use std::cell::Cell;

use rayon::prelude::*;

use crate::conv::{ConvShape, OutputTile, TILE};
use crate::planes::Planes;
use crate::simd::{Kernel, Simd, dispatch};

/// Positions of a block.
const BLOCK: usize = 256;

thread_local! {
    /// A block of the input and a tile of the output, kept from call to call.
    static SCRATCH: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// As `conv::correlate`, which checks the lengths; `packed` `[output tile, in, output in tile]`.
/// Parallel over samples, and over groups of tiles where samples are fewer than threads.
pub(crate) fn forward(
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
    out: &mut [f32],
) {
    let pixels = shape.height * shape.width;
    let groups = rayon::current_num_threads().div_ceil(shape.batch);
    let tiles = shape.out_channels.div_ceil(TILE).div_ceil(groups);
    let samples = x.par_chunks(shape.in_channels * pixels);
    out.par_chunks_mut(shape.out_channels * pixels).zip(samples).for_each(|(out, x)| {
        out.par_chunks_mut(tiles * TILE * pixels).enumerate().for_each(|(group, out)| {
            let packed = &packed[group * tiles * TILE * shape.in_channels..];
            let bias = bias.map(|b| &b[group * tiles * TILE..]);
            dispatch(Tiles { x, packed, bias, pixels, out });
        });
    });
}

/// Some tiles of output channels of one sample.
struct Tiles<'a> {
    x: &'a [f32],
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    pixels: usize,
    out: &'a mut [f32],
}

impl Kernel for Tiles<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, packed, bias, pixels, out } = self;
        let inputs = x.len() / pixels;
        let [mut block, mut flat] = SCRATCH.take();
        for first in (0..pixels).step_by(BLOCK) {
            let len = BLOCK.min(pixels - first);
            let planes = Planes::of_row(len);
            let block = if planes.plane == pixels {
                x
            } else {
                block.resize(inputs * planes.plane, 0.0);
                for (x, to) in x.chunks_exact(pixels).zip(block.chunks_exact_mut(planes.plane)) {
                    to[..len].copy_from_slice(&x[first..first + len]);
                }
                &block[..]
            };
            flat.resize(TILE * planes.positions, 0.0);
            for (t, out) in out.chunks_mut(TILE * pixels).enumerate() {
                let weights = &packed[t * TILE * inputs..][..TILE * inputs];
                let bias = bias.map(|b| &b[t * TILE..]);
                let tile = OutputTile { planes: &planes, offsets: &[0], x: block, weights, bias };
                tile.fill(simd, &mut flat);
                for (out, flat) in out.chunks_exact_mut(pixels).zip(flat.chunks(planes.positions)) {
                    out[first..first + len].copy_from_slice(&flat[..len]);
                }
            }
        }
        SCRATCH.set([block, flat]);
    }
}
