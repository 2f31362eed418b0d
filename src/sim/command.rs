//! `dantetimesync simulate`: scenario files, many seeds, one table.

use std::fs::{self, File};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context;

use super::{RunResult, Scenario, Summary, csv, run, run_captured, summarise, table};
use crate::cli::Simulate;
use crate::exit::{FAILED, Failure, NO_INPUT};

/// Plays the scenarios and prints what came out.
///
/// # Errors
/// When a file cannot be read, is no scenario, or cannot be written.
pub fn run_files(options: &Simulate) -> Result<ExitCode, Failure> {
    let mut rows: Vec<Summary> = Vec::new();
    for path in &options.files {
        let scenario = read(path).map_err(|error| Failure::new(NO_INPUT, error))?;
        let last = options.seeds.map_or(scenario.seeds(), u64::from);
        let seeds = options.seed.map_or(FIRST_SEED..=last, |seed| seed..=seed);
        let runs = play_seeds(&scenario, seeds);
        if rows.is_empty() {
            write_files(options, &scenario, &runs)?;
        }
        let summary = summarise(&scenario, &runs);
        if !options.json {
            print!("{}", table(std::slice::from_ref(&summary)));
        }
        rows.push(summary);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&rows).map_err(anyhow::Error::from)?);
    }
    let passed = rows.iter().all(Summary::passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn read(path: &Path) -> anyhow::Result<Scenario> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Scenario::from_toml(&text).with_context(|| format!("{} is no scenario", path.display()))
}

/// What is wanted of the first world.
fn write_files(options: &Simulate, scenario: &Scenario, runs: &[RunResult]) -> anyhow::Result<()> {
    if let (Some(path), Some(first)) = (&options.csv, runs.first()) {
        fs::write(path, csv(&first.seconds)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &options.pcap {
        let seed = options.seed.unwrap_or(FIRST_SEED);
        capture(scenario, seed, path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Plays the first world once more, with a capture: the same seed gives the same world.
fn capture(scenario: &Scenario, seed: u64, path: &Path) -> std::io::Result<()> {
    run_captured(scenario, seed, File::create(path)?).map(drop)
}

const FIRST_SEED: u64 = 1;

/// Plays seeds 1 to `seeds`; see [`play_seeds`].
pub fn play(scenario: &Scenario, seeds: u64) -> Vec<RunResult> {
    play_seeds(scenario, FIRST_SEED..=seeds)
}

/// Plays these seeds, as many at a time as there are processors; the results are in the seeds' order.
pub fn play_seeds(scenario: &Scenario, seeds: RangeInclusive<u64>) -> Vec<RunResult> {
    let next = AtomicU64::new(*seeds.start());
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut runs: Vec<RunResult> = thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if !seeds.contains(&seed) {
                    return done;
                }
                done.push(run(scenario, seed));
            }
        };
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("a world panicked: a defect")).collect()
    });
    runs.sort_by_key(|run| run.seed);
    runs
}
