//! The snapshot, and the few log lines: one per change of state, one summary per ten minutes.

use tracing::{info, warn};

use super::PtpController;
use crate::clock::SystemClock;
use crate::config::DEFAULT_NTP_SERVER;
use crate::estimator::leader::BOUND_SIGMAS;
use crate::net::PtpNetwork;
use crate::ntp::NtpSource;
use crate::snapshot::{BoundedRate, BoundedTime, LeaderView, Snapshot, State, UtcView};
use crate::time::{LeaderId, Rate, Raw, Span, Timestamp};

/// One summary in this time, as long as nothing happens.
const SUMMARY_EVERY: Span = Span::from_secs(600);

/// A server that has not answered by then deserves a warning.
const NTP_PATIENCE: Span = Span::from_secs(10);

/// UTC errors that are worth a warning: 1 s, 2 s, 4 s …
const UTC_WARNING: Span = Span::from_secs(1);

/// Remembers what was said already.
#[derive(Debug)]
pub struct Reporter {
    state: State,
    leader: Option<LeaderId>,
    summary_at: Timestamp<Raw>,
    ntp_warned: bool,
    version_two_warned: bool,
    probation_warned: Option<LeaderId>,
    utc_warning: Span,
}

impl Reporter {
    /// Nothing said yet.
    pub fn new(now: Timestamp<Raw>) -> Self {
        Self {
            state: State::Starting,
            leader: None,
            summary_at: now + SUMMARY_EVERY,
            ntp_warned: false,
            version_two_warned: false,
            probation_warned: None,
            utc_warning: UTC_WARNING,
        }
    }
}

impl<N: PtpNetwork, C: SystemClock, S: NtpSource> PtpController<N, C, S> {
    /// Says what has changed since the last turn.
    pub(super) fn report(&mut self) {
        self.report_leader();
        let (state, _, reason) = self.discipline.state();
        if state != self.reporter.state {
            self.reporter.state = state;
            let reason = reason.to_owned();
            let snapshot = self.snapshot();
            info!(
                offset_ns = snapshot.offset.map(|offset| offset.value_ns.round()),
                offset_bound_ns = snapshot.offset.map(|offset| offset.bound_ns.round()),
                rate_ppb = snapshot.leader_rate.map(|rate| rate.value_ppb.round()),
                rate_bound_ppb = snapshot.leader_rate.map(|rate| rate.bound_ppb.round()),
                reason,
                "state={state}"
            );
        }
        if self.now >= self.reporter.summary_at {
            self.reporter.summary_at = self.now + SUMMARY_EVERY;
            self.summarise();
        }
        self.report_ntp();
    }

    fn report_leader(&mut self) {
        let parent = self.follower.parent().map(|parent| (parent.id, parent.interface));
        if let Some((leader, interface)) = parent.filter(|(leader, _)| self.reporter.leader != Some(*leader))
        {
            self.reporter.leader = Some(leader);
            let name = self.interface_name(interface);
            info!(%leader, interface = name, "leader elected: the best one heard, on the interface it is heard on");
        }
        let newcomer = self.follower.probation().map(|newcomer| newcomer.id);
        if newcomer != self.reporter.probation_warned {
            self.reporter.probation_warned = newcomer;
            if let Some(newcomer) = newcomer {
                warn!(leader = %newcomer, "another leader claims to be better while the present one goes on: waiting 10 s");
            }
        }
        if self.follower.only_version_two() && !self.reporter.version_two_warned {
            self.reporter.version_two_warned = true;
            warn!(
                "only PTPv2 is heard: the device is in an AES67 or ST 2110 mode without PTPv1; enable Dante's own clocking"
            );
        }
    }

    fn report_ntp(&mut self) {
        let asked = !self.config.ntp_servers.is_empty();
        let waited = self.now - self.started >= NTP_PATIENCE;
        if asked && waited && !self.client.ever_answered() && !self.reporter.ntp_warned {
            self.reporter.ntp_warned = true;
            let servers = self.config.ntp_servers.join(", ");
            let default = if servers == DEFAULT_NTP_SERVER { " (the built-in default)" } else { "" };
            warn!(
                "no answer from NTP server {servers}{default}: the date stays as it is. Name a server with \
                 --ntp-server HOST, or do without by --skip-ntp"
            );
        }
        let Some(offset) = self.utc_offset() else { return };
        if offset.abs() > self.reporter.utc_warning {
            warn!("the clock, following the leader, is {offset} off UTC");
            self.reporter.utc_warning = self.reporter.utc_warning.times(2);
        }
    }

    fn summarise(&mut self) {
        let snapshot = self.snapshot();
        info!(
            state = %snapshot.state,
            offset_ns = snapshot.offset.map(|offset| offset.value_ns.round()),
            offset_bound_ns = snapshot.offset.map(|offset| offset.bound_ns.round()),
            rate_ppb = snapshot.leader_rate.map(|rate| rate.value_ppb.round()),
            jitter_ns = snapshot.jitter_ns.map(f64::round),
            utc_offset_ns = snapshot.utc.as_ref().map(|utc| utc.offset.value_ns.round()),
            samples = snapshot.samples,
            outliers = snapshot.outliers,
            foreign_changes = snapshot.foreign_changes,
            "summary"
        );
    }

    fn interface_name(&self, index: u32) -> String {
        let interfaces = self.network.interfaces();
        let found = interfaces.into_iter().find(|interface| interface.index == index);
        found.map_or_else(|| index.to_string(), |interface| interface.name)
    }

    /// System clock minus UTC.
    fn utc_offset(&self) -> Option<Span> {
        let utc = self.utc.at(self.now)?;
        let system = self.timeline.system_at(self.now)?;
        Some(Span::from_ns(system.as_ns().saturating_sub(utc.utc.as_ns())))
    }

    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        let (state, entered, reason) = self.discipline.state();
        let view = self.view();
        let deviation = view.as_ref().and_then(|view| self.discipline.deviation(view));
        let leader_line = self.leader.line(self.now);
        let (samples, outliers) = self.leader.counts();
        let (ntp_requests, ntp_rejected) = self.client.counts();
        let fault = self.health.fault().filter(|_| state != State::Locked);
        Snapshot {
            raw_ns: self.now.as_ns(),
            state,
            reason: fault.unwrap_or(reason).to_owned(),
            state_age_ns: (self.now - entered).as_ns(),
            leader: self.leader_view(),
            timescale: self.leader.timescale(),
            offset: deviation.map(|deviation| BoundedTime {
                value_ns: deviation.offset.as_ns_f64(),
                bound_ns: deviation.offset_bound.as_ns_f64(),
            }),
            rate: deviation.map(|deviation| bounded(deviation.rate, deviation.rate_bound)),
            leader_rate: leader_line.map(|line| bounded(line.rate, scaled(line.rate_sigma))),
            commanded_ppb: self.timeline.current().map_or(0.0, |line| line.rate.ppb()),
            jitter_ns: self.leader.noise().map(|noise| noise.deviation()),
            utc: self.utc_view(),
            target: view.as_ref().and_then(|view| self.discipline.follows(view)),
            steps: self.steps,
            foreign_changes: self.foreign.total,
            last_foreign: self.foreign.last.clone(),
            samples,
            outliers,
            drops: self.follower.drops().clone(),
            network: self.network.counters(),
            ntp_requests,
            ntp_rejected,
        }
    }

    fn leader_view(&self) -> Option<LeaderView> {
        let parent = self.follower.parent()?;
        Some(LeaderView {
            id: parent.id,
            stratum: parent.data.stratum,
            preferred: parent.data.preferred,
            interface: parent.interface,
            interval_ns: parent.interval.as_ns(),
            age_ns: (self.now - self.leader.last_sample()?).as_ns(),
        })
    }

    fn utc_view(&self) -> Option<UtcView> {
        let utc = self.utc.at(self.now)?;
        let (rate, sigma) = utc.rate;
        Some(UtcView {
            offset: BoundedTime {
                value_ns: self.utc_offset()?.as_ns_f64(),
                bound_ns: BOUND_SIGMAS * utc.sigma.as_ns_f64(),
            },
            path_unknown_ns: utc.path_unknown.as_ns(),
            leader_rate: utc.on_leader.then(|| bounded(-rate, scaled(sigma))),
            age_ns: (self.now - self.utc.last_accepted()?).as_ns(),
        })
    }
}

fn scaled(sigma: Rate) -> Rate {
    Rate::from_ratio(BOUND_SIGMAS * sigma.ratio())
}

fn bounded(value: Rate, bound: Rate) -> BoundedRate {
    BoundedRate { value_ppb: value.ppb(), bound_ppb: bound.ppb() }
}
