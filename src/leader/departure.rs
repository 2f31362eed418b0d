//! Sending, and when it happened.

#[cfg(unix)]
mod linux;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use linux::{prepare, send};
#[cfg(windows)]
pub(super) use windows::{prepare, send};

use std::io;

use crate::net::Payload;
use crate::net::platform::socket::UdpSocket;
use crate::time::{Raw, Timestamp};

/// When a message left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// At this time.
    At(Timestamp<Raw>),
    /// It left, but nobody can say when.
    #[cfg_attr(windows, expect(dead_code, reason = "the program's own stamp is always there"))]
    Unknown,
    /// It did not leave: the network is down for the moment.
    None,
}

/// Sends a message of which nobody wants to know when it left. False when the network is down for the moment.
pub(super) fn send_unstamped(socket: &UdpSocket, message: &Payload) -> io::Result<bool> {
    match socket.send(message.as_slice()) {
        Ok(()) => Ok(true),
        Err(error) if is_passing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The link is down, or the queue is full: the next message may get through.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, WouldBlock};
    matches!(error.kind(), HostUnreachable | NetworkDown | NetworkUnreachable | WouldBlock)
        || error.raw_os_error() == Some(NO_BUFFERS)
}

#[cfg(unix)]
const NO_BUFFERS: i32 = libc::ENOBUFS;
#[cfg(windows)]
const NO_BUFFERS: i32 = windows_sys::Win32::Networking::WinSock::WSAENOBUFS;
