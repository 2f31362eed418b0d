use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::*;
use crate::estimator::utc::Role;
use crate::events::{Event, EventKind};
use crate::net::{Interface, NetworkCounters, StampSource, Way};
use crate::ntp::client::RejectedCounts;
use crate::ptp::{DropCounts, DropReason};
use crate::snapshot::{
    Activity, BoundedRate, BoundedTime, LeaderRow, LeaderView, LimitsView, NtpServerView, SlewView, Snapshot,
    Standing, State, UtcView,
};
use crate::time::{LeaderId, Span, TimescaleId};

mod asked;
mod told;

const EXAMPLE: &str = include_str!("../../docs/status.example.json");
const DOCUMENT: &str = include_str!("../../docs/status.md");
/// What is promised for as long as the schema is 1. A release adds its new fields; none is ever taken out.
const PROMISED: &str = include_str!("../../docs/status.v1.fields");
/// The first status that there was. It stays as it is.
const FIRST: &str = include_str!("../../tests/data/status.v1.json");

fn seconds(seconds: i64) -> i64 {
    seconds * 1_000_000_000
}

fn id(text: &str) -> LeaderId {
    text.parse().unwrap()
}

fn row(text: &str, standing: Standing) -> LeaderRow {
    LeaderRow {
        id: id(text),
        address: Ipv4Addr::new(169, 254, 61, 114),
        interface: "eth0".to_owned(),
        standing,
        probation_left_ns: (standing == Standing::Probation).then_some(seconds(7)),
        stratum: 121,
        preferred: standing == Standing::Followed,
        qualified: true,
        interval_ns: 250_000_000,
        first_heard_age_ns: seconds(7_990),
        heard_age_ns: 41_000_000,
        pair_age_ns: Some(41_000_000),
        syncs: 31_920,
        pairs: 31_918,
    }
}

/// A status in which nothing is absent.
fn full() -> Status {
    let taken = Timestamp::<System>::from_ns(1_780_000_000_250_000_000);
    let leader = "00:1d:c1:a1:72:3c/1";
    let mut drops = DropCounts::default();
    (0..12).for_each(|_| drops.add(DropReason::VersionTwo));
    drops.add(DropReason::NoFollowUp);
    let event = |at: i64, kind, text| Event::new(taken - Span::from_secs(at), kind, Some(id(leader)), text);
    let snapshot = Snapshot {
        system_ns: Some(taken.as_ns()),
        uptime_ns: seconds(7_995),
        state: State::Locked,
        fault: Some("cannot join the PTP multicast group: No buffer space available".to_owned()),
        state_age_ns: seconds(7_980),
        locked_for_ns: Some(seconds(7_980)),
        locks: 1,
        leader: Some(LeaderView {
            id: id(leader),
            stratum: 121,
            preferred: true,
            interface: "eth0".to_owned(),
            interval_ns: 250_000_000,
            age_ns: 41_000_000,
        }),
        leaders: vec![row(leader, Standing::Followed), row("00:1d:c1:00:00:07/1", Standing::Probation)],
        only_ptp_v2: false,
        subdomain: "_DFLT".to_owned(),
        other_subdomain: Some("_ALT1".to_owned()),
        other_subdomain_age_ns: Some(seconds(12)),
        follow_up_age_ns: Some(40_000_000),
        received_age_ns: Some(40_000_000),
        no_stamp_age_ns: Some(seconds(7_900)),
        never_leads_age_ns: Some(seconds(7_900)),
        timescale: TimescaleId(1),
        offset: Some(BoundedTime { value_ns: 412.5, bound_ns: 3_120.0 }),
        rate: Some(BoundedRate { value_ppb: 3.5, bound_ppb: 20.25 }),
        leader_rate: Some(BoundedRate { value_ppb: -33_710.5, bound_ppb: 20.25 }),
        commanded_ppb: -33_712.0,
        jitter_ns: Some(6_900.0),
        stamp_source: Some(StampSource::Kernel),
        lock_limits: Some(LimitsView { offset_ns: 100_000.0, rate_ppb: 1_000.0 }),
        interfaces: vec![Interface {
            index: 2,
            name: "eth0".to_owned(),
            address: Ipv4Addr::new(169, 254, 10, 2),
            wired: true,
        }],
        utc_limit_ns: Some(seconds(1)),
        utc: Some(UtcView {
            offset: BoundedTime { value_ns: 12_400_000.0, bound_ns: 60_000.0 },
            path_unknown_ns: 30_000,
            root_distance_ns: 10_000,
            max_error_ns: 100_000,
            leader_rate: Some(BoundedRate { value_ppb: 8_100.0, bound_ppb: 90.0 }),
            slew: Some(SlewView {
                activity: Some(Activity::Leader),
                rate_ppb: 0.0,
                limit_ns: Some(seconds(1)),
                limit_in_ns: Some(seconds(121_926)),
                slew_in_ns: Some(seconds(121_926)),
                slew_for_ns: Some(seconds(11_000)),
            }),
            age_ns: seconds(31),
        }),
        ntp_servers: vec![NtpServerView {
            name: "ntp.example.org".to_owned(),
            role: Some(Role::Used),
            offset_ns: Some(-4_000),
            sigma_ns: Some(18_000),
            delay_ns: 60_000,
            root_distance_ns: 10_000,
            age_ns: Some(seconds(31)),
            refusal: None,
        }],
        target: None,
        steps: 1,
        foreign_changes: 1,
        last_foreign: Some("another program stepped the system clock by +2.0 ms".to_owned()),
        rivals: vec!["chronyd (pid 812)".to_owned()],
        samples: 31_900,
        outliers: 18,
        drops,
        network: NetworkCounters {
            received: 63_870,
            without_stamp: 1,
            ptp_v2: 12,
            overrun: 2,
            way: Way::Udp,
            stamps: None,
        },
        ntp_requests: 131,
        ntp_rejected: 1,
        ntp_drops: RejectedCounts { unasked: 1, ..RejectedCounts::default() },
        events: vec![
            event(7_986, EventKind::Step, "stepped the clock by +2.314 s"),
            event(7_980, EventKind::State, "Acquiring → Locked"),
        ],
        ..Snapshot::before_start(Timestamp::from_ns(seconds(90_000)), Timestamp::from_ns(seconds(90_000)), "")
    };
    Status { version: "0.1.0".to_owned(), pid: 4711, ..Status::new(snapshot, false) }
}

/// The paths of all fields: `utc.offset.value_ns`, `leaders[].id`.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}{name}"), found);
            }
        }
        Value::Array(values) if values.iter().any(Value::is_object) => {
            values.iter().for_each(|value| paths(value, &format!("{path}[]"), found));
        }
        Value::Null => panic!("{path} is absent: the example must have everything"),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

fn example_paths() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut value = serde_json::to_value(full()).unwrap();
    // Absent by its nature for a leader that is not on probation; there is another one that is.
    value["leaders"][0].as_object_mut().unwrap().remove("probation_left_ns");
    // And for a server that answers well.
    value["ntp_servers"][0]["refusal"] = "is not synchronised itself (stratum 16)".into();
    // Without the reason, which is empty with a lock.
    paths(&value, "", &mut found);
    found
}

#[test]
fn every_field_is_documented_and_every_documented_field_is_there() {
    let documented: BTreeSet<String> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(path, _)| path.to_owned()))
        .collect();
    let there = example_paths();
    let undocumented: Vec<_> = there.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&there).collect();
    assert!(
        undocumented.is_empty() && invented.is_empty(),
        "undocumented: {undocumented:?}; invented: {invented:?}"
    );
}

/// Asks a type for its words.
struct Words<'a>(&'a mut Vec<String>);

impl<'de> serde::Deserializer<'de> for Words<'_> {
    type Error = serde::de::value::Error;
    fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("it has no words"))
    }
    fn deserialize_enum<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
        Err(serde::de::Error::custom("these are all"))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Each word of an enumeration.
fn words<T: serde::de::DeserializeOwned>() -> Vec<String> {
    let mut found = Vec::new();
    let _ = T::deserialize(Words(&mut found));
    found
}

#[test]
fn the_document_explains_every_word_that_a_field_can_say() {
    let all = [
        words::<State>(),
        words::<Standing>(),
        words::<Role>(),
        words::<Activity>(),
        words::<StampSource>(),
        words::<DropReason>(),
        words::<EventKind>(),
        words::<Way>(),
    ];
    assert!(all.iter().all(|words| words.len() > 1), "{all:?}");
    for word in all.concat() {
        assert!(DOCUMENT.contains(&format!("`{word}`")) || DOCUMENT.contains(&format!(".{word}`")), "{word}");
    }
}

#[test]
fn units_are_in_the_names() {
    let number = |value: &Value| value.is_number();
    let unitless = [
        "schema_version",
        "pid",
        "locks",
        "stratum",
        "timescale",
        "steps",
        "foreign_changes",
        "samples",
        "outliers",
        "received",
        "without_stamp",
        "ptp_v2",
        "overrun",
        "ntp_requests",
        "ntp_rejected",
        "index",
        "syncs",
        "pairs",
    ];
    fn walk(value: &Value, name: &str, check: &dyn Fn(&str, &Value)) {
        match value {
            Value::Object(fields) if name.ends_with("drops") => {
                assert!(fields.values().all(Value::is_number))
            }
            Value::Object(fields) => fields.iter().for_each(|(name, value)| walk(value, name, check)),
            Value::Array(values) => values.iter().for_each(|value| walk(value, name, check)),
            value => check(name, value),
        }
    }
    walk(&serde_json::to_value(full()).unwrap(), "", &|name, value| {
        let named = name.ends_with("_ns") || name.ends_with("_ppb") || unitless.contains(&name);
        assert!(!number(value) || named, "{name}");
    });
}

#[test]
fn the_example_is_what_the_program_writes() {
    let written = serde_json::to_string_pretty(&full()).unwrap() + "\n";
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.example.json"), &written).unwrap();
        return;
    }
    assert_eq!(
        EXAMPLE, written,
        "UPDATE_EXAMPLES=1 cargo test --lib status writes it anew; fields are only added"
    );
}

#[test]
fn a_status_reads_as_it_was_written_and_what_a_later_release_adds_is_no_fault() {
    let mut value = serde_json::to_value(full()).unwrap();
    value["of_the_future"] = 1.into();
    value["leader"]["of_the_future"] = "x".into();
    value["drops"]["of_the_future"] = 5.into();
    let read: Status = serde_json::from_value(value).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), serde_json::to_value(full()).unwrap());
}

#[test]
fn a_bound_without_bound_makes_no_status_unreadable() {
    let mut status = full();
    status.snapshot.rate = Some(BoundedRate { value_ppb: 1.0, bound_ppb: f64::INFINITY });
    status.snapshot.commanded_ppb = f64::NAN;
    let text = serde_json::to_string(&status).unwrap();
    let read: Status = serde_json::from_str(&text).unwrap();
    assert!(read.snapshot.rate.unwrap().bound_ppb.is_nan());
    assert!(words::screen(&read, Span::ZERO).contains("rate error"));
}

#[test]
fn no_field_that_was_ever_promised_is_missing() {
    let promised: Vec<&str> = PROMISED.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(promised.len() > 100 && promised.is_sorted(), "one path a line, in order");
    let there = example_paths();
    let gone: Vec<_> = promised.iter().filter(|path| !there.contains(**path)).collect();
    assert!(gone.is_empty(), "fields are only added; these are gone: {gone:?}");
}

/// All that `old` says is in `new`, and the same.
fn says_the_same(old: &Value, new: &Value, path: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                says_the_same(value, new.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            old.iter().zip(new).for_each(|(old, new)| says_the_same(old, new, path));
            assert_eq!(old.len(), new.len(), "{path}");
        }
        _ => assert_eq!(old, new, "{path}"),
    }
}

#[test]
fn the_first_status_that_there_was_is_still_read() {
    let read: Status = serde_json::from_str(FIRST).expect("a field that was added later has a default");
    let old: Value = serde_json::from_str(FIRST).unwrap();
    says_the_same(&old, &serde_json::to_value(&read).unwrap(), "");
    assert!(near(&read).starts_with("Locked to 00:1d:c1:a1:72:3c/1"), "{}", near(&read));
}

/// A status with words that only a later release knows.
fn of_the_future() -> Value {
    let mut value = serde_json::to_value(full()).unwrap();
    let words = [
        "/leaders/1/standing",
        "/stamp_source",
        "/utc/slew/activity",
        "/ntp_servers/0/role",
        "/network/way",
        "/events/0/kind",
    ];
    for field in words {
        *value.pointer_mut(field).expect(field) = "of_the_future".into();
    }
    value
}

#[test]
fn a_word_of_a_later_release_is_no_fault_and_the_rest_is_told() {
    let read: Status = serde_json::from_value(of_the_future()).unwrap();
    let screen = words::screen(&read, Span::ZERO);
    assert!(screen.starts_with("Locked to 00:1d:c1:a1:72:3c/1"), "{screen}");
    assert!(
        screen.contains("00:1d:c1:00:00:07/1 on eth0, stratum 121: not known to this release"),
        "{screen}"
    );
    assert!(screen.contains("ntp.example.org: not known to this release, off by"), "{screen}");
    assert!(screen.contains("limit 1.000 s)"), "{screen}");

    let mut value = of_the_future();
    (value["state"], value["version"]) = ("of_the_future".into(), "9.9.9".into());
    let read: Status = serde_json::from_value(value).unwrap();
    assert_eq!(near(&read), "Not known: in a state that this release has no word for, for 2 h 13 min");
    let advice = words::advice(&read, Span::ZERO).unwrap();
    assert!(advice.starts_with("ask with the release that runs, 9.9.9: this one is "), "{advice}");
}

fn near(status: &Status) -> String {
    words::headline(status, Span::from_ms(200))
}
