//! NumPy's `.npy` arrays, format versions 1 to 3
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
//!
//! Read: `f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1`, either byte order, C and Fortran order. Texts,
//! objects (pickles) and structured types are reported by name. Written: version 1, little-endian
//! `f4` and `f8` in C order.

use std::io::{Read, Write};
use std::path::Path;

use crate::Result;
use crate::store::atomic;
use crate::store::contents::{Collector, Item, LONE};
use crate::store::file::{MAX_BYTES, bad, elements, open, take};
use crate::store::ndarray::{Dtype, Kind, NdArray, NdData, decode_from};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy itself refuses longer headers unless told to trust the file.
const MAX_HEADER: u64 = 10_000;
/// The most axes of NumPy's arrays before its version 2.
const MAX_RANK: usize = 32;

/// The content of an array's header.
#[derive(Debug, Clone, PartialEq)]
struct Header {
    /// The type of number that an element is, or its kind in words.
    element: std::result::Result<Dtype, String>,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Reads one array.
///
/// # Errors
/// Fails with [`crate::Error::Io`], or with [`crate::Error::BadFile`] for anything but a whole,
/// finite, numeric array.
pub fn read(path: &Path) -> Result<NdArray> {
    let (file, len) = open(path, MAX_BYTES)?;
    from_reader(std::io::BufReader::new(file), len).map_err(|reason| bad(path, reason))
}

/// Reads the one array of a file if it is wanted, or the kind of its content if that is no numbers.
pub(crate) fn read_item(path: &Path, collector: &mut Collector) -> Result<Item> {
    let (file, len) = open(path, MAX_BYTES)?;
    item(std::io::BufReader::new(file), len, LONE, collector).map_err(|reason| bad(path, reason))
}

/// Writes one array atomically.
///
/// # Errors
/// Fails with [`crate::Error::Shape`] if the values do not fill the shape, with
/// [`crate::Error::BadFile`] if they are not finite, and with [`crate::Error::Io`].
pub fn write(path: &Path, array: &NdArray) -> Result<()> {
    check(path, array)?;
    atomic::write_with(path, |out| to_writer(out, array))
}

/// Refuses an array that could not be read back.
pub(crate) fn check(path: &Path, array: &NdArray) -> Result<()> {
    if elements(&array.shape) != Some(array.data.len()) || array.shape.len() > MAX_RANK {
        let (shape, len) = (&array.shape, array.data.len());
        return Err(crate::Error::Shape(format!("{len} values for the shape {shape:?}")));
    }
    check_finite(&array.data).map_err(|reason| bad(path, reason))
}

fn check_finite(data: &NdData) -> std::result::Result<(), String> {
    match data.first_not_finite() {
        Some((i, value)) => Err(format!("value {i} is {value}, finite expected")),
        None => Ok(()),
    }
}

/// Reads a finite array that is `len` bytes long with its header, to the reader's end.
pub(crate) fn from_reader(reader: impl Read, len: u64) -> std::result::Result<NdArray, String> {
    let mut all = Collector::new(len, &|_| true);
    match item(reader, len, LONE, &mut all)? {
        Item::Array(array) => {
            check_finite(&array.data)?;
            Ok(array)
        }
        Item::Other(kind) => Err(format!("{kind} found, numbers expected")),
        Item::Unread => Err("an array that nobody wanted".into()),
    }
}

/// Reads the array `name`, which is `len` bytes long with its header, to the reader's end. Returns
/// the kind of its elements if they are no numbers. Of an array that is not wanted only the header
/// is read.
pub(crate) fn item(
    mut reader: impl Read,
    len: u64,
    name: &str,
    collector: &mut Collector,
) -> std::result::Result<Item, String> {
    let (header, header_len) = read_header(&mut reader)?;
    let dtype = match header.element {
        Ok(dtype) if collector.wants(name) => dtype,
        Ok(_) => return Ok(Item::Unread),
        Err(kind) => return Ok(Item::Other(kind)),
    };

    let overflows = || format!("shape {:?}: overflows", header.shape);
    let count = elements(&header.shape).ok_or_else(overflows)?;
    let expected = count
        .checked_mul(dtype.size)
        .and_then(|n| (n as u64).checked_add(header_len))
        .ok_or_else(overflows)?;

    if expected != len {
        let shape = &header.shape;
        return Err(format!("{len} bytes found, {expected} expected for the shape {shape:?}"));
    }

    collector.allow(dtype.decoded(count).ok_or_else(overflows)?)?;
    let data = decode_from(dtype, &mut reader, len - header_len).map_err(|e| e.to_string())?;
    // An archive checks its checksum only when its end is reached.
    if reader.read(&mut [0]).map_err(|e| e.to_string())? != 0 {
        return Err(format!("more than the declared {len} bytes"));
    }

    Ok(match data {
        Ok(data) if header.fortran_order => {
            Item::Array(NdArray::from_column_major(header.shape, data))
        }
        Ok(data) => Item::Array(NdArray { shape: header.shape, data }),
        Err(kind) => Item::Other(kind),
    })
}

/// The number of bytes that [`to_writer`] writes for `array`.
pub(crate) fn written_len(array: &NdArray) -> u64 {
    (header_bytes(array).len() + array.data.len() * element_size(&array.data)) as u64
}

pub(crate) fn to_writer(out: &mut impl Write, array: &NdArray) -> std::io::Result<()> {
    out.write_all(&header_bytes(array))?;
    match &array.data {
        NdData::F32(v) => v.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
        NdData::F64(v) => v.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
    }
}

fn element_size(data: &NdData) -> usize {
    match data {
        NdData::F32(_) => 4,
        NdData::F64(_) => 8,
    }
}

fn header_bytes(array: &NdArray) -> Vec<u8> {
    let dims: String = array.shape.iter().map(|n| format!("{n}, ")).collect();
    // A tuple of one needs its comma; longer ones read better without a trailing one.
    let shape = if array.shape.len() == 1 { dims.trim_end() } else { dims.trim_end_matches(", ") };
    let size = element_size(&array.data);
    let dict = format!("{{'descr': '<f{size}', 'fortran_order': False, 'shape': ({shape}), }}");
    let padded = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((padded as u16).to_le_bytes());
    bytes.extend(format!("{dict:<width$}\n", width = padded - 1).bytes());
    bytes
}

fn read_header(reader: &mut impl Read) -> std::result::Result<(Header, u64), String> {
    let mut prefix = [0; 8];
    reader.read_exact(&mut prefix).map_err(|_| "shorter than a .npy header".to_string())?;
    if &prefix[..6] != MAGIC {
        return Err("not a .npy array: wrong first bytes".into());
    }
    let width = match prefix[6] {
        1 => 2,
        2 | 3 => 4,
        v => return Err(format!("format version {v} found, 1 to 3 expected")),
    };
    let mut len = [0; 4];
    reader.read_exact(&mut len[..width]).map_err(|e| format!("header: {e}"))?;

    let len = u64::from(u32::from_le_bytes(len));
    if len > MAX_HEADER {
        return Err(format!("a header of {len} bytes found, at most {MAX_HEADER} expected"));
    }
    let text = take(reader, len).map_err(|e| format!("header: {e}"))?;
    let text = String::from_utf8(text).map_err(|e| format!("header: {e}"))?;
    Ok((Literal(&text).header()?, 8 + width as u64 + len))
}

/// The rest of a Python dictionary literal that is being read.
struct Literal<'a>(&'a str);

impl Literal<'_> {
    fn header(mut self) -> std::result::Result<Header, String> {
        let (mut element, mut order, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.eat('}') {
            let key = self.string()?;
            self.expect(':')?;
            match key.as_str() {
                "descr" => element = Some(self.element()?),
                "fortran_order" => order = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                _ => return Err(format!("header: unknown key `{key}`")),
            }
            if !self.eat(',') {
                self.expect('}')?;
                break;
            }
        }

        match (element, order, shape, self.0.trim()) {
            (Some(element), Some(fortran_order), Some(shape), "") => {
                Ok(Header { element, fortran_order, shape })
            }
            _ => Err("header: descr, fortran_order and shape expected, and nothing else".into()),
        }
    }

    fn eat(&mut self, token: char) -> bool {
        self.0 = self.0.trim_start();
        let rest = self.0.strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, token: char) -> std::result::Result<(), String> {
        if self.eat(token) {
            return Ok(());
        }
        let found: String = self.0.chars().take(20).collect();
        Err(format!("header: `{found}` found where `{token}` was expected"))
    }

    fn string(&mut self) -> std::result::Result<String, String> {
        let quote = if self.eat('"') { '"' } else { '\'' };
        if quote == '\'' {
            self.expect(quote)?;
        }
        let (text, rest) = self.0.split_once(quote).ok_or("header: a text without its end")?;
        self.0 = rest;
        Ok(text.into())
    }

    fn word(&mut self) -> &str {
        self.0 = self.0.trim_start();
        let end = self.0.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    fn boolean(&mut self) -> std::result::Result<bool, String> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            other => Err(format!("header: fortran_order is `{other}`, True or False expected")),
        }
    }

    fn tuple(&mut self) -> std::result::Result<Vec<usize>, String> {
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.eat(')') {
            let word = self.word();
            // Python 2 marked its long integers.
            let word = word.strip_suffix('L').unwrap_or(word);
            let n = word.parse().map_err(|_| format!("header: `{word}` in the shape"))?;
            shape.push(n);
            if shape.len() > MAX_RANK {
                return Err(format!("header: more than {MAX_RANK} axes"));
            }

            if !self.eat(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }

    /// The element's type: a text, or the list of a structured type, which is skipped.
    fn element(&mut self) -> std::result::Result<std::result::Result<Dtype, String>, String> {
        if !self.eat('[') {
            let descr = self.string()?;
            return Ok(parse_dtype(&descr).ok_or_else(|| kind_of(&descr)));
        }

        let mut depth = 1;
        while depth > 0 {
            self.0 = self.0.trim_start();
            match self.0.chars().next() {
                Some('"' | '\'') => drop(self.string()?),
                Some(c) => {
                    depth += i32::from(c == '[') - i32::from(c == ']');
                    self.eat(c);
                }
                None => return Err("header: a list without its end".into()),
            }
        }
        Ok(Err("records of several fields".into()))
    }
}

/// The kind of an element that is no number, in words.
fn kind_of(descr: &str) -> String {
    let kind = descr.trim_start_matches(['<', '>', '|', '=']);
    let words = match kind.chars().next() {
        Some('U' | 'S' | 'a') => "text",
        Some('O') => "Python objects",
        Some('c') => "complex numbers",
        Some('M' | 'm') => "dates",
        Some('f') => "floats wider than double precision",
        _ => "elements of an unknown type",
    };
    format!("{words} (`{descr}`)")
}

fn parse_dtype(descr: &str) -> Option<Dtype> {
    let mut chars = descr.chars();
    let order = chars.next()?;
    let kind = chars.next()?;
    let size = chars.as_str().parse().ok()?;
    let kind = match (kind, size) {
        ('f', 2 | 4 | 8) => Kind::Float,
        ('i', 1 | 2 | 4 | 8) => Kind::Int,
        ('u', 1 | 2 | 4 | 8) | ('b', 1) => Kind::Uint,
        _ => return None,
    };

    let big_endian = match order {
        '<' => false,
        '>' => true,
        '|' if size == 1 => false,
        '=' => cfg!(target_endian = "big"),
        _ => return None,
    };
    Some(Dtype { kind, size, big_endian })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(bytes: &[u8]) -> std::result::Result<NdArray, String> {
        from_reader(bytes, bytes.len() as u64)
    }

    /// An array file made by hand from its header dictionary.
    fn by_hand(version: u8, dict: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        let len = (dict.len() as u32).to_le_bytes();
        bytes.extend(if version == 1 { &len[..2] } else { &len[..] });
        bytes.extend(dict.bytes());
        bytes.extend(data);
        bytes
    }

    fn dict(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}")
    }

    fn bytes_of(array: &NdArray) -> Vec<u8> {
        let mut bytes = Vec::new();
        to_writer(&mut bytes, array).unwrap();
        assert_eq!(bytes.len() as u64, written_len(array));
        bytes
    }

    #[test]
    fn what_is_written_is_read_for_every_rank() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        for shape in [vec![], vec![3], vec![0, 2], vec![2, 3, 4]] {
            let n = shape.iter().product::<usize>();
            let single = NdArray::from_f32(shape.clone(), (0..n).map(|i| i as f32 * 0.1).collect());
            let double = NdArray::from_f64(shape, (0..n).map(|i| i as f64 * 0.1).collect());
            for array in [single.unwrap(), double.unwrap()] {
                write(&path, &array).unwrap();
                assert_eq!(read(&path).unwrap(), array);
            }
        }
    }

    #[test]
    fn the_header_is_what_numpy_writes() {
        let array = NdArray::from_f32(vec![3], vec![1.0, 2.0, 3.0]).unwrap();
        let bytes = bytes_of(&array);
        assert_eq!(bytes[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        let text = std::str::from_utf8(&bytes[10..128]).unwrap();
        let want = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
        assert_eq!(text, format!("{want:<117}\n"));
    }

    #[test]
    fn all_versions_orders_and_types_are_read() {
        let want = |data| NdArray { shape: vec![2, 2], data };
        let four = NdData::F32(vec![1.0, 3.0, 2.0, 4.0]);
        let one = dict("|u1", "True", "(2, 2)");
        for version in [1, 2, 3] {
            assert_eq!(parse(&by_hand(version, &one, &[1, 2, 3, 4])).unwrap(), want(four.clone()));
        }
        let big = by_hand(1, &dict(">i2", "False", "(2,2)"), &[0, 1, 0, 3, 0, 2, 0, 4]);
        assert_eq!(parse(&big).unwrap(), want(four.clone()));
        for shape in ["(2, 2)", "(2L, 2L)"] {
            let bools = by_hand(1, &dict("|b1", "False", shape), &[1, 0, 1, 1]);
            assert_eq!(parse(&bools).unwrap(), want(NdData::F32(vec![1.0, 0.0, 1.0, 1.0])));
        }
        let halves = by_hand(1, &dict("<f2", "False", "(1,)"), &[0x05, 0x42]);
        assert_eq!(parse(&halves).unwrap().into_f32(), [3.0 + 10.0 / 1024.0]);
    }

    #[test]
    fn refusals_say_what_was_found() {
        let refused = |dict: &str, data: &[u8]| parse(&by_hand(1, dict, data)).unwrap_err();
        assert!(refused(&dict("|O", "False", "(1,)"), b"x").contains("Python objects (`|O`)"));
        assert!(refused(&dict("<U2", "False", "(1,)"), &[0; 8]).contains("text"));
        assert!(refused(&dict("<c8", "False", "(1,)"), &[0; 8]).contains("complex numbers"));
        let nested = "[('a', '<f4', (2,)), ('b]', [('c', '<i4')])]";
        let structured = format!("{{'descr': {nested}, 'fortran_order': False, 'shape': (1,)}}");
        assert!(refused(&structured, &[0; 4]).contains("records of several fields"));
        assert!(refused("{'descr': [('a', ", &[]).contains("without its end"));
        assert!(refused(&dict("<f4", "False", "(2,)"), &[0; 4]).contains("the shape [2]"));
        let nan = f32::NAN.to_le_bytes();
        assert!(refused(&dict("<f4", "False", "(1,)"), &nan).contains("value 0 is NaN"));
        assert!(refused(&dict("<f4", "Maybe", "(1,)"), &nan).contains("Maybe"));
        assert!(refused("{'shape': (1,)}", &nan).contains("descr"));
        let huge = "(9223372036854775807, 9223372036854775807)";
        assert!(refused(&dict("<f4", "False", huge), &nan).contains("overflows"));
        let large = refused(&dict("<f4", "False", "(1099511627776,)"), &nan);
        assert!(large.contains("bytes found"), "{large}");
        assert!(refused(&dict("<f4", "False", "(-1,)"), &nan).contains("shape"));
    }

    #[test]
    fn a_claimed_giant_header_is_refused_before_it_is_read() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([2, 0, 0xff, 0xff, 0xff, 0xff]);
        assert!(parse(&bytes).unwrap_err().contains("4294967295 bytes"));
    }

    #[test]
    fn any_truncation_is_an_error_and_any_flip_is_no_panic() {
        let array = NdArray::from_f64(vec![2, 3], (0..6).map(f64::from).collect()).unwrap();
        let whole = bytes_of(&array);
        for len in 0..whole.len() {
            assert!(parse(&whole[..len]).is_err(), "{len} bytes");
        }
        for i in 0..whole.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[i] ^= flip;
                let _ = parse(&bytes);
            }
        }
    }
}
