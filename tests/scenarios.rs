//! The scenarios of the table, with few seeds, in virtual time: what is reached must stay reached.
//!
//! A figure that misses its limit is in [`KNOWN`]; the list can only shrink. More seeds and all scenarios:
//! `dantetimesync simulate scenarios/*.toml`.

#![allow(clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;

use dantetimesync::clock::{ClockError, KernelStatus, Reading, SystemClock};
use dantetimesync::controller::PtpController;
use dantetimesync::sim::command::play;
use dantetimesync::sim::{
    Follower, RunResult, Scenario, SimClock, SimNetwork, SimNtp, Summary, run, run_with, summarise, table,
};
use dantetimesync::snapshot::Snapshot;
use dantetimesync::time::{Rate, Raw, Span, Timestamp};

/// Enough to catch what is not luck; the table pools 20.
const SEEDS: u64 = 2;

/// Figures that do not keep their limits yet, by scenario file and the check's name.
const KNOWN: &[(&str, &str)] = &[];

fn scenario(file: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{file}.toml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Plays a scenario and compares what misses its limit with what is known to.
#[track_caller]
fn holds(file: &str) {
    let scenario = scenario(file);
    let summary = summarise(&scenario, &play(&scenario, SEEDS));
    let judged = summary.checks.iter().filter(|check| check.at_least.or(check.at_most).is_some()).count();
    assert!(judged >= 2, "{file} judges nothing");
    let failing = failing(&summary);
    let known: Vec<&str> = KNOWN.iter().filter(|(of, _)| *of == file).map(|(_, check)| *check).collect();
    let worse: Vec<_> = failing.iter().filter(|check| !known.contains(check)).collect();
    assert!(
        worse.is_empty(),
        "{file}: no longer reached: {worse:?}\n{}",
        table(std::slice::from_ref(&summary))
    );
    let better: Vec<_> = known.iter().filter(|check| !failing.contains(check)).collect();
    assert!(better.is_empty(), "{file}: now reached, remove from KNOWN: {better:?}");
}

fn failing(summary: &Summary) -> Vec<&str> {
    summary.checks.iter().filter(|check| !check.passed()).map(|check| check.name.as_str()).collect()
}

macro_rules! scenarios {
    ($($test:ident: $file:literal,)*) => {
        $(#[test]
        fn $test() {
            holds($file);
        })*

        #[test]
        fn what_is_known_to_fail_is_played() {
            let played = [$($file),*];
            for (file, check) in KNOWN {
                assert!(played.contains(file), "{check} of {file}, which no test plays");
            }
        }
    };
}

scenarios! {
    s1_the_base_world: "s1",
    s1u_utc_is_followed: "s1u",
    s5_an_aes67_device_beside_the_leader: "s5",
    s6b_forged_syncs: "s6b",
    s8_another_leader_takes_over: "s8",
    s8c_the_leader_reboots: "s8c",
    s9_the_leader_is_silent_for_20_minutes: "s9",
    s10_ntp_never_answers: "s10",
    s10c_ntp_answers_late: "s10c",
    s15a_somebody_steps_the_clock: "s15a",
    s15b_somebody_slews_the_clock: "s15b",
}

#[test]
fn every_scenario_can_be_read_and_judges_something() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut ids = std::collections::BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the folder of scenarios") {
        let path = entry.expect("an entry").path();
        let file = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let scenario = scenario(&file);
        assert_eq!(scenario.id().to_lowercase(), file, "the file is named after the scenario");
        assert!(!scenario.title().is_empty(), "{file}");
        assert!(ids.insert(scenario.id().to_owned()), "{file}: {} is there twice", scenario.id());
    }
    assert!(ids.len() >= 40, "{}", ids.len());
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let scenario = scenario("s1").lasting(Span::from_secs(700));
    let figures = |seed| table(&[summarise(&scenario, &[run(&scenario, seed)])]);
    assert_eq!(figures(1), figures(1));
    assert_ne!(figures(1), figures(2));
}

/// How a clock disobeys while it claims not to.
#[derive(Clone, Copy, PartialEq)]
enum Bend {
    Not,
    /// It runs slower where it was told to run faster.
    SignReversed,
    /// It keeps its rate from this time on.
    StuckAfter(Span),
}

struct BentClock {
    clock: SimClock,
    bend: Bend,
    started: Timestamp<Raw>,
}

impl SystemClock for BentClock {
    fn raw_now(&mut self) -> Timestamp<Raw> {
        self.clock.raw_now()
    }
    fn read(&mut self) -> Result<Reading, ClockError> {
        self.clock.read()
    }
    fn set_rate(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        match self.bend {
            Bend::Not => self.clock.set_rate(rate),
            Bend::SignReversed => self.clock.set_rate(-rate).map(|set| -set),
            Bend::StuckAfter(after) if self.clock.raw_now() - self.started > after => Ok(rate),
            Bend::StuckAfter(_) => self.clock.set_rate(rate),
        }
    }
    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        self.clock.step(by)
    }
    fn set_status(&mut self, status: KernelStatus) -> Result<(), ClockError> {
        self.clock.set_status(status)
    }
    fn rate(&mut self) -> Result<Rate, ClockError> {
        self.clock.rate()
    }
}

/// The real controller on a clock that may disobey, with bounds that may be falsified.
struct Bent {
    controller: PtpController<SimNetwork, BentClock, SimNtp>,
    bound_factor: f64,
}

impl Follower for Bent {
    fn turn(&mut self) {
        self.controller.turn();
    }
    fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = self.controller.snapshot();
        let factor = self.bound_factor;
        snapshot.offset.iter_mut().for_each(|it| it.bound_ns *= factor);
        snapshot.rate.iter_mut().for_each(|it| it.bound_ppb *= factor);
        snapshot.utc.iter_mut().for_each(|it| it.offset.bound_ns *= factor);
        snapshot
    }
}

fn bent(bend: Bend, bound_factor: f64) -> (Summary, RunResult) {
    // The base world's oscillator wanders, so that a clock which is not steered is wrong.
    let text = "duration_s = 1500.0\n[limits]\nrate_rms_ppm = 0.05\n";
    let scenario = Scenario::from_toml(text).expect("a scenario");
    let result = run_with(&scenario, 1, |config, network, mut clock, ntp| {
        let clock = BentClock { started: clock.raw_now(), clock, bend };
        Bent { controller: PtpController::new(config, network, clock, ntp, 1), bound_factor }
    });
    (summarise(&scenario, std::slice::from_ref(&result)), result)
}

#[test]
fn a_controller_whose_clock_obeys_is_judged_good() {
    let (summary, _) = bent(Bend::Not, 1.0);
    assert_eq!(failing(&summary), Vec::<&str>::new(), "{}", table(std::slice::from_ref(&summary)));
}

#[test]
fn a_controller_whose_clock_turns_the_wrong_way_is_judged_bad_and_claims_no_lock() {
    let (summary, result) = bent(Bend::SignReversed, 1.0);
    let table = table(std::slice::from_ref(&summary));
    assert!(failing(&summary).contains(&"rate_rms_ppm"), "{table}");
    assert!(result.figures.false_lock_s < 60.0, "{table}");
}

#[test]
fn a_controller_whose_clock_is_stuck_is_judged_bad_and_claims_no_lock() {
    let (summary, result) = bent(Bend::StuckAfter(Span::from_secs(300)), 1.0);
    let table = table(std::slice::from_ref(&summary));
    assert!(failing(&summary).contains(&"rate_rms_ppm"), "{table}");
    assert!(result.figures.false_lock_s < 60.0, "{table}");
}

#[test]
fn bounds_that_are_too_narrow_or_too_wide_are_judged_bad() {
    let (narrow, _) = bent(Bend::Not, 0.1);
    assert!(failing(&narrow).contains(&"bound_ok"), "{}", table(std::slice::from_ref(&narrow)));
    let (wide, _) = bent(Bend::Not, 100.0);
    let failing = failing(&wide);
    assert!(failing.contains(&"bound_ratio") && !failing.contains(&"bound_ok"), "{failing:?}");
}
