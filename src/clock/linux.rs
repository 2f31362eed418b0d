//! The system clock of Linux: `clock_gettime` and `clock_adjtime`, as plain libc calls.
//!
//! `ADJ_NANO` goes with every call that sets something: the unit is part of the kernel's state, and a call
//! that sets the status word without it silently falls back to µs. A returned `TIME_ERROR` (5) is a success;
//! it only repeats that the clock is not synchronised.
#![allow(unsafe_code, reason = "the clock is reached by libc calls only")]

use std::io;

use super::rate::{FREQ_QUANTUM, LinuxRate, RATE_LIMIT, TICK_NOMINAL};
use super::trial::{Facts, Subject};
use super::{ClockError, KernelLeap, KernelStatus, Reading, SystemClock};
use crate::time::{Rate, Raw, Span, System, Timestamp, Utc};

/// Sandwiches that are tried for one reading. The best of several is ±1 ns; one alone may be preempted.
const READ_TRIES: u32 = 5;
/// A sandwich this narrow is as good as they get: on bare metal three calls take 40 to 60 ns.
const NARROW: Span = Span::from_ns(100);
/// The kernel's own limit for maxerror and esterror (NTP_PHASE_LIMIT), in µs: "not known".
const ERROR_LIMIT_US: i64 = 16_000_000;
/// By how much a trial pulls.
const PULL: Rate = Rate::from_ppm(50.0);
const NS_PER_SEC: i64 = 1_000_000_000;

/// The clock that the whole computer sees as `CLOCK_REALTIME`.
#[derive(Debug)]
pub struct LinuxClock {
    set: LinuxRate,
    leftovers: Vec<Leftover>,
    found: Vec<&'static str>,
    /// What a trial puts back.
    tried_from: Option<LinuxRate>,
    /// STA_INS or STA_DEL, as the kernel was told last.
    leap: libc::c_int,
    notice: Option<String>,
}

/// Something that an earlier daemon left in the kernel and that would go on steering the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftover {
    SingleShot,
    Pll,
    Leap,
    Other,
}

impl Leftover {
    const fn name(self) -> &'static str {
        match self {
            Self::SingleShot => "a pending adjtime() offset",
            Self::Pll => "the kernel's phase-locked loop",
            Self::Leap => "an announced leap second",
            Self::Other => "PPS discipline or a held frequency",
        }
    }
}

impl LinuxClock {
    /// Looks at the clock and, where that is permitted, ends what an earlier daemon left running in the
    /// kernel; see [`Self::leftovers`].
    ///
    /// # Errors
    /// When the clock cannot be read. A missing permission is none here: see [`Self::check_permission`].
    pub fn open() -> Result<Self, ClockError> {
        let mut clock = Self::observe()?;
        match clock.cancel_leftovers() {
            Ok(()) | Err(ClockError::NotPermitted { .. }) => Ok(clock),
            Err(error) => Err(error),
        }
    }

    /// Looks at the clock and changes nothing.
    ///
    /// # Errors
    /// When the clock cannot be read.
    pub fn observe() -> Result<Self, ClockError> {
        for clock in [libc::CLOCK_MONOTONIC_RAW, libc::CLOCK_REALTIME] {
            gettime(clock).map_err(|error| refused("read the clock", &error))?;
        }
        let state = state()?;
        let leftovers = leftovers_in(&state, pending_single_shot());
        let found = leftovers.iter().map(|leftover| leftover.name()).collect();
        Ok(Self { set: rate_in(&state), leftovers, found, tried_from: None, leap: 0, notice: None })
    }

    /// What an earlier daemon had left running when the clock was opened, in words; empty is usual.
    pub fn leftovers(&self) -> &[&'static str] {
        &self.found
    }

    /// Ends what an earlier daemon left running. The rate that it left stays in place.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn cancel_leftovers(&mut self) -> Result<(), ClockError> {
        const ACTION: &str = "cancel what an earlier daemon left running";
        let leftovers = std::mem::take(&mut self.leftovers);
        if leftovers.is_empty() {
            return Ok(());
        }
        for leftover in leftovers {
            match leftover {
                // Not every kernel or sandbox knows this one: without it the offset slews to its end. It must
                // stand alone, since ADJ_NANO means "read only" beside it.
                Leftover::SingleShot => drop(adjust(&mut blank(libc::ADJ_OFFSET_SINGLESHOT), ACTION)),
                // A pending offset can only be replaced while the loop is on; the status below ends the loop.
                Leftover::Pll => {
                    let mut timex = blank(libc::ADJ_STATUS | libc::ADJ_OFFSET | libc::ADJ_NANO);
                    timex.status = libc::STA_PLL | libc::STA_UNSYNC;
                    adjust(&mut timex, ACTION)?;
                }
                Leftover::Leap | Leftover::Other => {}
            }
        }
        let mut timex = blank(libc::ADJ_STATUS | libc::ADJ_NANO);
        timex.status = libc::STA_UNSYNC;
        adjust(&mut timex, ACTION).map(drop)
    }

    /// Whether this process may steer the clock: sets the rate that is set already.
    ///
    /// # Errors
    /// [`ClockError::NotPermitted`] without CAP_SYS_TIME.
    pub fn check_permission(&mut self) -> Result<(), ClockError> {
        let now = rate_in(&state()?);
        self.apply(now, "steer the clock").map(drop)
    }

    /// Whether the clock does as it is told: on Linux that is the kernel's contract, and need not be tried.
    ///
    /// # Errors
    /// None.
    pub fn prove(&mut self, _pass: impl FnMut(Span) -> bool) -> Result<bool, ClockError> {
        Ok(true)
    }

    /// Somebody may have announced a leap second since the kernel was last told; it is about to be cleared.
    fn note_foreign_leap(&mut self) {
        let announced = state().map_or(0, |state| state.status & (libc::STA_INS | libc::STA_DEL));
        if announced & !self.leap != 0 {
            self.notice = Some("another program announced a leap second to the kernel: cleared".to_owned());
        }
    }

    fn apply(&mut self, rate: LinuxRate, action: &'static str) -> Result<Rate, ClockError> {
        let mut timex = blank(libc::ADJ_FREQUENCY | libc::ADJ_TICK | libc::ADJ_NANO);
        timex.freq = rate.freq.into();
        timex.tick = rate.tick.into();
        adjust(&mut timex, action)?;
        self.set = rate_in(&timex);
        Ok(self.set.rate())
    }
}

impl Subject for LinuxClock {
    fn facts(&mut self) -> Result<Facts, ClockError> {
        Ok(Facts {
            call: "clock_adjtime",
            found: self.rate()?,
            quantum: FREQ_QUANTUM,
            amplitude: PULL,
            sign_known: true,
        })
    }

    fn command(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        self.tried_from.get_or_insert(self.set);
        self.set_rate(rate)
    }

    fn look(&mut self) -> Result<(Reading, Option<i64>), ClockError> {
        Ok((self.read()?, None))
    }

    fn put_back(&mut self) -> Result<(), ClockError> {
        match self.tried_from.take() {
            Some(found) => self.apply(found, "put the clock's rate back").map(drop),
            None => Ok(()),
        }
    }
}

impl SystemClock for LinuxClock {
    fn raw_now(&mut self) -> Timestamp<Raw> {
        raw_clock()
    }

    fn read(&mut self) -> Result<Reading, ClockError> {
        let mut best = sandwich()?;
        for _ in 1..READ_TRIES {
            if best.uncertainty.times(2) < NARROW {
                break;
            }
            let next = sandwich()?;
            if next.uncertainty < best.uncertainty {
                best = next;
            }
        }
        Ok(best)
    }

    fn set_rate(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        let rate = LinuxRate::from_rate(rate.clamp(RATE_LIMIT), self.set.tick)?;
        self.apply(rate, "set the clock's rate")
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        const ACTION: &str = "step the clock";
        let mut timex = blank(libc::ADJ_SETOFFSET | libc::ADJ_NANO);
        // The kernel wants the fraction positive: -0.1 s is -1 s + 900 000 000 ns, in the field for µs.
        timex.time.tv_sec = by.as_ns().div_euclid(NS_PER_SEC);
        timex.time.tv_usec = by.as_ns().rem_euclid(NS_PER_SEC);
        let before = self.read()?;
        adjust(&mut timex, ACTION)?;
        let after = self.read()?;
        let elapsed = after.raw - before.raw;
        Ok((after.system - before.system) - elapsed - self.set.rate().gain_over(elapsed))
    }

    fn set_status(&mut self, status: KernelStatus) -> Result<(), ClockError> {
        let modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR | libc::ADJ_NANO;
        let mut timex = blank(modes);
        let leap = match status.leap {
            KernelLeap::None => 0,
            KernelLeap::Insert => libc::STA_INS,
            KernelLeap::Delete => libc::STA_DEL,
        };
        self.note_foreign_leap();
        self.leap = leap;
        // Nothing but these bits: the kernel's own loops stay off, and no other leap second is announced.
        timex.status = leap | if status.synchronised { 0 } else { libc::STA_UNSYNC };
        timex.maxerror = error_us(status.max_error);
        timex.esterror = error_us(status.est_error);
        adjust(&mut timex, "set the clock's status").map(drop)
    }

    fn rate(&mut self) -> Result<Rate, ClockError> {
        self.set = rate_in(&state()?);
        Ok(self.set.rate())
    }

    /// `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`. They are read one after the other in this order, so that a
    /// preemption in between makes the result too small: a sleep that was none is never seen.
    fn slept(&mut self) -> Option<Span> {
        let boottime = gettime(libc::CLOCK_BOOTTIME).ok()?;
        let monotonic = gettime(libc::CLOCK_MONOTONIC).ok()?;
        Some(Span::from_ns(boottime) - Span::from_ns(monotonic))
    }

    fn boot_id(&mut self) -> Option<String> {
        let id = std::fs::read_to_string(BOOT_ID).ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    fn counter(&mut self) -> Option<String> {
        let name = std::fs::read_to_string(COUNTER).ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    }

    fn take_notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    fn local_offset(&self, at: Timestamp<Utc>) -> Span {
        local_offset(at)
    }
}

/// A number that the kernel draws at every boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What the kernel counts time by. It gives a counter up that it finds to be unsteady.
const COUNTER: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// The raw timeline, `CLOCK_MONOTONIC_RAW`, now.
pub fn raw_clock() -> Timestamp<Raw> {
    Timestamp::from_ns(gettime(libc::CLOCK_MONOTONIC_RAW).expect("every Linux since 2.6.28 has this clock"))
}

/// Local time minus UTC, by the C library's rules for this computer's time zone.
fn local_offset(at: Timestamp<Utc>) -> Span {
    let seconds: libc::time_t = at.as_ns().div_euclid(NS_PER_SEC);
    // SAFETY: `tm` consists of integers and a pointer, for which zero is a value.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to valid places for the whole call, which keeps neither.
    let result = unsafe { libc::localtime_r(&raw const seconds, &raw mut local) };
    if result.is_null() { Span::ZERO } else { Span::from_secs(local.tm_gmtoff) }
}

/// Raw, system, raw: the system clock was read somewhere between the two raw readings.
fn sandwich() -> Result<Reading, ClockError> {
    let read = |clock| gettime(clock).map_err(|error| refused("read the clock", &error));
    let before = Timestamp::<Raw>::from_ns(read(libc::CLOCK_MONOTONIC_RAW)?);
    let system = Timestamp::<System>::from_ns(read(libc::CLOCK_REALTIME)?);
    let width = Timestamp::<Raw>::from_ns(read(libc::CLOCK_MONOTONIC_RAW)?) - before;
    // Rounded up, so that an odd width stays inside.
    let uncertainty = width - width.half();
    Ok(Reading { raw: before + width.half(), system, uncertainty })
}

/// The clock's reading in ns since its epoch; saturates in the year 2262.
fn gettime(clock: libc::clockid_t) -> io::Result<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result for the whole call.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec.saturating_mul(NS_PER_SEC).saturating_add(time.tv_nsec))
}

/// The kernel's whole state of the clock.
fn state() -> Result<libc::timex, ClockError> {
    let mut timex = blank(0);
    adjust(&mut timex, "read the state of the clock")?;
    Ok(timex)
}

/// What is left of an `adjtime` call, in µs; 0 where the system does not tell.
fn pending_single_shot() -> i64 {
    let mut timex = blank(libc::ADJ_OFFSET_SS_READ);
    adjust(&mut timex, "read the pending offset").map_or(0, |_| timex.offset)
}

fn leftovers_in(state: &libc::timex, single_shot: i64) -> Vec<Leftover> {
    let bit = |bits| state.status & bits != 0;
    let pps = libc::STA_PPSFREQ | libc::STA_PPSTIME | libc::STA_FREQHOLD;
    [
        (single_shot != 0, Leftover::SingleShot),
        (bit(libc::STA_PLL | libc::STA_FLL), Leftover::Pll),
        (bit(libc::STA_INS | libc::STA_DEL), Leftover::Leap),
        (bit(pps), Leftover::Other),
    ]
    .into_iter()
    .filter_map(|(present, leftover)| present.then_some(leftover))
    .collect()
}

fn rate_in(state: &libc::timex) -> LinuxRate {
    LinuxRate {
        freq: i32::try_from(state.freq).unwrap_or(0),
        tick: i32::try_from(state.tick).unwrap_or(TICK_NOMINAL),
    }
}

/// In µs, rounded up; a bound that is not known is the kernel's limit.
fn error_us(error: Span) -> i64 {
    error.abs().as_ns().saturating_add(999).div_euclid(1_000).min(ERROR_LIMIT_US)
}

fn blank(modes: libc::c_uint) -> libc::timex {
    // SAFETY: `timex` consists of integers only, for which zero is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.modes = modes;
    timex
}

/// Hands `timex` to the kernel, which fills in its state. Returns the state of the clock, TIME_OK to
/// TIME_ERROR.
fn adjust(timex: &mut libc::timex, action: &'static str) -> Result<libc::c_int, ClockError> {
    // SAFETY: `timex` is exclusively borrowed and initialised; the kernel writes only inside it.
    let result = unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, timex) };
    if result < 0 { Err(refused(action, &io::Error::last_os_error())) } else { Ok(result) }
}

fn refused(action: &'static str, error: &io::Error) -> ClockError {
    match error.raw_os_error() {
        Some(libc::EPERM) => ClockError::NotPermitted { action },
        _ => ClockError::Os { action, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    //! The computer's clock is only read here, save in the ignored test.

    use super::*;

    #[test]
    fn a_reading_lies_between_the_raw_readings_around_it() {
        let mut clock = LinuxClock::observe().unwrap();
        let before = clock.raw_now();
        let reading = clock.read().unwrap();
        let after = clock.raw_now();
        assert!(before <= reading.raw && reading.raw <= after, "{before:?} {reading:?} {after:?}");
        assert!(reading.uncertainty <= after - before);
        // Later than 2020: this is the clock with a date.
        assert!(reading.system.as_ns() > 1_577_836_800 * NS_PER_SEC);
    }

    #[test]
    fn the_rate_found_is_the_kernels() {
        let mut clock = LinuxClock::observe().unwrap();
        let state = state().unwrap();
        let kernel = LinuxRate { freq: state.freq.try_into().unwrap(), tick: state.tick.try_into().unwrap() };
        assert_eq!(clock.rate().unwrap(), kernel.rate());
        assert!(clock.rate().unwrap().abs() <= RATE_LIMIT);
    }

    #[test]
    fn boot_time_is_ahead_of_monotonic_time() {
        let mut clock = LinuxClock::observe().unwrap();
        // The best of several: one alone may have been preempted.
        let slept = (0..20).filter_map(|_| clock.slept()).max().unwrap();
        assert!(slept >= Span::from_ms(-1), "{slept}");
    }

    #[test]
    fn a_boot_has_one_name() {
        let mut clock = LinuxClock::observe().unwrap();
        assert_eq!(clock.boot_id(), LinuxClock::observe().unwrap().boot_id());
        assert!(clock.boot_id().is_none_or(|id| id.len() > 8), "{:?}", clock.boot_id());
        assert!(
            clock.counter().is_none_or(|name| !name.contains(char::is_whitespace)),
            "{:?}",
            clock.counter()
        );
    }

    #[test]
    fn local_time_is_within_a_day_of_utc() {
        let offset =
            LinuxClock::observe().unwrap().local_offset(Timestamp::from_ns(1_780_000_000 * NS_PER_SEC));
        // Kiribati has UTC+14. Whole minutes, as everywhere since 1972.
        assert!(offset.abs() <= Span::from_secs(14 * 3_600), "{offset}");
        assert_eq!(offset.as_ns() % (60 * NS_PER_SEC), 0);
    }

    #[test]
    fn errors_are_rounded_up_to_microseconds_and_cut_at_16_s() {
        assert_eq!(error_us(Span::ZERO), 0);
        assert_eq!(error_us(Span::from_ns(1)), 1);
        assert_eq!(error_us(Span::from_ns(-2_001)), 3);
        assert_eq!(error_us(Span::MAX), 16_000_000);
    }

    #[test]
    fn what_an_earlier_daemon_left_is_named() {
        let mut state = blank(0);
        state.status = libc::STA_UNSYNC | libc::STA_NANO;
        assert_eq!(leftovers_in(&state, 0), []);
        state.status = libc::STA_PLL | libc::STA_INS;
        assert_eq!(leftovers_in(&state, -5), [Leftover::SingleShot, Leftover::Pll, Leftover::Leap]);
        state.status = libc::STA_FREQHOLD | libc::STA_FLL;
        assert_eq!(leftovers_in(&state, 0), [Leftover::Pll, Leftover::Other]);
    }

    #[test]
    fn a_refusal_names_the_missing_capability() {
        let refusal = refused("step the clock", &io::Error::from_raw_os_error(libc::EPERM));
        assert!(refusal.to_string().contains("CAP_SYS_TIME"), "{refusal}");
        let other = refused("step the clock", &io::Error::from_raw_os_error(libc::EINVAL));
        assert!(matches!(other, ClockError::Os { .. }), "{other}");
    }

    /// Changes the clock of the whole computer by at most 5 ms and 20 ppm: run it alone, as root, under a
    /// guard that puts everything back.
    #[test]
    #[ignore = "changes the computer's clock"]
    fn the_kernel_does_what_it_is_told() {
        let mut clock = LinuxClock::open().unwrap();
        clock.check_permission().unwrap();
        let found = clock.rate().unwrap();

        for ppm in [20.0, -20.0] {
            let set = clock.set_rate(Rate::from_ppm(ppm)).unwrap();
            assert!((set.ppm() - ppm).abs() < 1e-5, "{set}");
            let first = clock.read().unwrap();
            while clock.raw_now() - first.raw < Span::from_ms(300) {}
            let last = clock.read().unwrap();
            let elapsed = last.raw - first.raw;
            let gained = (last.system - first.system) - elapsed;
            let error = gained - set.gain_over(elapsed);
            assert!(error.abs() <= first.uncertainty + last.uncertainty + Span::from_ns(50), "{error}");
        }
        for by in [Span::from_ms(5), Span::from_ms(-5), Span::from_ns(1_500), Span::from_ns(-1_500)] {
            let moved = clock.step(by).unwrap();
            assert!((moved - by).abs() < Span::from_ns(500), "{moved} instead of {by}");
        }
        assert_ne!(state().unwrap().status & libc::STA_UNSYNC, 0, "a step makes the clock unsynchronised");
        let status = KernelStatus {
            synchronised: true,
            max_error: Span::from_ms(7),
            est_error: Span::from_us(3),
            leap: KernelLeap::None,
        };
        clock.set_status(status).unwrap();
        let now = state().unwrap();
        assert_eq!(now.status & (libc::STA_UNSYNC | libc::STA_PLL), 0);
        assert!(
            (7_000..8_000).contains(&now.maxerror) && now.esterror == 3,
            "{} {}",
            now.maxerror,
            now.esterror
        );
        clock.set_status(KernelStatus { synchronised: false, ..status }).unwrap();
        assert_ne!(state().unwrap().status & libc::STA_UNSYNC, 0);
        clock.set_rate(found).unwrap();
    }
    /// Changes the rate of the computer's clock by 50 ppm for two seconds: see the test before.
    #[test]
    #[ignore = "changes the computer's clock"]
    fn a_trial_finds_that_the_kernel_obeys_and_puts_its_rate_back() {
        let mut clock = LinuxClock::open().unwrap();
        clock.check_permission().unwrap();
        let found = rate_in(&state().unwrap());
        let pass = |span: Span| {
            let start = raw_clock();
            while raw_clock() - start < span {}
            true
        };
        let trace = crate::clock::trial::run(&mut clock, pass).unwrap().unwrap();
        let finding = trace.judge().unwrap();
        assert!((finding.gain - 1.0).abs() < 0.01 && finding.base_ppm.abs() < 0.5, "{finding:?}");
        assert_eq!(rate_in(&state().unwrap()), found);
    }
}
