//! The line that was believed before a change.
//!
//! What looked like a change may have been a burst of late packets, and a path may become as short again as it was.
//! Then the old line is right again at once, with all that was known of its rate. So it is kept beside the new one
//! for some minutes, as it was, and comes back when it explains the samples better.

use super::bank::Bank;
use super::earliest::Earliest;

/// For so long (s) the old line may come back. By then an ordinary crystal has wandered by 9 µs.
const LIFE: f64 = 300.0;

/// Log odds at which it does. It is one line, known before, and not one of many that the next samples could choose
/// from, so they are lower than those of a change.
const ODDS: f64 = 8.0;

/// What a single sample can gain at most.
const GAIN: f64 = 3.0;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Former {
    pub(super) bank: Bank,
    pub(super) earliest: Earliest,
    /// Which of the two was told.
    pub(super) earliest_is_told: bool,
    /// Log likelihood gained over the new line, since it was last behind.
    lead: f64,
    until: f64,
}

impl Former {
    pub(super) fn new(bank: Bank, earliest: Earliest, earliest_is_told: bool, time: f64) -> Self {
        Self { bank, earliest, earliest_is_told, lead: 0.0, until: time + LIFE }
    }

    /// Takes a sample that the new line gave this log likelihood to. Whether the old line is right again.
    pub(super) fn returns(&mut self, time: f64, phase: f64, new: f64) -> bool {
        let posterior = self.bank.believed().judged(time, phase);
        // A sample that fits neither line speaks for neither.
        let most = if posterior.fits > 0.5 { GAIN } else { 0.0 };
        self.lead = (self.lead + (posterior.log_likelihood - new).min(most)).max(0.0);
        self.lead > ODDS
    }

    pub(super) fn is_over(&self, time: f64) -> bool {
        time > self.until
    }
}
