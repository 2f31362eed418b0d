//! Exit codes, from sysexits.h, which service managers and scripts know.

use crate::clock::ClockError;
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
            _ => Self::new(OS_ERROR, error),
        }
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::Interface { .. } => Self::new(NO_INPUT, error),
            NetworkError::NotPermitted { .. } => Self::not_permitted(&error.to_string()),
            _ => Self::new(OS_ERROR, error),
        }
    }
}

impl Failure {
    fn not_permitted(said: &str) -> Self {
        Self::new(
            NO_PERMISSION,
            anyhow::anyhow!(
                "{said}. Run it as root, or once: setcap cap_sys_time,cap_net_bind_service,cap_net_raw+ep \
                 $(command -v dantetimesync), or in a systemd unit: \
                 AmbientCapabilities=CAP_SYS_TIME CAP_NET_BIND_SERVICE CAP_NET_RAW"
            ),
        )
    }
}
