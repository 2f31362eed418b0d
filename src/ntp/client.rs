//! Who is asked when, and which answers count. Values in, values out; time is an argument.
//!
//! Each server gets a burst at start, which lasts until the first fix, then one request per [`POLL_MIN`] to
//! [`POLL_MAX`], as the estimator wishes, and a small burst where it answers again after a silence. A server
//! that does not answer is asked again after 16, 32, 64 s; one that never did, after 2, 4, 8 … 64 s. One that
//! asks for fewer requests (RATE) gets fewer, and one that wants none (DENY, RSTR) none.
//!
//! An answer counts only if it gives back the number the request carried, comes from the address asked (the
//! sockets are connected, so the kernel sees to that), and its server says that it is synchronised.

use super::wire::{Leap, NtpTime, Packet};
use super::{NtpEvent, ServerIndex};
use crate::net::Stamp;
use crate::time::{Raw, Span, Timestamp, Utc};

/// The first requests of the burst at start: the best of four is within a fraction of the path's usual spread.
const BURST: u32 = 4;
/// Distance between them.
const BURST_INTERVAL: Span = Span::from_ms(500);
/// As long as the first fix is in doubt, the burst goes on at this pace …
const DOUBT_INTERVAL: Span = Span::from_secs(2);
/// … up to so many requests.
const BURST_MAX: u32 = 12;
/// Requests, this far apart, to a server that answers again after a silence.
const BURST_AGAIN: u32 = 3;
/// Unanswered requests that make a silence.
const SILENCE: u32 = 3;
/// Shortest distance between requests afterwards: what public servers tolerate.
pub const POLL_MIN: Span = Span::from_secs(16);
/// Longest distance: a jump of a server is noticed within minutes.
pub const POLL_MAX: Span = Span::from_secs(256);
/// Longest distance for a server that asks for fewer requests.
const POLL_SLOW: Span = Span::from_secs(1_024);
/// The first retry of a server that never answered comes after this, each next one after twice as long …
const BACKOFF_MIN: Span = Span::from_secs(2);
/// … up to this.
const BACKOFF_MAX: Span = Span::from_secs(64);
/// More doublings than that lead nowhere.
const DOUBLINGS_MAX: u32 = 5;
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
    #[error("answers, but its answers arrive without a stamp")]
    NoStamp,
    /// The operating system could not send, or the port is closed.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
}

impl Rejected {
    /// Whether these are the server's own words, or the network's about it: only they are worth telling, a forger's
    /// are not.
    pub const fn is_of_server(&self) -> bool {
        matches!(self, Self::Kiss(_) | Self::Unsynchronised { .. } | Self::TooFar(_) | Self::Unreachable(_))
    }
}

/// How many answers were not used, by reason; see [`Rejected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct RejectedCounts {
    /// They answered no request that was open.
    pub unasked: u64,
    /// They were no NTP packets, or not a server's.
    pub not_ntp: u64,
    /// The server refused to serve.
    pub kiss: u64,
    /// The server was not synchronised itself.
    pub unsynchronised: u64,
    /// The server was too far from its reference.
    pub too_far: u64,
    /// Their times contradicted each other, or they took too long.
    pub times: u64,
    /// They arrived without a usable stamp.
    pub no_stamp: u64,
    /// The server could not be reached.
    pub unreachable: u64,
}

impl RejectedCounts {
    fn add(&mut self, reason: &Rejected) {
        let count = match reason {
            Rejected::Unasked => &mut self.unasked,
            Rejected::NotNtp => &mut self.not_ntp,
            Rejected::Kiss(_) => &mut self.kiss,
            Rejected::Unsynchronised { .. } => &mut self.unsynchronised,
            Rejected::TooFar(_) => &mut self.too_far,
            Rejected::Times(_) => &mut self.times,
            Rejected::NoStamp => &mut self.no_stamp,
            Rejected::Unreachable(_) => &mut self.unreachable,
        };
        *count = count.saturating_add(1);
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        let Self { unasked, not_ntp, kiss, unsynchronised, too_far, times, no_stamp, unreachable } = *self;
        [unasked, not_ntp, kiss, unsynchronised, too_far, times, no_stamp, unreachable]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// Decides about requests and answers of all servers.
#[derive(Debug)]
pub struct Client {
    servers: Vec<Server>,
    random: u64,
    requests: u64,
    rejected: RejectedCounts,
}

#[derive(Debug, Clone)]
struct Server {
    due: Timestamp<Raw>,
    open: Option<Open>,
    /// When the last request was made.
    asked: Option<Timestamp<Raw>>,
    /// Requests that are left of a burst.
    burst_left: u32,
    /// Requests that were not answered since the last one that was.
    unanswered: u32,
    /// As far apart as the estimator wishes.
    poll: Span,
    /// As far apart as the server wishes.
    poll_least: Span,
    ever_answered: bool,
    /// It does not want to be asked.
    refuses: bool,
    /// Why its last answer did not count, or none came.
    refusal: Option<Rejected>,
}

/// What came of an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    /// Nothing yet.
    Nothing,
    /// A complete exchange.
    Exchange(Exchange),
    /// Under the server's name there is another one now.
    Another(ServerIndex),
}

#[derive(Debug, Clone, Copy)]
struct Open {
    nonce: u64,
    sent: Stamp,
}

impl Client {
    /// For `servers` servers. `seed` should be unpredictable: the numbers in the requests come from it.
    pub fn new(servers: usize, seed: u64, now: Timestamp<Raw>) -> Self {
        let server = Server::new(now, BURST_MAX);
        Self {
            servers: vec![server; servers],
            random: seed,
            requests: 0,
            rejected: RejectedCounts::default(),
        }
    }

    /// When the next request is due.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.servers.iter().filter(|server| !server.refuses).map(|server| server.due).min()
    }

    /// The next request that is due, with the bytes to send; tell the outcome to [`Self::handle_sent`].
    pub fn poll_request(&mut self, now: Timestamp<Raw>) -> Option<(ServerIndex, Packet)> {
        let index = self.servers.iter().position(|server| server.due <= now && !server.refuses)?;
        let nonce = self.next_nonce();
        let server = self.servers.get_mut(index)?;
        // A request still open when the next one is due was lost.
        if server.open.take().is_some() {
            server.lost();
        }
        server.asked = Some(now);
        server.due = now + server.retry_after();
        self.requests = self.requests.saturating_add(1);
        Some((ServerIndex(index), Packet::request(nonce)))
    }

    /// The server need not be asked again before `poll` has passed since the last request.
    pub fn set_poll(&mut self, index: ServerIndex, poll: Span) {
        let Some(server) = self.servers.get_mut(index.0) else { return };
        server.poll = poll.max(POLL_MIN).min(POLL_MAX);
        if server.open.is_none() && server.unanswered == 0 {
            server.schedule();
        }
    }

    /// The first fix has been made: the bursts at start end.
    pub fn end_burst(&mut self) {
        for server in &mut self.servers {
            server.burst_left = if server.ever_answered { 0 } else { server.burst_left.min(BURST_AGAIN) };
            if server.open.is_none() && server.unanswered == 0 {
                server.schedule();
            }
        }
    }

    /// The network has changed: who was silent may be within reach now.
    pub fn network_changed(&mut self, now: Timestamp<Raw>) {
        for server in &mut self.servers {
            let rested = server.asked.is_none_or(|asked| now - asked >= POLL_MIN);
            if rested && server.unanswered > 0 {
                server.due = now;
            }
        }
    }

    /// The computer has slept: what is on its way says nothing any more, and the date is asked for as at a start.
    pub fn woke_up(&mut self, now: Timestamp<Raw>) {
        for server in &mut self.servers {
            server.open = None;
            (server.due, server.burst_left) = (now, BURST_MAX);
        }
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
    pub fn handle_event(&mut self, event: NtpEvent) -> Result<Answer, Rejected> {
        let outcome = match event {
            NtpEvent::Response { server, source: _, stamp, payload } => {
                let arrived = stamp.map_err(|_| Rejected::NoStamp);
                self.handle_response(server, payload.as_slice(), arrived).map(Answer::Exchange)
            }
            NtpEvent::Transmitted { server, stamp } => {
                if let Some(open) = self.servers.get_mut(server.0).and_then(|server| server.open.as_mut()) {
                    open.sent = stamp;
                }
                Ok(Answer::Nothing)
            }
            NtpEvent::Failed { server, reason, .. } => {
                if let Some(server) = self.servers.get_mut(server.0).filter(|server| server.open.is_some()) {
                    server.open = None;
                    server.lost();
                    server.refusal = Some(Rejected::Unreachable(reason.clone()));
                }
                Err(Rejected::Unreachable(reason))
            }
            NtpEvent::Another { server: index } => {
                if let Some(server) = self.servers.get_mut(index.0) {
                    *server = Server {
                        ever_answered: server.ever_answered,
                        ..Server::new(server.due, BURST_AGAIN)
                    };
                }
                Ok(Answer::Another(index))
            }
        };
        if let Err(reason) = &outcome {
            self.rejected.add(reason);
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
            server.kissed(&packet.reference_id);
            let kiss = Rejected::Kiss(packet.reference_id.escape_ascii().to_string());
            server.refusal = Some(kiss.clone());
            return Err(kiss);
        }
        let exchange = arrived.and_then(|arrived| check(index, &packet, open.sent, arrived));
        match exchange {
            Ok(_) => server.answered(),
            Err(_) => server.lost(),
        }
        server.refusal = exchange.as_ref().err().cloned();
        exchange
    }

    /// Requests made, and answers that did not count.
    pub fn counts(&self) -> (u64, RejectedCounts) {
        (self.requests, self.rejected)
    }

    /// Why this server's last answer did not count, or none came; `None` if it counted, or nothing was heard at all.
    pub fn refusal(&self, index: ServerIndex) -> Option<&Rejected> {
        self.servers.get(index.0)?.refusal.as_ref()
    }

    /// Whether any server answers what cannot be used.
    pub fn refuses_answers(&self) -> bool {
        let answer = |reason: &Rejected| !matches!(reason, Rejected::Unreachable(_));
        self.servers.iter().any(|server| server.refusal.as_ref().is_some_and(answer))
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
    fn new(due: Timestamp<Raw>, burst: u32) -> Self {
        Self {
            due,
            open: None,
            asked: None,
            burst_left: burst,
            unanswered: 0,
            poll: POLL_MIN,
            poll_least: POLL_MIN,
            ever_answered: false,
            refuses: false,
            refusal: None,
        }
    }

    /// Time from the request that is made now to the next one, if it is not answered.
    fn retry_after(&self) -> Span {
        let in_burst = self.burst_left > 0 || !self.ever_answered;
        let first = if in_burst { BACKOFF_MIN } else { POLL_MIN };
        let doublings = self.unanswered.min(DOUBLINGS_MAX);
        first.times(1_i64 << doublings).min(BACKOFF_MAX).max(self.least())
    }

    /// What the server itself has asked for.
    fn least(&self) -> Span {
        if self.poll_least > POLL_MIN { self.poll_least } else { Span::ZERO }
    }

    fn answered(&mut self) {
        if self.unanswered >= SILENCE {
            self.burst_left = self.burst_left.max(BURST_AGAIN);
        }
        self.ever_answered = true;
        self.unanswered = 0;
        self.burst_left = self.burst_left.saturating_sub(1);
        self.schedule();
    }

    /// The next request, if the last one has been answered.
    fn schedule(&mut self) {
        self.due = self.next_due();
    }

    fn next_due(&self) -> Timestamp<Raw> {
        let Some(asked) = self.asked else { return self.due };
        let pace = if self.burst_left == 0 {
            self.poll
        } else if self.burst_left > BURST_MAX.saturating_sub(BURST) {
            BURST_INTERVAL
        } else {
            DOUBT_INTERVAL
        };
        asked + pace.max(self.least())
    }

    fn lost(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
        if self.ever_answered && self.unanswered >= SILENCE {
            self.burst_left = 0;
        }
    }

    /// Kiss-o'-death (RFC 5905, 7.4): some servers want to be asked less often, some not at all; whatever else
    /// one says, it is no use at present.
    fn kissed(&mut self, code: &[u8; 4]) {
        self.burst_left = 0;
        match code {
            b"DENY" | b"RSTR" => self.refuses = true,
            b"RATE" => {
                self.poll_least = self.poll_least.times(2).max(BACKOFF_MAX).min(POLL_SLOW);
                self.due = self.next_due();
            }
            _ => {
                self.unanswered = self.unanswered.max(DOUBLINGS_MAX);
                self.due = self.asked.unwrap_or(self.due) + BACKOFF_MAX;
            }
        }
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
    fn exchange(client: &mut Client, event: NtpEvent) -> Exchange {
        match client.handle_event(event).unwrap() {
            Answer::Exchange(exchange) => exchange,
            other => panic!("{other:?}"),
        }
    }
    /// When requests are made, with what a server does to each: to be answered, or not.
    fn requests(client: &mut Client, from_s: i64, until_s: i64, answers: bool) -> Vec<i64> {
        let mut times = Vec::new();
        for ms in (from_s * 1_000..until_s * 1_000).step_by(100) {
            if client.deadline().is_some_and(|due| due <= at(ms)) {
                let request = asked(client, ms);
                times.push(ms);
                if answers {
                    client.handle_event(response(&answer(&request), ms + 11)).unwrap();
                }
            }
        }
        times
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
        let exchange = exchange(&mut client, response(&answer(&request), 111));
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
        let (requests, rejected) = client.counts();
        assert_eq!((requests, rejected.total()), (1, 1), "{rejected:?}");
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
    fn a_burst_lasts_until_the_first_fix_and_then_comes_one_request_per_poll() {
        let mut client = Client::new(1, 7, at(0));
        assert_eq!(requests(&mut client, 0, 4, true), [0, 500, 1_000, 1_500, 3_500]);
        client.end_burst();
        assert_eq!(requests(&mut client, 4, 60, true), [19_500, 35_500, 51_500]);
    }

    #[test]
    fn a_burst_without_a_fix_ends_after_twelve_requests() {
        let mut client = Client::new(1, 7, at(0));
        let times = requests(&mut client, 0, 60, true);
        assert_eq!(times.iter().filter(|ms| **ms <= 17_500).count(), 12);
        assert_eq!(times.len(), 14, "{times:?}");
    }

    #[test]
    fn a_server_is_asked_as_seldom_as_the_estimator_wishes() {
        let mut client = Client::new(1, 7, at(0));
        requests(&mut client, 0, 1, true);
        client.end_burst();
        client.set_poll(SERVER, Span::from_secs(64));
        assert_eq!(requests(&mut client, 1, 200, true), [64_500, 128_500, 192_500]);
        client.set_poll(SERVER, Span::from_secs(1));
        assert_eq!(requests(&mut client, 200, 230, true), [208_500, 224_500], "never faster than that");
        client.set_poll(SERVER, Span::from_secs(5_000));
        assert_eq!(requests(&mut client, 230, 500, true), [480_500], "never slower than that");
    }

    #[test]
    fn a_server_that_never_answers_is_asked_ever_less_often() {
        let mut client = Client::new(1, 7, at(0));
        let times = requests(&mut client, 0, 400, false);
        let times: Vec<i64> = times.iter().map(|ms| ms / 1_000).collect();
        assert_eq!(times, [0, 2, 6, 14, 30, 62, 126, 190, 254, 318, 382]);
    }

    #[test]
    fn a_server_that_falls_silent_is_asked_at_most_every_16_s_and_gets_a_small_burst_when_it_returns() {
        let mut client = Client::new(1, 7, at(0));
        requests(&mut client, 0, 1, true);
        client.end_burst();
        assert_eq!(requests(&mut client, 1, 200, false), [16_500, 32_500, 64_500, 128_500, 192_500]);
        assert_eq!(requests(&mut client, 200, 290, true), [256_500, 258_500, 260_500, 276_500]);
    }

    #[test]
    fn a_link_that_comes_back_is_a_reason_to_ask_at_once() {
        let mut client = Client::new(1, 7, at(0));
        requests(&mut client, 0, 1, true);
        client.end_burst();
        requests(&mut client, 1, 100, false);
        client.network_changed(at(70_000));
        assert!(client.deadline().unwrap() > at(70_000), "asked 5 s ago");
        client.network_changed(at(100_000));
        assert_eq!(requests(&mut client, 100, 110, true), [100_000, 102_000, 104_000]);
    }

    #[test]
    fn a_server_that_answers_is_left_alone_when_the_link_changes() {
        let mut client = Client::new(1, 7, at(0));
        requests(&mut client, 0, 1, true);
        client.end_burst();
        client.set_poll(SERVER, POLL_MAX);
        client.network_changed(at(100_000));
        assert_eq!(client.deadline(), Some(at(256_500)));
    }

    #[test]
    fn after_a_sleep_the_date_is_asked_for_anew_and_old_answers_are_refused() {
        let mut client = Client::new(1, 7, at(0));
        let request = asked(&mut client, 0);
        client.end_burst();
        client.woke_up(at(1_000));
        assert!(client.handle_event(response(&answer(&request), 1_010)).is_err());
        assert!(requests(&mut client, 1, 4, true).len() > 3);
    }

    #[test]
    fn who_does_not_want_to_be_asked_is_not_asked_again() {
        for code in [b"DENY", b"RSTR"] {
            let mut client = Client::new(2, 7, at(0));
            let request = asked(&mut client, 0);
            let kiss = Packet { stratum: 0, reference_id: *code, ..answer(&request) };
            assert!(client.handle_event(response(&kiss, 11)).is_err());
            let (index, _) = client.poll_request(at(100)).expect("the other one");
            assert_eq!(index, ServerIndex(1));
            for s in 0..500 {
                let asked = client.poll_request(at(s * 1_000));
                assert!(asked.is_none_or(|(index, _)| index != SERVER));
            }
            // Another server under the same name has not refused.
            client.handle_event(NtpEvent::Another { server: SERVER }).unwrap();
            assert_eq!(client.poll_request(at(600_000)).map(|(index, _)| index), Some(SERVER));
        }
    }

    #[test]
    fn a_server_that_asks_for_fewer_requests_gets_ever_fewer() {
        let mut client = Client::new(1, 7, at(0));
        let mut pauses = Vec::new();
        let mut now = 0;
        for _ in 0..6 {
            let request = asked(&mut client, now);
            let kiss = Packet { stratum: 0, reference_id: *b"RATE", ..answer(&request) };
            assert!(client.handle_event(response(&kiss, now + 11)).is_err());
            let due = client.deadline().unwrap().as_ns() / 1_000_000;
            pauses.push((due - now) / 1_000);
            now = due;
        }
        assert_eq!(pauses, [64, 128, 256, 512, 1_024, 1_024]);
        requests(&mut client, now / 1_000, now / 1_000 + 1, true);
        assert_eq!(client.deadline(), Some(at(now + 1_024_000)), "an answer does not make it forget");
    }

    #[test]
    fn a_kiss_that_means_nothing_to_us_is_a_server_of_no_use() {
        let mut client = Client::new(1, 7, at(0));
        let request = asked(&mut client, 0);
        let kiss = Packet { stratum: 0, reference_id: *b"INIT", ..answer(&request) };
        assert!(client.handle_event(response(&kiss, 11)).is_err());
        assert_eq!(client.deadline(), Some(at(64_000)));
    }

    #[test]
    fn a_kernel_stamp_replaces_the_early_one() {
        let mut client = Client::new(1, 7, at(0));
        let request = asked(&mut client, 100);
        client.handle_event(NtpEvent::Transmitted { server: SERVER, stamp: stamp(101) }).unwrap();
        let exchange = exchange(&mut client, response(&answer(&request), 111));
        assert_eq!(exchange.delay, Span::from_ms(9));
    }

    #[test]
    fn a_closed_port_is_told_and_asked_again_later() {
        let mut client = Client::new(1, 7, at(0));
        asked(&mut client, 0);
        let failed =
            NtpEvent::Failed { server: SERVER, address: None, reason: "connection refused".to_owned() };
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
