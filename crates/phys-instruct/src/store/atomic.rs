//! Atomic file replacement: sibling scratch file, fsync, rename, fsync of the folder.
//!
//! POSIX `rename(2)` replaces its target in one step within a file system; the two fsyncs order
//! content before name and name before success, so that a crash at any moment leaves the old file
//! or the new one.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::Result;
use crate::store::file::io_error;

/// Replaces the file at `path` by `bytes`.
///
/// # Errors
/// [`crate::Error::Io`]; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Replaces the file at `path` by what `fill` writes.
///
/// # Errors
/// [`crate::Error::Io`], also where `fill` fails; the old file is then untouched.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<()> {
    replace(path, fill).map_err(|source| io_error(path, source))
}

/// Appends one line. A crash can leave its first part, without the line break: readers drop that.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .map_err(|source| io_error(path, source))
}

/// Renames `from` to `to` in the same folder and makes the new name durable.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to)
        .and_then(|()| sync_folder(&folder_of(to)))
        .map_err(|source| io_error(from, source))
}

/// Creates `folder` and its parents, durably.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| sync_folder(&folder_of(folder)))
        .map_err(|source| io_error(folder, source))
}

fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let scratch = scratch_builder().tempfile_in(&folder)?;
    let mut out = BufWriter::new(scratch.as_file());
    fill(&mut out)?;
    out.flush()?;
    drop(out);
    scratch.as_file().sync_all()?;
    scratch.persist(path)?;
    sync_folder(&folder)
}

#[cfg(unix)]
fn scratch_builder() -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    // Scratch files are private by default; what is renamed into place is an ordinary file under
    // the user's umask.
    builder.prefix(".scratch-").permissions(std::fs::Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn scratch_builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".scratch-");
    builder
}

/// The folder a relative bare name lives in is the current one, which `parent` calls "".
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems give no handle to a folder; their rename is durable or not as they decide.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn a_failure_in_the_middle_leaves_the_old_file_and_no_scratch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, b"one").unwrap();
        let failed = write_with(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk gone"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk gone"));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("no/x"), b"").unwrap_err();
        assert!(error.to_string().contains("no/x"));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_as_readable_as_an_ordinary_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [ours, plain] = ["ours", "plain"].map(|n| folder.path().join(n));
        write(&ours, b"").unwrap();
        std::fs::write(&plain, b"").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
