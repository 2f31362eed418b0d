//! UTC's line, with the leader as flywheel.
//!
//! An NTP exchange says what UTC is, within half of what its packets were held up. Between exchanges a
//! leader's crystal keeps time far better than NTP tells it, so offset and drift are estimated against the
//! *leader's* time, which this computer knows to the µs; without a leader, against the raw timeline. Where
//! the leader's timescale changes, the old one is carried on.
//!
//! Of an exchange whose delay exceeds the smallest one by D, all that is known is that its error lies within
//! ± D/2; for delays that are exponential in both directions it is uniform there. So each exchange is weighted
//! by its own D.
//!
//! Each server has a line of its own. Whom the majority contradicts is not used, and the exchanges of the
//! others make the one line that comes out.

mod drift;
mod flywheel;
mod leap;
mod selection;
mod server;

use crate::ntp::ServerIndex;
use crate::ntp::client::{Exchange, POLL_MAX, POLL_MIN};
use crate::ntp::wire::Leap;
use crate::time::{Leader, Line, Rate, Raw, Span, TimescaleId, Timestamp, Utc};
use drift::Drift;
use flywheel::{Flywheel, RAW_WANDER};
use leap::LeapWatch;
use selection::{Interval, agreed};
use server::{Fit, ServerLine};

/// 99.9 % of a normal distribution, as in the leader's line.
const BOUND_SIGMAS: f64 = crate::estimator::leader::BOUND_SIGMAS;

/// A first fix needs this many exchanges of each server that agree, or …
const FIX_EXCHANGES: u32 = 4;
/// … two of one server and this much patience with the others.
const FIX_PATIENCE: Span = Span::from_secs(3);

/// A server that has not answered for this long has no voice: three of the slowest polls.
const VOICE: Span = POLL_MAX.times(3);

/// As long as the line stays as certain as this (one deviation), asking more often gains nothing: it is what
/// the stamps of an idle computer scatter by, and far below half a round trip to any server that is not next
/// door.
const GOOD_ENOUGH: f64 = 20e3;

/// Estimates UTC on the flywheel.
#[derive(Debug)]
pub struct UtcEstimator {
    flywheel: Flywheel,
    servers: Vec<ServerLine>,
    roles: Vec<Role>,
    /// The used server of which least is unknown.
    best: Option<usize>,
    line: Option<Drift>,
    /// How far the used servers contradict the line beyond what their exchanges explain, in ns.
    disagreement: f64,
    /// The line has been used: from now on it is defended.
    believed: bool,
    last: Option<Timestamp<Raw>>,
    leap: LeapWatch,
    panic: Span,
}

/// What a server counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It does not answer, or not often enough yet.
    Silent,
    /// Its exchanges make the line.
    Used,
    /// It may be right within its own bounds, but more than half of the servers agree far better without it.
    Spare,
    /// More than half of the servers contradict it.
    Outvoted,
    /// The servers contradict each other, and there is no majority: it is not used.
    Undecided,
}

/// What became of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UtcVerdict {
    /// It was used.
    Accepted,
    /// It does not fit what its server said before; by so much it differs from the line.
    Refused(Span),
    /// Its server has no say at present, because it is the only one of its opinion.
    NotUsed(Role),
    /// The servers insist: the line starts anew, this far from the old one.
    Restarted(Span),
    /// It disagrees by more than the panic threshold, and is refused for good.
    Panic(Span),
}

/// UTC at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UtcEstimate {
    /// UTC.
    pub utc: Timestamp<Utc>,
    /// Its standard deviation, as far as exchanges can tell it.
    pub sigma: Span,
    /// A part of the error that no filter removes: half of the smallest round trip to the best server.
    pub path_unknown: Span,
    /// Another: what that server says that it can be off itself.
    pub root_distance: Span,
    /// UTC's rate against the flywheel, and its standard deviation.
    pub rate: (Rate, Rate),
    /// Whether a leader has ever turned the flywheel, so that the rate is against it.
    pub on_leader: bool,
}

impl UtcEstimate {
    /// All that UTC can be off, 99.9 %: what exchanges leave open, unequal paths, and the server's own error.
    pub fn max_error(&self) -> Span {
        Span::from_ns_f64(BOUND_SIGMAS * self.sigma.as_ns_f64()) + self.path_unknown + self.root_distance
    }
}

/// Who vouches for the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// How many servers are used.
    pub servers: usize,
    /// For how long one of them has told the same.
    pub agreed_for: Span,
}

/// One server as it stands beside the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerReport {
    /// What it counts for.
    pub role: Role,
    /// Its time minus the line's; None as long as one of both is missing.
    pub offset: Option<Span>,
    /// The standard deviation of its time.
    pub sigma: Option<Span>,
    /// The smallest round trip lately.
    pub delay: Span,
    /// What it can be off itself.
    pub root_distance: Span,
    /// When it last answered.
    pub last: Option<Timestamp<Raw>>,
}

/// A server that has a voice, at one instant.
#[derive(Debug, Clone, Copy)]
struct Voice {
    index: usize,
    drift: Drift,
    unknown: Span,
}

impl Voice {
    /// Where it says that UTC is, all errors counted.
    fn full(&self) -> Interval {
        Interval::around(self.drift.utc(), bound(self.drift.sigma()) + self.unknown)
    }

    /// The same if paths were equal and servers right.
    fn tight(&self) -> Interval {
        Interval::around(self.drift.utc(), bound(self.drift.sigma()))
    }
}

impl UtcEstimator {
    /// From now on, errors above `panic` are refused.
    pub fn set_panic(&mut self, panic: Span) {
        self.panic = panic;
    }

    /// For so many servers; knows nothing. After the first fix, errors above `panic` are refused.
    pub fn new(servers: usize, panic: Span) -> Self {
        Self {
            flywheel: Flywheel::default(),
            servers: (0..servers).map(|_| ServerLine::default()).collect(),
            roles: vec![Role::Silent; servers],
            best: None,
            line: None,
            disagreement: 0.0,
            believed: false,
            last: None,
            leap: LeapWatch::default(),
            panic,
        }
    }

    /// Takes an exchange; `leader` is the leader's line now, with its timescale.
    pub fn observe(
        &mut self,
        exchange: &Exchange,
        leader: Option<(TimescaleId, Line<Leader, Raw>)>,
    ) -> UtcVerdict {
        self.follow(exchange.raw, leader);
        let ServerIndex(index) = exchange.server;
        let (at, wander) = (self.flywheel.at(exchange.raw), self.flywheel.wander());
        let Some(server) = self.servers.get_mut(index) else { return UtcVerdict::NotUsed(Role::Silent) };
        let fit = server.observe(exchange, at, wander, self.believed);
        let error = self.line.map(|line| Span::from_ns_f64(line.at(at, wander).innovation(exchange.utc)));
        let outcome = self.select(exchange.raw);
        if let Some(line) = &self.line {
            self.leap.announced(self.announced(), line.at(at, wander).utc());
        }
        match (fit, outcome) {
            (_, Selected::Began) => self.taken(exchange),
            (_, Selected::Restarted(by)) => {
                self.last = Some(exchange.raw);
                UtcVerdict::Restarted(by)
            }
            // One that the others outvote says nothing of the clock.
            _ if self.role(index) == Role::Used
                && error.is_some_and(|error| self.believed && error.abs() > self.panic) =>
            {
                UtcVerdict::Panic(error.unwrap_or_default())
            }
            (Fit::Refused, _) => UtcVerdict::Refused(error.unwrap_or_default()),
            _ if self.role(index) != Role::Used => UtcVerdict::NotUsed(self.role(index)),
            (Fit::Moved, _) => self.taken(exchange),
            (Fit::Fits(sigma), Selected::Kept) => {
                let sigma = sigma.hypot(self.handicap(index));
                if let Some(line) = self.line.as_mut() {
                    *line = line.at(at, wander);
                    *line = line.corrected(line.innovation(exchange.utc), sigma);
                }
                self.taken(exchange)
            }
        }
    }

    /// Whether the leader turns the flywheel now.
    pub fn rides_on_leader(&self) -> bool {
        !self.flywheel.is_coasting()
    }

    fn taken(&mut self, exchange: &Exchange) -> UtcVerdict {
        self.last = Some(exchange.raw);
        UtcVerdict::Accepted
    }

    /// The line is used from now on: what contradicts it must insist.
    pub fn believe(&mut self) {
        self.believed = true;
    }

    /// The server has become another one: what it said is forgotten.
    pub fn forget(&mut self, server: ServerIndex) {
        if let Some(server) = self.servers.get_mut(server.0) {
            *server = ServerLine::default();
        }
    }

    /// The leader's rate has just changed: UTC's rate against it is unknown again, and the last few seconds
    /// have moved its offset. What was known until `now` stays: it is from here on that the rate is unknown.
    pub fn leader_turned(&mut self, now: Timestamp<Raw>) {
        let (at, wander) = (self.flywheel.at(now), self.flywheel.wander());
        self.each_drift(|drift| {
            *drift = drift.at(at, wander);
            drift.flywheel_turned();
        });
    }

    /// Keeps the flywheel on the leader; without one it coasts on the last line. Makes the leap second that has
    /// been announced.
    pub fn follow(&mut self, now: Timestamp<Raw>, leader: Option<(TimescaleId, Line<Leader, Raw>)>) {
        let first = !self.flywheel.is_leaders();
        if self.flywheel.follow(now, leader) {
            // Another flywheel, another rate; the offset goes on. Until now it was our own oscillator's turn.
            let (at, wander) = (self.flywheel.at(now), RAW_WANDER);
            self.each_drift(|drift| {
                *drift = drift.at(at, wander);
                if first { drift.flywheel_found() } else { drift.flywheel_replaced() }
            });
        }
        let utc = self.line.map(|line| line.at(self.flywheel.at(now), 0.0).utc());
        if let Some((leap, by)) = utc.and_then(|utc| self.leap.due(utc)) {
            self.servers.iter_mut().for_each(|server| server.make_leap(leap, by));
            self.line.iter_mut().for_each(|line| line.leap(by));
        }
    }

    fn each_drift(&mut self, change: impl Fn(&mut Drift)) {
        self.servers.iter_mut().for_each(|server| server.each_drift(&change));
        self.line.iter_mut().for_each(change);
    }

    /// UTC at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Option<UtcEstimate> {
        let line = self.line?.at(self.flywheel.at(raw), self.flywheel.wander());
        let best = self.best.and_then(|best| self.servers.get(best));
        Some(UtcEstimate {
            utc: line.utc(),
            sigma: Span::from_ns_f64(line.sigma().hypot(self.disagreement)),
            path_unknown: best.map_or(Span::ZERO, |best| best.smallest_delay().half()),
            root_distance: best.map_or(Span::ZERO, ServerLine::root_distance),
            rate: line.rate(),
            on_leader: self.flywheel.is_leaders(),
        })
    }

    /// When the last exchange was used.
    pub fn last_accepted(&self) -> Option<Timestamp<Raw>> {
        self.last
    }

    /// The leap second that was made since the last call: by so much UTC has jumped.
    pub fn take_leap(&mut self) -> Option<Span> {
        self.leap.take_made()
    }

    /// The leap second that most servers announce, and when it comes.
    pub fn pending_leap(&self) -> Option<(Leap, Timestamp<Utc>)> {
        self.leap.pending()
    }

    /// Who vouches for the line.
    pub fn witness(&self) -> Witness {
        let used = || self.servers.iter().zip(&self.roles).filter(|(_, role)| **role == Role::Used);
        let told = used().filter_map(|(server, _)| Some(server.last()? - server.agreeing()?.1));
        Witness { servers: used().count(), agreed_for: told.max().unwrap_or_default() }
    }

    /// Whether all servers have spoken, or have had their time: before, every majority is provisional.
    pub fn has_heard_all(&self, now: Timestamp<Raw>) -> bool {
        let told = || self.servers.iter().map(ServerLine::agreeing);
        let all = told().all(|told| told.is_some_and(|(exchanges, _)| exchanges >= FIX_EXCHANGES));
        let began = told().flatten().map(|(_, began)| began).min();
        all || began.is_some_and(|began| now - began >= FIX_PATIENCE)
    }

    /// Each server beside the line, in the order in which they were configured.
    pub fn servers(&self, raw: Timestamp<Raw>) -> impl Iterator<Item = ServerReport> {
        let (at, wander) = (self.flywheel.at(raw), self.flywheel.wander());
        let line = self.line.map(|line| line.at(at, wander).utc());
        self.servers.iter().zip(&self.roles).map(move |(server, role)| {
            let own = server.at(at, wander);
            ServerReport {
                role: *role,
                offset: own.and_then(|own| Some(own.utc() - line?)),
                sigma: own.map(|own| Span::from_ns_f64(own.sigma())),
                delay: server.smallest_delay(),
                root_distance: server.root_distance(),
                last: server.last(),
            }
        })
    }

    /// How long the server need not be asked: as long as the line stays good enough by itself.
    pub fn poll(&self, server: ServerIndex) -> Span {
        let in_doubt = self.servers.get(server.0).is_none_or(ServerLine::is_in_doubt);
        let (Some(line), Some(last), false) = (self.line, self.last, in_doubt) else { return POLL_MIN };
        if self.role(server.0) == Role::Undecided {
            return POLL_MIN;
        }
        let mut poll = POLL_MIN;
        while poll < POLL_MAX {
            let at = self.flywheel.at(last + poll.times(2));
            if line.at(at, self.flywheel.wander()).sigma() > GOOD_ENOUGH {
                break;
            }
            poll = poll.times(2);
        }
        poll
    }

    fn role(&self, index: usize) -> Role {
        self.roles.get(index).copied().unwrap_or(Role::Silent)
    }

    /// What nobody can tell of a server counts as noise as far as it exceeds the best one's, in ns.
    fn handicap(&self, index: usize) -> f64 {
        let unknown = |index| self.servers.get(index).map_or(Span::ZERO, ServerLine::unknown);
        let best = self.best.map_or(Span::ZERO, unknown);
        (unknown(index) - best).as_ns_f64().max(0.0) / BOUND_SIGMAS
    }

    /// The leap second that more than half of the used servers announce.
    fn announced(&self) -> Option<Leap> {
        let used = || self.servers.iter().zip(&self.roles).filter(|(_, role)| **role == Role::Used);
        let most = |leap: &Leap| {
            let announcing = used().filter(|(server, _)| server.leap() == Some(*leap)).count();
            announcing.saturating_mul(2) > used().count()
        };
        [Leap::Insert, Leap::Delete].into_iter().find(most)
    }
}

/// What a selection did to the line.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Selected {
    /// Nothing.
    Kept,
    /// There was none, or nobody had relied on it.
    Began,
    /// The servers agree on another time, by so much later.
    Restarted(Span),
}

// Whom to believe.
impl UtcEstimator {
    /// Gives each server its role, and begins the line anew where the servers agree on another one.
    fn select(&mut self, now: Timestamp<Raw>) -> Selected {
        let voices = self.voices(now);
        let line = self.line.map(|line| line.at(self.flywheel.at(now), self.flywheel.wander()));
        let (used, hull) = self.give_roles(&voices, line.as_ref());
        let best = used.iter().min_by_key(|voice| voice.full().width());
        let Some(best) = best.copied() else { return Selected::Kept };
        let least = used.iter().min_by_key(|voice| voice.unknown);
        self.best = least.map(|voice| voice.index);
        let outcome = match line {
            None if self.has_heard_all(now) => Selected::Began,
            None => Selected::Kept,
            Some(line) => {
                let by = best.drift.utc() - line.utc();
                let own = Interval::around(line.utc(), bound(line.sigma()));
                match hull.is_some_and(|hull| !hull.meets(&own)) {
                    true if !self.believed => Selected::Began,
                    true if by.abs() <= self.panic => Selected::Restarted(by),
                    _ => Selected::Kept,
                }
            }
        };
        if outcome != Selected::Kept {
            self.line = Some(best.drift);
        }
        self.disagreement = match &self.line {
            Some(line) => disagreement(&used, line.at(self.flywheel.at(now), 0.0).utc()),
            None => 0.0,
        };
        outcome
    }

    /// The servers that have said the same twice, and lately.
    fn voices(&self, now: Timestamp<Raw>) -> Vec<Voice> {
        let (at, wander) = (self.flywheel.at(now), self.flywheel.wander());
        let voice = |(index, server): (usize, &ServerLine)| {
            let heard = server.last().is_some_and(|last| now - last <= VOICE);
            let agrees = server.agreeing().is_some_and(|(exchanges, _)| exchanges >= 2);
            let drift = server.at(at, wander).filter(|_| heard && agrees)?;
            Some(Voice { index, drift, unknown: server.unknown() })
        };
        self.servers.iter().enumerate().filter_map(voice).collect()
    }

    /// Who is used, and where those agree that UTC is (`None`: only as far as each agrees with the line).
    fn give_roles(&mut self, voices: &[Voice], line: Option<&Drift>) -> (Vec<Voice>, Option<Interval>) {
        self.roles.fill(Role::Silent);
        let full: Vec<Interval> = voices.iter().map(Voice::full).collect();
        let Some(hull) = agreed(&full) else {
            let used = line.map_or_else(Vec::new, |line| loyal(voices, line));
            self.assign(voices, Role::Undecided);
            self.assign(&used, Role::Used);
            return (used, None);
        };
        let survivors: Vec<Voice> =
            voices.iter().copied().filter(|voice| voice.full().meets(&hull)).collect();
        self.assign(voices, Role::Outvoted);
        self.assign(&survivors, Role::Spare);
        // Unequal paths do not agree to the µs by chance: whom a majority agrees with so closely is right.
        let tight: Vec<Interval> = survivors.iter().map(Voice::tight).collect();
        let (used, hull) = match agreed(&tight) {
            Some(inner) => {
                (survivors.into_iter().filter(|voice| voice.tight().meets(&inner)).collect(), inner)
            }
            None => (survivors, hull),
        };
        self.assign(&used, Role::Used);
        (used, Some(hull))
    }

    fn assign(&mut self, voices: &[Voice], role: Role) {
        for voice in voices {
            if let Some(it) = self.roles.get_mut(voice.index) {
                *it = role;
            }
        }
    }
}

/// Without a majority: those that agree with what the line has been until now, unless they contradict each
/// other even so.
fn loyal(voices: &[Voice], line: &Drift) -> Vec<Voice> {
    let past = Interval::around(line.utc(), bound(line.sigma()));
    let loyal: Vec<Voice> = voices.iter().copied().filter(|voice| voice.full().meets(&past)).collect();
    let full: Vec<Interval> = loyal.iter().map(Voice::full).collect();
    if agreed(&full).is_some() { loyal } else { Vec::new() }
}

/// How far the used servers are off the line beyond what their exchanges explain, root mean square, in ns.
fn disagreement(used: &[Voice], line: Timestamp<Utc>) -> f64 {
    let beyond = used.iter().map(|voice| {
        let off = (voice.drift.utc() - line).as_ns_f64().abs();
        (off - BOUND_SIGMAS * voice.drift.sigma()).max(0.0)
    });
    let (sum, count) = beyond.fold((0.0, 0.0), |(sum, count), it| (sum + it * it, count + 1.0));
    f64::sqrt(sum / f64::max(count, 1.0))
}

fn bound(sigma: f64) -> Span {
    Span::from_ns_f64(BOUND_SIGMAS * sigma)
}

#[cfg(test)]
mod tests;
