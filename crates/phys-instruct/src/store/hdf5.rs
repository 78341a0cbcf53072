//! HDF5 files (`.h5`, `.hdf5`, MATLAB's `.mat` of version 7.3), through the pure-Rust crate
//! `hdf5-reader`: all superblocks, link kinds within the file, storage layouts and chunk indices.
//!
//! Datasets are named by their path without the leading slash. Each allocation that the crate is
//! asked for is first compared with the file's length.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::storage::DynStorage;
use hdf5_reader::{
    BlockCacheStorage, ByteOrder, CompoundField, Dataset, Datatype, FileStorage, FilterRegistry,
    Hdf5File, OpenOptions,
};

use crate::Result;
use crate::store::contents::{Collector, Contents, Item};
use crate::store::file::{MAX_BYTES, bad, elements, most_decompressed, open};
use crate::store::lzf;
use crate::store::ndarray::{Dtype, Kind, NdArray, decode};

/// The attributes by which MATLAB, which counts axes in reverse, marks its variables.
const MATLAB_CLASS: &str = "MATLAB_class";
const MATLAB_SPARSE: &str = "MATLAB_sparse";
const MATLAB_EMPTY: &str = "MATLAB_empty";
/// The deepest nesting of groups.
const MAX_DEPTH: usize = 16;
const MAX_DATASETS: usize = 4096;
/// The number by which HDF5 knows the filter LZF of h5py.
const LZF: u16 = 32000;

type Parsed<T> = std::result::Result<T, String>;

/// Collects the datasets.
///
/// # Errors
/// Fails with [`crate::Error::Io`], or with [`crate::Error::BadFile`] for a damaged file, or a
/// wanted dataset that is damaged or larger than the file can hold.
pub(crate) fn fill(path: &Path, collector: &mut Collector) -> Result<()> {
    let (file, len) = open(path, MAX_BYTES)?;
    let storage = FileStorage::from_file(file).map_err(|e| bad(path, e.to_string()))?;
    let cached = Arc::new(BlockCacheStorage::with_defaults(Arc::new(storage)));
    datasets(cached, len, collector).map_err(|e| bad(path, e))
}

fn datasets(storage: DynStorage, len: u64, found: &mut Collector) -> Parsed<()> {
    let damaged = |e: Error| format!("not a whole HDF5 file: {e}");
    let file = Hdf5File::from_storage_with_options(storage, options(len)).map_err(damaged)?;
    let end = file.superblock().eof_address;
    if end != u64::MAX && end > len {
        return Err(format!("{len} bytes found, {end} expected: the file was cut short"));
    }
    let root = file.root_group().map_err(damaged)?;
    Walk { found, open: BTreeSet::new() }.group(&root, "")
}

/// Reading options that admit no chunk and no dataset beyond what the file's bytes can hold.
fn options(len: u64) -> OpenOptions {
    let cap = usize::try_from(most_decompressed(len)).unwrap_or(usize::MAX);
    let mut filters = FilterRegistry::new();
    filters.register(
        LZF,
        Box::new(move |filter, packed, _| {
            // The filter's third value is the chunk's size.
            let size = filter.client_data.get(2).map_or(cap, |&n| n as usize).min(cap);
            lzf::unpack(packed, size).map_err(Error::DecompressionError)
        }),
    );
    OpenOptions::default()
        .with_filter_registry(filters)
        .with_max_chunk_bytes(cap)
        .with_max_read_bytes(cap)
}

/// A walk through all groups of a file.
struct Walk<'a, 'b> {
    found: &'a mut Collector<'b>,
    /// The addresses of the groups on the way to this one, since links can make circles.
    open: BTreeSet<u64>,
}

impl Walk<'_, '_> {
    fn group(&mut self, group: &Group, path: &str) -> Parsed<()> {
        if self.open.len() == MAX_DEPTH || !self.open.insert(group.address()) {
            return Ok(());
        }
        let (groups, datasets) =
            group.member_names().map_err(|e| format!("group `/{path}`: {}", advised(&e)))?;
        for name in datasets {
            let full = join(path, &name);
            let item = self.dataset(group, &name, &full)?;
            self.found.insert(full, item)?;
            let Contents { names, others, .. } = &self.found.found;
            if names.len() + others.len() > MAX_DATASETS {
                return Err(format!("more than {MAX_DATASETS} datasets"));
            }
        }

        // MATLAB keeps the parts of its cells in a group of references.
        for name in groups.iter().filter(|name| !name.starts_with('#')) {
            let full = join(path, name);
            match group.group(name) {
                Ok(inner) if inner.attribute(MATLAB_SPARSE).is_ok() => {
                    let kind = "a sparse matrix (save full(...) of it)";
                    self.found.insert(full, Item::Other(kind.into()))?;
                }
                Ok(inner) => self.group(&inner, &full)?,
                Err(e) => self.found.insert(full, Item::Other(format!("a damaged group: {e}")))?,
            }
        }
        self.open.remove(&group.address());
        Ok(())
    }

    /// The dataset's item; an error is returned only for a wanted one.
    fn dataset(&mut self, group: &Group, name: &str, full: &str) -> Parsed<Item> {
        let wanted = self.found.wants(full);
        let read = group.dataset(name).and_then(|dataset| item(&dataset, full, self.found));
        match read {
            Ok(item) => Ok(item),
            Err(e) if unsupported(&e) => Ok(Item::Other(advised(&e))),
            Err(e) if !wanted => Ok(Item::Other(format!("damaged: {e}"))),
            // The crate's own message begins with the name too.
            Err(e) => {
                let text = e.to_string();
                let repeated = format!("{name}: ");
                Err(format!("`{full}`: {}", text.trim_start_matches(&repeated)))
            }
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}/{name}") }
}

fn item(dataset: &Dataset, path: &str, found: &mut Collector) -> hdf5_reader::error::Result<Item> {
    let class = dataset.attribute(MATLAB_CLASS).ok().and_then(|a| a.read_string().ok());
    let dtype = match (class.as_deref(), dataset.dtype()) {
        (Some("char"), _) => Err("text".into()),
        (Some("cell"), _) => Err("a cell array".into()),
        (_, dtype) => number(dataset, dtype),
    };
    let dtype = match dtype {
        Ok(_) if dataset.attribute(MATLAB_EMPTY).is_ok() => {
            return Ok(Item::Other("an empty array".into()));
        }
        Ok(dtype) if found.wants(path) => dtype,
        Ok(_) => return Ok(Item::Unread),
        Err(kind) => return Ok(Item::Other(kind)),
    };

    let shape = checked_shape(dataset, dtype, found)?;
    let bytes = dataset.read_raw_bytes()?;
    if dataset.chunks().is_none() && is_only_fill(dataset, &bytes, dtype.size) {
        return Ok(Item::Other(
            "an array of the fill value alone, as one that was never written (write it, or leave \
             it out)"
                .into(),
        ));
    }
    if let Some([missing, all]) = missing_chunks(dataset, &bytes, dtype.size)? {
        return Ok(Item::Other(format!(
            "an unfinished array, {missing} of its {all} chunks were never written (write them, \
             with zeros where zeros are meant)"
        )));
    }

    Ok(match decode(dtype, &bytes) {
        Ok(data) if elements(&shape) != Some(data.len()) => Item::Other("an empty dataset".into()),
        Ok(data) => {
            let array = NdArray { shape, data };
            let reversed: Vec<usize> = (0..array.shape.len()).rev().collect();
            Item::Array(if class.is_some() { array.transposed(&reversed) } else { array })
        }
        Err(kind) => Item::Other(kind),
    })
}

/// The shape, once memory for its bytes is granted.
fn checked_shape(
    dataset: &Dataset,
    dtype: Dtype,
    found: &mut Collector,
) -> hdf5_reader::error::Result<Vec<usize>> {
    let dims = dataset.shape();
    let refused = |reason: String| Error::ResourceLimit(format!("shape {dims:?}: {reason}"));
    let shape: Option<Vec<usize>> = dims.iter().map(|&n| n.try_into().ok()).collect();
    let bytes = |shape: &Vec<usize>| dtype.decoded(elements(shape)?);
    let sized = shape.and_then(|shape| Some((bytes(&shape)?, shape)));
    let (bytes, shape) = sized.ok_or_else(|| refused("beyond what can be counted".into()))?;
    found.allow(bytes).map_err(refused)?;
    Ok(shape)
}

/// The bytes of the element that stands for what was never written.
fn fill_value(dataset: &Dataset, size: usize) -> Vec<u8> {
    let fill = dataset.fill_value().and_then(|fill| fill.value.clone());
    fill.filter(|value| value.len() == size).unwrap_or_else(|| vec![0; size])
}

/// Tells whether several elements are all the fill value. The crate does not tell whether a
/// contiguous array was ever written.
fn is_only_fill(dataset: &Dataset, bytes: &[u8], size: usize) -> bool {
    let fill = fill_value(dataset, size);
    bytes.len() > size && bytes.chunks_exact(size).all(|value| value == fill.as_slice())
}

/// The number of chunks that were never written, and of all chunks; none if all are there.
///
/// Readers put the fill value in their place, so that they are searched only where it occurs.
fn missing_chunks(
    dataset: &Dataset,
    bytes: &[u8],
    size: usize,
) -> hdf5_reader::error::Result<Option<[u64; 2]>> {
    let Some(chunk) = dataset.chunks() else { return Ok(None) };
    let fill = fill_value(dataset, size);
    if !bytes.chunks_exact(size).any(|value| value == fill.as_slice()) {
        return Ok(None);
    }

    let along = |(&points, &of): (&u64, &u32)| points.div_ceil(u64::from(of.max(1)));
    let all: u64 = dataset.shape().iter().zip(&chunk).map(along).product();
    // The crate counts chunks only by decoding each a second time.
    let written = dataset.iter_chunks()?.count() as u64;
    Ok((written < all).then(|| [all - written, all]))
}

/// The type of number that an element is, or its kind in words.
fn number(dataset: &Dataset, dtype: &Datatype) -> Parsed<Dtype> {
    let (kind, size, order) = match dtype {
        Datatype::FloatingPoint { size, byte_order } => {
            let message = dataset.raw_datatype();
            check_ieee(&message.map_err(|e| format!("numbers of a damaged type: {e}"))?)?;
            (Kind::Float, *size, byte_order)
        }
        Datatype::FixedPoint { size, signed, byte_order } => {
            let message = dataset.raw_datatype();
            check_whole(&message.map_err(|e| format!("numbers of a damaged type: {e}"))?)?;
            (if *signed { Kind::Int } else { Kind::Uint }, *size, byte_order)
        }
        Datatype::Bitfield { size, byte_order } => (Kind::Uint, *size, byte_order),
        // The booleans of h5py are an enumeration of 0 and 1.
        Datatype::Enum { base, .. } => return number(dataset, base),
        other => return Err(kind_of(other).into()),
    };

    let size = usize::from(size);
    if !matches!((kind, size), (_, 2 | 4 | 8) | (Kind::Int | Kind::Uint, 1)) {
        return Err(format!("numbers of {size} bytes"));
    }
    Ok(Dtype { kind, size, big_endian: matches!(order, ByteOrder::BigEndian) })
}

/// Refuses integers that use only some of their bits, by the datatype message of the type or of the
/// enumeration over it.
fn check_whole(message: &[u8]) -> Parsed<()> {
    const FIXED_POINT: u8 = 0;
    const ENUMERATION: u8 = 8;

    // Class and flags take four bytes, the size four; an enumeration then has its base type.
    let own = match message.first().map(|class| class & 0x0f) {
        Some(ENUMERATION) => message.get(8..),
        _ => Some(message),
    };
    let parts = own.and_then(|own| Some((own.first()? & 0x0f, own.get(4..8)?, own.get(8..12)?)));
    let Some((FIXED_POINT, size, bits)) = parts else {
        return Err("integers of a damaged type".into());
    };

    let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]);
    let [offset, precision] =
        [[bits[0], bits[1]], [bits[2], bits[3]]].map(|two| u32::from(u16::from_le_bytes(two)));
    if offset == 0 && precision == 8 * size {
        return Ok(());
    }
    Err(format!(
        "integers of {precision} bits from bit {offset} on in {size} bytes (save them as whole \
         integers or as floats)"
    ))
}

/// The layout of a floating-point type in either byte order. Places are those of bits, counted
/// from the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FloatLayout {
    /// Bytes of a number.
    size: u32,
    /// The place of the lowest bit in use, and the number of bits in use.
    used: [u16; 2],
    /// The place of the sign.
    sign: u8,
    /// The place of the exponent's lowest bit, and its number of bits.
    exponent: [u8; 2],
    /// The place of the mantissa's lowest bit, and its number of bits.
    mantissa: [u8; 2],
    /// The number that is added to an exponent before it is stored.
    bias: u32,
    /// Bits 4 to 6 of the type's flags: bit 5 alone where the mantissa's leading one is not stored
    /// and the bytes are not in the order of a VAX.
    flags: u8,
}

/// The flags of every IEEE format.
const LEADING_ONE_IMPLIED: u8 = 0x20;

/// Half, single and double precision of IEEE 754.
const IEEE: [FloatLayout; 3] = [
    FloatLayout {
        size: 2,
        used: [0, 16],
        sign: 15,
        exponent: [10, 5],
        mantissa: [0, 10],
        bias: 15,
        flags: LEADING_ONE_IMPLIED,
    },
    FloatLayout {
        size: 4,
        used: [0, 32],
        sign: 31,
        exponent: [23, 8],
        mantissa: [0, 23],
        bias: 127,
        flags: LEADING_ONE_IMPLIED,
    },
    FloatLayout {
        size: 8,
        used: [0, 64],
        sign: 63,
        exponent: [52, 11],
        mantissa: [0, 52],
        bias: 1023,
        flags: LEADING_ONE_IMPLIED,
    },
];

impl FloatLayout {
    /// Reads a datatype message of class 1, floating point; none for another one.
    fn parse(message: &[u8]) -> Option<Self> {
        const FLOATING_POINT: u8 = 1;
        let [class, flags, sign, _, size @ ..] = message.first_chunk::<8>()?;
        let [u0, u1, p0, p1, exponent, exponent_bits, mantissa, mantissa_bits, bias @ ..] =
            message.get(8..)?.first_chunk::<12>()?;
        (class & 0x0f == FLOATING_POINT).then_some(Self {
            size: u32::from_le_bytes(*size),
            used: [u16::from_le_bytes([*u0, *u1]), u16::from_le_bytes([*p0, *p1])],
            sign: *sign,
            exponent: [*exponent, *exponent_bits],
            mantissa: [*mantissa, *mantissa_bits],
            bias: u32::from_le_bytes(*bias),
            flags: flags & 0x70,
        })
    }
}

/// Refuses a floating-point type that is none of IEEE's three, by its datatype message. The size
/// alone does not tell half precision from bfloat16, nor IEEE's formats from those of a VAX.
fn check_ieee(message: &[u8]) -> Parsed<()> {
    const ADVICE: &str = "save them as float32 or float64";
    let Some(found) = FloatLayout::parse(message) else {
        return Err("numbers of a damaged floating-point type".into());
    };
    let Some(ieee) = IEEE.iter().find(|ieee| ieee.size == found.size) else {
        return Err(format!("floating-point numbers of {} bytes ({ADVICE})", found.size));
    };
    if found == *ieee {
        return Ok(());
    }

    if (FloatLayout { bias: ieee.bias, ..found }) == *ieee {
        return Err(format!(
            "floating-point numbers of another exponent bias ({} for {}; {ADVICE})",
            found.bias, ieee.bias
        ));
    }

    let bits = |layout: &FloatLayout| {
        let ([exponent, e], [mantissa, m]) = (layout.exponent, layout.mantissa);
        let sign = layout.sign;
        format!(
            "sign at bit {sign}, {e} of exponent from {exponent}, {m} of mantissa from {mantissa}"
        )
    };

    let (own, wanted) = (bits(&found), bits(ieee));
    let why = if own == wanted {
        "in its bits in use, its leading one or its byte order".into()
    } else {
        format!("{own}; IEEE: {wanted}")
    };
    Err(format!("floating-point numbers of no IEEE format ({why}; {ADVICE})"))
}

/// Names elements that are no numbers.
fn kind_of(dtype: &Datatype) -> &'static str {
    match dtype {
        Datatype::String { .. } | Datatype::VarLen { .. } => "text, or lists of unequal lengths",
        Datatype::Compound { fields, .. } if is_complex(fields) => {
            "complex numbers (save the real part)"
        }
        Datatype::Compound { .. } => "records of several fields",
        Datatype::Reference { .. } => "references (a cell array in MATLAB)",
        _ => "elements of another kind",
    }
}

/// Tells whether a record is the complex number of h5py or MATLAB.
fn is_complex(fields: &[CompoundField]) -> bool {
    let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
    matches!(names[..], ["r", "i"] | ["real", "imag"])
}

/// Tells whether the file is whole, but beyond what the crate reads.
fn unsupported(error: &Error) -> bool {
    error.to_string().contains("unsupported")
}

/// The error, with advice if the file is whole.
fn advised(error: &Error) -> String {
    let advice = "; `h5repack -f NONE -l CONTI in.h5 out.h5` makes a file that is read";
    format!("{error}{}", if unsupported(error) { advice } else { "" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hdf5_reader::BytesStorage;

    use super::*;
    use crate::store::arrays;
    use crate::testing::fixture;

    const FILES: [&str; 7] = [
        "diffusionpde_darcy_last.mat",
        "diffusionpde_darcy_v73.mat",
        "diffusionpde_navier_stokes.h5",
        "pdebench_burgers.hdf5",
        "pdebench_darcy.hdf5",
        "links.h5",
        "latest.h5",
    ];

    fn parse(bytes: Vec<u8>) -> Parsed<Contents> {
        let len = bytes.len() as u64;
        let mut collector = Collector::new(len, &|_| true);
        let storage = Arc::new(BytesStorage::new(bytes));
        datasets(storage, len, &mut collector).map(|()| collector.found)
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
            let array = arrays::read(&fixture(file), &|n| n == name).unwrap().arrays[name].clone();
            assert_eq!(array.shape, shape, "{file} {name}");
            assert_eq!(array.into_f64()[index], value, "{file} {name}");
        }
    }

    /// a of the fixtures.
    fn small() -> Vec<f64> {
        let value = |i: usize| (100 * (i / 16) + 10 * (i / 4 % 4) + i % 4) as f64;
        (0..48).map(value).collect()
    }

    #[test]
    fn links_of_every_kind_are_followed_and_circles_end() {
        let mut found = arrays::read(&fixture("links.h5"), &|_| true).unwrap();
        assert!(["a", "again", "data/a"].iter().all(|name| found.names.contains(&(*name).into())));
        for name in ["a", "again", "data/a"] {
            let array = found.take(name).unwrap();
            assert_eq!((array.shape.clone(), array.into_f64()), (vec![3, 4, 4], small()), "{name}");
        }
        assert!(found.take("lost").unwrap_err().contains("no array `lost`"));
    }

    #[test]
    fn late_chunk_indices_layouts_filters_and_types_are_read() {
        let mut found = arrays::read(&fixture("latest.h5"), &|_| true).unwrap();
        for name in ["group/a", "half", "big"] {
            let array = found.take(name).unwrap();
            assert_eq!((array.shape.clone(), array.into_f64()), (vec![3, 4, 4], small()), "{name}");
        }
        let flags: Vec<f64> = small().iter().map(|&v| f64::from(v > 100.0)).collect();
        assert_eq!(found.take("true").unwrap().into_f64(), flags);
    }

    #[test]
    fn what_is_no_array_of_numbers_is_named() {
        let found = arrays::read(&fixture("latest.h5"), &|_| true).unwrap();
        for (name, kind) in [
            ("note", "text"),
            ("complex", "complex numbers"),
            ("records", "records of several fields"),
            ("bfloat", "no IEEE format"),
        ] {
            let why = found.why_missing(name);
            assert!(why.contains(kind), "{name}: {why}");
        }
        assert!(!found.arrays.contains_key("empty"));
    }

    /// The datatype message of a floating-point type as the HDF5 library writes it.
    fn float_message(size: u8, exponent_bits: u8, bias: u32, big_endian: bool) -> Vec<u8> {
        let (bits, flags) = (8 * size, 0x20 | u8::from(big_endian));
        let mantissa_bits = bits - 1 - exponent_bits;
        let mut message = vec![0x11, flags, bits - 1, 0, size, 0, 0, 0, 0, 0, bits, 0];
        message.extend([mantissa_bits, exponent_bits, 0, mantissa_bits]);
        message.extend(bias.to_le_bytes());
        message
    }

    #[test]
    fn only_the_floats_of_ieee_are_read() {
        for (size, exponent_bits, bias) in [(2, 5, 15), (4, 8, 127), (8, 11, 1023)] {
            for big_endian in [false, true] {
                let good = float_message(size, exponent_bits, bias, big_endian);
                assert_eq!(check_ieee(&good), Ok(()), "{good:?}");
                assert!(check_ieee(&good[..19]).is_err());

                let other = float_message(size, exponent_bits, 100, big_endian);
                let reason = check_ieee(&other).unwrap_err();
                assert!(reason.contains(&format!("another exponent bias (100 for {bias};")));
                // The leading one, the order of a VAX, the sign, and the whole property block.
                let flags: [(usize, u8); 4] = [(1, 0x10), (1, 0x20), (1, 0x40), (2, 1)];
                for (at, flip) in flags.into_iter().chain((8..20).map(|at| (at, 1))) {
                    let mut bad = good.clone();
                    bad[at] ^= flip;
                    assert!(check_ieee(&bad).is_err(), "{bad:?}");
                }
            }
        }
        let bfloat16 = check_ieee(&float_message(2, 8, 127, false)).unwrap_err();
        assert!(bfloat16.contains("8 of exponent from 7, 7 of mantissa from 0"), "{bfloat16}");
        let three_bytes = check_ieee(&float_message(3, 8, 127, false)).unwrap_err();
        assert!(three_bytes.contains("of 3 bytes"), "{three_bytes}");
    }

    #[test]
    fn only_whole_integers_are_read() {
        // Version and class, flags, size, offset of the first bit, precision.
        let integer = |size: u8, offset: u8, precision: u8| {
            vec![0x10, 0x08, 0, 0, size, 0, 0, 0, offset, 0, precision, 0]
        };
        for size in [1, 2, 4, 8] {
            let whole = integer(size, 0, 8 * size);
            assert_eq!(check_whole(&whole), Ok(()));
            let boolean = [&[0x18, 2, 0, 0, size, 0, 0, 0][..], &whole].concat();
            assert_eq!(check_whole(&boolean), Ok(()));
            assert!(check_whole(&whole[..11]).is_err());
            let part = check_whole(&integer(size, 0, 8 * size - 4)).unwrap_err();
            assert!(part.contains("save them as whole integers"), "{part}");
            assert!(check_whole(&integer(size, 3, 8 * size - 3)).is_err());
        }
    }

    #[test]
    fn chunks_that_were_never_written_are_named() {
        let mut bytes = std::fs::read(fixture(FILES[4])).unwrap();
        // The first key of the chunk index of `nu`, which begins 24 bytes before it; the count of
        // its chunks is 6 bytes from its start.
        let key = [&256u32.to_le_bytes()[..], &1u32.to_le_bytes(), &[0; 32]].concat();
        let at = bytes.windows(40).position(|w| w == key).unwrap() - 24 + 6;
        assert_eq!(bytes[at..at + 2], [3, 0]);
        bytes[at] = 2;
        let found = parse(bytes).unwrap();
        let why = found.why_missing("nu");
        assert!(why.contains("1 of its 3 chunks were never written"), "{why}");
        assert!(found.arrays.contains_key("tensor"));
    }

    #[test]
    fn truncation_is_noticed() {
        for name in FILES {
            let whole = std::fs::read(fixture(name)).unwrap();
            for len in (0..whole.len()).step_by(37) {
                assert!(parse(whole[..len].to_vec()).is_err(), "{name} cut to {len} bytes");
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
                let _ = parse(bytes);
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
        let error = parse(bytes).unwrap_err();
        assert!(error.contains("`nu`") && error.contains("need 4278190336 bytes"), "{error}");
    }

    #[test]
    fn chunks_larger_unpacked_than_the_file_can_hold_are_refused() {
        let mut bytes = std::fs::read(fixture(FILES[4])).unwrap();
        // The layout of `nu`: chunks of 1 x 8 x 8 elements of 4 bytes.
        let shape = [1u32, 8, 8, 4].map(u32::to_le_bytes).concat();
        let at = bytes.windows(16).position(|w| w == shape).unwrap();
        bytes[at + 3] = 0x0f;
        let error = parse(bytes).unwrap_err();
        assert!(error.contains("`nu`") && error.contains("extent 251658241"), "{error}");
    }
}
