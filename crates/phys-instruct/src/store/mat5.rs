//! MATLAB level 5 files (`.mat` of versions 5 to 7), numeric arrays only.
//!
//! Format: MathWorks, *MAT-File Format*, "Level 5 MAT-file format": a header of 128 bytes, then
//! tagged elements, each a matrix or a zlib stream of one. Either byte order. The fields of a
//! structure are named `structure/field`. Text, cells, objects, sparse and complex arrays are
//! reported by name. The published crate for the format panics on damage and decompresses without
//! bound, hence this reader.

use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::Result;
use crate::store::contents::{Collector, Item};
use crate::store::file::{MAX_BYTES, bad, elements, most_decompressed, open, take};
use crate::store::ndarray::{Dtype, Kind, NdArray, decode};

const INT8: u32 = 1;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;
const MAX_RANK: usize = 32;
const MAX_NAME: usize = 200;
/// The most bytes of a part that describes an array: its flags, its shape, its name, its fields.
const MOST_DESCRIPTION: u64 = 1 << 20;
/// The deepest nesting of structures.
const MAX_DEPTH: usize = 8;
const STRUCTURE: u32 = 2;

type Parsed<T> = std::result::Result<T, String>;

/// Collects the arrays.
///
/// # Errors
/// Fails with [`crate::Error::Io`], or with [`crate::Error::BadFile`] for a damaged file.
pub(crate) fn fill(path: &Path, collector: &mut Collector) -> Result<()> {
    let (file, _) = open(path, MAX_BYTES)?;
    variables(&mut BufReader::new(file), collector).map_err(|reason| bad(path, reason))
}

fn variables(reader: &mut impl Read, found: &mut Collector) -> Parsed<()> {
    let big = read_header(reader)?;
    while let Some(tag) = first_tag(reader, big)? {
        let mut body = reader.take(u64::from(tag.len));
        match tag.kind {
            // Older programs write an empty variable as a matrix without content.
            MATRIX if tag.len == 0 => {}
            MATRIX => variable(&mut body, &at(big), found)?,
            COMPRESSED => compressed(&mut body, tag.len, big, found)?,
            _ => {}
        }

        drain(&mut body)?;
        if tag.kind != COMPRESSED {
            drain(&mut reader.take(padding(tag.len)))?;
        }
    }
    Ok(())
}

fn compressed(packed: &mut dyn Read, len: u32, big: bool, found: &mut Collector) -> Parsed<()> {
    let mut body = ZlibDecoder::new(packed).take(most_decompressed(len.into()));
    let tag = first_tag(&mut body, big)?.ok_or("an empty compressed element")?;
    if tag.kind != MATRIX {
        return Err(format!("element type {} found in a compressed element", tag.kind));
    }
    let mut matrix = body.by_ref().take(u64::from(tag.len));
    variable(&mut matrix, &at(big), found)?;
    drain(&mut matrix)?;
    // The end of the stream carries its checksum.
    std::io::copy(&mut body, &mut std::io::sink()).map_err(|e| e.to_string())?;
    Ok(())
}

/// Tells whether the file is big-endian.
fn read_header(reader: &mut impl Read) -> Parsed<bool> {
    let mut header = [0; 128];
    reader.read_exact(&mut header).map_err(|_| "shorter than a MATLAB header".to_string())?;
    let big = match &header[126..] {
        b"IM" => false,
        b"MI" => true,
        _ => return Err("not a MATLAB file of version 5 to 7: no endian mark".into()),
    };
    let version = if big { [header[124], header[125]] } else { [header[125], header[124]] };
    match version {
        [1, 0] => Ok(big),
        [major, minor] => Err(format!("MATLAB level {major}.{minor} found, 1.0 expected")),
    }
}

/// The place of a matrix in the file.
struct Place {
    big: bool,
    /// The structure and field that hold it, if any: a field has no name of its own.
    path: Option<String>,
    depth: usize,
}

/// The place of a variable of the file itself.
fn at(big: bool) -> Place {
    Place { big, path: None, depth: 0 }
}

fn variable(body: &mut dyn Read, place: &Place, found: &mut Collector) -> Parsed<()> {
    let big = place.big;
    let flags = element(body, big, MOST_DESCRIPTION)?.expect(UINT32, "array flags")?;
    let flags = flags.first_chunk::<4>().ok_or("array flags: too short")?;
    let (class, complex) = (word(*flags, big) & 0xff, word(*flags, big) & 0x800 != 0);
    // Classes beyond the numbers are function handles and objects, whose layout is not published.
    if class > 15 {
        return Ok(());
    }

    let shape =
        dimensions(&element(body, big, MOST_DESCRIPTION)?.expect(INT32, "dimensions")?, big)?;
    let own = name(element(body, big, MOST_DESCRIPTION)?)?;
    let name = place.path.clone().unwrap_or(own);

    let item = match (class, complex) {
        (STRUCTURE, _) if elements(&shape) == Some(1) => {
            return structure(body, place, name, found);
        }
        (6..=15, false) if found.wants(&name) => {
            let named = |e: String| format!("`{name}`: {e}");
            // No type of numbers is wider than eight bytes.
            let bytes =
                elements(&shape).and_then(|n| n.checked_mul(8)).map_or(u64::MAX, |n| n as u64);
            found.allow(bytes).map_err(named)?;
            array(element(body, big, bytes).map_err(named)?, shape, big).map_err(named)?
        }
        (6..=15, false) => Item::Unread,
        _ => Item::Other(kind_of(class).into()),
    };
    found.insert(name, item)
}

/// Names a matrix that is no array of numbers.
fn kind_of(class: u32) -> &'static str {
    match class {
        1 => "a cell array",
        STRUCTURE => "an array of structures",
        3 => "an object",
        4 => "text",
        5 => "a sparse matrix (save full(...) of it)",
        _ => "complex numbers (save real(...) of them)",
    }
}

/// Reads the fields of one structure: the length of a name, all names, then a matrix for each.
fn structure(
    body: &mut dyn Read,
    place: &Place,
    name: String,
    found: &mut Collector,
) -> Parsed<()> {
    if place.depth == MAX_DEPTH {
        return found.insert(name, Item::Other("structures nested too deep".into()));
    }
    let big = place.big;
    let len = element(body, big, MOST_DESCRIPTION)?.expect(INT32, "length of field names")?;
    let len = len.first_chunk::<4>().ok_or("length of field names: too short")?;
    let len = word(*len, big) as usize;
    if !(1..=MAX_NAME).contains(&len) {
        return Err(format!("`{name}`: field names of {len} bytes"));
    }
    let names = element(body, big, MOST_DESCRIPTION)?.expect(INT8, "field names")?;

    for field in names.chunks_exact(len) {
        let end = field.iter().position(|&b| b == 0).unwrap_or(len);
        let field = String::from_utf8_lossy(&field[..end]).into_owned();
        let tag = first_tag(body, big)?.ok_or("a field without its value")?;
        if tag.kind != MATRIX {
            return Err(format!("`{name}/{field}`: element type {} found", tag.kind));
        }
        let path = Some(format!("{name}/{field}"));
        let inner = Place { big, path, depth: place.depth + 1 };
        let mut value = body.take(u64::from(tag.len));
        // An empty field has no content at all.
        if tag.len > 0 {
            variable(&mut value, &inner, found)?;
        }
        drain(&mut value)?;
    }
    Ok(())
}

fn name(found: Element) -> Parsed<String> {
    if found.kind != UTF8 && found.kind != INT8 || found.bytes.len() > MAX_NAME {
        return Err("a variable's name: text of at most 200 bytes expected".into());
    }
    String::from_utf8(found.bytes).map_err(|e| format!("a variable's name: {e}"))
}

fn array(data: Element, shape: Vec<usize>, big: bool) -> Parsed<Item> {
    let dtype = dtype(data.kind, big)
        .ok_or_else(|| format!("element type {} found, a number expected", data.kind))?;
    if elements(&shape).and_then(|n| n.checked_mul(dtype.size)) != Some(data.bytes.len()) {
        let (len, size) = (data.bytes.len(), dtype.size);
        return Err(format!("{len} bytes found for the shape {shape:?} of {size}-byte numbers"));
    }
    Ok(match decode(dtype, &data.bytes) {
        Ok(values) => Item::Array(NdArray::from_column_major(shape, values)),
        Err(kind) => Item::Other(kind),
    })
}

fn dimensions(bytes: &[u8], big: bool) -> Parsed<Vec<usize>> {
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() || !(2..=MAX_RANK).contains(&words.len()) {
        return Err(format!("dimensions: {} bytes found", bytes.len()));
    }
    words
        .iter()
        .map(|w| i32::try_from(word(*w, big)).ok().and_then(|n| usize::try_from(n).ok()))
        .collect::<Option<_>>()
        .ok_or_else(|| "dimensions: a negative one".into())
}

fn dtype(kind: u32, big_endian: bool) -> Option<Dtype> {
    let (kind, size) = match kind {
        INT8 => (Kind::Int, 1),
        2 => (Kind::Uint, 1),
        3 => (Kind::Int, 2),
        4 => (Kind::Uint, 2),
        INT32 => (Kind::Int, 4),
        UINT32 => (Kind::Uint, 4),
        7 => (Kind::Float, 4),
        9 => (Kind::Float, 8),
        12 => (Kind::Int, 8),
        13 => (Kind::Uint, 8),
        _ => return None,
    };
    Some(Dtype { kind, size, big_endian })
}

/// The tag of an element of the file itself.
struct Tag {
    kind: u32,
    len: u32,
}

/// One part of a matrix.
struct Element {
    kind: u32,
    bytes: Vec<u8>,
}

impl Element {
    fn expect(self, kind: u32, what: &str) -> Parsed<Vec<u8>> {
        if self.kind == kind {
            return Ok(self.bytes);
        }
        Err(format!("{what}: element type {} found, {kind} expected", self.kind))
    }
}

/// Reads the tag of an element of the file; none at the end.
fn first_tag(reader: &mut dyn Read, big: bool) -> Parsed<Option<Tag>> {
    match take(reader.take(8), 8) {
        Ok(bytes) => {
            let (words, _) = bytes.as_chunks::<4>();
            Ok(Some(Tag { kind: word(words[0], big), len: word(words[1], big) }))
        }
        Err(e) if e.to_string().starts_with("0 bytes") => Ok(None),
        Err(e) => Err(format!("an element's tag: {e}")),
    }
}

fn element(reader: &mut dyn Read, big: bool, most: u64) -> Parsed<Element> {
    let mut head = [[0; 4]; 2];
    reader.read_exact(head.as_flattened_mut()).map_err(|e| format!("a matrix part: {e}"))?;

    let first = word(head[0], big);
    if first >> 16 == 0 {
        let len = word(head[1], big);
        if u64::from(len) > most {
            return Err(format!("{len} bytes found, at most {most} expected"));
        }
        let bytes = take(&mut *reader, len.into()).map_err(|e| e.to_string())?;
        drain(&mut reader.take(padding(len)))?;
        return Ok(Element { kind: first, bytes });
    }

    // Up to four bytes are packed into the tag itself, their number in its upper half.
    let bytes = head[1].get(..(first >> 16) as usize).ok_or("a small element above 4 bytes")?;
    Ok(Element { kind: first & 0xffff, bytes: bytes.to_vec() })
}

fn padding(len: u32) -> u64 {
    u64::from(len).next_multiple_of(8) - u64::from(len)
}

fn word(bytes: [u8; 4], big: bool) -> u32 {
    if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// Reads the rest of an element. A file is whole only if all of it is there.
fn drain<R: Read>(rest: &mut std::io::Take<R>) -> Parsed<()> {
    std::io::copy(rest, &mut std::io::sink()).map_err(|e| e.to_string())?;
    match rest.limit() {
        0 => Ok(()),
        missing => Err(format!("the file ends {missing} bytes early")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::contents::Contents;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(crate::testing::fixture(name)).unwrap()
    }

    fn parse(bytes: &[u8]) -> Parsed<Contents> {
        let mut collector = Collector::new(bytes.len() as u64, &|_| true);
        variables(&mut &bytes[..], &mut collector).map(|()| collector.found)
    }

    #[test]
    fn uncompressed_arrays_are_read_and_foreign_kinds_passed_over() {
        let found = parse(&fixture("diffusionpde_poisson_v5.mat")).unwrap();
        assert_eq!(found.names, ["f_data", "phi_data"]);
        let found = parse(&fixture("diffusionpde_helmholtz_v7.mat")).unwrap();
        assert_eq!(found.names, ["settings/k", "f_data", "psi_data"]);
        let kinds = |name: &str| found.others[name].as_str();
        assert_eq!(["note", "cells"].map(kinds), ["text", "a cell array"]);
        assert!(kinds("complex").starts_with("complex numbers"));
        let a = found.arrays["f_data"].clone();
        assert_eq!(a.shape, [3, 8, 8]);
        assert_eq!(a.into_f32()[2 * 64 + 3 * 8 + 5], 235.0);
    }

    #[test]
    fn fields_of_structures_are_read_by_their_path() {
        let found = parse(&fixture("structures.mat")).unwrap();
        assert_eq!(found.names, ["run/f_data", "run/inner/phi_data", "logical"]);
        let [f, phi] = ["run/f_data", "run/inner/phi_data"].map(|n| found.arrays[n].clone());
        assert_eq!((f.shape.clone(), phi.shape.clone()), (vec![3, 8, 8], vec![3, 8, 8]));
        let at = 2 * 64 + 3 * 8 + 5;
        assert_eq!([f.into_f32()[at], phi.into_f32()[at]], [235.0, -235.0 / 8.0]);
        assert_eq!(found.arrays["logical"].clone().into_f32()[at], 1.0);
        for (name, kind) in [
            ("run/note", "text"),
            ("sparse", "a sparse matrix"),
            ("many", "an array of structures"),
            ("f_data", "complex numbers"),
        ] {
            assert!(found.others[name].contains(kind), "{name}: {}", found.others[name]);
        }
    }

    #[test]
    fn big_endian_small_elements_and_narrow_storage_are_read() {
        let mut file = vec![b' '; 124];
        file.extend([1, 0]);
        file.extend(b"MI");
        let words = |file: &mut Vec<u8>, words: &[u32]| {
            words.iter().for_each(|w| file.extend(w.to_be_bytes()));
        };
        // A 1 x 2 array of class double named x, whose values are stored as packed 16-bit integers.
        words(&mut file, &[MATRIX, 48, UINT32, 8, 6, 0, INT32, 8, 1, 2]);
        words(&mut file, &[1 << 16 | INT8]);
        file.extend(b"x\0\0\0");
        words(&mut file, &[4 << 16 | 3, 0xfffe_0007]);
        let found = parse(&file).unwrap();
        assert_eq!(found.arrays["x"], NdArray::from_f32(vec![1, 2], vec![-2.0, 7.0]).unwrap());
    }

    #[test]
    fn any_truncation_is_noticed_and_any_flip_is_no_panic() {
        // Cut between two variables, a file is a whole file with fewer of them.
        for (name, variables) in [
            ("diffusionpde_poisson_v5.mat", 2),
            ("diffusionpde_helmholtz_v7.mat", 6),
            ("structures.mat", 5),
        ] {
            let whole = fixture(name);
            let readable = (0..whole.len()).filter(|&len| parse(&whole[..len]).is_ok());
            assert_eq!(readable.count(), variables, "{name}");
            for i in 0..whole.len() {
                for flip in [0x01, 0x80, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[i] ^= flip;
                    let _ = parse(&bytes);
                }
            }
        }
    }

    #[test]
    fn a_declared_giant_is_refused_before_it_is_allocated() {
        let mut bytes = fixture("diffusionpde_poisson_v5.mat");
        // The first dimension of the first array: header, tag, flags, tag of the dimensions.
        let at = 128 + 8 + 16 + 8;
        bytes[at..at + 4].copy_from_slice(&i32::MAX.to_le_bytes());
        let error = parse(&bytes).unwrap_err();
        assert!(error.contains("`f_data`: ") && error.contains("GiB declared"), "{error}");
    }
}
