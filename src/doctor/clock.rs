//! Does somebody move the clock? Seen by the clock itself, while others listen; nothing is written.

use super::finding::{Check, Finding, Problem};
use super::os::Os;
use crate::clock::Reading;
use crate::time::{Rate, Span};

/// A reading that was interrupted for longer than this says too little.
const UNCERTAINTY_MAX: Span = Span::from_us(10);
/// Between two readings a clock that nobody steps is off by less: reading noise, and a rate that changed in between.
const STEP_FLOOR: Span = Span::from_us(50);
/// A slew faster than this is a step: no kernel slews faster on request than 500 ppm.
const SLEW_MAX: Rate = Rate::from_ppm(1_000.0);
/// Two words of the kernel about its rate that differ by less are the same.
const RATE_SAME: Rate = Rate::from_ppm(0.001);
/// A clock that runs off the kernel's word by more than this is being slewed.
const SLEW_FLOOR: Rate = Rate::from_ppm(2.0);
/// Less time than this tells nothing about a slew.
const WATCHED_MIN: Span = Span::from_secs(1);

/// One look at the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// System and raw clock.
    pub reading: Reading,
    /// The rate that the kernel says it gives the system clock.
    pub rate: Rate,
}

/// What was seen of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// In the order of time.
    pub looks: Vec<Look>,
    /// What an earlier program left running in the kernel.
    pub leftovers: Vec<&'static str>,
    /// Our own service runs: it is the one who steers.
    pub service: Option<u32>,
    /// Names of rivals, for the blame.
    pub rivals: Vec<String>,
    /// Linux tells the rate against the raw clock; what Windows tells is its last command, against a rate that it
    /// does not tell.
    pub os: Os,
}

/// What the clock did.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Course {
    steps: u32,
    largest_step: Span,
    rate_changes: u32,
    slew: Rate,
    /// The rate that was seen, by its median.
    seen: Rate,
    watched: Span,
}

/// Judges it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let course = Course::of(&facts.looks, facts.os);
    let Some(last) = facts.looks.last().filter(|_| course.watched >= WATCHED_MIN) else {
        return vec![Problem::ClockUnread.seen(
            "the clock was not watched for long enough to tell whether somebody moves it",
            "dantetimesync doctor --seconds 10",
        )];
    };
    let watched = format!("{:.0} s", course.watched.as_secs_f64());
    let mut found = Vec::new();
    if course.steps > 0 {
        found.push(Problem::ClockStepped.seen(
            format!(
                "the clock was stepped {} within {watched}, by up to {}",
                times(course.steps),
                course.largest_step
            ),
            facts.blame(),
        ));
    }
    let slewed = course.slew.abs() > SLEW_FLOOR;
    if facts.service.is_none() && (course.rate_changes > 0 || slewed) {
        let what = if course.rate_changes > 0 {
            format!("the clock's rate was changed {} within {watched}", times(course.rate_changes))
        } else {
            format!(
                "the clock runs {} off the rate that the kernel was given: it is being slewed",
                course.slew
            )
        };
        found.push(Problem::ClockSteered.seen(format!("{what}: somebody steers it"), facts.blame()));
    }
    if facts.service.is_none() && !facts.leftovers.is_empty() && facts.rivals.is_empty() {
        found.push(Problem::ClockLeftover.seen(
            format!("an earlier program left {} on the clock", facts.leftovers.join(" and ")),
            format!("{}, which cancels it", facts.os.start_service()),
        ));
    }
    let rate = match facts.os {
        Os::Linux => format!("{} against the raw clock", last.rate),
        Os::Windows => format!("{} against the counter (Windows was told {})", course.seen, last.rate),
    };
    Check::Clock.found(found, || match facts.service {
        Some(pid) => format!("steered by the service alone (pid {pid}), at {rate}"),
        None => format!("nobody moved it for {watched}; it runs at {rate}"),
    })
}

impl Facts {
    fn blame(&self) -> String {
        if self.rivals.is_empty() {
            let (list, scheduled) = self.os.either(
                ("`ps -e`", "crontabs for ntpdate, hwclock or date"),
                ("`tasklist`", "scheduled tasks for w32tm /resync or Set-Date"),
            );
            return format!(
                "find and stop who does it: on a virtual machine its time integration, else look at {list} for a \
                 time service, and at {scheduled}"
            );
        }
        format!("stop {}", self.rivals.join(" and "))
    }
}

impl Course {
    fn of(looks: &[Look], os: Os) -> Self {
        let sharp: Vec<&Look> =
            looks.iter().filter(|look| look.reading.uncertainty <= UNCERTAINTY_MAX).collect();
        let mut course = Self { seen: median_rate(&sharp), ..Self::default() };
        let mut drift = Span::ZERO;
        for (before, after) in sharp.iter().zip(sharp.iter().skip(1)) {
            let elapsed = after.reading.raw - before.reading.raw;
            let gain = (after.reading.system - before.reading.system) - elapsed;
            let changed = (after.rate - before.rate).abs();
            let own = os.either(before.rate, course.seen).gain_over(elapsed);
            let deviation = gain - own;
            let noise = before.reading.uncertainty + after.reading.uncertainty;
            let allowed = STEP_FLOOR + noise + SLEW_MAX.gain_over(elapsed) + changed.gain_over(elapsed);
            if deviation.abs() > allowed {
                course.steps = course.steps.saturating_add(1);
                if deviation.abs() > course.largest_step.abs() {
                    course.largest_step = deviation;
                }
            } else if changed > RATE_SAME {
                course.rate_changes = course.rate_changes.saturating_add(1);
            } else {
                drift = drift + deviation;
            }
            course.watched = course.watched + elapsed;
        }
        if course.watched >= WATCHED_MIN {
            course.slew = Rate::from_ratio(drift.as_ns_f64() / course.watched.as_ns_f64());
        }
        course
    }
}

/// The rate between two looks, as most of them have it: single steps do not count.
fn median_rate(looks: &[&Look]) -> Rate {
    let pairs = looks.iter().zip(looks.iter().skip(1));
    let mut rates: Vec<f64> = pairs
        .filter_map(|(before, after)| {
            let elapsed = after.reading.raw - before.reading.raw;
            let gain = (after.reading.system - before.reading.system) - elapsed;
            (elapsed > Span::ZERO).then(|| gain.as_ns_f64() / elapsed.as_ns_f64())
        })
        .collect();
    rates.sort_unstable_by(f64::total_cmp);
    Rate::from_ratio(rates.get(rates.len() / 2).copied().unwrap_or_default())
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    /// Ten looks a second; `offset` is what the clock reads more than it should, in ns.
    fn looks(seconds: i64, rate: impl Fn(i64) -> f64, offset: impl Fn(i64) -> i64) -> Vec<Look> {
        let mut system = 1_700_000_000_000_000_000_i64;
        (0..seconds * 10)
            .map(|tenth| {
                let raw = tenth * 100_000_000;
                let rate_then = Rate::from_ppm(rate(tenth));
                let reading = Reading {
                    raw: Timestamp::from_ns(raw),
                    system: Timestamp::from_ns(system + offset(tenth)),
                    uncertainty: Span::from_ns(50),
                };
                system += 100_000_000 + rate_then.gain_over(Span::from_ms(100)).as_ns();
                Look { reading, rate: rate_then }
            })
            .collect()
    }

    /// On Linux, unless a test says otherwise.
    fn linux() -> Facts {
        Facts { os: Os::Linux, ..Facts::default() }
    }

    fn problems(facts: &Facts) -> Vec<Problem> {
        check(facts).iter().filter_map(|finding| finding.problem).collect()
    }

    #[test]
    fn a_clock_left_alone_is_fine_at_any_rate() {
        let facts = Facts { looks: looks(5, |_| -33.0, |tenth| tenth % 3 * 80), ..linux() };
        let found = check(&facts);
        assert_eq!(found[0].problem, None, "{found:?}");
        assert!(found[0].seen.contains("-33.000 ppm"));
    }

    #[test]
    fn a_step_is_seen_and_the_rival_blamed() {
        let looks = looks(5, |_| 10.0, |tenth| if tenth < 20 { 0 } else { -3_000_000 });
        let facts = Facts { looks, rivals: vec!["chronyd (pid 4)".to_owned()], ..linux() };
        let found = check(&facts);
        assert_eq!(found[0].problem, Some(Problem::ClockStepped));
        assert!(found[0].seen.contains("once") && found[0].seen.contains("-3.0 ms"), "{}", found[0].seen);
        assert_eq!(found[0].mend.as_deref(), Some("stop chronyd (pid 4)"));
    }

    #[test]
    fn rates_that_change_are_somebodys_hand() {
        let looks = looks(5, |tenth| if tenth < 25 { 10.0 } else { 10.5 }, |_| 0);
        let facts = Facts { looks, ..linux() };
        assert_eq!(problems(&facts), [Problem::ClockSteered]);
        let ours = Facts { service: Some(9), ..facts };
        assert_eq!(problems(&ours), []);
    }

    #[test]
    fn a_slew_that_the_kernels_rate_does_not_tell_is_seen() {
        // adjtime(): 500 ppm.
        let facts = Facts { looks: looks(5, |_| 0.0, |tenth| tenth * 50_000), ..linux() };
        assert_eq!(problems(&facts), [Problem::ClockSteered]);
    }

    #[test]
    fn what_windows_says_of_its_rate_is_no_measure_and_steps_are_seen_all_the_same() {
        // It says 0, and the crystal of the clock is 40 ppm off that of the counter.
        let windows = |looks| Facts { looks, os: Os::Windows, ..Facts::default() };
        let found = check(&windows(looks(5, |_| 0.0, |tenth| tenth * 4_000)));
        assert_eq!(found[0].problem, None, "{found:?}");
        assert!(found[0].seen.contains("at +40.000 ppm against the counter"), "{}", found[0].seen);
        let stepped =
            windows(looks(5, |_| 0.0, |tenth| tenth * 4_000 + if tenth < 20 { 0 } else { 2_000_000 }));
        assert_eq!(problems(&stepped), [Problem::ClockStepped]);
        assert!(check(&stepped)[0].mend.as_deref().unwrap().contains("scheduled tasks"));
        let changed = windows(looks(5, |tenth| if tenth < 25 { 0.0 } else { 6.4 }, |_| 0));
        assert_eq!(problems(&changed), [Problem::ClockSteered]);
    }

    #[test]
    fn leftovers_are_told_and_a_short_look_is_no_judgement() {
        let leftovers = vec!["the kernel's phase-locked loop"];
        let facts = Facts { looks: looks(5, |_| 0.0, |_| 0), leftovers, ..linux() };
        assert_eq!(problems(&facts), [Problem::ClockLeftover]);
        let facts = Facts { looks: looks(1, |_| 0.0, |_| 0), ..linux() };
        assert_eq!(problems(&facts), [Problem::ClockUnread]);
    }

    #[test]
    fn a_preempted_reading_is_no_step() {
        let mut looks = looks(5, |_| 0.0, |_| 0);
        looks[10].reading.system = looks[10].reading.system + Span::from_ms(3);
        looks[10].reading.uncertainty = Span::from_ms(4);
        assert_eq!(problems(&Facts { looks, ..linux() }), []);
    }
}
