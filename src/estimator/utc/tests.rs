//! UTC's line by itself, and with servers that contradict each other.

use super::*;

const UTC_0: i64 = 1_700_000_000_000_000_000;
const PANIC: Span = Span::from_secs(10);

fn raw(s: f64) -> Timestamp<Raw> {
    Timestamp::from_ns(Span::from_secs_f64(s).as_ns())
}

/// An answer of server 0.
fn exchange(raw_s: f64, error_us: i64, delay_us: i64) -> Exchange {
    told(0, raw_s, error_us, delay_us)
}

fn told(server: usize, raw_s: f64, error_us: i64, delay_us: i64) -> Exchange {
    let raw = raw(raw_s);
    Exchange {
        server: ServerIndex(server),
        raw,
        utc: Timestamp::from_ns(UTC_0 + raw.as_ns() + error_us * 1_000),
        delay: Span::from_us(delay_us),
        root_distance: Span::ZERO,
        leap: Leap::None,
        stratum: 2,
    }
}

fn error_ns(estimator: &UtcEstimator, raw_s: f64) -> i64 {
    let raw = raw(raw_s);
    (estimator.at(raw).unwrap().utc - Timestamp::from_ns(UTC_0 + raw.as_ns())).as_ns()
}

/// So many servers that tell the truth.
struct World {
    estimator: UtcEstimator,
    now: f64,
    /// How wrong each is, in µs; None: it does not answer.
    errors: Vec<Option<i64>>,
    leaps: Vec<Leap>,
    verdicts: Vec<UtcVerdict>,
}

impl World {
    fn new(servers: usize) -> Self {
        let estimator = UtcEstimator::new(servers, PANIC);
        let (errors, leaps) = (vec![Some(0); servers], vec![Leap::None; servers]);
        Self { estimator, now: 0.0, errors, leaps, verdicts: Vec::new() }
    }

    /// The same after the first fix, an hour later.
    fn settled(servers: usize) -> Self {
        let mut world = Self::new(servers);
        world.burst();
        world.estimator.believe();
        world.polls(20);
        world
    }

    fn burst(&mut self) {
        (0..8).for_each(|_| self.round(0.5));
    }

    fn polls(&mut self, count: u32) {
        (0..count).for_each(|_| self.round(16.0));
    }

    /// All servers answer, a little after each other.
    fn round(&mut self, pause: f64) {
        self.now += pause;
        self.verdicts.clear();
        for (server, error) in self.errors.iter().enumerate() {
            let Some(error) = error else { continue };
            let exchange = Exchange { leap: self.leaps[server], ..told(server, self.now, *error, 10_000) };
            self.verdicts.push(self.estimator.observe(&exchange, None));
        }
    }

    fn error_us(&self) -> i64 {
        error_ns(&self.estimator, self.now) / 1_000
    }

    fn roles(&self) -> &[Role] {
        &self.estimator.roles
    }
}

#[test]
fn an_exchange_that_was_held_up_weighs_little() {
    let mut estimator = UtcEstimator::new(1, PANIC);
    for k in 0..8 {
        estimator.observe(&exchange(f64::from(k), 0, 10_000), None);
    }
    estimator.observe(&exchange(8.0, 2_000, 14_000), None);
    assert!(error_ns(&estimator, 8.0).abs() < 30_000, "{}", error_ns(&estimator, 8.0));
}

#[test]
fn two_delays_that_are_equal_by_chance_prove_nothing() {
    let mut estimator = UtcEstimator::new(1, PANIC);
    // Both were held up by 0.4 ms on the way there; the next ones were not.
    for (k, held_up) in [(0, 400), (1, 401), (2, 0), (3, 0)] {
        estimator.observe(&exchange(f64::from(k) * 0.01, held_up / 2, 10_000 + held_up), None);
    }
    let (error, sigma) = (error_ns(&estimator, 0.03), estimator.at(raw(0.03)).unwrap().sigma.as_ns());
    assert!(error.abs() < 2 * sigma, "{error} ± {sigma}");
}

#[test]
fn a_lone_liar_is_refused_and_a_persistent_one_believed() {
    let mut world = World::settled(1);
    world.errors = vec![Some(1_000_000)];
    for _ in 0..7 {
        world.polls(1);
        assert!(matches!(world.verdicts[..], [UtcVerdict::Refused(_)]), "{:?}", world.verdicts);
        assert!(world.error_us().abs() < 100);
        assert_eq!(world.estimator.poll(ServerIndex(0)), POLL_MIN, "who is in doubt is asked often");
    }
    world.polls(1);
    assert!(matches!(world.verdicts[..], [UtcVerdict::Restarted(_)]), "{:?}", world.verdicts);
    assert!((world.error_us() - 1_000_000).abs() < 1_000);
}

#[test]
fn refused_exchanges_that_contradict_each_other_prove_nothing() {
    let mut world = World::settled(1);
    for k in 0..30 {
        world.errors = vec![Some(1_000_000 + k * 100_000)];
        world.polls(1);
        assert!(matches!(world.verdicts[..], [UtcVerdict::Refused(_)]), "{:?}", world.verdicts);
    }
    world.errors = vec![Some(0)];
    world.polls(1);
    assert_eq!(world.verdicts, [UtcVerdict::Accepted]);
}

#[test]
fn an_error_beyond_the_panic_threshold_is_never_believed() {
    let mut world = World::settled(1);
    world.errors = vec![Some(60_000_000)];
    for _ in 0..50 {
        world.polls(1);
        assert!(matches!(world.verdicts[..], [UtcVerdict::Panic(_)]), "{:?}", world.verdicts);
    }
    assert!(world.error_us().abs() < 100_000);
    world.errors = vec![Some(0)];
    world.polls(8);
    assert_eq!(world.verdicts, [UtcVerdict::Accepted]);
}

#[test]
fn utc_goes_on_when_a_leader_appears_and_when_its_timescale_changes() {
    let mut estimator = UtcEstimator::new(1, PANIC);
    for k in 0..8 {
        estimator.observe(&exchange(f64::from(k), 0, 10_000), None);
    }
    let before = error_ns(&estimator, 8.0);
    for (timescale, epoch) in [(0, 5_000_000_000_000), (1, 77)] {
        let now = Timestamp::from_ns(8_000_000_000);
        let line = Line::exact(Timestamp::from_ns(epoch), now, Rate::from_ppm(10.0));
        estimator.follow(now, Some((TimescaleId(timescale), line)));
        assert!((error_ns(&estimator, 8.0) - before).abs() < 10);
    }
    assert!(estimator.at(Timestamp::from_ns(8_000_000_000)).unwrap().on_leader);
}

#[test]
fn a_first_answer_alone_is_no_fix() {
    let mut world = World::new(1);
    world.round(0.5);
    assert!(world.estimator.at(raw(world.now)).is_none());
    world.burst();
    assert!(world.estimator.at(raw(world.now)).is_some());
}

#[test]
fn before_the_first_fix_is_believed_the_last_word_counts() {
    let day_us = 86_400_000_000;
    let mut world = World::new(1);
    world.errors = vec![Some(day_us)];
    world.burst();
    assert!((world.error_us() - day_us).abs() < 1_000);
    world.errors = vec![Some(0)];
    world.burst();
    assert!(world.error_us().abs() < 1_000, "{}", world.error_us());
    assert!(world.estimator.witness().agreed_for < Span::from_secs(4));
}

#[test]
fn the_fix_waits_for_the_other_servers_but_not_for_long() {
    let mut world = World::new(3);
    world.errors = vec![Some(0), None, None];
    (0..5).for_each(|_| world.round(0.5));
    assert!(world.estimator.at(raw(world.now)).is_none());
    (0..3).for_each(|_| world.round(0.5));
    assert!(world.estimator.at(raw(world.now)).is_some());
}

#[test]
fn one_of_three_that_lies_from_the_start_is_outvoted() {
    for liar in 0..3 {
        for error in [80_000, -80_000, 4_000, -2_000] {
            let mut world = World::new(3);
            world.errors[liar] = Some(error);
            world.burst();
            assert!(world.error_us().abs() < 1_000, "{liar} {error}: {}", world.error_us());
            world.estimator.believe();
            world.polls(30);
            assert!(world.error_us().abs() < 50, "{liar} {error}: {}", world.error_us());
            let expected = if error.abs() > 20_000 { Role::Outvoted } else { Role::Spare };
            assert_eq!(world.roles()[liar], expected, "{liar} {error}");
            assert_eq!(world.roles().iter().filter(|role| **role == Role::Used).count(), 2);
        }
    }
}

#[test]
fn one_of_three_that_jumps_is_refused_and_then_outvoted() {
    let mut world = World::settled(3);
    world.errors[1] = Some(1_000_000);
    for _ in 0..20 {
        world.polls(1);
        assert!(world.error_us().abs() < 50, "{}", world.error_us());
        assert!(!world.verdicts.iter().any(|verdict| matches!(verdict, UtcVerdict::Restarted(_))));
    }
    assert_eq!(world.roles(), [Role::Used, Role::Outvoted, Role::Used]);
    // However far it is off, it says nothing of the clock.
    world.errors[1] = Some(3_600_000_000);
    world.polls(20);
    assert!(
        !world.verdicts.iter().any(|verdict| matches!(verdict, UtcVerdict::Panic(_))),
        "{:?}",
        world.verdicts
    );
    world.errors[1] = Some(0);
    world.polls(9);
    assert_eq!(world.roles(), [Role::Used; 3]);
}

#[test]
fn two_of_three_that_jump_together_are_believed() {
    let mut world = World::settled(3);
    world.errors = vec![Some(1_000_000), Some(1_000_000), Some(0)];
    world.polls(10);
    assert!((world.error_us() - 1_000_000).abs() < 1_000, "{}", world.error_us());
    assert_eq!(world.roles(), [Role::Used, Role::Used, Role::Outvoted]);
}

#[test]
fn two_that_contradict_each_other_from_the_start_give_no_fix() {
    let mut world = World::new(2);
    world.errors = vec![Some(0), Some(80_000)];
    world.burst();
    world.polls(5);
    assert_eq!(world.roles(), [Role::Undecided; 2]);
    assert!(world.estimator.at(raw(world.now)).is_none());
    world.errors[1] = Some(0);
    world.polls(3);
    assert!(world.error_us().abs() < 1_000);
    assert_eq!(world.roles(), [Role::Used; 2]);
}

#[test]
fn of_two_that_contradict_each_other_later_the_one_that_fits_the_past_is_kept() {
    for liar in 0..2 {
        let mut world = World::settled(2);
        world.errors[liar] = Some(500_000);
        world.polls(30);
        assert!(world.error_us().abs() < 100, "{}", world.error_us());
        assert_eq!((world.roles()[liar], world.roles()[1 - liar]), (Role::Undecided, Role::Used));
    }
}

#[test]
fn two_that_differ_within_their_bounds_are_both_used_and_their_difference_is_in_the_bound() {
    let mut alike = World::settled(2);
    let mut differing = World::new(2);
    differing.errors[1] = Some(3_000);
    differing.burst();
    differing.estimator.believe();
    alike.polls(40);
    differing.polls(40);
    assert_eq!(differing.roles(), [Role::Used; 2]);
    let sigma = |world: &World| world.estimator.at(raw(world.now)).unwrap().sigma;
    assert!(sigma(&alike) < Span::from_us(100), "{}", sigma(&alike));
    assert!(sigma(&differing) > Span::from_us(1_000), "{}", sigma(&differing));
    assert!((0..3_000).contains(&differing.error_us()), "{}", differing.error_us());
}

#[test]
fn a_server_far_away_weighs_little_beside_a_near_one() {
    let mut estimator = UtcEstimator::new(2, PANIC);
    for k in 0..60 {
        let now = f64::from(k);
        estimator.observe(&told(0, now, 0, 200), None);
        // As far off as its round trip can hide.
        estimator.observe(&told(1, now, 9_000, 20_000), None);
    }
    assert!(error_ns(&estimator, 60.0).abs() < 20_000, "{}", error_ns(&estimator, 60.0));
    let utc = estimator.at(raw(60.0)).unwrap();
    assert_eq!(utc.path_unknown, Span::from_us(100), "the near one's");
}

#[test]
fn a_servers_own_error_is_in_the_whole_bound() {
    let mut estimator = UtcEstimator::new(1, PANIC);
    for k in 0..8 {
        let exchange = Exchange { root_distance: Span::from_ms(30), ..exchange(f64::from(k), 0, 10_000) };
        estimator.observe(&exchange, None);
    }
    let utc = estimator.at(raw(8.0)).unwrap();
    assert_eq!((utc.path_unknown, utc.root_distance), (Span::from_ms(5), Span::from_ms(30)));
    assert!(utc.max_error() > Span::from_ms(35) && utc.max_error() < Span::from_ms(36));
}

#[test]
fn a_line_that_is_good_enough_asks_less_often_and_a_leader_that_turns_more_often() {
    let mut estimator = UtcEstimator::new(1, PANIC);
    let leader = |now: f64| Some((TimescaleId(0), Line::exact(Timestamp::EPOCH, raw(now), Rate::ZERO)));
    let leader = |now: f64| {
        leader(now).map(|(id, line)| (id, Line { a: Timestamp::from_ns(raw(now).as_ns()), ..line }))
    };
    assert_eq!(estimator.poll(ServerIndex(0)), POLL_MIN);
    for k in 0..8 {
        estimator.observe(&exchange(f64::from(k), 0, 10_000), leader(f64::from(k)));
    }
    assert_eq!(estimator.poll(ServerIndex(0)), POLL_MIN);
    for k in 1..200 {
        let now = 8.0 + f64::from(k) * 16.0;
        estimator.observe(&exchange(now, 0, 10_000), leader(now));
    }
    assert!(estimator.poll(ServerIndex(0)) >= POLL_MIN.times(4), "{}", estimator.poll(ServerIndex(0)));
    estimator.leader_turned(raw(8.0 + 199.0 * 16.0));
    assert_eq!(estimator.poll(ServerIndex(0)), POLL_MIN);
}

#[test]
fn after_a_leaders_turn_an_old_answer_says_nothing_about_its_new_rate() {
    let mut estimator = UtcEstimator::new(1, PANIC);
    let follow = |now: f64, ppm: f64| {
        let slower = Span::from_ns_f64((now - 2_000.0).max(0.0) * ppm * 1e3);
        let a = Timestamp::from_ns((raw(now) - raw(0.0) + slower).as_ns());
        Some((TimescaleId(0), Line::exact(a, raw(now), Rate::from_ppm(ppm))))
    };
    for k in 0..100 {
        let now = f64::from(k) * 20.0;
        estimator.observe(&exchange(now, 0, 10_000), follow(now, 0.0));
    }
    // 20 s after the last answer the leader turns; 1 s later there is another one.
    estimator.leader_turned(raw(2_000.0));
    estimator.observe(&exchange(2_001.0, 0, 10_000), follow(2_001.0, -25.0));
    estimator.follow(raw(2_060.0), follow(2_060.0, -25.0));
    let (error, sigma) = (error_ns(&estimator, 2_060.0), estimator.at(raw(2_060.0)).unwrap().sigma.as_ns());
    assert!(error.abs() > 500_000, "a minute at 25 ppm: {error}");
    assert!(error.abs() < 3 * sigma, "{error} ± {sigma}");
}

#[test]
fn a_server_that_became_another_one_is_forgotten() {
    let mut world = World::settled(2);
    world.estimator.forget(ServerIndex(1));
    world.errors[1] = Some(70_000);
    world.polls(1);
    assert!(world.error_us().abs() < 100);
    assert_eq!(world.roles(), [Role::Used, Role::Silent]);
}

/// The end of a month after `UTC_0`, in s since then: 2023-12-01.
const MONTH_END: f64 = 1_388_800.0;

/// Servers until shortly before the month's end, and 100 s beyond.
fn over_the_month_end(leaps: [Leap; 3], jumps: [Option<i64>; 3]) -> (World, Option<Span>) {
    let mut world = World::new(3);
    world.now = MONTH_END - 1_000.0;
    world.burst();
    world.estimator.believe();
    world.leaps = leaps.to_vec();
    while world.now < MONTH_END - 20.0 {
        world.polls(1);
    }
    world.errors = jumps.to_vec();
    world.leaps = vec![Leap::None; 3];
    let next = MONTH_END + 1.0;
    world.estimator.follow(raw(next), None);
    world.now = next;
    let made = world.estimator.take_leap();
    (world, made)
}

#[test]
fn a_leap_second_is_made_when_most_servers_announce_it() {
    let late = Some(-1_000_000);
    let (mut world, made) = over_the_month_end([Leap::Insert, Leap::Insert, Leap::None], [late; 3]);
    assert_eq!(made, Some(Span::from_secs(-1)));
    assert!((world.error_us() + 1_000_000).abs() < 1_000, "{}", world.error_us());
    world.polls(1);
    assert!(matches!(
        world.verdicts[..],
        [UtcVerdict::Accepted, UtcVerdict::Accepted, UtcVerdict::Refused(_)]
    ));
    // Who leapt without a word has to insist.
    world.polls(8);
    assert_eq!(world.verdicts, [UtcVerdict::Accepted; 3]);
}

#[test]
fn a_second_left_out_is_made_too() {
    let (world, made) = over_the_month_end([Leap::Delete; 3], [Some(1_000_000); 3]);
    assert_eq!(made, Some(Span::from_secs(1)));
    assert!((world.error_us() - 1_000_000).abs() < 1_000, "{}", world.error_us());
}

#[test]
fn a_leap_second_that_only_one_of_three_announces_is_not_made() {
    let (mut world, made) = over_the_month_end([Leap::Insert, Leap::None, Leap::None], [Some(0); 3]);
    assert_eq!(made, None);
    world.polls(3);
    assert!(world.error_us().abs() < 100, "{}", world.error_us());
}

#[test]
fn a_leap_second_that_nobody_announced_is_like_any_jump() {
    let (mut world, made) = over_the_month_end([Leap::None; 3], [Some(-1_000_000); 3]);
    assert_eq!(made, None);
    world.polls(7);
    assert!(world.error_us().abs() < 100, "{}", world.error_us());
    world.polls(2);
    assert!((world.error_us() + 1_000_000).abs() < 1_000, "{}", world.error_us());
}

#[test]
fn of_the_first_leaders_rate_a_computer_that_is_far_off_says_nothing() {
    let slow = Rate::from_ppm(-400.0);
    let utc = |now: f64| {
        Timestamp::from_ns(UTC_0) + Span::from_secs_f64(now) + (-slow).gain_over(Span::from_secs_f64(now))
    };
    let answer = |now: f64| Exchange { utc: utc(now), ..exchange(now, 0, 300) };
    // The leader ticks as UTC does.
    let leader = |now: f64| {
        let counts = Timestamp::from_ns((utc(now) - Timestamp::from_ns(UTC_0)).as_ns());
        Some((TimescaleId(0), Line::exact(counts, raw(now), -slow)))
    };
    let mut estimator = UtcEstimator::new(1, PANIC);
    for k in 0..4 {
        estimator.observe(&answer(f64::from(k) * 0.5), None);
    }
    for now in [1.6, 2.0, 4.0, 8.0, 15.0] {
        // It is heard from the third second on.
        estimator.follow(raw(now), leader(now).filter(|_| now > 3.0));
        let told = estimator.at(raw(now)).unwrap();
        let (error, bound) = ((told.utc - utc(now)).abs(), told.max_error());
        assert!(error <= bound && bound < Span::from_ms(4), "{error} of {bound} after {now} s");
    }
}
