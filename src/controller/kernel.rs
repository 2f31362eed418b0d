//! What the kernel is told of the clock: how good it is, and where that is wanted, of a leap second.

use tracing::{info, warn};

use super::PtpController;
use crate::clock::{ClockError, KernelLeap, KernelStatus, SystemClock};
use crate::config::LeapMode;
use crate::net::PtpNetwork;
use crate::ntp::NtpSource;
use crate::ntp::wire::Leap;
use crate::snapshot::State;
use crate::time::Span;

/// What the kernel itself says of a clock that nobody has set: 16 s.
const DATE_UNKNOWN: Span = Span::from_secs(16);

/// The kernel makes a leap second at the end of the UTC day, so it hears of it in that day only.
const LEAP_AHEAD: Span = Span::from_secs(23 * 3_600);

/// A step this close to a second is the kernel's leap second: it is exact but for the noise of two readings.
const LEAP_EXACT: Span = Span::from_ms(1);

impl<N: PtpNetwork, C: SystemClock, S: NtpSource> PtpController<N, C, S> {
    pub(super) fn tell_kernel(&mut self) {
        let utc = self.utc.at(self.now);
        let system = self.timeline.system_at(self.now);
        self.kernel_leap = self.leap_for_kernel();
        let leap = self.kernel_leap;
        let status = match (utc, system) {
            (Some(utc), Some(system)) if self.discipline.is_dated() => {
                let error = Span::from_ns(system.as_ns().saturating_sub(utc.utc.as_ns())).abs();
                KernelStatus {
                    synchronised: self.discipline.state().0 == State::Locked,
                    max_error: error + utc.max_error(),
                    est_error: error + utc.sigma,
                    leap,
                }
            }
            // Without a date nobody may take this clock for a synchronised one.
            _ => KernelStatus { synchronised: false, max_error: DATE_UNKNOWN, est_error: DATE_UNKNOWN, leap },
        };
        let told: Result<(), ClockError> = self.clock.set_status(status);
        self.health.status(told.err());
        if let Some(notice) = self.clock.take_notice() {
            warn!("{notice}");
        }
    }

    /// Whether a step that nobody here made is the leap second that the kernel was told of.
    pub(super) fn is_kernels_leap(&mut self, by: Span) -> bool {
        let second = match self.kernel_leap {
            KernelLeap::None => return false,
            KernelLeap::Insert => Span::from_secs(-1),
            KernelLeap::Delete => Span::from_secs(1),
        };
        let is_it = (by - second).abs() < LEAP_EXACT;
        if is_it {
            info!("leap second: the kernel stepped the clock by {second}");
            self.kernel_leap = KernelLeap::None;
            // The kernel must hear no more of it before the next day ends.
            self.status_at = self.now;
        }
        is_it
    }

    fn leap_for_kernel(&self) -> KernelLeap {
        let (LeapMode::Kernel, true) = (self.config.leap, self.discipline.is_dated()) else {
            return KernelLeap::None;
        };
        let (Some(utc), Some((leap, instant))) = (self.utc.at(self.now), self.utc.pending_leap()) else {
            return KernelLeap::None;
        };
        match leap {
            Leap::Insert if instant - utc.utc < LEAP_AHEAD => KernelLeap::Insert,
            Leap::Delete if instant - utc.utc < LEAP_AHEAD => KernelLeap::Delete,
            _ => KernelLeap::None,
        }
    }
}
