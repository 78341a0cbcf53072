//! The choice of a field's basis from data.
//!
//! A basis that contradicts the boundary condition makes the amplitudes of high modes fall slowly:
//! as 1/k where the value jumps, as 1/k^2 where the slope does. The basis is therefore taken in
//! which the upper half of the modes holds the least share of the variance. A field is periodic
//! only where its last point also differs from the first by no more than neighbours do.

use phys_instruct_physics::Basis;
use phys_instruct_physics::transform::Transform;

use crate::Samples;

/// The most samples that are looked at, spread evenly over the set.
const LOOKED_AT: usize = 64;
/// The largest deviation from the mean at the outermost nodes that counts as zero, as a share of
/// the field's largest.
const ZERO: f64 = 1e-6;
/// The rounding of values in `f32`, as a share of the largest. It counts as zero, too.
const ROUNDING: f64 = 2.0 * f32::EPSILON as f64;
/// Another basis than the first candidate is taken only where its share is below this part of the
/// candidate's: rough fields have about the same share in all.
const CLEARLY: f64 = 0.5;
/// The last point of a periodic field differs from the first by at most this factor more than
/// neighbours do.
const WRAPPED: f64 = 1.5;
/// Neighbours of a field that is more than noise differ by at most this part of its deviation.
const SMOOTH: f64 = 0.7;
/// The fewest points of an axis on which the upper half of the modes says anything.
const FEWEST_POINTS: usize = 8;

/// The bases along y and along x that suit a channel of `data`.
pub(super) fn chosen(data: &Samples, channel: usize) -> [Basis; 2] {
    let count = data.count.min(LOOKED_AT);
    let fields: Vec<&[f32]> =
        (0..count).map(|i| data.field(i * data.count / count.max(1), channel)).collect();
    [0, 1].map(|axis| along(axis, [data.height, data.width], &fields))
}

/// The basis of `fields` of a shape along an axis.
fn along(axis: usize, shape: [usize; 2], fields: &[&[f32]]) -> Basis {
    let n = shape[axis];
    if n < FEWEST_POINTS || fields.is_empty() {
        return Basis::Cosine;
    }

    let centred = centred(fields);
    let share = |basis: Basis| upper_share(basis, axis, shape, &centred);
    let clearly = |first: Basis, others: &[Basis]| {
        let own = share(first);
        let shares = others.iter().map(|&basis| (basis, share(basis)));
        let least = shares.min_by(|a, b| a.1.total_cmp(&b.1));
        least.filter(|(_, share)| *share < CLEARLY * own).map_or((first, own), |least| least)
    };

    if vanishes(axis, shape, fields, &centred) {
        return clearly(Basis::SineNodes, &[Basis::CosineNodes]).0;
    }
    let (best, least) = clearly(Basis::Cosine, &[Basis::SineCells, Basis::SineInner]);
    // The mean has to wrap too: observations between the last point and the first see both.
    let wide: Vec<Vec<f64>> =
        fields.iter().map(|field| field.iter().map(|v| f64::from(*v)).collect()).collect();
    let wrapped = wraps(axis, shape, &centred) && wraps(axis, shape, &wide);
    let periodic = wrapped && share(Basis::Fourier) <= least;
    if periodic { Basis::Fourier } else { best }
}

/// Tells whether the last point along an axis differs from the first as neighbours do.
fn wraps(axis: usize, shape: [usize; 2], fields: &[Vec<f64>]) -> bool {
    let (n, lines) = (shape[axis], shape[1 - axis]);
    let [mut across, mut beside, mut power] = [0.0; 3];
    for field in fields {
        for l in 0..lines {
            let at = |j: usize| field[place(axis, shape, l, j)];
            across += (at(n - 1) - at(0)).powi(2);
            beside += (1..n).map(|j| (at(j) - at(j - 1)).powi(2)).sum::<f64>();
            power += (0..n).map(|j| at(j).powi(2)).sum::<f64>();
        }
    }

    let count = (fields.len() * lines) as f64;
    let [across, beside, deviation] =
        [across / count, beside / (count * (n - 1) as f64), power / (count * n as f64)]
            .map(f64::sqrt);
    across <= WRAPPED * beside && beside <= SMOOTH * deviation
}

/// The place in a field of point `j` of line `l` along an axis.
fn place(axis: usize, shape: [usize; 2], l: usize, j: usize) -> usize {
    if axis == 0 { j * shape[1] + l } else { l * shape[1] + j }
}

/// Tells whether all fields have the same values on the first and the last node along an axis, so
/// that their deviations from the mean, `centred`, are zero there.
fn vanishes(axis: usize, shape: [usize; 2], fields: &[&[f32]], centred: &[Vec<f64>]) -> bool {
    let largest = |values: &mut dyn Iterator<Item = f64>| {
        values.fold(0.0, |most: f64, value| most.max(value.abs()))
    };
    let values = largest(&mut fields.iter().flat_map(|field| field.iter().map(|v| f64::from(*v))));
    let all = largest(&mut centred.iter().flatten().copied());
    let last = shape[axis] - 1;
    let at_end = |i: usize| {
        let place = if axis == 0 { i / shape[1] } else { i % shape[1] };
        place == 0 || place == last
    };
    let mut ends = centred.iter().flat_map(|field| {
        field.iter().enumerate().filter(|(i, _)| at_end(*i)).map(|(_, value)| *value)
    });
    all > 0.0 && largest(&mut ends) <= (ZERO * all).max(ROUNDING * values)
}

/// The fields less their mean, point by point; a single field less nothing.
fn centred(fields: &[&[f32]]) -> Vec<Vec<f64>> {
    let count = fields.len() as f64;
    let len = fields.first().map_or(0, |field| field.len());
    let of = |i: usize| fields.iter().map(|field| f64::from(field[i])).sum::<f64>() / count;
    let mean: Vec<f64> = (0..len).map(|i| if fields.len() > 1 { of(i) } else { 0.0 }).collect();
    let less = |field: &&[f32]| field.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect();
    fields.iter().map(less).collect()
}

/// The share of the upper half of the modes along an axis in the variance of all of them.
fn upper_share(basis: Basis, axis: usize, shape: [usize; 2], fields: &[Vec<f64>]) -> f64 {
    let n = shape[axis];
    // The outermost nodes are no modes there and come last.
    let modes = if matches!(basis, Basis::SineNodes | Basis::CosineNodes) { n - 2 } else { n };
    let transform = Transform::new(basis, n);
    let [mut upper, mut all] = [0.0, 0.0];

    let lines = shape[1 - axis];
    for field in fields {
        for l in 0..lines {
            let at = |j: usize| field[place(axis, shape, l, j)];
            let mut line: Vec<f64> = (0..n).map(at).collect();
            transform.forward(&mut line);
            let power = |modes: &[f64]| modes.iter().map(|v| v * v).sum::<f64>();
            upper += power(&line[modes / 2..modes]);
            all += power(&line[..modes]);
        }
    }
    if all > 0.0 { upper / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::registry;

    use super::*;
    use crate::testing::{samples_from, samples_of};

    /// The bases of the library's own PDEs are found from their data alone.
    #[test]
    fn the_bases_of_known_pdes_are_found() {
        for name in ["poisson", "helmholtz", "darcy", "navier-stokes"] {
            let pde = registry::by_name(name).unwrap();
            let data = samples_from(pde.as_ref(), 40, 32, 3);
            for (c, channel) in pde.channels().iter().enumerate() {
                let found = chosen(&data, c);
                // Darcy's coefficient jumps, so that every basis has the same share.
                assert_eq!(found, channel.basis, "{name} {}", channel.name);
            }
        }
    }

    /// Temperatures in kelvin, or heads above the sea, have the bases of their deviations.
    #[test]
    fn a_field_whose_walls_have_a_common_value_has_the_basis_of_its_deviation() {
        let pde = registry::by_name("poisson").unwrap();
        let mut data = samples_from(pde.as_ref(), 40, 33, 3);
        let plain = [0, 1].map(|channel| chosen(&data, channel));
        assert_eq!(plain[1], [Basis::SineNodes; 2]);
        for offset in [1.0, 300.0] {
            data.data.iter_mut().for_each(|value| *value += offset);
            assert_eq!([0, 1].map(|channel| chosen(&data, channel)), plain, "{offset}");
        }
    }

    #[test]
    fn noise_and_few_points_have_the_basis_of_an_unknown_boundary() {
        let noise = crate::testing::gaussian_samples(20, 1, 16, 1);
        assert_eq!(chosen(&noise, 0), [Basis::Cosine; 2]);
        let small = samples_of(1, 1, 2, 2, vec![0.0; 4]);
        assert_eq!(chosen(&small, 0), [Basis::Cosine; 2]);
    }
}
