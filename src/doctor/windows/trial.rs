//! Does the clock do as it is told? The trial of `test-clock`, made where nobody steers the clock.

use crate::clock::trial::{Fault, Finding as Judged, Trace};
use crate::doctor::finding::{Check, Finding, Problem};

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// It was tried.
    Tried {
        /// The call by which it was commanded.
        call: String,
        /// What the trace says.
        judged: Box<Result<Judged, Fault>>,
    },
    /// The running service has tried it at its start, and steers it.
    ByService(u32),
    /// It was not, and why.
    Untried(String),
}

impl Facts {
    /// Judges a trace, which any computer can.
    pub fn of(tried: Result<Trace, String>) -> Self {
        match tried {
            Ok(trace) => Self::Tried { judged: Box::new(trace.judge()), call: trace.call },
            Err(why) => Self::Untried(why),
        }
    }

    /// What the clock does, where it obeys.
    pub fn judged(&self) -> Option<&Judged> {
        match self {
            Self::Tried { judged, .. } => judged.as_ref().as_ref().ok(),
            Self::ByService(_) | Self::Untried(_) => None,
        }
    }
}

/// Judges it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let (call, judged) = match facts {
        Facts::ByService(pid) => {
            return vec![
                Check::Trial.ok(format!("the service (pid {pid}) has tried the clock at its start")),
            ];
        }
        Facts::Untried(why) => {
            return vec![Problem::ClockUntried.seen(
                format!("what the clock does when it is told something was not tried: {why}"),
                "dantetimesync test-clock, as administrator, while nobody else steers the clock",
            )];
        }
        Facts::Tried { call, judged } => (call, judged),
    };
    let finding = match judged.as_ref() {
        Err(fault) => Problem::ClockDisobeys.seen(
            format!("the clock does not do as it is told, and cannot be steered: {fault}"),
            match fault {
                Fault::Jumped { .. } => "stop the program that sets it (see rivals), then dantetimesync test-clock",
                _ => {
                    "in a virtual machine switch its time synchronisation off; else dantetimesync test-clock --trace \
                     clock.json, and report the file"
                }
            },
        ),
        Ok(judged) => {
            let (gain, base) = judged.law();
            let how = if gain == 1.0 {
                "as it is told"
            } else if gain == -1.0 {
                "as it is told, the other way round, which is allowed for"
            } else {
                "not as far as is documented, which is allowed for"
            };
            Check::Trial.ok(format!(
                "the clock does {how} ({call}): gain {:.3} ± {:.3}, base {:+.2} ppm, readings scatter by {:.0} ns",
                judged.gain,
                judged.gain_sigma,
                base.ppm(),
                judged.noise_ns
            ))
        }
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(name: &str) -> Facts {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clock").join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        Facts::of(Ok(serde_json::from_str(&text).unwrap()))
    }

    #[test]
    fn what_was_recorded_under_wine_is_no_clock_that_can_be_steered() {
        let found = check(&recorded("wine-8.json"));
        assert_eq!(found[0].problem, Some(Problem::ClockDisobeys));
        assert!(found[0].seen.contains("the clock does not move"), "{}", found[0].seen);
        assert!(found[0].mend.as_deref().unwrap().contains("--trace"));
    }

    #[test]
    fn clocks_that_obey_are_told_with_gain_and_sign() {
        let files =
            std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clock"));
        let names = files.unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut inverted = 0;
        for name in names.filter(|name| name.ends_with(".json")) {
            let facts = recorded(&name);
            let found = check(&facts);
            assert_eq!(facts.judged().is_some(), found[0].problem.is_none(), "{name}: {found:?}");
            if facts.judged().is_some_and(|judged| judged.law().0 == -1.0) {
                inverted += 1;
                assert!(found[0].seen.contains("the other way round"), "{name}: {}", found[0].seen);
            }
        }
        assert!(inverted > 0, "no record has the other sign");
    }

    #[test]
    fn what_was_not_tried_says_why() {
        let found = check(&Facts::of(Err("ntpd (pid 7) steers it".to_owned())));
        assert_eq!(found[0].problem, Some(Problem::ClockUntried));
        assert!(found[0].seen.ends_with("ntpd (pid 7) steers it"));
        assert_eq!(check(&Facts::ByService(7))[0].problem, None);
    }
}
