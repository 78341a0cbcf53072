//! Atomic file replacement: sibling scratch file, fsync, rename, fsync of the folder.
//!
//! POSIX `rename(2)` replaces its target in one step within a file system; the two fsyncs order
//! content before name and name before success, so that a crash at any moment leaves the old file
//! or the new one.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::Result;
use crate::store::file::{bad, io_error};

/// How the names of scratch files begin.
const SCRATCH: &str = ".scratch-";

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
/// [`crate::Error::BadFile`] where there is something else of this name, [`crate::Error::Io`].
pub fn create_folder(folder: &Path) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        return Err(bad(folder, "a folder expected, which this is not; choose another name"));
    }
    std::fs::create_dir_all(folder)
        .and_then(|()| sync_folder(&folder_of(folder)))
        .map_err(|source| io_error(folder, source))
}

/// Makes the folder that the file at `path` will lie in and tries to write there, so that a name
/// that cannot be written is refused before any work is done.
///
/// # Errors
/// [`crate::Error::Io`], also for what is no ordinary file, and those of [`create_folder`].
pub fn make_room(path: &Path) -> Result<()> {
    let folder = folder_of(&target(path).map_err(|source| io_error(path, source))?);
    if !folder.is_dir() {
        create_folder(&folder)?;
    }
    scratch_builder().tempfile_in(&folder).map(drop).map_err(|source| io_error(path, source))
}

/// Removes the scratch files that dead processes left in `folder`.
pub(crate) fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(SCRATCH);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let free = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if free {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The file that `path` means, through links: an ordinary one, or one that is not there yet.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    // As many links as Linux follows.
    for _ in 0..40 {
        let Ok(next) = std::fs::read_link(&path) else { break };
        path = folder_of(&path).join(next);
    }
    match std::fs::metadata(&path) {
        Ok(about) if !about.is_file() => {
            let what = if about.is_dir() { "a folder" } else { "no ordinary file" };
            Err(io::Error::other(format!("this is {what}; choose the name of a file")))
        }
        _ => Ok(path),
    }
}

fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let path = target(path)?;
    let folder = folder_of(&path);
    let scratch = scratch_builder().tempfile_in(&folder)?;
    // Tells `sweep` that its process lives. A file system without locks keeps what it has.
    let _ = scratch.as_file().try_lock();
    let mut out = BufWriter::new(scratch.as_file());
    fill(&mut out)?;
    out.flush()?;
    drop(out);
    scratch.as_file().sync_all()?;
    scratch.persist(&path)?;
    sync_folder(&folder)
}

#[cfg(unix)]
fn scratch_builder() -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    // Scratch files are private by default; what is renamed into place is an ordinary file under
    // the user's umask.
    builder.prefix(SCRATCH).permissions(std::fs::Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn scratch_builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(SCRATCH);
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

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_what_is_no_file_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [link, file] = ["link", "file"].map(|name| folder.path().join(name));
        std::os::unix::fs::symlink("file", &link).unwrap();
        make_room(&link).unwrap();
        assert_eq!(names(folder.path()), ["link"]);
        write(&link, b"one").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"one");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        for odd in [Path::new("/dev/null"), folder.path()] {
            for answer in [make_room(odd), write(odd, b"")] {
                assert!(answer.unwrap_err().to_string().contains("choose the name of a file"));
            }
        }
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
