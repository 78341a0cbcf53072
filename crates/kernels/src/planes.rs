//! Images as flat signals: each row is followed by as many zeros as a convolution's padding is
//! wide, so that every tap of the kernel is one offset, whatever the row.

use rayon::prelude::*;

use crate::conv::ConvShape;

/// How the padded planes lie.
pub(crate) struct Planes {
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Zeros around the image.
    pad: usize,
    /// From a row to the next; a row's trailing zeros are the next one's leading ones.
    pub(crate) row: usize,
    /// Flat output positions, unused ones at rows' ends included.
    pub(crate) positions: usize,
    /// From a plane to the next.
    pub(crate) plane: usize,
}

/// Positions are computed this many at a time at least.
pub(crate) const LANES_MAX: usize = 16;

impl Planes {
    pub(crate) fn of(shape: &ConvShape) -> Self {
        let (height, width, pad) = (shape.height, shape.width, shape.kernel / 2);
        let row = width + pad;
        let positions = (height * row).next_multiple_of(LANES_MAX);
        Self { height, width, pad, row, positions, plane: positions + 2 * pad * (row + 1) }
    }

    /// Without padding, a single row.
    pub(crate) fn of_row(width: usize) -> Self {
        let positions = width.next_multiple_of(LANES_MAX);
        Self { height: 1, width, pad: 0, row: width, positions, plane: positions }
    }

    /// Where the image starts in its plane; also the offset of the kernel's centre.
    pub(crate) fn start(&self) -> usize {
        self.pad * (self.row + 1)
    }

    /// Offsets of the kernel's taps.
    pub(crate) fn offsets(&self) -> Vec<usize> {
        let side = 2 * self.pad + 1;
        (0..side * side).map(|tap| tap / side * self.row + tap % side).collect()
    }

    /// Copies an image into its plane, whose other values stay zero.
    pub(crate) fn pad(&self, image: &[f32], plane: &mut [f32]) {
        let rows = plane[self.start()..].chunks_mut(self.row);
        for (from, to) in image.chunks_exact(self.width).zip(rows) {
            to[..self.width].copy_from_slice(from);
        }
    }

    /// From a sample's image to the next in a channel's signal: the zeros below one are those
    /// above the next.
    fn image(&self) -> usize {
        (self.height + self.pad) * self.row
    }

    /// Length of a channel's signal, all samples in a row.
    pub(crate) fn signal(&self, batch: usize) -> usize {
        self.signal_positions(batch) + 2 * self.start()
    }

    pub(crate) fn signal_positions(&self, batch: usize) -> usize {
        (batch * self.image()).next_multiple_of(LANES_MAX)
    }

    /// `images` `[batch, channel, y, x]` as one padded signal a channel.
    pub(crate) fn signals(&self, images: &[f32], channels: usize, signals: &mut Vec<f32>) {
        let pixels = self.height * self.width;
        let batch = images.len() / (channels * pixels);
        signals.resize(channels * self.signal(batch), 0.0);
        signals.par_chunks_mut(self.signal(batch)).enumerate().for_each(|(channel, signal)| {
            signal.fill(0.0);
            for sample in 0..batch {
                let image = &images[(sample * channels + channel) * pixels..][..pixels];
                self.pad(image, &mut signal[sample * self.image()..]);
            }
        });
    }
}
