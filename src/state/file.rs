//! The state file on the disk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use tracing::{debug, warn};

use super::SavedState;
use crate::place::new_beside;

/// Nothing that this program wrote is longer.
const LENGTH_MAX: u64 = 64 * 1024;

/// Reads the state at start and writes it now and then. A file that cannot be read or written costs one warning
/// and nothing else.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    writing: Option<JoinHandle<io::Result<()>>>,
    told: bool,
}

impl StateFile {
    /// The file at `path`, which need not exist.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), writing: None, told: false }
    }

    /// What an earlier run of the program left, if it can be used.
    pub fn read(&self) -> Option<SavedState> {
        let text = match read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!("the state file {} is not used: {error}", self.path.display());
                return None;
            }
        };
        match SavedState::from_json(&text) {
            Ok(state) => Some(state),
            Err(error) => {
                warn!("the state file {} is not used: {error}", self.path.display());
                None
            }
        }
    }

    /// Writes the state beside the loop, which must not wait for a disk: a thread of its own does it and ends.
    /// While an earlier one still writes, this state is left out.
    pub fn write(&mut self, state: &SavedState) {
        if self.writing.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        self.finish();
        let (path, text) = (self.path.clone(), state.to_json());
        match thread::Builder::new().name("state".to_owned()).spawn(move || replace(&path, &text)) {
            Ok(thread) => self.writing = Some(thread),
            Err(error) => self.tell(&error),
        }
    }

    /// Writes the last state before the program ends, and waits until it is on the disk.
    pub fn write_last(&mut self, state: &SavedState) {
        self.finish();
        if let Err(error) = replace(&self.path, &state.to_json()) {
            self.tell(&error);
        }
    }

    fn finish(&mut self) {
        match self.writing.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => self.tell(&error),
            Some(Ok(Ok(()))) => debug!(path = %self.path.display(), "state saved"),
            Some(Err(_)) | None => {}
        }
    }

    fn tell(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            warn!(
                "the state file {} cannot be written ({error}): after a restart everything is learned anew. Name \
                 another one with --state-file FILE, or none",
                self.path.display()
            );
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(LENGTH_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length <= LENGTH_MAX) {
        Ok(text)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {LENGTH_MAX} bytes")))
    }
}

/// What was kept by [`replace`]; nothing where there is no such file, or one that says nothing, as a loss of power may
/// leave it. One that may be good and cannot be read is an error.
#[cfg(windows)]
pub(crate) fn kept<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match read(path) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whoever reads the file, even after a loss of power, finds the old content or the new one, never a part.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let new = new_beside(path);
    let written = write_synced(&new, text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written?;
    // The rename itself lasts only once its folder is on the disk; a file system that cannot do it is left alone.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::tests::saved;
    use super::*;

    fn file(name: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        (folder, path)
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_left() {
        let (folder, path) = file("new/folder/state.json");
        let mut state = StateFile::new(&path);
        assert_eq!(state.read(), None);
        state.write(&SavedState { raw_ns: 1, ..saved() });
        state.write_last(&saved());
        assert_eq!(state.read(), Some(saved()));
        assert_eq!(fs::read_dir(folder.path().join("new/folder")).unwrap().count(), 1);
        assert!(!state.told);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_once_and_survived() {
        let (_folder, path) = file("state.json");
        // A folder stands where the file should be.
        fs::create_dir(&path).unwrap();
        fs::write(path.join("full"), "").unwrap();
        let mut state = StateFile::new(&path);
        state.write(&saved());
        state.finish();
        assert!(state.told);
        state.write_last(&saved());
        assert_eq!(state.read(), None);
    }

    #[test]
    fn what_is_too_long_or_no_text_is_not_read() {
        let (_folder, path) = file("state.json");
        let mut long = saved().to_json();
        long.push_str(&" ".repeat(70_000));
        fs::write(&path, long).unwrap();
        assert_eq!(StateFile::new(&path).read(), None);
        assert!(read(&path).unwrap_err().to_string().contains("65536"));
        fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
        assert_eq!(StateFile::new(&path).read(), None);
    }
}
