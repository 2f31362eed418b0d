//! Two computers that follow the same leader: how far apart their clocks are.
//!
//! Each lives in a world of its own, with its own oscillator, path, NTP noise and seed. What they share is what is
//! true: the leader's clock and UTC, which depend on the scenario alone. (When the leader's packets leave depends
//! on the seed, by some µs; both ends of an interval know that from the stamps.)

use serde::Deserialize;

use super::oracle::{RunResult, Second, is_steady};
use super::plan::OscillatorPlan;
use super::scenario::{Scenario, ScenarioError};
use super::statistics::{largest, rms};

/// What is different about the other computer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TwinPlan {
    pub(super) oscillator: OscillatorPlan,
    /// Its system clock minus UTC at the start.
    pub(super) start_offset_ms: f64,
}

impl Default for TwinPlan {
    fn default() -> Self {
        let oscillator = OscillatorPlan { offset_ppm: -31.0, ..OscillatorPlan::default() };
        Self { oscillator, start_offset_ms: -35.0 }
    }
}

impl TwinPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        self.oscillator.check()
    }
}

/// Seeds of the other computers are this far from those of the first ones.
const SEED_APART: u64 = 1 << 32;

/// The seed of the other computer's world.
pub(super) fn seed_of(seed: u64) -> u64 {
    seed.wrapping_add(SEED_APART)
}

/// Compares the clocks of both computers, second by second, in the first one's figures.
pub(super) fn compare(scenario: &Scenario, mut one: RunResult, other: &RunResult) -> RunResult {
    let differences = differences(scenario, &one.seconds, &other.seconds);
    let rates = differences.windows(2).filter_map(|pair| match pair {
        // Only over whole seconds: a figure of one computer may be missing.
        [(then, from), (now, to)] if (now - then - 1.0).abs() < 1e-6 => Some(to - from),
        _ => None,
    });
    one.figures.twin_rate_rms_ppm = rms(rates) / 1e3;
    one.figures.twin_rate_ppm = slope(&differences).abs() / 1e3;
    one.figures.twin_rms_us = rms(differences.iter().map(|(_, ns)| *ns)) / 1e3;
    one.figures.twin_max_us = largest(differences.iter().map(|(_, ns)| *ns)) / 1e3;
    one
}

/// Steady seconds that both have, and the first clock minus the second in ns.
fn differences(scenario: &Scenario, one: &[Second], other: &[Second]) -> Vec<(f64, f64)> {
    let mut others = other.iter().peekable();
    let mut differences = Vec::new();
    for second in one.iter().filter(|second| is_steady(scenario, second.t_s)) {
        while others.next_if(|other| other.t_s < second.t_s).is_some() {}
        if let Some(other) = others.peek().filter(|other| (other.t_s - second.t_s).abs() < 1e-6) {
            differences.push((second.t_s, second.utc_ns - other.utc_ns));
        }
    }
    differences
}

/// The slope of the straight line that fits best, in ns per s; NaN of less than two points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count: f64 = points.iter().map(|_| 1.0).sum();
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (t_mean, d_mean) = (mean(|it| it.0), mean(|it| it.1));
    let products = points.iter().map(|(t, d)| (t - t_mean) * (d - d_mean)).sum::<f64>();
    products / points.iter().map(|(t, _)| (t - t_mean).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::super::{run, summarise};
    use super::*;

    #[test]
    fn a_computer_beside_one_that_runs_away_is_seen() {
        // One follows UTC, the world's leader leaves it: only a difference of the two would show it.
        let text = "duration_s = 1500.0\n[twin]\n[limits]\ntwin_rate_rms_ppm = 0.05\ntwin_rms_us = 1000.0";
        let scenario = Scenario::from_toml(text).unwrap();
        let result = run(&scenario, 1);
        let figures = &result.figures;
        assert!(figures.twin_rate_rms_ppm > 0.005 && figures.twin_rate_rms_ppm < 0.05, "{figures:?}");
        let mut tilted = result.clone();
        tilted.seconds.iter_mut().for_each(|second| second.utc_ns += second.t_s * 100.0);
        let apart = compare(&scenario, tilted, &result).figures;
        assert!((apart.twin_rate_rms_ppm - 0.1).abs() < 1e-6, "{}", apart.twin_rate_rms_ppm);
        assert!((apart.twin_rate_ppm - 0.1).abs() < 1e-6, "{}", apart.twin_rate_ppm);
        assert!(apart.twin_max_us > 149.0 && apart.twin_rms_us > 100.0 && apart.twin_rms_us < 150.0);
        let failing = summarise(
            &scenario,
            &[compare(&scenario, result.clone(), &RunResult { seconds: Vec::new(), ..result })],
        );
        assert!(failing.checks.iter().any(|check| check.name == "twin_rms_us" && !check.passed()));
    }

    #[test]
    fn without_a_twin_there_is_no_difference() {
        let result = run(&Scenario::from_toml("duration_s = 60.0\nsteady_from_s = 30.0").unwrap(), 1);
        assert!(result.figures.twin_rms_us.is_nan() && result.figures.twin_rate_rms_ppm.is_nan());
    }
}
