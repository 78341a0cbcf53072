//! Model weights and training checkpoints: named tensors and one JSON document in one file. Values
//! are `f32`. The weights of a packed model are stored as `f16` and widened when read.
//!
//! The container is safetensors (<https://github.com/huggingface/safetensors>, format 0.x): a JSON
//! header of names, shapes and offsets, then the raw little-endian values. The document is stored
//! as text under the key `phys_instruct` of the header's `__metadata__`. Its field `sha256` is a
//! checksum of all tensors as stored, and of the document with that field left empty.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use crate::store::atomic;
use crate::store::file::{MAX_BYTES, bad, elements, read as read_file};
use crate::{Error, Result};

/// The key of the JSON document among the header's metadata.
const KEY: &str = "phys_instruct";

/// The field of the document that holds the checksum.
const CHECKSUM: &str = "sha256";

/// An array of any rank, C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The number of points along each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values, as many as the product of the shape.
    pub data: Vec<f32>,
}

/// Everything in one weights file.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Any JSON. Finite numbers are read back to the last bit.
    pub metadata: serde_json::Value,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Array>,
}

/// Writes `bundle` atomically; equal bundles give equal bytes.
///
/// # Errors
/// Fails with [`Error::Shape`] for a tensor whose values do not fill its shape. Fails with
/// [`Error::BadFile`] for one that is not finite, since the file could not be read back, and with
/// [`Error::Io`].
pub fn write(path: &Path, bundle: &Bundle) -> Result<()> {
    write_as(path, bundle, |_| Dtype::F32)
}

/// Writes `bundle` with the tensors whose name begins with `prefix` rounded to `f16`.
///
/// # Errors
/// Fails as [`write()`] does, and for values beyond the range of `f16`.
pub fn write_packed(path: &Path, bundle: &Bundle, prefixes: &[&str]) -> Result<()> {
    let rounded = rounded(bundle, prefixes).map_err(|error| match error {
        Error::Shape(reason) => bad(path, reason),
        other => other,
    })?;
    write_as(path, &rounded, |name| match is_packed(name, prefixes) {
        true => Dtype::F16,
        false => Dtype::F32,
    })
}

/// The `bundle` as a file of [`write_packed`] gives it back.
///
/// # Errors
/// Fails with [`Error::Shape`] for values beyond the range of `f16`.
pub fn rounded(bundle: &Bundle, prefixes: &[&str]) -> Result<Bundle> {
    let mut rounded = bundle.clone();
    let packed = rounded.tensors.iter_mut().filter(|(name, _)| is_packed(name, prefixes));
    for (name, array) in packed {
        for v in &mut array.data {
            let half = f16::from_f32(*v);
            if !half.is_finite() {
                let reason = format!("tensor `{name}`: {v} does not fit into 16 bits");
                return Err(Error::Shape(reason));
            }
            *v = half.to_f32();
        }
    }
    Ok(rounded)
}

fn is_packed(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn write_as(path: &Path, bundle: &Bundle, dtype: impl Fn(&str) -> Dtype) -> Result<()> {
    for (name, array) in &bundle.tensors {
        check_shape(name, array)?;
        check_finite(path, name, &array.data)?;
    }
    atomic::write(path, &to_bytes(bundle, dtype).map_err(|reason| bad(path, reason))?)
}

/// Reads a file of [`write()`].
///
/// # Errors
/// Fails with [`Error::Io`] if the file cannot be read. Fails with [`Error::BadFile`] for anything
/// but a whole file of finite `f32` or `f16` tensors with the JSON document, and for a wrong
/// checksum.
pub fn read(path: &Path) -> Result<Bundle> {
    Ok(read_with_checksum(path)?.0)
}

/// The array `name` among `arrays`, which must have the `shape`.
///
/// # Errors
/// [`Error::Shape`] for an array that is missing or of another shape.
pub fn of_shape<'a>(
    arrays: &'a BTreeMap<String, Array>,
    name: &str,
    shape: &[usize],
) -> Result<&'a Array> {
    match arrays.get(name) {
        Some(array) if array.shape == shape => Ok(array),
        Some(array) => {
            Err(Error::Shape(format!("{name} has shape {:?}, expected {shape:?}", array.shape)))
        }
        None => Err(Error::Shape(format!("{name} is missing, expected shape {shape:?}"))),
    }
}

/// The bytes of the file that [`write()`] would write.
///
/// # Errors
/// Fails with [`Error::Shape`] for a tensor whose values do not fill its shape.
pub fn to_vec(bundle: &Bundle) -> Result<Vec<u8>> {
    check_shapes(bundle)?;
    to_bytes(bundle, |_| Dtype::F32).map_err(Error::Shape)
}

fn check_shapes(bundle: &Bundle) -> Result<()> {
    bundle.tensors.iter().try_for_each(|(name, array)| check_shape(name, array))
}

/// Reads the bytes that [`to_vec`] returned; `origin` names them in an error.
///
/// # Errors
/// Fails as [`read()`] does.
pub fn from_slice(origin: &Path, bytes: &[u8]) -> Result<Bundle> {
    Ok(from_bytes(origin, bytes)?.0)
}

/// The content of a file with its SHA-256 in hexadecimal digits; none in a file of the first
/// format, which has no checksum.
///
/// # Errors
/// Fails as [`read()`] does.
pub fn read_with_checksum(path: &Path) -> Result<(Bundle, Option<String>)> {
    let bytes = read_file(path, MAX_BYTES)?;
    from_bytes(path, &bytes)
}

/// The checksum that the file of [`write()`] would hold, in hexadecimal digits.
///
/// # Errors
/// Fails with [`Error::Shape`] for a tensor whose values do not fill its shape.
pub fn sha256_of(bundle: &Bundle) -> Result<String> {
    check_shapes(bundle)?;
    let document = unsealed(&bundle.metadata);
    with_views(bundle, |_| Dtype::F32, |views| Ok(checksum(&document, &views)))
        .map_err(Error::Shape)
}

fn to_bytes(
    bundle: &Bundle,
    dtype: impl Fn(&str) -> Dtype,
) -> std::result::Result<Vec<u8>, String> {
    with_views(bundle, dtype, |views| {
        let document = HashMap::from([(KEY.to_string(), sealed(&bundle.metadata, &views))]);
        safetensors::serialize(views, Some(document)).map_err(|e| e.to_string())
    })
}

/// Does `work` with the tensors as they are stored.
fn with_views<T>(
    bundle: &Bundle,
    dtype: impl Fn(&str) -> Dtype,
    work: impl FnOnce(BTreeMap<&str, TensorView<'_>>) -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    let bytes = |name: &str, data: &[f32]| -> Vec<u8> {
        match dtype(name) {
            Dtype::F16 => data.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            _ => data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    };

    let raw: Vec<(&String, &[usize], Vec<u8>)> =
        bundle.tensors.iter().map(|(name, a)| (name, &a.shape[..], bytes(name, &a.data))).collect();
    let views = raw
        .iter()
        .map(|(name, shape, data)| {
            TensorView::new(dtype(name), shape.to_vec(), data)
                .map(|view| (name.as_str(), view))
                .map_err(|e| format!("tensor `{name}`: {e}"))
        })
        .collect::<std::result::Result<BTreeMap<_, _>, _>>()?;
    work(views)
}

/// The document as text with the checksum in it. A document that is no JSON object has no place for
/// it.
fn sealed(metadata: &serde_json::Value, tensors: &BTreeMap<&str, TensorView<'_>>) -> String {
    let text = unsealed(metadata);
    let sum = checksum(&text, tensors);
    text.replacen(&field(""), &field(&sum), 1)
}

/// The document as text with an empty place for the checksum, of which the checksum is taken.
fn unsealed(metadata: &serde_json::Value) -> String {
    let mut document = metadata.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.insert(CHECKSUM.into(), "".into());
    }
    document.to_string()
}

/// The text of the checksum's field in the document.
fn field(sum: &str) -> String {
    format!("\"{CHECKSUM}\":\"{sum}\"")
}

/// The SHA-256 of the document and of each tensor's name, type, shape and bytes, in the order of
/// the names, in hexadecimal digits.
fn checksum(document: &str, tensors: &BTreeMap<&str, TensorView<'_>>) -> String {
    let mut sum = Sha256::new();
    // The length before each part prevents different parts from giving the same bytes.
    let mut add = |part: &[u8]| {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    };
    add(document.as_bytes());
    for (name, tensor) in tensors {
        add(name.as_bytes());
        add(format!("{:?} {:?}", tensor.dtype(), tensor.shape()).as_bytes());
        add(tensor.data());
    }
    hexadecimal(sum)
}

fn hexadecimal(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes the checksum out of the document and compares it with that of the content.
fn unseal(
    text: &str,
    metadata: &mut serde_json::Value,
    tensors: &BTreeMap<&str, TensorView<'_>>,
) -> std::result::Result<Option<String>, String> {
    let Some(stored) = metadata.as_object_mut().and_then(|fields| fields.remove(CHECKSUM)) else {
        return Ok(None);
    };
    let stored = stored.as_str().ok_or_else(|| format!("`{CHECKSUM}` is not a text"))?;
    let found = checksum(&text.replacen(&field(stored), &field(""), 1), tensors);
    if found == stored {
        return Ok(Some(found));
    }
    Err(format!(
        "the content has the SHA-256 {found}, but `{CHECKSUM}` in the header is {stored}: the file \
         was changed or damaged; take another copy"
    ))
}

fn from_bytes(path: &Path, bytes: &[u8]) -> Result<(Bundle, Option<String>)> {
    let wrong = |e| bad(path, format!("not a whole safetensors file: {e}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
    let file = SafeTensors::deserialize(bytes).map_err(wrong)?;

    let text = header.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or_else(|| {
        bad(path, format!("no `{KEY}` in the header: not a file of this program"))
    })?;
    let mut metadata = serde_json::from_str(text)
        .map_err(|e| bad(path, format!("`{KEY}` in the header is not JSON: {e}")))?;

    let views: BTreeMap<&str, TensorView<'_>> = file.iter().collect();
    let sum = unseal(text, &mut metadata, &views).map_err(|reason| bad(path, reason))?;
    let tensors = views
        .iter()
        .map(|(name, view)| Ok((name.to_string(), to_array(path, name, view)?)))
        .collect::<Result<_>>()?;
    Ok((Bundle { metadata, tensors }, sum))
}

fn to_array(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Array> {
    let data: Vec<f32> = match view.dtype() {
        Dtype::F32 => {
            view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
        }
        Dtype::F16 => {
            let words = view.data().as_chunks::<2>().0;
            words.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
        }
        found => {
            return Err(bad(
                path,
                format!("tensor `{name}`: {found:?} found, F32 or F16 expected"),
            ));
        }
    };

    let array = Array { shape: view.shape().to_vec(), data };
    check_shape(name, &array).map_err(|e| bad(path, e.to_string()))?;
    check_finite(path, name, &array.data)?;
    Ok(array)
}

fn check_shape(name: &str, array: &Array) -> Result<()> {
    if elements(&array.shape) == Some(array.data.len()) {
        return Ok(());
    }
    let (shape, len) = (&array.shape, array.data.len());
    Err(Error::Shape(format!("tensor `{name}`: {len} values for the shape {shape:?}")))
}

fn check_finite(path: &Path, name: &str, data: &[f32]) -> Result<()> {
    match data.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(bad(path, format!("tensor `{name}`: value {i} is {}", data[i]))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bundle() -> Bundle {
        let array =
            |shape: &[usize], data: &[f32]| Array { shape: shape.into(), data: data.into() };
        Bundle {
            metadata: serde_json::json!({"kind": "teacher", "step": u64::MAX, "name": "a \"b\" é"}),
            tensors: BTreeMap::from([
                (
                    "b.weight".into(),
                    array(&[2, 3], &[1.0, -2.5, f32::MIN_POSITIVE, 0.1, 5e-42, -0.0]),
                ),
                ("a".into(), array(&[], &[f32::MAX])),
                ("none".into(), array(&[0, 4], &[])),
            ]),
        }
    }

    fn file_with(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    /// A safetensors file made by hand, independent of the crate that is under test.
    fn by_hand(header: &str, data: &[u8]) -> tempfile::NamedTempFile {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        file_with(&bytes)
    }

    fn reason(file: &tempfile::NamedTempFile) -> String {
        match read(file.path()) {
            Err(Error::BadFile { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        write(&path, &bundle()).unwrap();
        let (back, checksum) = read_with_checksum(&path).unwrap();
        assert_eq!(back, bundle());
        assert_eq!(checksum, Some(sha256_of(&bundle()).unwrap()));
        assert!(back.tensors["b.weight"].data[5].is_sign_negative());
    }

    #[test]
    fn packed_tensors_come_back_within_half_precision() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        write_packed(&path, &bundle(), &["b."]).unwrap();
        let back = read(&path).unwrap();
        assert_eq!(back, rounded(&bundle(), &["b."]).unwrap());
        let [own, found] = [&bundle(), &back].map(|b| b.tensors["b.weight"].data.clone());
        assert!(own.iter().zip(&found).all(|(a, b)| (a - b).abs() <= a.abs() * 0.5e-3 + 1e-7));
        assert_ne!(own, found);
        assert_eq!(back.tensors["a"], bundle().tensors["a"]);
        let errors = [write_packed(&path, &bundle(), &["a"]), rounded(&bundle(), &["a"]).map(drop)];
        for error in errors.map(|refused| refused.unwrap_err().to_string()) {
            assert!(error.contains("does not fit into 16 bits"), "{error}");
        }
    }

    #[test]
    fn equal_bundles_give_equal_bytes() {
        let [one, two] = [(); 2].map(|()| to_bytes(&bundle(), |_| Dtype::F32).unwrap());
        assert_eq!(one, two);
    }

    #[test]
    fn a_file_made_by_hand_is_understood() {
        let file = by_hand(
            r#"{"__metadata__":{"phys_instruct":"{\"k\":1}"},"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#,
            &[0, 0, 128, 63, 0, 0, 0, 192],
        );
        let bundle = read(file.path()).unwrap();
        assert_eq!(bundle.metadata["k"], 1);
        assert_eq!(bundle.tensors["x"], Array { shape: vec![1, 2], data: vec![1.0, -2.0] });
    }

    #[test]
    fn foreign_and_false_headers_are_named() {
        let x = |dtype: &str, shape: &str, end: usize| {
            format!(
                r#"{{"__metadata__":{{"phys_instruct":"1"}},"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#
            )
        };
        assert!(reason(&by_hand(&x("F64", "[1]", 8), &[0; 8])).contains("`x`: F64 found"));
        assert!(reason(&by_hand(&x("F32", "[3]", 8), &[0; 8])).contains("safetensors"));
        let huge = x("F32", "[4611686018427387904,4611686018427387904]", 8);
        assert!(reason(&by_hand(&huge, &[0; 8])).contains("safetensors"));
        let nan = f32::NAN.to_le_bytes();
        assert!(reason(&by_hand(&x("F32", "[1]", 4), &nan)).contains("value 0 is NaN"));
        assert!(reason(&by_hand("{}", &[])).contains("phys_instruct"));
        let broken = r#"{"__metadata__":{"phys_instruct":"{"}}"#;
        assert!(reason(&by_hand(broken, &[])).contains("JSON"));
        assert!(reason(&file_with(&u64::MAX.to_le_bytes())).contains("safetensors"));
    }

    #[test]
    fn any_truncation_is_an_error_and_any_flip_is_no_panic() {
        let half = |name: &str| if name == "a" { Dtype::F32 } else { Dtype::F16 };
        let whole = to_bytes(&bundle(), half).unwrap();
        let path = Path::new("x");
        for len in 0..whole.len() {
            assert!(from_bytes(path, &whole[..len]).is_err(), "{len} bytes");
        }
        for i in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[i] ^= flip;
                let _ = from_bytes(path, &bytes);
            }
        }
    }

    #[test]
    fn any_flipped_bit_of_a_tensor_or_the_document_is_refused() {
        let whole = to_bytes(&bundle(), |_| Dtype::F32).unwrap();
        let path = Path::new("x");
        let (read, sum) = from_bytes(path, &whole).unwrap();
        assert_eq!((read, sum.map(|s| s.len())), (bundle(), Some(64)));
        let data = whole.len() - 7 * 4;
        for bit in 8 * data..8 * whole.len() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(from_bytes(path, &bytes).is_err(), "bit {bit}");
        }
        let at = whole.windows(7).position(|w| w == b"teacher").unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + 7].copy_from_slice(b"student");
        let error = from_bytes(path, &bytes).unwrap_err().to_string();
        assert!(error.contains("SHA-256"), "{error}");
    }

    #[test]
    fn a_bundle_that_could_not_be_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let mut bad = bundle();
        bad.tensors.insert("nan".into(), Array { shape: vec![1], data: vec![f32::NAN] });
        assert!(write(&path, &bad).unwrap_err().to_string().contains("`nan`: value 0 is NaN"));
        bad.tensors.insert("nan".into(), Array { shape: vec![2], data: vec![0.0] });
        assert!(matches!(write(&path, &bad), Err(Error::Shape(_))));
        assert!(!path.exists());
    }
}
