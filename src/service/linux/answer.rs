//! Does one of our own NTP servers answer? Asked before another service that sets the date is stopped.

use crate::clock::linux::{LinuxClock, raw_clock};
use crate::clock::{SystemClock, Timeline};
use crate::daemon::unpredictable;
use crate::exit::{Failure, OS_ERROR};
use crate::ntp::NtpSource;
use crate::ntp::client::{Answer, Client};
use crate::ntp::source::RealNtpSource;
use crate::time::{Rate, Span};

/// The longest that an answer is waited for without looking at the clock.
const LOOK_EVERY: Span = Span::from_ms(200);

/// A server that has answered.
#[derive(Debug)]
pub struct Answered {
    /// As it was configured.
    pub server: String,
    /// This computer's clock minus the server's time.
    pub clock_ahead: Span,
}

/// The first server that answers and knows the time; none within `patience`.
pub fn first(servers: &[String], patience: Span) -> Result<Option<Answered>, Failure> {
    let mut clock = LinuxClock::observe()?;
    let mut timeline = Timeline::new();
    timeline.restart(clock.read()?, clock.rate().unwrap_or(Rate::ZERO));
    let mut source = RealNtpSource::open(servers);
    let began = raw_clock();
    let mut client = Client::new(servers.len(), unpredictable(), began);
    loop {
        let now = raw_clock();
        if now - began >= patience {
            return Ok(None);
        }
        while let Some((server, request)) = client.poll_request(now) {
            let sent = source.send(server, &request.to_bytes(), &timeline).ok();
            client.handle_sent(server, &request, sent);
        }
        let due = client.deadline().map_or(LOOK_EVERY, |due| (due - now).max(Span::ZERO));
        source.wait(due.min(LOOK_EVERY)).map_err(|error| {
            Failure::new(OS_ERROR, anyhow::Error::from(error).context("cannot wait for NTP"))
        })?;
        while let Some(event) = source.next_event(&timeline) {
            let Ok(Answer::Exchange(exchange)) = client.handle_event(event) else { continue };
            let Some(system) = timeline.system_at(exchange.raw) else { continue };
            return Ok(Some(Answered {
                server: servers.get(exchange.server.0).cloned().unwrap_or_default(),
                clock_ahead: Span::from_ns(system.as_ns().saturating_sub(exchange.utc.as_ns())),
            }));
        }
    }
}
