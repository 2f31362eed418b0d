use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::Value;

use super::client::{StatusError, ask, fetch};
use super::*;
use crate::estimator::utc::Role;
use crate::events::{Event, EventKind};
use crate::net::{Interface, NetworkCounters, StampSource, Way};
use crate::ntp::client::RejectedCounts;
use crate::ptp::{DropCounts, DropReason};
use crate::snapshot::obstacle::Obstacle;
use crate::snapshot::{
    Activity, BoundedRate, BoundedTime, LeaderRow, LeaderView, LimitsView, NtpServerView, SlewView, Snapshot,
    Standing, State, UtcView,
};
use crate::time::{LeaderId, Raw, Span, TimescaleId, duration};

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

/// What stands in the way of a clock that is not locked, and hears no leader.
fn obstacle(change: impl FnOnce(&mut Snapshot)) -> Option<Obstacle> {
    let mut snapshot = full().snapshot;
    (snapshot.state, snapshot.leader, snapshot.fault) = (State::NoLeader, None, None);
    snapshot.leaders.clear();
    (snapshot.other_subdomain, snapshot.follow_up_age_ns) = (None, None);
    [DropReason::NoStamp, DropReason::NeverLeads].into_iter().for_each(|reason| snapshot.drops.add(reason));
    change(&mut snapshot);
    Obstacle::of(&snapshot)
}

#[test]
fn what_was_seen_long_ago_is_no_obstacle_now() {
    let nobody = || Obstacle::NoLeader { interfaces: "eth0".to_owned() };
    let nothing = || Obstacle::Nothing { interfaces: "eth0".to_owned(), early: false };
    let no_syncs = || Obstacle::NoSyncs { interfaces: "eth0".to_owned() };
    for (age, lately) in [(Some(seconds(59)), true), (None, true), (Some(seconds(61)), false)] {
        let stampless = obstacle(|it| {
            (it.no_stamp_age_ns, it.follow_up_age_ns) = (age, Some(40_000_000));
        });
        assert_eq!(stampless, Some(if lately { Obstacle::NoStamps } else { no_syncs() }), "{age:?}");
        let never = obstacle(|it| it.never_leads_age_ns = age);
        assert_eq!(never, Some(if lately { Obstacle::MustNotLead } else { nobody() }), "{age:?}");
        let received = obstacle(|it| it.received_age_ns = age);
        assert_eq!(received, Some(if lately { nobody() } else { nothing() }), "{age:?}");
    }
}

#[test]
fn the_follow_ups_of_a_complete_leader_are_not_told_as_those_of_one_without_syncs() {
    let half = |complete: bool| {
        obstacle(|it| {
            it.follow_up_age_ns = Some(40_000_000);
            let other = row("00:1d:c1:00:00:07/1", Standing::OtherInterface);
            // A leader of which nothing comes any more does not hide them.
            it.leaders = vec![if complete { other } else { silent(30, 30) }];
        })
    };
    assert_eq!(half(true), None);
    assert_eq!(half(false), Some(Obstacle::NoSyncs { interfaces: "eth0".to_owned() }));
}

#[test]
fn a_leader_whose_packets_come_and_do_not_fit_is_not_silent() {
    let heard = |state: State, age: Option<i64>| {
        obstacle(|it| {
            let followed = row("00:1d:c1:00:00:07/1", Standing::Followed);
            it.leaders = vec![LeaderRow { interval_ns: 250_000_000, pair_age_ns: age, ..followed }];
            it.state = state;
        })
    };
    let leader = row("00:1d:c1:00:00:07/1", Standing::Followed).id;
    assert_eq!(heard(State::Lost, Some(200_000_000)), Some(Obstacle::Uneven { leader }));
    assert_eq!(heard(State::Holdover, Some(200_000_000)), Some(Obstacle::Uneven { leader }));
    assert_eq!(heard(State::Acquiring, Some(200_000_000)), None);
    assert_eq!(heard(State::Lost, Some(seconds(3))), None);
    assert_eq!(heard(State::Lost, None), None);
}

fn near(status: &Status) -> String {
    words::headline(status, Span::from_ms(200))
}

#[test]
fn a_lock_is_told_in_one_line() {
    assert_eq!(
        near(&full()),
        "Locked to 00:1d:c1:a1:72:3c/1 (Preferred Leader) for 2 h 13 min: offset +0.4 µs ± 3.1, rate -33.71 ppm ± 0.02; \
         UTC +12.4 ms ± 0.1 (leader runs +8.1 ppm against UTC, limit 1.000 s reached in 33 h 52 min)"
    );
    let mut status = full();
    status.snapshot.utc_limit_ns = None;
    assert!(near(&status).ends_with("(leader runs +8.1 ppm against UTC, no limit set)"));
    status.snapshot.utc = None;
    assert!(
        near(&status)
            .ends_with("UTC unknown (the NTP server ntp.example.org has answered, not often enough yet)")
    );
    assert_eq!(words::advice(&status, Span::ZERO), None);
}

#[test]
fn without_a_lock_it_says_why_and_what_to_do() {
    let mut status = full();
    let advice = |status: &Status| words::advice(status, Span::ZERO).unwrap();
    let fault = status.snapshot.fault.take();
    status.snapshot.state = State::Holdover;
    status.snapshot.leaders = vec![silent(5, 5)];
    (status.snapshot.other_subdomain, status.snapshot.follow_up_age_ns) = (None, None);
    status.snapshot.state_age_ns = seconds(3);
    status.snapshot.reason = "the leader has been silent for 5.5 s".to_owned();
    assert_eq!(near(&status), "Not locked, Holdover for 3.0 s: the leader has been silent for 5.5 s");
    assert!(advice(&status).contains("eth0") && advice(&status).contains("querier"));
    status.snapshot.state = State::Conflict;
    assert_eq!(advice(&status), "stop chronyd (pid 812). This program goes on after a minute of peace.");
    (status.snapshot.state, status.snapshot.leader) = (State::NoLeader, None);
    status.snapshot.other_subdomain = Some("_ALT1".to_owned());
    status.snapshot.leaders = vec![silent(0, 30)];
    assert!(advice(&status).contains("port 320"));
    status.snapshot.leaders.clear();
    status.snapshot.follow_up_age_ns = None;
    assert!(advice(&status).contains("Sample Rate Pull-up"));
    status.snapshot.other_subdomain = None;
    assert!(advice(&status).contains("dantetimesync monitor"));
    status.snapshot.network.received = 0;
    assert!(advice(&status).starts_with("is eth0 on the Dante network"));
    status.snapshot.uptime_ns = seconds(12);
    assert!(advice(&status).starts_with("wait"));
    status.snapshot.only_ptp_v2 = true;
    assert!(advice(&status).contains("PTPv1"));
    status.snapshot.state = State::Acquiring;
    (status.snapshot.leaders, status.snapshot.state_age_ns) = (full().snapshot.leaders, seconds(3));
    assert!(advice(&status).contains("half a minute"));
    status.snapshot.state_age_ns = seconds(300);
    assert!(advice(&status).contains("scatter of 6.9 µs"));
    // Waiting does not mend what is broken.
    status.snapshot.reason = fault.clone().unwrap();
    status.snapshot.fault = fault;
    assert!(advice(&status).contains("No buffer space"));
    // A loop that stands still is worse than all of that.
    assert!(words::headline(&status, Span::from_secs(9)).contains("nothing new for 9.0 s"));
    assert!(words::advice(&status, Span::from_secs(9)).unwrap().contains("4711"));
}

/// Every situation that the words know, as far as a snapshot can tell them apart.
fn situations() -> Vec<Status> {
    let mut found = vec![full()];
    let states = [
        State::Starting,
        State::NoLeader,
        State::Acquiring,
        State::Locked,
        State::Holdover,
        State::Lost,
        State::Conflict,
    ];
    let changes: [fn(&mut Snapshot); 22] = [
        |_| {},
        |it| it.follow_up_age_ns = Some(40_000_000),
        |it| {
            let pairs = LeaderRow { first_heard_age_ns: seconds(60), ..silent(0, 1) };
            it.leaders = vec![pairs];
        },
        |it| it.interfaces.clear(),
        |it| it.rivals.clear(),
        |it| it.only_ptp_v2 = true,
        |it| it.other_subdomain = Some("_ALT1".to_owned()),
        |it| it.other_subdomain = Some("STUDIO".to_owned()),
        |it| it.network.received = 0,
        |it| it.fault = Some("cannot use the network: it is gone.".to_owned()),
        |it| (it.fault, it.reason) = (Some("it is gone".to_owned()), "it is gone".to_owned()),
        |it| it.leaders = vec![silent(0, 30)],
        |it| it.leaders = vec![silent(30, 30)],
        |it| {
            it.drops.add(DropReason::NoStamp);
            it.no_stamp_age_ns = Some(40_000_000);
            it.follow_up_age_ns = Some(40_000_000);
        },
        |it| {
            it.drops.add(DropReason::NeverLeads);
            it.never_leads_age_ns = Some(seconds(10));
        },
        |it| it.uptime_ns = seconds(3),
        |it| it.state_age_ns = seconds(3),
        |it| it.utc = None,
        |it| it.ntp_servers.clear(),
        |it| it.ntp_servers[0].age_ns = None,
        |it| it.ntp_servers[0].role = Some(Role::Undecided),
        |it| it.jitter_ns = None,
    ];
    for state in states {
        // What is heard of a leader, and what is heard besides.
        for leaders in [true, false] {
            for change in changes {
                let mut status = full();
                let snapshot = &mut status.snapshot;
                snapshot.fault = None;
                snapshot.other_subdomain = None;
                snapshot.follow_up_age_ns = None;
                snapshot.reason = "it is so".to_owned();
                snapshot.state = state;
                if !leaders {
                    (snapshot.leader, snapshot.utc) = (None, None);
                    snapshot.leaders.clear();
                }
                change(snapshot);
                found.push(status);
            }
        }
    }
    found
}

/// A leader that was followed: so many seconds ago came its last Sync, and the last that was completed.
fn silent(heard: i64, paired: i64) -> LeaderRow {
    LeaderRow {
        qualified: false,
        heard_age_ns: seconds(heard),
        pair_age_ns: Some(seconds(paired)),
        ..row("00:1d:c1:a1:72:3c/1", Standing::Silent)
    }
}

#[test]
fn no_hint_ends_twice_or_has_a_hole() {
    let obstacles = situations().into_iter().filter_map(|status| Obstacle::of(&status.snapshot));
    let kinds: HashSet<_> = obstacles.map(|obstacle| std::mem::discriminant(&obstacle)).collect();
    assert_eq!(kinds.len(), 11, "all that can stand in the way");
    let mut hints = BTreeSet::new();
    for status in situations() {
        for age in [Span::ZERO, Span::from_secs(9)] {
            let screen = words::screen(&status, age);
            let hint = screen.lines().find(|line| line.starts_with("To do: ")).map(str::to_owned);
            hints.extend(hint);
            hints.insert(words::headline(&status, age));
        }
    }
    assert!(hints.len() > 20, "{hints:#?}");
    for hint in &hints {
        for wrong in ["?.", "..", "!.", ".?", "  ", " .", " ,", ",.", ";.", ": .", "()"] {
            assert!(!hint.contains(wrong), "{wrong:?} in {hint}");
        }
        let whole = !hint.starts_with("To do: ") || hint.ends_with(['.', '?']);
        assert!(whole, "{hint}");
    }
}

#[test]
fn the_whole_status_fits_one_screen() {
    let mut status = full();
    status.snapshot.leaders.extend((0..20).map(|_| row("00:1d:c1:00:00:08/1", Standing::Outranked)));
    let server = status.snapshot.ntp_servers[0].clone();
    status.snapshot.ntp_servers = vec![server; 9];
    let event = status.snapshot.events[0].clone();
    status.snapshot.events = vec![event; 10];
    let screen = words::screen(&status, Span::ZERO);
    assert!(screen.lines().count() <= 24, "{screen}");
    assert!(screen.contains("and 17 more leaders"), "{screen}");
}

#[test]
fn quantities_have_the_unit_of_the_greater_part_and_no_negative_zero() {
    assert_eq!(words::time(-0.4, 413.0), "+0 ns ± 413");
    assert_eq!(words::time(-1_000.0, 3.0e6), "+0.0 ms ± 3.0");
    assert_eq!(words::time(-2.5e9, 1.0e6), "-2.500 s ± 0.001");
    let mut status = full();
    status.snapshot.utc.as_mut().unwrap().leader_rate = Some(BoundedRate { value_ppb: 9e3, bound_ppb: 4e3 });
    assert!(near(&status).contains("leader runs +9 ± 4 ppm against UTC"));
    status.snapshot.utc.as_mut().unwrap().leader_rate = Some(BoundedRate { value_ppb: 9e3, bound_ppb: 90e3 });
    assert!(near(&status).contains("not known yet"));
}

#[test]
fn lengths_of_time_are_told_as_people_tell_them() {
    let told: Vec<String> =
        [-5, 1_500_000_000, seconds(59), seconds(119), seconds(600), seconds(7_980), seconds(400_000)]
            .into_iter()
            .map(duration)
            .collect();
    assert_eq!(told, ["0.0 s", "1.5 s", "59 s", "119 s", "10 min", "2 h 13 min", "4 d 15 h"]);
}

/// A place of its own for a test.
fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    #[cfg(unix)]
    let path = folder.path().join("status.sock");
    #[cfg(windows)]
    let path = {
        let mut path = std::ffi::OsString::from(r"\\.\pipe\");
        path.push(folder.path().file_name().unwrap());
        path.into()
    };
    (folder, path)
}

#[test]
fn whoever_connects_gets_the_newest_snapshot() {
    let (_folder, path) = place();
    let server = StatusServer::open(&path, true).unwrap();
    assert!(matches!(fetch(&path), Err(StatusError::NothingYet(_))));
    for locks in 1..3 {
        server.publish(Snapshot { locks, ..full().snapshot });
    }
    let status = fetch(&path).unwrap();
    assert_eq!((status.snapshot.locks, status.dry_run, status.pid), (2, true, std::process::id()));
    assert!(status.taken_utc.unwrap().starts_with("2026-05-28T"));
    drop(server);
    assert!(matches!(fetch(&path), Err(StatusError::NotRunning(_))));
}

/// Serves `text` to one client.
fn stranger(path: &Path, text: Vec<u8>) {
    let (listener, claim) = transport::open(path).unwrap();
    std::thread::spawn(move || {
        let mut connection = listener.accept().unwrap().unwrap();
        drop(claim);
        let _ = connection.write_all(&text);
    });
}

#[test]
fn what_is_no_status_is_refused_with_a_reason() {
    let answers: [(&[u8], &str); 5] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "tells no status"),
        (b"{}", "schema_version"),
        (b"{\"schema_version\": 7}", "version 7"),
        (b"{\"schema_version\": 1}", "missing field"),
        (&[0xff; 3_000_000], "longer than"),
    ];
    for (answer, told) in answers {
        let (_folder, path) = place();
        stranger(&path, answer.to_vec());
        let error = ask(&path).unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains('\n'), "{error}");
    }
}

/// Says something to the server, as far as that is possible at all.
fn talk(path: &Path) {
    #[cfg(unix)]
    let _ = std::os::unix::net::UnixStream::connect(path).unwrap().write_all(&[b'x'; 100_000]);
    #[cfg(windows)]
    assert!(std::fs::OpenOptions::new().write(true).open(path).is_err(), "a pipe that goes one way");
}

#[test]
fn a_server_that_hangs_is_told_apart_from_one_that_is_not_there() {
    let (_folder, path) = place();
    assert!(matches!(fetch(&path), Err(StatusError::NotRunning(_))));
    let (_listener, _claim) = transport::open(&path).unwrap();
    assert!(matches!(fetch(&path), Err(StatusError::Silent { .. })));
}

#[test]
fn nobody_who_hangs_keeps_others_waiting_and_nothing_is_read_from_them() {
    let (_folder, path) = place();
    let server = StatusServer::open(&path, false).unwrap();
    server.publish(full().snapshot);
    let hanging: Vec<_> = (0..30).map(|_| transport::connect(&path).unwrap()).collect();
    talk(&path);
    assert_eq!(fetch(&path).unwrap().snapshot.samples, 31_900);
    // Whoever takes the answer late still gets it.
    let mut late = String::new();
    hanging.into_iter().next_back().unwrap().read_to_string(&mut late).unwrap();
    assert!(serde_json::from_str::<Status>(&late).is_ok(), "{late}");
}

#[test]
fn who_waits_for_a_network_says_for_how_long() {
    let (since, now) = (Timestamp::<Raw>::EPOCH, Timestamp::from_ns(seconds(75)));
    let waiting = Status::new(Snapshot::before_start(now, since, "no cable"), false);
    assert_eq!(words::headline(&waiting, Span::ZERO), "Not locked, Starting for 75 s: no cable");
}

#[test]
fn a_place_that_cannot_be_had_costs_nothing_but_the_status() {
    let longer_than_any =
        format!(r"{}{}", if cfg!(windows) { r"\\.\pipe\" } else { "/tmp/" }, "x".repeat(300));
    for place in ["/proc/status.sock", "C:\\status.sock", &longer_than_any] {
        if cfg!(unix) && place.starts_with("C:") {
            continue;
        }
        assert!(StatusServer::open(Path::new(place), false).is_none(), "{place}");
    }
}

#[test]
fn publishing_never_waits_for_a_slot_that_is_looked_at() {
    let (_folder, path) = place();
    let server = StatusServer::open(&path, false).unwrap();
    server.publish(full().snapshot);
    server.while_looked_at(|| server.publish(Snapshot { samples: 1, ..full().snapshot }));
    assert_eq!(fetch(&path).unwrap().snapshot.samples, 31_900, "left out");
    server.publish(Snapshot { samples: 2, ..full().snapshot });
    assert_eq!(fetch(&path).unwrap().snapshot.samples, 2);
}
