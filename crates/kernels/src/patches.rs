//! Folding of an image's patches into channels, and its inverse.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd, dispatch};

/// Smallest number of values that one task moves.
const SHARE: usize = 1 << 13;

/// Folds each plane of `x` `[plane, y, x]` into `side^2` planes of its own,
/// `[plane, side^2, y / side, x / side]`. Each of these holds one point of every `side` x `side`
/// patch. A plane of `x` has `size` points, `width` of them in a row.
///
/// # Panics
/// Panics on lengths that do not fit each other, and on sides that do not divide the image's.
pub fn unshuffle(x: &[f32], [size, width]: [usize; 2], side: usize, out: &mut [f32]) {
    check(x, out, size, width, side);
    let planes = out.par_chunks_mut(size).zip(x.par_chunks(size));
    planes.with_min_len(SHARE.div_ceil(size)).for_each(|(parts, image)| {
        dispatch(Unshuffle { image, width, side, parts });
    });
}

struct Unshuffle<'a> {
    image: &'a [f32],
    width: usize,
    side: usize,
    parts: &'a mut [f32],
}

impl Kernel for Unshuffle<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.side {
            // A side known to the compiler becomes shuffles of registers.
            2 => self.unshuffle(2),
            side => self.unshuffle(side),
        }
    }
}

impl Unshuffle<'_> {
    #[inline(always)]
    fn unshuffle(self, side: usize) {
        let Self { image, width, parts, .. } = self;
        let (columns, rows) = (width / side, image.len() / width / side);
        for (part, plane) in parts.chunks_exact_mut(rows * columns).enumerate() {
            for (y, row) in plane.chunks_exact_mut(columns).enumerate() {
                let from = &image[(side * y + part / side) * width..][..width];
                let from = from.chunks_exact(side).map(|patch| patch[part % side]);
                row.iter_mut().zip(from).for_each(|(to, v)| *to = v);
            }
        }
    }
}

/// Inverts [`unshuffle`]; `size` and `width` are those of the unfolded planes.
///
/// # Panics
/// Panics as [`unshuffle`] does.
pub fn shuffle(x: &[f32], [size, width]: [usize; 2], side: usize, out: &mut [f32]) {
    check(x, out, size, width, side);
    let planes = out.par_chunks_mut(size).zip(x.par_chunks(size));
    planes.with_min_len(SHARE.div_ceil(size)).for_each(|(image, parts)| {
        dispatch(Shuffle { parts, width, side, image });
    });
}

struct Shuffle<'a> {
    parts: &'a [f32],
    width: usize,
    side: usize,
    image: &'a mut [f32],
}

impl Kernel for Shuffle<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.side {
            2 => self.shuffle_pairs(),
            side => self.shuffle(side),
        }
    }
}

impl Shuffle<'_> {
    #[inline(always)]
    fn shuffle(self, side: usize) {
        let Self { parts, width, image, .. } = self;
        let (columns, pixels) = (width / side, image.len() / (side * side));
        for (y, row) in image.chunks_exact_mut(width).enumerate() {
            for part in 0..side {
                let from = &parts[(y % side * side + part) * pixels + y / side * columns..];
                let to = row[part..].iter_mut().step_by(side);
                to.zip(&from[..columns]).for_each(|(to, v)| *to = *v);
            }
        }
    }

    /// Unfolds patches of 2x2: two rows of values become one, by shuffles of registers.
    #[inline(always)]
    fn shuffle_pairs(self) {
        let Self { parts, width, image, .. } = self;
        let (columns, pixels) = (width / 2, image.len() / 4);
        for (y, row) in image.chunks_exact_mut(width).enumerate() {
            let at = |part: usize| (y % 2 * 2 + part) * pixels + y / 2 * columns;
            let (left, right) = (&parts[at(0)..][..columns], &parts[at(1)..][..columns]);
            let (pairs, _) = row.as_chunks_mut::<2>();
            for ((pair, left), right) in pairs.iter_mut().zip(left).zip(right) {
                *pair = [*left, *right];
            }
        }
    }
}

fn check(x: &[f32], out: &[f32], size: usize, width: usize, side: usize) {
    assert!(x.len() == out.len() && x.len().is_multiple_of(size), "lengths");
    let height = size / width;
    assert!(width.is_multiple_of(side) && height.is_multiple_of(side), "patches");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{each_unit, values};

    #[test]
    fn patches_become_planes_and_come_back() {
        for [planes, rows, columns, side] in
            [[1, 1, 1, 1], [3, 2, 5, 2], [2, 4, 32, 2], [2, 4, 3, 3], [5, 1, 1, 4]]
        {
            let [height, width] = [rows * side, columns * side];
            let size = height * width;
            let x = values(planes * size, 1);

            let run = || {
                let [mut folded, mut back] = [vec![0.0; x.len()], vec![0.0; x.len()]];
                unshuffle(&x, [size, width], side, &mut folded);
                shuffle(&folded, [size, width], side, &mut back);
                [folded, back]
            };
            let [[folded, back], rest @ ..] = &each_unit(run)[..] else { unreachable!() };
            assert!(rest.iter().all(|[f, b]| f == folded && b == back));

            for (i, v) in folded.iter().enumerate() {
                let (plane, place) = (i / size, i % size);
                let (part, place) = (place / (rows * columns), place % (rows * columns));
                let y = place / columns * side + part / side;
                let from = plane * size + y * width + place % columns * side + part % side;
                assert_eq!(*v, x[from], "{planes} {rows} {columns} {side}: {i}");
            }
            assert_eq!(*back, x);
        }
    }

    #[test]
    #[should_panic(expected = "patches")]
    fn a_side_that_does_not_divide_the_height_is_refused() {
        unshuffle(&[0.0; 12], [12, 4], 2, &mut [0.0; 12]);
    }

    #[test]
    #[should_panic(expected = "patches")]
    fn a_side_that_does_not_divide_the_width_is_refused() {
        unshuffle(&[0.0; 12], [12, 3], 2, &mut [0.0; 12]);
    }
}
