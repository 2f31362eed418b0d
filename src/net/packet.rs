//! From an IPv4 packet to the UDP datagram in it.

use std::net::{Ipv4Addr, SocketAddrV4};

/// A UDP datagram inside a captured packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Udp<'a> {
    /// Who sent it.
    pub source: SocketAddrV4,
    /// Whom it was sent to.
    pub destination: SocketAddrV4,
    /// What it said, as far as the capture kept it.
    pub payload: &'a [u8],
}

const PROTOCOL_UDP: u8 = 17;
/// "More fragments", and the offset of this one.
const FRAGMENT_MASK: u16 = 0x3fff;
const UDP_HEADER: usize = 8;

/// The UDP datagram in an IPv4 packet, if there is one; fragments are skipped.
///
/// Checksums are not looked at: on the sending computer the card fills them in after the capture.
pub fn udp(packet: &[u8]) -> Option<Udp<'_>> {
    let first = *packet.first()?;
    let header_length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_length < 20 || *packet.get(9)? != PROTOCOL_UDP {
        return None;
    }
    if u16_at(packet, 6)? & FRAGMENT_MASK != 0 {
        return None;
    }
    // Behind the total length there may be padding of the link; before it the capture may have been cut.
    let total_length = usize::from(u16_at(packet, 2)?).min(packet.len());
    let segment = packet.get(header_length..total_length)?;
    let length = usize::from(u16_at(segment, 4)?);
    if length < UDP_HEADER {
        return None;
    }
    Some(Udp {
        source: SocketAddrV4::new(address_at(packet, 12)?, u16_at(segment, 0)?),
        destination: SocketAddrV4::new(address_at(packet, 16)?, u16_at(segment, 2)?),
        payload: segment.get(UDP_HEADER..length.min(segment.len()))?,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

fn address_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    bytes.get(at..)?.first_chunk::<4>().map(|four| Ipv4Addr::from(*four))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 192.0.2.1:49155 to 224.0.1.129:319, "ptp!", with two bytes of padding behind.
    const IP: [u8; 34] = [
        0x45, 0xe0, 0, 32, 0, 1, 0, 0, 1, 17, 0, 0, 192, 0, 2, 1, 224, 0, 1, 129, 0xc0, 0x03, 0x01, 0x3f, 0,
        12, 0, 0, b'p', b't', b'p', b'!', 0, 0,
    ];

    #[test]
    fn options_of_the_header_are_skipped() {
        let plain = udp(&IP).unwrap();
        assert_eq!(plain.source.to_string(), "192.0.2.1:49155");
        assert_eq!(
            (plain.destination.to_string().as_str(), plain.payload),
            ("224.0.1.129:319", &b"ptp!"[..])
        );
        // Router Alert, as IGMP has it: a header of 24 bytes.
        let mut alert = [&IP[..20], &[0x94, 4, 0, 0], &IP[20..]].concat();
        alert[0] = 0x46;
        alert[3] = 36;
        assert_eq!(udp(&alert), Some(plain));
    }

    #[test]
    fn what_is_no_whole_udp_datagram_is_skipped() {
        let changed = |at: usize, value: u8| {
            let mut data = IP;
            data[at] = value;
            data
        };
        assert_eq!(udp(&changed(0, 0x65)), None, "version 6");
        assert_eq!(udp(&changed(0, 0x44)), None, "header of 16 bytes");
        assert_eq!(udp(&changed(0, 0x4f)), None, "header longer than the packet");
        assert_eq!(udp(&changed(9, 6)), None, "TCP");
        assert_eq!(udp(&changed(6, 0x20)), None, "first fragment");
        assert_eq!(udp(&changed(7, 1)), None, "later fragment");
        assert_eq!(udp(&changed(25, 7)), None, "UDP shorter than its header");
        assert_eq!(udp(&changed(3, 27)), None, "packet shorter than its headers");
        assert!(udp(&changed(6, 0x40)).is_some(), "don't fragment");
    }

    #[test]
    fn a_cut_packet_gives_what_is_left_of_the_payload() {
        assert_eq!(udp(&IP[..30]).unwrap().payload, b"pt");
        for length in 0..28 {
            assert_eq!(udp(&IP[..length]), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn hostile_packets_never_panic(mut data in prop::collection::vec(any::<u8>(), 0..80), is_ip: bool) {
            if is_ip && let Some(first) = data.first_mut() {
                *first = 0x40 | (*first & 0x0f);
            }
            if let Some(found) = udp(&data) {
                prop_assert!(found.payload.len() <= data.len() - 28);
            }
        }

        #[test]
        fn a_packet_with_one_wrong_byte_never_panics(at in 0..34_usize, value: u8) {
            let mut data = IP;
            data[at] = value;
            let _ = udp(&data);
        }
    }
}
