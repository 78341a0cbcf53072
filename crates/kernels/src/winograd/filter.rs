//! Winograd's transforms along one axis, for two sizes of tiles.

use crate::simd::Simd;

/// Side of the largest window of inputs.
pub(super) const WIDEST: usize = 6;

/// The transforms along one axis. Arrays have the size of the largest window; the entries of a
/// smaller window or tile come first.
pub(super) trait Filter {
    /// Side of a tile of outputs.
    const SIDE: usize;
    /// Side of the window of inputs that a tile sees.
    const WINDOW: usize = Self::SIDE + 2;
    /// Returns B^T d.
    fn bt<S: Simd>(simd: S, d: [S::V; WIDEST]) -> [S::V; WIDEST];
    /// Returns A^T m.
    fn at<S: Simd>(simd: S, m: [S::V; WIDEST]) -> [S::V; WIDEST];
    /// Returns A y.
    fn a<S: Simd>(simd: S, y: [S::V; WIDEST]) -> [S::V; WIDEST];
    /// Returns G g.
    fn g<S: Simd>(simd: S, g: [S::V; 3]) -> [S::V; WIDEST];
    /// Returns G^T u.
    fn gt<S: Simd>(simd: S, u: [S::V; WIDEST]) -> [S::V; 3];
}

/// F(2, 3), with the interpolation points 0, 1, -1 and infinity.
pub(super) struct Two;

impl Filter for Two {
    const SIDE: usize = 2;

    #[inline(always)]
    fn bt<S: Simd>(simd: S, d: [S::V; WIDEST]) -> [S::V; WIDEST] {
        let mut out = d;
        out[0] = simd.sub(d[0], d[2]);
        out[1] = simd.add(d[1], d[2]);
        out[2] = simd.sub(d[2], d[1]);
        out[3] = simd.sub(d[1], d[3]);
        out
    }

    #[inline(always)]
    fn at<S: Simd>(simd: S, m: [S::V; WIDEST]) -> [S::V; WIDEST] {
        let mut out = m;
        out[0] = simd.add(m[0], simd.add(m[1], m[2]));
        out[1] = simd.sub(simd.sub(m[1], m[2]), m[3]);
        out
    }

    #[inline(always)]
    fn a<S: Simd>(simd: S, y: [S::V; WIDEST]) -> [S::V; WIDEST] {
        let mut out = y;
        out[1] = simd.add(y[0], y[1]);
        out[2] = simd.sub(y[0], y[1]);
        out[3] = simd.sub(simd.splat(0.0), y[1]);
        out
    }

    #[inline(always)]
    fn g<S: Simd>(simd: S, g: [S::V; 3]) -> [S::V; WIDEST] {
        let half = simd.splat(0.5);
        let (even, odd) = (simd.mul(half, simd.add(g[0], g[2])), simd.mul(half, g[1]));
        let mut out = [g[0]; WIDEST];
        out[1] = simd.add(even, odd);
        out[2] = simd.sub(even, odd);
        out[3] = g[2];
        out
    }

    #[inline(always)]
    fn gt<S: Simd>(simd: S, u: [S::V; WIDEST]) -> [S::V; 3] {
        let half = simd.splat(0.5);
        let even = simd.mul(half, simd.add(u[1], u[2]));
        [simd.add(u[0], even), simd.mul(half, simd.sub(u[1], u[2])), simd.add(even, u[3])]
    }
}

/// F(4, 3), with the interpolation points 0, 1, -1, 2, -2 and infinity.
pub(super) struct Four;

impl Filter for Four {
    const SIDE: usize = 4;

    #[inline(always)]
    fn bt<S: Simd>(simd: S, d: [S::V; WIDEST]) -> [S::V; WIDEST] {
        let (two, four) = (simd.splat(2.0), simd.splat(4.0));
        let (minus, five) = (simd.splat(-4.0), simd.splat(-5.0));
        let (even, odd) = (simd.mul_add(minus, d[2], d[4]), simd.mul_add(minus, d[1], d[3]));
        let (near, far) = (simd.sub(d[4], d[2]), simd.mul(two, simd.sub(d[3], d[1])));
        [
            simd.mul_add(four, d[0], simd.mul_add(five, d[2], d[4])),
            simd.add(even, odd),
            simd.sub(even, odd),
            simd.add(near, far),
            simd.sub(near, far),
            simd.mul_add(four, d[1], simd.mul_add(five, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn at<S: Simd>(simd: S, m: [S::V; WIDEST]) -> [S::V; WIDEST] {
        let (two, four, eight) = (simd.splat(2.0), simd.splat(4.0), simd.splat(8.0));
        let (s1, d1) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
        let (s2, d2) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
        [
            simd.add(m[0], simd.add(s1, s2)),
            simd.mul_add(two, d2, d1),
            simd.mul_add(four, s2, s1),
            simd.add(simd.mul_add(eight, d2, d1), m[5]),
            m[4],
            m[5],
        ]
    }

    #[inline(always)]
    fn a<S: Simd>(simd: S, y: [S::V; WIDEST]) -> [S::V; WIDEST] {
        let (two, four) = (simd.splat(2.0), simd.splat(4.0));
        let (even, odd) = (simd.add(y[0], y[2]), simd.add(y[1], y[3]));
        let far_even = simd.mul_add(four, y[2], y[0]);
        let far_odd = simd.mul(two, simd.mul_add(four, y[3], y[1]));
        [
            y[0],
            simd.add(even, odd),
            simd.sub(even, odd),
            simd.add(far_even, far_odd),
            simd.sub(far_even, far_odd),
            y[3],
        ]
    }

    #[inline(always)]
    fn g<S: Simd>(simd: S, g: [S::V; 3]) -> [S::V; WIDEST] {
        let (quarter, sixth) = (simd.splat(0.25), simd.splat(-1.0 / 6.0));
        let (small, mid) = (simd.splat(1.0 / 24.0), simd.splat(1.0 / 12.0));
        let even = simd.mul(sixth, simd.add(g[0], g[2]));
        let odd = simd.mul(sixth, g[1]);
        let far_even = simd.mul_add(small, g[0], simd.mul(simd.splat(1.0 / 6.0), g[2]));
        let far_odd = simd.mul(mid, g[1]);
        [
            simd.mul(quarter, g[0]),
            simd.add(even, odd),
            simd.sub(even, odd),
            simd.add(far_even, far_odd),
            simd.sub(far_even, far_odd),
            g[2],
        ]
    }

    #[inline(always)]
    fn gt<S: Simd>(simd: S, u: [S::V; WIDEST]) -> [S::V; 3] {
        let (quarter, sixth) = (simd.splat(0.25), simd.splat(1.0 / 6.0));
        let (small, mid) = (simd.splat(1.0 / 24.0), simd.splat(1.0 / 12.0));
        let near = simd.add(u[1], u[2]);
        let (far, difference) = (simd.add(u[3], u[4]), simd.sub(u[3], u[4]));
        let first = simd.mul_add(quarter, u[0], simd.mul(small, far));
        [
            simd.sub(first, simd.mul(sixth, near)),
            simd.mul_add(sixth, simd.sub(u[2], u[1]), simd.mul(mid, difference)),
            simd.mul_add(sixth, simd.sub(far, near), u[5]),
        ]
    }
}
