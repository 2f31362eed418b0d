//! Decides: which state this is, what the clock shall be, how fast it shall run, and whether it may be stepped.
//!
//! Control is arithmetic, not a loop with gains: how the system clock runs against the raw timeline is *read*,
//! where the leader stands on it is *estimated*, so the rate that brings one onto the other within
//! a few seconds follows directly. Nothing can ring, because no correction of ours appears in
//! what is measured.

mod resume;
mod utc_policy;

use crate::config::Config;
use crate::estimator::leader::BOUND_SIGMAS;
use crate::estimator::utc::UtcEstimate;
use crate::snapshot::State;
use crate::time::{Leader, Line, Rate, Raw, Span, System, TimescaleId, Timestamp};
pub use resume::Absence;
pub use utc_policy::Outlook;
use utc_policy::UtcPolicy;

/// Locked is entered at these bounds and left at the wider ones (R4): half a ppm is 0.5 ms in 17 minutes, and
/// 50 µs are two audio samples.
const ENTER_RATE: Rate = Rate::from_ppm(0.5);
const ENTER_PHASE: Span = Span::from_us(50);
const LEAVE_RATE: Rate = Rate::from_ppm(1.0);
const LEAVE_PHASE: Span = Span::from_us(100);

/// Where the jitter alone is wider, so are the limits that end a lock: half the jitter, and what that is over 100 s.
/// On a path with 400 µs of it the bounds swing by as much without anything being wrong.
const WIDE_PART: i64 = 2;
const WIDE_SECONDS: f64 = 100.0;

/// A lock begins only with a clock that has run this close to its target's rate for this long: what is shown as
/// Locked was so over the last second too.
const RUNS_TRUE: Rate = Rate::from_ppm(0.5);
const RAN_TRUE: Span = Span::from_secs(1);

/// A sample is too old after ten Sync intervals, but not before and not after these.
const AGE_INTERVALS: i64 = 10;
const AGE_MIN: Span = Span::from_ms(2_500);
const AGE_MAX: Span = Span::from_ms(4_500);

/// The phase is pulled in by at most this while nothing but the path has changed: a path that grew by 36 µs (audio
/// starting on the link) is followed in three minutes, at a fifth of what would end a lock …
const PULL_GENTLE: Rate = Rate::from_ppm(0.22);
/// … the few µs by which the estimate itself moves now and then by hardly more than this, which vanishes in the noise
/// of the rate, and what is off by more by a 120th of it per second besides …
const PULL_LEAST: Rate = Rate::from_ppm(0.06);
const PULL_PART: f64 = 120.0;
/// … and by at most this after a disturbance: 100 µs in 5 s.
const PULL_FAST: Rate = Rate::from_ppm(20.0);

/// No path on which a lock makes sense is longer: what is further off is no path that changed.
const PATH_MOST: Span = Span::from_us(250);

/// The leader's rate is applied as soon as it is known better than the rate of an unknown computer.
const USABLE_RATE_SIGMA: Rate = Rate::from_ppm(5.0);

/// A rate known as well as this is beyond doubt: it is what a lock needs.
const SURE_RATE_SIGMA: Rate = Rate::from_ppm(0.15);

/// So many deviations it takes to let go of a rate that was beyond doubt. A change is believed because some samples were
/// odd, so the line that follows them is too, and a few seconds of it look surer than they are: with the 3.29 of a bound,
/// a burst of late packets was followed by 10 ppm at times. A leader that really turns is past this a second or two later.
const SURE_RATE_DEVIATIONS: f64 = 6.0;

/// Without a leader for this long, the state says so.
const NO_LEADER_AFTER: Span = Span::from_secs(5);

/// Decisions are this far apart.
const TICK_LOCKED: Span = Span::from_secs(1);
const TICK_UNLOCKED: Span = Span::from_ms(250);

/// Time constants in which an offset falls to 1/e, in s: while nothing is wrong between these …
const TAU_MIN: f64 = 4.0;
const TAU_MAX: f64 = 60.0;
/// … and after a disturbance this one for what is beyond doubt.
const TAU_FAST: f64 = 1.0;

/// What the system clock shall be.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The system clock as a function of the leader's time; its rate is the slew towards UTC.
    pub line: Line<System, Leader>,
    /// The leader timescale it refers to.
    pub timescale: TimescaleId,
}

/// The leader as the estimator sees it now.
#[derive(Debug, Clone, Copy)]
pub struct LeaderNow {
    /// Its line, anchored now.
    pub line: Line<Leader, Raw>,
    /// Its timescale.
    pub timescale: TimescaleId,
    /// When its last qualified sample arrived.
    pub last_sample: Timestamp<Raw>,
    /// Mean distance of its samples.
    pub interval: Span,
    /// Standard deviation of its samples around the line.
    pub jitter: Span,
}

impl LeaderNow {
    /// The bounds at which a lock ends (R4).
    pub fn limits(&self) -> LockLimits {
        let phase = self.jitter.part(WIDE_PART);
        let rate = Rate::from_ratio(phase.as_secs_f64() / WIDE_SECONDS);
        LockLimits {
            phase: phase.max(LEAVE_PHASE),
            rate: if rate.ratio() > LEAVE_RATE.ratio() { rate } else { LEAVE_RATE },
        }
    }

    /// Whether its phase is known well enough for a lock to begin, or, where it already was, to stay.
    pub fn is_certain(&self, already: bool) -> bool {
        bound(self.line.sigma) <= if already { self.limits().phase } else { ENTER_PHASE }
    }

    /// Whether its last sample is fresh enough at `now`.
    pub fn is_heard(&self, now: Timestamp<Raw>) -> bool {
        now - self.last_sample <= age_limit(self.interval)
    }
}

/// How wide the bounds may be in a lock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LockLimits {
    /// Of the phase.
    pub phase: Span,
    /// Of the rate.
    pub rate: Rate,
}

/// Everything a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Now.
    pub now: Timestamp<Raw>,
    /// The system clock against the raw timeline.
    pub system: Line<System, Raw>,
    /// By how much the clock runs faster at this moment than it does in the mean: see [`crate::clock::rate::Dither`].
    pub excess: Rate,
    /// The leader, if one was ever heard.
    pub leader: Option<LeaderNow>,
    /// UTC, once it can be trusted for the first fix.
    pub utc: Option<UtcEstimate>,
    /// Local time minus UTC; only looked at where slews have a window.
    pub local: Span,
    /// Somebody else keeps steering the clock.
    pub conflict: bool,
    /// The clock does what it is told.
    pub clock_obeys: bool,
}

/// What shall be done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Step the system clock by this much, before anything else.
    pub step: Option<Span>,
    /// Run the system clock at this rate against the raw timeline.
    pub rate: Option<Rate>,
    /// Decide again at this time at the latest.
    pub again: Timestamp<Raw>,
}

/// System clock minus target, with 99.9 % bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    /// Phase.
    pub offset: Span,
    /// Its bound.
    pub offset_bound: Span,
    /// Rate.
    pub rate: Rate,
    /// Its bound.
    pub rate_bound: Rate,
}

/// See the module's text.
#[derive(Debug)]
pub struct Discipline {
    utc_policy: UtcPolicy,
    started: Timestamp<Raw>,
    state: State,
    entered: Timestamp<Raw>,
    reason: String,
    target: Option<Target>,
    /// The leader's time when the target was last looked at.
    seen: Option<Timestamp<Leader>>,
    ever_locked: bool,
    /// The leader's rate, as it was when it was last beyond doubt.
    sure_rate: Option<Rate>,
    /// Since when the clock has run as it shall.
    true_since: Option<Timestamp<Raw>>,
    /// Something has pushed the clock off its target since the last lock: it may be pulled in fast.
    disturbed: bool,
    /// The target was taken over, and the clock not yet compared with it.
    absence: Option<Absence>,
    /// Since when the leader has been known well enough to compare them, if not as well as one would like.
    comparable_since: Option<Timestamp<Raw>>,
    /// Until then the date comes before the lock.
    undated_until: Option<Timestamp<Raw>>,
    /// The step that was decided on last brings the clock onto its target, which stays where it is.
    onto_target: bool,
    step_threshold: Span,
}

impl Discipline {
    /// Knows nothing and steers nothing yet.
    pub fn new(config: &Config, now: Timestamp<Raw>) -> Self {
        Self {
            utc_policy: UtcPolicy::new(config),
            started: now,
            state: State::Starting,
            entered: now,
            reason: "just started".to_owned(),
            target: None,
            seen: None,
            ever_locked: false,
            sure_rate: None,
            true_since: None,
            disturbed: true,
            absence: None,
            comparable_since: None,
            undated_until: None,
            onto_target: false,
            step_threshold: config.step_threshold,
        }
    }

    /// Other choices of the user, from now on: nothing that was decided is undone, and slews change gently as ever.
    pub fn reconfigure(&mut self, config: &Config) {
        self.utc_policy.reconfigure(config);
        self.step_threshold = config.step_threshold;
    }

    /// The state, since when, and why it is not Locked (empty when it is).
    pub fn state(&self) -> (State, Timestamp<Raw>, &str) {
        (self.state, self.entered, &self.reason)
    }

    /// What the system clock shall be, once it has locked.
    pub fn target(&self) -> Option<Target> {
        self.target
    }

    /// What is done about UTC, and what is to come; `None` as long as there is no target, or no UTC.
    pub fn outlook(&self) -> Option<Outlook> {
        self.target.and_then(|_| self.utc_policy.outlook())
    }

    /// What the system clock follows at this moment: the target, or where the phase is still free (before a lock,
    /// and after a change of the leader's timescale), simply the leader's rate from where the clock stands.
    pub fn follows(&self, view: &View) -> Option<Line<System, Leader>> {
        let leader = view.leader.filter(|leader| leader.line.rate_sigma < USABLE_RATE_SIGMA)?;
        match self.target {
            Some(target) => Some(target.line),
            None => Some(Line::exact(view.system.at(view.now), leader.line.at(view.now), Rate::ZERO)),
        }
    }

    /// Decides; see [`Decision`].
    pub fn decide(&mut self, view: &View) -> Decision {
        if let Some(step) = self.first_fix(view) {
            self.true_since = None;
            return Decision { step: Some(step), rate: None, again: view.now };
        }
        self.drop_stale_target(view);
        if let Some(step) = self.settle(view) {
            return Decision { step: Some(step), rate: None, again: view.now };
        }
        self.update_state(view);
        self.slew_target(view);
        Decision { step: None, rate: self.rate(view), again: self.again(view) }
    }

    /// The step decided on was made, `done` instead of `wanted`.
    pub fn stepped(&mut self, wanted: Span, done: Span) {
        if !std::mem::take(&mut self.onto_target) {
            // The target was moved by what was wanted already.
            self.adopt_foreign_step(done - wanted);
        }
    }

    /// The step decided on could not be made: the target stays, and a later decision may try again.
    pub fn step_failed(&mut self, by: Span) {
        if std::mem::take(&mut self.onto_target) {
            // What stands in the way of this step stands in the way of all: as at a start.
            return self.forget();
        }
        self.adopt_foreign_step(-by);
        self.utc_policy.step_failed();
    }

    /// Somebody else moved the system clock: what it shall be moves with it.
    pub fn adopt_foreign_step(&mut self, by: Span) {
        if let Some(target) = self.target.as_mut() {
            target.line.a = target.line.a + by;
        }
    }

    /// System clock minus target.
    pub fn deviation(&self, view: &View) -> Option<Deviation> {
        let leader = view.leader?;
        let target = self.target.filter(|target| target.timescale == leader.timescale)?;
        let system = view.system.at(view.now);
        Some(Deviation {
            offset: system - target.line.at(leader.line.at(view.now)),
            offset_bound: bound(leader.line.sigma.hypot(view.system.sigma)),
            rate: view.system.rate.then(leader.line.rate.then(target.line.rate).inverse()),
            rate_bound: Rate::from_ratio(BOUND_SIGMAS * leader.line.rate_sigma.ratio()),
        })
    }

    /// The rate to leave behind on exit: the leader's, without the pull towards its phase.
    pub fn learned_rate(&self, view: &View) -> Option<Rate> {
        let leader = view.leader.filter(|leader| leader.line.rate_sigma < USABLE_RATE_SIGMA)?;
        Some(leader.line.rate)
    }

    /// The first accepted fix of UTC may step the clock (R5).
    fn first_fix(&mut self, view: &View) -> Option<Span> {
        let utc = view.utc.filter(|_| !view.conflict)?;
        let error = view.system.at(view.now).as_ns().saturating_sub(utc.utc.as_ns());
        let step = self.utc_policy.first_fix(Span::from_ns(error), self.ever_locked)?;
        if let Some(target) = self.target.as_mut() {
            target.line.a = target.line.a + step;
        }
        Some(step)
    }

    /// Another timescale: the target is anchored anew at the next lock, so that the clock does not move.
    fn drop_stale_target(&mut self, view: &View) {
        let Some(leader) = view.leader else { return };
        if self.target.is_none_or(|target| target.timescale == leader.timescale) {
            return;
        }
        self.target = None;
        if matches!(self.absence, Some(Absence::Set(_))) {
            // The clock was set by another one, and nothing is left that says by how much it is off.
            self.start_anew(view.now);
        }
    }

    fn update_state(&mut self, view: &View) {
        let runs_true = view.leader.is_some_and(|leader| self.running(view, &leader).abs() <= RUNS_TRUE);
        self.true_since = if runs_true { self.true_since.or(Some(view.now)) } else { None };
        let (state, reason) = self.next_state(view);
        if state == State::Locked && self.target.is_none() {
            self.anchor_target(view);
        }
        self.ever_locked |= state == State::Locked;
        // In another's hands the clock can have gone anywhere.
        self.disturbed |= state == State::Conflict;
        if state != self.state {
            self.entered = view.now;
            self.state = state;
        }
        self.reason = reason;
    }

    fn next_state(&self, view: &View) -> (State, String) {
        if view.conflict {
            return (
                State::Conflict,
                "another program keeps changing the system clock; steering is suspended".into(),
            );
        }
        if !view.clock_obeys {
            return (State::Acquiring, "the system clock cannot be set".into());
        }
        let Some(leader) = view.leader else {
            let waited = view.now - self.started >= NO_LEADER_AFTER;
            if self.target.is_some() {
                let state = if waited { State::Lost } else { State::Acquiring };
                return (state, "the leader was not heard yet after a restart or a sleep".into());
            }
            let state = if waited { State::NoLeader } else { State::Starting };
            return (state, "no PTPv1 leader heard yet".into());
        };
        let rate_bound = Rate::from_ratio(BOUND_SIGMAS * leader.line.rate_sigma.ratio());
        // With what reading the clocks adds, as it is shown.
        let phase_bound = bound(leader.line.sigma.hypot(view.system.sigma));
        let age = view.now - leader.last_sample;
        let leaving = leader.limits();
        if !leader.is_heard(view.now) {
            let known = self.target.is_some() && rate_bound <= leaving.rate && phase_bound <= leaving.phase;
            let state = if known { State::Holdover } else { State::Lost };
            return (state, format!("the leader has been silent for {:.1} s", age.as_secs_f64()));
        }
        let locked = self.state == State::Locked;
        let (rate_limit, phase_limit) =
            if locked { (leaving.rate, leaving.phase) } else { (ENTER_RATE, ENTER_PHASE) };
        let offset = self.deviation(view).map_or(Span::ZERO, |deviation| deviation.offset.abs());
        let runs_true = if locked {
            self.running(view, &leader).abs() <= LEAVE_RATE
        } else {
            self.true_since.is_some_and(|since| view.now - since >= RAN_TRUE)
        };
        if rate_bound > rate_limit {
            let reason = format!(
                "the leader's rate is known to ±{:.2} ppm, {:.1} needed",
                rate_bound.ppm(),
                rate_limit.ppm()
            );
            (State::Acquiring, reason)
        } else if self.waits_for_date(view.now) {
            (State::Acquiring, "the clock was moved while the program was down: waiting for NTP".into())
        } else if !runs_true {
            let running = self.running(view, &leader);
            (State::Acquiring, format!("the clock is being pulled in at {:+.1} ppm", running.ppm()))
        } else if phase_bound + offset > phase_limit {
            let (offset, bound, limit) = (us(offset), us(phase_bound), us(phase_limit));
            (
                State::Acquiring,
                format!("the clock is {offset:.1} ± {bound:.1} µs off the leader, {limit:.0} allowed"),
            )
        } else {
            (State::Locked, String::new())
        }
    }

    /// How fast the system clock runs against what it shall, in the mean: the rate commanded last, not the next one.
    fn running(&self, view: &View, leader: &LeaderNow) -> Rate {
        let now = match self.deviation(view) {
            Some(deviation) => deviation.rate,
            None => view.system.rate.then(leader.line.rate.inverse()),
        };
        now - view.excess
    }

    /// From here on the system clock shall go on as it stands, at the leader's rate.
    fn anchor_target(&mut self, view: &View) {
        let Some(leader) = view.leader else { return };
        let line = Line::exact(view.system.at(view.now), leader.line.at(view.now), Rate::ZERO);
        self.target = Some(Target { line, timescale: leader.timescale });
        self.utc_policy.begin();
    }

    fn slew_target(&mut self, view: &View) {
        let (Some(target), Some(leader)) = (self.target.as_mut(), view.leader) else { return };
        let now = leader.line.at(view.now);
        self.seen = Some(now);
        let system = target.line.at(now);
        let slew = self.utc_policy.slew(view.now, system, view.utc.as_ref(), view.local);
        if slew != target.line.rate {
            target.line = Line { rate: slew, ..target.line.moved_to(now) };
        }
    }

    /// The slew law.
    fn rate(&mut self, view: &View) -> Option<Rate> {
        let leader =
            view.leader.filter(|leader| leader.line.rate_sigma < USABLE_RATE_SIGMA && !view.conflict)?;
        let rate = self.believable_rate(&leader.line);
        // A clock that was not compared with its target yet may be far off it, and is not to be pulled but stepped.
        let deviation = self.deviation(view).filter(|_| self.absence.is_none());
        let Some(deviation) = deviation else { return Some(rate) };
        let slew = self.target.map_or(Rate::ZERO, |target| target.line.rate);
        Some(rate.then(slew).then(self.pull(deviation.offset, &leader.line)))
    }

    /// The leader's rate; while it is in doubt, the last one beyond doubt, as long as the doubt may cover it.
    fn believable_rate(&mut self, line: &Line<Leader, Raw>) -> Rate {
        if line.rate_sigma <= SURE_RATE_SIGMA {
            self.sure_rate = Some(line.rate);
            return line.rate;
        }
        let doubt = Rate::from_ratio(SURE_RATE_DEVIATIONS * line.rate_sigma.ratio());
        match self.sure_rate.filter(|sure| (line.rate - *sure).abs() < doubt) {
            Some(sure) => sure,
            None => {
                self.disturbed |= self.sure_rate.take().is_some();
                line.rate
            }
        }
    }

    /// What takes the offset out.
    ///
    /// While Locked it is taken out slowly: the estimate of the phase moves about by its own uncertainty, and what
    /// is pulled in faster than the rate's uncertainty would carry it away turns phase noise into rate noise.
    /// After a disturbance the part that is beyond doubt is taken out fast.
    fn pull(&mut self, offset: Span, line: &Line<Leader, Raw>) -> Rate {
        self.disturbed = match self.state {
            State::Locked => false,
            State::Holdover | State::Lost => true,
            _ if offset.abs() > PATH_MOST => true,
            // Not before the phase is known can it be said that nothing is left.
            _ => {
                self.disturbed && (offset.abs() > bound(line.sigma) || bound(line.sigma) > ENTER_PHASE.half())
            }
        };
        let (offset, sigma) = (offset.as_secs_f64(), line.sigma.as_secs_f64());
        let (speed, limit) = if self.disturbed {
            let doubt = offset.clamp(-2.0 * sigma, 2.0 * sigma);
            ((offset - doubt) / TAU_FAST, PULL_FAST)
        } else {
            let tau = (TAU_RATIO * sigma / line.rate_sigma.ratio().max(1e-12)).clamp(TAU_MIN, TAU_MAX);
            (offset / tau, gentle(offset))
        };
        // The one place where an error becomes a correction: negated here and nowhere else.
        -Rate::from_ratio(speed).clamp(limit)
    }

    fn again(&self, view: &View) -> Timestamp<Raw> {
        let tick = view.now + if self.state == State::Locked { TICK_LOCKED } else { TICK_UNLOCKED };
        match view.leader {
            Some(leader) if self.state == State::Locked => {
                tick.min(leader.last_sample + age_limit(leader.interval) + Span::from_ms(1))
            }
            _ => tick,
        }
    }
}

/// Times the phase's uncertainty over the rate's: what the scenarios say is best for both rate and phase.
const TAU_RATIO: f64 = 1.0;

/// How fast an offset (s) is pulled in at most while nothing but the path has changed.
fn gentle(offset: f64) -> Rate {
    Rate::from_ratio((PULL_LEAST.ratio() + offset.abs() / PULL_PART).min(PULL_GENTLE.ratio()))
}

fn bound(sigma: Span) -> Span {
    Span::from_ns_f64(BOUND_SIGMAS * sigma.as_ns_f64())
}

fn us(span: Span) -> f64 {
    span.as_ns_f64() / 1e3
}

/// How old the last qualified sample may be.
pub fn age_limit(interval: Span) -> Span {
    interval.times(AGE_INTERVALS).max(AGE_MIN).min(AGE_MAX)
}

#[cfg(test)]
mod tests;
