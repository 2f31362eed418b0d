//! Faults of the network, junk, silence, and the one wait.

use super::*;

#[test]
fn a_fault_of_the_network_is_shown_said_once_and_ends() {
    for call in ["wait", "next_event"] {
        let mut play = Play::locked();
        play.break_call(call, refused());
        play.world.borrow_mut().leader_talks = false;
        play.run(8);
        let snapshot = play.snapshot();
        assert_eq!(snapshot.state, State::Holdover, "{call}: {snapshot:?}");
        assert!(snapshot.reason.contains(INJECTED), "{call}: {snapshot:?}");
        assert_eq!(play.log.count(INJECTED), 1, "{call}: {:?}", play.log.lines());
        play.mend();
        play.world.borrow_mut().leader_talks = true;
        play.until(10, |snapshot| snapshot.state == State::Locked);
        assert_eq!(play.log.count("works again"), 1, "{call}: {:?}", play.log.lines());
    }
}

#[test]
fn a_program_that_was_stopped_reads_what_came_meanwhile_before_it_judges() {
    let mut play = Play::locked();
    {
        let mut world = play.world.borrow_mut();
        let end = world.raw + 17 * SECOND;
        while world.sync_at < end {
            world.send_pair();
            world.sync_at += SYNC_EVERY;
        }
        world.raw = end;
        // As on Linux: one of each socket a turn.
        world.events_per_turn = 2;
    }
    play.run(2);
    let states = play.events(EventKind::State);
    assert!(states.iter().all(|text| !text.contains("Holdover")), "{states:?}");
    assert_eq!(play.snapshot().state, State::Locked);
}

#[test]
fn a_program_that_stands_still_in_every_turn_decides_all_the_same() {
    let mut play = Play::locked();
    play.world.borrow_mut().leader_talks = false;
    for _ in 0..8 {
        play.world.borrow_mut().raw += 3 * SECOND;
        play.controller.turn();
    }
    assert_ne!(play.snapshot().state, State::Locked, "{:?}", play.events(EventKind::State));
}

#[test]
fn after_silence_the_group_is_joined_again_and_again() {
    let mut play = Play::locked();
    assert_eq!(play.world.borrow().rejoins, 0);
    play.world.borrow_mut().leader_talks = false;
    play.run(65);
    assert!((5..=6).contains(&play.world.borrow().rejoins), "{}", play.world.borrow().rejoins);
}

#[test]
fn a_failing_join_is_shown_until_one_works_and_said_once() {
    let mut play = Play::locked();
    play.break_call("rejoin", refused());
    play.world.borrow_mut().leader_talks = false;
    play.run(65);
    assert!(play.snapshot().reason.contains(INJECTED), "{:?}", play.snapshot());
    assert_eq!(play.log.count(INJECTED), 1, "{:?}", play.log.lines());
    play.mend();
    play.run(11);
    assert!(!play.snapshot().reason.contains(INJECTED), "{:?}", play.snapshot());
    assert_eq!(play.log.count("works again"), 1, "{:?}", play.log.lines());
}

#[test]
fn a_change_of_the_link_is_said_and_the_lock_goes_on() {
    let mut play = Play::locked();
    play.world.borrow_mut().links.push(NetworkEvent::LinkChanged { listening: vec![eth0()] });
    // Nobody asked for a transmit stamp; it must not matter.
    let token = SendToken::new(1);
    play.world.borrow_mut().links.push(NetworkEvent::Transmitted { token, stamp: stamp(0) });
    play.run(5);
    assert_eq!(play.log.count("interfaces changed"), 1, "{:?}", play.log.lines());
    assert_eq!(play.snapshot().state, State::Locked);
}

#[test]
fn a_flood_of_junk_writes_no_lines_and_costs_no_lock() {
    let mut play = Play::locked();
    let (start, uuid) = (play.world.borrow().raw, [0x02, 0xff, 0, 0, 0, 9]);
    {
        let mut world = play.world.borrow_mut();
        let sent = Timestamp::from_ns(LEADER_0);
        let forged = world.sync_body(sent);
        for n in 0..10_000_i64 {
            let at = start + n * MS / 2;
            let sequence = n as u16;
            let junk = match n % 5 {
                0 => raw_datagram(at, Port::Event, &[0xff; 40]),
                1 => raw_datagram(at, Port::General, &[]),
                2 => raw_datagram(at, Port::Event, &[0, 2, 0, 44, 0, 0, 0, 0]),
                3 => datagram(at, [0x02, 0xff, 1, 1, (n >> 8) as u8, n as u8], sequence, forged),
                _ => {
                    let precise_origin = WireTime::new(false, 7, 7).unwrap();
                    let body = Body::FollowUp { associated_sequence_id: sequence, precise_origin };
                    datagram(at, uuid, sequence, body)
                }
            };
            world.datagrams.push((at, junk));
        }
    }
    play.run(8);
    assert_eq!(play.snapshot().state, State::Locked);
    let dropped: u64 = play.snapshot().drops.iter().map(|(_, count)| count).sum();
    assert!(dropped >= 9_000, "{dropped}");
    assert_eq!(play.log.lines(), Vec::<String>::new());
}

#[test]
fn a_network_that_speaks_only_version_2_is_told_once() {
    let mut play = Play::with(config(), |world| {
        world.leader_talks = false;
        for n in 0..100 {
            let at = world.raw + n * 125 * MS;
            world.datagrams.push((at, raw_datagram(at, Port::Event, &[0x10, 0x02, 0, 44, 0, 0])));
        }
    });
    play.run(12);
    assert_eq!(play.log.count("Dante's own PTPv1: in Dante Controller: "), 1, "{:?}", play.log.lines());
}

/// A network on which nothing is ever heard.
fn silent_network(waits: u32) -> MockPtpNetwork {
    let mut network = MockPtpNetwork::new();
    network.expect_interfaces().returning(|| vec![eth0()]);
    network.expect_wait().times(waits as usize).returning(|_, _| Ok(()));
    network.expect_next_event().returning(|_| Ok(None));
    network.expect_counters().returning(NetworkCounters::default);
    network
}

fn silent_ntp() -> MockNtpSource {
    let mut ntp = MockNtpSource::new();
    ntp.expect_pollables().return_const(());
    ntp.expect_mark_ready().return_const(());
    ntp.expect_next_event().returning(|_| None);
    ntp.expect_send().returning(|_, _, _| Err(NtpError::Resolving { name: "pool.ntp.org".to_owned() }));
    ntp
}

#[test]
fn a_turn_waits_exactly_once_and_never_longer_than_asked() {
    let mut network = MockPtpNetwork::new();
    network.expect_interfaces().returning(|| vec![eth0()]);
    network.expect_next_event().times(1).returning(|_| Ok(None));
    let fits = |timeout: &Span| (Span::ZERO..=WAIT_MAX).contains(timeout);
    network.expect_wait().withf(move |timeout, _| fits(timeout)).times(1).returning(|_, _| Ok(()));
    let world = World::new();
    let mut controller = PtpController::new(config(), network, FakeClock(world), silent_ntp(), 7);
    controller.turn();
}

#[test]
fn as_long_as_nothing_is_heard_the_clock_is_only_read_and_called_unsynchronised() {
    // The mock has no expectation for set_rate and step: calling one fails the test.
    let mut clock = MockSystemClock::new();
    clock.expect_counter().return_const(None);
    let mut now = 5 * SECOND;
    clock.expect_raw_now().returning(move || {
        now += 100 * MS;
        Timestamp::from_ns(now)
    });
    clock.expect_rate().times(1).returning(|| Err(refused()));
    clock.expect_slept().returning(|| None);
    let mut raw = 5 * SECOND;
    clock.expect_read().returning(move || {
        raw += 200 * MS;
        let (raw, system) = (Timestamp::from_ns(raw), Timestamp::from_ns(UTC_0 + raw));
        Ok(Reading { raw, system, uncertainty: Span::from_ns(25) })
    });
    let unsynchronised = |status: &KernelStatus| !status.synchronised;
    clock.expect_take_notice().returning(|| None);
    clock.expect_set_status().withf(unsynchronised).times(1..).returning(|_| Ok(()));
    let mut network = silent_network(40);
    network.expect_rejoin().returning(|| Err(NetworkError::NoInterface));
    let mut controller = PtpController::new(config(), network, clock, silent_ntp(), 7);
    for _ in 0..40 {
        controller.turn();
    }
    assert_eq!(controller.snapshot().state, State::NoLeader);
    assert!(controller.snapshot().ntp_requests > 0);
}

#[test]
fn a_sync_that_is_never_completed_is_given_up_after_a_second_though_its_sender_falls_silent() {
    let mut play = Play::locked();
    {
        let mut world = play.world.borrow_mut();
        let at = world.raw + MS;
        let sync = world.sync_body(world.leader.at(Timestamp::from_ns(at)));
        world.datagrams.push((at, datagram(at, [0x02, 0, 0, 0, 0, 9], 1, sync)));
    }
    let given_up = |play: &Play| play.snapshot().drops.of(DropReason::NoFollowUp);
    play.run_ms(900);
    assert_eq!(given_up(&play), 0);
    // The leader's next message is the next turn, 250 ms later at the latest.
    play.run_ms(500);
    assert_eq!(given_up(&play), 1);
}
