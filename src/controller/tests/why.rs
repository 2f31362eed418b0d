//! Why the clock is not locked, in one line, and what to do: as somebody reads it who has never heard of PTP.

use super::*;
use crate::status::{Status, words};

/// What the status says: why, and what to do.
fn told(play: &Play) -> (String, String) {
    let snapshot = play.snapshot();
    let why = snapshot.reason.clone();
    let status = Status::new(snapshot, false);
    (why, words::advice(&status, Span::ZERO).unwrap_or_default())
}

/// The fact that the status shows under this name.
fn fact(play: &Play, name: &str) -> String {
    let facts = words::facts(&Status::new(play.snapshot(), false));
    facts.into_iter().find(|(found, _)| *found == name).map(|(_, text)| text).unwrap_or_default()
}

/// A Sync of another subdomain as often as the sieve lets one through.
fn speak_in(world: &mut World, subdomain: &[u8], seconds: std::ops::Range<i64>) {
    for second in seconds.step_by(8) {
        let at = world.raw + second * SECOND;
        let mut other =
            datagram(at, world.uuid, second as u16, world.sync_body(Timestamp::from_ns(LEADER_0)));
        let mut bytes = other.payload.as_slice().to_vec();
        bytes[4..20].fill(0);
        bytes[4..4 + subdomain.len()].copy_from_slice(subdomain);
        other.payload = Payload::new(&bytes);
        world.datagrams.push((at, other));
    }
}

#[test]
fn a_leader_that_is_pulled_up_is_named_with_what_mends_that() {
    let mut play = Play::with(config(), |world| {
        world.leader_talks = false;
        speak_in(world, b"_ALT1", 12..120);
    });
    play.run(60);
    let (why, advice) = told(&play);
    assert!(why.contains("subdomain _ALT1 (a Dante pull-up or pull-down)"), "{why}");
    assert!(why.contains("not ours (_DFLT)"), "{why}");
    assert!(advice.contains("Sample Rate Pull-up") && advice.contains("None"), "{advice}");
    for misleading in ["firewall", "querier", "--subdomain"] {
        assert!(!advice.contains(misleading), "{advice}");
    }
    assert_eq!(play.log.count("_ALT1"), 1, "{:?}", play.log.lines());
    // What is not heard any more is no reason any more.
    play.run(240);
    assert!(!told(&play).0.contains("_ALT1"), "{:?}", told(&play));
}

#[test]
fn a_leader_in_a_subdomain_of_another_name_is_named_with_the_option_that_chooses_it() {
    let mut play = Play::with(config(), |world| {
        world.leader_talks = false;
        speak_in(world, b"STUDIO", 0..120);
    });
    play.run(30);
    let (why, advice) = told(&play);
    assert!(why.contains("subdomain STUDIO") && why.contains("not ours (_DFLT)"), "{why}");
    assert!(!why.contains("pull"), "{why}");
    assert!(advice.contains("--subdomain STUDIO"), "{advice}");
}

#[test]
fn a_leader_that_goes_away_and_leaves_a_pulled_up_one_is_both() {
    let mut play = Play::locked();
    play.world.borrow_mut().leader_talks = false;
    speak_in(&mut play.world.borrow_mut(), b"_ALT2", 0..60);
    play.run(20);
    let (why, _) = told(&play);
    assert!(why.contains("silent for") && why.contains("_ALT2"), "{why}");
}

#[test]
fn syncs_without_follow_ups_are_no_silence() {
    let mut play = Play::locked();
    play.world.borrow_mut().follow_ups = false;
    play.run(15);
    let (why, advice) = told(&play);
    assert_eq!(play.snapshot().state, State::Holdover);
    assert!(why.contains("Syncs of 00:1d:c1:00:00:01/1 arrive on eth0 (UDP port 319)"), "{why}");
    assert!(why.contains("no Follow_Ups (UDP port 320) for 15 s"), "{why}");
    assert!(!why.contains("silent"), "{why}");
    assert!(advice.contains("port 320") && advice.contains("firewall"), "{advice}");
    let standing = words::standing(&play.snapshot().leaders[0]);
    assert!(standing.starts_with("no Follow_Up for 1"), "{standing}");
    assert_eq!(play.log.count("no Follow_Ups"), 1, "{:?}", play.log.lines());
}

#[test]
fn syncs_that_never_had_a_follow_up_are_told_with_how_long() {
    let mut play = Play::with(config(), |world| world.follow_ups = false);
    play.run(20);
    let (why, advice) = told(&play);
    assert_eq!(play.snapshot().state, State::NoLeader);
    assert!(why.contains("arrive on eth0 (UDP port 319)") && why.contains("no Follow_Ups"), "{why}");
    assert!(why.contains("for 19 s"), "{why}");
    assert!(advice.contains("port 320"), "{advice}");
}

#[test]
fn follow_ups_without_syncs_are_told_as_such() {
    let mut play = Play::with(config(), |world| world.syncs = false);
    play.run(20);
    let (why, advice) = told(&play);
    assert!(why.contains("Follow_Ups of a leader arrive on eth0 (UDP port 320)"), "{why}");
    assert!(why.contains("no Syncs (UDP port 319)"), "{why}");
    assert!(advice.contains("port 319") && advice.contains("firewall"), "{advice}");

    let mut play = Play::locked();
    play.world.borrow_mut().syncs = false;
    play.run(20);
    assert!(told(&play).0.contains("no Syncs (UDP port 319)"), "{:?}", told(&play));
}

#[test]
fn a_leader_that_is_gone_is_silent() {
    let mut play = Play::locked();
    play.world.borrow_mut().leader_talks = false;
    for _ in 0..40 {
        play.run_ms(500);
        let (why, _) = told(&play);
        assert!(why.is_empty() || why.starts_with("the leader has been silent for"), "{why}");
    }
}

#[test]
fn few_follow_ups_are_told_from_none_and_from_silence() {
    let mut play = Play::with(config(), |world| world.leader_talks = false);
    // A pair every 2 s, Syncs in between.
    for _ in 0..12 {
        for number in 0..8 {
            let mut world = play.world.borrow_mut();
            (world.leader_talks, world.follow_ups) = (true, number == 0);
            drop(world);
            play.run_ms(250);
        }
    }
    let (why, advice) = told(&play);
    assert!(why.contains("heard too irregularly"), "{why}");
    assert!(advice.contains("loses packets") && !advice.contains("IGMP"), "{advice}");
}

#[test]
fn syncs_without_a_stamp_are_not_taken_for_nothing() {
    let mut play = Play::with(config(), |world| {
        world.leader_talks = false;
        for number in 0..200 {
            let at = world.raw + number * SYNC_EVERY;
            let body = world.sync_body(Timestamp::from_ns(LEADER_0 + at));
            let mut sync = datagram(at, world.uuid, number as u16, body);
            sync.stamp = Err(crate::clock::StampFault::Missing);
            let precise_origin = WireTime::new(false, 7, 7).unwrap();
            let body = Body::FollowUp { associated_sequence_id: number as u16, precise_origin };
            let follow_up = datagram(at + MS, world.uuid, number as u16, body);
            world.datagrams.extend([(at, sync), (at + MS, follow_up)]);
        }
    });
    play.run(20);
    let (why, advice) = told(&play);
    assert!(why.contains("without the time of their arrival"), "{why}");
    assert!(advice.contains("doctor"), "{advice}");
    let age = play.snapshot().no_stamp_age_ns.unwrap();
    assert!(age <= SYNC_EVERY, "{age}");
}

#[test]
fn devices_that_must_not_lead_are_told_as_long_as_they_are_heard() {
    let mut play = Play::with(config(), |world| world.stratum = 255);
    play.run(20);
    let (why, advice) = told(&play);
    assert!(why.contains("say that they must not lead"), "{why}");
    assert!(advice.contains("Preferred Leader"), "{advice}");
    let snapshot = play.snapshot();
    for age in [snapshot.never_leads_age_ns, snapshot.received_age_ns] {
        assert!(age.unwrap() <= SYNC_EVERY + 10 * MS, "{age:?}");
    }
    assert_eq!(snapshot.no_stamp_age_ns, None);
    play.world.borrow_mut().leader_talks = false;
    play.run(70);
    let (why, _) = told(&play);
    assert!(why.starts_with("no PTP, and so no Dante leader, is heard on eth0"), "{why}");
    let age = play.snapshot().never_leads_age_ns.unwrap();
    assert!((69 * SECOND..=71 * SECOND).contains(&age), "{age}");
}

#[test]
fn only_version_2_is_told_in_the_line_itself_and_steadily() {
    let mut play = Play::with(config(), |world| {
        world.leader_talks = false;
        for number in 0..10 {
            let at = world.raw + number * 26 * SECOND;
            world.datagrams.push((at, raw_datagram(at, Port::Event, &[0x10, 0x02, 0, 44, 0, 0])));
        }
    });
    play.run(10);
    for _ in 0..20 {
        play.run(9);
        let (why, advice) = told(&play);
        assert!(why.contains("PTPv2") && why.contains("AES67"), "{why}");
        assert!(advice.contains("Dante Controller"), "{advice}");
    }
}

#[test]
fn an_interface_that_went_down_keeps_its_name() {
    let mut play = Play::locked();
    {
        let mut world = play.world.borrow_mut();
        world.leader_talks = false;
        world.interfaces.clear();
        world.links.push(NetworkEvent::LinkChanged { listening: Vec::new() });
    }
    play.run(5);
    let snapshot = play.snapshot();
    assert_eq!(snapshot.leader.unwrap().interface, "eth0");
    assert_eq!(snapshot.leaders[0].interface, "eth0");
    let (why, advice) = told(&play);
    assert!(why.contains("eth0") && why.contains("down"), "{why}");
    assert!(advice.contains("cable") && advice.contains("eth0"), "{advice}");
    assert_eq!(play.log.count("interfaces changed interfaces=\"\""), 0, "{:?}", play.log.lines());
    // Another one comes up: it is not the one on which the leader was heard.
    {
        let mut world = play.world.borrow_mut();
        let wlan0 = Interface { index: 9, name: "wlan0".to_owned(), ..eth0() };
        world.interfaces = vec![wlan0.clone()];
        world.links.push(NetworkEvent::LinkChanged { listening: vec![wlan0] });
    }
    play.run(5);
    let (why, _) = told(&play);
    assert!(why.contains("eth0") && why.contains("down"), "{why}");
}

#[test]
fn a_fault_that_a_lock_does_not_need_mended_is_no_reason() {
    let mut play = Play::with(config(), |world| world.leader_talks = false);
    play.break_call("set_status", refused());
    play.run(20);
    let (why, _) = told(&play);
    assert!(play.snapshot().fault.is_some_and(|fault| fault.contains(INJECTED)));
    assert!(!why.contains(INJECTED) && why.contains("eth0"), "{why}");
}

#[test]
fn a_clock_that_cannot_be_set_is_the_reason_in_every_state() {
    let mut play = Play::locked();
    play.break_call("set_rate", refused());
    play.run(3);
    play.world.borrow_mut().leader_talks = false;
    play.run(20);
    let (why, advice) = told(&play);
    assert!(why.contains(INJECTED), "{why}");
    assert!(advice.contains(INJECTED) && advice.contains("doctor"), "{advice}");
}

fn two_servers() -> Config {
    Config { ntp_servers: ["ntp-a", "ntp-b"].map(str::to_owned).to_vec(), ..config() }
}

#[test]
fn a_server_that_has_answered_is_not_called_silent() {
    // One answer of four.
    let mut play = Play::new();
    play.until(5, |snapshot| snapshot.ntp_servers[0].age_ns.is_some());
    let utc = fact(&play, "utc");
    assert!(utc.contains("10.77.8.2 has answered, not often enough yet"), "{utc}");

    let mut play = Play::with(two_servers(), |world| world.ntp_lies = vec![0, 80 * MS]);
    play.run(30);
    let utc = fact(&play, "utc");
    assert!(utc.contains("ntp-a and ntp-b contradict each other"), "{utc}");
    assert!(utc.contains("a third"), "{utc}");
}

#[test]
fn a_server_whose_answers_are_refused_is_told_with_the_reason() {
    let mut play = Play::with(config(), |world| world.ntp_dispersion = Span::from_secs(3));
    play.run(30);
    let utc = fact(&play, "utc");
    assert!(utc.contains("10.77.8.2 is +3.000 s from its reference clock"), "{utc}");
    assert_eq!(play.log.count("(the built-in default) can be used"), 1, "{:?}", play.log.lines());
    let server = fact(&play, "ntp");
    assert!(!server.contains("never answered") && server.contains("reference clock"), "{server}");
    // Another figure is no other reason.
    for more in 1..5 {
        play.world.borrow_mut().ntp_dispersion = Span::from_secs(3 + more);
        play.run(200);
    }
    assert_eq!(play.log.count("from its reference clock"), 1, "{:?}", play.log.lines());
    // Once it answers well, nothing of that is left.
    play.world.borrow_mut().ntp_dispersion = Span::from_ms(2);
    play.run(120);
    assert!(!fact(&play, "ntp").contains("reference clock"), "{}", fact(&play, "ntp"));
}

#[test]
fn a_server_that_says_nothing_is_named() {
    let mut play = Play::with(two_servers(), |world| world.ntp = Ntp::Silent);
    play.run(30);
    let utc = fact(&play, "utc");
    assert!(utc.contains("no NTP server has answered: ntp-a, ntp-b"), "{utc}");
    assert_eq!(play.log.count("no answer from NTP server"), 1, "{:?}", play.log.lines());
}
