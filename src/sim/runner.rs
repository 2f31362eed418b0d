//! Many worlds on all processors. Worlds share nothing, so the results do not depend on how many run at a time.

use std::fs;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::{RunResult, Scenario, run};

/// A scenario and the seeds it is played with.
#[derive(Debug, Clone)]
pub struct Row {
    /// The world.
    pub scenario: Scenario,
    /// Its seeds; none when the range is empty.
    pub seeds: RangeInclusive<u64>,
}

/// A row that was played.
#[derive(Debug, Clone)]
pub struct Played {
    /// In the order of the seeds. Only the first one has its seconds: all of them would need gigabytes.
    pub runs: Vec<RunResult>,
    /// Seconds of processor time for an hour of the world, where the system tells.
    pub cpu_s_per_h: Option<f64>,
}

/// What happened while rows are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Worlds that have ended.
    pub done: usize,
    /// Worlds in all rows together.
    pub total: usize,
}

/// Plays all rows, as many worlds at a time as there are processors, and hands over each row as soon as it and
/// all before it are complete.
pub fn play_rows(rows: &[Row], mut progress: impl FnMut(Progress), mut finished: impl FnMut(&Row, Played)) {
    let jobs: Vec<(usize, u64)> = rows
        .iter()
        .enumerate()
        .flat_map(|(index, row)| row.seeds.clone().map(move |seed| (index, seed)))
        .collect();
    let mut waiting: Vec<Vec<Ended>> = rows.iter().map(|_| Vec::new()).collect();
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(jobs.len());
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, next, jobs) = (sender.clone(), &next, &jobs);
            scope.spawn(move || {
                while let Some((index, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(row) = rows.get(*index) else { return };
                    let ended = play_one(&row.scenario, *seed, *row.seeds.start() == *seed);
                    if sender.send((*index, ended)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut complete = rows.iter().zip(0..).peekable();
        let mut done = 0;
        loop {
            while let Some((row, index)) = complete.peek().copied() {
                let Some(runs) = waiting.get_mut::<usize>(index) else { break };
                if runs.len() < row.seeds.clone().count() {
                    break;
                }
                finished(row, pool(&row.scenario, std::mem::take(runs)));
                complete.next();
            }
            // The channel ends with the last worker; one that panicked is told of at the scope's end.
            let Ok((index, run)) = ended.recv() else { return };
            done += 1;
            progress(Progress { done, total: jobs.len() });
            if let Some(runs) = waiting.get_mut::<usize>(index) {
                runs.push(run);
            }
        }
    });
}

/// Plays one scenario with these seeds.
pub fn play(scenario: &Scenario, seeds: RangeInclusive<u64>) -> Played {
    let row = Row { scenario: scenario.clone(), seeds };
    let mut played = Played { runs: Vec::new(), cpu_s_per_h: None };
    play_rows(&[row], |_| {}, |_, row| played = row);
    played
}

/// A world that has ended.
struct Ended {
    run: RunResult,
    cpu_s: Option<f64>,
}

fn play_one(scenario: &Scenario, seed: u64, keep_seconds: bool) -> Ended {
    let before = thread_cpu_s();
    let mut run = run(scenario, seed);
    let cpu_s = thread_cpu_s().zip(before).map(|(after, before)| after - before);
    if !keep_seconds {
        run.seconds = Vec::new();
    }
    Ended { run, cpu_s }
}

fn pool(scenario: &Scenario, mut ended: Vec<Ended>) -> Played {
    ended.sort_by_key(|ended| ended.run.seed);
    let hours: f64 = ended.iter().map(|_| scenario.duration_s / 3_600.0).sum();
    let cpu_s: Option<f64> = ended.iter().map(|ended| ended.cpu_s).sum();
    Played {
        runs: ended.into_iter().map(|ended| ended.run).collect(),
        cpu_s_per_h: cpu_s.map(|it| it / hours),
    }
}

/// Processor time of this thread in s, where the system tells: Linux does, to some ms.
fn thread_cpu_s() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let ns: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(ns / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, duration_s: f64, seeds: RangeInclusive<u64>) -> Row {
        let text = format!("id = '{id}'\nduration_s = {duration_s:.1}\nsteady_from_s = 10.0");
        Row { scenario: Scenario::from_toml(&text).unwrap(), seeds }
    }

    #[test]
    fn rows_come_in_their_order_with_their_seeds_in_order_and_count_every_world() {
        // The first row takes longest, so that the others are complete before it.
        let rows = [row("long", 600.0, 3..=5), row("short", 20.0, 1..=4)];
        let (mut seen, mut counted) = (Vec::new(), Vec::new());
        play_rows(
            &rows,
            |progress| counted.push((progress.done, progress.total)),
            |row, played| {
                let kept = played.runs.iter().filter(|run| !run.seconds.is_empty()).count();
                let seeds: Vec<u64> = played.runs.iter().map(|run| run.seed).collect();
                seen.push((row.scenario.id().to_owned(), seeds, kept));
            },
        );
        let expected = [("long", vec![3, 4, 5], 1), ("short", vec![1, 2, 3, 4], 1)];
        assert_eq!(seen, expected.map(|(id, seeds, kept)| (id.to_owned(), seeds, kept)));
        assert_eq!(counted, (1..=7).map(|done| (done, 7)).collect::<Vec<_>>());
    }

    #[test]
    fn a_world_played_among_others_is_the_world_played_alone() {
        let row = row("x", 120.0, 1..=3);
        let among = play(&row.scenario, row.seeds.clone());
        for (run, seed) in among.runs.iter().zip(row.seeds) {
            assert_eq!(run.states, super::run(&row.scenario, seed).states);
        }
    }
}
