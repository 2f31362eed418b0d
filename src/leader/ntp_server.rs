//! An NTP server whose time is not the system clock's: steering that does not move it.

use std::io;
use std::net::SocketAddrV4;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::socket::StampedSocket;
use super::{LeaderControl, PRECISE, clocks};
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
    socket: StampedSocket,
    utc: Line<Utc, Raw>,
}

/// How long a stop may go unheard.
const PATIENCE: Duration = Duration::from_millis(20);

impl NtpServer {
    /// Opens the socket. The server's time starts at the system clock plus `offset`, and then depends on the
    /// raw clock alone.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(options: NtpServerOptions) -> io::Result<Self> {
        let socket = StampedSocket::bind(options.address)?;
        let start = clocks::read(PRECISE)?;
        let utc = Timestamp::<Utc>::from_ns(start.system.as_ns()) + options.offset;
        Ok(Self { socket, utc: Line::exact(utc, start.raw, options.rate) })
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
    /// When the socket fails.
    pub fn run(mut self, control: &LeaderControl) -> io::Result<()> {
        let mut buffer = [0; 512];
        while !control.stopped() {
            let Some(received) = self.socket.receive(&mut buffer, PATIENCE)? else { continue };
            let arrived = match received.stamp {
                Some(stamp) => clocks::raw_of(stamp, clocks::read(PRECISE)?, clocks::kernel_rate()?),
                None => clocks::raw_now(),
            };
            let request = buffer.get(..received.length).unwrap_or_default();
            if control.paused.load(Ordering::Relaxed) {
                continue;
            }
            let Some(mut response) = response(request, self.utc.at(arrived)) else { continue };
            put(&mut response, TRANSMIT, &ntp_time(self.utc.at(clocks::raw_now())));
            // A client that is gone is no reason to stop.
            if self.socket.send_to(&response, received.source).is_ok() {
                control.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

const LENGTH: usize = 48;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
const STRATUM: u8 = 2;
/// 2^-20 s, 1 µs.
const PRECISION: i8 = -20;
/// Root delay and dispersion of 1 ms, in 2^-16 s.
const ROOT_ERROR: u32 = 66;
/// 127.127.1.0: by custom a clock of the server's own.
const REFERENCE_ID: [u8; 4] = [127, 127, 1, 0];

const REFERENCE: usize = 16;
const ORIGIN: usize = 24;
const RECEIVE: usize = 32;
const TRANSMIT: usize = 40;

/// The answer but for its transmit time; `None` for anything but a client's request.
fn response(request: &[u8], arrived: Timestamp<Utc>) -> Option<[u8; LENGTH]> {
    let request = request.get(..LENGTH)?;
    let (first, poll) = (*request.first()?, *request.get(2)?);
    let version = first >> 3 & 7;
    if first & 7 != MODE_CLIENT || !(1..=4).contains(&version) {
        return None;
    }
    let mut bytes = [0; LENGTH];
    put(&mut bytes, 0, &[version << 3 | MODE_SERVER, STRATUM, poll]);
    put(&mut bytes, 3, &PRECISION.to_be_bytes());
    put(&mut bytes, 4, &ROOT_ERROR.to_be_bytes());
    put(&mut bytes, 8, &ROOT_ERROR.to_be_bytes());
    put(&mut bytes, 12, &REFERENCE_ID);
    put(&mut bytes, REFERENCE, &ntp_time(arrived - Span::from_secs(1)));
    put(&mut bytes, ORIGIN, request.get(TRANSMIT..)?);
    put(&mut bytes, RECEIVE, &ntp_time(arrived));
    Some(bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}

/// From 1900 to 1970, RFC 5905.
const ERA_OFFSET_S: i64 = 2_208_988_800;

/// Seconds since 1900 modulo 2^32, and a fraction in 2^-32 s.
fn ntp_time(time: Timestamp<Utc>) -> [u8; 8] {
    let seconds = time.as_ns().div_euclid(1_000_000_000) + ERA_OFFSET_S;
    let era_seconds = u32::try_from(seconds.rem_euclid(1 << 32)).unwrap_or_default();
    let ns = u64::try_from(time.as_ns().rem_euclid(1_000_000_000)).unwrap_or_default();
    let fraction = u32::try_from((ns << 32) / 1_000_000_000).unwrap_or_default();
    let mut bytes = [0; 8];
    put(&mut bytes, 0, &era_seconds.to_be_bytes());
    put(&mut bytes, 4, &fraction.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::thread;

    #[test]
    fn times_are_counted_from_1900_and_wrap_in_2036() {
        assert_eq!(ntp_time(Timestamp::from_ns(500_000_000)), [0x83, 0xaa, 0x7e, 0x80, 0x80, 0, 0, 0]);
        // 7 February 2036, 06:28:16.
        assert_eq!(ntp_time(Timestamp::from_ns(2_085_978_496_000_000_000)), [0; 8]);
    }

    #[test]
    fn only_requests_of_clients_are_answered() {
        let mut request = [0; LENGTH];
        for (first, answered) in [(0x23, true), (0x1b, true), (0x24, false), (0x21, false), (0x03, false)] {
            request[0] = first;
            assert_eq!(response(&request, Timestamp::EPOCH).is_some(), answered, "{first:#x}");
        }
        request[0] = 0x23;
        assert_eq!(response(&request[..47], Timestamp::EPOCH), None);
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
            let mut client = StampedSocket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
            let mut request = [0; LENGTH];
            request[0] = 0x23;
            request[TRANSMIT..].copy_from_slice(b"a cookie");
            let before = utc.at(clocks::raw_now());
            client.send_to(&request, address).unwrap();
            let mut answer = [0; LENGTH];
            let received = client.receive(&mut answer, Duration::from_secs(10)).unwrap().unwrap();
            let after = utc.at(clocks::raw_now());
            control.stop();
            running.join().unwrap().unwrap();

            assert_eq!((received.length, received.source), (LENGTH, address));
            assert_eq!((answer[0], answer[1]), (0x24, STRATUM));
            assert_eq!(&answer[ORIGIN..RECEIVE], b"a cookie");
            // The conversion of the kernel's stamp may be off by some ns.
            let slack = Span::from_us(1);
            let (before, after) = (ntp_time(before - slack), ntp_time(after + slack));
            assert!(before.as_slice() <= &answer[RECEIVE..TRANSMIT], "times order as bytes");
            assert!(answer[RECEIVE..TRANSMIT] <= answer[TRANSMIT..]);
            assert!(answer[TRANSMIT..] <= after[..]);
        });
    }
}
