//! Readings of the system and the raw clock, for the leader and for observers of the daemon.

#![allow(unsafe_code, reason = "clock calls of the operating system; the leader is an edge of its own")]

use std::io;
use std::mem::MaybeUninit;

use crate::clock::Reading;
use crate::time::{Rate, Raw, Span, System, Timestamp};

/// The raw timeline, now.
pub fn raw_now() -> Timestamp<Raw> {
    Timestamp::from_ns(clock_ns(libc::CLOCK_MONOTONIC_RAW).unwrap_or_default())
}

/// Reads system and raw clock at one instant: the narrowest of `attempts` sandwiches, at least one.
///
/// # Errors
/// When the operating system refuses.
pub fn read(attempts: u32) -> io::Result<Reading> {
    let mut best = sandwich()?;
    for _ in 1..attempts {
        let reading = sandwich()?;
        if reading.uncertainty < best.uncertainty {
            best = reading;
        }
    }
    Ok(best)
}

/// The rate of the system clock against the raw clock, by the kernel's own word.
///
/// # Errors
/// When the operating system refuses to tell.
pub fn kernel_rate() -> io::Result<Rate> {
    let mut timex = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the pointer is to a timex of our own; zeroed, it asks for nothing to be changed.
    let result = unsafe { libc::adjtimex(timex.as_mut_ptr()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: timex is plain integers, for which zeroed memory is valid, and the call has filled it in.
    let timex = unsafe { timex.assume_init() };
    Ok(rate_of(timex.freq, timex.tick))
}

/// The rate that the kernel's `freq` (in 2^-16 ppm) and `tick` (in µs per 1/100 s) make together.
pub fn rate_of(freq: libc::c_long, tick: libc::c_long) -> Rate {
    let freq_ppm = Span::from_ns(freq).as_ns_f64() / 65_536.0;
    let tick_ppm = Span::from_ns(tick.saturating_sub(10_000)).as_ns_f64() * 100.0;
    Rate::from_ppm(freq_ppm + tick_ppm)
}

/// Moves a kernel stamp onto the raw timeline, by a reading taken soon after it and the rate between them.
pub fn raw_of(stamp: Timestamp<System>, reading: Reading, rate: Rate) -> Timestamp<Raw> {
    let since = reading.system - stamp;
    reading.raw - (since + rate.inverse().gain_over(since))
}

/// Raw, system, raw: the system clock was read within half the width of the middle.
fn sandwich() -> io::Result<Reading> {
    let before = clock_ns(libc::CLOCK_MONOTONIC_RAW)?;
    let system = clock_ns(libc::CLOCK_REALTIME)?;
    let after = clock_ns(libc::CLOCK_MONOTONIC_RAW)?;
    let half = Span::from_ns(after.saturating_sub(before)).half();
    Ok(Reading {
        raw: Timestamp::from_ns(before) + half,
        system: Timestamp::from_ns(system),
        uncertainty: half,
    })
}

fn clock_ns(clock: libc::clockid_t) -> io::Result<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of our own.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(timespec_ns(time))
}

/// A time of the kernel in ns.
pub(super) fn timespec_ns(time: libc::timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_moved_back_with_the_rate_of_the_system_clock() {
        let reading = Reading {
            raw: Timestamp::from_ns(1_000_000_000),
            system: Timestamp::from_ns(9_000_000_000),
            uncertainty: Span::from_ns(25),
        };
        // At +100 ppm, 5.0005 ms of the system clock are 5 ms of the raw clock.
        let stamp = Timestamp::from_ns(9_000_000_000 - 5_000_500);
        assert_eq!(raw_of(stamp, reading, Rate::from_ppm(100.0)).as_ns(), 995_000_000);
    }

    #[test]
    fn frequency_and_tick_add_up() {
        assert_eq!(rate_of(20 * 65_536, 10_000), Rate::from_ppm(20.0));
        assert_eq!(rate_of(-65_536, 10_001), Rate::from_ppm(99.0));
    }

    #[test]
    fn a_reading_tells_its_own_width() {
        let before = raw_now();
        let reading = read(3).unwrap();
        let after = raw_now();
        assert!(reading.raw > before && reading.raw < after);
        assert!(reading.uncertainty > Span::ZERO);
    }
}
