//! Who is asked when, and which answers count. Values in, values out; time is an argument.
//!
//! Each server gets a short burst at start, then one request per [`POLL`]. A server that does not answer is
//! asked again after 2, 4, 8 … 64 s. An answer counts only if it gives back the number the request carried,
//! comes from the address asked, and its server says that it is synchronised.

use super::wire::{Leap, NtpTime, Packet};
use super::{NtpEvent, ServerIndex};
use crate::net::Stamp;
use crate::time::{Raw, Span, Timestamp, Utc};

/// Requests of the burst at start: the best of four is within a fraction of the path's usual spread.
const BURST: u32 = 4;
/// Distance between the requests of the burst.
const BURST_INTERVAL: Span = Span::from_ms(500);
/// Distance between requests afterwards: what public servers tolerate, and enough with the leader as flywheel.
pub const POLL: Span = Span::from_secs(16);
/// A request that is older is given up.
const TIMEOUT: Span = Span::from_secs(2);
/// The first retry of a silent server comes after this, each next one after twice as long …
const BACKOFF_MIN: Span = Span::from_secs(2);
/// … up to this.
const BACKOFF_MAX: Span = Span::from_secs(64);
/// An answer that was on its way for longer says nothing about the date that the start does not know better.
const DELAY_MAX: Span = Span::from_secs(1);
/// A server further than this from its reference is not a source (RFC 5905, MAXDIST is 1.5 s).
const ROOT_DISTANCE_MAX: Span = Span::from_ms(1_500);

/// What one request and its answer say about UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exchange {
    /// Who was asked.
    pub server: ServerIndex,
    /// The middle of the exchange on the raw timeline.
    pub raw: Timestamp<Raw>,
    /// UTC at that instant, if both ways took as long.
    pub utc: Timestamp<Utc>,
    /// Time on the wire, both ways together; the error of `utc` is at most half of it.
    pub delay: Span,
    /// What the server itself can be off: half of its root delay plus its dispersion.
    pub root_distance: Span,
    /// The server's leap warning.
    pub leap: Leap,
    /// The server's stratum.
    pub stratum: u8,
}

/// Why an answer was not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It answers no request that is open: late, repeated, or forged.
    #[error("answers no open request")]
    Unasked,
    /// It is no NTP packet, or not a server's.
    #[error("is not an NTP server's packet")]
    NotNtp,
    /// The server refuses to serve: kiss-o'-death.
    #[error("says {0}: it refuses to serve us")]
    Kiss(String),
    /// The server is not synchronised, by its leap indicator or stratum.
    #[error("is not synchronised itself (stratum {stratum})")]
    Unsynchronised {
        /// Its stratum.
        stratum: u8,
    },
    /// The server says it is too far from its reference.
    #[error("is {0} from its reference clock, at most 1.5 s allowed")]
    TooFar(Span),
    /// The answer's times contradict each other, or took too long.
    #[error("gives times that cannot be ({0} on the wire)")]
    Times(Span),
    /// It arrived without a usable stamp.
    #[error("arrived without a stamp")]
    NoStamp,
    /// The operating system could not send, or the port is closed.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
}

/// Decides about requests and answers of all servers.
#[derive(Debug)]
pub struct Client {
    servers: Vec<Server>,
    random: u64,
    requests: u64,
    rejected: u64,
}

#[derive(Debug, Clone)]
struct Server {
    due: Timestamp<Raw>,
    open: Option<Open>,
    burst_left: u32,
    backoff: Span,
    ever_answered: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    nonce: u64,
    sent: Stamp,
}

impl Client {
    /// For `servers` servers. `seed` should be unpredictable: the numbers in the requests come from it.
    pub fn new(servers: usize, seed: u64, now: Timestamp<Raw>) -> Self {
        let server =
            Server { due: now, open: None, burst_left: BURST, backoff: BACKOFF_MIN, ever_answered: false };
        Self { servers: vec![server; servers], random: seed, requests: 0, rejected: 0 }
    }

    /// When the next request is due.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.servers.iter().map(|server| server.due).min()
    }

    /// The next request that is due, with the bytes to send; tell the outcome to [`Self::handle_sent`].
    pub fn poll_request(&mut self, now: Timestamp<Raw>) -> Option<(ServerIndex, Packet)> {
        let index = self.servers.iter().position(|server| server.due <= now)?;
        let nonce = self.next_nonce();
        let server = self.servers.get_mut(index)?;
        // A request still open when the next one is due was lost.
        if server.open.take().is_some() {
            server.lost();
        }
        server.due = now + server.interval();
        self.requests = self.requests.saturating_add(1);
        Some((ServerIndex(index), Packet::request(nonce)))
    }

    /// Tells when the request left, or that it did not.
    pub fn handle_sent(&mut self, index: ServerIndex, request: &Packet, sent: Option<Stamp>) {
        let Some(server) = self.servers.get_mut(index.0) else { return };
        match sent {
            Some(sent) => server.open = Some(Open { nonce: request.transmit.0, sent }),
            None => {
                server.open = None;
                server.lost();
            }
        }
    }

    /// Takes an event of the sockets: an exchange comes out when an answer counts.
    ///
    /// # Errors
    /// Why an answer does not count.
    pub fn handle_event(&mut self, event: NtpEvent) -> Result<Option<Exchange>, Rejected> {
        let outcome = match event {
            NtpEvent::Response { server, source: _, stamp, payload } => {
                let arrived = stamp.map_err(|_| Rejected::NoStamp);
                self.handle_response(server, payload.as_slice(), arrived).map(Some)
            }
            NtpEvent::Transmitted { server, stamp } => {
                if let Some(open) = self.servers.get_mut(server.0).and_then(|server| server.open.as_mut()) {
                    open.sent = stamp;
                }
                Ok(None)
            }
            NtpEvent::Failed { server, reason } => {
                if let Some(server) = self.servers.get_mut(server.0) {
                    server.open = None;
                    server.lost();
                }
                Err(Rejected::Unreachable(reason))
            }
        };
        if outcome.is_err() {
            self.rejected = self.rejected.saturating_add(1);
        }
        outcome
    }

    fn handle_response(
        &mut self,
        index: ServerIndex,
        bytes: &[u8],
        arrived: Result<Stamp, Rejected>,
    ) -> Result<Exchange, Rejected> {
        let packet = Packet::parse(bytes).map_err(|_| Rejected::NotNtp)?;
        if !packet.is_server() {
            return Err(Rejected::NotNtp);
        }
        let server = self.servers.get_mut(index.0).ok_or(Rejected::Unasked)?;
        let open = server.open.filter(|open| open.nonce == packet.origin.0).ok_or(Rejected::Unasked)?;
        // Whatever the answer says: this request is done, and a replay of it answers nothing.
        server.open = None;
        if packet.stratum == 0 {
            server.refused();
            return Err(Rejected::Kiss(packet.reference_id.escape_ascii().to_string()));
        }
        let exchange = check(index, &packet, open.sent, arrived?);
        match exchange {
            Ok(_) => server.answered(open.sent.at),
            Err(_) => server.lost(),
        }
        exchange
    }

    /// Requests made, and answers that did not count.
    pub fn counts(&self) -> (u64, u64) {
        (self.requests, self.rejected)
    }

    /// Whether any server has answered yet.
    pub fn ever_answered(&self) -> bool {
        self.servers.iter().any(|server| server.ever_answered)
    }

    /// A number that cannot be guessed without the seed (splitmix64), never 0.
    fn next_nonce(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).max(1)
    }
}

impl Server {
    /// Time from the request that is sent now to the next one, answers permitting.
    fn interval(&self) -> Span {
        if self.backoff > BACKOFF_MIN {
            self.backoff
        } else if self.burst_left > 0 && self.ever_answered {
            BURST_INTERVAL
        } else {
            TIMEOUT
        }
    }

    fn answered(&mut self, sent: Timestamp<Raw>) {
        self.ever_answered = true;
        self.backoff = BACKOFF_MIN;
        self.burst_left = self.burst_left.saturating_sub(1);
        self.due = sent + if self.burst_left > 0 { BURST_INTERVAL } else { POLL };
    }

    fn lost(&mut self) {
        self.backoff = self.backoff.times(2).min(BACKOFF_MAX);
    }

    /// Kiss-o'-death: the slowest pace, whatever the code.
    fn refused(&mut self) {
        self.backoff = BACKOFF_MAX;
        self.burst_left = 0;
        self.due = self.due + BACKOFF_MAX;
    }
}

/// The arithmetic of the four stamps, and the rules about the server's own state.
fn check(server: ServerIndex, packet: &Packet, sent: Stamp, arrived: Stamp) -> Result<Exchange, Rejected> {
    if packet.leap == Leap::Unknown || packet.stratum >= 16 || packet.transmit == NtpTime(0) {
        return Err(Rejected::Unsynchronised { stratum: packet.stratum });
    }
    let root_distance = packet.root_delay.half() + packet.root_dispersion;
    if root_distance > ROOT_DISTANCE_MAX {
        return Err(Rejected::TooFar(root_distance));
    }
    let (receive, transmit) = (packet.receive.to_utc(), packet.transmit.to_utc());
    let away = arrived.at - sent.at;
    let inside = transmit - receive;
    let delay = away - inside;
    if inside < Span::ZERO || delay < Span::ZERO || delay > DELAY_MAX {
        return Err(Rejected::Times(delay));
    }
    Ok(Exchange {
        server,
        raw: sent.at + away.half(),
        utc: receive + inside.half(),
        delay,
        root_distance,
        leap: packet.leap,
        stratum: packet.stratum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::StampFault;
    use crate::net::{Payload, StampSource};
    use std::net::SocketAddrV4;

    const SERVER: ServerIndex = ServerIndex(0);

    fn at(ms: i64) -> Timestamp<Raw> {
        Timestamp::from_ns(ms * 1_000_000)
    }
    fn stamp(ms: i64) -> Stamp {
        Stamp { at: at(ms), uncertainty: Span::ZERO, source: StampSource::Kernel }
    }
    fn asked(client: &mut Client, ms: i64) -> Packet {
        let (index, request) = client.poll_request(at(ms)).expect("due");
        client.handle_sent(index, &request, Some(stamp(ms)));
        request
    }
    fn answer(request: &Packet) -> Packet {
        Packet {
            mode: 4,
            stratum: 2,
            origin: request.transmit,
            receive: NtpTime::from_utc(Timestamp::from_ns(1_700_000_000_005_000_000)),
            transmit: NtpTime::from_utc(Timestamp::from_ns(1_700_000_000_006_000_000)),
            ..*request
        }
    }
    fn response(packet: &Packet, ms: i64) -> NtpEvent {
        NtpEvent::Response {
            server: SERVER,
            source: SocketAddrV4::new([10, 77, 8, 2].into(), 123),
            stamp: Ok(stamp(ms)),
            payload: Payload::new(&packet.to_bytes()),
        }
    }

    #[test]
    fn four_stamps_make_an_offset_and_a_delay() {
        let mut client = Client::new(1, 7, at(0));
        let request = asked(&mut client, 100);
        let exchange = client.handle_event(response(&answer(&request), 111)).unwrap().unwrap();
        assert_eq!(exchange.delay, Span::from_ms(10));
        assert_eq!(exchange.raw.as_ns(), 105_500_000);
        assert_eq!(exchange.utc.as_ns(), 1_700_000_000_005_500_000);
    }

    #[test]
    fn an_answer_counts_once() {
        let mut client = Client::new(1, 7, at(0));
        let request = asked(&mut client, 100);
        assert!(client.handle_event(response(&answer(&request), 111)).is_ok());
        assert_eq!(client.handle_event(response(&answer(&request), 112)), Err(Rejected::Unasked));
        assert_eq!(client.counts(), (1, 1));
    }

    #[test]
    fn an_answer_to_another_question_is_refused() {
        let mut client = Client::new(1, 7, at(0));
        let request = asked(&mut client, 100);
        let forged = Packet { origin: NtpTime(request.transmit.0 ^ 1), ..answer(&request) };
        assert_eq!(client.handle_event(response(&forged, 111)), Err(Rejected::Unasked));
        assert!(client.handle_event(response(&answer(&request), 111)).is_ok());
    }

    #[test]
    fn servers_that_know_nothing_are_refused() {
        type Lie = fn(&mut Packet);
        let lies: [(Lie, Rejected); 5] = [
            (|p| p.leap = Leap::Unknown, Rejected::Unsynchronised { stratum: 2 }),
            (|p| p.stratum = 16, Rejected::Unsynchronised { stratum: 16 }),
            (|p| p.root_dispersion = Span::from_secs(2), Rejected::TooFar(Span::from_secs(2))),
            (|p| p.transmit = NtpTime(p.transmit.0 - (1 << 32)), Rejected::Times(Span::from_ms(1_010))),
            (|p| (p.stratum, p.reference_id) = (0, *b"RATE"), Rejected::Kiss("RATE".to_owned())),
        ];
        for (lie, expected) in lies {
            let mut client = Client::new(1, 7, at(0));
            let request = asked(&mut client, 100);
            let mut packet = answer(&request);
            lie(&mut packet);
            assert_eq!(client.handle_event(response(&packet, 111)), Err(expected));
        }
        let mut client = Client::new(1, 7, at(0));
        let request = asked(&mut client, 100);
        assert_eq!(
            client.handle_event(response(&Packet { mode: 3, ..answer(&request) }, 111)),
            Err(Rejected::NotNtp)
        );
        let stampless = NtpEvent::Response {
            server: SERVER,
            source: SocketAddrV4::new([10, 77, 8, 2].into(), 123),
            stamp: Err(StampFault::StraddlesStep),
            payload: Payload::new(&answer(&request).to_bytes()),
        };
        assert_eq!(client.handle_event(stampless), Err(Rejected::NoStamp));
    }

    #[test]
    fn a_burst_comes_first_and_then_one_request_per_poll() {
        let mut client = Client::new(1, 7, at(0));
        let mut times = Vec::new();
        for ms in (0..60_000).step_by(10) {
            if client.deadline().unwrap() <= at(ms) {
                let request = asked(&mut client, ms);
                times.push(ms);
                client.handle_event(response(&answer(&request), ms + 11)).unwrap();
            }
        }
        assert_eq!(times, [0, 500, 1_000, 1_500, 17_500, 33_500, 49_500]);
    }

    #[test]
    fn a_silent_server_is_asked_ever_less_often() {
        let mut client = Client::new(1, 7, at(0));
        let mut times = Vec::new();
        for s in 0..400 {
            if client.deadline().unwrap() <= at(s * 1_000) {
                asked(&mut client, s * 1_000);
                times.push(s);
            }
        }
        assert_eq!(times, [0, 2, 6, 14, 30, 62, 126, 190, 254, 318, 382]);
    }

    #[test]
    fn a_kiss_of_death_slows_down_to_the_slowest_pace() {
        let mut client = Client::new(1, 7, at(0));
        let request = asked(&mut client, 0);
        let kiss = Packet { stratum: 0, reference_id: *b"DENY", ..answer(&request) };
        assert!(client.handle_event(response(&kiss, 11)).is_err());
        assert!(client.deadline().unwrap() >= at(64_000));
    }

    #[test]
    fn a_kernel_stamp_replaces_the_early_one() {
        let mut client = Client::new(1, 7, at(0));
        let request = asked(&mut client, 100);
        client.handle_event(NtpEvent::Transmitted { server: SERVER, stamp: stamp(101) }).unwrap();
        let exchange = client.handle_event(response(&answer(&request), 111)).unwrap().unwrap();
        assert_eq!(exchange.delay, Span::from_ms(9));
    }

    #[test]
    fn a_closed_port_is_told_and_asked_again_later() {
        let mut client = Client::new(1, 7, at(0));
        asked(&mut client, 0);
        let failed = NtpEvent::Failed { server: SERVER, reason: "connection refused".to_owned() };
        assert_eq!(client.handle_event(failed), Err(Rejected::Unreachable("connection refused".to_owned())));
        assert!(client.deadline().unwrap() >= at(2_000));
    }

    #[test]
    fn nonces_differ() {
        let mut client = Client::new(1, 7, at(0));
        let nonces: std::collections::BTreeSet<u64> = (0..1_000).map(|_| client.next_nonce()).collect();
        assert_eq!(nonces.len(), 1_000);
    }
}
