//! Asks a running program for its status.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::transport::connect;
use super::{SCHEMA_VERSION, Status};
use crate::clock::platform::raw_clock;
use crate::time::{Span, Timestamp};

/// A program that runs answers at once; on a busy computer, within this.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// A status that is older comes from a loop that stands still: it hands one over twice a second.
pub const STALE: Span = Span::from_secs(5);

/// No status is longer.
const LENGTH_MAX: usize = 1024 * 1024;

/// What tells whether the service runs.
const SERVICE_STATUS: &str =
    if cfg!(windows) { "dantetimesync service status" } else { "systemctl status dantetimesync" };

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody listens.
    #[error(
        "dantetimesync is not running: nobody listens at {} ({}, or --socket PATH if it tells its status elsewhere)",
        .0.display(), SERVICE_STATUS
    )]
    NotRunning(PathBuf),
    /// The file may not be opened.
    #[error("no permission to ask at {}: its folder, or the socket, keeps other users out", .0.display())]
    NotPermitted(PathBuf),
    /// Somebody listens and says nothing.
    #[error(
        "whoever listens at {} does not answer within {} s: it hangs, or it is not dantetimesync",
        .path.display(), .seconds
    )]
    Silent {
        /// Where.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// The connection was closed without a word.
    #[error("dantetimesync at {} has nothing to say yet: it has just been started, or is about to end", .0.display())]
    NothingYet(PathBuf),
    /// Something else was said.
    #[error("what listens at {} tells no status of dantetimesync: {problem}", .path.display())]
    Garbage {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The form is another one.
    #[error(
        "the running dantetimesync speaks version {found} of the status, this program version {SCHEMA_VERSION}"
    )]
    Version {
        /// The form that was found.
        found: u32,
    },
    /// Another refusal of the operating system.
    #[error("cannot ask at {}: {reason}", .path.display())]
    Os {
        /// Where.
        path: PathBuf,
        /// The operating system's words.
        reason: io::Error,
    },
}

impl StatusError {
    /// Whether asking again soon may help, because nobody is there yet.
    pub fn may_come(&self) -> bool {
        matches!(self, Self::NotRunning(_) | Self::NothingYet(_))
    }
}

/// The status as it is told at `path`, within [`PATIENCE`] whatever is there.
///
/// # Errors
/// When nobody tells one; the error says what to do.
pub fn fetch(path: &Path) -> Result<Status, StatusError> {
    let (sender, answer) = channel();
    let asked = path.to_owned();
    // In a thread of its own, because not even connecting ends by itself where a server hangs.
    let asking = thread::Builder::new().spawn(move || {
        let _ = sender.send(ask(&asked));
    });
    if let Err(reason) = asking {
        return Err(StatusError::Os { path: path.to_owned(), reason });
    }
    answer.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(silent(path)))
}

/// The same without a limit for the whole: where a server hangs this may take longer, or not end.
///
/// # Errors
/// When nobody tells one; the error says what to do.
pub fn ask(path: &Path) -> Result<Status, StatusError> {
    let text = read(path).map_err(|reason| {
        let path = path.to_owned();
        match reason.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => StatusError::NotRunning(path),
            io::ErrorKind::PermissionDenied => StatusError::NotPermitted(path),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => silent(&path),
            io::ErrorKind::FileTooLarge => StatusError::Garbage { path, problem: reason.to_string() },
            _ => StatusError::Os { path, reason },
        }
    })?;
    parse(path, &text)
}

fn silent(path: &Path) -> StatusError {
    StatusError::Silent { path: path.to_owned(), seconds: PATIENCE.as_secs() }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut connection = connect(path)?;
    connection.set_time_limit(PATIENCE)?;
    let mut text = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let length = connection.read(&mut piece)?;
        if length == 0 {
            return Ok(text);
        }
        text.extend_from_slice(piece.get(..length).unwrap_or_default());
        if text.len() > LENGTH_MAX {
            let problem = format!("it is longer than {LENGTH_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
        }
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<Status, StatusError> {
    #[derive(serde::Deserialize)]
    struct Form {
        schema_version: u32,
    }
    if text.is_empty() {
        return Err(StatusError::NothingYet(path.to_owned()));
    }
    let garbage =
        |error: serde_json::Error| StatusError::Garbage { path: path.to_owned(), problem: error.to_string() };
    let Form { schema_version } = serde_json::from_slice(text).map_err(garbage)?;
    if schema_version != SCHEMA_VERSION {
        return Err(StatusError::Version { found: schema_version });
    }
    serde_json::from_slice(text).map_err(garbage)
}

impl Status {
    /// How old it is, on the raw timeline that both processes share.
    pub fn age(&self) -> Span {
        raw_clock() - Timestamp::from_ns(self.snapshot.raw_ns)
    }
}
