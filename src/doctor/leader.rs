//! How good is the leader: its rate, its steps, and how evenly its packets arrive?

use super::finding::{Check, Finding, Problem};
use super::os::Os;
use super::traffic::Judged;
use crate::snapshot::BoundedRate;

/// Crystals are within this of what is written on them, in ppm; a leader further off is no ordinary one, or this
/// computer's own counter is not.
const RATE_MAX_PPM: f64 = 100.0;
/// Arrivals that scatter by more than this make a poor lock.
const JITTER_MAX_NS: f64 = 100e3;
/// Up to here the path is good.
const JITTER_GOOD_NS: f64 = 20e3;
/// A rate that is known no better is not judged.
const BOUND_MAX_PPM: f64 = 50.0;

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The leader that the service would follow.
    pub leader: Option<Judged>,
    /// Rate of UTC against this computer's raw clock, by NTP.
    pub utc: Option<BoundedRate>,
}

/// Judges it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some((leader, rate)) = facts.leader.as_ref().and_then(|leader| Some((leader, leader.rate?))) else {
        return vec![Problem::LeaderUnjudged.seen(
            "no leader was heard for long enough to be judged",
            format!("see what is said about packets; then {}", Os::HERE.longer_doctor()),
        )];
    };
    let (id, rate_ppm, bound_ppm) = (leader.id, rate.value_ppb / 1e3, rate.bound_ppb / 1e3);
    let mut found = Vec::new();
    let known = bound_ppm < BOUND_MAX_PPM;
    if known && rate_ppm.abs() - bound_ppm > RATE_MAX_PPM {
        found.push(Problem::LeaderRate.seen(
            format!(
                "{id} runs {rate_ppm:+.1} ± {bound_ppm:.1} ppm against this computer: {}",
                facts.whose_fault(rate_ppm, bound_ppm)
            ),
            "prefer another leader in Dante Controller (Preferred Leader), or look after this computer's clock source",
        ));
    }
    if leader.turns > 0 {
        found.push(Problem::LeaderSteps.seen(
            format!("the time of {id} jumped or turned {} while it was heard", times(leader.turns)),
            "watch it for longer (--seconds 300); a leader that goes on doing so should not lead: Preferred Leader",
        ));
    }
    if let Some(jitter) = leader.jitter.filter(|jitter| jitter.sd_ns > JITTER_MAX_NS) {
        found.push(Problem::LeaderJitter.seen(
            format!("packets of {id} arrive unevenly, by {:.0} µs (standard deviation)", jitter.sd_ns / 1e3),
            "join the Dante switch directly by cable, without radio, power line or a busy uplink in between",
        ));
    }
    if !known && found.is_empty() {
        found.push(Problem::LeaderUnjudged.seen(
            format!(
                "{id} is heard, but its rate only to ± {bound_ppm:.0} ppm: too few of its packets came, or too unevenly"
            ),
            format!(
                "{}; where that says the same, join the Dante switch directly by cable",
                Os::HERE.longer_doctor()
            ),
        ));
    }
    Check::Leader.found(found, || {
        let preferred = if leader.preferred { " (Preferred Leader)" } else { "" };
        format!(
            "{id}{preferred} runs {rate_ppm:+.2} ± {bound_ppm:.2} ppm against this computer{}{}",
            facts.against_utc(rate_ppm, bound_ppm),
            leader.jitter.map_or(String::new(), |jitter| format!(
                "; packets scatter by {:.1} µs: {}",
                jitter.sd_ns / 1e3,
                if jitter.sd_ns < JITTER_GOOD_NS { "a good path" } else { "usable, with much queueing" }
            ))
        )
    })
}

impl Facts {
    /// UTC's rate where it is known well enough to tell anything, in ppm with its bound.
    fn utc_ppm(&self) -> Option<(f64, f64)> {
        let utc = self.utc.filter(|utc| utc.bound_ppb / 1e3 < BOUND_MAX_PPM)?;
        Some((utc.value_ppb / 1e3, utc.bound_ppb / 1e3))
    }

    /// Both are uncertain, and so is their difference.
    fn against_utc(&self, leader_ppm: f64, leader_bound: f64) -> String {
        self.utc_ppm().map_or(String::new(), |(utc, bound)| {
            let bound = bound.hypot(leader_bound);
            format!(" and {:+.0} ± {bound:.0} ppm against UTC", leader_ppm - utc)
        })
    }

    fn whose_fault(&self, leader_ppm: f64, leader_bound: f64) -> String {
        match self.utc_ppm() {
            Some((utc, bound)) if utc.abs() - bound > RATE_MAX_PPM => {
                format!(
                    "this computer's own counter is off, it is UTC's rate that is {utc:+.0} ppm away from it"
                )
            }
            Some(_) => {
                let against_utc = self.against_utc(leader_ppm, leader_bound);
                format!("it is the leader that is off ({})", against_utc.trim_start_matches(" and "))
            }
            None => "crystals are within 100 ppm, so one of the two is ill (NTP would tell which; a longer \
                     --seconds helps)"
                .to_owned(),
        }
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::traffic::tests::{Speaker, end, link};

    fn facts(ppm: f64, utc_ppm: Option<f64>) -> Facts {
        let leader = link(&[Speaker { ppm, ..Speaker::PLAIN }], |_| false).judged(end());
        let utc = utc_ppm.map(|ppm| BoundedRate { value_ppb: ppm * 1e3, bound_ppb: 10e3 });
        Facts { leader, utc }
    }

    #[test]
    fn a_good_leader_is_described_with_its_rate() {
        let found = check(&facts(-12.0, Some(5.0)));
        assert_eq!(found[0].problem, None, "{found:?}");
        assert!(found[0].seen.contains("runs -12.0"), "{}", found[0].seen);
        assert!(found[0].seen.contains("-17 ± 10 ppm against UTC"), "{}", found[0].seen);
    }

    #[test]
    fn a_leader_two_hundred_ppm_off_is_named_and_the_fault_given_to_the_right_one() {
        let alone = check(&facts(200.0, None));
        assert_eq!(alone[0].problem, Some(Problem::LeaderRate));
        assert!(alone[0].seen.contains("00:1d:c1:00:00:01/1 runs +200.0"), "{}", alone[0].seen);
        assert!(check(&facts(200.0, Some(3.0)))[0].seen.contains("it is the leader"));
        assert!(check(&facts(200.0, Some(190.0)))[0].seen.contains("own counter"));
        assert_eq!(check(&facts(-200.0, None))[0].problem, Some(Problem::LeaderRate));
        assert_eq!(check(&facts(95.0, None))[0].problem, None);
    }

    #[test]
    fn jitter_and_steps_are_told_and_nothing_is_not_judged() {
        let mut uneven = facts(0.0, None);
        uneven.leader.as_mut().unwrap().jitter.as_mut().unwrap().sd_ns = 300e3;
        assert_eq!(check(&uneven)[0].problem, Some(Problem::LeaderJitter));
        let mut steps = facts(0.0, None);
        steps.leader.as_mut().unwrap().turns = 2;
        let found = check(&steps);
        assert!(found[0].problem == Some(Problem::LeaderSteps) && found[0].seen.contains("2 times"));
        let mut vague = facts(0.0, Some(5.0));
        vague.leader.as_mut().unwrap().rate = Some(BoundedRate { value_ppb: 287e3, bound_ppb: 535e3 });
        let found = check(&vague);
        assert_eq!(found[0].problem, Some(Problem::LeaderUnjudged), "{found:?}");
        assert!(found[0].seen.contains("± 535 ppm"), "{}", found[0].seen);
        vague.leader.as_mut().unwrap().rate = Some(BoundedRate { value_ppb: 0.0, bound_ppb: 24e3 });
        assert!(check(&vague)[0].seen.contains("-5 ± 26 ppm against UTC"), "10 and 24 together");
        assert_eq!(check(&Facts::default())[0].problem, Some(Problem::LeaderUnjudged));
    }
}
