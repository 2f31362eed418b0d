//! States, on values made by hand; the slew law and the target in files of their own.

#![allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "tests")]

use super::*;
use crate::config::UtcLimit;

mod pull;
mod target;

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
fn what_reading_the_clocks_adds_counts_against_a_lock() {
    let mut play = Play::new(World::good());
    play.world.bounds(40.0, 0.1);
    play.world.system.sigma = Span::from_us(12);
    play.decide();
    assert_eq!(play.state(), State::Acquiring);
    play.world.system.sigma = Span::from_us(1);
    play.decide();
    assert_eq!(play.state(), State::Locked);
}

#[test]
fn utc_rides_on_a_leader_from_where_a_lock_begins_to_where_it_ends() {
    let mut world = World::good();
    for (bound_us, jitter_us, begins, stays) in
        [(49.0, 20, true, true), (51.0, 20, false, true), (99.0, 20, false, true), (101.0, 20, false, false)]
    {
        world.bounds(bound_us, 0.1);
        world.jitter = Span::from_us(jitter_us);
        let leader = world.view().leader.unwrap();
        assert_eq!((leader.is_certain(false), leader.is_certain(true)), (begins, stays), "{bound_us}");
    }
    world.jitter = Span::from_us(300);
    assert!(world.view().leader.unwrap().is_certain(true), "a wide path has wider limits");
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
fn a_leader_is_heard_until_its_last_sample_is_too_old() {
    let play = Play::locked();
    let leader = play.world.view().leader.unwrap();
    let limit = age_limit(leader.interval);
    assert!(leader.is_heard(leader.last_sample + limit));
    assert!(!leader.is_heard(leader.last_sample + limit + Span::from_ns(1)));
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
