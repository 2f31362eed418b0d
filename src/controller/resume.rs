//! Going on where something left off: an earlier run of the program, a sleep of the computer, a pause.

use tracing::{debug, info, warn};

use super::{Fix, PtpController};
use crate::clock::{Reading, SystemClock};
use crate::discipline::{Absence, Target, View};
use crate::estimator::leader::{BOUND_SIGMAS, Prior, Verdict};
use crate::estimator::utc::UtcEstimator;
use crate::events::EventKind;
use crate::net::PtpNetwork;
use crate::ntp::NtpSource;
use crate::ptp::SyncSample;
use crate::snapshot::State;
use crate::state::{SavedNoise, SavedRate, SavedState, SavedTarget, SavedUtc};
use crate::time::{Line, Rate, Raw, Span, TimescaleId, Timestamp};

/// The state is worth saving this often, as long as nothing happens: in so much time an ordinary oscillator makes
/// the leader's line uncertain by 10 µs.
const SAVE_EVERY: Span = Span::from_secs(300);
/// After a change of the target it is saved at once, but not more often than this.
const SAVE_APART: Span = Span::from_secs(10);

/// Shorter sleeps do not exist: what looks like one is two clocks read one after the other.
const SLEPT_MIN: Span = Span::from_ms(100);

/// The counter is asked for this often: until then the clock runs wrong unseen.
const COUNTER_EVERY: Span = Span::from_secs(1);

/// From one boot to the next, the calibration of the raw timeline differs by some ppm; ± 10 ppm by 3.29 standard
/// deviations.
const BOOT_SPREAD: Rate = Rate::from_ppm(3.0);

/// What the loop remembers of things that left off.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// How long the computer had slept when the system clock was last looked at.
    slept: Option<Span>,
    /// The line of an earlier run is continued, and no sample has confirmed it yet.
    unconfirmed: bool,
    /// Left by an earlier boot: its target is used if the leader still counts the same time.
    awaited: Option<Box<SavedState>>,
    /// What an earlier run knew of UTC, until NTP has confirmed or contradicted it.
    date: Option<Box<SavedState>>,
    /// The sleep is over, and the leader has not been heard since.
    waking: bool,
    /// What the raw timeline is made of, and when that is asked again.
    counter: Option<String>,
    counter_due: Option<Timestamp<Raw>>,
    saved: Option<Saved>,
}

/// When the state was last saved, and what it was about.
#[derive(Debug, Clone, Copy)]
struct Saved {
    at: Timestamp<Raw>,
    about: (TimescaleId, u64, u64, [bool; 2]),
}

impl<N: PtpNetwork, C: SystemClock, S: NtpSource> PtpController<N, C, S> {
    /// Goes on where an earlier run of the program left off, as far as that still holds. To be called before the
    /// first turn.
    pub fn resume(&mut self, saved: &SavedState) {
        let prior = saved.prior();
        let boot = self.clock.boot_id();
        if !saved.is_of_boot(boot.as_deref(), self.now) {
            self.leader.expect(&prior, BOOT_SPREAD);
            self.continuity.awaited = Some(Box::new(saved.clone()));
            return;
        }
        self.leader.resume(&prior, &saved.rates());
        let slept = self.clock.slept().zip(saved.slept_ns).map(|(now, then)| now - Span::from_ns(then));
        let absence = match slept.filter(|slept| *slept >= SLEPT_MIN) {
            Some(slept) => {
                self.leader.slept(slept);
                Absence::Set(self.config.panic_threshold)
            }
            None if saved.target.slew_ppb != 0.0 => Absence::Slewed,
            None => {
                if let Some(prior) = self.line_by_clock(saved, &prior) {
                    self.leader.resume(&prior, &saved.rates());
                }
                Absence::RanOn
            }
        };
        self.take_target(saved, absence);
        self.continuity.unconfirmed = true;
    }

    /// The leader's line as the system clock has carried it on: it was held on its target for longer than the file
    /// knows, and runs at the rate it was given last. `None` where it is off by more than the file's line can be: then
    /// somebody has moved it.
    fn line_by_clock(&mut self, saved: &SavedState, prior: &Prior) -> Option<Prior> {
        self.read_clock();
        let expected = self.leader.line(self.now)?;
        let system = self.timeline.system_at(self.now)?;
        let a = saved.target().inverse_at(system);
        let off = (a - expected.a).as_ns_f64().abs();
        debug!(off_ns = off, sigma = %expected.sigma, "the clock against the line of the last run");
        (off <= BOUND_SIGMAS * expected.sigma.as_ns_f64())
            .then_some(Prior { line: Line { a, ..expected }, ..*prior })
    }

    fn take_target(&mut self, saved: &SavedState, absence: Absence) {
        let target = Target { line: saved.target(), timescale: self.leader.timescale() };
        let seen = Timestamp::from_ns(saved.leader_ns);
        self.discipline.resume(target, seen, (saved.dated, saved.returning), absence);
        self.continuity.date = Some(Box::new(saved.clone()));
    }

    /// The state, when it is time to save it: when the clock has locked, when its target has changed, and every
    /// few minutes.
    pub fn state_due(&mut self) -> Option<SavedState> {
        if self.discipline.state().0 != State::Locked {
            return None;
        }
        let dated = [self.discipline.is_dated(), self.discipline.is_returning()];
        let about = (self.leader.timescale(), self.steps, self.foreign.total(), dated);
        let due = self.continuity.saved.is_none_or(|saved| {
            let age = self.now - saved.at;
            age >= SAVE_EVERY || (age >= SAVE_APART && saved.about != about)
        });
        if !due {
            return None;
        }
        let state = self.state()?;
        self.continuity.saved = Some(Saved { at: self.now, about });
        Some(state)
    }

    /// What the next run of the program can use; `None` as long as there is no target, or nothing new is known of
    /// it.
    pub fn state(&mut self) -> Option<SavedState> {
        let (boot_id, slept) = (self.clock.boot_id(), self.clock.slept());
        let view = self.view().filter(|view| !view.conflict && !self.discipline.is_resuming())?;
        let leader = view.leader?;
        let target = self.discipline.target().filter(|target| target.timescale == leader.timescale)?;
        let prior = self.leader.prior(self.now)?;
        let known = self.leader.known_rates().iter().map(|known| SavedRate {
            leader: known.leader,
            rate_ppb: known.rate.ppb(),
            sigma_ppb: known.sigma.ppb(),
            raw_ns: known.at.as_ns(),
        });
        Some(SavedState {
            boot_id,
            raw_ns: self.now.as_ns(),
            system_ns: view.system.at(self.now).as_ns(),
            slept_ns: slept.map(Span::as_ns),
            leader: prior.leader,
            leader_ns: prior.line.at(self.now).as_ns(),
            leader_sigma_ns: prior.line.sigma.as_ns_f64(),
            rate_ppb: prior.line.rate.ppb(),
            rate_sigma_ppb: prior.line.rate_sigma.ppb(),
            wander_ppb: prior.wander.rate,
            drift_wander_ppb: prior.wander.drift,
            noise: SavedNoise {
                sigma_ns: prior.noise.sigma,
                lambda_ns: prior.noise.lambda,
                outliers: prior.noise.outliers,
            },
            target: SavedTarget {
                system_ns: target.line.a.as_ns(),
                leader_ns: target.line.b.as_ns(),
                slew_ppb: target.line.rate.ppb(),
            },
            dated: self.discipline.is_dated(),
            returning: self.discipline.is_returning(),
            utc: view.utc.filter(|utc| utc.on_leader).map(|utc| SavedUtc {
                utc_ns: utc.utc.as_ns(),
                sigma_ns: utc.sigma.as_ns_f64(),
                rate_ppb: utc.rate.0.ppb(),
                rate_sigma_ppb: utc.rate.1.ppb(),
            }),
            known_rates: known.collect(),
        })
    }

    /// How long the computer has slept since this was last asked.
    pub(super) fn has_slept(&mut self) -> Option<Span> {
        let now = self.clock.slept()?;
        let before = self.continuity.slept.replace(now)?;
        Some(now - before).filter(|slept| *slept >= SLEPT_MIN)
    }

    /// The computer has slept: the system clock was set from another clock, and the raw timeline may have lost the
    /// sleep. The leader has gone on, and so does the target.
    pub(super) fn wake(&mut self, length: Span, reading: Reading, rate: Rate) {
        info!(%length, "the computer has slept: waiting for the leader to say what time it is");
        self.timeline.restart(reading, rate);
        self.note(EventKind::Sleep, &format!("the computer has slept for {:.1} s", length.as_secs_f64()));
        self.leader.slept(length);
        self.continuity.waking = true;
        self.begin_anew(self.config.panic_threshold);
    }

    /// Sees whether the raw timeline is made of another counter than before.
    pub(super) fn look_at_counter(&mut self) {
        if self.continuity.counter_due.is_some_and(|due| self.now < due) {
            return;
        }
        self.continuity.counter_due = Some(self.now + COUNTER_EVERY);
        let Some(counter) = self.clock.counter() else { return };
        let before = self.continuity.counter.replace(counter.clone());
        if let Some(before) = before.filter(|before| *before != counter) {
            warn!(%before, %counter, "the computer counts time by another counter now: its rate is measured anew");
            self.note(EventKind::Foreign, &format!("counts time by {counter} instead of {before}"));
            self.leader.counter_changed(self.now);
            self.decide_at = self.now;
        }
    }

    fn begin_anew(&mut self, limit: Span) {
        self.discipline.wake(self.now, limit);
        // UTC was known on a raw timeline that may have stood still.
        self.utc = UtcEstimator::new(self.config.ntp_servers.len(), self.config.panic_threshold);
        self.client.woke_up(self.now);
        self.fix = Fix::default();
        self.decide_at = self.now;
    }

    /// Sees whether a sample of the leader continues what left off.
    pub(super) fn continue_with(&mut self, sample: &SyncSample, verdict: Verdict) {
        let waking = std::mem::take(&mut self.continuity.waking);
        match verdict {
            // Not yet decided.
            Verdict::Outlier => self.continuity.waking = waking,
            Verdict::Accepted | Verdict::Changed(_) => {
                if std::mem::take(&mut self.continuity.unconfirmed) {
                    info!(leader = %sample.leader, "going on where the last run left off");
                    self.note(EventKind::Leader, "going on where the last run left off");
                }
            }
            Verdict::Paused(length) => {
                self.continuity.unconfirmed = false;
                if !waking {
                    info!(%length, "this computer stood still: the leader's time and its counting have gone on");
                    let text = format!("this computer stood still for {:.1} s", length.as_secs_f64());
                    self.note(EventKind::Sleep, &text);
                    self.begin_anew(length + self.config.panic_threshold);
                }
            }
            Verdict::NewTimescale => self.begin_with(sample),
        }
    }

    fn begin_with(&mut self, sample: &SyncSample) {
        if std::mem::take(&mut self.continuity.unconfirmed) {
            info!("the leader's time is not the one of the last run: starting anew");
            self.continuity.date = None;
            self.discipline.forget();
        }
        let Some(saved) = self.continuity.awaited.take() else { return };
        let system = self.timeline.system_at(sample.received.at);
        let fits = system.is_some_and(|system| {
            saved.fits(sample.leader, sample.sent, system, self.config.panic_threshold)
        });
        if fits && self.steps == 0 {
            info!("the leader still counts the time of before the boot: the clock goes on from there");
            self.take_target(&saved, Absence::Set(self.config.panic_threshold));
        }
    }

    /// Compares the first date of this run with what the last one knew. A clock that follows the leader may be far
    /// off UTC, and that is no contradiction; UTC itself is where it was expected, or something is wrong.
    pub(super) fn compare_dates(&mut self, view: &View) {
        let (Some(utc), Some(leader)) = (view.utc, view.leader) else { return };
        let Some(saved) = self.continuity.date.take() else { return };
        let Some((expected, sigma)) = saved.utc_at(leader.line.at(view.now)) else { return };
        let by = utc.utc - expected;
        let spread = utc.sigma.as_ns_f64().hypot(sigma.as_ns_f64());
        let bound = Span::from_ns_f64(BOUND_SIGMAS * spread) + utc.path_unknown + self.config.step_threshold;
        debug!(%by, %bound, "NTP against the date of the last run");
        if by.abs() > bound {
            warn!(
                "NTP says {by} more than what the last run knew: its word counts as the first one of this boot"
            );
            self.discipline.doubt_date();
        }
    }
}
