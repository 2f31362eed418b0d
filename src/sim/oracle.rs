//! What is true, against what the follower shows.
//!
//! Errors are *system clock minus its target*, the target evaluated for the leader as heard here: smallest
//! path delay removed. A listener cannot know that delay, nor how far the queues' noise lies above it, so a
//! constant is removed per segment (a segment ends where the leader, its timescale or the announced path
//! changes): the median of the Locked seconds, shown as `phase_constant_us`. The bounds are judged in the same
//! way: the constant is the median of truth minus print.

#![allow(
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "statistics over its own lists; differences of ns that fit a float"
)]

use std::collections::BTreeMap;

use super::plan::ns_of_s;
use super::scenario::{DisturbancePlan, Scenario};
use super::statistics::{Honesty, largest, median, rms, spread};
use super::world::{Mark, World};
use crate::config::UtcLimit;
use crate::config::window::DailyWindow;
use crate::snapshot::{BoundedRate, BoundedTime, Snapshot, State};
use crate::time::{Leader, LeaderId, Line, Span, System, TimescaleId, Timestamp};

const SECOND_NS: i64 = 1_000_000_000;

/// A true rate error above this is no lock, in ppb.
const FALSE_RATE_PPB: f64 = 1_000.0;
/// A true phase error above this is no lock, in ns.
const FALSE_PHASE_NS: f64 = 100_000.0;
/// A settled clock keeps below the rate limit for this long, in s.
const SETTLED_S: usize = 60;
/// Pulled in: the phase error stays below this, in ns.
const PULLED_IN_NS: f64 = 10_000.0;

/// One second of truth, beside the snapshot that was shown at its end.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Second {
    /// True time since the start, in s.
    pub t_s: f64,
    /// The state shown.
    pub state: State,
    /// System clock minus target, before the constant is removed, in ns; NaN where no offset is shown.
    pub phase_ns: f64,
    /// The offset shown.
    pub shown_offset: Option<BoundedTime>,
    /// Mean rate of the system clock minus that of its target, over this second, in ppb.
    pub rate_ppb: f64,
    /// The same at the end of the second, in ppb.
    pub rate_now_ppb: f64,
    /// The rate shown.
    pub shown_rate: Option<BoundedRate>,
    /// System clock minus UTC, in ns.
    pub utc_ns: f64,
    /// The error against UTC shown.
    pub shown_utc: Option<BoundedTime>,
    /// Rate of the target against the leader, in ppb.
    pub slew_ppb: f64,
    /// The target may be slewed at this time of day.
    pub may_slew: bool,
    /// Constants are fitted per segment.
    pub segment: usize,
    /// The last Follow_Up of the leader shown arrived too long ago for a lock.
    pub stale: bool,
    /// System clock minus the target that was followed before the last disturbance, in ns; NaN without one.
    pub line_ns: f64,
    /// Samples that the follower has counted as not fitting, so far.
    pub outliers: u64,
    /// `phase_ns` without its constant, once the run has been judged; NaN before.
    pub error_ns: f64,
    /// Truth minus offset shown without its constant, in ns, once the run has been judged.
    pub print_error_ns: Option<f64>,
}

/// The figures of one run. A figure that does not exist is NaN, one that was never reached infinite; both fail
/// every limit, and are `null` in JSON.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Figures {
    /// First Locked.
    pub lock_s: f64,
    /// Start of the first 60 s throughout which the true rate error is below 1 ppm.
    pub settle_s: f64,
    /// Steady true rate error over 1 s, root mean square.
    pub rate_rms_ppm: f64,
    /// The largest of them.
    pub rate_max_ppm: f64,
    /// Steady true phase error without its constant, root mean square.
    pub phase_rms_us: f64,
    /// From the lowest to the highest of them.
    pub phase_pp_us: f64,
    /// The largest constant that was removed.
    pub phase_constant_us: f64,
    /// Steady error against UTC, root mean square.
    pub utc_rms_us: f64,
    /// The largest of them.
    pub utc_max_us: f64,
    /// How often the target began to be slewed against the leader.
    pub slews: f64,
    /// The fastest of these slews.
    pub slew_max_ppm: f64,
    /// Seconds in which it was slewed outside of the time of day at which it may be.
    pub slew_outside_s: f64,
    /// This clock's mean rate minus that of the computer beside it: the slope of the straight line through their
    /// difference.
    pub twin_rate_ppm: f64,
    /// This clock's rate minus that of the computer beside it, over 1 s, root mean square.
    pub twin_rate_rms_ppm: f64,
    /// This clock minus that of the computer beside it, root mean square.
    pub twin_rms_us: f64,
    /// The largest of them.
    pub twin_max_us: f64,
    /// NTP requests an hour and server.
    pub ntp_per_h: f64,
    /// Commanded steps after the first Locked.
    pub steps: f64,
    /// Commanded steps backward after the first Locked.
    pub backward: f64,
    /// Seconds of Locked that were none, outside the allowances.
    pub false_lock_s: f64,
    /// Locked left outside the disturbances, a day.
    pub demote_per_day: f64,
    /// The least of the three shares below.
    pub bound_ok: f64,
    /// Share of seconds in which the true phase error lies inside its printed bound.
    pub bound_ok_offset: f64,
    /// The same for the rate, at the second's end.
    pub bound_ok_rate: f64,
    /// The same for the error against UTC.
    pub bound_ok_utc: f64,
    /// The least of the three shares over the seconds that were not shown as Locked; NaN when there are none.
    pub bound_ok_unlocked: f64,
    /// Median bound of the offset by the median size of its true error.
    pub bound_ratio: f64,
    /// The same for the rate.
    pub bound_ratio_rate: f64,
    /// The same for the error against UTC.
    pub bound_ratio_utc: f64,
    /// Datagrams lost because the follower did not read them in time.
    pub overflowed: f64,
}

/// What followed a disturbance, until the next one. Infinite: not within that time.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct DisturbanceFigures {
    /// When it began.
    pub at_s: f64,
    /// What it was.
    pub what: String,
    /// To the first 60 s throughout which the true rate error is below 1 ppm.
    pub settle_s: f64,
    /// To the first snapshot that is not Locked.
    pub leave_s: f64,
    /// To the next Locked; 0 when Locked was not left.
    pub relock_s: f64,
    /// To the moment from which on the phase error stays within 10 µs.
    pub pull_in_s: f64,
    /// Largest true phase error without its constant.
    pub phase_us: f64,
    /// Largest true rate error over one second.
    pub rate_ppm: f64,
    /// Largest distance, in Locked seconds, from the line that was followed before; NaN without one.
    pub line_us: f64,
    /// True phase error by its printed bound, in the last second; NaN where none is printed.
    pub bound_share: f64,
    /// Seconds shown as Holdover although a bound is wider than what leaves a lock.
    pub overstay_s: f64,
    /// Samples that the follower counted as not fitting.
    pub outliers: f64,
}

/// Everything that is known of one run.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RunResult {
    /// The seed.
    pub seed: u64,
    /// The columns of the table.
    pub figures: Figures,
    /// What followed each disturbance, in the scenario's order.
    pub disturbances: Vec<DisturbanceFigures>,
    /// Second by second, from the first target on.
    #[serde(skip)]
    pub seconds: Vec<Second>,
    /// The changes of state: true time since the start in s, and the state entered.
    pub states: Vec<(f64, State)>,
}

/// The leader clock that is the truth for what the follower shows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Truth {
    id: LeaderId,
    timescale: TimescaleId,
    index: usize,
    life: usize,
}

/// Collects the seconds of a run.
#[derive(Debug)]
pub(super) struct Oracle<'a> {
    scenario: &'a Scenario,
    shown: Option<Snapshot>,
    truth: Option<Truth>,
    truths: usize,
    last: Option<Mark>,
    /// Where slews have a window.
    window: Option<DailyWindow>,
    /// The target as it was at the last second, and the truth that it belongs to.
    came_along: Option<(Line<System, Leader>, usize)>,
    seconds: Vec<Second>,
    states: Vec<(f64, State)>,
    /// The target shown last while Locked, and the one of them at the last disturbance.
    lately: Option<Followed>,
    before: Option<Followed>,
    /// Disturbances that have begun.
    begun: usize,
}

/// A target, and the leader clock that it refers to.
#[derive(Debug, Clone, Copy)]
struct Followed {
    target: Line<System, Leader>,
    truth: Truth,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            shown: None,
            truth: None,
            truths: 0,
            last: None,
            window: scenario.follower_config().utc_slew_window,
            came_along: None,
            seconds: Vec::new(),
            states: Vec::new(),
            lately: None,
            before: None,
            begun: 0,
        }
    }

    /// The follower was not there: until it shows something, nothing is judged.
    pub(super) fn forget_what_is_shown(&mut self) {
        self.shown = None;
    }

    /// Keeps what was followed when a disturbance begins.
    fn note_disturbances(&mut self, elapsed: i64) {
        let begun = self.scenario.disturbance.iter().filter(|plan| ns_of_s(plan.at_s) <= elapsed).count();
        if begun != self.begun {
            (self.begun, self.before) = (begun, self.lately);
        }
    }

    /// The follower shows this from now on.
    pub(super) fn take_snapshot(&mut self, snapshot: Snapshot, world: &World) {
        self.note_disturbances(world.elapsed(world.now()));
        if self.states.last().is_none_or(|(_, state)| *state != snapshot.state) {
            self.states.push((world.elapsed(world.now()) as f64 / 1e9, snapshot.state));
        }
        if let (Some(leader), Some(_)) = (&snapshot.leader, &snapshot.target)
            && !self.still_follows(leader.id, snapshot.timescale, world)
            && let Some((index, clock)) = world.leader(leader.id)
        {
            let life = clock.life_at(world.now());
            self.truth = Some(Truth { id: leader.id, timescale: snapshot.timescale, index, life });
            self.truths += 1;
        }
        if let (State::Locked, Some(target), Some(truth)) = (snapshot.state, snapshot.target, self.truth) {
            self.lately = Some(Followed { target, truth });
        }
        self.shown = Some(snapshot);
    }

    /// Whether the target shown still refers to the truth. Another leader was elected before its first sample where
    /// the timescale is still the old one, unless it carries the old time on.
    fn still_follows(&self, id: LeaderId, timescale: TimescaleId, world: &World) -> bool {
        let Some(truth) = self.truth.filter(|truth| truth.timescale == timescale) else { return false };
        if truth.id == id {
            return true;
        }
        let now = world.now();
        let (Some((_, then)), Some((_, clock))) = (world.leader(truth.id), world.leader(id)) else {
            return true;
        };
        let apart = clock.at(clock.life_at(now), now) - then.at(truth.life, now);
        apart.abs() > SAME_TIME_NS
    }

    /// Looks at the seconds that have passed, with what was shown last.
    pub(super) fn take_seconds(&mut self, world: &mut World) {
        for mark in world.take_marks() {
            self.note_disturbances(world.elapsed(mark.at));
            let last = self.last.replace(mark);
            if let (Some(last), Some(second)) = (last, self.second(mark, last, world)) {
                debug_assert!(last.at < mark.at, "seconds pass in order");
                self.seconds.push(second);
            }
            self.came_along =
                self.shown.as_ref().and_then(|shown| shown.target).map(|line| (line, self.truths));
        }
    }

    fn second(&self, mark: Mark, last: Option<Mark>, world: &World) -> Option<Second> {
        // Nobody was there to be judged in between.
        let last = last.filter(|last| mark.at - last.at <= SECOND_NS)?;
        let (shown, truth) = (self.shown.as_ref()?, self.truth?);
        let target = shown.target?;
        let elapsed = world.elapsed(mark.at);
        // One base for both ends of the second: a path that changes is no change of the clock's rate.
        let base = self.scenario.path.base_ns(elapsed);
        let (_, clock) = world.leader(truth.id)?;
        let along = |line: Line<System, Leader>, at| {
            line.at(Timestamp::from_ns(clock.at(truth.life, at - base))).as_ns()
        };
        // Where a slew changed within the second, the target came along another line; not so where it moved.
        let came_along = self.came_along.filter(|(line, truths)| {
            let goes_on = (line.at(target.b) - target.a).abs() < SAME_TARGET;
            *truths == self.truths && line.rate != target.rate && goes_on
        });
        let line_then = came_along.map_or(target, |(line, _)| line);
        let (target_now, target_then) = (along(target, mark.at), along(line_then, last.at));
        let gained = (mark.system - last.system) - (target_now - target_then);
        let target_rate = (1.0 + target.rate.ratio()) * (1.0 + clock.rate(truth.life, mark.at - base));
        let line = self.before.and_then(|before| {
            let (_, clock) = world.leader(before.truth.id)?;
            let leader = Timestamp::from_ns(clock.at(before.truth.life, mark.at - base));
            Some((mark.system - before.target.at(leader).as_ns()) as f64)
        });
        let refits = self.scenario.disturbance.iter();
        let refits = refits.filter(|plan| plan.refit && elapsed >= ns_of_s(plan.at_s)).count();
        let timeout = (10 * world.leader_interval(truth.index)).clamp(2_500_000_000, 4_500_000_000);
        let age = world.leader_age(truth.index, mark.at).unwrap_or(i64::MAX);
        Some(Second {
            t_s: elapsed as f64 / 1e9,
            state: shown.state,
            // Without an offset shown, the follower claims only a rate: its phase is free.
            phase_ns: if shown.offset.is_some() { (mark.system - target_now) as f64 } else { f64::NAN },
            shown_offset: shown.offset,
            rate_ppb: gained as f64 / ((mark.at - last.at) as f64 / 1e9),
            rate_now_ppb: ((1.0 + mark.rate) / target_rate - 1.0) * 1e9,
            shown_rate: shown.rate,
            utc_ns: (mark.system - mark.at - self.scenario.leapt_ns(elapsed)) as f64,
            shown_utc: shown.utc.as_ref().map(|utc| utc.offset),
            slew_ppb: target.rate.ppb(),
            may_slew: self.window.is_none_or(|window| window.left(Span::from_ns(mark.at)).is_some()),
            segment: self.truths + refits,
            stale: age > timeout + STALE_GRACE_NS,
            line_ns: line.unwrap_or(f64::NAN),
            outliers: shown.outliers,
            error_ns: f64::NAN,
            print_error_ns: None,
        })
    }

    /// The figures of the run that has ended.
    pub(super) fn judge(mut self, seed: u64, world: &World) -> RunResult {
        let judge = Judge::new(self.scenario, &self.seconds, &self.states);
        let figures = judge.figures(world);
        let disturbances = judge.disturbances();
        let errors: Vec<_> = judge.phase.into_iter().zip(judge.offset_error).collect();
        for (second, (error, print_error)) in self.seconds.iter_mut().zip(errors) {
            (second.error_ns, second.print_error_ns) = (error, print_error);
        }
        RunResult { seed, figures, disturbances, seconds: self.seconds, states: self.states }
    }
}

/// Two lines of a target that goes on meet this closely: a slew changes by half a ppm in a second.
const SAME_TARGET: Span = Span::from_us(1);

/// Two leaders' clocks that are no further apart count the same time.
const SAME_TIME_NS: i64 = 1_000_000;

/// A timeout is noticed by a wake-up, which may be a little late.
const STALE_GRACE_NS: i64 = 500_000_000;

/// The run, with its constants removed.
struct Judge<'a> {
    scenario: &'a Scenario,
    seconds: &'a [Second],
    states: &'a [(f64, State)],
    /// True phase error without its constant, in ns, by second.
    phase: Vec<f64>,
    /// Truth minus print without its constant, in ns, by second.
    offset_error: Vec<Option<f64>>,
    constant: f64,
}

impl<'a> Judge<'a> {
    fn new(scenario: &'a Scenario, seconds: &'a [Second], states: &'a [(f64, State)]) -> Self {
        let offset_error = |second: &Second| Some(second.phase_ns - second.shown_offset?.value_ns);
        let phase_constant = constants(scenario, seconds, |second| Some(second.phase_ns));
        let error_constant = constants(scenario, seconds, offset_error);
        let of = |constants: &BTreeMap<usize, f64>, second: &Second| {
            constants.get(&second.segment).copied().unwrap_or_default()
        };
        Self {
            scenario,
            seconds,
            states,
            phase: seconds.iter().map(|second| second.phase_ns - of(&phase_constant, second)).collect(),
            offset_error: seconds
                .iter()
                .map(|second| Some(offset_error(second)? - of(&error_constant, second)))
                .collect(),
            constant: largest(phase_constant.into_values()),
        }
    }

    fn figures(&self, world: &World) -> Figures {
        let steady = |index: &usize| is_steady(self.scenario, self.seconds[*index].t_s);
        let steady: Vec<usize> = (0..self.seconds.len()).filter(steady).collect();
        let of = |value: fn(&Second) -> f64| steady.iter().map(move |index| value(&self.seconds[*index]));
        let phase = || steady.iter().map(|index| self.phase[*index]);
        let lock_s = self.states.iter().find(|(_, state)| *state == State::Locked).map(|(at, _)| *at);
        let lock_s = lock_s.unwrap_or(f64::INFINITY);
        let late_steps = || {
            let steps = world.record.steps.iter();
            steps.filter(move |(at, _)| world.elapsed(*at) as f64 / 1e9 > lock_s)
        };
        let [offset, rate, utc] = self.bounds(|_| true);
        let unlocked = self.bounds(|second| second.state != State::Locked).map(|it| it.ok);
        let slewed = self.slewed();
        let hours = self.scenario.duration_s / 3_600.0;
        let servers = self.scenario.ntp.len().max(1) as f64;
        Figures {
            lock_s,
            settle_s: self.settled_after(0.0, f64::INFINITY),
            rate_rms_ppm: rms(of(|second| second.rate_ppb)) / 1e3,
            rate_max_ppm: largest(of(|second| second.rate_ppb)) / 1e3,
            phase_rms_us: rms(phase()) / 1e3,
            phase_pp_us: spread(phase()) / 1e3,
            phase_constant_us: self.constant / 1e3,
            utc_rms_us: rms(of(|second| second.utc_ns)) / 1e3,
            utc_max_us: largest(of(|second| second.utc_ns)) / 1e3,
            slews: slewed.slews,
            slew_max_ppm: slewed.max_ppm,
            slew_outside_s: slewed.outside_s,
            twin_rate_ppm: f64::NAN,
            twin_rate_rms_ppm: f64::NAN,
            twin_rms_us: f64::NAN,
            twin_max_us: f64::NAN,
            ntp_per_h: world.record.ntp_requests as f64 / servers / hours,
            steps: late_steps().count() as f64,
            backward: late_steps().filter(|(_, by)| *by < 0).count() as f64,
            false_lock_s: self.false_lock_s(),
            demote_per_day: self.demotions() as f64 * 24.0 / hours,
            bound_ok: least_share(offset.ok, rate.ok, utc.ok),
            bound_ok_offset: offset.ok,
            bound_ok_rate: rate.ok,
            bound_ok_utc: utc.ok,
            bound_ok_unlocked: unlocked.into_iter().fold(f64::NAN, f64::min),
            bound_ratio: offset.ratio,
            bound_ratio_rate: rate.ratio,
            bound_ratio_utc: utc.ratio,
            overflowed: world.record.overflowed as f64,
        }
    }

    /// How honest the three bounds are in these seconds: offset, rate, UTC.
    fn bounds(&self, counts: impl Fn(&Second) -> bool) -> [Honesty; 3] {
        let seconds = || self.seconds.iter().zip(&self.offset_error).filter(|(second, _)| counts(second));
        [
            Honesty::of(seconds().filter_map(|(it, error)| Some(((*error)?, it.shown_offset?.bound_ns)))),
            Honesty::of(seconds().filter_map(|(it, _)| {
                let shown = it.shown_rate?;
                Some((it.rate_now_ppb - shown.value_ppb, shown.bound_ppb))
            })),
            Honesty::of(seconds().filter_map(|(it, _)| {
                let shown = it.shown_utc?;
                Some((it.utc_ns - shown.value_ns, shown.bound_ns))
            })),
        ]
    }

    fn false_lock_s(&self) -> f64 {
        let excused = |second: &Second| {
            let mut plans = self.scenario.disturbance.iter();
            plans.any(|plan| second.t_s >= plan.at_s && second.t_s <= plan.at_s + plan.allow_s)
        };
        let is_false = |(second, phase): &(&Second, &f64)| {
            let wrong =
                second.rate_ppb.abs() > FALSE_RATE_PPB || phase.abs() > FALSE_PHASE_NS || second.stale;
            second.state == State::Locked && wrong && !excused(second)
        };
        self.seconds.iter().zip(&self.phase).filter(is_false).count() as f64
    }

    /// How the target was slewed. Only where that is bounded: always following UTC is no row of single slews.
    fn slewed(&self) -> Slewed {
        if !matches!(self.scenario.follower_config().utc_limit, UtcLimit::Within(limit) if limit > Span::ZERO)
        {
            return Slewed { slews: f64::NAN, max_ppm: f64::NAN, outside_s: f64::NAN };
        }
        let begins = |pair: &&[Second]| pair[0].slew_ppb == 0.0 && pair[1].slew_ppb != 0.0;
        let outside = |second: &&Second| second.slew_ppb != 0.0 && !second.may_slew;
        Slewed {
            slews: self.seconds.windows(2).filter(begins).count() as f64,
            max_ppm: largest(self.seconds.iter().map(|second| second.slew_ppb)) / 1e3,
            outside_s: self.seconds.iter().filter(outside).count() as f64,
        }
    }

    fn demotions(&self) -> usize {
        let left = self.states.windows(2).filter(|pair| pair[0].1 == State::Locked);
        left.filter(|pair| !recovers(self.scenario, pair[1].0)).count()
    }

    /// Start of the first minute from `from` on throughout which the rate is right; it must begin by `until`.
    fn settled_after(&self, from: f64, until: f64) -> f64 {
        let mut good = 0;
        for second in self.seconds.iter().filter(|second| second.t_s > from) {
            good = if second.rate_ppb.abs() < FALSE_RATE_PPB { good + 1 } else { 0 };
            let began = second.t_s - good as f64;
            if began > until {
                break;
            }
            if good == SETTLED_S {
                return began;
            }
        }
        f64::INFINITY
    }

    fn disturbances(&self) -> Vec<DisturbanceFigures> {
        let plans = &self.scenario.disturbance;
        plans.iter().map(|plan| self.disturbance(plan, next_after(plans, plan.at_s))).collect()
    }

    fn disturbance(&self, plan: &DisturbancePlan, until: f64) -> DisturbanceFigures {
        let at = plan.at_s;
        let inside: Vec<(f64, f64, f64)> = self
            .seconds
            .iter()
            .zip(&self.phase)
            .filter(|(second, _)| second.t_s > at && second.t_s <= until)
            .map(|(second, phase)| (second.t_s, *phase, second.rate_ppb))
            .collect();
        let locked_before = self.states.iter().rfind(|(t, _)| *t <= at).map(|(_, state)| *state);
        let mut after = self.states.iter().filter(|(t, _)| *t > at && *t <= until);
        let (leave_s, relock_s) = if locked_before == Some(State::Locked) {
            match after.next() {
                None => (f64::INFINITY, 0.0),
                Some((left, _)) => (left - at, to_lock(after, at)),
            }
        } else {
            (0.0, to_lock(after, at))
        };
        let away = inside.iter().rfind(|(_, phase, _)| phase.abs() > PULLED_IN_NS);
        let pull_in_s = match (away, inside.last()) {
            (Some((t, ..)), Some((end, ..))) if t == end => f64::INFINITY,
            (Some((t, ..)), _) => t - at,
            (None, Some(_)) => 0.0,
            (None, None) => f64::NAN,
        };
        let outliers_until = |end: f64| {
            let before = self.seconds.iter().take_while(|second| second.t_s <= end);
            before.last().map_or(0, |second| second.outliers)
        };
        DisturbanceFigures {
            at_s: at,
            what: plan.what.clone(),
            settle_s: self.settled_after(at, until) - at,
            leave_s,
            relock_s,
            pull_in_s,
            phase_us: largest(inside.iter().map(|(_, phase, _)| *phase)) / 1e3,
            rate_ppm: largest(inside.iter().map(|(.., rate)| *rate)) / 1e3,
            line_us: self.distance_from_line(plan) / 1e3,
            bound_share: self.bound_share(until),
            overstay_s: self.overstayed(at, until),
            // The count begins anew after a restart.
            outliers: outliers_until(until).saturating_sub(outliers_until(at)) as f64,
        }
    }

    /// How far a Locked clock has left the line that it followed before, in ns; the constant is that of the last
    /// minute before.
    fn distance_from_line(&self, plan: &DisturbancePlan) -> f64 {
        let locked = || self.seconds.iter().filter(|second| second.state == State::Locked);
        let before = locked().rev().skip_while(|second| second.t_s > plan.at_s).take(SETTLED_S);
        let constant = median(before.map(|second| second.phase_ns).collect());
        let end = plan.at_s + plan.recover_s;
        let after = locked().filter(|second| second.t_s > plan.at_s && second.t_s <= end);
        largest(after.map(|second| second.line_ns - constant))
    }

    fn bound_share(&self, until: f64) -> f64 {
        let shown = self.seconds.iter().zip(&self.offset_error).rev();
        let mut shown = shown.filter(|(second, _)| second.t_s <= until);
        let last = shown.find_map(|(second, error)| Some((*error)?.abs() / second.shown_offset?.bound_ns));
        last.unwrap_or(f64::NAN)
    }

    fn overstayed(&self, at: f64, until: f64) -> f64 {
        let inside = self.seconds.iter().filter(|second| second.t_s > at && second.t_s <= until);
        let too_wide = |second: &&Second| {
            let offset = second.shown_offset.is_none_or(|it| it.bound_ns > FALSE_PHASE_NS + READ_NS);
            let rate = second.shown_rate.is_none_or(|it| it.bound_ppb > FALSE_RATE_PPB);
            second.state == State::Holdover && (offset || rate)
        };
        inside.filter(too_wide).count() as f64
    }
}

/// What a bound holds besides the leader's line: the reading of the clocks, and what comes to it until the next
/// snapshot, in ns.
const READ_NS: f64 = 1_000.0;

fn to_lock<'a>(mut states: impl Iterator<Item = &'a (f64, State)>, at: f64) -> f64 {
    states.find(|(_, state)| *state == State::Locked).map_or(f64::INFINITY, |(t, _)| t - at)
}

fn next_after(plans: &[DisturbancePlan], at: f64) -> f64 {
    plans.iter().map(|plan| plan.at_s).filter(|next| *next > at).fold(f64::INFINITY, f64::min)
}

fn recovers(scenario: &Scenario, t_s: f64) -> bool {
    let mut plans = scenario.disturbance.iter();
    plans.any(|plan| t_s >= plan.at_s && t_s <= plan.at_s + plan.recover_s)
}

pub(super) fn is_steady(scenario: &Scenario, t_s: f64) -> bool {
    t_s >= scenario.steady_from_s && !recovers(scenario, t_s)
}

/// The constant of each segment: the median of its steady Locked seconds, or of the best there are.
fn constants(
    scenario: &Scenario,
    seconds: &[Second],
    value: impl Fn(&Second) -> Option<f64>,
) -> BTreeMap<usize, f64> {
    let mut segments: BTreeMap<usize, [Vec<f64>; 3]> = BTreeMap::new();
    for second in seconds {
        let Some(value) = value(second) else { continue };
        let locked = second.state == State::Locked;
        let [best, good, all] = segments.entry(second.segment).or_default();
        all.push(value);
        if locked {
            good.push(value);
        }
        if locked && is_steady(scenario, second.t_s) {
            best.push(value);
        }
    }
    let fit = |[best, good, all]: [Vec<f64>; 3]| {
        median(if !best.is_empty() {
            best
        } else if !good.is_empty() {
            good
        } else {
            all
        })
    };
    segments.into_iter().map(|(segment, values)| (segment, fit(values))).collect()
}

/// How the target was slewed against the leader.
struct Slewed {
    slews: f64,
    max_ppm: f64,
    outside_s: f64,
}

/// Offset and rate must be printed; UTC may be unknown.
fn least_share(offset: f64, rate: f64, utc: f64) -> f64 {
    if offset.is_nan() || rate.is_nan() { f64::NAN } else { offset.min(rate).min(utc) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_is_never_printed_is_no_bound_that_holds() {
        assert_eq!(least_share(0.9, 1.0, f64::NAN), 0.9);
        assert!(least_share(f64::NAN, 1.0, 1.0).is_nan());
        assert!(least_share(1.0, f64::NAN, 1.0).is_nan());
    }
}
