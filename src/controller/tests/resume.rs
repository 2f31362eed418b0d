//! Restarts, sleeps and pauses, as the controller meets them.

use super::*;
use crate::state::SavedState;

/// Ends the program as it should end, lets `seconds` pass and starts it again with what it left, as read from the
/// file; `meanwhile` changes the world.
fn restarted(mut play: Play, seconds: i64, meanwhile: impl FnOnce(&mut World)) -> Play {
    play.controller.shut_down();
    let left = play.controller.state().expect("something to leave");
    started_again(play, &left, seconds, meanwhile)
}

/// Starts it again with what it had saved some time before its end.
fn started_again(play: Play, left: &SavedState, seconds: i64, meanwhile: impl FnOnce(&mut World)) -> Play {
    let saved = SavedState::from_json(&left.to_json()).unwrap();
    let Play { world, log, _guard, .. } = play;
    {
        let mut world = world.borrow_mut();
        world.raw += seconds * SECOND;
        world.sync_at += seconds * SECOND;
        world.sequence = world.sequence.wrapping_add(u16::try_from(seconds * 4).unwrap());
        world.datagrams.clear();
        world.ntp_events.clear();
        world.commands.clear();
        meanwhile(&mut world);
    }
    let backends = (FakeNetwork(Rc::clone(&world)), FakeClock(Rc::clone(&world)), FakeNtp(Rc::clone(&world)));
    let mut controller = PtpController::new(config(), backends.0, backends.1, backends.2, 8);
    controller.resume(&saved);
    log.clear();
    Play { world, controller, log, _guard }
}

fn settled() -> Play {
    let mut play = Play::locked();
    play.run(120);
    play
}

/// The computer, or the program's view of it, stands still for `seconds`.
fn stand_still(world: &mut World, seconds: i64) {
    world.leader.a = world.leader.a + Span::from_secs(seconds);
    world.sequence = world.sequence.wrapping_add(u16::try_from(seconds * 4).unwrap());
    world.ntp_ahead += seconds * SECOND;
    world.datagrams.clear();
    world.ntp_events.clear();
}

/// What the system clock shall be when the leader's time is `leader`.
fn target_at(play: &Play, leader: Timestamp<Leader>) -> Timestamp<System> {
    play.snapshot().target.expect("a target").at(leader)
}

#[test]
fn a_restart_goes_on_with_the_old_target_and_locks_in_seconds() {
    let play = settled();
    let later = play.world.borrow().leader.a + Span::from_secs(1_000);
    let expected = target_at(&play, later);
    let mut play = restarted(play, 10, |_| {});
    let took = play.until(5, |snapshot| snapshot.state == State::Locked);
    assert!(took < 3 * SECOND, "{took}");
    play.run(60);
    assert_eq!(target_at(&play, later), expected);
    assert_eq!(play.steps(), []);
    assert!(play.snapshot().offset.unwrap().value_ns.abs() < 5_000.0, "{:?}", play.snapshot().offset);
    assert_eq!(play.log.count("going on where the last run left off"), 1, "{:?}", play.log.lines());
    assert_eq!(play.log.count("WARN"), 0, "{:?}", play.log.lines());
}

#[test]
fn after_a_kill_the_clock_says_where_the_line_has_gone_since_it_was_saved() {
    let mut play = settled();
    let left = play.controller.state().expect("something to leave");
    {
        // Within what an oscillator wanders in 200 s: the saved line misses the leader by 8 µs then.
        let mut world = play.world.borrow_mut();
        let now = Timestamp::from_ns(world.raw);
        world.leader = Line { rate: world.leader.rate + Rate::from_ppm(0.04), ..world.leader.moved_to(now) };
    }
    play.run(200);
    let play = started_again(play, &left, 0, |_| {});
    let (now, world) = (play.controller.now, play.world.borrow());
    let miss = |line: Line<Leader, Raw>| (line.at(now) - world.leader.at(now)).abs();
    assert!(miss(left.prior().line) > Span::from_us(6), "{}", miss(left.prior().line));
    let line = play.controller.leader.line(now).unwrap();
    assert!(miss(line) < Span::from_us(2), "{}", miss(line));
    // How well it is known, the clock cannot say.
    assert!(line.sigma > Span::from_us(2), "{}", line.sigma);
}

#[test]
fn a_state_of_another_time_of_the_leader_is_a_start_like_any_other() {
    let mut play = restarted(settled(), 10, |world| {
        world.leader.a = world.leader.a - Span::from_secs(900_000);
    });
    play.until(60, |snapshot| snapshot.state == State::Locked);
    assert_eq!(play.log.count("starting anew"), 1, "{:?}", play.log.lines());
    // Following the leader has led the clock off UTC meanwhile.
    assert_eq!(play.steps().len(), 1);
}

#[test]
fn a_clock_that_was_moved_while_the_program_was_down_is_set_as_at_a_start() {
    let mut play = restarted(settled(), 10, |world| {
        world.step_by_somebody_else(Span::from_ms(-70));
    });
    play.run(20);
    let [step] = play.steps()[..] else { panic!("{:?}", play.steps()) };
    assert!((step - Span::from_ms(70)).abs() < Span::from_ms(10), "{step}");
}

#[test]
fn a_date_that_contradicts_the_last_runs_counts_as_the_first_of_this_boot() {
    for (ahead_ms, steps) in [(0, 0), (300, 0), (3_000, 1)] {
        let mut play = restarted(settled(), 10, |world| world.ntp_ahead = ahead_ms * MS);
        play.run(30);
        assert_eq!(play.steps().len(), steps, "{ahead_ms}: {:?}", play.steps());
        let warned = play.log.count("what the last run knew");
        assert_eq!(warned, usize::from(ahead_ms > 0), "{ahead_ms}: {:?}", play.log.lines());
        assert_eq!(play.snapshot().state, State::Locked, "{ahead_ms}");
    }
}

#[test]
fn after_a_boot_the_target_gives_one_step_and_the_date_none() {
    let play = settled();
    let later = play.world.borrow().leader.a + Span::from_secs(1_000);
    let expected = target_at(&play, later);
    let mut play = restarted(play, 60, |world| {
        let now = Timestamp::from_ns(world.raw);
        let raw = Timestamp::from_ns(20 * SECOND);
        // The raw clock begins anew and is 3 ppm off what it was; the system clock was set 0.4 s late.
        world.system = Line::exact(world.system.at(now) - Span::from_ms(400), raw, Rate::ZERO);
        world.leader = Line::exact(world.leader.at(now), raw, Rate::from_ppm(LEADER_PPM - 3.0));
        world.ntp_ahead = now.as_ns() - raw.as_ns();
        (world.raw, world.sync_at, world.boot) = (raw.as_ns(), raw.as_ns() + 100 * MS, 2);
    });
    play.until(60, |snapshot| snapshot.state == State::Locked);
    play.run(60);
    let [step] = play.steps()[..] else { panic!("{:?}", play.steps()) };
    assert!((step - Span::from_ms(400)).abs() < Span::from_ms(5), "{step}");
    assert_eq!(target_at(&play, later), expected);
    assert_eq!(play.log.count("before the boot"), 1, "{:?}", play.log.lines());
}

#[test]
fn a_sleep_is_told_and_ends_with_one_step_onto_the_old_target() {
    let mut play = settled();
    let later = play.world.borrow().leader.a + Span::from_secs(2_000);
    let (expected, steps) = (target_at(&play, later), play.steps().len());
    {
        let mut world = play.world.borrow_mut();
        stand_still(&mut world, 600);
        // What the kernel set the clock to is 0.4 s late.
        world.step_by_somebody_else(Span::from_ms(600_000 - 400));
        world.slept = Some(Span::from_secs(600));
    }
    play.controller.turn();
    assert_ne!(play.snapshot().state, State::Locked, "nothing is claimed before the leader was heard");
    play.until(10, |snapshot| snapshot.state == State::Locked);
    let [.., step] = play.steps()[..] else { panic!() };
    assert!((step - Span::from_ms(400)).abs() < Span::from_us(50), "{step}");
    play.run(60);
    assert_eq!(play.steps().len(), steps + 1, "NTP adds none");
    assert_eq!(target_at(&play, later), expected);
    assert_eq!(play.log.count("the computer has slept"), 1, "{:?}", play.log.lines());
    assert_eq!(play.events(EventKind::Sleep), ["the computer has slept for 600.0 s"]);
    assert_eq!((play.log.count("another program"), play.snapshot().foreign_changes), (0, 0));
}

#[test]
fn a_pause_that_no_clock_tells_is_seen_by_the_leader_and_ends_with_one_step() {
    let mut play = settled();
    let later = play.world.borrow().leader.a + Span::from_secs(2_000);
    let (expected, steps) = (target_at(&play, later), play.steps().len());
    stand_still(&mut play.world.borrow_mut(), 600);
    play.run(20);
    assert_eq!(play.snapshot().state, State::Locked, "{:?}", play.snapshot());
    let [.., step] = play.steps()[..] else { panic!() };
    assert!((step - Span::from_secs(600)).abs() < Span::from_us(50), "{step}");
    assert_eq!(play.steps().len(), steps + 1);
    assert_eq!(target_at(&play, later), expected);
    assert_eq!(play.log.count("stood still"), 1, "{:?}", play.log.lines());
    assert_eq!(play.events(EventKind::Sleep), ["this computer stood still for 600.0 s"]);
}

#[test]
fn a_leader_that_only_claims_a_later_time_does_not_move_the_clock() {
    let mut play = settled();
    let steps = play.steps().len();
    {
        let mut world = play.world.borrow_mut();
        world.leader.a = world.leader.a + Span::from_secs(600);
    }
    play.run(30);
    assert_eq!(play.steps().len(), steps);
    assert!(play.utc_error().abs() < 20 * MS, "{}", play.utc_error());
}

#[test]
fn the_state_is_due_at_the_lock_every_five_minutes_and_when_the_target_moves() {
    let mut play = Play::new();
    let mut due = Vec::new();
    let mut run = |play: &mut Play, seconds: i64| {
        let mut saved = 0;
        let end = play.world.borrow().raw + seconds * SECOND;
        while play.world.borrow().raw < end {
            play.controller.turn();
            saved += usize::from(play.controller.state_due().is_some());
        }
        due.push(saved);
    };
    run(&mut play, 60);
    run(&mut play, 620);
    play.world.borrow_mut().step_by_somebody_else(Span::from_ms(50));
    run(&mut play, 20);
    assert_eq!(due, [1, 2, 1]);
}

#[test]
fn before_a_lock_and_in_a_conflict_there_is_nothing_to_save() {
    let mut play = Play::new();
    play.run(2);
    assert_eq!(play.controller.state(), None);
    let mut play = settled();
    for _ in 0..4 {
        play.world.borrow_mut().step_by_somebody_else(Span::from_ms(50));
        play.run(2);
    }
    assert_eq!(play.snapshot().state, State::Conflict);
    assert_eq!((play.controller.state_due(), play.controller.state()), (None, None));
}

#[test]
fn another_counter_under_the_clocks_is_told_and_ends_the_lock_until_its_rate_is_known() {
    let mut play = settled();
    let steps = play.snapshot().steps;
    play.world.borrow_mut().counter = "hpet";
    play.until(2, |snapshot| snapshot.state == State::Acquiring);
    assert!(play.log.count("hpet") >= 1, "{:?}", play.log.lines());
    play.until(20, |snapshot| snapshot.state == State::Locked);
    assert_eq!(play.snapshot().steps, steps);
    let told = play.log.count("hpet");
    play.run(10);
    assert_eq!(play.log.count("hpet"), told, "once");
}
