//! What a packet costs the controller: allocations, counted here, and instructions, counted by valgrind for
//! `ci/cost.sh`. The backends are made of numbers and cost next to nothing.

#![allow(
    unsafe_code,
    clippy::as_conversions,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test, and its allocator"
)]

use std::alloc::{GlobalAlloc, Layout, System as SystemAllocator};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

use dantetimesync::clock::Timeline;
use dantetimesync::clock::virtual_clock::VirtualClock;
use dantetimesync::config::{Config, DEFAULT_SUBDOMAIN};
use dantetimesync::controller::PtpController;
use dantetimesync::net::{
    Datagram, Interface, NetworkCounters, NetworkError, NetworkEvent, Payload, Pollable, Port, PtpNetwork,
    Stamp, StampSource,
};
use dantetimesync::ntp::{NtpError, NtpEvent, NtpSource, ServerIndex};
use dantetimesync::ptp::wire::{Body, Flags, Header, Message, PortIdentity, SYNC_LENGTH, SyncBody, WireTime};
use dantetimesync::snapshot::State;
use dantetimesync::time::{Leader, Raw, Span, Timestamp};

/// The system's allocator, with a counter for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator; the counter does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { SystemAllocator.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, which is the system's.
        unsafe { SystemAllocator.dealloc(pointer, layout) }
    }
}

const INTERFACE: u32 = 2;
const INTERVAL: Span = Span::from_ms(250);
const START: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000);

/// Enough for the lock, and for every buffer to have its size.
const WARM_UP: u32 = 1_000;

/// Time, and the datagrams that are still to come.
#[derive(Debug)]
struct Numbers {
    raw: Cell<Timestamp<Raw>>,
    coming: RefCell<VecDeque<Datagram>>,
}

struct Network(Rc<Numbers>);

impl PtpNetwork for Network {
    fn wait(&mut self, timeout: Span, _: &mut [Pollable]) -> Result<(), NetworkError> {
        let next = self.0.coming.borrow().front().map(arrival);
        let until = self.0.raw.get() + timeout;
        self.0.raw.set(next.map_or(until, |next| next.min(until)).max(self.0.raw.get()));
        Ok(())
    }
    fn next_event(&mut self, _: &Timeline) -> Result<Option<NetworkEvent>, NetworkError> {
        let mut coming = self.0.coming.borrow_mut();
        let due = coming.front().is_some_and(|datagram| arrival(datagram) <= self.0.raw.get());
        Ok(if due { coming.pop_front().map(NetworkEvent::Datagram) } else { None })
    }
    fn interfaces(&self) -> Vec<Interface> {
        let address = Ipv4Addr::new(10, 0, 0, 2);
        vec![Interface { index: INTERFACE, name: "eth0".to_owned(), address, wired: true }]
    }
    fn rejoin(&mut self) -> Result<(), NetworkError> {
        Ok(())
    }
    fn counters(&self) -> NetworkCounters {
        NetworkCounters::default()
    }
}

fn arrival(datagram: &Datagram) -> Timestamp<Raw> {
    datagram.stamp.unwrap().at
}

/// A socket, over which nothing comes.
struct SilentServer;

impl NtpSource for SilentServer {
    fn pollables(&self, wanted: &mut Vec<Pollable>) {
        wanted.push(Pollable::new(7));
    }
    fn mark_ready(&mut self, _: &[Pollable]) {}
    fn send(&mut self, _: ServerIndex, _: &[u8], _: &Timeline) -> Result<Stamp, NtpError> {
        Err(NtpError::Resolving { name: "nobody asks".to_owned() })
    }
    fn next_event(&mut self, _: &Timeline) -> Option<NtpEvent> {
        None
    }
}

/// A datagram, `after` the start of the world.
fn datagram(after: Span, port: Port, message: &Message<'_>) -> Datagram {
    let mut buffer = [0; SYNC_LENGTH];
    let stamp = Stamp { at: START + after, uncertainty: Span::from_ns(100), source: StampSource::Kernel };
    Datagram {
        interface: INTERFACE,
        port,
        source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 319),
        stamp: Ok(stamp),
        payload: Payload::new(message.to_bytes(&mut buffer).unwrap()),
    }
}

fn header(device: u32, sequence: u16) -> Header {
    let [a, b, c, d] = device.to_be_bytes();
    let source = PortIdentity { technology: 1, uuid: [0, 0x1d, a, b, c, d], port: 1 };
    Header { subdomain: DEFAULT_SUBDOMAIN, source, sequence_id: sequence, flags: Flags::DANTE }
}

fn sync(header: Header, after: Span) -> Datagram {
    let body = SyncBody {
        origin: wire_time(Span::ZERO),
        grandmaster: PortIdentity { port: 0, ..header.source },
        grandmaster_clock_stratum: 121,
        grandmaster_clock_identifier: *b"DFLT",
        sync_interval: -2,
        parent_uuid: header.source.uuid,
        ..SyncBody::default()
    };
    datagram(after, Port::Event, &Message { header, body: Body::Sync(body) })
}

/// The leader's clock runs 40 ppm fast, and arrivals scatter by a microsecond in a fixed pattern.
fn pair(number: u32) -> [Datagram; 2] {
    let sent = INTERVAL.times(i64::from(number));
    let jitter = Span::from_ns(i64::from(number.wrapping_mul(0x9e37_79b9) >> 22));
    let header = header(1, number as u16);
    let precise_origin = wire_time(sent + Span::from_ns(sent.as_ns() / 25_000));
    let body = Body::FollowUp { associated_sequence_id: header.sequence_id, precise_origin };
    let follow_up = Message { header, body };
    [sync(header, sent + jitter), datagram(sent + Span::from_us(100), Port::General, &follow_up)]
}

fn wire_time(since_boot: Span) -> WireTime {
    WireTime::from_timestamp(Timestamp::<Leader>::EPOCH + Span::from_secs(1_000) + since_boot).unwrap()
}

/// Syncs of as many devices, one each, within one interval after the pair `number`.
fn foreign_syncs(number: u32, count: u32) -> impl Iterator<Item = Datagram> {
    let start = INTERVAL.times(i64::from(number)) + Span::from_ms(1);
    (0..count).map(move |device| {
        let after = start + Span::from_us(i64::from(device) * 100);
        sync(header(0x8000_0000 + number.wrapping_mul(1_000) + device, device as u16), after)
    })
}

/// Plays a world; returns the allocations of the turns after the warm-up, which must end in a lock.
fn play(pairs: u32, foreign_per_pair: u32) -> u64 {
    let mut coming = VecDeque::new();
    for number in 0..WARM_UP + pairs {
        coming.extend(pair(number));
        coming.extend(foreign_syncs(number, foreign_per_pair));
    }
    let numbers = Rc::new(Numbers { raw: Cell::new(START), coming: RefCell::new(coming) });
    let time = Rc::clone(&numbers);
    let clock = VirtualClock::new(move || time.raw.get(), Timestamp::from_ns(1_700_000_000_000_000_000));
    let config = Config { ntp_servers: Vec::new(), ..Config::default() };
    let mut controller = PtpController::new(config, Network(Rc::clone(&numbers)), clock, SilentServer, 42);
    let warm = START + INTERVAL.times(i64::from(WARM_UP));
    while numbers.raw.get() < warm {
        controller.turn();
    }
    assert_eq!(controller.snapshot().state, State::Locked, "{}", controller.snapshot().reason);
    let before = ALLOCATIONS.get();
    while !numbers.coming.borrow().is_empty() {
        controller.turn();
    }
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(controller.snapshot().state, State::Locked, "{}", controller.snapshot().reason);
    allocations
}

#[test]
fn a_locked_follower_does_not_allocate() {
    let before = ALLOCATIONS.get();
    drop(Box::new(1));
    assert_eq!(ALLOCATIONS.get() - before, 1, "the counter counts");
    assert_eq!(play(1_000, 0), 0, "allocations in 1000 Sync pairs");
}

#[test]
fn foreign_syncs_do_not_make_it_allocate() {
    assert_eq!(play(200, 20), 0, "allocations in 200 Sync pairs with 20 foreign Syncs each");
}

/// For valgrind: `HOT_PATH=PAIRS,FOREIGN` plays so many pairs with so many foreign Syncs to each.
#[test]
#[ignore = "the load of ci/cost.sh"]
fn load() {
    let text = std::env::var("HOT_PATH").unwrap();
    let (pairs, foreign) = text.split_once(',').unwrap();
    play(pairs.parse().unwrap(), foreign.parse().unwrap());
}
