//! A hop between leader and follower that delays, loses, doubles and reorders frames.
//!
//! Frames leave at the kernel's receive stamp plus the delay that was drawn for them, so that what the relay
//! itself takes is not in it: the last part of the delay is waited out busily, with real-time priority.

#![allow(unsafe_code, reason = "packet sockets, ppoll and the scheduler")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dantetimesync::clock::linux::raw_clock;
use dantetimesync::time::{Raw, Span, System, Timestamp};

use crate::clock;
use crate::namespaces::Namespaces;

/// What frames meet on the way, each by itself and the same in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Impairment {
    /// What every frame takes. Below 200 µs the relay's own wake-up shows.
    pub base: Span,
    /// Mean of an exponential delay on top.
    pub queue: Span,
    /// Probability of a further delay, and its length.
    pub spike: (f64, Span),
    /// Probability of never arriving.
    pub loss: f64,
    /// Probability of arriving twice, with two delays.
    pub duplicate: f64,
    /// Probability of being held back until later frames have passed.
    pub reorder: f64,
}

/// A running relay; ends when dropped, and tells what it did.
#[derive(Debug)]
pub struct Relay {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Report>>,
}

/// What a relay did.
#[derive(Debug, Clone, Copy, Default)]
struct Report {
    taken: u64,
    lost: u64,
    doubled: u64,
    sent: u64,
    /// Sent more than [`LATE`] after their time.
    late: u64,
    latest: Span,
    without_stamp: u64,
    real_time: bool,
}

/// Busy waiting before a frame leaves: what a sleeping thread may need to wake up.
const SPIN: Span = Span::from_us(300);

/// The longest sleep, so that `stop` is heard.
const SLEEP_MAX: Span = Span::from_ms(20);

/// A frame that leaves this much after its time is counted.
const LATE: Span = Span::from_us(5);

/// A frame held back arrives after a Follow_Up that left 0.1 ms later, and long before the next Sync.
const HELD_BACK: Span = Span::from_ms(2);

/// Above ordinary threads, below the kernel's own (50).
const PRIORITY: libc::c_int = 45;

impl Relay {
    /// Starts between `ra` and `rb` in the relay's namespace.
    pub fn start(namespaces: &Namespaces, path: Impairment) -> Self {
        let namespace = namespaces.relay.clone().expect("namespaces made with a relay");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            Namespaces::enter(&namespace).unwrap();
            let ends = [PacketSocket::open("ra").unwrap(), PacketSocket::open("rb").unwrap()];
            let real_time = become_real_time().is_ok();
            let report = Report { real_time, ..Report::default() };
            let mut hop = Hop { path, ends, chance: Chance(SEED), queue: BinaryHeap::new(), next: 0, report };
            while !stopped.load(Ordering::Relaxed) {
                hop.turn().unwrap();
            }
            hop.report
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(thread::JoinHandle::join) {
            Some(Ok(report)) => println!("relay: {report}"),
            _ => eprintln!("the relay failed"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, lost, doubled, sent, late, latest, without_stamp, real_time } = self;
        let priority = if *real_time { "real-time" } else { "ordinary priority" };
        write!(
            f,
            "{taken} frames taken ({without_stamp} without stamp), {lost} lost, {doubled} doubled, {sent} sent, \
             {late} of them more than {LATE} late, at most {latest}; {priority}"
        )
    }
}

/// A frame on its way: the earliest comes first, equal ones in the order of their arrival.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    due: Timestamp<Raw>,
    number: u64,
    to: usize,
    bytes: Vec<u8>,
}

struct Hop {
    path: Impairment,
    ends: [PacketSocket; 2],
    chance: Chance,
    queue: BinaryHeap<Reverse<Frame>>,
    next: u64,
    report: Report,
}

impl Hop {
    fn turn(&mut self) -> io::Result<()> {
        let due = self.queue.peek().map(|Reverse(frame)| frame.due);
        let sleep = due.map_or(SLEEP_MAX, |due| due - SPIN - raw_clock()).min(SLEEP_MAX);
        if sleep > Span::ZERO {
            wait(&self.ends, sleep)?;
        }
        for from in 0..self.ends.len() {
            while let Some(received) = self.ends[from].receive()? {
                self.take(from, received)?;
            }
        }
        while let Some(Reverse(frame)) = self.queue.peek() {
            if frame.due - SPIN > raw_clock() {
                break;
            }
            self.release()?;
        }
        Ok(())
    }

    /// Decides a frame's fate.
    fn take(&mut self, from: usize, (bytes, stamp): Arrival) -> io::Result<()> {
        self.report.taken += 1;
        let arrived = match stamp {
            Some(stamp) => {
                let now = clock::read()?;
                // Between stamp and reading a steered clock gains some ns.
                now.raw - (now.system - stamp)
            }
            None => {
                self.report.without_stamp += 1;
                raw_clock()
            }
        };
        if self.chance.happens(self.path.loss) {
            self.report.lost += 1;
            return Ok(());
        }
        let copies = if self.chance.happens(self.path.duplicate) { 2 } else { 1 };
        self.report.doubled += copies - 1;
        for _ in 0..copies {
            let frame = Frame {
                due: arrived + self.draw_delay(),
                number: self.next,
                to: 1 - from,
                bytes: bytes.clone(),
            };
            self.next += 1;
            self.queue.push(Reverse(frame));
        }
        Ok(())
    }

    fn draw_delay(&mut self) -> Span {
        let path = self.path;
        let mut delay = path.base + Span::from_ns_f64(self.chance.exponential(path.queue.as_ns_f64()));
        if self.chance.happens(path.spike.0) {
            delay = delay + path.spike.1;
        }
        if self.chance.happens(path.reorder) {
            delay = delay + HELD_BACK;
        }
        delay
    }

    /// Sends the first frame of the queue at its time.
    fn release(&mut self) -> io::Result<()> {
        let Some(Reverse(frame)) = self.queue.pop() else { return Ok(()) };
        let mut now = raw_clock();
        while now < frame.due {
            now = raw_clock();
        }
        let late = now - frame.due;
        self.report.sent += 1;
        self.report.late += u64::from(late > LATE);
        self.report.latest = self.report.latest.max(late);
        self.ends[frame.to].send(&frame.bytes)
    }
}

/// The same frames meet the same fate in every run.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Random numbers (xorshift64* by Vigna).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// In (0, 1].
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (bits + 1) as f64 / (1_u64 << 53) as f64
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.uniform() <= probability
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform().ln()
    }
}

/// Everything that arrives at one interface, and a way out by it.
#[derive(Debug)]
struct PacketSocket(OwnedFd);

/// A frame, and the kernel's stamp.
type Arrival = (Vec<u8>, Option<Timestamp<System>>);

/// The longest Ethernet frame of a network without jumbo frames, with room for a VLAN tag.
const FRAME_MAX: usize = 1_600;

impl PacketSocket {
    fn open(interface: &str) -> io::Result<Self> {
        let protocol = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
        // SAFETY: plain integers.
        let fd = checked(unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, i32::from(protocol))
        })?;
        // SAFETY: the descriptor was just made, and nobody else owns it.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        let name = CString::new(interface).unwrap();
        // SAFETY: the name ends in NUL and outlives the call.
        let index = i32::try_from(unsafe { libc::if_nametoindex(name.as_ptr()) }).unwrap();
        // SAFETY: sockaddr_ll is plain integers, for which zero is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
        address.sll_protocol = protocol;
        address.sll_ifindex = index;
        let size = u32::try_from(size_of_val(&address)).unwrap();
        // SAFETY: the address outlives the call, and its size is the one given.
        checked(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
        socket.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32)?;
        // Else every frame that leaves here would be taken as one that arrived.
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1_i32)?;
        // Multicast groups that nobody joined here, and other hosts' addresses.
        // SAFETY: packet_mreq is plain integers, for which zero is valid.
        let mut everything: libc::packet_mreq = unsafe { std::mem::zeroed() };
        everything.mr_ifindex = index;
        everything.mr_type = u16::try_from(libc::PACKET_MR_PROMISC).unwrap();
        socket.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &everything)?;
        Ok(socket)
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        let size = u32::try_from(size_of_val(value)).unwrap();
        // SAFETY: the value outlives the call, and its size is the one given.
        let result = unsafe {
            libc::setsockopt(self.0.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), size)
        };
        checked(result).map(drop)
    }

    /// The next frame that waits, with the kernel's stamp.
    fn receive(&self) -> io::Result<Option<Arrival>> {
        let mut bytes = vec![0_u8; FRAME_MAX];
        // Words, because control messages must be aligned like their header.
        let mut control = [0_u64; 16];
        let mut buffer = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: a message header of zeros is valid: no buffers at all.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut buffer;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        // SAFETY: all buffers named in the header outlive the call, and their sizes are the ones given.
        let length = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut header, 0) };
        let Ok(length) = usize::try_from(length) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        };
        bytes.truncate(length);
        Ok(Some((bytes, stamp_in(&control))))
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: the buffer outlives the call, and its size is the one given.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Not in the libc crate; linux/if_packet.h.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// The stamp is the only control message that was asked for: length, level and type, then a timespec.
fn stamp_in(control: &[u64; 16]) -> Option<Timestamp<System>> {
    let wanted =
        u64::try_from(libc::SOL_SOCKET).unwrap() | u64::try_from(libc::SCM_TIMESTAMPNS).unwrap() << 32;
    let [_, kind, secs, ns, ..] = *control;
    let ns = i64::try_from(secs).ok()?.checked_mul(1_000_000_000)?.checked_add(i64::try_from(ns).ok()?)?;
    (kind == wanted && secs > 0).then_some(Timestamp::from_ns(ns))
}

/// Until a frame arrives, or for `timeout`.
fn wait(ends: &[PacketSocket; 2], timeout: Span) -> io::Result<()> {
    let mut fds =
        [0, 1].map(|end| libc::pollfd { fd: ends[end].0.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let timeout = libc::timespec { tv_sec: 0, tv_nsec: timeout.as_ns() };
    // SAFETY: the descriptors and the timeout outlive the call; their number is the one given.
    let result = unsafe { libc::ppoll(fds.as_mut_ptr(), 2, &raw const timeout, std::ptr::null()) };
    checked(result).map(drop)
}

fn become_real_time() -> io::Result<()> {
    // SAFETY: sched_param is plain integers, for which zero is valid.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = PRIORITY;
    // SAFETY: the parameters outlive the call; 0 is this thread.
    checked(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) }).map(drop)
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[test]
fn frames_leave_in_the_order_of_their_time() {
    let frame = |due, number| Frame { due: Timestamp::from_ns(due), number, to: 0, bytes: Vec::new() };
    let mut queue = BinaryHeap::from([frame(5, 0), frame(3, 1), frame(5, 2), frame(3, 3)].map(Reverse));
    let order: Vec<u64> = std::iter::from_fn(|| queue.pop()).map(|Reverse(frame)| frame.number).collect();
    assert_eq!(order, [1, 3, 0, 2]);
}

#[test]
fn chances_are_what_they_say() {
    let mut chance = Chance(SEED);
    let happened = (0..10_000).filter(|_| chance.happens(0.1)).count();
    assert!((850..1_150).contains(&happened), "{happened} of 10000 at 10 %");
    assert!(!(0..10_000).any(|_| chance.happens(0.0)));
    let mean = (0..10_000).map(|_| chance.exponential(20.0)).sum::<f64>() / 10_000.0;
    assert!((mean - 20.0).abs() < 1.0, "{mean}");
}
