//! Images as flat signals. Each row is followed by as many zeros as a convolution's padding is
//! wide, so that every tap of the kernel is one offset, whatever the row.

use rayon::prelude::*;

use crate::shape::ConvShape;

/// The layout of padded planes.
pub(crate) struct Planes {
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Width of the zeros around the image.
    pad: usize,
    /// Distance from a row to the next; a row's trailing zeros are the next one's leading ones.
    pub(crate) row: usize,
    /// Number of flat output positions, unused ones at rows' ends included.
    pub(crate) positions: usize,
    /// Distance from a plane to the next.
    pub(crate) plane: usize,
}

/// Smallest multiple in which positions are computed: the lanes of the widest register.
pub(crate) const LANES_MAX: usize = 16;

impl Planes {
    pub(crate) fn of(shape: &ConvShape) -> Self {
        let (height, width, pad) = (shape.height, shape.width, shape.kernel / 2);
        let row = width + pad;
        let positions = (height * row).next_multiple_of(LANES_MAX);
        Self { height, width, pad, row, positions, plane: positions + 2 * pad * (row + 1) }
    }

    /// Returns the layout of a single row without padding.
    pub(crate) fn of_row(width: usize) -> Self {
        let positions = width.next_multiple_of(LANES_MAX);
        Self { height: 1, width, pad: 0, row: width, positions, plane: positions }
    }

    /// Returns the index of the image's first point in its plane, which is also the offset of the
    /// kernel's centre.
    pub(crate) fn start(&self) -> usize {
        self.pad * (self.row + 1)
    }

    /// Returns the offsets of the kernel's taps.
    pub(crate) fn offsets(&self) -> Vec<usize> {
        let side = 2 * self.pad + 1;
        (0..side * side).map(|tap| tap / side * self.row + tap % side).collect()
    }

    /// Copies an image into its plane, whose other values are left at zero.
    pub(crate) fn pad(&self, image: &[f32], plane: &mut [f32]) {
        let rows = plane[self.start()..].chunks_mut(self.row);
        for (from, to) in image.chunks_exact(self.width).zip(rows) {
            to[..self.width].copy_from_slice(from);
        }
    }

    /// Returns the distance from a sample's image to the next in a channel's signal. The zeros
    /// below one image are those above the next.
    fn image(&self) -> usize {
        (self.height + self.pad) * self.row
    }

    /// Returns the length of a channel's signal, which holds all samples one after the other.
    pub(crate) fn signal(&self, batch: usize) -> usize {
        self.signal_positions(batch) + 2 * self.start()
    }

    pub(crate) fn signal_positions(&self, batch: usize) -> usize {
        (batch * self.image()).next_multiple_of(LANES_MAX)
    }

    /// Writes `images` `[batch, channel, y, x]` as one padded signal for each channel.
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
