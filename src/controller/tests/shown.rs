//! What the snapshot shows of leaders and events, and how often.

use super::*;
use crate::snapshot::Standing;

const OTHER: [u8; 6] = [0x00, 0x1d, 0xc1, 0, 0, 9];

/// Pairs of another leader, with every Sync of the first one, for so many seconds.
fn add_leader(play: &Play, stratum: u8, with_follow_ups: bool, first: u16, seconds: i64) {
    let mut world = play.world.borrow_mut();
    let start = world.raw;
    for (at, sequence) in (0..seconds * 4).map(|number| start + number * SYNC_EVERY + 10 * MS).zip(first..) {
        let sent = Timestamp::from_ns(LEADER_0 + at);
        let body = SyncBody {
            origin: WireTime::from_timestamp(sent).unwrap(),
            grandmaster: PortIdentity { technology: 1, uuid: OTHER, port: 0 },
            grandmaster_clock_stratum: stratum,
            grandmaster_clock_identifier: *b"DFLT",
            sync_interval: -2,
            ..SyncBody::default()
        };
        let sync = datagram(at, OTHER, sequence, Body::Sync(body));
        world.datagrams.push((at, sync));
        if with_follow_ups {
            let precise_origin = WireTime::from_timestamp(sent).unwrap();
            let body = Body::FollowUp { associated_sequence_id: sequence, precise_origin };
            world.datagrams.push((at + MS, datagram(at + MS, OTHER, sequence, body)));
        }
    }
}

fn standings(play: &Play) -> Vec<(u8, Standing)> {
    play.snapshot().leaders.iter().map(|leader| (leader.id.uuid()[5], leader.standing)).collect()
}

fn events(play: &mut Play) -> Vec<(EventKind, String)> {
    std::iter::from_fn(|| play.controller.next_event()).map(|event| (event.kind, event.text)).collect()
}

#[test]
fn leaders_that_are_not_followed_say_why() {
    let mut play = Play::locked();
    assert_eq!(standings(&play), [(1, Standing::Followed)]);
    let row = play.snapshot().leaders[0].clone();
    assert_eq!((row.interface.as_str(), row.preferred, row.stratum), ("eth0", false, 121));
    assert!(row.pairs > 100 && row.pair_age_ns.unwrap() <= SYNC_EVERY + MS, "{row:?}");

    add_leader(&play, 150, false, 0, 3);
    play.run(3);
    assert_eq!(standings(&play), [(1, Standing::Followed), (9, Standing::Unqualified)]);
    assert_eq!(play.snapshot().leaders[1].pair_age_ns, None);
    add_leader(&play, 150, true, 12, 3);
    play.run(3);
    assert_eq!(standings(&play), [(1, Standing::Followed), (9, Standing::Outranked)]);
}

#[test]
fn a_newcomer_on_probation_is_shown_with_what_is_left_and_then_followed() {
    let mut play = Play::locked();
    events(&mut play);
    add_leader(&play, 100, true, 0, 20);
    play.run(4);
    assert_eq!(standings(&play), [(1, Standing::Followed), (9, Standing::Probation)]);
    let left = play.snapshot().leaders[1].probation_left_ns.unwrap();
    assert!(left > 5 * SECOND && left < 8 * SECOND, "{left}");
    play.run(10);
    assert_eq!(standings(&play), [(9, Standing::Followed), (1, Standing::Outranked)]);
    let told = events(&mut play);
    let leaders = told.iter().filter(|(kind, _)| *kind == EventKind::Leader).count();
    assert!(leaders >= 2 && told[0].1.contains("claims to be better"), "{told:?}");
}

#[test]
fn a_leader_that_falls_silent_is_still_the_one_that_was_followed() {
    let mut play = Play::locked();
    play.world.borrow_mut().leader_talks = false;
    play.run(6);
    assert_eq!(standings(&play), [(1, Standing::Silent)]);
    let snapshot = play.snapshot();
    assert_eq!((snapshot.state, snapshot.locked_for_ns, snapshot.locks), (State::Holdover, None, 1));
}

#[test]
fn what_happens_until_a_lock_is_kept_in_order_with_its_date() {
    let mut play = Play::new();
    play.controller.note(EventKind::Start, "started");
    play.run(30);
    let snapshot = play.snapshot();
    assert!(snapshot.locked_for_ns.unwrap() > 5 * SECOND);
    let all: Vec<_> = std::iter::from_fn(|| play.controller.next_event()).collect();
    let kinds: Vec<_> = all.iter().map(|event| event.kind).collect();
    assert_eq!(kinds[0], EventKind::Start);
    for kind in [EventKind::Leader, EventKind::Step, EventKind::State] {
        assert!(kinds.contains(&kind), "{all:?}");
    }
    let last = all.iter().rfind(|event| event.kind == EventKind::State).unwrap();
    assert_eq!(last.text, "Acquiring → Locked");
    // The date is that of the clock, which is right by now.
    assert!((last.unix_ns - UTC_0 - play.world.borrow().raw).abs() < 30 * SECOND, "{last:?}");
    assert!(last.utc.starts_with("2027-01-15T"), "{last:?}");
    assert_eq!(snapshot.events.last(), all.last());
}

#[test]
fn hands_of_others_are_events_until_they_are_a_conflict() {
    let mut play = Play::locked();
    events(&mut play);
    for _ in 0..10 {
        play.world.borrow_mut().step_by_somebody_else(Span::from_ms(5));
        play.run(2);
    }
    let told = events(&mut play);
    let foreign = told.iter().filter(|(kind, _)| *kind == EventKind::Foreign).count();
    assert_eq!(foreign, 3, "{told:?}");
    assert!(told.iter().any(|(_, text)| text.contains("→ Conflict")), "{told:?}");
}

#[test]
fn a_snapshot_is_due_twice_a_second_and_when_the_state_changes() {
    let mut play = Play::locked();
    let count = |play: &mut Play, ms: i64| {
        let end = play.world.borrow().raw + ms * MS;
        let mut due = Vec::new();
        while play.world.borrow().raw < end {
            play.controller.turn();
            due.extend(play.controller.snapshot_due());
        }
        due
    };
    let calm = count(&mut play, 10_000).len();
    assert!((15..=21).contains(&calm), "{calm}");
    play.world.borrow_mut().leader_talks = false;
    let shown = count(&mut play, 6_000);
    let left = shown.iter().find(|snapshot| snapshot.state == State::Holdover).unwrap();
    assert!(left.state_age_ns < 10 * MS, "at once: {}", left.state_age_ns);
}
