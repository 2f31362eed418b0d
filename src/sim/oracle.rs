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
use super::world::{Mark, World};
use crate::snapshot::{BoundedRate, BoundedTime, Snapshot, State};
use crate::time::{LeaderId, TimescaleId, Timestamp};

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
    /// Constants are fitted per segment.
    pub segment: usize,
    /// The last Follow_Up of the leader shown arrived too long ago for a lock.
    pub stale: bool,
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
    seconds: Vec<Second>,
    states: Vec<(f64, State)>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            shown: None,
            truth: None,
            truths: 0,
            last: None,
            seconds: Vec::new(),
            states: Vec::new(),
        }
    }

    /// The follower shows this from now on.
    pub(super) fn take_snapshot(&mut self, snapshot: Snapshot, world: &World) {
        if self.states.last().is_none_or(|(_, state)| *state != snapshot.state) {
            self.states.push((world.elapsed(world.now()) as f64 / 1e9, snapshot.state));
        }
        if let (Some(leader), Some(_)) = (&snapshot.leader, &snapshot.target) {
            let follows =
                self.truth.is_some_and(|it| it.id == leader.id && it.timescale == snapshot.timescale);
            if let (false, Some((index, clock))) = (follows, world.leader(leader.id)) {
                let life = clock.life_at(world.now());
                self.truth = Some(Truth { id: leader.id, timescale: snapshot.timescale, index, life });
                self.truths += 1;
            }
        }
        self.shown = Some(snapshot);
    }

    /// Looks at the seconds that have passed, with what was shown last.
    pub(super) fn take_seconds(&mut self, world: &mut World) {
        for mark in world.take_marks() {
            let last = self.last.replace(mark);
            if let (Some(last), Some(second)) = (last, self.second(mark, last, world)) {
                debug_assert!(last.at < mark.at, "seconds pass in order");
                self.seconds.push(second);
            }
        }
    }

    fn second(&self, mark: Mark, last: Option<Mark>, world: &World) -> Option<Second> {
        let (last, shown, truth) = (last?, self.shown.as_ref()?, self.truth?);
        let target = shown.target?;
        let elapsed = world.elapsed(mark.at);
        // One base for both ends of the second: a path that changes is no change of the clock's rate.
        let base = self.scenario.path.base_ns(elapsed);
        let (_, clock) = world.leader(truth.id)?;
        let target_at = |at| target.at(Timestamp::from_ns(clock.at(truth.life, at - base))).as_ns();
        let (target_now, target_then) = (target_at(mark.at), target_at(last.at));
        let gained = (mark.system - last.system) - (target_now - target_then);
        let target_rate = (1.0 + target.rate.ratio()) * (1.0 + clock.rate(truth.life, mark.at - base));
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
            utc_ns: (mark.system - mark.at) as f64,
            shown_utc: shown.utc.as_ref().map(|utc| utc.offset),
            segment: self.truths + refits,
            stale: age > timeout + STALE_GRACE_NS,
        })
    }

    /// The figures of the run that has ended.
    pub(super) fn judge(self, seed: u64, world: &World) -> RunResult {
        let judge = Judge::new(self.scenario, &self.seconds, &self.states);
        let figures = judge.figures(world);
        let disturbances = judge.disturbances();
        RunResult { seed, figures, disturbances, seconds: self.seconds, states: self.states }
    }
}

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
        let [offset, rate, utc] = self.bounds();
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
            ntp_per_h: world.record.ntp_requests as f64 / servers / hours,
            steps: late_steps().count() as f64,
            backward: late_steps().filter(|(_, by)| *by < 0).count() as f64,
            false_lock_s: self.false_lock_s(),
            demote_per_day: self.demotions() as f64 * 24.0 / hours,
            bound_ok: least_share(offset.ok, rate.ok, utc.ok),
            bound_ok_offset: offset.ok,
            bound_ok_rate: rate.ok,
            bound_ok_utc: utc.ok,
            bound_ratio: offset.ratio,
            bound_ratio_rate: rate.ratio,
            bound_ratio_utc: utc.ratio,
            overflowed: world.record.overflowed as f64,
        }
    }

    /// How honest the three bounds are: offset, rate, UTC.
    fn bounds(&self) -> [Honesty; 3] {
        let shown = self.seconds.iter().zip(&self.offset_error);
        [
            Honesty::of(shown.filter_map(|(it, error)| Some(((*error)?, it.shown_offset?.bound_ns)))),
            Honesty::of(self.seconds.iter().filter_map(|it| {
                let shown = it.shown_rate?;
                Some((it.rate_now_ppb - shown.value_ppb, shown.bound_ppb))
            })),
            Honesty::of(self.seconds.iter().filter_map(|it| {
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
        DisturbanceFigures {
            at_s: at,
            what: plan.what.clone(),
            settle_s: self.settled_after(at, until) - at,
            leave_s,
            relock_s,
            pull_in_s,
            phase_us: largest(inside.iter().map(|(_, phase, _)| *phase)) / 1e3,
            rate_ppm: largest(inside.iter().map(|(.., rate)| *rate)) / 1e3,
        }
    }
}

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

fn is_steady(scenario: &Scenario, t_s: f64) -> bool {
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

/// How often a bound holds, and how wide it is.
struct Honesty {
    ok: f64,
    ratio: f64,
}

impl Honesty {
    /// From pairs of a true error and its printed bound.
    fn of(pairs: impl Iterator<Item = (f64, f64)>) -> Self {
        let (errors, bounds): (Vec<f64>, Vec<f64>) = pairs.map(|(error, bound)| (error.abs(), bound)).unzip();
        let inside = errors.iter().zip(&bounds).filter(|(error, bound)| error <= bound).count();
        Self { ok: inside as f64 / errors.len() as f64, ratio: median(bounds) / median(errors) }
    }
}

/// Offset and rate must be printed; UTC may be unknown.
fn least_share(offset: f64, rate: f64, utc: f64) -> f64 {
    if offset.is_nan() || rate.is_nan() { f64::NAN } else { offset.min(rate).min(utc) }
}

fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value * value, count + 1.0));
    f64::sqrt(sum / count)
}

/// The largest size, NaN of none.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).fold(f64::NAN, f64::max)
}

fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.fold((f64::NAN, f64::NAN), ends);
    high - low
}

/// The middle of the values (the upper one of two), NaN of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
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
