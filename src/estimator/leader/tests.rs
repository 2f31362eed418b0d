#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "tests draw their worlds in floats"
)]

use super::*;
use crate::config::DEFAULT_SUBDOMAIN;
use crate::net::{Stamp, StampSource};

const LEADER: LeaderId = LeaderId::V1 { technology: 1, uuid: [2; 6], port: 1, subdomain: DEFAULT_SUBDOMAIN };

struct Draw(u64);

impl Draw {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64 + 0.5) / (1_u64 << 31) as f64
    }
    fn exponential(&mut self, mean: f64) -> f64 {
        -self.uniform().ln() * mean
    }
    fn gauss(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A raw clock 23 ppm fast whose rate walks, a leader, and a path: what the base world has.
struct World {
    draw: Draw,
    t: f64,
    drift: f64,
    phase: f64,
    leader_ppm: f64,
    walk: f64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { draw: Draw(seed), t: 0.0, drift: 23_000.0, phase: 0.0, leader_ppm: 0.0, walk: 3.0 }
    }

    /// The next Sync, held up by what `delay` draws (ns).
    fn sync(&mut self, delay: impl Fn(&mut Draw) -> f64) -> SyncSample {
        self.t += 0.25;
        self.drift += self.walk * 0.5 * self.draw.gauss();
        self.phase += self.rate() * 0.25;
        let leader = (self.t * 1e9) as i64;
        let raw = leader + self.phase as i64 + delay(&mut self.draw) as i64;
        // From 1 on, as long as it fits.
        SyncSample { sequence: (self.t * 4.0) as u16, ..sample(raw, leader) }
    }

    /// Raw against leader, ppb.
    fn rate(&self) -> f64 {
        self.drift - self.leader_ppm * 1e3
    }

    fn raw(&self) -> Timestamp<Raw> {
        Timestamp::from_ns((self.t * 1e9) as i64 + self.phase as i64)
    }
}

fn sample(raw: i64, leader: i64) -> SyncSample {
    let received =
        Stamp { at: Timestamp::from_ns(raw), uncertainty: Span::ZERO, source: StampSource::Kernel };
    SyncSample { leader: LEADER, sequence: 0, sent: Timestamp::from_ns(leader), received }
}

fn queue(draw: &mut Draw) -> f64 {
    let spike = if draw.uniform() < 0.005 { 500_000.0 } else { 0.0 };
    draw.exponential(20_000.0) + spike
}

/// Root mean square of the rate error (ppb), and of the phase error without its constant (ns), over an hour from
/// 10 min on.
fn hour(seed: u64, delay: impl Fn(&mut Draw) -> f64) -> (f64, f64) {
    let mut world = World::new(seed);
    let mut estimator = LeaderEstimator::new();
    let (mut rates, mut phases, mut constant, mut count) = (0.0, 0.0, 0.0, 0.0);
    for _ in 0..14_400 {
        estimator.observe(&world.sync(&delay));
        if world.t > 600.0 {
            let line = estimator.line(world.raw()).unwrap();
            rates += (line.rate.ppb() + world.rate()).powi(2);
            let phase = (line.a - Timestamp::from_ns((world.t * 1e9) as i64)).as_ns_f64();
            phases += phase * phase;
            constant += phase;
            count += 1.0;
        }
    }
    let mean: f64 = constant / count;
    ((rates / count).sqrt(), (phases / count - mean * mean).sqrt())
}

#[test]
fn queueing_delay_costs_little_because_the_early_samples_count() {
    let (rate, phase) = hour(1, queue);
    assert!(rate < 24.0, "{rate} ppb");
    assert!(phase < 1_000.0, "{phase} ns");
}

#[test]
fn a_late_beginning_is_not_held_for_a_rate() {
    for (seed, late) in (1..=40).flat_map(|seed| [(seed, 1), (seed, 2), (seed, 3)]) {
        let mut world = World::new(seed);
        let mut estimator = LeaderEstimator::new();
        for _ in 0..late {
            estimator.observe(&world.sync(|draw| queue(draw) + 1.2e6));
        }
        for _ in 0..160 {
            estimator.observe(&world.sync(queue));
        }
        let line = estimator.line(world.raw()).unwrap();
        let error = line.rate.ppb() + world.rate();
        assert!(error.abs() < 10e3, "{late} late, seed {seed}: {error}");
    }
}

#[test]
fn symmetric_noise_is_averaged() {
    let (rate, phase) = hour(1, |draw| 500.0 * draw.gauss());
    assert!(rate < 15.0, "{rate} ppb");
    assert!(phase < 400.0, "{phase} ns");
}

#[test]
fn half_a_bell_of_400_us_is_still_a_line() {
    let (rate, phase) = hour(1, |draw| 400_000.0 * draw.gauss().abs());
    assert!(rate < 45.0, "{rate} ppb");
    assert!(phase < 8_000.0, "{phase} ns");
}

/// Lets the world settle for ten minutes, changes it, and returns how long until the estimator said so.
fn noticed(change: impl Fn(&mut World), expected: Change) -> f64 {
    let mut world = World::new(3);
    let mut estimator = LeaderEstimator::new();
    while world.t < 600.0 {
        let verdict = estimator.observe(&world.sync(queue));
        assert!(!matches!(verdict, Verdict::Changed(_)), "at {} s: {verdict:?}", world.t);
    }
    change(&mut world);
    loop {
        if estimator.observe(&world.sync(queue)) == Verdict::Changed(expected) {
            return world.t - 600.0;
        }
        assert!(world.t < 660.0, "{expected:?} went unnoticed for a minute");
    }
}

#[test]
fn a_leader_that_turns_is_noticed_within_the_allowance() {
    let faster = noticed(|world| world.leader_ppm = 25.0, Change::Line);
    let slower = noticed(|world| world.leader_ppm = -25.0, Change::Line);
    assert!(faster <= 3.0, "{faster} s");
    assert!(slower <= 5.0, "{slower} s");
}

#[test]
fn a_reboot_begins_another_timescale_and_keeps_the_rate() {
    let mut world = World::new(5);
    let mut estimator = LeaderEstimator::new();
    while world.t < 600.0 {
        estimator.observe(&world.sync(queue));
    }
    let (before, old) = (estimator.timescale(), world.t);
    let rate = estimator.line(world.raw()).unwrap().rate.ppb();
    let verdicts: Vec<Verdict> = (0..4)
        .map(|_| {
            let sync = world.sync(queue);
            let restarted = sync.sent.as_ns() - (old * 1e9) as i64;
            estimator.observe(&sample(sync.received.at.as_ns(), restarted))
        })
        .collect();
    assert_eq!(verdicts[..3], [Verdict::Outlier, Verdict::Outlier, Verdict::NewTimescale]);
    assert_eq!(estimator.timescale(), before.next());
    assert!((estimator.line(world.raw()).unwrap().rate.ppb() - rate).abs() < 500.0);
}

#[test]
fn lone_forgeries_far_off_the_line_change_nothing() {
    let mut world = World::new(5);
    let mut estimator = LeaderEstimator::new();
    for k in 0..2_400 {
        let sync = world.sync(queue);
        let forged = SyncSample { sent: sync.sent + Span::from_ms(5), ..sync };
        if k % 10 == 9 {
            assert_eq!(estimator.observe(&forged), Verdict::Outlier);
        } else {
            estimator.observe(&sync);
        }
    }
    assert_eq!(estimator.timescale(), TimescaleId::default());
    let rate = estimator.line(world.raw()).unwrap().rate.ppb();
    assert!((rate + world.rate()).abs() < 100.0, "{rate}");
}

#[test]
fn forgeries_in_a_row_in_the_leaders_name_must_agree_for_longer_than_a_reboot() {
    let mut world = World::new(5);
    let mut estimator = settled(&mut world);
    let set = |sync: SyncSample| SyncSample { sent: sync.sent + Span::from_ms(5), ..sync };
    for _ in 0..11 {
        assert_eq!(estimator.observe(&set(world.sync(queue))), Verdict::Outlier);
    }
    estimator.observe(&world.sync(queue));
    assert_eq!(estimator.timescale(), TimescaleId::default());
    // One that is really set is believed in the end, later than before for what was heard.
    let needed = (1..=40).find(|_| estimator.observe(&set(world.sync(queue))) == Verdict::NewTimescale);
    assert!(needed.is_some_and(|needed| needed > 12), "{needed:?}");
}

/// Misses of the line that hang together: congestions of a minute.
fn congested(news: &mut News) {
    (0..8_192).for_each(|k| news.take(if k / 240 % 2 == 0 { 20e3 } else { -20e3 }));
    assert!(news.share() < 0.1, "{}", news.share());
}

#[test]
fn the_line_before_a_change_is_weighed_by_the_same_news_as_the_new_one() {
    let mut world = World::new(3);
    let mut estimator = settled(&mut world);
    world.leader_ppm += 25.0;
    let turned = (0..40).any(|_| estimator.observe(&world.sync(queue)) == Verdict::Changed(Change::Line));
    assert!(turned && estimator.former.is_some());
    congested(&mut estimator.news);
    estimator.weigh_news();
    let former = estimator.former.as_ref().map(|former| former.bank.believed().noise.news);
    assert_eq!(former, Some(estimator.news.share()));
}

#[test]
fn what_delays_had_in_common_ends_where_the_noise_changes() {
    let mut world = World::new(3);
    let mut estimator = settled(&mut world);
    congested(&mut estimator.news);
    let louder = |draw: &mut Draw| 400_000.0 * draw.gauss().abs();
    let changed = (0..400).any(|_| estimator.observe(&world.sync(louder)) == Verdict::Changed(Change::Noise));
    assert!(changed);
    assert_eq!(estimator.news.share(), 1.0);
}

#[test]
fn of_another_counter_other_leaders_rates_are_uncertain_too() {
    let mut world = World::new(3);
    let mut estimator = settled(&mut world);
    let (rate, sigma, at) = (Rate::from_ppm(7.0), Rate::from_ppm(0.01), world.raw());
    estimator.memory.keep_known(KnownRate { leader: LEADER, rate, sigma, at });
    estimator.counter_changed(world.raw());
    assert!(estimator.known_rates()[0].sigma.ppm() > 10.0, "{:?}", estimator.known_rates());
}

/// An estimator that has seen five minutes of a world.
fn settled(world: &mut World) -> LeaderEstimator {
    let mut estimator = LeaderEstimator::new();
    for _ in 0..1_200 {
        estimator.observe(&world.sync(|draw| draw.exponential(20e3)));
    }
    estimator
}

#[test]
fn an_earlier_runs_line_is_continued_and_its_bounds_hold() {
    let mut world = World::new(3);
    let before = settled(&mut world);
    let prior = before.prior(world.raw()).unwrap();
    // Half a minute in which nobody listens.
    for _ in 0..120 {
        world.sync(|draw| draw.exponential(20e3));
    }
    let mut after = LeaderEstimator::new();
    after.resume(&prior, &[]);
    assert!(after.last_sample().is_none() && after.prior(world.raw()).is_none());
    let verdict = after.observe(&world.sync(|draw| draw.exponential(20e3)));
    assert_eq!(verdict, Verdict::Accepted);
    assert_eq!(after.timescale(), before.timescale());
    let line = after.line(world.raw()).unwrap();
    assert!((line.rate.ppb() + world.rate()).abs() < 3.29 * line.rate_sigma.ppb(), "{line:?}");
    assert!(line.rate_sigma.ppb() < 100.0 && line.sigma < Span::from_us(5), "{line:?}");
}

#[test]
fn an_earlier_runs_line_that_does_not_fit_is_given_up() {
    let mut world = World::new(4);
    let mut prior = settled(&mut world).prior(world.raw()).unwrap();
    prior.line.a = prior.line.a + Span::from_secs(77);
    let mut after = LeaderEstimator::new();
    after.resume(&prior, &[]);
    let verdicts: Vec<_> =
        (0..3).map(|_| after.observe(&world.sync(|draw| draw.exponential(20e3)))).collect();
    assert_eq!(verdicts, [Verdict::Outlier, Verdict::Outlier, Verdict::NewTimescale]);
    assert_ne!(after.timescale(), TimescaleId::default());
    let line = after.line(world.raw()).unwrap();
    assert!(line.rate_sigma.ppm() > 50.0, "its rate says nothing either: {line:?}");
}

#[test]
fn a_rate_from_before_a_boot_is_one_guess_among_others() {
    for (guess_ppm, until) in [(-23.0, 80), (-23.0 + 5.0, 100), (150.0, 120)] {
        let mut world = World::new(5);
        let mut prior = settled(&mut World::new(6)).prior(Timestamp::from_ns(0)).unwrap();
        prior.line.rate = Rate::from_ppm(guess_ppm);
        let mut estimator = LeaderEstimator::new();
        estimator.expect(&prior, Rate::from_ppm(3.0));
        for _ in 0..until {
            estimator.observe(&world.sync(|draw| draw.exponential(20e3)));
        }
        let line = estimator.line(world.raw()).unwrap();
        let error = (line.rate.ppb() + world.rate()).abs();
        assert!(error < 3.29 * line.rate_sigma.ppb() && error < 500.0, "{guess_ppm}: {error} {line:?}");
        assert_eq!(estimator.timescale(), TimescaleId::default(), "{guess_ppm}");
    }
}

#[test]
fn a_pause_keeps_the_timescale_and_a_leap_of_the_leader_does_not() {
    for (syncs_too, expected) in [(true, true), (false, false)] {
        let mut world = World::new(7);
        let mut estimator = settled(&mut world);
        let timescale = estimator.timescale();
        let mut verdict = Verdict::Accepted;
        for _ in 0..3 {
            let mut sample = world.sync(|draw| draw.exponential(20e3));
            sample.sent = sample.sent + Span::from_secs(600);
            sample.sequence = sample.sequence.wrapping_add(if syncs_too { 2_400 } else { 0 });
            verdict = estimator.observe(&sample);
        }
        assert_eq!(matches!(verdict, Verdict::Paused(_)), expected, "{verdict:?}");
        assert_eq!(estimator.timescale() == timescale, expected);
        if let Verdict::Paused(length) = verdict {
            assert!((length - Span::from_secs(600)).abs() < Span::from_ms(1), "{length}");
        }
    }
}

#[test]
fn a_leader_that_comes_back_is_followed_with_the_rate_it_had() {
    const OTHER: LeaderId =
        LeaderId::V1 { technology: 1, uuid: [9; 6], port: 1, subdomain: DEFAULT_SUBDOMAIN };
    let mut world = World::new(8);
    let mut estimator = settled(&mut world);
    let elsewhere = |world: &mut World, estimator: &mut LeaderEstimator, leader, ppm: f64, count| {
        let epoch = if leader == OTHER { 1_000_000 } else { 0 };
        world.leader_ppm = ppm;
        for _ in 0..count {
            let mut sample = world.sync(|draw| draw.exponential(20e3));
            sample.sent = sample.sent + Span::from_secs(epoch);
            sample.leader = leader;
            estimator.observe(&sample);
        }
        estimator.line(world.raw()).unwrap()
    };
    let line = elsewhere(&mut world, &mut estimator, OTHER, 20.0, 4);
    assert!(line.rate_sigma.ppm() > 5.0, "a stranger's rate is unknown: {line:?}");
    elsewhere(&mut world, &mut estimator, OTHER, 20.0, 1_200);
    let line = elsewhere(&mut world, &mut estimator, LEADER, 0.0, 4);
    assert!(line.rate_sigma.ppm() < 0.3, "{line:?}");
    assert!((line.rate.ppb() + world.rate()).abs() < 3.29 * line.rate_sigma.ppb(), "{line:?}");
}

#[test]
fn a_leader_that_was_silent_for_a_week_is_a_line_again() {
    let wire = |draw: &mut Draw| 300.0 * draw.gauss() + draw.exponential(60.0);
    let switch = |draw: &mut Draw| 100.0 * draw.gauss() + draw.exponential(1_000.0);
    for (seed, delay) in (1..=4).flat_map(|seed| [(seed, wire as fn(&mut Draw) -> f64), (seed, switch)]) {
        let mut world = World::new(seed);
        let mut estimator = LeaderEstimator::new();
        for _ in 0..2_400 {
            estimator.observe(&world.sync(delay));
        }
        let timescale = estimator.timescale();
        // The crystals have gone on as they are assumed to.
        let week = 7.0 * 86_400.0;
        world.t += week;
        world.phase += world.rate() * week + 3.0 * (week.powi(3) / 3.0).sqrt() * world.draw.gauss();
        for _ in 0..480 {
            estimator.observe(&world.sync(delay));
        }
        let line = estimator.line(world.raw()).unwrap();
        let off = (line.rate.ppb() + world.rate()).abs();
        let bound = BOUND_SIGMAS * line.rate_sigma.ppb();
        assert!(off <= bound && bound < 500.0, "{seed}: {off} ± {bound}");
        assert_eq!(estimator.timescale(), timescale);
        assert!(estimator.bank.unwrap().believed().phase.is_finite());
    }
}

#[test]
fn a_line_that_is_no_number_is_given_up() {
    let mut world = World::new(1);
    let mut estimator = settled(&mut world);
    let bank = estimator.bank.as_mut().unwrap();
    let broken = Filter { phase: f64::NAN, ..*bank.believed() };
    bank.refit(&broken);
    for _ in 0..240 {
        estimator.observe(&world.sync(queue));
    }
    let line = estimator.line(world.raw()).unwrap();
    assert!((line.rate.ppb() + world.rate()).abs() < 1_000.0, "{line:?}");
}

#[test]
fn of_a_leader_that_is_left_the_rate_is_kept_that_was_told() {
    let mut world = World::new(3);
    let mut estimator = settled(&mut world);
    for _ in 0..2_400 {
        estimator.observe(&world.sync(queue));
    }
    assert!(estimator.earliest_is_told);
    let told = estimator.line(world.raw()).unwrap();
    let other = LeaderId::V1 { technology: 1, uuid: [3; 6], port: 1, subdomain: DEFAULT_SUBDOMAIN };
    (0..12).for_each(|_| {
        let sync = world.sync(queue);
        estimator.observe(&SyncSample { leader: other, sent: sync.sent + Span::from_secs(900), ..sync });
    });
    let kept = estimator.known_rates()[0];
    assert_eq!(kept.leader, LEADER);
    // Not the first line's, which differs by some ppb.
    assert!((kept.rate.ppb() - told.rate.ppb()).abs() < 0.01, "{kept:?} {told:?}");
}
