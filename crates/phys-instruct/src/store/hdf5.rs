//! HDF5 files (`.h5`, `.hdf5`, MATLAB's `.mat` of version 7.3), numeric datasets only, through the
//! pure-Rust crate `hdf5-pure`.

use std::path::Path;

use hdf5_pure::{DType, Dataset, File};

use crate::Result;
use crate::store::file::{MAX_BYTES, bad, elements, most_decompressed, open};
use crate::store::import::Contents;
use crate::store::ndarray::{NdArray, NdData, exact};

/// The attribute by which MATLAB, which counts axes the other way round, marks its variables.
const MATLAB_MARK: &str = "MATLAB_class";

type Parsed<T> = std::result::Result<T, String>;

/// Reads the datasets of the root group whose names are `wanted`.
///
/// # Errors
/// [`crate::Error::Io`], or [`crate::Error::BadFile`] for a damaged file, a wanted dataset that is
/// not numeric, or one larger than the file can hold.
pub(crate) fn read(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Contents> {
    let (_, len) = open(path, MAX_BYTES)?;
    let file = File::open_streaming(path);
    file.map_err(|e| e.to_string())
        .and_then(|file| contents(&file, len, wanted))
        .map_err(|e| bad(path, format!("not a whole HDF5 file of numbers: {e}")))
}

fn contents(file: &File, len: u64, wanted: &dyn Fn(&str) -> bool) -> Parsed<Contents> {
    let names = file.root().datasets().map_err(text)?;
    let mut found = Contents { names, ..Contents::default() };
    for name in found.names.iter().filter(|name| wanted(name)) {
        let dataset = file.dataset(name).map_err(text);
        let array = dataset.and_then(|d| array(&d, len)).map_err(|e| format!("`{name}`: {e}"))?;
        found.arrays.insert(name.clone(), array);
    }
    Ok(found)
}

fn array(dataset: &Dataset, file_len: u64) -> Parsed<NdArray> {
    let cap = most_decompressed(file_len);
    check_chunks(dataset, file_len)?;
    let dims = dataset.shape().map_err(text)?;
    let shape: Option<Vec<usize>> = dims.iter().map(|&n| n.try_into().ok()).collect();
    let size = dataset.element_size().map_err(text)?;
    let (shape, count) = shape
        .and_then(|s| elements(&s).map(|n| (s, n)))
        .filter(|&(_, n)| (n as u64).checked_mul(size).is_some_and(|bytes| bytes <= cap))
        .ok_or_else(|| format!("shape {dims:?} of {size}-byte elements: at most {cap} bytes"))?;
    let data = values(dataset)?;
    if data.len() != count {
        return Err(format!("{} values found for the shape {shape:?}", data.len()));
    }
    let axes: Vec<usize> = (0..shape.len()).rev().collect();
    let array = NdArray { shape, data };
    let matlab = dataset.attrs().map_err(text)?.contains_key(MATLAB_MARK);
    Ok(if matlab { array.transposed(&axes) } else { array })
}

/// The crate allocates a chunk as large as the file claims, so that the claim is held against the
/// file's length first.
fn check_chunks(dataset: &Dataset, file_len: u64) -> Parsed<()> {
    let Some(shape) = dataset.chunk_shape().map_err(text)? else { return Ok(()) };
    let element = dataset.element_size().map_err(text)?;
    let unpacked = shape.iter().try_fold(element, |n, &d| n.checked_mul(d));
    if unpacked.is_none_or(|n| n > most_decompressed(file_len)) {
        return Err(format!("chunks of shape {shape:?} in {file_len} bytes"));
    }
    for chunk in dataset.chunks().map_err(text)? {
        let (address, size) = (chunk.address, chunk.storage_size);
        if address.checked_add(size).is_none_or(|end| end > file_len) {
            return Err(format!("a chunk of {size} bytes at {address} in {file_len} bytes"));
        }
    }
    Ok(())
}

fn values(dataset: &Dataset) -> Parsed<NdData> {
    Ok(match dataset.dtype().map_err(text)? {
        DType::F32 | DType::I8 | DType::U8 | DType::I16 | DType::U16 => {
            NdData::F32(dataset.read_f32().map_err(text)?)
        }
        DType::F64 | DType::I32 | DType::U32 => NdData::F64(dataset.read_f64().map_err(text)?),
        DType::I64 => exact(widen(dataset.read_i64().map_err(text)?))?,
        DType::U64 => exact(widen(dataset.read_u64().map_err(text)?))?,
        other => return Err(format!("elements of type {other} found, numbers expected")),
    })
}

fn text(error: hdf5_pure::Error) -> String {
    error.to_string()
}

fn widen<T: Into<i128>>(values: Vec<T>) -> Vec<i128> {
    values.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use super::*;

    const FILES: [&str; 5] = [
        "diffusionpde_darcy_last.mat",
        "diffusionpde_darcy_v73.mat",
        "diffusionpde_navier_stokes.h5",
        "pdebench_burgers.hdf5",
        "pdebench_darcy.hdf5",
    ];

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
    }

    fn read_bytes(bytes: &[u8]) -> Result<Contents> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path(), &|_| true)
    }

    #[test]
    fn filters_byte_orders_and_the_axes_of_matlab_are_read() {
        let at = [2, 3, 5];
        let cases = [
            (FILES[0], "thresh_a_data", vec![8, 8, 3], 3 * 24 + 5 * 3 + 2, 235.0),
            (FILES[1], "thresh_a_data", vec![3, 8, 8], at[0] * 64 + at[1] * 8 + at[2], 235.0),
            (FILES[2], "w", vec![3, 8, 8, 10], (2 * 64 + 3 * 8 + 5) * 10 + 9, 1e4 - 235.0 / 8.0),
            (FILES[3], "tensor", vec![3, 6, 8], 2 * 48 + 3 * 8 + 5, -235.0 / 8.0),
            (FILES[4], "nu", vec![3, 8, 8], 2 * 64 + 3 * 8 + 5, 235.0),
            (FILES[4], "tensor", vec![3, 1, 8, 8], 2 * 64 + 3 * 8 + 5, -235.0 / 8.0),
        ];
        for (file, name, shape, index, value) in cases {
            let array = read(&fixture(file), &|n| n == name).unwrap().arrays[name].clone();
            assert_eq!(array.shape, shape, "{file} {name}");
            assert_eq!(array.into_f64()[index], value, "{file} {name}");
        }
    }

    #[test]
    fn truncation_is_noticed() {
        for name in FILES {
            let whole = std::fs::read(fixture(name)).unwrap();
            for len in (0..whole.len()).step_by(37) {
                assert!(read_bytes(&whole[..len]).is_err(), "{name} cut to {len} bytes");
            }
        }
    }

    #[test]
    fn flips_are_no_panic_and_no_giant() {
        for name in FILES {
            let whole = std::fs::read(fixture(name)).unwrap();
            for i in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[i] ^= 0xff;
                let len = bytes.len() as u64;
                if i % 61 == 0 {
                    let _ = read_bytes(&bytes);
                }
                let _ = File::from_bytes(bytes).map(|file| contents(&file, len, &|_| true));
            }
        }
    }

    #[test]
    fn a_chunk_larger_than_the_file_is_refused_before_it_is_allocated() {
        let mut bytes = std::fs::read(fixture(FILES[4])).unwrap();
        // The first key of the chunk index of `nu`: size 256, one filter skipped, offset 0.
        let size = [&256u32.to_le_bytes()[..], &1u32.to_le_bytes(), &[0; 32]].concat();
        let at = bytes.windows(40).position(|w| w == size).unwrap();
        bytes[at + 3] = 0xff;
        let error = read_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains("`nu`: a chunk of 4278190336 bytes"), "{error}");
    }

    #[test]
    fn chunks_larger_unpacked_than_the_file_can_hold_are_refused() {
        let mut bytes = std::fs::read(fixture(FILES[4])).unwrap();
        // The layout of `nu`: chunks of 1 x 8 x 8 elements of 4 bytes.
        let shape = [1u32, 8, 8, 4].map(u32::to_le_bytes).concat();
        let at = bytes.windows(16).position(|w| w == shape).unwrap();
        bytes[at + 3] = 0x0f;
        let error = read_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains("`nu`: chunks of shape [251658241, 8, 8]"), "{error}");
    }
}
