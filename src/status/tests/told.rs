//! What the status says to people.

use std::collections::HashSet;

use super::*;
use crate::snapshot::SlewView;
use crate::snapshot::obstacle::Obstacle;
use crate::time::{Raw, duration};

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

#[test]
fn a_lock_is_told_in_one_line() {
    assert_eq!(
        near(&full()),
        "Locked to 00:1d:c1:a1:72:3c/1 (Preferred Leader) for 2 h 13 min: offset +0.4 µs ± 3.1, rate -33.71 ppm ± 0.02; \
         UTC +12.4 ms ± 0.1 (leader runs +8.1 ppm against UTC, limit 1.000 s reached in 33 h 52 min)"
    );
    let mut status = full();
    // Nothing is foretold by a rate that is not known, or further ahead than anybody looks.
    let rate = status.snapshot.utc.as_mut().and_then(|utc| utc.leader_rate.take());
    assert!(
        near(&status).ends_with("(leader's rate against UTC not known yet, limit 1.000 s)"),
        "{}",
        near(&status)
    );
    status.snapshot.utc.as_mut().unwrap().leader_rate = rate;
    let slew = status.snapshot.utc.as_ref().unwrap().slew.clone();
    let beyond = slew.map(|slew| SlewView { limit_in_ns: None, slew_in_ns: None, ..slew });
    status.snapshot.utc.as_mut().unwrap().slew = beyond;
    assert!(
        near(&status).ends_with("(leader runs +8.1 ppm against UTC, limit 1.000 s)"),
        "{}",
        near(&status)
    );
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

#[test]
fn who_waits_for_a_network_says_for_how_long() {
    let (since, now) = (Timestamp::<Raw>::EPOCH, Timestamp::from_ns(seconds(75)));
    let waiting = Status::new(Snapshot::before_start(now, since, "no cable"), false);
    assert_eq!(words::headline(&waiting, Span::ZERO), "Not locked, Starting for 75 s: no cable");
}
