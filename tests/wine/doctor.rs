//! The doctor in bad worlds: registries, services and networks in which something is wrong, and its answer to each.
//!
//! Every world has a Windows of its own, which is thrown away. Under Wine no clock moves, whatever it is told: the
//! failure `clock-disobeys` is always there where the clock is tried.

use std::process::{Command, Output, Stdio};

use crate::leader::Leader;
use crate::world::{TOLD_AT_PIPE, World, windows_path};
use serde_json::Value;

const FIREWALL: &str =
    r"HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules";

impl World {
    /// Where what was started stays until the end.
    fn lasting(test: &str) -> Option<Self> {
        let world = Self::create(test)?;
        // One server to the end: what was started in it shall stay.
        let mut server = world.linux_command("wineserver-stable");
        server.arg("-p");
        assert!(silent(&mut server).status().unwrap().success());
        // The first program starts Windows' own ones, which live as long as the server and keep what they inherit:
        // whoever waited for the end of its output would wait for theirs.
        let mut first = world.command("cmd.exe", &["/c", "exit"]);
        assert!(silent(&mut first).status().unwrap().success());
        Some(world)
    }

    /// One of Windows' own programs, or ours.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// One that must succeed.
    #[track_caller]
    fn with(self, program: &str, arguments: &[&str]) -> Self {
        let output = self.run(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        self
    }

    #[track_caller]
    fn value(self, key: &str, name: &str, kind: &str, value: &str) -> Self {
        self.with("reg.exe", &["add", key, "/v", name, "/t", kind, "/d", value, "/f"])
    }

    /// The doctor's answer, without a time server.
    fn doctor(&self, arguments: &[&str]) -> Report {
        let usual = ["doctor", "--json", "--skip-ntp", "--seconds", "3"];
        let output = self.run(self.exe.to_str().unwrap(), &[&usual, arguments].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
        Report { code: output.status.code().unwrap(), value, text }
    }
}

/// Without any of this program's pipes.
fn silent(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// What the doctor said.
struct Report {
    code: i32,
    value: Value,
    text: String,
}

impl Report {
    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.value["findings"].as_array().unwrap().iter()
    }

    #[track_caller]
    fn finding(&self, problem: &str) -> &Value {
        let found = self.findings().find(|finding| finding["problem"] == problem);
        found.unwrap_or_else(|| panic!("{problem} is not found: {}", self.text))
    }

    #[track_caller]
    fn of(&self, check: &str) -> &Value {
        let found = self.findings().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("{check} is not looked at: {}", self.text))
    }

    /// These are the failures, and no others; the exit code says so.
    #[track_caller]
    fn fails_by(&self, expected: &[&str]) {
        let failures = self.findings().filter(|finding| finding["level"] == "failure");
        let problems: Vec<&str> = failures.map(|finding| finding["problem"].as_str().unwrap()).collect();
        assert_eq!(problems, expected, "{}", self.text);
        assert_eq!(self.code, i32::from(!expected.is_empty()), "{}", self.text);
    }
}

#[test]
fn with_a_leader_nothing_fails_but_the_clock_of_wine() {
    let Some(world) = World::lasting("a good world") else { return };
    let _leader = Leader::start(&world.namespaces, &["--ppm", "20"]);
    let report = world.doctor(&[]);
    report.fails_by(&["clock-disobeys"]);
    assert!(report.finding("clock-disobeys")["seen"].as_str().unwrap().contains("does not move"));
    assert_eq!(report.value["measured"]["leader"], "02:00:5e:10:00:01/1");
    assert_eq!(report.value["measured"]["heard_by"], "udp");
    let interfaces = report.of("interfaces")["seen"].as_str().unwrap();
    assert!(interfaces.contains("(10.77.0.2/24"), "{interfaces}");
}

#[test]
fn a_wrong_interface_and_a_file_with_faults() {
    let Some(world) = World::lasting("a wrong interface") else { return };
    let _leader = Leader::start(&world.namespaces, &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "utc-slew = 0\n").unwrap();
    let report = world.doctor(&["--interface", "LAN", "--config", &windows_path(&file)]);
    report.fails_by(&["clock-disobeys", "interface-missing", "other-interface", "config-fault"]);
    assert!(report.finding("interface-missing")["mend"].as_str().unwrap().starts_with("interface = "));
    assert!(report.finding("config-fault")["seen"].as_str().unwrap().contains(":1: utc-slew: found 0"));
}

#[test]
fn settings_of_the_computer_that_hurt() {
    let Some(world) = World::lasting("settings that hurt") else { return };
    let world = world
        .value(r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters", "IGMPLevel", "REG_DWORD", "0")
        .value(
            r"HKLM\SYSTEM\CurrentControlSet\Control\Power\User\PowerSchemes",
            "ActivePowerScheme",
            "REG_SZ",
            "a1841308-3541-4fab-bc81-f71556f20b4a",
        );
    let report = world.doctor(&[]);
    report.fails_by(&["clock-disobeys", "multicast-off", "no-ptp"]);
    assert!(
        report.finding("no-ptp")["seen"].as_str().unwrap().contains("not a single packet"),
        "{}",
        report.text
    );
    assert!(report.finding("power-plan")["seen"].as_str().unwrap().contains("Power saver"));
}

#[test]
fn windows_time_that_runs_and_a_firewall_that_blocks() {
    let Some(world) = World::lasting("windows time") else { return };
    // Any service will do, so that it runs: ours, which holds the ports as well.
    let exe = windows_path(&std::fs::canonicalize(&world.exe).unwrap());
    let quiet = "--dry-run --skip-ntp --state-file none --event-file none --status-socket none";
    let command = format!("{exe} service run {quiet}");
    let rule = format!("v2.30|Action=Block|Active=TRUE|Dir=In|Protocol=17|App={exe}|Name=dantetimesync.exe|");
    let world = world
        .with("sc.exe", &["create", "W32Time", "binPath=", &command, "start=", "demand"])
        .with("sc.exe", &["create", "MpsSvc", "binPath=", &command, "start=", "demand"])
        .value(r"HKLM\SYSTEM\CurrentControlSet\Services\W32Time\Parameters", "Type", "REG_SZ", "NT5DS")
        .value(FIREWALL, "R1", "REG_SZ", &rule);
    let stopped = world.doctor(&[]);
    stopped.fails_by(&["clock-disobeys", "no-ptp"]);
    assert!(stopped.finding("rival-returns")["seen"].as_str().unwrap().contains("from its domain"));
    let world = world.with("sc.exe", &["start", "W32Time"]).with("sc.exe", &["start", "MpsSvc"]);
    let report = world.doctor(&[]);
    report.fails_by(&["rival-running", "no-ptp", "firewall-drops-ptp"]);
    assert_eq!(report.finding("rival-running")["mend"], "dantetimesync service install --take-over");
    assert_eq!(
        report.finding("firewall-drops-ptp")["mend"],
        "in PowerShell: Remove-NetFirewallRule -Name 'R1'"
    );
    // Beside a rival the clock is not tried.
    assert_eq!(report.of("trial")["problem"], "clock-untried");
    assert!(report.of("ports")["seen"].as_str().unwrap().contains("is held by"), "{}", report.text);
}

#[test]
fn beside_our_own_service_nothing_is_tried_and_its_own_word_is_heard() {
    let Some(world) = World::lasting("our own service") else { return };
    let _leader = Leader::start(&world.namespaces, &[]);
    let exe = world.exe.to_str().unwrap().to_owned();
    // It watches the clock only, since under Wine it would refuse to steer it, and then tells its status only if asked.
    let quiet = ["--dry-run", "--skip-ntp", "--state-file", "none", "--event-file", "none"];
    let world = world
        .with(&exe, &[&["service", "install"], &quiet[..], &TOLD_AT_PIPE].concat())
        .with(&exe, &["service", "start"]);
    let report = world.doctor(&[]);
    report.fails_by(&[]);
    assert!(report.of("trial")["seen"].as_str().unwrap().starts_with("the service (pid "), "{}", report.text);
    assert!(
        report.of("ports")["seen"].as_str().unwrap().contains("nobody else needs the ports"),
        "{}",
        report.text
    );
    // Its pipe answers: it needs longer than this for a lock, and says so.
    let service = report.of("service");
    assert_eq!(service["problem"], "service-not-locked", "{}", report.text);
    let world = world.with(&exe, &["service", "stop"]);
    assert_eq!(world.doctor(&[]).of("service")["problem"], "service-stopped");
}

#[test]
fn the_text_is_for_people_and_fits_a_console() {
    let Some(world) = World::lasting("the text") else { return };
    let output = world.run(world.exe.to_str().unwrap(), &["doctor", "--skip-ntp", "--seconds", "2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("[no-ptp]") && text.contains("Begin with "), "{text}");
}
