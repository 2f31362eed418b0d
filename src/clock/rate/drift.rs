//! What a clock gains besides what it is told, learned while it is steered.
//!
//! The computer's counter and its clock need not be driven by the same source, and what a trial of two seconds sees of
//! the difference is uncertain by some 0.1 ppm. Over a minute the same readings tell it to a few ppb.

use crate::clock::Reading;
use crate::time::{Rate, Span};

/// It is looked at after this long.
const WINDOW: Span = Span::from_secs(60);

/// Larger differences are not of this kind: somebody else has changed the clock, and is noticed elsewhere.
const MOST: Rate = Rate::from_ppm(1.0);

/// See the module's text.
#[derive(Debug, Clone, Copy, Default)]
pub struct BaseDrift {
    window: Option<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    start: Reading,
    last: Reading,
    /// What it was to gain since the start, in ns.
    told_ns: f64,
}

impl BaseDrift {
    /// The clock was read; since the last call it was to run at `told`. Returns, once a minute, how much faster it
    /// really runs.
    pub fn observe(&mut self, reading: Reading, told: Rate) -> Option<Rate> {
        let window = self.window.get_or_insert(Window { start: reading, last: reading, told_ns: 0.0 });
        window.told_ns += told.ratio() * (reading.raw - window.last.raw).as_ns_f64();
        window.last = reading;
        let elapsed = reading.raw - window.start.raw;
        if elapsed < WINDOW {
            return None;
        }
        let gained = ((reading.system - window.start.system) - elapsed).as_ns_f64();
        let by = Rate::from_ratio((gained - window.told_ns) / elapsed.as_ns_f64());
        self.window = Some(Window { start: reading, last: reading, told_ns: 0.0 });
        (by.abs() <= MOST).then_some(by)
    }

    /// The clock was stepped, or the rate that it ran at is not known: what was seen so far does not count.
    pub fn restart(&mut self) {
        self.window = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn reading(raw: i64, system: f64) -> Reading {
        Reading {
            raw: Timestamp::from_ns(raw),
            system: Timestamp::from_ns(1_790_000_000_000_000_000 + Span::from_ns_f64(system).as_ns()),
            uncertainty: Span::from_ns(100),
        }
    }

    /// A clock that gains `extra_ppm` besides what it is told, in turns 3 and 3.1 ppm.
    fn learned(extra_ppm: f64, jump_ns: f64, seconds: i64) -> Vec<Rate> {
        let (mut drift, mut system, mut told) = (BaseDrift::default(), 0.0, Rate::ZERO);
        let mut all = Vec::new();
        for second in 0..seconds {
            all.extend(drift.observe(reading(second * 1_000_000_000, system), told));
            told = Rate::from_ppm(if second % 2 == 0 { 3.0 } else { 3.1 });
            system += 1e9 + told.ppm() * 1e3 + extra_ppm * 1e3 + if second == 30 { jump_ns } else { 0.0 };
        }
        all
    }

    #[test]
    fn what_it_gains_besides_is_told_once_a_minute() {
        let learned = learned(0.12, 0.0, 200);
        assert_eq!(learned.len(), 3);
        assert!(learned.iter().all(|by| (by.ppm() - 0.12).abs() < 0.001), "{learned:?}");
    }

    #[test]
    fn a_foreign_hand_is_not_taken_for_it() {
        assert_eq!(learned(4.0, 0.0, 100), []);
        assert_eq!(learned(0.0, 1e6, 100), []);
    }

    #[test]
    fn after_a_step_it_begins_anew() {
        let mut drift = BaseDrift::default();
        assert_eq!(drift.observe(reading(0, 0.0), Rate::ZERO), None);
        drift.restart();
        assert_eq!(drift.observe(reading(61_000_000_000, 0.0), Rate::ZERO), None);
    }
}
