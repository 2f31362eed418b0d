//! One daemon per clock: a lock file that names its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Where locks lie. A daemon without the right to write to /run still sees whether the first one is held, and
/// holds the second one itself.
const PLACES: [&str; 2] = ["/run/dantetimesync.lock", "/tmp/dantetimesync.lock"];

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
    take_in(&PLACES.map(PathBuf::from))
}

fn take_in(places: &[PathBuf]) -> Result<Vec<File>, LockError> {
    let mut taken = Vec::new();
    for path in places {
        let Some(mut file) = open(path) else { continue };
        match file.try_lock() {
            Ok(()) => {
                // Fails, and may fail, where the file is somebody else's.
                let _ = file.set_len(0);
                let _ = writeln!(file, "{}", std::process::id());
                taken.push(file);
            }
            Err(TryLockError::WouldBlock) => return Err(held(file, path)),
            Err(TryLockError::Error(_)) => {}
        }
    }
    if taken.is_empty() {
        tracing::warn!("no lock file could be made in /run or /tmp: a second instance would go unnoticed");
    }
    Ok(taken)
}

/// To write where that is allowed, else to read: a file that can be read can be locked.
fn open(path: &Path) -> Option<File> {
    let written = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    written.or_else(|_| File::open(path)).ok()
}

fn held(mut file: File, path: &Path) -> LockError {
    let mut pid = String::new();
    let _ = file.rewind();
    let _ = file.read_to_string(&mut pid);
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
