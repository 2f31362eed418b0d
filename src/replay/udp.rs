//! From a captured frame to a UDP datagram.

use super::{Frame, LinkType};
use crate::net::packet;
pub use crate::net::packet::Udp;

/// The IPv4 UDP datagram in `frame`, if there is one; fragments are skipped.
///
/// Checksums are not looked at: on the sending computer the card fills them in after the capture.
pub fn udp<'a>(frame: &Frame<'a>) -> Option<Udp<'a>> {
    packet::udp(network_layer(frame.link, frame.data)?)
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

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
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
