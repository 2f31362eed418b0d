//! `dantetimesync simulate` and `dantetimesync bench`: scenarios, many seeds, one table.

use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::catalogue::{ANY, KNOWN, Known, TABLE_SEEDS, catalogue, known};
use super::runner::{Played, Progress, Row, play_rows};
use super::{Check, Scenario, Summary, csv, draw, run_captured, snapshot_of, summarise, table};
use crate::cli::{Bench, Simulate};
use crate::exit::{self, FAILED, Failure, NO_INPUT};
use crate::terminal::{self, CLEAR_LINE};

/// Plays the user's scenario files and prints what came out.
///
/// # Errors
/// When a file cannot be read, is no scenario, or cannot be written.
pub fn simulate(options: &Simulate) -> Result<ExitCode, Failure> {
    let read = |path: &PathBuf| {
        let scenario = read(path).map_err(|error| Failure::new(NO_INPUT, error))?;
        let last = options.seeds.map_or(scenario.seeds(), u64::from);
        Ok(Row { scenario, seeds: options.seed.map_or(FIRST_SEED..=last, |seed| seed..=seed) })
    };
    let rows = options.files.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    let mut first = true;
    let summaries = play_and_print(&rows, options.json, |row, played| {
        picture(options.svg.as_deref(), row, played)?;
        let first = std::mem::take(&mut first);
        if first { write_files(options, row, played) } else { Ok(()) }
    })?;
    let passed = summaries.iter().all(Summary::passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Plays the scenarios that are shipped, and judges them.
///
/// # Errors
/// When there is no such scenario, or a file cannot be read or written.
pub fn bench(options: &Bench) -> Result<ExitCode, Failure> {
    let rows = chosen(options)?;
    let summaries =
        play_and_print(&rows, options.json, |row, played| picture(options.svg.as_deref(), row, played))?;
    if !options.json {
        exit::print(&verdicts(&summaries, u64::from(options.seeds)))?;
    }
    let mut faults = unexpected(&summaries, options);
    let text = snapshot_of(&summaries);
    if let Some(path) = &options.save {
        fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &options.check {
        let saved = fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))
            .map_err(|error| Failure::new(NO_INPUT, error))?;
        let played: Vec<&str> = summaries.iter().map(|row| row.id.as_str()).collect();
        let all = options.scenario.is_empty();
        let saved =
            saved.lines().filter(|line| all || line.split(' ').next().is_some_and(|id| played.contains(&id)));
        let changed = differences(&saved.collect::<Vec<_>>(), &text.lines().collect::<Vec<_>>());
        faults.extend(changed.into_iter().map(|line| format!("{}: {line}", path.display())));
    }
    for fault in &faults {
        complain_line!("{fault}");
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

const FIRST_SEED: u64 = 1;

/// Plays and prints, each row as soon as it is there; progress goes to stderr.
fn play_and_print(
    rows: &[Row],
    json: bool,
    mut each: impl FnMut(&Row, &Played) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Summary>> {
    let mut summaries = Vec::new();
    let mut outcome = Ok(());
    let shows_progress = terminal::draws_on(&io::stderr());
    play_rows(
        rows,
        |Progress { done, total }| {
            if shows_progress {
                complain!(
                    "{CLEAR_LINE}{}",
                    if done < total { format!("{done} of {total} worlds") } else { String::new() }
                );
            }
        },
        |row, played| {
            if outcome.is_ok() {
                outcome = each(row, &played);
            }
            let summary = summarise(&row.scenario, &played.runs).costing(&row.scenario, played.cpu_s_per_h);
            if !json {
                if shows_progress {
                    complain!("{CLEAR_LINE}");
                }
                say!("{}", table(std::slice::from_ref(&summary)));
            }
            summaries.push(summary);
        },
    );
    outcome?;
    if json {
        let text = serde_json::to_string_pretty(&summaries)?;
        exit::print(&format!("{text}\n")).map_err(|failure| failure.error)?;
    }
    Ok(summaries)
}

fn read(path: &Path) -> anyhow::Result<Scenario> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Scenario::from_toml(&text).with_context(|| format!("{} is no scenario", path.display()))
}

/// Draws the first world into the folder.
fn picture(folder: Option<&Path>, row: &Row, played: &Played) -> anyhow::Result<()> {
    if let (Some(folder), Some(first)) = (folder, played.runs.first()) {
        let path = folder.join(format!("{}.svg", row.scenario.id().to_lowercase()));
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&path, draw(&row.scenario, first))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What is wanted of the first world.
fn write_files(options: &Simulate, row: &Row, played: &Played) -> anyhow::Result<()> {
    if let (Some(path), Some(first)) = (&options.csv, played.runs.first()) {
        fs::write(path, csv(&first.seconds)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &options.pcap {
        capture(&row.scenario, *row.seeds.start(), path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Plays the first world once more, with a capture: the same seed gives the same world.
fn capture(scenario: &Scenario, seed: u64, path: &Path) -> io::Result<()> {
    run_captured(scenario, seed, File::create(path)?).map(drop)
}

/// The rows of the catalogue that were asked for.
fn chosen(options: &Bench) -> Result<Vec<Row>, Failure> {
    let mut scenarios = catalogue()
        .map_err(|(name, error)| anyhow::anyhow!("{name}, which is part of the program: {error}"))?;
    let wanted = |scenario: &Scenario| {
        options.scenario.iter().any(|pattern| is_meant(pattern, scenario.id())) || options.scenario.is_empty()
    };
    for pattern in &options.scenario {
        if !scenarios.iter().any(|scenario| is_meant(pattern, scenario.id())) {
            let ids: Vec<&str> = scenarios.iter().map(Scenario::id).collect();
            let error = anyhow::anyhow!("there is no scenario {pattern}; there are: {}", ids.join(" "));
            return Err(Failure::new(NO_INPUT, error));
        }
    }
    scenarios.retain(wanted);
    Ok(scenarios.into_iter().map(|scenario| Row { seeds: seeds(&scenario, options), scenario }).collect())
}

/// A scenario that has a number of seeds of its own has few because it is long: it never gets more.
fn seeds(scenario: &Scenario, options: &Bench) -> RangeInclusive<u64> {
    let wanted = u64::from(options.seeds);
    let own = scenario.seeds();
    let count = if own < TABLE_SEEDS { wanted.min(own) } else { wanted };
    options.first_seed..=options.first_seed.saturating_add(count - 1)
}

/// `S7p`, in any case, or `S7*` for all that begin so.
fn is_meant(pattern: &str, id: &str) -> bool {
    let (pattern, id) = (pattern.to_lowercase(), id.to_lowercase());
    pattern.strip_suffix('*').map_or(pattern == id, |start| id.starts_with(start))
}

/// The end of the table: how many rows, which failed, and what it cost.
fn verdicts(rows: &[Summary], seeds: u64) -> String {
    let failed: Vec<&Summary> = rows.iter().filter(|row| !row.passed()).collect();
    let mut text =
        format!("\n{} rows: {} pass, {} fail\n", rows.len(), rows.len() - failed.len(), failed.len());
    for row in failed {
        for check in row.checks.iter().filter(|check| !check.passed()) {
            let known = if known(&row.id, &check.name, seeds).is_some() { "  (known)" } else { "" };
            text += &format!("  {:<12} {check}{known}\n", row.id);
        }
    }
    let costs = || rows.iter().filter_map(|row| row.cost.as_ref().map(|cost| (row, cost)));
    let dearest = costs().max_by(|(_, a), (_, b)| a.share_of_limit().total_cmp(&b.share_of_limit()));
    if let Some((row, cost)) = dearest {
        let verdict = if cost.passed() { "ok" } else { "FAIL" };
        text += &format!("cost: {verdict}, dearest for its limit: {} {cost}\n", row.id);
    }
    text
}

/// What makes the command fail, in words.
fn unexpected(rows: &[Summary], options: &Bench) -> Vec<String> {
    let seeds = u64::from(options.seeds);
    let mut faults = Vec::new();
    for row in rows {
        let failing = || row.checks.iter().filter(|check| !check.passed());
        let excused = |check: &&Check| options.allow_known && known(&row.id, &check.name, seeds).is_some();
        faults.extend(
            failing().filter(|check| !excused(check)).map(|check| format!("not reached: {} {check}", row.id)),
        );
        // The limit is that of the program as it is shipped, on a computer that does nothing else: the tests and
        // .ci/run, which allow what is known, show it only.
        let judged = !cfg!(debug_assertions) && !options.allow_known;
        let dear = row.cost.as_ref().filter(|cost| judged && !cost.passed());
        faults.extend(dear.map(|cost| format!("too dear: {} {cost}", row.id)));
        // Fewer seeds, or other ones, may reach by luck what those of the table do not.
        if options.allow_known && seeds >= TABLE_SEEDS && options.first_seed == FIRST_SEED {
            let listed = KNOWN.iter().filter(|known| known.scenario == row.id && !known.few_seeds);
            let reached =
                |known: &&Known| !failing().any(|check| [check.name.as_str(), ANY].contains(&known.figure));
            faults.extend(listed.filter(reached).map(|known| {
                format!("reached, or no such figure; remove from KNOWN: {} {}", row.id, known.figure)
            }));
        }
    }
    faults
}

/// The lines that are in one table and not in the other, the saved ones first.
fn differences(saved: &[&str], now: &[&str]) -> Vec<String> {
    let lone = |of: &[&str], other: &[&str], mark: char| {
        let of = of.iter().filter(|line| !line.is_empty() && !other.contains(line));
        of.map(|line| format!("{mark} {line}")).collect::<Vec<_>>()
    };
    [lone(saved, now, '-'), lone(now, saved, '+')].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn options(arguments: &[&str]) -> Bench {
        let arguments = ["dantetimesync", "bench"].iter().chain(arguments);
        match Cli::try_parse_from(arguments).unwrap().command {
            Some(Command::Bench(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    fn ids(arguments: &[&str]) -> Vec<String> {
        chosen(&options(arguments)).unwrap().iter().map(|row| row.scenario.id().to_owned()).collect()
    }

    #[test]
    fn rows_are_chosen_by_their_name_or_its_beginning() {
        assert_eq!(ids(&["--scenario", "s7M", "S12"]), ["S7m", "S12"]);
        assert_eq!(ids(&["--scenario", "S7*"]), ["S7m", "S7p"]);
        assert!(ids(&[]).len() >= 40);
        let refused = chosen(&options(&["--scenario", "S99"])).unwrap_err();
        assert_eq!(refused.code, NO_INPUT);
        assert!(refused.error.to_string().contains("S99; there are: S1 "), "{:#}", refused.error);
    }

    #[test]
    fn a_long_scenario_keeps_its_few_seeds_and_others_get_what_is_asked_for() {
        let of =
            |text: &str, arguments: &[&str]| seeds(&Scenario::from_toml(text).unwrap(), &options(arguments));
        assert_eq!(of("", &[]), 1..=20);
        assert_eq!(of("", &["--seeds", "50"]), 1..=50);
        assert_eq!(of("seeds = 2", &["--seeds", "50"]), 1..=2);
        assert_eq!(of("seeds = 2", &["--seeds", "1", "--first-seed", "7"]), 7..=7);
    }

    #[test]
    fn a_figure_that_changed_is_a_difference_and_a_row_that_moved_is_none() {
        let (one, two) = ("S1 rate_rms_ppm 0.02", "S2 rate_rms_ppm 0.02");
        assert_eq!(differences(&[one, "", two], &[two, one]), Vec::<String>::new());
        let changed = differences(&[one, two], &["S1 rate_rms_ppm 0.03", two]);
        assert_eq!(changed, ["- S1 rate_rms_ppm 0.02", "+ S1 rate_rms_ppm 0.03"]);
    }
}
