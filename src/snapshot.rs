//! What the program knows at one moment: everything that is shown, logged or tested is read from here.

pub mod obstacle;

use std::net::Ipv4Addr;

use crate::estimator::utc::Role;
use crate::events::Event;
use crate::net::{Interface, NetworkCounters, StampSource};
use crate::ntp::client::RejectedCounts;
use crate::ptp::DropCounts;
use crate::time::{Leader, LeaderId, Line, Raw, System, TimescaleId, Timestamp};

/// How good the lock is; see R4 in `docs/ARCHITECTURE.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
    /// A newer program said a word that this one does not know.
    #[serde(other)]
    Unknown,
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
            Self::Unknown => "Unknown",
        })
    }
}

/// A time with its 99.9 % bound: the truth lies within `value_ns ± bound_ns`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BoundedTime {
    /// The estimate.
    #[serde(deserialize_with = "number")]
    pub value_ns: f64,
    /// Its bound.
    #[serde(deserialize_with = "number")]
    pub bound_ns: f64,
}

/// A rate with its 99.9 % bound.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BoundedRate {
    /// The estimate.
    #[serde(deserialize_with = "number")]
    pub value_ppb: f64,
    /// Its bound.
    #[serde(deserialize_with = "number")]
    pub bound_ppb: f64,
}

/// How wide the bounds may be in a lock; wider than usual where the jitter alone is wider.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LimitsView {
    /// Of the offset: 100 µs, or half the jitter.
    #[serde(deserialize_with = "number")]
    pub offset_ns: f64,
    /// Of the rate: 1 ppm, or half the jitter in 100 s.
    #[serde(deserialize_with = "number")]
    pub rate_ppb: f64,
}

/// The leader that is followed.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LeaderView {
    /// Its identity.
    pub id: LeaderId,
    /// Its stratum: 121 and 153 are usual among leading Dante devices.
    pub stratum: u8,
    /// Whether it is configured as Preferred Leader.
    pub preferred: bool,
    /// The interface it is heard on.
    pub interface: String,
    /// The measured Sync interval.
    pub interval_ns: i64,
    /// Time since its last qualified sample.
    pub age_ns: i64,
}

/// A leader beside the others, followed or not.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LeaderRow {
    /// Its identity.
    pub id: LeaderId,
    /// The IPv4 address it sends from.
    pub address: Ipv4Addr,
    /// The interface it is heard on.
    pub interface: String,
    /// What it counts for.
    pub standing: Standing,
    /// How long it must still go on winning before it is followed; only on probation.
    pub probation_left_ns: Option<i64>,
    /// Its stratum.
    pub stratum: u8,
    /// Whether it is configured as Preferred Leader.
    pub preferred: bool,
    /// Whether its pairs of Sync and Follow_Up come regularly.
    pub qualified: bool,
    /// Its Sync interval: announced at first, then measured.
    pub interval_ns: i64,
    /// Time since its first Sync.
    #[serde(default)]
    pub first_heard_age_ns: i64,
    /// Time since its last Sync.
    pub heard_age_ns: i64,
    /// Time since its last complete pair; absent before the first one.
    pub pair_age_ns: Option<i64>,
    /// Syncs heard.
    pub syncs: u64,
    /// Syncs with their Follow_Up.
    pub pairs: u64,
}

/// What a leader counts for, and if it is not followed, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is followed.
    Followed,
    /// It is the one that was followed, and no pair of Sync and Follow_Up comes of it any more.
    Silent,
    /// It is better than the one that is followed, and must go on being so for ten seconds.
    Probation,
    /// Its Syncs come without Follow_Ups, or too rarely.
    Unqualified,
    /// Another one on the same interface won the election.
    Outranked,
    /// It is heard on an interface that is not followed.
    OtherInterface,
    /// A newer program said a word that this one does not know.
    #[serde(other)]
    Unknown,
}

/// What is known of UTC.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct UtcView {
    /// System clock minus UTC. The bound is what exchanges tell: it holds if the way to the servers is as long as
    /// the way back, and if they are right.
    pub offset: BoundedTime,
    /// Half of the smallest round trip to the best server: the part of the error that nobody can measure.
    pub path_unknown_ns: i64,
    /// What that server says it can be off itself: half of its root delay plus its root dispersion.
    pub root_distance_ns: i64,
    /// All three together: so far can the clock's error against UTC be from `offset`.
    pub max_error_ns: i64,
    /// The leader's rate against UTC, once it is known.
    pub leader_rate: Option<BoundedRate>,
    /// What is done about the error, once the clock has locked.
    pub slew: Option<SlewView>,
    /// Time since the last accepted answer.
    pub age_ns: i64,
}

/// An NTP server beside the others.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NtpServerView {
    /// As it was configured.
    pub name: String,
    /// What it counts for; absent where a newer program said a word that this one does not know.
    #[serde(deserialize_with = "known", default)]
    pub role: Option<Role>,
    /// Its time minus UTC as it is believed.
    pub offset_ns: Option<i64>,
    /// The standard deviation of its time.
    pub sigma_ns: Option<i64>,
    /// The smallest round trip lately.
    pub delay_ns: i64,
    /// What it says that it can be off itself.
    pub root_distance_ns: i64,
    /// Time since its last answer.
    pub age_ns: Option<i64>,
    /// Why its last answer was not used, or why there is none: to be read behind its name.
    pub refusal: Option<String>,
}

/// What is done about the error against UTC. Times that cannot be foretold are absent.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SlewView {
    /// What is done now; absent where a newer program said a word that this one does not know.
    #[serde(deserialize_with = "known", default)]
    pub activity: Option<Activity>,
    /// The rate of the target against the leader.
    #[serde(deserialize_with = "number")]
    pub rate_ppb: f64,
    /// How far the clock may leave UTC; absent where that is not limited.
    pub limit_ns: Option<i64>,
    /// Until the limit is reached, as the leader goes now.
    pub limit_in_ns: Option<i64>,
    /// Until the next slew begins.
    pub slew_in_ns: Option<i64>,
    /// How long the slew that is on, or else the next one, takes.
    pub slew_for_ns: Option<i64>,
}

/// What is done about the error against UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Nothing: the clock has the leader's exact rate.
    Leader,
    /// UTC is followed always.
    Following,
    /// The limit was passed, or a first fix came late: the clock is slewed back to UTC.
    Returning,
    /// It should be slewed back, and waits for the time of day at which that is allowed.
    Waiting,
    /// The leader runs away from UTC faster than the slew may be: the error is held where it is, or its growth
    /// slowed down.
    Holding,
    /// The error is beyond the panic threshold: it is not believed, and nothing is done.
    Refused,
}

/// Everything that can be said about the clock at one moment.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// The raw timeline when the snapshot was taken.
    pub raw_ns: i64,
    /// The system clock at that moment, in ns since 1970; absent as long as it could not be read.
    pub system_ns: Option<i64>,
    /// How long the program had run by then.
    pub uptime_ns: i64,
    /// How good the lock is.
    pub state: State,
    /// Why the state is not Locked, in one line; empty when it is.
    pub reason: String,
    /// What is wrong with the clock or the network now, in one line, whatever the state.
    pub fault: Option<String>,
    /// Time since the state was entered.
    pub state_age_ns: i64,
    /// How long the lock has lasted; absent without one.
    pub locked_for_ns: Option<i64>,
    /// How often a lock was entered since the program started.
    pub locks: u64,
    /// The leader that is followed.
    pub leader: Option<LeaderView>,
    /// All leaders that are known, the best first.
    pub leaders: Vec<LeaderRow>,
    /// Only PTPv2 was heard in the last minute.
    pub only_ptp_v2: bool,
    /// The PTP subdomain whose leaders are followed.
    #[serde(default)]
    pub subdomain: String,
    /// The last other PTP subdomain that was heard.
    pub other_subdomain: Option<String>,
    /// Time since it was heard.
    pub other_subdomain_age_ns: Option<i64>,
    /// Time since the last Follow_Up of our subdomain, of whichever leader.
    pub follow_up_age_ns: Option<i64>,
    /// Time since the last datagram on the ports of PTP, whatever was in it.
    pub received_age_ns: Option<i64>,
    /// Time since the last Sync that arrived without a stamp.
    pub no_stamp_age_ns: Option<i64>,
    /// Time since the last Sync of a leader that says that it must not lead.
    pub never_leads_age_ns: Option<i64>,
    /// Changes when a leader reboots or an unrelated one takes over.
    pub timescale: TimescaleId,
    /// System clock minus its target. Against the leader as heard here: the unknown path delay is not in it.
    pub offset: Option<BoundedTime>,
    /// Rate of the system clock minus the rate of its target.
    pub rate: Option<BoundedRate>,
    /// Rate of the leader against this computer's raw clock.
    pub leader_rate: Option<BoundedRate>,
    /// Rate that the system clock was told to run at, against the raw clock.
    #[serde(deserialize_with = "number")]
    pub commanded_ppb: f64,
    /// Standard deviation of the Sync arrivals around the leader's line.
    pub jitter_ns: Option<f64>,
    /// Who took the stamp of the last sample.
    #[serde(deserialize_with = "known", default)]
    pub stamp_source: Option<StampSource>,
    /// The bounds at which a lock ends.
    pub lock_limits: Option<LimitsView>,
    /// The interfaces that are listened on.
    pub interfaces: Vec<Interface>,
    /// How far the clock may leave UTC (utc-limit); absent where that is not limited.
    pub utc_limit_ns: Option<i64>,
    /// What is known of UTC.
    pub utc: Option<UtcView>,
    /// The NTP servers, in the order in which they were configured.
    pub ntp_servers: Vec<NtpServerView>,
    /// What the system clock shall be, as a function of the leader's time.
    #[serde(skip)]
    pub target: Option<Line<System, Leader>>,
    /// Steps of the system clock that this program made.
    pub steps: u64,
    /// Changes of the system clock that somebody else made.
    pub foreign_changes: u64,
    /// The last change that somebody else made, in words.
    pub last_foreign: Option<String>,
    /// Programs known to steer clocks that were running when that was seen.
    pub rivals: Vec<String>,
    /// Qualified samples of the leader.
    pub samples: u64,
    /// Samples that did not fit the leader's line.
    pub outliers: u64,
    /// PTP datagrams that were not used, by reason; in JSON every reason is there, also those that never occurred.
    pub drops: DropCounts,
    /// What was counted below the level of datagrams.
    pub network: NetworkCounters,
    /// NTP requests sent.
    pub ntp_requests: u64,
    /// NTP answers that were not used.
    pub ntp_rejected: u64,
    /// The same, by reason.
    pub ntp_drops: RejectedCounts,
    /// The last events since the program started, the newest last.
    pub events: Vec<Event>,
}

impl Snapshot {
    /// Before the loop runs: nothing is known but the time, why nothing is done yet, and since when.
    pub fn before_start(raw: Timestamp<Raw>, since: Timestamp<Raw>, reason: &str) -> Self {
        Self {
            raw_ns: raw.as_ns(),
            system_ns: None,
            uptime_ns: (raw - since).as_ns(),
            state: State::Starting,
            reason: reason.to_owned(),
            fault: None,
            state_age_ns: (raw - since).as_ns(),
            locked_for_ns: None,
            locks: 0,
            leader: None,
            leaders: Vec::new(),
            only_ptp_v2: false,
            subdomain: String::new(),
            other_subdomain: None,
            other_subdomain_age_ns: None,
            follow_up_age_ns: None,
            received_age_ns: None,
            no_stamp_age_ns: None,
            never_leads_age_ns: None,
            timescale: TimescaleId::default(),
            offset: None,
            rate: None,
            leader_rate: None,
            commanded_ppb: 0.0,
            jitter_ns: None,
            stamp_source: None,
            lock_limits: None,
            interfaces: Vec::new(),
            utc_limit_ns: None,
            utc: None,
            ntp_servers: Vec::new(),
            target: None,
            steps: 0,
            foreign_changes: 0,
            last_foreign: None,
            rivals: Vec::new(),
            samples: 0,
            outliers: 0,
            drops: DropCounts::default(),
            network: NetworkCounters::default(),
            ntp_requests: 0,
            ntp_rejected: 0,
            ntp_drops: RejectedCounts::default(),
            events: Vec::new(),
        }
    }
}

/// A subdomain's name as a message has it, without the NULs behind it.
pub(crate) fn subdomain_name(name: &[u8; 16]) -> String {
    name.split(|octet| *octet == 0).next().unwrap_or_default().escape_ascii().to_string()
}

/// A word that this release does not know is none.
fn known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let word: Option<serde_json::Value> = serde::Deserialize::deserialize(deserializer)?;
    Ok(word.and_then(|word| serde_json::from_value(word).ok()))
}

/// A word that this release does not know is the usual one.
pub(crate) fn known_or_usual<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned + Default,
{
    known(deserializer).map(Option::unwrap_or_default)
}

/// JSON has no infinity: what is written as one reads as null, and here as no number.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number: Option<f64> = serde::Deserialize::deserialize(deserializer)?;
    Ok(number.unwrap_or(f64::NAN))
}

impl Snapshot {
    /// State and offset in one line, or why it is not locked.
    pub fn summary(&self) -> String {
        match (&self.offset, self.reason.as_str()) {
            (Some(offset), "") => {
                let (value, bound) = (offset.value_ns / 1e3, offset.bound_ns / 1e3);
                format!("{}: offset {value:+.1} ± {bound:.1} µs", self.state)
            }
            (None, "") => self.state.to_string(),
            (_, reason) => format!("{}: {reason}", self.state),
        }
    }
}
