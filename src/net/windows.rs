//! The network as Windows has it: by UDP sockets on the PTP ports, or by raw sockets that leave the ports to Dante's
//! own software (`capture` decides). Threads read and stamp; this takes what waits. Nothing is ever sent.
#![allow(unsafe_code, reason = "sockets, events and processes are reached by system calls only")]

mod arrivals;
pub(crate) mod event;
pub mod process;
mod raw;
pub(crate) mod socket;
mod watch;

pub(crate) use watch::surroundings;

use std::io;
use std::time::Duration;

use tracing::{info, warn};
use windows_sys::Win32::Networking::WinSock::{WSAEACCES, WSAEADDRINUSE};

use super::capture::{Plan, must_leave_ports, plan};
use super::filter::Sieve;
use super::interface::{self, Interface};
use super::{
    Datagram, NetworkCounters, NetworkError, NetworkEvent, NetworkOptions, Pollable, Port, PtpNetwork,
    StampSource, Way, is_nothing,
};
use crate::clock::Timeline;
use crate::time::Span;
use raw::{Captured, RawSocket};
use socket::{STAMP_RECEIVE, UdpSocket};
use watch::{News, Watch};

/// Interfaces that are listened on at most.
const INTERFACES_MAX: usize = 8;
/// Warnings that wait for the caller; one that nobody collects must not grow for ever.
const WARNINGS_MAX: usize = 16;
/// How long a wait that the system refuses takes all the same.
const FAILED_WAIT: Duration = Duration::from_millis(20);

/// The sockets of this computer.
#[derive(Debug)]
pub struct RealPtpNetwork {
    options: NetworkOptions,
    ears: Ears,
    /// The interfaces that are listened on.
    links: Vec<Interface>,
    watch: Watch,
    /// The links differ from those that the caller knows.
    changed: bool,
    /// Kept between calls, so that waiting does not allocate.
    fds: Vec<socket::PollFd>,
    counters: NetworkCounters,
    /// Datagrams lost by sockets that are closed.
    overrun: u64,
    warnings: Vec<String>,
}

/// What listens.
#[derive(Debug)]
enum Ears {
    /// The event and the general port, on all interfaces.
    Ports { event: UdpSocket, general: UdpSocket },
    /// A raw socket for each interface, and one that is a member of the group, on a port that the system chose: opened
    /// with the first interface, so that nothing keeps anybody from leaving the ports.
    Below { member: Option<UdpSocket>, sockets: Vec<RawSocket> },
}

impl RealPtpNetwork {
    /// Opens the sockets and joins the group. What cannot be had but is not needed is told by
    /// [`Self::take_warnings`].
    ///
    /// # Errors
    /// When there is no usable interface, or none that can be listened on.
    pub fn open(options: NetworkOptions) -> Result<Self, NetworkError> {
        let seen = watch::look(&options);
        let Plan { first, second, reason } = plan(options.capture, &seen.surroundings);
        let usable = seen.usable.clone()?;
        let mut warnings = Vec::new();
        let opened = Ears::open(first, &options, &usable, &mut warnings);
        let (ears, links) = match (opened, second) {
            (Err(error), Some(second)) => {
                warnings.push(format!("{error}; listening by {second} instead"));
                // The first refusal says more than the second.
                Ears::open(second, &options, &usable, &mut warnings).map_err(|_| error)?
            }
            (opened, _) => opened?,
        };
        let watch = Watch::start(options.clone(), seen)
            .map_err(|error| NetworkError::os("watch the network", &error))?;
        let counters = NetworkCounters { way: ears.way(), ..NetworkCounters::default() };
        info!("listening for PTP by {}: {reason}", ears.way());
        warnings.truncate(WARNINGS_MAX);
        let fds = Vec::new();
        Ok(Self { options, ears, links, watch, changed: false, fds, counters, overrun: 0, warnings })
    }

    /// Who stamped the last datagram of the event port. That the system would stamp is believed only when it does.
    pub fn stamps(&self) -> StampSource {
        self.counters.stamps.unwrap_or(StampSource::User)
    }

    /// What the user should know since the last call: facilities that are missing, interfaces left out.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Follows what the watching thread has seen.
    fn hear_news(&mut self) {
        while let Some(News { usable, surroundings }) = self.watch.next() {
            let (usable, error) = match usable {
                Ok(usable) => (usable, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            let followed = match must_leave_ports(self.options.capture, self.ears.way(), &surroundings) {
                Some(reason) => self.leave_ports(&reason, &usable),
                None => self.relink(&usable, false),
            };
            let followed = followed.and(error.map_or(Ok(()), Err));
            if let Err(error) = followed {
                self.warn(error.to_string());
            }
        }
    }

    /// Leaves the ports, also where capturing is refused: somebody else needs them.
    fn leave_ports(&mut self, reason: &str, usable: &[Interface]) -> Result<(), NetworkError> {
        warn!("leaving the ports and listening by {}: {reason}", Way::Raw);
        self.overrun = self.overrun.saturating_add(self.ears.overrun());
        self.ears = Ears::below();
        self.counters.way = Way::Raw;
        self.changed |= !self.links.is_empty();
        self.links.clear();
        self.relink(usable, false)
    }

    /// Makes the links fit `usable`, and joins the group anew where an interface has changed, or everywhere with
    /// `all_anew`, and then those of other subdomains too.
    fn relink(&mut self, usable: &[Interface], all_anew: bool) -> Result<(), NetworkError> {
        let before = std::mem::take(&mut self.links);
        let mut warnings = Vec::new();
        let linked = self.ears.link(&self.options, &before, usable, all_anew, &mut warnings);
        warnings.into_iter().for_each(|warning| self.warn(warning));
        if let Ok(links) = &linked {
            self.links.clone_from(links);
        }
        self.changed |= before != self.links;
        linked.map(drop)
    }

    /// The next datagram that waits on a socket that was announced.
    fn read_next(&mut self) -> Result<Option<(Port, socket::Received)>, NetworkError> {
        loop {
            let Some(received) = self.ears.receive() else { return Ok(None) };
            let (port, received) = received.map_err(|error| NetworkError::os("receive PTP", &error))?;
            // Only the sockets of the ports hear what came by an interface that is not listened on.
            if self.link_of(received.interface).is_some() {
                return Ok(Some((port, received)));
            }
        }
    }

    /// The number of the interface; where the system does not tell, it can only be the only one.
    fn link_of(&self, interface: Option<u32>) -> Option<u32> {
        let known = |link: &&Interface| interface.is_none_or(|interface| interface == link.index);
        self.links.iter().find(known).map(|link| link.index)
    }

    /// Each port has stamps of its own, and the system's may be believed on one and not on the other. Who stamps is
    /// told of the event port, whose stamps are those that count.
    fn count(&mut self, port: Port, received: &socket::Received) {
        let before = self.counters.stamps;
        self.counters.count(received.payload.as_slice(), &received.stamp);
        if port != Port::Event {
            self.counters.stamps = before;
        }
        match (before, self.counters.stamps) {
            (Some(StampSource::User), Some(StampSource::Kernel)) => {
                info!("the system stamps arrivals from now on")
            }
            (Some(StampSource::Kernel), Some(StampSource::User)) => {
                warn!("the system does not stamp arrivals any more; this program does");
            }
            _ => {}
        }
    }
}

impl PtpNetwork for RealPtpNetwork {
    fn wait(&mut self, timeout: Span, others: &mut [Pollable]) -> Result<(), NetworkError> {
        self.fds.clear();
        self.fds.push(socket::pollfd(self.watch.number()));
        self.fds.extend(event::wake_number().map(socket::pollfd));
        self.ears.each_fd(|fd| self.fds.push(socket::pollfd(fd)));
        let own = self.fds.len();
        self.fds.extend(others.iter().map(|other| socket::pollfd(other.fd)));
        let result = socket::poll(&mut self.fds, timeout)
            .map_err(|error| NetworkError::os("wait for the network", &error));
        if result.is_err() {
            // The caller's loop rests nowhere else.
            #[allow(clippy::disallowed_methods, reason = "the system itself refused to wait")]
            std::thread::sleep(FAILED_WAIT);
        }
        for (other, fd) in others.iter_mut().zip(self.fds.iter().skip(own)) {
            other.readable = socket::is_readable(fd);
            other.error = socket::has_error(fd);
        }
        result
    }

    fn next_event(&mut self, _timeline: &Timeline) -> Result<Option<NetworkEvent>, NetworkError> {
        self.hear_news();
        if std::mem::take(&mut self.changed) {
            return Ok(Some(NetworkEvent::LinkChanged { listening: self.interfaces() }));
        }
        let Some((port, received)) = self.read_next()? else { return Ok(None) };
        self.count(port, &received);
        Ok(Some(NetworkEvent::Datagram(Datagram {
            interface: self.link_of(received.interface).unwrap_or_default(),
            port,
            source: received.source,
            stamp: received.stamp,
            payload: received.payload,
        })))
    }

    fn interfaces(&self) -> Vec<Interface> {
        self.links.clone()
    }

    fn rejoin(&mut self) -> Result<(), NetworkError> {
        match interface::usable(self.options.interface.as_deref(), self.options.loopback) {
            Ok(usable) => self.relink(&usable, true),
            Err(error) => self.relink(&[], true).and(Err(error)),
        }
    }

    fn counters(&self) -> NetworkCounters {
        NetworkCounters { overrun: self.overrun.saturating_add(self.ears.overrun()), ..self.counters }
    }
}

impl Ears {
    fn open(
        way: Way,
        options: &NetworkOptions,
        usable: &[Interface],
        warnings: &mut Vec<String>,
    ) -> Result<(Self, Vec<Interface>), NetworkError> {
        let mut ears = match way {
            Way::Raw => Self::below(),
            Way::Udp => Self::ports(options, warnings)?,
        };
        let links = ears.link(options, &[], usable, false, warnings)?;
        Ok((ears, links))
    }

    /// Ears below the ports that hear nothing yet.
    const fn below() -> Self {
        Self::Below { member: None, sockets: Vec::new() }
    }

    fn ports(options: &NetworkOptions, warnings: &mut Vec<String>) -> Result<Self, NetworkError> {
        let mut open = |port, number| -> Result<UdpSocket, NetworkError> {
            let socket = UdpSocket::new().map_err(|error| NetworkError::os("open a socket", &error))?;
            socket.share_port().map_err(|error| NetworkError::os("share a port", &error))?;
            if !options.everything {
                socket.sift(Sieve::new(port, options.subdomain));
            }
            if let Err(error) = socket.tell_interface() {
                warnings.push(format!("datagrams of several interfaces cannot be told apart: {error}"));
            }
            socket.bind(number).map_err(|error| bind_error(&error, number))?;
            if let Err(error) = socket.stamp(STAMP_RECEIVE) {
                tracing::debug!("the system does not stamp arrivals, this program does: {error}");
            }
            Ok(socket)
        };
        Ok(Self::Ports {
            event: open(Port::Event, options.event_port)?,
            general: open(Port::General, options.general_port)?,
        })
    }

    const fn way(&self) -> Way {
        match self {
            Self::Ports { .. } => Way::Udp,
            Self::Below { .. } => Way::Raw,
        }
    }

    fn overrun(&self) -> u64 {
        match self {
            Self::Ports { event, general } => event.overrun().saturating_add(general.overrun()),
            Self::Below { sockets, .. } => {
                sockets.iter().map(RawSocket::overrun).fold(0, u64::saturating_add)
            }
        }
    }

    fn each_fd(&self, mut tell: impl FnMut(i32)) {
        match self {
            Self::Ports { event, general } => {
                [event, general].into_iter().for_each(|socket| tell(socket.fd()))
            }
            Self::Below { sockets, .. } => sockets.iter().for_each(|socket| tell(socket.fd())),
        }
    }

    /// What waits: Syncs first, since a Follow_Up is worth nothing without its Sync.
    fn receive(&self) -> Option<Result<(Port, socket::Received), io::Error>> {
        match self {
            Self::Ports { event, general } => {
                [(Port::Event, event), (Port::General, general)].into_iter().find_map(|(port, socket)| {
                    waits(socket.receive()).map(|it| it.map(|received| (port, received)))
                })
            }
            Self::Below { sockets, .. } => sockets.iter().find_map(|socket| {
                waits(socket.receive()).map(|it| it.map(|Captured { port, received }| (port, received)))
            }),
        }
    }

    /// Listens on `usable` instead of `before`; returns those on which that is possible.
    ///
    /// # Errors
    /// When it is possible on none of several.
    fn link(
        &mut self,
        options: &NetworkOptions,
        before: &[Interface],
        usable: &[Interface],
        all_anew: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Interface>, NetworkError> {
        let (usable, left_out) = usable.split_at_checked(INTERFACES_MAX).unwrap_or((usable, &[]));
        if !left_out.is_empty() {
            let names: Vec<String> = left_out.iter().map(ToString::to_string).collect();
            warnings.push(format!(
                "more than {INTERFACES_MAX} network interfaces: not listening on {}; name the right one",
                names.join(", ")
            ));
        }
        for gone in before.iter().filter(|link| all_anew || !usable.contains(link)) {
            self.leave(gone, options);
        }
        let mut links = Vec::new();
        let mut first_error = None;
        for interface in usable {
            let kept = !all_anew && before.contains(interface);
            match if kept { Ok(()) } else { self.join(interface, options, all_anew) } {
                Ok(()) => links.push(interface.clone()),
                Err(error) => {
                    warnings.push(format!("{interface}: {error}"));
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if links.is_empty() => Err(error),
            _ => Ok(links),
        }
    }

    /// What a try before has left behind is undone first: to join a group twice is an error.
    fn join(
        &mut self,
        interface: &Interface,
        options: &NetworkOptions,
        searching: bool,
    ) -> Result<(), NetworkError> {
        self.leave(interface, options);
        let joined = |result: io::Result<()>| {
            result.map_err(|error| NetworkError::os("join the PTP multicast group", &error))
        };
        match self {
            Self::Ports { event, general } => {
                joined(event.join(options.group(), interface))?;
                joined(general.join(options.group(), interface))?;
                for group in options.groups(searching).skip(1) {
                    let _ = event.join(group, interface);
                    let _ = general.join(group, interface);
                }
                Ok(())
            }
            Self::Below { member, sockets } => {
                let member = match member {
                    Some(member) => member,
                    None => member.insert(new_member()?),
                };
                joined(member.join(options.group(), interface))?;
                for group in options.groups(searching).skip(1) {
                    let _ = member.join(group, interface);
                }
                let socket = RawSocket::open(interface, options, searching);
                sockets.push(socket.map_err(|error| raw_error(&error))?);
                Ok(())
            }
        }
    }

    /// It may have been lost already.
    fn leave(&mut self, interface: &Interface, options: &NetworkOptions) {
        match self {
            Self::Ports { event, general } => {
                for group in options.groups(true) {
                    let _ = event.leave(group, interface);
                    let _ = general.leave(group, interface);
                }
            }
            Self::Below { member, sockets } => {
                for (member, group) in
                    member.iter().flat_map(|it| options.groups(true).map(move |group| (it, group)))
                {
                    let _ = member.leave(group, interface);
                }
                sockets.retain(|socket| socket.interface() != interface);
            }
        }
    }
}

/// A member of no group yet.
fn new_member() -> Result<UdpSocket, NetworkError> {
    let open = || {
        let member = UdpSocket::new()?;
        // The system chooses a port: a member must have one.
        member.bind(0)?;
        Ok(member)
    };
    open().map_err(|error| NetworkError::os("open a socket", &error))
}

/// `None` where nothing waits.
fn waits<T>(received: io::Result<T>) -> Option<io::Result<T>> {
    match received {
        Err(error) if is_nothing(&error) => None,
        received => Some(received),
    }
}

fn bind_error(error: &io::Error, port: u16) -> NetworkError {
    match error.raw_os_error() {
        // Refused: somebody holds it who does not share it.
        Some(WSAEADDRINUSE | WSAEACCES) => NetworkError::PortTaken {
            port,
            holder: process::owners([port, port]).first().map(ToString::to_string),
        },
        _ => NetworkError::os("listen on the PTP ports", error),
    }
}

fn raw_error(error: &io::Error) -> NetworkError {
    match error.raw_os_error() {
        Some(WSAEACCES) => NetworkError::NotPermitted {
            action: "capture PTP without its ports",
            right: "that of an administrator",
        },
        _ => NetworkError::os("capture PTP without its ports", error),
    }
}

#[cfg(test)]
mod tests;
