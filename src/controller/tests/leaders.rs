//! Leaders that change, turn, reboot or are forged.

use super::*;

#[test]
fn a_newcomer_that_claims_to_be_better_is_warned_of_once() {
    let mut play = Play::locked();
    let (start, better) = (play.world.borrow().raw, [0x00, 0x1d, 0xc1, 0, 0, 2]);
    {
        let mut world = play.world.borrow_mut();
        let old = std::mem::replace(&mut world.stratum, 1);
        let uuid = std::mem::replace(&mut world.uuid, better);
        for n in 0..60_i64 {
            let at = start + 50 * MS + n * SYNC_EVERY;
            let sent = world.leader.at(Timestamp::from_ns(at));
            let sync = datagram(at, better, n as u16, world.sync_body(sent));
            let precise_origin = WireTime::from_timestamp(sent).unwrap();
            let body = Body::FollowUp { associated_sequence_id: n as u16, precise_origin };
            let follow_up = datagram(at + MS, better, n as u16, body);
            world.datagrams.extend([(at, sync), (at + MS, follow_up)]);
        }
        (world.stratum, world.uuid) = (old, uuid);
    }
    play.run(9);
    assert_eq!(play.log.count("claims to be better"), 1, "{:?}", play.log.lines());
    assert_eq!(play.log.count("leader elected"), 0);
    play.run(5);
    assert_eq!(play.log.count("claims to be better"), 1, "{:?}", play.log.lines());
    assert_eq!(play.log.count("leader elected"), 1, "{:?}", play.log.lines());
    // It carries on the same time: a warm takeover.
    assert_eq!(play.snapshot().state, State::Locked);
    assert_eq!(play.snapshot().timescale, crate::time::TimescaleId(0));
}

#[test]
fn a_leader_that_turns_faster_is_told_of_and_followed() {
    let mut play = Play::locked();
    {
        let mut world = play.world.borrow_mut();
        let line = world.leader.moved_to(Timestamp::from_ns(world.raw));
        world.leader = Line { rate: Rate::from_ppm(LEADER_PPM + 25.0), ..line };
    }
    play.run(60);
    assert!(play.log.count("the leader's line changed") >= 1, "{:?}", play.log.lines());
    let rate = play.world.borrow().system.rate;
    assert!((rate.ppm() - LEADER_PPM - 25.0).abs() < 1.5, "{rate}");
    assert_eq!(play.steps().len(), 1);
}

#[test]
fn a_leader_that_reboots_moves_no_clock() {
    let mut play = Play::locked();
    let before = play.utc_error();
    {
        let mut world = play.world.borrow_mut();
        world.leader = Line { a: Timestamp::from_ns(30 * SECOND), ..world.leader };
        world.sequence = 0;
    }
    play.run(40);
    assert_eq!((play.snapshot().state, play.snapshot().timescale.0), (State::Locked, 1));
    let moved = play.utc_error() - before;
    assert!((0..3 * MS).contains(&moved), "{moved}");
    assert_eq!(play.steps().len(), 1);
}

#[test]
fn wild_times_in_the_leaders_name_are_outliers_and_no_new_timescale() {
    let mut play = Play::locked();
    for n in 0..12_i64 {
        // Two of three Syncs are a second or more off, each by another amount.
        let honest = play.world.borrow().leader;
        for seconds in [n + 1, -n - 1] {
            play.world.borrow_mut().leader.a = honest.a + Span::from_secs(seconds);
            play.run_ms(250);
        }
        play.world.borrow_mut().leader = honest;
        play.run_ms(250);
    }
    let snapshot = play.snapshot();
    assert!((20..=30).contains(&snapshot.outliers), "{snapshot:?}");
    assert_eq!((snapshot.state, snapshot.timescale.0), (State::Locked, 0));
    assert!((play.world.borrow().system.rate.ppm() - LEADER_PPM).abs() < 1.0);
}
