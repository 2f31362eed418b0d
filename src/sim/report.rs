//! Seeds pooled, judged against the scenario's limits, and written down.
//!
//! Pooled over seeds: root mean squares as the root of the mean square, bound shares and rates of events as the
//! mean, bound ratios as the median, everything else as the worst seed.

#![allow(clippy::as_conversions, reason = "a number of seeds")]

use std::fmt::Write as _;

use super::oracle::{DisturbanceFigures, Figures, RunResult, Second, median};
use super::scenario::{DisturbancePlan, Limits, Scenario};

/// One row of the table.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Summary {
    /// The scenario's short name.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// How many seeds were played.
    pub seeds: usize,
    /// Every column, judged where the scenario has a limit for it.
    pub checks: Vec<Check>,
}

impl Summary {
    /// Whether every limit was kept.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(Check::passed)
    }
}

/// A figure and what it must be. The name carries the unit.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Check {
    /// The column, after `event@seconds` where it belongs to a disturbance.
    pub name: String,
    /// The pooled figure; `null` in JSON when it does not exist or was never reached.
    pub value: f64,
    /// The least that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The most that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

impl Check {
    /// Whether the limits are kept; a figure that does not exist keeps none.
    pub fn passed(&self) -> bool {
        self.at_least.is_none_or(|limit| self.value >= limit)
            && self.at_most.is_none_or(|limit| self.value <= limit)
    }

    fn is_judged(&self) -> bool {
        self.at_least.is_some() || self.at_most.is_some()
    }
}

/// How the figures of several seeds become one.
#[derive(Debug, Clone, Copy)]
enum Pool {
    Worst,
    Rms,
    Mean,
    Median,
}

impl Pool {
    fn apply(self, values: Vec<f64>) -> f64 {
        let count = values.len() as f64;
        // A seed without the figure must not hide behind the others: NaN spreads, except in a median.
        match self {
            Self::Worst if values.iter().any(|value| value.is_nan()) => f64::NAN,
            Self::Worst => values.into_iter().fold(f64::NAN, f64::max),
            Self::Rms => (values.iter().map(|value| value * value).sum::<f64>() / count).sqrt(),
            Self::Mean => values.iter().sum::<f64>() / count,
            Self::Median => median(values),
        }
    }
}

/// A column: name, how it is pooled, where it is found, and its limits (least and most).
type Column = (&'static str, Pool, fn(&Figures) -> f64, fn(&Limits) -> [Option<f64>; 2]);

const COLUMNS: [Column; 22] = [
    ("lock_s", Pool::Worst, |it| it.lock_s, |it| [None, it.lock_s]),
    ("settle_s", Pool::Worst, |it| it.settle_s, |it| [None, it.settle_s]),
    ("rate_rms_ppm", Pool::Rms, |it| it.rate_rms_ppm, |it| [None, it.rate_rms_ppm]),
    ("rate_max_ppm", Pool::Worst, |it| it.rate_max_ppm, |it| [None, it.rate_max_ppm]),
    ("phase_rms_us", Pool::Rms, |it| it.phase_rms_us, |it| [None, it.phase_rms_us]),
    ("phase_pp_us", Pool::Worst, |it| it.phase_pp_us, |it| [None, it.phase_pp_us]),
    ("phase_constant_us", Pool::Worst, |it| it.phase_constant_us, |_| [None, None]),
    ("utc_rms_us", Pool::Rms, |it| it.utc_rms_us, |it| [None, it.utc_rms_us]),
    ("utc_max_us", Pool::Worst, |it| it.utc_max_us, |it| [None, it.utc_max_us]),
    ("ntp_per_h", Pool::Worst, |it| it.ntp_per_h, |it| [None, it.ntp_per_h]),
    ("steps", Pool::Worst, |it| it.steps, |it| [None, it.steps]),
    ("backward", Pool::Worst, |it| it.backward, |it| [None, it.backward]),
    ("false_lock_s", Pool::Worst, |it| it.false_lock_s, |it| [None, it.false_lock_s]),
    ("demote_per_day", Pool::Mean, |it| it.demote_per_day, |it| [None, it.demote_per_day]),
    ("bound_ok", Pool::Mean, |it| it.bound_ok, |it| [it.bound_ok, None]),
    ("bound_ok_offset", Pool::Mean, |it| it.bound_ok_offset, |_| [None, None]),
    ("bound_ok_rate", Pool::Mean, |it| it.bound_ok_rate, |_| [None, None]),
    ("bound_ok_utc", Pool::Mean, |it| it.bound_ok_utc, |_| [None, None]),
    (
        "bound_ratio",
        Pool::Median,
        |it| it.bound_ratio,
        |it| it.bound_ratio.map_or([None; 2], |it| it.map(Some)),
    ),
    ("bound_ratio_rate", Pool::Median, |it| it.bound_ratio_rate, |_| [None, None]),
    ("bound_ratio_utc", Pool::Median, |it| it.bound_ratio_utc, |_| [None, None]),
    ("overflowed", Pool::Worst, |it| it.overflowed, |_| [None, None]),
];

/// A figure of a disturbance: name, where it is found, and its limit.
type After = (&'static str, fn(&DisturbanceFigures) -> f64, fn(&DisturbancePlan) -> Option<f64>);

const AFTER: [After; 6] = [
    ("settle_s", |it| it.settle_s, |it| it.settle_s),
    ("leave_s", |it| it.leave_s, |it| it.leave_s),
    ("relock_s", |it| it.relock_s, |it| it.relock_s),
    ("pull_in_s", |it| it.pull_in_s, |it| it.pull_in_s),
    ("phase_us", |it| it.phase_us, |it| it.phase_us),
    ("rate_ppm", |it| it.rate_ppm, |it| it.rate_ppm),
];

/// Pools the runs of a scenario and judges them.
pub fn summarise(scenario: &Scenario, runs: &[RunResult]) -> Summary {
    let mut checks = Vec::new();
    for (name, pool, figure, limit) in COLUMNS {
        let value = pool.apply(runs.iter().map(|run| figure(&run.figures)).collect());
        let [at_least, at_most] = limit(&scenario.limits);
        checks.push(Check { name: name.to_owned(), value, at_least, at_most });
    }
    for (index, plan) in scenario.disturbance.iter().enumerate() {
        for (name, figure, limit) in AFTER {
            let values = runs.iter().map(|run| run.disturbances.get(index).map_or(f64::NAN, figure));
            let value = Pool::Worst.apply(values.collect());
            let name = format!("{}@{}.{name}", plan.what, plan.at_s);
            checks.push(Check { name, value, at_least: None, at_most: limit(plan) });
        }
    }
    Summary { id: scenario.id.clone(), title: scenario.title.clone(), seeds: runs.len(), checks }
}

/// The rows as text: every scenario with its verdict, and below it every figure that has a limit.
pub fn table(rows: &[Summary]) -> String {
    let mut text = String::new();
    for row in rows {
        let verdict = if row.passed() { "PASS" } else { "FAIL" };
        let _ = writeln!(text, "{verdict}  {:<10} {} ({} seeds)", row.id, row.title, row.seeds);
        for check in &row.checks {
            let verdict = match (check.is_judged(), check.passed()) {
                (false, _) => "  · ",
                (true, true) => "  ok",
                (true, false) => "FAIL",
            };
            let _ =
                writeln!(text, "  {verdict} {:<34} {:>12}{}", check.name, number(check.value), limits(check));
        }
    }
    text
}

fn limits(check: &Check) -> String {
    match (check.at_least, check.at_most) {
        (Some(least), Some(most)) => format!("  {least} to {most}"),
        (Some(least), None) => format!("  >= {least}"),
        (None, Some(most)) => format!("  <= {most}"),
        (None, None) => String::new(),
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "none".to_owned()
    } else if value.is_infinite() {
        "never".to_owned()
    } else if value == 0.0 || value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.4}")
    }
}

/// Second by second, as comma separated values with a heading.
pub fn csv(seconds: &[Second]) -> String {
    let mut text = "t_s,state,phase_ns,offset_ns,offset_bound_ns,rate_ppb,rate_now_ppb,shown_rate_ppb,\
                    rate_bound_ppb,utc_ns,shown_utc_ns,utc_bound_ns,segment\n"
        .to_owned();
    for it in seconds {
        let [offset, utc] = [it.shown_offset, it.shown_utc].map(|shown| match shown {
            Some(shown) => format!("{:.0},{:.0}", shown.value_ns, shown.bound_ns),
            None => ",".to_owned(),
        });
        let rate = match it.shown_rate {
            Some(shown) => format!("{:.2},{:.2}", shown.value_ppb, shown.bound_ppb),
            None => ",".to_owned(),
        };
        let _ = writeln!(
            text,
            "{:.0},{},{:.0},{offset},{:.2},{:.2},{rate},{:.0},{utc},{}",
            it.t_s, it.state, it.phase_ns, it.rate_ppb, it.rate_now_ppb, it.utc_ns, it.segment
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: f64, at_least: Option<f64>, at_most: Option<f64>) -> bool {
        Check { name: String::new(), value, at_least, at_most }.passed()
    }

    #[test]
    fn a_figure_that_does_not_exist_or_is_never_reached_fails_its_limit() {
        assert!(check(1.0, Some(0.5), Some(1.0)));
        assert!(!check(f64::NAN, None, Some(1.0)));
        assert!(!check(f64::NAN, Some(0.0), None));
        assert!(!check(f64::INFINITY, None, Some(1e300)));
        assert!(check(f64::NAN, None, None));
    }

    #[test]
    fn pooling_hides_no_seed() {
        assert!(Pool::Worst.apply(vec![1.0, f64::NAN, 2.0]).is_nan());
        assert_eq!(Pool::Worst.apply(vec![1.0, 3.0, 2.0]), 3.0);
        assert!((Pool::Rms.apply(vec![3.0, 4.0]) - 12.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Pool::Mean.apply(vec![0.9, 1.0]), 0.95);
        assert_eq!(Pool::Median.apply(vec![5.0, 1.0, 3.0]), 3.0);
    }

    #[test]
    fn no_runs_at_all_pass_nothing() {
        assert!(!summarise(&Scenario::default(), &[]).passed());
    }
}
