//! NTP servers, as seen through their 48 octets.

#![allow(
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a simulator writes its own messages at fixed offsets, with values that it made"
)]

use super::plan::{NtpPlan, ns_of_s};
use super::random::Random;
use crate::net::Payload;

/// A server and the way to it and back.
#[derive(Debug)]
pub(super) struct Server {
    plan: NtpPlan,
    start: i64,
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
    pub(super) fn new(plan: NtpPlan, seed: u64, index: usize, start: i64) -> Self {
        Self { plan, start, random: Random::stream(seed, &format!("ntp {index}")) }
    }

    /// The fate of a request that leaves at true time `at`.
    pub(super) fn ask(&mut self, at: i64, request: &[u8]) -> Fate {
        let law = self.plan.law();
        let arrived = at + law.draw(&mut self.random);
        // What a server's own stack takes.
        let left = arrived + self.random.between(10e3, 40e3) as i64;
        let back = left + law.draw(&mut self.random) + ns_of_s(self.plan.late_s);
        let elapsed = arrived - self.start;
        if self.plan.dead.iter().any(|window| window.holds(elapsed)) {
            Fate::Lost
        } else if self.plan.refused.iter().any(|window| window.holds(elapsed)) {
            Fate::Refused(back)
        } else if request.len() < 48 || request[0] & 7 != CLIENT {
            Fate::Lost
        } else {
            let offset = self.offset(elapsed);
            Fate::Answered(back, self.answer(request, arrived + offset, left + offset))
        }
    }

    fn offset(&self, elapsed: i64) -> i64 {
        let steps = self.plan.offset_step.iter().filter(|step| elapsed >= ns_of_s(step.at_s));
        ns_of_s((self.plan.offset_ms + steps.map(|step| step.ms).sum::<f64>()) / 1e3)
    }

    fn answer(&self, request: &[u8], received: i64, sent: i64) -> Payload {
        let mut bytes = [0; 48];
        bytes[0] = (self.plan.leap << 6) | (request[0] & 0x38) | SERVER;
        bytes[1] = self.plan.stratum;
        bytes[2] = request[2];
        // 2^-20 s: a microsecond.
        bytes[3] = 0xec;
        // Root delay and dispersion in 2^-16 s: 1 ms each.
        bytes[4..8].copy_from_slice(&66_u32.to_be_bytes());
        bytes[8..12].copy_from_slice(&66_u32.to_be_bytes());
        bytes[12..16].copy_from_slice(&[10, 77, 8, 1]);
        bytes[16..24].copy_from_slice(&ntp_time(received - 8_000_000_000).to_be_bytes());
        bytes[24..32].copy_from_slice(&request[40..48]);
        bytes[32..40].copy_from_slice(&ntp_time(received).to_be_bytes());
        bytes[40..48].copy_from_slice(&ntp_time(sent).to_be_bytes());
        Payload::new(&bytes)
    }
}

const CLIENT: u8 = 3;
const SERVER: u8 = 4;

/// ns since 1970 as NTP's 32.32 s since 1900, in whichever era that is.
fn ntp_time(ns: i64) -> u64 {
    let seconds = ns.div_euclid(1_000_000_000) + 2_208_988_800;
    let fraction = (ns.rem_euclid(1_000_000_000) << 32) / 1_000_000_000;
    ((seconds as u64) << 32) | fraction as u64
}

#[cfg(test)]
mod tests {
    use super::super::plan::{OffsetStep, Window};
    use super::*;

    const START: i64 = 1_780_000_000_000_000_000;

    fn request() -> [u8; 48] {
        let mut request = [0; 48];
        request[0] = 0x23;
        request[40..48].copy_from_slice(&[9; 8]);
        request
    }

    fn part(payload: &Payload, at: usize) -> i64 {
        let value = u64::from_be_bytes(payload.as_slice()[at..at + 8].try_into().unwrap());
        let seconds = (value >> 32) as i64 - 2_208_988_800;
        seconds * 1_000_000_000 + (((value & 0xffff_ffff) * 1_000_000_000) >> 32) as i64
    }

    #[test]
    fn an_answer_returns_the_origin_and_tells_utc() {
        let mut server = Server::new(NtpPlan::default(), 1, 0, START);
        let Fate::Answered(back, payload) = server.ask(START, &request()) else { panic!() };
        assert_eq!(payload.as_slice()[..2], [0x24, 2]);
        assert_eq!(payload.as_slice()[24..32], [9; 8]);
        let (received, sent) = (part(&payload, 32), part(&payload, 40));
        assert!(received - START >= 5_000_000 - 1 && sent > received && back - sent >= 5_000_000 - 1);
    }

    #[test]
    fn a_lying_server_lies_from_its_moment_on() {
        let offset_step = vec![OffsetStep { at_s: 100.0, ms: 1_000.0 }];
        let mut server = Server::new(NtpPlan { offset_step, ..NtpPlan::default() }, 1, 0, START);
        for (elapsed, lie) in [(0, 0), (100_000_000_000, 1_000_000_000)] {
            let at = START + elapsed;
            let Fate::Answered(_, payload) = server.ask(at, &request()) else { panic!() };
            assert!((part(&payload, 32) - at - lie - 5_000_000).abs() < 7_000_000);
        }
    }

    #[test]
    fn dead_refusing_and_misaddressed_requests_are_not_answered() {
        let always = vec![Window { from_s: 0.0, until_s: 1e6 }];
        let mut dead = Server::new(NtpPlan { dead: always.clone(), ..NtpPlan::default() }, 1, 0, START);
        assert!(matches!(dead.ask(START, &request()), Fate::Lost));
        let mut refusing = Server::new(NtpPlan { refused: always, ..NtpPlan::default() }, 1, 0, START);
        assert!(matches!(refusing.ask(START, &request()), Fate::Refused(at) if at > START));
        let mut server = Server::new(NtpPlan::default(), 1, 0, START);
        assert!(matches!(server.ask(START, &[0; 48]), Fate::Lost));
    }
}
