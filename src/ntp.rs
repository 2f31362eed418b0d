//! NTP: the date. Bytes in `wire`, decisions in `client`, sockets in `source`.

pub mod client;
pub mod source;
pub mod wire;

use std::net::SocketAddrV4;

use crate::clock::{StampFault, Timeline};
use crate::net::{Payload, Pollable, Stamp};

/// Which of the configured servers, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct ServerIndex(pub usize);

/// What happened on the way to the NTP servers.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are datagrams, and those stay off the heap")]
pub enum NtpEvent {
    /// A datagram from a server.
    Response {
        /// The server whose socket it came to.
        server: ServerIndex,
        /// Who sent it.
        source: SocketAddrV4,
        /// When it arrived, or why that is not known.
        stamp: Result<Stamp, StampFault>,
        /// What it said.
        payload: Payload,
    },
    /// The kernel's transmit stamp of the last request to this server: better than the one `send` returned.
    Transmitted {
        /// The server.
        server: ServerIndex,
        /// When the request left.
        stamp: Stamp,
    },
    /// Sending or receiving failed (port unreachable, no route, name not found).
    Failed {
        /// The server.
        server: ServerIndex,
        /// Its address, where that is known.
        address: Option<SocketAddrV4>,
        /// The operating system's or the resolver's words.
        reason: String,
    },
    /// The server's name leads to another address now: what was learned of the old one says nothing of it.
    Another {
        /// The server.
        server: ServerIndex,
    },
}

impl NtpEvent {
    /// The server that it is about.
    pub const fn server(&self) -> ServerIndex {
        match self {
            Self::Response { server, .. }
            | Self::Transmitted { server, .. }
            | Self::Failed { server, .. }
            | Self::Another { server } => *server,
        }
    }

    /// That server's address, where it is known.
    pub const fn address(&self) -> Option<SocketAddrV4> {
        match self {
            Self::Response { source, .. } => Some(*source),
            Self::Failed { address, .. } => *address,
            Self::Transmitted { .. } | Self::Another { .. } => None,
        }
    }
}

/// The way to the NTP servers, or one made of numbers. Never blocks.
#[cfg_attr(test, mockall::automock)]
pub trait NtpSource {
    /// Adds the sockets to wait for to `wanted`, which the caller keeps: waiting does not allocate.
    fn pollables(&self, wanted: &mut Vec<Pollable>);

    /// Hears what the wait found at its sockets. Only what was found ready is read afterwards.
    fn mark_ready(&mut self, ready: &[Pollable]);

    /// Sends a request. Returns when it left, as well as that is known now.
    ///
    /// # Errors
    /// When the name is not resolved yet, or the operating system refuses; the caller tries again later.
    fn send(&mut self, server: ServerIndex, request: &[u8], timeline: &Timeline) -> Result<Stamp, NtpError>;

    /// The next event that does not need waiting, if any.
    fn next_event(&mut self, timeline: &Timeline) -> Option<NtpEvent>;
}

/// Why an NTP server could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NtpError {
    /// The name is still being looked up.
    #[error("the address of {name} is still being looked up")]
    Resolving {
        /// The name.
        name: String,
    },
    /// There is no such name, or no name server.
    #[error("{name} has no address: {reason}")]
    Unresolved {
        /// The name.
        name: String,
        /// The resolver's words.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot send to {name}: {reason}")]
    Os {
        /// The name or address.
        name: String,
        /// The operating system's words.
        reason: String,
    },
}
