//! The clock that is steered: what a backend must do, and the [`Timeline`] that ties it to the raw timeline.

#[cfg(unix)]
pub mod linux;
pub mod rate;
mod timeline;
pub mod virtual_clock;

pub use timeline::{Foreign, StampFault, Timeline};

use crate::time::{Rate, Raw, Span, System, Timestamp};

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

    /// The rate at which the system clock runs as found at start, by the kernel's own word.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    fn rate(&mut self) -> Result<Rate, ClockError>;
}

/// Why the clock did not do what it was told.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClockError {
    /// The capability to set the clock is missing.
    #[error("no permission to {action}: the capability CAP_SYS_TIME is missing")]
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
    /// Another refusal of the operating system.
    #[error("cannot {action}: {reason}")]
    Os {
        /// What was refused.
        action: &'static str,
        /// The operating system's words.
        reason: String,
    },
}
