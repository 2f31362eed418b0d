//! The figures behind the findings.

use serde::Serialize;

use super::clock;
use super::traffic::{Heard, Judged, Link};
use crate::net::{StampSource, Way};
use crate::snapshot::BoundedRate;
use crate::time::{LeaderId, Span, System, Timestamp};

/// The figures behind the findings; nothing where it was not measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Measured {
    /// How long was listened.
    pub listened_ns: i64,
    /// The leader that the service would follow.
    pub leader: Option<LeaderId>,
    /// The interface on which it is heard.
    pub leader_interface: Option<String>,
    /// By which way it was listened.
    pub heard_by: Option<Way>,
    /// Who stamped its Syncs.
    pub stamped_by: Option<StampSource>,
    /// Its Syncs.
    pub syncs: u64,
    /// Its Syncs that should have come, by their numbers.
    pub syncs_expected: u64,
    /// Between two of them.
    pub sync_interval_ns: Option<i64>,
    /// Leader against this computer's raw clock; positive: the leader gains.
    pub leader_rate_ppb: Option<f64>,
    /// Bound (99.9 %) of that.
    pub leader_rate_bound_ppb: Option<f64>,
    /// Standard deviation of the arrivals.
    pub jitter_ns: Option<f64>,
    /// UTC against this computer's raw clock.
    pub utc_rate_ppb: Option<f64>,
    /// All that the answers leave open of it.
    pub utc_rate_bound_ppb: Option<f64>,
    /// System clock against raw clock, by the word of the operating system.
    pub clock_rate_ppb: Option<f64>,
    /// What the clock does of what it is told; negative: the other way round. Where it was tried.
    pub clock_gain: Option<f64>,
    /// Standard deviation of the gain.
    pub clock_gain_sigma: Option<f64>,
    /// System clock against raw clock when it is told to run as it is.
    pub clock_base_ppb: Option<f64>,
    /// Noise of a reading of the clock.
    pub clock_noise_ns: Option<f64>,
    /// The time servers that answered.
    pub ntp_servers: Vec<MeasuredServer>,
}

/// A time server's best answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredServer {
    /// As it was configured.
    pub name: String,
    /// This clock minus its time.
    pub offset_ns: i64,
    /// What its answer leaves open.
    pub bound_ns: i64,
    /// Its stratum.
    pub stratum: u8,
}

/// The link on which the service would follow a leader: among those that it listens on, the one with most Syncs.
pub fn best_link<'a>(heard: &'a Heard, named: Option<&str>) -> Option<&'a Link> {
    let wanted = heard.links.iter().filter(|link| named.is_none_or(|name| name == link.interface.name));
    wanted.filter(|link| !link.tallies.is_empty()).max_by_key(|link| link.syncs())
}

pub fn clock_now(clock: &clock::Facts) -> Timestamp<System> {
    clock.looks.last().map_or(Timestamp::EPOCH, |look| look.reading.system)
}

pub fn measured(
    heard: &Heard,
    link: Option<&Link>,
    judged: Option<&Judged>,
    utc: Option<BoundedRate>,
    clock: &clock::Facts,
) -> Measured {
    let tally = link.and_then(|link| {
        let wanted = |id| judged.is_none_or(|judged| judged.id == id);
        link.tallies.iter().find(|tally| wanted(tally.id))
    });
    let rate = judged.and_then(|judged| judged.rate);
    Measured {
        listened_ns: (heard.ended - heard.began).as_ns(),
        leader: tally.map(|tally| tally.id),
        leader_interface: link.map(|link| link.interface.name.clone()),
        heard_by: Some(heard.way).filter(|_| !heard.links.is_empty()),
        stamped_by: link.and_then(|link| link.stamped_by),
        syncs: tally.map_or(0, |tally| tally.syncs),
        syncs_expected: tally.map_or(0, |tally| tally.expected),
        sync_interval_ns: tally.and_then(|tally| tally.interval()).map(Span::as_ns),
        leader_rate_ppb: rate.map(|rate| rate.value_ppb),
        leader_rate_bound_ppb: rate.map(|rate| rate.bound_ppb),
        jitter_ns: judged.and_then(|judged| judged.jitter).map(|jitter| jitter.sd_ns),
        utc_rate_ppb: utc.map(|rate| rate.value_ppb),
        utc_rate_bound_ppb: utc.map(|rate| rate.bound_ppb),
        clock_rate_ppb: clock.looks.last().map(|look| look.rate.ppb()),
        ntp_servers: heard
            .servers
            .iter()
            .filter_map(|server| {
                let opinion = server.opinion()?;
                Some(MeasuredServer {
                    name: server.name.clone(),
                    offset_ns: (-opinion.offset).as_ns(),
                    bound_ns: opinion.bound.as_ns(),
                    stratum: opinion.stratum,
                })
            })
            .collect(),
        ..Measured::default()
    }
}

/// How many packets have come in by each interface between two counts.
pub fn arrived_since(before: &[(String, u64)], now: Vec<(String, u64)>) -> Vec<(String, u64)> {
    let earlier = |name: &str| before.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count);
    now.into_iter()
        .map(|(name, count)| {
            let by = count.saturating_sub(earlier(&name));
            (name, by)
        })
        .collect()
}
