//! Ears on Windows: the service's own, by the way that leaves Dante's software alone, but for everything that PTP says.

use std::io;

use super::{Plan, READ_AT_ONCE};
use crate::clock::Timeline;
use crate::clock::platform::raw_clock;
use crate::doctor::traffic::{Heard, Link};
use crate::net::platform::RealPtpNetwork;
use crate::net::{Interface, NetworkEvent, NetworkOptions, Pollable, PtpNetwork, interface};
use crate::time::Span;

/// The service's network; nothing where it could not be opened.
pub struct Ears {
    network: Option<RealPtpNetwork>,
    subdomain: [u8; 16],
}

impl Ears {
    /// Opens what can be opened; what cannot is told in `heard`.
    ///
    /// # Errors
    /// When the interfaces cannot be listed.
    pub fn open(plan: &Plan, heard: &mut Heard) -> io::Result<Self> {
        let loopback = plan.interface.as_deref().is_some_and(is_loopback);
        let opened = RealPtpNetwork::open(NetworkOptions {
            loopback,
            subdomain: plan.subdomain,
            capture: plan.capture,
            everything: true,
            ..NetworkOptions::default()
        });
        let mut ears = Self { network: None, subdomain: plan.subdomain };
        let usable = interface::list(loopback)?;
        match opened {
            Ok(mut network) => {
                let (links, warnings) = (network.interfaces(), network.take_warnings());
                heard.way = network.counters().way;
                for interface in usable.into_iter().filter(|interface| !links.contains(interface)) {
                    let told = warnings.iter().find_map(|text| text.strip_prefix(&format!("{interface}: ")));
                    let reason = told.unwrap_or("it is not listened on").to_owned();
                    heard.deaf.push((interface, reason));
                }
                ears.network = Some(network);
                ears.listen_on(links, heard);
            }
            Err(error) => {
                heard.deaf.extend(usable.into_iter().map(|interface| (interface, error.to_string())));
            }
        }
        Ok(ears)
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
        let Some(network) = &mut self.network else {
            return wait_for_servers(timeout, servers);
        };
        // It rests for a moment where it cannot wait, and comes back where a card comes back.
        let _ = network.wait(timeout, servers);
        let mut changed = None;
        for _ in 0..READ_AT_ONCE {
            match network.next_event(timeline) {
                Ok(Some(NetworkEvent::Datagram(datagram))) => {
                    let now = raw_clock();
                    let mut links = heard.links.iter_mut();
                    if let Some(link) = links.find(|link| link.interface.index == datagram.interface) {
                        link.handle(&datagram, now);
                    }
                }
                Ok(Some(NetworkEvent::LinkChanged { listening })) => changed = Some(listening),
                Ok(Some(NetworkEvent::Transmitted { .. })) => {}
                Ok(None) | Err(_) => break,
            }
        }
        // Dante's software may have come meanwhile, and the ports been left to it.
        heard.way = network.counters().way;
        if let Some(listening) = changed {
            self.listen_on(listening, heard);
        }
        Ok(())
    }

    /// Interfaces that are new; what was heard by others stays told.
    fn listen_on(&self, interfaces: Vec<Interface>, heard: &mut Heard) {
        for interface in interfaces {
            if !heard.links.iter().any(|link| link.interface.index == interface.index) {
                heard.links.push(Link::new(interface, self.subdomain));
            }
        }
    }
}

fn wait_for_servers(timeout: Span, servers: &mut [Pollable]) -> io::Result<()> {
    use crate::net::platform::socket::{has_error, is_readable, poll, pollfd};
    let mut fds: Vec<_> = servers.iter().map(|server| pollfd(server.fd)).collect();
    if fds.is_empty() {
        crate::test_clock::pass(timeout);
        return Ok(());
    }
    poll(&mut fds, timeout)?;
    for (server, fd) in servers.iter_mut().zip(&fds) {
        (server.readable, server.error) = (is_readable(fd), has_error(fd));
    }
    Ok(())
}

/// Whether the user means the loopback: by its name or an address of it.
fn is_loopback(name: &str) -> bool {
    let listed = interface::list(true).unwrap_or_default();
    listed.iter().any(|interface| interface.is_called(name) && interface.address.is_loopback())
}
