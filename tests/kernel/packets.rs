//! Packets that are not for us, as many as are wanted.

use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::net::{EVENT_PORT, GENERAL_PORT};
use dantetimesync::ptp::wire::{Body, Flags, Header, Message, PortIdentity, SYNC_LENGTH, SyncBody};

/// What the socket filter drops: PTPv2, too short, of another subdomain, questions and answers of others.
pub fn unwanted(number: u64) -> (u16, Vec<u8>) {
    let (_, sync) = foreign_sync(number);
    let with = |at: usize, value: &[u8]| {
        let mut bytes = sync.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    match number % 5 {
        0 => (EVENT_PORT, with(0, &[0x00, 0x02])[..44].to_vec()),
        1 => (EVENT_PORT, sync[..60].to_vec()),
        2 => (EVENT_PORT, with(4, b"_ALT1")),
        3 => (EVENT_PORT, with(CONTROL, &[1])),
        _ => {
            let mut answer = with(CONTROL, &[3])[..60].to_vec();
            answer[MESSAGE_TYPE] = 2;
            (GENERAL_PORT, answer)
        }
    }
}

/// The offsets of the bytes that say for which port a message is, and what it is.
const MESSAGE_TYPE: usize = 20;
const CONTROL: usize = 32;

/// A Sync as good as any, from a device that was never heard and will never be heard again.
pub fn foreign_sync(number: u64) -> (u16, Vec<u8>) {
    // An odd factor: no identity repeats for 2^32 packets.
    let [a, b, c, d] = ((number as u32).wrapping_mul(0x9e37_79b9)).to_be_bytes();
    let uuid = [0x00, 0x1d, a, b, c, d];
    let sync = SyncBody {
        grandmaster: PortIdentity { technology: 1, uuid, port: 0 },
        grandmaster_clock_stratum: 121,
        grandmaster_clock_identifier: *b"DFLT",
        sync_interval: -2,
        parent_uuid: uuid,
        ..SyncBody::default()
    };
    let header = Header {
        subdomain: DEFAULT_SUBDOMAIN,
        source: PortIdentity { technology: 1, uuid, port: 1 },
        sequence_id: number as u16,
        flags: Flags::DANTE,
    };
    let mut buffer = [0; SYNC_LENGTH];
    let bytes = Message { header, body: Body::Sync(sync) }.to_bytes(&mut buffer).unwrap();
    (EVENT_PORT, bytes.to_vec())
}

#[test]
fn a_flood_is_what_it_says() {
    use dantetimesync::ptp::DropReason;
    let (port, sync) = foreign_sync(7);
    assert_eq!(port, EVENT_PORT);
    assert!(matches!(Message::parse(&sync).unwrap().body, Body::Sync(_)));
    assert_ne!(sync, foreign_sync(8).1);
    assert_eq!(Message::parse(&unwanted(0).1), Err(DropReason::VersionTwo));
    assert_eq!(Message::parse(&unwanted(1).1), Err(DropReason::Short));
    let other = Message::parse(&unwanted(2).1).unwrap().header.subdomain;
    assert_ne!(other, DEFAULT_SUBDOMAIN);
    assert!(matches!(Message::parse(&unwanted(3).1).unwrap().body, Body::DelayReq(_)));
    assert!(matches!(Message::parse(&unwanted(4).1).unwrap().body, Body::DelayResp { .. }));
}
