//! How the clock was steered before this program came: kept from the first start on, and put back when the service
//! is removed.

use std::fs;
use std::path::Path;

use tracing::warn;

use crate::clock::ClockError;
use crate::clock::windows::Found;
use crate::place;
use crate::state::file::{kept, replace};

/// Its name.
pub(crate) const FILE: &str = "clock-found.json";

/// Keeps it, unless an earlier start has.
pub(crate) fn keep(found: &Found) {
    if let Err(error) = keep_in(&place::data(), found) {
        warn!(%error, "how the clock was found could not be kept: it cannot be put back when the service is removed");
    }
}

/// Puts the clock back with `restore` as the first start found it, and forgets that. Where it is refused it stays
/// known, so that it can be tried again.
pub(crate) fn put_back(restore: impl FnOnce(Found) -> Result<(), ClockError>) -> Result<(), ClockError> {
    put_back_from(&place::data(), restore)
}

fn keep_in(folder: &Path, found: &Found) -> std::io::Result<()> {
    let file = folder.join(FILE);
    match kept::<Found>(&file)? {
        Some(_) => Ok(()),
        None => replace(&file, &serde_json::to_string(found)?),
    }
}

fn put_back_from(
    folder: &Path,
    restore: impl FnOnce(Found) -> Result<(), ClockError>,
) -> Result<(), ClockError> {
    let file = folder.join(FILE);
    let found = kept(&file).map_err(|error| ClockError::Os {
        action: "read how the clock was found",
        reason: format!("{}: {error}", file.display()),
    })?;
    found.map_or(Ok(()), restore)?;
    let _ = fs::remove_file(file);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn found(adjustment: u64) -> Found {
        Found { precise: true, adjustment, disabled: true }
    }

    /// What a clock made of numbers was put back to.
    fn put_back_of(folder: &Path) -> Option<Found> {
        let mut clock = None;
        put_back_from(folder, |found| {
            clock = Some(found);
            Ok(())
        })
        .unwrap();
        clock
    }

    #[test]
    fn the_first_start_counts_and_is_put_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("data");
        keep_in(&folder, &found(10_000_000)).unwrap();
        keep_in(&folder, &found(10_000_123)).unwrap();
        assert_eq!(put_back_of(&folder), Some(found(10_000_000)));
        assert_eq!(put_back_of(&folder), None);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn what_could_not_be_put_back_is_still_known() {
        let folder = tempfile::tempdir().unwrap();
        keep_in(folder.path(), &found(10_000_000)).unwrap();
        let refused = put_back_from(folder.path(), |_| {
            Err(ClockError::Os { action: "put the clock's rate back", reason: "no more".to_owned() })
        });
        assert!(refused.is_err());
        assert_eq!(put_back_of(folder.path()), Some(found(10_000_000)));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        // As good as a file that somebody else has locked.
        fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(keep_in(folder.path(), &found(10_000_123)).is_err());
        let refused = put_back_from(folder.path(), |_| Ok(()));
        assert!(refused.unwrap_err().to_string().contains(FILE));
        assert!(folder.path().join(FILE).is_dir());
    }

    #[test]
    fn a_file_that_says_nothing_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "").unwrap();
        keep_in(folder.path(), &found(10_000_123)).unwrap();
        assert_eq!(put_back_of(folder.path()), Some(found(10_000_123)));
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(put_back_of(folder.path()), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it does not stay for good");
    }
}
