//! The transforms of tiles and weights, on vectors of channels.

// Indexed loops of constant length, which the compiler unrolls: the values stay in registers.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use super::filter::{Filter, Four, Two, WIDEST};
use super::parts::{Part, Strip, tile_columns};
use super::tiling::{GAP, PANEL, Panels, Tiling};
use crate::aligned::Aligned;
use crate::shape::{Accumulate, ConvShape};
use crate::simd::{Kernel, Simd};

/// The transformed tiles of a strip, `[panel, point, tile, channel in panel]`.
pub(super) struct Transformed<'a> {
    pub(super) tiling: Tiling,
    pub(super) panels: Panels,
    pub(super) tiles: usize,
    pub(super) values: &'a [f32],
}

impl Transformed<'_> {
    /// Returns the tiles `[tile, channel in panel]` of panel `p` at a point.
    #[inline(always)]
    pub(super) fn point(&self, p: usize, point: usize) -> &[f32] {
        &self.values[self.panels.at(self.tiling, self.tiles, p, point)]
    }
}

/// The window of an image that a strip's tiles of one sample see, channels last and padded: its
/// position and its size.
#[derive(Clone, Copy)]
struct Window {
    /// Number of channels, with padding.
    channels: usize,
    /// The first row of the image in the window; -1 is the padding above.
    top: isize,
    height: usize,
    /// The first column of the image in the window; -1 is the padding on the left.
    left: isize,
    width: usize,
}

impl Window {
    /// Returns the window for inputs, with a `halo` of one point on every side, or for gradients of
    /// outputs, without.
    fn new(shape: &ConvShape, strip: &Strip, panels: Panels, halo: bool) -> Self {
        let (halo, side) = (usize::from(halo), Tiling::of(shape).side());
        Self {
            channels: panels.padded(),
            top: (strip.rows.start * side) as isize - halo as isize,
            height: strip.rows.len() * side + 2 * halo,
            left: -(halo as isize),
            width: tile_columns(shape) * side + 2 * halo,
        }
    }

    fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Returns the rows of the image inside the window.
    fn image_rows(&self, shape: &ConvShape) -> Range<usize> {
        let from = self.top.max(0) as usize;
        from..shape.height.min((self.top + self.height as isize) as usize)
    }

    /// Returns the index of point (`y`, `x`) of the image.
    fn at(&self, y: usize, x: usize) -> usize {
        let (row, column) = (y as isize - self.top, x as isize - self.left);
        (row as usize * self.width + column as usize) * self.channels
    }

    /// Copies planes `[channel, y, x]` of one sample to channels-last order.
    #[inline(always)]
    fn fill<S: Simd>(&self, simd: S, planes: &[f32], shape: &ConvShape, to: &mut [f32]) {
        let (width, pixels) = (shape.width, shape.height * shape.width);
        let channels = planes.len() / pixels;
        self.clear_padding(channels, shape, to);
        for y in self.image_rows(shape) {
            let (from, to) = (&planes[y * width..], &mut to[self.at(y, 0)..]);
            transpose(simd, [channels, width], from, pixels, to, self.channels);
        }
    }

    /// Writes zeros where the image has no values.
    #[inline(always)]
    fn clear_padding(&self, channels: usize, shape: &ConvShape, to: &mut [f32]) {
        if channels < self.channels {
            return to[..self.len()].fill(0.0);
        }

        let rows = self.image_rows(shape);
        let (row, left) = (self.width * channels, (-self.left) as usize * channels);
        to[..self.at(rows.start, 0) - left].fill(0.0);
        for y in rows.clone() {
            let start = self.at(y, 0) - left;
            to[start..start + left].fill(0.0);
            to[start + left + shape.width * channels..start + row].fill(0.0);
        }

        let below = self.at(rows.end, 0) - left;
        to[below..self.len()].fill(0.0);
    }

    /// Inverts [`Window::fill`] for the first channels. There are as many as `planes`, which begin
    /// with row `top` of the image.
    #[inline(always)]
    fn empty<S: Simd>(
        &self,
        simd: S,
        from: &[f32],
        shape: &ConvShape,
        top: usize,
        accumulate: Accumulate,
        planes: &mut [&mut [f32]],
    ) {
        let width = shape.width;
        for y in self.image_rows(shape) {
            let (from, start) = (&from[self.at(y, 0)..], (y - top) * width);
            for (c, planes) in planes.chunks_mut(8).enumerate() {
                for x in (0..width).step_by(8) {
                    let (from, count) = (&from[x * self.channels + 8 * c..], 8.min(width - x));
                    untranspose(simd, from, self.channels, count, start + x, accumulate, planes);
                }
            }
        }
    }
}

/// Turns `count` rows of `from`, `row` values apart, to columns `at..at + count` of `to`. There are
/// at most eight rows and eight columns.
#[inline(always)]
fn untranspose<S: Simd>(
    simd: S,
    from: &[f32],
    row: usize,
    count: usize,
    at: usize,
    accumulate: Accumulate,
    to: &mut [&mut [f32]],
) {
    if count == 8 && to.len() == 8 {
        let mut block = [0.0; 64];
        simd.transpose8(from, row, &mut block, 8);
        for (to, block) in to.iter_mut().zip(block.chunks_exact(8)) {
            accumulate.store(block, &mut to[at..at + 8]);
        }
        return;
    }

    for (j, to) in to.iter_mut().enumerate() {
        for (i, to) in to[at..at + count].iter_mut().enumerate() {
            accumulate.store(&from[i * row + j..][..1], std::slice::from_mut(to));
        }
    }
}

/// Transposes `rows` rows of `columns` values. Rows of `from` and `to` are `from_row` and `to_row`
/// values apart.
#[inline(always)]
fn transpose<S: Simd>(
    simd: S,
    [rows, columns]: [usize; 2],
    from: &[f32],
    from_row: usize,
    to: &mut [f32],
    to_row: usize,
) {
    for r in (0..rows).step_by(8) {
        let full = rows - r >= 8;
        for c in (0..columns).step_by(8) {
            let (from, to) = (&from[r * from_row + c..], &mut to[c * to_row + r..]);
            if full && columns - c >= 8 {
                simd.transpose8(from, from_row, to, to_row);
                continue;
            }

            // The block at the edge is not full.
            for j in 0..(columns - c).min(8) {
                for i in 0..(rows - r).min(8) {
                    to[j * to_row + i] = from[i * from_row + j];
                }
            }
        }
    }
}

/// Transforms a strip of `images` `[sample, channel, y, x]`. Inputs (`INPUT`) become B^T d B, and
/// gradients of outputs become A d A^T.
#[inline(always)]
pub(super) fn transform_strip<S: Simd, const INPUT: bool>(
    simd: S,
    images: &[f32],
    shape: &ConvShape,
    strip: &Strip,
    panels: Panels,
    interleaved: &mut Aligned,
    points: &mut Aligned,
) {
    let points = points.room(panels.len(Tiling::of(shape), strip.tiles(shape)));
    for p in 0..panels.count() {
        transform_panel::<S, INPUT>(simd, images, shape, strip, panels, p, interleaved, points);
    }
}

/// Transforms panel `p` of the channels as [`transform_strip`] does.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn transform_panel<S: Simd, const INPUT: bool>(
    simd: S,
    images: &[f32],
    shape: &ConvShape,
    strip: &Strip,
    panels: Panels,
    p: usize,
    interleaved: &mut Aligned,
    points: &mut [f32],
) {
    let (tiling, tiles, pixels) =
        (Tiling::of(shape), strip.tiles(shape), shape.height * shape.width);

    let real = panels.real(p);
    let window = Window::new(shape, strip, Panels { channels: real.len() }, INPUT);
    let interleaved = interleaved.room(window.len());

    let step = panels.point_len(tiles, p);
    let points = &mut points[panels.at(tiling, tiles, p, 0).start..];
    let mut t = 0;

    for sample in strip.samples.clone() {
        let first = (sample * panels.channels + real.start) * pixels;
        window.fill(simd, &images[first..][..real.len() * pixels], shape, interleaved);

        for row in 0..strip.rows.len() {
            for column in 0..tile_columns(shape) {
                let corner = (row * window.width + column) * tiling.side() * window.channels;
                let (corner, to) = (&interleaved[corner..], &mut points[t * window.channels..]);
                match tiling {
                    Tiling::Two => tile_points::<S, Two, INPUT>(simd, corner, &window, to, step),
                    Tiling::Four => tile_points::<S, Four, INPUT>(simd, corner, &window, to, step),
                }
                t += 1;
            }
        }
    }
}

/// Transforms all channels of one tile, from its corner in the window to points `step` values
/// apart.
#[inline(always)]
fn tile_points<S: Simd, F: Filter, const INPUT: bool>(
    simd: S,
    corner: &[f32],
    window: &Window,
    to: &mut [f32],
    step: usize,
) {
    let side = if INPUT { F::WINDOW } else { F::SIDE };
    for c in (0..window.channels).step_by(S::LANES) {
        let mut half = [[simd.splat(0.0); WIDEST]; WIDEST];

        // The columns first, then the rows of what they gave: B^T d B of a tile d.
        for x in 0..side {
            let mut column = [simd.splat(0.0); WIDEST];
            for y in 0..side {
                column[y] = simd.load(&corner[(y * window.width + x) * window.channels + c..]);
            }
            let column = if INPUT { F::bt(simd, column) } else { F::a(simd, column) };
            for y in 0..F::WINDOW {
                half[y][x] = column[y];
            }
        }

        for y in 0..F::WINDOW {
            let row = if INPUT { F::bt(simd, half[y]) } else { F::a(simd, half[y]) };
            for x in 0..F::WINDOW {
                simd.store(row[x], &mut to[(y * F::WINDOW + x) * step + c..]);
            }
        }
    }
}

/// A panel of outputs, and what to do with it.
pub(super) struct Panel<'a> {
    /// Number of channels with padding.
    pub(super) width: usize,
    /// The panel's channels without padding.
    pub(super) real: Range<usize>,
    /// The biases of these channels.
    pub(super) bias: Option<&'a [f32]>,
    pub(super) accumulate: Accumulate,
}

/// Transforms products `[point, tile, output in panel]` back, adds the bias, and writes the panel's
/// planes.
#[inline(always)]
pub(super) fn output_strip<S: Simd>(
    simd: S,
    product: &[f32],
    panel: Panel<'_>,
    shape: &ConvShape,
    strip: &Strip,
    interleaved: &mut Aligned,
    part: &mut Part<'_>,
) {
    let width = panel.width;
    let tiling = Tiling::of(shape);
    let window = Window::new(shape, strip, Panels { channels: width }, false);
    let interleaved = interleaved.room(window.len());
    let tiles = strip.tiles(shape);

    let mut biases = [0.0; PANEL];
    if let Some(bias) = panel.bias {
        biases[..bias.len()].copy_from_slice(bias);
    }

    let mut t = 0;

    for sample in strip.samples.clone() {
        for row in 0..strip.rows.len() {
            for column in 0..tile_columns(shape) {
                let corner = (row * window.width + column) * tiling.side() * width;
                let to = &mut interleaved[corner..];

                for c in (0..width).step_by(S::LANES) {
                    let bias = simd.load(&biases[c..]);
                    let (product, to) = (&product[t * width + c..], &mut to[c..]);
                    let (point, steps) = (tiles * width + GAP, [window.width * width, width]);
                    match tiling {
                        Tiling::Two => {
                            tile_outputs::<S, Two>(simd, product, point, bias, to, steps);
                        }
                        Tiling::Four => {
                            tile_outputs::<S, Four>(simd, product, point, bias, to, steps);
                        }
                    }
                }
                t += 1;
            }
        }

        let top = part.top(tiling);
        let planes = part.planes(sample, panel.real.clone());
        window.empty(simd, interleaved, shape, top, panel.accumulate, planes);
    }
}

/// Transforms one vector of channels of one tile back: A^T m A + bias.
#[inline(always)]
fn tile_outputs<S: Simd, F: Filter>(
    simd: S,
    product: &[f32],
    point: usize,
    bias: S::V,
    to: &mut [f32],
    [row, column]: [usize; 2],
) {
    let mut half = [[simd.splat(0.0); WIDEST]; WIDEST];
    for x in 0..F::WINDOW {
        let mut m = [simd.splat(0.0); WIDEST];
        for y in 0..F::WINDOW {
            m[y] = simd.load(&product[(y * F::WINDOW + x) * point..]);
        }
        let m = F::at(simd, m);
        for y in 0..F::SIDE {
            half[y][x] = m[y];
        }
    }

    for y in 0..F::SIDE {
        let m = F::at(simd, half[y]);
        for x in 0..F::SIDE {
            simd.store(simd.add(m[x], bias), &mut to[y * row + x * column..]);
        }
    }
}

/// Number of inputs whose weights are transposed at once, so that they stay in the first-level
/// cache.
const BLOCK: usize = 8;

/// Number of taps of a kernel.
const TAPS: usize = 9;

/// The use that a convolution makes of a weight `[out, in, 3, 3]`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    /// The weight as it is.
    Forward,
    /// Outputs and inputs exchanged, and the order of the taps reversed.
    InputGradient,
}

/// The transform G g G^T for a panel of outputs of the convolution that is done, whatever its
/// direction.
pub(super) struct WeightTransform<'a> {
    pub(super) tiling: Tiling,
    pub(super) direction: Direction,
    pub(super) inputs: usize,
    pub(super) outputs: Panels,
    /// The index of the panel.
    pub(super) p: usize,
    pub(super) weight: &'a [f32],
    /// Transformed weights, `[point, input, output in panel]`.
    pub(super) points: &'a mut [f32],
}

impl Kernel for WeightTransform<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.tiling {
            Tiling::Two => self.transform::<S, Two>(simd),
            Tiling::Four => self.transform::<S, Four>(simd),
        }
    }
}

impl WeightTransform<'_> {
    #[inline(always)]
    fn transform<S: Simd, F: Filter>(self, simd: S) {
        let width = self.outputs.width(self.p);
        let point = self.outputs.point_len(self.inputs, self.p);
        let mut taps = [0.0; BLOCK * TAPS * PANEL];

        for first in (0..self.inputs).step_by(BLOCK) {
            let count = BLOCK.min(self.inputs - first);
            self.turn(simd, first, count, &mut taps);

            for (i, taps) in taps.chunks_exact(TAPS * width).take(count).enumerate() {
                for c in (0..width).step_by(S::LANES) {
                    let tap = |t: usize| match self.direction {
                        Direction::Forward => &taps[t * width + c..],
                        Direction::InputGradient => &taps[(TAPS - 1 - t) * width + c..],
                    };

                    // The columns first, then the rows of what they gave: G g G^T of a kernel g.
                    let mut half = [[simd.splat(0.0); 3]; WIDEST];
                    for x in 0..3 {
                        let mut column = [simd.splat(0.0); 3];
                        for y in 0..3 {
                            column[y] = simd.load(tap(3 * y + x));
                        }
                        let column = F::g(simd, column);
                        for y in 0..F::WINDOW {
                            half[y][x] = column[y];
                        }
                    }

                    for y in 0..F::WINDOW {
                        let row = F::g(simd, half[y]);
                        for x in 0..F::WINDOW {
                            let at = (y * F::WINDOW + x) * point + (first + i) * width + c;
                            simd.store(row[x], &mut self.points[at..]);
                        }
                    }
                }
            }
        }
    }

    /// Copies the weights of inputs `first..first + count` to `taps`,
    /// `[input, tap, output in panel]`.
    #[inline(always)]
    fn turn<S: Simd>(&self, simd: S, first: usize, count: usize, taps: &mut [f32]) {
        let (width, real) = (self.outputs.width(self.p), self.outputs.real(self.p));
        match self.direction {
            Direction::Forward => {
                let row = self.inputs * TAPS;
                let from = &self.weight[real.start * row + first * TAPS..];
                transpose(simd, [real.len(), count * TAPS], from, row, taps, width);
            }
            Direction::InputGradient => {
                let row = self.outputs.channels * TAPS;
                for (i, taps) in taps.chunks_exact_mut(TAPS * width).take(count).enumerate() {
                    let from = &self.weight[(first + i) * row + real.start * TAPS..];
                    transpose(simd, [real.len(), TAPS], from, TAPS, taps, width);
                }
            }
        }
    }
}

/// The adjoint transform G^T s G for a panel of outputs: from sums at the points to the weight's
/// gradient.
pub(super) struct WeightAdjoint<'a> {
    pub(super) tiling: Tiling,
    pub(super) inputs: Panels,
    pub(super) outputs: Panels,
    /// The index of the panel.
    pub(super) p: usize,
    /// Sums, `[point, panel of outputs, input, output in panel]`.
    pub(super) sums: &'a [f32],
    /// The gradient, `[output of the panel, input, tap]`.
    pub(super) weight_grad: &'a mut [f32],
}

impl Kernel for WeightAdjoint<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.tiling {
            Tiling::Two => self.transform::<S, Two>(simd),
            Tiling::Four => self.transform::<S, Four>(simd),
        }
    }
}

impl WeightAdjoint<'_> {
    #[inline(always)]
    fn transform<S: Simd, F: Filter>(self, simd: S) {
        let Self { inputs, outputs, p, sums, weight_grad, .. } = self;
        let (width, real) = (outputs.width(p), outputs.real(p));
        let (rows, point) = (inputs.padded(), inputs.padded() * outputs.padded() + GAP);
        let sums = &sums[rows * PANEL * p..];
        let mut block = [0.0; BLOCK * TAPS * PANEL];

        for first in (0..inputs.channels).step_by(BLOCK) {
            let count = BLOCK.min(inputs.channels - first);
            for (i, taps) in block.chunks_exact_mut(TAPS * width).take(count).enumerate() {
                for c in (0..width).step_by(S::LANES) {
                    // The columns first, then the rows of what they gave: G^T u G of the sums u.
                    let mut half = [[simd.splat(0.0); WIDEST]; 3];
                    for x in 0..F::WINDOW {
                        let mut column = [simd.splat(0.0); WIDEST];
                        for y in 0..F::WINDOW {
                            let at = (y * F::WINDOW + x) * point + (first + i) * width + c;
                            column[y] = simd.load(&sums[at..]);
                        }

                        let column = F::gt(simd, column);
                        for y in 0..3 {
                            half[y][x] = column[y];
                        }
                    }

                    for y in 0..3 {
                        let row = F::gt(simd, half[y]);
                        for x in 0..3 {
                            simd.store(row[x], &mut taps[(3 * y + x) * width + c..]);
                        }
                    }
                }
            }

            let (to, row) = (&mut weight_grad[first * TAPS..], inputs.channels * TAPS);
            transpose(simd, [count * TAPS, real.len()], &block, width, to, row);
        }
    }
}
