//! Linux tells when a datagram left: it gives back a copy with the stamp.

use std::io;

use super::{Departure, send_unstamped};
use crate::clock::platform::{OsClock, raw_clock};
use crate::clock::{Reading, SystemClock, Timeline};
use crate::net::platform::convert;
use crate::net::platform::socket::{self, Received, STAMP_BOTH, UdpSocket};
use crate::net::{Payload, is_nothing};
use crate::time::{Raw, Span, Timestamp};

/// How long the kernel may take to hand over a transmit stamp; veth and loopback need microseconds.
const STAMP_PATIENCE: Span = Span::from_ms(20);

/// Makes the kernel stamp what a socket sends.
///
/// # Errors
/// When it will not: then nobody would know when a message left.
pub fn prepare(socket: &UdpSocket) -> io::Result<()> {
    socket.stamp(STAMP_BOTH)
}

/// Sends a message by a socket that was prepared.
///
/// # Errors
/// When the clock cannot be read, or sending fails for another reason than a network that is down.
pub fn send(socket: &UdpSocket, message: &Payload, clock: &mut OsClock) -> io::Result<Departure> {
    let rate = clock.rate().map_err(io::Error::other)?;
    let mut timeline = Timeline::new();
    timeline.restart(clock.read().map_err(io::Error::other)?, rate);
    if !send_unstamped(socket, message)? {
        return Ok(Departure::None);
    }
    let copy = stamped_copy(socket, message)?;
    let after = clock.read().map_err(io::Error::other)?;
    let sent_at = copy.and_then(|copy| sent_at(&copy, timeline, after));
    Ok(sent_at.map_or(Departure::Unknown, Departure::At))
}

/// The copy of `message`, which was just sent, with the kernel's stamp. The frame that comes back ends in the
/// message; copies of earlier ones are dropped.
fn stamped_copy(socket: &UdpSocket, message: &Payload) -> io::Result<Option<Received>> {
    let deadline = raw_clock() + STAMP_PATIENCE;
    loop {
        let left = deadline - raw_clock();
        if left <= Span::ZERO {
            return Ok(None);
        }
        let mut fds = [socket::pollfd(socket.fd())];
        socket::poll(&mut fds, left)?;
        if !fds.iter().any(socket::has_error) {
            continue;
        }
        match socket.receive_sent() {
            Ok(copy) if copy.payload.as_slice().ends_with(message.as_slice()) => return Ok(Some(copy)),
            Ok(_) => {}
            // Then it is a fault of the network, of which the next Sync will hear as well.
            Err(error) if is_nothing(&error) => drop(socket.take_error()),
            Err(error) => return Err(error),
        }
    }
}

/// When a message left, by its `copy` and the clocks before (`timeline`) and `after`; None if somebody stepped
/// the system clock between the two.
fn sent_at(copy: &Received, mut timeline: Timeline, after: Reading) -> Option<Timestamp<Raw>> {
    let disturbed = timeline.check(after).is_some();
    let stamp = convert(copy, true, after.raw, &timeline).ok();
    stamp.filter(|_| !disturbed).map(|stamp| stamp.at)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;
    use crate::time::Rate;

    #[test]
    fn a_step_of_the_system_clock_while_sending_voids_the_stamp() {
        let reading = |raw: i64, system: i64| Reading {
            raw: Timestamp::from_ns(raw),
            system: Timestamp::from_ns(system),
            uncertainty: Span::from_ns(30),
        };
        let mut timeline = Timeline::new();
        timeline.restart(reading(0, 1_000_000_000), Rate::ZERO);
        let source = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let stamp = Some(Timestamp::from_ns(1_000_010_000));
        let copy = Received { payload: Payload::new(b"a Sync"), source, stamp };
        let sent = |after| sent_at(&copy, timeline.clone(), after);
        let expected = Some(Timestamp::from_ns(10_000));
        assert_eq!(sent(reading(20_000_000, 1_020_010_000)), expected, "a slew of 500 ppm");
        assert_eq!(sent(reading(100_000, 1_000_130_000)), None, "a step of 30 µs");
        assert_eq!(sent(reading(100_000, 950_100_000)), None, "a step of -50 ms");
        assert_eq!(sent_at(&Received { stamp: None, ..copy }, timeline, reading(0, 0)), None, "no stamp");
    }
}
