//! Where the clock belongs: anchors, restarts, steps and first fixes.

use super::*;

#[test]
fn a_slew_of_the_target_is_what_the_clock_is_told() {
    let mut play = Play::locked();
    play.world.utc = Some(Span::from_ms(500));
    play.run(Span::from_secs(120));
    let slew = play.discipline.target().unwrap().line.rate;
    assert!(slew.ppm() > 10.0, "{slew}");
    assert_eq!(play.state(), State::Locked);
    // At the leader's rate it would now be wrong.
    play.world.system.rate = Rate::from_ppm(LEADER_PPM);
    play.decide();
    assert_eq!(play.state(), State::Acquiring);
}

#[test]
fn the_lock_begins_with_the_clock_as_it_stands() {
    let play = Play::locked();
    assert_eq!(play.offset(), Span::ZERO);
    assert_eq!(play.discipline.target().unwrap().timescale, TimescaleId(0));
    let deviation = play.discipline.deviation(&play.world.view()).unwrap();
    assert!(deviation.rate.ppm().abs() < 1e-6, "it runs at the leader's rate: {}", deviation.rate);
    assert!(deviation.offset_bound >= Span::from_us(5) && deviation.offset_bound < Span::from_us(6));
    assert!((deviation.rate_bound.ppm() - 0.1).abs() < 1e-9);
}

#[test]
fn before_the_lock_the_clock_follows_the_leaders_rate_from_where_it_stands() {
    let mut play = Play::new(World::new());
    assert!(play.discipline.follows(&play.world.view()).is_none(), "nothing to follow");
    play.world = World::good();
    play.world.bounds(900.0, 200.0);
    assert!(play.discipline.follows(&play.world.view()).is_none(), "not known well enough");
    play.world.bounds(900.0, 5.0);
    for ms in [0, 10_000] {
        play.world.now = at(ms);
        play.decide();
        assert!(play.discipline.target().is_none());
        let view = play.world.view();
        let follows = play.discipline.follows(&view).unwrap();
        let leader = view.leader.unwrap().line.at(view.now);
        assert_eq!((follows.at(leader), follows.rate), (view.system.at(view.now), Rate::ZERO));
    }
}

#[test]
fn once_locked_the_clock_follows_its_target_wherever_it_stands() {
    let mut play = Play::locked();
    play.run(Span::from_secs(5));
    play.shift_clock(Span::from_us(80));
    let view = play.world.view();
    let leader = view.leader.unwrap().line.at(view.now);
    let follows = play.discipline.follows(&view).unwrap();
    assert_eq!(follows.at(leader), play.discipline.target().unwrap().line.at(leader));
    assert_eq!(view.system.at(view.now) - follows.at(leader), play.offset());
    assert!((play.offset() - Span::from_us(80)).abs() < Span::from_ns(10), "{}", play.offset());
}

#[test]
fn a_deviation_in_rate_has_the_clocks_sign() {
    let mut play = Play::locked();
    play.world.system.rate = Rate::from_ppm(LEADER_PPM + 3.0);
    let deviation = play.discipline.deviation(&play.world.view()).unwrap();
    assert!((deviation.rate.ppm() - 3.0).abs() < 1e-3, "{}", deviation.rate);
}

#[test]
fn another_timescale_moves_no_clock_and_is_anchored_where_the_clock_stands() {
    let mut play = Play::locked();
    play.run(Span::from_secs(5));
    let before = play.world.system.at(play.world.now);
    let line = Line { a: Timestamp::from_ns(123), rate: Rate::from_ppm(12.0), ..leader(30.0, 9.0) };
    play.world.leader = Some((line, TimescaleId(1), FRESH));
    let decision = play.decide();
    assert_eq!(decision.step, None);
    assert_eq!(play.state(), State::Acquiring);
    assert!(play.discipline.target().is_none(), "the old target says nothing in the new timescale");
    assert!(play.discipline.deviation(&play.world.view()).is_none());
    assert_eq!(play.world.system.at(play.world.now), before);
    // At the lock, after a second at the new rate, the clock stands where it ran to.
    play.world.bounds(5.0, 0.1);
    play.run(RAN_TRUE + Span::from_ms(300));
    assert_eq!(play.state(), State::Locked, "{}", play.reason());
    assert!(play.offset().abs() <= Span::from_ns(2), "{}", play.offset());
    assert_eq!(play.discipline.target().unwrap().timescale, TimescaleId(1));
    let rate = play.decide().rate.unwrap();
    assert!((rate.ppm() - 12.0).abs() < 1e-6, "{rate}");
}

#[test]
fn a_target_waits_for_the_leader_after_a_sleep() {
    let mut play = Play::locked();
    play.world.leader = None;
    play.discipline.wake(play.world.now, Span::from_secs(10));
    assert_eq!(play.decide().rate, None);
    assert!(play.discipline.target().is_some() && play.discipline.is_resuming());
    assert_eq!(play.state(), State::Acquiring);
    play.world.now = play.world.now + NO_LEADER_AFTER;
    play.decide();
    assert_eq!(play.state(), State::Lost);
}

/// The clock off its target by this after an absence; what is decided then.
fn after(absence: Absence, off: Span) -> (Play, Decision) {
    let mut play = Play::locked();
    let target = play.discipline.target().unwrap();
    play.discipline = Discipline::new(&Config::default(), play.world.now);
    play.discipline.resume(target, target.line.b, (true, false), absence);
    play.world.system.a = play.world.system.a + off;
    let decision = play.decide();
    (play, decision)
}

#[test]
fn a_clock_that_was_set_is_stepped_back_onto_its_target_once() {
    let off = Span::from_ms(-400);
    let (mut play, decision) = after(Absence::Set(Span::from_secs(10)), off);
    assert!((decision.step.unwrap() + off).abs() < Span::from_us(1), "{decision:?}");
    let target = play.discipline.target().unwrap().line;
    play.discipline.stepped(-off, -off);
    play.world.system.a = play.world.system.a - off;
    assert_eq!(play.discipline.target().unwrap().line.a, target.a, "the target stays where it is");
    assert_eq!(play.decide().step, None);
    play.world.system.a = play.world.system.a + off;
    assert_eq!(play.decide().step, None, "once");
}

#[test]
fn a_clock_that_ran_on_continues_without_a_step() {
    let (mut play, decision) = after(Absence::RanOn, Span::from_us(4));
    assert_eq!(decision.step, None);
    assert_eq!(play.offset(), Span::from_us(4), "the old target holds");
    play.run(RAN_TRUE + Span::from_ms(300));
    assert_eq!(play.state(), State::Locked, "{}", play.reason());
}

#[test]
fn a_clock_that_somebody_moved_meanwhile_starts_anew() {
    for absence in [Absence::RanOn, Absence::Set(Span::from_ms(10))] {
        let (play, decision) = after(absence, Span::from_ms(50));
        assert_eq!(decision.step, None);
        assert!(play.discipline.target().is_none() && !play.discipline.is_dated(), "{absence:?}");
    }
}

#[test]
fn a_target_that_was_slewed_goes_on_from_where_the_clock_stands() {
    let (play, decision) = after(Absence::Slewed, Span::from_ms(3));
    assert_eq!(decision.step, None);
    assert_eq!(play.offset(), Span::ZERO);
}

#[test]
fn what_was_set_was_not_slewed_on_meanwhile() {
    let mut play = Play::locked();
    let target = play.discipline.target().unwrap();
    // On its way back by 100 ppm; then eight hours of sleep.
    let slewed = Target { line: Line { rate: Rate::from_ppm(-100.0), ..target.line }, ..target };
    play.discipline = Discipline::new(&config(UtcLimit::Within(Span::from_ms(500))), play.world.now);
    play.world.now = play.world.now + Span::from_secs(8 * 3_600);
    let (off, limit) = (Span::from_ms(-400), Span::from_secs(10));
    play.discipline.resume(slewed, target.line.b, (true, true), Absence::Set(limit));
    play.world.system.a = play.world.system.a + off;
    let step = play.decide().step.unwrap();
    assert!((step + off).abs() < Span::from_us(1), "{step}");
}

#[test]
fn a_clock_that_was_set_while_the_leader_began_anew_is_a_start() {
    let mut play = Play::locked();
    play.discipline.wake(play.world.now, Span::from_secs(10));
    play.world.leader.as_mut().unwrap().1 = TimescaleId(1);
    play.shift_clock(Span::from_ms(-400));
    play.world.utc = Some(Span::ZERO);
    assert_eq!(play.decide().step, None);
    let step = play.decide().step.expect("the first fix of a start");
    assert!((step - Span::from_ms(400)).abs() < Span::from_ms(1), "{step}");
    // One that ran on has not moved.
    let mut play = Play::locked();
    play.world.leader.as_mut().unwrap().1 = TimescaleId(1);
    play.world.utc = Some(Span::from_ms(400));
    assert_eq!(play.state_after(Span::from_secs(3)), State::Locked);
}

#[test]
fn on_a_path_that_is_never_known_well_the_clock_is_compared_all_the_same() {
    let mut play = Play::locked();
    let target = play.discipline.target().unwrap();
    play.world.bounds(40.0, 0.1);
    play.discipline = Discipline::new(&Config::default(), play.world.now);
    play.discipline.resume(target, target.line.b, (true, false), Absence::RanOn);
    play.run(Span::from_secs(3));
    assert!(play.discipline.is_resuming(), "it may become known better");
    play.run(Span::from_secs(4));
    assert!(!play.discipline.is_resuming());
}

#[test]
fn with_another_leader_a_slew_begins_gently_again() {
    let mut play = Play::new(World::good());
    play.discipline = after_a_true_second(Discipline::new(&config(UtcLimit::Within(Span::ZERO)), at(0)));
    play.world.utc = Some(Span::from_ms(-900));
    // As it was found: nothing was fixed yet, and the clock is off by less than a late step.
    play.discipline.utc_policy.resume(true, true, Rate::ZERO);
    play.run(Span::from_secs(60));
    let slewing = play.discipline.target().unwrap().line.rate;
    assert!(slewing.ppm().abs() > 10.0, "{slewing}");
    play.world.leader.as_mut().unwrap().1 = TimescaleId(1);
    play.run(Span::from_secs(3));
    let again = play.discipline.target().unwrap().line.rate;
    assert!(again.ppm().abs() <= 1.5, "{again}");
}

#[test]
fn a_step_onto_the_target_that_is_refused_makes_it_a_start() {
    let (mut play, decision) = after(Absence::Set(Span::from_secs(10)), Span::from_ms(-400));
    play.discipline.step_failed(decision.step.unwrap());
    assert!(play.discipline.target().is_none() && !play.discipline.is_dated());
}

#[test]
fn a_foreign_step_is_adopted() {
    for by in [Span::from_secs(1), Span::from_ms(-70)] {
        let mut play = Play::locked();
        play.shift_clock(by);
        play.discipline.adopt_foreign_step(by);
        assert_eq!(play.offset(), Span::ZERO);
        let rate = play.decide().rate.unwrap();
        assert!((rate.ppm() - LEADER_PPM).abs() < 1e-6);
        assert_eq!(play.state(), State::Locked);
    }
    // Without a target there is nothing to move.
    Play::new(World::new()).discipline.adopt_foreign_step(Span::from_secs(1));
}

#[test]
fn the_first_fix_steps_before_the_lock_and_only_once() {
    let mut play = Play::new(World::new());
    play.world.utc = Some(Span::from_ms(-20));
    let decision = play.decide();
    assert_eq!((decision.step, decision.rate), (Some(Span::from_ms(-20)), None));
    assert_eq!(decision.again, play.world.now, "go on at once");
    play.world.utc = Some(Span::from_secs(3));
    assert_eq!(play.decide().step, None);
}

#[test]
fn a_first_fix_within_the_step_threshold_changes_nothing() {
    for (ahead, stepped) in [(1_000, false), (-1_000, false), (1_001, true), (-1_001, true)] {
        let mut play = Play::new(World::new());
        play.world.utc = Some(Span::from_us(ahead));
        assert_eq!(play.decide().step.is_some(), stepped, "{ahead} µs");
    }
}

#[test]
fn a_late_first_fix_steps_the_target_along_so_that_the_lock_stays() {
    let mut play = Play::locked();
    play.world.utc = Some(Span::from_secs(3_600));
    assert_eq!(play.decide().step, Some(Span::from_secs(3_600)));
    play.decide();
    assert_eq!((play.state(), play.offset()), (State::Locked, Span::ZERO));
}

#[test]
fn a_late_first_fix_below_a_second_slews_and_comes_to_an_end() {
    for ahead in [Span::from_ms(2), Span::from_ms(-2)] {
        let mut play = Play::locked();
        play.world.utc = Some(ahead);
        assert_eq!(play.decide().step, None);
        play.run(Span::from_secs(5));
        let slew = play.discipline.target().unwrap().line.rate.ppm();
        assert!(slew.abs() > 0.1 && slew.abs() < 101.0, "{slew}");
        assert_eq!(slew > 0.0, ahead > Span::ZERO);
        assert_eq!(play.state(), State::Locked, "a slew is a slew of the target");
        play.run(Span::from_secs(1_800));
        assert_eq!(play.discipline.target().unwrap().line.rate, Rate::ZERO, "the leader's exact rate again");
        let error = play.world.system.at(play.world.now).as_ns() - play.world.utc_now(ahead);
        assert!(error.abs() < 500_000, "{error}");
        assert_eq!(play.state(), State::Locked);
    }
}

#[test]
fn a_step_that_failed_leaves_the_target_and_may_be_tried_again() {
    let mut play = Play::locked();
    let before = play.discipline.target().unwrap().line.a;
    play.world.utc = Some(Span::from_secs(5));
    let step = play.discipline.decide(&play.world.view()).step.expect("a late first fix of 5 s steps");
    play.discipline.step_failed(step);
    assert_eq!(play.discipline.target().unwrap().line.a, before);
    assert_eq!(play.discipline.decide(&play.world.view()).step, Some(step), "tried again");
}
