//! The network: what a backend must do, and the events it hands over.

pub mod capture;
pub mod control;
#[cfg(target_os = "linux")]
pub(crate) mod ethtool;
pub mod filter;
#[cfg(unix)]
pub(crate) mod holder;
pub mod interface;
#[cfg(unix)]
pub mod linux;
pub mod packet;
#[cfg(unix)]
pub(crate) mod socket;
pub mod stamping;
#[cfg(target_os = "linux")]
pub(crate) mod tap;
#[cfg(windows)]
pub mod windows;

/// The network of the operating system that the program was built for. All systems offer the same: a
/// [`RealPtpNetwork`](platform::RealPtpNetwork), and the UDP sockets it is made of.
pub mod platform {
    #[cfg(unix)]
    pub use super::linux::RealPtpNetwork;
    #[cfg(windows)]
    pub use super::windows::RealPtpNetwork;
    #[cfg(windows)]
    pub(crate) use super::windows::{socket, socket::convert};
    #[cfg(unix)]
    pub(crate) use super::{linux::convert, socket};
}

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::clock::{StampFault, Timeline};
use crate::config::DEFAULT_SUBDOMAIN;
use crate::ptp;
use crate::time::{Raw, Span, Timestamp};
pub use capture::{Capture, Way};
pub use interface::Interface;

/// PTP event messages (Sync, Delay_Req) arrive on this UDP port.
pub const EVENT_PORT: u16 = 319;
/// PTP general messages (Follow_Up, Delay_Resp, Management) arrive on this UDP port.
pub const GENERAL_PORT: u16 = 320;

/// The longest payload that is kept; longer datagrams are cut, which every message we use survives.
pub const PAYLOAD_MAX: usize = 256;

/// A moment on the raw timeline, how well it is known, and who took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The moment.
    pub at: Timestamp<Raw>,
    /// How far the moment can be off because of the conversion to the raw timeline.
    pub uncertainty: Span,
    /// Who took it.
    pub source: StampSource,
}

/// Who took a stamp; from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampSource {
    /// The network card.
    Hardware,
    /// The kernel, when the card's interrupt was served.
    Kernel,
    /// This program, after it woke up.
    User,
}

/// Which of the two PTP ports a datagram came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// 319: the messages whose time of arrival matters.
    Event,
    /// 320: the rest.
    General,
}

/// The bytes of a datagram, without the heap.
#[derive(Clone, Copy)]
pub struct Payload {
    length: usize,
    bytes: [u8; PAYLOAD_MAX],
}

impl Payload {
    /// Copies `bytes`, cut to [`PAYLOAD_MAX`].
    pub fn new(bytes: &[u8]) -> Self {
        let mut payload = Self { length: bytes.len().min(PAYLOAD_MAX), bytes: [0; PAYLOAD_MAX] };
        if let (Some(to), Some(from)) = (payload.bytes.get_mut(..payload.length), bytes.get(..payload.length))
        {
            to.copy_from_slice(from);
        }
        payload
    }
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}

/// A datagram as it came from the wire.
#[derive(Debug, Clone, Copy)]
pub struct Datagram {
    /// The operating system's number of the interface it came by.
    pub interface: u32,
    /// The port it came to.
    pub port: Port,
    /// Who sent it.
    pub source: SocketAddrV4,
    /// When it arrived, or why that is not known.
    pub stamp: Result<Stamp, StampFault>,
    /// What it said.
    pub payload: Payload,
}

/// The receipt of a send: it can be redeemed once for the transmit stamp, never copied.
#[derive(Debug, PartialEq, Eq)]
pub struct SendToken(u32);

impl SendToken {
    /// The receipt with this number; only a backend makes them.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
    /// The number that the transmit stamp will carry.
    pub const fn number(&self) -> u32 {
        self.0
    }
}

/// What happened on the network.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are datagrams, and those stay off the heap")]
pub enum NetworkEvent {
    /// A datagram arrived.
    Datagram(Datagram),
    /// The transmit stamp of an earlier send.
    Transmitted {
        /// The receipt of that send.
        token: SendToken,
        /// When it left.
        stamp: Stamp,
    },
    /// Interfaces came, went, or changed their address; the sockets follow it already.
    LinkChanged {
        /// The interfaces that are listened on now.
        listening: Vec<Interface>,
    },
}

/// What to listen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOptions {
    /// The one interface to listen on; all usable ones if none is named.
    pub interface: Option<String>,
    /// UDP port of event messages; [`EVENT_PORT`] except in tests and demonstrations.
    pub event_port: u16,
    /// UDP port of general messages; [`GENERAL_PORT`] except in tests and demonstrations.
    pub general_port: u16,
    /// Whether the loopback counts as an interface.
    pub loopback: bool,
    /// The subdomain that the socket filter lets through, NUL padded.
    pub subdomain: [u8; 16],
    /// By which way to listen.
    pub capture: Capture,
    /// Everything that PTP says, also to other subdomains, and not only what a follower needs.
    pub everything: bool,
}

/// What a follower listens to: Dante's ports and subdomain on all usable interfaces.
impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            interface: None,
            event_port: EVENT_PORT,
            general_port: GENERAL_PORT,
            loopback: false,
            subdomain: DEFAULT_SUBDOMAIN,
            capture: Capture::default(),
            everything: false,
        }
    }
}

impl NetworkOptions {
    /// The multicast group of the subdomain.
    pub(crate) fn group(&self) -> Ipv4Addr {
        ptp::group(&self.subdomain)
    }

    /// The groups to join; those after the first are a help where that is possible. Who wants everything, or has
    /// heard nothing for a while and is `searching`, joins those of other subdomains too: a leader that is pulled up
    /// is to be named, not taken for silence.
    pub(crate) fn groups(&self, searching: bool) -> impl Iterator<Item = Ipv4Addr> {
        let all = self.everything || searching;
        let others = ptp::GROUPS.into_iter().filter(move |group| all && *group != self.group());
        std::iter::once(self.group()).chain(others)
    }
}

/// What the network has to say about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct NetworkCounters {
    /// Datagrams read.
    pub received: u64,
    /// Datagrams that came without a kernel stamp.
    pub without_stamp: u64,
    /// PTPv2 datagrams seen: where the socket filter works it lets through 1 in 64 of them.
    pub ptp_v2: u64,
    /// Datagrams that were lost because this program did not take them in time.
    pub overrun: u64,
    /// By which way PTP is heard; a word of a newer program is taken for the usual one.
    #[serde(deserialize_with = "crate::snapshot::known_or_usual", default)]
    pub way: Way,
    /// Who stamped the last datagram (on Windows, the last one of the event port); the snapshot says it of samples.
    #[serde(skip)]
    pub stamps: Option<StampSource>,
}

impl NetworkCounters {
    /// Counts a datagram.
    pub(crate) fn count(&mut self, payload: &[u8], stamp: &Result<Stamp, StampFault>) {
        self.received = self.received.saturating_add(1);
        match stamp {
            Err(StampFault::Missing) => self.without_stamp = self.without_stamp.saturating_add(1),
            Err(_) => {}
            Ok(stamp) => {
                self.stamps = Some(stamp.source);
                if stamp.source == StampSource::User {
                    self.without_stamp = self.without_stamp.saturating_add(1);
                }
            }
        }
        // Version 1 starts with 00 01; version 2 has its number in the low half of the second byte.
        if payload.get(1).is_some_and(|version| version & 0x0f == 2) {
            self.ptp_v2 = self.ptp_v2.saturating_add(1);
        }
    }
}

/// Something `poll` can wait for, and what it found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pollable {
    /// The file descriptor; on Windows the number of the event that tells that something can be read.
    pub fd: i32,
    /// A datagram can be read.
    pub readable: bool,
    /// An error or a transmit stamp can be read.
    pub error: bool,
}

impl Pollable {
    /// A descriptor of which nothing is known yet.
    pub const fn new(fd: i32) -> Self {
        Self { fd, readable: false, error: false }
    }
}

/// The network on which the leader is heard, or one made of numbers.
#[cfg_attr(test, mockall::automock)]
pub trait PtpNetwork {
    /// Waits until a datagram can be read here or on one of `others`, or until `timeout` has passed. This is
    /// the only place where the program waits. Waking early is allowed. What was found at `others` is written
    /// into them.
    ///
    /// # Errors
    /// When waiting is impossible; the controller logs it once and goes on.
    fn wait(&mut self, timeout: Span, others: &mut [Pollable]) -> Result<(), NetworkError>;

    /// The next event that does not need waiting, if any. Stamps are converted with `timeline`.
    ///
    /// # Errors
    /// When a socket fails; the controller logs it once and goes on.
    fn next_event(&mut self, timeline: &Timeline) -> Result<Option<NetworkEvent>, NetworkError>;

    /// The interfaces that are listened on.
    fn interfaces(&self) -> Vec<Interface>;

    /// Looks at the interfaces again and joins the group anew, and those of other subdomains: after silence.
    ///
    /// # Errors
    /// When no interface can be used; the program goes on and tries again.
    fn rejoin(&mut self) -> Result<(), NetworkError>;

    /// What was counted below the level of datagrams.
    fn counters(&self) -> NetworkCounters;
}

/// Why the network cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The interface that was asked for does not exist, or is down.
    #[error("interface {name} {fault}; there {}", listed(.available))]
    Interface {
        /// The name asked for.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
        /// What could be used instead.
        available: Vec<String>,
    },
    /// No interface can be used at all.
    #[error("no network interface is up with an IPv4 address: connect one to the Dante network")]
    NoInterface,
    /// A port is taken by a program that does not share it.
    #[error("UDP port {port} is taken by {}: stop that program, or make it share the port (SO_REUSEADDR)", held(.holder))]
    PortTaken {
        /// The port.
        port: u16,
        /// Name and pid of the program that holds it, where known.
        holder: Option<String>,
    },
    /// A right is missing.
    #[error("no permission to {action}: {right} is missing")]
    NotPermitted {
        /// What was refused.
        action: &'static str,
        /// What would allow it.
        right: &'static str,
    },
    /// A way to listen that this system does not have.
    #[error("raw capture exists on Windows only, here the ports are shared: use --capture udp or auto")]
    NoRawCapture,
    /// Another refusal of the operating system.
    #[error("cannot {action}: {reason}")]
    Os {
        /// What was refused.
        action: &'static str,
        /// The operating system's words.
        reason: String,
    },
}

impl NetworkError {
    /// The operating system refused `action`.
    pub(crate) fn os(action: &'static str, error: &io::Error) -> Self {
        Self::Os { action, reason: error.to_string() }
    }
}

/// An error that says only: nothing there.
pub(crate) fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn listed(available: &[String]) -> String {
    match available {
        [] => "is no other that could be used".to_owned(),
        names => format!("are: {}", names.join(", ")),
    }
}

fn held(holder: &Option<String>) -> &str {
    holder.as_deref().unwrap_or("a program that cannot be found out")
}
