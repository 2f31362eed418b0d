//! The leader's line: leader time as a function of raw time, with bounds that hold.
//!
//! One [`Filter`] is believed. Beside it run short-lived challengers, forked from it at regular intervals,
//! which assume that something has just changed: the leader's rate, the path, or the noise. A challenger that
//! explains the samples since its fork better by stated odds takes over. That is a generalised
//! likelihood-ratio test: it tells a change of the leader's rate from a spike without any threshold in µs.

use std::collections::VecDeque;

use super::filter::{Filter, Noise};
use crate::ptp::SyncSample;
use crate::time::{Leader, LeaderId, Line, Rate, Raw, Span, TimescaleId, Timestamp};

/// Rates of leaders and computers differ by this much before anything is known: crystals are within ±100 ppm,
/// and ±500 ppm must still lock.
const RATE_PRIOR: f64 = 150e3;

/// Another leader's rate differs from the last one's by about this (field: −25.6 to −0.2 ppm).
const LEADER_SPREAD: f64 = 15e3;

/// The oscillators' random walk until it is measured: ns/s per √s (0.003 ppm per √s).
const WANDER: f64 = 3.0;

/// A sample that misses the line by more is not a spike of this timescale but another timescale.
const TIMESCALE_JUMP: Span = Span::from_ms(1);

/// Samples of the new timescale that must agree among themselves before the old one is given up.
const TIMESCALE_AGREE: usize = 3;

/// A challenger is forked this often, and lives this long (s).
const FORK_EVERY: f64 = 0.9;
const FORK_LIFE: f64 = 10.0;
const CHALLENGERS_MAX: usize = 36;

/// Log odds at which a challenger takes over. A day has 3.5e5 samples at 4 Hz and three kinds of challenger:
/// e^-22 leaves 3e-4 false alarms a day where the noise follows the law; spikes in a row are what is left.
const TAKE_OVER: f64 = 22.0;

/// A path change must last: spikes in a row look the same for a while.
const PATH_TAKE_OVER: f64 = 40.0;

/// 99.9 % of a normal distribution lie within this many standard deviations.
pub const BOUND_SIGMAS: f64 = 3.29;

/// At the very start nothing is known of the noise: these multiples of [`Noise::UNKNOWN`] compete from the first
/// sample on, from a quiet wire to a loaded computer.
const START_SCALES: [f64; 4] = [0.02, 0.15, 5.0, 25.0];

/// Log odds at which one of them is believed instead.
const START_TAKE_OVER: f64 = 1.0;

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

/// What changed, as the data say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The leader's rate.
    Rate,
    /// The path, or the leader's phase: a listener cannot tell them apart.
    Path,
    /// The noise.
    Noise,
}

#[derive(Debug, Clone, Copy)]
struct Challenger {
    /// What it assumes; None: only that the noise was guessed wrong at the start.
    change: Option<Change>,
    filter: Filter,
    born: f64,
    /// Log likelihood since the fork, relative to the believed filter's.
    lead: f64,
}

/// Anchors of the filter's axes: raw time zero and raw minus leader at it.
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
#[derive(Debug)]
pub struct LeaderEstimator {
    axes: Option<Axes>,
    filter: Option<Filter>,
    leader: Option<LeaderId>,
    timescale: TimescaleId,
    challengers: Vec<Challenger>,
    last_fork: f64,
    /// Recent samples that are far off the line.
    strays: VecDeque<(Timestamp<Raw>, Timestamp<Leader>)>,
    /// Recent samples on the line.
    last_sample: Option<Timestamp<Raw>>,
    samples: u64,
    outliers: u64,
}

impl Default for LeaderEstimator {
    fn default() -> Self {
        Self::new()
    }
}

impl LeaderEstimator {
    /// Knows nothing.
    pub fn new() -> Self {
        Self {
            axes: None,
            filter: None,
            leader: None,
            timescale: TimescaleId::default(),
            challengers: Vec::with_capacity(CHALLENGERS_MAX),
            last_fork: 0.0,
            strays: VecDeque::with_capacity(TIMESCALE_AGREE),
            last_sample: None,
            samples: 0,
            outliers: 0,
        }
    }

    /// Takes a sample of the elected leader.
    pub fn observe(&mut self, sample: &SyncSample) -> Verdict {
        self.samples = self.samples.saturating_add(1);
        let (raw, sent) = (sample.received.at, sample.sent);
        let (Some(axes), Some(filter)) = (self.axes, self.filter) else {
            self.begin(sample, 0.0, RATE_PRIOR, Noise::UNKNOWN);
            return Verdict::NewTimescale;
        };
        let time = axes.time(raw);
        let phase = axes.phase(raw, sent);
        let predicted = filter.predicted(time);
        let miss = phase - predicted.phase;
        // The line itself may be so uncertain, after a long silence, that a miss of 1 ms is no surprise.
        let surprise = TIMESCALE_JUMP.as_ns_f64().max(6.0 * predicted.var_phase.sqrt());
        if miss.abs() > surprise + 10.0 * filter.noise.deviation() {
            return self.stray(sample, filter);
        }
        self.strays.clear();
        if self.leader != Some(sample.leader) {
            // A warm takeover: the new leader carries the old time on.
            self.leader = Some(sample.leader);
        }
        self.last_sample = Some(raw);
        self.update(time, phase)
    }

    /// A sample far off the line: a forgery, or the first of another timescale.
    fn stray(&mut self, sample: &SyncSample, filter: Filter) -> Verdict {
        self.outliers = self.outliers.saturating_add(1);
        let here = (sample.received.at, sample.sent);
        let agrees = self.strays.iter().all(|there| {
            let (raw, sent) = (here.0 - there.0, here.1 - there.1);
            let difference = (raw - sent).abs();
            raw > Span::ZERO && difference < TIMESCALE_JUMP + Rate::from_ppm(1_000.0).gain_over(raw)
        });
        if !agrees {
            self.strays.clear();
        }
        self.strays.push_back(here);
        if self.strays.len() < TIMESCALE_AGREE {
            return Verdict::Outlier;
        }
        let another = self.leader != Some(sample.leader);
        let spread = if another { LEADER_SPREAD } else { 1e3 };
        let time = self.axes.map_or(0.0, |axes| axes.time(sample.received.at));
        let rate_sigma = filter.predicted(time).var_rate.sqrt().hypot(spread);
        self.begin(sample, filter.rate, rate_sigma, filter.noise);
        Verdict::NewTimescale
    }

    fn begin(&mut self, sample: &SyncSample, rate: f64, rate_sigma: f64, noise: Noise) {
        if self.filter.is_some() {
            self.timescale = self.timescale.next();
        }
        self.axes = Some(Axes { raw: sample.received.at, leader: sample.sent });
        self.filter = Some(Filter::start(0.0, 0.0, rate, rate_sigma, WANDER, noise));
        self.leader = Some(sample.leader);
        self.last_sample = Some(sample.received.at);
        self.challengers.clear();
        self.strays.clear();
        self.last_fork = 0.0;
        if noise == Noise::UNKNOWN {
            self.challengers.extend(START_SCALES.map(|scale| Challenger {
                change: None,
                filter: Filter::start(0.0, 0.0, rate, rate_sigma, WANDER, noise.scaled(scale)),
                born: 0.0,
                lead: 0.0,
            }));
        }
    }

    fn update(&mut self, time: f64, phase: f64) -> Verdict {
        let Some(filter) = self.filter.as_mut() else { return Verdict::Outlier };
        let before = *filter;
        let posterior = filter.observe(time, phase);
        for challenger in &mut self.challengers {
            let told = challenger.filter.observe(time, phase);
            challenger.lead += told.log_likelihood - posterior.log_likelihood;
        }
        self.settle_start();
        if let Some(change) = self.take_over() {
            return Verdict::Changed(change);
        }
        self.challengers
            .retain(|challenger| time - challenger.born < FORK_LIFE && challenger.lead > -TAKE_OVER);
        if time - self.last_fork >= FORK_EVERY {
            self.last_fork = time;
            self.fork(before, time, phase);
        }
        if posterior.fits < 0.5 {
            self.outliers = self.outliers.saturating_add(1);
            Verdict::Outlier
        } else {
            Verdict::Accepted
        }
    }

    /// Forks challengers from the belief before the sample at `time`, and lets them see that sample too.
    fn fork(&mut self, before: Filter, time: f64, phase: f64) {
        let known = before.predicted(time);
        // While the belief is still wide there is nothing to challenge.
        if known.var_rate.sqrt() > RATE_CHANGE || known.noise.weight < 16.0 {
            return;
        }
        let told = { known }.observe(time, phase).log_likelihood;
        for change in [Change::Rate, Change::Path, Change::Noise] {
            if self.challengers.len() >= CHALLENGERS_MAX {
                return;
            }
            let mut filter = change.applied_to(known);
            let lead = filter.observe(time, phase).log_likelihood - told;
            self.challengers.push(Challenger { change: Some(change), filter, born: time, lead });
        }
    }

    /// Believes the best guess of the noise; the others go on competing.
    fn settle_start(&mut self) {
        let guesses = self.challengers.iter_mut().filter(|challenger| challenger.change.is_none());
        let Some(best) = guesses.max_by(|a, b| a.lead.total_cmp(&b.lead)) else { return };
        let Some(believed) = self.filter.as_mut().filter(|_| best.lead > START_TAKE_OVER) else { return };
        std::mem::swap(believed, &mut best.filter);
        let lead = std::mem::replace(&mut best.lead, 0.0);
        for challenger in &mut self.challengers {
            challenger.lead -= lead;
        }
    }

    fn take_over(&mut self) -> Option<Change> {
        let odds = |challenger: &Challenger| challenger.change.map_or(f64::INFINITY, Change::odds);
        let winner = self
            .challengers
            .iter()
            .filter(|challenger| challenger.lead > odds(challenger))
            .max_by(|a, b| a.lead.total_cmp(&b.lead))?;
        let (change, mut filter) = (winner.change?, winner.filter);
        if change != Change::Noise
            && let Some(believed) = self.filter
        {
            filter.noise = believed.noise;
        }
        self.filter = Some(filter);
        self.challengers.clear();
        Some(change)
    }

    /// The line of the leader as heard here, extrapolated to `now`; its uncertainties are standard deviations.
    pub fn line(&self, now: Timestamp<Raw>) -> Option<Line<Leader, Raw>> {
        let (axes, filter) = (self.axes?, self.filter?);
        let time = axes.time(now);
        let at = filter.predicted(time);
        // leader = raw − phase, so the leader's rate against raw is minus the phase's drift.
        Some(Line {
            a: axes.leader + (now - axes.raw)
                - Span::from_ns_f64(at.phase + at.rate * (time - at.time).min(0.0)),
            b: now,
            rate: Rate::from_ratio(-at.rate * 1e-9),
            sigma: Span::from_ns_f64(at.var_phase.sqrt()),
            rate_sigma: Rate::from_ratio(at.var_rate.sqrt() * 1e-9),
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

    /// The learned noise of the path.
    pub fn noise(&self) -> Option<Noise> {
        self.filter.map(|filter| filter.noise)
    }

    /// Samples taken, and how many of them did not fit.
    pub fn counts(&self) -> (u64, u64) {
        (self.samples, self.outliers)
    }
}

/// Leaders were seen to turn by ±25 ppm (ns/s).
const RATE_CHANGE: f64 = 20e3;
/// Audio starting on the same link adds 36 µs; other routes differ by more (ns).
const PATH_CHANGE: f64 = 100e3;
/// The noise may rise twentyfold at once (a loaded switch, a busy computer).
const NOISE_CHANGE: f64 = 8.0;

impl Change {
    /// The belief of a challenger that assumes this change just happened.
    fn applied_to(self, mut filter: Filter) -> Filter {
        match self {
            Self::Rate => filter.var_rate += RATE_CHANGE * RATE_CHANGE,
            Self::Path => filter.var_phase += PATH_CHANGE * PATH_CHANGE,
            Self::Noise => {
                filter.noise.lambda *= NOISE_CHANGE;
                filter.noise.sigma *= 2.0;
                filter.noise.weight = 4.0;
            }
        }
        filter
    }

    const fn odds(self) -> f64 {
        match self {
            Self::Rate | Self::Noise => TAKE_OVER,
            Self::Path => PATH_TAKE_OVER,
        }
    }
}

#[cfg(test)]
mod tests;
