//! The doctor in bad worlds: network namespaces in which something is wrong, and its answer to each.
//!
//! They need root and `ip netns`; without, they skip and say why. Nothing outside the namespaces is touched: the
//! doctor only reads the clock.

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

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dantetimesync::leader::{Leader, LeaderControl, LeaderOptions, NtpServer, NtpServerOptions};
use dantetimesync::ptp;
use dantetimesync::time::{Rate, Span};
use serde_json::Value;

use namespaces::Namespaces;

/// Long enough for a rate and for four answers of a time server.
const SECONDS: &str = "--seconds 4";

/// Two namespaces joined by a cable, and who speaks in the leader's.
struct World {
    namespaces: Namespaces,
    speakers: Vec<Speaker>,
}

/// A thread that speaks until it is dropped.
struct Speaker {
    control: Arc<LeaderControl>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.control.stop();
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the doctor said.
struct Report {
    code: i32,
    value: Value,
    text: String,
}

impl Report {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
        Self { code: output.status.code().unwrap(), value, text }
    }

    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.value["findings"].as_array().unwrap().iter()
    }

    fn finding(&self, problem: &str) -> &Value {
        let found = self.findings().find(|finding| finding["problem"] == problem);
        found.unwrap_or_else(|| panic!("{problem} is not found: {}", self.text))
    }

    fn mend(&self, problem: &str) -> &str {
        self.finding(problem)["mend"].as_str().unwrap()
    }

    fn seen(&self, problem: &str) -> &str {
        self.finding(problem)["seen"].as_str().unwrap()
    }

    /// The failures, in their order, without those of the clock: this computer may well have a time daemon.
    fn failures(&self) -> Vec<&str> {
        let failures = self.findings().filter(|finding| finding["level"] == "failure");
        let ours = failures.filter(|finding| finding["check"] != "clock");
        ours.map(|finding| finding["problem"].as_str().unwrap()).collect()
    }

    /// These are the failures, and no others; the exit code says so.
    #[track_caller]
    fn fails_by(&self, expected: &[&str]) {
        assert_eq!(self.failures(), expected, "{}", self.text);
        let any = self.value["failures"] != 0;
        assert_eq!(self.code, i32::from(any));
    }

    #[track_caller]
    fn warns_of(&self, problem: &str) {
        assert_eq!(self.finding(problem)["level"], "warning");
    }
}

/// None where this is not possible; says why.
fn world(test: &str) -> Option<World> {
    let output = Command::new("id").arg("-u").output().unwrap();
    let why_not = if String::from_utf8_lossy(&output.stdout).trim() != "0" {
        "this is not root"
    } else if !Command::new("ip").args(["netns", "list"]).output().is_ok_and(|out| out.status.success()) {
        "there is no `ip netns`"
    } else if !Command::new("unshare").arg("--version").output().is_ok_and(|out| out.status.success()) {
        "there is no `unshare`"
    } else {
        return Some(World { namespaces: Namespaces::create(), speakers: Vec::new() });
    };
    println!("{test} skipped: {why_not}");
    None
}

/// The world of this test, or the end of it.
macro_rules! world {
    ($name:expr) => {
        match world($name) {
            Some(world) => world,
            None => return,
        }
    };
}

impl World {
    /// With a leader on the cable.
    fn with_leader(mut self, change: impl FnOnce(&mut LeaderOptions)) -> Self {
        let mut options = LeaderOptions::on(Namespaces::LEADER_ADDRESS);
        options.rate = Rate::from_ppm(20.0);
        change(&mut options);
        self.speak(move |control, _, ready| {
            let leader = Leader::open(options).unwrap();
            ready();
            leader.run(control, |_| {}).unwrap();
        });
        self
    }

    /// With a time server in the leader's namespace.
    fn with_ntp(mut self, port: u16, offset: Span) -> Self {
        let address = SocketAddrV4::new(Namespaces::LEADER_ADDRESS, port);
        self.speak(move |control, _, ready| {
            let server = NtpServer::bind(NtpServerOptions { address, offset, rate: Rate::ZERO }).unwrap();
            ready();
            server.run(control).unwrap();
        });
        self
    }

    /// With a device that sends these bytes to a PTP port ten times a second.
    fn with_sender(mut self, port: u16, bytes: &'static [u8]) -> Self {
        self.speak(move |_, stop, ready| {
            let socket = UdpSocket::bind((Namespaces::LEADER_ADDRESS, 0)).unwrap();
            ready();
            while !stop.load(Ordering::Relaxed) {
                let _ = socket.send_to(bytes, (Ipv4Addr::new(224, 0, 1, 129), port));
                thread::sleep(Duration::from_millis(100));
            }
        });
        self
    }

    fn speak(&mut self, say: impl FnOnce(&LeaderControl, &AtomicBool, &dyn Fn()) + Send + 'static) {
        let control = Arc::new(LeaderControl::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, started) = mpsc::channel();
        let (own, own_stop) = (Arc::clone(&control), Arc::clone(&stop));
        let namespace = self.namespaces.leader.clone();
        let thread = thread::spawn(move || {
            Namespaces::enter(&namespace).unwrap();
            say(&own, &own_stop, &|| ready.send(()).unwrap());
        });
        started.recv_timeout(Duration::from_secs(10)).expect("the speaker has started");
        self.speakers.push(Speaker { control, stop, thread: Some(thread) });
    }

    fn sh(&self, namespace: &str, script: &str) -> Output {
        let mut command = Namespaces::command_in(namespace, "sh");
        command.args(["-c", script]).stdin(Stdio::null()).output().unwrap()
    }

    /// A command on the follower's side that must succeed.
    #[track_caller]
    fn here(&self, script: &str) {
        let output = self.sh(&self.namespaces.follower, script);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Does what the doctor says. This is root already, and there may be no sudo.
    #[track_caller]
    fn follow(&self, mend: &str) {
        self.here(&mend.replace("sudo ", ""));
    }

    #[track_caller]
    fn there(&self, script: &str) {
        let output = self.sh(&self.namespaces.leader, script);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The doctor's answer, without a time server and without a state file where none is named.
    fn doctor(&self, arguments: &str) -> Report {
        self.doctor_after("", arguments)
    }

    /// The same, after (or under) other commands of the same shell, whose mounts and processes end with it.
    fn doctor_after(&self, before: &str, arguments: &str) -> Report {
        Report::of(&self.alone(&script(before, arguments)))
    }

    /// Runs where the programs of this computer are not seen: neither its time daemon nor a service of ours.
    fn alone(&self, script: &str) -> Output {
        let mut command = Namespaces::command_in(&self.namespaces.follower, "unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script]);
        command.stdin(Stdio::null()).output().unwrap()
    }
}

/// The doctor with what a test does not say itself: no time server, no state, not the computer's own settings.
fn script(before: &str, arguments: &str) -> String {
    let usual = [
        ("--ntp-server", "--skip-ntp"),
        ("--state-file", "--state-file none"),
        ("--seconds", SECONDS),
        ("--config", "--config /dev/null"),
    ];
    let unsaid: Vec<&str> =
        usual.iter().filter(|(name, _)| !arguments.contains(name)).map(|(_, usual)| *usual).collect();
    let program = env!("CARGO_BIN_EXE_dantetimesync");
    format!("{before} {program} doctor --json {} {arguments}", unsaid.join(" "))
}

fn has(program: &str, test: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    if !there.status.success() {
        println!("{test} skipped: there is no {program}");
    }
    there.status.success()
}

#[test]
fn a_good_world_has_no_failure() {
    let world = world!("a_good_world_has_no_failure").with_leader(|_| {}).with_ntp(123, Span::ZERO);
    let report = world.doctor("--ntp-server 10.77.0.1 --interface sl0");
    report.fails_by(&[]);
    let measured = &report.value["measured"];
    assert_eq!(measured["leader"], "02:00:5e:10:00:01/1");
    let rate = measured["leader_rate_ppb"].as_f64().unwrap();
    let bound = measured["leader_rate_bound_ppb"].as_f64().unwrap();
    assert!((rate - 20_000.0).abs() < bound.max(100.0), "{rate} ± {bound}");
    let packets = report.findings().find(|finding| finding["check"] == "packets").unwrap();
    assert_eq!(packets["level"], "ok", "{}", report.text);
    let offset = measured["ntp_servers"][0]["offset_ns"].as_i64().unwrap();
    assert!(offset.abs() < 10_000_000, "{offset}");
}

#[test]
fn the_text_is_for_people_and_fits_a_terminal() {
    let world = world!("the_text_is_for_people_and_fits_a_terminal");
    let program = env!("CARGO_BIN_EXE_dantetimesync");
    let output = world.sh(
        &world.namespaces.follower,
        &format!("{program} doctor --skip-ntp --seconds 2 --config /dev/null"),
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("[no-ptp]") && text.contains("Begin with "), "{text}");
    assert!(!text.contains('\x1b'), "colour without a terminal");
}

#[test]
fn no_leader_at_all() {
    let world = world!("no_leader_at_all");
    let report = world.doctor("");
    report.fails_by(&["no-ptp"]);
    assert!(report.seen("no-ptp").contains("not a single packet"), "{}", report.text);
}

#[test]
fn an_interface_that_is_not_there() {
    let world = world!("an_interface_that_is_not_there").with_leader(|_| {});
    let report = world.doctor("--interface eth9");
    report.fails_by(&["interface-missing", "other-interface"]);
    assert!(report.mend("interface-missing").starts_with("interface = \"sl0\" in "));
}

#[test]
fn the_wrong_interface() {
    let world = world!("the_wrong_interface").with_leader(|_| {});
    world.here("ip link add sl1 type veth peer name sl2; ip address add 10.78.0.2/24 dev sl1; ip link set sl1 up; ip link set sl2 up");
    let report = world.doctor("--interface sl1");
    report.fails_by(&["other-interface"]);
    assert!(report.mend("other-interface").contains("(or --interface sl0, "));
}

#[test]
fn an_interface_that_is_down_and_one_without_an_address() {
    let world = world!("an_interface_that_is_down_and_one_without_an_address");
    world.here("ip address flush dev sl0");
    assert_eq!(world.doctor("").failures()[0], "no-address");
    world.here("ip link set sl0 down");
    assert_eq!(world.doctor("").failures()[0], "interface-down");
    world.here("ip address add 10.77.0.2/24 dev sl0; ip link set sl0 up");
    world.there("ip link set gm0 down");
    assert_eq!(world.doctor("").failures()[0], "no-carrier");
}

#[test]
fn an_interface_that_is_named_by_its_address() {
    let world = world!("an_interface_that_is_named_by_its_address").with_leader(|_| {});
    let report = world.doctor("--interface 10.77.0.2");
    report.fails_by(&[]);
    assert!(report.text.contains("sl0 (10.77.0.2/24"), "{}", report.text);
    world.doctor("--interface 10.77.0.3").fails_by(&["interface-missing", "other-interface"]);
}

#[test]
fn two_interfaces_in_one_subnet() {
    let world = world!("two_interfaces_in_one_subnet").with_leader(|_| {});
    world.here("ip link add sl1 type veth peer name sl2; ip address add 10.77.0.3/24 dev sl1; ip link set sl1 up; ip link set sl2 up");
    let report = world.doctor("");
    report.fails_by(&[]);
    report.warns_of("same-subnet");
    assert!(report.seen("same-subnet").contains("sl0 and sl1"));
}

#[test]
fn only_version_two() {
    let world = world!("only_version_two").with_sender(319, &[0x00, 0x02, 0, 44, 0, 0, 0, 0]);
    let report = world.doctor("");
    report.fails_by(&["only-ptp-v2"]);
}

#[test]
fn a_pull_up_subdomain_and_one_of_another_name() {
    let named = |name: &[u8]| {
        let mut subdomain = [0; 16];
        subdomain[..name.len()].copy_from_slice(name);
        subdomain
    };
    let speaking = |subdomain: [u8; 16]| {
        move |options: &mut LeaderOptions| {
            options.subdomain = subdomain;
            options.group = ptp::group(&subdomain);
        }
    };
    let world = world!("a_pull_up_subdomain_and_one_of_another_name").with_leader(speaking(named(b"_ALT2")));
    let report = world.doctor("");
    report.fails_by(&["pull-up"]);
    assert!(report.seen("pull-up").contains("_ALT2"));
    drop(world);
    let world = world!("a_pull_up_subdomain_and_one_of_another_name").with_leader(speaking(named(b"STUDIO")));
    let report = world.doctor("");
    report.fails_by(&["other-subdomain"]);
    assert!(report.mend("other-subdomain").contains("(or --subdomain STUDIO, "));
    world.doctor("--subdomain STUDIO").fails_by(&[]);
}

#[test]
fn two_leaders_and_one_name_for_two() {
    let world = world!("two_leaders_and_one_name_for_two")
        .with_leader(|_| {})
        .with_leader(|options| options.uuid[5] = 2);
    let report = world.doctor("");
    report.fails_by(&[]);
    report.warns_of("several-leaders");
    drop(world);
    let world = world!("two_leaders_and_one_name_for_two")
        .with_leader(|_| {})
        .with_leader(|options| options.first_sequence = 30_000);
    world.doctor("").warns_of("same-identity");
}

#[test]
fn a_leader_two_hundred_ppm_off() {
    let world = world!("a_leader_two_hundred_ppm_off")
        .with_leader(|options| options.rate = Rate::from_ppm(200.0))
        .with_ntp(123, Span::ZERO);
    let report = world.doctor("--ntp-server 10.77.0.1 --seconds 8");
    report.fails_by(&[]);
    report.warns_of("leader-rate");
    let seen = report.seen("leader-rate");
    assert!(seen.contains("02:00:5e:10:00:01/1") && seen.contains("it is the leader that is off"), "{seen}");
}

#[test]
fn a_leader_that_falls_silent() {
    let world = world!("a_leader_that_falls_silent").with_leader(|_| {});
    let control = Arc::clone(&world.speakers[0].control);
    let silencer = thread::spawn(move || {
        thread::sleep(Duration::from_secs(2));
        control.pause(true);
    });
    let report = world.doctor("--seconds 8");
    silencer.join().unwrap();
    report.fails_by(&["syncs-stopped"]);
    assert!(report.mend("syncs-stopped").contains("querier"));
}

#[test]
fn time_servers_dead_a_day_wrong_and_disagreeing() {
    const DAY: Span = Span::from_secs(86_400);
    let world = world!("time_servers_dead_a_day_wrong_and_disagreeing")
        .with_leader(|_| {})
        .with_ntp(123, Span::ZERO)
        .with_ntp(1123, DAY)
        .with_ntp(2123, Span::from_ms(-3))
        .with_ntp(3123, Span::from_secs(40));
    let (good, day, near, off) = ("10.77.0.1", "10.77.0.1:1123", "10.77.0.1:2123", "10.77.0.1:3123");
    let report = world.doctor("--ntp-server 10.77.0.1:4123");
    report.fails_by(&["ntp-dead"]);
    assert!(report.seen("ntp-dead").contains("refused"), "{}", report.text);
    let report = world.doctor(&format!("--ntp-server {day}"));
    report.fails_by(&["ntp-far"]);
    assert!(report.seen("ntp-far").contains("wrong by 24.0 h"), "{}", report.text);
    world.doctor(&format!("--ntp-server {good} --ntp-server {off}")).fails_by(&["ntp-disagree"]);
    let report = world.doctor(&format!("--ntp-server {good} --ntp-server {off} --ntp-server {near}"));
    report.fails_by(&[]);
    report.warns_of("ntp-outvoted");
    assert!(report.seen("ntp-outvoted").starts_with("10.77.0.1:3123 (+40.0"), "{}", report.text);
    let report = world.doctor(&format!("--ntp-server {good} --ntp-server 10.77.0.9"));
    report.fails_by(&[]);
    report.warns_of("ntp-silent");
}

#[test]
fn a_rival_that_is_running() {
    let world = world!("a_rival_that_is_running").with_leader(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let before = format!("cp \"$(command -v sleep)\" {path}/chronyd; {path}/chronyd 60 & sleep 1;");
    let report = world.doctor_after(&before, "");
    report.fails_by(&["rival-running"]);
    assert!(report.seen("rival-running").starts_with("chronyd (pid "));
    // No unit started it.
    assert!(report.mend("rival-running").starts_with("sudo kill "));
}

#[test]
fn a_port_that_is_not_shared() {
    let world = world!("a_port_that_is_not_shared").with_leader(|_| {});
    let (held, squatting) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let namespace = world.namespaces.follower.clone();
    let squatter = thread::spawn(move || {
        Namespaces::enter(&namespace).unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 319)).unwrap();
        held.send(()).unwrap();
        let _ = ended.recv();
        drop(socket);
    });
    squatting.recv().unwrap();
    // Among all programs of this computer, so that the holder can be found.
    let report = Report::of(&world.sh(&world.namespaces.follower, &script("", "")));
    drop(end);
    squatter.join().unwrap();
    assert!(report.failures().contains(&"port-taken"), "{}", report.text);
    assert_eq!(report.finding("group-untried")["level"], "skipped");
    let own = format!("(pid {})", std::process::id());
    assert!(report.seen("port-taken").contains(&own), "{}", report.text);
    // The packet socket has seen it nevertheless.
    assert!(report.seen("not-listened").contains("a leader is there"), "{}", report.text);
    world.doctor("").fails_by(&[]);
}

#[test]
fn rights_that_are_missing() {
    let world = world!("rights_that_are_missing").with_leader(|_| {});
    if !has("setpriv", "rights_that_are_missing") {
        return;
    }
    let report = world.doctor_after("setpriv --bounding-set=-sys_time", "");
    report.fails_by(&["no-clock-right"]);
    assert!(report.mend("no-clock-right").contains("--cap-add=SYS_TIME"));
    let report = world.doctor_after("setpriv --bounding-set=-net_raw", "");
    report.fails_by(&[]);
    assert_eq!(report.finding("no-raw-right")["level"], "skipped");
    // The program must be within the reach of a user who is nobody: as an open file.
    let program = env!("CARGO_BIN_EXE_dantetimesync");
    let script = format!(
        "setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs /proc/self/fd/9 doctor --json \
         --seconds 2 --skip-ntp --config /dev/null 9<{program}"
    );
    let output = world.alone(&script);
    if output.stdout.is_empty() {
        println!("part of rights_that_are_missing skipped: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let report = Report::of(&output);
    report.fails_by(&["no-clock-right", "no-port-right"]);
    assert_eq!(report.mend("no-clock-right"), "sudo dantetimesync doctor");
    assert_eq!(report.finding("not-listened")["level"], "skipped");
}

#[test]
fn a_state_folder_that_is_read_only_or_full() {
    let world = world!("a_state_folder_that_is_read_only_or_full").with_leader(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    // The mounts are in a namespace of their own and end with the shell.
    let file = format!("--state-file {path}/state.json");
    let read_only = format!("mount -t tmpfs -o ro none {path} &&");
    world.doctor_after(&read_only, &file).fails_by(&["state-read-only"]);
    let full = format!("mount -t tmpfs -o size=4096 none {path} &&");
    world.doctor_after(&full, &file).fails_by(&["state-full"]);
    world.doctor(&file).fails_by(&[]);
    world.doctor_after("", "--state-file /proc/nowhere/state.json").warns_of("state-missing");
}

#[test]
fn a_firewall_rule_that_drops_and_the_command_that_mends_it() {
    let test = "a_firewall_rule_that_drops_and_the_command_that_mends_it";
    let world = world!(test).with_leader(|_| {});
    if !has("nft", test) {
        return;
    }
    world.here("nft add table inet filter && nft 'add chain inet filter input { type filter hook input priority 0; policy accept; }'");
    for port in [319, 320] {
        world.here(&format!("nft add rule inet filter input udp dport {port} drop"));
        let report = world.doctor("");
        report.fails_by(&["blocked-here", "firewall-drops-ptp"]);
        assert!(report.seen("blocked-here").contains(&format!("port {port}")), "{}", report.text);
        world.follow(report.mend("firewall-drops-ptp"));
        world.doctor("").fails_by(&[]);
        world.here("nft flush chain inet filter input");
    }
    world.here("nft 'chain inet filter input { policy drop; }'");
    let report = world.doctor("");
    report.fails_by(&["blocked-here", "firewall-drops-ptp"]);
    world.follow(report.mend("firewall-drops-ptp"));
    world.doctor("").fails_by(&[]);
    // One Sync of four is over the limit.
    world.here("nft 'flush chain inet filter input; chain inet filter input { policy accept; }; add rule inet filter input udp dport 319 limit rate over 3/second burst 2 packets drop'");
    let report = world.doctor("");
    report.fails_by(&[]);
    report.warns_of("syncs-lost");
    report.warns_of("firewall-may-drop");
    world.follow(report.mend("firewall-may-drop"));
    assert!(world.doctor("").findings().all(|finding| finding["problem"] != "firewall-may-drop"));
}

#[test]
fn a_reverse_path_filter_that_drops_and_the_command_that_mends_it() {
    let test = "a_reverse_path_filter_that_drops_and_the_command_that_mends_it";
    let world = world!(test).with_leader(|_| {});
    world.here("ip address flush dev sl0; ip address add 10.99.0.2/24 dev sl0; echo 1 > /proc/sys/net/ipv4/conf/sl0/rp_filter; ip link add sl1 type veth peer name sl2; ip address add 10.98.0.2/24 dev sl1; ip link set sl1 up; ip link set sl2 up; ip route add default via 10.98.0.1 dev sl1");
    let report = world.doctor("--interface sl0");
    report.fails_by(&["blocked-here"]);
    report.warns_of("reverse-path-filter");
    let mend = report.mend("blocked-here");
    assert_eq!(mend, "sudo sysctl -w net.ipv4.conf.sl0.rp_filter=2");
    world.here("echo 2 > /proc/sys/net/ipv4/conf/sl0/rp_filter");
    world.doctor("--interface sl0").fails_by(&[]);
}

#[test]
fn a_configuration_file_with_a_fault() {
    let world = world!("a_configuration_file_with_a_fault").with_leader(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let named = format!("--config {}", path.display());
    std::fs::write(&path, "# mine\nutc-slew = 0\nintreface = \"eth0\"\n").unwrap();
    let report = world.doctor(&named);
    report.fails_by(&["config-fault"]);
    let seen = report.seen("config-fault");
    assert!(seen.contains("config.toml:2: utc-slew") && seen.contains("config.toml:3: "), "{seen}");
    // Which time servers are asked stands in that file.
    let asked = report.findings().find(|finding| finding["check"] == "ntp").unwrap();
    assert_eq!(asked["problem"], "ntp-unasked");
    assert!(
        asked["seen"].as_str().unwrap().contains("the configuration, which could not be used"),
        "{asked}"
    );
    // Without a fault the file counts, and an option more.
    std::fs::write(&path, "interface = \"sl7\"\n").unwrap();
    let report = world.doctor(&named);
    report.fails_by(&["interface-missing", "other-interface"]);
    let there = format!("interface = \"sl0\" in {}, then", path.display());
    assert!(report.mend("interface-missing").starts_with(&there), "{}", report.text);
    world.doctor(&format!("{named} --interface sl0")).fails_by(&[]);
    std::fs::remove_file(&path).unwrap();
    world.doctor(&named).fails_by(&["config-fault"]);
}
