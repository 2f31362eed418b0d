//! Judges a leader by what is heard of it, from a capture or from the network.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;

use super::jitter::Jitter;
use crate::estimator::leader::{BOUND_SIGMAS, LeaderEstimator};
use crate::net::{Datagram, Interface};
use crate::ptp::follower::{Follower, LeaderRecord};
use crate::ptp::wire::{Body, Message};
use crate::ptp::{DropCounts, DropReason, Outcome, SyncSample, is_pulled};
use crate::snapshot::obstacle::PULL_UP_CURE;
use crate::snapshot::{BoundedRate, subdomain_name};
use crate::time::{LeaderId, Raw, Span, Timestamp};

/// The last samples are judged: at 4 a second, seven hours.
const SAMPLES_MAX: usize = 100_000;

/// Names of other subdomains that are kept; a forger can make up any number.
const SUBDOMAINS_MAX: usize = 16;

/// A measured Sync interval this near to a power of two is that power: all that the standard knows.
const INTERVAL_TOLERANCE: f64 = 0.02;

/// What was heard, and how good it is.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// PTP datagrams.
    pub datagrams: u64,
    /// Frames of a capture that are not PTP over UDP and IPv4.
    pub other_frames: u64,
    /// From the first to the last datagram.
    pub length_s: f64,
    /// What kinds of packets they were.
    pub kinds: PacketKinds,
    /// Datagrams of other subdomains, by name.
    pub other_subdomains: BTreeMap<String, u64>,
    /// The leaders that were heard.
    pub leaders: Vec<HeardLeader>,
    /// Samples of the leader that was followed.
    pub samples: u64,
    /// Of them, those that did not fit its line.
    pub outliers: u64,
    /// Datagrams that were not used, by reason.
    pub drops: DropCounts,
    /// Rate of the capturing computer against the leader; positive: the computer gains.
    pub rate: Option<BoundedRate>,
    /// How the arrivals scatter around the leader's line.
    pub jitter: Option<Jitter>,
    /// The answer in words.
    pub verdict: String,
}

/// A leader that was heard.
#[derive(Debug, Clone, Serialize)]
pub struct HeardLeader {
    /// Its identity.
    pub id: LeaderId,
    /// Whether it was followed.
    pub followed: bool,
    /// The address it sent from.
    pub address: Ipv4Addr,
    /// The interface it was heard on, where that has a name.
    pub interface: Option<String>,
    /// Its stratum.
    pub stratum: u8,
    /// Whether it is a Preferred Leader.
    pub preferred: bool,
    /// Its measured Sync interval.
    pub interval_ms: f64,
    /// Syncs heard.
    pub syncs: u64,
    /// Syncs with their Follow_Up.
    pub pairs: u64,
    /// Syncs that should have come in between and did not.
    pub lost: u64,
}

/// PTP datagrams by what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PacketKinds {
    /// Sync, version 1, of the subdomain.
    pub sync: u64,
    /// Follow_Up, version 1, of the subdomain.
    pub follow_up: u64,
    /// Delay_Req, version 1, of the subdomain: other followers asking.
    pub delay_request: u64,
    /// Delay_Resp, version 1, of the subdomain.
    pub delay_response: u64,
    /// Management, version 1, of the subdomain.
    pub management: u64,
    /// Version 1 of other subdomains.
    pub other_subdomain: u64,
    /// Version 2: AES67 or ST 2110.
    pub version_two: u64,
    /// What cannot be read.
    pub unreadable: u64,
}

/// Where what is judged comes from: it changes the advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A file.
    Capture,
    /// The network, now.
    Network,
}

/// Takes datagrams, and judges the leader that they elect.
#[derive(Debug)]
pub struct Judge {
    subdomain: [u8; 16],
    interfaces: Vec<Interface>,
    follower: Follower,
    estimator: LeaderEstimator,
    samples: Vec<SyncSample>,
    kinds: PacketKinds,
    other_subdomains: BTreeMap<String, u64>,
    datagrams: u64,
    heard: Option<(Timestamp<Raw>, Timestamp<Raw>)>,
}

impl Judge {
    /// Has heard nothing yet.
    pub fn new(subdomain: [u8; 16]) -> Self {
        Self {
            subdomain,
            interfaces: Vec::new(),
            follower: Follower::new(subdomain),
            estimator: LeaderEstimator::new(),
            samples: Vec::new(),
            kinds: PacketKinds::default(),
            other_subdomains: BTreeMap::new(),
            datagrams: 0,
            heard: None,
        }
    }

    /// The interfaces that are listened on, with their names.
    pub fn set_interfaces(&mut self, interfaces: Vec<Interface>) {
        self.follower.set_interfaces(&interfaces);
        self.interfaces = interfaces;
    }

    /// Lets time pass.
    pub fn pass(&mut self, now: Timestamp<Raw>) {
        self.follower.handle_time(now);
    }

    /// Takes a datagram.
    pub fn take(&mut self, datagram: &Datagram, now: Timestamp<Raw>) {
        self.datagrams = self.datagrams.saturating_add(1);
        self.heard = Some((self.heard.map_or(now, |(first, _)| first), now));
        self.count(datagram);
        self.pass(now);
        if let Outcome::Sample(sample) = self.follower.handle_datagram(datagram, now) {
            self.estimator.observe(&sample);
            if self.samples.len() >= SAMPLES_MAX {
                self.samples.drain(..SAMPLES_MAX / 10);
            }
            self.samples.push(sample);
        }
    }

    fn count(&mut self, datagram: &Datagram) {
        let kinds = &mut self.kinds;
        let kind = match Message::parse(datagram.payload.as_slice()) {
            Ok(message) if message.header.subdomain != self.subdomain => {
                let name = subdomain_name(&message.header.subdomain);
                if self.other_subdomains.len() < SUBDOMAINS_MAX || self.other_subdomains.contains_key(&name) {
                    let count = self.other_subdomains.entry(name).or_default();
                    *count = count.saturating_add(1);
                }
                &mut kinds.other_subdomain
            }
            Ok(message) => match message.body {
                Body::Sync(_) => &mut kinds.sync,
                Body::FollowUp { .. } => &mut kinds.follow_up,
                Body::DelayReq(_) => &mut kinds.delay_request,
                Body::DelayResp { .. } => &mut kinds.delay_response,
                Body::Management(_) => &mut kinds.management,
            },
            Err(DropReason::VersionTwo) => &mut kinds.version_two,
            Err(_) => &mut kinds.unreadable,
        };
        *kind = kind.saturating_add(1);
    }

    /// What is to be said of what was heard so far.
    pub fn verdict(&self, source: Source) -> Verdict {
        let (first, last) = self.heard.unwrap_or((Timestamp::EPOCH, Timestamp::EPOCH));
        let (samples, outliers) = self.estimator.counts();
        let rate = self.estimator.line(last).map(|line| BoundedRate {
            // The leader's line is leader against raw; the computer against the leader is its inverse.
            value_ppb: line.rate.inverse().ppb(),
            bound_ppb: BOUND_SIGMAS * line.rate_sigma.ppb(),
        });
        let parent = self.follower.parent().map(|parent| parent.id).or(self.estimator.leader());
        let mut verdict = Verdict {
            datagrams: self.datagrams,
            other_frames: 0,
            length_s: (last - first).as_secs_f64(),
            kinds: self.kinds,
            other_subdomains: self.other_subdomains.clone(),
            leaders: self.follower.leaders().map(|leader| self.heard(leader, parent)).collect(),
            samples,
            outliers,
            drops: self.follower.drops().clone(),
            rate,
            jitter: Jitter::of(&self.samples),
            verdict: String::new(),
        };
        verdict.verdict = verdict.in_words(self.follower.only_version_two(), source);
        verdict
    }

    fn heard(&self, leader: &LeaderRecord, parent: Option<LeaderId>) -> HeardLeader {
        let interface = self.interfaces.iter().find(|interface| interface.index == leader.interface);
        HeardLeader {
            id: leader.id,
            followed: parent == Some(leader.id),
            address: leader.address,
            interface: interface.map(|interface| interface.name.clone()),
            stratum: leader.data.stratum,
            preferred: leader.data.preferred,
            interval_ms: leader.interval.as_ns_f64() / 1e6,
            syncs: leader.syncs,
            pairs: leader.pairs,
            lost: lost(leader),
        }
    }
}

/// Syncs that are missing between the first and the last one.
fn lost(leader: &LeaderRecord) -> u64 {
    let measured = leader.interval.as_secs_f64();
    let power = measured.log2().round().exp2();
    let interval = if (measured / power - 1.0).abs() < INTERVAL_TOLERANCE { power } else { measured };
    let expected = Span::from_secs_f64((leader.last_heard - leader.first_heard).as_secs_f64() / interval);
    // Rounded to whole intervals; one more than there are gaps.
    let expected = expected.as_ns().saturating_add(500_000_000) / 1_000_000_000 + 1;
    u64::try_from(expected).unwrap_or_default().saturating_sub(leader.syncs)
}

impl Verdict {
    fn in_words(&self, only_version_two: bool, source: Source) -> String {
        if self.datagrams == 0 {
            return match source {
                Source::Capture => {
                    "no PTP in this capture: capture UDP ports 319 and 320 on the Dante network's interface"
                }
                Source::Network => {
                    "no PTP is heard: is this interface on the Dante network, does the firewall let UDP ports 319 and \
                     320 in, does a switch with IGMP snooping have a querier?"
                }
            }
            .into();
        }
        if only_version_two || (self.samples == 0 && self.drops.of(DropReason::VersionTwo) > 0) {
            return "only PTPv2: the device is in an AES67 or ST 2110 mode without PTPv1".into();
        }
        let (Some(rate), Some(jitter)) = (self.rate, self.jitter.as_ref()) else {
            return self.without_leader();
        };
        let quality = match jitter.sd_ns {
            sd if sd < 20e3 => "a good path: microseconds are within reach",
            sd if sd < 100e3 => "a usable path with much queueing",
            _ => "a poor path, or stamps taken in user space",
        };
        let several = if self.leaders.len() > 1 { " More than one leader was heard." } else { "" };
        let loss = self.leaders.iter().find(|leader| leader.followed).map_or(0.0, HeardLeader::loss_percent);
        let lossy =
            if loss >= LOSS_TOLD { format!(" {loss:.1} % of its Syncs are lost.") } else { String::new() };
        format!(
            "The computer runs {:+.2} ± {:.2} ppm against the leader; arrivals scatter by {:.1} µs: {quality}.{several}{lossy}",
            rate.value_ppb / 1e3,
            rate.bound_ppb / 1e3,
            jitter.sd_ns / 1e3,
        )
    }

    fn without_leader(&self) -> String {
        if let Some((name, _)) = self.other_subdomains.iter().max_by_key(|(_, count)| **count)
            && self.kinds.sync == 0
        {
            let cure = if is_pulled(name) {
                format!("all devices there are pulled up or down; {PULL_UP_CURE}")
            } else {
                "is that yours? --subdomain chooses one".to_owned()
            };
            return format!("only other PTP subdomains are heard ({name}): {cure}");
        }
        if self.kinds.sync > 0 && self.kinds.follow_up == 0 {
            return "Syncs come without Follow_Ups: is UDP port 320 let through by the firewall?".to_owned();
        }
        if self.samples > 0 {
            return "a leader is heard, but not for long enough to judge it".to_owned();
        }
        "PTPv1 is there, but no leader that can be followed (see the drops)".to_owned()
    }

    fn kinds_in_words(&self) -> String {
        let kinds = self.kinds;
        let mut named: Vec<String> = [
            (kinds.sync, "Sync"),
            (kinds.follow_up, "Follow_Up"),
            (kinds.delay_request, "Delay_Req"),
            (kinds.delay_response, "Delay_Resp"),
            (kinds.management, "Management"),
            (kinds.version_two, "of PTPv2"),
            (kinds.unreadable, "unreadable"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
        named
            .extend(self.other_subdomains.iter().map(|(name, count)| format!("{count} of subdomain {name}")));
        format!("packets: {}", if named.is_empty() { "none".to_owned() } else { named.join(", ") })
    }

    /// For people.
    pub fn table(&self) -> String {
        use std::fmt::Write;
        let mut out = format!(
            "{} PTP datagrams in {:.2} s{}\n\n{:<26} {:>8} {:>8} {:>9} {:>9} {:>8} {:>8} {:>6}\n",
            self.datagrams,
            self.length_s,
            if self.other_frames > 0 {
                format!(" ({} other frames)", self.other_frames)
            } else {
                String::new()
            },
            "leader",
            "followed",
            "stratum",
            "preferred",
            "interval",
            "syncs",
            "pairs",
            "lost",
        );
        for leader in &self.leaders {
            let _ = writeln!(
                out,
                "{:<26} {:>8} {:>8} {:>9} {:>6.1} ms {:>8} {:>8} {:>6}{}",
                leader.id.to_string(),
                yes(leader.followed),
                leader.stratum,
                yes(leader.preferred),
                leader.interval_ms,
                leader.syncs,
                leader.pairs,
                leader.lost,
                leader.interface.as_ref().map_or_else(String::new, |name| format!("  on {name}")),
            );
        }
        let _ = writeln!(out, "\n{}", self.kinds_in_words());
        let _ = writeln!(out, "{} samples used, {} did not fit", self.samples, self.outliers);
        for (reason, count) in self.drops.iter() {
            let reason = serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned));
            let _ = writeln!(out, "  {count:>6} datagrams not used: {}", reason.unwrap_or_default());
        }
        if let Some(jitter) = &self.jitter {
            let _ = writeln!(
                out,
                "residual jitter: sd {:.2} µs; min {:+.2}, 1 % {:+.2}, median {:+.2}, 99 % {:+.2}, max {:+.2} µs",
                jitter.sd_ns / 1e3,
                jitter.min_ns / 1e3,
                jitter.p1_ns / 1e3,
                jitter.p50_ns / 1e3,
                jitter.p99_ns / 1e3,
                jitter.max_ns / 1e3,
            );
        }
        let _ = writeln!(out, "\n{}", self.verdict);
        out
    }
}

impl HeardLeader {
    /// How many of its Syncs did not come, in per cent.
    pub fn loss_percent(&self) -> f64 {
        let all = self.syncs.saturating_add(self.lost);
        let part = |count: u64| Span::from_ns(i64::try_from(count).unwrap_or(i64::MAX)).as_ns_f64();
        if all == 0 { 0.0 } else { 100.0 * part(self.lost) / part(all) }
    }
}

/// A loss above this is worth a word (%).
const LOSS_TOLD: f64 = 1.0;

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;
    use crate::config::DEFAULT_SUBDOMAIN;
    use crate::net::{Payload, Port, Stamp, StampSource};
    use crate::ptp::wire::{Flags, Header, PortIdentity, SYNC_LENGTH, SyncBody, WireTime};

    fn datagram(port: Port, payload: &[u8], at: Timestamp<Raw>) -> Datagram {
        let stamp = Stamp { at, uncertainty: Span::from_ns(50), source: StampSource::Kernel };
        let source = SocketAddrV4::new(Ipv4Addr::new(169, 254, 0, 1), 319);
        Datagram { interface: 2, port, source, stamp: Ok(stamp), payload: Payload::new(payload) }
    }

    fn message(subdomain: &[u8; 16], sequence: u16, body: Body<'_>, at: Timestamp<Raw>) -> Datagram {
        let port = if matches!(body, Body::Sync(_)) { Port::Event } else { Port::General };
        let source = PortIdentity { technology: 1, uuid: [0, 0x1d, 0xc1, 0, 0, 1], port: 1 };
        let header = Header { subdomain: *subdomain, source, sequence_id: sequence, flags: Flags::DANTE };
        let mut buffer = [0; SYNC_LENGTH];
        datagram(port, Message { header, body }.to_bytes(&mut buffer).unwrap(), at)
    }

    fn at(sequence: u16) -> Timestamp<Raw> {
        Timestamp::EPOCH + Span::from_ms(1_000 + 250 * i64::from(sequence))
    }

    fn sync(sequence: u16) -> Datagram {
        let uuid = [0, 0x1d, 0xc1, 0, 0, 1];
        let grandmaster = PortIdentity { technology: 1, uuid, port: 0 };
        let body = SyncBody {
            grandmaster,
            grandmaster_clock_stratum: 121,
            sync_interval: -2,
            ..SyncBody::default()
        };
        message(&DEFAULT_SUBDOMAIN, sequence, Body::Sync(body), at(sequence))
    }

    fn follow_up(sequence: u16) -> Datagram {
        let sent = Timestamp::from_ns(at(sequence).as_ns());
        let precise_origin = WireTime::from_timestamp(sent).unwrap();
        let body = Body::FollowUp { associated_sequence_id: sequence, precise_origin };
        message(&DEFAULT_SUBDOMAIN, sequence, body, at(sequence))
    }

    #[test]
    fn losses_are_counted_and_told() {
        let mut judge = Judge::new(DEFAULT_SUBDOMAIN);
        for sequence in (0..200).filter(|sequence| sequence % 10 != 3) {
            judge.take(&sync(sequence), at(sequence));
            judge.take(&follow_up(sequence), at(sequence));
        }
        let verdict = judge.verdict(Source::Network);
        assert_eq!((verdict.leaders[0].syncs, verdict.leaders[0].lost), (180, 20));
        assert!(verdict.verdict.contains("10.0 % of its Syncs are lost"), "{}", verdict.verdict);
        assert!(verdict.table().contains("180 Sync, 180 Follow_Up"), "{}", verdict.table());
    }

    #[test]
    fn every_kind_of_packet_is_counted_and_what_is_missing_is_told() {
        let mut judge = Judge::new(DEFAULT_SUBDOMAIN);
        assert!(judge.verdict(Source::Network).verdict.contains("firewall"));
        assert!(judge.verdict(Source::Capture).verdict.contains("capture UDP ports"));
        let mut other = [0; 16];
        other[..5].copy_from_slice(b"_ALT1");
        let of_other = message(&other, 1, Body::Sync(SyncBody::default()), at(1));
        judge.take(&of_other, at(1));
        judge.take(&datagram(Port::Event, b"nonsense", at(1)), at(1));
        let told = judge.verdict(Source::Network);
        assert_eq!(
            (told.kinds.other_subdomain, told.kinds.unreadable, told.other_subdomains["_ALT1"]),
            (1, 1, 1)
        );
        assert!(
            told.verdict.contains("_ALT1") && told.verdict.contains("Sample Rate Pull-up"),
            "{}",
            told.verdict
        );
        // It cannot be chosen.
        assert!(!told.verdict.contains("--subdomain"), "{}", told.verdict);
        (0..20).for_each(|sequence| judge.take(&sync(sequence), at(sequence)));
        let told = judge.verdict(Source::Network).verdict;
        assert!(told.contains("without Follow_Ups") && told.contains("320"), "{told}");
    }

    #[test]
    fn made_up_subdomains_do_not_fill_the_memory() {
        let mut judge = Judge::new(DEFAULT_SUBDOMAIN);
        for number in 0..100_u8 {
            judge.take(&message(&[number + 100; 16], 1, Body::Sync(SyncBody::default()), at(1)), at(1));
        }
        let told = judge.verdict(Source::Network);
        assert_eq!((told.other_subdomains.len(), told.kinds.other_subdomain), (16, 100));
    }
}
