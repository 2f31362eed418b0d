//! Time servers, the date, and what the kernel is told of it.

use super::*;

#[test]
fn without_a_leader_the_clock_is_stepped_to_the_date_and_its_rate_left_alone() {
    let mut play = Play::with(config(), |world| world.leader_talks = false);
    play.run(20);
    assert_eq!(play.snapshot().state, State::NoLeader);
    assert_eq!(play.steps().len(), 1);
    let world = play.world.borrow();
    assert!(!world.commands.iter().any(|(_, command)| matches!(command, Command::Rate(_))));
}

#[test]
fn a_bad_ntp_server_costs_the_lock_nothing() {
    for ntp in [Ntp::Silent, Ntp::Refuses, Ntp::Unsendable, Ntp::Kisses(b"RATE")] {
        let mut play = Play::with(config(), |world| world.ntp = ntp);
        let healthy = Play::new().until(30, |snapshot| snapshot.state == State::Locked);
        let took = play.until(30, |snapshot| snapshot.state == State::Locked);
        assert!((took - healthy).abs() < SECOND, "{took} instead of {healthy}");
        play.run(600);
        assert_eq!(play.snapshot().state, State::Locked);
        assert!(play.steps().is_empty());
        assert!(play.snapshot().utc.is_none());
        assert_eq!(play.log.count("no answer from NTP server 10.77.8.2"), 1, "{:?}", play.log.lines());
        assert!(play.log.count("NTP server ") <= 2, "{:?}", play.log.lines());
        // A refusing server is not asked more often than a serving one.
        assert!(play.snapshot().ntp_requests < 60, "{}", play.snapshot().ntp_requests);
    }
}

#[test]
fn the_servers_own_words_are_passed_on() {
    for (ntp, words) in [(Ntp::Refuses, "connection refused"), (Ntp::Kisses(b"DENY"), "DENY")] {
        let mut play = Play::with(config(), |world| world.ntp = ntp);
        play.run(30);
        assert_eq!(play.log.count(words), 1, "{:?}", play.log.lines());
        assert!(play.snapshot().ntp_rejected > 0);
    }
}

#[test]
fn a_server_that_has_something_to_say_is_named_with_its_address_and_each_once() {
    let servers = ["10.77.8.2", "pool.ntp.org:1123"].map(str::to_owned).to_vec();
    for (ntp, words) in [
        (Ntp::Refuses, "cannot be reached: connection refused"),
        (Ntp::Kisses(b"DENY"), "says DENY: it refuses to serve us"),
    ] {
        let mut play =
            Play::with(Config { ntp_servers: servers.clone(), ..config() }, |world| world.ntp = ntp);
        play.run(600);
        for name in ["10.77.8.2", "pool.ntp.org:1123 (10.77.8.2)"] {
            let line = format!("NTP server {name} {words}");
            assert_eq!(play.log.count(&line), 1, "{line}: {:?}", play.log.lines());
        }
        assert_eq!(play.log.count(words), 2, "{:?}", play.log.lines());
    }
}

#[test]
fn a_server_that_denies_is_asked_once() {
    let mut play = Play::with(config(), |world| world.ntp = Ntp::Kisses(b"DENY"));
    play.run(600);
    assert_eq!((play.snapshot().ntp_requests, play.snapshot().ntp_rejected), (1, 1));
    assert_eq!(play.snapshot().state, State::Locked);
}

#[test]
fn a_liar_among_three_is_named_once_and_taken_back_once() {
    let servers = ["a", "b", "c"].map(str::to_owned).to_vec();
    let mut play =
        Play::with(Config { ntp_servers: servers, ..config() }, |world| world.ntp_lies = vec![0, 80 * MS, 0]);
    play.run(600);
    assert_eq!(play.log.count("NTP server b is +80.0 ms off"), 1, "{:?}", play.log.lines());
    assert_eq!(play.log.count("NTP server "), 1, "{:?}", play.log.lines());
    let told = play.events(EventKind::Ntp);
    assert!(matches!(&told[..], [one] if one.starts_with("NTP server b is +80.0 ms off")), "{told:?}");
    assert!((play.steps()[0] - Span::from_ms(-20)).abs() < Span::from_ms(1));
    let roles: Vec<_> = play.snapshot().ntp_servers.iter().map(|server| server.role).collect();
    assert_eq!(roles, [Role::Used, Role::Outvoted, Role::Used].map(Some));
    play.world.borrow_mut().ntp_lies.clear();
    play.run(3_000);
    assert_eq!(play.log.count("NTP server b agrees with the others again"), 1, "{:?}", play.log.lines());
    assert_eq!(play.log.count("NTP server "), 2, "{:?}", play.log.lines());
    let told = play.events(EventKind::Ntp);
    assert_eq!(told.last().unwrap(), "NTP server b agrees with the others again");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn two_servers_that_contradict_each_other_set_no_date() {
    let servers = ["a", "b"].map(str::to_owned).to_vec();
    let mut play =
        Play::with(Config { ntp_servers: servers, ..config() }, |world| world.ntp_lies = vec![0, 80 * MS]);
    play.run(300);
    assert_eq!(play.log.count("none has a majority"), 2, "{:?}", play.log.lines());
    let told = play.events(EventKind::Ntp);
    assert_eq!(told.iter().filter(|text| text.contains("none has a majority")).count(), 2, "{told:?}");
    assert!(play.steps().is_empty() && play.snapshot().utc.is_none());
    assert_eq!(play.snapshot().state, State::Locked);
}

#[test]
fn a_single_server_that_contradicts_a_plausible_clock_must_say_so_for_longer() {
    let day = 86_400 * SECOND;
    let mut play = Play::with(config(), |world| world.ntp_ahead = day);
    play.run(6);
    assert!(play.steps().is_empty(), "{:?}", play.steps());
    assert_eq!(play.log.count("waiting for answers that say so again"), 1, "{:?}", play.log.lines());
    play.run(60);
    let [step] = play.steps()[..] else { panic!("{:?}", play.steps()) };
    assert!((step.as_ns() - day + 20 * MS).abs() < MS, "{step}");
    assert_eq!(play.log.count("waiting for answers that say so again"), 1);
}

#[test]
fn a_server_that_is_a_day_wrong_at_first_is_not_believed() {
    let mut play = Play::with(config(), |world| world.ntp_ahead = 86_400 * SECOND);
    play.run(5);
    play.world.borrow_mut().ntp_ahead = 0;
    play.run(60);
    assert!(play.steps().iter().all(|step| step.abs() < Span::from_secs(1)), "{:?}", play.steps());
    assert!(play.snapshot().utc.is_some_and(|utc| utc.offset.value_ns.abs() < 30e6));
}

#[test]
fn the_kernel_is_told_of_all_that_utc_can_be_off() {
    let mut play = Play::locked();
    play.run(120);
    let status = play.told().last().copied().unwrap();
    // Half of the round trip and the server's own 2 ms, and little more.
    let least = Span::from_ns(NTP_ROUND_TRIP / 2) + Span::from_ms(2);
    let open = status.max_error - status.est_error;
    assert!(open > least - Span::from_us(10) && open < least + Span::from_ms(1), "{status:?}");
    let utc = play.snapshot().utc.unwrap();
    assert_eq!(((utc.path_unknown_ns + MS / 2) / MS, (utc.root_distance_ns + MS / 2) / MS), (5, 2));
    assert!(utc.max_error_ns > 6 * MS && utc.offset.bound_ns < 1e6, "{utc:?}");
}

#[test]
fn with_no_server_configured_nothing_is_asked_or_complained_of() {
    let mut play = Play::with(Config { ntp_servers: Vec::new(), ..config() }, |_| {});
    play.run(30);
    assert_eq!(play.snapshot().state, State::Locked);
    assert_eq!((play.snapshot().ntp_requests, play.log.count("NTP")), (0, 0));
}

#[test]
fn a_date_beyond_the_panic_threshold_is_refused_and_said_once() {
    let mut play = Play::locked();
    play.world.borrow_mut().ntp_ahead = 60 * SECOND;
    play.run(300);
    assert_eq!(play.log.count("panic threshold"), 1, "{:?}", play.log.lines());
    assert_eq!((play.snapshot().state, play.steps().len()), (State::Locked, 1));
}

#[test]
fn a_server_that_insists_on_another_time_is_believed_with_a_warning_and_without_a_step() {
    let mut play = Play::locked();
    play.world.borrow_mut().ntp_ahead = 2 * SECOND;
    play.run(400);
    assert_eq!(play.log.count("NTP insists on another time"), 1, "{:?}", play.log.lines());
    let told = play.events(EventKind::Ntp);
    let [insists] = &told[..] else { panic!("{told:?}") };
    assert!(insists.starts_with("NTP insists on a time that is +") && insists.ends_with("off: believed"));
    assert!(play.events(EventKind::Utc).iter().any(|text| text.contains("off UTC")));
    // 2 s behind UTC: beyond 1 s, not beyond 2 s by more than the noise.
    assert!((1..=2).contains(&play.log.count("off UTC")), "{:?}", play.log.lines());
    assert_eq!(play.steps().len(), 1);
}

#[test]
fn a_clock_without_a_date_is_called_unsynchronised_at_once_and_again() {
    let mut play = Play::with(config(), |world| world.ntp = Ntp::Silent);
    play.controller.turn();
    assert_eq!(play.told().len(), 1, "with the first decision");
    play.run(60);
    assert_eq!(play.snapshot().state, State::Locked);
    let told = play.told();
    assert!((6..=8).contains(&told.len()), "{told:?}");
    for status in told {
        // A lock on the leader is no date.
        assert!(!status.synchronised && status.max_error >= Span::from_secs(16), "{status:?}");
    }
}

#[test]
fn the_error_against_utc_is_warned_of_at_doubling_sizes() {
    let mut play = Play::locked();
    for (by_ms, lines) in [(900, 0), (300, 1), (500, 1), (600, 2), (3_000, 3)] {
        play.world.borrow_mut().step_by_somebody_else(Span::from_ms(by_ms));
        play.run(40);
        assert_eq!(play.log.count("off UTC"), lines, "{:?}", play.log.lines());
        let told = play.events(EventKind::Utc);
        assert_eq!(told.iter().filter(|text| text.contains("off UTC")).count(), lines, "{told:?}");
    }
}
