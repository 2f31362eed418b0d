//! Seeds pooled, judged against the scenario's limits, and written down.
//!
//! Pooled over seeds: root mean squares as the root of the mean square, bound shares and rates of events as the
//! mean, bound ratios as the median, everything else as the worst seed.

#![allow(clippy::as_conversions, reason = "a number of seeds")]

use std::fmt::Write as _;

use super::oracle::{DisturbanceFigures, Figures, RunResult, Second};
use super::scenario::{DisturbancePlan, Limits, Scenario};
use super::statistics::median;

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
    /// Processor time, which differs from computer to computer and is no part of the verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Check>,
}

impl Summary {
    /// Whether every limit was kept.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(Check::passed)
    }

    /// With what it cost: seconds of processor time for an hour of the world.
    #[must_use]
    pub fn costing(mut self, scenario: &Scenario, cpu_s_per_h: Option<f64>) -> Self {
        let at_most = Some(scenario.limits.cpu_s_per_h);
        let check =
            |value| Check { name: "cpu_s_per_simulated_h".to_owned(), value, at_least: None, at_most };
        self.cost = cpu_s_per_h.map(check);
        self
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

    /// The value as a share of the most that passes.
    pub(super) fn share_of_limit(&self) -> f64 {
        self.value / self.at_most.unwrap_or(f64::INFINITY)
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<28} {:>10}{}", self.name, number(self.value), limits(self))
    }
}

/// How the figures of several seeds become one.
#[derive(Debug, Clone, Copy)]
enum Pool {
    /// The largest.
    Worst,
    /// The smallest, of figures that must be large.
    Least,
    Rms,
    Mean,
    /// Of the seeds that have the figure.
    MeanOfSome,
    Median,
}

impl Pool {
    fn apply(self, mut values: Vec<f64>) -> f64 {
        if let Self::MeanOfSome = self {
            values.retain(|value| !value.is_nan());
        }
        let count = values.len() as f64;
        // A seed without the figure must not hide behind the others: NaN spreads, except in a median.
        match self {
            Self::Worst | Self::Least if values.iter().any(|value| value.is_nan()) => f64::NAN,
            Self::Least => values.into_iter().fold(f64::NAN, f64::min),
            Self::Worst => values.into_iter().fold(f64::NAN, f64::max),
            Self::Rms => (values.iter().map(|value| value * value).sum::<f64>() / count).sqrt(),
            Self::Mean | Self::MeanOfSome => values.iter().sum::<f64>() / count,
            Self::Median => median(values),
        }
    }
}

/// A column: name, how it is pooled, where it is found, and its limits (least and most).
type Column = (&'static str, Pool, fn(&Figures) -> f64, fn(&Limits) -> [Option<f64>; 2]);

const COLUMNS: [Column; 30] = [
    ("lock_s", Pool::Worst, |it| it.lock_s, |it| [None, it.lock_s]),
    ("settle_s", Pool::Worst, |it| it.settle_s, |it| [None, it.settle_s]),
    ("rate_rms_ppm", Pool::Rms, |it| it.rate_rms_ppm, |it| [None, it.rate_rms_ppm]),
    ("rate_max_ppm", Pool::Worst, |it| it.rate_max_ppm, |it| [None, it.rate_max_ppm]),
    ("phase_rms_us", Pool::Rms, |it| it.phase_rms_us, |it| [None, it.phase_rms_us]),
    ("phase_pp_us", Pool::Worst, |it| it.phase_pp_us, |it| [None, it.phase_pp_us]),
    ("phase_constant_us", Pool::Worst, |it| it.phase_constant_us, |_| [None, None]),
    ("utc_rms_us", Pool::Rms, |it| it.utc_rms_us, |it| [None, it.utc_rms_us]),
    ("utc_max_us", Pool::Worst, |it| it.utc_max_us, |it| [None, it.utc_max_us]),
    ("slews", Pool::Worst, |it| it.slews, |it| [None, it.slews]),
    ("slew_max_ppm", Pool::Worst, |it| it.slew_max_ppm, |it| [None, it.slew_max_ppm]),
    ("slew_outside_s", Pool::Worst, |it| it.slew_outside_s, |it| [None, it.slew_outside_s]),
    ("twin_rate_ppm", Pool::Worst, |it| it.twin_rate_ppm, |it| [None, it.twin_rate_ppm]),
    ("twin_rate_rms_ppm", Pool::Rms, |it| it.twin_rate_rms_ppm, |it| [None, it.twin_rate_rms_ppm]),
    ("twin_rms_us", Pool::Rms, |it| it.twin_rms_us, |it| [None, it.twin_rms_us]),
    ("twin_max_us", Pool::Worst, |it| it.twin_max_us, |_| [None, None]),
    ("ntp_per_h", Pool::Worst, |it| it.ntp_per_h, |it| [None, it.ntp_per_h]),
    ("steps", Pool::Worst, |it| it.steps, |it| [None, it.steps]),
    ("backward", Pool::Worst, |it| it.backward, |it| [None, it.backward]),
    ("false_lock_s", Pool::Worst, |it| it.false_lock_s, |it| [None, it.false_lock_s]),
    ("demote_per_day", Pool::Mean, |it| it.demote_per_day, |it| [None, it.demote_per_day]),
    ("bound_ok", Pool::Mean, |it| it.bound_ok, |it| [it.bound_ok, None]),
    ("bound_ok_offset", Pool::Mean, |it| it.bound_ok_offset, |_| [None, None]),
    ("bound_ok_rate", Pool::Mean, |it| it.bound_ok_rate, |_| [None, None]),
    ("bound_ok_utc", Pool::Mean, |it| it.bound_ok_utc, |_| [None, None]),
    ("bound_ok_unlocked", Pool::MeanOfSome, |it| it.bound_ok_unlocked, |it| [it.bound_ok_unlocked, None]),
    ("bound_ratio", Pool::Median, |it| it.bound_ratio, |it| ends(it.bound_ratio)),
    ("bound_ratio_rate", Pool::Median, |it| it.bound_ratio_rate, |it| ends(it.bound_ratio_rate)),
    ("bound_ratio_utc", Pool::Median, |it| it.bound_ratio_utc, |it| ends(it.bound_ratio_utc)),
    ("overflowed", Pool::Worst, |it| it.overflowed, |_| [None, None]),
];

/// Columns of a few worlds: where slews are bounded, and where there is a second computer.
const OPTIONAL: [&str; 7] = [
    "slews",
    "slew_max_ppm",
    "slew_outside_s",
    "twin_rate_ppm",
    "twin_rate_rms_ppm",
    "twin_rms_us",
    "twin_max_us",
];

fn ends(range: Option<[f64; 2]>) -> [Option<f64>; 2] {
    range.map_or([None; 2], |range| range.map(Some))
}

/// Figures that some worlds lack, where no UTC is known or all is Locked: these are not judged there.
const MAY_LACK: [&str; 2] = ["bound_ok_unlocked", "bound_ratio_utc"];

/// Figures of which a world tells only one number, or a few seconds' worth, and how many worlds it takes: an error
/// against UTC is nearly one constant, and most worlds are Locked but for some twenty seconds.
const OF_MANY: [&str; 2] = ["bound_ok_unlocked", "bound_ratio_utc"];
const MANY_SEEDS: usize = 10;

/// A figure of a disturbance: name, where it is found, and its limit.
type After = (&'static str, Pool, fn(&DisturbanceFigures) -> f64, fn(&DisturbancePlan) -> [Option<f64>; 2]);

const AFTER: [After; 10] = [
    ("settle_s", Pool::Worst, |it| it.settle_s, |it| [None, it.settle_s]),
    ("leave_s", Pool::Worst, |it| it.leave_s, |it| [None, it.leave_s]),
    ("relock_s", Pool::Worst, |it| it.relock_s, |it| [None, it.relock_s]),
    ("pull_in_s", Pool::Worst, |it| it.pull_in_s, |it| [None, it.pull_in_s]),
    ("phase_us", Pool::Worst, |it| it.phase_us, |it| [None, it.phase_us]),
    ("rate_ppm", Pool::Worst, |it| it.rate_ppm, |it| [None, it.rate_ppm]),
    ("line_us", Pool::Worst, |it| it.line_us, |it| [None, it.line_us]),
    ("bound_share", Pool::Worst, |it| it.bound_share, |it| [None, it.bound_share]),
    ("overstay_s", Pool::Worst, |it| it.overstay_s, |it| [None, it.overstay_s]),
    ("outliers", Pool::Least, |it| it.outliers, |it| [it.outliers, None]),
];

/// Pools the runs of a scenario and judges them.
pub fn summarise(scenario: &Scenario, runs: &[RunResult]) -> Summary {
    let mut checks = Vec::new();
    for (name, pool, figure, limit) in COLUMNS {
        let value = pool.apply(runs.iter().map(|run| figure(&run.figures)).collect());
        let lacks = value.is_nan() && MAY_LACK.contains(&name);
        let too_few = runs.len() < MANY_SEEDS && OF_MANY.contains(&name);
        let [at_least, at_most] = if lacks || too_few { [None; 2] } else { limit(&scenario.limits) };
        if value.is_nan() && at_most.is_none() && OPTIONAL.contains(&name) {
            continue;
        }
        checks.push(Check { name: name.to_owned(), value, at_least, at_most });
    }
    for (index, plan) in scenario.disturbance.iter().enumerate() {
        for (name, pool, figure, limit) in AFTER {
            let values = runs.iter().map(|run| run.disturbances.get(index).map_or(f64::NAN, figure));
            let value = pool.apply(values.collect());
            let name = format!("{}@{}.{name}", plan.what, plan.at_s);
            let [at_least, at_most] = limit(plan);
            checks.push(Check { name, value, at_least, at_most });
        }
    }
    Summary { id: scenario.id.clone(), title: scenario.title.clone(), seeds: runs.len(), checks, cost: None }
}

/// The rows as text: every scenario with its verdict, below it every figure that has a limit on a line of its
/// own, and the others together.
pub fn table(rows: &[Summary]) -> String {
    let mut text = String::new();
    for row in rows {
        let verdict = if row.passed() { "PASS" } else { "FAIL" };
        let _ = writeln!(text, "{verdict}  {:<10} {} ({} seeds)", row.id, row.title, row.seeds);
        for check in row.checks.iter().chain(&row.cost).filter(|check| check.is_judged()) {
            let verdict = if check.passed() { "  ok" } else { "FAIL" };
            let _ = writeln!(text, "  {verdict} {check}");
        }
        let others = row.checks.iter().filter(|check| !check.is_judged());
        let others = others.map(|check| format!("{} {}", check.name, number(check.value)));
        text += &wrapped(others, "    ·  ");
    }
    text
}

/// The rows as lines that each stand for themselves, for a file in the repository: a figure that changes shows
/// as one line that changes. Without the cost, which depends on the computer.
pub fn snapshot_of(rows: &[Summary]) -> String {
    let mut text = String::new();
    for row in rows {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "{} {} ({} seeds)", row.id, row.title, row.seeds);
        for check in &row.checks {
            let verdict = match (check.is_judged(), check.passed()) {
                (false, _) => "",
                (true, true) => "  ok",
                (true, false) => "  FAIL",
            };
            let _ = writeln!(text, "{} {check}{verdict}", row.id);
        }
    }
    text
}

/// Words with commas between, in lines of at most 110 characters that begin with `margin`.
fn wrapped(words: impl Iterator<Item = String>, margin: &str) -> String {
    let (mut text, mut width) = (String::new(), usize::MAX);
    for word in words {
        let length = word.chars().count() + 2;
        if width.saturating_add(length) > 110 {
            if !text.is_empty() {
                text.push_str(",\n");
            }
            text.push_str(margin);
            width = margin.chars().count();
        } else {
            text.push_str(", ");
        }
        text.push_str(&word);
        width += length;
    }
    if !text.is_empty() {
        text.push('\n');
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
    } else if value == 0.0 || value.abs() >= 1_000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 1.0 {
        format!("{value:.2}")
    } else {
        // Shares lie near 1, and rates of a calm crystal near 0.001 ppm.
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
        assert!(
            Pool::Mean.apply(vec![0.9, f64::NAN]).is_nan() && Pool::Least.apply(vec![f64::NAN, 1.0]).is_nan()
        );
        assert_eq!(Pool::MeanOfSome.apply(vec![0.9, f64::NAN, 1.0]), 0.95);
        assert_eq!(Pool::Least.apply(vec![3.0, 1.0, 2.0]), 1.0);
        assert_eq!(Pool::Median.apply(vec![5.0, 1.0, 3.0]), 3.0);
    }

    #[test]
    fn no_runs_at_all_pass_nothing() {
        assert!(!summarise(&Scenario::default(), &[]).passed());
    }
}
