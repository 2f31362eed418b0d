//! Going on with a target after the clock was out of sight: a restart of the program, a boot, a sleep, a pause.

use super::{Discipline, ENTER_PHASE, Target, USABLE_RATE_SIGMA, View, bound};
use crate::snapshot::State;
use crate::time::{Leader, Line, Rate, Raw, Span, Timestamp};

/// How long a clock that was found moved waits for the date before it locks: NTP's burst takes 2 to 4 s.
const DATE_FIRST: Span = Span::from_secs(5);

/// How long a leader that is known well enough for a lock may become known better before the clock is compared with it.
const COMPARABLE: Span = Span::from_secs(5);

/// What happened to the system clock while nobody watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It ran on at the rate it had: it still stands where the target says, or somebody moved it.
    RanOn,
    /// The same, but the target itself was being slewed by somebody else's plan: it goes on from where the clock
    /// stands.
    Slewed,
    /// It was stopped, or set by another clock: it may be off by up to this, and one step brings it back.
    Set(Span),
}

impl Discipline {
    /// Takes over the target of an earlier run, which ended at the leader's time `seen`. `dated`: its date came from
    /// NTP; `returning`: it was on its way back to UTC.
    pub fn resume(
        &mut self,
        target: Target,
        seen: Timestamp<Leader>,
        (dated, returning): (bool, bool),
        absence: Absence,
    ) {
        (self.target, self.seen) = (Some(target), Some(seen));
        self.ever_locked = true;
        self.disturbed = false;
        self.utc_policy.resume(dated, returning, target.line.rate);
        self.begin_absence(absence);
    }

    /// The clock is to be compared with its target. What was set by another clock was not slewed on: of what nobody
    /// has seen, a return of 100 ppm would be seconds in a night.
    fn begin_absence(&mut self, absence: Absence) {
        self.absence = Some(absence);
        self.comparable_since = None;
        let (Absence::Set(_), Some(target), Some(seen)) = (absence, self.target.as_mut(), self.seen) else {
            return;
        };
        target.line = Line { rate: self.utc_policy.lose_sight(), ..target.line.moved_to(seen) };
    }

    /// The computer has slept or stood still until `now`: the target goes on, the clock may be off it by `limit`.
    pub fn wake(&mut self, now: Timestamp<Raw>, limit: Span) {
        self.started = now;
        self.true_since = None;
        if self.state == State::Locked {
            (self.state, self.entered) = (State::Acquiring, now);
        }
        if self.target.is_some() {
            self.begin_absence(Absence::Set(limit));
        }
    }

    /// What was taken over cannot be continued: this is a start like any other.
    pub fn forget(&mut self) {
        self.target = None;
        self.absence = None;
        self.ever_locked = false;
        self.disturbed = true;
        self.utc_policy.resume(false, false, Rate::ZERO);
    }

    /// NTP contradicts what an earlier run knew of the date: the next fix counts as the first one of this boot.
    pub fn doubt_date(&mut self) {
        self.utc_policy.step_failed();
    }

    /// Whether the clock was found moved, and NTP may yet step it: no lock is begun that would be broken at once.
    pub(super) fn waits_for_date(&self, now: Timestamp<Raw>) -> bool {
        !self.is_dated() && self.undated_until.is_some_and(|until| now < until)
    }

    /// Whether NTP has set or confirmed the date since the boot.
    pub fn is_dated(&self) -> bool {
        self.utc_policy.is_fixed()
    }

    /// Whether the clock is on its way back to UTC.
    pub fn is_returning(&self) -> bool {
        self.utc_policy.is_returning()
    }

    /// Whether the clock has not yet been compared with a target that was taken over.
    pub fn is_resuming(&self) -> bool {
        self.absence.is_some()
    }

    /// Compares the clock with the target that was taken over, once the leader is known well enough. Returns the
    /// step that brings it back, where one is allowed.
    pub(super) fn settle(&mut self, view: &View) -> Option<Span> {
        let absence = self.absence.filter(|_| !view.conflict)?;
        let leader = view.leader.filter(|leader| leader.line.rate_sigma < USABLE_RATE_SIGMA)?;
        if !self.is_comparable(view.now, bound(leader.line.sigma)) {
            return None;
        }
        let offset = self.deviation(view)?.offset;
        self.absence = None;
        let target = self.target.as_mut()?;
        match absence {
            Absence::Slewed => {
                let (system, time) = (view.system.at(view.now), leader.line.at(view.now));
                target.line = Line { a: system, b: time, ..target.line };
            }
            _ if offset.abs() <= self.step_threshold => {}
            Absence::Set(limit) if offset.abs() <= limit => {
                self.onto_target = true;
                self.true_since = None;
                return Some(-offset);
            }
            // Somebody moved the clock on purpose, or its own hand was lost.
            Absence::Set(_) | Absence::RanOn => self.start_anew(view.now),
        }
        None
    }

    /// Whether the leader is known well enough: to half of what a lock allows, so that a step leaves nothing that would
    /// have to be pulled in first, or, on a path that is never known so well, to what a lock allows.
    fn is_comparable(&mut self, now: Timestamp<Raw>, known: Span) -> bool {
        if known > ENTER_PHASE {
            self.comparable_since = None;
            return false;
        }
        let since = *self.comparable_since.get_or_insert(now);
        known <= ENTER_PHASE.half() || now - since >= COMPARABLE
    }

    /// The clock is off by nobody knows how much: a start, in which the date comes before the lock.
    pub(super) fn start_anew(&mut self, now: Timestamp<Raw>) {
        self.forget();
        self.undated_until = Some(now + DATE_FIRST);
    }
}
