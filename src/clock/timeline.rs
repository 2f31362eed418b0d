//! The history of the system clock against the raw timeline.
//!
//! Kernel stamps are readings of the system clock, which is steered while packets wait to be read. The
//! timeline keeps the last few pieces between two changes of the clock, each a straight line, so that a stamp
//! is moved onto the raw timeline with the rate that held when it was taken. The clocks are read before and
//! after every change of our own; a reading that does not fit the running line betrays somebody else's hand.

use std::collections::VecDeque;

use super::Reading;
use crate::time::{Line, Rate, Raw, Span, System, Timestamp};

/// Pieces that are kept: at four changes a second this reaches back four seconds, far beyond any stamp's age, and at
/// the sixteen of a clock that is dithered most, one.
const HISTORY: usize = 16;

/// A deviation below this, on top of the reading's uncertainty, is read noise: a preempted reading is
/// recognised by its uncertainty, and nobody steps a clock by less on purpose.
const STEP_FLOOR: Span = Span::from_us(2);

/// A piece must be this long before its measured slope says anything: reading noise of 100 ns over it is
/// 1 ppm.
const SLOPE_MIN: Span = Span::from_ms(100);

/// A slope that differs by more than this from what we set is somebody else's. The kernel's own quantum and
/// reading noise stay below a tenth of it.
const SLOPE_LIMIT: Rate = Rate::from_ppm(1.5);

/// No kernel slews a clock faster than this on request (Linux: ±10 % by tick, but ±500 ppm by adjtime); a
/// deviation that would need more is a step.
const SLEW_MAX: Rate = Rate::from_ppm(1_000.0);

/// What a reading is off (one deviation), at least, in ns: two clocks are not read at one instant.
const READ_SIGMA: f64 = 45.0;

/// The scatter of readings is learned over so many, and one that is further off than so many deviations counts as if
/// it was not: it was preempted.
const SCATTER_READINGS: f64 = 64.0;
const SCATTER_LIMIT: f64 = 4.0;

/// Why a stamp of the system clock cannot be moved onto the raw timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StampFault {
    /// The packet carried no stamp.
    Missing,
    /// Somebody stepped the clock between the stamp and its reading.
    StraddlesStep,
    /// The stamp is older than the history, or from the future.
    OutOfHistory,
}

/// What somebody else did to the system clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Foreign {
    /// Moved it at once, by this much.
    Step(Span),
    /// Changed its rate, by this much.
    Slew(Rate),
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// System as a function of raw.
    line: Line<System, Raw>,
    /// The piece ends here; the last one goes on.
    until: Timestamp<Raw>,
}

/// The last pieces of the system clock's line; see the module's text.
#[derive(Debug, Clone)]
pub struct Timeline {
    pieces: VecDeque<Piece>,
    /// A foreign step ended at this raw time: stamps between the last good reading and here are void.
    void: Option<(Timestamp<Raw>, Timestamp<Raw>)>,
    last: Option<Reading>,
    /// Variance of a reading, ns².
    scatter: f64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), void: None, last: None, scatter: READ_SIGMA * READ_SIGMA }
    }
}

impl Timeline {
    /// A timeline without a reading: every stamp is out of its history.
    pub fn new() -> Self {
        Self::default()
    }

    /// The line that runs now, as uncertain as the one reading that it is anchored at.
    pub fn current(&self) -> Option<Line<System, Raw>> {
        let sigma = Span::from_ns_f64(self.scatter.sqrt());
        self.pieces.back().map(|piece| Line { sigma, ..piece.line })
    }

    /// The system clock as it reads at `raw`, by the line that runs now.
    pub fn system_at(&self, raw: Timestamp<Raw>) -> Option<Timestamp<System>> {
        self.current().map(|line| line.at(raw))
    }

    /// Starts anew at `reading`; `rate` is the rate of the system clock against the raw timeline.
    pub fn restart(&mut self, reading: Reading, rate: Rate) {
        self.pieces.clear();
        self.push(reading, rate);
    }

    /// A change of our own: the piece that ran ends at `before`, the next one starts at `after` with `rate`.
    pub fn changed(&mut self, before: Reading, after: Reading, rate: Rate) {
        if let Some(piece) = self.pieces.back_mut() {
            piece.until = before.raw;
        }
        self.push(after, rate);
    }

    fn push(&mut self, reading: Reading, rate: Rate) {
        if self.pieces.len() >= HISTORY {
            self.pieces.pop_front();
        }
        let line = Line::exact(reading.system, reading.raw, rate);
        self.pieces.push_back(Piece { line, until: Timestamp::from_ns(i64::MAX) });
        self.last = Some(reading);
    }

    /// Compares a reading with the running line. What does not fit was done by somebody else: it is returned,
    /// and the line follows it from here on.
    pub fn check(&mut self, reading: Reading) -> Option<Foreign> {
        let (piece, last) = (self.pieces.back()?, self.last?);
        let line = piece.line;
        let deviation = reading.system - line.at(reading.raw);
        let elapsed = reading.raw - last.raw;
        // A slew builds up since the anchor; a step happened since the last reading.
        let jump = deviation - (last.system - line.at(last.raw));
        let noise = reading.uncertainty + last.uncertainty;
        let since_anchor = reading.raw - line.b;
        let fastest = SLEW_MAX.gain_over(elapsed) + STEP_FLOOR + noise;

        let foreign = if jump.abs() > fastest {
            Some(Foreign::Step(jump))
        } else if since_anchor >= SLOPE_MIN && deviation.abs() > SLOPE_LIMIT.gain_over(since_anchor) + noise {
            Some(Foreign::Slew(Rate::from_ratio(deviation.as_ns_f64() / since_anchor.as_ns_f64())))
        } else {
            None
        };
        match foreign {
            Some(Foreign::Step(_)) => {
                self.void = Some((last.raw, reading.raw));
                self.changed(last, reading, line.rate);
            }
            Some(Foreign::Slew(by)) => self.changed(last, reading, line.rate.then(by)),
            None => {
                self.last = Some(reading);
                self.note_scatter(jump);
            }
        }
        foreign
    }

    /// Two readings differ by the noise of both.
    fn note_scatter(&mut self, jump: Span) {
        let variance = (jump.as_ns_f64().powi(2) / 2.0).min(SCATTER_LIMIT * SCATTER_LIMIT * self.scatter);
        self.scatter += (variance - self.scatter) / SCATTER_READINGS;
        self.scatter = self.scatter.max(READ_SIGMA * READ_SIGMA);
    }

    /// Moves a stamp of the system clock onto the raw timeline.
    ///
    /// # Errors
    /// When the history does not reach back to it, or a foreign step makes it ambiguous.
    pub fn raw_of(
        &self,
        stamp: Timestamp<System>,
        read_at: Timestamp<Raw>,
    ) -> Result<Timestamp<Raw>, StampFault> {
        // A stamp cannot be later than its reading; 1 ms allows for rates and clock noise.
        let latest = read_at + Span::from_ms(1);
        for piece in self.pieces.iter().rev() {
            let raw = piece.line.inverse_at(stamp);
            let started = piece.line.b - STEP_FLOOR;
            if raw < started {
                continue;
            }
            if raw > latest || raw > piece.until + STEP_FLOOR {
                break;
            }
            if self.void.is_some_and(|(from, to)| raw > from && raw < to) {
                return Err(StampFault::StraddlesStep);
            }
            return Ok(raw);
        }
        let stepped_lately = self.void.is_some_and(|(_, to)| read_at - to < Span::from_secs(1));
        Err(if stepped_lately { StampFault::StraddlesStep } else { StampFault::OutOfHistory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(raw: i64, system: i64) -> Reading {
        Reading {
            raw: Timestamp::from_ns(raw),
            system: Timestamp::from_ns(system),
            uncertainty: Span::from_ns(25),
        }
    }

    fn started() -> Timeline {
        let mut timeline = Timeline::new();
        timeline.restart(reading(0, 1_000_000_000_000), Rate::ZERO);
        timeline
    }

    #[test]
    fn a_stamp_is_moved_with_the_rate_that_held_when_it_was_taken() {
        let mut timeline = started();
        // +100 ppm from 1 s on: a stamp taken 5 ms before the change must not be extrapolated backwards.
        timeline.changed(
            reading(1_000_000_000, 1_001_000_000_000),
            reading(1_000_010_000, 1_001_000_010_000),
            Rate::from_ppm(100.0),
        );
        let read_at = Timestamp::from_ns(1_005_000_000);
        let before = timeline.raw_of(Timestamp::from_ns(1_000_995_000_000), read_at);
        assert_eq!(before, Ok(Timestamp::from_ns(995_000_000)));
        let after = timeline.raw_of(Timestamp::from_ns(1_001_004_010_400), read_at).unwrap();
        assert_eq!(after.as_ns(), 1_004_010_000);
    }

    #[test]
    fn the_line_is_as_uncertain_as_its_readings_scatter() {
        let sigma = |noise: i64| {
            let mut timeline = started();
            for k in 1_i64..400 {
                // Off by one deviation, to either side.
                let off = if k % 3 == 0 || k % 7 == 0 { noise } else { -noise };
                let raw = k * 1_000_000_000;
                assert_eq!(timeline.check(reading(raw, 1_000_000_000_000 + raw + off)), None);
            }
            timeline.current().unwrap().sigma.as_ns()
        };
        assert_eq!(sigma(0), 45);
        assert!((700..1_300).contains(&sigma(1_000)), "{}", sigma(1_000));
    }

    #[test]
    fn a_stamp_from_the_future_or_from_before_the_history_is_refused() {
        let timeline = started();
        let read_at = Timestamp::from_ns(1_000_000_000);
        assert_eq!(
            timeline.raw_of(Timestamp::from_ns(1_002_000_000_000), read_at),
            Err(StampFault::OutOfHistory)
        );
        assert_eq!(timeline.raw_of(Timestamp::from_ns(0), read_at), Err(StampFault::OutOfHistory));
        assert_eq!(Timeline::new().raw_of(Timestamp::from_ns(0), read_at), Err(StampFault::OutOfHistory));
    }

    #[test]
    fn a_foreign_step_is_seen_and_voids_the_stamps_around_it() {
        let mut timeline = started();
        assert_eq!(timeline.check(reading(500_000_000, 1_000_500_000_000)), None);
        let foreign = timeline.check(reading(1_500_000_000, 1_001_550_000_000));
        assert_eq!(foreign, Some(Foreign::Step(Span::from_ms(50))));
        // Taken between the two readings: before or after the step, nobody knows.
        let stamp = Timestamp::from_ns(1_001_000_000_000);
        let read_at = Timestamp::from_ns(1_500_100_000);
        assert_eq!(timeline.raw_of(stamp, read_at), Err(StampFault::StraddlesStep));
        // Afterwards stamps are good again.
        let stamp = Timestamp::from_ns(1_001_650_000_000);
        assert_eq!(
            timeline.raw_of(stamp, Timestamp::from_ns(1_600_100_000)),
            Ok(Timestamp::from_ns(1_600_000_000))
        );
    }

    #[test]
    fn a_backward_step_is_seen() {
        let mut timeline = started();
        assert_eq!(
            timeline.check(reading(1_000_000_000, 1_000_000_000_000)),
            Some(Foreign::Step(Span::from_secs(-1)))
        );
    }

    #[test]
    fn a_foreign_slew_is_told_from_a_step_and_then_followed() {
        let mut timeline = started();
        let foreign = timeline.check(reading(1_000_000_000, 1_001_000_020_000));
        let Some(Foreign::Slew(by)) = foreign else { panic!("{foreign:?}") };
        assert!((by.ppm() - 20.0).abs() < 0.1, "{by}");
        assert_eq!(timeline.check(reading(2_000_000_000, 1_002_000_040_000)), None);
    }

    #[test]
    fn a_slew_that_two_readings_in_a_row_see_is_no_step() {
        let mut timeline = started();
        assert_eq!(timeline.check(reading(90_000_000, 1_000_090_001_800)), None);
        let foreign = timeline.check(reading(110_000_000, 1_000_110_002_200));
        assert!(matches!(foreign, Some(Foreign::Slew(_))), "{foreign:?}");
    }

    #[test]
    fn reading_noise_and_a_preempted_reading_are_nobodys_hand() {
        let mut timeline = started();
        for second in 1..100_i64 {
            let noise = if second % 2 == 0 { 60 } else { -60 };
            assert_eq!(
                timeline.check(reading(
                    second * 1_000_000_000,
                    1_000_000_000_000 + second * 1_000_000_000 + noise
                )),
                None
            );
        }
        let preempted =
            Reading { uncertainty: Span::from_ms(4), ..reading(100_000_000_000, 1_100_003_000_000) };
        assert_eq!(timeline.check(preempted), None);
    }

    #[test]
    fn the_history_is_bounded() {
        let mut timeline = started();
        for change in 1..1_000_i64 {
            let at = reading(change * 1_000_000, 1_000_000_000_000 + change * 1_000_000);
            timeline.changed(at, at, Rate::ZERO);
        }
        assert_eq!(timeline.pieces.len(), HISTORY);
    }
}
