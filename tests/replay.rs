//! `dantetimesync replay` on captures whose truth is known.
//!
//! `tests/data/s1-60s.pcap` was written by the simulator; again with:
//!
//! ```text
//! cargo run -- simulate tests/data/s1-60s.toml --seeds 1 --pcap tests/data/s1-60s.pcap
//! ```
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::replay::Capture;
use dantetimesync::replay::command::judge;
use dantetimesync::replay::judge::Verdict;
use serde_json::Value;

fn in_package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn verdict(path: &Path) -> Verdict {
    let capture = Capture::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    judge(&capture, DEFAULT_SUBDOMAIN).unwrap()
}

/// What the simulated computer's oscillator gains, against a leader that is right.
const TRUTH_PPB: f64 = 23_000.0;

/// A minute of the base world: 4 Syncs a second, a path of 30 µs and more (exponential with a mean of 20 µs,
/// and one Sync in 200 waits 500 µs).
fn assert_minute_of_the_base_world(path: &Path) {
    let verdict = verdict(path);
    // The last Follow_Up may still be on its way when the world ends.
    assert!((478..=480).contains(&verdict.datagrams), "{verdict:#?}");
    assert!(verdict.length_s > 59.0 && verdict.length_s < 60.1, "{verdict:#?}");
    assert_eq!((verdict.leaders.len(), verdict.other_frames), (1, 0), "{verdict:#?}");
    let leader = &verdict.leaders[0];
    assert_eq!(leader.id.to_string(), "02:1d:c1:00:00:01/1");
    assert!(leader.followed && leader.preferred && leader.stratum == 121, "{leader:?}");
    assert!((leader.interval_ms - 250.0).abs() < 1.0, "{leader:?}");
    assert!(leader.pairs >= 239 && verdict.samples >= 230, "{verdict:#?}");

    let rate = verdict.rate.expect("a rate");
    assert!((rate.value_ppb - TRUTH_PPB).abs() <= rate.bound_ppb, "{rate:?}");
    // In a minute a wild oscillator is not ruled out yet.
    assert!(rate.bound_ppb < 500.0, "a bound that says something: {rate:?}");

    let jitter = verdict.jitter.expect("jitter");
    // ln 2 of the mean lies between the least and the median of an exponential delay.
    let half_us = (jitter.p50_ns - jitter.min_ns) / 1e3;
    assert!((half_us - 20.0 * std::f64::consts::LN_2).abs() < 3.0, "{jitter:?}");
    // 20 µs without spikes, and 500 µs in one of 200: √(20² + 500²/200) = 40 µs; a minute has few of them.
    assert!(jitter.sd_ns > 18e3 && jitter.sd_ns < 70e3, "{jitter:?}");
    assert!(jitter.max_ns < 700e3, "{jitter:?}");
}

#[test]
fn the_capture_of_a_simulated_minute_gives_back_what_was_simulated() {
    assert_minute_of_the_base_world(&in_package("tests/data/s1-60s.pcap"));
}

#[test]
fn simulate_writes_captures_that_replay_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.pcap");
    let output = program()
        .args(["simulate", "--seeds", "1", "--pcap"])
        .args([&path, &in_package("tests/data/s1-60s.toml")])
        .output()
        .unwrap();
    assert!(path.exists(), "{output:?}");
    // Not compared byte by byte: another computer's logarithm may round another way.
    assert_minute_of_the_base_world(&path);
}

#[test]
fn a_capture_that_cannot_be_written_is_a_fault_that_names_the_file() {
    let output = program()
        .args(["simulate", "--seeds", "1", "--pcap", "/nonexistent/x.pcap"])
        .arg(in_package("tests/data/s1-60s.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("/nonexistent/x.pcap"), "{said}");
}

#[test]
fn replay_prints_the_verdict_as_json() {
    let path = in_package("tests/data/s1-60s.pcap");
    let output = program().args(["replay", "--json"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let verdict = verdict(&path);
    assert_eq!(json["datagrams"], verdict.datagrams);
    assert_eq!(json["leaders"][0]["id"], verdict.leaders[0].id.to_string());
    let same = |found: &Value, expected: Option<f64>| {
        found.as_f64().zip(expected).is_some_and(|(found, expected)| (found - expected).abs() < 1e-6)
    };
    assert!(same(&json["rate"]["value_ppb"], verdict.rate.map(|rate| rate.value_ppb)), "{json:#}");
    assert!(same(&json["jitter"]["sd_ns"], verdict.jitter.map(|jitter| jitter.sd_ns)), "{json:#}");
    assert_eq!(json["verdict"], verdict.verdict);
}

/// A RedNet AM2 leading, captured by a computer with stamps of 1 µs.
#[test]
fn a_real_capture_is_judged_as_by_hand() {
    let path = in_package("../shared/ptp/dante-rednet-am2.pcap");
    if !in_package("../shared").exists() {
        println!("skipped: ../shared is absent");
        return;
    }
    let verdict = verdict(&path);
    assert_eq!((verdict.leaders.len(), verdict.datagrams), (1, 116), "{verdict:#?}");
    let leader = &verdict.leaders[0];
    assert!(leader.id.to_string().starts_with("00:1d:c1:a1:72:3c"), "{}", leader.id);
    assert_eq!((leader.followed, leader.stratum), (true, 153));
    assert_eq!((leader.syncs, leader.pairs), (58, 58));
    assert!((leader.interval_ms - 250.0).abs() < 1.0, "{leader:?}");
    let rate_ppm = verdict.rate.expect("a rate").value_ppb / 1e3;
    assert!((rate_ppm + 34.0).abs() < 1.0, "{rate_ppm} ppm");
    let jitter = verdict.jitter.expect("jitter");
    assert!(jitter.sd_ns > 6e3 && jitter.sd_ns < 8e3, "{jitter:?}");
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_dantetimesync"))
}
