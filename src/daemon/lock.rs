//! One daemon per clock: a lock file that names its holder.

#[cfg(windows)]
use std::fs;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
#[cfg(unix)]
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::place;

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The program runs already.
    #[error("dantetimesync is already running as pid {pid} (lock {}): stop that one first, or use --dry-run", .path.display())]
    Held {
        /// The holder's pid, as it wrote it.
        pid: String,
        /// The lock file.
        path: PathBuf,
    },
}

/// Holds the locks until they are dropped.
///
/// # Errors
/// When another process holds one of them. Where no lock file can be made at all, it is done without: a clock
/// that is steered beats a lock that is kept.
pub fn take() -> Result<Vec<File>, LockError> {
    #[cfg(windows)]
    let _ = fs::create_dir_all(place::data());
    take_in(&place::locks())
}

fn take_in(places: &[PathBuf]) -> Result<Vec<File>, LockError> {
    let mut taken = Vec::new();
    for path in places {
        let Some(mut file) = open(path) else { continue };
        match file.try_lock() {
            Ok(()) => {
                // Fails, and may fail, where the file is somebody else's.
                let _ = write_pid(&mut file, path);
                taken.push(file);
            }
            Err(TryLockError::WouldBlock) => return Err(held(file, path)),
            Err(TryLockError::Error(_)) => {}
        }
    }
    if taken.is_empty() {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        tracing::warn!(
            "no lock file could be made ({}): a second instance would go unnoticed",
            places.join(", ")
        );
    }
    Ok(taken)
}

/// To write where that is allowed, else to read: a file that can be read can be locked.
fn open(path: &Path) -> Option<File> {
    let written = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    written.or_else(|_| File::open(path)).ok()
}

/// The holder's pid stands in the locked file itself.
#[cfg(unix)]
fn write_pid(file: &mut File, _path: &Path) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(unix)]
fn read_pid(file: &mut File, _path: &Path) -> io::Result<String> {
    let mut pid = String::new();
    file.rewind()?;
    file.read_to_string(&mut pid)?;
    Ok(pid)
}

/// Windows lets nobody else read a file that is locked: the pid stands in another one beside it.
#[cfg(windows)]
fn write_pid(_file: &mut File, path: &Path) -> io::Result<()> {
    fs::write(path.with_extension("pid"), format!("{}\n", std::process::id()))
}

#[cfg(windows)]
fn read_pid(_file: &mut File, path: &Path) -> io::Result<String> {
    fs::read_to_string(path.with_extension("pid"))
}

fn held(mut file: File, path: &Path) -> LockError {
    let pid = read_pid(&mut file, path).unwrap_or_default();
    let pid = match pid.trim() {
        "" => "unknown".to_owned(),
        pid => pid.to_owned(),
    };
    LockError::Held { pid, path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_the_firsts_pid() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().join("missing/lock"), folder.path().join("lock")];
        let first = take_in(&places).unwrap();
        assert_eq!(first.len(), 1);
        let LockError::Held { pid, path } = take_in(&places).unwrap_err();
        assert_eq!(pid, std::process::id().to_string());
        assert_eq!(path, places[1]);
        drop(first);
        assert_eq!(take_in(&places).unwrap().len(), 1);
    }

    #[test]
    fn without_any_place_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        assert!(take_in(&[folder.path().join("missing/lock")]).unwrap().is_empty());
    }
}
