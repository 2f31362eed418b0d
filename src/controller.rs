//! The loop: it carries values from the backends to the parts that decide, and decisions back.

mod health;
mod report;

use std::collections::VecDeque;

use tracing::{debug, info, warn};

use crate::clock::{ClockError, Foreign, KernelStatus, Reading, SystemClock, Timeline};
use crate::config::Config;
use crate::discipline::{Decision, Discipline, LeaderNow, View};
use crate::estimator::leader::{Change, LeaderEstimator, Verdict};
use crate::estimator::utc::{UtcEstimator, UtcVerdict};
use crate::net::{NetworkEvent, Pollable, PtpNetwork};
use crate::ntp::client::{Client, Exchange};
use crate::ntp::{NtpEvent, NtpSource};
use crate::ptp::follower::Follower;
use crate::ptp::{Outcome, SyncSample};
use crate::snapshot::State;
use crate::time::{Leader, Line, Rate, Raw, Span, System, TimescaleId, Timestamp};
use health::Health;
use report::Reporter;

/// Events that are taken in one turn before the clock is looked after again: a flood must not starve it.
const EVENTS_PER_TURN: usize = 64;

/// Three foreign changes within a minute are a conflict, which ends after a minute without one (R5).
const CONFLICT_CHANGES: usize = 3;
const CONFLICT_WINDOW: Span = Span::from_secs(60);

/// The distance of samples before there were two: what Dante devices send.
const SPACING_UNKNOWN: Span = Span::from_ms(250);

/// The kernel is told the clock's quality this often.
const STATUS_EVERY: Span = Span::from_secs(10);

/// A leader's line that is less certain than this does not carry UTC yet: after a silence it still moves.
const SETTLED: Span = Span::from_us(10);

/// What the kernel itself says of a clock that nobody has set: 16 s.
const DATE_UNKNOWN: Span = Span::from_secs(16);

/// After so long without a sample the group is joined anew, again and again: memberships get lost.
const REJOIN_AFTER: Span = Span::from_secs(10);

/// The longest wait, whatever nobody has to do.
const WAIT_MAX: Span = Span::from_secs(1);

/// A step that was refused is tried again after this.
const STEP_RETRY: Span = Span::from_secs(60);

/// A first fix needs this many exchanges that agree, or …
const FIX_EXCHANGES: u32 = 4;
/// … two of them and this much patience.
const FIX_PATIENCE: Span = Span::from_secs(3);

/// The program's loop, around swappable backends.
///
/// ```no_run
/// # use dantetimesync::{config::Config, controller::PtpController, net::PtpNetwork, clock::SystemClock, ntp::NtpSource};
/// # fn run(network: impl PtpNetwork, clock: impl SystemClock, ntp: impl NtpSource) {
/// let mut controller = PtpController::new(Config::default(), network, clock, ntp, 42);
/// loop {
///     controller.turn();
///     println!("{}", controller.snapshot().state);
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct PtpController<N, C, S> {
    network: N,
    clock: C,
    ntp: S,
    config: Config,
    timeline: Timeline,
    follower: Follower,
    leader: LeaderEstimator,
    utc: UtcEstimator,
    client: Client,
    discipline: Discipline,
    reporter: Reporter,
    health: Health,
    /// The time of this turn.
    now: Timestamp<Raw>,
    started: Timestamp<Raw>,
    decide_at: Timestamp<Raw>,
    status_at: Timestamp<Raw>,
    rejoin_at: Timestamp<Raw>,
    fix: Fix,
    foreign: Foreigners,
    steps: u64,
}

/// Progress towards the first fix of UTC.
#[derive(Debug, Default)]
struct Fix {
    accepted: u32,
    first: Option<Timestamp<Raw>>,
    /// A step was refused; not again before this.
    retry_at: Option<Timestamp<Raw>>,
}

/// What somebody else did to the clock.
#[derive(Debug, Default)]
struct Foreigners {
    recent: VecDeque<Timestamp<Raw>>,
    total: u64,
    last: Option<String>,
    conflict: bool,
}

impl<N: PtpNetwork, C: SystemClock, S: NtpSource> PtpController<N, C, S> {
    /// Ready to run; nothing is touched yet. `seed` feeds the numbers in NTP requests and should be
    /// unpredictable outside of tests.
    pub fn new(config: Config, network: N, mut clock: C, ntp: S, seed: u64) -> Self {
        let now = clock.raw_now();
        let mut controller = Self {
            follower: Follower::new(config.subdomain),
            leader: LeaderEstimator::new(),
            utc: UtcEstimator::new(config.panic_threshold),
            client: Client::new(config.ntp_servers.len(), seed, now),
            discipline: Discipline::new(&config, now),
            reporter: Reporter::new(now),
            health: Health::default(),
            timeline: Timeline::new(),
            now,
            started: now,
            decide_at: now,
            status_at: now,
            rejoin_at: now + REJOIN_AFTER,
            fix: Fix::default(),
            foreign: Foreigners::default(),
            steps: 0,
            network,
            clock,
            ntp,
            config,
        };
        controller.follower.set_interfaces(&controller.network.interfaces());
        controller
    }

    /// One turn of the loop: waits once, at most until the next deadline, takes what has come, decides, acts.
    /// Faults of the backends are kept for the snapshot and never stop the loop.
    pub fn turn(&mut self) {
        self.wait();
        self.now = self.clock.raw_now();
        self.read_clock();
        self.take_network_events();
        self.take_ntp_events();
        self.send_ntp_requests();
        self.follower.handle_time(self.now);
        self.rejoin_after_silence();
        if self.now >= self.decide_at {
            self.decide();
        }
        self.report();
    }

    /// Leaves the learned rate in place.
    pub fn shut_down(&mut self) {
        self.now = self.clock.raw_now();
        let rate = self.view().and_then(|view| self.discipline.learned_rate(&view));
        if let Some(rate) = rate.filter(|_| !self.foreign.conflict) {
            self.set_rate(rate);
        }
        info!(
            rate_ppb = self.timeline.current().map(|line| line.rate.ppb()),
            "leaving; the learned rate stays"
        );
    }

    fn wait(&mut self) {
        let now = self.clock.raw_now();
        let ntp = self.client.deadline().unwrap_or(self.decide_at);
        let timeout = (self.decide_at.min(ntp) - now).max(Span::ZERO).min(WAIT_MAX);
        let mut others: Vec<Pollable> = self.ntp.pollables();
        let waited = self.network.wait(timeout, &mut others);
        self.health.network(waited.err());
        self.ntp.mark_ready(&others);
    }

    /// Ties the system clock to the raw timeline, and sees whether somebody else moved it.
    fn read_clock(&mut self) {
        let Some(reading) = self.reading() else { return };
        if self.timeline.current().is_none() {
            let rate = self.clock.rate().unwrap_or(Rate::ZERO);
            self.timeline.restart(reading, rate);
            return;
        }
        if let Some(foreign) = self.timeline.check(reading) {
            self.take_foreign_change(foreign);
        }
        let window = self.now - CONFLICT_WINDOW;
        if self.foreign.conflict && self.foreign.recent.back().is_none_or(|last| *last < window) {
            self.foreign.conflict = false;
            info!("no other program has changed the clock for a minute: steering again");
        }
    }

    fn take_foreign_change(&mut self, foreign: Foreign) {
        let told = match foreign {
            Foreign::Step(by) => {
                self.discipline.adopt_foreign_step(by);
                format!("another program stepped the system clock by {by}")
            }
            Foreign::Slew(by) => format!("another program changed the system clock's rate by {by}"),
        };
        let window = self.now - CONFLICT_WINDOW;
        self.foreign.recent.retain(|at| *at >= window);
        self.foreign.recent.push_back(self.now);
        self.foreign.total = self.foreign.total.saturating_add(1);
        if !self.foreign.conflict {
            warn!("{told}");
        }
        if self.foreign.recent.len() >= CONFLICT_CHANGES && !self.foreign.conflict {
            self.foreign.conflict = true;
            warn!("another program keeps changing the system clock: steering is suspended until it stops");
        }
        while self.foreign.recent.len() > CONFLICT_CHANGES {
            self.foreign.recent.pop_front();
        }
        self.foreign.last = Some(told);
        self.decide_at = self.now;
    }

    fn take_network_events(&mut self) {
        for _ in 0..EVENTS_PER_TURN {
            match self.network.next_event(&self.timeline) {
                Ok(None) => {
                    self.health.network_event(None);
                    return;
                }
                Ok(Some(event)) => self.take_network_event(event),
                Err(error) => return self.health.network_event(Some(error)),
            }
        }
    }

    fn take_network_event(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::Datagram(datagram) => match self.follower.handle_datagram(&datagram, self.now) {
                Outcome::Sample(sample) => self.take_sample(&sample),
                Outcome::Pending => {}
                Outcome::Dropped(reason) => debug!(?reason, source = %datagram.source, "datagram not used"),
            },
            NetworkEvent::LinkChanged { listening } => {
                info!(interfaces = %names(&listening), "interfaces changed");
                self.follower.set_interfaces(&listening);
            }
            // A listener sends nothing, so there is nothing to redeem; a path-delay measurement would.
            NetworkEvent::Transmitted { .. } => {}
        }
    }

    fn take_sample(&mut self, sample: &SyncSample) {
        self.rejoin_at = self.now + REJOIN_AFTER;
        self.health.joining(None);
        let verdict = self.leader.observe(sample);
        debug!(?verdict, sequence = sample.sequence, "sample");
        match verdict {
            Verdict::Accepted | Verdict::Outlier => {}
            Verdict::NewTimescale => {
                info!(leader = %sample.leader, "following a leader's time");
                self.decide_at = self.now;
            }
            Verdict::Changed(change) => {
                info!(?change, "the leader's line changed");
                // A longer path and a slower leader look alike at first.
                if change != Change::Noise {
                    self.utc.leader_turned();
                }
                self.decide_at = self.now;
            }
        }
        // The first sample after a silence ends it at once.
        if self.discipline.state().0 != State::Locked {
            self.decide_at = self.now;
        }
    }

    fn take_ntp_events(&mut self) {
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = self.ntp.next_event(&self.timeline) else { return };
            self.take_ntp_event(event);
        }
    }

    fn take_ntp_event(&mut self, event: NtpEvent) {
        match self.client.handle_event(event) {
            Ok(None) => {}
            Ok(Some(exchange)) => self.take_exchange(&exchange),
            Err(reason) => {
                debug!(%reason, "NTP answer not used");
                self.health.ntp_rejected(&reason);
            }
        }
    }

    fn take_exchange(&mut self, exchange: &Exchange) {
        let verdict = self.utc.observe(exchange, self.heard_line(exchange.raw));
        debug!(?verdict, delay = %exchange.delay, "NTP exchange");
        match verdict {
            UtcVerdict::Accepted => {
                self.fix.accepted = self.fix.accepted.saturating_add(1);
                self.fix.first.get_or_insert(exchange.raw);
            }
            UtcVerdict::Refused(_) => {}
            UtcVerdict::Restarted(by) => warn!(moved_by = %by, "NTP insists on another time: believed"),
            UtcVerdict::Panic(by) => self.health.panic(by, self.config.panic_threshold),
        }
    }

    fn send_ntp_requests(&mut self) {
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

    fn rejoin_after_silence(&mut self) {
        if self.now < self.rejoin_at {
            return;
        }
        self.rejoin_at = self.now + REJOIN_AFTER;
        let rejoined = self.network.rejoin();
        self.health.joining(rejoined.err());
        self.follower.set_interfaces(&self.network.interfaces());
    }

    fn decide(&mut self) {
        self.utc.follow(self.now, self.heard_line(self.now));
        let Some(view) = self.view() else {
            self.decide_at = self.now + WAIT_MAX;
            return;
        };
        let decision = self.discipline.decide(&view);
        self.decide_at = decision.again;
        self.act(&decision);
        if self.now >= self.status_at {
            self.status_at = self.now + STATUS_EVERY;
            self.tell_kernel();
        }
    }

    fn act(&mut self, decision: &Decision) {
        if let Some(by) = decision.step {
            self.step(by);
        }
        if let Some(rate) = decision.rate {
            self.set_rate(rate);
        }
    }

    fn step(&mut self, by: Span) {
        let Some(old) = self.timeline.current().map(|line| line.moved_to(self.now)) else { return };
        let done = match self.clock.step(by) {
            Ok(done) => done,
            Err(error) => {
                self.discipline.step_failed(by);
                self.fix.retry_at = Some(self.now + STEP_RETRY);
                return warn!(%error, "the clock was not stepped; the next try is in a minute");
            }
        };
        // The target was moved by what was wanted already.
        self.discipline.adopt_foreign_step(done - by);
        self.steps = self.steps.saturating_add(1);
        let (old_ns, new_ns) = (old.a.as_ns(), (old.a + done).as_ns());
        info!(by = %done, old_ns, new_ns, "stepped the clock to UTC");
        // Unread, our own step would look like somebody else's.
        let expected = Reading { raw: old.b, system: old.a + done, uncertainty: Span::ZERO };
        let after = self.reading().unwrap_or(expected);
        self.timeline.restart(after, old.rate);
    }

    /// Sets the rate, with the clock read before and after, so that stamps on their way are converted right.
    fn set_rate(&mut self, rate: Rate) {
        let Some(before) = self.reading() else { return };
        match self.clock.set_rate(rate) {
            Ok(set) => {
                self.health.clock(None);
                // Unread, the new rate would look like somebody else's: then it counts from the reading before.
                let after = self.reading().unwrap_or(before);
                self.timeline.changed(before, after, set);
            }
            Err(error) => self.health.clock(Some(error)),
        }
    }

    fn reading(&mut self) -> Option<Reading> {
        match self.clock.read() {
            Ok(reading) => {
                self.health.reading(None);
                Some(reading)
            }
            Err(error) => {
                self.health.reading(Some(error));
                None
            }
        }
    }

    fn tell_kernel(&mut self) {
        let utc = self.utc.at(self.now);
        let system = self.timeline.system_at(self.now);
        let status = match (utc, system) {
            (Some(utc), Some(system)) => {
                let error = Span::from_ns(system.as_ns().saturating_sub(utc.utc.as_ns())).abs();
                KernelStatus {
                    synchronised: self.discipline.state().0 == State::Locked,
                    max_error: error + utc.sigma.times(4) + utc.path_unknown,
                    est_error: error + utc.sigma,
                }
            }
            // Without a date nobody may take this clock for a synchronised one.
            _ => KernelStatus { synchronised: false, max_error: DATE_UNKNOWN, est_error: DATE_UNKNOWN },
        };
        let told: Result<(), ClockError> = self.clock.set_status(status);
        self.health.status(told.err());
    }

    /// Everything a decision rests on; None as long as the clock could not be read.
    fn view(&self) -> Option<View> {
        let system: Line<System, Raw> = self.timeline.current()?;
        let utc = self.utc.at(self.now).filter(|_| self.fix_is_ready());
        let leader = self.leader_now(self.now);
        Some(View {
            now: self.now,
            system,
            leader,
            utc,
            conflict: self.foreign.conflict,
            clock_obeys: self.health.clock_obeys(),
        })
    }

    fn leader_now(&self, at: Timestamp<Raw>) -> Option<LeaderNow> {
        Some(LeaderNow {
            line: self.leader.line(at)?,
            timescale: self.leader.timescale(),
            last_sample: self.leader.last_sample()?,
            interval: self.leader.spacing().unwrap_or(SPACING_UNKNOWN),
        })
    }

    /// The leader's line, as long as the leader is heard and the line has settled.
    fn heard_line(&self, at: Timestamp<Raw>) -> Option<(TimescaleId, Line<Leader, Raw>)> {
        let leader = self.leader_now(at)?;
        if !leader.is_heard(at) || leader.line.sigma > SETTLED {
            return None;
        }
        Some((leader.timescale, leader.line))
    }

    /// A single answer may lie: the first fix waits for a second one that agrees.
    fn fix_is_ready(&self) -> bool {
        if self.fix.retry_at.is_some_and(|at| self.now < at) {
            return false;
        }
        let waited = self.fix.first.is_some_and(|first| self.now - first >= FIX_PATIENCE);
        self.fix.accepted >= FIX_EXCHANGES || (self.fix.accepted >= 2 && waited)
    }
}

fn names(interfaces: &[crate::net::Interface]) -> String {
    interfaces.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
