//! Whatever can be read can be written, and what was written reads the same; times survive the way to UTC.

#![no_main]

use dantetimesync::ntp::wire::{NtpTime, Packet};
use libfuzzer_sys::fuzz_target;

/// One ns is 4.3 units of the binary fraction; rounding to the nearest ns costs half of that, and rounding
/// back half a unit.
const ROUNDING: u64 = 3;

fuzz_target!(|input: &[u8]| {
    let Ok(packet) = Packet::parse(input) else { return };
    let written = packet.to_bytes();
    assert_eq!(Packet::parse(&written), Ok(packet), "what was written reads differently");
    for time in [packet.reference, packet.origin, packet.receive, packet.transmit] {
        let back = NtpTime::from_utc(time.to_utc());
        let apart = back.0.wrapping_sub(time.0).min(time.0.wrapping_sub(back.0));
        assert!(apart <= ROUNDING, "{time:?} came back as {back:?}");
    }
});
