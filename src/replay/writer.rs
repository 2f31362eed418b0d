//! Writer of capture files.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Writes UDP datagrams as a classic pcap file with ns stamps, as Ethernet frames with right checksums.
#[derive(Debug)]
pub struct CaptureWriter<W> {
    file: W,
    /// IPv4 identification of the next packet.
    identification: u16,
}

/// The most that fits into an IPv4 packet.
const PAYLOAD_MAX: usize = 65_507;

impl<W: Write> CaptureWriter<W> {
    /// Writes the header of the file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut file: W) -> io::Result<Self> {
        file.write_all(&0xa1b2_3c4d_u32.to_le_bytes())?;
        file.write_all(&2_u16.to_le_bytes())?;
        file.write_all(&4_u16.to_le_bytes())?;
        for field in [0_u32, 0, 262_144, LINK_TYPE_ETHERNET] {
            file.write_all(&field.to_le_bytes())?;
        }
        Ok(Self { file, identification: 0 })
    }

    /// Writes one datagram that was seen `time_ns` after 1970.
    ///
    /// # Errors
    /// When writing fails, when the time is before 1970 or after 2106, or when the payload is longer than 65507
    /// bytes.
    pub fn write_udp(
        &mut self,
        time_ns: i64,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: &[u8],
    ) -> io::Result<()> {
        let seconds = u32::try_from(time_ns.div_euclid(1_000_000_000)).map_err(|_| {
            invalid(format!("time {time_ns} ns is out of range: 0 to 4294967295999999999 ns"))
        })?;
        let ns = u32::try_from(time_ns.rem_euclid(1_000_000_000)).map_err(io::Error::other)?;
        let frame = self.frame(source, destination, payload)?;
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        for field in [seconds, ns, length, length] {
            self.file.write_all(&field.to_le_bytes())?;
        }
        self.file.write_all(&frame)
    }

    /// Flushes, and gives the file back.
    ///
    /// # Errors
    /// When flushing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.file.flush()?;
        Ok(self.file)
    }

    fn frame(
        &mut self,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: &[u8],
    ) -> io::Result<Vec<u8>> {
        if payload.len() > PAYLOAD_MAX {
            return Err(invalid(format!(
                "payload of {} bytes is out of range: 0 to {PAYLOAD_MAX} bytes",
                payload.len()
            )));
        }
        let segment = segment(source, destination, payload)?;
        self.identification = self.identification.wrapping_add(1);
        let header = ip_header(self.identification, *source.ip(), *destination.ip(), segment.len())?;
        Ok([
            &mac_of(*destination.ip())[..],
            &mac_of(*source.ip()),
            &ETHERTYPE_IPV4.to_be_bytes(),
            &header,
            &segment,
        ]
        .concat())
    }
}

const LINK_TYPE_ETHERNET: u32 = 1;
const ETHERTYPE_IPV4: u16 = 0x0800;
const PROTOCOL_UDP: u8 = 17;
/// PTPv1 stays on its network.
const TTL: u8 = 1;

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// UDP header with its checksum over the pseudo header, and the payload.
fn segment(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(payload.len() + 8).map_err(io::Error::other)?.to_be_bytes();
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let sum = checksum(&[
        &source.ip().octets(),
        &destination.ip().octets(),
        &[0, PROTOCOL_UDP],
        &length,
        &ports,
        &length,
        payload,
    ]);
    // A sum of zero would mean "no checksum"; its other form is sent instead.
    let sum = if sum == 0 { 0xffff } else { sum };
    Ok([&ports, &length[..], &sum.to_be_bytes(), payload].concat())
}

fn ip_header(
    identification: u16,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    segment_length: usize,
) -> io::Result<Vec<u8>> {
    let total = u16::try_from(segment_length + 20).map_err(io::Error::other)?.to_be_bytes();
    let identification = identification.to_be_bytes();
    let until_checksum = [&[0x45, 0][..], &total, &identification, &[0, 0, TTL, PROTOCOL_UDP]].concat();
    let addresses = [source.octets(), destination.octets()].concat();
    let sum = checksum(&[&until_checksum, &addresses]).to_be_bytes();
    Ok([&until_checksum[..], &sum, &addresses].concat())
}

/// The Internet checksum over all parts; every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2)).map(|word| match word {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(u16::from_be_bytes([*high, 0])),
        _ => 0,
    });
    // At most 33000 words of 16 bits: the sum fits, and two folds leave 16 bits.
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

/// The multicast address of the group, or a locally administered one made of the IP address.
fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    if address.is_multicast() { [0x01, 0x00, 0x5e, b & 0x7f, c, d] } else { [0x02, 0x00, a, b, c, d] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Capture, LinkType, udp};
    use proptest::prelude::*;

    const SOURCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 61, 114), 49_155);
    const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 1, 129), 319);

    fn written(payload: &[u8]) -> Vec<u8> {
        let mut writer = CaptureWriter::new(Vec::new()).unwrap();
        writer.write_udp(1_234_567_890_123_456_789, SOURCE, GROUP, payload).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn a_frame_has_the_bytes_that_the_standards_ask_for() {
        // Fields by RFC 791, 768 and 1112; the checksums (RFC 1071) were computed by another program.
        let file = written(b"abc");
        let expected: [u8; 45] = [
            0x01, 0x00, 0x5e, 0x00, 0x01, 0x81, 0x02, 0x00, 169, 254, 61, 114, 0x08, 0x00, 0x45, 0x00, 0, 31,
            0, 1, 0, 0, 1, 17, 0xf0, 0xdb, 169, 254, 61, 114, 224, 0, 1, 129, 0xc0, 0x03, 0x01, 0x3f, 0, 11,
            0xb1, 0x40, b'a', b'b', b'c',
        ];
        assert_eq!(&file[40..], expected);
    }

    #[test]
    fn times_and_payloads_that_do_not_fit_are_refused() {
        let mut writer = CaptureWriter::new(Vec::new()).unwrap();
        for (time_ns, length) in [(-1, 0), (4_294_967_296_000_000_000, 0), (0, 65_508)] {
            let error = writer.write_udp(time_ns, SOURCE, GROUP, &vec![0; length]).unwrap_err();
            assert!(error.to_string().contains("out of range"), "{error}");
        }
        writer.write_udp(4_294_967_295_999_999_999, SOURCE, GROUP, &vec![0; 65_507]).unwrap();
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            time_ns in 0..4_294_967_296_000_000_000_i64,
            source: u32,
            destination: u32,
            ports: (u16, u16),
            payload in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let source = SocketAddrV4::new(source.into(), ports.0);
            let destination = SocketAddrV4::new(destination.into(), ports.1);
            let mut writer = CaptureWriter::new(Vec::new()).unwrap();
            writer.write_udp(time_ns, source, destination, &payload).unwrap();
            let capture = Capture::from_bytes(writer.finish().unwrap()).unwrap();
            let frames: Vec<_> = capture.frames().map(Result::unwrap).collect();
            prop_assert_eq!(frames.len(), 1);
            prop_assert_eq!(frames[0].time_ns, Some(time_ns));
            prop_assert_eq!(frames[0].link, LinkType::Ethernet);
            let found = udp(&frames[0]).unwrap();
            prop_assert_eq!((found.source, found.destination), (source, destination));
            prop_assert_eq!(found.payload, &payload[..]);
            // A receiver sums header and segment, checksums included, to all ones.
            let ip = &frames[0].data[14..];
            prop_assert_eq!(checksum(&[&ip[..20]]), 0);
            let length = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
            prop_assert_eq!(checksum(&[&ip[12..20], &[0, 17], &length, &ip[20..]]), 0);
        }
    }
}
