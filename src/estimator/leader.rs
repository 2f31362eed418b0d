//! The leader's line: leader time as a function of raw time, with bounds that hold.
//!
//! Several beliefs run side by side on the same samples, each with its own assumption about how the two
//! oscillators wander; see `bank`. Beside the believed one run short-lived challengers, forked from it at
//! regular intervals, which assume that something has just changed: the leader's rate, the path, or the noise.
//! A challenger that explains the samples since its fork better by stated odds takes over. That is a
//! generalised likelihood-ratio test: it tells a change of the leader's rate from a spike without any threshold
//! in µs.

mod bank;
mod challenger;

use super::filter::{Filter, Noise};
use crate::ptp::SyncSample;
use crate::time::{Leader, LeaderId, Line, Rate, Raw, Span, TimescaleId, Timestamp};
use bank::Bank;
use challenger::Challengers;
pub use challenger::Change;

/// Rates of leaders and computers differ by this much before anything is known: crystals are within ±100 ppm,
/// and ±500 ppm must still lock.
const RATE_PRIOR: f64 = 150e3;

/// Another leader's rate differs from the last one's by about this (field: −25.6 to −0.2 ppm).
const LEADER_SPREAD: f64 = 15e3;

/// A sample that misses the line by more is not a spike of this timescale but another timescale.
const TIMESCALE_JUMP: Span = Span::from_ms(1);

/// Samples of the new timescale that must agree among themselves before the old one is given up.
const TIMESCALE_AGREE: usize = 3;

/// 99.9 % of a normal distribution lie within this many standard deviations.
pub const BOUND_SIGMAS: f64 = 3.29;

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It fits the line.
    Accepted,
    /// It does not fit and was given little weight.
    Outlier,
    /// It begins a new timescale: no line yet, or an old one given up.
    NewTimescale,
    /// It made a challenger take over: something changed, and the line follows.
    Changed(Change),
}

/// Anchors of the filters' axes: raw time zero and raw minus leader at it.
#[derive(Debug, Clone, Copy)]
struct Axes {
    raw: Timestamp<Raw>,
    leader: Timestamp<Leader>,
}

impl Axes {
    fn time(&self, raw: Timestamp<Raw>) -> f64 {
        (raw - self.raw).as_secs_f64()
    }
    /// Raw minus leader in ns, relative to the anchors.
    fn phase(&self, raw: Timestamp<Raw>, leader: Timestamp<Leader>) -> f64 {
        ((raw - self.raw) - (leader - self.leader)).as_ns_f64()
    }
}

/// Estimates the line of one leader after the other.
#[derive(Debug, Default)]
pub struct LeaderEstimator {
    axes: Option<Axes>,
    bank: Option<Bank>,
    leader: Option<LeaderId>,
    timescale: TimescaleId,
    challengers: Challengers,
    /// Recent samples that are far off the line.
    strays: Vec<SyncSample>,
    last_sample: Option<Timestamp<Raw>>,
    /// Mean distance of samples: the Sync interval, longer where messages get lost.
    spacing: Option<Span>,
    samples: u64,
    outliers: u64,
}

impl LeaderEstimator {
    /// Knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a sample of the elected leader.
    pub fn observe(&mut self, sample: &SyncSample) -> Verdict {
        self.samples = self.samples.saturating_add(1);
        let (raw, sent) = (sample.received.at, sample.sent);
        let (Some(axes), Some(bank)) = (self.axes, self.bank.as_ref()) else {
            self.begin(sample, 0.0, RATE_PRIOR, None);
            return Verdict::NewTimescale;
        };
        let time = axes.time(raw);
        let phase = axes.phase(raw, sent);
        let believed = *bank.believed();
        let predicted = believed.predicted(time);
        // The line itself may be so uncertain, after a long silence, that a miss of 1 ms is no surprise.
        let surprise = TIMESCALE_JUMP.as_ns_f64().max(6.0 * predicted.known.phase.sqrt());
        if (phase - predicted.phase).abs() > surprise + 10.0 * believed.noise.deviation() {
            return self.stray(sample, &believed);
        }
        self.strays.clear();
        // Another leader on the same line is a warm takeover: it carries the old time on.
        self.leader = Some(sample.leader);
        self.follow(raw, sent)
    }

    /// A sample on the line.
    fn follow(&mut self, raw: Timestamp<Raw>, sent: Timestamp<Leader>) -> Verdict {
        let (Some(axes), Some(bank)) = (self.axes, self.bank.as_mut()) else { return Verdict::NewTimescale };
        if let Some(last) = self.last_sample.filter(|last| *last < raw) {
            let apart = raw - last;
            // A long silence counts as twice the mean: it says little about the spacing afterwards.
            let mean = self.spacing.unwrap_or(apart);
            self.spacing = Some(mean + (apart - mean).min(mean).part(SPACING_PART));
        }
        self.last_sample = self.last_sample.max(Some(raw));
        let (time, phase) = (axes.time(raw), axes.phase(raw, sent));
        let believed = *bank.believed();
        let posterior = bank.observe(time, phase);
        if let Some((change, filter)) = self.challengers.observe(time, phase, &believed, &posterior) {
            bank.restart(&filter);
            return Verdict::Changed(change);
        }
        if posterior.fits < 0.5 {
            self.outliers = self.outliers.saturating_add(1);
            return Verdict::Outlier;
        }
        Verdict::Accepted
    }

    /// A sample far off the line: a forgery, or one of the first of another timescale.
    fn stray(&mut self, sample: &SyncSample, believed: &Filter) -> Verdict {
        self.outliers = self.outliers.saturating_add(1);
        let agrees = self.strays.iter().all(|stray| {
            let (raw, sent) = (sample.received.at - stray.received.at, sample.sent - stray.sent);
            let difference = (raw - sent).abs();
            raw > Span::ZERO && difference < TIMESCALE_JUMP + Rate::from_ppm(1_000.0).gain_over(raw)
        });
        if !agrees {
            self.strays.clear();
        }
        self.strays.push(*sample);
        if self.strays.len() < TIMESCALE_AGREE {
            return Verdict::Outlier;
        }
        let another = self.leader != Some(sample.leader);
        let spread = if another { LEADER_SPREAD } else { SAME_LEADER_SPREAD };
        let time = self.axes.map_or(0.0, |axes| axes.time(sample.received.at));
        let rate_sigma = believed.predicted(time).known.rate.sqrt().hypot(spread);
        let strays = std::mem::take(&mut self.strays);
        if let Some(first) = strays.first() {
            self.begin(first, believed.rate, rate_sigma, Some(believed.noise));
        }
        for stray in strays.iter().skip(1) {
            self.follow(stray.received.at, stray.sent);
        }
        Verdict::NewTimescale
    }

    fn begin(&mut self, sample: &SyncSample, rate: f64, rate_sigma: f64, noise: Option<Noise>) {
        if self.bank.is_some() {
            self.timescale = self.timescale.next();
        }
        self.axes = Some(Axes { raw: sample.received.at, leader: sample.sent });
        self.bank = Some(Bank::start(rate, rate_sigma, noise));
        self.leader = Some(sample.leader);
        self.last_sample = Some(sample.received.at);
        self.challengers = Challengers::default();
        self.strays.clear();
    }

    /// The line of the leader as heard here, extrapolated to `now`; its uncertainties are standard deviations.
    pub fn line(&self, now: Timestamp<Raw>) -> Option<Line<Leader, Raw>> {
        let (axes, bank) = (self.axes?, self.bank.as_ref()?);
        let at = bank.mixed(axes.time(now));
        // leader = raw − phase, so the leader's rate against raw is minus the phase's rate.
        Some(Line {
            a: axes.leader + (now - axes.raw) - Span::from_ns_f64(at.phase),
            b: now,
            rate: Rate::from_ratio(-at.rate * 1e-9),
            sigma: Span::from_ns_f64(at.known.phase.sqrt()),
            rate_sigma: Rate::from_ratio(at.known.rate.sqrt() * 1e-9),
            valid_until: Timestamp::from_ns(i64::MAX),
        })
    }

    /// The leader whose line this is.
    pub fn leader(&self) -> Option<LeaderId> {
        self.leader
    }

    /// Which timescale the line belongs to.
    pub fn timescale(&self) -> TimescaleId {
        self.timescale
    }

    /// When the last sample that belongs to the line arrived.
    pub fn last_sample(&self) -> Option<Timestamp<Raw>> {
        self.last_sample
    }

    /// Mean distance of the last samples; longer than the leader's interval where messages get lost.
    pub fn spacing(&self) -> Option<Span> {
        self.spacing
    }

    /// The learned noise of the path.
    pub fn noise(&self) -> Option<Noise> {
        self.bank.as_ref().map(|bank| bank.believed().noise)
    }

    /// Samples taken, and how many of them did not fit.
    pub fn counts(&self) -> (u64, u64) {
        (self.samples, self.outliers)
    }
}

/// The mean distance of samples is taken over this many.
const SPACING_PART: i64 = 32;

/// A device that reboots comes back with its own crystal at nearly the same temperature (1 ppm).
const SAME_LEADER_SPREAD: f64 = 1e3;

#[cfg(test)]
mod tests;
