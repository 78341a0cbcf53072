//! The division of a convolution's work: strips of tiles, and the parts of the output that threads
//! take.

use std::ops::Range;

use super::tiling::{PANEL, Panels, STRIP, Tiling};
use crate::shape::ConvShape;

/// Neighbouring rows of tiles of one sample, or all rows of several samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Strip {
    pub(super) samples: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Strip {
    /// Returns the number of samples of which one strip takes all rows, at least 1.
    pub(super) fn samples(shape: &ConvShape) -> usize {
        (STRIP / (tile_rows(shape) * tile_columns(shape))).max(1)
    }

    /// Cuts the tiles of `rows` of `samples` into strips, in order.
    pub(super) fn cut(samples: Range<usize>, rows: Range<usize>, shape: &ConvShape) -> Vec<Self> {
        let per_strip = Self::samples(shape);
        let step = if per_strip > 1 { rows.len() } else { (STRIP / tile_columns(shape)).max(1) };

        let mut strips = Vec::new();
        for first in samples.clone().step_by(per_strip) {
            for row in rows.clone().step_by(step) {
                let samples = first..samples.end.min(first + per_strip);
                strips.push(Self { samples, rows: row..rows.end.min(row + step) });
            }
        }
        strips
    }

    /// Returns the number of tiles.
    pub(super) fn tiles(&self, shape: &ConvShape) -> usize {
        self.samples.len() * self.rows.len() * tile_columns(shape)
    }
}

/// Returns the number of rows of tiles of an image.
pub(super) fn tile_rows(shape: &ConvShape) -> usize {
    shape.height.div_ceil(Tiling::of(shape).side())
}

/// Returns the number of tiles in a row.
pub(super) fn tile_columns(shape: &ConvShape) -> usize {
    shape.width.div_ceil(Tiling::of(shape).side())
}

/// The outputs that one task computes: some panels, in some rows of tiles of some samples.
pub(super) struct Part<'a> {
    pub(super) samples: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
    /// The rows of the outputs' channels that belong to the part, sample by sample.
    pub(super) planes: Vec<&'a mut [f32]>,
}

/// Number of tiles of a piece from which on an image is cut into bands of rows. Each band then
/// reads all the weights. With fewer tiles it is cut into groups of panels, and each group
/// transforms all the tiles.
const MANY_TILES: usize = 32;

impl<'a> Part<'a> {
    /// Cuts the output into groups of samples, and these further into pieces of [`Part::steps`].
    pub(super) fn cut(outputs: Panels, shape: &ConvShape, out: &'a mut [f32]) -> Vec<Self> {
        let (pixels, all_rows) = (shape.height * shape.width, tile_rows(shape));
        let group = Strip::samples(shape).min(shape.batch.div_ceil(rayon::current_num_threads()));
        let [rows, panels] = Self::steps(outputs, shape);
        let columns = outputs.count().div_ceil(panels);

        let mut parts: Vec<Self> = Vec::new();
        for (i, out) in out.chunks_mut(group * outputs.channels * pixels).enumerate() {
            let samples = i * group..shape.batch.min((i + 1) * group);
            let first = parts.len();

            for row in (0..all_rows).step_by(rows) {
                for panel in (0..outputs.count()).step_by(panels) {
                    parts.push(Self {
                        samples: samples.clone(),
                        rows: row..all_rows.min(row + rows),
                        panels: panel..outputs.count().min(panel + panels),
                        planes: Vec::new(),
                    });
                }
            }

            // Every plane goes to the pieces of its channel, one band of rows to each.
            for (channel, plane) in out.chunks_mut(pixels).enumerate() {
                let column = channel % outputs.channels / (panels * PANEL);
                for (band, plane) in
                    plane.chunks_mut(rows * Tiling::of(shape).side() * shape.width).enumerate()
                {
                    parts[first + band * columns + column].planes.push(plane);
                }
            }
        }
        parts
    }

    /// Returns the numbers of rows of tiles and of panels of a part. They are all there are, or a
    /// share of one of them where samples are fewer than threads.
    fn steps(outputs: Panels, shape: &ConvShape) -> [usize; 2] {
        let pieces = rayon::current_num_threads().div_ceil(shape.batch);
        let (rows, panels) = (tile_rows(shape), outputs.count());
        if panels < pieces || rows * tile_columns(shape) >= pieces * MANY_TILES {
            [rows.div_ceil(pieces), panels]
        } else {
            [rows, panels.div_ceil(pieces)]
        }
    }

    /// Returns the planes of channels `real` of a sample, from image row `top()` on.
    pub(super) fn planes(&mut self, sample: usize, real: Range<usize>) -> &mut [&'a mut [f32]] {
        let per_sample = self.planes.len() / self.samples.len();
        let first =
            (sample - self.samples.start) * per_sample + real.start - self.panels.start * PANEL;
        &mut self.planes[first..][..real.len()]
    }

    /// Returns the image row that the planes begin with.
    pub(super) fn top(&self, tiling: Tiling) -> usize {
        self.rows.start * tiling.side()
    }
}
