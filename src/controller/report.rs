//! The snapshot, and the few log lines: one per change of state, one summary per ten minutes.

use tracing::{info, warn};

use super::PtpController;
use super::announce::{Announcer, News};
use crate::clock::SystemClock;
use crate::config::{DEFAULT_NTP_SERVER, UtcLimit};
use crate::discipline::Outlook;
use crate::estimator::leader::BOUND_SIGMAS;
use crate::events::EventKind;
use crate::net::PtpNetwork;
use crate::ntp::NtpSource;
use crate::ptp::follower::LeaderRecord;
use crate::snapshot::obstacle::Obstacle;
use crate::snapshot::{
    BoundedRate, BoundedTime, LeaderRow, LeaderView, LimitsView, SlewView, Snapshot, Standing, State,
    UtcView, subdomain_name,
};
use crate::time::{LeaderId, Rate, Raw, Span, Timestamp};

/// One summary in this time, as long as nothing happens.
const SUMMARY_EVERY: Span = Span::from_secs(600);

/// The snapshot is shown this often, in between only when the state changes.
const PUBLISH_EVERY: Span = Span::from_ms(500);

/// A server that has not answered by then deserves a warning.
const NTP_PATIENCE: Span = Span::from_secs(10);

/// Remembers what was said already.
#[derive(Debug)]
pub struct Reporter {
    state: State,
    leader: Option<LeaderId>,
    summary_at: Timestamp<Raw>,
    ntp_warned: bool,
    version_two_warned: bool,
    subdomain_warned: bool,
    probation_warned: Option<LeaderId>,
    announcer: Announcer,
    locks: u64,
    published: Option<(Timestamp<Raw>, State)>,
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
            subdomain_warned: false,
            probation_warned: None,
            announcer: Announcer::new(),
            locks: 0,
            published: None,
        }
    }
}

impl<N: PtpNetwork, C: SystemClock, S: NtpSource> PtpController<N, C, S> {
    /// Says what has changed since the last turn.
    pub(super) fn report(&mut self) {
        self.report_leader();
        let (state, _, reason) = self.discipline.state();
        if state != self.reporter.state {
            let before = std::mem::replace(&mut self.reporter.state, state);
            if state == State::Locked {
                self.reporter.locks = self.reporter.locks.saturating_add(1);
            }
            let reason = reason.to_owned();
            let snapshot = self.snapshot();
            // A fault has a line of its own.
            let reason = if self.health.blocking().is_some() { reason } else { snapshot.reason.clone() };
            info!(
                offset_ns = snapshot.offset.map(|offset| offset.value_ns.round()),
                offset_bound_ns = snapshot.offset.map(|offset| offset.bound_ns.round()),
                rate_ppb = snapshot.leader_rate.map(|rate| rate.value_ppb.round()),
                rate_bound_ppb = snapshot.leader_rate.map(|rate| rate.bound_ppb.round()),
                reason,
                "state={state}"
            );
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            self.note(EventKind::State, &format!("{before} → {state}{why}"));
        }
        if self.now >= self.reporter.summary_at {
            self.reporter.summary_at = self.now + SUMMARY_EVERY;
            self.summarise();
        }
        self.report_subdomain();
        self.report_ntp();
    }

    fn report_leader(&mut self) {
        let parent = self.follower.parent().map(|parent| (parent.id, parent.interface));
        if let Some((leader, interface)) = parent.filter(|(leader, _)| self.reporter.leader != Some(*leader))
        {
            self.reporter.leader = Some(leader);
            let name = self.interface_name(interface);
            info!(%leader, interface = name, "leader elected: the best one heard, on the interface it is heard on");
            self.note(EventKind::Leader, &format!("{leader} on {name} elected: the best one heard"));
        }
        let newcomer = self.follower.probation().map(|newcomer| newcomer.id);
        if newcomer != self.reporter.probation_warned {
            self.reporter.probation_warned = newcomer;
            if let Some(newcomer) = newcomer {
                warn!(leader = %newcomer, "another leader claims to be better while the present one goes on: waiting 10 s");
                let text =
                    format!("{newcomer} claims to be better while the present one goes on: waiting 10 s");
                self.note(EventKind::Leader, &text);
            }
        }
        if self.follower.only_version_two() && !self.reporter.version_two_warned {
            self.reporter.version_two_warned = true;
            warn!("{}: {}", Obstacle::OnlyVersionTwo, Obstacle::OnlyVersionTwo.cure());
        }
    }

    /// Says once that nobody follows the subdomain that is heard instead of ours.
    fn report_subdomain(&mut self) {
        let missing = self.follower.parent().is_none() && !self.reporter.subdomain_warned;
        if missing && let Some(heard) = self.follower.foreign_subdomain() {
            self.reporter.subdomain_warned = true;
            let (heard, own) = (subdomain_name(&heard), subdomain_name(&self.config.subdomain));
            let obstacle = Obstacle::OtherSubdomain { heard, own };
            warn!("{obstacle}: {}", obstacle.cure());
        }
    }

    fn report_ntp(&mut self) {
        let asked = !self.config.ntp_servers.is_empty();
        let waited = self.now - self.started >= NTP_PATIENCE;
        if asked && waited && !self.client.ever_answered() && !self.reporter.ntp_warned {
            self.reporter.ntp_warned = true;
            let servers = self.config.ntp_servers.join(", ");
            let default = if servers == DEFAULT_NTP_SERVER { " (the built-in default)" } else { "" };
            // What it answers instead was said already.
            let usable = if self.client.refuses_answers() { " can be used" } else { "" };
            warn!(
                "no answer from NTP server {servers}{default}{usable}: the date stays as it is. Name a server with \
                 --ntp-server HOST, or do without by --skip-ntp"
            );
        }
    }

    /// Says what is new about UTC, which is looked at with each decision. Before the first fix, the clock is not
    /// set; after it, its error says something.
    pub(super) fn report_utc(&mut self) {
        if !self.discipline.is_dated() {
            return;
        }
        let error = self.utc_offset();
        let outlook = self.discipline.outlook();
        let announcer = &mut self.reporter.announcer;
        let news = [
            error.and_then(|error| announcer.error(error)),
            outlook.and_then(|outlook| announcer.outlook(&outlook)),
        ];
        for news in news.into_iter().flatten() {
            let text = match news {
                News::Info(text) => {
                    info!("{text}");
                    text
                }
                News::Warning(text) => {
                    warn!("{text}");
                    text
                }
            };
            self.note(EventKind::Utc, &text);
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
        self.names.of(index)
    }

    /// System clock minus UTC.
    fn utc_offset(&self) -> Option<Span> {
        let utc = self.utc.at(self.now)?;
        let system = self.timeline.system_at(self.now)?;
        Some(Span::from_ns(system.as_ns().saturating_sub(utc.utc.as_ns())))
    }

    /// What is known now, when it is time to show it: a few times a second, and at once when the state changes.
    pub fn snapshot_due(&mut self) -> Option<Snapshot> {
        let state = self.discipline.state().0;
        let fresh = |(at, shown)| self.now - at < PUBLISH_EVERY && shown == state;
        if self.reporter.published.is_some_and(fresh) {
            return None;
        }
        self.reporter.published = Some((self.now, state));
        Some(self.snapshot())
    }

    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            leaders: self.leader_rows(),
            subdomain: subdomain_name(&self.config.subdomain),
            interfaces: self.network.interfaces(),
            ntp_servers: self.ntp_servers_view(),
            events: self.history.shown(),
            ..self.glance()
        };
        if self.health.blocking().is_none()
            && let Some(obstacle) = Obstacle::of(&snapshot)
        {
            snapshot.reason = obstacle.explain(&snapshot.reason, snapshot.state);
        }
        snapshot
    }

    /// The same without its lists, for who looks hundreds of times a second.
    pub fn glance(&self) -> Snapshot {
        let (state, entered, reason) = self.discipline.state();
        let view = self.view();
        let deviation = view.as_ref().and_then(|view| self.discipline.deviation(view));
        // Without a view the clock cannot be read, or the leader was not heard since a sleep.
        let seen = view.as_ref().and_then(|view| view.leader).map(|leader| leader.line);
        let leader_line = seen.or_else(|| self.leader.line(self.now));
        let (samples, outliers) = self.leader.counts();
        let (ntp_requests, ntp_rejected) = self.client.counts();
        let fault = self.health.blocking().filter(|_| state != State::Locked);
        Snapshot {
            raw_ns: self.now.as_ns(),
            system_ns: self.timeline.system_at(self.now).map(Timestamp::as_ns),
            uptime_ns: (self.now - self.started).as_ns(),
            state,
            reason: fault.unwrap_or(reason).to_owned(),
            fault: self.health.fault().map(str::to_owned),
            state_age_ns: (self.now - entered).as_ns(),
            locked_for_ns: (state == State::Locked).then(|| (self.now - entered).as_ns()),
            locks: self.reporter.locks,
            leader: self.leader_view(),
            leaders: Vec::new(),
            only_ptp_v2: self.follower.only_version_two(),
            subdomain: String::new(),
            other_subdomain: self.follower.foreign_subdomain().map(|name| subdomain_name(&name)),
            other_subdomain_age_ns: self.follower.foreign_subdomain_heard().map(|at| (self.now - at).as_ns()),
            follow_up_age_ns: self.follower.follow_up_heard().map(|at| (self.now - at).as_ns()),
            received_age_ns: self.follower.heard().map(|at| (self.now - at).as_ns()),
            no_stamp_age_ns: self.follower.no_stamp_heard().map(|at| (self.now - at).as_ns()),
            never_leads_age_ns: self.follower.never_leads_heard().map(|at| (self.now - at).as_ns()),
            timescale: self.leader.timescale(),
            offset: deviation.map(|deviation| BoundedTime {
                value_ns: deviation.offset.as_ns_f64(),
                bound_ns: deviation.offset_bound.as_ns_f64(),
            }),
            rate: deviation.map(|deviation| bounded(deviation.rate, deviation.rate_bound)),
            leader_rate: leader_line.map(|line| bounded(line.rate, scaled(line.rate_sigma))),
            commanded_ppb: self.timeline.current().map_or(0.0, |line| line.rate.ppb()),
            jitter_ns: self.leader.noise().map(|noise| noise.deviation()),
            lock_limits: view.as_ref().and_then(|view| view.leader).map(|leader| {
                let limits = leader.limits();
                LimitsView { offset_ns: limits.phase.as_ns_f64(), rate_ppb: limits.rate.ppb() }
            }),
            stamp_source: self.stamps,
            interfaces: Vec::new(),
            utc_limit_ns: match self.config.utc_limit {
                UtcLimit::None => None,
                UtcLimit::Within(limit) => Some(limit.as_ns()),
            },
            utc: self.utc_view(),
            ntp_servers: Vec::new(),
            target: view.as_ref().and_then(|view| self.discipline.follows(view)),
            steps: self.steps,
            foreign_changes: self.foreign.total(),
            last_foreign: self.foreign.last().map(str::to_owned),
            rivals: self.foreign.suspects().to_vec(),
            samples,
            outliers,
            drops: self.follower.drops().clone(),
            network: self.network.counters(),
            ntp_requests,
            ntp_rejected: ntp_rejected.total(),
            ntp_drops: ntp_rejected,
            events: Vec::new(),
        }
    }

    fn leader_view(&self) -> Option<LeaderView> {
        let parent = self.follower.parent()?;
        Some(LeaderView {
            id: parent.id,
            stratum: parent.data.stratum,
            preferred: parent.data.preferred,
            interface: self.interface_name(parent.interface),
            interval_ns: parent.interval.as_ns(),
            age_ns: (self.now - self.leader.last_sample()?).as_ns(),
        })
    }

    /// The followed one first, then as they are likely to lead.
    fn leader_rows(&self) -> Vec<LeaderRow> {
        let mut records: Vec<&LeaderRecord> = self.follower.leaders().collect();
        // An election also asks whose variance is "alike", which is not transitive: no order to sort by.
        records.sort_by_cached_key(|record| {
            let (followed, data) = (self.follower.is_followed(record), &record.data);
            (!followed, !record.qualified, !data.preferred, data.stratum, record.id)
        });
        records.into_iter().map(|record| self.leader_row(record)).collect()
    }

    fn leader_row(&self, record: &LeaderRecord) -> LeaderRow {
        let newcomer = self.follower.probation();
        let on_probation = newcomer.is_some_and(|it| it.id == record.id && it.interface == record.interface);
        let standing = match (self.follower.is_followed(record), record.qualified) {
            (true, true) => Standing::Followed,
            (true, false) => Standing::Silent,
            (false, false) => Standing::Unqualified,
            (false, true) if on_probation => Standing::Probation,
            (false, true) if self.follower.selected_interface() == Some(record.interface) => {
                Standing::Outranked
            }
            (false, true) => Standing::OtherInterface,
        };
        LeaderRow {
            id: record.id,
            address: record.address,
            interface: self.interface_name(record.interface),
            standing,
            probation_left_ns: self.follower.probation_left().filter(|_| on_probation).map(Span::as_ns),
            stratum: record.data.stratum,
            preferred: record.data.preferred,
            qualified: record.qualified,
            interval_ns: record.interval.as_ns(),
            first_heard_age_ns: (self.now - record.first_heard).as_ns(),
            heard_age_ns: (self.now - record.last_heard).as_ns(),
            pair_age_ns: (record.pairs > 0).then(|| (self.now - record.last_sample).as_ns()),
            syncs: record.syncs,
            pairs: record.pairs,
        }
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
            root_distance_ns: utc.root_distance.as_ns(),
            max_error_ns: utc.max_error().as_ns(),
            leader_rate: utc.on_leader.then(|| bounded(-rate, scaled(sigma))),
            slew: self.discipline.outlook().map(|outlook| self.slew_view(&outlook)),
            age_ns: (self.now - self.utc.last_accepted()?).as_ns(),
        })
    }

    fn slew_view(&self, outlook: &Outlook) -> SlewView {
        let ns = |span: Option<Span>| span.map(Span::as_ns);
        let limit = match self.config.utc_limit {
            UtcLimit::None => None,
            UtcLimit::Within(limit) => Some(limit),
        };
        SlewView {
            activity: Some(outlook.activity),
            rate_ppb: outlook.slew.ppb(),
            limit_ns: ns(limit),
            limit_in_ns: ns(outlook.limit_in),
            slew_in_ns: ns(outlook.slew_in),
            slew_for_ns: ns(outlook.slew_for),
        }
    }
}

fn scaled(sigma: Rate) -> Rate {
    Rate::from_ratio(BOUND_SIGMAS * sigma.ratio())
}

fn bounded(value: Rate, bound: Rate) -> BoundedRate {
    BoundedRate { value_ppb: value.ppb(), bound_ppb: bound.ppb() }
}
