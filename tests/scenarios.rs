//! All scenarios, with few seeds, in virtual time: what is reached must stay reached.
//!
//! A figure that misses its limit is in [`dantetimesync::sim::catalogue::KNOWN`]. More seeds, and the scenarios
//! that take too long here: `dantetimesync bench`.

use dantetimesync::clock::{ClockError, KernelStatus, Reading, SystemClock};
use dantetimesync::controller::PtpController;
use dantetimesync::sim::catalogue::{catalogue, known};
use dantetimesync::sim::runner::{Row, play_rows};
use dantetimesync::sim::{
    Follower, RunResult, Scenario, SimClock, SimNetwork, SimNtp, Summary, run, run_with, snapshot_of,
    summarise, table,
};
use dantetimesync::snapshot::Snapshot;
use dantetimesync::time::{Rate, Raw, Span, Timestamp};

/// Enough to catch what is not luck; the table pools 20.
const SEEDS: u64 = 2;

/// Longer worlds are left to `bench`.
const LONGEST: Span = Span::from_secs(6 * 3_600);

#[test]
fn what_is_reached_stays_reached() {
    let mut scenarios = catalogue().expect("every scenario can be read");
    scenarios.retain(|scenario| scenario.duration() <= LONGEST);
    let few = |scenario: Scenario| Row { seeds: 1..=SEEDS.min(scenario.seeds()), scenario };
    let rows: Vec<Row> = scenarios.into_iter().map(few).collect();
    let mut report = String::new();
    play_rows(
        &rows,
        |_| {},
        |row, played| {
            let summary = summarise(&row.scenario, &played.runs);
            let judged = summary.checks.iter().filter(|check| check.at_least.or(check.at_most).is_some());
            assert!(judged.count() >= 2, "{} judges nothing", summary.id);
            if failing(&summary).iter().any(|figure| known(&summary.id, figure, SEEDS).is_none()) {
                report += &table(std::slice::from_ref(&summary));
            }
        },
    );
    assert!(report.is_empty(), "no longer reached:\n{report}");
}

fn failing(summary: &Summary) -> Vec<&str> {
    summary.checks.iter().filter(|check| !check.passed()).map(|check| check.name.as_str()).collect()
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let scenario = Scenario::from_toml("duration_s = 700.0").expect("a scenario");
    let figures = |seed| snapshot_of(&[summarise(&scenario, &[run(&scenario, seed)])]);
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
