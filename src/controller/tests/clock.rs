//! A clock that refuses, fails or takes coarse rates, and what is left of it on exit.

use super::*;

#[test]
fn a_clock_that_refuses_a_rate_is_not_called_locked_and_is_tried_again() {
    let not_permitted = ClockError::NotPermitted { action: "set the rate" };
    let out_of_range = ClockError::RateOutOfRange { ppm: 40.0, min_ppm: -1.0, max_ppm: 1.0 };
    for error in [refused(), not_permitted, out_of_range] {
        let mut play = Play::new();
        play.break_call("set_rate", error.clone());
        play.run(40);
        let snapshot = play.snapshot();
        assert_eq!(snapshot.state, State::Acquiring, "{error}");
        assert_eq!(snapshot.reason, error.to_string());
        assert_eq!(play.log.count(&error.to_string()), 1, "{:?}", play.log.lines());
        play.mend();
        play.until(10, |snapshot| snapshot.state == State::Locked);
        assert_eq!(play.log.count("the clock works again"), 1, "{:?}", play.log.lines());
    }
}

#[test]
fn a_lock_is_left_when_the_clock_stops_obeying() {
    let mut play = Play::locked();
    play.break_call("set_rate", ClockError::NotPermitted { action: "set the rate" });
    play.until(5, |snapshot| snapshot.state == State::Acquiring);
    assert!(play.snapshot().reason.contains("no permission to set the rate"), "{}", play.snapshot().reason);
}

#[test]
fn a_clock_that_may_not_be_stepped_is_followed_as_it_stands() {
    let mut play = Play::new();
    play.break_call("step", ClockError::NotPermitted { action: "step the clock" });
    play.until(30, |snapshot| snapshot.state == State::Locked);
    play.run(30);
    assert_eq!(play.snapshot().state, State::Locked);
    assert_eq!((play.steps().len(), play.snapshot().steps), (0, 0));
    assert!(play.log.count("the clock was not stepped") >= 1);
    assert!((play.utc_error() - 20 * MS).abs() < 4 * MS, "{}", play.utc_error());
}

#[test]
fn a_late_step_that_is_refused_does_not_move_the_target() {
    let late = |world: &mut World| {
        world.ntp = Ntp::Silent;
        world.step_by_somebody_else(Span::from_secs(3_600));
    };
    let mut play = Play::with(config(), late);
    play.until(30, |snapshot| snapshot.state == State::Locked);
    play.break_call("step", refused());
    play.world.borrow_mut().ntp = Ntp::Answers;
    play.run(90);
    let offset = play.snapshot().offset.unwrap();
    assert!(offset.value_ns.abs() < 50_000.0, "{offset:?}");
    assert_eq!(play.snapshot().state, State::Locked);
}

#[test]
fn a_kernel_that_refuses_the_status_costs_no_lock_and_one_line() {
    let mut play = Play::new();
    play.break_call("set_status", ClockError::NotPermitted { action: "set the status" });
    play.until(30, |snapshot| snapshot.state == State::Locked);
    play.log.clear();
    play.run(120);
    assert_eq!(play.snapshot().state, State::Locked);
    assert_eq!(play.log.count("state="), 0, "{:?}", play.log.lines());
    assert!(play.log.count("set the status") <= 1, "{:?}", play.log.lines());
}

#[test]
fn a_clock_that_cannot_be_read_at_start_is_waited_for() {
    let mut play = Play::new();
    play.break_call("read", refused());
    play.run(8);
    assert!(play.snapshot().reason.contains(INJECTED), "{:?}", play.snapshot());
    assert!(play.world.borrow().commands.is_empty());
    play.mend();
    play.until(30, |snapshot| snapshot.state == State::Locked);
}

#[test]
fn a_clock_that_cannot_be_read_for_a_while_is_left_alone_and_taken_up_again() {
    let mut play = Play::locked();
    play.break_call("read", refused());
    play.run(5);
    let since = play.world.borrow().raw;
    play.run(5);
    assert_ne!(play.snapshot().state, State::Locked);
    assert!(play.snapshot().reason.contains(INJECTED), "{:?}", play.snapshot());
    assert_eq!(play.changes_since(since), 0);
    play.mend();
    play.until(10, |snapshot| snapshot.state == State::Locked);
    assert_eq!(play.snapshot().foreign_changes, 0);
}

#[test]
fn a_single_failed_reading_without_a_leader_is_forgotten() {
    let mut play = Play::with(config(), |world| world.leader_talks = false);
    play.run(8);
    play.break_call("read", refused());
    play.controller.turn();
    play.mend();
    play.run(3);
    let snapshot = play.snapshot();
    assert_eq!(snapshot.state, State::NoLeader, "{snapshot:?}");
    assert!(!snapshot.reason.contains(INJECTED), "{snapshot:?}");
}

#[test]
fn the_learned_rate_stays_on_exit() {
    let mut play = Play::locked();
    play.controller.shut_down();
    let world = play.world.borrow();
    let Some((_, Command::Rate(rate))) = world.commands.last() else { panic!("{:?}", world.commands) };
    assert!((rate.ppm() - LEADER_PPM).abs() < 0.3, "{rate}");
    assert_eq!(play.log.count("the learned rate stays"), 1);
}

#[test]
fn before_anything_is_learned_the_exit_changes_nothing() {
    let mut play = Play::with(config(), |world| {
        world.leader_talks = false;
        world.ntp = Ntp::Silent;
    });
    play.run(3);
    play.controller.shut_down();
    assert_eq!(play.changes_since(0), 0, "{:?}", play.world.borrow().commands);
}

#[test]
fn a_coarse_clock_is_turned_over_between_decisions_and_keeps_its_phase() {
    // A leader between two rates of either clock, so that the number of turns does not hang on the noise of the loop.
    let leader = Rate::from_ppm(LEADER_PPM + 0.03);
    // At 0.1 ppm a turn is due every half second or so, at 6.4 ppm more often than there are decisions, 240 a minute.
    for (quantum_ppm, turns) in [(0.1, 60..500), (6.4, 500..2_000)] {
        let mut play = Play::with(config(), |world| {
            world.quantum = Rate::from_ppm(quantum_ppm);
            world.leader = Line { rate: leader, ..world.leader };
        });
        play.until(60, |snapshot| snapshot.state == State::Locked);
        play.run(120);
        let (since, before) = (play.world.borrow().raw, play.deviation());
        play.run(60);
        assert!((play.deviation() - before).abs() < 300, "{}", play.deviation() - before);
        let turned = play.changes_since(since);
        assert!(turns.contains(&turned), "{turned} turns, {turns:?} expected");
        assert_eq!(
            (play.snapshot().state, play.log.count("WARN")),
            (State::Locked, 0),
            "{:?}",
            play.log.lines()
        );
    }
}

#[test]
fn a_coarse_clock_is_left_at_the_nearest_rate_and_left_alone_in_a_conflict() {
    let mut play = Play::with(config(), |world| world.quantum = Rate::from_ppm(6.4));
    play.until(60, |snapshot| snapshot.state == State::Locked);
    play.controller.shut_down();
    let rate = play.world.borrow().system.rate.ppm();
    assert!((rate - LEADER_PPM).abs() <= 3.2, "{rate}");

    let mut play = Play::with(config(), |world| world.quantum = Rate::from_ppm(6.4));
    play.until(60, |snapshot| snapshot.state == State::Locked);
    for _ in 0..3 {
        let step = |world: &mut World| world.system.a = world.system.a + Span::from_ms(3);
        step(&mut play.world.borrow_mut());
        play.run(2);
    }
    assert_eq!(play.snapshot().state, State::Conflict);
    let since = play.world.borrow().raw;
    play.run(20);
    assert_eq!(play.changes_since(since), 0);
}
