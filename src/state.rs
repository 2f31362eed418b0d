//! What outlives the program: the state file.
//!
//! On one run of the operating system the raw timeline goes on while the program is down, and so do the leader
//! and the system clock. Three lines are therefore enough to continue as if nothing had been: the leader against
//! the raw timeline, the target against the leader, UTC against the raw timeline. After a boot the raw timeline
//! is another one; what stays are the target and, nearly, the rate.
//!
//! Values in, values out; [`mod@file`] reads and writes.

pub mod file;

use serde::{Deserialize, Serialize};

use crate::estimator::filter::{Noise, Wander};
use crate::estimator::leader::{KnownRate, Prior};
use crate::time::{Leader, LeaderId, Line, Rate, Raw, Span, System, Timestamp, Utc};

/// The format written; a file of another version is not read.
pub const VERSION: u32 = 1;

/// Rates beyond this are no crystal's (ppb).
const RATE_MAX: f64 = 1e6;
/// Uncertainties and noise beyond this are worth nothing (ns; ppb).
const SIGMA_MAX: f64 = 1e12;
/// Nothing is known better than this (ns; ppb), and what is not uncertain at all cannot be mended.
const SIGMA_MIN: f64 = 1e-3;
/// More leaders than are ever kept.
const RATES_MAX: usize = 32;

/// Everything that the next run of the program can use; units are in the names, as in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedState {
    /// Which run of the operating system it was.
    pub boot_id: Option<String>,
    /// The raw timeline when this was saved: the moment that everything below refers to.
    pub raw_ns: i64,
    /// The system clock at that moment.
    pub system_ns: i64,
    /// How long the computer had slept by then.
    pub slept_ns: Option<i64>,
    /// The leader that was followed.
    pub leader: LeaderId,
    /// Its time at that moment.
    pub leader_ns: i64,
    /// Standard deviation of it.
    pub leader_sigma_ns: f64,
    /// The leader's rate against the raw timeline.
    pub rate_ppb: f64,
    /// Its standard deviation.
    pub rate_sigma_ppb: f64,
    /// Random walk of the rate, in ppb per √s.
    pub wander_ppb: f64,
    /// Random walk of its drift, in ppb/s per √s.
    pub drift_wander_ppb: f64,
    /// The path's noise.
    pub noise: SavedNoise,
    /// What the system clock shall be.
    pub target: SavedTarget,
    /// Whether NTP had set the date since the boot.
    pub dated: bool,
    /// Whether the clock was on its way back to UTC.
    pub returning: bool,
    /// What was known of UTC.
    pub utc: Option<SavedUtc>,
    /// Rates of other leaders, against the raw timeline.
    pub known_rates: Vec<SavedRate>,
}

/// The learned law of the delay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SavedNoise {
    /// Standard deviation of the symmetric part.
    pub sigma_ns: f64,
    /// Mean of the one-sided part.
    pub lambda_ns: f64,
    /// Share of samples that follow neither.
    pub outliers: f64,
}

/// The system clock as a function of the leader's time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SavedTarget {
    /// What the system clock shall be …
    pub system_ns: i64,
    /// … when the leader's time is this.
    pub leader_ns: i64,
    /// The slew towards UTC that was under way.
    pub slew_ppb: f64,
}

/// UTC as it was estimated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SavedUtc {
    /// UTC at the moment of saving.
    pub utc_ns: i64,
    /// Standard deviation of it.
    pub sigma_ns: f64,
    /// UTC's rate against the leader.
    pub rate_ppb: f64,
    /// Standard deviation of it.
    pub rate_sigma_ppb: f64,
}

/// A leader's rate when it was last followed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SavedRate {
    /// The leader.
    pub leader: LeaderId,
    /// Its rate against the raw timeline.
    pub rate_ppb: f64,
    /// Standard deviation of it.
    pub sigma_ppb: f64,
    /// When that was, on the raw timeline.
    pub raw_ns: i64,
}

/// The file: its version comes first, and is looked at before the rest.
#[derive(Serialize)]
struct Versioned<'a> {
    version: u32,
    #[serde(flatten)]
    state: &'a SavedState,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Why a state is not used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StateError {
    /// Not JSON, cut off, or a field is missing or wrong; the text says where.
    #[error("it cannot be read: {0}")]
    Syntax(String),
    /// Written by another release.
    #[error("it has version {found}, this program reads version {VERSION}")]
    Version {
        /// The file's version.
        found: u32,
    },
    /// A value that no running program wrote.
    #[error("{key} = {value} is out of range: {low} to {high}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// Its value.
        value: f64,
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
    },
}

impl SavedState {
    /// The file's content.
    pub fn to_json(&self) -> String {
        let versioned = Versioned { version: VERSION, state: self };
        let mut text = serde_json::to_string_pretty(&versioned).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// When it was not written by this version of the program, or is damaged.
    pub fn from_json(text: &str) -> Result<Self, StateError> {
        let syntax = |error: serde_json::Error| StateError::Syntax(error.to_string());
        let Version { version } = serde_json::from_str(text).map_err(syntax)?;
        if version != VERSION {
            return Err(StateError::Version { found: version });
        }
        let state: Self = serde_json::from_str(text).map_err(syntax)?;
        state.check()?;
        Ok(state)
    }

    fn check(&self) -> Result<(), StateError> {
        within("leader_sigma_ns", self.leader_sigma_ns, SIGMA_MIN, SIGMA_MAX)?;
        within("rate_ppb", self.rate_ppb, -RATE_MAX, RATE_MAX)?;
        within("rate_sigma_ppb", self.rate_sigma_ppb, SIGMA_MIN, RATE_MAX)?;
        within("wander_ppb", self.wander_ppb, SIGMA_MIN, RATE_MAX)?;
        within("drift_wander_ppb", self.drift_wander_ppb, 0.0, RATE_MAX)?;
        within("noise.sigma_ns", self.noise.sigma_ns, 1.0, SIGMA_MAX)?;
        within("noise.lambda_ns", self.noise.lambda_ns, 1.0, SIGMA_MAX)?;
        within("noise.outliers", self.noise.outliers, 0.0, 1.0)?;
        within("target.slew_ppb", self.target.slew_ppb, -RATE_MAX, RATE_MAX)?;
        if let Some(utc) = self.utc {
            within("utc.sigma_ns", utc.sigma_ns, 0.0, f64::MAX)?;
            within("utc.rate_ppb", utc.rate_ppb, -RATE_MAX, RATE_MAX)?;
            within("utc.rate_sigma_ppb", utc.rate_sigma_ppb, 0.0, f64::MAX)?;
        }
        self.known_rates.iter().try_for_each(|known| {
            within("known_rates.rate_ppb", known.rate_ppb, -RATE_MAX, RATE_MAX)?;
            within("known_rates.sigma_ppb", known.sigma_ppb, 0.0, RATE_MAX)
        })
    }

    /// Whether the raw timeline of that time still runs at `raw`, on the boot with this id.
    pub fn is_of_boot(&self, boot_id: Option<&str>, raw: Timestamp<Raw>) -> bool {
        boot_id.is_some() && self.boot_id.as_deref() == boot_id && raw.as_ns() >= self.raw_ns
    }

    /// Whether a leader that says `sent` when the system clock reads `system` still counts the same time: both
    /// have gone on by as much, give or take `tolerance`.
    pub fn fits(
        &self,
        leader: LeaderId,
        sent: Timestamp<Leader>,
        system: Timestamp<System>,
        tolerance: Span,
    ) -> bool {
        let by_leader = sent - Timestamp::from_ns(self.leader_ns);
        let by_system = system - Timestamp::from_ns(self.system_ns);
        leader == self.leader
            && by_leader > Span::ZERO
            && (by_leader - by_system).abs() <= tolerance + CLOCK_DRIFT.gain_over(by_leader)
    }

    /// The leader's line.
    pub fn prior(&self) -> Prior {
        let line = Line {
            sigma: Span::from_ns_f64(self.leader_sigma_ns),
            rate_sigma: ppb(self.rate_sigma_ppb),
            ..Line::exact(
                Timestamp::from_ns(self.leader_ns),
                Timestamp::from_ns(self.raw_ns),
                ppb(self.rate_ppb),
            )
        };
        let SavedNoise { sigma_ns, lambda_ns, outliers } = self.noise;
        Prior {
            leader: self.leader,
            line,
            noise: Noise { sigma: sigma_ns, lambda: lambda_ns, outliers, weight: NOISE_WEIGHT, news: 1.0 },
            wander: Wander { rate: self.wander_ppb, drift: self.drift_wander_ppb },
        }
    }

    /// The target.
    pub fn target(&self) -> Line<System, Leader> {
        let SavedTarget { system_ns, leader_ns, slew_ppb } = self.target;
        Line::exact(Timestamp::from_ns(system_ns), Timestamp::from_ns(leader_ns), ppb(slew_ppb))
    }

    /// The rates of other leaders.
    pub fn rates(&self) -> Vec<KnownRate> {
        let known = self.known_rates.iter().take(RATES_MAX).map(|known| KnownRate {
            leader: known.leader,
            rate: ppb(known.rate_ppb),
            sigma: ppb(known.sigma_ppb),
            at: Timestamp::from_ns(known.raw_ns),
        });
        known.collect()
    }

    /// UTC when the leader's time is `leader`, and its standard deviation, by what was known when this was saved.
    pub fn utc_at(&self, leader: Timestamp<Leader>) -> Option<(Timestamp<Utc>, Span)> {
        let utc = self.utc?;
        let elapsed = leader - Timestamp::from_ns(self.leader_ns);
        let at = Timestamp::from_ns(utc.utc_ns) + elapsed + ppb(utc.rate_ppb).gain_over(elapsed);
        let drifted = ppb(utc.rate_sigma_ppb).gain_over(elapsed).as_ns_f64();
        Some((at, Span::from_ns_f64(utc.sigma_ns.hypot(drifted))))
    }
}

/// Learned noise counts like this many samples: enough to hold, and few enough to learn another one in a minute.
const NOISE_WEIGHT: f64 = 64.0;

/// The clock of a computer that is switched off gains or loses up to this against a leader: 10 s a day.
const CLOCK_DRIFT: Rate = Rate::from_ppm(120.0);

fn ppb(ppb: f64) -> Rate {
    Rate::from_ratio(ppb * 1e-9)
}

/// Refuses a value that is not within its range.
fn within(key: &'static str, value: f64, low: f64, high: f64) -> Result<(), StateError> {
    // Written so that NaN is out of every range.
    if value >= low && value <= high { Ok(()) } else { Err(StateError::OutOfRange { key, value, low, high }) }
}

#[cfg(test)]
pub(crate) mod tests;
