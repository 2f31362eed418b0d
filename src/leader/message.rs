//! What a Dante leader says: its Sync and its Follow_Up, filled in as Dante devices do.

use crate::net::Payload;
use crate::ptp::wire::{Body, Flags, Header, Message, PortIdentity, SYNC_LENGTH, SyncBody, WireTime};
use crate::time::{Leader, Span, Timestamp};

/// The variance that gigabit Dante devices claim.
pub(crate) const VARIANCE: i16 = -4000;

const ETHERNET: u8 = 1;
const IDENTIFIER: [u8; 4] = *b"DFLT";

/// Everything in a leader's messages but number and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Voice {
    /// Subdomain, NUL padded.
    pub(crate) subdomain: [u8; 16],
    /// The MAC address.
    pub(crate) uuid: [u8; 6],
    /// `sourcePortId`.
    pub(crate) port: u16,
    /// Lower leads.
    pub(crate) stratum: u8,
    /// log2 of the Allan variance in s², times 256; see [`VARIANCE`].
    pub(crate) variance: i16,
    /// Whether it is the Preferred Leader.
    pub(crate) preferred: bool,
    /// log2 of the Sync interval in s; see [`interval_log2`].
    pub(crate) interval_log2: i8,
}

impl Voice {
    /// A Sync that says it left at `origin`.
    pub(crate) fn sync(&self, sequence: u16, origin: Timestamp<Leader>) -> Payload {
        let body = SyncBody {
            origin: wire_time(origin),
            grandmaster: PortIdentity { port: 0, ..self.source() },
            grandmaster_sequence_id: sequence,
            grandmaster_clock_stratum: self.stratum,
            grandmaster_clock_identifier: IDENTIFIER,
            grandmaster_clock_variance: self.variance,
            grandmaster_preferred: self.preferred,
            grandmaster_is_boundary_clock: true,
            sync_interval: self.interval_log2,
            local_clock_variance: self.variance,
            local_clock_stratum: self.stratum,
            local_clock_identifier: IDENTIFIER,
            parent_communication_technology: ETHERNET,
            parent_uuid: self.uuid,
            ..SyncBody::default()
        };
        self.say(sequence, Body::Sync(body))
    }

    /// The Follow_Up of the Sync `sequence`, which really left at `precise_origin`.
    pub(crate) fn follow_up(&self, sequence: u16, precise_origin: Timestamp<Leader>) -> Payload {
        let precise_origin = wire_time(precise_origin);
        self.say(sequence, Body::FollowUp { associated_sequence_id: sequence, precise_origin })
    }

    fn say(&self, sequence_id: u16, body: Body<'_>) -> Payload {
        let header =
            Header { subdomain: self.subdomain, source: self.source(), sequence_id, flags: Flags::DANTE };
        let mut buffer = [0; SYNC_LENGTH];
        let bytes = Message { header, body }.to_bytes(&mut buffer);
        Payload::new(bytes.expect("a Sync fits, and a Follow_Up is shorter"))
    }

    const fn source(&self) -> PortIdentity {
        PortIdentity { technology: ETHERNET, uuid: self.uuid, port: self.port }
    }
}

/// A time before the epoch or after 2^32 s is cut to the nearest that can be said.
pub(crate) fn wire_time(time: Timestamp<Leader>) -> WireTime {
    /// The last whole second that can be said, in ns.
    const LATEST: Timestamp<Leader> = Timestamp::from_ns(4_294_967_295_000_000_000);
    WireTime::from_timestamp(time.clamp(Timestamp::EPOCH, LATEST)).expect("0 to 2^32 s can be said")
}

/// log2 of an interval in s, to the nearest whole number from -10 to 10.
pub(crate) fn interval_log2(interval: Span) -> i8 {
    let exact = interval.as_secs_f64().log2();
    let miss = |log2: &i8| (exact - f64::from(*log2)).abs();
    (-10..=10).min_by(|a, b| miss(a).total_cmp(&miss(b))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_SUBDOMAIN;

    const VOICE: Voice = Voice {
        subdomain: DEFAULT_SUBDOMAIN,
        uuid: [0x02, 0x00, 0x5e, 0x10, 0x00, 0x01],
        port: 1,
        stratum: 121,
        variance: VARIANCE,
        preferred: true,
        interval_log2: -2,
    };

    fn hex(payload: &Payload) -> String {
        payload.as_slice().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // The vectors V2 and V3, which were checked against Wireshark's dissector.

    #[test]
    fn a_sync_has_the_bytes_of_a_dante_leaders() {
        let sync = VOICE.sync(0xffff, Timestamp::from_ns(699_212_366_780));
        let expected = "000100015f44464c540000000000000000000000010102005e1000010001ffff\
                        0000000c00000000000002bb0ca875bc0000000000010200\
                        5e1000010000ffff000000794446\
                        4c540000f060000100010000fffe0000f060000000000000007944464c54\
                        000102005e10000100000000000000000000000000000000";
        assert_eq!(hex(&sync), expected);
    }

    #[test]
    fn a_follow_up_has_the_bytes_of_a_dante_leaders() {
        let follow_up = VOICE.follow_up(0xffff, Timestamp::from_ns(699_212_426_642));
        let expected = "000100015f44464c540000000000000000000000020102005e1000010001ffff\
                        0200000c000000000000ffff000002bb0ca95f92";
        assert_eq!(hex(&follow_up), expected);
    }

    #[test]
    fn the_interval_is_the_nearest_power_of_two() {
        for (interval_ms, log2) in [(250, -2), (125, -3), (1_000, 0), (100, -3), (2_000, 1), (1, -10)] {
            assert_eq!(interval_log2(Span::from_ms(interval_ms)), log2, "{interval_ms} ms");
        }
    }

    #[test]
    fn a_time_that_cannot_be_said_is_cut() {
        assert_eq!(wire_time(Timestamp::from_ns(-1)), WireTime::default());
        assert_eq!(wire_time(Timestamp::from_ns(i64::MAX)).seconds(), u32::MAX);
    }
}
