//! A capture may hold anything: reading it ends, gives no more than the file holds, and never panics; nor do
//! the follower and the estimator that it is played to.
//!
//! An even first octet: the rest is the file. An odd one: the rest is what was sent, to be written as a file.

#![no_main]

use std::net::{Ipv4Addr, SocketAddrV4};

use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::replay::{Capture, CaptureWriter, command, datagrams};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let file = if first & 1 == 0 { rest.to_vec() } else { written(rest) };
    let length = file.len();
    let Ok(capture) = Capture::from_bytes(file) else { return };
    let (mut frames, mut octets) = (0, 0);
    for frame in capture.frames().flatten() {
        frames += 1;
        octets += frame.data.len();
    }
    assert!(frames <= length, "{frames} frames in {length} octets");
    assert!(octets <= length, "{octets} octets of packets in {length} octets");
    assert!(datagrams(&capture).count() <= frames + 1, "more datagrams than frames and one error");

    if let Ok(verdict) = command::judge(&capture, DEFAULT_SUBDOMAIN) {
        assert!(verdict.samples <= verdict.datagrams);
        assert!(verdict.outliers <= verdict.samples);
        assert!(!verdict.verdict.is_empty());
    }
});

/// Packets of the length their first octet says, 60 ms or so apart, by turns to the two ports of PTP.
fn written(mut rest: &[u8]) -> Vec<u8> {
    let source = SocketAddrV4::new(Ipv4Addr::new(169, 254, 1, 2), 319);
    let mut writer = CaptureWriter::new(Vec::new()).expect("a vector can be written to");
    let mut time_ns = 1_000_000_000;
    while let Some(([length, after], octets)) = rest.split_first_chunk() {
        let (payload, others) = octets.split_at(octets.len().min(usize::from(*length)));
        let port = 319 + u16::from(after & 1);
        let to = SocketAddrV4::new(Ipv4Addr::new(224, 0, 1, 129), port);
        time_ns += i64::from(*after) * 1_000_000;
        writer.write_udp(time_ns, source, to, payload).expect("a vector can be written to");
        rest = others;
    }
    writer.finish().expect("a vector can be written to")
}
