//! The whole controller in a small world whose every surprise the fuzzer chooses.
//!
//! Two kinds of worlds, by the first octet of the input. Among *strangers* nobody can speak for the leader and
//! nobody who would win the election does; the clock obeys. There the lock must survive whatever comes.
//! In a *hostile* world everything may be forged, stamps may lie, and the clock and the network may refuse; there
//! the loop must go on, and the snapshot must stay a snapshot.

#![no_main]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

use arbitrary::{Arbitrary, Unstructured};
use dantetimesync::clock::virtual_clock::VirtualClock;
use dantetimesync::clock::{ClockError, KernelStatus, Reading, StampFault, SystemClock, Timeline};
use dantetimesync::config::{Config, DEFAULT_SUBDOMAIN, UtcLimit};
use dantetimesync::controller::PtpController;
use dantetimesync::net::{
    Datagram, Interface, NetworkCounters, NetworkError, NetworkEvent, Payload, Pollable, Port, PtpNetwork,
    Stamp, StampSource,
};
use dantetimesync::ntp::wire::{LENGTH, Packet};
use dantetimesync::ntp::{NtpError, NtpEvent, NtpSource, ServerIndex};
use dantetimesync::ptp::wire::{Body, Flags, Header, Message, PortIdentity, SyncBody, WireTime};
use dantetimesync::snapshot::State;
use dantetimesync::time::{Leader, Rate, Raw, Span, System, Timestamp};
use libfuzzer_sys::fuzz_target;

/// The leader that is really there: 4 Syncs a second, this fast against the raw clock.
const LEADER_PPM: f64 = 12.5;
const LEADER_UUID: [u8; 6] = [0x00, 0x1d, 0xc1, 0x01, 0x02, 0x03];
const LEADER_STRATUM: u8 = 121;
const INTERVAL_NS: i64 = 250_000_000;

/// Long enough for the lock in a world as quiet as this.
const QUIET_S: i64 = 20;
/// Whatever came last has its effect within this: a lock is left after 2.5 s of silence, and a newcomer that wins
/// the election replaces the leader after 10 s.
const AFTERMATH_S: i64 = 12;
/// One input costs at most this much, whatever the fuzzer asks for.
const SURPRISES_MAX: usize = 400;

/// The first interface is the one on which the leader is heard.
const INTERFACES: [u32; 2] = [2, 3];

/// Where stratum and preference stand in a Sync.
const STRATUM_AT: usize = 67;
const PREFERRED_AT: usize = 77;
const UUID_AT: usize = 22;

/// Something the fuzzer lets happen.
#[derive(Debug, Arbitrary)]
enum Surprise {
    /// Nothing, for a while.
    Pass { ms: u16 },
    /// Any octets.
    Octets { port: bool, interface: bool, from: u8, late_us: u16, octets: Vec<u8> },
    /// A well-formed message with anything in it.
    Message { interface: bool, from: u8, late_us: u16, forged: Forged },
    /// The same many times over, at one instant.
    Flood { times: u8, from: u8, forged: Forged },
    /// Any octets from the NTP server.
    NtpOctets { octets: Vec<u8> },
    /// An answer to the open request with anything in it.
    NtpAnswer { octets: [u8; LENGTH], echo: bool },
    /// Sending or receiving failed.
    NtpFailed,
    /// Interfaces came or went.
    Link { both: bool },
    // From here on: hostile worlds only.
    /// A stamp that cannot be right.
    WildStamp { forged: Forged, at: i64, missing: bool },
    /// In the leader's own name.
    AsLeader { forged: Forged },
    /// The leader falls silent for a while, or reboots.
    Leader { silent_ms: u16, jump: i64 },
    /// Somebody steps the clock.
    ForeignStep { by: i64 },
    /// The next calls to the backends fail.
    Refusals { clock: u8, network: u8, ntp: u8 },
    /// The raw clock jumps: a suspended computer, a paused virtual machine.
    RawJump { by: i64 },
}

/// A message with anything in it.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Forged {
    kind: u8,
    sequence: u16,
    flags: u16,
    seconds: u32,
    nanoseconds: u32,
    stratum: u8,
    variance: i16,
    preferred: bool,
    interval: i8,
    other_subdomain: bool,
}

/// Everything the three backends share.
struct World {
    raw: i64,
    strangers: bool,
    arriving: VecDeque<Datagram>,
    links: VecDeque<Vec<Interface>>,
    answers: VecDeque<NtpEvent>,
    request: Option<Vec<u8>>,
    leader: TrueLeader,
    foreign_step: i64,
    clock_refusals: u8,
    network_refusals: u8,
    ntp_refusals: u8,
}

type Shared = Rc<RefCell<World>>;

/// Sends on time, and knows what time it is.
struct TrueLeader {
    next: i64,
    sequence: u16,
    silent_until: i64,
    jump: i64,
}

impl World {
    fn new(strangers: bool) -> Self {
        Self {
            raw: 1_000_000_000_000,
            strangers,
            arriving: VecDeque::new(),
            links: VecDeque::new(),
            answers: VecDeque::new(),
            request: None,
            leader: TrueLeader { next: 1_000_100_000_000, sequence: 65_500, silent_until: 0, jump: 0 },
            foreign_step: 0,
            clock_refusals: 0,
            network_refusals: 0,
            ntp_refusals: 0,
        }
    }

    /// Lets time pass until something arrives, at most until `until`.
    fn pass(&mut self, until: i64) {
        if !self.arriving.is_empty() || !self.links.is_empty() || !self.answers.is_empty() {
            return;
        }
        if self.leader.next > until {
            self.raw = self.raw.max(until);
            return;
        }
        self.raw = self.raw.max(self.leader.next);
        self.let_leader_speak();
    }

    fn let_leader_speak(&mut self) {
        let sent = self.leader.next;
        self.leader.next += INTERVAL_NS;
        self.leader.sequence = self.leader.sequence.wrapping_add(1);
        if sent < self.leader.silent_until {
            return;
        }
        let sequence = self.leader.sequence;
        // Up to 8 µs late, in a pattern without a beat.
        let late = i64::from(sequence.wrapping_mul(40_503) >> 3);
        let gained = (sent as f64 * LEADER_PPM * 1e-6) as i64;
        let reads = (sent - 500_000_000_000 + gained).wrapping_add(self.leader.jump).rem_euclid(1 << 61);
        let origin =
            WireTime::from_timestamp(Timestamp::<Leader>::from_ns(reads)).expect("2^61 ns are 73 years");
        let source = PortIdentity { technology: 1, uuid: LEADER_UUID, port: 1 };
        let header =
            Header { subdomain: DEFAULT_SUBDOMAIN, source, sequence_id: sequence, flags: Flags::DANTE };
        let sync = Body::Sync(SyncBody {
            origin,
            grandmaster: PortIdentity { port: 0, ..source },
            grandmaster_clock_stratum: LEADER_STRATUM,
            grandmaster_clock_identifier: *b"DFLT",
            grandmaster_is_boundary_clock: true,
            sync_interval: -2,
            local_clock_stratum: LEADER_STRATUM,
            ..SyncBody::default()
        });
        let follow_up = Body::FollowUp { associated_sequence_id: sequence, precise_origin: origin };
        let at = sent.max(self.raw) + late;
        self.raw = at;
        for body in [sync, follow_up] {
            let octets = octets_of(&Message { header, body });
            self.deliver(&octets, body.message_type() == 1, INTERFACES[0], 1, Ok(stamp(at)));
        }
    }

    fn deliver(
        &mut self,
        octets: &[u8],
        event: bool,
        interface: u32,
        from: u8,
        stamp: Result<Stamp, StampFault>,
    ) {
        self.arriving.push_back(Datagram {
            interface,
            port: if event { Port::Event } else { Port::General },
            source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, from), 319),
            stamp,
            payload: Payload::new(octets),
        });
    }

    /// As [`Self::deliver`], but among strangers it cannot be the leader, nor better than the leader.
    fn deliver_foreign(
        &mut self,
        octets: &mut [u8],
        event: bool,
        interface: u32,
        from: u8,
        stamp: Result<Stamp, StampFault>,
    ) {
        if self.strangers {
            for (at, octet) in [(STRATUM_AT, 200), (PREFERRED_AT, 0), (UUID_AT, 0xee)] {
                if let Some(place) = octets.get_mut(at) {
                    *place = octet;
                }
            }
        }
        self.deliver(octets, event, interface, from, stamp);
    }

    fn surprise(&mut self, surprise: Surprise) {
        let late = |us: u16| Ok(stamp(self.raw - i64::from(us) * 1_000));
        let on = |second: bool| INTERFACES[usize::from(second)];
        match surprise {
            Surprise::Pass { .. } => {}
            Surprise::Octets { port, interface, from, late_us, mut octets } => {
                let stamp = late(late_us);
                self.deliver_foreign(&mut octets, port, on(interface), from, stamp);
            }
            Surprise::Message { interface, from, late_us, forged } => {
                let stamp = late(late_us);
                let (mut octets, event) = forged.octets([0xee, 0, 0, 0, 0, from]);
                self.deliver_foreign(&mut octets, event, on(interface), from, stamp);
            }
            Surprise::Flood { times, from, forged } => {
                for count in 0..times {
                    let (mut octets, event) = forged.octets([0xee, 0, 0, 0, from, count]);
                    self.deliver_foreign(&mut octets, event, INTERFACES[0], from, Ok(stamp(self.raw)));
                }
            }
            Surprise::NtpOctets { octets } => self.answer(&octets),
            Surprise::NtpAnswer { mut octets, echo } => {
                if let Some(request) = self.request.as_ref().filter(|_| echo) {
                    // Version 4, mode server, and the request's number given back.
                    octets[0] = octets[0] & 0xc0 | 0x24;
                    octets[24..32].copy_from_slice(&request[40..48]);
                }
                self.answer(&octets);
            }
            Surprise::NtpFailed => self.answers.push_back(NtpEvent::Failed {
                server: ServerIndex(0),
                address: None,
                reason: "port unreachable".to_owned(),
            }),
            Surprise::Link { both } => self.links.push_back(listening(both)),
            _ if self.strangers => {}
            Surprise::WildStamp { forged, at, missing } => {
                let stamp = if missing { Err(StampFault::Missing) } else { Ok(stamp(at)) };
                let (mut octets, event) = forged.octets(LEADER_UUID);
                self.deliver_foreign(&mut octets, event, INTERFACES[0], 1, stamp);
            }
            Surprise::AsLeader { forged } => {
                let (mut octets, event) = forged.octets(LEADER_UUID);
                self.deliver_foreign(&mut octets, event, INTERFACES[0], 1, Ok(stamp(self.raw)));
            }
            Surprise::Leader { silent_ms, jump } => {
                self.leader.silent_until = self.raw + i64::from(silent_ms) * 1_000_000;
                self.leader.jump = jump;
            }
            Surprise::ForeignStep { by } => self.foreign_step = by,
            Surprise::Refusals { clock, network, ntp } => {
                (self.clock_refusals, self.network_refusals, self.ntp_refusals) = (clock, network, ntp);
            }
            Surprise::RawJump { by } => {
                // Up to twelve days, forward: no raw clock goes back.
                self.raw += by.rem_euclid(1 << 50);
                self.leader.next = self.raw;
            }
        }
    }

    fn answer(&mut self, octets: &[u8]) {
        self.answers.push_back(NtpEvent::Response {
            server: ServerIndex(0),
            source: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 123),
            stamp: Ok(stamp(self.raw)),
            payload: Payload::new(octets),
        });
    }
}

impl Forged {
    fn octets(self, uuid: [u8; 6]) -> (Vec<u8>, bool) {
        let subdomain =
            if self.other_subdomain { *b"_ALT1\0\0\0\0\0\0\0\0\0\0\0" } else { DEFAULT_SUBDOMAIN };
        let source = PortIdentity { technology: 1, uuid, port: 1 };
        let header = Header { subdomain, source, sequence_id: self.sequence, flags: Flags(self.flags) };
        // Nanoseconds in range half of the time.
        let nanoseconds =
            if self.kind & 8 == 0 { self.nanoseconds % 1_000_000_000 } else { self.nanoseconds };
        let time = i64::from(self.seconds) * 1_000_000_000 + i64::from(nanoseconds % 1_000_000_000);
        let time = WireTime::from_timestamp(Timestamp::<Leader>::from_ns(time)).unwrap_or_default();
        let sync = SyncBody {
            origin: time,
            grandmaster: PortIdentity { port: 0, ..source },
            grandmaster_clock_stratum: self.stratum,
            grandmaster_clock_identifier: *b"DFLT",
            grandmaster_clock_variance: self.variance,
            grandmaster_preferred: self.preferred,
            sync_interval: self.interval,
            ..SyncBody::default()
        };
        let body = match self.kind & 7 {
            0..=2 => Body::Sync(sync),
            3..=5 => Body::FollowUp { associated_sequence_id: self.sequence, precise_origin: time },
            6 => Body::DelayReq(sync),
            _ => Body::DelayResp { receipt: time, requesting: source, requesting_sequence_id: self.sequence },
        };
        let mut octets = octets_of(&Message { header, body });
        if matches!(body, Body::FollowUp { .. }) {
            octets[48..52].copy_from_slice(&nanoseconds.to_be_bytes());
        }
        (octets, body.message_type() == 1)
    }
}

struct FuzzNetwork(Shared);

impl PtpNetwork for FuzzNetwork {
    fn wait(&mut self, timeout: Span, _: &mut [Pollable]) -> Result<(), NetworkError> {
        assert!(timeout >= Span::ZERO, "a wait of {timeout}");
        let mut world = self.0.borrow_mut();
        // A backend that cannot wait still lets time pass: so does the real one.
        let until = world.raw.saturating_add(timeout.as_ns()).saturating_add(1_000);
        world.pass(until);
        refuse(&mut world.network_refusals).map_err(network_down)
    }

    fn next_event(&mut self, _: &Timeline) -> Result<Option<NetworkEvent>, NetworkError> {
        let mut world = self.0.borrow_mut();
        refuse(&mut world.network_refusals).map_err(network_down)?;
        if let Some(listening) = world.links.pop_front() {
            return Ok(Some(NetworkEvent::LinkChanged { listening }));
        }
        Ok(world.arriving.pop_front().map(NetworkEvent::Datagram))
    }

    fn interfaces(&self) -> Vec<Interface> {
        listening(true)
    }

    fn rejoin(&mut self) -> Result<(), NetworkError> {
        refuse(&mut self.0.borrow_mut().network_refusals).map_err(network_down)
    }

    fn counters(&self) -> NetworkCounters {
        NetworkCounters::default()
    }
}

struct FuzzClock<C> {
    clock: C,
    world: Shared,
}

impl<C: SystemClock> FuzzClock<C> {
    fn refuse(&self) -> Result<(), ClockError> {
        refuse(&mut self.world.borrow_mut().clock_refusals)
            .map_err(|()| ClockError::Os { action: "obey", reason: "the fuzzer says no".to_owned() })
    }
}

impl<C: SystemClock> SystemClock for FuzzClock<C> {
    fn raw_now(&mut self) -> Timestamp<Raw> {
        self.clock.raw_now()
    }
    fn read(&mut self) -> Result<Reading, ClockError> {
        self.refuse()?;
        let step = std::mem::take(&mut self.world.borrow_mut().foreign_step);
        self.clock.step(Span::from_ns(step))?;
        self.clock.read()
    }
    fn set_rate(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        assert!(rate.ratio().is_finite(), "a rate of {rate:?}");
        self.refuse()?;
        self.clock.set_rate(rate)
    }
    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        self.refuse()?;
        self.clock.step(by)
    }
    fn set_status(&mut self, status: KernelStatus) -> Result<(), ClockError> {
        assert!(status.max_error >= Span::ZERO && status.est_error >= Span::ZERO, "{status:?}");
        self.refuse()?;
        self.clock.set_status(status)
    }
    fn rate(&mut self) -> Result<Rate, ClockError> {
        self.refuse()?;
        self.clock.rate()
    }
}

struct FuzzNtp(Shared);

impl NtpSource for FuzzNtp {
    fn pollables(&self, wanted: &mut Vec<Pollable>) {
        wanted.push(Pollable::new(7));
    }
    fn mark_ready(&mut self, _: &[Pollable]) {}
    fn send(&mut self, server: ServerIndex, request: &[u8], _: &Timeline) -> Result<Stamp, NtpError> {
        assert_eq!(server, ServerIndex(0), "there is one server");
        Packet::parse(request).expect("a request is an NTP packet");
        let mut world = self.0.borrow_mut();
        refuse(&mut world.ntp_refusals).map_err(|()| NtpError::Resolving { name: "fuzz".to_owned() })?;
        world.request = Some(request.to_vec());
        Ok(stamp(world.raw))
    }
    fn next_event(&mut self, _: &Timeline) -> Option<NtpEvent> {
        self.0.borrow_mut().answers.pop_front()
    }
}

type Controller<C> = PtpController<FuzzNetwork, FuzzClock<C>, FuzzNtp>;

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let strangers = first & 1 == 0;
    let world: Shared = Rc::new(RefCell::new(World::new(strangers)));
    let raw = Rc::clone(&world);
    let start = Timestamp::<System>::from_ns(1_700_000_000_000_000_000);
    let clock = FuzzClock {
        clock: VirtualClock::new(move || Timestamp::from_ns(raw.borrow().raw), start),
        world: Rc::clone(&world),
    };
    let utc_limit = match first >> 1 & 3 {
        0 | 1 => UtcLimit::None,
        2 => UtcLimit::Within(Span::ZERO),
        _ => UtcLimit::Within(Span::from_ms(500)),
    };
    let config = Config { ntp_servers: vec!["fuzz".to_owned()], utc_limit, ..Config::default() };
    let follows_utc = utc_limit != UtcLimit::None;
    let mut controller =
        PtpController::new(config, FuzzNetwork(Rc::clone(&world)), clock, FuzzNtp(Rc::clone(&world)), 42);

    let end = world.borrow().raw + QUIET_S * 1_000_000_000;
    turn_until(&mut controller, &world, end, |_| ());
    assert_eq!(
        controller.snapshot().state,
        State::Locked,
        "not even a quiet world: {:?}",
        controller.snapshot()
    );

    let judge = |controller: &Controller<_>| {
        if strangers {
            must_be_locked(controller, follows_utc);
        }
    };
    let mut chance = Unstructured::new(rest);
    for _ in 0..SURPRISES_MAX {
        if chance.is_empty() {
            break;
        }
        let Ok(surprise) = Surprise::arbitrary(&mut chance) else { break };
        // A few ms at least: the real world has no two wake-ups at one instant either.
        let ms = if let Surprise::Pass { ms } = surprise { i64::from(ms % 4_000) } else { 5 };
        world.borrow_mut().surprise(surprise);
        let until = world.borrow().raw + ms * 1_000_000;
        turn_until(&mut controller, &world, until, judge);
    }
    let end = world.borrow().raw + AFTERMATH_S * 1_000_000_000;
    turn_until(&mut controller, &world, end, judge);
    let snapshot = controller.snapshot();
    assert!(snapshot.outliers <= snapshot.samples, "{snapshot:?}");
    assert!(snapshot.commanded_ppb.is_finite(), "{snapshot:?}");
    controller.shut_down();
});

/// Turns until `until`; a turn that lets neither time pass nor takes anything would be a loop without a wait.
fn turn_until<C: SystemClock>(
    controller: &mut Controller<C>,
    world: &Shared,
    until: i64,
    judge: impl Fn(&Controller<C>),
) {
    let mut idle = 0;
    while world.borrow().raw < until || !world.borrow().arriving.is_empty() {
        let before = (world.borrow().raw, world.borrow().arriving.len());
        controller.turn();
        judge(controller);
        let stuck = before == (world.borrow().raw, world.borrow().arriving.len());
        idle = if stuck { idle + 1 } else { 0 };
        // Refusals let packets lie; there are at most 255 of them.
        assert!(idle < 300, "the loop turns without anything happening");
    }
}

/// The truth is known here: the leader's rate, which a clock that follows it must have.
fn must_be_locked<C: SystemClock>(controller: &Controller<C>, follows_utc: bool) {
    let snapshot = controller.snapshot();
    assert_eq!(snapshot.state, State::Locked, "{}: {snapshot:?}", snapshot.reason);
    let leader = snapshot.leader_rate.expect("locked").value_ppb;
    assert!((leader - LEADER_PPM * 1e3).abs() < 1_000.0, "the leader's rate is {leader} ppb: {snapshot:?}");
    if !follows_utc {
        let error = (snapshot.commanded_ppb - LEADER_PPM * 1e3).abs();
        // The slew towards UTC after a late first fix, 100 ppm, comes on top of the pull of 0.8 ppm.
        assert!(error < 102_000.0, "{error} ppb off the leader: {snapshot:?}");
    }
}

fn octets_of(message: &Message<'_>) -> Vec<u8> {
    let mut octets = vec![0; message.encoded_len()];
    message.to_bytes(&mut octets).expect("long enough");
    octets
}

fn stamp(at: i64) -> Stamp {
    Stamp { at: Timestamp::from_ns(at), uncertainty: Span::from_ns(100), source: StampSource::Kernel }
}

fn listening(both: bool) -> Vec<Interface> {
    let count = if both { 2 } else { 1 };
    let interface = |index: &u32| Interface {
        index: *index,
        name: format!("eth{index}"),
        address: Ipv4Addr::new(10, 0, 0, 2),
        wired: true,
    };
    INTERFACES.iter().take(count).map(interface).collect()
}

fn refuse(left: &mut u8) -> Result<(), ()> {
    if *left == 0 {
        return Ok(());
    }
    *left -= 1;
    Err(())
}

fn network_down((): ()) -> NetworkError {
    NetworkError::Os { action: "listen", reason: "network is down".to_owned() }
}
