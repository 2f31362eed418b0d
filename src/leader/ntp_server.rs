//! An NTP server whose time is not the system clock's: steering that does not move it.

use std::io;
use std::net::SocketAddrV4;
use std::sync::atomic::Ordering;

use super::LeaderControl;
use crate::clock::platform::{OsClock, raw_clock};
use crate::clock::{SystemClock, Timeline};
use crate::net::is_nothing;
use crate::net::platform::convert;
use crate::net::platform::socket::{self, Received, STAMP_RECEIVE, UdpSocket};
use crate::ntp::wire::{Leap, NtpTime, Packet};
use crate::time::{Line, Rate, Raw, Span, Timestamp, Utc};

/// Where the server listens, and what it believes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NtpServerOptions {
    /// Where to listen; port 0 lets the system choose.
    pub address: SocketAddrV4,
    /// UTC minus the system clock at start.
    pub offset: Span,
    /// Rate of UTC against the raw clock.
    pub rate: Rate,
}

/// A small NTP server (RFC 5905, server mode only) of stratum 2.
#[derive(Debug)]
pub struct NtpServer {
    socket: UdpSocket,
    clock: OsClock,
    utc: Line<Utc, Raw>,
}

/// How long a stop may go unheard, and how often the clocks are read to convert stamps.
const PATIENCE: Span = Span::from_ms(20);

impl NtpServer {
    /// Opens the socket. The server's time starts at the system clock plus `offset`, and then depends on the
    /// raw clock alone.
    ///
    /// # Errors
    /// When the address cannot be bound, or the clock not be read.
    pub fn bind(options: NtpServerOptions) -> io::Result<Self> {
        let socket = UdpSocket::new()?;
        // Where the system does not stamp, this program does.
        let _ = socket.stamp(STAMP_RECEIVE);
        socket.bind_at(options.address)?;
        let mut clock = OsClock::observe().map_err(io::Error::other)?;
        let start = clock.read().map_err(io::Error::other)?;
        let utc = Timestamp::<Utc>::from_ns(start.system.as_ns()) + options.offset;
        Ok(Self { socket, clock, utc: Line::exact(utc, start.raw, options.rate) })
    }

    /// Where the server listens.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub fn address(&self) -> io::Result<SocketAddrV4> {
        self.socket.address()
    }

    /// What the server believes: UTC as a function of the raw clock.
    pub const fn utc(&self) -> Line<Utc, Raw> {
        self.utc
    }

    /// Answers until `control` says stop; silent while it says pause.
    ///
    /// # Errors
    /// When the socket or the clock fails.
    pub fn run(mut self, control: &LeaderControl) -> io::Result<()> {
        let mut timeline = Timeline::new();
        while !control.stopped() {
            // The system clock may be steered at any time: a new piece of its line for every wait.
            let reading = self.clock.read().map_err(io::Error::other)?;
            timeline.changed(reading, reading, self.clock.rate().map_err(io::Error::other)?);
            let Some(received) = self.receive()? else { continue };
            let woke_at = raw_clock();
            // A stamp that cannot be converted is replaced by one of our own: later, but never wrong by a step.
            let arrived = convert(&received, false, woke_at, &timeline).map_or(woke_at, |stamp| stamp.at);
            if control.paused.load(Ordering::Relaxed) {
                continue;
            }
            let Some(mut answer) = answer(received.payload.as_slice(), self.utc.at(arrived)) else {
                continue;
            };
            answer.transmit = NtpTime::from_utc(self.utc.at(raw_clock()));
            // A client that is gone is no reason to stop.
            if self.socket.send_to(&answer.to_bytes(), received.source).is_ok() {
                control.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The next datagram, if one comes soon.
    fn receive(&self) -> io::Result<Option<Received>> {
        let mut fds = [socket::pollfd(self.socket.fd())];
        socket::poll(&mut fds, PATIENCE)?;
        if !fds.iter().any(socket::is_readable) {
            return Ok(None);
        }
        match self.socket.receive() {
            Ok(received) => Ok(Some(received)),
            Err(error) if is_nothing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
const STRATUM: u8 = 2;
/// 2^-20 s, 1 µs.
const PRECISION: i8 = -20;
/// Root delay and dispersion of a server on the next switch.
const ROOT_ERROR: Span = Span::from_ms(1);
/// 127.127.1.0: by custom a clock of the server's own.
const REFERENCE_ID: [u8; 4] = [127, 127, 1, 0];
/// How long ago the server's own clock was set.
const REFERENCE_AGE: Span = Span::from_secs(8);

/// The answer to a request that arrived at `arrived`, as if sent at once; `None` for anything but a client's
/// request.
pub(crate) fn answer(request: &[u8], arrived: Timestamp<Utc>) -> Option<Packet> {
    let request = Packet::parse(request).ok().filter(|request| request.mode == MODE_CLIENT)?;
    Some(Packet {
        leap: Leap::None,
        version: request.version,
        mode: MODE_SERVER,
        stratum: STRATUM,
        poll: request.poll,
        precision: PRECISION,
        root_delay: ROOT_ERROR,
        root_dispersion: ROOT_ERROR,
        reference_id: REFERENCE_ID,
        reference: NtpTime::from_utc(arrived - REFERENCE_AGE),
        origin: request.transmit,
        receive: NtpTime::from_utc(arrived),
        transmit: NtpTime::from_utc(arrived),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::thread;

    const COOKIE: u64 = 0x6120_636f_6f6b_6965;

    #[test]
    fn only_requests_of_clients_are_answered() {
        let mut request = Packet::request(COOKIE).to_bytes();
        for (first, answered) in [(0x23, true), (0x1b, true), (0x24, false), (0x21, false), (0x03, false)] {
            request[0] = first;
            assert_eq!(answer(&request, Timestamp::EPOCH).is_some(), answered, "{first:#x}");
        }
        request[0] = 0x23;
        assert_eq!(answer(&request[..47], Timestamp::EPOCH), None);
    }

    #[test]
    fn an_answer_carries_the_servers_time_and_the_clients_cookie() {
        let server = NtpServer::bind(NtpServerOptions {
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            offset: Span::from_secs(3_600),
            rate: Rate::ZERO,
        })
        .unwrap();
        let (address, utc) = (server.address().unwrap(), server.utc());
        let control = LeaderControl::default();
        thread::scope(|scope| {
            let running = scope.spawn(|| server.run(&control));
            let _ended = control.stop_on_drop();
            let client = UdpSocket::new().unwrap();
            client.connect(address).unwrap();
            let before = utc.at(raw_clock());
            client.send(&Packet::request(COOKIE).to_bytes()).unwrap();
            let mut fds = [socket::pollfd(client.fd())];
            socket::poll(&mut fds, Span::from_secs(10)).unwrap();
            let received = client.receive().unwrap();
            let after = utc.at(raw_clock());
            control.stop();
            running.join().unwrap().unwrap();

            assert_eq!(received.source, address);
            let answer = Packet::parse(received.payload.as_slice()).unwrap();
            assert_eq!((answer.version, answer.mode, answer.stratum), (4, MODE_SERVER, STRATUM));
            assert_eq!(answer.origin, NtpTime(COOKIE));
            // The conversion of the kernel's stamp may be off by some ns.
            let slack = Span::from_us(1);
            let (receive, transmit) = (answer.receive.to_utc(), answer.transmit.to_utc());
            assert!(before - slack <= receive && receive <= transmit && transmit <= after + slack);
        });
    }
}
