//! Patches of an image folded into channels, and back.

use rayon::prelude::*;

/// Folds `side` x `side` patches of each plane of `x`, images `width` points wide of `size` points
/// `[plane, y, x]`, into planes of their own, `[plane, side^2, y / side, x / side]`.
///
/// # Panics
/// Lengths that do not fit each other, or sides that do not divide the image's.
pub fn unshuffle(x: &[f32], [size, width]: [usize; 2], side: usize, out: &mut [f32]) {
    check(x, out, size, width, side);
    let columns = width / side;
    out.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(out, image)| {
        for (part, plane) in out.chunks_exact_mut(size / (side * side)).enumerate() {
            for (y, row) in plane.chunks_exact_mut(columns).enumerate() {
                let from = &image[(side * y + part / side) * width + part % side..];
                row.iter_mut().zip(from.iter().step_by(side)).for_each(|(to, v)| *to = *v);
            }
        }
    });
}

/// The inverse of [`unshuffle`]: `size` and `width` are those of the images made.
///
/// # Panics
/// As [`unshuffle`].
pub fn shuffle(x: &[f32], [size, width]: [usize; 2], side: usize, out: &mut [f32]) {
    check(x, out, size, width, side);
    let (pixels, columns) = (size / (side * side), width / side);
    out.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(image, parts)| {
        for (y, row) in image.chunks_exact_mut(width).enumerate() {
            for part in 0..side {
                let from = &parts[(y % side * side + part) * pixels + y / side * columns..];
                let to = row[part..].iter_mut().step_by(side);
                to.zip(&from[..columns]).for_each(|(to, v)| *to = *v);
            }
        }
    });
}

fn check(x: &[f32], out: &[f32], size: usize, width: usize, side: usize) {
    assert!(x.len() == out.len() && x.len().is_multiple_of(size), "lengths");
    let height = size / width;
    assert!(width.is_multiple_of(side) && height.is_multiple_of(side), "patches");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::values;

    #[test]
    fn patches_become_planes_and_come_back() {
        for [planes, rows, columns, side] in
            [[1, 1, 1, 1], [3, 2, 5, 2], [2, 4, 3, 3], [5, 1, 1, 4]]
        {
            let [height, width] = [rows * side, columns * side];
            let size = height * width;
            let x = values(planes * size, 1);
            let mut folded = vec![0.0; x.len()];
            unshuffle(&x, [size, width], side, &mut folded);
            for (i, v) in folded.iter().enumerate() {
                let (plane, place) = (i / size, i % size);
                let (part, place) = (place / (rows * columns), place % (rows * columns));
                let y = place / columns * side + part / side;
                let from = plane * size + y * width + place % columns * side + part % side;
                assert_eq!(*v, x[from], "{planes} {rows} {columns} {side}: {i}");
            }
            let mut back = vec![0.0; x.len()];
            shuffle(&folded, [size, width], side, &mut back);
            assert_eq!(back, x);
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
