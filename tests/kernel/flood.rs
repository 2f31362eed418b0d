//! Floods of packets that are not for us.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dantetimesync::clock::linux::raw_clock;
use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::ptp;
use dantetimesync::time::Span;

use crate::kernel_test;
use crate::namespaces::Namespaces;
use crate::observer::Observation;
use crate::packets::{foreign_sync, unwanted};
use crate::world::{Plan, World, entered, program};

/// Packets a second. A network of 300 followers makes 160.
const FLOOD: u64 = 10_000;

/// Share of one processor that the daemon may need for what dies in the socket filter, and for what does not.
const FILTERED_MAX: f64 = 0.05;
const UNFILTERED_MAX: f64 = 0.15;

/// Resident memory at most, whatever comes.
const MEMORY_MAX_KB: u64 = 10_000;

/// A status is told within this, a flood or not; its program must start as well.
const STATUS_MAX: Duration = Duration::from_secs(1);

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
        // Whoever asks is no part of what is measured.
        let asked = asked_meanwhile();
        thread::sleep(SETTLE);
        let slowest = asked.join().expect("the status is told during a flood");
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
        println!("{NAME}: {what}: a status took {slowest:?} at most");
        assert!(slowest <= STATUS_MAX, "{slowest:?}");
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

/// Asks for the status ten times, and tells how long it took at most.
fn asked_meanwhile() -> thread::JoinHandle<Duration> {
    thread::spawn(|| {
        let ask = |_| {
            thread::sleep(Duration::from_millis(500));
            let began = Instant::now();
            let told = Command::new(program()).args(["status", "--json"]).output().unwrap();
            let took = began.elapsed();
            // Locked, or just not.
            assert!(matches!(told.status.code(), Some(0 | 1)) && !told.stdout.is_empty(), "{told:?}");
            took
        };
        (0..10).map(ask).max().unwrap()
    })
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
