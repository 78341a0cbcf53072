//! Calibration: one affine map for each mode of each network call of a student, and how it is
//! stored. How it is measured is in `distill::calibration`.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};

use crate::Result;
use crate::diffusion::Coordinates;
use crate::net::params::to_array;
use crate::store::weights::{Array, of_shape};

/// The names of the stored arrays, after `calibration.` and the call's number.
const NAMES: [&str; 2] = ["shift", "gain"];

/// An affine map of each mode: gain times the mode, plus shift.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// The shift of each mode, `[1, channel, y, x]`.
    pub(crate) shift: Tensor<4>,
    /// The gain of each mode, `[1, channel, y, x]`.
    pub(crate) gain: Tensor<4>,
}

impl Calibration {
    /// This calibration from channel `first` on, and `other` for the channels below it. Without
    /// `other` those channels are left unchanged.
    pub fn only_from(self, first: usize, other: Option<&Self>) -> Self {
        if first == 0 {
            return self;
        }
        let join = |own: Tensor<4>, other: Tensor<4>| {
            let count = own.dims()[1];
            let tail = own.narrow(1, first, count - first);
            Tensor::cat(vec![other.narrow(1, 0, first), tail], 1)
        };
        let [shift, gain] = match other {
            Some(other) => [other.shift.clone(), other.gain.clone()],
            None => [self.shift.zeros_like(), self.gain.ones_like()],
        };
        Self { shift: join(self.shift, shift), gain: join(self.gain, gain) }
    }

    /// The calibrated state of `y`, `[batch, channel, y, x]`.
    pub fn apply(&self, coordinates: &Coordinates, y: Tensor<4>) -> Tensor<4> {
        let modes = coordinates.modes(y) * self.gain.clone() + self.shift.clone();
        coordinates.of_modes(modes)
    }

    /// The calibrations of all calls as arrays, by the names of [`Calibration::names`].
    ///
    /// # Errors
    /// Fails where the device does not give the values back.
    pub fn to_arrays(all: &[Self]) -> Result<BTreeMap<String, Array>> {
        let mut arrays = BTreeMap::new();
        for (call, own) in all.iter().enumerate() {
            for (name, tensor) in NAMES.into_iter().zip([&own.shift, &own.gain]) {
                arrays.insert(key(call, name), to_array(tensor.clone())?);
            }
        }
        Ok(arrays)
    }

    /// The names of the arrays of `calls` calibrated calls.
    pub fn names(calls: usize) -> impl Iterator<Item = String> {
        (0..calls).flat_map(|call| NAMES.map(|name| key(call, name)))
    }

    /// Restores what [`Calibration::to_arrays`] saved for `calls` calls. Returns an empty list if
    /// `arrays` holds no calibration.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for arrays that are missing in part, or of another shape than the
    /// coordinates.
    pub fn from_arrays(
        arrays: &BTreeMap<String, Array>,
        calls: usize,
        coordinates: &Coordinates,
    ) -> Result<Vec<Self>> {
        if !arrays.contains_key(&key(0, NAMES[0])) {
            return Ok(Vec::new());
        }

        let shape = coordinates.profile().dims();
        let tensor = |call: usize, name: &str| -> Result<Tensor<4>> {
            let array = of_shape(arrays, &key(call, name), &shape)?;
            let data = TensorData::new(array.data.clone(), shape);
            Ok(Tensor::from_data(data, &coordinates.device()))
        };

        let [shift, gain] = NAMES;
        (0..calls)
            .map(|call| Ok(Self { shift: tensor(call, shift)?, gain: tensor(call, gain)? }))
            .collect()
    }
}

/// The name of an array; `call` counts from 0 here and from 1 in the name.
fn key(call: usize, name: &str) -> String {
    format!("calibration.{}.{name}", call + 1)
}
