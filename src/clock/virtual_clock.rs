//! A system clock made of numbers: for demonstrations and dry runs, where nothing of the computer is changed.

use std::fmt;

use super::rate::{LinuxRate, RATE_LIMIT, TICK_NOMINAL};
use super::{ClockError, KernelStatus, Reading, SystemClock};
use crate::time::{Line, Rate, Raw, Span, System, Timestamp};

/// A clock that obeys at once and exactly, in the quanta of Linux. It reads its raw timeline from `R`.
pub struct VirtualClock<R> {
    raw: R,
    line: Line<System, Raw>,
    tick: i32,
    status: Option<KernelStatus>,
}

impl<R: FnMut() -> Timestamp<Raw>> VirtualClock<R> {
    /// A clock that reads `start` now and runs at the rate of the raw timeline.
    pub fn new(mut raw: R, start: Timestamp<System>) -> Self {
        let line = Line::exact(start, raw(), Rate::ZERO);
        Self { raw, line, tick: TICK_NOMINAL, status: None }
    }

    /// What was last said about the clock's quality.
    pub fn status(&self) -> Option<KernelStatus> {
        self.status
    }
}

impl<R: FnMut() -> Timestamp<Raw>> SystemClock for VirtualClock<R> {
    fn raw_now(&mut self) -> Timestamp<Raw> {
        (self.raw)()
    }

    fn read(&mut self) -> Result<Reading, ClockError> {
        let raw = (self.raw)();
        Ok(Reading { raw, system: self.line.at(raw), uncertainty: Span::ZERO })
    }

    fn set_rate(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        let set = LinuxRate::from_rate(rate.clamp(RATE_LIMIT), self.tick)?;
        self.tick = set.tick;
        let now = (self.raw)();
        self.line = Line { rate: set.rate(), ..self.line.moved_to(now) };
        Ok(self.line.rate)
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        let before = self.line.a;
        self.line.a = before + by;
        Ok(self.line.a - before)
    }

    fn set_status(&mut self, status: KernelStatus) -> Result<(), ClockError> {
        self.status = Some(status);
        Ok(())
    }

    fn rate(&mut self) -> Result<Rate, ClockError> {
        Ok(self.line.rate)
    }
}

impl<R> fmt::Debug for VirtualClock<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualClock").field("line", &self.line).field("status", &self.status).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const START: Timestamp<System> = Timestamp::from_ns(1_000_000_000_000);

    #[test]
    fn it_gains_by_its_rate_and_keeps_what_it_gained() {
        let raw = Cell::new(5_000_000_000);
        let mut clock = VirtualClock::new(|| Timestamp::from_ns(raw.get()), START);
        let rate = clock.set_rate(Rate::from_ppm(20.0)).unwrap();
        raw.set(15_000_000_000);
        assert_eq!(clock.read().unwrap().system - START, Span::from_ns(10_000_200_000));
        assert_eq!(clock.rate(), Ok(rate));
        clock.set_rate(Rate::ZERO).unwrap();
        raw.set(25_000_000_000);
        assert_eq!(clock.read().unwrap().system - START, Span::from_ns(20_000_200_000));
    }

    #[test]
    fn a_rate_is_set_in_quanta_and_cut_at_the_range() {
        let mut clock = VirtualClock::new(|| Timestamp::EPOCH, START);
        let set = clock.set_rate(Rate::from_ppm(0.000_020)).unwrap();
        assert!((set.ppm() - 1.0 / 65_536.0).abs() < 1e-12, "{set:?}");
        assert!((clock.set_rate(Rate::from_ratio(0.5)).unwrap().ratio() - 0.1).abs() < 1e-12);
        assert!(clock.set_rate(Rate::from_ratio(f64::NAN)).is_err());
    }

    #[test]
    fn a_step_moves_the_clock_and_tells_how_far() {
        let mut clock = VirtualClock::new(|| Timestamp::EPOCH, START);
        assert_eq!(clock.step(Span::from_ms(-3)), Ok(Span::from_ms(-3)));
        assert_eq!(clock.read().unwrap().system, START - Span::from_ms(3));
        // What the range of i64 cuts off is not claimed.
        let mut clock = VirtualClock::new(|| Timestamp::EPOCH, Timestamp::from_ns(i64::MAX - 10));
        assert_eq!(clock.step(Span::from_secs(1)), Ok(Span::from_ns(10)));
    }
}
