//! NTP servers, as seen through their 48 octets.

#![allow(clippy::as_conversions, reason = "delays of microseconds become whole nanoseconds")]

use super::load::Load;
use super::plan::{LeapPlan, NtpPlan, ns_of_s};
use super::random::Random;
use crate::leader::ntp_server::answer;
use crate::net::Payload;
use crate::ntp::wire::{Leap, NtpTime, Packet};
use crate::time::{Timestamp, Utc};

/// A server and the way to it and back.
#[derive(Debug)]
pub(super) struct Server {
    plan: NtpPlan,
    leap: Option<LeapPlan>,
    start: i64,
    load: Load,
    random: Random,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::large_enum_variant, reason = "lives for one call")]
pub(super) enum Fate {
    /// Nothing ever comes back.
    Lost,
    /// "Port unreachable" comes back at this true time.
    Refused(i64),
    /// This answer comes back at this true time.
    Answered(i64, Payload),
}

impl Server {
    /// The server with this number, in a world that starts at true time `start`.
    pub(super) fn new(plan: NtpPlan, leap: Option<LeapPlan>, seed: u64, index: usize, start: i64) -> Self {
        let name = format!("ntp {index}");
        Self { plan, leap, start, load: Load::new(seed, &name), random: Random::stream(seed, &name) }
    }

    /// The fate of a request that leaves at true time `at`.
    pub(super) fn ask(&mut self, at: i64, request: &[u8]) -> Fate {
        let law = self.plan.law();
        let arrived = at + law.draw(at - self.start, &mut self.load, &mut self.random);
        // What a server's own stack takes.
        let left = arrived + self.random.between(10e3, 40e3) as i64;
        let back =
            left + law.draw(left - self.start, &mut self.load, &mut self.random) + ns_of_s(self.plan.late_s);
        let elapsed = arrived - self.start;
        if self.plan.dead.iter().any(|window| window.holds(elapsed)) {
            Fate::Lost
        } else if self.plan.refused.iter().any(|window| window.holds(elapsed)) {
            Fate::Refused(back)
        } else {
            let offset = self.offset(elapsed);
            let answer = self.answer(request, self.leap(elapsed), utc(arrived + offset), utc(left + offset));
            answer.map_or(Fate::Lost, |answer| Fate::Answered(back, answer))
        }
    }

    fn offset(&self, elapsed: i64) -> i64 {
        let steps = self.plan.offset_step.iter().filter(|step| elapsed >= ns_of_s(step.at_s));
        let leapt = self.leap.map_or(0, |leap| leap.leapt_ns(elapsed));
        leapt + ns_of_s((self.plan.offset_ms + steps.map(|step| step.ms).sum::<f64>()) / 1e3)
    }

    /// What it says of leap seconds.
    fn leap(&self, elapsed: i64) -> Leap {
        let ahead = self.leap.filter(|leap| !self.plan.leap_unannounced && leap.leapt_ns(elapsed) == 0);
        match (self.plan.leap, ahead) {
            (0, None) => Leap::None,
            (0, Some(LeapPlan { delete: false, .. })) | (1, _) => Leap::Insert,
            (0, Some(LeapPlan { delete: true, .. })) | (2, _) => Leap::Delete,
            _ => Leap::Unknown,
        }
    }

    /// `None` for anything but a client's request.
    fn answer(
        &self,
        request: &[u8],
        leap: Leap,
        arrived: Timestamp<Utc>,
        left: Timestamp<Utc>,
    ) -> Option<Payload> {
        let packet = Packet {
            leap,
            stratum: self.plan.stratum,
            reference_id: REFERENCE_ID,
            transmit: NtpTime::from_utc(left),
            ..answer(request, arrived)?
        };
        Some(Payload::new(&packet.to_bytes()))
    }
}

/// All servers here have their time from the same one.
const REFERENCE_ID: [u8; 4] = [10, 77, 8, 1];

const fn utc(ns: i64) -> Timestamp<Utc> {
    Timestamp::from_ns(ns)
}

#[cfg(test)]
mod tests {
    use super::super::plan::{OffsetStep, Window};
    use super::*;

    const START: i64 = 1_780_000_000_000_000_000;

    const COOKIE: u64 = 0x0909_0909_0909_0909;

    fn request() -> [u8; 48] {
        Packet::request(COOKIE).to_bytes()
    }

    fn packet(payload: &Payload) -> Packet {
        Packet::parse(payload.as_slice()).unwrap()
    }

    #[test]
    fn an_answer_returns_the_origin_and_tells_utc() {
        let mut server = Server::new(NtpPlan::default(), None, 1, 0, START);
        let Fate::Answered(back, payload) = server.ask(START, &request()) else { panic!() };
        let answer = packet(&payload);
        assert_eq!((answer.leap, answer.mode, answer.stratum), (Leap::None, 4, 2));
        assert_eq!(answer.origin, NtpTime(COOKIE));
        let (received, sent) = (answer.receive.to_utc().as_ns(), answer.transmit.to_utc().as_ns());
        assert!(received - START >= 5_000_000 - 1 && sent > received && back - sent >= 5_000_000 - 1);
    }

    #[test]
    fn a_lying_server_lies_from_its_moment_on() {
        let offset_step = vec![OffsetStep { at_s: 100.0, ms: 1_000.0 }];
        let mut server = Server::new(NtpPlan { offset_step, ..NtpPlan::default() }, None, 1, 0, START);
        for (elapsed, lie) in [(0, 0), (100_000_000_000, 1_000_000_000)] {
            let at = START + elapsed;
            let Fate::Answered(_, payload) = server.ask(at, &request()) else { panic!() };
            let received = packet(&payload).receive.to_utc().as_ns();
            assert!((received - at - lie - 5_000_000).abs() < 7_000_000);
        }
    }

    #[test]
    fn a_leap_second_is_announced_made_and_not_announced_any_more() {
        for (delete, announced, jump) in [(false, Leap::Insert, -1), (true, Leap::Delete, 1)] {
            let leap = LeapPlan { at_s: 100.0, delete };
            let mut server = Server::new(NtpPlan::default(), Some(leap), 1, 0, START);
            for (elapsed, leap, jumped) in [(50, announced, 0), (200, Leap::None, jump)] {
                let at = START + elapsed * 1_000_000_000;
                let Fate::Answered(_, payload) = server.ask(at, &request()) else { panic!() };
                let packet = packet(&payload);
                assert_eq!(packet.leap, leap);
                let ahead = packet.receive.to_utc().as_ns() - at;
                assert!((ahead - jumped * 1_000_000_000 - 5_000_000).abs() < 7_000_000, "{ahead}");
            }
        }
    }

    #[test]
    fn dead_refusing_and_misaddressed_requests_are_not_answered() {
        let always = vec![Window { from_s: 0.0, until_s: 1e6 }];
        let mut dead = Server::new(NtpPlan { dead: always.clone(), ..NtpPlan::default() }, None, 1, 0, START);
        assert!(matches!(dead.ask(START, &request()), Fate::Lost));
        let mut refusing = Server::new(NtpPlan { refused: always, ..NtpPlan::default() }, None, 1, 0, START);
        assert!(matches!(refusing.ask(START, &request()), Fate::Refused(at) if at > START));
        let mut server = Server::new(NtpPlan::default(), None, 1, 0, START);
        assert!(matches!(server.ask(START, &[0; 48]), Fate::Lost));
    }
}
