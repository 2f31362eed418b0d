//! The program against a leader of this Linux: followed by either kind of socket, seen from outside, until it ends.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use crate::leader::Leader;
use crate::namespaces::Namespaces;
use crate::process::{Process, signal};
use crate::world::{PIPE, TOLD_AT_PIPE, World, windows_path};
use serde_json::Value;

/// Until a leader is heard and elected, on a computer that is busy.
const ELECTION: Duration = Duration::from_secs(60);
/// For whatever is said at the start; the first program also starts Wine.
const START: Duration = Duration::from_secs(30);
/// The loop hears within a second that it shall end.
const END: Duration = Duration::from_secs(10);

impl World {
    fn start(&self, arguments: &[&str]) -> Process {
        let exe = self.exe.to_str().unwrap();
        self.start_program(exe, arguments)
    }

    /// One of Windows' own programs, or ours.
    fn start_program(&self, program: &str, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(program, arguments))
    }

    /// A follower that steers a clock made of numbers.
    fn follow(&self, arguments: &[&str]) -> Process {
        self.start(&[&["--dry-run", "--skip-ntp"], arguments].concat())
    }

    /// What a command that ends by itself says, and its exit code.
    fn ask(&self, arguments: &[&str], patience: Duration) -> (Option<i32>, String) {
        let mut asking = self.start(arguments);
        let code = asking.wait(patience).code();
        (code, asking.lines().join("\n"))
    }

    /// The status as a command prints it, and its exit code.
    fn status(&self, arguments: &[&str], patience: Duration) -> (Option<i32>, Value) {
        let (code, told) = self.ask(&[&["status", "--json"], arguments].concat(), patience);
        (code, serde_json::from_str(&told).unwrap_or(Value::String(told)))
    }

    /// Waits until the status is so.
    fn status_becomes(&self, what: &str, is: impl Fn(&Value) -> bool) {
        let end = Instant::now() + START;
        loop {
            let (_, status) = self.status(&[], START);
            if is(&status) {
                return;
            }
            assert!(Instant::now() < end, "never {what}: {status}");
        }
    }

    /// Its leader's packets come in this way, now.
    fn hears_again(&self, way: &str) {
        self.status_becomes(way, |status| {
            let age_ns = status["leaders"][0]["pair_age_ns"].as_i64();
            status["network"]["way"] == way && age_ns.is_some_and(|age_ns| age_ns < 2_000_000_000)
        });
    }

    /// Changes the network of the follower's computer.
    fn here(&self, arguments: &[&str]) {
        let output =
            Namespaces::command_in(&self.namespaces.follower, "ip").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A port of the follower's computer, taken by a program that does not share it.
    fn take(&self, port: u16) -> std::io::Result<UdpSocket> {
        thread::scope(|scope| {
            let taken = scope.spawn(|| {
                Namespaces::enter(&self.namespaces.follower).unwrap();
                UdpSocket::bind(("0.0.0.0", port))
            });
            taken.join().unwrap()
        })
    }
}

/// How long the leader's rate is learned, and how well it is known then. Where a program's own stamps scatter by hundreds
/// of µs, on a computer that is busy, the lock itself may take longer than any test should.
const LEARNS: Duration = Duration::from_secs(40);
const LEARNED_PPM: f64 = 5.0;

/// The follower ticks with its leader, and leaves that rate behind when it is told to end.
fn follows_and_ends(follower: &mut Process, ppm: f64) {
    wait_for(follower, "following a leader's time", ELECTION);
    thread::sleep(LEARNS);
    signal(follower.pid(), libc::SIGINT);
    assert_eq!(follower.wait(END).code(), Some(0), "{:?}", follower.lines());
    let left = wait_for(follower, "leaving; the learned rate stays", END);
    let (_, rate) = left.split_once("rate_ppb=").unwrap();
    let rate_ppm = rate.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e3;
    println!("the leader runs at {ppm} ppm, {rate_ppm:.2} ppm were learned");
    assert!((rate_ppm - ppm).abs() < LEARNED_PPM, "{rate_ppm} instead of {ppm}: {:?}", follower.lines());
}

fn wait_for(follower: &Process, text: &str, patience: Duration) -> String {
    follower.wait_for_line(text, 0, patience, |line| line.contains(text))
}

#[test]
fn a_leader_of_another_computer_is_followed_by_the_ports_until_told_to_end() {
    let Some(world) = World::create("by the ports") else { return };
    let _leader = Leader::start(&world.namespaces, &["--ppm", "25"]);
    let mut follower = world.follow(&[]);
    wait_for(&follower, "by UDP sockets: nobody else needs the ports", START);
    // Found without a name: the only interface, and not the loopback.
    wait_for(&follower, &format!("address={}", Namespaces::FOLLOWER_ADDRESS), START);
    follows_and_ends(&mut follower, 25.0);
}

#[test]
fn beside_another_program_the_ports_are_left_alone_and_the_leader_is_followed_all_the_same() {
    let Some(world) = World::create("beside another program") else { return };
    let _leader = Leader::start(&world.namespaces, &["--ppm", "-15"]);
    // One of Windows' own programs holds the ports, and its name is told.
    let first = world.follow(&["--capture", "udp"]);
    wait_for(&first, "leader elected", ELECTION);
    let mut second = world.follow(&[]);
    let told =
        wait_for(&second, "by a raw socket, which leaves the ports alone: UDP port 319 is held by", START);
    assert!(told.contains("dantetimesync.exe (pid "), "{told}");
    follows_and_ends(&mut second, -15.0);
}

#[test]
fn who_captures_keeps_nobody_from_the_ports() {
    let Some(world) = World::create("capturing") else { return };
    let _leader = Leader::start(&world.namespaces, &[]);
    let follower = world.follow(&["--capture", "raw"]);
    wait_for(&follower, "leader elected", ELECTION);
    // As Dante's own software would, which does not share.
    let taken = [world.take(319), world.take(320)];
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
}

#[test]
fn the_ports_are_left_when_dantes_software_comes_and_the_leader_is_followed_all_the_same() {
    let Some(world) = World::create("installed meanwhile") else { return };
    let _leader = Leader::start(&world.namespaces, &[]);
    let follower = world.follow(&TOLD_AT_PIPE);
    wait_for(&follower, "by UDP sockets: nobody else needs the ports", START);
    wait_for(&follower, "leader elected", ELECTION);
    assert!(world.take(319).is_err(), "it holds the port");
    world.install(r"Program Files/Audinate/Dante Virtual Soundcard");
    wait_for(&follower, "leaving the ports and listening by a raw socket", START);
    let taken = [world.take(319), world.take(320)];
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    world.hears_again("raw");
}

#[test]
fn a_cable_that_is_pulled_and_an_address_that_changes_are_noticed() {
    let Some(world) = World::create("the cable") else { return };
    let _leader = Leader::start(&world.namespaces, &[]);
    let follower = world.follow(&TOLD_AT_PIPE);
    wait_for(&follower, "leader elected", ELECTION);
    world.hears_again("udp");
    world.here(&["link", "set", "sl0", "down"]);
    world.status_becomes("without an interface", |status| status["interfaces"] == serde_json::json!([]));
    let (_, told) = world.ask(&["status"], START);
    assert!(told.contains("on which the leader was heard, is down"), "{told}");
    world.here(&["address", "del", "10.77.0.2/24", "dev", "sl0"]);
    world.here(&["address", "add", "10.77.0.9/24", "dev", "sl0"]);
    world.here(&["link", "set", "sl0", "up"]);
    world.status_becomes("with the new address", |status| status["interfaces"][0]["address"] == "10.77.0.9");
    world.hears_again("udp");
}

#[test]
fn a_port_that_is_not_shared_is_an_error_where_it_was_asked_for_and_captured_where_not() {
    let Some(world) = World::create("a taken port") else { return };
    let _leader = Leader::start(&world.namespaces, &[]);
    let _taken = world.take(320).unwrap();
    let mut refused = world.follow(&["--capture", "udp"]);
    assert_eq!(refused.wait(START).code(), Some(71), "{:?}", refused.lines());
    wait_for(&refused, "UDP port 320 is taken", START);
    let follower = world.follow(&[]);
    wait_for(&follower, "by a raw socket, which leaves the ports alone", START);
    wait_for(&follower, "leader elected", ELECTION);
}

#[test]
fn the_date_comes_from_a_server_on_the_network() {
    let Some(world) = World::create("the date") else { return };
    let server = format!("{}:123", Namespaces::LEADER_ADDRESS);
    let _leader = Leader::start(&world.namespaces, &["--ntp", &server]);
    let follower = world.start(&["--dry-run", "-v", "--ntp-server", &server]);
    wait_for(&follower, "leader elected", ELECTION);
    wait_for(&follower, "NTP exchange verdict=Accepted", ELECTION);
}

#[test]
fn the_status_is_told_through_the_pipe_while_somebody_hangs_on_it_and_after_a_restart() {
    let Some(world) = World::create("the status") else { return };
    let _leader = Leader::start(&world.namespaces, &[]);
    let (code, told) = world.ask(&["status"], START);
    assert!(code == Some(2) && told.contains("dantetimesync is not running"), "{code:?}: {told}");

    let mut follower = world.follow(&TOLD_AT_PIPE);
    wait_for(&follower, "leader elected", ELECTION);
    // They have the pipe as their input, and never read it.
    let hang = || {
        let program = windows_path(&world.exe);
        let arguments = ["/c", &program, "demo", "--seconds", "40", "<", PIPE];
        let hanging = world.start_program("cmd.exe", &arguments);
        wait_for(&hanging, "demo: ", START);
        hanging
    };
    let (code, status) = world.status(&[], START);
    assert!(code == Some(0) || code == Some(1), "{status}; the program: {:?}", follower.lines());
    let _hanging = [hang(), hang()];
    let (_, status) = world.status(&[], START);
    assert_eq!((&status["schema_version"], &status["dry_run"]), (&Value::from(1), &Value::from(true)));
    let mut second = world.follow(&TOLD_AT_PIPE);
    let squatted = wait_for(&second, "no status at", START);
    assert!(squatted.contains("dantetimesync.exe (pid "), "{squatted}");
    second.kill();
    // Waiting ends, with the code that belongs to the state.
    let (code, status) = world.status(&["--wait-locked", "2"], START);
    let locked = status["state"] == "locked";
    assert_eq!(code, Some(if locked { 0 } else { 1 }), "{status}");

    // The next one gets the name, although they still hang on the first one's pipe.
    signal(follower.pid(), libc::SIGINT);
    assert_eq!(follower.wait(END).code(), Some(0), "{:?}", follower.lines());
    let next = world.follow(&TOLD_AT_PIPE);
    wait_for(&next, "leader elected", ELECTION);
    let (_, after) = world.status(&[], START);
    // By its age: the system gives the same number to the next process.
    let uptime_s = |status: &Value| status["uptime_ns"].as_i64().unwrap() / 1_000_000_000;
    assert!(uptime_s(&after) < uptime_s(&status), "{after}");
    // Those who hang are children of a console, and outlive it otherwise.
    world.end();
}

#[test]
fn the_network_is_judged_without_a_clock_and_what_happened_is_kept() {
    let Some(world) = World::create("monitor and events") else { return };
    let _leader = Leader::start(&world.namespaces, &["--ppm", "25"]);
    let folder = tempfile::tempdir().unwrap();
    let history = windows_path(&folder.path().join("events.jsonl"));
    let none = world.ask(&["events", "--file", &history], START);
    assert_eq!(none.0, Some(66), "{none:?}");
    let mut follower = world.follow(&["--event-file", &history]);
    wait_for(&follower, "leader elected", ELECTION);

    // Beside the one that follows.
    let (code, told) = world.ask(&["monitor", "--seconds", "10", "--json"], ELECTION);
    assert_eq!(code, Some(0), "{told}");
    let judged: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(judged["leaders"][0]["id"], "02:00:5e:10:00:01/1", "{judged}");
    assert!(judged["samples"].as_i64().unwrap() >= 20, "{judged}");

    signal(follower.pid(), libc::SIGINT);
    assert_eq!(follower.wait(END).code(), Some(0), "{:?}", follower.lines());
    let (code, kept) = world.ask(&["events", "--json", "--since", "1h", "--file", &history], START);
    assert_eq!(code, Some(0), "{kept}");
    let events: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(kinds[0] == "start" && kinds.contains(&"leader") && kinds.contains(&"state"), "{kinds:?}");
    assert_eq!(
        world.ask(&["events", "--since", "2200-01-01", "--file", &history], START),
        (Some(0), String::new())
    );
}
