//! The leader's line: leader time as a function of raw time, with bounds that hold.
//!
//! Several beliefs run side by side on the same samples, each with its own assumption about how the two
//! oscillators wander; see `bank`. Beside the believed one run short-lived challengers, forked from it at
//! regular intervals, which assume that something has just changed: the line (the leader's rate, or the path)
//! or the noise.
//! A challenger that explains the samples since its fork better by stated odds takes over. That is a
//! generalised likelihood-ratio test: it tells a change of the leader's rate from a spike without any threshold
//! in µs.

mod bank;
mod challenger;
mod earliest;
mod former;
mod law;
mod memory;
mod news;
mod refit;
mod runs;

use std::collections::VecDeque;

use super::filter::{Covariance, Filter, Noise, Posterior};
use crate::ptp::SyncSample;
use crate::time::{Leader, LeaderId, Line, Rate, Raw, Span, TimescaleId, Timestamp};
use bank::Bank;
pub use challenger::Change;
use challenger::{Challengers, Winner};
use earliest::Earliest;
use former::Former;
use law::Law;
pub use memory::{KnownRate, Prior};
use memory::{Memory, Start};
use news::News;
use refit::Refit;
use runs::Runs;

/// Rates of leaders and computers differ by this much before anything is known: crystals are within ±100 ppm,
/// and ±500 ppm must still lock.
const RATE_PRIOR: f64 = 150e3;

/// A rate that is known no better than this is no better than none.
const RATE_UNKNOWN: f64 = 10e3;

fn is_rate_known(line: &Filter) -> bool {
    line.known.rate.sqrt() <= RATE_UNKNOWN
}

/// Another leader's rate differs from the last one's by about this (field: −25.6 to −0.2 ppm).
const LEADER_SPREAD: f64 = 15e3;

/// Two counters of one computer differ by this: the kernel measures the one by the other when it starts.
const COUNTER_SPREAD: f64 = 15e3;

/// A sample that misses the line by more is not a spike of this timescale but another timescale.
const TIMESCALE_JUMP: Span = Span::from_ms(1);

/// Samples in the leader's own name that miss its line by less than this were held up or forged, as a rule, and not sent
/// by a clock that was set; …
const UNLIKELY: Span = Span::from_secs(1);
/// … and so many of them must agree: 3 s at 4 Hz.
const UNLIKELY_STRAYS: usize = 12;

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
    /// This computer stood still for so long: the timescale goes on, and its line is anchored anew.
    Paused(Span),
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
    /// The last samples, time and phase on the axes.
    recent: VecDeque<(f64, f64)>,
    /// How much of a sample is news.
    news: News,
    /// The line through the earliest samples alone.
    earliest: Earliest,
    /// It is what is told of the leader.
    earliest_is_told: bool,
    /// How well the assumed law of the delay describes them.
    law: Law,
    /// How long late samples come in a row.
    runs: Runs,
    /// The line through the first samples after a start or a change.
    refit: Option<Refit>,
    /// The line that was believed before the last change.
    former: Option<Former>,
    /// Recent samples that are far off the line.
    strays: Vec<SyncSample>,
    memory: Memory,
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

    /// Goes on with the line of an earlier run, on the same raw timeline: what fits it continues its timescale.
    pub fn resume(&mut self, prior: &Prior, rates: &[KnownRate]) {
        let (rate, rate_sigma) = (-prior.line.rate.ppb(), prior.line.rate_sigma.ppb());
        let phase_sigma = prior.line.sigma.as_ns_f64();
        let known = Covariance {
            phase: phase_sigma * phase_sigma,
            rate: rate_sigma * rate_sigma,
            ..Covariance::default()
        };
        let (wander, noise) = (prior.wander, prior.noise);
        self.axes = Some(Axes { raw: prior.line.b, leader: prior.line.a });
        let believed = Filter { time: 0.0, phase: 0.0, rate, drift: 0.0, known, wander, noise };
        self.bank = Some(Bank::resume(&believed));
        self.leader = Some(prior.leader);
        rates.iter().for_each(|known| self.memory.keep_known(*known));
    }

    /// Begins with the rate that an earlier run knew, known no better than to `rate_sigma`, and with its noise.
    pub fn expect(&mut self, prior: &Prior, rate_sigma: Rate) {
        self.memory.start = Some(Start {
            leader: prior.leader,
            rate: -prior.line.rate.ppb(),
            rate_sigma: rate_sigma.ppb(),
            noise: prior.noise,
        });
    }

    /// What the next run of the program should know; `None` before a line is known well enough.
    pub fn prior(&self, now: Timestamp<Raw>) -> Option<Prior> {
        let believed = self.bank.as_ref()?.believed();
        let prior = Prior {
            leader: self.leader?,
            line: self.line(now)?,
            noise: believed.noise,
            wander: believed.wander,
        };
        self.last_sample.map(|_| prior)
    }

    /// Rates of the leaders that were followed before this one.
    pub fn known_rates(&self) -> &[KnownRate] {
        self.memory.rates()
    }

    /// The computer has slept for `length`, so that the raw timeline may have lost up to that: the leader counts
    /// as heard again only by its next sample.
    pub fn slept(&mut self, length: Span) {
        let before = self.memory.slept.unwrap_or(Span::ZERO);
        self.memory.slept = Some(before + length);
        self.last_sample = None;
        self.strays.clear();
    }

    /// The raw timeline is made of another counter now: its phase goes on, its rate has changed.
    pub fn counter_changed(&mut self, now: Timestamp<Raw>) {
        let (Some(axes), Some(bank)) = (self.axes, self.bank.as_mut()) else { return };
        let mut prior = bank.believed().predicted(axes.time(now));
        prior.known.rate += COUNTER_SPREAD * COUNTER_SPREAD;
        bank.restart(&prior);
        self.refit = Some(Refit::start(prior));
        self.former = None;
        self.challengers = Challengers::default();
        self.news.interrupt();
        self.runs.interrupt();
        self.forget_earliest();
        self.memory.doubt_rates(Rate::from_ratio(COUNTER_SPREAD * 1e-9));
    }

    /// Takes a sample of the elected leader.
    pub fn observe(&mut self, sample: &SyncSample) -> Verdict {
        self.samples = self.samples.saturating_add(1);
        let (raw, sent) = (sample.received.at, sample.sent);
        let (Some(axes), Some(bank)) = (self.axes, self.bank.as_ref()) else {
            self.begin(sample, 0.0, RATE_PRIOR, None);
            if let Some(start) = &self.memory.start {
                let (rate, sigma) = start.rate_of(sample.leader);
                self.bank = Some(Bank::expect(rate, sigma, start.noise));
                // It is still open which of the guesses the line begins with.
                self.refit = None;
            }
            return Verdict::NewTimescale;
        };
        let time = axes.time(raw);
        let phase = axes.phase(raw, sent);
        let believed = *bank.believed();
        let predicted = believed.predicted(time);
        // The line itself may be so uncertain, after a long silence, that a miss of 1 ms is no surprise.
        let surprise = TIMESCALE_JUMP.as_ns_f64().max(6.0 * predicted.known.phase.sqrt());
        let fits = (phase - predicted.phase).abs() <= surprise + 10.0 * believed.noise.deviation();
        // What a crystal does in its sleep follows no law of wander: the line is anchored anew in any case.
        if !fits || self.memory.slept.is_some() {
            return self.stray(sample, &believed);
        }
        self.strays.clear();
        self.memory.note(sample);
        // Another leader on the same line is a warm takeover: it carries the old time on.
        self.leader = Some(sample.leader);
        self.follow(raw, sent)
    }

    /// A sample on the line.
    fn follow(&mut self, raw: Timestamp<Raw>, sent: Timestamp<Leader>) -> Verdict {
        let silence = self.note_time(raw);
        let (Some(axes), Some(bank)) = (self.axes, self.bank.as_mut()) else { return Verdict::NewTimescale };
        let (time, phase) = (axes.time(raw), axes.phase(raw, sent));
        if silence {
            bank.awake(time);
        }
        let believed = *bank.believed();
        if self.last_sample.is_none() || silence {
            self.refit = Some(Refit::start(believed.predicted(time)));
        }
        self.last_sample = self.last_sample.max(Some(raw));
        let posterior = bank.observe(time, phase);
        self.law.take(believed.share_below(time, phase));
        if self.former_returns(time, phase, &posterior) {
            return Verdict::Changed(Change::Line);
        }
        if self.refit.is_none() {
            self.news.take(posterior.innovation);
            self.runs.take(time, posterior.innovation, posterior.fits >= 0.5);
            self.earliest.take(time, phase, &believed, !self.earliest_is_told);
            self.choose_line(time);
        }
        self.weigh_news();
        if self.recent.len() >= refit::SAMPLES {
            self.recent.pop_front();
        }
        self.recent.push_back((time, phase));
        let gains = self.runs.gains();
        if let Some(winner) = self.challengers.observe(time, phase, &believed, &posterior, gains) {
            self.change(&winner, time);
            return Verdict::Changed(winner.change);
        }
        if let Some(refit) = self.refit.as_mut() {
            refit.push(time, phase);
        }
        self.refit_line(time);
        if posterior.fits < 0.5 {
            self.outliers = self.outliers.saturating_add(1);
            return Verdict::Outlier;
        }
        Verdict::Accepted
    }

    /// Measures how far samples are apart; whether it was silent before this one.
    fn note_time(&mut self, raw: Timestamp<Raw>) -> bool {
        let Some(last) = self.last_sample.filter(|last| *last < raw) else { return false };
        let apart = raw - last;
        if apart > SILENCE {
            self.forget_earliest();
        }
        // A long silence counts as twice the mean: it says little about the spacing afterwards.
        let mean = self.spacing.unwrap_or(apart);
        self.spacing = Some(mean + (apart - mean).min(mean).part(SPACING_PART));
        apart > SILENCE
    }

    fn forget_earliest(&mut self) {
        self.earliest.restart();
        self.earliest_is_told = false;
    }

    fn weigh_news(&mut self) {
        let news = self.news.share();
        self.challengers.set_news(news);
        let former = self.former.as_mut().map(|former| &mut former.bank);
        self.bank.iter_mut().chain(former).for_each(|bank| bank.set_news(news));
    }

    /// Whether the line before the last change is right again; it is then the line.
    fn former_returns(&mut self, time: f64, phase: f64, posterior: &Posterior) -> bool {
        let Some(mut former) = self.former.take() else { return false };
        if !former.returns(time, phase, posterior.log_likelihood) {
            self.former = (!former.is_over(time)).then_some(former);
            return false;
        }
        self.bank = Some(former.bank);
        (self.earliest, self.earliest_is_told) = (former.earliest, former.earliest_is_told);
        self.refit = None;
        self.challengers = Challengers::default();
        self.news.interrupt();
        true
    }

    /// A challenger has won.
    fn change(&mut self, winner: &Winner, time: f64) {
        self.news.interrupt();
        self.runs.interrupt();
        let Some(bank) = self.bank.as_mut() else { return };
        if winner.change == Change::Noise {
            self.news = News::default();
            bank.restart(&winner.filter);
            self.earliest.grow_louder();
        } else {
            // A line that is young itself is nothing to come back to.
            if self.refit.is_none() {
                let earliest = std::mem::take(&mut self.earliest);
                self.former = Some(Former::new(bank.clone(), earliest, self.earliest_is_told, time));
            }
            bank.restart(&winner.filter);
            self.refit = Some(Refit::since(winner.prior, &self.recent));
            self.forget_earliest();
        }
        self.refit_line(time);
    }

    /// Which of the two lines is told. Where delays are one-sided and the oscillators wander as usual, the line through
    /// the earliest samples is as good and less misled; elsewhere it must show that it is better.
    fn choose_line(&mut self, time: f64) {
        let Some(bank) = self.bank.as_ref() else { return };
        let (told, noise) = (self.earliest_is_told, bank.believed().noise);
        // Both ways a little more is wanted than to stay.
        let usual = if told {
            bank.agile() < 0.9 && noise.lambda > 0.5 * noise.sigma
        } else {
            bank.agile() < 0.3 && noise.lambda > noise.sigma
        };
        let limit =
            if usual { EARLIEST_USUAL } else { EARLIEST_BETTER } * if told { EARLIEST_STAYS } else { 1.0 };
        let known = self.earliest.line(time).map(|line| line.known.rate);
        // As good a line that does not know its rate yet has nothing to add.
        let enough = |rate| told || !usual || rate <= EARLIEST_KNOWN * bank.mixed(time).known.rate;
        self.earliest_is_told = self.earliest.odds() < limit && known.is_some_and(enough);
    }

    /// As long as the line is young, it is laid anew through all of its samples.
    fn refit_line(&mut self, time: f64) {
        let (Some(refit), Some(bank)) = (self.refit.as_mut(), self.bank.as_mut()) else { return };
        if bank.knows_noise() {
            bank.refit(&refit.belief(&bank.believed().noise));
        }
        if !refit.lasts(time) {
            self.refit = None;
        }
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
        if let Some(axes) = self.axes {
            self.runs.take_stray(axes.time(sample.received.at));
        }
        if self.strays.len() < self.strays_needed(sample, believed) {
            return Verdict::Outlier;
        }
        let strays = std::mem::take(&mut self.strays);
        let pause = strays.first().and_then(|first| self.pause(first, believed));
        if let Some(first) = strays.first() {
            let timescale = self.timescale;
            if pause.is_none() && (!is_rate_known(believed) || !self.memory.has_heard()) {
                // An earlier run's line that no sample ever confirmed, or one through a few samples, the first of which
                // may have been the late ones: nothing of it counts.
                self.begin(first, 0.0, RATE_PRIOR, None);
            } else {
                let (rate, rate_sigma) = self.next_rate(first, believed, pause);
                self.begin(first, rate, rate_sigma, Some(believed.noise));
            }
            if pause.is_some() {
                self.timescale = timescale;
            }
        }
        for stray in strays.iter().skip(1) {
            self.follow(stray.received.at, stray.sent);
        }
        pause.map_or(Verdict::NewTimescale, Verdict::Paused)
    }

    /// How many strays must agree before the old line is given up.
    fn strays_needed(&self, sample: &SyncSample, believed: &Filter) -> usize {
        let needed = self.runs.strays_needed();
        let Some(axes) = self.axes.filter(|_| self.leader == Some(sample.leader)) else { return needed };
        let at = sample.received.at;
        let miss = axes.phase(at, sample.sent) - believed.predicted(axes.time(at)).phase;
        // The first samples of all may have been the late ones: then what comes early is right.
        let known = miss > 0.0 || is_rate_known(believed);
        let unlikely = known && self.memory.slept.is_none() && miss.abs() < UNLIKELY.as_ns_f64();
        if unlikely { needed.max(UNLIKELY_STRAYS) } else { needed }
    }

    /// Whether it was this computer that stood still, and for how long.
    fn pause(&self, first: &SyncSample, believed: &Filter) -> Option<Span> {
        let axes = self.axes.filter(|_| self.leader == Some(first.leader))?;
        let late = axes.phase(first.received.at, first.sent);
        let expected = believed.predicted(axes.time(first.received.at)).phase;
        self.memory.pause(first, Span::from_ns_f64(expected - late))
    }

    /// Rate in ns/s and its standard deviation with which the next line begins.
    fn next_rate(&mut self, first: &SyncSample, believed: &Filter, pause: Option<Span>) -> (f64, f64) {
        let (now, time) = (first.received.at, self.axes.map_or(0.0, |axes| axes.time(first.received.at)));
        let slept = pause.unwrap_or(Span::ZERO).as_secs_f64();
        // Where the line through the earliest samples is told, it knows the rate better.
        let told = self.told_earliest(believed.time).unwrap_or(*believed);
        let line = told.predicted(time + slept);
        let (rate, sigma) = (line.rate, line.known.rate.sqrt());
        let (Some(last), true) = (self.leader, self.leader != Some(first.leader)) else {
            let spread = if pause.is_some() { PAUSE_SPREAD } else { SAME_LEADER_SPREAD };
            return (rate, sigma.hypot(spread));
        };
        self.memory.keep(last, rate, sigma, now);
        let known = self.memory.rate_of(first.leader, now, believed.wander);
        known.unwrap_or((rate, sigma.hypot(LEADER_SPREAD)))
    }

    /// The line through the earliest samples, where it is what is told of the leader.
    fn told_earliest(&self, time: f64) -> Option<Filter> {
        self.earliest.line(time).filter(|_| self.earliest_is_told)
    }

    fn begin(&mut self, sample: &SyncSample, rate: f64, rate_sigma: f64, noise: Option<Noise>) {
        if self.bank.is_some() {
            self.timescale = self.timescale.next();
        }
        self.axes = Some(Axes { raw: sample.received.at, leader: sample.sent });
        let bank = Bank::start(rate, rate_sigma, noise);
        self.refit = Some(Refit::start(*bank.believed()));
        self.recent.clear();
        self.bank = Some(bank);
        if self.leader != Some(sample.leader) {
            self.spacing = None;
        }
        self.leader = Some(sample.leader);
        self.memory.begin(sample);
        self.last_sample = Some(sample.received.at);
        self.challengers = Challengers::default();
        self.forget_earliest();
        self.runs.interrupt();
        self.news.interrupt();
        self.law = Law::default();
        self.former = None;
        self.strays.clear();
    }

    /// The line of the leader as heard here, extrapolated to `now`; its uncertainties are standard deviations.
    pub fn line(&self, now: Timestamp<Raw>) -> Option<Line<Leader, Raw>> {
        let (axes, bank) = (self.axes?, self.bank.as_ref()?);
        let time = axes.time(now);
        let mut at = self.told_earliest(time).unwrap_or_else(|| bank.mixed(time));
        at.known.phase += (self.law.doubt() * bank.believed().noise.deviation()).powi(2);
        // leader = raw − phase, so the leader's rate against raw is minus the phase's rate.
        Some(Line {
            a: axes.leader + (now - axes.raw) - Span::from_ns_f64(at.phase),
            b: now,
            rate: Rate::from_ratio(-at.rate * 1e-9),
            sigma: Span::from_ns_f64(at.known.phase.sqrt()),
            rate_sigma: Rate::from_ratio(at.known.rate.sqrt() * 1e-9),
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

/// The line through the earliest samples is told where it foretells them wrongly by no more than this (variance, by
/// that of the other line): 32 such blocks are known to 25 %, and fewer worse. …
const EARLIEST_USUAL: f64 = 1.25;
/// … where it must be better: …
const EARLIEST_BETTER: f64 = 0.75;
/// … where it need not be, it must know its rate nearly as well (variance); …
const EARLIEST_KNOWN: f64 = 2.0;
/// … and as long as this part more is not exceeded it stays.
const EARLIEST_STAYS: f64 = 1.2;

/// After a silence of this length the two lines have parted too far to be compared, and the beliefs too far for their
/// predictions to say anything of the oscillators.
const SILENCE: Span = Span::from_secs(60);

/// The mean distance of samples is taken over this many.
const SPACING_PART: i64 = 32;

/// A computer that slept has cooled down by some degrees, and crystals turn by 0.1 ppm per degree at most: ± 0.3
/// ppm by 3.29 standard deviations (ns/s). What is more is found as a change of the rate.
const PAUSE_SPREAD: f64 = 100.0;

/// A device that reboots comes back with its own crystal at nearly the same temperature (1 ppm).
const SAME_LEADER_SPREAD: f64 = 1e3;

#[cfg(test)]
mod tests;
