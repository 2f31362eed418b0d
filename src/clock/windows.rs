//! The system clock of Windows.
//!
//! The raw timeline is the performance counter. The rate is one number, the *adjustment* ([`IncrementScale`]), set by
//! `SetSystemTimeAdjustmentPrecise` where Windows has it and by the older `SetSystemTimeAdjustment` elsewhere. What
//! a unit of it does is measured before anything is steered ([`WindowsClock::prove`]).
#![allow(unsafe_code, reason = "the clock is reached by system calls only")]

mod adjustment;
mod facts;
pub(crate) mod priority;
mod privilege;

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use windows_sys::Win32::Foundation::{FILETIME, SYSTEMTIME};
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::SystemInformation::{
    GetSystemTimeAsFileTime, GetSystemTimePreciseAsFileTime, SetSystemTime,
};
use windows_sys::Win32::System::Time::FileTimeToSystemTime;

use super::rate::{BaseDrift, INCREMENT_LIMIT, IncrementScale, Neighbours};
use super::ticks::ticks_to_ns;
use super::trial::{self, Facts, Finding, Subject};
use super::{ClockError, KernelStatus, Reading, SystemClock};
use crate::time::{Rate, Raw, Span, System, Timestamp, Utc};
use adjustment::Call;

/// 1601-01-01 to 1970-01-01, in 100 ns.
const UNIX_EPOCH_FILETIME: i64 = 116_444_736_000_000_000;
const FILETIME_NS: i64 = 100;

/// Sandwiches that are tried for one reading; see the clock of Linux. The clock's own steps are 100 ns.
const READ_TRIES: u32 = 5;
const NARROW: Span = Span::from_ns(200);

/// A step is set in whole ms, and the call itself may take long: what it missed by is set again, so often …
const STEP_TRIES: u32 = 3;
/// … unless it is only this: half a ms of rounding, and as much for the call.
const STEP_EXACT: Span = Span::from_ms(1);

/// By how much a trial pulls: 500 units of the precise call, 16 of the older one, which old systems ignore below.
const PULL: Rate = Rate::from_ppm(50.0);
const PULL_UNITS: f64 = 16.0;

/// The clock that the whole computer sees.
#[derive(Debug)]
pub struct WindowsClock {
    call: Call,
    found: Found,
    /// As documented until it was measured.
    scale: IncrementScale,
    proven: bool,
    /// The adjustment commanded last.
    set: u64,
    drift: BaseDrift,
}

/// How the clock was steered when it was found: to be put back when the program is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// By the precise call, whose units are not those of the older one.
    pub precise: bool,
    /// In units of the call.
    pub adjustment: u64,
    /// Windows ran the clock as it is, or synchronised it by itself, and ignored the adjustment.
    pub disabled: bool,
}

impl WindowsClock {
    /// Looks at the clock and changes nothing.
    ///
    /// # Errors
    /// When the clock cannot be read.
    pub fn observe() -> Result<Self, ClockError> {
        const ACTION: &str = "read the clock's rate";
        let call = Call::find();
        let now = call.get()?;
        let scale = IncrementScale::new(now.nominal).ok_or_else(|| ClockError::Os {
            action: ACTION,
            reason: format!("{} says that its nominal adjustment is {}", call.name(), now.nominal),
        })?;
        let found = Found { precise: call.is_precise(), adjustment: now.adjustment, disabled: now.disabled };
        Ok(Self { call, found, scale, proven: false, set: now.effective(), drift: BaseDrift::default() })
    }

    /// What an earlier program had left running when the clock was opened, in words. Windows has nothing of that kind:
    /// an adjustment is not a process.
    pub fn leftovers(&self) -> &[&'static str] {
        &[]
    }

    /// Ends what an earlier program left running.
    ///
    /// # Errors
    /// None: there is nothing of that kind.
    pub fn cancel_leftovers(&mut self) -> Result<(), ClockError> {
        Ok(())
    }

    /// Whether this process may steer the clock; from here on it may.
    ///
    /// # Errors
    /// [`ClockError::NotPermitted`] without the privilege, which administrators and services have.
    pub fn check_permission(&mut self) -> Result<(), ClockError> {
        privilege::enable("steer the clock")
    }

    /// Whether this process runs with the rights of an administrator.
    pub fn is_administrators() -> bool {
        privilege::elevated()
    }

    /// Tries what the clock does when it is told to run faster and slower, which takes two seconds, and steers it by
    /// that from now on. False if `pass`, which lets time pass, wants to end.
    ///
    /// # Errors
    /// [`ClockError::Disobeys`] with what was seen; then the clock is as it was found.
    pub fn prove(&mut self, pass: impl FnMut(Span) -> bool) -> Result<bool, ClockError> {
        let Some(trace) = trial::run(self, pass)? else { return Ok(false) };
        let finding = trace.judge().map_err(|seen| ClockError::Disobeys { seen })?;
        self.steer_by(&finding);
        Ok(true)
    }

    /// How it was steered when it was opened.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Steers it again as it was found once.
    ///
    /// # Errors
    /// When the operating system refuses, or has the call no more that was used then.
    pub fn restore(&mut self, found: Found) -> Result<(), ClockError> {
        if found.precise != self.call.is_precise() {
            let reason = "it was found by another call than this system has".to_owned();
            return Err(ClockError::Os { action: "put the clock's rate back", reason });
        }
        let scale = IncrementScale::new(self.scale.nominal()).unwrap_or(self.scale);
        // Where the adjustment is disabled Windows ignores it, and it may be anything.
        if !found.disabled && scale.rate(found.adjustment).abs() > INCREMENT_LIMIT {
            let reason = format!("{} units are no rate of a clock", found.adjustment);
            return Err(ClockError::Os { action: "put the clock's rate back", reason });
        }
        self.call.set(found.adjustment, found.disabled)
    }

    fn steer_by(&mut self, finding: &Finding) {
        let (gain, base) = finding.law();
        tracing::info!(
            call = self.call.name(),
            gain = finding.gain,
            base_ppm = finding.base_ppm,
            noise_ns = finding.noise_ns,
            "the clock does as it is told"
        );
        if gain != 1.0 {
            tracing::warn!("a command moves the clock {gain:.3} times as far as is documented: allowed for");
        }
        // The judgement believes no gain that the scale does not.
        self.scale = self.scale.measured(gain, base).unwrap_or(self.scale);
        self.proven = true;
    }

    /// Sets whole milliseconds, once.
    fn set_time(&mut self, by: Span) -> Result<(), ClockError> {
        const ACTION: &str = "step the clock";
        let filetime = to_filetime(self.read()?.system + by + Span::from_us(500));
        // SAFETY: a SYSTEMTIME is plain numbers, for which zeros are valid.
        let mut time: SYSTEMTIME = unsafe { std::mem::zeroed() };
        // SAFETY: both are valid places.
        if unsafe { FileTimeToSystemTime(&raw const filetime, &raw mut time) } == 0 {
            return Err(last_error(ACTION));
        }
        // SAFETY: `time` is a valid time.
        if unsafe { SetSystemTime(&raw const time) } == 0 { Err(last_error(ACTION)) } else { Ok(()) }
    }

    /// Setting the time is known to end an adjustment, and by its documentation takes the privilege away again.
    fn steer_on(&mut self) -> Result<(), ClockError> {
        self.check_permission()?;
        self.call.set(self.set, false)
    }

    fn rate_set(&self) -> Rate {
        self.scale.rate(self.set)
    }
}

impl SystemClock for WindowsClock {
    fn raw_now(&mut self) -> Timestamp<Raw> {
        raw_clock()
    }

    fn read(&mut self) -> Result<Reading, ClockError> {
        let mut best = sandwich();
        for _ in 1..READ_TRIES {
            if best.uncertainty.times(2) < NARROW {
                break;
            }
            let next = sandwich();
            if next.uncertainty < best.uncertainty {
                best = next;
            }
        }
        Ok(best)
    }

    fn set_rate(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        const ACTION: &str = "set the clock's rate";
        if !self.proven {
            let reason = "what a command does has not been measured yet".to_owned();
            return Err(ClockError::Os { action: ACTION, reason });
        }
        let reading = self.read()?;
        if let Some(more) = self.drift.observe(reading, self.rate_set()) {
            self.scale = self.scale.rebased(more);
        }
        let adjustment = self.scale.adjustment(rate)?;
        self.call.set(adjustment, false)?;
        let now = self.call.get()?;
        if now.disabled || now.adjustment != adjustment {
            self.drift.restart();
            let reason = format!("it was set to {adjustment} units, and Windows shows {now}");
            return Err(ClockError::Os { action: ACTION, reason });
        }
        self.set = adjustment;
        Ok(self.rate_set())
    }

    fn rates_around(&self, wanted: Rate) -> Option<Neighbours> {
        self.scale.around(wanted)
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        let before = self.read()?;
        let moved = approach(by, |left| {
            self.set_time(left)?;
            let after = self.read()?;
            let elapsed = after.raw - before.raw;
            Ok((after.system - before.system) - elapsed - self.rate_set().gain_over(elapsed))
        })?;
        self.drift.restart();
        if self.proven
            && let Err(error) = self.steer_on()
        {
            // The clock has moved, and whoever asked must learn that; the next command will be refused as well.
            tracing::warn!(%error, "after a step the clock's rate could not be set again");
        }
        Ok(moved)
    }

    /// Windows has no place for it.
    fn set_status(&mut self, _status: KernelStatus) -> Result<(), ClockError> {
        Ok(())
    }

    fn rate(&mut self) -> Result<Rate, ClockError> {
        self.set = self.call.get()?.effective();
        Ok(self.rate_set())
    }

    fn slept(&mut self) -> Option<Span> {
        facts::slept()
    }

    fn boot_id(&mut self) -> Option<String> {
        facts::boot_id()
    }

    fn local_offset(&self, at: Timestamp<Utc>) -> Span {
        facts::local_offset(at)
    }
}

impl Subject for WindowsClock {
    fn facts(&mut self) -> Result<Facts, ClockError> {
        let quantum = self.scale.quantum();
        let least = Rate::from_ratio(PULL_UNITS * quantum.ratio());
        Ok(Facts {
            call: self.call.name(),
            found: self.rate()?,
            quantum,
            amplitude: if least > PULL { least } else { PULL },
            sign_known: false,
        })
    }

    fn command(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        let adjustment = self.scale.adjustment(rate)?;
        // Not read back: what counts is what the clock does.
        self.call.set(adjustment, false)?;
        Ok(self.scale.rate(adjustment))
    }

    fn look(&mut self) -> Result<(Reading, Option<i64>), ClockError> {
        let reading = self.read()?;
        Ok((reading, Some(coarse_clock().as_ns())))
    }

    fn put_back(&mut self) -> Result<(), ClockError> {
        self.call.set(self.found.adjustment, self.found.disabled)
    }
}

/// Steps by `by` in a few tries. `step` moves the clock by what is left, and tells how far all tries have moved it. Once
/// it has moved, no refusal makes that untold.
fn approach(by: Span, mut step: impl FnMut(Span) -> Result<Span, ClockError>) -> Result<Span, ClockError> {
    let mut moved = step(by)?;
    for _ in 1..STEP_TRIES {
        if (by - moved).abs() <= STEP_EXACT {
            break;
        }
        match step(by - moved) {
            Ok(so_far) => moved = so_far,
            Err(error) => {
                tracing::warn!(%error, "a step by {by} has moved the clock by {moved} only");
                break;
            }
        }
    }
    Ok(moved)
}

/// The system clock, with the raw timeline read just before and just after it.
fn sandwich() -> Reading {
    let before = raw_clock();
    let mut time = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    // SAFETY: `time` is a valid place for the result.
    unsafe { GetSystemTimePreciseAsFileTime(&raw mut time) };
    let width = raw_clock() - before;
    Reading {
        raw: before + width.half(),
        system: from_filetime(time),
        uncertainty: width - width.half() + Span::from_ns(FILETIME_NS / 2),
    }
}

/// The clock as it stood at the last tick.
fn coarse_clock() -> Timestamp<System> {
    let mut time = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    // SAFETY: `time` is a valid place for the result.
    unsafe { GetSystemTimeAsFileTime(&raw mut time) };
    from_filetime(time)
}

fn from_filetime<T>(time: FILETIME) -> Timestamp<T> {
    let filetime = i64::from(time.dwHighDateTime) << 32 | i64::from(time.dwLowDateTime);
    Timestamp::from_ns(filetime.saturating_sub(UNIX_EPOCH_FILETIME).saturating_mul(FILETIME_NS))
}

/// Rounded down to 100 ns. What lies before 1601 does not fit into the i64 ns of a timestamp.
#[allow(clippy::as_conversions, reason = "both halves of the number, each into its field")]
fn to_filetime<T>(time: Timestamp<T>) -> FILETIME {
    let filetime = time.as_ns().div_euclid(FILETIME_NS).saturating_add(UNIX_EPOCH_FILETIME);
    FILETIME { dwLowDateTime: filetime as u32, dwHighDateTime: (filetime >> 32) as u32 }
}

fn last_error(action: &'static str) -> ClockError {
    ClockError::Os { action, reason: std::io::Error::last_os_error().to_string() }
}

/// The raw timeline, the performance counter, now.
pub fn raw_clock() -> Timestamp<Raw> {
    Timestamp::from_ns(ticks_to_ns(counter(), frequency()))
}

/// How long this computer has been on, sleep included.
pub fn since_boot() -> Span {
    facts::since_boot()
}

/// The performance counter, now.
pub fn counter() -> i64 {
    let mut ticks = 0;
    // SAFETY: `ticks` is a valid place for the result. The call cannot fail since Windows XP.
    let _ = unsafe { QueryPerformanceCounter(&raw mut ticks) };
    ticks
}

/// Ticks of the performance counter in a second; fixed from boot to boot.
pub fn frequency() -> i64 {
    static FREQUENCY: OnceLock<i64> = OnceLock::new();
    *FREQUENCY.get_or_init(|| {
        let mut ticks = 0;
        // SAFETY: `ticks` is a valid place for the result.
        let _ = unsafe { QueryPerformanceFrequency(&raw mut ticks) };
        ticks
    })
}

#[cfg(test)]
mod tests;
