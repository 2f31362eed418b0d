//! What one server says of UTC.

use std::collections::VecDeque;

use super::drift::Drift;
use crate::ntp::client::Exchange;
use crate::ntp::wire::Leap;
use crate::time::{Leader, Raw, Span, Timestamp};

/// Exchanges over which the smallest delay is sought: at one per 16 s, half an hour; routes change.
const DELAYS: usize = 128;

/// Asymmetry that a stamp itself can have: the send stamp is taken before the packet leaves (ns).
const STAMP_FLOOR: f64 = 5e3;

/// Mean excess of a round trip over the smallest one, by that one, before it is known: 200 µs of 10 ms and
/// 20 µs of 0.3 ms are usual.
const EXCESS_GUESS: f64 = 1.0 / 16.0;

/// An exchange this many standard deviations off is refused, unless the next ones say the same.
const REFUSE_SIGMAS: f64 = 6.0;
/// So many refused exchanges in a row that agree among themselves: the server means it.
const INSIST: u32 = 8;

/// A server's line of its own, against the flywheel.
#[derive(Debug, Default)]
pub(super) struct ServerLine {
    line: Option<Story>,
    /// What the exchanges that do not fit the line say.
    rival: Option<Story>,
    delays: VecDeque<Span>,
    last: Option<Timestamp<Raw>>,
    root_distance: Span,
    leap: Option<Leap>,
}

/// A line, and how many exchanges tell it.
#[derive(Debug, Clone, Copy)]
struct Story {
    drift: Drift,
    exchanges: u32,
    began: Timestamp<Raw>,
}

/// How an exchange fits what its server said before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fit {
    /// It does; its standard deviation in ns.
    Fits(f64),
    /// It does not.
    Refused,
    /// It does not, and from now on it is the server's new line.
    Moved,
}

impl ServerLine {
    /// Takes an exchange at flywheel time `at`. Before the first fix is `believed`, nothing is defended: an
    /// answer that does not fit begins the line anew.
    pub(super) fn observe(
        &mut self,
        exchange: &Exchange,
        at: Timestamp<Leader>,
        wander: f64,
        believed: bool,
    ) -> Fit {
        if self.delays.len() >= DELAYS {
            self.delays.pop_front();
        }
        self.delays.push_back(exchange.delay);
        self.last = Some(exchange.raw);
        self.root_distance = exchange.root_distance;
        self.leap = Some(exchange.leap);
        let sigma = self.sigma_of(exchange);
        let Some(line) = self.line else {
            self.line = Some(Story::begin(exchange, at, sigma));
            return Fit::Fits(sigma);
        };
        if let Some(line) = line.told_by(exchange, at, wander, sigma) {
            (self.line, self.rival) = (Some(line), None);
            return Fit::Fits(sigma);
        }
        let rival = self.rival.and_then(|rival| rival.told_by(exchange, at, wander, sigma));
        let rival = rival.unwrap_or_else(|| Story::begin(exchange, at, sigma));
        if believed && rival.exchanges < INSIST {
            self.rival = Some(rival);
            return Fit::Refused;
        }
        (self.line, self.rival) = (Some(rival), None);
        Fit::Moved
    }

    /// Standard deviation of an exchange, in ns: its excess delay is uniform over both directions, and the
    /// smallest of `n` delays is itself too long by about a mean excess over √n. Two delays that are equal by
    /// chance prove nothing, so the mean begins at a guess that counts as one delay.
    fn sigma_of(&self, exchange: &Exchange) -> f64 {
        let smallest = self.smallest_delay();
        let excess = (exchange.delay - smallest).as_ns_f64();
        let total: f64 = self.delays.iter().map(|delay| (*delay - smallest).as_ns_f64()).sum();
        let count: f64 = self.delays.iter().map(|_| 1.0).sum();
        let unknown = if count < 2.0 {
            exchange.delay.as_ns_f64() / 4.0
        } else {
            (total + EXCESS_GUESS * smallest.as_ns_f64()) / count / count.sqrt()
        };
        (excess * 0.29).hypot(unknown).hypot(STAMP_FLOOR)
    }

    /// Its line at flywheel time `at`.
    pub(super) fn at(&self, at: Timestamp<Leader>, wander: f64) -> Option<Drift> {
        Some(self.line?.drift.at(at, wander))
    }

    /// How many exchanges in a row tell its line, and since when.
    pub(super) fn agreeing(&self) -> Option<(u32, Timestamp<Raw>)> {
        self.line.map(|line| (line.exchanges, line.began))
    }

    /// When it last answered.
    pub(super) fn last(&self) -> Option<Timestamp<Raw>> {
        self.last
    }

    /// Whether its last answers do not fit the ones before.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.rival.is_some()
    }

    /// The smallest round trip lately.
    pub(super) fn smallest_delay(&self) -> Span {
        self.delays.iter().copied().min().unwrap_or(Span::ZERO)
    }

    /// What the server itself can be off.
    pub(super) fn root_distance(&self) -> Span {
        self.root_distance
    }

    /// What no number of its answers tells: an unequal path, and the server's own error.
    pub(super) fn unknown(&self) -> Span {
        self.smallest_delay().half() + self.root_distance
    }

    /// The leap second that it announces.
    pub(super) fn leap(&self) -> Option<Leap> {
        self.leap
    }

    /// UTC jumps for a server that announced `leap`; the announcement is used up.
    pub(super) fn make_leap(&mut self, leap: Leap, by: Span) {
        if self.leap == Some(leap) {
            self.leap = None;
            self.each_drift(|drift| drift.leap(by));
        }
    }

    /// Does the same to the line and its rival.
    pub(super) fn each_drift(&mut self, change: impl Fn(&mut Drift)) {
        let stories = [self.line.as_mut(), self.rival.as_mut()];
        stories.into_iter().flatten().for_each(|story| change(&mut story.drift));
    }
}

impl Story {
    fn begin(exchange: &Exchange, at: Timestamp<Leader>, sigma: f64) -> Self {
        Self { drift: Drift::begin(exchange.utc, at, sigma), exchanges: 1, began: exchange.raw }
    }

    /// The line with one more exchange, if that fits.
    fn told_by(&self, exchange: &Exchange, at: Timestamp<Leader>, wander: f64, sigma: f64) -> Option<Self> {
        let drift = self.drift.at(at, wander);
        let innovation = drift.innovation(exchange.utc);
        let spread = drift.sigma().hypot(sigma);
        if innovation.abs() > REFUSE_SIGMAS * spread + exchange.delay.as_ns_f64() / 2.0 {
            return None;
        }
        let exchanges = self.exchanges.saturating_add(1);
        Some(Self { drift: drift.corrected(innovation, sigma), exchanges, ..*self })
    }
}
