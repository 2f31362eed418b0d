//! Windows tells when a datagram left only where the card's driver does; this is the program's own stamp.

use std::io;

use super::{Departure, send_unstamped};
use crate::clock::platform::{OsClock, raw_clock};
use crate::net::Payload;
use crate::net::platform::socket::UdpSocket;

/// Nothing is needed.
///
/// # Errors
/// Never.
#[allow(clippy::unnecessary_wraps, reason = "other systems may refuse")]
pub const fn prepare(_socket: &UdpSocket) -> io::Result<()> {
    Ok(())
}

/// Sends a message: it leaves while the call lasts, most of which is spent after that.
///
/// # Errors
/// When sending fails for another reason than a network that is down.
pub fn send(socket: &UdpSocket, message: &Payload, _clock: &mut OsClock) -> io::Result<Departure> {
    let at = raw_clock();
    Ok(if send_unstamped(socket, message)? { Departure::At(at) } else { Departure::None })
}
