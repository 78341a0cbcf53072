//! The lock of a folder that one process at a time writes.
//!
//! The system frees the lock of a process that died, so that a file left behind blocks nobody.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::atomic;
use crate::store::file::{bad, io_error};
use crate::{Error, Result};

const NAME: &str = ".lock";

/// The most bytes that are read of another process's lock.
const MAX_TEXT: u64 = 64;

/// A folder held by this process until the value is dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// The locked file; none on a file system without locks.
    file: Option<File>,
    /// True if the folder was made for the lock. It is removed if nothing else came into it.
    made_folder: bool,
}

impl Lock {
    /// Locks `folder`, which is made if it does not exist, and removes the scratch files that dead
    /// processes left in it. On a file system without locks nothing is locked.
    ///
    /// # Errors
    /// Fails with [`Error::BadFile`] that names the process that holds the folder, or if `folder`
    /// is no folder, or for a link in it. Fails with [`Error::Io`] if nothing can be written in it.
    pub fn take(folder: &Path) -> Result<Self> {
        let made_folder = !folder.is_dir();
        if made_folder {
            atomic::create_folder(folder)?;
        }

        refuse_links(folder)?;
        let path = folder.join(NAME);
        let file = acquire(&path)?;
        atomic::sweep(folder, Duration::ZERO);
        Ok(Self { path, file, made_folder })
    }
}

impl Drop for Lock {
    /// Removes the file while it is still locked. A file that cannot be removed blocks nobody.
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
        if let (true, Some(folder)) = (self.made_folder, self.path.parent()) {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Refuses a folder with a link in it: a run or a data set from a stranger must not lead what is
/// written into it elsewhere.
fn refuse_links(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|source| io_error(folder, source))?;
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            let reason = "a link, which no run and no data set has; remove it or copy its target";
            return Err(bad(&entry.path(), reason));
        }
    }
    Ok(())
}

/// The locked file at `path`, which names this process.
fn acquire(path: &Path) -> Result<Option<File>> {
    loop {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(|source| io_error(path, source))?;

        match file.try_lock() {
            // The former holder removed the file between the opening and the locking.
            Ok(()) if !is_at(&file, path) => {}
            Ok(()) => {
                sign(&mut file).map_err(|source| atomic::unwritten(path, source))?;
                return Ok(Some(file));
            }
            Err(TryLockError::WouldBlock) => return Err(held(&mut file, path)),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

/// Writes process number and time, in seconds since 1970.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    writeln!(file, "{} {now}", std::process::id())
}

/// The error of a folder that another process holds.
fn held(file: &mut File, path: &Path) -> Error {
    let mut text = String::new();
    let _ = file.take(MAX_TEXT).read_to_string(&mut text);
    let mut words = text.split_whitespace();
    let process = words.next().map_or("another process".into(), |id| format!("process {id}"));
    let begun = words.next().and_then(|word| word.parse().ok()).map(Duration::from_secs);
    let age = begun.and_then(|begun| (UNIX_EPOCH + begun).elapsed().ok());
    let age = age.map_or(String::new(), |age| format!(", begun {} s ago", age.as_secs()));
    bad(path, format!("{process}{age}, is writing this folder; wait for it or choose another"))
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |about: io::Result<std::fs::Metadata>| about.ok().map(|a| (a.dev(), a.ino()));
    number(file.metadata()) == number(std::fs::metadata(path))
}

/// Other systems remove no file that is open.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    #[cfg(unix)]
    fn a_link_in_the_folder_is_refused_and_its_target_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [run, victim] = ["run", "victim"].map(|name| folder.path().join(name));
        std::fs::create_dir(&run).unwrap();
        std::fs::write(&victim, "kept").unwrap();
        std::os::unix::fs::symlink(&victim, run.join(NAME)).unwrap();
        let error = Lock::take(&run).unwrap_err().to_string();
        assert!(error.contains("a link"), "{error}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
    }
    use super::*;

    #[test]
    fn a_folder_is_held_once_and_free_afterwards() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("run");
        let lock = Lock::take(&folder).unwrap();
        let error = Lock::take(&folder).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        assert!(!folder.exists());
        std::fs::write(&folder, b"").unwrap();
        assert!(Lock::take(&folder).unwrap_err().to_string().contains("a folder expected"));
    }

    #[test]
    fn what_dead_processes_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path(NAME), b"4000000000 12345\n").unwrap();
        std::fs::write(path(".phys-instruct-abcdef"), b"half").unwrap();
        std::fs::write(path("shard-00000.npy"), b"").unwrap();
        let alive = File::create(path(".phys-instruct-living")).unwrap();
        alive.lock().unwrap();
        drop(Lock::take(folder.path()).unwrap());
        let exists = [NAME, ".phys-instruct-abcdef", "shard-00000.npy", ".phys-instruct-living"]
            .map(|name| path(name).exists());
        assert_eq!(exists, [false, false, true, true]);
    }
}
