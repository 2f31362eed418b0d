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

use std::collections::VecDeque;

use crate::ntp::client::Exchange;
use crate::time::{Leader, Line, Rate, Raw, Span, TimescaleId, Timestamp, Utc};

/// Exchanges over which the smallest delay is sought: at one per 16 s, half an hour; routes change.
const DELAYS: usize = 128;

/// Random walk of the leader's rate against UTC, in ns/s per √s: a crystal in a rack at constant temperature.
const LEADER_WANDER: f64 = 0.5;
/// The same for this computer's own oscillator, without a leader.
const RAW_WANDER: f64 = 5.0;

/// Rates against UTC, before anything is known (ns/s): leaders 6 to 23 ppm, computers up to 100 ppm.
const RATE_PRIOR: f64 = 50e3;

/// What a leader that turns by 25 ppm moves until it is noticed, 5 s later (ns).
const TURNED_OFFSET: f64 = 125e3;

/// Asymmetry that a stamp itself can have: the send stamp is taken before the packet leaves (ns).
const STAMP_FLOOR: f64 = 5e3;

/// An exchange this many standard deviations off is refused, unless the next ones say the same.
const REFUSE_SIGMAS: f64 = 6.0;
/// So many refused exchanges in a row mean that the estimate is wrong, not the exchanges.
const REFUSE_LIMIT: u32 = 8;

/// Estimates UTC on the flywheel.
#[derive(Debug)]
pub struct UtcEstimator {
    flywheel: Flywheel,
    state: Option<Drift>,
    delays: VecDeque<Span>,
    refused: u32,
    last: Option<Timestamp<Raw>>,
    panic: Span,
}

/// Offset and drift of UTC against the flywheel.
#[derive(Debug, Clone, Copy)]
struct Drift {
    anchor_utc: Timestamp<Utc>,
    anchor: Timestamp<Leader>,
    /// Time of the state, s after the anchor.
    time: f64,
    /// UTC minus flywheel, relative to the anchors, ns.
    offset: f64,
    /// Its drift, ns/s.
    rate: f64,
    var_offset: f64,
    covariance: f64,
    var_rate: f64,
}

impl Drift {
    fn predicted(&self, time: f64, wander: f64) -> Self {
        let dt = (time - self.time).max(0.0);
        let walk = wander * wander;
        Self {
            time,
            offset: self.offset + self.rate * (time - self.time),
            var_offset: self.var_offset
                + 2.0 * self.covariance * dt
                + self.var_rate * dt * dt
                + walk * dt * dt * dt / 3.0,
            covariance: self.covariance + self.var_rate * dt + walk * dt * dt / 2.0,
            var_rate: self.var_rate + walk * dt,
            ..*self
        }
    }

    fn time_of(&self, flywheel: Timestamp<Leader>) -> f64 {
        (flywheel - self.anchor).as_secs_f64()
    }

    fn relative(&self, utc: Timestamp<Utc>, flywheel: Timestamp<Leader>) -> f64 {
        ((utc - self.anchor_utc) - (flywheel - self.anchor)).as_ns_f64()
    }
}

/// What became of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UtcVerdict {
    /// It was used.
    Accepted,
    /// It disagrees with what is known, by this much.
    Refused(Span),
    /// It disagreed, as did the ones before: the estimate starts anew from it.
    Restarted(Span),
    /// It disagrees by more than the panic threshold, and is refused for good.
    Panic(Span),
}

/// UTC at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UtcEstimate {
    /// UTC.
    pub utc: Timestamp<Utc>,
    /// Its standard deviation.
    pub sigma: Span,
    /// The part of the error that no filter removes: half of the smallest round trip.
    pub path_unknown: Span,
    /// UTC's rate against the flywheel, and its standard deviation.
    pub rate: (Rate, Rate),
    /// Whether the flywheel is the leader.
    pub on_leader: bool,
}

impl UtcEstimator {
    /// Knows nothing; after the first fix, errors above `panic` are refused.
    pub fn new(panic: Span) -> Self {
        Self {
            flywheel: Flywheel::default(),
            state: None,
            delays: VecDeque::with_capacity(DELAYS),
            refused: 0,
            last: None,
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
        let flywheel = self.flywheel.at(exchange.raw);
        if self.delays.len() >= DELAYS {
            self.delays.pop_front();
        }
        self.delays.push_back(exchange.delay);
        let sigma = self.sigma_of(exchange);
        let wander = self.flywheel.wander();
        let Some(state) = self.state else {
            self.restart(exchange, flywheel, sigma);
            return UtcVerdict::Accepted;
        };
        let at = state.predicted(state.time_of(flywheel), wander);
        let innovation = state.relative(exchange.utc, flywheel) - at.offset;
        let error = Span::from_ns_f64(innovation);
        let spread = (at.var_offset + sigma * sigma).sqrt();
        if error.abs() > self.panic {
            self.refused = self.refused.saturating_add(1);
            return UtcVerdict::Panic(error);
        }
        if innovation.abs() > REFUSE_SIGMAS * spread + exchange.delay.as_ns_f64() / 2.0 {
            self.refused = self.refused.saturating_add(1);
            if self.refused < REFUSE_LIMIT {
                return UtcVerdict::Refused(error);
            }
            self.restart(exchange, flywheel, sigma);
            return UtcVerdict::Restarted(error);
        }
        self.refused = 0;
        self.last = Some(exchange.raw);
        let gain = at.var_offset / (spread * spread);
        let rate_gain = at.covariance / (spread * spread);
        self.state = Some(Drift {
            offset: at.offset + gain * innovation,
            rate: at.rate + rate_gain * innovation,
            var_offset: (1.0 - gain) * at.var_offset,
            covariance: (1.0 - gain) * at.covariance,
            var_rate: at.var_rate - rate_gain * at.covariance,
            ..at
        });
        UtcVerdict::Accepted
    }

    /// Standard deviation of an exchange: its excess delay is uniform over both directions.
    fn sigma_of(&self, exchange: &Exchange) -> f64 {
        let smallest = self.delays.iter().copied().min().unwrap_or(exchange.delay);
        let excess = (exchange.delay - smallest).as_ns_f64();
        let total: f64 = self.delays.iter().map(|delay| (*delay - smallest).as_ns_f64()).sum();
        let count: f64 = self.delays.iter().map(|_| 1.0).sum();
        // With few exchanges the smallest delay itself is uncertain: in a fresh list by a mean excess.
        let unknown =
            if count < 2.0 { exchange.delay.as_ns_f64() / 4.0 } else { total / count / count.sqrt() };
        (excess * 0.29).hypot(unknown).hypot(STAMP_FLOOR)
    }

    fn restart(&mut self, exchange: &Exchange, flywheel: Timestamp<Leader>, sigma: f64) {
        self.refused = 0;
        self.last = Some(exchange.raw);
        self.state = Some(Drift {
            anchor_utc: exchange.utc,
            anchor: flywheel,
            time: 0.0,
            offset: 0.0,
            rate: 0.0,
            var_offset: sigma * sigma,
            covariance: 0.0,
            var_rate: RATE_PRIOR * RATE_PRIOR,
        });
    }

    /// The leader's rate has just changed: UTC's rate against it is unknown again, and the last few seconds
    /// have moved its offset.
    pub fn leader_turned(&mut self) {
        if let Some(state) = self.state.as_mut() {
            state.var_rate += RATE_PRIOR * RATE_PRIOR;
            state.var_offset += TURNED_OFFSET * TURNED_OFFSET;
            state.covariance = 0.0;
        }
    }

    /// Keeps the flywheel on the leader; without one it coasts on the last line.
    pub fn follow(&mut self, now: Timestamp<Raw>, leader: Option<(TimescaleId, Line<Leader, Raw>)>) {
        let Some((timescale, line)) = leader else {
            self.flywheel.coasting = true;
            return;
        };
        if self.flywheel.follow(now, timescale, line)
            && let Some(state) = self.state.as_mut()
        {
            // Another flywheel, another rate; the offset goes on.
            let here = state.predicted(state.time_of(self.flywheel.at(now)), RAW_WANDER);
            *state = Drift { covariance: 0.0, var_rate: here.var_rate + RATE_PRIOR * RATE_PRIOR, ..here };
        }
    }

    /// UTC at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Option<UtcEstimate> {
        let state = self.state?;
        let flywheel = self.flywheel.at(raw);
        let at = state.predicted(state.time_of(flywheel), self.flywheel.wander());
        let smallest = self.delays.iter().copied().min().unwrap_or(Span::ZERO);
        Some(UtcEstimate {
            utc: state.anchor_utc + (flywheel - state.anchor) + Span::from_ns_f64(at.offset),
            sigma: Span::from_ns_f64(at.var_offset.sqrt()),
            path_unknown: smallest.half(),
            rate: (Rate::from_ratio(at.rate * 1e-9), Rate::from_ratio(at.var_rate.sqrt() * 1e-9)),
            on_leader: self.flywheel.timescale.is_some(),
        })
    }

    /// When the last accepted exchange was made.
    pub fn last_accepted(&self) -> Option<Timestamp<Raw>> {
        self.last
    }
}

/// Leader time carried on across changes of the leader; raw time before the first one.
#[derive(Debug)]
struct Flywheel {
    timescale: Option<TimescaleId>,
    line: Line<Leader, Raw>,
    /// What is added to the leader's time so that nothing jumps where the timescale changes.
    shift: Span,
    /// The leader is not heard: it is this computer's oscillator that turns the flywheel.
    coasting: bool,
}

impl Default for Flywheel {
    fn default() -> Self {
        let line = Line::exact(Timestamp::EPOCH, Timestamp::EPOCH, Rate::ZERO);
        Self { timescale: None, line, shift: Span::ZERO, coasting: true }
    }
}

impl Flywheel {
    fn at(&self, raw: Timestamp<Raw>) -> Timestamp<Leader> {
        self.line.at(raw) + self.shift
    }

    /// Returns whether another leader turns it now, or the same one again after a silence.
    fn follow(&mut self, now: Timestamp<Raw>, timescale: TimescaleId, line: Line<Leader, Raw>) -> bool {
        let changed = self.coasting || self.timescale != Some(timescale);
        if changed {
            self.shift = self.at(now) - line.at(now);
            self.timescale = Some(timescale);
            self.coasting = false;
        }
        self.line = line;
        changed
    }

    fn wander(&self) -> f64 {
        if self.coasting { RAW_WANDER } else { LEADER_WANDER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntp::ServerIndex;

    const UTC_0: i64 = 1_700_000_000_000_000_000;

    fn exchange(raw_s: f64, error_us: i64, delay_us: i64) -> Exchange {
        let ns = Span::from_secs_f64(raw_s).as_ns();
        Exchange {
            server: ServerIndex(0),
            raw: Timestamp::from_ns(ns),
            utc: Timestamp::from_ns(UTC_0 + ns + error_us * 1_000),
            delay: Span::from_us(delay_us),
            root_distance: Span::ZERO,
            leap: crate::ntp::wire::Leap::None,
            stratum: 2,
        }
    }

    fn error_ns(estimator: &UtcEstimator, raw_s: f64) -> i64 {
        let raw = Timestamp::from_ns(Span::from_secs_f64(raw_s).as_ns());
        (estimator.at(raw).unwrap().utc - Timestamp::from_ns(UTC_0 + raw.as_ns())).as_ns()
    }

    #[test]
    fn an_exchange_that_was_held_up_weighs_little() {
        let mut estimator = UtcEstimator::new(Span::from_secs(10));
        for k in 0..8 {
            estimator.observe(&exchange(f64::from(k), 0, 10_000), None);
        }
        estimator.observe(&exchange(8.0, 2_000, 14_000), None);
        assert!(error_ns(&estimator, 8.0).abs() < 30_000, "{}", error_ns(&estimator, 8.0));
    }

    #[test]
    fn a_lone_liar_is_refused_and_a_persistent_one_believed() {
        let mut estimator = UtcEstimator::new(Span::from_secs(10));
        for k in 0..8 {
            assert_eq!(
                estimator.observe(&exchange(f64::from(k) * 16.0, 0, 10_000), None),
                UtcVerdict::Accepted
            );
        }
        let lie = estimator.observe(&exchange(130.0, 1_000_000, 10_000), None);
        assert!(matches!(lie, UtcVerdict::Refused(_)), "{lie:?}");
        assert!(error_ns(&estimator, 130.0).abs() < 100_000);
        let mut verdicts = (0..8)
            .map(|k| estimator.observe(&exchange(146.0 + f64::from(k) * 16.0, 1_000_000, 10_000), None));
        assert!(verdicts.any(|verdict| matches!(verdict, UtcVerdict::Restarted(_))));
        assert!((error_ns(&estimator, 300.0) - 1_000_000_000).abs() < 1_000_000);
    }

    #[test]
    fn an_error_beyond_the_panic_threshold_is_never_believed() {
        let mut estimator = UtcEstimator::new(Span::from_secs(10));
        estimator.observe(&exchange(0.0, 0, 10_000), None);
        for k in 1..50 {
            let verdict = estimator.observe(&exchange(f64::from(k), 60_000_000, 10_000), None);
            assert!(matches!(verdict, UtcVerdict::Panic(_)));
        }
        assert!(error_ns(&estimator, 50.0).abs() < 100_000_000);
    }

    #[test]
    fn utc_goes_on_when_a_leader_appears_and_when_its_timescale_changes() {
        let mut estimator = UtcEstimator::new(Span::from_secs(10));
        for k in 0..8 {
            estimator.observe(&exchange(f64::from(k), 0, 10_000), None);
        }
        let before = error_ns(&estimator, 8.0);
        for (timescale, epoch) in [(0, 5_000_000_000_000), (1, 77)] {
            let now = Timestamp::from_ns(8_000_000_000);
            let line = Line::exact(Timestamp::from_ns(epoch), now, Rate::from_ppm(10.0));
            estimator.follow(now, Some((TimescaleId(timescale), line)));
            assert!((error_ns(&estimator, 8.0) - before).abs() < 10);
        }
        assert!(estimator.at(Timestamp::from_ns(8_000_000_000)).unwrap().on_leader);
    }
}
