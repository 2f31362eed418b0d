//! What is done about UTC, about foreign hands and about leap seconds.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::KernelLeap;
use crate::config::{LeapMode, UtcLimit};
use crate::ntp::wire::Leap;
use crate::snapshot::{Activity, SlewView};

fn limited(limit: Span) -> Config {
    Config { utc_limit: UtcLimit::Within(limit), ..config() }
}

fn slew(play: &Play) -> SlewView {
    play.snapshot().utc.and_then(|utc| utc.slew).expect("UTC is known and the clock has locked")
}

#[test]
fn a_foreign_step_beyond_the_limit_is_slewed_back_and_one_within_it_is_left() {
    for (by, activity) in [(700, Activity::Returning), (-700, Activity::Returning), (300, Activity::Leader)] {
        let mut play = Play::with(limited(Span::from_ms(500)), |_| {});
        play.run(120);
        assert_eq!((play.snapshot().state, slew(&play).activity), (State::Locked, Some(Activity::Leader)));
        play.world.borrow_mut().step_by_somebody_else(Span::from_ms(by));
        play.run(100);
        let view = slew(&play);
        assert_eq!(view.activity, Some(activity), "{view:?}");
        assert_eq!(play.steps().len(), 1, "only at the start");
        assert_eq!(play.snapshot().state, State::Locked);
        // Half a ppm per second, against the step.
        let expected = if activity == Activity::Leader {
            0.0
        } else {
            -50e3_f64.copysign(Span::from_ns(by).as_ns_f64())
        };
        assert!((view.rate_ppb - expected).abs() < 2_000.0, "{view:?}");
        assert_eq!(view.limit_ns, Some(500 * MS));
        let said = play.log.count("slewing the clock back to UTC");
        assert_eq!(said, usize::from(activity == Activity::Returning), "{:?}", play.log.lines());
        let told = play.events(EventKind::Utc);
        assert_eq!(
            told.iter().any(|text| text.starts_with("slewing the clock back to UTC")),
            said == 1,
            "{told:?}"
        );
    }
}

#[test]
fn a_slew_is_foretold_in_the_snapshot_and_an_hour_ahead_in_the_log() {
    // 40 ppm: 500 ms in 3.5 h.
    let mut play = Play::with(limited(Span::from_ms(500)), |_| {});
    play.run(600);
    let view = slew(&play);
    let hours = |ns: Option<i64>| Span::from_ns(ns.unwrap()).as_secs_f64() / 3_600.0;
    assert!((hours(view.slew_in_ns) - 3.3).abs() < 0.2 && view.limit_in_ns == view.slew_in_ns, "{view:?}");
    assert!(hours(view.slew_for_ns) > 2.0, "500 ms at 60 ppm: {view:?}");
    assert_eq!(play.log.count("it will begin to be slewed back"), 0);
    play.world.borrow_mut().step_by_somebody_else(Span::from_ms(400));
    play.run(60);
    assert!(hours(slew(&play).slew_in_ns) < 1.0);
    assert_eq!(play.log.count("it will begin to be slewed back"), 1, "{:?}", play.log.lines());
    let told = play.events(EventKind::Utc);
    assert!(told.iter().any(|text| text.contains("it will begin to be slewed back")), "{told:?}");
}

#[test]
fn who_may_have_touched_the_clock_is_looked_up_when_it_was_touched_and_named() {
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    fn lookup() -> Vec<String> {
        LOOKUPS.fetch_add(1, Ordering::Relaxed);
        vec!["chronyd (pid 42)".to_owned()]
    }
    let mut play = Play::new();
    play.controller = play.controller.naming_rivals_with(lookup);
    play.run(60);
    assert_eq!(LOOKUPS.load(Ordering::Relaxed), 0);
    assert_eq!(play.snapshot().rivals, Vec::<String>::new());
    play.world.borrow_mut().step_by_somebody_else(Span::from_ms(50));
    play.run(10);
    assert_eq!(LOOKUPS.load(Ordering::Relaxed), 1);
    let snapshot = play.snapshot();
    assert_eq!(snapshot.rivals, ["chronyd (pid 42)"]);
    assert!(snapshot.last_foreign.unwrap().contains("(chronyd (pid 42) is running)"));
    assert_eq!(play.log.count("chronyd (pid 42)"), 1);
    // Not again and again while it goes on fighting.
    for _ in 0..20 {
        play.world.borrow_mut().step_by_somebody_else(Span::from_ms(50));
        play.run(2);
    }
    assert_eq!(play.snapshot().state, State::Conflict);
    assert_eq!(LOOKUPS.load(Ordering::Relaxed), 3);
}

#[test]
fn a_clock_that_was_not_set_yet_is_not_said_to_follow_the_leader_away() {
    let mut play = Play::with(config(), |world| world.system.a = Timestamp::from_ns(5 * SECOND));
    play.run(60);
    assert_eq!(play.steps().len(), 1);
    assert_eq!(play.log.count("off UTC"), 0, "{:?}", play.log.lines());
    assert_eq!(play.log.count("1970-01-01"), 1, "the old date: {:?}", play.log.lines());
    assert_eq!(play.log.count("2027-01-15"), 1, "the new date: {:?}", play.log.lines());
}

/// From 23:58 on the last day of January 2027 the servers announce a leap second.
fn before_a_leap_second(leap: LeapMode) -> Play {
    let play = Play::with(Config { leap, ..config() }, |world| {
        let ahead = Span::from_secs(1_801_439_880).as_ns() - UTC_0;
        world.ntp_ahead = ahead;
        world.system.a = world.system.a + Span::from_ns(ahead);
        world.leap = Leap::Insert;
    });
    let date = Timestamp::<System>::from_ns(UTC_0 + play.world.borrow().ntp_ahead).date();
    assert_eq!((date.month, date.day, date.time_of_day), (1, 31, (24 * 3_600 - 120) * SECOND));
    play
}

fn last_told(play: &Play) -> KernelLeap {
    play.told().last().expect("the kernel is told every few seconds").leap
}

#[test]
fn a_leap_second_is_handed_to_the_kernel_where_that_is_wanted_and_its_step_is_not_foreign() {
    let mut play = before_a_leap_second(LeapMode::Kernel);
    play.run(60);
    assert_eq!((play.snapshot().state, last_told(&play)), (State::Locked, KernelLeap::Insert));
    // The world began at 5 s; midnight is at 120 s of its raw time.
    play.run(56);
    let steps = play.steps().len();
    {
        let mut world = play.world.borrow_mut();
        world.step_by_somebody_else(Span::from_secs(-1));
        world.ntp_ahead -= SECOND;
        world.leap = Leap::None;
    }
    play.run(60);
    assert_eq!(last_told(&play), KernelLeap::None);
    let snapshot = play.snapshot();
    assert_eq!((snapshot.state, snapshot.foreign_changes), (State::Locked, 0));
    assert_eq!(play.steps().len(), steps);
    assert_eq!(play.log.count("the kernel stepped the clock"), 1, "{:?}", play.log.lines());
    assert!(snapshot.utc.unwrap().offset.value_ns.abs() < 50e6);
}

#[test]
fn without_that_wish_the_kernel_hears_of_no_leap_second() {
    let mut play = before_a_leap_second(LeapMode::Slew);
    play.run(100);
    assert!(play.told().iter().all(|status| status.leap == KernelLeap::None));
    play.world.borrow_mut().step_by_somebody_else(Span::from_secs(-1));
    play.run(2);
    assert_eq!(play.snapshot().foreign_changes, 1);
}

#[test]
fn a_leap_second_is_an_event_and_no_fault_of_the_servers() {
    let mut play = before_a_leap_second(LeapMode::Slew);
    play.run(116);
    let steps = play.steps().len();
    {
        let mut world = play.world.borrow_mut();
        world.ntp_ahead -= SECOND;
        world.leap = Leap::None;
    }
    play.run(60);
    let told = play.events(EventKind::Utc);
    let leaps: Vec<_> = told.iter().filter(|text| text.starts_with("leap second")).collect();
    assert_eq!(leaps, ["leap second: UTC has moved by -1.000 s"], "{told:?}");
    assert_eq!((play.steps().len(), play.snapshot().state), (steps, State::Locked));
}

#[test]
fn other_choices_while_locked_neither_step_nor_unlock() {
    let mut play = Play::with(limited(Span::from_ms(500)), |_| {});
    play.run(120);
    assert_eq!(play.snapshot().state, State::Locked);
    let servers = play.snapshot().ntp_servers.len();
    play.controller.reconfigure(Config { ntp_servers: Vec::new(), ..limited(Span::ZERO) });
    play.run(60);
    let snapshot = play.snapshot();
    assert_eq!((snapshot.state, slew(&play).activity), (State::Locked, Some(Activity::Following)));
    assert_eq!(snapshot.ntp_servers.len(), servers, "servers take a new start");
    assert_eq!(play.steps().len(), 1, "only at the start");
}
