//! The program as a follower in a network of its own, where it steers a clock made of numbers: what it logs, who may
//! listen beside it, and what it says while it is flooded.
//!
//! Most of this needs root and `ip netns`; without, it skips and says why.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests in real time, on real sockets"
)]

#[path = "kernel/namespaces.rs"]
#[allow(dead_code, reason = "shared with the kernel tests, which need more of it")]
mod namespaces;
#[path = "kernel/packets.rs"]
mod packets;
#[path = "kernel/process.rs"]
#[allow(dead_code, reason = "shared with the kernel tests, which need more of it")]
mod process;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::leader::{Leader, LeaderControl, LeaderOptions};
use dantetimesync::ptp;
use dantetimesync::time::Rate;
use serde_json::Value;

use namespaces::Namespaces;
use process::{Process, signal};

const BINARY: &str = env!("CARGO_BIN_EXE_dantetimesync");
const LEADER: &str = "02:00:5e:10:00:01/1";

/// For whatever is said, on a computer that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A leader and a place for a follower, joined by a cable.
struct World {
    folder: tempfile::TempDir,
    control: Arc<LeaderControl>,
    leader: Option<JoinHandle<()>>,
    namespaces: Namespaces,
}

impl World {
    /// None where this is not possible; says why.
    fn create(test: &str) -> Option<Self> {
        let id = Command::new("id").arg("-u").output().map(|output| output.stdout).unwrap_or_default();
        let why_not = if id != b"0\n" {
            "this is not root"
        } else if !Command::new("ip").args(["netns", "list"]).output().is_ok_and(|out| out.status.success()) {
            "there is no `ip netns`"
        } else {
            return Some(Self::with_leader(Namespaces::create()));
        };
        println!("{test} skipped: {why_not}");
        None
    }

    fn with_leader(namespaces: Namespaces) -> Self {
        let control = Arc::new(LeaderControl::default());
        let (own, namespace) = (Arc::clone(&control), namespaces.leader.clone());
        let leader = thread::spawn(move || {
            Namespaces::enter(&namespace).unwrap();
            let mut options = LeaderOptions::on(Namespaces::LEADER_ADDRESS);
            options.rate = Rate::from_ppm(20.0);
            Leader::open(options).unwrap().run(&own, |_| {}).unwrap();
        });
        Self { folder: tempfile::tempdir().unwrap(), control, leader: Some(leader), namespaces }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("status.sock")
    }

    /// A follower that steers nothing.
    fn follow(&self, arguments: &[&str]) -> Process {
        let mut command = Namespaces::command_in(&self.namespaces.follower, BINARY);
        command.args(STEERS_NOTHING).arg("--status-socket").arg(self.socket()).args(arguments);
        Process::start(&mut command)
    }

    fn sh(&self, script: &str) -> Output {
        let mut command = Namespaces::command_in(&self.namespaces.follower, "sh");
        command.args(["-c", script]).stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(leader) = self.leader.take() {
            let _ = leader.join();
        }
    }
}

/// Neither this computer's clock nor its settings.
const STEERS_NOTHING: [&str; 6] =
    ["--dry-run", "--skip-ntp", "--state-file", "none", "--config", "/dev/null"];

fn wait_for(follower: &Process, text: &str) {
    follower.wait_for_line(text, 0, PATIENCE, |line| line.contains(text));
}

fn ask(socket: &Path) -> Output {
    Command::new(BINARY).args(["status", "--json", "--socket"]).arg(socket).output().unwrap()
}

/// What a program says that cannot start: it has no such interface, and no place for its status.
fn said_in_vain(journal: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let script = format!(
        "exec 2>{}; {journal} exec {BINARY} {} --interface nosuch0 --status-socket /proc/none/status.sock",
        said.display(),
        STEERS_NOTHING.join(" ")
    );
    let status = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(66));
    std::fs::read_to_string(said).unwrap()
}

#[test]
fn the_journal_gets_priorities_and_no_times_and_only_where_the_stream_is_its_own() {
    let ours = said_in_vain("export JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr);");
    assert!(ours.lines().any(|line| line.starts_with("<6>dry run: ")), "{ours}");
    assert!(ours.lines().any(|line| line.starts_with("<4>no status at /proc/none/status.sock")), "{ours}");
    assert!(ours.lines().any(|line| line.starts_with("<3>") && line.contains("nosuch0")), "{ours}");
    for line in ours.lines() {
        let (priority, text) = line.split_at_checked(3).expect(line);
        assert!(["<3>", "<4>", "<6>"].contains(&priority), "{line}");
        let timed = text.starts_with(|first: char| first.is_ascii_digit()) || text.contains("INFO");
        assert!(!timed, "the journal has time and level already: {line}");
    }
    // Another stream, as where a unit's program has its output redirected.
    for other in ["export JOURNAL_STREAM=1:2;", "unset JOURNAL_STREAM;"] {
        let plain = said_in_vain(other);
        assert!(plain.contains("WARN no status at") && !plain.contains("<4>"), "{plain}");
    }
}

#[test]
fn every_line_of_a_log_of_json_is_an_object() {
    let Some(world) = World::create("every_line_of_a_log_of_json_is_an_object") else { return };
    let mut follower = world.follow(&["--log-format", "json", "-v"]);
    wait_for(&follower, "leader elected");
    wait_for(&follower, "state=Acquiring");
    signal(follower.pid(), libc::SIGTERM);
    assert_eq!(follower.wait(PATIENCE).code(), Some(0), "{:?}", follower.lines());
    for line in follower.lines() {
        let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(object["level"].is_string() && object["message"].is_string(), "{line}");
    }
}

/// `monitor` as somebody who is nobody, who may listen on the ports; the program is an open file, since its folder may
/// be out of reach.
const MONITOR: &str = "echo 319 >/proc/sys/net/ipv4/ip_unprivileged_port_start && exec setpriv --reuid=65534 \
                       --regid=65534 --clear-groups --no-new-privs /proc/self/fd/9 monitor --seconds 5 --json 9<";

#[test]
fn a_monitor_of_somebody_without_rights_hears_the_leader_beside_a_running_follower() {
    const NAME: &str = "a_monitor_of_somebody_without_rights_hears_the_leader_beside_a_running_follower";
    let Some(world) = World::create(NAME) else { return };
    if !Command::new("setpriv").arg("--version").output().is_ok_and(|out| out.status.success()) {
        println!("{NAME} skipped: there is no setpriv");
        return;
    }
    let follower = world.follow(&[]);
    wait_for(&follower, "leader elected");
    let samples =
        || serde_json::from_slice::<Value>(&ask(&world.socket()).stdout).unwrap()["samples"].clone();
    let before = samples().as_u64().unwrap();
    let monitor = world.sh(&format!("{MONITOR}{BINARY}"));
    assert_eq!(monitor.status.code(), Some(0), "{monitor:?}");
    let judged: Value = serde_json::from_slice(&monitor.stdout).unwrap();
    assert_eq!(judged["leaders"][0]["id"], LEADER, "{judged}");
    assert!(judged["samples"].as_u64().unwrap() >= 10, "{judged}");
    // Neither takes the other's packets away.
    let heard = samples().as_u64().unwrap() - before;
    assert!(heard >= 10, "{heard} in five seconds");
}

/// Packets a second, and for how long; a network of 300 followers makes 160.
const FLOOD: u32 = 2_000;
const FLOOD_LASTS: Duration = Duration::from_secs(3);

/// Sends packets that are not for us from the leader's side until `stop`; how many it were.
fn flood(namespace: &str, stop: &AtomicBool) -> u64 {
    Namespaces::enter(namespace).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let group = ptp::group(&DEFAULT_SUBDOMAIN);
    let (began, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * f64::from(FLOOD)) as u64;
        for number in sent..due {
            // Half of them die in the socket's filter, half are Syncs of leaders nobody knows.
            let packet = if number % 2 == 0 { packets::unwanted } else { packets::foreign_sync };
            let (port, bytes) = packet(number);
            socket.send_to(&bytes, (group, port)).unwrap();
        }
        sent = due;
        thread::sleep(Duration::from_millis(1));
    }
    sent
}

#[test]
fn a_script_gets_its_status_every_time_while_the_follower_is_flooded() {
    const NAME: &str = "a_script_gets_its_status_every_time_while_the_follower_is_flooded";
    let Some(world) = World::create(NAME) else { return };
    let follower = world.follow(&[]);
    wait_for(&follower, "leader elected");
    let stop = AtomicBool::new(false);
    let (answers, sent) = thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&world.namespaces.leader, &stop));
        let began = Instant::now();
        let ask_at = |number: u32| {
            thread::sleep((FLOOD_LASTS / 20 * number).saturating_sub(began.elapsed()));
            ask(&world.socket())
        };
        let answers: Vec<Output> = (1..=20).map(ask_at).collect();
        stop.store(true, Ordering::Relaxed);
        (answers, flooding.join().unwrap())
    });
    assert!(sent >= 3_000, "only {sent} packets were sent");
    let mut samples = Vec::new();
    for answer in answers {
        // 2 would be: nobody tells a status.
        assert!(matches!(answer.status.code(), Some(0 | 1)), "{answer:?}");
        let status: Value = serde_json::from_slice(&answer.stdout).unwrap();
        assert_eq!(status["leader"]["id"], LEADER, "{status}");
        samples.push(status["samples"].as_u64().unwrap());
    }
    // It went on listening to its leader meanwhile: four Syncs a second.
    let heard = samples.last().unwrap() - samples.first().unwrap();
    assert!(heard >= 5, "{samples:?}");
}
