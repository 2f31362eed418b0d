//! Exit codes, from sysexits.h, which service managers and scripts know.

use crate::clock::ClockError;
use crate::config::file::FileError;
use crate::net::NetworkError;

/// An end that was not asked for: the code for machines and the chain of reasons for people.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub code: u8,
    /// Why, and what to do about it.
    pub error: anyhow::Error,
}

/// It did not work out, for a reason that was told.
pub const FAILED: u8 = 1;
/// Bad arguments.
pub const USAGE: u8 = 64;
/// Something the user named does not exist.
pub const NO_INPUT: u8 = 66;
/// Something else is in the way.
pub const UNAVAILABLE: u8 = 69;
/// The operating system refused.
pub const OS_ERROR: u8 = 71;
/// Try again later: the same program is running already.
pub const TEMPORARY: u8 = 75;
/// A permission is missing.
pub const NO_PERMISSION: u8 = 77;
/// The configuration file has faults.
pub const CONFIG: u8 = 78;

/// What the service's code says, for people; nothing where it is none of ours.
pub fn meaning(code: u8) -> Option<&'static str> {
    Some(match code {
        USAGE => "bad arguments",
        NO_INPUT => "the interface or a file does not exist",
        UNAVAILABLE => "another program steers the clock",
        OS_ERROR => "no usable network, or a port is taken",
        TEMPORARY => "it was running already",
        NO_PERMISSION => "a permission is missing",
        CONFIG => "the configuration file has faults",
        _ => return None,
    })
}

/// Writes an answer to standard output; a reader that has seen enough (`| head`) is no fault.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(OS_ERROR, anyhow::anyhow!("the answer cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

impl Failure {
    /// A failure with a code and a reason.
    pub fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(FAILED, error)
    }
}

impl From<ClockError> for Failure {
    fn from(error: ClockError) -> Self {
        match error {
            ClockError::NotPermitted { .. } => Self::not_permitted(&error.to_string()),
            ClockError::Disobeys { .. } => Self::new(OS_ERROR, anyhow::anyhow!("{error}. {HOW_TO_REPORT}")),
            _ => Self::new(OS_ERROR, error),
        }
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::Interface { .. } => Self::new(NO_INPUT, error),
            NetworkError::NoRawCapture => Self::new(USAGE, error),
            NetworkError::NotPermitted { .. } => Self::not_permitted(&error.to_string()),
            _ => Self::new(OS_ERROR, error),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Unreadable { ref reason, .. } => {
                let code = match reason.kind() {
                    std::io::ErrorKind::PermissionDenied => NO_PERMISSION,
                    // Too long to be one of ours.
                    std::io::ErrorKind::InvalidData => CONFIG,
                    _ => NO_INPUT,
                };
                Self::new(code, error)
            }
            FileError::NoFile { .. } => Self::new(NO_INPUT, error),
            FileError::Faulty(faults) => {
                let code = if faults.of_file() { CONFIG } else { USAGE };
                Self::new(code, anyhow::anyhow!("the settings have faults:\n{faults}"))
            }
        }
    }
}

impl Failure {
    fn not_permitted(said: &str) -> Self {
        Self::new(NO_PERMISSION, anyhow::anyhow!("{said}. {HOW_TO_PERMIT}"))
    }
}

#[cfg(unix)]
const HOW_TO_PERMIT: &str = "Run it as root, or once: setcap cap_sys_time,cap_net_bind_service,cap_net_raw+ep \
                             $(command -v dantetimesync), or in a systemd unit: \
                             AmbientCapabilities=CAP_SYS_TIME CAP_NET_BIND_SERVICE CAP_NET_RAW";
#[cfg(windows)]
const HOW_TO_PERMIT: &str = "Run it as an administrator, or as a service";

const HOW_TO_REPORT: &str = "`dantetimesync test-clock --trace FILE` tries it again and records what it does, for a \
                             report; `--dry-run` only watches";
