//! What the program knows at one moment: everything that is shown, logged or tested is read from here.

use crate::net::NetworkCounters;
use crate::ptp::DropCounts;
use crate::time::{Leader, System};
use crate::time::{LeaderId, Line, TimescaleId};

/// How good the lock is; see R4 in `docs/ARCHITECTURE.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing has been decided yet.
    Starting,
    /// No leader was ever heard.
    NoLeader,
    /// A leader is heard; its rate is not known well enough yet.
    Acquiring,
    /// Rate and phase are inside their bounds, and the leader is heard.
    Locked,
    /// The leader has fallen silent; the clock runs on with the rate it learned.
    Holdover,
    /// The holdover has lasted so long that the clock may be outside the lock's bounds.
    Lost,
    /// Somebody else keeps steering the clock; steering is suspended.
    Conflict,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Starting => "Starting",
            Self::NoLeader => "NoLeader",
            Self::Acquiring => "Acquiring",
            Self::Locked => "Locked",
            Self::Holdover => "Holdover",
            Self::Lost => "Lost",
            Self::Conflict => "Conflict",
        })
    }
}

/// A time with its 99.9 % bound: the truth lies within `value_ns ± bound_ns`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct BoundedTime {
    /// The estimate.
    pub value_ns: f64,
    /// Its bound.
    pub bound_ns: f64,
}

/// A rate with its 99.9 % bound.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct BoundedRate {
    /// The estimate.
    pub value_ppb: f64,
    /// Its bound.
    pub bound_ppb: f64,
}

/// The leader that is followed.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LeaderView {
    /// Its identity.
    pub id: LeaderId,
    /// Its stratum: 121 and 153 are usual among leading Dante devices.
    pub stratum: u8,
    /// Whether it is configured as Preferred Leader.
    pub preferred: bool,
    /// The interface it is heard on, by number.
    pub interface: u32,
    /// The measured Sync interval.
    pub interval_ns: i64,
    /// Time since its last qualified sample.
    pub age_ns: i64,
}

/// What is known of UTC.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct UtcView {
    /// System clock minus UTC.
    pub offset: BoundedTime,
    /// Half of the smallest round trip to the server: the part of the error that nobody can measure.
    pub path_unknown_ns: i64,
    /// The leader's rate against UTC, once it is known.
    pub leader_rate: Option<BoundedRate>,
    /// Time since the last accepted answer.
    pub age_ns: i64,
}

/// Everything that can be said about the clock at one moment.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Snapshot {
    /// The raw timeline when the snapshot was taken.
    pub raw_ns: i64,
    /// How good the lock is.
    pub state: State,
    /// Why the state is not Locked, in one line; empty when it is.
    pub reason: String,
    /// Time since the state was entered.
    pub state_age_ns: i64,
    /// The leader that is followed.
    pub leader: Option<LeaderView>,
    /// Changes when a leader reboots or an unrelated one takes over.
    pub timescale: TimescaleId,
    /// System clock minus its target. Against the leader as heard here: the unknown path delay is not in it.
    pub offset: Option<BoundedTime>,
    /// Rate of the system clock minus the rate of its target.
    pub rate: Option<BoundedRate>,
    /// Rate of the leader against this computer's raw clock.
    pub leader_rate: Option<BoundedRate>,
    /// Rate that the system clock was told to run at, against the raw clock.
    pub commanded_ppb: f64,
    /// Standard deviation of the Sync arrivals around the leader's line.
    pub jitter_ns: Option<f64>,
    /// What is known of UTC.
    pub utc: Option<UtcView>,
    /// What the system clock shall be, as a function of the leader's time.
    #[serde(skip)]
    pub target: Option<Line<System, Leader>>,
    /// Steps of the system clock that this program made.
    pub steps: u64,
    /// Changes of the system clock that somebody else made.
    pub foreign_changes: u64,
    /// The last change that somebody else made, in words.
    pub last_foreign: Option<String>,
    /// Qualified samples of the leader.
    pub samples: u64,
    /// Samples that did not fit the leader's line.
    pub outliers: u64,
    /// PTP datagrams that were not used, by reason.
    pub drops: DropCounts,
    /// What was counted below the level of datagrams.
    pub network: NetworkCounters,
    /// NTP requests sent.
    pub ntp_requests: u64,
    /// NTP answers that were not used.
    pub ntp_rejected: u64,
}
