//! The first fix, and the slew towards UTC, on values made by hand.

use super::*;
use crate::time::Utc;

const UTC_0: i64 = 1_800_000_000_000_000_000;
const NOW: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000_000);

fn policy(limit: UtcLimit) -> UtcPolicy {
    UtcPolicy::new(&Config { utc_limit: limit, utc_slew: Rate::from_ppm(100.0), ..Config::default() })
}

fn within(limit: Span) -> UtcPolicy {
    policy(UtcLimit::Within(limit))
}

fn estimate() -> UtcEstimate {
    UtcEstimate {
        utc: Timestamp::<Utc>::from_ns(UTC_0),
        sigma: Span::from_us(50),
        path_unknown: Span::from_ms(5),
        root_distance: Span::ZERO,
        rate: (Rate::ZERO, Rate::from_ppm(0.01)),
        on_leader: true,
    }
}

/// The slew when the target is this far ahead of UTC.
fn slew(policy: &mut UtcPolicy, now: Timestamp<Raw>, ahead: Span) -> Rate {
    policy.slew(now, Timestamp::<System>::from_ns(UTC_0) + ahead, Some(&estimate()), Span::ZERO)
}

/// The slew that it comes to when the target stays this far ahead of UTC: a slew may begin gently.
fn held(policy: &mut UtcPolicy, now: Timestamp<Raw>, ahead: Span) -> Rate {
    (0..2_000).map(|second| slew(policy, now + Span::from_secs(second), ahead)).last().unwrap()
}

fn near(rate: Rate, ppm: f64) -> bool {
    (rate.ppm() - ppm).abs() < 1e-6
}

/// Lets the target be slewed for so long; returns how far ahead of UTC it is in the end.
fn run(policy: &mut UtcPolicy, mut ahead: Span, seconds: i64) -> Span {
    for second in 0..seconds {
        let rate = slew(policy, NOW + Span::from_secs(second), ahead);
        ahead = ahead + rate.gain_over(Span::from_secs(1));
    }
    ahead
}

#[test]
fn before_the_lock_the_first_fix_steps_whatever_the_distance() {
    for error in [Span::from_us(1_001), Span::from_secs(-1_700_000_000)] {
        assert_eq!(policy(UtcLimit::None).first_fix(error, false), Some(-error));
    }
    assert_eq!(policy(UtcLimit::None).first_fix(Span::from_ms(1), false), None);
}

#[test]
fn after_the_lock_it_steps_only_beyond_a_second() {
    for error in [Span::from_ms(1_001), Span::from_ms(-1_001)] {
        assert_eq!(policy(UtcLimit::None).first_fix(error, true), Some(-error));
    }
    for error in [Span::from_secs(1), Span::from_secs(-1), Span::from_ms(2)] {
        let mut policy = policy(UtcLimit::None);
        assert_eq!(policy.first_fix(error, true), None);
        assert!(!near(held(&mut policy, NOW, error), 0.0), "it is slewed instead");
    }
}

#[test]
fn a_late_step_can_be_forbidden_and_then_slews() {
    let config = Config { late_step: LateStep::Never, ..Config::default() };
    let mut policy = UtcPolicy::new(&config);
    assert_eq!(policy.first_fix(Span::from_secs(60), true), None);
    assert!(near(held(&mut policy, NOW, Span::from_secs(60)), -100.0));
    // Before the lock it is no late one.
    assert_eq!(UtcPolicy::new(&config).first_fix(Span::from_secs(60), false), Some(Span::from_secs(-60)));
}

#[test]
fn only_the_first_fix_ever_steps() {
    for first in [Span::ZERO, Span::from_secs(5)] {
        let mut policy = policy(UtcLimit::None);
        policy.first_fix(first, false);
        assert_eq!(policy.first_fix(Span::from_secs(60), false), None);
        assert!(near(held(&mut policy, NOW, Span::from_secs(60)), 0.0), "nor slews, without a limit");
    }
}

#[test]
fn with_no_limit_utc_is_left_as_far_as_the_leader_leads() {
    let mut policy = policy(UtcLimit::None);
    for (hours, ahead) in [(0, Span::from_ms(5)), (1, Span::from_secs(5)), (2, Span::from_secs(-3_600))] {
        assert!(near(held(&mut policy, NOW + Span::from_secs(3_600 * hours), ahead), 0.0));
    }
}

#[test]
fn a_target_ahead_of_utc_is_slowed_down() {
    for limit in [Span::ZERO, Span::from_ms(500)] {
        assert!(near(held(&mut within(limit), NOW, Span::from_secs(2)), -100.0));
        assert!(near(held(&mut within(limit), NOW, Span::from_secs(-2)), 100.0));
    }
}

#[test]
fn the_limit_counts_beyond_the_bound_of_what_is_known() {
    // 3.29 standard deviations of 50 µs are 165 µs.
    for (ahead_us, slewed) in [(500_160, false), (500_170, true), (-500_160, false), (-500_170, true)] {
        let rate = held(&mut within(Span::from_ms(500)), NOW, Span::from_us(ahead_us));
        assert_eq!(!near(rate, 0.0), slewed, "{ahead_us} µs: {rate}");
    }
}

#[test]
fn a_return_goes_all_the_way_and_then_leaves_the_leader_its_rate() {
    for sign in [1, -1] {
        let mut policy = within(Span::from_ms(10));
        let mut ahead = Span::from_ms(11 * sign);
        let (mut now, mut inside_and_returning) = (NOW, false);
        for _ in 0..7_200 {
            let rate = slew(&mut policy, now, ahead);
            let returning = rate.ppm() * Span::from_ns(sign).as_ns_f64() < -0.1;
            inside_and_returning |= ahead.abs() < Span::from_ms(5) && returning;
            ahead = ahead + rate.gain_over(Span::from_secs(1));
            now = now + Span::from_secs(1);
            assert!(ahead.as_ns() * sign > -300_000, "it overshoots: {ahead}");
        }
        assert!(inside_and_returning, "inside the limit it goes on");
        assert!(ahead.abs() < Span::from_us(500), "{ahead}");
        assert!(near(slew(&mut policy, now, ahead), 0.0));
        // And stays there until the limit is passed again.
        assert!(near(held(&mut policy, now, Span::from_ms(9 * sign)), 0.0));
    }
}

#[test]
fn following_utc_takes_its_rate_and_the_error_out() {
    let mut policy = within(Span::ZERO);
    let ahead = run(&mut policy, Span::from_ms(5), 1_800);
    assert!(ahead.abs() < Span::from_us(20), "what is beyond doubt goes fast: {ahead}");
    let ahead = run(&mut policy, ahead, 10_800);
    assert!(ahead.abs() < Span::from_us(1), "and the rest in time: {ahead}");
    // UTC gains 12 ppm on the leader: so must the target.
    let utc = UtcEstimate { rate: (Rate::from_ppm(12.0), Rate::from_ppm(0.1)), ..estimate() };
    let mut now = NOW + Span::from_secs(14_400);
    let mut minute_of = |utc: &UtcEstimate| {
        (0..60).fold(Rate::ZERO, |_, _| {
            now = now + Span::from_secs(1);
            policy.slew(now, Timestamp::from_ns(UTC_0), Some(utc), Span::ZERO)
        })
    };
    assert!(near(minute_of(&utc), 12.0));
    // A rate that is hardly known is not used: the last one that was known stays.
    let vague = UtcEstimate { rate: (Rate::from_ppm(20.0), Rate::from_ppm(3.0)), ..estimate() };
    assert!(near(minute_of(&vague), 12.0));
    // Unless it cannot be that one.
    let other = UtcEstimate { rate: (Rate::from_ppm(16.0), Rate::from_ppm(0.9)), ..estimate() };
    assert!(near(minute_of(&other), 16.0));
}

#[test]
fn after_a_restart_utc_is_followed_at_the_rate_it_had() {
    let mut policy = within(Span::ZERO);
    policy.resume(true, false, Rate::from_ppm(-7.0));
    let vague = UtcEstimate { rate: (Rate::ZERO, Rate::from_ppm(50.0)), ..estimate() };
    for second in 0..60 {
        let now = NOW + Span::from_secs(second);
        let slew = policy.slew(now, Timestamp::from_ns(UTC_0), Some(&vague), Span::ZERO);
        assert!(near(slew, -7.0), "{slew}");
    }
}

#[test]
fn after_a_gap_the_slew_still_changes_gently() {
    let mut policy = within(Span::ZERO);
    let before = policy.slew(NOW, Timestamp::from_ns(UTC_0), Some(&estimate()), Span::ZERO);
    let utc = UtcEstimate { rate: (Rate::from_ppm(80.0), Rate::from_ppm(0.1)), ..estimate() };
    let after = policy.slew(NOW + Span::from_secs(600), Timestamp::from_ns(UTC_0), Some(&utc), Span::ZERO);
    assert!((after - before).abs() <= Rate::from_ppm(1.001), "{before} {after}");
}

#[test]
fn no_slew_is_faster_than_was_allowed() {
    for slew_max in [1.0, 500.0, -20.0] {
        for limit in [UtcLimit::Within(Span::ZERO), UtcLimit::Within(Span::from_ms(1))] {
            for ahead in [Span::from_ms(9_999), Span::from_ms(-9_999)] {
                let config =
                    Config { utc_limit: limit, utc_slew: Rate::from_ppm(slew_max), ..Config::default() };
                let rate = held(&mut UtcPolicy::new(&config), NOW, ahead);
                assert!((rate.ppm().abs() - slew_max.abs()).abs() < 1e-6, "{rate}");
                assert_eq!(rate.ratio() < 0.0, ahead > Span::ZERO);
            }
        }
    }
}

/// The slew after so long without UTC, deciding once a second.
fn unseen(policy: &mut UtcPolicy, utc: Option<&UtcEstimate>, seconds: i64) -> Rate {
    let later = NOW + Span::from_secs(3_600);
    let target = Timestamp::from_ns(UTC_0 - 3_000_000);
    (0..seconds)
        .map(|second| policy.slew(later + Span::from_secs(second), target, utc, Span::ZERO))
        .last()
        .unwrap()
}

#[test]
fn where_utc_is_out_of_sight_a_return_ends_gently_and_goes_on_later() {
    // Against the raw timeline UTC says nothing of the leader.
    let off_leader = UtcEstimate { on_leader: false, ..estimate() };
    for utc in [None, Some(&off_leader)] {
        let mut policy = within(Span::from_ms(1));
        let first = held(&mut policy, NOW, Span::from_ms(9_999));
        assert!(near(first, -100.0), "{first}");
        assert!((unseen(&mut policy, utc, 100).ppm() + 50.0).abs() < 1.0);
        assert!(near(unseen(&mut policy, utc, 300), 0.0) && policy.is_returning());
        // A millisecond is left, and would begin no return by itself.
        assert!(held(&mut policy, NOW + Span::from_secs(9_000), Span::from_ms(1)).ppm() < -1.0);
    }
}

#[test]
fn where_utc_is_out_of_sight_what_follows_it_undoes_the_leaders_drift_on() {
    let mut policy = within(Span::ZERO);
    policy.resume(true, false, Rate::from_ppm(-17.0));
    assert!(near(unseen(&mut policy, None, 600), -17.0));
    // A start that was given up has measured nothing.
    policy.resume(false, false, Rate::ZERO);
    assert_eq!(policy.drift, None);
    // What takes out an error is no drift.
    let mut policy = within(Span::ZERO);
    assert!(!near(held(&mut policy, NOW, Span::from_ms(3)), 0.0));
    assert!(near(unseen(&mut policy, None, 300), 0.0));
}

#[test]
fn a_drift_that_is_contradicted_is_not_kept() {
    let told = |ppm: f64, sigma: f64| UtcEstimate {
        rate: (Rate::from_ppm(-ppm), Rate::from_ppm(sigma)),
        ..estimate()
    };
    let before = Some(Rate::from_ppm(17.0));
    assert!(near(believable(before, &told(15.0, 2.0)).unwrap(), 17.0));
    assert!(near(believable(before, &told(5.0, 2.0)).unwrap(), 5.0));
    assert!(near(believable(before, &told(16.9, 0.05)).unwrap(), 16.9));
    assert_eq!(believable(None, &told(16.9, 2.0)), None);
}

/// Slews `ahead` away, deciding every `tick`; gives every slew on the way and where it ends.
fn course(policy: &mut UtcPolicy, mut ahead: Span, tick: Span, ticks: i64) -> (Vec<Rate>, Vec<Span>) {
    let (mut slews, mut errors) = (vec![policy.slew], vec![ahead]);
    for n in 0..ticks {
        let rate = slew(policy, NOW + tick.times(n), ahead);
        ahead = ahead + rate.gain_over(tick);
        slews.push(rate);
        errors.push(ahead);
    }
    (slews, errors)
}

#[test]
fn a_slew_begins_and_ends_gently_and_brakes_in_time() {
    for slew_max in [20.0, 100.0, 500.0] {
        for (limit, sign) in [(UtcLimit::None, 1), (UtcLimit::None, -1), (UtcLimit::Within(Span::ZERO), 1)] {
            for tick in [Span::from_ms(250), Span::from_secs(1)] {
                let utc_slew = Rate::from_ppm(slew_max);
                let mut policy = UtcPolicy::new(&Config { utc_limit: limit, utc_slew, ..Config::default() });
                let start = Span::from_ms(500 * sign);
                assert_eq!(policy.first_fix(start, true), None);
                let ticks = Span::from_secs(30_000).as_ns() / tick.as_ns();
                let (slews, errors) = course(&mut policy, start, tick, ticks);
                // Half a ppm per second.
                let most = 0.5 * tick.as_secs_f64() + 1e-6;
                for pair in slews.windows(2) {
                    let change = (pair[1] - pair[0]).ppm().abs();
                    assert!(change <= most, "{change} ppm in {tick}, at most {slew_max} ppm");
                }
                let beyond = errors.iter().map(|error| -error.as_ns() * sign).max().unwrap();
                assert!(beyond < 1_000_000, "{beyond} ns beyond UTC, at most {slew_max} ppm");
                let end = errors.last().unwrap();
                assert!(end.abs() < Span::from_us(300), "{end} left, at most {slew_max} ppm");
                // It is not that gentle that nothing comes of it.
                let fastest = slews.iter().map(|slew| slew.ppm().abs()).fold(0.0, f64::max);
                assert!(fastest > 0.9 * slew_max.min(100.0) && fastest < slew_max + 1e-6, "{fastest}");
            }
        }
    }
}

#[test]
fn a_small_error_is_taken_out_in_proportion() {
    let rate = |ahead_us| held(&mut within(Span::ZERO), NOW, Span::from_us(ahead_us)).ppm();
    assert!(rate(10) < 0.0 && (rate(20) / rate(10) - 2.0).abs() < 1e-3, "{} {}", rate(10), rate(20));
}

/// A leader that gains on UTC, and a policy that decides once a second.
struct Course {
    policy: UtcPolicy,
    drift: Rate,
    ahead: Span,
    /// Seconds since midnight.
    second: i64,
    slews: Vec<Rate>,
    activities: Vec<Activity>,
    worst: Span,
}

impl Course {
    /// From 20:00 on.
    fn new(config: Config, drift_ppm: f64) -> Self {
        Self {
            policy: UtcPolicy::new(&config),
            drift: Rate::from_ppm(drift_ppm),
            ahead: Span::ZERO,
            second: 20 * 3_600,
            slews: Vec::new(),
            activities: Vec::new(),
            worst: Span::ZERO,
        }
    }

    /// UTC_0 is at 08:00.
    fn decide(&mut self) -> Outlook {
        let utc = UtcEstimate {
            utc: Timestamp::from_ns(UTC_0 + (self.second - 8 * 3_600) * 1_000_000_000),
            rate: (-self.drift, Rate::from_ppm(0.01)),
            ..estimate()
        };
        let target = Timestamp::from_ns(utc.utc.as_ns()) + self.ahead;
        let now = Timestamp::from_ns(self.second * 1_000_000_000);
        let slew = self.policy.slew(now, target, Some(&utc), Span::ZERO);
        self.slews.push(slew);
        let outlook = self.policy.outlook().unwrap();
        self.activities.push(outlook.activity);
        outlook
    }

    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.decide();
            self.second += 1;
            let rate = self.drift + *self.slews.last().unwrap();
            self.ahead = self.ahead + rate.gain_over(Span::from_secs(1));
            self.worst = self.worst.max(self.ahead.abs());
        }
    }

    /// The times of day (in hours) at which slews began and ended.
    fn slewed(&self) -> Vec<f64> {
        let first = self.second - i64::try_from(self.slews.len()).unwrap();
        let pairs = self.slews.windows(2).enumerate();
        let turns = pairs.filter(|(_, pair)| (pair[0] == Rate::ZERO) != (pair[1] == Rate::ZERO));
        let hours =
            |index: usize| Span::from_secs(first + i64::try_from(index).unwrap()).as_secs_f64() / 3_600.0;
        turns.map(|(index, _)| hours(index + 1) % 24.0).collect()
    }
}

fn limited(limit: Span, window: Option<&str>) -> Config {
    Config {
        utc_limit: UtcLimit::Within(limit),
        utc_slew_window: window.map(|text| DailyWindow::parse(text).unwrap()),
        ..Config::default()
    }
}

#[test]
fn a_leader_that_runs_away_is_left_alone_up_to_the_limit_and_comes_back_in_one_slew() {
    for drift in [17.6, -17.6] {
        let mut course = Course::new(limited(Span::from_ms(500), None), drift);
        course.run(86_400);
        assert!(course.worst < Span::from_us(500_600), "{}", course.worst);
        // 500 ms at 17.6 ppm take 7.9 h, and 1.8 h back: two slews in this day.
        let slewed = course.slewed();
        assert_eq!(slewed.len(), 4, "{slewed:?}");
        assert!((slewed[1] + 24.0 - slewed[0]).rem_euclid(24.0) < 2.0, "{slewed:?}");
        // What was foretold.
        let mut course = Course::new(limited(Span::from_ms(500), None), drift);
        let outlook = course.decide();
        let foretold = outlook.slew_in.unwrap().as_secs_f64() / 3_600.0;
        assert_eq!((outlook.slew_in, outlook.activity), (outlook.limit_in, Activity::Leader));
        assert!((slewed[0] - (20.0 + foretold) % 24.0).abs() < 0.01, "{foretold} {slewed:?}");
        let takes = outlook.slew_for.unwrap().as_secs_f64() / 3_600.0;
        assert!((slewed[1] - slewed[0] - takes).abs() < 0.15, "{takes} {slewed:?}");
    }
}

#[test]
fn a_return_ends_near_utc_though_the_leader_goes_on_running_away() {
    let mut course = Course::new(limited(Span::from_ms(500), None), 40.0);
    course.ahead = Span::from_ms(510);
    course.run(60);
    while course.slews.last() != Some(&Rate::ZERO) {
        course.run(1);
    }
    // Ending the slew gently costs 40 ppm · 80 s / 2.
    assert!(course.ahead.abs() < Span::from_ms(2), "{}", course.ahead);
    assert!(course.slews.iter().all(|slew| *slew <= Rate::ZERO), "never the other way");
}

#[test]
fn slews_keep_to_their_window_and_come_early_where_the_limit_would_not_wait() {
    // 0.95 s a day: 1 s would be passed soon after the next window.
    let mut course = Course::new(limited(Span::from_secs(1), Some("01:00-05:00")), 11.0);
    course.ahead = Span::from_ms(150);
    course.run(3 * 86_400);
    let slewed = course.slewed();
    assert!(slewed.len() >= 4 && slewed.len().is_multiple_of(2), "{slewed:?}");
    assert!(slewed.iter().all(|hour| (1.0..=5.0).contains(hour)), "{slewed:?}");
    assert!(course.worst < Span::from_ms(1_000), "{}", course.worst);
    // One slew a night, and it ends when the window closes.
    assert!(slewed.len() <= 6 && slewed[1] > 4.7, "{slewed:?}");
}

#[test]
fn what_passes_the_limit_outside_of_the_window_waits_for_it() {
    let mut course = Course::new(limited(Span::from_ms(500), Some("01:00-05:00")), 0.0);
    course.ahead = Span::from_ms(700);
    let outlook = course.decide();
    assert_eq!((outlook.activity, outlook.slew_in), (Activity::Waiting, Some(Span::from_secs(5 * 3_600))));
    course.run(5 * 3_600);
    assert!(course.slews.iter().all(|slew| *slew == Rate::ZERO));
    course.run(2);
    assert!(course.slews.last() < Some(&Rate::ZERO));
    assert_eq!(course.activities.last(), Some(&Activity::Returning));
}

#[test]
fn a_return_that_does_not_fit_into_its_window_goes_on_the_next_day() {
    let mut course = Course::new(limited(Span::from_ms(500), Some("01:00-02:00")), 0.0);
    course.ahead = Span::from_ms(700);
    course.run(86_400);
    assert!(course.ahead > Span::from_ms(300) && course.ahead < Span::from_ms(500), "{}", course.ahead);
    course.run(2 * 86_400);
    assert!(course.ahead.abs() < Span::from_ms(1), "{}", course.ahead);
    let slewed = course.slewed();
    assert!(slewed.iter().all(|hour| (1.0..2.0).contains(hour)), "{slewed:?}");
}

#[test]
fn a_leader_faster_than_the_slew_is_held_at_the_limit_or_at_least_slowed_down() {
    let config = Config { utc_slew: Rate::from_ppm(18.0), ..limited(Span::from_ms(500), None) };
    let mut course = Course::new(config.clone(), 17.6);
    course.ahead = Span::from_ms(499);
    course.run(20_000);
    assert_eq!(course.activities.last(), Some(&Activity::Holding));
    assert!((course.ahead - Span::from_ms(500)).abs() < Span::from_ms(1), "{}", course.ahead);
    // Nanoseconds are whole: that is what is left.
    assert!((course.slews.last().unwrap().ppm() + 17.6).abs() < 1e-3);
    // One that is too fast altogether.
    let mut course = Course::new(config, 30.0);
    course.ahead = Span::from_ms(501);
    course.run(10_000);
    assert!(near(*course.slews.last().unwrap(), -18.0));
    // And when it slows down, the clock comes back.
    course.drift = Rate::from_ppm(2.0);
    course.run(1);
    assert_eq!(course.activities.last(), Some(&Activity::Returning));
}

#[test]
fn without_a_limit_a_late_fix_is_not_chased_in_vain() {
    let mut course = Course::new(Config { utc_slew: Rate::from_ppm(10.0), ..Config::default() }, 17.6);
    course.ahead = Span::from_ms(100);
    assert_eq!(course.policy.first_fix(course.ahead, true), None);
    course.run(1_000);
    assert_eq!(course.activities.last(), Some(&Activity::Leader));
    assert!(near(*course.slews.last().unwrap(), 0.0));
}

#[test]
fn an_error_beyond_the_panic_threshold_is_refused_but_not_a_first_fix() {
    for limit in [Span::ZERO, Span::from_ms(500)] {
        let mut course = Course::new(limited(limit, None), 0.0);
        course.ahead = Span::from_ms(10_001);
        course.run(600);
        assert_eq!(course.activities.last(), Some(&Activity::Refused));
        assert!(course.slews.iter().all(|slew| *slew == Rate::ZERO));
        let late = Config { late_step: LateStep::Never, ..limited(limit, None) };
        let mut course = Course::new(late, 0.0);
        course.ahead = Span::from_ms(10_001);
        assert_eq!(course.policy.first_fix(course.ahead, true), None);
        course.run(600);
        assert!(near(*course.slews.last().unwrap(), -100.0));
    }
    // Where UTC is left alone there is nothing to refuse.
    let mut course = Course::new(Config::default(), 0.0);
    course.ahead = Span::from_secs(3_600);
    course.run(10);
    assert_eq!(course.activities.last(), Some(&Activity::Leader));
}

#[test]
fn what_cannot_be_foretold_is_not() {
    // The leader goes with UTC, or its rate is unknown: the limit is not in sight.
    let mut course = Course::new(limited(Span::from_ms(500), None), 0.0);
    assert_eq!((course.decide().limit_in, course.decide().slew_in), (None, None));
    let mut policy = within(Span::from_ms(500));
    let vague = UtcEstimate { rate: (Rate::from_ppm(12.0), Rate::from_ppm(3.0)), ..estimate() };
    policy.slew(NOW, Timestamp::from_ns(UTC_0), Some(&vague), Span::ZERO);
    assert_eq!(policy.outlook().unwrap().limit_in, None);
    // Across zero to the other side.
    let mut course = Course::new(limited(Span::from_ms(500), None), -10.0);
    course.ahead = Span::from_ms(400);
    let limit_in = course.decide().limit_in.unwrap();
    assert!((limit_in - Span::from_secs(90_000)).abs() < Span::from_secs(1), "{limit_in}");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the errors, and however regularly it is decided.
        #[test]
        fn no_slew_is_too_fast_too_sudden_or_outside_of_its_window(
            limit_ms in prop_oneof![Just(0_i64), 1_i64..2_000],
            slew_ppm in 1.0..500.0_f64,
            from in 0_i64..24,
            hours in 1_i64..23,
            jumps in prop::collection::vec((-20_000_i64..20_000, -300.0..300.0_f64, 1_i64..3_000), 1..30),
            local_h in -12_i64..14,
        ) {
            let window = format!("{from:02}:00-{:02}:00", (from + hours) % 24);
            let config = Config {
                utc_slew: Rate::from_ppm(slew_ppm),
                // With a limit of 0 it has no window.
                utc_slew_window: (limit_ms > 0).then(|| DailyWindow::parse(&window).unwrap()),
                utc_limit: UtcLimit::Within(Span::from_ms(limit_ms)),
                ..Config::default()
            };
            let local = Span::from_secs(3_600 * local_h);
            let mut policy = UtcPolicy::new(&config);
            let (mut now, mut last) = (NOW, Rate::ZERO);
            for (error_ms, rate_ppm, ticks) in jumps {
                for tick in 0..ticks {
                    // Up to two seconds: what a decision may be late.
                    let elapsed = Span::from_ms(100 + (tick * 731) % 1_900);
                    now = now + elapsed;
                    let utc = Timestamp::<Utc>::from_ns(UTC_0 + (now - NOW).as_ns());
                    let estimate = UtcEstimate { utc, rate: (Rate::from_ppm(rate_ppm), Rate::ZERO), ..estimate() };
                    let target = Timestamp::from_ns(utc.as_ns()) + Span::from_ms(error_ms);
                    let slew = policy.slew(now, target, Some(&estimate), local);
                    prop_assert!(slew.abs().ratio() <= config.utc_slew.ratio() + 1e-12, "{slew}");
                    let most = 0.5e-6 * elapsed.as_secs_f64() + 1e-12;
                    prop_assert!((slew - last).abs().ratio() <= most, "{last} to {slew} in {elapsed}");
                    let open = config.utc_slew_window.is_none_or(|window| {
                        window.left(Span::from_ns(utc.as_ns()) + local).is_some()
                    });
                    prop_assert!(open || slew == Rate::ZERO, "{slew} outside of {window}");
                    last = slew;
                }
            }
        }
    }
}

#[test]
fn other_choices_while_running_change_the_slew_gently() {
    let config = |utc_limit, ppm| Config { utc_limit, utc_slew: Rate::from_ppm(ppm), ..Config::default() };
    let limit = UtcLimit::Within(Span::from_ms(10));
    let mut policy = UtcPolicy::new(&config(limit, 100.0));
    let error = Span::from_secs(2);
    let mut before = held(&mut policy, NOW, error);
    assert!(near(before, -100.0), "{before:?}");
    let mut now = NOW + Span::from_secs(2_000);
    for (utc_limit, ppm, settles) in
        [(limit, 20.0, -20.0), (UtcLimit::None, 20.0, 0.0), (UtcLimit::Within(Span::ZERO), 50.0, -50.0)]
    {
        policy.reconfigure(&config(utc_limit, ppm));
        for _ in 0..300 {
            now = now + Span::from_secs(1);
            let slew = slew(&mut policy, now, error);
            // After a gap two seconds' worth.
            assert!((slew - before).abs().ratio() <= 2.0 * RAMP * 1.001, "{before:?} to {slew:?}");
            before = slew;
        }
        assert!(near(before, settles), "{utc_limit:?}: {before:?}");
    }
}

#[test]
fn a_late_first_fix_is_slewed_to_its_end_whatever_limit_is_taken_away() {
    let limit = UtcLimit::Within(Span::from_secs(5));
    let mut policy = policy(limit);
    policy.first_fix(Span::from_ms(500), true);
    policy.reconfigure(&Config::default());
    assert!(policy.is_fixed() && policy.is_returning());
    assert!(run(&mut policy, Span::from_ms(500), 8_000).abs() <= RETURNED);
}
