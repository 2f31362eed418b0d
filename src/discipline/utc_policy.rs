//! How far the clock may leave UTC, and how it comes back (R5).

use crate::config::{Config, UtcLimit};
use crate::estimator::leader::BOUND_SIGMAS;
use crate::estimator::utc::UtcEstimate;
use crate::time::{Rate, Raw, Span, System, Timestamp};

/// After the lock, the first fix of this boot may step only a clock that is this wrong: no computer without a
/// battery-backed clock must stay in 1970.
const LATE_STEP: Span = Span::from_secs(1);

/// With `utc-limit 0`, an error against UTC is taken out within this (s): long against the distance of NTP
/// requests, short against the wander of a leader.
const PULL_IN: f64 = 120.0;

/// After a gap in the decisions the slew may change by no more than in this time.
const CONSIDERED: Span = Span::from_secs(2);

/// How fast a slew changes, per s: 100 ppm within 200 s.
const RAMP: f64 = 0.5e-6;

/// A rate of the leader against UTC that is known worse than this is not used to steer.
const RATE_KNOWN: Rate = Rate::from_ppm(1.0);

/// A return to UTC ends when the error is as small as this: what NTP tells at a distance anyway.
const RETURNED: Span = Span::from_us(200);

/// Decides about the first fix and the slew towards UTC.
#[derive(Debug)]
pub struct UtcPolicy {
    limit: UtcLimit,
    slew_max: Rate,
    step_threshold: Span,
    late_step: bool,
    fixed: bool,
    /// On the way back to UTC: because the limit was passed, or because the first fix came late.
    returning: bool,
    considered: Option<Timestamp<Raw>>,
    slew: Rate,
}

impl UtcPolicy {
    /// With the user's choices; nothing fixed yet.
    pub fn new(config: &Config) -> Self {
        Self {
            limit: config.utc_limit,
            slew_max: config.utc_slew.abs(),
            step_threshold: config.step_threshold,
            late_step: config.late_step,
            fixed: false,
            returning: false,
            considered: None,
            slew: Rate::ZERO,
        }
    }

    /// The first fix says that the system clock is ahead of UTC by `error`: the step that mends it, if one is
    /// allowed. Later fixes never step.
    pub fn first_fix(&mut self, error: Span, ever_locked: bool) -> Option<Span> {
        if std::mem::replace(&mut self.fixed, true) {
            return None;
        }
        let may_step = if ever_locked { self.late_step && error.abs() > LATE_STEP } else { true };
        if error.abs() <= self.step_threshold {
            None
        } else if may_step {
            Some(-error)
        } else {
            self.returning = true;
            None
        }
    }

    /// The step of the first fix could not be made: another fix may try again.
    pub fn step_failed(&mut self) {
        self.fixed = false;
    }

    /// The rate at which the target shall run against the leader. `target` is the target's time now.
    pub fn slew(
        &mut self,
        now: Timestamp<Raw>,
        target: Timestamp<System>,
        utc: Option<&UtcEstimate>,
    ) -> Rate {
        let elapsed = self.considered.map_or(Span::ZERO, |at| (now - at).min(CONSIDERED));
        self.considered = Some(now);
        let Some(utc) = utc.filter(|utc| utc.on_leader) else { return self.slew };
        let error = Span::from_ns(target.as_ns().saturating_sub(utc.utc.as_ns()));
        let wanted = match self.limit {
            UtcLimit::Within(limit) if limit == Span::ZERO => self.follow(error, utc),
            UtcLimit::Within(limit) => {
                let bound = Span::from_ns_f64(BOUND_SIGMAS * utc.sigma.as_ns_f64());
                self.returning |= error.abs() - bound > limit;
                self.come_back(error)
            }
            UtcLimit::None => self.come_back(error),
        };
        // A slew begins and ends gently: a jump of 100 ppm is one that a phase meter, or an ear, can notice.
        let change = Rate::from_ratio(RAMP * elapsed.as_secs_f64());
        self.slew = self.slew + (wanted - self.slew).clamp(change);
        self.slew
    }

    /// Always UTC: its rate, plus what takes the error out.
    fn follow(&self, error: Span, utc: &UtcEstimate) -> Rate {
        let (rate, sigma) = utc.rate;
        let rate = if sigma < RATE_KNOWN { rate } else { Rate::ZERO };
        (rate + self.pull(error)).clamp(self.slew_max)
    }

    /// Back to UTC, then the leader's exact rate again.
    fn come_back(&mut self, error: Span) -> Rate {
        self.returning &= error.abs() > RETURNED;
        if self.returning { self.pull(error) } else { Rate::ZERO }
    }

    /// Against the error: in proportion when it is small, and never faster than can be braked in time.
    fn pull(&self, error: Span) -> Rate {
        let error = error.as_secs_f64();
        let braking = (error.abs() * RAMP).sqrt();
        let speed = (error.abs() / PULL_IN).min(braking).min(self.slew_max.ratio());
        -Rate::from_ratio(speed.copysign(error))
    }
}

#[cfg(test)]
mod tests;
