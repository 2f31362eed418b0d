//! The real network with a clock made of numbers: for `--dry-run` and for `demo`.
//!
//! Kernel stamps are readings of the operating system's clock. Where that clock is not the one being steered,
//! they need a timeline of their own.

use crate::clock::platform::{OsClock, raw_clock};
use crate::clock::virtual_clock::VirtualClock;
use crate::clock::{ClockError, SystemClock, Timeline};
use crate::net::{Interface, NetworkCounters, NetworkError, NetworkEvent, Pollable, PtpNetwork, Stamp};
use crate::ntp::{NtpError, NtpEvent, NtpSource, ServerIndex};
use crate::time::{Rate, Raw, Span, Timestamp};

/// A backend whose stamps are converted with the operating system's own timeline, not with the steered one.
#[derive(Debug)]
pub struct OnOsTimeline<B> {
    backend: B,
    clock: OsClock,
    timeline: Timeline,
}

impl<B> OnOsTimeline<B> {
    /// Around a real backend.
    ///
    /// # Errors
    /// When the operating system's clock cannot be read.
    pub fn new(backend: B) -> Result<Self, ClockError> {
        let mut clock = OsClock::observe()?;
        let mut timeline = Timeline::new();
        timeline.restart(clock.read()?, clock.rate().unwrap_or(Rate::ZERO));
        Ok(Self { backend, clock, timeline })
    }

    /// The timeline, up to date; whoever steers the operating system's clock is simply followed.
    fn read(&mut self) {
        if let Ok(reading) = self.clock.read() {
            self.timeline.check(reading);
        }
    }
}

impl<N: PtpNetwork> PtpNetwork for OnOsTimeline<N> {
    fn wait(&mut self, timeout: Span, others: &mut [Pollable]) -> Result<(), NetworkError> {
        self.backend.wait(timeout, others)
    }
    fn next_event(&mut self, _: &Timeline) -> Result<Option<NetworkEvent>, NetworkError> {
        self.read();
        self.backend.next_event(&self.timeline)
    }
    fn interfaces(&self) -> Vec<Interface> {
        self.backend.interfaces()
    }
    fn rejoin(&mut self) -> Result<(), NetworkError> {
        self.backend.rejoin()
    }
    fn counters(&self) -> NetworkCounters {
        self.backend.counters()
    }
}

impl<S: NtpSource> NtpSource for OnOsTimeline<S> {
    fn pollables(&self, wanted: &mut Vec<Pollable>) {
        self.backend.pollables(wanted);
    }
    fn mark_ready(&mut self, ready: &[Pollable]) {
        self.backend.mark_ready(ready);
    }
    fn send(&mut self, server: ServerIndex, request: &[u8], _: &Timeline) -> Result<Stamp, NtpError> {
        self.read();
        self.backend.send(server, request, &self.timeline)
    }
    fn next_event(&mut self, _: &Timeline) -> Option<NtpEvent> {
        self.read();
        self.backend.next_event(&self.timeline)
    }
}

/// A clock made of numbers that starts where the system clock stands.
///
/// # Errors
/// When the system clock cannot be read.
pub fn virtual_clock() -> Result<VirtualClock<impl FnMut() -> Timestamp<Raw>>, ClockError> {
    let start = OsClock::observe()?.read()?.system;
    Ok(VirtualClock::new(raw_clock, start))
}
