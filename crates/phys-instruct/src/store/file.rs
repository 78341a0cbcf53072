//! Bounded reading shared by all readers, and the errors that name file and field.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result, memory};

/// The most bytes any file or decompressed file may hold: 16 GiB.
pub(crate) const MAX_BYTES: u64 = 16 << 30;

/// Returns the most bytes that a file of `len` bytes may hold decompressed.
///
/// Fields of two values in double precision are packed 30 to 60 times smaller; a file that claims
/// far more is taken for a trap. If the user has set a limit on memory, only that limit counts,
/// and the largest ratio of deflate, 1032 : 1.
pub(crate) fn most_decompressed(len: u64) -> u64 {
    match memory::limit() {
        None => len.saturating_mul(200).saturating_add(64 << 20).min(MAX_BYTES),
        Some(limit) => len.saturating_mul(1032).saturating_add(4096).min(limit),
    }
}

pub(crate) fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.into(), source }
}

pub(crate) fn bad(path: &Path, reason: impl Into<String>) -> Error {
    Error::BadFile { path: path.into(), reason: reason.into() }
}

/// Opens an ordinary file of at most `cap` bytes and tells its length.
pub(crate) fn open(path: &Path, cap: u64) -> Result<(File, u64)> {
    let about = std::fs::metadata(path).map_err(|e| io_error(path, e))?;
    if !about.is_file() {
        return Err(bad(path, "not an ordinary file"));
    }
    if about.len() > cap {
        let len = about.len();
        return Err(bad(path, format!("{len} bytes found, at most {cap} expected")));
    }
    Ok((File::open(path).map_err(|e| io_error(path, e))?, about.len()))
}

/// Reads a whole file of at most `cap` bytes.
pub(crate) fn read(path: &Path, cap: u64) -> Result<Vec<u8>> {
    let (file, len) = open(path, cap)?;
    // The bytes are held twice: as read, and decoded.
    memory::ask(2.0 * len as f64, format_args!("the bytes of {}", path.display()))?;
    take(file, len).map_err(|e| io_error(path, e))
}

/// Reads a whole UTF-8 text of at most `cap` bytes.
pub(crate) fn read_text(path: &Path, cap: u64) -> Result<String> {
    String::from_utf8(read(path, cap)?).map_err(|e| bad(path, format!("not UTF-8 text: {e}")))
}

/// Reads exactly `len` bytes, allocating only as they arrive: a declared length is a claim.
pub(crate) fn take(reader: impl Read, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len {
        return Ok(bytes);
    }
    let reason = format!("{} bytes found where {len} were declared", bytes.len());
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason))
}

/// Number of elements of a shape, None where it overflows.
pub(crate) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}
