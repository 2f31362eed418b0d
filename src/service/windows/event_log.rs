//! Log lines to the event log of Windows. The steering thread only puts them into a queue.
#![allow(
    unsafe_code,
    reason = "the event log and its entry in the registry are reached by system calls only"
)]

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HANDLE};
use windows_sys::Win32::System::EventLog::{
    EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE, RegisterEventSourceW, ReportEventW,
};
use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, REG_DWORD, REG_EXPAND_SZ, RegDeleteTreeW, RegSetKeyValueW,
};
use windows_sys::core::{PCWSTR, w};

/// Lines that wait to be written; more than a start tells.
const QUEUE: usize = 256;
/// So long the end of the program waits for the last of them.
const PATIENCE: Duration = Duration::from_millis(500);
/// The event log takes 31 839 characters a string; no line of ours comes near.
const LINE_MAX: usize = 8_000;

const SOURCE: PCWSTR = w!("dantetimesync");
const KEY: PCWSTR = w!("SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\dantetimesync");
/// Every Windows has this program, whose messages with the numbers 1 to 1000 are simply the text given.
const MESSAGES: &str = "%SystemRoot%\\System32\\EventCreate.exe";
/// Errors, warnings and information.
const TYPES: u32 = 7;

static LOG: OnceLock<SyncSender<Item>> = OnceLock::new();

enum Item {
    Line(Level, String),
    Flush(SyncSender<()>),
}

/// From now on log lines go to the event log.
pub(super) fn start() {
    let (send, receive) = sync_channel(QUEUE);
    let spawned = thread::Builder::new().name("event log".to_owned()).spawn(move || write(&receive));
    if spawned.is_ok() {
        let _ = LOG.set(send);
    }
}

/// The reason of the end.
pub(super) fn error(text: &str) {
    put(Item::Line(Level::ERROR, text.to_owned()));
}

/// Waits until what was put is written, for a moment.
pub(super) fn flush() {
    let (send, receive) = sync_channel(1);
    put(Item::Flush(send));
    let _ = receive.recv_timeout(PATIENCE);
}

/// What cannot be queued is lost: a log never holds up the clock.
fn put(item: Item) {
    if let Some(log) = LOG.get() {
        let _ = log.try_send(item);
    }
}

/// Where log lines go: to the event log in a service, else to standard error.
pub(crate) const fn log_writer() -> LogWriter {
    LogWriter
}

/// Whether that is the event log.
pub(crate) fn is_event_log() -> bool {
    LOG.get().is_some()
}

/// See [`log_writer`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWriter;

/// One line, which goes out when it is dropped.
#[derive(Debug)]
pub(crate) struct Line {
    level: Level,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line;
    fn make_writer(&'a self) -> Line {
        Line { level: Level::INFO, text: Vec::new() }
    }
    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line { level: *metadata.level(), text: Vec::new() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if LOG.get().is_some() {
            let text = String::from_utf8_lossy(&self.text);
            put(Item::Line(self.level, message(&text).to_owned()));
        } else {
            let _ = io::stderr().write_all(&self.text);
        }
    }
}

/// The line without its level, which the event log shows by itself.
fn message(line: &str) -> &str {
    let line = line.trim();
    let levels = ["ERROR ", "WARN ", "INFO ", "DEBUG ", "TRACE "];
    levels.iter().find_map(|level| line.strip_prefix(level)).unwrap_or(line).trim_start()
}

fn write(items: &Receiver<Item>) {
    // SAFETY: a valid string; this computer.
    let source = unsafe { RegisterEventSourceW(std::ptr::null(), SOURCE) };
    while let Ok(item) = items.recv() {
        match item {
            Item::Line(level, text) => report(source, level, &text),
            Item::Flush(done) => drop(done.send(())),
        }
    }
}

fn report(source: HANDLE, level: Level, text: &str) {
    if source.is_null() {
        return;
    }
    let (kind, number) = match level {
        Level::ERROR => (EVENTLOG_ERROR_TYPE, 1),
        Level::WARN => (EVENTLOG_WARNING_TYPE, 2),
        _ => (EVENTLOG_INFORMATION_TYPE, 3),
    };
    let text = wide(&text.chars().filter(|c| *c != '\0').take(LINE_MAX).collect::<String>());
    let strings = [text.as_ptr()];
    let (user, data) = (std::ptr::null_mut(), std::ptr::null());
    // SAFETY: a source that was opened, and one string that ends with a zero.
    let _ = unsafe { ReportEventW(source, kind, 0, number, user, 1, 0, strings.as_ptr(), data) };
}

/// Tells Windows whose lines these are, so that it shows their text.
pub(super) fn register() -> io::Result<()> {
    let (messages, types) = (wide(MESSAGES), TYPES);
    set_value(
        w!("EventMessageFile"),
        REG_EXPAND_SZ,
        messages.as_ptr().cast(),
        messages.len().saturating_mul(2),
    )?;
    set_value(w!("TypesSupported"), REG_DWORD, (&raw const types).cast(), size_of_val(&types))
}

fn set_value(name: PCWSTR, kind: u32, data: *const core::ffi::c_void, size: usize) -> io::Result<()> {
    let size = u32::try_from(size).map_err(io::Error::other)?;
    // SAFETY: valid strings, and `size` bytes at `data`, which both callers keep.
    let error = unsafe { RegSetKeyValueW(HKEY_LOCAL_MACHINE, KEY, name, kind, data, size) };
    if error == ERROR_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(error.cast_signed())) }
}

/// Forgets it; a missing entry is as good.
pub(super) fn unregister() {
    // SAFETY: a valid string.
    let _ = unsafe { RegDeleteTreeW(HKEY_LOCAL_MACHINE, KEY) };
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_told_once() {
        assert_eq!(message(" INFO locked offset_ns=3\n"), "locked offset_ns=3");
        assert_eq!(message("WARN the clock\n"), "the clock");
        assert_eq!(message("no level"), "no level");
    }

    #[test]
    fn a_line_that_finds_no_place_is_lost_and_nobody_waits() {
        let (send, receive) = sync_channel(1);
        for _ in 0..3 {
            let _ = send.try_send(Item::Line(Level::INFO, "x".to_owned()));
        }
        drop(send);
        assert_eq!(receive.iter().count(), 1);
    }
}
