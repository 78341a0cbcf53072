//! Symmetries that a random input's law and the equation share: each turns a sample into another
//! one.

/// A map of the grid's points, common to all channels, that takes each sample of a PDE to an
/// equally likely one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symmetry {
    /// The point that each point takes its value from, row by row.
    pub source: Vec<usize>,
}

impl Symmetry {
    /// Returns the map on `size` points a side by which the value at row y, column x is that at
    /// `source(y, x)`.
    fn new(size: usize, source: impl Fn(usize, usize) -> [usize; 2]) -> Self {
        let at = |i: usize| {
            let [y, x] = source(i / size, i % size);
            y * size + x
        };
        Self { source: (0..size * size).map(at).collect() }
    }

    /// The seven reflections and rotations of a square that map its grid onto itself.
    pub(crate) fn of_square(size: usize) -> Vec<Self> {
        let flipped = |i: usize, flip: bool| if flip { size - 1 - i } else { i };
        let one = |k: usize| {
            Self::new(size, move |y, x| {
                let [y, x] = if k & 4 > 0 { [x, y] } else { [y, x] };
                [flipped(y, k & 2 > 0), flipped(x, k & 1 > 0)]
            })
        };
        (1..8).map(one).collect()
    }

    /// Returns seven shifts by about eighths of the period along x, and by `along_y` times as much
    /// along y.
    pub(crate) fn shifts(size: usize, along_y: isize) -> Vec<Self> {
        let one = |k: usize| {
            let by = k * size / 8;
            let down = (by as isize * along_y).rem_euclid(size as isize) as usize;
            Self::new(size, move |y, x| [(y + down) % size, (x + by) % size])
        };
        (1..8).map(one).collect()
    }

    /// Returns the field with its values moved by the map.
    pub fn apply<T: Copy>(&self, field: &[T]) -> Vec<T> {
        self.source.iter().map(|&i| field[i]).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::registry::{by_name, names};
    use crate::{Fields, Pde, rng};

    const SIZE: usize = 16;

    fn moved(symmetry: &Symmetry, x: &Fields) -> Fields {
        let fields = (0..x.channels).flat_map(|c| symmetry.apply(x.channel(c)));
        Fields { data: fields.collect(), ..x.clone() }
    }

    fn sample(pde: &dyn Pde, index: u64) -> Fields {
        let input = pde.random_input(SIZE, &mut rng::stream(4, "input", 0, index)).unwrap();
        pde.solve(&input).unwrap().fields
    }

    #[test]
    fn moved_samples_solve_the_equation() {
        for name in names() {
            let pde = by_name(name).unwrap();
            let x = sample(pde.as_ref(), 0);
            let largest = x.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let all = pde.symmetries(SIZE);
            assert_eq!(all.len(), 7, "{name}");

            for (i, symmetry) in all.iter().enumerate() {
                assert!(!all[..i].contains(symmetry), "{name}: {i} twice");
                let moved = moved(symmetry, &x);
                assert_ne!(moved, x, "{name} {i}");

                let again = pde.solve(&pde.input_of(&moved)).unwrap().fields;
                let far = again.data.iter().zip(&moved.data).map(|(a, b)| (a - b).abs());
                assert!(far.fold(0.0, f64::max) < 1e-8 * largest, "{name} {i}");
            }
        }
    }

    /// The covariance of two points' values equals that of the points they are moved from.
    #[test]
    fn moved_samples_have_the_same_law() {
        const COUNT: u64 = 600;
        for name in names() {
            let pde = by_name(name).unwrap();
            let all: Vec<Fields> = (0..COUNT).map(|i| sample(pde.as_ref(), i)).collect();
            let mean = |f: &dyn Fn(&Fields) -> f64| all.iter().map(f).sum::<f64>() / COUNT as f64;

            let last = all[0].channels - 1;
            let places = [5 * SIZE + 3, 9 * SIZE + 6];
            let covariance = |[p, q]: [usize; 2]| {
                let at = |x: &Fields, p: usize| x.channel(last)[p];
                let [mp, mq] = [mean(&|x| at(x, p)), mean(&|x| at(x, q))];
                mean(&|x| (at(x, p) - mp) * (at(x, q) - mq))
            };

            let own = covariance(places);
            let spread = covariance([places[0]; 2]);
            for symmetry in pde.symmetries(SIZE) {
                let other = covariance(places.map(|p| symmetry.source[p]));
                assert!((own - other).abs() < 0.2 * spread, "{name}: {own} {other} of {spread}");
            }
        }
    }
}
