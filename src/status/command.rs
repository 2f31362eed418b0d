//! `dantetimesync status`: is the clock locked, how well, and if not, why.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::client::{STALE, StatusError, fetch};
use super::{Status, words};
use crate::cli;
use crate::clock::platform::raw_clock;
use crate::exit::{FAILED, Failure, print};
use crate::snapshot::State;
use crate::time::Span;

/// Nobody tells a status.
const NOT_RUNNING: u8 = 2;

/// While waiting for a lock, it is asked for this often.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Prints the status; the exit code says whether the clock is locked.
///
/// # Errors
/// When nobody tells a status, with exit code 2.
pub fn run(options: &cli::Status) -> Result<ExitCode, Failure> {
    let place =
        cli::status_place(options.socket.as_deref()).map_err(|error| Failure::new(NOT_RUNNING, error))?;
    let status = match options.wait_locked {
        Some(seconds) => wait_locked(&place, Span::from_secs(i64::from(seconds))),
        None => fetch(&place),
    };
    let status = status.map_err(|error| match error {
        StatusError::NotRunning(_) => {
            Failure::new(NOT_RUNNING, cli::doubted(error, options.socket.as_deref()))
        }
        error => Failure::new(NOT_RUNNING, error),
    })?;
    let age = status.age();
    if options.json {
        let mut text = serde_json::to_string_pretty(&status).map_err(anyhow::Error::from)?;
        text.push('\n');
        print(&text)?;
    } else {
        print(&words::screen(&status, age))?;
    }
    Ok(if is_locked(&status, age) { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn is_locked(status: &Status, age: Span) -> bool {
    status.snapshot.state == State::Locked && age <= STALE
}

/// The first status with a lock, or else the last one.
fn wait_locked(place: &Path, patience: Span) -> Result<Status, StatusError> {
    let end = raw_clock() + patience;
    loop {
        let asked = fetch(place);
        let over = raw_clock() >= end;
        match asked {
            Ok(status) if over || is_locked(&status, status.age()) => return Ok(status),
            // It may be about to start.
            Err(error) if over || !error.may_come() => return Err(error),
            Ok(_) | Err(_) => {}
        }
        #[allow(clippy::disallowed_methods, reason = "a command that waits; no clock is steered here")]
        std::thread::sleep(ASK_EVERY);
    }
}
