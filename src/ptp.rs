//! PTPv1: from datagrams to qualified samples of the elected leader.

pub mod election;
pub mod follower;
mod pairing;
pub mod wire;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::clock::StampFault;
use crate::net::Stamp;
use crate::time::{Leader, LeaderId, Timestamp};

/// The multicast groups of PTP: the first one of `_DFLT`, and of version 2; the others of all other subdomains.
pub const GROUPS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(224, 0, 1, 129),
    Ipv4Addr::new(224, 0, 1, 130),
    Ipv4Addr::new(224, 0, 1, 131),
    Ipv4Addr::new(224, 0, 1, 132),
];

/// The multicast group of a subdomain: 224.0.1.129 for `_DFLT`; any other name falls, by its CRC-32 over all 16
/// octets, on one of the three next ones (IEEE 1588-2002, annex C).
pub fn group(subdomain: &[u8; 16]) -> Ipv4Addr {
    if *subdomain == crate::config::DEFAULT_SUBDOMAIN {
        return Ipv4Addr::new(224, 0, 1, 129);
    }
    let crc = subdomain.iter().fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    let last = [130, 131, 132].into_iter().cycle().nth(usize::try_from(!crc % 3).unwrap_or_default());
    Ipv4Addr::new(224, 0, 1, last.unwrap_or(130))
}

/// Whether the devices of a subdomain are pulled up or down (Audinate's `_ALT1` to `_ALT4`): their time runs up to 4 %
/// fast or slow, and nobody may follow it.
pub fn is_pulled(subdomain: &str) -> bool {
    subdomain.starts_with("_ALT")
}

/// One qualified observation of the elected leader: a Sync and, where announced, the Follow_Up that paired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SyncSample {
    /// Who sent it.
    pub leader: LeaderId,
    /// Its sequence id.
    pub sequence: u16,
    /// When it left the leader.
    pub sent: Timestamp<Leader>,
    /// When it arrived here.
    pub received: Stamp,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// It completed a sample of the elected leader.
    Sample(SyncSample),
    /// It was used, and more is needed.
    Pending,
    /// It was not used.
    Dropped(DropReason),
}

/// Why a datagram was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// Shorter than its message needs.
    Short,
    /// PTP version 2: an AES67 or ST 2110 device.
    VersionTwo,
    /// Neither PTP version 1 nor 2.
    UnknownVersion,
    /// versionNetwork is not 1.
    NetworkVersion,
    /// Another subdomain.
    Subdomain,
    /// A control byte that does not exist, or that contradicts the message type.
    Control,
    /// An event message on the general port, or the other way round.
    WrongPort,
    /// Nanoseconds above 999 999 999.
    BadTime,
    /// A time before the epoch.
    NegativeTime,
    /// epochNumber is not 0.
    Epoch,
    /// A Delay_Req: another follower asking.
    DelayRequest,
    /// A Delay_Resp: another follower's answer.
    DelayResponse,
    /// A Management message.
    Management,
    /// A sequence id that was seen already, or an older one.
    Duplicate,
    /// A Follow_Up without a Sync.
    NoSync,
    /// A Sync whose Follow_Up never came.
    NoFollowUp,
    /// A Sync that arrived without a stamp.
    NoStamp,
    /// A Sync whose stamp lies around a foreign step of the clock.
    StampStraddlesStep,
    /// A Sync whose stamp is too old or from the future.
    StampOutOfHistory,
    /// A leader that says of itself that it must not lead (stratum 255).
    NeverLeads,
    /// From a leader that is not followed.
    NotElected,
    /// From an interface that is not followed.
    OtherInterface,
    /// More leaders than the table holds.
    TableFull,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Short,
        Self::VersionTwo,
        Self::UnknownVersion,
        Self::NetworkVersion,
        Self::Subdomain,
        Self::Control,
        Self::WrongPort,
        Self::BadTime,
        Self::NegativeTime,
        Self::Epoch,
        Self::DelayRequest,
        Self::DelayResponse,
        Self::Management,
        Self::Duplicate,
        Self::NoSync,
        Self::NoFollowUp,
        Self::NoStamp,
        Self::StampStraddlesStep,
        Self::StampOutOfHistory,
        Self::NeverLeads,
        Self::NotElected,
        Self::OtherInterface,
        Self::TableFull,
    ];
}

impl From<StampFault> for DropReason {
    fn from(fault: StampFault) -> Self {
        match fault {
            StampFault::Missing => Self::NoStamp,
            StampFault::StraddlesStep => Self::StampStraddlesStep,
            StampFault::OutOfHistory => Self::StampOutOfHistory,
        }
    }
}

/// How many datagrams were not used, by reason. In JSON it has every reason, also those that never occurred;
/// reasons that are unknown here, of another release, are left out when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(from = "BTreeMap<String, u64>", into = "BTreeMap<DropReason, u64>")]
pub struct DropCounts(BTreeMap<DropReason, u64>);

impl DropCounts {
    /// Counts one more.
    pub fn add(&mut self, reason: DropReason) {
        let count = self.0.entry(reason).or_default();
        *count = count.saturating_add(1);
    }
    /// How many were dropped for this reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0.get(&reason).copied().unwrap_or_default()
    }
    /// All reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}

impl From<DropCounts> for BTreeMap<DropReason, u64> {
    fn from(counts: DropCounts) -> Self {
        DropReason::ALL.iter().map(|reason| (*reason, counts.of(*reason))).collect()
    }
}

impl From<BTreeMap<String, u64>> for DropCounts {
    fn from(named: BTreeMap<String, u64>) -> Self {
        let known = named.into_iter().filter_map(|(name, count)| Some((reason(name)?, count)));
        Self(known.filter(|(_, count)| *count > 0).collect())
    }
}

fn reason(name: String) -> Option<DropReason> {
    serde_json::from_value(serde_json::Value::String(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_in_json_and_unknown_ones_are_no_fault() {
        // serde's own list of the names, from what it says about a wrong one.
        let told = serde_json::from_str::<DropReason>("\"?\"").unwrap_err().to_string();
        let names: Vec<&str> = told.split('`').skip(1).step_by(2).skip(1).collect();
        let mut counts = DropCounts::default();
        counts.add(DropReason::Epoch);
        let json = serde_json::to_value(&counts).unwrap();
        assert_eq!(json.as_object().unwrap().len(), names.len(), "{told}");
        assert!(names.iter().all(|name| json[name] == u64::from(*name == "epoch")), "{json}");
        let read: DropCounts =
            serde_json::from_str(r#"{"epoch": 1, "of_the_future": 2, "short": 0}"#).unwrap();
        assert_eq!(read, counts);
    }

    fn padded(name: &str) -> [u8; 16] {
        let mut subdomain = [0; 16];
        subdomain[..name.len()].copy_from_slice(name.as_bytes());
        subdomain
    }

    #[test]
    fn subdomains_fall_on_their_groups() {
        assert_eq!(group(&padded("_DFLT")), Ipv4Addr::new(224, 0, 1, 129));
        // Published by Audinate: `_ALT4` is on .131; the other one by the same rule.
        assert_eq!(group(&padded("_ALT4")), Ipv4Addr::new(224, 0, 1, 131));
        assert_eq!(group(&padded("H~O$L")), Ipv4Addr::new(224, 0, 1, 130));
    }
}
