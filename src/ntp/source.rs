//! The way to the NTP servers by real sockets.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{NtpError, NtpEvent, NtpSource, ServerIndex};
use crate::clock::Timeline;
use crate::clock::platform::raw_clock;
use crate::net::is_nothing;
use crate::net::platform::convert;
use crate::net::platform::socket::{
    Received, STAMP_BOTH, STAMP_RECEIVE, UdpSocket, has_error, is_readable, poll, pollfd,
};
use crate::net::{PAYLOAD_MAX, Payload, Pollable, Stamp, StampSource};
use crate::time::{Raw, Span, Timestamp};

/// The UDP port of NTP.
const NTP_PORT: u16 = 123;
/// A name is looked up again at most this often: the shortest interval at which a server is asked at rest.
const LOOK_UP_EVERY: Span = Span::from_secs(64);
/// How early the program's own transmit stamp usually is: 33 to 43 µs on an idle computer
/// (kernel-tests.md, section 3).
const SEND_UNCERTAINTY: Span = Span::from_us(50);
/// Requests without an answer after which the name is looked up again, and another of its addresses is tried.
const GIVE_UP: u32 = 4;
/// Events that wait for the caller; one that never asks for them must not let them grow for ever.
const EVENTS_MAX: usize = 16;

/// One socket per server, opened when it is first asked. Names are looked up by a thread of their own, which
/// exists only if there are names.
#[derive(Debug)]
pub struct RealNtpSource {
    servers: Vec<Server>,
    resolver: Option<Resolver>,
    /// What waits for the caller besides what the sockets say.
    events: VecDeque<NtpEvent>,
    /// When it was last heard what is ready.
    marked_at: Timestamp<Raw>,
}

#[derive(Debug)]
struct Server {
    /// As it was configured.
    name: String,
    address: Address,
    link: Option<Link>,
    /// Requests since the last answer.
    unanswered: u32,
}

#[derive(Debug)]
enum Address {
    /// Given in numbers, or found.
    Known(SocketAddrV4),
    /// Being looked up.
    Wanted,
    /// Not found.
    Unknown(String),
}

impl Address {
    fn known(&self) -> Option<SocketAddrV4> {
        match self {
            Self::Known(address) => Some(*address),
            Self::Wanted | Self::Unknown(_) => None,
        }
    }
}

/// An open socket.
#[derive(Debug)]
struct Link {
    socket: UdpSocket,
    /// The kernel was willing to stamp what arrives.
    stamped: bool,
    readable: bool,
    error: bool,
    /// The last request, by which its transmit stamp is known.
    request: Option<Payload>,
}

impl RealNtpSource {
    /// Ready to send to `servers`: addresses or names, with `:port` if it is not 123. What is wrong with one
    /// of them is told when it is asked.
    pub fn open(servers: &[String]) -> Self {
        let mut source = Self {
            servers: Vec::new(),
            resolver: None,
            events: VecDeque::new(),
            marked_at: Timestamp::EPOCH,
        };
        for (index, name) in servers.iter().enumerate() {
            let address = numeric(name).map_or(Address::Wanted, Address::Known);
            source.servers.push(Server { name: name.clone(), address, link: None, unanswered: 0 });
            source.look_up(index);
        }
        source
    }

    /// Waits for the servers' sockets alone, at most `timeout`: for tools that have no network to wait for besides.
    ///
    /// # Errors
    /// When the operating system cannot wait.
    pub fn wait(&mut self, timeout: Span) -> std::io::Result<()> {
        let mut pollables = Vec::new();
        self.pollables(&mut pollables);
        let mut fds: Vec<_> = pollables.iter().map(|pollable| pollfd(pollable.fd)).collect();
        poll(&mut fds, timeout)?;
        for (pollable, fd) in pollables.iter_mut().zip(&fds) {
            (pollable.readable, pollable.error) = (is_readable(fd), has_error(fd));
        }
        self.mark_ready(&pollables);
        Ok(())
    }

    /// Asks the resolver, if the server has a name and its turn has come.
    fn look_up(&mut self, index: usize) {
        let Some(server) = self.servers.get_mut(index) else { return };
        if numeric(&server.name).is_some() {
            return;
        }
        if self.resolver.is_none() {
            self.resolver = Resolver::start(self.servers.len());
        }
        let asked = match (&mut self.resolver, self.servers.get_mut(index)) {
            (Some(resolver), Some(server)) => resolver.ask(index, &server.name),
            _ => Err("no thread for looking up names"),
        };
        let Some(server) = self.servers.get_mut(index) else { return };
        match (asked, &server.address) {
            // The old address goes on being used meanwhile: it may have been only the network.
            (_, Address::Known(_)) | (Ok(false), _) => {}
            (Ok(true), _) => server.address = Address::Wanted,
            (Err(reason), _) => server.address = Address::Unknown(reason.to_owned()),
        }
    }

    /// Takes what the resolver has found. One address of a name is used, and kept as long as it answers: a pool
    /// gives others each time, and a server that is known is worth more than one that is not.
    fn take_answers(&mut self) {
        while let Some(answer) = self.resolver.as_mut().and_then(Resolver::answer) {
            let Some(server) = self.servers.get_mut(answer.index) else { continue };
            match (answer.result, &server.address) {
                (Ok(found), Address::Known(old)) => {
                    let Some(next) = successor(&found, *old).filter(|_| server.unanswered > 0) else {
                        continue;
                    };
                    *server = Server {
                        address: Address::Known(next),
                        link: None,
                        unanswered: 0,
                        name: std::mem::take(&mut server.name),
                    };
                    self.tell(NtpEvent::Another { server: ServerIndex(answer.index) });
                }
                (Ok(found), _) => {
                    server.address = match found.first() {
                        Some(first) => Address::Known(*first),
                        None => Address::Unknown(NO_ADDRESS.to_owned()),
                    };
                    server.link = None;
                }
                // A name that was found once and is not found now is most likely the same server.
                (Err(_), Address::Known(_)) => {}
                (Err(reason), _) => {
                    server.address = Address::Unknown(reason.clone());
                    self.fail(answer.index, reason);
                }
            }
        }
    }

    fn tell(&mut self, event: NtpEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }

    /// Gives up the server's socket: the next request gets a new one, with a new port.
    fn fail(&mut self, index: usize, reason: String) {
        let mut address = None;
        if let Some(server) = self.servers.get_mut(index) {
            server.link = None;
            address = server.address.known();
        }
        self.tell(NtpEvent::Failed { server: ServerIndex(index), address, reason });
        self.look_up(index);
    }

    /// The next thing that an announced socket has to say.
    fn read_next(&mut self, timeline: &Timeline) -> Option<NtpEvent> {
        for index in 0..self.servers.len() {
            let Some(link) = self.servers.get_mut(index).and_then(|server| server.link.as_mut()) else {
                continue;
            };
            match link.read(ServerIndex(index), self.marked_at, timeline) {
                Ok(Some(event)) => {
                    if let (NtpEvent::Response { .. }, Some(server)) = (&event, self.servers.get_mut(index)) {
                        server.unanswered = 0;
                    }
                    return Some(event);
                }
                Ok(None) => {}
                Err(error) => self.fail(index, error.to_string()),
            }
        }
        None
    }
}

impl NtpSource for RealNtpSource {
    fn pollables(&self, wanted: &mut Vec<Pollable>) {
        let links = self.servers.iter().filter_map(|server| server.link.as_ref());
        wanted.extend(links.map(|link| Pollable::new(link.socket.fd())));
    }

    fn mark_ready(&mut self, ready: &[Pollable]) {
        self.marked_at = raw_clock();
        for link in self.servers.iter_mut().filter_map(|server| server.link.as_mut()) {
            let found = ready.iter().find(|pollable| pollable.fd == link.socket.fd());
            link.readable = found.is_some_and(|pollable| pollable.readable);
            link.error = found.is_some_and(|pollable| pollable.error);
        }
    }

    fn send(&mut self, server: ServerIndex, request: &[u8], _timeline: &Timeline) -> Result<Stamp, NtpError> {
        self.take_answers();
        let ServerIndex(index) = server;
        let entry = self.servers.get_mut(index).ok_or_else(|| NtpError::Os {
            name: format!("NTP server number {index}"),
            reason: "there is no such server".to_owned(),
        })?;
        let name = entry.name.clone();
        let address = match &entry.address {
            Address::Known(address) => *address,
            Address::Wanted => return Err(NtpError::Resolving { name }),
            Address::Unknown(reason) => {
                let reason = reason.clone();
                self.look_up(index);
                return Err(NtpError::Unresolved { name, reason });
            }
        };
        entry.unanswered = entry.unanswered.saturating_add(1);
        let silent = entry.unanswered > GIVE_UP;
        match entry.send(address, request) {
            Ok(stamp) => {
                if silent {
                    self.look_up(index);
                }
                Ok(stamp)
            }
            Err(error) => {
                entry.link = None;
                self.look_up(index);
                Err(NtpError::Os { name, reason: error.to_string() })
            }
        }
    }

    fn next_event(&mut self, timeline: &Timeline) -> Option<NtpEvent> {
        self.take_answers();
        // A failure that reading has found comes out in the same call.
        self.events.pop_front().or_else(|| self.read_next(timeline)).or_else(|| self.events.pop_front())
    }
}

impl Server {
    fn send(&mut self, address: SocketAddrV4, request: &[u8]) -> std::io::Result<Stamp> {
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(Link::open(address)?),
        };
        let at = raw_clock();
        link.socket.send(request)?;
        link.request = Some(Payload::new(request));
        Ok(Stamp { at, uncertainty: SEND_UNCERTAINTY, source: StampSource::User })
    }
}

impl Link {
    fn open(address: SocketAddrV4) -> std::io::Result<Self> {
        let socket = UdpSocket::new()?;
        let stamped = socket.stamp(STAMP_BOTH).or_else(|_| socket.stamp(STAMP_RECEIVE)).is_ok();
        socket.connect(address)?;
        Ok(Self { socket, stamped, readable: false, error: false, request: None })
    }

    /// One read for each announcement. An error means that the socket is of no more use.
    fn read(
        &mut self,
        server: ServerIndex,
        marked_at: Timestamp<Raw>,
        timeline: &Timeline,
    ) -> std::io::Result<Option<NtpEvent>> {
        if std::mem::take(&mut self.error) {
            match self.socket.receive_sent() {
                Ok(sent) => {
                    if let Some(stamp) = self.transmitted(&sent, timeline) {
                        return Ok(Some(NtpEvent::Transmitted { server, stamp }));
                    }
                }
                // No stamp: then it is a refusal by the network.
                Err(error) if is_nothing(&error) => {
                    if let Some(error) = self.socket.take_error() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if std::mem::take(&mut self.readable) {
            match self.socket.receive() {
                Ok(received) => {
                    return Ok(Some(NtpEvent::Response {
                        server,
                        source: received.source,
                        stamp: convert(&received, self.stamped, marked_at, timeline),
                        payload: received.payload,
                    }));
                }
                Err(error) if is_nothing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The kernel's transmit stamp of the last request. It comes with a copy of the frame, which ends in the
    /// request: safer than counting, since a send that fails half-way shifts the kernel's count.
    fn transmitted(&self, sent: &Received, timeline: &Timeline) -> Option<Stamp> {
        let request = self.request.as_ref()?;
        let is_last = sent.payload.as_slice().ends_with(request.as_slice());
        is_last.then(|| convert(sent, true, Timestamp::EPOCH, timeline).ok()).flatten()
    }
}

// A request and the headers in front of its copy must fit a payload: Ethernet with a VLAN tag, IP with
// options, UDP, and an NTP packet with a key.
const _: () = assert!(18 + 60 + 8 + 68 <= PAYLOAD_MAX);

/// An address in numbers, with or without a port.
fn numeric(name: &str) -> Option<SocketAddrV4> {
    let with_port = || name.parse().ok();
    name.parse::<Ipv4Addr>().ok().map(|ip| SocketAddrV4::new(ip, NTP_PORT)).or_else(with_port)
}

/// A thread that looks up names, one after the other: the library call blocks for as long as it likes.
#[derive(Debug)]
struct Resolver {
    questions: SyncSender<(usize, String)>,
    answers: Receiver<Answer>,
    /// When each server's name was last asked for, by its index.
    asked: Vec<Option<Timestamp<Raw>>>,
}

#[derive(Debug)]
struct Answer {
    index: usize,
    result: Result<Vec<SocketAddrV4>, String>,
}

impl Resolver {
    /// `None` if there is no thread to be had.
    fn start(servers: usize) -> Option<Self> {
        // One question per server is under way at most, by `LOOK_UP_EVERY`; a slower resolver loses some.
        let capacity = servers.max(1).saturating_mul(2);
        let (questions, inbox) = sync_channel::<(usize, String)>(capacity);
        let (outbox, answers) = sync_channel(capacity);
        let work = move || {
            for (index, name) in inbox {
                if outbox.send(Answer { index, result: resolve(&name) }).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("resolver".to_owned()).spawn(work).ok()?;
        Some(Self { questions, answers, asked: Vec::new() })
    }

    /// Whether the name is looked up now; it is not if that was asked for lately.
    fn ask(&mut self, index: usize, name: &str) -> Result<bool, &'static str> {
        let now = raw_clock();
        if self.asked.len() <= index {
            self.asked.resize(index.saturating_add(1), None);
        }
        let Some(last) = self.asked.get_mut(index) else { return Ok(false) };
        if last.is_some_and(|last| now - last < LOOK_UP_EVERY) {
            return Ok(false);
        }
        self.questions.try_send((index, name.to_owned())).map_err(|_| "the resolver does not answer")?;
        *last = Some(now);
        Ok(true)
    }

    fn answer(&mut self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

/// The IPv4 addresses of `name` or `name:port`, at least one. Blocks.
fn resolve(name: &str) -> Result<Vec<SocketAddrV4>, String> {
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| format!("{port} is not a port (1 to 65535)"))?),
        None => (name, NTP_PORT),
    };
    let found = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
    let ipv4: Vec<SocketAddrV4> = found
        .filter_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        })
        .collect();
    if ipv4.is_empty() { Err(NO_ADDRESS.to_owned()) } else { Ok(ipv4) }
}

const NO_ADDRESS: &str = "it has no IPv4 address";

/// Which address to try after `old`: the next one in the list, in a circle; `None` if there is no other.
fn successor(found: &[SocketAddrV4], old: SocketAddrV4) -> Option<SocketAddrV4> {
    let after = found.iter().position(|address| *address == old).map_or(0, |index| index.saturating_add(1));
    found.get(after).or(found.first()).copied().filter(|next| *next != old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::clock::platform::OsClock;

    const SERVER: ServerIndex = ServerIndex(0);

    fn timeline() -> Timeline {
        let mut clock = OsClock::observe().unwrap();
        let mut timeline = Timeline::new();
        let rate = clock.rate().unwrap();
        timeline.restart(clock.read().unwrap(), rate);
        timeline
    }

    fn pollables(source: &RealNtpSource) -> Vec<Pollable> {
        let mut wanted = Vec::new();
        source.pollables(&mut wanted);
        wanted
    }

    fn next_event(source: &mut RealNtpSource, timeline: &Timeline) -> NtpEvent {
        for _ in 0..10 {
            if let Some(event) = source.next_event(timeline) {
                return event;
            }
            source.wait(Span::from_secs(1)).unwrap();
        }
        panic!("nothing happened")
    }

    /// A socket on the loopback that plays the server.
    fn server() -> (UdpSocket, String) {
        let socket = UdpSocket::new().unwrap();
        socket.bind(0).unwrap();
        let name = format!("127.0.0.1:{}", socket.port().unwrap());
        (socket, name)
    }

    #[test]
    fn a_request_gets_its_transmit_stamp_and_its_response() {
        let (server, name) = server();
        let mut source = RealNtpSource::open(&[name]);
        assert!(source.resolver.is_none(), "numbers need no thread");
        assert!(pollables(&source).is_empty());
        let timeline = timeline();

        let request = [0x23; 48];
        let sent = source.send(SERVER, &request, &timeline).unwrap();
        let departed = if cfg!(unix) {
            let event = next_event(&mut source, &timeline);
            let NtpEvent::Transmitted { server: SERVER, stamp } = event else { panic!("{event:?}") };
            assert_eq!(stamp.source, StampSource::Kernel);
            assert!(stamp.at > sent.at - Span::from_us(5) && stamp.at < raw_clock(), "{stamp:?} {sent:?}");
            stamp.at
        } else {
            sent.at
        };

        let mut fds = [pollfd(server.fd())];
        poll(&mut fds, Span::from_secs(5)).unwrap();
        let asked = server.receive().unwrap();
        assert_eq!(asked.payload.as_slice(), request);
        server.connect(asked.source).unwrap();
        // The kernel turns stamping on a moment after it was asked for: the first ones may come without.
        let mut arrived = Err(crate::clock::StampFault::Missing);
        for _ in 0..1000 {
            server.send(&[0x24; 48]).unwrap();
            let event = next_event(&mut source, &timeline);
            let NtpEvent::Response { server: SERVER, stamp, payload, .. } = event else {
                panic!("{event:?}")
            };
            assert_eq!(payload.as_slice(), [0x24; 48]);
            arrived = stamp;
            if arrived.is_ok() {
                break;
            }
            poll(&mut [], Span::from_ms(5)).unwrap();
        }
        let arrived = arrived.unwrap();
        // Windows stamps only where the card's driver does, and there is none on the loopback.
        assert_eq!(arrived.source, if cfg!(unix) { StampSource::Kernel } else { StampSource::User });
        assert!(arrived.at > departed);
    }

    /// Only Linux gives transmit stamps.
    #[cfg(unix)]
    #[test]
    fn a_stamp_of_an_earlier_request_is_not_taken_for_that_of_the_last() {
        let (_server, name) = server();
        let mut source = RealNtpSource::open(&[name]);
        let timeline = timeline();
        source.send(SERVER, &[1; 48], &timeline).unwrap();
        source.send(SERVER, &[2; 48], &timeline).unwrap();
        source.wait(Span::from_secs(1)).unwrap();
        assert!(source.next_event(&timeline).is_none(), "the stamp of the first request");
        source.wait(Span::from_secs(1)).unwrap();
        assert!(matches!(source.next_event(&timeline), Some(NtpEvent::Transmitted { .. })));
    }

    /// Windows reports a refusal where the datagram would have been read, but Wine does not.
    #[cfg(unix)]
    #[test]
    fn a_refusal_is_reported_and_the_next_request_gets_a_new_socket() {
        let (server, name) = server();
        // Connected elsewhere, it keeps the port from others, and the kernel refuses for it.
        server.connect("127.0.0.1:9".parse().unwrap()).unwrap();
        let mut source = RealNtpSource::open(&[name]);
        let timeline = timeline();
        source.send(SERVER, &[1; 48], &timeline).unwrap();
        let (address, reason) = loop {
            match next_event(&mut source, &timeline) {
                NtpEvent::Transmitted { .. } => {}
                NtpEvent::Failed { server: SERVER, address, reason } => break (address, reason),
                event => panic!("{event:?}"),
            }
        };
        assert_eq!(address.map(|address| *address.ip()), Some(Ipv4Addr::LOCALHOST));
        assert!(reason.contains("refused"), "{reason}");
        assert!(pollables(&source).is_empty());
        source.send(SERVER, &[2; 48], &timeline).unwrap();
        assert_eq!(pollables(&source).len(), 1);
    }

    #[test]
    fn nothing_is_read_that_was_not_announced() {
        let (server, name) = server();
        let mut source = RealNtpSource::open(&[name]);
        let timeline = timeline();
        source.send(SERVER, &[1; 48], &timeline).unwrap();
        let mut fds = [pollfd(server.fd())];
        poll(&mut fds, Span::from_secs(5)).unwrap();
        assert!(source.next_event(&timeline).is_none());
    }

    #[test]
    fn a_name_is_looked_up_without_blocking() {
        let (server, name) = server();
        let port = name.rsplit_once(':').unwrap().1;
        // `localhost` is in every hosts file.
        let mut source = RealNtpSource::open(&[format!("localhost:{port}")]);
        let timeline = timeline();
        let mut resolving = 0_u32;
        while let Err(error) = source.send(SERVER, &[1; 48], &timeline) {
            assert!(matches!(error, NtpError::Resolving { .. }), "{error}");
            resolving += 1;
            poll(&mut [], Span::from_ms(10)).unwrap();
            assert!(resolving < 1000);
        }
        let mut fds = [pollfd(server.fd())];
        poll(&mut fds, Span::from_secs(5)).unwrap();
        assert!(is_readable(&fds[0]));
    }

    #[test]
    fn a_bad_name_fails_once_and_is_not_asked_for_again_at_once() {
        let mut source = RealNtpSource::open(&["localhost:notaport".to_owned()]);
        let timeline = timeline();
        let event = (0..1000).find_map(|_| {
            poll(&mut [], Span::from_ms(10)).unwrap();
            source.next_event(&timeline)
        });
        let Some(NtpEvent::Failed { reason, .. }) = event else { panic!("{event:?}") };
        assert!(reason.contains("notaport"), "{reason}");
        let error = source.send(SERVER, &[1; 48], &timeline).unwrap_err();
        assert!(matches!(error, NtpError::Unresolved { .. }), "{error}");
        assert!(source.next_event(&timeline).is_none());
    }

    #[test]
    fn a_server_that_does_not_exist_is_refused() {
        let mut source = RealNtpSource::open(&[]);
        assert!(source.send(SERVER, &[1; 48], &Timeline::new()).is_err());
        assert!(source.next_event(&Timeline::new()).is_none());
    }

    #[test]
    fn the_addresses_of_a_name_are_tried_in_a_circle() {
        let [a, b, c] = ["10.0.0.1:123", "10.0.0.2:123", "10.0.0.3:123"].map(|it| it.parse().unwrap());
        assert_eq!(successor(&[a, b, c], a), Some(b));
        assert_eq!(successor(&[a, b, c], c), Some(a));
        assert_eq!(successor(&[a, b], c), Some(a), "the old one is no longer in the list");
        assert_eq!(successor(&[a], a), None);
        assert_eq!(successor(&[], a), None);
    }

    /// A source whose only server has a name, is at `address`, and for which the resolver has found `found`.
    fn found(address: &str, found: &[&str], unanswered: u32) -> RealNtpSource {
        let mut source = RealNtpSource::open(&[address.to_owned()]);
        let (questions, _) = sync_channel(1);
        let (outbox, answers) = sync_channel(1);
        let result = Ok(found.iter().map(|it| it.parse().unwrap()).collect());
        outbox.send(Answer { index: 0, result }).unwrap();
        source.resolver = Some(Resolver { questions, answers, asked: Vec::new() });
        source.servers[0].unanswered = unanswered;
        source
    }

    #[test]
    fn a_silent_address_is_left_for_another_one_of_its_name() {
        let mut source = found("127.0.0.1:9", &["127.0.0.1:9", "127.0.0.2:9"], 5);
        let event = source.next_event(&Timeline::new());
        assert!(matches!(event, Some(NtpEvent::Another { server: SERVER })), "{event:?}");
        let Address::Known(address) = &source.servers[0].address else { panic!() };
        assert_eq!(*address, "127.0.0.2:9".parse().unwrap());
    }

    #[test]
    fn an_address_that_answers_is_kept() {
        let mut source = found("127.0.0.1:9", &["127.0.0.2:9"], 0);
        assert!(source.next_event(&Timeline::new()).is_none());
        let mut source = found("127.0.0.1:9", &["127.0.0.1:9"], 5);
        assert!(source.next_event(&Timeline::new()).is_none(), "there is no other one");
    }

    #[test]
    fn a_name_is_looked_up_again_when_its_server_is_silent() {
        let (_server, name) = server();
        let mut source = RealNtpSource::open(&[name.replace("127.0.0.1", "localhost")]);
        let timeline = timeline();
        while source.send(SERVER, &[1; 48], &timeline).is_err() {
            poll(&mut [], Span::from_ms(10)).unwrap();
        }
        let asked = |source: &RealNtpSource| source.resolver.as_ref().unwrap().asked[0];
        // As if the first look-up had been long ago.
        source.resolver.as_mut().unwrap().asked[0] = None;
        for _ in 0..GIVE_UP - 1 {
            source.send(SERVER, &[1; 48], &timeline).unwrap();
            assert_eq!(asked(&source), None);
        }
        source.send(SERVER, &[1; 48], &timeline).unwrap();
        assert!(asked(&source).is_some());
    }

    #[test]
    fn a_stranger_is_not_heard() {
        let (_server, name) = server();
        let mut source = RealNtpSource::open(&[name]);
        let timeline = timeline();
        source.send(SERVER, &[1; 48], &timeline).unwrap();
        let port = source.servers[0].link.as_ref().unwrap().socket.port().unwrap();
        let stranger = UdpSocket::new().unwrap();
        stranger.bind(0).unwrap();
        stranger.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
        // Refused by the kernel or not: nothing comes out.
        let _ = stranger.send(&[0x24; 48]);
        for _ in 0..3 {
            source.wait(Span::from_ms(20)).unwrap();
            let event = source.next_event(&timeline);
            assert!(!matches!(event, Some(NtpEvent::Response { .. })), "{event:?}");
        }
    }

    #[test]
    fn addresses_in_numbers_are_told_from_names() {
        assert_eq!(numeric("10.1.2.3"), Some("10.1.2.3:123".parse().unwrap()));
        assert_eq!(numeric("10.1.2.3:1123"), Some("10.1.2.3:1123".parse().unwrap()));
        assert_eq!(numeric("ntp.example"), None);
        assert_eq!(numeric("ntp.example:123"), None);
    }
}
