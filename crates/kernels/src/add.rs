//! The sum of two arrays, in place.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd, dispatch};

/// Values that one task adds.
const CHUNK: usize = 1 << 14;

/// `x` += `y`.
///
/// # Panics
/// Slices of different lengths.
pub fn add(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "lengths");
    x.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(x, y)| dispatch(Add { x, y }));
}

struct Add<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
}

impl Kernel for Add<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        self.x.iter_mut().zip(self.y).for_each(|(x, y)| *x += y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{each_unit, values};

    #[test]
    fn every_value_gets_its_own() {
        for len in [0, 1, 17, CHUNK + 3] {
            let (x, y) = (values(len, 1), values(len, 2));
            let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
            let run = || {
                let mut x = x.clone();
                add(&mut x, &y);
                x
            };
            for ours in each_unit(run) {
                assert_eq!(ours, expected);
            }
        }
    }
}
