//! What one more odd sample proves after others that were as odd.
//!
//! A test for changes adds up what each odd sample speaks for one. Where delays are independent that is right: one of
//! the latest quarter comes by a chance of one in four, whatever came before it, and five in a row are hardly chance.
//! Behind a queue that stays full they come in runs; on a path with two lengths every fifth may be early; a forger may
//! send every tenth. So it is counted how often runs go on, and one more sample proves no more than that.

use super::challenger::{GAIN_EARLY, GAIN_LATE};

/// A sample is late when it is among the latest of its kind by this share, or too late for the law of the noise.
const LATE: f64 = 0.25;

/// The quantile follows the samples by this part of their mean distance from it, and by so many of it at most.
const FOLLOWS: f64 = 0.05;
const FOLLOWS_MOST: f64 = 8.0;

/// How long what was counted is remembered (s).
const MEMORY: f64 = 900.0;

/// Deviations by which a chance must be above the usual one to count.
const SURE: f64 = 3.0;

/// Log odds at which strays make a new timescale: those of a change.
const STRAY_ODDS: f64 = 16.0;

/// Strays that make one, at the least and at the most.
const STRAYS: std::ops::RangeInclusive<f64> = 3.0..=40.0;

/// Counts how often runs of one kind of samples go on.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// A run is counted from so many samples on.
    from: u32,
    /// By what chance it goes on, and how many runs that counts like.
    prior: f64,
    weight: f64,
    /// Samples in the present run.
    length: u32,
    /// Samples that followed a run, and those of them that belonged to it; and when that was last counted.
    followed: f64,
    went_on: f64,
    counted: f64,
}

impl Run {
    const fn new(from: u32, prior: f64, weight: f64) -> Self {
        Self { from, prior, weight, length: 0, followed: 0.0, went_on: 0.0, counted: 0.0 }
    }

    /// A run counts when it is over, so that one which becomes a change is never taken for a habit.
    fn take(&mut self, belongs: bool, time: f64) {
        if belongs {
            self.length = self.length.saturating_add(1);
            return;
        }
        if self.length >= self.from {
            let forget = (-(time - self.counted).max(0.0) / MEMORY).exp();
            self.counted = time;
            let went_on = f64::from(self.length.saturating_sub(self.from));
            self.followed = self.followed * forget + went_on + 1.0;
            self.went_on = self.went_on * forget + went_on;
        }
        self.length = 0;
    }

    /// By what chance a run goes on.
    fn chance(&self) -> f64 {
        (self.prior * self.weight + self.went_on) / (self.weight + self.followed)
    }

    /// By what chance it surely goes on: what a few runs more than usual say is nothing yet.
    fn sure_chance(&self) -> f64 {
        let chance = self.chance();
        let deviation = (chance * (1.0 - chance) / (self.weight + self.followed)).sqrt();
        (chance - SURE * deviation).max(self.prior)
    }
}

/// See the module's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runs {
    /// What [`LATE`] of the samples exceed, ns, and their mean distance from it.
    quantile: f64,
    distance: f64,
    late: Run,
    early: Run,
    strays: Run,
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            quantile: 0.0,
            distance: 0.0,
            // By chance there is such a run in a minute at 4 Hz.
            late: Run::new(4, LATE, 24.0),
            // e^-4: before any was seen, an early sample may speak as loud as the test lets it.
            early: Run::new(1, 0.018, 55.0),
            strays: Run::new(1, 0.02, 20.0),
        }
    }
}

impl Runs {
    /// Takes what the sample at `time` (s) missed the line by (ns), and whether it fits the law of the noise.
    pub(super) fn take(&mut self, time: f64, innovation: f64, fits: bool) {
        let above = innovation > self.quantile;
        let off = (innovation - self.quantile).abs();
        self.distance += FOLLOWS * (off.min(FOLLOWS_MOST * self.distance.max(1.0)) - self.distance);
        self.quantile += FOLLOWS * self.distance * if above { 1.0 - LATE } else { -LATE };
        self.late.take(above || (!fits && innovation > 0.0), time);
        self.early.take(!fits && innovation < 0.0, time);
        self.strays.take(false, time);
    }

    /// A sample was so far off that it is another timescale's, if anybody's.
    pub(super) fn take_stray(&mut self, time: f64) {
        self.strays.take(true, time);
    }

    /// The line has changed: the runs that told it are none.
    pub(super) fn interrupt(&mut self) {
        (self.late.length, self.early.length, self.strays.length) = (0, 0, 0);
    }

    /// The log odds that one more late, or early, sample can speak for a change.
    pub(super) fn gains(&self) -> (f64, f64) {
        // Late samples: the usual gain for those that come by the usual chance.
        let late = GAIN_LATE * self.late.sure_chance().ln() / LATE.ln();
        (late, (-self.early.sure_chance().ln()).min(GAIN_EARLY))
    }

    /// How many strays in a row are no chance any more.
    pub(super) fn strays_needed(&self) -> usize {
        let needed = (STRAY_ODDS / -self.strays.chance().ln()).round() - 1.0;
        to_usize(needed.clamp(*STRAYS.start(), *STRAYS.end()))
    }
}

#[allow(clippy::as_conversions, reason = "a whole number within STRAYS")]
fn to_usize(value: f64) -> usize {
    value as usize
}

#[cfg(test)]
mod tests {
    #![allow(clippy::as_conversions, reason = "tests")]

    use super::*;

    /// Samples at 4 Hz: late where `late` says so, fitting or not.
    fn after(count: usize, sample: impl Fn(usize) -> (f64, bool)) -> Runs {
        let mut runs = Runs::default();
        for k in 0..count {
            let (innovation, fits) = sample(k);
            runs.take(k as f64 / 4.0, innovation, fits);
        }
        runs
    }

    /// Numbers from 0 to 1 in an order without a trend.
    fn draw(k: usize) -> f64 {
        (k as f64 * 0.618_033_988_75).fract()
    }

    /// Numbers from 0 to 1 that come by chance (an integer hash).
    fn chance(k: usize) -> f64 {
        let mut z = (k as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[test]
    fn independent_samples_prove_what_they_always_did() {
        let (late, early) = after(4_000, |k| (chance(k), true)).gains();
        assert!((late - GAIN_LATE).abs() < 0.05 && early == GAIN_EARLY, "{late} {early}");
    }

    #[test]
    fn late_samples_that_come_in_runs_prove_little() {
        // Runs of 20, one after 60 others.
        let (late, _) = after(4_000, |k| (if k % 80 < 20 { 5.0 } else { draw(k) }, true)).gains();
        assert!(late < 0.3, "{late}");
    }

    #[test]
    fn early_misfits_prove_little_where_every_fifth_is_one() {
        let sample = |k| if chance(k) < 0.2 { (-60.0, false) } else { (draw(k), true) };
        let (_, early) = after(4_000, sample).gains();
        assert!((1.2..2.2).contains(&early), "{early}");
    }

    #[test]
    fn a_run_that_has_not_ended_or_became_a_change_is_no_habit() {
        let mut runs = after(400, |k| (draw(k), true));
        let usual = runs.gains();
        (0..40).for_each(|k| runs.take(100.0 + f64::from(k) / 4.0, 9.0, false));
        assert_eq!(runs.gains(), usual);
        runs.interrupt();
        runs.take(111.0, 0.5, true);
        assert_eq!(runs.gains(), usual);
    }

    #[test]
    fn where_a_forger_sends_every_tenth_more_strays_are_needed() {
        let mut runs = Runs::default();
        assert_eq!(runs.strays_needed(), 3);
        for k in 0..2_000 {
            let time = k as f64 / 4.0;
            if chance(k) < 0.1 { runs.take_stray(time) } else { runs.take(time, draw(k), true) }
        }
        assert!((5..=8).contains(&runs.strays_needed()), "{}", runs.strays_needed());
        // A minute of nothing else but strays, over and over.
        for k in 0..20_000 {
            let time = 500.0 + k as f64 / 4.0;
            if k % 480 < 240 { runs.take_stray(time) } else { runs.take(time, draw(k), true) }
        }
        assert_eq!(runs.strays_needed(), 40);
    }
}
