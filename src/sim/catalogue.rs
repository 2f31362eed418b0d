//! The scenarios that are shipped, inside the program, and the figures in them that are not reached yet.

use super::scenario::{Scenario, ScenarioError};

/// File name and text of every scenario in the repository's folder `scenarios`; see `build.rs`.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// All shipped scenarios in the table's order: by name, numbers in it by their value.
///
/// # Errors
/// The name of a file that is no scenario, and why: a defect of the program.
pub fn catalogue() -> Result<Vec<Scenario>, (&'static str, ScenarioError)> {
    let read =
        |(name, text): &(&'static str, &str)| Scenario::from_toml(text).map_err(|error| (*name, error));
    let mut scenarios = FILES.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    scenarios.sort_by_cached_key(|scenario| natural(scenario.id()));
    Ok(scenarios)
}

/// A figure that does not keep its limit yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The scenario's short name.
    pub scenario: &'static str,
    /// The figure's name, as in the table, or [`ANY`].
    pub figure: &'static str,
    /// Only the first seeds miss it; all of them together keep it.
    pub few_seeds: bool,
}

/// In the place of a figure: the row as a whole is not reached, and which figures show it may change.
pub const ANY: &str = "*";

/// The figures that do not keep their limits yet: the only such list. It can only shrink. With all seeds,
/// `bench --allow-known` fails for a figure that is missing here, and for one that is here and is reached.
pub const KNOWN: &[Known] = &[
    missed_by_few("S1-1hz", "bound_ok"),
    missed_by_few("S1-calm", "bound_ratio"),
    missed("S1-calm", "bound_ratio_rate"),
    missed_by_few("S1-wild", "bound_ok"),
    missed_by_few("S2c", "rate_max_ppm"),
    missed_by_few("S2cw", "rate_max_ppm"),
    missed_by_few("S2d", "rate_max_ppm"),
    missed_by_few("S3", "bound_ok"),
    missed_by_few("S3", "bound_ratio_rate"),
    missed_by_few("S3u", "bound_ratio_rate"),
    missed("S7p", "false_lock_s"),
    missed("S14", "bound_ok"),
    missed("S17d", "restart@1860.relock_s"),
    missed("S17d", "restart@1860.line_us"),
    missed("S17f", "bound_ok_unlocked"),
    missed_by_few("S21c", "rate_max_ppm"),
    missed("S21c", "phase_pp_us"),
    missed_by_few("S7m", "bound_ok_unlocked"),
    missed("S7p", "bound_ok_unlocked"),
    missed_by_few("S12", "bound_ok_unlocked"),
    missed_by_few("S17d", "bound_ok_unlocked"),
    missed("X-beat", ANY),
    missed("X-bimodal", ANY),
    missed("X-bimodal-mostly", ANY),
    missed_by_few("X-bimodal-rare", ANY),
    missed("X-everything", ANY),
    missed("X-flap", ANY),
    missed("X-flicker", ANY),
    missed("X-gamma", ANY),
    missed_by_few("X-gamma-2", ANY),
    missed("X-gauss", ANY),
    missed_by_few("X-gauss-5us", ANY),
    missed("X-gauss-cut", ANY),
    missed("X-jumps", ANY),
    missed_by_few("X-reader", ANY),
    missed("X-selfsimilar", ANY),
    missed("X-selfsimilar-busy", ANY),
    missed("X-selfsimilar-idle", ANY),
    missed_by_few("X-stamps", ANY),
    missed("X-storm", ANY),
    missed("X-two-turns", ANY),
    missed_by_few("X-uniform", ANY),
];

const fn missed(scenario: &'static str, figure: &'static str) -> Known {
    Known { scenario, figure, few_seeds: false }
}

const fn missed_by_few(scenario: &'static str, figure: &'static str) -> Known {
    Known { scenario, figure, few_seeds: true }
}

/// So many seeds, or more, count as all of them.
pub const TABLE_SEEDS: u64 = 20;

/// What is known of this figure when so many seeds are played.
pub fn known(scenario: &str, figure: &str, seeds: u64) -> Option<&'static Known> {
    let is_it = |known: &&Known| known.scenario == scenario && [figure, ANY].contains(&known.figure);
    KNOWN.iter().find(is_it).filter(|known| !known.few_seeds || seeds < TABLE_SEEDS)
}

/// Sorts S2 before S10.
fn natural(id: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for c in id.chars() {
        match (parts.last_mut(), c.to_digit(10)) {
            (Some(Part::Number(value)), Some(digit)) => {
                *value = value.saturating_mul(10).saturating_add(digit.into());
            }
            (_, Some(digit)) => parts.push(Part::Number(digit.into())),
            (Some(Part::Text(text)), None) => text.push(c),
            (_, None) => parts.push(Part::Text(c.to_string())),
        }
    }
    parts
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_read_and_is_named_after_its_file() {
        let scenarios = catalogue().unwrap();
        assert!(scenarios.len() >= 40 && scenarios.len() == FILES.len(), "{}", scenarios.len());
        for (name, text) in FILES {
            let scenario = Scenario::from_toml(text).unwrap();
            assert_eq!(format!("{}.toml", scenario.id().to_lowercase()), *name);
            assert!(!scenario.title().is_empty(), "{name}");
        }
    }

    #[test]
    fn the_order_counts_numbers_by_their_value() {
        let mut ids = ["S10", "X-a", "S2", "S1-10us", "S1u", "S1", "S1-2us", "S2b"];
        ids.sort_by_cached_key(|id| natural(id));
        assert_eq!(ids, ["S1", "S1-2us", "S1-10us", "S1u", "S2", "S2b", "S10", "X-a"]);
    }

    #[test]
    fn what_is_known_is_in_a_scenario_that_exists_and_stands_there_once() {
        let scenarios = catalogue().unwrap();
        for (index, known) in KNOWN.iter().enumerate() {
            assert!(scenarios.iter().any(|scenario| scenario.id() == known.scenario), "{known:?}");
            let same = |it: &Known| (it.scenario, it.figure) == (known.scenario, known.figure);
            assert!(!KNOWN[..index].iter().any(same), "{known:?} twice");
        }
    }

    #[test]
    fn what_only_few_seeds_miss_is_not_forgiven_to_all() {
        let few = KNOWN.iter().find(|known| known.few_seeds).unwrap();
        assert!(known(few.scenario, few.figure, 2).is_some());
        assert!(known(few.scenario, few.figure, TABLE_SEEDS).is_none());
        assert!(known("S1", "rate_rms_ppm", 2).is_none());
    }
}
