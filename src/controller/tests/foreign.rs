//! Other programs' hands on the clock.

use super::*;

#[test]
fn a_foreign_step_is_told_adopted_and_left_as_it_is() {
    for by in [Span::from_ms(50), Span::from_ms(-50)] {
        let mut play = Play::locked();
        let before = play.utc_error();
        play.world.borrow_mut().step_by_somebody_else(by);
        play.run(3);
        let snapshot = play.snapshot();
        assert_eq!((snapshot.state, snapshot.foreign_changes), (State::Locked, 1));
        let told = snapshot.last_foreign.unwrap();
        assert!(told.contains("stepped") && told.contains(&by.to_string()), "{told}");
        assert_eq!(play.log.count("another program"), 1, "{:?}", play.log.lines());
        play.run(60);
        // The clock went on from where it was put, at the leader's 40 ppm.
        let moved = play.utc_error() - before - by.as_ns();
        assert!((0..4 * MS).contains(&moved), "{moved}");
        assert_eq!(play.steps().len(), 1);
    }
}

#[test]
fn a_foreign_slew_is_told_and_steered_back() {
    let mut play = Play::locked();
    play.world.borrow_mut().turn_by_somebody_else(Rate::from_ppm(30.0));
    play.run(2);
    let told = play.snapshot().last_foreign.unwrap();
    assert!(told.contains("rate"), "{told}");
    play.run(30);
    let rate = play.world.borrow().system.rate;
    assert!((rate.ppm() - LEADER_PPM).abs() < 1.0, "{rate}");
    assert_eq!(play.snapshot().foreign_changes, 1);
}

#[test]
fn who_keeps_changing_the_clock_is_given_way_until_he_stops() {
    let mut play = Play::locked();
    for change in 1..=3 {
        assert_ne!(play.snapshot().state, State::Conflict, "after {change} changes");
        play.world.borrow_mut().step_by_somebody_else(Span::from_ms(5));
        play.run(10);
    }
    assert_eq!(play.snapshot().state, State::Conflict);
    assert_eq!(play.snapshot().foreign_changes, 3);
    let suspended = play.world.borrow().raw;
    // He goes on: nothing is steered, and nothing more is said.
    play.log.clear();
    for _ in 0..5 {
        play.world.borrow_mut().step_by_somebody_else(Span::from_ms(5));
        play.run(10);
    }
    assert_eq!(play.changes_since(suspended), 0);
    assert_eq!(play.snapshot().state, State::Conflict);
    assert_eq!(play.log.lines(), Vec::<String>::new());
    // He stops.
    let took = play.until(80, |snapshot| snapshot.state != State::Conflict);
    assert!((49 * SECOND..=52 * SECOND).contains(&took), "{took}");
    play.until(30, |snapshot| snapshot.state == State::Locked);
    assert!(play.changes_since(suspended) > 0);
    assert_eq!(play.log.count("steering again"), 1, "{:?}", play.log.lines());
}

#[test]
fn changes_that_are_far_apart_are_no_conflict() {
    let mut play = Play::locked();
    for _ in 0..6 {
        play.world.borrow_mut().step_by_somebody_else(Span::from_ms(5));
        play.run(31);
        assert_eq!(play.snapshot().state, State::Locked);
    }
}

#[test]
fn a_conflict_is_left_in_peace_on_exit() {
    let mut play = Play::locked();
    for _ in 0..3 {
        play.world.borrow_mut().step_by_somebody_else(Span::from_ms(5));
        play.run(2);
    }
    let at = play.world.borrow().raw;
    play.controller.shut_down();
    assert_eq!(play.changes_since(at - 1), 0);
}
