//! One line: UTC against the flywheel, by a Kalman filter of two states.

use crate::time::{Leader, Rate, Span, Timestamp, Utc};

/// UTC's rate against the flywheel, before anything is known (ns/s): it may be a computer that is off by 500 ppm.
const RATE_PRIOR: f64 = 150e3;
/// The same against a leader: 6 to 23 ppm are usual.
const LEADER_RATE_PRIOR: f64 = 50e3;

/// What a leader that turns by 25 ppm moves until it is noticed, 5 s later (ns).
const TURNED_OFFSET: f64 = 125e3;

/// Offset and rate of UTC against the flywheel, with their covariance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drift {
    /// The flywheel's time that the state belongs to.
    flywheel: Timestamp<Leader>,
    /// UTC then, less `offset`.
    anchor: Timestamp<Utc>,
    /// What the flywheel has lost against UTC since the line began, ns.
    offset: f64,
    /// Its rate, ns/s.
    rate: f64,
    var_offset: f64,
    covariance: f64,
    var_rate: f64,
}

impl Drift {
    /// From a first measurement with the standard deviation `sigma` (ns).
    pub(super) fn begin(utc: Timestamp<Utc>, flywheel: Timestamp<Leader>, sigma: f64) -> Self {
        Self {
            flywheel,
            anchor: utc,
            offset: 0.0,
            rate: 0.0,
            var_offset: sigma * sigma,
            covariance: 0.0,
            var_rate: RATE_PRIOR * RATE_PRIOR,
        }
    }

    /// The same line at another time; `wander` is the random walk of its rate, in ns/s per √s.
    pub(super) fn at(&self, flywheel: Timestamp<Leader>, wander: f64) -> Self {
        let passed = flywheel - self.flywheel;
        let dt = passed.as_secs_f64().max(0.0);
        let walk = wander * wander;
        Self {
            flywheel,
            anchor: self.anchor + passed,
            offset: self.offset + self.rate * passed.as_secs_f64(),
            var_offset: self.var_offset
                + 2.0 * self.covariance * dt
                + self.var_rate * dt * dt
                + walk * dt * dt * dt / 3.0,
            covariance: self.covariance + self.var_rate * dt + walk * dt * dt / 2.0,
            var_rate: self.var_rate + walk * dt,
            ..*self
        }
    }

    /// UTC at the state's own time.
    pub(super) fn utc(&self) -> Timestamp<Utc> {
        self.anchor + Span::from_ns_f64(self.offset)
    }

    /// Standard deviation of that, in ns.
    pub(super) fn sigma(&self) -> f64 {
        self.var_offset.sqrt()
    }

    /// UTC's rate against the flywheel, and its standard deviation.
    pub(super) fn rate(&self) -> (Rate, Rate) {
        (Rate::from_ratio(self.rate * 1e-9), Rate::from_ratio(self.var_rate.sqrt() * 1e-9))
    }

    /// What a measurement at the state's own time misses it by, in ns.
    pub(super) fn innovation(&self, utc: Timestamp<Utc>) -> f64 {
        (utc - self.anchor).as_ns_f64() - self.offset
    }

    /// With the measurement taken in; its standard deviation is `sigma` (ns).
    pub(super) fn corrected(&self, innovation: f64, sigma: f64) -> Self {
        let variance = self.var_offset + sigma * sigma;
        let (gain, rate_gain) = (self.var_offset / variance, self.covariance / variance);
        Self {
            offset: self.offset + gain * innovation,
            rate: self.rate + rate_gain * innovation,
            var_offset: (1.0 - gain) * self.var_offset,
            covariance: (1.0 - gain) * self.covariance,
            var_rate: self.var_rate - rate_gain * self.covariance,
            ..*self
        }
    }

    /// UTC itself jumps: a leap second.
    pub(super) fn leap(&mut self, by: Span) {
        self.anchor = self.anchor + by;
    }

    /// The flywheel has just changed its rate: UTC's rate against it is unknown again, and the last few seconds
    /// have moved the offset.
    pub(super) fn flywheel_turned(&mut self) {
        self.var_rate += LEADER_RATE_PRIOR * LEADER_RATE_PRIOR;
        self.var_offset += TURNED_OFFSET * TURNED_OFFSET;
        self.covariance = 0.0;
    }

    /// Another flywheel goes on from the state's own time, at a rate of its own.
    pub(super) fn flywheel_replaced(&mut self) {
        self.var_rate += LEADER_RATE_PRIOR * LEADER_RATE_PRIOR;
        self.covariance = 0.0;
    }

    /// The first leader turns the flywheel from the state's own time on: of its rate the computer's tells nothing.
    pub(super) fn flywheel_found(&mut self) {
        self.rate = 0.0;
        self.var_rate = LEADER_RATE_PRIOR * LEADER_RATE_PRIOR;
        self.covariance = 0.0;
    }
}
