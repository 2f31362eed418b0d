//! Golden bytes, both ways, the reject cases that belong to them, and a real capture.
//!
//! `tests/data/vectors.json` holds our own vectors V1..V9 with the values an independent dissector reads from
//! them. Other people's data (R1..R6 and the capture of a Dante leader) is read from `../shared/ptp` beside the
//! source tree, and skipped where that does not exist.

#![allow(
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::net::{Datagram, Interface, Payload, Port, Stamp, StampSource};
use dantetimesync::ptp::follower::Follower;
use dantetimesync::ptp::wire::{Body, Flags, Header, Message, PortIdentity, SyncBody, WireTime};
use dantetimesync::ptp::{DropCounts, DropReason, Outcome};
use dantetimesync::time::{LeaderId, Raw, Span, Timestamp};

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    udp_dst_port: u16,
    length: usize,
    hex: String,
    /// Field name of the dissector → its text.
    tshark: BTreeMap<String, String>,
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn own_vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("data/vectors.json")).unwrap()
}

fn shared(name: &str) -> Option<PathBuf> {
    // At run time, so that a moved test binary can be pointed elsewhere.
    let root = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let path = root.join("../shared/ptp").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} does not exist", path.display());
    None
}

fn vector(id: &str) -> Vec<u8> {
    let vectors = own_vectors();
    let found = vectors.iter().find(|vector| vector.name.starts_with(&format!("{id} "))).unwrap();
    bytes_of(&found.hex)
}

/// `managementMessageKey` of the answer to GET_CURRENT_DATA_SET.
const CURRENT_DATA_SET: u8 = 11;

/// The message as the dissector would print it.
fn fields_of(bytes: &[u8], message: &Message) -> BTreeMap<String, String> {
    let mut fields = Fields(BTreeMap::new());
    let header = &message.header;
    fields.put("versionptp", u16::from_be_bytes([bytes[0], bytes[1]]));
    fields.put("versionnetwork", u16::from_be_bytes([bytes[2], bytes[3]]));
    fields.text("subdomain", &header.subdomain);
    fields.put("messagetype", message.body.message_type());
    fields.put("sourcecommunicationtechnology", header.source.technology);
    fields.uuid("sourceuuid", header.source.uuid);
    fields.put("sourceportid", header.source.port);
    fields.put("sequenceid", header.sequence_id);
    fields.put("controlfield", message.body.control());
    fields.put("flags", format!("0x{:04x}", header.flags.0));
    for (name, flag) in [
        ("li61", Flags::LI_61),
        ("li59", Flags::LI_59),
        ("boundary_clock", Flags::BOUNDARY_CLOCK),
        ("assist", Flags::ASSIST),
        ("ext_sync", Flags::EXT_SYNC),
        ("parent_stats", Flags::PARENT_STATS),
        ("sync_burst", Flags::SYNC_BURST),
    ] {
        fields.put(&format!("flags.{name}"), u8::from(header.flags.contains(flag)));
    }
    match &message.body {
        Body::Sync(body) | Body::DelayReq(body) => fields.sync(body),
        Body::FollowUp { associated_sequence_id, precise_origin } => {
            fields.put("fu.associatedsequenceid", associated_sequence_id);
            fields.time("fu.preciseorigintimestamp_", *precise_origin);
        }
        Body::DelayResp { receipt, requesting, requesting_sequence_id } => {
            fields.time("dr.delayreceipttimestamp_", *receipt);
            fields.put("dr.requestingsourcecommunicationtechnology", requesting.technology);
            fields.uuid("dr.requestingsourceuuid", requesting.uuid);
            fields.put("dr.requestingsourceportid", requesting.port);
            fields.put("dr.requestingsourcesequenceid", requesting_sequence_id);
        }
        Body::Management(body) => {
            fields.put("mm.targetcommunicationtechnology", body.target.technology);
            fields.uuid("mm.targetuuid", body.target.uuid);
            fields.put("mm.targetportid", body.target.port);
            fields.put("mm.startingboundaryhops", body.starting_boundary_hops);
            fields.put("mm.boundaryhops", body.boundary_hops);
            fields.put("mm.managementmessagekey", body.key);
            fields.put("mm.parameterlength", body.payload.len());
            if body.key == CURRENT_DATA_SET {
                // The program does not look into the parameters.
                let word = |at: usize| i32::from_be_bytes(body.payload[at..at + 4].try_into().unwrap());
                fields.put("mm.current.data.set.stepsremoved", word(0));
                fields.put("mm.current.data.set.offsetfrommasterseconds", word(4));
                fields.put("mm.current.data.set.offsetfrommasternanoseconds", word(8));
                fields.put("mm.current.data.set.onewaydelayseconds", word(12));
                fields.put("mm.current.data.set.onewaydelaynanoseconds", word(16));
            }
        }
    }
    fields.0
}

struct Fields(BTreeMap<String, String>);

impl Fields {
    fn put(&mut self, name: &str, value: impl ToString) {
        assert!(self.0.insert(format!("ptp.{name}"), value.to_string()).is_none(), "{name} twice");
    }
    fn uuid(&mut self, name: &str, uuid: [u8; 6]) {
        self.put(name, uuid.map(|octet| format!("{octet:02x}")).join(":"));
    }
    fn text(&mut self, name: &str, octets: &[u8]) {
        self.put(name, String::from_utf8_lossy(octets).trim_end_matches('\0'));
    }
    /// The dissector prints the nanoseconds word as it is, sign bit and all.
    fn time(&mut self, prefix: &str, time: WireTime) {
        let sign = if time.is_negative() { 1 << 31 } else { 0 };
        self.put(&format!("{prefix}seconds"), time.seconds());
        self.put(&format!("{prefix}nanoseconds"), (time.nanoseconds() | sign) as i32);
    }
    fn sync(&mut self, body: &SyncBody) {
        self.time("sdr.origintimestamp_", body.origin);
        self.put("sdr.epochnumber", body.epoch_number);
        self.put("sdr.currentutcoffset", body.current_utc_offset);
        self.put("sdr.grandmastercommunicationtechnology", body.grandmaster.technology);
        self.uuid("sdr.grandmasterclockuuid", body.grandmaster.uuid);
        self.put("sdr.grandmasterportid", body.grandmaster.port);
        self.put("sdr.grandmastersequenceid", body.grandmaster_sequence_id);
        self.put("sdr.grandmasterclockstratum", body.grandmaster_clock_stratum);
        self.text("sdr.grandmasterclockidentifier", &body.grandmaster_clock_identifier);
        self.put("sdr.grandmasterclockvariance", body.grandmaster_clock_variance);
        self.put("sdr.grandmasterpreferred", u8::from(body.grandmaster_preferred));
        self.put("sdr.grandmasterisboundaryclock", u8::from(body.grandmaster_is_boundary_clock));
        self.put("sdr.syncinterval", body.sync_interval);
        self.put("sdr.localclockvariance", body.local_clock_variance);
        self.put("sdr.localstepsremoved", body.local_steps_removed);
        self.put("sdr.localclockstratum", body.local_clock_stratum);
        self.text("sdr.localclockidentifier", &body.local_clock_identifier);
        self.put("sdr.parentcommunicationtechnology", body.parent_communication_technology);
        self.uuid("sdr.parentuuid", body.parent_uuid);
        self.put("sdr.parentportfield", body.parent_port_field);
        self.put("sdr.estimatedmastervariance", body.estimated_master_variance);
        self.put("sdr.estimatedmasterdrift", body.estimated_master_drift);
        self.put("sdr.utcreasonable", u8::from(body.utc_reasonable));
    }
}

/// Every field that the dissector names, and every byte on the way back; how many fields there were.
fn check(vector: &Vector) -> usize {
    let bytes = bytes_of(&vector.hex);
    assert_eq!(bytes.len(), vector.length, "{}", vector.name);
    let message = Message::parse(&bytes).unwrap();
    let fields = fields_of(&bytes, &message);
    for (name, expected) in &vector.tshark {
        assert_eq!(fields.get(name), Some(expected), "{}: {name}", vector.name);
    }
    let port = if message.body.message_type() == 1 { 319 } else { 320 };
    assert_eq!(vector.udp_dst_port, port, "{}", vector.name);
    let mut buffer = [0xee; 124];
    assert_eq!(message.to_bytes(&mut buffer).unwrap(), bytes, "{}", vector.name);
    vector.tshark.len()
}

#[test]
fn our_vectors_read_and_write_as_the_dissector_sees_them() {
    let vectors = own_vectors();
    assert_eq!(vectors.len(), 9);
    assert_eq!(vectors.iter().map(check).sum::<usize>(), 112);
}

#[test]
fn other_peoples_frames_read_and_write_as_the_dissector_sees_them() {
    let Some(path) = shared("vectors.json") else { return };
    let vectors: Vec<Vector> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let others = vectors.iter().filter(|vector| vector.name.starts_with('R'));
    assert_eq!(others.clone().count(), 6);
    assert_eq!(others.map(check).sum::<usize>(), 61);
}

#[test]
fn v1_is_built_from_its_values() {
    let identity = |technology, uuid, port| PortIdentity { technology, uuid, port };
    let message = Message {
        header: Header {
            subdomain: DEFAULT_SUBDOMAIN,
            source: identity(1, [0x02, 0x11, 0x22, 0x33, 0x44, 0x55], 258),
            sequence_id: 772,
            flags: Flags(0x003f),
        },
        body: Body::Sync(SyncBody {
            origin: WireTime::new(false, 84_281_096, 151_653_132).unwrap(),
            epoch_number: 3342,
            current_utc_offset: -37,
            grandmaster: identity(1, [0x02, 0x66, 0x77, 0x88, 0x99, 0x00], 3856),
            grandmaster_sequence_id: 4370,
            grandmaster_clock_stratum: 121,
            grandmaster_clock_identifier: *b"GPS\0",
            grandmaster_clock_variance: -4000,
            grandmaster_preferred: true,
            grandmaster_is_boundary_clock: true,
            sync_interval: -2,
            local_clock_variance: -1234,
            local_steps_removed: 3,
            local_clock_stratum: 122,
            local_clock_identifier: *b"INIT",
            parent_communication_technology: 1,
            parent_uuid: [0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee],
            parent_port_field: 4884,
            estimated_master_variance: -77,
            estimated_master_drift: -123_456,
            utc_reasonable: true,
        }),
    };
    let mut buffer = [0; 124];
    assert_eq!(message.to_bytes(&mut buffer).unwrap(), vector("V1"));
}

const INTERFACE: u32 = 2;

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::EPOCH + Span::from_ms(ms)
}

fn datagram(port: Port, bytes: &[u8], at: Timestamp<Raw>) -> Datagram {
    Datagram {
        interface: INTERFACE,
        port,
        source: SocketAddrV4::new(Ipv4Addr::new(169, 254, 61, 114), 49155),
        stamp: Ok(Stamp { at, uncertainty: Span::from_us(1), source: StampSource::Kernel }),
        payload: Payload::new(bytes),
    }
}

fn follower() -> Follower {
    let mut follower = Follower::new(DEFAULT_SUBDOMAIN);
    follower.set_interfaces(&[Interface {
        index: INTERFACE,
        name: "eth0".to_owned(),
        address: Ipv4Addr::new(169, 254, 1, 1),
        wired: true,
    }]);
    follower
}

/// A follower of the leader of V2 and V3 to which the next Sync, in one second, is V2.
struct Bench {
    follower: Follower,
    now: Timestamp<Raw>,
}

fn bench() -> Bench {
    let mut bench = Bench { follower: follower(), now: at(0) };
    for sequence in 0xfffb..=0xfffe_u16 {
        bench.event(&numbered(&vector("V2"), sequence));
        bench.general(&numbered(&vector("V3"), sequence));
        bench.now = bench.now + Span::from_ms(250);
    }
    assert_eq!(bench.follower.parent().map(|record| record.pairs), Some(4));
    assert_eq!(bench.follower.drops(), &DropCounts::default());
    bench
}

impl Bench {
    fn event(&mut self, bytes: &[u8]) -> Outcome {
        self.follower.handle_datagram(&datagram(Port::Event, bytes, self.now), self.now)
    }
    fn general(&mut self, bytes: &[u8]) -> Outcome {
        self.follower.handle_datagram(&datagram(Port::General, bytes, self.now), self.now)
    }
    /// Neither the parent nor its record has changed, and V2 and V3 still make their sample.
    #[track_caller]
    fn assert_unmoved(mut self) {
        assert_eq!(self.follower.leaders().count(), 1);
        assert_eq!(self.follower.parent().map(|record| record.syncs), Some(4));
        assert_eq!(self.event(&vector("V2")), Outcome::Pending);
        assert_sample(self.general(&vector("V3")));
    }
}

#[track_caller]
fn assert_sample(outcome: Outcome) {
    let Outcome::Sample(sample) = outcome else { panic!("{outcome:?}") };
    assert_eq!((sample.sequence, sample.sent.as_ns()), (0xffff, 699_212_426_642));
    assert_eq!(sample.received.at, at(1_000));
}

/// With another sequence id, in the header and, of a Follow_Up, in the body.
fn numbered(bytes: &[u8], sequence: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[30..32].copy_from_slice(&sequence.to_be_bytes());
    if bytes[32] == 2 {
        bytes[42..44].copy_from_slice(&sequence.to_be_bytes());
    }
    bytes
}

fn changed(id: &str, at: usize, octets: &[u8]) -> Vec<u8> {
    let mut bytes = vector(id);
    bytes[at..at + octets.len()].copy_from_slice(octets);
    bytes
}

#[track_caller]
fn assert_dropped(outcome: Outcome, reason: DropReason) {
    assert_eq!(outcome, Outcome::Dropped(reason));
}

#[test]
fn the_pair_of_v2_and_v3_is_a_sample_of_the_precise_time() {
    bench().assert_unmoved();
}

#[test]
fn n1_a_short_sync_is_dropped() {
    let mut bench = bench();
    assert_dropped(bench.event(&vector("V2")[..123]), DropReason::Short);
    assert_eq!(bench.follower.drops().of(DropReason::Short), 1);
    bench.assert_unmoved();
}

#[test]
fn n2_other_short_messages_are_dropped() {
    let mut bench = bench();
    assert_dropped(bench.general(&vector("V3")[..51]), DropReason::Short);
    assert_dropped(bench.general(&vector("V5")[..59]), DropReason::Short);
    assert_dropped(bench.general(&vector("V9")[..79]), DropReason::Short);
    for length in 0..40 {
        assert_dropped(bench.event(&vector("V2")[..length]), DropReason::Short);
        assert_dropped(bench.general(&vector("V3")[..length]), DropReason::Short);
    }
    bench.assert_unmoved();
}

#[test]
fn n3_trailing_octets_are_ignored() {
    for tail in 2..=22 {
        let mut bench = bench();
        let padded = |id| [vector(id), vec![0xa5; tail]].concat();
        assert_eq!(bench.event(&padded("V2")), Outcome::Pending);
        assert_sample(bench.general(&padded("V3")));
    }
}

#[test]
fn n4_and_n5_and_n6_version_two_is_told_apart() {
    let mut bench = bench();
    assert_dropped(bench.event(&changed("V2", 1, &[2])), DropReason::VersionTwo);
    let mut version_two = vec![0x00, 0x02, 0x00, 0x2c, 0x00, 0x00, 0x02, 0x00];
    version_two.resize(44, 0);
    assert_dropped(bench.event(&version_two), DropReason::VersionTwo);
    assert_dropped(bench.event(&changed("V2", 1, &[0x12])), DropReason::VersionTwo);
    assert_dropped(bench.event(&changed("V2", 0, &[0x10, 0x02])), DropReason::VersionTwo);
    assert_dropped(bench.event(&changed("V2", 0, &[0x10, 0x01])), DropReason::UnknownVersion);
    assert_dropped(bench.event(&changed("V2", 1, &[3])), DropReason::UnknownVersion);
    bench.assert_unmoved();
}

#[test]
fn n7_another_subdomain_is_ignored_and_named() {
    let mut bench = bench();
    assert_dropped(bench.event(&changed("V2", 4, b"_ALT2")), DropReason::Subdomain);
    assert_eq!(bench.follower.foreign_subdomain(), Some(*b"_ALT2\0\0\0\0\0\0\0\0\0\0\0"));
    bench.assert_unmoved();
}

#[test]
fn n8_all_octets_of_the_subdomain_count() {
    let mut bench = bench();
    assert_dropped(bench.event(&changed("V2", 4, b"_DFLTX")), DropReason::Subdomain);
    for octet in 9..20 {
        assert_dropped(bench.event(&changed("V2", octet, b"?")), DropReason::Subdomain);
    }
    bench.assert_unmoved();
}

#[test]
fn n9_another_network_version_is_ignored() {
    let mut bench = bench();
    assert_dropped(bench.event(&changed("V2", 2, &[0, 2])), DropReason::NetworkVersion);
    bench.assert_unmoved();
}

#[test]
fn n10_a_follow_up_of_another_sync_does_not_pair() {
    let mut bench = bench();
    assert_eq!(bench.event(&vector("V2")), Outcome::Pending);
    assert_dropped(bench.general(&changed("V3", 42, &[0xff, 0xfe])), DropReason::Duplicate);
    assert_eq!(bench.general(&changed("V3", 42, &[0x00, 0x00])), Outcome::Pending);
    assert_sample(bench.general(&vector("V3")));
    bench.follower.handle_time(at(2_001));
    assert_eq!(bench.follower.drops().of(DropReason::NoSync), 1);
}

#[test]
fn n11_a_follow_up_before_its_sync_pairs() {
    let mut bench = bench();
    assert_eq!(bench.general(&vector("V3")), Outcome::Pending);
    assert_sample(bench.event(&vector("V2")));
}

#[test]
fn n12_a_follow_up_of_another_source_does_not_pair() {
    let mut bench = bench();
    assert_eq!(bench.event(&vector("V2")), Outcome::Pending);
    assert_dropped(bench.general(&changed("V3", 21, &[2])), DropReason::NoSync);
    assert_dropped(bench.general(&changed("V3", 27, &[9])), DropReason::NoSync);
    assert_dropped(bench.general(&changed("V3", 29, &[2])), DropReason::NoSync);
    assert_sample(bench.general(&vector("V3")));
}

#[test]
fn n13_a_repeated_sync_is_ignored() {
    let mut bench = bench();
    assert_eq!(bench.event(&vector("V2")), Outcome::Pending);
    bench.now = at(1_001);
    assert_dropped(bench.event(&vector("V2")), DropReason::Duplicate);
    assert_sample(bench.general(&vector("V3")));
}

#[test]
fn n14_sequence_id_0_follows_65535() {
    let mut bench = bench();
    bench.event(&vector("V2"));
    assert_sample(bench.general(&vector("V3")));
    bench.now = at(1_250);
    assert_eq!(bench.event(&numbered(&vector("V2"), 0)), Outcome::Pending);
    let outcome = bench.general(&numbered(&vector("V3"), 0));
    assert!(matches!(outcome, Outcome::Sample(sample) if sample.sequence == 0), "{outcome:?}");
}

#[test]
fn n15_and_n16_answers_to_others_are_ignored() {
    let mut bench = bench();
    assert_dropped(bench.general(&changed("V5", 58, &1235_u16.to_be_bytes())), DropReason::DelayResponse);
    assert_dropped(bench.general(&changed("V5", 55, &[9])), DropReason::DelayResponse);
    assert_dropped(bench.general(&vector("V5")), DropReason::DelayResponse);
    assert_dropped(bench.general(&vector("V5")), DropReason::DelayResponse);
    assert_eq!(bench.follower.drops().of(DropReason::DelayResponse), 4);
    bench.assert_unmoved();
}

#[test]
fn n17_a_control_octet_that_does_not_fit_is_refused() {
    let mut bench = bench();
    for control in 5..=255 {
        assert_dropped(bench.event(&changed("V2", 32, &[control])), DropReason::Control);
        assert_dropped(bench.general(&changed("V3", 32, &[control])), DropReason::Control);
    }
    for (message_type, control) in [(2, 0), (2, 1), (1, 2), (1, 3), (1, 4), (0, 0), (3, 0), (0, 2)] {
        let mut bytes = changed("V2", 20, &[message_type]);
        bytes[32] = control;
        assert_dropped(bench.event(&bytes), DropReason::Control);
    }
    bench.assert_unmoved();
}

#[test]
fn n18_a_burst_sync_is_treated_as_plain() {
    let mut bench = bench();
    assert_eq!(bench.event(&changed("V2", 35, &[0x4c])), Outcome::Pending);
    assert_sample(bench.general(&vector("V3")));
}

#[test]
fn n19_delay_requests_are_ignored() {
    let mut bench = bench();
    assert_dropped(bench.event(&vector("V4")), DropReason::DelayRequest);
    bench.assert_unmoved();
}

#[test]
fn n20_the_octet_before_the_sync_interval_is_not_read() {
    for extension in [0x00, 0xff] {
        let bytes = changed("V2", 82, &[extension]);
        let Body::Sync(body) = Message::parse(&bytes).unwrap().body else { panic!() };
        assert_eq!(body.sync_interval_log2(), Some(-2));
    }
}

#[test]
fn n21_an_unknown_sync_interval_is_taken_as_the_usual_one() {
    let bytes = changed("V2", 82, &[0x00, 0x7f]);
    let Body::Sync(body) = Message::parse(&bytes).unwrap().body else { panic!() };
    assert_eq!(body.sync_interval_log2(), None);
    let mut follower = follower();
    follower.handle_datagram(&datagram(Port::Event, &bytes, at(0)), at(0));
    let interval = follower.leaders().next().unwrap().interval;
    assert_eq!(interval, Span::from_ms(250));
}

#[test]
fn an_epoch_and_times_that_are_none_are_dropped() {
    let mut bench = bench();
    assert_dropped(bench.event(&vector("V1")), DropReason::Epoch);
    assert_dropped(bench.general(&vector("V7")), DropReason::NegativeTime);
    for word in [0xffff_fb2e_u32, 1_000_000_000] {
        assert_dropped(bench.general(&changed("V3", 48, &word.to_be_bytes())), DropReason::BadTime);
        assert_dropped(bench.event(&changed("V2", 44, &word.to_be_bytes())), DropReason::BadTime);
    }
    assert_dropped(bench.general(&vector("V8")), DropReason::Management);
    assert_dropped(bench.general(&vector("V9")), DropReason::Management);
    bench.assert_unmoved();
}

#[test]
fn v6_is_a_sample_by_itself() {
    let mut follower = follower();
    let mut send = |bytes: &[u8], ms| follower.handle_datagram(&datagram(Port::Event, bytes, at(ms)), at(ms));
    assert_eq!(send(&numbered(&vector("V6"), 0xffff), 0), Outcome::Pending);
    let outcome = send(&vector("V6"), 250);
    let Outcome::Sample(sample) = outcome else { panic!("{outcome:?}") };
    assert_eq!(sample.sent.as_ns(), 4_294_967_295_999_999_999);
}

/// Frames of a little-endian classic pcap file of Ethernet frames with µs stamps.
fn frames(file: &[u8]) -> Vec<(Timestamp<Raw>, &[u8])> {
    assert_eq!(file[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
    let word = |at: usize| i64::from(u32::from_le_bytes(file[at..at + 4].try_into().unwrap()));
    let (mut frames, mut at) = (Vec::new(), 24);
    while at < file.len() {
        let length = usize::try_from(word(at + 8)).unwrap();
        let stamp = Timestamp::EPOCH + Span::from_secs(word(at)) + Span::from_us(word(at + 4));
        frames.push((stamp, &file[at + 16..at + 16 + length]));
        at += 16 + length;
    }
    frames
}

#[test]
fn a_real_dante_leader_is_followed() {
    let Some(path) = shared("dante-rednet-am2.pcap") else { return };
    let file = std::fs::read(path).unwrap();
    let mut follower = follower();
    let (mut syncs, mut follow_ups, mut samples) = (0, 0, Vec::new());
    for (now, frame) in frames(&file) {
        // Ethernet 14, IPv4 20 (no options in this capture), UDP 8.
        let port = match u16::from_be_bytes([frame[36], frame[37]]) {
            319 => Port::Event,
            320 => Port::General,
            other => panic!("port {other}"),
        };
        let bytes = &frame[42..];
        match Message::parse(bytes).unwrap().body {
            Body::Sync(_) => syncs += 1,
            Body::FollowUp { .. } => follow_ups += 1,
            other => panic!("{other:?}"),
        }
        follower.handle_time(now);
        if let Outcome::Sample(sample) = follower.handle_datagram(&datagram(port, bytes, now), now) {
            samples.push(sample);
        }
    }
    // The first pair qualifies the leader and is no sample.
    assert_eq!((syncs, follow_ups, samples.len()), (58, 58, 57));
    assert_eq!(follower.drops(), &DropCounts::default());

    let parent = follower.parent().unwrap();
    let uuid = [0x00, 0x1d, 0xc1, 0xa1, 0x72, 0x3c];
    assert_eq!(parent.id, LeaderId::V1 { technology: 1, uuid, port: 1, subdomain: DEFAULT_SUBDOMAIN });
    assert_eq!((parent.data.stratum, parent.data.variance, parent.data.preferred), (153, 28768, false));
    assert!((parent.interval - Span::from_ms(250)).abs() < Span::from_us(50), "{}", parent.interval);

    let first = samples.first().unwrap();
    assert_eq!(first.sequence, 2725);
    for sample in &samples {
        // The leader's 50 MHz counter; its Syncs are 250 ms apart, to µs; the computer was 34 ppm slower.
        assert_eq!(sample.sent.as_ns() % 20, 2);
        let steps = i64::from(sample.sequence - first.sequence);
        let sent = sample.sent - first.sent;
        assert!((sent - Span::from_ms(250).times(steps)).abs() < Span::from_us(100), "{sample:?}");
        let received = sample.received.at - first.received.at;
        let fits = Span::from_ns(received.as_ns() + received.as_ns() * 34 / 1_000_000);
        assert!((sent - fits).abs() < Span::from_us(60), "{sample:?}: {}", sent - fits);
    }
}
