//! Ears on Linux: two sockets per interface, and a packet socket that sees what comes in before the firewall.

use std::collections::BTreeMap;
use std::io;

use super::{Plan, READ_AT_ONCE};
use crate::clock::Timeline;
use crate::clock::linux::raw_clock;
use crate::doctor::traffic::{Heard, Link};
use crate::net::linux::convert;
use crate::net::socket::{STAMP_RECEIVE, UdpSocket, has_error, is_readable, poll, pollfd};
use crate::net::tap::Tap;
use crate::net::{Datagram, EVENT_PORT, GENERAL_PORT, Interface, Pollable, Port, interface};
use crate::ptp::GROUPS;
use crate::time::{Raw, Span, Timestamp};

/// A socket and where it listens.
struct Ear {
    link: usize,
    port: Port,
    stamped: bool,
    socket: UdpSocket,
}

/// All of them.
pub struct Ears {
    sockets: Vec<Ear>,
    tap: Option<Tap>,
}

impl Ears {
    /// Opens what can be opened; what cannot is told in `heard`.
    ///
    /// # Errors
    /// When the interfaces cannot be listed.
    pub fn open(plan: &Plan, heard: &mut Heard) -> io::Result<Self> {
        let tap = Tap::open().ok();
        heard.tapped = tap.is_some().then(BTreeMap::new);
        let mut sockets = Vec::new();
        for interface in interface::list(plan.interface.as_deref() == Some("lo"))? {
            match ears(&interface, heard.links.len()) {
                Ok(both) => {
                    sockets.extend(both);
                    heard.links.push(Link::new(interface, plan.subdomain));
                }
                Err(error) => heard.deaf.push((interface, error.to_string())),
            }
        }
        Ok(Self { sockets, tap })
    }

    /// Waits until something comes, here or at the `servers`, and takes what has come here.
    ///
    /// # Errors
    /// When the operating system cannot wait.
    pub fn wait(
        &mut self,
        timeout: Span,
        servers: &mut [Pollable],
        timeline: &Timeline,
        heard: &mut Heard,
    ) -> io::Result<()> {
        let own = self.sockets.iter().map(|ear| ear.socket.fd());
        let tap = self.tap.as_ref().map(Tap::fd);
        let mut fds: Vec<_> =
            own.chain(servers.iter().map(|server| server.fd)).chain(tap).map(pollfd).collect();
        poll(&mut fds, timeout)?;
        let woke_at = raw_clock();
        let mut fds = fds.iter();
        for (ear, fd) in self.sockets.iter().zip(fds.by_ref()) {
            let Some(link) = heard.links.get_mut(ear.link).filter(|_| is_readable(fd)) else { continue };
            for _ in 0..READ_AT_ONCE {
                let Some(datagram) = ear.read(woke_at, timeline, link.interface.index) else { break };
                link.handle(&datagram, woke_at);
            }
        }
        for (server, fd) in servers.iter_mut().zip(fds.by_ref()) {
            (server.readable, server.error) = (is_readable(fd), has_error(fd));
        }
        self.take_tapped(heard);
        Ok(())
    }

    fn take_tapped(&self, heard: &mut Heard) {
        let (Some(tap), Some(all)) = (&self.tap, &mut heard.tapped) else { return };
        for _ in 0..READ_AT_ONCE {
            match tap.receive() {
                Ok(tapped) if !tapped.outgoing => {
                    all.entry(tapped.interface).or_default().handle(tapped.packet.as_slice());
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

impl Ear {
    /// The next datagram, if there is one.
    fn read(&self, woke_at: Timestamp<Raw>, timeline: &Timeline, interface: u32) -> Option<Datagram> {
        let received = self.socket.receive().ok()?;
        Some(Datagram {
            interface,
            port: self.port,
            source: received.source,
            stamp: convert(&received, self.stamped, woke_at, timeline),
            payload: received.payload,
        })
    }
}

fn ears(interface: &Interface, link: usize) -> io::Result<[Ear; 2]> {
    Ok([ear(interface, link, Port::Event)?, ear(interface, link, Port::General)?])
}

fn ear(interface: &Interface, link: usize, port: Port) -> io::Result<Ear> {
    let socket = UdpSocket::new()?;
    socket.share_port()?;
    let own_groups = socket.only_own_groups();
    socket.bind(if port == Port::Event { EVENT_PORT } else { GENERAL_PORT })?;
    // Either one keeps the interfaces apart.
    socket.bind_to_device(&interface.name).or(own_groups)?;
    let stamped = socket.stamp(STAMP_RECEIVE).is_ok();
    for group in GROUPS {
        socket.join(group, interface)?;
    }
    Ok(Ear { link, port, stamped, socket })
}
