//! Faults of the backends: each is said once when it begins and once when it ends, and shown meanwhile.

use std::collections::BTreeMap;

use tracing::{info, warn};

use crate::clock::ClockError;
use crate::net::NetworkError;
use crate::ntp::ServerIndex;
use crate::ntp::client::Rejected;
use crate::time::Span;

/// What is wrong with the backends now.
#[derive(Debug, Default)]
pub struct Health {
    clock: Option<String>,
    reading: Option<String>,
    status: Option<String>,
    network: Option<String>,
    joining: Option<String>,
    event: Option<String>,
    panic_told: bool,
    ntp: BTreeMap<ServerIndex, Rejected>,
}

impl Health {
    /// The outcome of setting the clock's rate. Each kind of call is kept apart: one that works says nothing
    /// about another that does not.
    pub fn clock(&mut self, error: Option<ClockError>) {
        tell(&mut self.clock, error.map(|error| error.to_string()), "the clock");
    }

    /// The outcome of reading the clock.
    pub fn reading(&mut self, error: Option<ClockError>) {
        tell(&mut self.reading, error.map(|error| error.to_string()), "reading the clock");
    }

    /// The outcome of telling the kernel how good the clock is; the lock does not depend on it.
    pub fn status(&mut self, error: Option<ClockError>) {
        tell(&mut self.status, error.map(|error| error.to_string()), "the clock's status");
    }

    /// The outcome of joining the group anew; a sample proves a membership as well.
    pub fn joining(&mut self, error: Option<NetworkError>) {
        tell(&mut self.joining, error.map(|error| error.to_string()), "joining the group");
    }

    /// The outcome of waiting for the network.
    pub fn network(&mut self, error: Option<NetworkError>) {
        tell(&mut self.network, error.map(|error| error.to_string()), "the network");
    }

    /// The outcome of reading the network.
    pub fn network_event(&mut self, error: Option<NetworkError>) {
        tell(&mut self.event, error.map(|error| error.to_string()), "receiving");
    }

    /// An NTP answer that does not count, for a reason that is worth a line; `name` is who gave it.
    pub fn ntp_rejected(&mut self, server: ServerIndex, name: &str, reason: Rejected) {
        // The figures in it differ each time.
        let same = |told: &Rejected| std::mem::discriminant(told) == std::mem::discriminant(&reason);
        if !self.ntp.get(&server).is_some_and(same) {
            warn!("NTP server {name} {reason}");
            self.ntp.insert(server, reason);
        }
    }

    /// An NTP answer beyond the panic threshold.
    pub fn panic(&mut self, by: Span, threshold: Span) {
        if !std::mem::replace(&mut self.panic_told, true) {
            warn!(
                "NTP says that the clock is {by} off, more than the panic threshold of {threshold}: refused. \
                 Restart the program if NTP is right"
            );
        }
    }

    /// Whether the clock does what it is told.
    pub fn clock_obeys(&self) -> bool {
        self.clock.is_none() && self.reading.is_none()
    }

    /// What is wrong, in one line.
    pub fn fault(&self) -> Option<&str> {
        self.blocking().or(self.status.as_deref())
    }

    /// The same, of what a lock depends on.
    pub fn blocking(&self) -> Option<&str> {
        let clock = self.clock.as_deref().or(self.reading.as_deref());
        let network = self.network.as_deref().or(self.event.as_deref()).or(self.joining.as_deref());
        clock.or(network)
    }
}

fn tell(kept: &mut Option<String>, fault: Option<String>, what: &str) {
    if *kept == fault {
        return;
    }
    match &fault {
        Some(fault) => warn!("{what}: {fault}"),
        None => info!("{what} works again"),
    }
    *kept = fault;
}
