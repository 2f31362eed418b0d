//! One daemon per clock: a lock file that names its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Where the lock lies. /run is the right place; a daemon without the right to write there uses the second.
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

/// Holds the lock until it is dropped.
///
/// # Errors
/// When another process holds it. Where no lock file can be made at all, the lock is done without: a clock
/// that is steered beats a lock that is kept.
pub fn take() -> Result<Option<File>, LockError> {
    take_in(&PLACES.map(PathBuf::from))
}

fn take_in(places: &[PathBuf]) -> Result<Option<File>, LockError> {
    for path in places {
        let Ok(mut file) = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
        else {
            continue;
        };
        return match file.try_lock() {
            Ok(()) => {
                let _ = file.set_len(0);
                let _ = writeln!(file, "{}", std::process::id());
                Ok(Some(file))
            }
            Err(TryLockError::WouldBlock) => Err(held(file, path)),
            Err(TryLockError::Error(_)) => continue,
        };
    }
    tracing::warn!("no lock file could be made in /run or /tmp: a second instance would go unnoticed");
    Ok(None)
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
        assert!(first.is_some());
        let LockError::Held { pid, path } = take_in(&places).unwrap_err();
        assert_eq!(pid, std::process::id().to_string());
        assert_eq!(path, places[1]);
        drop(first);
        assert!(take_in(&places).unwrap().is_some());
    }

    #[test]
    fn without_any_place_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        assert!(take_in(&[folder.path().join("missing/lock")]).unwrap().is_none());
    }
}
