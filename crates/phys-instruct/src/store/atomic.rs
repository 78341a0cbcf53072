//! Atomic file replacement: sibling scratch file, fsync, rename, fsync of the folder.
//!
//! POSIX `rename(2)` replaces its target in one step within a file system; the two fsyncs order
//! content before name and name before success, so that a crash at any moment leaves the old file
//! or the new one.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::store::file::{bad, io_error};
use crate::{Error, Result};

/// The prefix of the names of scratch files.
const SCRATCH: &str = ".phys-instruct-";
/// The age at which a scratch file in a user's folder counts as a dead process's. A younger one may
/// be between its creation and its lock.
const OLD: Duration = Duration::from_secs(3600);

/// Replaces the file at `path` by `bytes`.
///
/// # Errors
/// Fails with [`crate::Error::Io`]; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Replaces the file at `path` by the output of `fill`.
///
/// # Errors
/// Fails with [`crate::Error::Io`], also if `fill` fails; the old file is then untouched.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<()> {
    replace(path, fill).map_err(|source| unwritten(path, source))
}

/// Appends one line. A crash can leave its first part without the line break. Readers drop that
/// part, and the next line begins anew.
///
/// # Errors
/// Fails with [`crate::Error::Io`]; the file is then as it was.
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    append(path, line).map_err(|source| unwritten(path, source))
}

/// Renames `from` to `to` in the same folder and makes the new name durable.
///
/// # Errors
/// Fails with [`crate::Error::Io`]; both files are then as they were.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to)
        .and_then(|()| sync_folder(&folder_of(to)))
        .map_err(|source| io_error(to, source))
}

/// Creates `folder` and its parents, durably.
///
/// # Errors
/// Fails with [`crate::Error::BadFile`] if another kind of file has this name, and with
/// [`crate::Error::Io`].
pub fn create_folder(folder: &Path) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        return Err(bad(folder, "a folder expected, which this is not; choose another name"));
    }
    std::fs::create_dir_all(folder)
        .and_then(|()| sync_folder(&folder_of(folder)))
        .map_err(|source| io_error(folder, source))
}

/// Makes the parent folder of `path` and tries to write there, so that a name that cannot be
/// written is refused before any work is done. Removes the scratch files that dead processes left
/// there an hour ago or more.
///
/// # Errors
/// Fails with [`crate::Error::Io`], also for anything but an ordinary file, and as
/// [`create_folder`] does.
pub fn make_room(path: &Path) -> Result<()> {
    let folder = folder_of(&target(path).map_err(|source| io_error(path, source))?);
    if !folder.is_dir() {
        create_folder(&folder)?;
    }
    sweep(&folder, OLD);
    scratch_builder().tempfile_in(&folder).map(drop).map_err(|source| io_error(path, source))
}

/// Removes the scratch files of at least that age that dead processes left in `folder`.
pub(crate) fn sweep(folder: &Path, age: Duration) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(SCRATCH);
        let Some(about) = entry.metadata().ok().filter(|about| ours && about.is_file()) else {
            continue;
        };
        let found = about.modified().ok().and_then(|time| time.elapsed().ok());
        let old = age.is_zero() || found.is_some_and(|found| found >= age);
        if old && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The file that `path` means, through links: an ordinary one, or one that does not exist yet.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    // Linux follows at most 40 links too.
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

/// The error of a file that keeps its former content. If the disk is full, it says what to do.
pub(crate) fn unwritten(path: &Path, source: io::Error) -> Error {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let short = matches!(source.kind(), FileTooLarge | QuotaExceeded | StorageFull);
    if !short {
        return io_error(path, source);
    }
    let reason = format!("{source}; what was there is kept: make room, or choose a file elsewhere");
    io_error(path, io::Error::new(source.kind(), reason))
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().read(true).append(true).create(true).open(path)?;
    let len = file.seek(io::SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if len > 0 {
        file.seek(io::SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }

    let begin = if last == *b"\n" { "" } else { "\n" };
    file.write_all(format!("{begin}{line}\n").as_bytes()).inspect_err(|_| {
        // Half a line is removed again; if that fails, readers drop it.
        let _ = file.set_len(len);
    })
}

fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let path = target(path)?;
    let folder = folder_of(&path);
    let scratch = scratch_builder().tempfile_in(&folder)?;
    // The lock tells `sweep` that the process lives. A file system without locks does without.
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
    // Scratch files are private by default. The file renamed into place is an ordinary one under
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

/// The folder of a file. That of a relative bare name is the current one, for which `parent`
/// returns "".
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

    /// A writer whose disk is full after some bytes.
    struct Full<'a, W> {
        out: &'a mut W,
        room: usize,
    }

    impl<W: Write> Write for Full<'_, W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let written = self.out.write(&bytes[..self.room.min(bytes.len())])?;
            self.room -= written;
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.out.flush()
        }
    }

    #[test]
    fn a_disk_that_is_full_at_any_byte_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, b"one").unwrap();
        let text = b"a longer text than before";
        for room in 0..text.len() {
            let failed = write_with(&path, |out| Full { out, room }.write_all(text));
            let error = failed.unwrap_err().to_string();
            assert!(error.contains("/x: ") && error.contains("make room"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), b"one", "{room} bytes");
            assert_eq!(names(folder.path()), ["x"], "{room} bytes");
        }
        write_with(&path, |out| Full { out, room: text.len() }.write_all(text)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), text);
    }

    #[test]
    fn a_rename_that_fails_leaves_no_scratch_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        // The name becomes a folder's while the content is being written.
        let failed = write_with(&path, |_| std::fs::create_dir(&path));
        assert!(failed.unwrap_err().to_string().contains("/x: "));
        assert_eq!(names(folder.path()), ["x"]);

        let other = folder.path().join("y");
        write(&other, b"one").unwrap();
        assert!(rename(&other, &path).unwrap_err().to_string().contains("/x: "));
        assert_eq!(std::fs::read(&other).unwrap(), b"one");

        // The whole folder goes.
        let inner = folder.path().join("z");
        std::fs::create_dir(&inner).unwrap();
        let failed = write_with(&inner.join("x"), |_| std::fs::remove_dir_all(&inner));
        assert!(failed.unwrap_err().to_string().contains("z/x: "));
        assert_eq!(names(folder.path()), ["x", "y"]);
    }

    #[test]
    fn what_a_dead_process_left_beside_a_file_goes_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let old = std::time::SystemTime::now() - 2 * OLD;
        for (name, is_old) in [(".phys-instruct-a", true), (".phys-instruct-b", false), ("c", true)]
        {
            let file = File::create(path(name)).unwrap();
            if is_old {
                file.set_modified(old).unwrap();
            }
        }
        make_room(&path("x")).unwrap();
        assert_eq!(names(folder.path()), [".phys-instruct-b", "c"]);
    }

    #[test]
    fn a_line_after_a_torn_one_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        append_line(&path, "one").unwrap();
        append_line(&path, "two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        std::fs::write(&path, b"one\ntw").unwrap();
        append_line(&path, "two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntw\ntwo\n");
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
