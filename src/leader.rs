//! A real PTPv1 leader and a small NTP server, for demonstrations and for the kernel tests.
//!
//! Their clocks are virtual: functions of `CLOCK_MONOTONIC_RAW`, which steering the system clock does not
//! touch. So a daemon may steer the clock of the very computer on which its leader runs, and an observer who
//! knows the [`TimeBase`] knows the truth.
//!
//! Not part of the daemon: this is an edge that paces itself, on the daemon's own sockets and clock readings.

mod departure;
pub(crate) mod message;
pub(crate) mod ntp_server;
mod time_base;

pub use ntp_server::{NtpServer, NtpServerOptions};
pub use time_base::{TimeBase, Wander};

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::platform::{OsClock, raw_clock};
use crate::config::DEFAULT_SUBDOMAIN;
use crate::net::platform::socket::UdpSocket;
use crate::net::{EVENT_PORT, GENERAL_PORT, Interface, interface};
use crate::time::{Leader as LeaderScale, Rate, Raw, Span, Timestamp};
use departure::Departure;
use message::{VARIANCE, Voice, interval_log2};

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

    fn voice(&self) -> Voice {
        Voice {
            subdomain: self.subdomain,
            uuid: self.uuid,
            port: self.port_id,
            stratum: self.stratum,
            variance: VARIANCE,
            preferred: self.preferred,
            interval_log2: interval_log2(self.interval),
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
    interval: Span,
    voice: Voice,
    /// Connected to the group's event port, and stamped by the kernel.
    event: UdpSocket,
    /// Connected to the group's general port.
    general: UdpSocket,
    clock: OsClock,
    time_base: TimeBase,
    sequence: u16,
}

/// The longest sleep in one piece, so that `stop` is heard soon.
const SLEEP_MAX: Span = Span::from_ms(20);

/// The fastest Sync rate: 1 kHz.
const INTERVAL_MIN: Span = Span::from_ms(1);

impl Leader {
    /// Opens the sockets; sends nothing yet.
    ///
    /// # Errors
    /// When a socket cannot be opened, no usable interface has the address, or the interval is below 1 ms.
    pub fn open(options: LeaderOptions) -> io::Result<Self> {
        if options.interval < INTERVAL_MIN {
            let message = format!("interval {} is out of range: {INTERVAL_MIN} or more", options.interval);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let interface = interface_with(options.interface)?;
        // Like Dante devices, from ports that the system chooses. A new socket's multicast goes one hop far and
        // is heard on this computer too.
        let open = |port| -> io::Result<UdpSocket> {
            let socket = UdpSocket::new()?;
            socket.multicast_by(&interface)?;
            socket.connect(SocketAddrV4::new(options.group, port))?;
            Ok(socket)
        };
        let (event, general) = (open(options.event_port)?, open(options.general_port)?);
        departure::prepare(&event)?;
        let anchor = Timestamp::<LeaderScale>::EPOCH + options.epoch;
        Ok(Self {
            interval: options.interval,
            voice: options.voice(),
            event,
            general,
            clock: OsClock::observe().map_err(io::Error::other)?,
            time_base: TimeBase::new(raw_clock(), anchor, options.rate, options.wander),
            sequence: options.first_sequence,
        })
    }

    /// The leader's clock as it runs now.
    pub fn time_base(&self) -> &TimeBase {
        &self.time_base
    }

    /// Sends Sync and Follow_Up until `control` says stop. `changed` hears of every new time base.
    ///
    /// # Errors
    /// When the clock cannot be read, or sending fails for another reason than a network that is down for the
    /// moment.
    pub fn run(mut self, control: &LeaderControl, mut changed: impl FnMut(&TimeBase)) -> io::Result<()> {
        let mut due = raw_clock();
        while wait_until(due, control) {
            if let Some(rate) = control.take_rate() {
                self.time_base = self.time_base.with_rate(raw_clock(), rate);
                changed(&self.time_base);
            }
            if !control.paused.load(Ordering::Relaxed) {
                self.speak(control)?;
            }
            // A computer that slept or stalled must not catch up with a burst.
            due = (due + self.interval).max(raw_clock());
        }
        Ok(())
    }

    /// One Sync and its Follow_Up.
    fn speak(&mut self, control: &LeaderControl) -> io::Result<()> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        // As Dante devices do: the time in the Sync itself is a little early, only the Follow_Up is right.
        let sync = self.voice.sync(sequence, self.time_base.at(raw_clock()));
        let departure = match departure::send(&self.event, &sync, &mut self.clock)? {
            Departure::None => return Ok(()),
            departure => departure,
        };
        control.sent.fetch_add(1, Ordering::Relaxed);
        let Departure::At(sent_at) = departure else {
            control.without_stamp.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let follow_up = self.voice.follow_up(sequence, self.time_base.at(sent_at));
        departure::send_unstamped(&self.general, &follow_up).map(drop)
    }
}

/// The interface with this address.
fn interface_with(address: Ipv4Addr) -> io::Result<Interface> {
    let interfaces = interface::list(true)?;
    if let Some(interface) = interfaces.iter().find(|interface| interface.address == address) {
        return Ok(interface.clone());
    }
    let names: Vec<String> = interfaces.iter().map(ToString::to_string).collect();
    let message = format!("no interface has the address {address}; there are: {}", names.join(", "));
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message))
}

/// Sleeps until `due`; `false` when told to stop.
#[allow(clippy::disallowed_methods, reason = "a leader paces itself; it is no part of the daemon")]
fn wait_until(due: Timestamp<Raw>, control: &LeaderControl) -> bool {
    while !control.stopped() {
        let left = due - raw_clock();
        if left <= Span::ZERO {
            return true;
        }
        let piece = left.min(SLEEP_MAX).as_ns().unsigned_abs();
        thread::sleep(Duration::from_nanos(piece));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SystemClock, Timeline};
    use crate::net::platform::RealPtpNetwork;
    use crate::net::{Capture, Datagram, NetworkEvent, NetworkOptions, PtpNetwork};
    use crate::ptp::follower::Follower;
    use crate::ptp::{Outcome, SyncSample};

    /// A socket of the general port's kind, and its port: nobody listens there by accident.
    fn free_port() -> (UdpSocket, u16) {
        let socket = UdpSocket::new().unwrap();
        socket.share_port().unwrap();
        socket.bind(0).unwrap();
        let port = socket.port().unwrap();
        (socket, port)
    }

    /// What a follower on this computer makes of a datagram that it waits for.
    fn next_datagram(network: &mut RealPtpNetwork, clock: &mut OsClock) -> Datagram {
        let mut timeline = Timeline::new();
        for _ in 0..1_000 {
            let reading = clock.read().unwrap();
            timeline.changed(reading, reading, clock.rate().unwrap());
            network.wait(Span::from_ms(20), &mut []).unwrap();
            if let Some(NetworkEvent::Datagram(datagram)) = network.next_event(&timeline).unwrap() {
                return datagram;
            }
        }
        panic!("nothing heard");
    }

    #[test]
    fn a_leader_on_loopback_is_followed_with_stamps_that_fit_its_time_base() {
        let ((_event, event_port), (_general, general_port)) = (free_port(), free_port());
        let mut network = RealPtpNetwork::open(NetworkOptions {
            interface: Some("127.0.0.1".to_owned()),
            event_port,
            general_port,
            loopback: true,
            capture: Capture::Udp,
            ..NetworkOptions::default()
        })
        .unwrap();
        let leader = Leader::open(LeaderOptions {
            event_port,
            general_port,
            interval: Span::from_ms(5),
            rate: Rate::from_ppm(40.0),
            first_sequence: u16::MAX,
            ..LeaderOptions::on(Ipv4Addr::LOCALHOST)
        })
        .unwrap();
        let time_base = leader.time_base().clone();
        let control = LeaderControl::default();
        let mut samples: Vec<SyncSample> = Vec::new();
        thread::scope(|scope| {
            let running = scope.spawn(|| leader.run(&control, |_| ()));
            let _ended = control.stop_on_drop();
            let mut follower = Follower::new(DEFAULT_SUBDOMAIN);
            follower.set_interfaces(&network.interfaces());
            let mut clock = OsClock::observe().unwrap();
            while samples.len() < 20 {
                let datagram = next_datagram(&mut network, &mut clock);
                if let Outcome::Sample(sample) = follower.handle_datagram(&datagram, raw_clock()) {
                    samples.push(sample);
                }
            }
            control.stop();
            running.join().unwrap().unwrap();
        });
        assert!(control.sent() >= 20);
        let mut delays: Vec<Span> =
            samples.iter().map(|sample| time_base.at(sample.received.at) - sample.sent).collect();
        delays.sort();
        // A program that stamps itself may have to wait for a processor.
        let worst = if cfg!(unix) { delays.len() - 1 } else { delays.len() / 2 };
        assert!(delays[0] > Span::ZERO && delays[worst] < Span::from_ms(5), "{delays:?}");
    }

    #[test]
    fn an_address_of_no_interface_is_refused_with_a_list() {
        let error = Leader::open(LeaderOptions::on(Ipv4Addr::new(203, 0, 113, 7))).unwrap_err();
        assert!(error.to_string().contains("203.0.113.7; there are: lo (127.0.0.1)"), "{error}");
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
