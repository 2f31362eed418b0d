//! The clock that is steered: what a backend must do, and the [`Timeline`] that ties it to the raw timeline.

#[cfg(unix)]
pub mod linux;
#[cfg(target_os = "linux")]
pub mod priority;
pub mod rate;
pub mod ticks;
mod timeline;
pub mod trial;
pub mod virtual_clock;
#[cfg(windows)]
pub mod windows;

/// The clock of the operating system that the program was built for. All systems offer the same: [`OsClock`], which
/// can be opened or only observed, and [`raw_clock`].
///
/// [`OsClock`]: platform::OsClock
/// [`raw_clock`]: platform::raw_clock
pub mod platform {
    #[cfg(unix)]
    pub use super::linux::{LinuxClock as OsClock, raw_clock};
    #[cfg(windows)]
    pub use super::windows::{WindowsClock as OsClock, raw_clock};
}

use rate::Neighbours;
pub use timeline::{Foreign, StampFault, Timeline};

use crate::time::{Rate, Raw, Span, System, Timestamp, Utc};

/// System and raw clock, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The raw timeline at the instant of the reading.
    pub raw: Timestamp<Raw>,
    /// The system clock at the same instant.
    pub system: Timestamp<System>,
    /// Half the width of the sandwich of calls the reading was taken in: neither clock can be further off.
    pub uncertainty: Span,
}

/// What the kernel shall tell other programs about the quality of the system clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelStatus {
    /// The date is known and the clock is locked: clears STA_UNSYNC.
    pub synchronised: bool,
    /// Bound of the error against UTC.
    pub max_error: Span,
    /// Estimated error against UTC.
    pub est_error: Span,
    /// What it shall do at the end of this UTC day.
    pub leap: KernelLeap,
}

/// A leap second for the kernel to make, at the end of the UTC day in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelLeap {
    /// None; one that somebody else announced is cleared.
    None,
    /// It counts 23:59:59 twice.
    Insert,
    /// It leaves out 23:59:59.
    Delete,
}

/// The system clock of this computer, or one made of numbers.
#[cfg_attr(test, mockall::automock)]
pub trait SystemClock {
    /// The raw timeline, now.
    fn raw_now(&mut self) -> Timestamp<Raw>;

    /// Reads system and raw clock at one instant.
    ///
    /// # Errors
    /// When the operating system refuses to read one of them.
    fn read(&mut self) -> Result<Reading, ClockError>;

    /// Makes the system clock run at `rate` against the raw timeline, from now on.
    ///
    /// Returns the rate that was really set, which differs by the clock's quantum and its range.
    ///
    /// # Errors
    /// When the operating system refuses, or the rate is not a finite number.
    fn set_rate(&mut self, rate: Rate) -> Result<Rate, ClockError>;

    /// The two rates nearest to `wanted` that [`Self::set_rate`] can set; it sets each of them exactly. `None` where
    /// they lie so close together that it does not matter.
    fn rates_around(&self, _wanted: Rate) -> Option<Neighbours> {
        None
    }

    /// Moves the system clock by `by` at once (positive: forward).
    ///
    /// Returns what was really moved, read back from the clocks.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn step(&mut self, by: Span) -> Result<Span, ClockError>;

    /// Tells the kernel how good the clock is.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn set_status(&mut self, status: KernelStatus) -> Result<(), ClockError>;

    /// Something about the clock that an administrator should read, once.
    fn take_notice(&mut self) -> Option<String> {
        None
    }

    /// The rate at which the system clock runs as found at start, by the kernel's own word.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    fn rate(&mut self) -> Result<Rate, ClockError>;

    /// How long this computer has slept since it was started, to a few ms: it grows by the length of every
    /// suspend. `None` where the system does not tell.
    fn slept(&mut self) -> Option<Span> {
        None
    }

    /// Which run of the operating system this is, and so which run of the raw timeline. `None` where the system
    /// does not tell.
    fn boot_id(&mut self) -> Option<String> {
        None
    }

    /// The name of the counter that the raw timeline is made of. When it is replaced the timeline goes on, but its rate
    /// differs by parts per million. `None` where the system does not tell.
    fn counter(&mut self) -> Option<String> {
        None
    }

    /// Local time minus UTC at this moment, daylight saving included; nothing where the system does not tell.
    fn local_offset(&self, _at: Timestamp<Utc>) -> Span {
        Span::ZERO
    }
}

/// What a program needs to steer the clock, in the words of the operating system.
const NEEDED: &str =
    if cfg!(windows) { "the privilege SeSystemtimePrivilege" } else { "the capability CAP_SYS_TIME" };

/// Why the clock did not do what it was told.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClockError {
    /// The capability to set the clock is missing.
    #[error("no permission to {action}: {NEEDED} is missing")]
    NotPermitted {
        /// What was refused.
        action: &'static str,
    },
    /// A rate that no clock can have.
    #[error("rate {ppm} ppm is out of range: {min_ppm} to {max_ppm} ppm")]
    RateOutOfRange {
        /// The rate asked for.
        ppm: f64,
        /// The slowest rate the clock takes.
        min_ppm: f64,
        /// The fastest rate the clock takes.
        max_ppm: f64,
    },
    /// It was tried, and does something else.
    #[error("the system clock does not do as it is told, and is not steered: {seen}")]
    Disobeys {
        /// What it does.
        seen: trial::Fault,
    },
    /// Another refusal of the operating system.
    #[error("cannot {action}: {reason}")]
    Os {
        /// What was refused.
        action: &'static str,
        /// The operating system's words.
        reason: String,
    },
}
