//! Carries requests and answers between the NTP servers and the estimator, and guards the first fix.

use std::net::{Ipv4Addr, SocketAddrV4};

use tracing::{debug, info, warn};

use super::{EVENTS_PER_TURN, PtpController};
use crate::clock::SystemClock;
use crate::estimator::utc::{Role, UtcEstimate, UtcVerdict, Witness};
use crate::events::EventKind;
use crate::net::PtpNetwork;
use crate::ntp::client::{Answer, Exchange};
use crate::ntp::{NtpEvent, NtpSource, ServerIndex};
use crate::snapshot::NtpServerView;
use crate::time::{Raw, Span, System, Timestamp, Utc};

/// No program is older than its source: 2026-01-01. A clock or a server that says less is wrong.
const RELEASED: Timestamp<Utc> = Timestamp::from_ns(1_767_225_600_000_000_000);

/// Real-time clocks of computers that were off for a year are wrong by less.
const PLAUSIBLE: Span = Span::from_secs(3_600);

/// What contradicts a plausible clock, or cannot be, must be told again after this long: a server that has just
/// been started itself has found its time by then.
const PROOF: Span = Span::from_secs(8);

/// Progress towards the first fix of UTC, and what was said about the servers.
#[derive(Debug, Default)]
pub(super) struct Fix {
    believed: bool,
    doubt_told: bool,
    /// A step was refused; not again before this.
    retry_at: Option<Timestamp<Raw>>,
    roles: Vec<Role>,
}

impl Fix {
    /// The step was refused.
    pub(super) fn retry_after(&mut self, at: Timestamp<Raw>) {
        self.retry_at = Some(at);
    }
}

impl<N: PtpNetwork, C: SystemClock, S: NtpSource> PtpController<N, C, S> {
    pub(super) fn take_ntp_events(&mut self) {
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = self.ntp.next_event(&self.timeline) else { return };
            self.take_ntp_event(event);
        }
    }

    fn take_ntp_event(&mut self, event: NtpEvent) {
        let (server, address) = (event.server(), event.address());
        match self.client.handle_event(event) {
            Ok(Answer::Nothing) => {}
            Ok(Answer::Exchange(exchange)) => self.take_exchange(&exchange),
            Ok(Answer::Another(server)) => {
                info!("NTP server {}: trying another of its addresses", self.server_name(server));
                self.utc.forget(server);
            }
            Err(reason) => {
                debug!(server = server.0, %reason, "NTP answer not used");
                if reason.is_of_server() {
                    let name = self.server_at(server, address);
                    self.health.ntp_rejected(server, &name, reason);
                }
            }
        }
    }

    fn take_exchange(&mut self, exchange: &Exchange) {
        let verdict = self.utc.observe(exchange, self.heard_line(exchange.raw));
        debug!(?verdict, server = exchange.server.0, delay = %exchange.delay, "NTP exchange");
        match verdict {
            UtcVerdict::Accepted | UtcVerdict::Refused(_) | UtcVerdict::NotUsed(_) => {}
            UtcVerdict::Restarted(by) => {
                warn!(moved_by = %by, "NTP insists on another time: believed");
                self.note(EventKind::Ntp, &format!("NTP insists on a time that is {by} off: believed"));
            }
            UtcVerdict::Panic(by) => self.health.panic(by, self.config.panic_threshold),
        }
        self.consider_fix();
        self.set_ntp_polls();
        self.tell_roles();
    }

    pub(super) fn send_ntp_requests(&mut self) {
        while let Some((server, request)) = self.client.poll_request(self.now) {
            let sent = self.ntp.send(server, &request.to_bytes(), &self.timeline);
            match sent {
                Ok(stamp) => self.client.handle_sent(server, &request, Some(stamp)),
                Err(error) => {
                    debug!(%error, "NTP request not sent");
                    self.client.handle_sent(server, &request, None);
                }
            }
        }
    }

    /// Asks each server as often as that is of use now.
    pub(super) fn set_ntp_polls(&mut self) {
        for server in (0..self.config.ntp_servers.len()).map(ServerIndex) {
            self.client.set_poll(server, self.utc.poll(server));
        }
    }

    /// Keeps UTC on the leader, and says so when it leaps.
    pub(super) fn follow_utc(&mut self) {
        self.utc.follow(self.now, self.heard_line(self.now));
        if let Some(by) = self.utc.take_leap() {
            warn!("leap second: UTC has moved by {by}, and the clock is that much more off");
            self.note(EventKind::Utc, &format!("leap second: UTC has moved by {by}"));
        }
    }

    /// UTC, as far as it may be used to set the clock.
    pub(super) fn trusted_utc(&self) -> Option<UtcEstimate> {
        let retry = self.fix.retry_at.is_none_or(|at| self.now >= at);
        self.utc.at(self.now).filter(|_| self.fix.believed && retry)
    }

    /// The first fix may step the clock: what cannot be, or contradicts a plausible clock on the word of
    /// a single server, must be told for longer.
    fn consider_fix(&mut self) {
        if self.fix.believed {
            return;
        }
        let (Some(utc), Some(system)) = (self.utc.at(self.now), self.timeline.system_at(self.now)) else {
            return;
        };
        let witness = self.utc.witness();
        if needs_proof(utc.utc, system, &witness) && witness.agreed_for < PROOF {
            if !std::mem::replace(&mut self.fix.doubt_told, true) {
                let by = utc.utc.as_ns().saturating_sub(system.as_ns());
                warn!(
                    "NTP would move the clock by {}: waiting for answers that say so again",
                    Span::from_ns(by)
                );
            }
            return;
        }
        self.fix.believed = true;
        self.utc.believe();
        self.client.end_burst();
        self.decide_at = self.now;
    }

    /// Says once which servers are not believed, and once that they are again.
    fn tell_roles(&mut self) {
        if !self.utc.has_heard_all(self.now) {
            return;
        }
        let reports: Vec<_> = self.utc.servers(self.now).collect();
        self.fix.roles.resize(reports.len(), Role::Silent);
        for (index, report) in reports.iter().enumerate() {
            let Some(told) = self.fix.roles.get(index).copied() else { continue };
            let role = report.role;
            if told == role {
                continue;
            }
            let name = self.server_name(ServerIndex(index));
            let text = match role {
                Role::Outvoted => {
                    let off = report.offset.unwrap_or_default();
                    Some(format!("NTP server {name} is {off} off what most servers say: not used"))
                }
                Role::Undecided => Some(format!(
                    "NTP server {name} and the others contradict each other, and none has a majority: not used"
                )),
                Role::Used if matches!(told, Role::Outvoted | Role::Undecided) => {
                    Some(format!("NTP server {name} agrees with the others again"))
                }
                // Only what was said needs taking back.
                Role::Used | Role::Spare | Role::Silent => None,
            };
            if let Some(text) = text {
                if role == Role::Used {
                    info!("{text}");
                } else {
                    warn!("{text}");
                }
                self.note(EventKind::Ntp, &text);
            }
            if let Some(told) = self.fix.roles.get_mut(index) {
                *told = role;
            }
        }
    }

    fn server_name(&self, server: ServerIndex) -> String {
        self.config.ntp_servers.get(server.0).cloned().unwrap_or_default()
    }

    /// Its name with the address that it was asked at; one that goes by its address is told once.
    fn server_at(&self, server: ServerIndex, address: Option<SocketAddrV4>) -> String {
        let name = self.server_name(server);
        let host = name.split(':').next().unwrap_or_default();
        match address {
            Some(address) if host.parse::<Ipv4Addr>().is_err() => format!("{name} ({})", address.ip()),
            _ => name,
        }
    }

    /// The servers, for the snapshot.
    pub(super) fn ntp_servers_view(&self) -> Vec<NtpServerView> {
        let names = self.config.ntp_servers.iter();
        let refusal = |index| self.client.refusal(ServerIndex(index)).map(ToString::to_string);
        let view = |(index, (name, report)): (usize, (&String, crate::estimator::utc::ServerReport))| {
            NtpServerView {
                name: name.clone(),
                role: Some(report.role),
                offset_ns: report.offset.map(Span::as_ns),
                sigma_ns: report.sigma.map(Span::as_ns),
                delay_ns: report.delay.as_ns(),
                root_distance_ns: report.root_distance.as_ns(),
                age_ns: report.last.map(|last| (self.now - last).as_ns()),
                refusal: refusal(index),
            }
        };
        names.zip(self.utc.servers(self.now)).enumerate().map(view).collect()
    }
}

/// Whether a fix needs to be told for longer than others.
fn needs_proof(utc: Timestamp<Utc>, system: Timestamp<System>, witness: &Witness) -> bool {
    let impossible = utc < RELEASED;
    let off = Span::from_ns(utc.as_ns().saturating_sub(system.as_ns())).abs();
    let plausible = system.as_ns() >= RELEASED.as_ns();
    impossible || (plausible && off > PLAUSIBLE && witness.servers < 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn needs(utc_s: i64, system_s: i64, servers: usize) -> bool {
        let released = RELEASED.as_ns() / 1_000_000_000;
        let utc = Timestamp::from_ns((released + utc_s) * 1_000_000_000);
        let system = Timestamp::from_ns((released + system_s) * 1_000_000_000);
        needs_proof(utc, system, &Witness { servers, agreed_for: Span::ZERO })
    }

    #[test]
    fn a_fix_far_from_a_plausible_clock_needs_proof_from_a_single_server_only() {
        assert!(needs(10 * HOUR, 34 * HOUR, 1));
        assert!(!needs(10 * HOUR, 34 * HOUR, 2));
        assert!(!needs(10 * HOUR, 10 * HOUR + 3_599, 1));
    }

    #[test]
    fn a_clock_without_a_date_is_no_witness() {
        assert!(!needs(10 * HOUR, -50 * 365 * 24 * HOUR, 1));
    }

    #[test]
    fn a_time_before_the_program_was_written_always_needs_proof() {
        assert!(needs(-HOUR, -HOUR, 1) && needs(-HOUR, -HOUR, 3));
    }
}
