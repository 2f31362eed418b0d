//! A coarse clock runs at a rate between two that it knows by running at each of them in turn.
//!
//! What counts is the phase that was gained, so the residual is kept in ns: the clock runs at the faster of its two
//! rates until it has gained a little more than it should, then at the slower one until it has gained a little less.
//! That little is small enough to vanish in the noise of a reading, and the error of the mean goes with one over
//! time. A new wanted rate takes effect at once; the residual goes on.

use crate::time::{Rate, Raw, Span, Timestamp};

/// The residual at which the clock is turned over, as the quantum times this: at 0.1 ppm 10 ns, with the clock turned
/// over every 0.4 s at most, and the mean over a second wrong by 0.02 ppm at most.
const SWING: Span = Span::from_ms(100);

/// … but never more than this, the noise of a reading: a quantum of 6.4 ppm is turned over every 62 ms.
const SWING_MOST_NS: f64 = 100.0;

/// A clock is not turned over more often than this: where more is owed than a swing, it has to wait.
const DWELL: Span = Span::from_ms(5);

/// The residual never counts for more than this many swings. More is owed only where the clock could not be set, and
/// that is for the slew law to see and to take out.
const OWED_MOST: f64 = 4.0;

/// The two rates nearest to one that is wanted, of those that a clock can be set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbours {
    /// Not above the wanted rate, unless the clock runs no slower.
    pub low: Rate,
    /// Not below the wanted rate, unless the clock runs no faster.
    pub high: Rate,
}

impl Neighbours {
    /// Where the clock takes the multiples of `quantum`; `None` if that is no positive rate.
    pub fn of(wanted: Rate, quantum: Rate) -> Option<Self> {
        let count = wanted.ratio() / quantum.ratio();
        let at = |count: f64| Rate::from_ratio(count * quantum.ratio());
        (quantum.ratio() > 0.0 && count.is_finite())
            .then(|| Self { low: at(count.floor()), high: at(count.ceil()) })
    }

    fn swing_ns(self) -> f64 {
        ((self.high - self.low).ratio() * SWING.as_ns_f64()).clamp(0.0, SWING_MOST_NS)
    }
}

/// Chooses, one after the other, the rates whose mean is the wanted one; see the module's text.
///
/// ```
/// use dantetimesync::clock::rate::{Dither, Neighbours};
/// use dantetimesync::time::{Rate, Span, Timestamp};
/// let (wanted, quantum) = (Rate::from_ppm(12.34), Rate::from_ppm(0.1));
/// let mut dither = Dither::default();
/// let (mut now, mut gained_ns) = (Timestamp::EPOCH, 0.0);
/// for _ in 0..1_000 {
///     let set = dither.choose(now, wanted, Neighbours::of(wanted, quantum));
///     dither.took(now, set);
///     now = now + Span::from_ms(100);
///     gained_ns += set.ratio() * 1e8;
/// }
/// assert!((gained_ns / 100e9 - 12.34e-6).abs() < 0.001e-6);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Dither {
    running: Option<Running>,
    /// What the clock should have gained and has not, in ns.
    owed_ns: f64,
    /// It runs at the faster one of the two.
    fast: bool,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    since: Timestamp<Raw>,
    wanted: Rate,
    around: Neighbours,
    /// What the clock took.
    set: Rate,
}

impl Dither {
    /// The rate to command now so that the clock runs at `wanted` in the mean; without neighbours that is `wanted`.
    /// What the clock made of it must be told to [`Self::took`].
    pub fn choose(&mut self, now: Timestamp<Raw>, wanted: Rate, around: Option<Neighbours>) -> Rate {
        self.settle(now);
        let Some(around) = around else {
            *self = Self::default();
            return wanted;
        };
        let swing = around.swing_ns();
        self.owed_ns = self.owed_ns.clamp(-OWED_MOST * swing, OWED_MOST * swing);
        self.fast = match self.running {
            _ if self.owed_ns >= swing => true,
            _ if self.owed_ns <= -swing => false,
            Some(_) => self.fast,
            None => around.high - wanted < wanted - around.low,
        };
        let set = if self.fast { around.high } else { around.low };
        self.running = Some(Running { since: now, wanted, around, set });
        set
    }

    /// The clock runs at `set` since `at`: what was chosen last, as the clock took it.
    pub fn took(&mut self, at: Timestamp<Raw>, set: Rate) {
        // Until then it ran as it had: the time that the command took is some µs, and the slew law sees its phase.
        if let Some(running) = &mut self.running {
            (running.since, running.set) = (at, set);
        }
    }

    /// When the clock has to be turned over.
    pub fn due(&self) -> Option<Timestamp<Raw>> {
        let Running { since, wanted, around, set } = self.running?;
        let swing = around.swing_ns();
        let slope = (wanted - set).ratio();
        // A clock that is turned over to the same rate, or runs on the wrong side of the wanted one, waits for another.
        if slope == 0.0 || swing == 0.0 || (slope > 0.0) == self.fast {
            return None;
        }
        let left_ns = if self.fast { -swing - self.owed_ns } else { swing - self.owed_ns };
        Some(since + Span::from_ns_f64(left_ns / slope).max(DWELL))
    }

    /// The rate wanted last.
    pub fn wanted(&self) -> Option<Rate> {
        self.running.map(|running| running.wanted)
    }

    /// By how much the clock runs faster at this moment than it shall in the mean; zero without dithering.
    pub fn excess(&self) -> Rate {
        self.running.map_or(Rate::ZERO, |running| running.set - running.wanted)
    }

    /// Books what was gained until now.
    fn settle(&mut self, now: Timestamp<Raw>) {
        if let Some(running) = &mut self.running {
            let elapsed = (now - running.since).max(Span::ZERO);
            self.owed_ns += (running.wanted - running.set).ratio() * elapsed.as_ns_f64();
            running.since = running.since.max(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp<Raw> = Timestamp::from_ns(5_000_000_000);

    /// A clock of multiples of a quantum, and who turns it.
    struct Bench {
        dither: Dither,
        quantum: Rate,
        now: Timestamp<Raw>,
        set: Rate,
        gained_ns: f64,
        wanted_ns: f64,
        turns: u32,
    }

    impl Bench {
        fn new(quantum_ppm: f64) -> Self {
            let quantum = Rate::from_ppm(quantum_ppm);
            Self {
                dither: Dither::default(),
                quantum,
                now: START,
                set: Rate::ZERO,
                gained_ns: 0.0,
                wanted_ns: 0.0,
                turns: 0,
            }
        }

        fn command(&mut self, wanted: Rate) {
            let set = self.dither.choose(self.now, wanted, Neighbours::of(wanted, self.quantum));
            // The clock itself takes what is nearest.
            let took = Rate::from_ratio((set / self.quantum).round() * self.quantum.ratio());
            self.dither.took(self.now, took);
            self.turns += u32::from((took - self.set).abs().ratio() > 1e-12);
            self.set = took;
        }

        fn pass(&mut self, wanted: Rate, span: Span) {
            self.now = self.now + span;
            self.gained_ns += self.set.ratio() * span.as_ns_f64();
            self.wanted_ns += wanted.ratio() * span.as_ns_f64();
        }

        /// Wants a rate for some time, and comes `late` to every turn.
        fn want(&mut self, wanted: Rate, span: Span, late: Span) {
            let end = self.now + span;
            self.command(wanted);
            while self.now < end {
                let next = self.dither.due().map_or(end, |due| (due + late).min(end));
                self.pass(wanted, (next - self.now).max(Span::from_ns(1)));
                self.command(wanted);
            }
        }

        fn residual_ns(&self) -> f64 {
            self.gained_ns - self.wanted_ns
        }
    }

    impl std::ops::Div for Rate {
        type Output = f64;
        fn div(self, other: Self) -> f64 {
            self.ratio() / other.ratio()
        }
    }

    proptest! {
        #[test]
        fn the_mean_is_exact_and_the_phase_never_far_off(
            wanted in prop::collection::vec((-200.0..200.0_f64, 1..3_000_i64), 1..40),
            quantum_ppm in 0.02..7.0_f64,
            late_us in 0..20_000_i64,
        ) {
            let mut bench = Bench::new(quantum_ppm);
            let swing = Neighbours::of(Rate::from_ppm(quantum_ppm * 0.5), bench.quantum).unwrap().swing_ns();
            // A turn may come late by so much; what is gained meanwhile is the worst there is.
            let late_ns = bench.quantum.ratio() * (Span::from_us(late_us).as_ns_f64() + DWELL.as_ns_f64());
            for (ppm, ms) in wanted {
                bench.want(Rate::from_ppm(ppm), Span::from_ms(ms), Span::from_us(late_us));
                prop_assert!(bench.residual_ns().abs() <= swing + late_ns + 1.0, "{}", bench.residual_ns());
            }
        }

        #[test]
        fn what_is_commanded_is_never_a_quantum_away_from_what_is_wanted(
            wanted in prop::collection::vec((-200.0..200.0_f64, 1..3_000_i64), 1..40),
            quantum_ppm in 0.02..7.0_f64,
        ) {
            let mut bench = Bench::new(quantum_ppm);
            for (ppm, ms) in wanted {
                bench.command(Rate::from_ppm(ppm));
                prop_assert!((bench.set.ppm() - ppm).abs() < quantum_ppm * (1.0 + 1e-9), "{:?} {ppm}", bench.set);
                bench.want(Rate::from_ppm(ppm), Span::from_ms(ms), Span::ZERO);
                prop_assert!((bench.set.ppm() - ppm).abs() < quantum_ppm * (1.0 + 1e-9), "{:?} {ppm}", bench.set);
            }
        }

        #[test]
        fn the_clock_is_not_turned_over_without_need(ppm in -200.0..200.0_f64, quantum_ppm in 0.02..7.0_f64) {
            let mut bench = Bench::new(quantum_ppm);
            bench.want(Rate::from_ppm(ppm), Span::from_secs(100), Span::ZERO);
            let swing = (quantum_ppm * 1e-6 * 1e8).min(SWING_MOST_NS);
            // The fastest it can be is at half a quantum: both ways as steep.
            let most = 100e9 * quantum_ppm * 1e-6 / 4.0 / swing;
            prop_assert!(f64::from(bench.turns) <= most + 2.0, "{} {most}", bench.turns);
        }
    }

    #[test]
    fn at_a_tenth_of_a_ppm_a_second_is_right_to_a_fiftieth() {
        let mut bench = Bench::new(0.1);
        let wanted = Rate::from_ppm(-7.373);
        for _ in 0..1_000 {
            let before = bench.residual_ns();
            bench.want(wanted, Span::from_secs(1), Span::from_ms(1));
            let error_ppb = bench.residual_ns() - before;
            assert!(error_ppb.abs() <= 20.5, "{error_ppb}");
        }
        assert!(bench.turns > 100 && bench.turns < 2_500, "{}", bench.turns);
    }

    #[test]
    fn a_new_rate_is_on_the_clock_at_once() {
        let mut bench = Bench::new(0.1);
        bench.want(Rate::from_ppm(3.24), Span::from_ms(900), Span::ZERO);
        bench.command(Rate::from_ppm(-20.06));
        assert!((bench.set.ppm() + 20.0).abs() < 0.11, "{:?}", bench.set);
    }

    #[test]
    fn a_rate_that_the_clock_has_needs_no_turns() {
        let mut bench = Bench::new(0.1);
        bench.want(Rate::from_ratio(123.0 * bench.quantum.ratio()), Span::from_secs(50), Span::ZERO);
        assert_eq!((bench.turns, bench.dither.due()), (1, None));
        assert_eq!(bench.residual_ns().round(), 0.0);
    }

    #[test]
    fn a_fine_clock_is_given_the_wanted_rate_itself() {
        let mut dither = Dither::default();
        let wanted = Rate::from_ppm(1.234_567);
        assert_eq!(dither.choose(START, wanted, None), wanted);
        dither.took(START, wanted);
        assert_eq!((dither.due(), dither.excess(), dither.wanted()), (None, Rate::ZERO, None));
    }

    #[test]
    fn a_clock_that_stops_at_its_limit_is_not_owed_more_and_more() {
        let mut dither = Dither::default();
        let limit = Rate::from_ppm(100.0);
        let stuck = Neighbours { low: Rate::from_ppm(99.9), high: limit };
        let mut now = START;
        for _ in 0..1_000 {
            let set = dither.choose(now, Rate::from_ppm(120.0), Some(stuck));
            dither.took(now, set);
            now = now + Span::from_secs(1);
        }
        assert_eq!(dither.due(), None);
        // Back in the range, what is left is made good within a second.
        let wanted = Rate::from_ppm(50.05);
        dither.choose(now, wanted, Neighbours::of(wanted, Rate::from_ppm(0.1)));
        assert!(dither.due().unwrap() - now <= Span::from_ms(1_500), "{dither:?}");
    }

    #[test]
    fn what_the_clock_made_of_it_counts() {
        let mut dither = Dither::default();
        let around = Neighbours { low: Rate::from_ppm(1.0), high: Rate::from_ppm(1.1) };
        dither.choose(START, Rate::from_ppm(1.04), Some(around));
        dither.took(START, Rate::from_ppm(1.02));
        // 0.02 ppm too slow: 10 ns are owed after half a second.
        assert_eq!(dither.due(), Some(START + Span::from_ms(500)));
        assert!((dither.excess().ppm() + 0.02).abs() < 1e-9);
    }
}
