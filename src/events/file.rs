//! The history of events on the disk: a line of JSON each, the last thousand of them.
//!
//! Events come rarely, and a disk can take seconds, so a thread of its own writes them. A line is appended with
//! one write; when there are a quarter too many, the file is replaced by one with the last thousand. A line that
//! cannot be read, cut off by a loss of power or of another release, is skipped and goes with the next replacement.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use tracing::{debug, warn};

use super::Event;
use crate::state::file::replace;

/// How many events are kept …
pub const KEPT: usize = 1_000;
/// … and how many there may be before the oldest go.
const LINES_MAX: usize = KEPT + KEPT / 4;
/// What is read of a file, from its end: 1250 lines of the longest events are shorter.
const BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Events that may wait for the disk; more are left out.
const QUEUE: usize = 64;
/// The thread needs little.
const STACK: usize = 128 * 1024;

/// Writes events beside the loop, which must not wait for a disk. A file that cannot be written costs one warning
/// and nothing else.
#[derive(Debug)]
pub struct EventFile {
    queue: Option<SyncSender<Event>>,
    thread: Option<JoinHandle<()>>,
}

impl EventFile {
    /// The file at `path`; it and its folder are made where they are missing.
    pub fn open(path: &Path) -> Self {
        let (queue, events) = sync_channel(QUEUE);
        let recorder = Recorder { path: path.to_owned(), lines: None, told: false };
        match thread::Builder::new()
            .name("events".to_owned())
            .stack_size(STACK)
            .spawn(move || recorder.record(&events))
        {
            Ok(thread) => Self { queue: Some(queue), thread: Some(thread) },
            Err(error) => {
                warn!("no thread to write the event history: {error}; it is not kept");
                Self { queue: None, thread: None }
            }
        }
    }

    /// Hands an event over; it never waits.
    pub fn write(&self, event: Event) {
        let refused = self.queue.as_ref().and_then(|queue| queue.try_send(event).err());
        if let Some(error) = refused {
            debug!(%error, "an event was not kept");
        }
    }
}

impl Drop for EventFile {
    /// Waits until what was handed over is written.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Recorder {
    path: PathBuf,
    /// Lines of the file, once they were counted.
    lines: Option<usize>,
    told: bool,
}

impl Recorder {
    fn record(mut self, events: &Receiver<Event>) {
        while let Ok(event) = events.recv() {
            if let Err(error) = self.append(&event)
                && !std::mem::replace(&mut self.told, true)
            {
                warn!(
                    "the event history {} cannot be written ({error}): it is not kept. Name another file with \
                     --event-file FILE, or none",
                    self.path.display()
                );
            }
        }
    }

    fn append(&mut self, event: &Event) -> io::Result<()> {
        let lines = match self.lines {
            Some(lines) => lines,
            None => self.prepare()?,
        };
        let mut line = serde_json::to_string(event)?;
        line.push('\n');
        OpenOptions::new().append(true).create(true).open(&self.path)?.write_all(line.as_bytes())?;
        self.lines = Some(lines.saturating_add(1));
        if lines >= LINES_MAX {
            self.lines = Some(compact(&self.path)?);
        }
        Ok(())
    }

    /// Makes the folder, counts the lines, and ends one that was cut off.
    fn prepare(&self) -> io::Result<usize> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let bytes = match tail(&self.path) {
            Ok((bytes, whole)) => {
                if !whole {
                    return compact(&self.path);
                }
                bytes
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            OpenOptions::new().append(true).open(&self.path)?.write_all(b"\n")?;
        }
        Ok(bytes.split(|octet| *octet == b'\n').count())
    }
}

/// Replaces the file by one with its last events; how many those are.
fn compact(path: &Path) -> io::Result<usize> {
    let events = read(path)?;
    let from = events.len().saturating_sub(KEPT);
    let kept = events.get(from..).unwrap_or_default();
    let mut text = String::new();
    for event in kept {
        text.push_str(&serde_json::to_string(event)?);
        text.push('\n');
    }
    replace(path, &text)?;
    Ok(kept.len())
}

/// The events of a file, the oldest first; lines that cannot be read are left out.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Event>> {
    let (bytes, _) = tail(path)?;
    let lines = bytes.split(|octet| *octet == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The end of a file, and whether that is all of it.
fn tail(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let whole = length <= BYTES_MAX;
    if !whole {
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)))?;
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok((bytes, whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventKind;
    use crate::time::Timestamp;

    fn event(number: i64) -> Event {
        Event::new(Timestamp::from_ns(number), EventKind::Step, None, "stepped the clock")
    }

    fn write(path: &Path, numbers: std::ops::Range<i64>) {
        let mut recorder = Recorder { path: path.to_owned(), lines: None, told: false };
        numbers.for_each(|number| recorder.append(&event(number)).unwrap());
    }

    fn numbers(path: &Path) -> Vec<i64> {
        read(path).unwrap().iter().map(|event| event.unix_ns).collect()
    }

    #[test]
    fn what_is_written_is_read_and_a_later_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/events.jsonl");
        for number in 0..3 {
            let file = EventFile::open(&path);
            file.write(event(number));
        }
        assert_eq!(read(&path).unwrap(), [event(0), event(1), event(2)]);
    }

    #[test]
    fn the_last_thousand_are_kept_and_the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        write(&path, 0..1_250);
        assert_eq!(numbers(&path).len(), 1_250);
        write(&path, 1_250..1_251);
        assert_eq!(numbers(&path), (251..1_251).collect::<Vec<_>>());
        write(&path, 1_251..4_000);
        let kept = numbers(&path);
        assert!(
            kept.len() >= KEPT && kept.len() <= LINES_MAX && kept.last() == Some(&3_999),
            "{}",
            kept.len()
        );
    }

    #[test]
    fn unreadable_lines_are_skipped_and_a_torn_one_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let good = serde_json::to_string(&event(1)).unwrap();
        let future = good.replace("step\"", "of_the_future\"").replace("{", "{\"new\":1,");
        let mut bytes = format!("{good}\nnonsense\n{{}}\n{future}\n\n").into_bytes();
        bytes.extend([0xff, 0xfe, b'\n']);
        bytes.extend(&good.as_bytes()[..30]);
        fs::write(&path, bytes).unwrap();
        write(&path, 2..3);
        assert_eq!(numbers(&path), [1, 1, 2]);
        assert_eq!(read(&path).unwrap()[1].kind, EventKind::Other);
    }

    #[test]
    fn a_huge_file_is_cut_down_and_a_place_that_cannot_be_written_is_survived() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, vec![b'x'; 5_000_000]).unwrap();
        write(&path, 7..8);
        assert_eq!(numbers(&path), [7]);
        assert!(fs::metadata(&path).unwrap().len() < 1_000);
        let file = EventFile::open(folder.path());
        file.write(event(1));
        drop(file);
    }
}
