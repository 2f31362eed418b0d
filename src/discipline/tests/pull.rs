//! How fast the clock is brought where it belongs: the slew law.

use super::*;

#[test]
fn a_rate_that_is_hardly_known_is_not_applied() {
    let mut play = Play::new(World::good());
    play.world.bounds(900.0, 200.0);
    assert_eq!(play.decide().rate, None);
    assert_eq!(play.discipline.learned_rate(&play.world.view()), None);
    play.world.bounds(900.0, 5.0);
    let rate = play.decide().rate.unwrap();
    assert!((rate.ppm() - LEADER_PPM).abs() < 1e-9, "no phase to pull at yet: {rate}");
}

#[test]
fn a_clock_that_is_ahead_is_slowed_and_one_behind_is_sped_up() {
    let pull = |by_us| {
        let mut play = Play::locked();
        play.shift_clock(Span::from_us(by_us));
        play.decide().rate.unwrap().ppm() - LEADER_PPM
    };
    assert!(pull(1) < -1e-4 && pull(-1) > 1e-4, "{} {}", pull(1), pull(-1));
    assert!(pull(0).abs() < 1e-9);
    // In proportion while small.
    assert!((pull(2) / pull(1) - 2.0).abs() < 1e-3);
}

#[test]
fn the_pull_is_limited_to_what_a_lock_allows_and_to_more_without_one() {
    // Locked: 80 µs are inside the outer bound.
    for sign in [1, -1] {
        let mut play = Play::locked();
        play.shift_clock(Span::from_us(sign * 80));
        let pull = play.decide().rate.unwrap().ppm() - LEADER_PPM;
        assert_eq!(play.state(), State::Locked);
        assert!((pull.abs() - PULL_GENTLE.ppm()).abs() < 1e-3 && pull.signum() as i64 == -sign, "{pull}");
        play.decide();
        assert_eq!(play.state(), State::Locked, "the pull itself does not end the lock");
        // Not locked: 10 ms off.
        play.shift_clock(Span::from_ms(sign * 10));
        let pull = play.decide().rate.unwrap().ppm() - LEADER_PPM;
        assert_eq!(play.state(), State::Acquiring);
        assert!((pull.abs() - 20.0).abs() < 0.01 && pull.signum() as i64 == -sign, "{pull}");
    }
}

#[test]
fn an_offset_is_pulled_in_without_ringing() {
    for by_us in [90, -90, 500, -500] {
        let mut play = Play::locked();
        play.shift_clock(Span::from_us(by_us));
        let mut last = Span::from_us(by_us);
        for _ in 0..600 {
            play.run(Span::from_secs(1));
            let offset = play.offset();
            let other_side = offset.as_ns() * by_us < 0;
            assert!(offset.abs() <= last.abs() && (!other_side || offset.abs() < Span::from_ns(500)));
            last = offset;
        }
        assert!(last.abs() < Span::from_us(3), "{last}");
        assert_eq!(play.state(), State::Locked);
    }
}

#[test]
fn a_phase_that_is_uncertain_is_pulled_in_more_slowly() {
    let pull = |phase_us| {
        let mut play = Play::locked();
        play.world.bounds(phase_us, 0.2);
        play.shift_clock(Span::from_ns(500));
        (play.decide().rate.unwrap().ppm() - LEADER_PPM).abs()
    };
    assert!(pull(1.0) > 2.0 * pull(8.0), "{} {}", pull(1.0), pull(8.0));
    // In proportion to the uncertainty, where that makes neither haste nor delay.
    assert!((pull(3.0) / pull(6.0) - 2.0).abs() < 0.01, "{} {}", pull(3.0), pull(6.0));
}

#[test]
fn the_rate_left_behind_is_the_leaders_without_the_pull() {
    let mut play = Play::locked();
    play.shift_clock(Span::from_us(90));
    assert!((play.decide().rate.unwrap().ppm() - LEADER_PPM).abs() > 0.1);
    let learned = play.discipline.learned_rate(&play.world.view()).unwrap();
    assert!((learned.ppm() - LEADER_PPM).abs() < 1e-9);
}

/// Locked, and then the leader's rate is said to be `ppm`, within so much.
fn told_of_a_rate(play: &mut Play, ppm: f64, bound_ppm: f64) -> f64 {
    let (line, ..) = play.world.leader.as_mut().unwrap();
    *line = Line { rate: Rate::from_ppm(ppm), ..line.moved_to(play.world.now) };
    play.world.bounds(5.0, bound_ppm);
    play.decide().rate.unwrap().ppm()
}

#[test]
fn a_rate_in_doubt_is_not_applied_as_long_as_the_sure_one_explains_it() {
    for sign in [1.0, -1.0] {
        let mut play = Play::locked();
        let kept = told_of_a_rate(&mut play, LEADER_PPM + sign * 5.4, 3.0);
        assert!((kept - LEADER_PPM).abs() < 1e-6, "6 deviations are 5.47 ppm: {kept}");
        let applied = told_of_a_rate(&mut play, LEADER_PPM + sign * 5.6, 3.0);
        assert!((applied - LEADER_PPM - sign * 5.6).abs() < 1e-3, "that is more: {applied}");
        // Once given up, the old rate does not come back with a new doubt.
        let applied = told_of_a_rate(&mut play, LEADER_PPM + sign * 1.0, 3.0);
        assert!((applied - LEADER_PPM - sign * 1.0).abs() < 1e-3, "{applied}");
    }
}

/// Locked, silent for a minute, and `off_us` off when the leader is heard again.
fn back_from_silence(off_us: i64, phase_bound_us: f64) -> Play {
    let mut play = Play::locked();
    play.world.age(Span::from_secs(60));
    play.decide();
    assert_eq!(play.state(), State::Holdover);
    play.world.age(FRESH);
    play.shift_clock(Span::from_us(off_us));
    play.world.bounds(phase_bound_us, 0.6);
    play
}

#[test]
fn after_a_silence_what_is_beyond_doubt_is_pulled_in_fast() {
    for sign in [1, -1] {
        let pull = |play: &mut Play| {
            (play.decide().rate.unwrap().ppm() - LEADER_PPM) * -Span::from_ns(sign).as_ns_f64()
        };
        let mut play = back_from_silence(100 * sign, 5.0);
        assert!((pull(&mut play) - PULL_FAST.ppm()).abs() < 0.01);
        // 10 µs, of which twice the deviation of 5 / 3.29 µs are in doubt; no lock yet, for the rate's sake.
        play.shift_clock(Span::from_us(-90 * sign));
        let doubt = 2.0 * 5.0 / BOUND_SIGMAS;
        let fast = pull(&mut play);
        assert!((fast - (10.0 - doubt) / TAU_FAST).abs() < 0.01, "{fast}");
        // Within the bound nothing is beyond doubt any more.
        play.shift_clock(Span::from_us(-6 * sign));
        let slow = pull(&mut play);
        assert!(slow > 0.0 && slow <= PULL_GENTLE.ppm() + 1e-3, "{slow}");
        play.shift_clock(Span::from_us(20 * sign));
        let slow = pull(&mut play);
        assert!((slow - gentle(24e-6).ppm()).abs() < 1e-3, "it does not begin again: {slow}");
    }
}

#[test]
fn a_phase_that_is_not_known_yet_keeps_the_haste_after_a_silence() {
    let mut play = back_from_silence(20, 40.0);
    play.decide();
    play.world.bounds(5.0, 0.6);
    let pull = LEADER_PPM - play.decide().rate.unwrap().ppm();
    assert!(pull > 10.0, "{pull}");
}

#[test]
fn the_less_a_locked_clock_is_off_the_less_it_is_hurried() {
    let pull = |off_us: i64| {
        let mut play = Play::locked();
        // By these alone it would be taken out in 5 s.
        play.world.bounds(1.0, 0.2);
        play.shift_clock(Span::from_us(off_us));
        LEADER_PPM - play.decide().rate.unwrap().ppm()
    };
    let (few, path) = (pull(4), pull(36));
    assert!((few - 0.093).abs() < 0.01, "{few}");
    assert!((path - PULL_GENTLE.ppm()).abs() < 0.01, "{path}");
}

#[test]
fn an_offset_alone_makes_no_haste() {
    // Whether or not it hinders a lock.
    for offset_us in [40, 60] {
        let mut play = Play::locked();
        play.shift_clock(Span::from_us(offset_us));
        (play.discipline.state, play.discipline.true_since) = (State::Acquiring, None);
        let pull = LEADER_PPM - play.decide().rate.unwrap().ppm();
        assert!((pull - PULL_GENTLE.ppm()).abs() < 0.01, "{pull}");
    }
}
