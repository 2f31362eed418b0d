//! States, slew law, target and steps, on values made by hand.

#![allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "tests")]

use super::*;
use crate::config::UtcLimit;

const UTC_0: i64 = 1_800_000_000_000_000_000;
const LEADER_PPM: f64 = 40.0;
const INTERVAL: Span = Span::from_ms(250);

/// What the world looks like in a test; `view` makes the discipline's view of it.
#[derive(Clone, Copy)]
struct World {
    now: Timestamp<Raw>,
    system: Line<System, Raw>,
    /// Where the leader stands, what its uncertainties are, and how old its last sample is.
    leader: Option<(Line<Leader, Raw>, TimescaleId, Span)>,
    interval: Span,
    jitter: Span,
    /// UTC minus the system clock at the start.
    utc: Option<Span>,
    conflict: bool,
    obeys: bool,
}

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::from_ns(ms * 1_000_000)
}

/// A leader whose bounds are these.
fn leader(phase_bound_us: f64, rate_bound_ppm: f64) -> Line<Leader, Raw> {
    Line {
        sigma: Span::from_ns_f64(phase_bound_us * 1e3 / BOUND_SIGMAS),
        rate_sigma: Rate::from_ppm(rate_bound_ppm / BOUND_SIGMAS),
        ..Line::exact(Timestamp::from_ns(7_000_000_000_000), at(0), Rate::from_ppm(LEADER_PPM))
    }
}

const FRESH: Span = Span::from_ms(100);

impl World {
    fn new() -> Self {
        Self {
            now: at(0),
            // As the program finds it where it ran before: at the leader's rate.
            system: Line::exact(Timestamp::from_ns(UTC_0), at(0), Rate::from_ppm(LEADER_PPM)),
            leader: None,
            interval: INTERVAL,
            jitter: Span::from_us(20),
            utc: None,
            conflict: false,
            obeys: true,
        }
    }

    /// With a leader that is good enough to lock on.
    fn good() -> Self {
        Self { leader: Some((leader(5.0, 0.1), TimescaleId(0), FRESH)), ..Self::new() }
    }

    fn bounds(&mut self, phase_bound_us: f64, rate_bound_ppm: f64) {
        let (line, ..) = self.leader.as_mut().unwrap();
        let bounded = leader(phase_bound_us, rate_bound_ppm);
        (line.sigma, line.rate_sigma) = (bounded.sigma, bounded.rate_sigma);
    }

    fn age(&mut self, age: Span) {
        self.leader.as_mut().unwrap().2 = age;
    }

    /// UTC is `ahead` of the clock as it stood at the start, and runs at the leader's rate.
    fn utc_now(&self, ahead: Span) -> i64 {
        let elapsed = self.now - at(0);
        UTC_0 + (elapsed + Rate::from_ppm(LEADER_PPM).gain_over(elapsed) + ahead).as_ns()
    }

    fn view(&self) -> View {
        View {
            local: Span::ZERO,
            now: self.now,
            system: self.system.moved_to(self.now),
            excess: Rate::ZERO,
            leader: self.leader.map(|(line, timescale, age)| LeaderNow {
                line: line.moved_to(self.now),
                timescale,
                last_sample: self.now - age,
                interval: self.interval,
                jitter: self.jitter,
            }),
            utc: self.utc.map(|ahead| UtcEstimate {
                utc: Timestamp::from_ns(self.utc_now(ahead)),
                sigma: Span::from_us(50),
                path_unknown: Span::from_ms(5),
                root_distance: Span::ZERO,
                rate: (Rate::ZERO, Rate::from_ppm(0.01)),
                on_leader: true,
            }),
            conflict: self.conflict,
            clock_obeys: self.obeys,
        }
    }
}

/// A lock needs a clock that has run true for a second: as if it had.
fn after_a_true_second(mut discipline: Discipline) -> Discipline {
    discipline.true_since = Some(at(0) - RAN_TRUE);
    discipline
}

/// A discipline in its world, which obeys it.
struct Play {
    world: World,
    discipline: Discipline,
}

impl Play {
    fn new(world: World) -> Self {
        Self { world, discipline: after_a_true_second(Discipline::new(&config(UtcLimit::None), world.now)) }
    }

    fn locked() -> Self {
        let mut play = Self::new(World::good());
        play.decide();
        assert_eq!(play.state(), State::Locked);
        play
    }

    /// Decides now and carries it out.
    fn decide(&mut self) -> Decision {
        let decision = self.discipline.decide(&self.world.view());
        if let Some(by) = decision.step {
            self.world.system.a = self.world.system.a + by;
        }
        if let Some(rate) = decision.rate {
            self.world.system = Line { rate, ..self.world.system.moved_to(self.world.now) };
        }
        decision
    }

    /// Decides whenever it is due, for so long.
    fn run(&mut self, span: Span) {
        let end = self.world.now + span;
        while self.world.now < end {
            let again = self.decide().again.max(self.world.now + Span::from_ms(1)).min(end);
            self.world.now = again;
        }
    }

    fn state(&self) -> State {
        self.discipline.state().0
    }

    fn state_after(&mut self, span: Span) -> State {
        self.run(span);
        self.state()
    }

    fn reason(&self) -> &str {
        self.discipline.state().2
    }

    fn offset(&self) -> Span {
        self.discipline.deviation(&self.world.view()).unwrap().offset
    }

    fn shift_clock(&mut self, by: Span) {
        self.world.system.a = self.world.system.a + by;
    }
}

fn config(utc_limit: UtcLimit) -> Config {
    Config { utc_limit, ..Config::default() }
}

#[test]
fn without_a_leader_it_starts_and_after_five_seconds_says_so() {
    let mut play = Play::new(World::new());
    assert_eq!(play.state(), State::Starting);
    for (ms, state) in [(0, State::Starting), (4_999, State::Starting), (5_000, State::NoLeader)] {
        play.world.now = at(ms);
        assert_eq!(play.decide().rate, None, "nothing to steer by");
        assert_eq!(play.state(), state, "{ms} ms");
        assert!(play.reason().contains("no PTPv1 leader"));
    }
    assert_eq!(play.discipline.state().1, at(5_000), "when it was entered");
}

#[test]
fn a_state_is_dated_from_its_beginning() {
    let mut play = Play::locked();
    play.run(Span::from_secs(10));
    assert_eq!(play.discipline.state(), (State::Locked, at(0), ""));
}

#[test]
fn locked_is_entered_inside_the_inner_bounds_only() {
    for (phase_us, rate_ppm, state) in [
        (49.0, 0.49, State::Locked),
        (51.0, 0.49, State::Acquiring),
        (49.0, 0.51, State::Acquiring),
        (99.0, 0.1, State::Acquiring),
        (1.0, 0.99, State::Acquiring),
    ] {
        let mut play = Play::new(World::good());
        play.world.bounds(phase_us, rate_ppm);
        play.decide();
        assert_eq!(play.state(), state, "{phase_us} µs, {rate_ppm} ppm: {}", play.reason());
        assert_eq!(play.reason().is_empty(), state == State::Locked);
        assert_eq!(play.discipline.target().is_some(), state == State::Locked);
    }
}

#[test]
fn locked_is_left_outside_the_outer_bounds_only() {
    for (phase_us, rate_ppm, state) in
        [(99.0, 0.99, State::Locked), (101.0, 0.1, State::Acquiring), (1.0, 1.01, State::Acquiring)]
    {
        let mut play = Play::locked();
        play.world.bounds(phase_us, rate_ppm);
        play.decide();
        assert_eq!(play.state(), state, "{phase_us} µs, {rate_ppm} ppm");
    }
}

#[test]
fn a_clock_that_does_not_run_as_told_is_not_locked() {
    for (off_ppm, state) in [(0.49, State::Locked), (0.51, State::Acquiring), (40.0, State::Acquiring)] {
        for off_ppm in [off_ppm, -off_ppm] {
            // Before the first lock, against the leader; and then for a second.
            let mut play = Play::new(World::good());
            play.world.system.rate = Rate::from_ppm(LEADER_PPM + off_ppm);
            play.decide();
            assert_eq!(play.state(), state, "{off_ppm} ppm: {}", play.reason());
            assert_eq!(play.reason().contains("pulled in"), state != State::Locked, "{}", play.reason());
            play.run(RAN_TRUE.half());
            assert_eq!(play.state(), state, "told, but not for long: {}", play.reason());
            play.run(RAN_TRUE);
            assert_eq!(play.state(), State::Locked, "told for a second: {}", play.reason());
        }
    }
}

#[test]
fn a_locked_clock_that_stops_running_as_told_is_not_locked_any_more() {
    for (off_ppm, state) in [(0.99, State::Locked), (1.01, State::Acquiring), (-50.0, State::Acquiring)] {
        let mut play = Play::locked();
        play.world.system.rate = Rate::from_ppm(LEADER_PPM + off_ppm);
        play.decide();
        assert_eq!(play.state(), state, "{off_ppm} ppm: {}", play.reason());
        play.run(Span::from_secs(5));
        assert_eq!(play.state(), State::Locked, "{}", play.reason());
    }
}

#[test]
fn a_clock_that_is_never_set_is_never_locked() {
    let mut play = Play::new(World::good());
    play.world.system.rate = Rate::ZERO;
    for second in 0..60 {
        play.world.now = at(1_000 * second);
        // What it decides is not carried out.
        assert!(play.discipline.decide(&play.world.view()).rate.is_some());
        assert_eq!(play.state(), State::Acquiring);
        assert!(play.discipline.target().is_none());
    }
}

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
fn the_reason_names_what_is_known_and_what_is_needed() {
    let mut play = Play::new(World::good());
    play.world.bounds(5.0, 3.0);
    play.decide();
    assert!(play.reason().contains("±3.00 ppm, 0.5 needed"), "{}", play.reason());
    play.world.bounds(80.0, 0.1);
    play.decide();
    assert!(play.reason().contains("± 80.0 µs off the leader, 50 allowed"), "{}", play.reason());
}

#[test]
fn an_offset_counts_against_the_phase_bound() {
    for by_us in [120, -120] {
        let mut play = Play::locked();
        play.shift_clock(Span::from_us(by_us));
        play.decide();
        assert_eq!(play.state(), State::Acquiring);
        assert!(play.reason().contains("100 allowed"), "{}", play.reason());
        // 70 µs would have kept a lock, and are not enough to find it again.
        play.shift_clock(Span::from_us(-by_us * 5 / 12));
        play.decide();
        assert_eq!(play.state(), State::Acquiring, "{}", play.offset());
        play.run(Span::from_secs(120));
        assert_eq!(play.state(), State::Locked, "{}", play.offset());
    }
}

#[test]
fn the_age_limit_is_ten_intervals_within_two_and_a_half_and_four_and_a_half_seconds() {
    for (interval_ms, limit_ms) in
        [(1, 2_500), (250, 2_500), (300, 3_000), (450, 4_500), (1_000, 4_500), (16_000, 4_500)]
    {
        let interval = Span::from_ms(interval_ms);
        assert_eq!(age_limit(interval), Span::from_ms(limit_ms));
        for (age_ms, state) in [(limit_ms, State::Locked), (limit_ms + 1, State::Holdover)] {
            let mut play = Play::locked();
            play.world.interval = interval;
            play.world.age(Span::from_ms(age_ms));
            play.decide();
            assert_eq!(play.state(), state, "interval {interval_ms} ms, age {age_ms} ms");
        }
    }
}

#[test]
fn silence_is_holdover_while_the_bounds_hold_and_lost_afterwards() {
    let mut play = Play::locked();
    play.world.age(Span::from_secs(60));
    for (phase_us, rate_ppm, state) in
        [(99.0, 0.99, State::Holdover), (101.0, 0.5, State::Lost), (5.0, 1.01, State::Lost)]
    {
        play.world.bounds(phase_us, rate_ppm);
        play.decide();
        assert_eq!(play.state(), state, "{phase_us} µs, {rate_ppm} ppm");
        assert!(play.reason().contains("silent for 60.0 s"), "{}", play.reason());
    }
    play.world.bounds(5.0, 0.1);
    play.world.age(FRESH);
    play.decide();
    assert_eq!(play.state(), State::Locked);
}

#[test]
fn a_leader_that_fell_silent_before_the_lock_is_lost() {
    let mut play = Play::new(World::good());
    play.world.age(Span::from_secs(5));
    play.decide();
    assert_eq!(play.state(), State::Lost);
}

#[test]
fn in_holdover_the_rate_goes_on() {
    let mut play = Play::locked();
    play.world.age(Span::from_secs(60));
    let rate = play.decide().rate.unwrap();
    assert!((rate.ppm() - LEADER_PPM).abs() < 1e-3, "{rate}");
}

#[test]
fn silence_is_looked_for_the_moment_it_begins() {
    let mut play = Play::locked();
    play.world.age(Span::from_ms(2_400));
    let again = play.decide().again;
    assert!(again - play.world.now <= Span::from_ms(101), "{}", again - play.world.now);
    play.world.now = again;
    play.world.age(Span::from_ms(2_400) + (again - at(0)));
    play.decide();
    assert_eq!(play.state(), State::Holdover);
}

#[test]
fn silence_that_has_begun_makes_no_haste() {
    let mut play = Play::locked();
    play.world.age(Span::from_secs(60));
    let again = play.decide().again;
    assert_eq!(play.state(), State::Holdover);
    assert!(again - play.world.now >= Span::from_ms(100), "a busy loop: {}", again - play.world.now);
}

#[test]
fn unlocked_it_decides_more_often_than_locked() {
    let locked = { Play::locked().decide().again };
    let mut play = Play::new(World::good());
    play.world.bounds(500.0, 9.0);
    let unlocked = play.decide().again;
    assert!(at(0) < unlocked && unlocked < locked, "{unlocked:?} {locked:?}");
}

#[test]
fn in_a_conflict_nothing_is_steered() {
    let mut play = Play::locked();
    play.world.conflict = true;
    play.shift_clock(Span::from_us(80));
    play.world.utc = Some(Span::from_secs(5));
    let decision = play.decide();
    assert_eq!((decision.rate, decision.step), (None, None));
    assert_eq!(play.state(), State::Conflict);
    play.world.conflict = false;
    play.world.utc = None;
    play.run(Span::from_secs(30));
    assert_eq!(play.state(), State::Locked);
}

#[test]
fn a_clock_that_does_not_obey_is_not_locked_but_still_told() {
    let mut play = Play::locked();
    play.world.obeys = false;
    assert!(play.decide().rate.is_some());
    assert_eq!((play.state(), play.reason()), (State::Acquiring, "the system clock cannot be set"));
}

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
fn a_leader_is_heard_until_its_last_sample_is_too_old() {
    let play = Play::locked();
    let leader = play.world.view().leader.unwrap();
    let limit = age_limit(leader.interval);
    assert!(leader.is_heard(leader.last_sample + limit));
    assert!(!leader.is_heard(leader.last_sample + limit + Span::from_ns(1)));
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
    play.discipline.resume(target, true, false, absence);
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
fn the_rate_left_behind_is_the_leaders_without_the_pull() {
    let mut play = Play::locked();
    play.shift_clock(Span::from_us(90));
    assert!((play.decide().rate.unwrap().ppm() - LEADER_PPM).abs() > 0.1);
    let learned = play.discipline.learned_rate(&play.world.view()).unwrap();
    assert!((learned.ppm() - LEADER_PPM).abs() < 1e-9);
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
        let kept = told_of_a_rate(&mut play, LEADER_PPM + sign * 2.9, 3.0);
        assert!((kept - LEADER_PPM).abs() < 1e-6, "the doubt covers it: {kept}");
        let applied = told_of_a_rate(&mut play, LEADER_PPM + sign * 3.1, 3.0);
        assert!((applied - LEADER_PPM - sign * 3.1).abs() < 1e-3, "it does not: {applied}");
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

#[test]
fn jitter_widens_what_ends_a_lock_and_not_what_begins_it() {
    let mut play = Play::locked();
    play.world.bounds(150.0, 0.1);
    assert_eq!(play.state_after(Span::from_secs(2)), State::Acquiring);
    let mut play = Play::locked();
    play.world.jitter = Span::from_us(400);
    play.world.bounds(150.0, 1.5);
    assert_eq!(play.state_after(Span::from_secs(2)), State::Locked);
    play.world.bounds(150.0, 2.1);
    assert_eq!(play.state_after(Span::from_secs(2)), State::Acquiring);
    play.world.bounds(60.0, 0.1);
    assert_eq!(play.state_after(Span::from_secs(60)), State::Acquiring);
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
