//! From a captured frame to a UDP datagram.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Frame, LinkType};

/// A UDP datagram inside a captured frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Udp<'a> {
    /// Who sent it.
    pub source: SocketAddrV4,
    /// Whom it was sent to.
    pub destination: SocketAddrV4,
    /// What it said, as far as the capture kept it.
    pub payload: &'a [u8],
}

/// The IPv4 UDP datagram in `frame`, if there is one; fragments are skipped.
///
/// Checksums are not looked at: on the sending computer the card fills them in after the capture.
pub fn udp<'a>(frame: &Frame<'a>) -> Option<Udp<'a>> {
    ipv4(network_layer(frame.link, frame.data)?)
}

const ETHERTYPE_IPV4: u16 = 0x0800;
/// 802.1Q, 802.1ad and the older number for the outer of two tags.
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Two tags are usual at most.
const VLAN_TAGS_MAX: usize = 4;

/// What follows the link layer, if it is IPv4.
fn network_layer(link: LinkType, data: &[u8]) -> Option<&[u8]> {
    let (mut ethertype, mut rest) = match link {
        LinkType::Ethernet => (u16_at(data, 12)?, data.get(14..)?),
        LinkType::LinuxCooked => (u16_at(data, 14)?, data.get(16..)?),
        LinkType::LinuxCooked2 => (u16_at(data, 0)?, data.get(20..)?),
        LinkType::RawIp => return Some(data),
        LinkType::Other(_) => return None,
    };
    for _ in 0..VLAN_TAGS_MAX {
        if !ETHERTYPES_VLAN.contains(&ethertype) {
            break;
        }
        ethertype = u16_at(rest, 2)?;
        rest = rest.get(4..)?;
    }
    (ethertype == ETHERTYPE_IPV4).then_some(rest)
}

const PROTOCOL_UDP: u8 = 17;
/// "More fragments", and the offset of this one.
const FRAGMENT_MASK: u16 = 0x3fff;
const UDP_HEADER: usize = 8;

fn ipv4(packet: &[u8]) -> Option<Udp<'_>> {
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
    use crate::time::Span;
    use proptest::prelude::*;

    /// 192.0.2.1:49155 to 224.0.1.129:319, "ptp!", with two bytes of padding behind.
    const IP: [u8; 34] = [
        0x45, 0xe0, 0, 32, 0, 1, 0, 0, 1, 17, 0, 0, 192, 0, 2, 1, 224, 0, 1, 129, 0xc0, 0x03, 0x01, 0x3f, 0,
        12, 0, 0, b'p', b't', b'p', b'!', 0, 0,
    ];

    fn frame(link: LinkType, data: &[u8]) -> Frame<'_> {
        Frame { time_ns: Some(0), resolution: Span::from_ns(1), interface: 0, link, data }
    }

    fn with(prefix: &[u8], ethertype_at: usize) -> Vec<u8> {
        let mut data = prefix.to_vec();
        data[ethertype_at..ethertype_at + 2].copy_from_slice(&[8, 0]);
        data.extend_from_slice(&IP);
        data
    }

    #[test]
    fn every_link_type_leads_to_the_same_datagram() {
        let tagged = [&[0; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0], &IP].concat();
        let cases = [
            (LinkType::Ethernet, with(&[0; 14], 12)),
            (LinkType::Ethernet, tagged),
            (LinkType::LinuxCooked, with(&[0; 16], 14)),
            (LinkType::LinuxCooked2, with(&[0; 20], 0)),
            (LinkType::RawIp, IP.to_vec()),
        ];
        for (link, data) in cases {
            let found = udp(&frame(link, &data)).unwrap();
            assert_eq!(found.source.to_string(), "192.0.2.1:49155", "{link:?}");
            assert_eq!(found.destination.to_string(), "224.0.1.129:319");
            assert_eq!(found.payload, b"ptp!");
        }
        assert_eq!(udp(&frame(LinkType::Other(0), &IP)), None);
    }

    #[test]
    fn what_is_no_whole_ipv4_udp_datagram_is_skipped() {
        let changed = |at: usize, value: u8| {
            let mut data = IP;
            data[at] = value;
            data
        };
        assert_eq!(udp(&frame(LinkType::RawIp, &changed(0, 0x65))), None, "version 6");
        assert_eq!(udp(&frame(LinkType::RawIp, &changed(0, 0x44))), None, "header of 16 bytes");
        assert_eq!(udp(&frame(LinkType::RawIp, &changed(9, 6))), None, "TCP");
        assert_eq!(udp(&frame(LinkType::RawIp, &changed(6, 0x20))), None, "first fragment");
        assert_eq!(udp(&frame(LinkType::RawIp, &changed(7, 1))), None, "later fragment");
        assert_eq!(udp(&frame(LinkType::RawIp, &changed(25, 7))), None, "UDP shorter than its header");
        assert!(udp(&frame(LinkType::RawIp, &changed(6, 0x40))).is_some(), "don't fragment");
    }

    #[test]
    fn a_cut_frame_gives_what_is_left_of_the_payload() {
        assert_eq!(udp(&frame(LinkType::RawIp, &IP[..30])).unwrap().payload, b"pt");
        for length in 0..28 {
            assert_eq!(udp(&frame(LinkType::RawIp, &IP[..length])), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn hostile_frames_never_panic(
            data in prop::collection::vec(any::<u8>(), 0..80),
            link in prop::sample::select(vec![1, 101, 113, 276]),
            is_ip: bool,
        ) {
            let link = match link {
                1 => LinkType::Ethernet,
                113 => LinkType::LinuxCooked,
                276 => LinkType::LinuxCooked2,
                _ => LinkType::RawIp,
            };
            let mut data = data;
            if is_ip && let Some(first) = data.first_mut() {
                *first = 0x45;
            }
            if let Some(found) = udp(&frame(link, &data)) {
                prop_assert!(found.payload.len() <= data.len() - 28);
            }
        }
    }
}
