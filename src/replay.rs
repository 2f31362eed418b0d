//! Packet captures: reading what others recorded, writing what the simulator sends.
//!
//! ```no_run
//! use dantetimesync::replay::{Capture, datagrams};
//! let capture = Capture::open("leader.pcapng".as_ref())?;
//! for datagram in datagrams(&capture) {
//!     let (time_ns, datagram) = datagram?;
//!     println!("{time_ns} {}", datagram.source);
//! }
//! # Ok::<(), dantetimesync::replay::CaptureError>(())
//! ```

pub mod capture;
pub mod command;
pub(crate) mod jitter;
pub mod judge;
mod udp;
mod writer;

pub use capture::{Capture, CaptureError, Frame, Frames, LinkType};
pub use udp::{Udp, udp};
pub use writer::CaptureWriter;

use crate::clock::StampFault;
use crate::net::{Datagram, EVENT_PORT, GENERAL_PORT, Payload, Port, Stamp, StampSource};
use crate::time::Timestamp;

/// The PTP datagrams of a capture, in the order of the file: its time in ns since 1970 and the datagram.
///
/// The capture's clock is taken for the raw timeline. A frame that was recorded without a time keeps the time
/// of the frame before it and carries [`StampFault::Missing`]. The first error ends the iteration.
pub fn datagrams(capture: &Capture) -> impl Iterator<Item = Result<(i64, Datagram), CaptureError>> + '_ {
    let mut latest_ns = 0;
    capture.frames().filter_map(move |frame| match frame {
        Ok(frame) => {
            latest_ns = frame.time_ns.unwrap_or(latest_ns);
            datagram(&frame).map(|datagram| Ok((latest_ns, datagram)))
        }
        Err(error) => Some(Err(error)),
    })
}

fn datagram(frame: &Frame<'_>) -> Option<Datagram> {
    let udp = udp(frame)?;
    let port = match udp.destination.port() {
        EVENT_PORT => Port::Event,
        GENERAL_PORT => Port::General,
        _ => return None,
    };
    let stamp = frame.time_ns.map(|ns| Stamp {
        at: Timestamp::from_ns(ns),
        uncertainty: frame.resolution,
        source: StampSource::Kernel,
    });
    Some(Datagram {
        interface: frame.interface,
        port,
        source: udp.source,
        stamp: stamp.ok_or(StampFault::Missing),
        payload: Payload::new(udp.payload),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;
    use std::net::{Ipv4Addr, SocketAddrV4};

    #[test]
    fn only_the_ptp_ports_become_datagrams() {
        let source = SocketAddrV4::new(Ipv4Addr::new(169, 254, 61, 114), 49155);
        let to = |port| SocketAddrV4::new(Ipv4Addr::new(224, 0, 1, 129), port);
        let mut writer = CaptureWriter::new(Vec::new()).unwrap();
        writer.write_udp(1_000, source, to(319), b"sync").unwrap();
        writer.write_udp(2_000, source, to(4440), b"control").unwrap();
        writer.write_udp(3_000, source, to(320), b"follow_up").unwrap();
        let capture = Capture::from_bytes(writer.finish().unwrap()).unwrap();

        let found: Vec<_> = datagrams(&capture).map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        let (time_ns, sync) = found[0];
        assert_eq!((time_ns, sync.port, sync.source), (1_000, Port::Event, source));
        assert_eq!(sync.payload.as_slice(), b"sync");
        let stamp = sync.stamp.unwrap();
        assert_eq!((stamp.at, stamp.uncertainty), (Timestamp::from_ns(1_000), Span::from_ns(1)));
        assert_eq!((found[1].0, found[1].1.port), (3_000, Port::General));
    }
}
