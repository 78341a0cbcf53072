//! Arrays of any rank as files hold them, and the decoding of raw elements.

use std::io::Read;

use half::f16;

use crate::store::file::{elements, take};

/// The values of an [`NdArray`], always exact. Half precision, integers of up to 16 bits and
/// booleans become `f32`; wider integers become `f64`.
#[derive(Debug, Clone, PartialEq)]
pub enum NdData {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

/// An array of any rank, C order.
#[derive(Debug, Clone, PartialEq)]
pub struct NdArray {
    /// The number of points along each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values in C order, as many as the product of the shape.
    pub data: NdData,
}

impl NdData {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }

    /// Iterates over the values in double precision.
    pub fn iter(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Self::F32(v) => Box::new(v.iter().map(|&x| f64::from(x))),
            Self::F64(v) => Box::new(v.iter().copied()),
        }
    }

    /// Tells whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first value that is NaN or infinite, with its index.
    pub fn first_not_finite(&self) -> Option<(usize, f64)> {
        self.iter().enumerate().find(|(_, value)| !value.is_finite())
    }
}

impl NdArray {
    /// Makes an array in single precision; none if the values do not fill the shape.
    pub fn from_f32(shape: Vec<usize>, data: Vec<f32>) -> Option<Self> {
        (elements(&shape)? == data.len()).then_some(Self { shape, data: NdData::F32(data) })
    }

    /// Makes an array in double precision; none if the values do not fill the shape.
    pub fn from_f64(shape: Vec<usize>, data: Vec<f64>) -> Option<Self> {
        (elements(&shape)? == data.len()).then_some(Self { shape, data: NdData::F64(data) })
    }

    /// The values in single precision, rounded to nearest. Values that are too large become
    /// infinite.
    pub fn into_f32(self) -> Vec<f32> {
        match self.data {
            NdData::F32(v) => v,
            NdData::F64(v) => v.into_iter().map(|x| x as f32).collect(),
        }
    }

    /// The values in double precision.
    pub fn into_f64(self) -> Vec<f64> {
        match self.data {
            NdData::F32(v) => v.into_iter().map(f64::from).collect(),
            NdData::F64(v) => v,
        }
    }

    /// Permutes the axes to the order `axes`, as NumPy's `transpose` does. `axes` must be a
    /// permutation of the axes.
    pub(crate) fn transposed(self, axes: &[usize]) -> Self {
        let mut stride = 1;
        let mut strides = vec![0; self.shape.len()];
        for axis in (0..self.shape.len()).rev() {
            strides[axis] = stride;
            stride *= self.shape[axis];
        }
        let shape: Vec<usize> = axes.iter().map(|&a| self.shape[a]).collect();
        let strides: Vec<usize> = axes.iter().map(|&a| strides[a]).collect();
        let data = self.data.gather(&shape, &strides);
        Self { shape, data }
    }

    /// Makes an array from values given with the first axis fastest (Fortran, MATLAB).
    pub(crate) fn from_column_major(shape: Vec<usize>, data: NdData) -> Self {
        let mut stride = 1;
        let mut strides = Vec::with_capacity(shape.len());
        for &n in &shape {
            strides.push(stride);
            stride *= n;
        }
        let data = data.gather(&shape, &strides);
        Self { shape, data }
    }
}

impl NdData {
    /// Reserves memory for `count` more values.
    fn with_room(mut self, count: usize) -> Self {
        match &mut self {
            Self::F32(v) => v.reserve_exact(count),
            Self::F64(v) => v.reserve_exact(count),
        }
        self
    }

    /// Appends the values of `more`, which must have the same type.
    fn followed_by(mut self, more: Self) -> Self {
        match (&mut self, more) {
            (Self::F32(all), Self::F32(more)) => all.extend(more),
            (Self::F64(all), Self::F64(more)) => all.extend(more),
            (Self::F32(all), more) => all.extend(more.iter().map(|v| v as f32)),
            (Self::F64(all), more) => all.extend(more.iter()),
        }
        self
    }

    fn gather(self, shape: &[usize], strides: &[usize]) -> Self {
        match self {
            Self::F32(v) => Self::F32(gather(&v, shape, strides)),
            Self::F64(v) => Self::F64(gather(&v, shape, strides)),
        }
    }
}

/// The values at index . strides for every index of `shape`, in C order.
fn gather<T: Copy>(data: &[T], shape: &[usize], strides: &[usize]) -> Vec<T> {
    let mut index = vec![0; shape.len()];
    let mut offset = 0;
    let mut out = Vec::with_capacity(data.len());
    for _ in 0..data.len() {
        out.push(data[offset]);

        // The last index runs fastest, as that of an odometer.
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            offset += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            offset -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    out
}

/// The kind of number that an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Float,
    Int,
    Uint,
}

/// The type of an element as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dtype {
    pub kind: Kind,
    /// The number of bytes: 1, 2, 4 or 8; a float has at least 2.
    pub size: usize,
    pub big_endian: bool,
}

impl Dtype {
    /// The number of bytes of `count` decoded elements; none if it overflows.
    pub fn decoded(self, count: usize) -> Option<u64> {
        let narrow = match self.kind {
            Kind::Float => self.size <= 4,
            Kind::Int | Kind::Uint => self.size <= 2,
        };
        (count as u64).checked_mul(if narrow { 4 } else { 8 })
    }
}

/// Decodes whole elements. The error names the fault.
pub(crate) fn decode(dtype: Dtype, bytes: &[u8]) -> Result<NdData, String> {
    let big = dtype.big_endian;
    Ok(match (dtype.kind, dtype.size) {
        (Kind::Float, 2) => NdData::F32(words(bytes, big, |b| f16::from_le_bytes(b).to_f32())),
        (Kind::Float, 4) => NdData::F32(words(bytes, big, f32::from_le_bytes)),
        (Kind::Float, 8) => NdData::F64(words(bytes, big, f64::from_le_bytes)),
        (Kind::Int, 1) => NdData::F32(words(bytes, big, |b| i8::from_le_bytes(b).into())),
        (Kind::Uint, 1) => NdData::F32(words(bytes, big, |b| u8::from_le_bytes(b).into())),
        (Kind::Int, 2) => NdData::F32(words(bytes, big, |b| i16::from_le_bytes(b).into())),
        (Kind::Uint, 2) => NdData::F32(words(bytes, big, |b| u16::from_le_bytes(b).into())),
        (Kind::Int, 4) => NdData::F64(words(bytes, big, |b| i32::from_le_bytes(b).into())),
        (Kind::Uint, 4) => NdData::F64(words(bytes, big, |b| u32::from_le_bytes(b).into())),
        (Kind::Int, 8) => exact(words(bytes, big, |b| i64::from_le_bytes(b).into()))?,
        (Kind::Uint, 8) => exact(words(bytes, big, |b| u64::from_le_bytes(b).into()))?,
        (kind, size) => return Err(format!("{kind:?} elements of {size} bytes are not read")),
    })
}

/// Decodes whole elements from a stream of `len` bytes, part by part. Memory for all numbers is
/// reserved first, since `len` has been allowed. The inner error names the fault of the elements.
pub(crate) fn decode_from(
    dtype: Dtype,
    mut reader: impl Read,
    len: u64,
) -> std::io::Result<Result<NdData, String>> {
    // A multiple of every element's size.
    const PART: u64 = 1 << 18;
    let mut all = decode(dtype, &[]).map(|none| none.with_room((len / dtype.size as u64) as usize));
    let mut left = len;
    while left > 0 {
        let bytes = take(&mut reader, left.min(PART))?;
        left -= bytes.len() as u64;
        all = all.and_then(|all| Ok(all.followed_by(decode(dtype, &bytes)?)));
    }
    Ok(all)
}

fn words<const N: usize, T>(bytes: &[u8], big: bool, value: impl Fn([u8; N]) -> T) -> Vec<T> {
    let ordered = |word: &[u8; N]| {
        let mut word = *word;
        if big {
            word.reverse();
        }
        value(word)
    };
    bytes.as_chunks::<N>().0.iter().map(ordered).collect()
}

pub(crate) fn exact(wide: Vec<i128>) -> Result<NdData, String> {
    match wide.iter().find(|v| v.abs() > 1 << 53) {
        Some(v) => Err(format!("the integer {v} does not fit a double")),
        None => Ok(NdData::F64(wide.into_iter().map(|v| v as f64).collect())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn dtype(kind: Kind, size: usize, big_endian: bool) -> Dtype {
        Dtype { kind, size, big_endian }
    }

    #[test]
    fn transposing_is_the_index_formula_on_an_odd_shape() {
        let shape = [2, 3, 5];
        let data: Vec<f32> = (0..30).map(|i| i as f32).collect();
        let a = NdArray::from_f32(shape.to_vec(), data).unwrap();
        let NdArray { shape, data: NdData::F32(t) } = a.transposed(&[2, 0, 1]) else { panic!() };
        assert_eq!(shape, [5, 2, 3]);
        for (k, i, j) in itertools(5, 2, 3) {
            assert_eq!(t[(k * 2 + i) * 3 + j], ((i * 3 + j) * 5 + k) as f32);
        }
    }

    fn itertools(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..a * b * c).map(move |n| (n / (b * c), n / c % b, n % c))
    }

    #[test]
    fn column_major_is_the_reversed_transpose() {
        let data: Vec<f64> = (0..30).map(f64::from).collect();
        let a = NdArray::from_column_major(vec![2, 3, 5], NdData::F64(data.clone()));
        let b = NdArray::from_f64(vec![5, 3, 2], data).unwrap().transposed(&[2, 1, 0]);
        assert_eq!(a, b);
    }

    #[test]
    fn scalars_and_empty_arrays_survive() {
        let scalar = NdArray::from_column_major(vec![], NdData::F32(vec![4.0]));
        assert_eq!(scalar, NdArray::from_f32(vec![], vec![4.0]).unwrap());
        let empty = NdArray::from_column_major(vec![3, 0], NdData::F32(vec![]));
        assert_eq!(empty.data.len(), 0);
    }

    #[test]
    fn the_decoded_size_is_that_of_the_values() {
        for kind in [Kind::Float, Kind::Int, Kind::Uint] {
            for size in [2, 4, 8] {
                let dtype = dtype(kind, size, false);
                let width = match decode(dtype, &vec![0; 3 * size]).unwrap() {
                    NdData::F32(v) => 4 * v.len(),
                    NdData::F64(v) => 8 * v.len(),
                };
                assert_eq!(dtype.decoded(3), Some(width as u64), "{dtype:?}");
            }
        }
    }

    #[test]
    fn every_integer_width_keeps_sign_and_byte_order() {
        for size in [1, 2, 4, 8] {
            let little = (-2i64).to_le_bytes()[..size].to_vec();
            let big: Vec<u8> = little.iter().rev().copied().collect();
            for (bytes, order) in [(little, false), (big, true)] {
                let data = decode(dtype(Kind::Int, size, order), &bytes).unwrap();
                let array = NdArray { shape: vec![1], data };
                assert_eq!(array.into_f64(), [-2.0], "{size} bytes");
            }
        }
        let data = decode(dtype(Kind::Uint, 2, true), &[1, 0]).unwrap();
        assert_eq!(data, NdData::F32(vec![256.0]));
    }

    #[test]
    fn integers_that_would_be_rounded_are_refused() {
        let wide = dtype(Kind::Uint, 8, false);
        assert!(
            decode(wide, &((1u64 << 53) + 1).to_le_bytes())
                .unwrap_err()
                .contains("9007199254740993")
        );
        assert!(decode(wide, &(1u64 << 53).to_le_bytes()).is_ok());
        assert!(decode(dtype(Kind::Float, 16, false), &[0; 16]).is_err());
    }

    #[test]
    fn half_precision_is_exact_in_either_byte_order() {
        // 0x4205: exponent 16 - 15 = 1, fraction 517 / 1024, 2 (1 + 517 / 1024) = 3.009765625.
        let want = NdData::F32(vec![3.0 + 10.0 / 1024.0]);
        assert_eq!(decode(dtype(Kind::Float, 2, false), &[0x05, 0x42]).unwrap(), want);
        assert_eq!(decode(dtype(Kind::Float, 2, true), &[0x42, 0x05]).unwrap(), want);
    }
}
