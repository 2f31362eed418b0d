//! The two messages that a leader sends, byte by byte (IEEE 1588-2002, as Dante devices fill them in).

use super::LeaderOptions;
use crate::time::{Leader, Timestamp};

const SYNC_LENGTH: usize = 124;
const FOLLOW_UP_LENGTH: usize = 52;

/// Boundary clock and "a Follow_Up follows": what Dante leaders set on both messages.
const FLAGS: u16 = 0x000c;
const ETHERNET: u8 = 1;
const IDENTIFIER: [u8; 4] = *b"DFLT";
/// The variance that gigabit Dante devices claim.
const VARIANCE: i16 = -4000;

/// A Sync that says it left at `origin`.
pub(super) fn sync(options: &LeaderOptions, sequence: u16, origin: Timestamp<Leader>) -> [u8; SYNC_LENGTH] {
    let mut bytes = [0; SYNC_LENGTH];
    header(&mut bytes, options, sequence, Kind { message_type: 1, control: 0 });
    put(&mut bytes, 40, &time(origin));
    put(&mut bytes, 53, &[ETHERNET]);
    put(&mut bytes, 54, &options.uuid);
    put(&mut bytes, 62, &sequence.to_be_bytes());
    put(&mut bytes, 67, &[options.stratum]);
    put(&mut bytes, 68, &IDENTIFIER);
    put(&mut bytes, 74, &VARIANCE.to_be_bytes());
    put(&mut bytes, 77, &[options.preferred.into()]);
    put(&mut bytes, 79, &[1]);
    put(&mut bytes, 82, &sync_interval(options).to_be_bytes());
    put(&mut bytes, 86, &VARIANCE.to_be_bytes());
    put(&mut bytes, 95, &[options.stratum]);
    put(&mut bytes, 96, &IDENTIFIER);
    put(&mut bytes, 101, &[ETHERNET]);
    put(&mut bytes, 102, &options.uuid);
    bytes
}

/// The Follow_Up of the Sync `sequence`, which really left at `precise_origin`.
pub(super) fn follow_up(
    options: &LeaderOptions,
    sequence: u16,
    precise_origin: Timestamp<Leader>,
) -> [u8; FOLLOW_UP_LENGTH] {
    let mut bytes = [0; FOLLOW_UP_LENGTH];
    header(&mut bytes, options, sequence, Kind { message_type: 2, control: 2 });
    put(&mut bytes, 42, &sequence.to_be_bytes());
    put(&mut bytes, 44, &time(precise_origin));
    bytes
}

struct Kind {
    message_type: u8,
    control: u8,
}

fn header(bytes: &mut [u8], options: &LeaderOptions, sequence: u16, kind: Kind) {
    put(bytes, 0, &[0, 1, 0, 1]);
    put(bytes, 4, &options.subdomain);
    put(bytes, 20, &[kind.message_type, ETHERNET]);
    put(bytes, 22, &options.uuid);
    put(bytes, 28, &options.port_id.to_be_bytes());
    put(bytes, 30, &sequence.to_be_bytes());
    put(bytes, 32, &[kind.control]);
    put(bytes, 34, &FLAGS.to_be_bytes());
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}

/// u32 seconds and ns; a time before the epoch or after 2^32 s is cut to the nearest that can be said.
fn time(time: Timestamp<Leader>) -> [u8; 8] {
    let ns = time.as_ns().max(0);
    let seconds = u32::try_from(ns / 1_000_000_000).unwrap_or(u32::MAX);
    let nanoseconds = u32::try_from(ns % 1_000_000_000).unwrap_or_default();
    let mut bytes = [0; 8];
    put(&mut bytes, 0, &seconds.to_be_bytes());
    put(&mut bytes, 4, &nanoseconds.to_be_bytes());
    bytes
}

/// log2 of the interval in s, to the nearest whole number. Two bytes: Dante devices write the i8 as an i16.
fn sync_interval(options: &LeaderOptions) -> i16 {
    let interval_s = options.interval.as_secs_f64();
    (-10..=10_i16)
        .min_by(|a, b| {
            let miss = |n: i16| (interval_s.log2() - f64::from(n)).abs();
            miss(*a).total_cmp(&miss(*b))
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;
    use std::net::Ipv4Addr;

    fn options() -> LeaderOptions {
        LeaderOptions {
            uuid: [0x02, 0x00, 0x5e, 0x10, 0x00, 0x01],
            preferred: true,
            ..LeaderOptions::on(Ipv4Addr::LOCALHOST)
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_sync_has_the_bytes_of_a_dante_leaders() {
        let sync = sync(&options(), 0xffff, Timestamp::from_ns(699_212_366_780));
        let expected = "000100015f44464c540000000000000000000000010102005e1000010001ffff\
                        0000000c00000000000002bb0ca875bc0000000000010200\
                        5e1000010000ffff000000794446\
                        4c540000f060000100010000fffe0000f060000000000000007944464c54\
                        000102005e10000100000000000000000000000000000000";
        assert_eq!(hex(&sync), expected);
    }

    #[test]
    fn a_follow_up_has_the_bytes_of_a_dante_leaders() {
        let follow_up = follow_up(&options(), 0xffff, Timestamp::from_ns(699_212_426_642));
        let expected = "000100015f44464c540000000000000000000000020102005e1000010001ffff\
                        0200000c000000000000ffff000002bb0ca95f92";
        // Byte 32 of the header is the control field; 33 is reserved.
        assert_eq!(hex(&follow_up), expected);
    }

    #[test]
    fn the_sync_interval_is_the_nearest_power_of_two() {
        for (interval_ms, log2) in [(250, -2), (125, -3), (1_000, 0), (100, -3), (2_000, 1), (1, -10)] {
            let options = LeaderOptions { interval: Span::from_ms(interval_ms), ..options() };
            assert_eq!(sync_interval(&options), log2, "{interval_ms} ms");
        }
    }

    #[test]
    fn a_time_that_cannot_be_said_is_cut() {
        assert_eq!(time(Timestamp::from_ns(-1)), [0; 8]);
        assert_eq!(time(Timestamp::from_ns(i64::MAX))[..4], [0xff; 4]);
    }
}
