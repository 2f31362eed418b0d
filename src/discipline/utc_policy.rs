//! How far the clock may leave UTC, and how it comes back (R5).

use crate::config::window::DailyWindow;
use crate::config::{Config, LateStep, UtcLimit};
use crate::estimator::leader::BOUND_SIGMAS;
use crate::estimator::utc::UtcEstimate;
use crate::snapshot::Activity;
use crate::time::{Rate, Raw, Span, System, Timestamp};

/// After the lock, the first fix of this boot may step only a clock that is this wrong: no computer without a
/// battery-backed clock must stay in 1970.
const LATE_STEP: Span = Span::from_secs(1);

/// An error against UTC that is beyond doubt is taken out within this (s): long against the distance of NTP
/// requests, short against the wander of a leader …
const PULL_IN: f64 = 60.0;
/// … and what may be noise of NTP, in this: it would become noise of the rate.
const PULL_DOUBT: f64 = 600.0;

/// After a gap in the decisions the slew may change by no more than in this time.
const CONSIDERED: Span = Span::from_secs(2);

/// How fast a slew changes, per s: 100 ppm within 200 s.
const RAMP: f64 = 0.5e-6;

/// A slew has ended so long before its window closes: decisions may come late.
const WINDOW_MARGIN: Span = Span::from_secs(5);

/// A rate of the leader against UTC that is known worse than this is not used …
const RATE_KNOWN: Rate = Rate::from_ppm(1.0);
/// … and one that is known worse than this only where it contradicts what was known before.
const RATE_SURE: Rate = Rate::from_ppm(0.1);

/// A slew must be faster than the leader leaves UTC by at least this, or it holds at the limit: else coming back
/// from 500 ms takes a week.
const BEATS: Rate = Rate::from_ppm(1.0);

/// A return to UTC ends when the error is as small as this: what NTP tells at a distance anyway.
const RETURNED: Span = Span::from_us(200);

/// What the last 12 ms of a return take longer than at full speed, in s: there it brakes, and the last 1.8 ms are taken
/// out in proportion.
const TAIL: f64 = 350.0;

/// Nothing is foretold further ahead than this.
const FORESIGHT: Span = Span::from_secs(366 * 86_400);

/// Decides about the first fix and the slew towards UTC.
#[derive(Debug)]
pub struct UtcPolicy {
    limit: UtcLimit,
    slew_max: Rate,
    window: Option<DailyWindow>,
    step_threshold: Span,
    late_step: LateStep,
    panic: Span,
    fixed: bool,
    /// On the way back to UTC.
    returning: bool,
    /// What is taken out is the first fix, which came too late to step: whatever its size.
    late_fix: bool,
    /// In the window that is open, a return was begun before the limit was passed.
    early: bool,
    considered: Option<Timestamp<Raw>>,
    /// The rate at which the leader gains on UTC, when it was last known.
    drift: Option<Rate>,
    slew: Rate,
    outlook: Option<Outlook>,
}

/// What is done about UTC now, and what is to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// The target minus UTC.
    pub error: Span,
    /// What is done.
    pub activity: Activity,
    /// The rate of the target against the leader.
    pub slew: Rate,
    /// Until the limit is reached at the rate at which the leader leaves UTC.
    pub limit_in: Option<Span>,
    /// Until a slew begins.
    pub slew_in: Option<Span>,
    /// How long the slew that is on, or the next one, takes; an estimate.
    pub slew_for: Option<Span>,
}

/// What a decision rests on.
#[derive(Debug, Clone, Copy)]
struct Sight {
    /// Target minus UTC.
    error: Span,
    /// What is not known of it.
    bound: Span,
    /// The rate at which the leader gains on UTC, where it is known.
    drift: Option<Rate>,
    /// Local time, since some midnight.
    time_of_day: Span,
}

impl UtcPolicy {
    /// With the user's choices; nothing fixed yet.
    pub fn new(config: &Config) -> Self {
        Self {
            limit: config.utc_limit,
            slew_max: config.utc_slew.abs(),
            window: config.utc_slew_window,
            step_threshold: config.step_threshold,
            late_step: config.late_step,
            panic: config.panic_threshold,
            fixed: false,
            returning: false,
            late_fix: false,
            early: false,
            considered: None,
            drift: None,
            slew: Rate::ZERO,
            outlook: None,
        }
    }

    /// Other choices of the user: a return that they do not want ends, gently.
    pub fn reconfigure(&mut self, config: &Config) {
        let Self { fixed, returning, late_fix, considered, drift, slew, outlook, .. } = *self;
        let same = config.utc_slew_window == self.window;
        *self = Self {
            fixed,
            returning: returning && (late_fix || config.utc_limit != UtcLimit::None),
            late_fix,
            early: self.early && same,
            considered,
            drift,
            slew,
            outlook,
            ..Self::new(config)
        };
    }

    /// The first fix says that the system clock is ahead of UTC by `error`: the step that mends it, if one is
    /// allowed. Later fixes never step.
    pub fn first_fix(&mut self, error: Span, ever_locked: bool) -> Option<Span> {
        if std::mem::replace(&mut self.fixed, true) {
            return None;
        }
        let late_step = self.late_step == LateStep::FirstFix && error.abs() > LATE_STEP;
        if error.abs() <= self.step_threshold {
            None
        } else if !ever_locked || late_step {
            Some(-error)
        } else {
            self.returning = true;
            self.late_fix = true;
            None
        }
    }

    /// Goes on where an earlier run left off: whether the date was fixed, whether the clock was on its way back
    /// to UTC, and the slew that was under way.
    pub fn resume(&mut self, fixed: bool, returning: bool, slew: Rate) {
        (self.fixed, self.returning, self.slew) = (fixed, returning, slew);
        // What follows UTC was slewed against the leader's drift, and nearly nothing else.
        self.drift = (self.limit == UtcLimit::Within(Span::ZERO) && slew != Rate::ZERO).then_some(-slew);
        // Without a limit there is nothing else to return from.
        self.late_fix = returning && self.limit == UtcLimit::None;
    }

    /// Whether the clock is on its way back to UTC.
    pub fn is_returning(&self) -> bool {
        self.returning
    }

    /// Whether the clock had its first fix: from then on its date is known.
    pub fn is_fixed(&self) -> bool {
        self.fixed
    }

    /// The step of the first fix could not be made: another fix may try again.
    pub fn step_failed(&mut self) {
        self.fixed = false;
    }

    /// What is done and what is to come, as of the last decision; `None` as long as UTC is unknown.
    pub fn outlook(&self) -> Option<Outlook> {
        self.outlook
    }

    /// The rate at which the target shall run against the leader. `target` is the target's time now, `local` the
    /// local time minus UTC.
    pub fn slew(
        &mut self,
        now: Timestamp<Raw>,
        target: Timestamp<System>,
        utc: Option<&UtcEstimate>,
        local: Span,
    ) -> Rate {
        let elapsed = self.considered.map_or(Span::ZERO, |at| (now - at).min(CONSIDERED));
        self.considered = Some(now);
        // A slew begins and ends gently: a jump of 100 ppm is one that a phase meter, or an ear, can notice.
        let change = Rate::from_ratio(RAMP * elapsed.as_secs_f64());
        let Some(utc) = utc.filter(|utc| utc.on_leader) else {
            self.slew = self.slew + (self.unseen() - self.slew).clamp(change);
            return self.slew;
        };
        self.drift = believable(self.drift, utc);
        let sight = Sight::new(target, utc, self.drift, local);
        let open = self.window.is_none_or(|window| window.left(sight.time_of_day).is_some());
        self.early &= open;
        let (wanted, activity) = self.wanted(&sight);
        let waits = !open && matches!(activity, Activity::Returning | Activity::Holding);
        let activity = if waits { Activity::Waiting } else { activity };
        let wanted = wanted.clamp(self.fastest(&sight));
        self.slew = self.slew + (wanted - self.slew).clamp(change);
        self.outlook = Some(self.look_ahead(&sight, activity));
        self.slew
    }

    /// The slew that is wanted while nobody knows what UTC is: none, and where UTC is followed, against the leader's
    /// drift as it was. A return goes on when UTC is known again.
    fn unseen(&self) -> Rate {
        match (self.limit, self.drift) {
            (UtcLimit::Within(Span::ZERO), Some(drift)) => (-drift).clamp(self.slew_max),
            _ => Rate::ZERO,
        }
    }

    /// Nobody has watched the clock for a while: gives the slew that its target had meanwhile.
    pub fn lose_sight(&mut self) -> Rate {
        self.slew = self.unseen();
        self.slew
    }

    /// The target begins at the leader's rate.
    pub fn begin(&mut self) {
        self.slew = Rate::ZERO;
    }

    /// The slew that is wanted whatever the time of day, and what it is for.
    fn wanted(&mut self, at: &Sight) -> (Rate, Activity) {
        let arrived = at.error.abs() <= RETURNED;
        self.late_fix &= !arrived;
        self.returning &= !arrived;
        match self.limit {
            UtcLimit::Within(_) if at.error.abs() > self.panic && !self.late_fix => {
                self.returning = false;
                (Rate::ZERO, Activity::Refused)
            }
            UtcLimit::Within(limit) if limit == Span::ZERO => (self.to_utc(at), Activity::Following),
            UtcLimit::Within(limit) => {
                if !self.returning && self.returns_early(limit, at) {
                    self.early = true;
                    self.returning = true;
                }
                self.returning |= at.error.abs() - at.bound > limit;
                self.come_back(Some(limit), at)
            }
            UtcLimit::None => self.come_back(None, at),
        }
    }

    /// Back to UTC, then the leader's exact rate again. Where the leader runs away too fast for that, the error is
    /// held at the limit, and without a limit left alone.
    fn come_back(&mut self, limit: Option<Span>, at: &Sight) -> (Rate, Activity) {
        if !self.returning {
            return (Rate::ZERO, Activity::Leader);
        }
        if self.speed(at) >= BEATS.ratio() {
            return (self.to_utc(at), Activity::Returning);
        }
        let Some(limit) = limit else {
            (self.returning, self.late_fix) = (false, false);
            return (Rate::ZERO, Activity::Leader);
        };
        let beyond = (at.error.abs() - limit).max(Span::ZERO);
        let beyond = if at.error < Span::ZERO { -beyond } else { beyond };
        (self.to_utc(&Sight { error: beyond, ..*at }), Activity::Holding)
    }

    /// Against the leader's drift, and against the error.
    fn to_utc(&self, at: &Sight) -> Rate {
        (self.pull(at.error, at.bound.part(3)) - at.drift.unwrap_or_default()).clamp(self.slew_max)
    }

    /// Against the error: in proportion when it is small, and never faster than can be braked in time.
    fn pull(&self, error: Span, doubt: Span) -> Rate {
        let (error, doubt) = (error.as_secs_f64(), doubt.as_secs_f64());
        let doubtful = error.clamp(-doubt, doubt);
        let in_proportion = ((error - doubtful) / PULL_IN + doubtful / PULL_DOUBT).abs();
        let braking = (error.abs() * RAMP).sqrt();
        let speed = in_proportion.min(braking).min(self.slew_max.ratio());
        -Rate::from_ratio(speed.copysign(error))
    }

    /// At most this now: outside of its window nothing, and inside so little that it ends with the window.
    fn fastest(&self, at: &Sight) -> Rate {
        let Some(window) = self.window else { return self.slew_max };
        let left = window.left(at.time_of_day).unwrap_or_default() - WINDOW_MARGIN;
        Rate::from_ratio(RAMP * left.max(Span::ZERO).as_secs_f64()).clamp(self.slew_max)
    }

    /// The limit would be passed before the next window opens: then the return begins in this one, as late as it
    /// can, so that it ends near UTC when the window closes.
    fn returns_early(&self, limit: Span, at: &Sight) -> bool {
        let Some(window) = self.window.filter(|_| !self.early) else { return false };
        let Some(left) = window.left(at.time_of_day) else { return false };
        let passes = limit_in(limit, at).is_some_and(|reached| reached < window.opens_in(at.time_of_day));
        passes && left <= self.takes(at)
    }

    /// How fast a return comes nearer to UTC, as a plain ratio.
    fn speed(&self, at: &Sight) -> f64 {
        let drift = at.drift.unwrap_or_default().ratio();
        let outward = if at.error < Span::ZERO { -drift } else { drift };
        self.slew_max.ratio() - outward.max(0.0)
    }

    /// How long a return takes: at full speed, then gaining it, braking, and the slow end.
    fn takes(&self, at: &Sight) -> Span {
        let ramps = if self.slew == Rate::ZERO { 1.5 } else { 1.0 } * self.slew_max.ratio() / RAMP;
        let full_speed = at.error.abs().as_secs_f64() / self.speed(at).max(BEATS.ratio());
        Span::from_secs_f64(full_speed + ramps + TAIL)
    }

    fn look_ahead(&self, at: &Sight, activity: Activity) -> Outlook {
        let outlook = Outlook {
            error: at.error,
            activity,
            slew: self.slew,
            limit_in: None,
            slew_in: None,
            slew_for: (activity == Activity::Returning).then(|| self.takes(at)),
        };
        let UtcLimit::Within(limit) = self.limit else { return outlook };
        let limit_in = limit_in(limit, at).filter(|_| limit > Span::ZERO);
        let slew_in = match activity {
            Activity::Waiting => self.window.map(|window| window.opens_in(at.time_of_day)),
            Activity::Leader => limit_in.and_then(|limit_in| self.slew_in(limit_in, at)),
            _ => None,
        };
        let then = slew_in.map(|slew_in| self.takes(&at.after(slew_in)));
        Outlook { limit_in, slew_in, slew_for: outlook.slew_for.or(then), ..outlook }
    }

    /// When the next slew begins, where the limit is reached in `limit_in`; `None` where that is more than
    /// a window ahead.
    fn slew_in(&self, limit_in: Span, at: &Sight) -> Option<Span> {
        let Some(window) = self.window else { return Some(limit_in) };
        let opens = window.opens_in(at.time_of_day);
        // The window that is open, or the next one.
        let (from, until, next) = match window.left(at.time_of_day) {
            Some(left) => (Span::ZERO, left, opens),
            None => (opens, opens + window.length(), opens + DAY),
        };
        if limit_in < until {
            Some(limit_in.max(from))
        } else if limit_in < next {
            let early = (until - self.takes(&at.after(until))).max(from);
            Some(if self.early { next } else { early })
        } else {
            None
        }
    }
}

const DAY: Span = Span::from_secs(86_400);

impl Sight {
    fn new(target: Timestamp<System>, utc: &UtcEstimate, drift: Option<Rate>, local: Span) -> Self {
        Self {
            error: Span::from_ns(target.as_ns().saturating_sub(utc.utc.as_ns())),
            bound: Span::from_ns_f64(BOUND_SIGMAS * utc.sigma.as_ns_f64()),
            drift,
            time_of_day: Span::from_ns(utc.utc.as_ns()) + local,
        }
    }

    /// What is to be seen later, when the leader has gone on as it does.
    fn after(&self, elapsed: Span) -> Self {
        let gained = self.drift.unwrap_or_default().gain_over(elapsed);
        Self { error: self.error + gained, time_of_day: self.time_of_day + elapsed, ..*self }
    }
}

/// The rate at which the leader gains on UTC: as it is known now, or while that is in doubt, as it was known
/// before, as long as the doubt covers it.
fn believable(before: Option<Rate>, utc: &UtcEstimate) -> Option<Rate> {
    let (rate, sigma) = (-utc.rate.0, utc.rate.1);
    let doubt = Rate::from_ratio(BOUND_SIGMAS * sigma.ratio());
    match before {
        Some(before) if sigma > RATE_SURE && (rate - before).abs() < doubt => Some(before),
        Some(_) => Some(rate),
        None => (sigma < RATE_KNOWN).then_some(rate),
    }
}

/// Until the error passes the limit; `None` where it never does, or has already.
fn limit_in(limit: Span, at: &Sight) -> Option<Span> {
    let drift = at.drift.filter(|drift| *drift != Rate::ZERO)?;
    let edge = if drift < Rate::ZERO { -limit } else { limit };
    let reached = (edge - at.error).as_secs_f64() / drift.ratio();
    let reached = Span::from_secs_f64(reached);
    (reached > Span::ZERO && reached < FORESIGHT && at.error.abs() <= limit).then_some(reached)
}

#[cfg(test)]
mod tests;
