//! The oscillator of this computer, and the system clock that is steered on top of it.

#![allow(
    clippy::as_conversions,
    reason = "nanoseconds of one segment fit a float exactly, and rounded gains fit an integer"
)]

use std::f64::consts::TAU;

use super::plan::{OscillatorPlan, RateStep, ns_of_s};
use super::random::Random;

/// The rate is constant within a segment this long, in ns. Shorter ones cost time and change nothing: the
/// walk of the base world moves by 1.5 ppb in one.
const SEGMENT_NS: i64 = 250_000_000;

/// Octaves of flicker, the fastest with a memory of 2 s, the slowest of 2 h.
const OCTAVES: usize = 13;
const FASTEST_OCTAVE_S: f64 = 2.0;

/// Raw time as a function of true time: both in ns, exact, monotone, known up to the segment's end.
#[derive(Debug)]
pub(super) struct Oscillator {
    plan: OscillatorPlan,
    random: Random,
    start: i64,
    /// Noise that not every world has; on its own, so that the walk is the same with and without it.
    more_random: Random,
    /// Sum of the random walk's increments and of the jumps, in ppm.
    walk_ppm: f64,
    /// Flicker: each octave's rate, in ppm.
    octaves: [f64; OCTAVES],
    segment: Line,
    until: i64,
}

impl Oscillator {
    /// Starts at true time `start` with the reading `raw`.
    pub(super) fn new(plan: OscillatorPlan, seed: u64, start: i64, raw: i64) -> Self {
        let random = Random::stream(seed, "oscillator");
        let segment = Line { from: start, reading: raw, fraction: 0.0, rate: 0.0 };
        let mut more_random = Random::stream(seed, "oscillator: flicker and jumps");
        let octaves = [(); OCTAVES].map(|()| more_random.gaussian(plan.flicker_ppm));
        let until = start + SEGMENT_NS;
        let mut oscillator =
            Self { plan, random, more_random, start, walk_ppm: 0.0, octaves, segment, until };
        oscillator.segment.rate = oscillator.draw_rate();
        oscillator
    }

    /// The raw reading at true time `t`, which lies in the current segment.
    pub(super) fn raw_at(&self, t: i64) -> i64 {
        self.segment.at(t)
    }

    /// The rate against true time in the current segment, as a plain ratio.
    pub(super) fn rate(&self) -> f64 {
        self.segment.rate
    }

    /// The end of the current segment, in true time.
    pub(super) fn until(&self) -> i64 {
        self.until
    }

    /// The first instant of the current segment at which the raw reading is `raw` or more.
    pub(super) fn time_of(&self, raw: i64) -> Option<i64> {
        let elapsed = (raw - self.segment.reading) as f64;
        let mut t = self.segment.from + (elapsed / (1.0 + self.segment.rate)) as i64 - 2;
        while self.segment.at(t) < raw {
            t += 1;
        }
        (t <= self.until).then(|| t.max(self.segment.from))
    }

    /// From true time `t` on it reads `raw` and what follows; `ppm` is added to its rate.
    pub(super) fn set(&mut self, t: i64, raw: i64, ppm: f64) {
        self.plan.offset_ppm += ppm;
        self.segment = Line { reading: raw, ..self.segment.moved_to(t) };
        self.segment.rate = self.draw_rate();
    }

    /// Goes on to the next segment.
    pub(super) fn next_segment(&mut self) {
        let walk = self.plan.walk_ppm_per_sqrt_s * (SEGMENT_NS as f64 / 1e9).sqrt();
        self.walk_ppm += self.random.gaussian(walk);
        self.wander_on();
        self.segment = self.segment.moved_to(self.until);
        self.until += SEGMENT_NS;
        self.segment.rate = self.draw_rate();
    }

    /// Flicker and jumps of one more segment.
    fn wander_on(&mut self) {
        if self.plan.flicker_ppm > 0.0 {
            let mut memory_s = FASTEST_OCTAVE_S;
            for rate in &mut self.octaves {
                // Each octave forgets exponentially and keeps its variance.
                let kept = (-(SEGMENT_NS as f64 / 1e9) / memory_s).exp();
                let fresh = self.plan.flicker_ppm * (1.0 - kept * kept).sqrt();
                *rate = *rate * kept + self.more_random.gaussian(fresh);
                memory_s *= 2.0;
            }
        }
        if self.plan.jumps_per_h > 0.0 {
            let probability = self.plan.jumps_per_h / 3_600.0 * (SEGMENT_NS as f64 / 1e9);
            if self.more_random.chance(probability) {
                self.walk_ppm += self.more_random.gaussian(self.plan.jump_ppm);
            }
        }
    }

    /// How often another counter has taken over until `time`.
    pub(super) fn counters_until(&self, time: i64) -> usize {
        let over = |step: &&RateStep| step.counter && time - self.start >= ns_of_s(step.at_s);
        self.plan.step.iter().filter(over).count()
    }

    fn draw_rate(&self) -> f64 {
        let elapsed = self.segment.from - self.start;
        let seconds = (elapsed + SEGMENT_NS / 2) as f64 / 1e9;
        let wave = self.plan.wave_ppm * (TAU * seconds / self.plan.wave_period_s).sin();
        let steps: f64 =
            self.plan.step.iter().filter(|step| elapsed >= ns_of_s(step.at_s)).map(|step| step.ppm).sum();
        let flicker: f64 = self.octaves.iter().sum();
        (self.plan.offset_ppm + self.walk_ppm + flicker + wave + steps) * 1e-6
    }
}

/// The system clock as a function of raw time. It changes only when it is told to.
#[derive(Debug)]
pub(super) struct Steered {
    line: Line,
}

impl Steered {
    /// Reads `system` at `raw`, and runs with the raw clock's rate.
    pub(super) fn new(raw: i64, system: i64) -> Self {
        Self { line: Line { from: raw, reading: system, fraction: 0.0, rate: 0.0 } }
    }

    /// The reading at `raw`, which must not lie before the last change.
    pub(super) fn at(&self, raw: i64) -> i64 {
        self.line.at(raw)
    }

    /// The rate against the raw clock, as a plain ratio.
    pub(super) fn rate(&self) -> f64 {
        self.line.rate
    }

    /// Runs with another rate from `raw` on.
    pub(super) fn set_rate(&mut self, raw: i64, rate: f64) {
        self.line = Line { rate, ..self.line.moved_to(raw) };
    }

    /// Reads `system` when the raw clock reads `raw`, which may be another one than before.
    pub(super) fn set(&mut self, raw: i64, system: i64) {
        self.line = Line { from: raw, reading: system, fraction: 0.0, ..self.line };
    }

    /// Jumps by `by` ns at `raw`.
    pub(super) fn step(&mut self, raw: i64, by: i64) {
        self.line = self.line.moved_to(raw);
        self.line.reading += by;
    }
}

/// One clock as a linear function of another, in whole ns; the fraction of a ns is carried along, so that many
/// changes of the rate do not add up to an error.
#[derive(Debug, Clone, Copy)]
struct Line {
    from: i64,
    reading: i64,
    fraction: f64,
    rate: f64,
}

impl Line {
    fn at(&self, t: i64) -> i64 {
        let elapsed = t - self.from;
        self.reading + elapsed + (self.rate * elapsed as f64 + self.fraction).floor() as i64
    }

    fn moved_to(&self, t: i64) -> Self {
        let elapsed = t - self.from;
        let gain = self.rate * elapsed as f64 + self.fraction;
        Self {
            from: t,
            reading: self.reading + elapsed + gain.floor() as i64,
            fraction: gain - gain.floor(),
            rate: self.rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> OscillatorPlan {
        OscillatorPlan { walk_ppm_per_sqrt_s: 0.0, ..OscillatorPlan::default() }
    }

    fn gain_over_ns(plan: OscillatorPlan, ns: i64) -> i64 {
        let mut oscillator = Oscillator::new(plan, 1, 0, 5);
        while oscillator.until() < ns {
            oscillator.next_segment();
        }
        oscillator.raw_at(ns) - 5 - ns
    }

    #[test]
    fn it_gains_what_its_offset_says() {
        // 23 ppm over 1000 s are 23 ms; the carried fraction keeps 4000 segments from adding up an error.
        assert!((gain_over_ns(plan(), 1_000_000_000_000) - 23_000_000).abs() <= 1);
    }

    #[test]
    fn the_walk_has_its_spread() {
        // After 400 s the rate's walk has a standard deviation of 0.003 × √400 = 0.06 ppm.
        let spread = |seed| {
            let mut oscillator = Oscillator::new(OscillatorPlan::default(), seed, 0, 0);
            (0..1_600).for_each(|_| oscillator.next_segment());
            (oscillator.rate() * 1e6 - 23.0).powi(2)
        };
        let sd = ((0..400).map(spread).sum::<f64>() / 400.0).sqrt();
        assert!((sd - 0.06).abs() < 0.008, "{sd}");
    }

    #[test]
    fn a_step_of_its_rate_holds_from_its_moment_on() {
        let step = vec![RateStep { at_s: 500.0, ppm: 3.0, counter: true }];
        let gain = gain_over_ns(OscillatorPlan { step, ..plan() }, 1_000_000_000_000);
        assert!((gain - 24_500_000).abs() <= 1, "{gain}");
    }

    /// Allan deviation of the rate, in ppm, over averages of `tau_s`.
    fn allan_ppm(plan: &OscillatorPlan, tau_s: i64) -> f64 {
        let mut oscillator = Oscillator::new(plan.clone(), 3, 0, 0);
        let reading = |t: i64, oscillator: &mut Oscillator| {
            while oscillator.until() < t {
                oscillator.next_segment();
            }
            (oscillator.raw_at(t) - t) as f64
        };
        let gains: Vec<f64> =
            (0..200_000 / tau_s).map(|k| reading(k * tau_s * 1_000_000_000, &mut oscillator)).collect();
        let rates: Vec<f64> = gains.windows(2).map(|two| (two[1] - two[0]) / tau_s as f64 / 1e3).collect();
        let squares = rates.windows(2).map(|two| (two[1] - two[0]).powi(2) / 2.0);
        (squares.sum::<f64>() / (rates.len() - 1) as f64).sqrt()
    }

    #[test]
    fn flicker_is_as_strong_at_one_scale_as_at_another_and_a_walk_is_not() {
        let flicker = OscillatorPlan { flicker_ppm: 0.01, ..plan() };
        let ratio = |plan: &OscillatorPlan| allan_ppm(plan, 512) / allan_ppm(plan, 16);
        assert!((0.8..1.25).contains(&ratio(&flicker)), "{}", ratio(&flicker));
        assert!((0.008..0.016).contains(&allan_ppm(&flicker, 64)), "{}", allan_ppm(&flicker, 64));
        let walk = OscillatorPlan::default();
        assert!(ratio(&walk) > 3.0, "{}", ratio(&walk));
    }

    #[test]
    fn jumps_come_as_often_as_told_and_stay() {
        let plan = OscillatorPlan { jumps_per_h: 36.0, jump_ppm: 1.0, ..plan() };
        let mut oscillator = Oscillator::new(plan, 1, 0, 0);
        let mut rates = Vec::new();
        for _ in 0..40 * 3_600 * 4 {
            rates.push(oscillator.rate());
            oscillator.next_segment();
        }
        let jumps: Vec<f64> =
            rates.windows(2).map(|two| (two[1] - two[0]) * 1e6).filter(|jump| *jump != 0.0).collect();
        assert!((1_300..1_580).contains(&jumps.len()), "{}", jumps.len());
        let sd = (jumps.iter().map(|jump| jump * jump).sum::<f64>() / jumps.len() as f64).sqrt();
        assert!((sd - 1.0).abs() < 0.1, "{sd}");
    }

    #[test]
    fn time_and_reading_invert_each_other() {
        let oscillator = Oscillator::new(OscillatorPlan { offset_ppm: -400.0, ..plan() }, 1, 1_000, 77);
        for t in (1_000..200_000_000).step_by(9_999_991) {
            let back = oscillator.time_of(oscillator.raw_at(t)).unwrap();
            assert!(back <= t && t - back <= 1, "{t} {back}");
        }
        assert_eq!(oscillator.time_of(300_000_000), None);
    }

    #[test]
    fn many_changes_of_the_rate_do_not_lose_a_nanosecond() {
        let mut clock = Steered::new(0, 0);
        for change in 0..10_000 {
            clock.set_rate(change * 333, 10e-6);
        }
        assert!((clock.at(10_000_000_000) - 10_000_100_000).abs() <= 1);
        clock.step(10_000_000_000, -500);
        assert!((clock.at(10_000_000_000) - 10_000_099_500).abs() <= 1);
    }
}
