//! The 48 bytes of NTP (RFC 5905, figure 8), as a client needs them.

use crate::time::{Span, Timestamp, Utc};

/// Length of a packet without extensions.
pub const LENGTH: usize = 48;

// Offsets, side by side as in the RFC's figure.
const LEAP_VERSION_MODE: usize = 0;
const STRATUM: usize = 1;
const POLL: usize = 2;
const PRECISION: usize = 3;
const ROOT_DELAY: usize = 4;
const ROOT_DISPERSION: usize = 8;
const REFERENCE_ID: usize = 12;
const REFERENCE: usize = 16;
const ORIGIN: usize = 24;
const RECEIVE: usize = 32;
const TRANSMIT: usize = 40;

const VERSION: u8 = 4;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;

/// Seconds from 1900 to 1970.
const ERA_OFFSET_S: i64 = 2_208_988_800;
/// NTP seconds wrap after 2^32 s; stamps below this belong to the era that begins in 2036.
const PIVOT_S: u32 = 0x8000_0000;

/// The leap indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Leap {
    /// No leap second ahead.
    None,
    /// The last minute of the day has 61 seconds.
    Insert,
    /// The last minute of the day has 59 seconds.
    Delete,
    /// The server is not synchronised itself.
    Unknown,
}

/// A 64-bit NTP timestamp as it is on the wire: seconds since 1900 and a binary fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// To UTC; the era is the one between 1968 and 2104. The fraction is rounded to ns.
    pub fn to_utc(self) -> Timestamp<Utc> {
        let seconds = u32::try_from(self.0 >> 32).unwrap_or_default();
        let fraction = self.0 & 0xffff_ffff;
        let era = if seconds < PIVOT_S { 1_i64 << 32 } else { 0 };
        let ns = i64::try_from((fraction * 1_000_000_000 + (1 << 31)) >> 32).unwrap_or_default();
        Timestamp::from_ns(
            (i64::from(seconds) + era - ERA_OFFSET_S).saturating_mul(1_000_000_000).saturating_add(ns),
        )
    }

    /// From UTC.
    pub fn from_utc(utc: Timestamp<Utc>) -> Self {
        let seconds = utc.as_ns().div_euclid(1_000_000_000) + ERA_OFFSET_S;
        let ns = u64::try_from(utc.as_ns().rem_euclid(1_000_000_000)).unwrap_or_default();
        let seconds = u64::try_from(seconds.rem_euclid(1 << 32)).unwrap_or_default();
        Self((seconds << 32) | (((ns << 32) + 500_000_000) / 1_000_000_000))
    }
}

/// A server's answer, or anything else with the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The leap indicator.
    pub leap: Leap,
    /// Protocol version, 1 to 4.
    pub version: u8,
    /// 3 client, 4 server.
    pub mode: u8,
    /// 0 kiss-o'-death, 1 primary, 2 to 15 secondary, 16 unsynchronised.
    pub stratum: u8,
    /// log2 of the poll interval in s.
    pub poll: i8,
    /// log2 of the clock's precision in s.
    pub precision: i8,
    /// Round trip to the reference clock.
    pub root_delay: Span,
    /// What the server's clock may have drifted from the reference clock.
    pub root_dispersion: Span,
    /// The reference, or with stratum 0 the kiss code.
    pub reference_id: [u8; 4],
    /// When the server's clock was last set.
    pub reference: NtpTime,
    /// The request's transmit field, given back.
    pub origin: NtpTime,
    /// When the request arrived.
    pub receive: NtpTime,
    /// When the answer left.
    pub transmit: NtpTime,
}

/// Why bytes are not an NTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Too few bytes.
    #[error("{length} bytes, at least 48 needed")]
    Short {
        /// How many there were.
        length: usize,
    },
    /// A version that does not exist.
    #[error("version {version}, 1 to 4 allowed")]
    Version {
        /// The version.
        version: u8,
    },
}

impl Packet {
    /// A client's request, version 4, in which only the transmit field carries anything: a number that nobody
    /// can guess, which the answer must give back.
    pub fn request(nonce: u64) -> Self {
        Self {
            leap: Leap::None,
            version: VERSION,
            mode: MODE_CLIENT,
            stratum: 0,
            poll: 4,
            precision: 0x20,
            root_delay: Span::ZERO,
            root_dispersion: Span::ZERO,
            reference_id: [0; 4],
            reference: NtpTime(0),
            origin: NtpTime(0),
            receive: NtpTime(0),
            transmit: NtpTime(nonce),
        }
    }

    /// Whether a server sent it.
    pub const fn is_server(&self) -> bool {
        self.mode == MODE_SERVER
    }

    /// Reads a packet; what follows the 48 bytes is ignored.
    ///
    /// # Errors
    /// Too short, or a version that does not exist.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() < LENGTH {
            return Err(WireError::Short { length: bytes.len() });
        }
        let first = octet(bytes, LEAP_VERSION_MODE);
        let version = (first >> 3) & 7;
        if !(1..=VERSION).contains(&version) {
            return Err(WireError::Version { version });
        }
        Ok(Self {
            leap: match first >> 6 {
                0 => Leap::None,
                1 => Leap::Insert,
                2 => Leap::Delete,
                _ => Leap::Unknown,
            },
            version,
            mode: first & 7,
            stratum: octet(bytes, STRATUM),
            poll: i8::from_be_bytes([octet(bytes, POLL)]),
            precision: i8::from_be_bytes([octet(bytes, PRECISION)]),
            root_delay: short_format(bytes, ROOT_DELAY),
            root_dispersion: short_format(bytes, ROOT_DISPERSION),
            reference_id: array(bytes, REFERENCE_ID),
            reference: NtpTime(u64::from_be_bytes(array(bytes, REFERENCE))),
            origin: NtpTime(u64::from_be_bytes(array(bytes, ORIGIN))),
            receive: NtpTime(u64::from_be_bytes(array(bytes, RECEIVE))),
            transmit: NtpTime(u64::from_be_bytes(array(bytes, TRANSMIT))),
        })
    }

    /// Writes the packet.
    pub fn to_bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let leap = match self.leap {
            Leap::None => 0,
            Leap::Insert => 1,
            Leap::Delete => 2,
            Leap::Unknown => 3,
        };
        put(&mut bytes, LEAP_VERSION_MODE, &[leap << 6 | (self.version & 7) << 3 | self.mode & 7]);
        put(&mut bytes, STRATUM, &[self.stratum]);
        put(&mut bytes, POLL, &self.poll.to_be_bytes());
        put(&mut bytes, PRECISION, &self.precision.to_be_bytes());
        put(&mut bytes, ROOT_DELAY, &to_short_format(self.root_delay).to_be_bytes());
        put(&mut bytes, ROOT_DISPERSION, &to_short_format(self.root_dispersion).to_be_bytes());
        put(&mut bytes, REFERENCE_ID, &self.reference_id);
        put(&mut bytes, REFERENCE, &self.reference.0.to_be_bytes());
        put(&mut bytes, ORIGIN, &self.origin.0.to_be_bytes());
        put(&mut bytes, RECEIVE, &self.receive.0.to_be_bytes());
        put(&mut bytes, TRANSMIT, &self.transmit.0.to_be_bytes());
        bytes
    }
}

/// 16.16 seconds to ns, rounded.
fn short_format(bytes: &[u8], at: usize) -> Span {
    let raw = i64::from(u32::from_be_bytes(array(bytes, at)));
    Span::from_ns((raw * 1_000_000_000 + (1 << 15)) >> 16)
}

fn to_short_format(span: Span) -> u32 {
    let raw = (i128::from(span.as_ns()) * 65_536 + 500_000_000) / 1_000_000_000;
    u32::try_from(raw.max(0)).unwrap_or(u32::MAX)
}

fn octet(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let slice = bytes.get(at..at.saturating_add(N)).unwrap_or_default();
    slice.try_into().unwrap_or([0; N])
}

fn put(bytes: &mut [u8; LENGTH], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A stratum-2 answer, written by hand from the RFC's figure.
    const ANSWER: &str =
        "240206e8000001000000020fc0a80001e96b3a8080000000e96b3a8140000000e96b3a8180000000e96b3a81c0000000";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn an_answer_reads_field_by_field() {
        let packet = Packet::parse(&bytes(ANSWER)).unwrap();
        assert_eq!((packet.leap, packet.version, packet.mode), (Leap::None, 4, 4));
        assert_eq!((packet.stratum, packet.poll, packet.precision), (2, 6, -24));
        assert_eq!(packet.root_delay, Span::from_ns(3_906_250));
        assert_eq!(packet.root_dispersion, Span::from_ns(8_041_382));
        assert_eq!(packet.reference_id, [192, 168, 0, 1]);
        // 0xe96b3a81 s since 1900 is 1 707 135 617 s since 1970.
        assert_eq!(
            packet.receive.to_utc().as_ns(),
            (0xe96b_3a81_i64 - 2_208_988_800) * 1_000_000_000 + 500_000_000
        );
        assert_eq!(packet.to_bytes().to_vec(), bytes(ANSWER));
    }

    #[test]
    fn short_packets_and_unknown_versions_are_refused() {
        assert_eq!(Packet::parse(&[0x24; 47]), Err(WireError::Short { length: 47 }));
        assert_eq!(Packet::parse(&[0x3c; 48]), Err(WireError::Version { version: 7 }));
        assert_eq!(Packet::parse(&[0x04; 48]), Err(WireError::Version { version: 0 }));
    }

    #[test]
    fn seconds_after_2036_belong_to_the_next_era() {
        assert_eq!(NtpTime(0).to_utc().as_ns(), ((1_i64 << 32) - 2_208_988_800) * 1_000_000_000);
        assert_eq!(
            NtpTime(u64::from(u32::MAX) << 32).to_utc().as_ns(),
            (0xffff_ffff - 2_208_988_800) * 1_000_000_000
        );
    }

    proptest! {
        #[test]
        fn whatever_parses_is_written_back(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(packet) = Packet::parse(&raw) {
                prop_assert_eq!(Packet::parse(&packet.to_bytes()), Ok(packet));
                prop_assert_eq!(&packet.to_bytes()[16..], &raw[16..48]);
            }
        }

        #[test]
        fn times_survive_to_half_a_ns(ns in 0_i64..4_000_000_000_000_000_000) {
            let back = NtpTime::from_utc(Timestamp::from_ns(ns)).to_utc();
            prop_assert!((back.as_ns() - ns).abs() <= 1);
        }
    }
}
