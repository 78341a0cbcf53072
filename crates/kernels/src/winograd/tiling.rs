//! The division of an image into tiles, and of its channels into panels.

use std::ops::Range;

use crate::aligned;
use crate::shape::ConvShape;

/// The size of the tiles that an image is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tiling {
    /// Tiles of 2x2 outputs.
    Two,
    /// Tiles of 4x4 outputs.
    Four,
}

impl Tiling {
    /// Returns the tiling for images of a size.
    pub(super) fn of(shape: &ConvShape) -> Self {
        if shape.height.max(shape.width) <= SMALL { Self::Two } else { Self::Four }
    }

    /// Returns the side of a tile of outputs.
    pub(super) fn side(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Returns the number of entries of a transformed tile, which is that of the inputs it sees.
    pub(super) fn points(self) -> usize {
        (self.side() + 2).pow(2)
    }
}

/// Side of the largest images that are cut into tiles of 2x2.
pub(super) const SMALL: usize = 8;

/// Channels of a panel; the last panel of an image may have half as many.
pub(super) const PANEL: usize = 32;

/// Gap between the values of one point and those of the next: one cache line. At a distance of a
/// power of two, all points of a tile would compete for a few sets of the first-level cache.
pub(super) const GAP: usize = aligned::VALUES;

/// Largest number of tiles of a strip; a strip has one row of tiles at least.
pub(super) const STRIP: usize = 64;

/// The division of an image of `channels` channels into panels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panels {
    pub(super) channels: usize,
}

impl Panels {
    /// Returns the number of channels with padding.
    pub(super) fn padded(self) -> usize {
        self.channels.next_multiple_of(PANEL / 2)
    }

    /// Returns the number of panels.
    pub(super) fn count(self) -> usize {
        self.padded().div_ceil(PANEL)
    }

    /// Returns the width of panel `p`, with padding.
    pub(super) fn width(self, p: usize) -> usize {
        PANEL.min(self.padded() - p * PANEL)
    }

    /// Returns the channels of panel `p` without padding.
    pub(super) fn real(self, p: usize) -> Range<usize> {
        p * PANEL..self.channels.min((p + 1) * PANEL)
    }

    /// Returns the number of values of `[panel, point, row, channel in panel]`, gaps included.
    pub(super) fn len(self, tiling: Tiling, rows: usize) -> usize {
        tiling.points() * (rows * self.padded() + GAP * self.count())
    }

    /// Returns the number of values of one panel, unless it is the last.
    pub(super) fn panel_len(points: usize, rows: usize) -> usize {
        points * (rows * PANEL + GAP)
    }

    /// Returns the distance from one point of panel `p` to the next.
    pub(super) fn point_len(self, rows: usize, p: usize) -> usize {
        rows * self.width(p) + GAP
    }

    /// Returns the range of the values `[row, channel in panel]` of a panel and point.
    pub(super) fn at(self, tiling: Tiling, rows: usize, p: usize, point: usize) -> Range<usize> {
        let from = Self::panel_len(tiling.points(), rows) * p + self.point_len(rows, p) * point;
        from..from + rows * self.width(p)
    }
}
