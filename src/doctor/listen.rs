//! Listening for a while: to the leaders, to the time servers, and to the clock itself, all by one wait.
//!
//! The sockets (`Ears`, a file per system) hear every interface, all groups of PTP, and without the service's filter:
//! so that what the service would not hear is heard and named. Nothing is sent but IGMP and a few NTP requests.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

use std::io;

#[cfg(target_os = "linux")]
use linux::Ears;
#[cfg(windows)]
use windows::Ears;

use super::clock::Look;
use super::ntp::Server;
use super::traffic::Heard;
use crate::clock::platform::{OsClock, raw_clock};
use crate::clock::{SystemClock, Timeline};
use crate::net::{Capture, Pollable, Way};
use crate::ntp::client::{Answer, Client};
use crate::ntp::source::RealNtpSource;
use crate::ntp::{NtpSource, ServerIndex};
use crate::time::{Rate, Raw, Span, Timestamp};

/// Between two looks at the clock, and how long a wait takes at most.
const LOOK_EVERY: Span = Span::from_ms(100);
/// Packets that are read from a socket per wake-up: a flood must not keep the rest from being heard.
const READ_AT_ONCE: usize = 256;
/// Answers that are kept per server.
const ANSWERS_MAX: usize = 64;

/// What to listen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How long.
    pub length: Span,
    /// `--interface`; it may be the loopback.
    pub interface: Option<String>,
    /// The subdomain that the service follows.
    pub subdomain: [u8; 16],
    /// The time servers.
    pub servers: Vec<String>,
    /// By which way the service listens.
    pub capture: Capture,
}

/// Everything that is open while listening.
pub struct Session {
    ears: Ears,
    ntp: RealNtpSource,
    client: Client,
    clock: OsClock,
    timeline: Timeline,
    next_look: Timestamp<Raw>,
    length: Span,
    heard: Heard,
}

impl Session {
    /// Opens what can be opened; what cannot is told in what was heard.
    ///
    /// # Errors
    /// When the clock or the list of interfaces cannot be read: then nothing works here.
    pub fn open(plan: &Plan) -> io::Result<Self> {
        let mut clock = OsClock::observe().map_err(io::Error::other)?;
        let mut timeline = Timeline::new();
        let reading = clock.read().map_err(io::Error::other)?;
        timeline.restart(reading, clock.rate().unwrap_or(Rate::ZERO));
        let began = raw_clock();
        let mut heard = Heard {
            began,
            ended: began,
            way: Way::Udp,
            links: Vec::new(),
            deaf: Vec::new(),
            tapped: None,
            servers: plan.servers.iter().map(|name| Server::new(name)).collect(),
            looks: Vec::new(),
            leftovers: clock.leftovers().to_vec(),
        };
        let ears = Ears::open(plan, &mut heard)?;
        let ntp = RealNtpSource::open(&plan.servers);
        let client = Client::new(plan.servers.len(), crate::daemon::unpredictable(), began);
        Ok(Self { ears, ntp, client, clock, timeline, next_look: began, length: plan.length, heard })
    }

    /// Listens to the end; `progress` hears of every second that has passed, and of the PTP messages so far.
    ///
    /// # Errors
    /// When the operating system cannot wait.
    pub fn listen(mut self, mut progress: impl FnMut(i64, u64)) -> io::Result<Heard> {
        let (end, mut told) = (self.heard.began + self.length, -1);
        loop {
            let now = raw_clock();
            let seconds = (now - self.heard.began).as_ns().div_euclid(1_000_000_000);
            if seconds > told {
                told = seconds;
                progress(seconds, self.heard.links.iter().map(|link| link.version_one).sum());
            }
            self.look(now);
            if now >= end {
                self.heard.ended = now;
                return Ok(self.heard);
            }
            self.ask(now);
            self.wait(self.next_look.min(end) - now)?;
        }
    }

    fn look(&mut self, now: Timestamp<Raw>) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_EVERY;
        if let (Ok(reading), Ok(rate)) = (self.clock.read(), self.clock.rate()) {
            let _ = self.timeline.check(reading);
            self.heard.looks.push(Look { reading, rate });
        }
        self.heard.links.iter_mut().for_each(|link| link.handle_time(now));
    }

    /// Sends the requests to time servers that are due.
    fn ask(&mut self, now: Timestamp<Raw>) {
        while let Some((index, request)) = self.client.poll_request(now) {
            let sent = self.ntp.send(index, &request.to_bytes(), &self.timeline);
            self.client.handle_sent(index, &request, sent.as_ref().ok().copied());
            let Some(server) = self.heard.servers.get_mut(index.0) else { continue };
            server.asked = server.asked.saturating_add(1);
            if let Err(error) = sent {
                server.unsent = Some(error);
            }
        }
    }

    fn wait(&mut self, timeout: Span) -> io::Result<()> {
        let mut servers: Vec<Pollable> = Vec::new();
        self.ntp.pollables(&mut servers);
        self.ears.wait(timeout, &mut servers, &self.timeline, &mut self.heard)?;
        self.ntp.mark_ready(&servers);
        self.take_answers();
        Ok(())
    }

    fn take_answers(&mut self) {
        while let Some(event) = self.ntp.next_event(&self.timeline) {
            let ServerIndex(index) = event.server();
            let outcome = self.client.handle_event(event);
            let Some(server) = self.heard.servers.get_mut(index) else { continue };
            match outcome {
                Ok(Answer::Exchange(exchange)) if server.answers.len() < ANSWERS_MAX => {
                    if let Some(system) = self.timeline.system_at(exchange.raw) {
                        server.answers.push((exchange, system));
                    }
                }
                Ok(_) => {}
                Err(rejected) => server.rejected = Some(rejected),
            }
        }
    }
}
