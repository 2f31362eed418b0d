//! What was heard: datagrams in, counts and samples out. No socket and no clock.

#[cfg(any(target_os = "linux", test))]
mod tapped;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::clock::Look;
use super::ntp::Server;
use crate::estimator::leader::{BOUND_SIGMAS, LeaderEstimator, Verdict};
use crate::net::{Datagram, Interface, StampSource, Way};
use crate::ptp::follower::Follower;
use crate::ptp::wire::{Body, Message};
use crate::ptp::{DropReason, Outcome, SyncSample};
use crate::replay::jitter::Jitter;
use crate::snapshot::BoundedRate;
use crate::time::{LeaderId, Raw, Span, Timestamp};

/// Leaders, subdomains and addresses that are told apart at most: strangers can make up any number.
const TABLE_MAX: usize = 32;
/// A number further ahead than this, or any from further behind, is no gap: somebody else counts, or anew.
const GAP_MAX: u16 = 64;
/// Syncs that are further apart than this have a pause between them: ten intervals of Dante's 250 ms, and some.
const PAUSE_MIN: Span = Span::from_secs(3);
/// A cable loses nothing; a share above this, with two lost at least, is told.
const LOST_MAX: f64 = 0.01;
/// Samples that are kept: an hour at four a second, and more.
const SAMPLES_MAX: usize = 20_000;

/// What was heard.
#[derive(Debug)]
pub struct Heard {
    /// When listening began.
    pub began: Timestamp<Raw>,
    /// When it ended.
    pub ended: Timestamp<Raw>,
    /// By which way.
    pub way: Way,
    /// Interfaces that were listened on.
    pub links: Vec<Link>,
    /// Interfaces that could not be listened on, with the system's words.
    pub deaf: Vec<(Interface, String)>,
    /// What came in before the firewall, by the number of the interface; nothing without the right to see it.
    pub tapped: Option<BTreeMap<u32, Tapped>>,
    /// The time servers.
    pub servers: Vec<Server>,
    /// The clock.
    pub looks: Vec<Look>,
    /// What an earlier program left running in the kernel.
    pub leftovers: Vec<&'static str>,
}

/// What came by one interface to sockets like the service's, but without its filter.
#[derive(Debug)]
pub struct Link {
    /// The interface.
    pub interface: Interface,
    subdomain: [u8; 16],
    follower: Follower,
    estimator: LeaderEstimator,
    samples: Vec<SyncSample>,
    /// Messages of version 1, our subdomain or not.
    pub version_one: u64,
    /// Messages of version 2.
    pub version_two: u64,
    /// Neither.
    pub nonsense: u64,
    /// Follow_Ups of our subdomain.
    pub follow_ups: u64,
    /// Other subdomains, with their messages.
    pub foreign: BTreeMap<[u8; 16], u64>,
    /// Who sent Syncs in our subdomain.
    pub tallies: Vec<Tally>,
    /// The longest time between two Syncs, whoever sent them, that was longer than [`PAUSE_MIN`].
    pub pause: Option<Pause>,
    /// How often the leader's time jumped or turned.
    pub turns: u32,
    /// Who stamped the last Sync.
    pub stamped_by: Option<StampSource>,
}

/// A time without a Sync, and what came after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When the last Sync before it came.
    pub from: Timestamp<Raw>,
    /// How long it was.
    pub length: Span,
    /// Whether the same sender went on with its numbers, as if it had sent all the while.
    pub went_on: bool,
}

/// The Syncs of one sender.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Who.
    pub id: LeaderId,
    /// Its address.
    pub address: Ipv4Addr,
    /// Syncs.
    pub syncs: u64,
    /// Syncs that there should have been between the first and the last one, by their numbers; pauses left out.
    pub expected: u64,
    /// How often its numbers leapt.
    pub leaps: u64,
    /// When the first one came.
    pub first: Timestamp<Raw>,
    /// When the last one came.
    pub last: Timestamp<Raw>,
    sequence: u16,
    /// Between two Syncs of consecutive numbers.
    intervals: Vec<Span>,
}

/// A leader that was elected, and what its samples say.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Who.
    pub id: LeaderId,
    /// Configured as Preferred Leader.
    pub preferred: bool,
    /// Samples.
    pub samples: usize,
    /// Rate of the leader against this computer's raw clock; positive: the leader gains.
    pub rate: Option<BoundedRate>,
    /// How the arrivals scatter.
    pub jitter: Option<Jitter>,
    /// How often its time jumped or turned.
    pub turns: u32,
}

impl Link {
    /// Nothing heard yet.
    pub fn new(interface: Interface, subdomain: [u8; 16]) -> Self {
        let mut follower = Follower::new(subdomain);
        follower.set_interfaces(std::slice::from_ref(&interface));
        Self {
            interface,
            subdomain,
            follower,
            estimator: LeaderEstimator::new(),
            samples: Vec::new(),
            version_one: 0,
            version_two: 0,
            nonsense: 0,
            follow_ups: 0,
            foreign: BTreeMap::new(),
            tallies: Vec::new(),
            pause: None,
            turns: 0,
            stamped_by: None,
        }
    }

    /// Lets time pass.
    pub fn handle_time(&mut self, now: Timestamp<Raw>) {
        self.follower.handle_time(now);
    }

    /// Takes a datagram.
    pub fn handle(&mut self, datagram: &Datagram, now: Timestamp<Raw>) {
        self.count(datagram, now);
        if let Outcome::Sample(sample) = self.follower.handle_datagram(datagram, now) {
            let verdict = self.estimator.observe(&sample);
            let begun = !self.samples.is_empty();
            if begun && matches!(verdict, Verdict::NewTimescale | Verdict::Changed(_) | Verdict::Paused(_)) {
                self.turns = self.turns.saturating_add(1);
            }
            if self.samples.len() < SAMPLES_MAX {
                self.samples.push(sample);
            }
        }
    }

    fn count(&mut self, datagram: &Datagram, now: Timestamp<Raw>) {
        let counter = match Message::parse(datagram.payload.as_slice()) {
            Ok(message) if message.header.subdomain != self.subdomain => {
                let known =
                    self.foreign.len() < TABLE_MAX || self.foreign.contains_key(&message.header.subdomain);
                if known {
                    let count = self.foreign.entry(message.header.subdomain).or_default();
                    *count = count.saturating_add(1);
                }
                &mut self.version_one
            }
            Ok(Message { header, body: Body::Sync(_) }) => {
                let at = datagram.stamp.map_or(now, |stamp| stamp.at);
                self.stamped_by = datagram.stamp.ok().map(|stamp| stamp.source).or(self.stamped_by);
                self.count_sync(header.leader_id(), *datagram.source.ip(), header.sequence_id, at);
                &mut self.version_one
            }
            Ok(Message { body: Body::FollowUp { .. }, .. }) => {
                self.follow_ups = self.follow_ups.saturating_add(1);
                &mut self.version_one
            }
            Ok(_) => &mut self.version_one,
            Err(DropReason::VersionTwo) => &mut self.version_two,
            Err(_) => &mut self.nonsense,
        };
        *counter = counter.saturating_add(1);
    }

    fn count_sync(&mut self, id: LeaderId, address: Ipv4Addr, sequence: u16, at: Timestamp<Raw>) {
        let last = self.tallies.iter().map(|tally| tally.last).max();
        let is_full = self.tallies.len() >= TABLE_MAX;
        let known = self.tallies.iter_mut().find(|tally| tally.id == id);
        if let Some(from) = last.filter(|last| at - *last > PAUSE_MIN) {
            let went_on = known.as_ref().is_some_and(|tally| tally.counted_on(sequence, at));
            let pause = Pause { from, length: at - from, went_on };
            self.pause = self.pause.filter(|longest| longest.length >= pause.length).or(Some(pause));
        }
        match known {
            Some(tally) => tally.take(sequence, at),
            None if is_full => {}
            None => self.tallies.push(Tally::new(id, address, sequence, at)),
        }
    }

    /// Syncs of our subdomain, of all senders.
    pub fn syncs(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.syncs).fold(0, u64::saturating_add)
    }

    /// Leaders that sent complete pairs of Sync and Follow_Up.
    pub fn qualified(&self) -> Vec<LeaderId> {
        self.follower.leaders().filter(|leader| leader.pairs > 1).map(|leader| leader.id).collect()
    }

    /// The leader that the service would follow here, and what can be said of it at `now`.
    pub fn judged(&self, now: Timestamp<Raw>) -> Option<Judged> {
        let parent = self.follower.parent()?;
        let line = self.estimator.line(now);
        Some(Judged {
            id: parent.id,
            preferred: parent.data.preferred,
            samples: self.samples.len(),
            rate: line.map(|line| BoundedRate {
                value_ppb: line.rate.ppb(),
                bound_ppb: BOUND_SIGMAS * line.rate_sigma.ppb(),
            }),
            jitter: Jitter::of(&self.samples),
            turns: self.turns,
        })
    }
}

impl Tally {
    fn new(id: LeaderId, address: Ipv4Addr, sequence: u16, at: Timestamp<Raw>) -> Self {
        Self {
            id,
            address,
            syncs: 1,
            expected: 1,
            leaps: 0,
            first: at,
            last: at,
            sequence,
            intervals: Vec::new(),
        }
    }

    fn take(&mut self, sequence: u16, at: Timestamp<Raw>) {
        let gap = at - self.last;
        // The next number: none is missing between, however long that took.
        if sequence == self.sequence.wrapping_add(1) && self.intervals.len() < SAMPLES_MAX {
            self.intervals.push(gap);
        }
        match sequence.wrapping_sub(self.sequence) {
            // After a pause nothing is said of single Syncs.
            _ if gap > PAUSE_MIN => self.count(1, sequence),
            // A doubled one.
            0 => {}
            ahead @ 1..=GAP_MAX => self.count(ahead, sequence),
            // A late one, which was expected already.
            ahead if ahead.wrapping_neg() <= GAP_MAX => self.syncs = self.syncs.saturating_add(1),
            _ => {
                self.count(1, sequence);
                self.leaps = self.leaps.saturating_add(1);
            }
        }
        self.last = at;
    }

    /// One more, of `ahead` that were sent.
    fn count(&mut self, ahead: u16, sequence: u16) {
        self.expected = self.expected.saturating_add(ahead.into());
        self.syncs = self.syncs.saturating_add(1);
        self.sequence = sequence;
    }

    /// Whether a Sync after a pause has the number that it would have if all between had been sent, give or take a
    /// tenth of them.
    fn counted_on(&self, sequence: u16, at: Timestamp<Raw>) -> bool {
        let Some(interval) = self.interval() else { return false };
        let sent = ((at - self.last).as_ns_f64() / interval.as_ns_f64()).round();
        let ahead = f64::from(sequence.wrapping_sub(self.sequence));
        let apart = (ahead - sent).rem_euclid(f64::from(u16::MAX) + 1.0);
        apart.min(f64::from(u16::MAX) + 1.0 - apart) <= (0.1 * sent).max(2.0)
    }

    /// Between two Syncs, as a rule: the median of those with consecutive numbers, which neither losses nor pauses
    /// move.
    pub fn interval(&self) -> Option<Span> {
        let mut intervals = self.intervals.clone();
        intervals.sort_unstable();
        intervals.get(intervals.len() / 2).copied()
    }

    /// Share of the Syncs that did not come, 0 to 1.
    pub fn lost(&self) -> f64 {
        let (came, expected) = (as_f64(self.syncs), as_f64(self.expected));
        if expected > 0.0 { (1.0 - came / expected).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// How many those are.
    pub fn missing(&self) -> u64 {
        self.expected.saturating_sub(self.syncs)
    }

    /// More are lost than a cable loses.
    pub fn loses(&self) -> bool {
        self.lost() > LOST_MAX && self.missing() >= 2
    }
}

fn as_f64(count: u64) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}

/// What a packet socket saw come in by one interface, before the firewall.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tapped {
    /// PTP messages of version 1 to the ports 319 and 320, by port.
    pub event: u64,
    /// The same, to 320.
    pub general: u64,
    /// PTP of version 2.
    pub version_two: u64,
    /// Who sent version 1.
    pub sources: Vec<Ipv4Addr>,
    /// Who asked for memberships (IGMP queries).
    pub queriers: Vec<Ipv4Addr>,
}

impl Tapped {
    /// PTP of version 1.
    pub const fn version_one(&self) -> u64 {
        self.event.saturating_add(self.general)
    }
}

#[cfg(test)]
pub mod tests {
    use std::net::SocketAddrV4;

    use super::*;
    use crate::config::DEFAULT_SUBDOMAIN;
    use crate::leader::message::{VARIANCE, Voice, interval_log2};
    use crate::net::{Payload, Port, Stamp, StampSource};
    use crate::time::{Leader, Rate};

    pub const PULL_UP: [u8; 16] = *b"_ALT1\0\0\0\0\0\0\0\0\0\0\0";

    pub fn interface(name: &str, index: u32) -> Interface {
        Interface { index, name: name.to_owned(), address: [10, 0, 0, 5].into(), wired: true }
    }

    /// A leader on a made-up wire.
    #[derive(Debug, Clone, Copy)]
    pub struct Speaker {
        pub last_octet: u8,
        pub subdomain: [u8; 16],
        pub ppm: f64,
        pub follow_ups: bool,
    }

    impl Speaker {
        pub const PLAIN: Self =
            Self { last_octet: 1, subdomain: DEFAULT_SUBDOMAIN, ppm: 0.0, follow_ups: true };

        fn voice(&self) -> Voice {
            Voice {
                subdomain: self.subdomain,
                uuid: [0, 0x1d, 0xc1, 0, 0, self.last_octet],
                port: 1,
                stratum: 121,
                variance: VARIANCE,
                preferred: false,
                interval_log2: interval_log2(Span::from_ms(250)),
            }
        }

        /// Its `number`th Sync, and perhaps a Follow_Up.
        pub fn speak(&self, link: &mut Link, number: u16) {
            self.speak_at(link, number, Timestamp::from_ns(i64::from(number) * 250_000_000));
        }

        /// The same, at any time.
        pub fn speak_at(&self, link: &mut Link, number: u16, at: Timestamp<Raw>) {
            let elapsed = at - Timestamp::EPOCH;
            let sent = Timestamp::<Leader>::from_ns(77_000_000_000)
                + elapsed
                + Rate::from_ppm(self.ppm).gain_over(elapsed);
            let datagram = |port, payload: Payload| Datagram {
                interface: link.interface.index,
                port,
                source: SocketAddrV4::new([10, 0, 0, self.last_octet].into(), 40_000),
                stamp: Ok(Stamp { at, uncertainty: Span::from_ns(100), source: StampSource::Kernel }),
                payload,
            };
            let sync = datagram(Port::Event, self.voice().sync(number, sent));
            let follow_up = datagram(Port::General, self.voice().follow_up(number, sent));
            link.handle(&sync, at);
            if self.follow_ups {
                link.handle(&follow_up, at);
            }
            link.handle_time(at);
        }
    }

    /// A link on which `speakers` speak for ten seconds, without the Syncs of these numbers.
    pub fn link(speakers: &[Speaker], without: impl Fn(u16) -> bool) -> Link {
        let mut link = Link::new(interface("eth0", 2), DEFAULT_SUBDOMAIN);
        for number in (0..40).filter(|number| !without(*number)) {
            for speaker in speakers {
                speaker.speak(&mut link, number);
            }
        }
        link
    }

    /// The end of those ten seconds.
    pub fn end() -> Timestamp<Raw> {
        Timestamp::from_ns(10_000_000_000)
    }

    /// An IPv4 packet as a packet socket sees it.
    pub fn packet(protocol: u8, source: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 1, protocol, 0, 0];
        bytes.extend(source);
        bytes.extend([224, 0, 1, 129]);
        if protocol == 17 {
            bytes.extend([0x90, 0]);
            bytes.extend(port.to_be_bytes());
            bytes.extend([0; 4]);
        }
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_leader_is_counted_and_judged() {
        let link = link(&[Speaker { ppm: 30.0, ..Speaker::PLAIN }], |_| false);
        assert_eq!((link.version_one, link.version_two, link.follow_ups), (80, 0, 40));
        let tally = &link.tallies[0];
        assert_eq!((tally.syncs, tally.expected, tally.interval()), (40, 40, Some(Span::from_ms(250))));
        let judged = link.judged(end()).unwrap();
        let rate = judged.rate.unwrap();
        assert!((rate.value_ppb - 30_000.0).abs() < 100.0, "{rate:?}");
        assert!(judged.samples > 30 && judged.turns == 0 && judged.jitter.is_some());
    }

    #[test]
    fn what_is_lost_is_told_by_the_numbers() {
        let link = link(&[Speaker::PLAIN], |number| number % 10 == 5);
        let tally = &link.tallies[0];
        assert_eq!((tally.syncs, tally.expected), (36, 40));
        assert!((tally.lost() - 0.1).abs() < 1e-9);
        assert_eq!(tally.interval(), Some(Span::from_ms(250)));
    }

    #[test]
    fn a_pause_is_neither_loss_nor_leap_and_tells_who_went_on() {
        // Ten seconds are missing: as many as would look like losses, and as many as would look like a leap.
        for without in [20..60, 20..220] {
            let mut link = link(&[Speaker::PLAIN], |number| number >= 20);
            for number in without.end..without.end + 20 {
                Speaker::PLAIN.speak(&mut link, number);
            }
            let tally = &link.tallies[0];
            assert_eq!((tally.syncs, tally.expected, tally.leaps), (40, 40, 0));
            assert_eq!(tally.interval(), Some(Span::from_ms(250)));
            let pause = link.pause.unwrap();
            assert!(pause.went_on && pause.length == Span::from_ms(250).times(i64::from(without.end) - 19));
        }
    }

    #[test]
    fn after_a_pause_a_leader_that_was_started_anew_counts_from_nought() {
        let mut link = link(&[Speaker::PLAIN], |number| number >= 20);
        for number in 0..20_u16 {
            Speaker::PLAIN.speak_at(
                &mut link,
                number,
                Timestamp::from_ns(60_000_000_000 + i64::from(number) * 250_000_000),
            );
        }
        assert_eq!((link.tallies[0].leaps, link.tallies[0].lost()), (0, 0.0));
        let pause = link.pause.unwrap();
        assert!(!pause.went_on && pause.length == Span::from_ms(55_250), "{pause:?}");
    }

    #[test]
    fn two_that_count_under_one_name_lose_nothing_but_leap() {
        let mut link = Link::new(interface("eth0", 2), DEFAULT_SUBDOMAIN);
        for number in 0..20_u16 {
            Speaker::PLAIN.speak(&mut link, number);
            Speaker::PLAIN.speak_at(
                &mut link,
                number + 1000,
                Timestamp::from_ns(i64::from(number) * 250_000_000),
            );
        }
        let tally = &link.tallies[0];
        assert_eq!((tally.syncs, tally.lost()), (40, 0.0));
        assert_eq!(tally.leaps, 39);
    }

    #[test]
    fn strangers_are_told_apart() {
        let two = Speaker { last_octet: 2, ..Speaker::PLAIN };
        let up = Speaker { last_octet: 3, subdomain: PULL_UP, ..Speaker::PLAIN };
        let link = link(&[Speaker::PLAIN, two, up], |_| false);
        assert_eq!(link.qualified().len(), 2);
        assert_eq!(link.foreign.get(&PULL_UP), Some(&80));
        assert_eq!(link.version_one, 240);
    }
}
