//! Who sends on the PTP group: leaders with their clocks, and strangers.

#![allow(clippy::as_conversions, clippy::indexing_slicing, reason = "a simulator's own lists and numbers")]

use std::net::{Ipv4Addr, SocketAddrV4};

use super::plan::{Burst, LeaderPlan, StrangerKind, StrangerPlan, ns_of_s};
use super::random::Random;
use crate::config::DEFAULT_SUBDOMAIN;
use crate::leader::message::{VARIANCE, Voice, interval_log2, wire_time};
use crate::net::{Payload, Port};
use crate::time::{Leader as LeaderScale, LeaderId, Span, Timestamp};

/// A message that leaves a sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing {
    /// When it leaves, in true time.
    pub(super) at: i64,
    pub(super) port: Port,
    pub(super) source: SocketAddrV4,
    pub(super) payload: Payload,
}

/// A leader's clock as a function of true time, over all its lives (a reboot begins another one).
#[derive(Debug, Clone)]
pub(super) struct LeaderClock {
    lives: Vec<Life>,
}

#[derive(Debug, Clone)]
struct Life {
    /// True time at which the life begins; the first one is as old as the world.
    from: i64,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    from: i64,
    reading: i64,
    rate: f64,
}

impl Piece {
    fn at(&self, t: i64) -> i64 {
        let elapsed = t - self.from;
        elapsed + self.reading + (self.rate * elapsed as f64).round() as i64
    }
}

impl LeaderClock {
    fn new(plan: &LeaderPlan, start: i64) -> Self {
        let mut lives = vec![Life::new(plan, start, start, ns_of_s(plan.uptime_s))];
        if let Some(reboot) = plan.reboot {
            lives.push(Life::new(plan, start, start + ns_of_s(reboot.at_s + reboot.down_s), 0));
        }
        Self { lives }
    }

    /// Which life is lived at true time `t`.
    pub(super) fn life_at(&self, t: i64) -> usize {
        self.lives.iter().rposition(|life| life.from <= t).unwrap_or_default()
    }

    /// The reading at true time `t` of the clock of this life, which goes on for ever.
    pub(super) fn at(&self, life: usize, t: i64) -> i64 {
        self.lives[life].piece(t).at(t)
    }

    /// The rate at true time `t` against true time, as a plain ratio.
    pub(super) fn rate(&self, life: usize, t: i64) -> f64 {
        self.lives[life].piece(t).rate
    }
}

impl Life {
    fn new(plan: &LeaderPlan, start: i64, from: i64, reading: i64) -> Self {
        let mut ppm = plan.rate_ppm;
        let mut pieces = vec![Piece { from, reading, rate: ppm * 1e-6 }];
        for step in &plan.rate_step {
            ppm += step.ppm;
            let at = (start + ns_of_s(step.at_s)).max(from);
            let reading = pieces[pieces.len() - 1].at(at);
            pieces.push(Piece { from: at, reading, rate: ppm * 1e-6 });
        }
        Self { from, pieces }
    }

    fn piece(&self, t: i64) -> &Piece {
        let index = self.pieces.iter().rposition(|piece| piece.from <= t).unwrap_or_default();
        &self.pieces[index]
    }
}

/// A leader: a clock, and the habit of telling it.
#[derive(Debug)]
pub(super) struct Leader {
    plan: LeaderPlan,
    voice: Voice,
    pub(super) clock: LeaderClock,
    start: i64,
    /// When the next Sync is due, in true time.
    next: i64,
    life: usize,
    sequence: u16,
    random: Random,
}

impl Leader {
    /// The leader with this number, in a world that starts at true time `start`.
    pub(super) fn new(plan: LeaderPlan, seed: u64, index: usize, start: i64) -> Self {
        let mut random = Random::stream(seed, &format!("leader {index}"));
        let phase = random.uniform() * plan.interval_s;
        let next = start + ns_of_s(plan.start_s + phase);
        let sequence = random.bits() as u16;
        let sequence = plan.first_sequence.unwrap_or(sequence);
        let clock = LeaderClock::new(&plan, start);
        Self { voice: voice(&plan), plan, clock, start, next, life: 0, sequence, random }
    }

    /// The identity in its messages.
    pub(super) fn id(&self) -> LeaderId {
        let Voice { uuid, port, subdomain, .. } = self.voice;
        LeaderId::V1 { technology: 1, uuid, port, subdomain }
    }

    /// The length of time between two Syncs, in ns.
    pub(super) fn interval(&self) -> i64 {
        ns_of_s(self.plan.interval_s)
    }

    /// When the next Sync is due, in true time; the rhythm goes on while the leader is silent.
    pub(super) fn next_tick(&self) -> i64 {
        self.next
    }

    fn interval_at(&self, elapsed: i64) -> i64 {
        let holds = |burst: &&Burst| (ns_of_s(burst.from_s)..ns_of_s(burst.until_s)).contains(&elapsed);
        self.plan.burst.iter().find(holds).map_or_else(|| self.interval(), |burst| ns_of_s(burst.interval_s))
    }

    /// What is sent at this tick: a Sync and its Follow_Up, or nothing.
    pub(super) fn tick(&mut self) -> Option<[Outgoing; 2]> {
        let tick = self.next;
        self.next += self.interval_at(tick - self.start);
        let jitter = self.random.gaussian(self.plan.interval_jitter_us * 1e3) as i64;
        // As measured on a Dante leader: the Follow_Up leaves 53 to 103 µs after the Sync, and the Sync's own
        // stamp is early by 58 to 65 µs.
        let follow_up_after = self.random.between(60e3, 100e3) as i64;
        let early = self.random.between(58e3, 65e3) as i64;
        let elapsed = tick - self.start;
        if self.is_quiet(elapsed) {
            return None;
        }
        let at = (tick + jitter).max(self.start);
        let life = self.clock.life_at(at);
        self.sequence = if life == self.life { self.sequence.wrapping_add(1) } else { 0 };
        self.life = life;
        let sent = self.clock.at(life, at);
        Some(self.pair(self.sequence, at, follow_up_after, sent, early))
    }

    /// A Sync and its Follow_Up that say they were sent at the leader's time `sent`.
    fn pair(&self, sequence: u16, at: i64, follow_up_after: i64, sent: i64, early: i64) -> [Outgoing; 2] {
        [
            Outgoing {
                at,
                port: Port::Event,
                source: self.source(EVENT_SOURCE),
                payload: self.voice.sync(sequence, leader_time(sent - early)),
            },
            Outgoing {
                at: at + follow_up_after,
                port: Port::General,
                source: self.source(GENERAL_SOURCE),
                payload: self.voice.follow_up(sequence, leader_time(sent)),
            },
        ]
    }

    /// What somebody sends at true time `at` who has heard this leader's last Sync and speaks in its name, with
    /// a time that is wrong by `wrong` ns.
    pub(super) fn forged(&self, at: i64, wrong: i64) -> [Outgoing; 2] {
        let sent = self.clock.at(self.life, at) + wrong;
        self.pair(self.sequence.wrapping_add(1), at, FORGED_FOLLOW_UP_NS, sent, FORGED_FOLLOW_UP_NS)
    }

    fn is_quiet(&self, elapsed: i64) -> bool {
        let stopped = self.plan.stop_s.is_some_and(|stop| elapsed >= ns_of_s(stop));
        let rebooting = self.plan.reboot.is_some_and(|reboot| {
            (ns_of_s(reboot.at_s)..ns_of_s(reboot.at_s + reboot.down_s)).contains(&elapsed)
        });
        stopped || rebooting || self.plan.silent.iter().any(|window| window.holds(elapsed))
    }

    fn source(&self, port: u16) -> SocketAddrV4 {
        let [.., a, b] = self.plan.uuid;
        SocketAddrV4::new(Ipv4Addr::new(10, 77, a, b), port)
    }
}

fn leader_time(ns: i64) -> Timestamp<LeaderScale> {
    Timestamp::from_ns(ns)
}

/// A forger does it like the leader: the Follow_Up comes 80 µs after the Sync.
const FORGED_FOLLOW_UP_NS: i64 = 80_000;

/// Dante sends from ephemeral ports.
const EVENT_SOURCE: u16 = 49_155;
const GENERAL_SOURCE: u16 = 49_156;

/// Somebody who is not a leader.
#[derive(Debug)]
pub(super) struct Stranger {
    plan: StrangerPlan,
    start: i64,
    next: i64,
    sequence: u16,
    random: Random,
}

impl Stranger {
    /// The stranger with this number, in a world that starts at true time `start`.
    pub(super) fn new(plan: StrangerPlan, seed: u64, index: usize, start: i64) -> Self {
        let mut random = Random::stream(seed, &format!("stranger {index}"));
        let next = start + ns_of_s(random.uniform() / plan.per_s);
        Self { plan, start, next, sequence: 0, random }
    }

    /// When it sends next by its own rhythm, in true time.
    pub(super) fn next_tick(&self) -> Option<i64> {
        (self.plan.kind != StrangerKind::Impostor).then_some(self.next)
    }

    /// What it sends now by its own rhythm.
    pub(super) fn tick(&mut self) -> Option<Outgoing> {
        let at = self.next;
        self.next += ns_of_s(1.0 / self.plan.per_s);
        self.sequence = self.sequence.wrapping_add(1);
        let payload = match self.plan.kind {
            StrangerKind::PtpV2 => self.ptp_v2(at),
            StrangerKind::Forger => self.forged(at),
            StrangerKind::Impostor => return None,
        };
        if !self.plan.window().holds(at - self.start) {
            return None;
        }
        let source = SocketAddrV4::new(Ipv4Addr::new(10, 77, 9, 9), EVENT_SOURCE);
        Some(Outgoing { at, port: Port::Event, source, payload })
    }

    /// What it sends when the leader has sent a Sync at true time `at`.
    pub(super) fn follow(&mut self, leader: &Leader, at: i64) -> Option<[Outgoing; 2]> {
        if self.plan.kind != StrangerKind::Impostor || !self.plan.window().holds(at - self.start) {
            return None;
        }
        let later = self.random.between(0.1, 0.9) * leader.interval() as f64;
        let strikes = self.random.chance(self.plan.share);
        strikes.then(|| leader.forged(at + later as i64, ns_of_s(self.plan.wrong_ms / 1e3)))
    }

    /// A PTPv2 Sync of 44 octets.
    fn ptp_v2(&self, at: i64) -> Payload {
        let mut bytes = [0; 44];
        bytes[1] = 2;
        bytes[3] = 44;
        bytes[6] = 2;
        bytes[20..28].copy_from_slice(&[0x02, 0x1d, 0xc1, 0xff, 0xfe, 0, 0, 9]);
        bytes[29] = 1;
        bytes[30..32].copy_from_slice(&self.sequence.to_be_bytes());
        let origin = wire_time(leader_time(at % FORGED_EPOCH_NS));
        bytes[36..40].copy_from_slice(&origin.seconds().to_be_bytes());
        bytes[40..44].copy_from_slice(&origin.nanoseconds().to_be_bytes());
        Payload::new(&bytes)
    }

    /// A Sync that would win any election, each time from another leader.
    fn forged(&mut self, at: i64) -> Payload {
        let [a, b, c, d, e, ..] = self.random.bits().to_be_bytes();
        let voice = Voice {
            subdomain: DEFAULT_SUBDOMAIN,
            uuid: [2, a, b, c, d, e],
            port: 1,
            stratum: 1,
            variance: VARIANCE,
            preferred: true,
            interval_log2: -1,
        };
        voice.sync(self.sequence, leader_time(at % FORGED_EPOCH_NS))
    }
}

/// A stranger's clock starts anew after so long: 1000 s, a plausible uptime.
const FORGED_EPOCH_NS: i64 = 1_000_000_000_000;

/// What a leader puts into all of its messages.
fn voice(plan: &LeaderPlan) -> Voice {
    Voice {
        subdomain: padded(&plan.subdomain),
        uuid: plan.uuid,
        port: plan.port,
        stratum: plan.stratum,
        variance: plan.variance,
        preferred: plan.preferred,
        interval_log2: interval_log2(Span::from_secs_f64(plan.interval_s)),
    }
}

fn padded(subdomain: &str) -> [u8; 16] {
    let mut octets = [0; 16];
    octets.iter_mut().zip(subdomain.bytes()).for_each(|(to, from)| *to = from);
    octets
}

#[cfg(test)]
mod tests {
    use super::super::plan::{RateStep, Reboot, Window};
    use super::*;
    use crate::ptp::DropReason;
    use crate::ptp::wire::{Body, Message};

    const START: i64 = 1_000_000_000_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    fn message(outgoing: &Outgoing) -> Message<'_> {
        Message::parse(outgoing.payload.as_slice()).unwrap()
    }

    fn precise_origin(follow_up: &Outgoing) -> Timestamp<LeaderScale> {
        let Body::FollowUp { precise_origin, .. } = message(follow_up).body else { panic!("{follow_up:?}") };
        precise_origin.to_timestamp().unwrap()
    }

    #[test]
    fn a_leaders_plan_reaches_the_wire() {
        let mut leader = Leader::new(
            LeaderPlan {
                uuid: [2, 0, 0, 0, 0, 7],
                port: 3,
                stratum: 2,
                variance: -5_000,
                preferred: false,
                subdomain: "_ALT2".to_owned(),
                interval_s: 0.5,
                ..LeaderPlan::default()
            },
            1,
            0,
            START,
        );
        let [sync, follow_up] = leader.tick().unwrap();
        assert_eq!((sync.port, follow_up.port), (Port::Event, Port::General));
        let (sync, follow_up) = (message(&sync), message(&follow_up));
        assert_eq!(sync.header, follow_up.header);
        assert_eq!(sync.header.leader_id(), leader.id());
        assert_eq!((sync.header.source.uuid, sync.header.source.port), ([2, 0, 0, 0, 0, 7], 3));
        assert_eq!(&sync.header.subdomain, b"_ALT2\0\0\0\0\0\0\0\0\0\0\0");
        let Body::Sync(body) = sync.body else { panic!("{sync:?}") };
        assert_eq!((body.grandmaster_clock_stratum, body.grandmaster_clock_variance), (2, -5_000));
        assert_eq!((body.grandmaster_preferred, body.sync_interval), (false, -1));
    }

    fn stranger(kind: StrangerKind) -> StrangerPlan {
        StrangerPlan { kind, per_s: 8.0, ..StrangerPlan::default() }
    }

    #[test]
    fn an_impostor_speaks_in_the_leaders_name_with_its_next_sequence_id_and_a_wrong_time() {
        let mut leader = Leader::new(LeaderPlan::default(), 1, 0, START);
        let [sync, _] = leader.tick().unwrap();
        let plan = StrangerPlan { share: 0.1, from_s: 10.0, ..stranger(StrangerKind::Impostor) };
        let mut impostor = Stranger::new(plan, 1, 0, START);
        assert!(impostor.follow(&leader, START + 9 * SECOND).is_none() && impostor.next_tick().is_none());
        let pairs: Vec<_> =
            (0..1_000).filter_map(|_| impostor.follow(&leader, START + 10 * SECOND)).collect();
        assert!((70..130).contains(&pairs.len()), "{}", pairs.len());
        for [forged, follow_up] in &pairs {
            let header = message(forged).header;
            assert_eq!(header.leader_id(), leader.id());
            assert_eq!(header.sequence_id, message(&sync).header.sequence_id.wrapping_add(1));
            assert_eq!(forged.source, sync.source);
            let right = leader.clock.at(0, forged.at);
            assert_eq!(precise_origin(follow_up).as_ns() - right, 5_000_000);
        }
    }

    #[test]
    fn a_burst_has_its_own_rhythm_and_a_sequence_begins_where_it_is_told() {
        let burst = vec![Burst { from_s: 10.0, until_s: 20.0, interval_s: 0.0625 }];
        let plan = LeaderPlan { burst, first_sequence: Some(65_530), ..LeaderPlan::default() };
        let mut leader = Leader::new(plan, 1, 0, START);
        let syncs: Vec<_> = (0..240).map(|_| leader.tick().unwrap()[0]).collect();
        let within = |from: i64, until: i64| {
            let inside = (START + from * SECOND)..(START + until * SECOND);
            syncs.iter().filter(|sync| inside.contains(&sync.at)).count()
        };
        assert_eq!((within(0, 10), within(20, 30)), (40, 40));
        assert!((158..=161).contains(&within(10, 20)), "{}", within(10, 20));
        let ids: Vec<u16> = syncs.iter().take(7).map(|sync| message(sync).header.sequence_id).collect();
        assert_eq!(ids, [65_531, 65_532, 65_533, 65_534, 65_535, 0, 1]);
    }

    #[test]
    fn strangers_are_what_they_are_called() {
        let tick = |kind| Stranger::new(stranger(kind), 1, 0, START).tick().unwrap();
        assert_eq!(Message::parse(tick(StrangerKind::PtpV2).payload.as_slice()), Err(DropReason::VersionTwo));
        let mut forger = Stranger::new(stranger(StrangerKind::Forger), 1, 0, START);
        let [first, second] = [forger.tick().unwrap(), forger.tick().unwrap()];
        let (first, second) = (message(&first), message(&second));
        assert_ne!(first.header.leader_id(), second.header.leader_id());
        let Body::Sync(body) = first.body else { panic!("{first:?}") };
        assert!(body.grandmaster_preferred && body.grandmaster_clock_stratum == 1);
    }

    #[test]
    fn a_leader_tells_its_time_at_the_moment_of_sending() {
        let plan = LeaderPlan { rate_ppm: 10.0, ..LeaderPlan::default() };
        let mut leader = Leader::new(plan, 1, 0, START);
        for _ in 0..1_000 {
            let [sync, follow_up] = leader.tick().unwrap();
            let elapsed = sync.at - START;
            let expected = 86_400 * SECOND + elapsed + elapsed / 100_000;
            assert!((precise_origin(&follow_up).as_ns() - expected).abs() <= 1);
            assert!((53_000..=103_000).contains(&(follow_up.at - sync.at)));
        }
    }

    #[test]
    fn a_rate_step_bends_the_clock_without_a_jump() {
        let rate_step = vec![RateStep { at_s: 100.0, ppm: 25.0, counter: false }];
        let clock =
            LeaderClock::new(&LeaderPlan { rate_step, uptime_s: 0.0, ..LeaderPlan::default() }, START);
        assert_eq!(clock.at(0, START + 100 * SECOND), 100 * SECOND);
        assert_eq!(clock.at(0, START + 200 * SECOND), 200 * SECOND + 2_500_000);
        assert_eq!(clock.rate(0, START + 99 * SECOND), 0.0);
        assert!((clock.rate(0, START + 100 * SECOND) - 25e-6).abs() < 1e-15);
    }

    #[test]
    fn a_reboot_restarts_time_and_sequence() {
        let reboot = Some(Reboot { at_s: 10.0, down_s: 4.0 });
        let mut leader = Leader::new(LeaderPlan { reboot, ..LeaderPlan::default() }, 1, 0, START);
        let heard: Vec<_> = (0..80).filter_map(|_| leader.tick()).collect();
        assert_eq!(heard.len(), 64);
        let first = heard.iter().find(|[sync, _]| sync.at > START + 12 * SECOND).unwrap();
        assert_eq!(message(&first[0]).header.sequence_id, 0);
        assert!(precise_origin(&first[1]) < leader_time(SECOND));
        assert_eq!(leader.clock.life_at(START + 13 * SECOND), 0);
        assert_eq!(leader.clock.at(1, START + 15 * SECOND), SECOND);
    }

    #[test]
    fn a_silent_leader_keeps_its_rhythm_and_its_time() {
        let silent = vec![Window { from_s: 1.0, until_s: 2.0 }];
        let mut leader = Leader::new(LeaderPlan { silent, ..LeaderPlan::default() }, 1, 0, START);
        let ticks: Vec<_> = (0..12).map(|_| leader.tick().is_some()).collect();
        assert_eq!(ticks.iter().filter(|heard| !**heard).count(), 4);
        assert!(!ticks[4] && ticks[11]);
    }
}
