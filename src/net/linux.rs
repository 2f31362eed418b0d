//! The network as Linux has it: two sockets per interface, one `poll`.
//!
//! Nothing is ever sent. Per wake-up and announced socket there is exactly one read: what else waits there is
//! announced again at once.

use std::io;
use std::path::Path;

use super::interface::{self, Interface};
use super::socket::{self, Received, STAMP_RECEIVE, UdpSocket};
use super::{
    Capture, Datagram, NetworkCounters, NetworkError, NetworkEvent, NetworkOptions, Pollable, Port,
    PtpNetwork, Stamp, StampSource, filter, holder, is_nothing,
};
use crate::clock::linux::raw_clock;
use crate::clock::{StampFault, Timeline};
use crate::time::{Raw, Span, Timestamp};

/// Interfaces that are listened on at most: each takes two sockets, and simulators have 20.
const INTERFACES_MAX: usize = 8;
/// How often the interfaces are compared with those listened on. There is no netlink socket, so this is how
/// fast a replugged cable's new address is noticed.
const LOOK_EVERY: Span = Span::from_secs(5);
/// What the conversion of a kernel stamp to the raw timeline can cost: reading noise of the two clocks.
const KERNEL_UNCERTAINTY: Span = Span::from_ns(100);
/// How late this program's own stamps usually are: 50 µs, twice that for most (kernel-tests.md, section 3).
const USER_UNCERTAINTY: Span = Span::from_us(100);
/// Warnings that wait for the caller; one that nobody collects must not grow for ever.
const WARNINGS_MAX: usize = 16;

/// How long a wait that the kernel refuses takes all the same.
const FAILED_WAIT: std::time::Duration = std::time::Duration::from_millis(20);

/// The sockets of this computer.
#[derive(Debug)]
pub struct RealPtpNetwork {
    options: NetworkOptions,
    links: Vec<Link>,
    /// The usable interfaces as they were when last looked at.
    seen: Vec<Interface>,
    next_look: Timestamp<Raw>,
    /// The links differ from those that the caller knows.
    changed: bool,
    /// When the last wait ended: all that it announced had arrived by then.
    woke_at: Timestamp<Raw>,
    /// Kept between calls, so that waiting does not allocate.
    fds: Vec<socket::PollFd>,
    counters: NetworkCounters,
    warnings: Vec<String>,
}

/// An interface and the sockets that listen on it.
#[derive(Debug)]
struct Link {
    interface: Interface,
    listeners: [Listener; 2],
}

#[derive(Debug)]
struct Listener {
    port: Port,
    socket: UdpSocket,
    /// The kernel was willing to stamp.
    stamped: bool,
    readable: bool,
    error: bool,
}

impl RealPtpNetwork {
    /// Opens the sockets and joins the group. What cannot be had but is not needed is told by
    /// [`Self::take_warnings`].
    ///
    /// # Errors
    /// When there is no usable interface, or none that can be listened on.
    pub fn open(options: NetworkOptions) -> Result<Self, NetworkError> {
        if options.capture == Capture::Raw {
            return Err(NetworkError::NoRawCapture);
        }
        let now = raw_clock();
        let mut network = Self {
            options,
            links: Vec::new(),
            seen: Vec::new(),
            next_look: now + LOOK_EVERY,
            changed: false,
            woke_at: now,
            fds: Vec::new(),
            counters: NetworkCounters::default(),
            warnings: Vec::new(),
        };
        network.rejoin()?;
        network.changed = false;
        Ok(network)
    }

    /// The worst stamps that a socket will give.
    pub fn stamps(&self) -> StampSource {
        let stamped = self.links.iter().flat_map(|link| &link.listeners).all(|listener| listener.stamped);
        if stamped { StampSource::Kernel } else { StampSource::User }
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

    fn usable(&self) -> Result<Vec<Interface>, NetworkError> {
        interface::usable(self.options.interface.as_deref(), self.options.loopback)
    }

    /// Makes the links fit `usable`: drops, opens, and joins the group anew where the interface has changed,
    /// or everywhere with `all_anew`, and then those of other subdomains too. Leaving it for a moment may cost a Sync, so not without need.
    fn relink(&mut self, mut usable: Vec<Interface>, all_anew: bool) -> Result<(), NetworkError> {
        self.seen.clone_from(&usable);
        if usable.len() > INTERFACES_MAX {
            let left_out: Vec<_> = usable.drain(INTERFACES_MAX..).map(|link| link.to_string()).collect();
            self.warn(format!(
                "more than {INTERFACES_MAX} network interfaces: not listening on {}; name the right one",
                left_out.join(", ")
            ));
        }
        let before = self.interfaces();
        let mut kept = std::mem::take(&mut self.links);
        let mut first_error = None;
        for interface in usable {
            let known = kept.iter().position(|link| link.is_on(&interface)).map(|at| kept.swap_remove(at));
            let joined = match known {
                Some(link) if link.interface == interface && !all_anew => Ok(link),
                Some(link) => link.joined_anew(interface, &self.options, all_anew),
                None => self.open_link(interface),
            };
            match joined {
                Ok(link) => self.links.push(link),
                Err(error) => {
                    self.warn(error.to_string());
                    first_error.get_or_insert(error);
                }
            }
        }
        self.changed |= before != self.interfaces();
        match first_error {
            // Without these no interface works: a port is taken, or a permission missing, on all of them.
            Some(error) if self.links.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    fn open_link(&mut self, interface: Interface) -> Result<Link, NetworkError> {
        let listeners =
            [self.open_listener(&interface, Port::Event)?, self.open_listener(&interface, Port::General)?];
        Ok(Link { interface, listeners })
    }

    fn open_listener(&mut self, interface: &Interface, port: Port) -> Result<Listener, NetworkError> {
        let number = match port {
            Port::Event => self.options.event_port,
            Port::General => self.options.general_port,
        };
        let socket = UdpSocket::new().map_err(|error| NetworkError::os("open a socket", &error))?;
        socket.share_port().map_err(|error| NetworkError::os("share a port", &error))?;
        // Before the port is taken, so that nothing gets in that was not meant for this socket.
        let filter = filter::bpf::program(port, self.options.subdomain);
        if !self.options.everything
            && let Err(error) = socket.attach_filter(&filter)
        {
            self.warn(format!("no socket filter, a flood will cost more time: {error}"));
        }
        let own_groups = socket.only_own_groups();
        socket.bind(number).map_err(|error| bind_error(&error, number))?;
        // After the port is taken: simulators forget it otherwise.
        let device = socket.bind_to_device(&interface.name);
        // Either one keeps the interfaces apart.
        if let (Err(device), Err(groups)) = (device, own_groups) {
            let name = &interface.name;
            self.warn(format!("datagrams of other interfaces may be heard on {name}: {device}; {groups}"));
        }
        let stamped = socket.stamp(STAMP_RECEIVE);
        if let Err(error) = &stamped {
            self.warn(format!("no stamps by the kernel, the lock will be 1000 times worse: {error}"));
        }
        socket.join(self.options.group(), interface).map_err(|error| join_error(&error))?;
        for group in self.options.groups(false).skip(1) {
            let _ = socket.join(group, interface);
        }
        Ok(Listener { port, socket, stamped: stamped.is_ok(), readable: false, error: false })
    }

    /// Compares the interfaces with those known, when it is time to.
    fn look(&mut self) {
        if self.woke_at < self.next_look {
            return;
        }
        self.next_look = self.woke_at + LOOK_EVERY;
        let usable = self.usable();
        let unchanged = match &usable {
            Ok(usable) => *usable == self.seen,
            Err(_) => self.seen.is_empty(),
        };
        if !unchanged && let Err(error) = self.follow(usable, false) {
            self.warn(error.to_string());
        }
    }

    fn follow(
        &mut self,
        usable: Result<Vec<Interface>, NetworkError>,
        all_anew: bool,
    ) -> Result<(), NetworkError> {
        match usable {
            Ok(usable) => self.relink(usable, all_anew),
            Err(error) => self.relink(Vec::new(), all_anew).and(Err(error)),
        }
    }

    /// Reads the next announced socket.
    fn read_next(&mut self, timeline: &Timeline) -> Result<Option<Datagram>, NetworkError> {
        for link in &mut self.links {
            for listener in &mut link.listeners {
                if std::mem::take(&mut listener.error)
                    && let Some(error) = listener.socket.take_error()
                {
                    return Err(NetworkError::os("listen for PTP", &error));
                }
                if !std::mem::take(&mut listener.readable) {
                    continue;
                }
                match listener.socket.receive() {
                    Ok(received) => {
                        let stamp = convert(&received, listener.stamped, self.woke_at, timeline);
                        self.counters.count(received.payload.as_slice(), &stamp);
                        return Ok(Some(Datagram {
                            interface: link.interface.index,
                            port: listener.port,
                            source: received.source,
                            stamp,
                            payload: received.payload,
                        }));
                    }
                    // Announced, and then dropped for its checksum.
                    Err(error) if is_nothing(&error) => {}
                    Err(error) => return Err(NetworkError::os("receive PTP", &error)),
                }
            }
        }
        Ok(None)
    }
}

impl PtpNetwork for RealPtpNetwork {
    fn wait(&mut self, timeout: Span, others: &mut [Pollable]) -> Result<(), NetworkError> {
        self.fds.clear();
        let own = self.links.iter().flat_map(|link| &link.listeners).map(|listener| listener.socket.fd());
        self.fds.extend(own.chain(others.iter().map(|other| other.fd)).map(socket::pollfd));
        let result = socket::poll(&mut self.fds, timeout)
            .map_err(|error| NetworkError::os("wait for the network", &error));
        if result.is_err() {
            // The caller's loop rests nowhere else: it must not spin while the kernel is out of memory.
            #[allow(clippy::disallowed_methods, reason = "poll itself refused to wait")]
            std::thread::sleep(FAILED_WAIT);
        }
        self.woke_at = raw_clock();
        let mut fds = self.fds.iter();
        for (listener, fd) in self.links.iter_mut().flat_map(|link| &mut link.listeners).zip(fds.by_ref()) {
            listener.readable = socket::is_readable(fd);
            listener.error = socket::has_error(fd);
        }
        for (other, fd) in others.iter_mut().zip(fds) {
            other.readable = socket::is_readable(fd);
            other.error = socket::has_error(fd);
        }
        result
    }

    fn next_event(&mut self, timeline: &Timeline) -> Result<Option<NetworkEvent>, NetworkError> {
        self.look();
        if std::mem::take(&mut self.changed) {
            return Ok(Some(NetworkEvent::LinkChanged { listening: self.interfaces() }));
        }
        Ok(self.read_next(timeline)?.map(NetworkEvent::Datagram))
    }

    fn interfaces(&self) -> Vec<Interface> {
        self.links.iter().map(|link| link.interface.clone()).collect()
    }

    fn rejoin(&mut self) -> Result<(), NetworkError> {
        let usable = self.usable();
        self.follow(usable, true)
    }

    fn counters(&self) -> NetworkCounters {
        self.counters
    }
}

impl Link {
    /// A card that was replugged has the same name but another number, and its sockets are dead.
    fn is_on(&self, interface: &Interface) -> bool {
        self.interface.index == interface.index && self.interface.name == interface.name
    }

    /// The same link after a fresh report to the switches, with what has changed about the interface.
    fn joined_anew(
        self,
        interface: Interface,
        options: &NetworkOptions,
        searching: bool,
    ) -> Result<Self, NetworkError> {
        for listener in &self.listeners {
            for group in options.groups(searching) {
                // It may have been lost already, or never joined.
                let _ = listener.socket.leave(group, &self.interface);
                let joined = listener.socket.join(group, &interface);
                if group == options.group() {
                    joined.map_err(|error| join_error(&error))?;
                }
            }
        }
        Ok(Self { interface, ..self })
    }
}

/// Moves the kernel's stamp onto the raw timeline. Where the kernel stamps, a datagram without one has none:
/// one odd stamp would do more harm than a missing one. `read_at` is when the program knew of the datagram.
pub(crate) fn convert(
    received: &Received,
    stamped: bool,
    read_at: Timestamp<Raw>,
    timeline: &Timeline,
) -> Result<Stamp, StampFault> {
    match received.stamp {
        Some(stamp) => {
            let at = timeline.raw_of(stamp, raw_clock())?;
            Ok(Stamp { at, uncertainty: KERNEL_UNCERTAINTY, source: StampSource::Kernel })
        }
        None if stamped => Err(StampFault::Missing),
        None => Ok(Stamp { at: read_at, uncertainty: USER_UNCERTAINTY, source: StampSource::User }),
    }
}

fn bind_error(error: &io::Error, port: u16) -> NetworkError {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            NetworkError::PortTaken { port, holder: holder::of_port(Path::new("/proc"), port) }
        }
        Some(libc::EACCES | libc::EPERM) => NetworkError::NotPermitted {
            action: "listen on the PTP ports",
            right: "the capability CAP_NET_BIND_SERVICE",
        },
        _ => NetworkError::os("listen on the PTP ports", error),
    }
}

fn join_error(error: &io::Error) -> NetworkError {
    NetworkError::os("join the PTP multicast group", error)
}

#[cfg(test)]
mod tests;
