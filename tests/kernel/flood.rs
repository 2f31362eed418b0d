//! Floods of packets that are not for us.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dantetimesync::clock::linux::raw_clock;
use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::net::{EVENT_PORT, GENERAL_PORT};
use dantetimesync::ptp;
use dantetimesync::ptp::wire::{Body, Flags, Header, Message, PortIdentity, SYNC_LENGTH, SyncBody};
use dantetimesync::time::Span;

use crate::kernel_test;
use crate::namespaces::Namespaces;
use crate::observer::Observation;
use crate::world::{Plan, World, entered};

/// Packets a second. A network of 300 followers makes 160.
const FLOOD: u64 = 10_000;

/// Share of one processor that the daemon may need for what dies in the socket filter, and for what does not.
const FILTERED_MAX: f64 = 0.05;
const UNFILTERED_MAX: f64 = 0.15;

/// Resident memory at most, whatever comes.
const MEMORY_MAX_KB: u64 = 10_000;

/// How long a flood is watched, after this.
const FLOOD_S: usize = 12;

/// Processors that a flood wakes up, or lets sleep again, handle every packet about a microsecond faster or
/// slower. The follower cannot tell that from a leader that jumps: it gets the time to find out that its rate is
/// the same.
const SETTLE: Duration = Duration::from_secs(8);

/// Gates of the phase meanwhile: that microsecond, and the direct path's own.
const RMS_NS: f64 = 1_500.0;
const MAX_NS: f64 = 4_000.0;

#[test]
fn floods_leave_the_lock_alone_and_cost_little() {
    const NAME: &str = "floods_leave_the_lock_alone_and_cost_little";
    kernel_test!(NAME);
    let world = World::locked(&Plan::direct(Duration::from_secs(180)));
    thread::sleep(2 * SETTLE);
    let quiet = world.daemon.line_count();
    let pid = world.daemon.pid();
    type Sender = fn(u64) -> (u16, Vec<u8>);
    let floods: [(&str, Sender, f64); 2] =
        [("unwanted packets", unwanted, FILTERED_MAX), ("foreign Syncs", foreign_sync, UNFILTERED_MAX)];
    for (what, packet, limit) in floods {
        let began_at = world.daemon.line_count();
        let flood = Flood::start(&world.namespaces, packet);
        thread::sleep(SETTLE);
        let from = world.daemon.line_count();
        let (before_s, began) = (processor_s(pid), raw_clock());
        let observation = Observation::of(&world.leader.time_base(), FLOOD_S);
        let share = (processor_s(pid) - before_s) / (raw_clock() - began).as_secs_f64();
        let per_s = flood.stop();
        println!(
            "{NAME}: {what}, {per_s:.0} a second: {:.1} % of a processor, {} kB at most; {observation}; states \
             entered as it began: {:?}",
            share * 100.0,
            memory_kb(pid),
            world.states_since(began_at)
        );
        assert!(per_s > 0.9 * FLOOD as f64, "only {per_s} packets a second were sent");
        assert_eq!(world.states_since(from), [""; 0], "the lock was left");
        assert!(observation.rms_ns() <= RMS_NS && observation.max_ns() <= MAX_NS, "{observation}");
        assert!(share <= limit, "{share}");
    }
    assert!(memory_kb(pid) <= MEMORY_MAX_KB);
    // Nothing that a stranger's packet can repeat is logged.
    let lines = world.daemon.lines();
    let told = lines.iter().skip(quiet).filter(|line| entered(line).is_none()).count();
    assert!(told < 10, "{told} lines:\n{}", lines.join("\n"));
}

/// A thread that sends; ends when dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    /// Packets sent, and the time it took.
    thread: Option<thread::JoinHandle<(u64, Span)>>,
}

/// Packets are sent in bunches this far apart.
const BUNCH: Span = Span::from_ms(1);

impl Flood {
    /// Sends from the leader's side. `packet` makes the nth packet, and says to which port it goes.
    fn start(namespaces: &Namespaces, packet: fn(u64) -> (u16, Vec<u8>)) -> Self {
        let namespace = namespaces.leader.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            Namespaces::enter(&namespace).unwrap();
            let group = ptp::group(&DEFAULT_SUBDOMAIN);
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            let (began, mut sent) = (raw_clock(), 0);
            while !stopped.load(Ordering::Relaxed) {
                let due = (raw_clock() - began).as_ns() as u64 * FLOOD / 1_000_000_000;
                // What a stall of this thread has left undone is not made up for at once.
                let until = due.min(sent + 10 * FLOOD / 1_000);
                for number in sent..until {
                    let (port, bytes) = packet(number);
                    socket.send_to(&bytes, (group, port)).unwrap();
                }
                sent = until;
                thread::sleep(Duration::from_nanos(BUNCH.as_ns() as u64));
            }
            (sent, raw_clock() - began)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Packets sent a second.
    fn stop(mut self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        let (sent, span) = self.thread.take().unwrap().join().expect("the flood ran");
        sent as f64 / span.as_secs_f64()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What the socket filter drops: PTPv2, too short, of another subdomain, questions and answers of others.
fn unwanted(number: u64) -> (u16, Vec<u8>) {
    let (_, sync) = foreign_sync(number);
    let with = |at: usize, value: &[u8]| {
        let mut bytes = sync.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    match number % 5 {
        0 => (EVENT_PORT, with(0, &[0x00, 0x02])[..44].to_vec()),
        1 => (EVENT_PORT, sync[..60].to_vec()),
        2 => (EVENT_PORT, with(4, b"_ALT1")),
        3 => (EVENT_PORT, with(CONTROL, &[1])),
        _ => {
            let mut answer = with(CONTROL, &[3])[..60].to_vec();
            answer[MESSAGE_TYPE] = 2;
            (GENERAL_PORT, answer)
        }
    }
}

/// The offsets of the bytes that say for which port a message is, and what it is.
const MESSAGE_TYPE: usize = 20;
const CONTROL: usize = 32;

/// A Sync as good as any, from a device that was never heard and will never be heard again.
fn foreign_sync(number: u64) -> (u16, Vec<u8>) {
    // An odd factor: no identity repeats for 2^32 packets.
    let [a, b, c, d] = ((number as u32).wrapping_mul(0x9e37_79b9)).to_be_bytes();
    let uuid = [0x00, 0x1d, a, b, c, d];
    let sync = SyncBody {
        grandmaster: PortIdentity { technology: 1, uuid, port: 0 },
        grandmaster_clock_stratum: 121,
        grandmaster_clock_identifier: *b"DFLT",
        sync_interval: -2,
        parent_uuid: uuid,
        ..SyncBody::default()
    };
    let header = Header {
        subdomain: DEFAULT_SUBDOMAIN,
        source: PortIdentity { technology: 1, uuid, port: 1 },
        sequence_id: number as u16,
        flags: Flags::DANTE,
    };
    let mut buffer = [0; SYNC_LENGTH];
    let bytes = Message { header, body: Body::Sync(sync) }.to_bytes(&mut buffer).unwrap();
    (EVENT_PORT, bytes.to_vec())
}

/// Time that a process has spent on the processors, its system calls included.
fn processor_s(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Fields 14 and 15; the name in brackets may hold anything, and field 3 follows it.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        fields.split_whitespace().skip(14 - 3).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // Linux tells user space 100 ticks a second on every architecture.
    ticks as f64 / 100.0
}

/// The most memory that a process ever had resident.
fn memory_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_flood_is_what_it_says() {
    use dantetimesync::ptp::DropReason;
    let (port, sync) = foreign_sync(7);
    assert_eq!(port, EVENT_PORT);
    assert!(matches!(Message::parse(&sync).unwrap().body, Body::Sync(_)));
    assert_ne!(sync, foreign_sync(8).1);
    assert_eq!(Message::parse(&unwanted(0).1), Err(DropReason::VersionTwo));
    assert_eq!(Message::parse(&unwanted(1).1), Err(DropReason::Short));
    let other = Message::parse(&unwanted(2).1).unwrap().header.subdomain;
    assert_ne!(other, DEFAULT_SUBDOMAIN);
    assert!(matches!(Message::parse(&unwanted(3).1).unwrap().body, Body::DelayReq(_)));
    assert!(matches!(Message::parse(&unwanted(4).1).unwrap().body, Body::DelayResp { .. }));
}
