//! The kernel's clock, for the guard and for playing the stranger.

#![allow(unsafe_code, reason = "clock calls of the operating system")]

use std::io;

use dantetimesync::clock::linux::LinuxClock;
use dantetimesync::clock::rate::LinuxRate;
use dantetimesync::clock::{Reading, SystemClock};
use dantetimesync::time::{Line, Rate, Raw, Span, System, Timestamp};
use serde::{Deserialize, Serialize};

/// What the kernel's clock was told, and the line it ran on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// In 2^-16 ppm.
    pub freq: i64,
    /// In µs per 1/100 s.
    pub tick: i64,
    pub constant: i64,
    pub maxerror: i64,
    pub esterror: i64,
    pub status: i32,
    pub raw_ns: i64,
    pub system_ns: i64,
}

/// Best of this many readings: good to some ns.
const ATTEMPTS: usize = 10;

/// A restored clock that is nearer to its line than this is left alone: it is read noise.
const NOISE: Span = Span::from_ns(100);

/// A larger deviation is not undone: something else is wrong.
const UNDO_MAX: Span = Span::from_secs(1);

/// The bits of `status` that can be set; the others are the kernel's reports.
const SETTABLE: i32 = libc::STA_PLL
    | libc::STA_PPSFREQ
    | libc::STA_PPSTIME
    | libc::STA_FLL
    | libc::STA_INS
    | libc::STA_DEL
    | libc::STA_UNSYNC
    | libc::STA_FREQHOLD;

impl Saved {
    pub fn take() -> io::Result<Self> {
        let timex = adjust(timex())?;
        let reading = read()?;
        Ok(Self {
            freq: timex.freq,
            tick: timex.tick,
            constant: timex.constant,
            maxerror: timex.maxerror,
            esterror: timex.esterror,
            status: timex.status,
            raw_ns: reading.raw.as_ns(),
            system_ns: reading.system.as_ns(),
        })
    }

    fn rate(&self) -> Rate {
        rate_of(self.freq, self.tick)
    }

    pub fn ppm(&self) -> f64 {
        self.rate().ppm()
    }

    /// How far the system clock is from the line it ran on when it was saved.
    pub fn deviation(&self) -> io::Result<Span> {
        let (system, raw) = (Timestamp::from_ns(self.system_ns), Timestamp::from_ns(self.raw_ns));
        let line: Line<System, Raw> = Line::exact(system, raw, self.rate());
        let reading = read()?;
        Ok(reading.system - line.at(reading.raw))
    }

    /// Puts everything back; the order matters. Returns the deviation that was undone.
    pub fn restore(&self) -> io::Result<Span> {
        // Slews that somebody left pending would go on after us. A PLL offset can only be set with the PLL on.
        adjust(libc::timex { modes: libc::ADJ_OFFSET_SINGLESHOT, ..timex() })?;
        adjust(libc::timex { modes: libc::ADJ_STATUS, status: libc::STA_PLL, ..timex() })?;
        adjust(libc::timex { modes: libc::ADJ_OFFSET, ..timex() })?;
        // Without STA_NANO the kernel adds 4 to the time constant, hence ADJ_NANO in the same call.
        adjust(libc::timex {
            modes: libc::ADJ_FREQUENCY | libc::ADJ_TICK | libc::ADJ_TIMECONST | libc::ADJ_NANO,
            freq: self.freq,
            tick: self.tick,
            constant: self.constant,
            ..timex()
        })?;
        let deviation = self.deviation()?;
        if deviation.abs() > UNDO_MAX {
            return Err(io::Error::other(format!("a deviation of {deviation} is too much to be undone")));
        }
        if deviation.abs() > NOISE {
            step(-deviation)?;
        }
        // After the step, which sets STA_UNSYNC and the errors.
        adjust(libc::timex {
            modes: libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR,
            status: self.status & SETTABLE,
            maxerror: self.maxerror,
            esterror: self.esterror,
            ..timex()
        })?;
        // ADJ_NANO sticks in the status.
        let unit = if self.status & libc::STA_NANO != 0 { libc::ADJ_NANO } else { libc::ADJ_MICRO };
        adjust(libc::timex { modes: unit, ..timex() })?;
        Ok(deviation)
    }
}

/// System and raw clock at one instant.
pub fn read() -> io::Result<Reading> {
    let mut clock = LinuxClock::observe().map_err(io::Error::other)?;
    let mut best = clock.read().map_err(io::Error::other)?;
    for _ in 1..ATTEMPTS {
        let reading = clock.read().map_err(io::Error::other)?;
        if reading.uncertainty < best.uncertainty {
            best = reading;
        }
    }
    Ok(best)
}

/// The rate of the system clock against the raw clock, by the kernel's own word.
pub fn kernel_rate() -> io::Result<Rate> {
    let timex = adjust(timex())?;
    Ok(rate_of(timex.freq, timex.tick))
}

fn rate_of(freq: i64, tick: i64) -> Rate {
    // The kernel's own limits are far inside an i32.
    LinuxRate { freq: freq.try_into().unwrap(), tick: tick.try_into().unwrap() }.rate()
}

/// Moves the system clock at once.
pub fn step(by: Span) -> io::Result<()> {
    let mut timex = libc::timex { modes: libc::ADJ_SETOFFSET | libc::ADJ_NANO, ..timex() };
    timex.time.tv_sec = by.as_ns().div_euclid(1_000_000_000);
    timex.time.tv_usec = by.as_ns().rem_euclid(1_000_000_000);
    adjust(timex).map(|_| ())
}

/// Changes the rate of the system clock by `ppm`, as it is now.
pub fn slew_by(ppm: f64) -> io::Result<()> {
    let now = adjust(timex())?;
    let freq = now.freq + (ppm * 65_536.0).round() as i64;
    adjust(libc::timex { modes: libc::ADJ_FREQUENCY | libc::ADJ_NANO, freq, ..timex() }).map(|_| ())
}

pub fn is_root() -> bool {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Whether the clock may be set: tried by setting nothing but the unit that is set already.
pub fn can_be_set() -> bool {
    adjust(timex()).is_ok_and(|now| {
        let unit = if now.status & libc::STA_NANO != 0 { libc::ADJ_NANO } else { libc::ADJ_MICRO };
        adjust(libc::timex { modes: unit, ..timex() }).is_ok()
    })
}

fn timex() -> libc::timex {
    // SAFETY: timex is plain integers, for which zero is valid.
    unsafe { std::mem::zeroed() }
}

/// What the kernel says after it has obeyed; TIME_ERROR (5) is no failure.
fn adjust(mut timex: libc::timex) -> io::Result<libc::timex> {
    // SAFETY: the pointer is to a timex of our own.
    let result = unsafe { libc::adjtimex(&raw mut timex) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(timex) }
}
