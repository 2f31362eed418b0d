//! The loop: it carries values from the backends to the parts that decide, and decisions back.

mod announce;
mod foreign;
mod health;
mod history;
mod kernel;
mod names;
mod ntp;
mod report;
mod resume;

use tracing::{debug, info, warn};

use crate::clock::rate::Dither;
use crate::clock::{Foreign, KernelLeap, Reading, SystemClock, Timeline};
use crate::config::Config;
use crate::discipline::{Decision, Discipline, LeaderNow, View};
use crate::estimator::leader::{Change, LeaderEstimator, Verdict};
use crate::estimator::utc::UtcEstimator;
use crate::events::EventKind;
use crate::net::{Interface, NetworkEvent, Pollable, PtpNetwork, StampSource};
use crate::ntp::NtpSource;
use crate::ntp::client::Client;
use crate::ptp::follower::Follower;
use crate::ptp::{Outcome, SyncSample};
use crate::snapshot::State;
use crate::time::{Leader, Line, Rate, Raw, Span, System, TimescaleId, Timestamp};
use foreign::Foreigners;
pub use foreign::Lookup;
use health::Health;
use history::History;
use names::Names;
use ntp::Fix;
use report::Reporter;
use resume::Continuity;

/// Events that are taken in one turn before the clock is looked after again: a flood must not starve it.
const EVENTS_PER_TURN: usize = 64;

/// The distance of samples before there were two: what Dante devices send.
const SPACING_UNKNOWN: Span = Span::from_ms(250);

/// The kernel is told the clock's quality this often.
const STATUS_EVERY: Span = Span::from_secs(10);

/// The follower is told that time passes this often: what a pair depends on, it looks at when the pair comes.
const LOOK_EVERY: Span = Span::from_ms(100);

/// After so long without a sample the group is joined anew, again and again: memberships get lost.
const REJOIN_AFTER: Span = Span::from_secs(10);

/// The longest wait, whatever nobody has to do.
const WAIT_MAX: Span = Span::from_secs(1);

/// Whoever was away for longer than the longest wait stood still; …
const STOOD_STILL: Span = Span::from_secs(2);
/// … and reads for so long at most before it decides anything.
const CATCH_UP: Span = Span::from_secs(1);

/// A step that was refused is tried again after this.
const STEP_RETRY: Span = Span::from_secs(60);

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
    dither: Dither,
    reporter: Reporter,
    health: Health,
    /// The time of this turn.
    now: Timestamp<Raw>,
    /// The loop stood still, and until then at most it only reads what has come meanwhile.
    behind_until: Timestamp<Raw>,
    /// The last turn decided nothing for that.
    was_behind: bool,
    started: Timestamp<Raw>,
    decide_at: Timestamp<Raw>,
    status_at: Timestamp<Raw>,
    look_at: Timestamp<Raw>,
    rejoin_at: Timestamp<Raw>,
    fix: Fix,
    foreign: Foreigners,
    /// What the kernel was told last of a leap second.
    kernel_leap: KernelLeap,
    continuity: Continuity,
    history: History,
    names: Names,
    /// Who took the stamp of the last sample.
    stamps: Option<StampSource>,
    steps: u64,
    /// The sockets of NTP, kept between waits so that none of them allocates.
    others: Vec<Pollable>,
}

impl<N: PtpNetwork, C: SystemClock, S: NtpSource> PtpController<N, C, S> {
    /// Ready to run; nothing is touched yet. `seed` feeds the numbers in NTP requests and should be
    /// unpredictable outside of tests.
    pub fn new(config: Config, network: N, mut clock: C, ntp: S, seed: u64) -> Self {
        let now = clock.raw_now();
        let mut controller = Self {
            follower: Follower::new(config.subdomain),
            leader: LeaderEstimator::new(),
            utc: UtcEstimator::new(config.ntp_servers.len(), config.panic_threshold),
            client: Client::new(config.ntp_servers.len(), seed, now),
            discipline: Discipline::new(&config, now),
            dither: Dither::default(),
            reporter: Reporter::new(now),
            health: Health::default(),
            timeline: Timeline::new(),
            now,
            behind_until: now,
            was_behind: false,
            started: now,
            decide_at: now,
            status_at: now,
            look_at: now,
            rejoin_at: now + REJOIN_AFTER,
            fix: Fix::default(),
            foreign: Foreigners::default(),
            kernel_leap: KernelLeap::None,
            continuity: Continuity::default(),
            history: History::default(),
            names: Names::default(),
            stamps: None,
            steps: 0,
            others: Vec::new(),
            network,
            clock,
            ntp,
            config,
        };
        controller.listens_on(&controller.network.interfaces());
        controller
    }

    /// These interfaces are listened on now.
    fn listens_on(&mut self, interfaces: &[Interface]) {
        self.names.learn(interfaces);
        self.follower.set_interfaces(interfaces);
    }

    /// When somebody else changes the clock, `lookup` names who may have done it.
    #[must_use]
    pub fn naming_rivals_with(mut self, lookup: Lookup) -> Self {
        self.foreign.look_with(lookup);
        self
    }

    /// Other choices of the user, from now on; the clock does not jump. Servers and subdomain stay: they take a new
    /// start.
    pub fn reconfigure(&mut self, config: Config) {
        let Config { subdomain, ntp_servers, .. } = std::mem::replace(&mut self.config, config);
        self.config = Config { subdomain, ntp_servers, ..self.config.clone() };
        self.utc.set_panic(self.config.panic_threshold);
        self.discipline.reconfigure(&self.config);
        self.decide_at = self.now;
    }

    /// The raw timeline at the last turn.
    pub fn now(&self) -> Timestamp<Raw> {
        self.now
    }

    /// Whether the date is known, or nobody is asked for it.
    pub fn is_dated(&self) -> bool {
        self.config.ntp_servers.is_empty() || self.discipline.is_dated()
    }

    /// One turn of the loop: waits once, at most until the next deadline, takes what has come, decides, acts.
    /// Faults of the backends are kept for the snapshot and never stop the loop.
    pub fn turn(&mut self) {
        self.wait();
        let before = std::mem::replace(&mut self.now, self.clock.raw_now());
        self.read_clock();
        let something_came = self.take_network_events();
        self.take_ntp_events();
        self.send_ntp_requests();
        if self.now >= self.look_at {
            self.look_at = self.now + LOOK_EVERY;
            self.follower.handle_time(self.now);
            self.look_at_counter();
        }
        if self.is_behind(before, something_came) {
            return;
        }
        self.rejoin_after_silence();
        if self.now >= self.decide_at {
            self.decide();
            self.report_utc();
        } else {
            self.turn_clock_over();
        }
        self.report();
    }

    /// Leaves the learned rate in place.
    pub fn shut_down(&mut self) {
        self.now = self.clock.raw_now();
        let rate = self.view().and_then(|view| self.discipline.learned_rate(&view));
        // Nobody turns the clock over any more: it stays at the nearest rate that it has.
        self.dither = Dither::default();
        if let Some(rate) = rate.filter(|_| !self.foreign.conflict()) {
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
        let next = self.dither.due().map_or(self.decide_at, |due| due.min(self.decide_at));
        let timeout = (next.min(ntp) - now).max(Span::ZERO).min(WAIT_MAX);
        self.others.clear();
        self.ntp.pollables(&mut self.others);
        let waited = self.network.wait(timeout, &mut self.others);
        self.health.network(waited.err());
        self.ntp.mark_ready(&self.others);
    }

    /// Ties the system clock to the raw timeline, and sees whether somebody else moved it.
    fn read_clock(&mut self) {
        let Some(reading) = self.reading() else { return };
        if self.timeline.current().is_none() {
            let rate = self.clock.rate().unwrap_or(Rate::ZERO);
            self.timeline.restart(reading, rate);
            self.has_slept();
            return;
        }
        let rate = self.timeline.current().map_or(Rate::ZERO, |line| line.rate);
        if let Some(foreign) = self.timeline.check(reading) {
            match self.has_slept() {
                Some(length) => self.wake(length, reading, rate),
                None => self.take_foreign_change(foreign),
            }
        }
        self.foreign.pass(self.now);
    }

    fn take_foreign_change(&mut self, foreign: Foreign) {
        if let Foreign::Step(by) = foreign {
            self.discipline.adopt_foreign_step(by);
        }
        let leap = matches!(foreign, Foreign::Step(by) if self.is_kernels_leap(by));
        let told = if leap { None } else { self.foreign.note(self.now, foreign) };
        if let Some(told) = told {
            self.note(EventKind::Foreign, &told);
        }
        self.decide_at = self.now;
    }

    /// Takes what has come, a turn's worth of it, which may be no more than one of each socket; whether there was any.
    fn take_network_events(&mut self) -> bool {
        for taken in 0..EVENTS_PER_TURN {
            match self.network.next_event(&self.timeline) {
                Ok(Some(event)) => self.take_network_event(event),
                Ok(None) => {
                    self.health.network_event(None);
                    return taken > 0;
                }
                Err(error) => {
                    self.health.network_event(Some(error));
                    return taken > 0;
                }
            }
        }
        true
    }

    /// Whether the loop stood still and has not read all that came meanwhile: what seems to be missing may be among it.
    /// As long as something comes, there may be more.
    fn is_behind(&mut self, before: Timestamp<Raw>, something_came: bool) -> bool {
        // Who stands still in every turn decides in every second one.
        let stood_still = self.now - before > STOOD_STILL && !self.was_behind;
        if stood_still {
            self.behind_until = self.now + CATCH_UP;
        }
        self.was_behind = self.now < self.behind_until && (stood_still || something_came);
        self.was_behind
    }

    fn take_network_event(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::Datagram(datagram) => match self.follower.handle_datagram(&datagram, self.now) {
                Outcome::Sample(sample) => self.take_sample(&sample),
                Outcome::Pending => {}
                Outcome::Dropped(reason) => debug!(?reason, source = %datagram.source, "datagram not used"),
            },
            NetworkEvent::LinkChanged { listening } => {
                info!(interfaces = %named(&listening), "interfaces changed");
                self.listens_on(&listening);
                self.client.network_changed(self.now);
            }
            // A listener sends nothing, so there is nothing to redeem; a path-delay measurement would.
            NetworkEvent::Transmitted { .. } => {}
        }
    }

    fn take_sample(&mut self, sample: &SyncSample) {
        self.rejoin_at = self.now + REJOIN_AFTER;
        self.health.joining(None);
        self.stamps = Some(sample.received.source);
        let verdict = self.leader.observe(sample);
        debug!(?verdict, sequence = sample.sequence, "sample");
        self.continue_with(sample, verdict);
        match verdict {
            Verdict::Accepted | Verdict::Outlier | Verdict::Paused(_) => {}
            Verdict::NewTimescale => {
                info!(leader = %sample.leader, "following a leader's time");
                self.note(EventKind::Leader, &format!("following the time of {}", sample.leader));
                self.decide_at = self.now;
            }
            Verdict::Changed(change) => {
                info!(?change, "the leader's line changed");
                // A longer path and a slower leader look alike at first.
                if change != Change::Noise {
                    self.utc.leader_turned(self.now);
                    self.set_ntp_polls();
                }
                self.decide_at = self.now;
            }
        }
        // The first sample after a silence ends it at once.
        if self.discipline.state().0 != State::Locked {
            self.decide_at = self.now;
        }
    }

    fn rejoin_after_silence(&mut self) {
        if self.now < self.rejoin_at {
            return;
        }
        self.rejoin_at = self.now + REJOIN_AFTER;
        let rejoined = self.network.rejoin();
        self.health.joining(rejoined.err());
        self.listens_on(&self.network.interfaces());
    }

    fn decide(&mut self) {
        self.follow_utc();
        let Some(view) = self.view() else {
            self.decide_at = self.now + WAIT_MAX;
            return;
        };
        self.compare_dates(&view);
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
        match decision.rate {
            Some(rate) => self.set_rate(rate),
            None => self.dither = Dither::default(),
        }
    }

    /// A clock of coarse rates runs at two of them in turn.
    fn turn_clock_over(&mut self) {
        let due = self.dither.due().is_some_and(|due| self.now >= due);
        if let Some(rate) = self.dither.wanted().filter(|_| due) {
            self.set_rate(rate);
        }
    }

    fn step(&mut self, by: Span) {
        let Some(old) = self.timeline.current().map(|line| line.moved_to(self.now)) else { return };
        let done = match self.clock.step(by) {
            Ok(done) => done,
            Err(error) => {
                self.discipline.step_failed(by);
                self.fix.retry_after(self.now + STEP_RETRY);
                return warn!(%error, "the clock was not stepped; the next try is in a minute");
            }
        };
        self.discipline.stepped(by, done);
        self.steps = self.steps.saturating_add(1);
        let (old_ns, new_ns) = (old.a.as_ns(), (old.a + done).as_ns());
        let (from, to) = (old.a.date(), (old.a + done).date());
        info!(by = %done, old_ns, new_ns, %from, %to, "stepped the clock");
        let stepped = format!("stepped the clock by {done}, from {from} to {to}");
        // Unread, our own step would look like somebody else's.
        let expected = Reading { raw: old.b, system: old.a + done, uncertainty: Span::ZERO };
        let after = self.reading().unwrap_or(expected);
        self.timeline.restart(after, old.rate);
        self.note(EventKind::Step, &stepped);
    }

    /// Sets the rate, with the clock read before and after, so that stamps on their way are converted right.
    fn set_rate(&mut self, rate: Rate) {
        let Some(before) = self.reading() else {
            self.dither = Dither::default();
            return;
        };
        let chosen = self.dither.choose(before.raw, rate, self.clock.rates_around(rate));
        match self.clock.set_rate(chosen) {
            Ok(set) => {
                self.health.clock(None);
                // Unread, the new rate would look like somebody else's: then it counts from the reading before.
                let after = self.reading().unwrap_or(before);
                self.dither.took(after.raw, set);
                self.timeline.changed(before, after, set);
            }
            Err(error) => {
                self.dither = Dither::default();
                self.health.clock(Some(error));
            }
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

    /// Everything a decision rests on; None as long as the clock could not be read.
    fn view(&self) -> Option<View> {
        let system: Line<System, Raw> = self.timeline.current()?;
        let utc = self.trusted_utc();
        let leader = self.leader_now(self.now);
        let local = match (self.config.utc_slew_window, &utc) {
            (Some(_), Some(utc)) => self.clock.local_offset(utc.utc),
            _ => Span::ZERO,
        };
        Some(View {
            now: self.now,
            system,
            excess: self.dither.excess(),
            leader,
            utc,
            local,
            conflict: self.foreign.conflict(),
            clock_obeys: self.health.clock_obeys(),
        })
    }

    fn leader_now(&self, at: Timestamp<Raw>) -> Option<LeaderNow> {
        Some(LeaderNow {
            line: self.leader.line(at)?,
            timescale: self.leader.timescale(),
            last_sample: self.leader.last_sample()?,
            interval: self.leader.spacing().unwrap_or(SPACING_UNKNOWN),
            jitter: self.leader.noise().map_or(Span::ZERO, |noise| Span::from_ns_f64(noise.deviation())),
        })
    }

    /// The leader's line, as long as the leader is heard and the line is as certain as a lock needs: UTC rides on it.
    fn heard_line(&self, at: Timestamp<Raw>) -> Option<(TimescaleId, Line<Leader, Raw>)> {
        let leader = self.leader_now(at)?;
        let certain = leader.is_certain(self.utc.rides_on_leader());
        (leader.is_heard(at) && certain).then_some((leader.timescale, leader.line))
    }
}

fn named(interfaces: &[Interface]) -> String {
    if interfaces.is_empty() {
        return "none".to_owned();
    }
    interfaces.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
