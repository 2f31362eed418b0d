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
        rate: (Rate::ZERO, Rate::from_ppm(0.01)),
        on_leader: true,
    }
}

/// The slew when the target is this far ahead of UTC.
fn slew(policy: &mut UtcPolicy, now: Timestamp<Raw>, ahead: Span) -> Rate {
    policy.slew(now, Timestamp::<System>::from_ns(UTC_0) + ahead, Some(&estimate()))
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
    let config = Config { late_step: false, ..Config::default() };
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
    assert!(ahead.abs() < Span::from_us(1), "{ahead}");
    // UTC gains 12 ppm on the leader: so must the target.
    let utc = UtcEstimate { rate: (Rate::from_ppm(12.0), Rate::from_ppm(0.1)), ..estimate() };
    let mut now = NOW + Span::from_secs(3_600);
    let mut minute_of = |utc: &UtcEstimate| {
        (0..60).fold(Rate::ZERO, |_, _| {
            now = now + Span::from_secs(1);
            policy.slew(now, Timestamp::from_ns(UTC_0), Some(utc))
        })
    };
    assert!(near(minute_of(&utc), 12.0));
    // A rate that is hardly known is not used.
    let vague = UtcEstimate { rate: (Rate::from_ppm(12.0), Rate::from_ppm(3.0)), ..estimate() };
    assert!(near(minute_of(&vague), 0.0));
}

#[test]
fn after_a_gap_the_slew_still_changes_gently() {
    let mut policy = within(Span::ZERO);
    let before = policy.slew(NOW, Timestamp::from_ns(UTC_0), Some(&estimate()));
    let utc = UtcEstimate { rate: (Rate::from_ppm(80.0), Rate::from_ppm(0.1)), ..estimate() };
    let after = policy.slew(NOW + Span::from_secs(600), Timestamp::from_ns(UTC_0), Some(&utc));
    assert!((after - before).abs() <= Rate::from_ppm(1.001), "{before} {after}");
}

#[test]
fn no_slew_is_faster_than_was_allowed() {
    for slew_max in [1.0, 500.0, -20.0] {
        for limit in [UtcLimit::Within(Span::ZERO), UtcLimit::Within(Span::from_ms(1))] {
            for ahead in [Span::from_secs(86_400), Span::from_secs(-86_400)] {
                let config =
                    Config { utc_limit: limit, utc_slew: Rate::from_ppm(slew_max), ..Config::default() };
                let rate = held(&mut UtcPolicy::new(&config), NOW, ahead);
                assert!((rate.ppm().abs() - slew_max.abs()).abs() < 1e-6, "{rate}");
                assert_eq!(rate.ratio() < 0.0, ahead > Span::ZERO);
            }
        }
    }
}

#[test]
fn the_slew_is_kept_where_utc_is_unknown() {
    let mut policy = within(Span::ZERO);
    let first = held(&mut policy, NOW, Span::from_ms(3));
    assert!(!near(first, 0.0));
    let later = NOW + Span::from_secs(3_600);
    let target = Timestamp::from_ns(UTC_0 - 3_000_000);
    assert_eq!(policy.slew(later, target, None), first);
    // Against the raw timeline UTC says nothing of the leader.
    let off_leader = UtcEstimate { on_leader: false, ..estimate() };
    assert_eq!(policy.slew(later, target, Some(&off_leader)), first);
    assert!(near(held(&mut policy, later, Span::from_ms(-3)), -first.ppm()));
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
