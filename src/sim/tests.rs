//! The oracle against followers whose quality is known.

#![allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "tests")]

use super::*;
use crate::clock::{Reading, SystemClock, Timeline};
use crate::net::{Datagram, NetworkEvent, Port, PtpNetwork, Stamp};
use crate::snapshot::{BoundedRate, BoundedTime, LeaderView, State};
use crate::time::{Leader, LeaderId, Line, Rate, Raw, Span, System, TimescaleId, Timestamp};

/// What a follower does with the rate that it has worked out.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    Steer,
    StopAfter(i64),
    SignReversed,
}

/// A plain follower: least squares over the last 20 s, a slew towards the target, fixed bounds.
struct StandIn {
    network: SimNetwork,
    clock: SimClock,
    timeline: Timeline,
    habit: Habit,
    bound_factor: f64,
    sync: Option<(u16, Stamp)>,
    samples: Vec<(Timestamp<Raw>, Timestamp<Leader>)>,
    leader_line: Option<Line<Leader, Raw>>,
    target: Option<Line<System, Leader>>,
    decided: Timestamp<Raw>,
    reading: Reading,
    id: LeaderId,
}

impl StandIn {
    fn new(habit: Habit, bound_factor: f64, network: SimNetwork, mut clock: SimClock) -> Self {
        let reading = clock.read().unwrap();
        let mut timeline = Timeline::new();
        timeline.restart(reading, Rate::ZERO);
        let id = LeaderId::V1 {
            technology: 1,
            uuid: [2, 0x1d, 0xc1, 0, 0, 1],
            port: 1,
            subdomain: *b"_DFLT\0\0\0\0\0\0\0\0\0\0\0",
        };
        Self {
            network,
            clock,
            timeline,
            habit,
            bound_factor,
            sync: None,
            samples: Vec::new(),
            leader_line: None,
            target: None,
            decided: reading.raw,
            reading,
            id,
        }
    }

    fn take(&mut self, datagram: &Datagram) {
        let bytes = datagram.payload.as_slice();
        let long = |at: usize| i64::from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()));
        let short = |at: usize| u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap());
        if (bytes[0], bytes[1]) != (0, 1) || bytes[22..28] != self.id_octets() {
            return;
        }
        match (datagram.port, datagram.stamp) {
            (Port::Event, Ok(stamp)) => self.sync = Some((short(30), stamp)),
            (Port::General, _) => {
                if let Some((_, stamp)) = self.sync.take_if(|(sequence, _)| *sequence == short(42)) {
                    let sent = Timestamp::from_ns(long(44) * 1_000_000_000 + long(48));
                    self.samples.push((stamp.at, sent));
                }
            }
            (Port::Event, Err(_)) => {}
        }
    }

    fn id_octets(&self) -> [u8; 6] {
        let LeaderId::V1 { uuid, .. } = self.id;
        uuid
    }

    fn decide(&mut self) {
        let excess = self.samples.len().saturating_sub(80);
        self.samples.drain(..excess);
        if self.samples.len() < 40 {
            return;
        }
        let line = least_squares(&self.samples);
        self.leader_line = Some(line);
        let before = self.clock.read().unwrap();
        let leader = line.at(before.raw);
        let target = *self.target.get_or_insert(Line::exact(before.system, leader, Rate::ZERO));
        let error = (before.system - target.at(leader)).as_ns_f64();
        let rate = line.rate + Rate::from_ratio(-error / 8e9).clamp(Rate::from_ppm(20.0));
        let rate = match self.habit {
            Habit::Steer => rate,
            Habit::SignReversed => -rate,
            Habit::StopAfter(s) if before.raw - self.reading.raw < Span::from_secs(s) => rate,
            Habit::StopAfter(_) => return,
        };
        let set = self.clock.set_rate(rate).unwrap();
        let after = self.clock.read().unwrap();
        self.timeline.changed(before, after, set);
    }
}

impl Follower for StandIn {
    fn turn(&mut self) {
        self.network.wait(Span::from_ms(500), &mut []).unwrap();
        while let Some(event) = self.network.next_event(&self.timeline).unwrap() {
            if let NetworkEvent::Datagram(datagram) = event {
                self.take(&datagram);
            }
        }
        let now = self.clock.raw_now();
        if now - self.decided >= Span::from_secs(1) {
            self.decided = now;
            self.decide();
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        let reading = self.clock.read().unwrap();
        let error = self
            .target
            .zip(self.leader_line)
            .map(|(target, line)| (reading.system - target.at(line.at(reading.raw))).as_ns_f64());
        Snapshot {
            state: if self.target.is_some() { State::Locked } else { State::Acquiring },
            leader: self.target.map(|_| LeaderView {
                id: self.id,
                stratum: 121,
                preferred: true,
                interface: "eth0".to_owned(),
                interval_ns: 250_000_000,
                age_ns: 0,
            }),
            timescale: TimescaleId(1),
            offset: error.map(|value_ns| BoundedTime { value_ns, bound_ns: 6_000.0 * self.bound_factor }),
            rate: error.map(|_| BoundedRate { value_ppb: 0.0, bound_ppb: 800.0 * self.bound_factor }),
            target: self.target,
            network: self.network.counters(),
            ..Snapshot::before_start(reading.raw, reading.raw, "")
        }
    }
}

fn least_squares(samples: &[(Timestamp<Raw>, Timestamp<Leader>)]) -> Line<Leader, Raw> {
    let (raw0, leader0) = *samples.last().unwrap();
    let pairs = || {
        samples.iter().map(|(raw, leader)| {
            let x = (*raw - raw0).as_ns_f64();
            (x, (*leader - leader0).as_ns_f64() - x)
        })
    };
    let count = samples.len() as f64;
    let (mean_x, mean_y) = pairs().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / count, b + y / count));
    let (over, under) = pairs().fold((0.0, 0.0), |(over, under), (x, y)| {
        (over + (x - mean_x) * (y - mean_y), under + (x - mean_x).powi(2))
    });
    let rate = Rate::from_ratio(over / under);
    let at_raw0 = mean_y - rate.ratio() * mean_x;
    Line::exact(leader0 + Span::from_ns_f64(at_raw0), raw0, rate)
}

const SHORT: &str = "duration_s = 1200.0\nsteady_from_s = 120.0\nid = 'stand-in'\n\
     [path]\nnoise = { law = 'exponential', mean_us = 5.0 }\nspike_probability = 0.0\n";

fn play(text: &str, habit: Habit, bound_factor: f64) -> (Summary, RunResult) {
    let scenario = Scenario::from_toml(&format!("{SHORT}{text}")).unwrap();
    let result =
        run_with(&scenario, 1, |_, network, clock, _| StandIn::new(habit, bound_factor, network, clock));
    (summarise(&scenario, std::slice::from_ref(&result)), result)
}

#[test]
fn a_follower_that_steers_is_judged_by_its_own_noise() {
    let (_, result) = play("", Habit::Steer, 1.0);
    let figures = &result.figures;
    // Least squares over 80 samples of 5 µs is 0.1 ppm; too good is a broken oracle too.
    assert!((0.03..0.3).contains(&figures.rate_rms_ppm), "{figures:?}");
    assert!((0.2..3.0).contains(&figures.phase_rms_us), "{figures:?}");
    assert!(figures.phase_pp_us > 4.0 * figures.phase_rms_us, "{figures:?}");
    assert!((9.0..20.0).contains(&figures.lock_s), "{figures:?}");
    assert!(figures.bound_ok_offset > 0.995 && figures.overflowed == 0.0, "{figures:?}");
    // The target was anchored on a start 20 ms ahead of UTC, and this follower does not step.
    assert!((20_000.0..21_500.0).contains(&figures.utc_max_us), "{figures:?}");
    assert!(result.seconds.len() > 1_180);
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let text = |bound| {
        let (summary, result) = play("", Habit::Steer, bound);
        (table(&[summary]), csv(&result.seconds))
    };
    let (first, second) = (text(1.0), text(1.0));
    assert_eq!(first, second);
    assert_ne!(first, text(2.0));
}

#[test]
fn a_follower_that_stops_adjusting_is_judged_bad() {
    let drift = "[oscillator]\nwave_ppm = 3.0";
    let (summary, result) = play(drift, Habit::StopAfter(60), 1.0);
    assert!(!summary.passed());
    assert!(result.figures.false_lock_s > 500.0, "{:?}", result.figures);
    assert!(result.figures.bound_ok < 0.99 || result.figures.phase_rms_us > 100.0, "{:?}", result.figures);
}

#[test]
fn a_follower_with_the_sign_reversed_is_judged_bad() {
    let (summary, result) = play("", Habit::SignReversed, 1.0);
    assert!(!summary.passed());
    assert!(result.figures.rate_rms_ppm > 20.0 && result.figures.settle_s.is_infinite());
    assert!(result.figures.false_lock_s > 1_000.0);
}

#[test]
fn bounds_too_narrow_and_too_wide_are_judged_bad() {
    let check = |summary: &Summary, name: &str| {
        summary.checks.iter().find(|check| check.name == name).unwrap().passed()
    };
    let (right, _) = play("", Habit::Steer, 1.0);
    assert!(check(&right, "bound_ok") && check(&right, "bound_ratio"), "{}", table(&[right]));
    let (narrow, _) = play("", Habit::Steer, 0.1);
    assert!(!check(&narrow, "bound_ok"), "{}", table(&[narrow]));
    let (wide, _) = play("", Habit::Steer, 100.0);
    assert!(check(&wide, "bound_ok") && !check(&wide, "bound_ratio"), "{}", table(&[wide]));
}

#[test]
fn a_leader_that_turns_faster_is_seen_as_a_disturbance() {
    let text = "[[leader]]\nrate_step = [{ at_s = 600.0, ppm = 25.0 }]\n\
                [[disturbance]]\nat_s = 600.0\nwhat = 'faster'\nallow_s = 3.0\nphase_us = 1.0";
    let (summary, result) = play(text, Habit::Steer, 1.0);
    let after = &result.disturbances[0];
    assert!((20.0..26.5).contains(&after.rate_ppm), "{after:?}");
    assert!((5.0..60.0).contains(&after.settle_s), "{after:?}");
    assert!(after.phase_us > 50.0 && after.pull_in_s > 10.0, "{after:?}");
    assert!(result.figures.false_lock_s > 1.0, "it never leaves Locked: {:?}", result.figures);
    assert!(summary.checks.iter().any(|check| check.name == "faster@600.phase_us" && !check.passed()));
}

#[test]
fn a_silent_leader_behind_a_lock_is_a_false_lock() {
    let text = "[[leader]]\nsilent = [{ from_s = 600.0, until_s = 700.0 }]";
    let (_, result) = play(text, Habit::Steer, 1.0);
    assert!((90.0..=105.0).contains(&result.figures.false_lock_s), "{:?}", result.figures);
}

#[test]
fn strangers_reach_the_follower_and_change_nothing_for_it() {
    let (_, plain) = play("", Habit::Steer, 1.0);
    let (_, crowded) = play("[[stranger]]\nkind = 'ptp_v2'\nper_s = 8.0\n", Habit::Steer, 1.0);
    assert!((crowded.figures.rate_rms_ppm / plain.figures.rate_rms_ppm - 1.0).abs() < 0.5);
    assert_eq!(crowded.figures.overflowed, 0.0);
}

/// A leader 17.6 ppm fast, and the real controller with a limit of 15 ms: reached after 14 minutes.
fn run_away(config: &str) -> Figures {
    let text =
        format!("duration_s = 2200.0\n[[leader]]\nrate_ppm = 17.6\n[config]\nutc_limit = '15ms'\n{config}\n");
    run(&Scenario::from_toml(&text).unwrap(), 1).figures
}

#[test]
fn a_clock_that_is_slewed_back_to_utc_is_as_true_as_ever() {
    let figures = run_away("");
    assert_eq!((figures.slews, figures.steps, figures.false_lock_s), (1.0, 0.0, 0.0), "{figures:?}");
    assert!(figures.slew_max_ppm > 30.0 && figures.slew_max_ppm <= 100.0, "{figures:?}");
    assert!(figures.rate_rms_ppm < 0.035 && figures.rate_max_ppm < 0.15, "{figures:?}");
    assert!(figures.phase_rms_us < 1.5 && figures.bound_ok > 0.99, "{figures:?}");
    assert!(figures.utc_max_us > 14_900.0 && figures.utc_max_us < 16_500.0, "{figures:?}");
}

#[test]
fn a_slew_keeps_to_its_window_and_one_outside_of_it_is_seen() {
    // These worlds begin at 20:26:40.
    let closed = run_away("utc_slew_window = '03:00-04:00'");
    assert_eq!((closed.slews, closed.slew_outside_s), (0.0, 0.0), "{closed:?}");
    assert!(closed.utc_max_us > 30_000.0, "{closed:?}");
    let open = run_away("utc_slew_window = '20:30-22:00'");
    assert_eq!((open.slews, open.slew_outside_s), (1.0, 0.0), "{open:?}");
    // The judge's eye: the same slews, with a judge who thinks of another window.
    let scenario = |window: &str| {
        let text = format!(
            "duration_s = 1200.0\n[[leader]]\nrate_ppm = 17.6\n[config]\nutc_limit = '15ms'\n\
             utc_slew_window = '{window}'\n"
        );
        Scenario::from_toml(&text).unwrap()
    };
    let obeyed = scenario("20:30-22:00").follower_config();
    let result = run_with(&scenario("03:00-04:00"), 1, |_, network, clock, ntp| {
        real_controller(1)(obeyed.clone(), network, clock, ntp)
    });
    assert!(result.figures.slew_outside_s > 100.0, "{:?}", result.figures);
}
