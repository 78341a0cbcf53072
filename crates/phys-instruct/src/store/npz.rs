//! NumPy's `.npz` archives: a zip file of `.npy` arrays, stored or deflated.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Error as IoError, Seek, Write};
use std::path::Path;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::Result;
use crate::store::contents::{Collector, Contents, Format, Item};
use crate::store::file::{MAX_BYTES, bad, open};
use crate::store::ndarray::NdArray;
use crate::store::{atomic, npy};

/// The most entries of an archive.
const MAX_ENTRIES: usize = 4096;

/// Reads all arrays of numbers by name, without their `.npy`.
///
/// # Errors
/// Fails with [`crate::Error::Io`], or with [`crate::Error::BadFile`] for a damaged archive and
/// values that are not finite.
pub fn read(path: &Path) -> Result<BTreeMap<String, NdArray>> {
    let arrays = contents(path, &|_| true)?.arrays;
    for (name, array) in &arrays {
        if let Some((i, value)) = array.data.first_not_finite() {
            return Err(bad(path, format!("`{name}`: value {i} is {value}, finite expected")));
        }
    }
    Ok(arrays)
}

/// Reads the arrays whose names are `wanted`, and lists all others.
fn contents(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Contents> {
    let (_, len) = open(path, MAX_BYTES)?;
    let mut collector = Collector::new(len, wanted);
    fill(path, &mut collector)?;
    Ok(Contents { format: Format::Npz, ..collector.found })
}

/// Collects the arrays by their names without `.npy`. Entries that are no arrays are ignored.
///
/// # Errors
/// Fails with [`crate::Error::Io`], or with [`crate::Error::BadFile`] for a damaged archive or
/// wanted array.
pub(crate) fn fill(path: &Path, collector: &mut Collector) -> Result<()> {
    let (file, _) = open(path, MAX_BYTES)?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|e| bad(path, format!("not a whole zip archive: {e}")))?;
    if archive.len() > MAX_ENTRIES {
        let found = archive.len();
        return Err(bad(path, format!("{found} entries found, at most {MAX_ENTRIES} expected")));
    }

    for i in 0..archive.len() {
        let name = array_name(&mut archive, i).map_err(|e| bad(path, e))?;
        let Some(name) = name else { continue };
        let item = match entry(&mut archive, i, &name, collector) {
            Err(reason) if !collector.wants(&name) => Item::Other(format!("damaged: {reason}")),
            Err(reason) => return Err(bad(path, format!("`{name}`: {reason}"))),
            Ok(item) => item,
        };
        collector.insert(name, item).map_err(|e| bad(path, e))?;
    }

    let found = &collector.found;
    if found.names.is_empty() && found.others.is_empty() && !archive.is_empty() {
        let reason = "a zip archive without .npy arrays (of a PyTorch file, save the arrays with \
                      numpy.savez)";
        return Err(bad(path, reason));
    }
    Ok(())
}

/// Writes the arrays atomically, uncompressed, in the order given; equal arrays give equal bytes.
///
/// # Errors
/// Fails with [`crate::Error::Shape`] for values that do not fill their shape, with
/// [`crate::Error::BadFile`] for a name that readers refuse, and with [`crate::Error::Io`].
pub fn write(path: &Path, arrays: &[(&str, &NdArray)]) -> Result<()> {
    for (name, array) in arrays {
        check_name(name).map_err(|reason| bad(path, reason))?;
        npy::check(path, array)?;
    }

    atomic::write_with(path, |out| {
        let mut zip = ZipWriter::new(out);
        match add_all(&mut zip, arrays) {
            Ok(()) => zip.finish().map(|_| ()).map_err(io_of),
            Err(error) => {
                // Dropped, it would try to finish the archive and complain on stderr.
                std::mem::forget(zip);
                Err(error)
            }
        }
    })
}

fn add_all<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    arrays: &[(&str, &NdArray)],
) -> std::io::Result<()> {
    for (name, array) in arrays {
        let large = npy::written_len(array) >= u64::from(u32::MAX);
        zip.start_file(format!("{name}.npy"), plain().large_file(large)).map_err(io_of)?;
        npy::to_writer(&mut *zip, array)?;
    }
    Ok(())
}

/// The system's own error, if there is one.
fn io_of(error: ZipError) -> IoError {
    match error {
        ZipError::Io(source) => source,
        other => IoError::other(other),
    }
}

/// Options without compression and clock, so that the bytes depend on the arrays alone.
fn plain() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o644)
}

/// The name of entry `i` without its `.npy`; none for an entry that is no array.
fn array_name(
    archive: &mut ZipArchive<BufReader<File>>,
    i: usize,
) -> std::result::Result<Option<String>, String> {
    let file = archive.by_index_raw(i).map_err(|e| format!("entry {i}: {e}"))?;
    let full = file.name().map_err(|e| format!("entry {i}: {e}"))?;
    let name = full.strip_suffix(".npy").filter(|name| !name.is_empty());
    Ok(name.map(str::to_string))
}

/// Entry `i`, which is the array `name`.
fn entry(
    archive: &mut ZipArchive<BufReader<File>>,
    i: usize,
    name: &str,
    collector: &mut Collector,
) -> std::result::Result<Item, String> {
    let file = match archive.by_index(i) {
        Err(ZipError::UnsupportedArchive(reason)) => {
            return Ok(Item::Other(format!("{reason}; pack it again with numpy.savez_compressed")));
        }
        file => file.map_err(|e| e.to_string())?,
    };
    if !matches!(file.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        let method = file.compression();
        let todo = "pack it again with numpy.savez_compressed";
        return Ok(Item::Other(format!("compressed by {method}; {todo}")));
    }

    let len = file.size();
    npy::item(file, len, name, collector)
}

fn check_name(name: &str) -> std::result::Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "_-+. ".contains(c);
    if !name.is_empty() && !name.starts_with('.') && name.len() <= 200 && name.chars().all(plain) {
        return Ok(());
    }
    Err("the name of an array expected: letters, digits, `_`, `-`, `+` or blanks, then .npy".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn arrays() -> [NdArray; 2] {
        [
            NdArray::from_f32(vec![2, 2], vec![1.0, -2.0, 3.5, 0.0]).unwrap(),
            NdArray::from_f64(vec![], vec![0.01]).unwrap(),
        ]
    }

    fn written() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        let [u, nu] = arrays();
        write(&path, &[("u", &u), ("nu", &nu)]).unwrap();
        std::fs::read(&path).unwrap()
    }

    fn read_bytes(bytes: &[u8]) -> Result<BTreeMap<String, NdArray>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path())
    }

    /// An archive with one raw entry.
    fn archive(name: &str, content: &[u8], method: CompressionMethod) -> Vec<u8> {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn npy_bytes(array: &NdArray) -> Vec<u8> {
        let mut bytes = Vec::new();
        npy::to_writer(&mut bytes, array).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let back = read_bytes(&written()).unwrap();
        let [u, nu] = arrays();
        assert_eq!(back, BTreeMap::from([("u".into(), u), ("nu".into(), nu)]));
        assert_eq!(written(), written());
    }

    #[test]
    fn deflated_archives_are_read() {
        let [u, _] = arrays();
        let bytes = archive("u.npy", &npy_bytes(&u), CompressionMethod::Deflated);
        assert_eq!(read_bytes(&bytes).unwrap()["u"], u);
    }

    #[test]
    fn a_foreign_archive_in_fortran_order_is_read() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/neuralop_darcy_test_16.npz");
        let arrays = read(&path).unwrap();
        let names: Vec<_> = arrays.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "u"]);
        assert!(arrays.values().all(|a| a.shape == [50, 16, 16]));
        // The values as NumPy reads them.
        let value = |name: &str, [i, y, x]: [usize; 3]| {
            arrays[name].clone().into_f32()[(i * 16 + y) * 16 + x]
        };
        assert_eq!(value("u", [0, 1, 2]), 0.363_099_63);
        assert_eq!(value("u", [49, 15, 3]), 0.069_132_65);
        assert_eq!(value("u", [7, 8, 12]), 0.524_286_45);
        assert_eq!([value("a", [0, 1, 2]), value("a", [7, 8, 12])], [0.0, 1.0]);
        let a = arrays["a"].clone().into_f32();
        assert_eq!(a.iter().filter(|&&v| v == 1.0).count(), 6298);
        assert_eq!(a.iter().filter(|&&v| v == 0.0).count(), 50 * 256 - 6298);
    }

    #[test]
    fn bombs_are_refused_before_they_are_unpacked() {
        // 128 MiB of zeros in 128 KB, which is more than 64 MiB and 200 times the file.
        let zeros = NdArray::from_f32(vec![1 << 25], vec![0.0; 1 << 25]).unwrap();
        let bytes = archive("z.npy", &npy_bytes(&zeros), CompressionMethod::Deflated);
        assert!(bytes.len() < 140_000);
        let error = read_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains("128 MiB declared, at most 8"), "{error}");
        assert!(error.contains("--memory-limit"), "{error}");
    }

    #[test]
    fn an_archive_of_too_many_entries_is_refused() {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for i in 0..=MAX_ENTRIES {
            zip.start_file(format!("{i}.npy"), SimpleFileOptions::default()).unwrap();
        }
        let error = read_bytes(&zip.finish().unwrap().into_inner()).unwrap_err().to_string();
        assert!(error.contains("4097 entries found"), "{error}");
    }

    #[test]
    fn what_is_not_wanted_does_not_matter() {
        let [u, nu] = arrays();
        let mut nan = npy_bytes(&NdArray::from_f32(vec![1], vec![1.0]).unwrap());
        let at = nan.len() - 4;
        nan[at..].copy_from_slice(&f32::NAN.to_le_bytes());
        let text = npy_bytes(&nu).iter().map(|&b| if b == b'f' { b'U' } else { b }).collect();
        let entries: [(&str, Vec<u8>); 5] = [
            ("README.txt", b"made by hand".to_vec()),
            ("u.npy", npy_bytes(&u)),
            ("group/nan.npy", nan),
            ("note.npy", text),
            ("broken.npy", b"no array".to_vec()),
        ];
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(&bytes).unwrap();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), zip.finish().unwrap().into_inner()).unwrap();

        let found = contents(file.path(), &|name| name == "u").unwrap();
        assert_eq!(
            (found.names, found.arrays["u"].clone()),
            (vec!["u".into(), "group/nan".into()], u)
        );
        assert_eq!(found.others.keys().collect::<Vec<_>>(), ["broken", "note"]);
        let wanted = contents(file.path(), &|name| name == "broken").unwrap_err().to_string();
        assert!(wanted.contains("`broken`: not a .npy array"), "{wanted}");
    }

    #[test]
    fn an_archive_of_no_arrays_is_named() {
        let bytes = archive("data.pkl", b"x", CompressionMethod::Stored);
        assert!(read_bytes(&bytes).unwrap_err().to_string().contains("without .npy arrays"));
        let [_, nu] = arrays();
        let folder = tempfile::tempdir().unwrap();
        assert!(write(&folder.path().join("x"), &[("a/b", &nu)]).is_err());
    }

    #[test]
    fn any_truncation_is_an_error_and_any_flip_is_no_panic() {
        let whole = written();
        for len in 0..whole.len() {
            assert!(read_bytes(&whole[..len]).is_err(), "{len} bytes");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        for i in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[i] ^= flip;
                std::fs::write(file.path(), &bytes).unwrap();
                let _ = read(file.path());
            }
        }
    }

    #[test]
    fn a_changed_value_fails_the_checksum() {
        let mut bytes = written();
        let value = 1.0f32.to_le_bytes();
        let at = bytes.windows(4).position(|w| w == value).unwrap();
        bytes[at] ^= 1;
        assert!(read_bytes(&bytes).unwrap_err().to_string().contains("`u`"));
    }
}
