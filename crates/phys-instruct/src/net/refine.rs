//! A network of a coarse grid as the beginning of one of a finer grid.
//!
//! Let r x r points of the fine grid lie around every point of the coarse one. Centres of cells
//! do; other points are (r - 1) / 2 fine spacings off at most. With patches r times as wide both
//! networks have the same lattice of patches, and every layer on it can stay as it is. Three
//! layers change. The fine network then does to a field of the coarse grid, repeated on the fine
//! one, what the coarse network does to that field.
//!
//! The stem takes a coarse value from r x r fine ones, and the head makes them from one value. In a
//! [`Picture::Physical`] the coarse value is their mean. In a [`Picture::Whitened`], which is made
//! of orthonormal modes, it is their sum divided by r: a mode of the same amplitude has a value r
//! times smaller at every fine point.
//!
//! White noise of the level sigma on the fine grid has the level sigma / r in a coarse value. The
//! embedding of c_noise = ln(sigma) / 4 is moved by ln(r) / 4: a sine and a cosine are turned. For
//! noise of the data's spectrum it stays.
//!
//! Among modes EDM's factors c_in, c_skip and c_out of a coarse mode are the same on both grids.
//! Among pixels they depend on sigma alone, so that the network fits at large noise only.

use std::collections::BTreeMap;

use super::params;
use super::unet::{POSITIONS, UNet, frequencies};
use crate::config::NetConfig;
use crate::store::weights::Array;
use crate::{Error, Result};

/// A field as the network sees or makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// Values that are the same on every grid.
    Physical,
    /// A sum of orthonormal modes, each in units of its own deviation.
    Whitened,
}

impl Picture {
    /// The factor of each of r x r fine values in the coarse value, for r = `times`.
    fn gathered(self, times: usize) -> f32 {
        let one = 1.0 / times as f32;
        match self {
            Self::Physical => one * one,
            Self::Whitened => one,
        }
    }

    /// The factor from a coarse value to each of its fine values.
    fn spread(self, times: usize) -> f32 {
        match self {
            Self::Physical => 1.0,
            Self::Whitened => 1.0 / times as f32,
        }
    }
}

/// The pictures of a network, and its noise.
pub struct Seen {
    /// The pictures that the network sees, without the coordinates of the points.
    pub inputs: Vec<Picture>,
    /// The pictures that it makes.
    pub outputs: Vec<Picture>,
    /// The exponent p: the level of a coarse value is that of the fine ones divided by r^p. It is 1
    /// for white noise, and 0 for noise of the data's spectrum.
    pub noise: f64,
}

/// The network `net`, of the settings `of`, with patches that are `times` as wide.
///
/// # Errors
/// Fails where the device does not give the weights back, and for pictures that are not the
/// network's.
pub fn refined(net: &UNet, of: &NetConfig, seen: &Seen, times: usize) -> Result<UNet> {
    let mut arrays = params::to_arrays(net, "")?;
    let device = net.embed_in.weight.val().device();

    // The last pictures are the coordinates of the points.
    let seen_by_stem = seen.inputs.iter().chain(&[Picture::Physical; POSITIONS]);
    let gathered: Vec<f32> = seen_by_stem.map(|picture| picture.gathered(times)).collect();
    let spread: Vec<f32> = seen.outputs.iter().map(|picture| picture.spread(times)).collect();
    for (name, axis, factors) in
        [("stem.weight", 1, &gathered), ("head.weight", 0, &spread), ("head.bias", 0, &spread)]
    {
        change(&mut arrays, name, |array| repeated(array, axis, of.patch, times, factors))?;
    }
    let shift = seen.noise * (times as f64).ln() / 4.0;
    change(&mut arrays, "embed_in.weight", |array| Some(turned(array, shift)))?;

    let config = NetConfig { patch: of.patch * times, ..of.clone() };
    let empty = UNet::zeros(&config, seen.inputs.len(), seen.outputs.len(), &device);
    params::from_arrays(empty, &arrays, "")
}

/// The network `net`, of the settings `of`, made to see the pictures `seen`: those that it sees,
/// and more at their end. It makes nothing of these yet.
///
/// # Errors
/// Fails where the device does not give the weights back, and for pictures that are not the
/// network's.
pub fn seeing_more(net: &UNet, of: &NetConfig, seen: &Seen) -> Result<UNet> {
    let device = net.embed_in.weight.val().device();
    let mut arrays = params::to_arrays(net, "")?;
    change(&mut arrays, "stem.weight", |stem| with_zeros(stem, seen.inputs.len(), of.patch))?;
    let empty = UNet::zeros(of, seen.inputs.len(), seen.outputs.len(), &device);
    params::from_arrays(empty, &arrays, "")
}

/// The weights of a stem of patches of `side` points, with zeros for pictures behind its own, up to
/// `pictures` in all. None for a stem of more pictures.
fn with_zeros(stem: &Array, pictures: usize, side: usize) -> Option<Array> {
    let [outputs, inputs, height, width] = stem.shape[..] else { return None };
    let of_picture = side * side * height * width;
    let before = (inputs / (side * side)).checked_sub(POSITIONS)?;
    let more = pictures.checked_sub(before)?;

    let mut data = Vec::with_capacity(stem.data.len() + outputs * more * of_picture);
    for row in stem.data.chunks_exact((before + POSITIONS) * of_picture) {
        let (own, positions) = row.split_at(before * of_picture);
        data.extend_from_slice(own);
        data.resize(data.len() + more * of_picture, 0.0);
        data.extend_from_slice(positions);
    }
    Some(Array { shape: vec![outputs, inputs + more * side * side, height, width], data })
}

/// Changes the array of that name.
fn change(
    arrays: &mut BTreeMap<String, Array>,
    name: &str,
    by: impl FnOnce(&Array) -> Option<Array>,
) -> Result<()> {
    let changed = arrays.get(name).and_then(by);
    let reason = || Error::Shape(format!("{name} is not that of a network of these pictures"));
    arrays.insert(name.into(), changed.ok_or_else(reason)?);
    Ok(())
}

/// Repeats the points of patches `times` along y and along x. Along `axis` the array has `side` x
/// `side` points for each picture, and `factors` has a number for each picture. None for an array
/// of other pictures.
fn repeated(
    array: &Array,
    axis: usize,
    side: usize,
    times: usize,
    factors: &[f32],
) -> Option<Array> {
    if array.shape.get(axis) != Some(&(factors.len() * side * side)) {
        return None;
    }
    let (outer, inner) = (&array.shape[..axis], &array.shape[axis + 1..]);
    let (outer, inner): (usize, usize) = (outer.iter().product(), inner.iter().product());
    let fine = side * times;

    let mut data = Vec::with_capacity(array.data.len() * times * times);
    for block in 0..outer {
        for (picture, factor) in factors.iter().enumerate() {
            for (y, x) in (0..fine).flat_map(|y| (0..fine).map(move |x| (y, x))) {
                let row = (block * factors.len() + picture) * side + y / times;
                let from = (row * side + x / times) * inner;
                let values = array.data.get(from..from + inner)?;
                data.extend(values.iter().map(|value| value * factor));
            }
        }
    }

    let mut shape = array.shape.clone();
    shape[axis] = factors.len() * fine * fine;
    Some(Array { shape, data })
}

/// The weights of the noise's sines and cosines, the first and the second half of the rows, for
/// angles that belong to c_noise less `shift`.
fn turned(array: &Array, shift: f64) -> Array {
    let rotations: Vec<(f32, f32)> = frequencies()
        .into_iter()
        .map(|frequency| (f64::from(frequency) * shift).sin_cos())
        .map(|(sin, cos)| (sin as f32, cos as f32))
        .collect();

    let (of_sines, of_cosines) = array.data.split_at(array.data.len() / 2);
    let width = of_sines.len() / rotations.len();
    let pairs = of_sines.iter().zip(of_cosines).enumerate();
    let turned = pairs.map(|(i, (s, c))| {
        let (sin, cos) = rotations[i / width];
        (s * cos + c * sin, c * cos - s * sin)
    });

    let (mut data, of_cosines): (Vec<f32>, Vec<f32>) = turned.unzip();
    data.extend(of_cosines);
    Array { shape: array.shape.clone(), data }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::{Device, Tensor, TensorData};
    use phys_instruct_physics::rng;

    use super::*;
    use crate::net::layers::Init;

    fn noise(shape: [usize; 4], seed: u64) -> Tensor<4> {
        let normals = rng::normals(&mut rng::stream(seed, "test", 0, 0), shape.iter().product());
        let values: Vec<f32> = normals.into_iter().map(|value| value as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    /// A field of the coarse grid on the fine one, each channel as its picture is.
    fn on_fine(x: &Tensor<4>, pictures: &[Picture], times: usize) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let channels = pictures.iter().enumerate().map(|(c, picture)| {
            let one = x.clone().narrow(1, c, 1) * picture.spread(times);
            one.reshape([batch, 1, height, 1, width, 1])
                .expand([batch, 1, height, times, width, times])
                .reshape([batch, 1, height * times, width * times])
        });
        Tensor::cat(channels.collect(), 1)
    }

    #[test]
    fn a_network_that_sees_more_does_as_before() {
        use Picture::{Physical, Whitened};
        let device = Device::flex();
        let config = NetConfig { width: 8, multipliers: vec![1, 2], blocks: 1, patch: 2 };
        let rng = Some(rng::stream(4, "test", 0, 0));
        let mut net = UNet::new(&config, 2, 1, 3, &device);
        net.head =
            crate::net::layers::Conv::new([8, 4], 3, 1.0, &mut Init { device: &device, rng });
        let inputs = vec![Whitened, Physical, Physical, Physical];
        let seen = Seen { inputs, outputs: vec![Whitened], noise: 0.0 };

        let wider = seeing_more(&net, &config, &seen).unwrap();
        let (x, c_noise) =
            (noise([3, 4, 8, 12], 1), Tensor::<1>::from_data([-1.0, 0.2, 1.1], &device));
        let expected = net.forward(x.clone().narrow(1, 0, 2), c_noise.clone());
        let error = (wider.forward(x, c_noise) - expected).abs().max().into_scalar::<f32>();
        assert!(error < 1e-6, "{error}");
        let fewer = Seen { inputs: vec![Whitened], ..seen };
        assert!(seeing_more(&net, &config, &fewer).is_err());
    }

    #[test]
    fn a_coarse_field_on_the_fine_grid_gives_what_the_coarse_network_gives() {
        use Picture::{Physical, Whitened};
        let device = Device::flex();
        let config = NetConfig { width: 8, multipliers: vec![1, 2], blocks: 1, patch: 2 };
        let seen = Seen {
            inputs: vec![Whitened, Physical],
            outputs: vec![Whitened, Physical],
            noise: 1.0,
        };
        let mut net = UNet::new(&config, 2, 2, 3, &device);
        // A head that starts at zero would hide everything.
        let rng = Some(rng::stream(4, "test", 0, 0));
        net.head =
            crate::net::layers::Conv::new([8, 8], 3, 1.0, &mut Init { device: &device, rng });

        for times in [1, 2, 3] {
            let fine = refined(&net, &config, &seen, times).unwrap();
            let x = noise([3, 2, 8, 12], 1);
            let c_noise = Tensor::<1>::from_data([-1.0, 0.2, 1.1], &device);
            let expected = on_fine(&net.forward(x.clone(), c_noise.clone()), &seen.outputs, times);
            // The same noise in a coarse value is of a larger level on the fine grid.
            let on_fine_grid = c_noise + (times as f64).ln() / 4.0;
            let found = fine.forward(on_fine(&x, &seen.inputs, times), on_fine_grid);
            let error = (found - expected.clone()).abs().max().into_scalar::<f32>();
            assert!(error < 2e-5, "{times}: {error}");
            assert!(expected.abs().max().into_scalar::<f32>() > 0.1);
        }
    }
}
