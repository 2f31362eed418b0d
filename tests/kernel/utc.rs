//! UTC from a real NTP server, chrony's, that never touches the clock.
//!
//! It serves the very clock that the follower steers, so that the true error of that clock against it is zero,
//! by whatever rate it runs.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, thread};

use dantetimesync::clock::linux::{LinuxClock, raw_clock};
use dantetimesync::config::Config;
use dantetimesync::controller::PtpController;
use dantetimesync::net::linux::RealPtpNetwork;
use dantetimesync::net::{Capture, NetworkOptions};
use dantetimesync::ntp::source::RealNtpSource;
use dantetimesync::time::Span;
use serde_json::Value;

use crate::arrivals::Arrivals;
use crate::guard::Guard;
use crate::kernel_test;
use crate::leader::Leader;
use crate::namespaces::Namespaces;
use crate::observer::Observation;
use crate::process::Process;
use crate::world::LOCK_PATIENCE;

#[test]
fn chronyd_gives_utc_within_its_bound_and_its_death_changes_nothing() {
    const NAME: &str = "chronyd_gives_utc_within_its_bound_and_its_death_changes_nothing";
    kernel_test!(NAME);
    let Some(program) = chronyd() else {
        println!(
            "{NAME} skipped: no chronyd; ci/chronyd.sh FOLDER unpacks one, and DANTETIMESYNC_CHRONYD names it"
        );
        return;
    };
    let guard = Guard::take(Duration::from_secs(180));
    let namespaces = Namespaces::create();
    let mut server = serve(&program, &namespaces);
    // Near the rate that the clock has anyway: a leader far off would turn the server's time as well.
    let ppm = (guard.saved().ppm() + 0.5).to_string();
    let leader = Leader::start(&namespaces, &["--ppm", &ppm, "--epoch", "541867"]);
    let mut follower = Process::start(&mut follower_command(&namespaces));
    guard.watch(follower.pid());
    follower.wait_for_line("Locked with UTC", 0, LOCK_PATIENCE, |line| {
        snapshot(line).is_some_and(|seen| seen["state"] == "locked" && seen["utc"].is_object())
    });

    let arrivals = Arrivals::listen(&namespaces);
    let from = follower.line_count();
    thread::sleep(Duration::from_secs(12));
    let served = snapshots(&follower, from);
    let errors: Vec<(f64, f64)> = served.iter().map(utc_error).collect();
    let worst = errors.iter().map(|(error, _)| error.abs()).fold(0.0, f64::max);
    let bound = errors.iter().map(|(_, bound)| *bound).fold(0.0, f64::max);
    println!(
        "{NAME}: UTC is off by {worst:.0} ns at most, its bound is {bound:.0} ns, {} snapshots",
        errors.len()
    );
    assert!(errors.len() > 20 && errors.iter().all(|(error, bound)| error.abs() <= *bound), "{errors:?}");
    assert!(bound < 1e7, "a server one cable away, and a bound of {bound} ns");

    server.kill();
    let from = follower.line_count();
    let observation = Observation::of(&leader.time_base(), 15);
    let band = arrivals.band();
    println!("{NAME}: chronyd killed: {observation}; {band}");
    let alone = snapshots(&follower, from);
    assert!(alone.iter().all(|seen| seen["state"] == "locked" && seen["steps"] == 0), "{alone:?}");
    band.judge(&observation);
    // UTC is still known, from an answer that grows old, with a bound that does not shrink.
    let last = alone.last().unwrap();
    let age_s = last["utc"]["age_ns"].as_f64().unwrap() / 1e9;
    println!("{NAME}: UTC's age is {age_s:.1} s, its bound {:.0} ns", utc_error(last).1);
    assert!((12.0..100.0).contains(&age_s), "{age_s}");
    assert!(utc_error(last).0.abs() <= utc_error(last).1, "{last}");

    follower.kill();
    guard.unwatch(follower.pid());
}

/// chronyd, if there is one.
fn chronyd() -> Option<PathBuf> {
    match env::var_os("DANTETIMESYNC_CHRONYD") {
        Some(path) => Some(PathBuf::from(path)),
        None => Some(PathBuf::from("/usr/sbin/chronyd")).filter(|path| path.exists()),
    }
}

/// Serves the system clock's time on the leader's side; `-x` keeps its hands off the clock.
fn serve(program: &std::path::Path, namespaces: &Namespaces) -> Process {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chrony.conf");
    let address = Namespaces::LEADER_ADDRESS;
    let pid_file = folder.path().join("pid");
    let configuration = format!(
        "local stratum 1\nallow 10.77.0.0/24\nbindaddress {address}\ncmdport 0\npidfile {}\n",
        pid_file.display()
    );
    fs::write(&file, configuration).unwrap();
    let mut command = Namespaces::command_in(&namespaces.leader, program.to_str().unwrap());
    command.args(["-x", "-d", "-u", "root", "-f"]).arg(&file);
    let server = Process::start(&mut command);
    // It has read its file when it says so.
    server.wait_for_line("chronyd", 0, Duration::from_secs(10), |line| line.contains("Disabled control"));
    server
}

/// The error of the clock against UTC as a snapshot tells it, and what it may be at most. Half of the round trip
/// is told apart from the bound, because nobody can measure it.
fn utc_error(seen: &Value) -> (f64, f64) {
    let utc = &seen["utc"];
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no number in {utc}"));
    (number(&utc["offset"]["value_ns"]), number(&utc["offset"]["bound_ns"]) + number(&utc["path_unknown_ns"]))
}

fn snapshot(line: &str) -> Option<Value> {
    // The test harness may have begun the line.
    serde_json::from_str(&line[line.find('{')?..]).ok()
}

fn snapshots(follower: &Process, from: usize) -> Vec<Value> {
    follower.lines().iter().skip(from).filter_map(|line| snapshot(line)).collect()
}

/// Tells a process that it is the follower.
const FOLLOWER: &str = "DANTETIMESYNC_FOLLOWER";

fn follower_command(namespaces: &Namespaces) -> Command {
    let own = env::current_exe().unwrap();
    let mut command = Namespaces::command_in(&namespaces.follower, own.to_str().unwrap());
    command.args(["--exact", "utc::follower_process", "--ignored", "--nocapture"]);
    command.env(FOLLOWER, Namespaces::LEADER_ADDRESS.to_string());
    command
}

/// The daemon's own loop on the daemon's own backends, which prints what it knows four times a second.
#[test]
#[ignore = "the follower of the tests of UTC, started by them"]
fn follower_process() {
    let Ok(server) = env::var(FOLLOWER) else { return };
    let config = Config { ntp_servers: vec![server], ..Config::default() };
    let network = RealPtpNetwork::open(NetworkOptions {
        interface: Some("sl0".to_owned()),
        capture: Capture::Udp,
        ..NetworkOptions::default()
    })
    .unwrap();
    let ntp = RealNtpSource::open(&config.ntp_servers);
    let mut controller = PtpController::new(config, network, LinuxClock::open().unwrap(), ntp, 42);
    let mut tell_at = raw_clock();
    loop {
        controller.turn();
        if raw_clock() >= tell_at {
            tell_at = raw_clock() + Span::from_ms(250);
            println!("{}", serde_json::to_string(&controller.snapshot()).unwrap());
        }
    }
}
