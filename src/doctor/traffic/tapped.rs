//! What a packet socket hands over: IPv4 packets of all kinds.

use std::net::Ipv4Addr;

use super::{TABLE_MAX, Tapped};
use crate::net::{EVENT_PORT, GENERAL_PORT};

impl Tapped {
    /// Takes an IPv4 packet, from its header on.
    pub fn handle(&mut self, packet: &[u8]) {
        let _ = self.read(packet);
    }

    fn read(&mut self, packet: &[u8]) -> Option<()> {
        const QUERY: u8 = 0x11;
        let header = usize::from(packet.first()? & 0x0f).checked_mul(4)?;
        let protocol = *packet.get(9)?;
        let source = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
        let body = packet.get(header..)?;
        if protocol == 2 {
            if *body.first()? == QUERY {
                remember(&mut self.queriers, source);
            }
            return Some(());
        }
        let port = u16::from_be_bytes(*body.get(2..)?.first_chunk::<2>()?);
        let version = *body.get(8..)?.get(1)?;
        let counter = match (version, port) {
            (1, EVENT_PORT) => &mut self.event,
            (1, GENERAL_PORT) => &mut self.general,
            _ if version & 0x0f == 2 => &mut self.version_two,
            _ => return None,
        };
        *counter = counter.saturating_add(1);
        if version == 1 {
            remember(&mut self.sources, source);
        }
        Some(())
    }
}

fn remember(known: &mut Vec<Ipv4Addr>, address: Ipv4Addr) {
    if known.len() < TABLE_MAX && !known.contains(&address) {
        known.push(address);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::packet;
    use super::*;

    #[test]
    fn a_tap_tells_messages_and_queries_apart() {
        let mut tapped = Tapped::default();
        let version_one = [0, 1, 0, 1];
        tapped.handle(&packet(17, [10, 0, 0, 1], EVENT_PORT, &version_one));
        tapped.handle(&packet(17, [10, 0, 0, 1], GENERAL_PORT, &version_one));
        tapped.handle(&packet(17, [10, 0, 0, 9], EVENT_PORT, &[0x10, 0x02]));
        tapped.handle(&packet(2, [10, 0, 0, 254], 0, &[0x11, 0, 0, 0]));
        tapped.handle(&packet(2, [10, 0, 0, 3], 0, &[0x16, 0, 0, 0]));
        for cut in 0..30 {
            tapped.handle(&packet(17, [10, 0, 0, 1], 319, &[])[..cut.min(28)]);
        }
        assert_eq!((tapped.event, tapped.general, tapped.version_two), (1, 1, 1));
        assert_eq!(tapped.sources, [Ipv4Addr::new(10, 0, 0, 1)]);
        assert_eq!(tapped.queriers, [Ipv4Addr::new(10, 0, 0, 254)]);
    }

    proptest::proptest! {
        #[test]
        fn any_packet_is_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let mut tapped = Tapped::default();
            tapped.handle(&bytes);
            tapped.handle(&packet(17, [10, 0, 0, 1], 319, &bytes));
        }
    }
}
