//! A real PTPv1 leader and a small NTP server, for demonstrations and for the kernel tests.
//!
//! Their clocks are virtual: functions of `CLOCK_MONOTONIC_RAW`, which steering the system clock does not
//! touch. So a daemon may steer the clock of the very computer on which its leader runs, and an observer who
//! knows the [`TimeBase`] knows the truth.
//!
//! Not part of the daemon: this is an edge with sockets, clocks and waits of its own.

pub mod clocks;
mod ntp_server;
pub mod socket;
mod time_base;
mod wire;

pub use ntp_server::{NtpServer, NtpServerOptions};
pub use time_base::{TimeBase, Wander};

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::Reading;
use crate::config::DEFAULT_SUBDOMAIN;
use crate::net::{EVENT_PORT, GENERAL_PORT};
use crate::time::{Leader as LeaderScale, Rate, Raw, Span, System, Timestamp};
use socket::StampedSocket;

/// Who the leader is, and where it speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaderOptions {
    /// Address of the interface to send by; nothing is sent anywhere else.
    pub interface: Ipv4Addr,
    /// Multicast group.
    pub group: Ipv4Addr,
    /// Destination port of Sync.
    pub event_port: u16,
    /// Destination port of Follow_Up.
    pub general_port: u16,
    /// Subdomain, NUL padded.
    pub subdomain: [u8; 16],
    /// MAC address to claim.
    pub uuid: [u8; 6],
    /// `sourcePortId`.
    pub port_id: u16,
    /// Stratum; Dante leaders say 121 or 153.
    pub stratum: u8,
    /// Whether to claim to be the Preferred Leader.
    pub preferred: bool,
    /// Rate of the leader against the raw clock.
    pub rate: Rate,
    /// What the leader's clock reads at start: its uptime.
    pub epoch: Span,
    /// Swings of the rate.
    pub wander: Vec<Wander>,
    /// Between two Syncs; Dante: 250 ms.
    pub interval: Span,
    /// `sequenceId` of the first Sync.
    pub first_sequence: u16,
}

impl LeaderOptions {
    /// A leader like a Dante device with one day of uptime, on `interface`.
    pub fn on(interface: Ipv4Addr) -> Self {
        Self {
            interface,
            group: Ipv4Addr::new(224, 0, 1, 129),
            event_port: EVENT_PORT,
            general_port: GENERAL_PORT,
            subdomain: DEFAULT_SUBDOMAIN,
            // Locally administered, so that it is no device's.
            uuid: [0x02, 0x00, 0x5e, 0x10, 0x00, 0x01],
            port_id: 1,
            stratum: 121,
            preferred: false,
            rate: Rate::ZERO,
            epoch: Span::from_secs(86_400),
            wander: Vec::new(),
            interval: Span::from_ms(250),
            first_sequence: 0,
        }
    }
}

/// What can be told to a running leader or NTP server, and read from it, by another thread.
#[derive(Debug, Default)]
pub struct LeaderControl {
    stop: AtomicBool,
    paused: AtomicBool,
    /// Bits of an f64 in ppm, plus one so that zero means "as it is".
    ppm: AtomicU64,
    sent: AtomicU64,
    without_stamp: AtomicU64,
}

impl LeaderControl {
    /// Ends `run` within 20 ms.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
    /// Calls [`Self::stop`] when dropped: a thread that runs is ended also when its owner panics.
    pub const fn stop_on_drop(&self) -> StopOnDrop<'_> {
        StopOnDrop(self)
    }
    /// Falls silent, or speaks again; the clock runs on.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }
    /// Changes the leader's rate against the raw clock without a jump of its phase, from the next Sync on.
    pub fn set_rate(&self, rate: Rate) {
        self.ppm.store(rate.ppm().to_bits().wrapping_add(1), Ordering::Relaxed);
    }
    /// Syncs (or NTP answers) sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
    /// Syncs that got no Follow_Up, because the kernel's transmit stamp did not come or could not be trusted.
    pub fn without_stamp(&self) -> u64 {
        self.without_stamp.load(Ordering::Relaxed)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
    fn take_rate(&self) -> Option<Rate> {
        let bits = self.ppm.swap(0, Ordering::Relaxed);
        (bits != 0).then(|| Rate::from_ppm(f64::from_bits(bits.wrapping_sub(1))))
    }
}

/// See [`LeaderControl::stop_on_drop`].
#[derive(Debug)]
pub struct StopOnDrop<'a>(&'a LeaderControl);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A PTPv1 leader with its sockets open.
#[derive(Debug)]
pub struct Leader {
    options: LeaderOptions,
    event: StampedSocket,
    general: StampedSocket,
    time_base: TimeBase,
    sequence: u16,
}

/// How long the kernel may take to hand over a transmit stamp; veth and loopback need microseconds.
const STAMP_PATIENCE: Duration = Duration::from_millis(20);

/// The longest sleep in one piece, so that `stop` is heard soon.
const SLEEP_MAX: Span = Span::from_ms(20);

/// The fastest Sync rate: 1 kHz.
const INTERVAL_MIN: Span = Span::from_ms(1);

/// If system minus raw clock moved more than this while a Sync was sent, somebody stepped the system clock and
/// the stamp is void. Slewing at 500 ppm moves it 10 µs in 20 ms.
const STEP_LIMIT: Span = Span::from_us(20);

impl Leader {
    /// Opens the sockets; sends nothing yet.
    ///
    /// # Errors
    /// When a socket cannot be opened, the interface's address does not exist, or the interval is below 1 ms.
    pub fn open(options: LeaderOptions) -> io::Result<Self> {
        if options.interval < INTERVAL_MIN {
            let message = format!("interval {} is out of range: {INTERVAL_MIN} or more", options.interval);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let open = || -> io::Result<StampedSocket> {
            // Like Dante devices, from a port that the system chooses.
            let socket = StampedSocket::bind(SocketAddrV4::new(options.interface, 0))?;
            socket.send_multicast_by(options.interface)?;
            Ok(socket)
        };
        let (event, general) = (open()?, open()?);
        let anchor = Timestamp::<LeaderScale>::EPOCH + options.epoch;
        let time_base = TimeBase::new(clocks::raw_now(), anchor, options.rate, options.wander.clone());
        let sequence = options.first_sequence;
        Ok(Self { options, event, general, time_base, sequence })
    }

    /// The leader's clock as it runs now.
    pub fn time_base(&self) -> &TimeBase {
        &self.time_base
    }

    /// Sends Sync and Follow_Up until `control` says stop. `changed` hears of every new time base.
    ///
    /// # Errors
    /// When sending fails for another reason than a network that is down for the moment.
    pub fn run(mut self, control: &LeaderControl, mut changed: impl FnMut(&TimeBase)) -> io::Result<()> {
        let mut due = clocks::raw_now();
        while wait_until(due, control) {
            if let Some(rate) = control.take_rate() {
                self.time_base = self.time_base.with_rate(clocks::raw_now(), rate);
                changed(&self.time_base);
            }
            if !control.paused.load(Ordering::Relaxed) {
                self.speak(control)?;
            }
            // A computer that slept or stalled must not catch up with a burst.
            due = (due + self.options.interval).max(clocks::raw_now());
        }
        Ok(())
    }

    /// One Sync and its Follow_Up.
    fn speak(&mut self, control: &LeaderControl) -> io::Result<()> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let before = clocks::read(PRECISE)?;
        // As Dante devices do: the time in the Sync itself is a little early, only the Follow_Up is right.
        let sync = wire::sync(&self.options, sequence, self.time_base.at(before.raw));
        let to = SocketAddrV4::new(self.options.group, self.options.event_port);
        let token = match self.event.send_to(&sync, to) {
            Err(error) if is_passing(&error) => return Ok(()),
            sent => sent?,
        };
        control.sent.fetch_add(1, Ordering::Relaxed);
        let stamp = self.event.transmit_stamp(token, STAMP_PATIENCE)?;
        let after = clocks::read(PRECISE)?;
        let Some(sent_at) = stamp.filter(|_| unstepped(before, after)) else {
            control.without_stamp.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let raw = clocks::raw_of(sent_at, after, clocks::kernel_rate()?);
        let follow_up = wire::follow_up(&self.options, sequence, self.time_base.at(raw));
        let to = SocketAddrV4::new(self.options.group, self.options.general_port);
        match self.general.send_to(&follow_up, to) {
            Err(error) if is_passing(&error) => Ok(()),
            sent => sent.map(|_| ()),
        }
    }
}

/// Sandwiches of clock calls per reading: the best of ten is good to 1 ns.
const PRECISE: u32 = 10;

fn unstepped(before: Reading, after: Reading) -> bool {
    let moved = (after.system - before.system) - (after.raw - before.raw);
    moved.abs() < STEP_LIMIT + before.uncertainty + after.uncertainty
}

/// The link is down, or the queue is full: the next Sync may get through.
fn is_passing(error: &io::Error) -> bool {
    let passing = [libc::ENETDOWN, libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ENOBUFS, libc::EAGAIN];
    error.raw_os_error().is_some_and(|code| passing.contains(&code))
}

/// Sleeps until `due`; `false` when told to stop.
#[allow(clippy::disallowed_methods, reason = "a leader paces itself; it is no part of the daemon")]
fn wait_until(due: Timestamp<Raw>, control: &LeaderControl) -> bool {
    while !control.stopped() {
        let left = due - clocks::raw_now();
        if left <= Span::ZERO {
            return true;
        }
        let piece = left.min(SLEEP_MAX).as_ns().unsigned_abs();
        thread::sleep(Duration::from_nanos(piece));
    }
    false
}

/// A kernel stamp: a reading of the system clock.
type KernelStamp = Timestamp<System>;

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that nobody listens on by accident, and that needs no privilege.
    fn receiver() -> (StampedSocket, SocketAddrV4) {
        let socket = StampedSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let address = socket.address().unwrap();
        (socket, address)
    }

    #[test]
    fn a_leader_on_loopback_is_heard_with_stamps_that_fit_its_time_base() {
        let group = Ipv4Addr::new(224, 0, 1, 129);
        let (events, event) = receiver();
        let (generals, general) = receiver();
        for socket in [&events, &generals] {
            socket.join(group, Ipv4Addr::LOCALHOST).unwrap();
        }
        let leader = Leader::open(LeaderOptions {
            event_port: event.port(),
            general_port: general.port(),
            interval: Span::from_ms(5),
            rate: Rate::from_ppm(40.0),
            first_sequence: u16::MAX,
            ..LeaderOptions::on(Ipv4Addr::LOCALHOST)
        })
        .unwrap();
        let time_base = leader.time_base().clone();
        let control = LeaderControl::default();
        thread::scope(|scope| {
            let running = scope.spawn(|| leader.run(&control, |_| ()));
            let _ended = control.stop_on_drop();
            let patience = Duration::from_secs(10);
            let mut buffer = [0; 256];
            // The second one: the first may pay for cold paths.
            for sequence in [u16::MAX, 0] {
                let sync = events.receive(&mut buffer, patience).unwrap().expect("a Sync");
                let received = clocks::raw_of(
                    sync.stamp.expect("a kernel stamp"),
                    clocks::read(PRECISE).unwrap(),
                    clocks::kernel_rate().unwrap(),
                );
                assert_eq!(buffer[30..32], sequence.to_be_bytes());
                let follow_up = generals.receive(&mut buffer, patience).unwrap().expect("a Follow_Up");
                assert_eq!(follow_up.length, 52);
                assert_eq!(buffer[42..44], sequence.to_be_bytes());
                let seconds = u32::from_be_bytes(buffer[44..48].try_into().unwrap());
                let ns = u32::from_be_bytes(buffer[48..52].try_into().unwrap());
                let sent = i64::from(seconds) * 1_000_000_000 + i64::from(ns);
                let delay = time_base.at(received) - Timestamp::from_ns(sent);
                // Both stamps are the kernel's, microseconds apart; a wrong conversion is off by far more.
                assert!(delay > Span::ZERO && delay < Span::from_ms(5), "{delay}");
            }
            control.stop();
            running.join().unwrap().unwrap();
        });
        assert!(control.sent() >= 2);
    }

    #[test]
    fn a_step_of_the_system_clock_while_sending_voids_the_stamp() {
        let reading = |raw: i64, system: i64| Reading {
            raw: Timestamp::from_ns(raw),
            system: Timestamp::from_ns(system),
            uncertainty: Span::from_ns(30),
        };
        let before = reading(0, 1_000_000_000);
        assert!(unstepped(before, reading(20_000_000, 1_020_010_000)), "a slew of 500 ppm");
        assert!(!unstepped(before, reading(100_000, 1_000_130_000)), "a step of 30 µs");
        assert!(!unstepped(before, reading(100_000, 950_100_000)), "a step of -50 ms");
    }

    #[test]
    fn a_rate_is_taken_once_even_when_it_is_zero() {
        let control = LeaderControl::default();
        assert_eq!(control.take_rate(), None);
        control.set_rate(Rate::ZERO);
        assert_eq!(control.take_rate(), Some(Rate::ZERO));
        assert_eq!(control.take_rate(), None);
    }

    #[test]
    fn an_interval_below_a_millisecond_is_refused() {
        let options =
            LeaderOptions { interval: Span::from_us(999), ..LeaderOptions::on(Ipv4Addr::LOCALHOST) };
        let error = Leader::open(options).unwrap_err();
        assert!(error.to_string().contains("out of range: +1.0 ms or more"), "{error}");
    }
}
