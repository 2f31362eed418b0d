//! How the clock was steered before this program came: kept from the first start on, and put back when the service
//! is removed.

use std::fs;
use std::path::Path;

use tracing::warn;

use crate::clock::windows::Found;
use crate::place;

/// Its name.
pub(crate) const FILE: &str = "clock-found.json";

/// Keeps it, unless an earlier start has.
pub(crate) fn keep(found: &Found) {
    if let Err(error) = keep_in(&place::data(), found) {
        warn!(%error, "how the clock was found could not be kept: it cannot be put back when the service is removed");
    }
}

/// What the first start found, and no more after this.
pub(crate) fn take() -> Option<Found> {
    take_in(&place::data())
}

fn keep_in(folder: &Path, found: &Found) -> std::io::Result<()> {
    let file = folder.join(FILE);
    if file.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::write(file, serde_json::to_string(found)?)
}

fn take_in(folder: &Path) -> Option<Found> {
    let file = folder.join(FILE);
    let found = serde_json::from_str(&fs::read_to_string(&file).ok()?).ok()?;
    fs::remove_file(file).ok()?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_counts_and_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("data");
        let found = |adjustment| Found { precise: true, adjustment, disabled: true };
        keep_in(&folder, &found(10_000_000)).unwrap();
        keep_in(&folder, &found(10_000_123)).unwrap();
        assert_eq!(take_in(&folder), Some(found(10_000_000)));
        assert_eq!(take_in(&folder), None);
    }
}
