//! A second line, through the earliest sample of each block.
//!
//! The first line, the bank's, makes the most of delays that follow the assumed law. Where they hang together over
//! seconds and minutes, or follow another law, their mean wanders and says nothing of the leader; what is left to hold
//! on to is the lower edge. So a second line sees of every block only the sample that came earliest, and assumes
//! nothing of the others. The scatter of the earliest ones is measured; several assumptions about the oscillators
//! compete as in the bank. Each line in turn foretells the earliest sample of a later block, and whose does so better
//! shows in [`Earliest::odds`].
//!
//! Which sample of many is the earliest, and so how late it still is, depends on the law of the delay. That constant
//! is not seen by anyone; the second line is moved by what the two lines are apart on average, so that going over
//! from one to the other moves nothing but what the first was wrong by.

use std::collections::VecDeque;

use super::super::filter::{Covariance, Filter};
use super::bank::{self, MEMORY, WANDERS};

/// Length of a block (s): in most queues the path is free once in that time, and it is short against the wander of
/// a crystal.
const BLOCK: f64 = 8.0;

/// Samples that a block has at least: of slow leaders it lasts longer.
const SAMPLES: u32 = 16;

/// Blocks after which the line is compared with the first one: until then it still has the first one's errors …
const YOUNG: u32 = 12;
/// … and where the first takes the noise for symmetric. It does so now and then after a change, for some minutes, and
/// then lies in the middle of the delays instead of at their edge.
const YOUNG_SYMMETRIC: u32 = 40;

/// Comparisons after which the line may be used, and over which their mean is taken.
const COMPARED: f64 = 6.0;
const COMPARED_MOST: f64 = 32.0;

/// Blocks over which the scatter of the earliest samples is learned, …
const LEARNED: f64 = 32.0;
/// … and where one misses by more than so many deviations: the noise has become another, and that must be known soon.
const SURPRISE: f64 = 5.0;
const LEARNED_SURPRISED: f64 = 6.0;
/// So many deviations count at the most.
const SURPRISE_MOST: f64 = 8.0;

/// How far a block may move the line, in deviations: a late one says little, an early one much.
const LATE_MOST: f64 = 2.0;
const EARLY_MOST: f64 = 4.0;

/// The scatter counts for more than it is, because the earliest samples of neighbouring blocks are alike where the
/// queue is long.
const ALIKE: f64 = 2.0;

/// The part of the scatter that may be the same in all blocks of an hour.
const LASTING: f64 = 0.2;

/// The first line may be wrong by this when the second begins with it (ns/s), besides what it knows of itself.
const RATE_DOUBT: f64 = 200.0;

/// When the noise rises, that of the earliest samples may rise by so much (variance).
const LOUDER: f64 = 8.0;

/// Each line foretells the earliest sample of the block so many after its own: 16 to 24 s ahead.
const AHEAD: usize = 3;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct Earliest {
    members: Vec<Member>,
    block: Option<Block>,
    /// Variance of the earliest samples around the line, ns².
    scatter: f64,
    blocks: u32,
    last: f64,
    /// First line minus second, ns, and how often that was seen.
    apart: f64,
    compared: f64,
    /// Both lines as they were at the end of the last blocks.
    past: VecDeque<[Filter; 2]>,
    foretold: [Foretold; 2],
}

/// The line under one assumption of how the oscillators wander.
#[derive(Debug, Clone, Copy)]
struct Member {
    filter: Filter,
    /// Log odds against it before anything was predicted.
    doubt: f64,
    /// These and the remembered log likelihood; 0 is the best member's.
    score: f64,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    begun: f64,
    count: u32,
    /// Time and phase of the earliest sample, and how late it is on the line.
    time: f64,
    phase: f64,
    late: f64,
}

/// How well a line foretold: mean and variance of what it missed by, ns.
#[derive(Debug, Clone, Copy, Default)]
struct Foretold {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Foretold {
    fn take(&mut self, miss: f64) {
        self.count = (self.count + 1.0).min(LEARNED);
        let most = EARLY_MOST * self.variance.sqrt();
        let off = miss - self.mean;
        let off = if self.count > ENOUGH { off.clamp(-most, most) } else { off };
        self.mean += off / self.count;
        self.variance += (off * off - self.variance) / self.count;
    }
}

/// Blocks from which it can be told whose line foretells better.
const ENOUGH: f64 = 6.0;

impl Earliest {
    /// Takes a sample, and what is believed of the first line; whether that is told of the leader, or this line is.
    pub(super) fn take(&mut self, time: f64, phase: f64, first: &Filter, first_is_told: bool) {
        let line = self.best().unwrap_or(*first);
        let late = phase - line.predicted(time).phase;
        let block = self.block.get_or_insert(Block { begun: time, count: 0, time, phase, late });
        block.count += 1;
        if late < block.late {
            (block.time, block.phase, block.late) = (time, phase, late);
        }
        if time - block.begun >= BLOCK && block.count >= SAMPLES {
            let block = *block;
            self.block = None;
            self.judge(&block);
            self.end(&block, first);
            self.compare(time, first, first_is_told);
        }
    }

    fn judge(&mut self, block: &Block) {
        if self.past.len() < AHEAD {
            return;
        }
        if let Some(lines) = self.past.pop_front() {
            for (foretold, line) in self.foretold.iter_mut().zip(&lines) {
                foretold.take(block.phase - line.predicted(block.time).phase);
            }
        }
    }

    fn end(&mut self, block: &Block, first: &Filter) {
        self.blocks = self.blocks.saturating_add(1);
        if self.members.is_empty() {
            return self.begin(block, first);
        }
        let forget = (-(block.time - self.last).max(0.0) / MEMORY).exp();
        self.last = block.time;
        let scatter = self.scatter;
        let mut best = (f64::MIN, 0.0, 0.0);
        for member in &mut self.members {
            let before = member.score;
            let (miss, known) = member.take(block, scatter, forget);
            if before > best.0 {
                best = (before, miss, known);
            }
        }
        let top = self.members.iter().map(|it| it.score).fold(f64::MIN, f64::max);
        self.members.iter_mut().for_each(|it| it.score -= top);
        self.learn(best.1, best.2);
    }

    fn begin(&mut self, block: &Block, first: &Filter) {
        let deviation = first.noise.deviation();
        let known = Covariance {
            phase: first.known.phase + deviation * deviation,
            phase_rate: first.known.phase_rate,
            rate: first.known.rate + RATE_DOUBT * RATE_DOUBT,
            ..Covariance::default()
        };
        // The earliest of some 32 delays scatters by a fraction of what a single one does.
        self.scatter = deviation * deviation / 16.0;
        let line = Filter { drift: 0.0, known, ..*first };
        let member = |wander| {
            let doubt = bank::doubt(wander, bank::DOUBT_WILD_RUNS);
            Member { filter: line.assuming(wander), doubt, score: -doubt }
        };
        self.members = WANDERS.map(member).to_vec();
        self.last = block.time;
    }

    /// Learns the scatter from what the best member missed a block by, and from the variance it expected of itself.
    fn learn(&mut self, miss: f64, known: f64) {
        let deviation = (known + self.scatter).sqrt();
        let surprised = miss.abs() > SURPRISE * deviation;
        let memory = if surprised { LEARNED_SURPRISED } else { LEARNED };
        let miss = miss.abs().min(SURPRISE_MOST * deviation);
        let seen = (miss * miss - known).max(0.0);
        self.scatter += (seen - self.scatter) / f64::from(self.blocks.saturating_add(2)).min(memory);
        self.scatter = self.scatter.max(SCATTER_MIN);
    }

    /// Notes both lines, and how far they are apart as long as the first one is believed.
    fn compare(&mut self, time: f64, first: &Filter, first_is_told: bool) {
        let Some(best) = self.best().filter(|_| self.blocks >= YOUNG) else { return };
        self.past.push_back([*first, best]);
        let one_sided = first.noise.lambda > first.noise.sigma;
        let old_enough = one_sided || self.blocks >= YOUNG_SYMMETRIC;
        if first_is_told && old_enough && self.odds() > APART_WORTH {
            self.compared = (self.compared + 1.0).min(COMPARED_MOST);
            let apart = first.predicted(time).phase - best.predicted(time).phase;
            self.apart += (apart - self.apart) / self.compared;
        }
    }

    /// The variance of what this line foretold wrongly, by that of the first one: below 1 this one is better.
    pub(super) fn odds(&self) -> f64 {
        let [first, second] = &self.foretold;
        if second.count < ENOUGH || first.variance <= 0.0 { 1.0 } else { second.variance / first.variance }
    }

    /// The noise has risen.
    pub(super) fn grow_louder(&mut self) {
        self.scatter *= LOUDER;
    }

    /// Something has changed: it begins anew.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    fn best(&self) -> Option<Filter> {
        self.members.iter().max_by(|a, b| a.score.total_cmp(&b.score)).map(|it| it.filter)
    }

    /// The line at `time`, once it is old enough to be used.
    pub(super) fn line(&self, time: f64) -> Option<Filter> {
        let best = self.best().filter(|_| self.compared >= COMPARED)?;
        let mut line = bank::mixture(&best, time, self.members.iter().map(|it| (it.score, &it.filter)));
        line.phase += self.apart;
        line.known.phase += LASTING * self.scatter;
        Some(line)
    }
}

/// No stamp is better than 30 ns (ns²): the read noise of the clocks.
const SCATTER_MIN: f64 = 900.0;

/// Where the first line foretells so much worse, it is no measure of where the second one should be.
const APART_WORTH: f64 = 0.75;

impl Member {
    /// Takes the earliest sample of a block: what it missed the line by (ns), and the variance of the line itself (ns²).
    fn take(&mut self, block: &Block, scatter: f64, forget: f64) -> (f64, f64) {
        let line = &mut self.filter;
        *line = line.predicted(block.time);
        let known = line.known.phase;
        let deviation = (known + scatter).sqrt();
        let miss = block.phase - line.phase;
        let moves = miss.clamp(-EARLY_MOST * deviation, LATE_MOST * deviation);
        let total = known + ALIKE * scatter;
        let gain = known / total;
        line.apply(gain * moves, known - gain * known);
        let log_likelihood = -0.5 * (total.ln() + moves * moves / total);
        self.score = (self.score + self.doubt) * forget - self.doubt + log_likelihood;
        (miss, known)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::as_conversions, reason = "tests")]

    use super::super::super::filter::{Noise, Wander};
    use super::*;

    const RATE: f64 = 23e3;

    /// A first line that is right about the rate, and `off` ns above the leader's phase.
    fn first(time: f64, off: f64) -> Filter {
        let noise = Noise { weight: 256.0, ..Noise::one_sided(20e3) };
        let wander = Wander { rate: 3.0, drift: 0.0 };
        let known = Covariance { phase: 500.0 * 500.0, rate: 400.0, ..Covariance::default() };
        Filter { time, phase: RATE * time + off, rate: RATE, drift: 0.0, known, wander, noise }
    }

    /// Quantiles of an exponential law with a mean of 20 µs, in an order without a trend.
    fn delay(k: usize) -> f64 {
        -20e3 * (1.0 - ((k * 29 % 64) as f64 + 0.5) / 64.0).ln()
    }

    /// Samples at 4 Hz until `end_s`, late by `delay`, beside a first line that is off by `off` at each time.
    fn run(earliest: &mut Earliest, end_s: usize, delay: impl Fn(usize) -> f64, off: impl Fn(f64) -> f64) {
        let begin = (earliest.last / 2.0) as usize * 8;
        for k in begin..4 * end_s {
            let time = k as f64 / 4.0;
            earliest.take(time, RATE * time + delay(k), &first(time, off(time)), true);
        }
    }

    #[test]
    fn it_may_be_used_after_minutes_and_lies_where_the_first_line_lay() {
        let mut earliest = Earliest::default();
        run(&mut earliest, 100, delay, |_| 0.0);
        assert!(earliest.line(100.0).is_none());
        run(&mut earliest, 400, delay, |_| 0.0);
        let line = earliest.line(400.0).unwrap();
        assert!((line.phase - RATE * 400.0).abs() < 300.0, "{}", line.phase - RATE * 400.0);
        assert!((line.rate - RATE).abs() < 5.0, "{line:?}");
    }

    #[test]
    fn late_samples_that_come_for_minutes_hardly_move_it_while_some_are_early() {
        let mut earliest = Earliest::default();
        run(&mut earliest, 400, delay, |_| 0.0);
        let quiet = earliest.line(400.0).unwrap();
        // A busy minute: all but every twelfth sample are later by 60 µs.
        for k in 0..240 {
            let time = 400.0 + k as f64 / 4.0;
            let late = if k % 12 == 0 { 0.0 } else { 60e3 };
            earliest.take(time, RATE * time + delay(k) + late, &first(time, 0.0), false);
        }
        let line = earliest.line(460.0).unwrap();
        let moved = line.phase - quiet.predicted(460.0).phase;
        assert!(moved.abs() < 2e3, "{moved}");
    }

    #[test]
    fn a_first_line_that_wanders_foretells_worse() {
        let mut earliest = Earliest::default();
        run(&mut earliest, 800, delay, |_| 0.0);
        let equal = earliest.odds();
        assert!((0.7..1.4).contains(&equal), "{equal}");
        let mut earliest = Earliest::default();
        run(&mut earliest, 800, delay, |time| 10e3 * (time / 20.0).sin());
        assert!(earliest.odds() < 0.3, "{}", earliest.odds());
    }

    #[test]
    fn a_noise_that_becomes_another_is_learned_within_two_minutes() {
        let mut earliest = Earliest::default();
        run(&mut earliest, 400, delay, |_| 0.0);
        let before = earliest.scatter;
        for k in 0..480 {
            let time = 400.0 + k as f64 / 4.0;
            earliest.take(time, RATE * time + 20.0 * delay(k * 7), &first(time, 0.0), false);
        }
        assert!(earliest.scatter > 8.0 * before, "{} {before}", earliest.scatter);
    }

    #[test]
    fn where_the_first_line_takes_the_noise_for_symmetric_they_are_not_compared_yet() {
        let mut earliest = Earliest::default();
        for k in 0..4 * 250 {
            let time = f64::from(k) / 4.0;
            let symmetric = Filter { noise: Noise::symmetric(20e3), ..first(time, 20e3) };
            earliest.take(time, RATE * time + delay(k as usize), &symmetric, true);
        }
        assert!(earliest.compared == 0.0 && earliest.line(250.0).is_none());
    }
}
