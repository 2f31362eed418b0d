//! Control messages: what the operating system tells of a datagram besides its bytes.
//!
//! Linux and Windows have the same form, of 64-bit programs: the length, including this header of 16 bytes, as a
//! word; level and type, 32 bits each; then the data. The next one starts at a multiple of the word. (`CMSG_DATA`
//! and `WSA_CMSG_DATA`, without the pointers.)

const WORD: usize = size_of::<usize>();
/// Length, level and type, padded to a word.
const HEADER: usize = (WORD + 8).next_multiple_of(WORD);

/// One control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control<'a> {
    /// The protocol's level.
    pub level: i32,
    /// What it is, within the level.
    pub kind: i32,
    /// The data.
    pub data: &'a [u8],
}

/// The control messages in `bytes`, up to the first one that makes no sense.
pub fn controls(mut bytes: &[u8]) -> impl Iterator<Item = Control<'_>> {
    std::iter::from_fn(move || {
        let length = usize::from_ne_bytes(*bytes.first_chunk::<WORD>()?);
        let level = int_at(bytes, WORD)?;
        let kind = int_at(bytes, WORD.saturating_add(4))?;
        let data = bytes.get(HEADER..length)?;
        // Padding behind the last one may be missing.
        bytes = length.checked_next_multiple_of(WORD).and_then(|next| bytes.get(next..)).unwrap_or_default();
        Some(Control { level, kind, data })
    })
}

fn int_at(bytes: &[u8], offset: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(offset..)?.first_chunk::<4>()?))
}

/// What Windows tells of a datagram.
pub mod windows {
    use super::{Control, controls};

    /// SOL_SOCKET of Winsock.
    const SOL_SOCKET: i32 = 0xffff;
    /// SO_TIMESTAMP: the performance counter when the datagram arrived, 64 bits.
    const SO_TIMESTAMP: i32 = 0x300a;
    const IPPROTO_IP: i32 = 0;
    /// IP_PKTINFO: the address it was sent to, and the number of the interface it came by, 32 bits each.
    const IP_PKTINFO: i32 = 19;

    /// What was found.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Told {
        /// The performance counter when the datagram arrived. Drivers that do not stamp leave it out, or say 0, which
        /// means the same.
        pub ticks: Option<i64>,
        /// The number of the interface it came by.
        pub interface: Option<u32>,
    }

    /// Finds stamp and interface among control messages.
    pub fn told(bytes: &[u8]) -> Told {
        let mut told = Told::default();
        for Control { level, kind, data } in controls(bytes) {
            match (level, kind) {
                (SOL_SOCKET, SO_TIMESTAMP) => {
                    let ticks = data.first_chunk().map(|ticks| u64::from_ne_bytes(*ticks));
                    told.ticks =
                        ticks.and_then(|ticks| i64::try_from(ticks).ok()).filter(|ticks| *ticks != 0);
                }
                (IPPROTO_IP, IP_PKTINFO) => {
                    let index = data.get(4..).and_then(|rest| rest.first_chunk());
                    told.interface = index.map(|index| u32::from_ne_bytes(*index));
                }
                _ => {}
            }
        }
        told
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::windows::{Told, told};
    use super::*;

    /// A control message as an operating system writes it.
    pub fn control(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        bytes
    }

    #[test]
    fn several_messages_are_told_apart() {
        let bytes = [control(1, 2, &[3; 5]), control(-4, 5, &[])].concat();
        let found: Vec<_> = controls(&bytes).collect();
        let expected =
            [Control { level: 1, kind: 2, data: &[3; 5] }, Control { level: -4, kind: 5, data: &[] }];
        assert_eq!(found, expected);
        // The last one need not be padded.
        assert_eq!(controls(&control(1, 2, &[3; 5])[..HEADER + 5]).count(), 1);
    }

    /// As WSARecvMsg of a 64-bit Windows leaves it: IP_PKTINFO of 224.0.1.129 by interface 12, then a stamp.
    const BOTH: [u8; 48] = [
        24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 19, 0, 0, 0, 224, 0, 1, 129, 12, 0, 0, 0, // IP_PKTINFO
        24, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0x0a, 0x30, 0, 0, 0x15, 0xcd, 0x5b, 0x07, 0, 0, 0, 0,
    ];

    #[cfg(all(target_pointer_width = "64", target_endian = "little"))]
    #[test]
    fn stamp_and_interface_of_windows_are_found() {
        assert_eq!(told(&BOTH), Told { ticks: Some(123_456_789), interface: Some(12) });
        assert_eq!(told(&BOTH[24..]), Told { ticks: Some(123_456_789), interface: None });
        assert_eq!(told(&BOTH[..24]), Told { ticks: None, interface: Some(12) });
        assert_eq!(told(&BOTH[..47]).ticks, None);
    }

    #[test]
    fn no_stamp_and_a_stamp_of_zero_are_the_same() {
        assert_eq!(told(&[]), Told::default());
        assert_eq!(told(&control(0xffff, 0x300a, &[0; 8])), Told::default());
        assert_eq!(told(&control(0xffff, 0x300a, &[0xff; 8])), Told::default());
        assert_eq!(told(&control(0xffff, 0x300a, &[1; 7])), Told::default());
        assert_eq!(told(&control(0xffff, 0x300b, &[1; 8])), Told::default(), "a transmit stamp's number");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = told(&bytes);
            prop_assert!(controls(&bytes).count() <= 256 / HEADER);
        }

        #[test]
        fn any_length_is_survived(length in any::<usize>()) {
            let mut bytes = control(1, 1, &[0; 100]);
            bytes[..WORD].copy_from_slice(&length.to_ne_bytes());
            prop_assert!(controls(&bytes).count() <= 8);
        }
    }
}
