//! The controller in a tiny world: a leader that sends real PTPv1 bytes, a server that answers real NTP, a clock
//! made of numbers, and a fault where a test wants one. Where only a single call matters, a mock stands in.

#![allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "tests")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::*;
use crate::clock::rate::Neighbours;
use crate::clock::{ClockError, KernelStatus, MockSystemClock};
use crate::config::DEFAULT_SUBDOMAIN;
use crate::estimator::utc::Role;
use crate::events::EventKind;
use crate::net::{
    Datagram, Interface, MockPtpNetwork, NetworkCounters, NetworkError, Payload, Port, SendToken, Stamp,
    StampSource,
};
use crate::ntp::wire::{Leap, NtpTime, Packet};
use crate::ntp::{MockNtpSource, NtpError, NtpEvent, ServerIndex};
use crate::ptp::DropReason;
use crate::ptp::wire::{Body, Flags, Header, Message, PortIdentity, SYNC_LENGTH, SyncBody, WireTime};
use crate::snapshot::Snapshot;
use crate::time::Leader;

mod clock;
mod date;
mod foreign;
mod leaders;
mod network;
mod policy;
mod resume;
mod shown;
mod why;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
const SYNC_EVERY: i64 = 250 * MS;
const NTP_ROUND_TRIP: i64 = 10 * MS;
const UTC_0: i64 = 1_800_000_000 * SECOND;
const LEADER_0: i64 = 1_000_000 * SECOND;
const LEADER_PPM: f64 = 40.0;
const INTERFACE: u32 = 2;

/// How the NTP server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Ntp {
    Answers,
    Silent,
    /// Its port is closed.
    Refuses,
    /// The operating system does not send.
    Unsendable,
    /// Kiss-o'-death.
    Kisses(&'static [u8; 4]),
}

/// What was done to the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Command {
    Rate(Rate),
    Step(Span),
    Status(KernelStatus),
}

/// Every backend's state, and the record of what was done to the clock.
struct World {
    raw: i64,
    system: Line<System, Raw>,
    leader: Line<Leader, Raw>,
    leader_talks: bool,
    /// What gets through of it by the ports 319 and 320.
    syncs: bool,
    follow_ups: bool,
    interfaces: Vec<Interface>,
    stratum: u8,
    uuid: [u8; 6],
    sequence: u16,
    sync_at: i64,
    datagrams: Vec<(i64, Datagram)>,
    /// A network may give no more until it is waited for.
    events_per_turn: usize,
    given: usize,
    links: Vec<NetworkEvent>,
    ntp: Ntp,
    ntp_ahead: i64,
    /// What a server adds to that of its own, by its number.
    ntp_lies: Vec<i64>,
    /// What servers say that they can be off themselves.
    ntp_dispersion: Span,
    leap: Leap,
    ntp_events: Vec<(i64, NtpEvent)>,
    commands: Vec<(i64, Command)>,
    rejoins: u32,
    slept: Option<Span>,
    /// The clock takes only multiples of this.
    quantum: Rate,
    boot: u32,
    counter: &'static str,
    /// Calls that can fail, so far; the one with the number `fail_at` fails.
    calls: u64,
    fail_at: Option<u64>,
    failed: Option<&'static str>,
    /// Calls of these names always fail.
    broken: BTreeMap<&'static str, ClockError>,
}

type Shared = Rc<RefCell<World>>;

impl World {
    fn new() -> Shared {
        let raw = Timestamp::from_ns(5 * SECOND);
        Rc::new(RefCell::new(Self {
            raw: raw.as_ns(),
            // 20 ms ahead of UTC.
            system: Line::exact(Timestamp::from_ns(UTC_0 + raw.as_ns() + 20 * MS), raw, Rate::ZERO),
            leader: Line::exact(Timestamp::from_ns(LEADER_0), raw, Rate::from_ppm(LEADER_PPM)),
            leader_talks: true,
            syncs: true,
            follow_ups: true,
            interfaces: vec![eth0()],
            stratum: 121,
            uuid: [0x00, 0x1d, 0xc1, 0, 0, 1],
            sequence: 0,
            sync_at: raw.as_ns() + 100 * MS,
            datagrams: Vec::new(),
            events_per_turn: usize::MAX,
            given: 0,
            links: Vec::new(),
            ntp: Ntp::Answers,
            ntp_ahead: 0,
            ntp_lies: Vec::new(),
            ntp_dispersion: Span::from_ms(2),
            leap: Leap::None,
            ntp_events: Vec::new(),
            commands: Vec::new(),
            rejoins: 0,
            slept: Some(Span::ZERO),
            quantum: Rate::ZERO,
            boot: 1,
            counter: "tsc",
            calls: 0,
            fail_at: None,
            failed: None,
            broken: BTreeMap::new(),
        }))
    }

    /// Whether this call fails.
    fn fault(&mut self, name: &'static str) -> Option<ClockError> {
        self.calls += 1;
        if let Some(error) = self.broken.get(name) {
            return Some(error.clone());
        }
        if self.fail_at == Some(self.calls) {
            self.failed = Some(name);
            return Some(refused());
        }
        None
    }

    fn network_fault(&mut self, name: &'static str) -> Option<NetworkError> {
        self.fault(name).map(|_| NetworkError::Os { action: "use the network", reason: INJECTED.to_owned() })
    }

    /// Goes on to the next thing that happens, at most by `timeout`.
    fn wait(&mut self, timeout: Span) {
        let end = self.raw + timeout.as_ns().max(1_000);
        while self.sync_at <= self.next_arrival().min(end) {
            if self.leader_talks {
                self.send_pair();
            }
            self.sync_at += SYNC_EVERY;
        }
        self.raw = self.next_arrival().clamp(self.raw + 1_000, end);
    }

    fn next_arrival(&self) -> i64 {
        let datagrams = self.datagrams.iter().map(|(at, _)| *at);
        datagrams.chain(self.ntp_events.iter().map(|(at, _)| *at)).min().unwrap_or(i64::MAX)
    }

    fn send_pair(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
        let sent = self.leader.at(Timestamp::from_ns(self.sync_at));
        // Up to 4 µs of jitter, the same in every run.
        let jitter = i64::from(self.sequence).wrapping_mul(2_654_435_761) % 4_096;
        let arrives = self.sync_at + jitter;
        let sync = datagram(arrives, self.uuid, self.sequence, self.sync_body(sent));
        let associated_sequence_id = self.sequence;
        let precise_origin = WireTime::from_timestamp(sent).unwrap();
        let follow_up = Body::FollowUp { associated_sequence_id, precise_origin };
        let follow_up = datagram(arrives + MS, self.uuid, self.sequence, follow_up);
        self.datagrams.extend(self.syncs.then_some((arrives, sync)));
        self.datagrams.extend(self.follow_ups.then_some((arrives + MS, follow_up)));
    }

    fn sync_body(&self, sent: Timestamp<Leader>) -> Body<'static> {
        Body::Sync(SyncBody {
            origin: WireTime::from_timestamp(sent).unwrap(),
            grandmaster: PortIdentity { technology: 1, uuid: self.uuid, port: 0 },
            grandmaster_clock_stratum: self.stratum,
            grandmaster_clock_identifier: *b"DFLT",
            grandmaster_clock_variance: -4_000,
            grandmaster_is_boundary_clock: true,
            sync_interval: -2,
            ..SyncBody::default()
        })
    }

    fn answer(&mut self, server: ServerIndex, request: &[u8]) {
        let request = Packet::parse(request).unwrap();
        let lie = self.ntp_lies.get(server.0).copied().unwrap_or_default();
        let now = UTC_0 + self.raw + NTP_ROUND_TRIP / 2 + self.ntp_ahead + lie;
        let at = self.raw + NTP_ROUND_TRIP;
        let packet = Packet {
            mode: 4,
            leap: self.leap,
            stratum: if matches!(self.ntp, Ntp::Kisses(_)) { 0 } else { 2 },
            reference_id: if let Ntp::Kisses(code) = self.ntp { *code } else { [10, 77, 8, 1] },
            root_dispersion: self.ntp_dispersion,
            origin: request.transmit,
            receive: NtpTime::from_utc(Timestamp::from_ns(now)),
            transmit: NtpTime::from_utc(Timestamp::from_ns(now)),
            ..request
        };
        let event = match self.ntp {
            Ntp::Silent | Ntp::Unsendable => return,
            Ntp::Refuses => NtpEvent::Failed {
                server,
                address: Some(SocketAddrV4::new(Ipv4Addr::new(10, 77, 8, 2), 123)),
                reason: "connection refused".to_owned(),
            },
            Ntp::Answers | Ntp::Kisses(_) => NtpEvent::Response {
                server,
                source: SocketAddrV4::new(Ipv4Addr::new(10, 77, 8, 2), 123),
                stamp: Ok(stamp(at)),
                payload: Payload::new(&packet.to_bytes()),
            },
        };
        if self.ntp == Ntp::Answers {
            // The kernel's own stamp of the request, a little later than the program's.
            let stamp = stamp(self.raw + 2_000);
            self.ntp_events.push((self.raw + 2_000, NtpEvent::Transmitted { server, stamp }));
        }
        self.ntp_events.push((at, event));
    }

    fn step_by_somebody_else(&mut self, by: Span) {
        self.system.a = self.system.a + by;
    }

    fn turn_by_somebody_else(&mut self, by: Rate) {
        let line = self.system.moved_to(Timestamp::from_ns(self.raw));
        self.system = Line { rate: line.rate + by, ..line };
    }
}

const INJECTED: &str = "injected fault";

fn refused() -> ClockError {
    ClockError::Os { action: "use the clock", reason: INJECTED.to_owned() }
}

fn stamp(at: i64) -> Stamp {
    Stamp { at: Timestamp::from_ns(at), uncertainty: Span::from_ns(100), source: StampSource::Kernel }
}

/// A datagram as the wire would bring it.
fn datagram(at: i64, uuid: [u8; 6], sequence_id: u16, body: Body<'_>) -> Datagram {
    let source = PortIdentity { technology: 1, uuid, port: 1 };
    let header = Header { subdomain: DEFAULT_SUBDOMAIN, source, sequence_id, flags: Flags::DANTE };
    let mut buffer = [0; SYNC_LENGTH];
    let bytes = Message { header, body }.to_bytes(&mut buffer).unwrap();
    let port = if body.message_type() == 1 { Port::Event } else { Port::General };
    raw_datagram(at, port, bytes)
}

fn raw_datagram(at: i64, port: Port, bytes: &[u8]) -> Datagram {
    Datagram {
        interface: INTERFACE,
        port,
        source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 7), 319),
        stamp: Ok(stamp(at)),
        payload: Payload::new(bytes),
    }
}

fn eth0() -> Interface {
    Interface { index: INTERFACE, name: "eth0".to_owned(), address: Ipv4Addr::new(10, 0, 0, 5), wired: true }
}

/// The earliest of `queue` that is due at `now`.
fn take_due<T>(queue: &mut Vec<(i64, T)>, now: i64) -> Option<T> {
    let due = queue.iter().enumerate().filter(|(_, (at, _))| *at <= now).min_by_key(|(_, (at, _))| *at)?.0;
    Some(queue.remove(due).1)
}

struct FakeNetwork(Shared);

impl PtpNetwork for FakeNetwork {
    fn wait(&mut self, timeout: Span, _: &mut [Pollable]) -> Result<(), NetworkError> {
        let mut world = self.0.borrow_mut();
        world.wait(timeout);
        world.given = 0;
        world.network_fault("wait").map_or(Ok(()), Err)
    }
    fn next_event(&mut self, _: &Timeline) -> Result<Option<NetworkEvent>, NetworkError> {
        let mut world = self.0.borrow_mut();
        if let Some(fault) = world.network_fault("next_event") {
            return Err(fault);
        }
        if let Some(event) = world.links.pop() {
            return Ok(Some(event));
        }
        if world.given >= world.events_per_turn {
            return Ok(None);
        }
        world.given += 1;
        let now = world.raw;
        Ok(take_due(&mut world.datagrams, now).map(NetworkEvent::Datagram))
    }
    fn interfaces(&self) -> Vec<Interface> {
        self.0.borrow().interfaces.clone()
    }
    fn rejoin(&mut self) -> Result<(), NetworkError> {
        let mut world = self.0.borrow_mut();
        world.rejoins += 1;
        world.network_fault("rejoin").map_or(Ok(()), Err)
    }
    fn counters(&self) -> NetworkCounters {
        NetworkCounters::default()
    }
}

struct FakeClock(Shared);

impl FakeClock {
    fn call(&self, name: &'static str) -> Result<std::cell::RefMut<'_, World>, ClockError> {
        let mut world = self.0.borrow_mut();
        world.fault(name).map_or(Ok(world), Err)
    }
}

impl SystemClock for FakeClock {
    fn raw_now(&mut self) -> Timestamp<Raw> {
        Timestamp::from_ns(self.0.borrow().raw)
    }
    fn read(&mut self) -> Result<Reading, ClockError> {
        let world = self.call("read")?;
        let raw = Timestamp::from_ns(world.raw);
        Ok(Reading { raw, system: world.system.at(raw), uncertainty: Span::from_ns(25) })
    }
    fn set_rate(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        let mut world = self.call("set_rate")?;
        let quantum = world.quantum.ratio();
        let coarse = Rate::from_ratio((rate.ratio() / quantum).round() * quantum);
        let rate = if quantum > 0.0 { coarse } else { rate };
        let raw = Timestamp::from_ns(world.raw);
        world.system = Line { rate, ..world.system.moved_to(raw) };
        world.commands.push((raw.as_ns(), Command::Rate(rate)));
        Ok(rate)
    }
    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        let mut world = self.call("step")?;
        world.system.a = world.system.a + by;
        let raw = world.raw;
        world.commands.push((raw, Command::Step(by)));
        Ok(by)
    }
    fn set_status(&mut self, status: KernelStatus) -> Result<(), ClockError> {
        let mut world = self.call("set_status")?;
        let raw = world.raw;
        world.commands.push((raw, Command::Status(status)));
        Ok(())
    }
    fn rate(&mut self) -> Result<Rate, ClockError> {
        self.call("rate").map(|world| world.system.rate)
    }
    fn rates_around(&self, wanted: Rate) -> Option<Neighbours> {
        Neighbours::of(wanted, self.0.borrow().quantum)
    }
    fn slept(&mut self) -> Option<Span> {
        self.0.borrow().slept
    }
    fn boot_id(&mut self) -> Option<String> {
        Some(format!("boot {}", self.0.borrow().boot))
    }
    fn counter(&mut self) -> Option<String> {
        Some(self.0.borrow().counter.to_owned())
    }
}

struct FakeNtp(Shared);

impl NtpSource for FakeNtp {
    fn pollables(&self, _: &mut Vec<Pollable>) {}
    fn mark_ready(&mut self, _: &[Pollable]) {}
    fn send(&mut self, server: ServerIndex, request: &[u8], _: &Timeline) -> Result<Stamp, NtpError> {
        let mut world = self.0.borrow_mut();
        if world.fault("send").is_some() || world.ntp == Ntp::Unsendable {
            return Err(NtpError::Os { name: "server".to_owned(), reason: INJECTED.to_owned() });
        }
        world.answer(server, request);
        Ok(stamp(world.raw))
    }
    fn next_event(&mut self, _: &Timeline) -> Option<NtpEvent> {
        let mut world = self.0.borrow_mut();
        let now = world.raw;
        take_due(&mut world.ntp_events, now)
    }
}

/// The lines at INFO and above, as an administrator would see them.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, " {field}={value:?}");
            }
        }
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// A controller in a world, and what it logged.
struct Play {
    world: Shared,
    controller: PtpController<FakeNetwork, FakeClock, FakeNtp>,
    log: Log,
    _guard: tracing::subscriber::DefaultGuard,
}

fn config() -> Config {
    Config { ntp_servers: vec!["10.77.8.2".to_owned()], ..Config::default() }
}

impl Play {
    fn new() -> Self {
        Self::with(config(), |_| {})
    }

    fn with(config: Config, prepare: impl FnOnce(&mut World)) -> Self {
        let world = World::new();
        prepare(&mut world.borrow_mut());
        let log = Log::default();
        let guard = tracing::subscriber::set_default(log.clone());
        let backends =
            (FakeNetwork(Rc::clone(&world)), FakeClock(Rc::clone(&world)), FakeNtp(Rc::clone(&world)));
        let controller = PtpController::new(config, backends.0, backends.1, backends.2, 7);
        Self { world, controller, log, _guard: guard }
    }

    fn locked() -> Self {
        let mut play = Self::new();
        play.run(30);
        assert_eq!(play.snapshot().state, State::Locked, "{:?}", play.snapshot());
        play.log.clear();
        play
    }

    fn snapshot(&self) -> Snapshot {
        self.controller.snapshot()
    }

    fn run(&mut self, seconds: i64) {
        self.run_ms(seconds * 1_000);
    }

    fn run_ms(&mut self, ms: i64) {
        let end = self.world.borrow().raw + ms * MS;
        while self.world.borrow().raw < end {
            self.controller.turn();
        }
    }

    /// Runs until `done`, at most `seconds`; returns how long it took.
    #[track_caller]
    fn until(&mut self, seconds: i64, done: impl Fn(&Snapshot) -> bool) -> i64 {
        let start = self.world.borrow().raw;
        while !done(&self.snapshot()) {
            assert!(self.world.borrow().raw - start < seconds * SECOND, "{:?}", self.snapshot());
            self.controller.turn();
        }
        self.world.borrow().raw - start
    }

    fn break_call(&self, name: &'static str, error: ClockError) {
        self.world.borrow_mut().broken.insert(name, error);
    }

    fn mend(&self) {
        self.world.borrow_mut().broken.clear();
    }

    fn steps(&self) -> Vec<Span> {
        let world = self.world.borrow();
        let step = |(_, command): &(i64, Command)| match command {
            Command::Step(by) => Some(*by),
            _ => None,
        };
        world.commands.iter().filter_map(step).collect()
    }

    /// What the kernel was told of the clock's quality.
    fn told(&self) -> Vec<KernelStatus> {
        let world = self.world.borrow();
        let status = |(_, command): &(i64, Command)| match command {
            Command::Status(status) => Some(*status),
            _ => None,
        };
        world.commands.iter().filter_map(status).collect()
    }

    /// What the history gets of one kind.
    fn events(&self, kind: EventKind) -> Vec<String> {
        let events = self.controller.history.waiting().filter(|event| event.kind == kind);
        events.map(|event| event.text.clone()).collect()
    }

    /// Steps and rates, not what the kernel was told.
    fn changes_since(&self, raw: i64) -> usize {
        let world = self.world.borrow();
        let change = |(at, command): &&(i64, Command)| *at > raw && !matches!(command, Command::Status(_));
        world.commands.iter().filter(change).count()
    }

    /// The system clock minus the leader's time, from any beginning, in ns.
    fn deviation(&self) -> i64 {
        let world = self.world.borrow();
        let raw = Timestamp::from_ns(world.raw);
        world.system.at(raw).as_ns() - world.leader.at(raw).as_ns()
    }

    fn utc_error(&self) -> i64 {
        let world = self.world.borrow();
        world.system.at(Timestamp::from_ns(world.raw)).as_ns() - UTC_0 - world.raw
    }
}

#[test]
fn it_sets_the_date_locks_and_takes_the_leaders_rate() {
    let mut play = Play::new();
    play.until(30, |snapshot| snapshot.state == State::Locked);
    play.run(60);
    let snapshot = play.snapshot();
    assert_eq!((snapshot.state, snapshot.reason.as_str()), (State::Locked, ""));
    let [step] = play.steps()[..] else { panic!("{:?}", play.steps()) };
    assert!((step - Span::from_ms(-20)).abs() < Span::from_ms(1), "{step}");
    let rate = play.world.borrow().system.rate;
    assert!((rate.ppm() - LEADER_PPM).abs() < 0.2, "{rate}");
    let offset = snapshot.offset.unwrap();
    assert!(offset.value_ns.abs() < 5_000.0 && offset.bound_ns > 0.0, "{offset:?}");
    let leader = snapshot.leader.unwrap();
    assert_eq!(leader.id.to_string(), "00:1d:c1:00:00:01/1");
    assert!((leader.interval_ns - SYNC_EVERY).abs() < MS && leader.age_ns < 2 * SYNC_EVERY, "{leader:?}");
    assert!(snapshot.utc.unwrap().offset.value_ns.abs() < 20e6);
    // The kernel learned of it.
    assert!(play.told().iter().any(|status| status.synchronised));
}

#[test]
fn states_are_said_once_each() {
    let mut play = Play::with(config(), |world| world.leader_talks = false);
    play.run(8);
    play.world.borrow_mut().leader_talks = true;
    play.run(30);
    for state in ["state=NoLeader", "state=Acquiring", "state=Locked"] {
        assert_eq!(play.log.count(state), 1, "{:?}", play.log.lines());
    }
    assert_eq!(play.log.count("leader elected"), 1);
    assert_eq!(play.log.count("interface=\"eth0\""), 1, "the interface by its name: {:?}", play.log.lines());
    assert_eq!(play.log.count("stepped the clock"), 1);
}

/// Turns of the sweep: enough to lock.
const SWEEP_TURNS: u32 = 200;

#[test]
fn any_single_failing_call_is_survived() {
    let mut healthy = Play::new();
    for _ in 0..SWEEP_TURNS {
        healthy.controller.turn();
    }
    assert_eq!(healthy.snapshot().state, State::Locked, "200 turns are to lock");
    let calls = healthy.world.borrow().calls;
    drop(healthy);
    let mut seen = BTreeMap::new();
    for call in 1..=calls {
        let mut play = Play::with(config(), |world| world.fail_at = Some(call));
        let mut shown = false;
        for _ in 0..SWEEP_TURNS {
            play.controller.turn();
            let snapshot = play.snapshot();
            shown |= snapshot.reason.contains(INJECTED);
        }
        let failed = play.world.borrow().failed.expect("the call was made");
        *seen.entry(failed).or_insert(0) += 1;
        let trouble = format!("call {call}, {failed}: {:?}\n{:#?}", play.snapshot(), play.log.lines());
        // What failed was told, and told to be over, if it can be: NTP has a server's patience instead, the
        // rate at start has a default, and a step is not tried twice.
        if !["send", "rate"].contains(&failed) {
            assert!(shown || play.log.count(INJECTED) == 1, "{trouble}");
        }
        if !["send", "rate", "step"].contains(&failed) {
            // The kernel is told its status every 10 s only.
            play.run(11);
            assert_eq!(play.log.count("works again"), 1, "{trouble}");
        }
        play.until(10, |snapshot| snapshot.state == State::Locked);
        assert_eq!(play.snapshot().reason, "", "{trouble}");
        assert_eq!(play.snapshot().foreign_changes, 0, "{trouble}");
    }
    // Every kind of call was among them.
    let names: Vec<_> = seen.keys().copied().collect();
    assert_eq!(names, ["next_event", "rate", "read", "send", "set_rate", "set_status", "step", "wait"]);
}

#[test]
fn what_the_clock_follows_is_shown_before_the_first_lock() {
    let mut play = Play::new();
    assert!(play.snapshot().target.is_none());
    play.until(30, |snapshot| snapshot.target.is_some());
    let snapshot = play.snapshot();
    assert_eq!(snapshot.state, State::Acquiring);
    let shown = snapshot.target.unwrap();
    let world = play.world.borrow();
    let (raw, leader) = (Timestamp::from_ns(world.raw), shown.b);
    assert!((leader - world.leader.at(raw)).abs() < Span::from_us(50), "where the leader stands");
    assert!((shown.a - world.system.at(raw)).abs() < Span::from_us(1), "the clock's phase is still free");
    assert_eq!(shown.rate, Rate::ZERO, "exactly the leader's rate");
}

#[test]
fn as_long_as_nothing_happens_there_is_a_summary_every_ten_minutes() {
    let mut play = Play::locked();
    // Longer than the memory of NTP delays.
    play.run(2_410);
    let lines = play.log.lines();
    let summaries = lines.iter().filter(|line| line.contains("summary")).count();
    assert_eq!((summaries, lines.len()), (4, 4), "{lines:?}");
}
