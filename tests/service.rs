//! The service: its configuration file, what the service manager hears, and handing the clock over. The service
//! manager is a script on the PATH.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use dantetimesync::leader::{LeaderControl, NtpServer, NtpServerOptions};
use dantetimesync::time::{Rate, Span};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dantetimesync");

/// Keeps units in folders: `files`, `active`, `enabled`; what is in `stuck` refuses, all or the command in
/// it. `exec` has command lines, `code` exit codes.
const SYSTEMCTL: &str = r#"#!/bin/sh
cd "$FAKE" || exit 1
echo "$*" >>log
[ "$1" = --root ] && shift 2
what=$1; shift
now=
[ "$1" = --now ] && now=1 && shift
for unit; do :; done
case $what in
list-units) for u in $(ls active); do echo "$u loaded active running $u"; done ;;
list-unit-files) for u in $(ls files); do [ -e "enabled/$u" ] && echo "$u enabled enabled" || echo "$u disabled enabled"; done ;;
is-active) if [ -e "active/$unit" ]; then echo active; else echo inactive; exit 3; fi ;;
show)
    case $1,$2 in
    *ExecMainStatus*) cat "code/$unit" 2>/dev/null ;;
    *) cat "exec/$unit" 2>/dev/null ;;
    esac ;;
daemon-reload) ;;
enable|disable|start|stop)
    refused=$(cat "stuck/$unit" 2>/dev/null || echo nothing)
    [ "${refused:-$what}" != "$what" ] || { echo "$unit is stuck" >&2; exit 1; }
    case $what in
    enable) touch "enabled/$unit"; [ -z "$now" ] || touch "active/$unit" ;;
    disable) rm -f "enabled/$unit"; [ -z "$now" ] || rm -f "active/$unit" ;;
    start) touch "active/$unit" ;;
    stop) rm -f "active/$unit" ;;
    esac ;;
*) echo "unknown: $what" >&2; exit 1 ;;
esac
"#;

/// A computer whose service manager is a script.
struct Computer {
    folder: tempfile::TempDir,
}

impl Computer {
    fn new() -> Self {
        let computer = Self { folder: tempfile::tempdir().expect("a folder") };
        for name in ["bin", "files", "active", "enabled", "stuck", "exec", "code"] {
            fs::create_dir(computer.path(name)).expect("a folder");
        }
        computer.script("systemctl", SYSTEMCTL);
        computer.script("systemd-sysusers", "#!/bin/sh\necho \"sysusers $*\" >>\"$FAKE/log\"\n");
        computer.touch("files/dantetimesync.service");
        computer
    }

    /// One that another service steers.
    fn with(unit: &str) -> Self {
        let computer = Self::new();
        for folder in ["files", "active", "enabled"] {
            computer.touch(&format!("{folder}/{unit}"));
        }
        computer
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn touch(&self, name: &str) {
        fs::write(self.path(name), "").expect("a file");
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("to be run");
    }

    fn config(&self, text: &str) -> String {
        fs::write(self.path("config.toml"), text).expect("a file");
        self.path("config.toml").display().to_string()
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn memory(&self) -> String {
        self.path("memory.json").display().to_string()
    }

    fn service(&self, arguments: &[&str]) -> (i32, String) {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.path("bin").display());
        let mut command = Command::new(PROGRAM);
        command.arg("service").args(arguments).env("PATH", path).env("FAKE", self.folder.path());
        said(command.stdin(Stdio::null()).output().expect("the program runs"))
    }

    fn takeover(&self, config: &str, more: &[&str]) -> (i32, String) {
        let memory = self.memory();
        self.service(
            &[&["takeover", "--config", config, "--memory", &memory, "--patience", "1"], more].concat(),
        )
    }
}

fn said(output: Output) -> (i32, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it was not killed"), String::from_utf8(text).expect("UTF-8"))
}

/// Runs with an NTP server on the loopback, whose address it is given.
fn with_ntp_server<T>(work: impl FnOnce(SocketAddrV4) -> T) -> T {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let server = NtpServer::bind(NtpServerOptions { address, offset: Span::ZERO, rate: Rate::ZERO })
        .expect("a server");
    let (address, control) = (server.address().expect("an address"), LeaderControl::default());
    std::thread::scope(|scope| {
        scope.spawn(|| server.run(&control));
        let _ended = control.stop_on_drop();
        work(address)
    })
}

#[test]
fn nothing_is_stopped_before_a_server_of_ours_has_answered() {
    let computer = Computer::with("chrony.service");
    // Nobody listens on the discard port.
    for (config, reason) in [
        ("ntp-server = '127.0.0.1:9'", "none of our NTP servers (127.0.0.1:9) has answered"),
        ("skip-ntp = true", "nobody would set the date"),
    ] {
        let (code, said) = computer.takeover(&computer.config(config), &[]);
        assert_eq!(code, 69, "{said}");
        assert!(said.contains(reason), "{said}");
    }
    let (code, said) = computer.takeover(&computer.config("ntp-server = 5"), &[]);
    assert_eq!(code, 78, "{said}");
    assert!(computer.has("active/chrony.service") && computer.has("enabled/chrony.service"));
    assert!(!computer.has("active/dantetimesync.service") && !computer.has("memory.json"));
}

#[test]
fn the_clock_is_taken_over_and_given_back_as_it_was() {
    let computer = Computer::with("chrony.service");
    computer.touch("files/ntpsec.service");
    computer.touch("enabled/ntpsec.service");
    // It steers the card's clock, and not ours.
    computer.touch("active/ptp4l@eth0.service");
    fs::write(computer.path("exec/ptp4l@eth0.service"), "{ path=/usr/sbin/ptp4l ; argv[]=ptp4l -i eth0 }")
        .unwrap();
    let (code, said) = with_ntp_server(|server| {
        computer.takeover(&computer.config(&format!("ntp-server = '{server}'")), &[])
    });
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("has answered") && said.contains("stopped chrony.service (running, started at boot)"),
        "{said}"
    );
    for unit in ["chrony.service", "ntpsec.service"] {
        assert!(
            !computer.has(&format!("active/{unit}")) && !computer.has(&format!("enabled/{unit}")),
            "{unit}"
        );
    }
    assert!(computer.has("active/dantetimesync.service") && computer.has("enabled/dantetimesync.service"));
    assert!(computer.has("active/ptp4l@eth0.service"));
    let (code, said) = computer.service(&["status", "--memory", &computer.memory()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("taken over from: chrony.service"), "{said}");

    let (code, said) = computer.service(&["release", "--memory", &computer.memory()]);
    assert_eq!(code, 0, "{said}");
    assert!(computer.has("active/chrony.service") && computer.has("enabled/chrony.service"), "{said}");
    assert!(!computer.has("active/ntpsec.service") && computer.has("enabled/ntpsec.service"), "as it was");
    assert!(!computer.has("active/dantetimesync.service") && !computer.has("memory.json"), "{said}");
}

#[test]
fn a_takeover_that_fails_half_way_gives_everything_back() {
    let computer = Computer::with("systemd-timesyncd.service");
    computer.touch("files/ntpd.service");
    computer.touch("active/ntpd.service");
    computer.touch("stuck/ntpd.service");
    let (code, said) = with_ntp_server(|server| {
        computer.takeover(&computer.config(&format!("ntp-server = '{server}'")), &[])
    });
    assert_eq!(code, 71, "{said}");
    assert!(said.contains("ntpd.service is stuck"), "{said}");
    // What cannot be stopped cannot be started either, nor what was stopped be forgotten.
    let left = "not everything could be put back: ntpd.service (dantetimesync service release tries again)";
    assert!(said.contains(left), "{said}");
    assert!(
        computer.has("active/systemd-timesyncd.service") && computer.has("enabled/systemd-timesyncd.service")
    );
    assert!(!computer.has("active/dantetimesync.service"), "{said}");
    assert!(!computer.has("enabled/dantetimesync.service"), "{said}");
}

#[test]
fn a_takeover_says_why_the_service_did_not_start() {
    let computer = Computer::new();
    fs::write(computer.path("stuck/dantetimesync.service"), "start").unwrap();
    fs::write(computer.path("code/dantetimesync.service"), "77\n").unwrap();
    let (code, said) = computer.takeover(&computer.config("skip-ntp = true"), &[]);
    assert_eq!(code, 71, "{said}");
    assert!(said.contains("did not start: a permission is missing (exit code 77)"), "{said}");
    assert!(said.contains("everything is as it was"), "{said}");
    assert!(!computer.has("enabled/dantetimesync.service"), "{said}");
    // The code is one of an earlier start where it comes to none.
    fs::write(computer.path("stuck/dantetimesync.service"), "enable").unwrap();
    let (code, said) = computer.takeover(&computer.config("skip-ntp = true"), &[]);
    assert_eq!(code, 71, "{said}");
    assert!(said.contains("is stuck") && !said.contains("did not start"), "{said}");
}

#[test]
fn a_takeover_that_fails_leaves_our_own_service_and_an_earlier_takeover_alone() {
    let computer = Computer::with("dantetimesync.service");
    // Stopped by an earlier takeover; and one that will not be stopped.
    computer.touch("files/chrony.service");
    let earlier = r#"{ "units": [{ "unit": "chrony.service", "active": true, "enabled": true }] }"#;
    fs::write(computer.path("memory.json"), earlier).unwrap();
    for name in ["files/ntpd.service", "active/ntpd.service", "stuck/ntpd.service"] {
        computer.touch(name);
    }
    let (code, said) = with_ntp_server(|server| {
        computer.takeover(&computer.config(&format!("ntp-server = '{server}'")), &[])
    });
    assert_eq!(code, 71, "{said}");
    for name in ["active/dantetimesync.service", "enabled/dantetimesync.service", "memory.json"] {
        assert!(computer.has(name), "{name}: {said}");
    }
    assert!(!computer.has("active/chrony.service"), "{said}");
    let memory = fs::read_to_string(computer.path("memory.json")).unwrap();
    assert!(memory.contains("chrony.service"), "{memory}");
}

#[test]
fn a_package_only_takes_a_clock_that_is_free() {
    let computer = Computer::with("systemd-timesyncd.service");
    let (code, said) =
        computer.service(&["takeover", "--if-free", "--no-start", "--memory", &computer.memory()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("systemd-timesyncd.service steers the clock; nothing was changed"), "{said}");
    assert!(
        !computer.has("enabled/dantetimesync.service") && computer.has("active/systemd-timesyncd.service")
    );
    let computer = Computer::new();
    let (code, said) =
        computer.service(&["takeover", "--if-free", "--no-start", "--memory", &computer.memory()]);
    assert_eq!(code, 0, "{said}");
    assert!(computer.has("enabled/dantetimesync.service") && !computer.has("active/dantetimesync.service"));
}

#[test]
fn what_a_memory_says_is_not_believed_blindly() {
    let computer = Computer::new();
    let unit = r#"{ "units": [{ "unit": "ssh.service", "active": true, "enabled": true }] }"#;
    fs::write(computer.path("memory.json"), unit).unwrap();
    let (code, said) = computer.service(&["release", "--memory", &computer.memory()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("left out ssh.service") && !computer.has("active/ssh.service"), "{said}");
    fs::write(computer.path("memory.json"), "{}").unwrap();
    let (code, said) = computer.service(&["release", "--memory", &computer.memory()]);
    assert_eq!(code, 66, "{said}");
}

fn all_files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(all_files(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[test]
fn an_installation_is_written_once_and_leaves_nothing_behind() {
    let computer = Computer::new();
    fs::create_dir(computer.path("root")).unwrap();
    let root = computer.path("root").display().to_string();
    let (code, said) = computer.service(&["install", "--root", &root]);
    assert_eq!(code, 0, "{said}");
    let unit = fs::read_to_string(computer.path("root/etc/systemd/system/dantetimesync.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/dantetimesync\n"), "{unit}");
    assert!(computer.has("root/usr/local/bin/dantetimesync"));
    let log = fs::read_to_string(computer.path("log")).unwrap();
    assert!(log.contains(&format!("sysusers --root {root} /etc/sysusers.d/dantetimesync.conf")), "{log}");

    // Again: nothing is written, and not the user's own configuration either.
    let config = computer.path("root/etc/dantetimesync/config.toml");
    assert!(fs::read_to_string(&config).unwrap().contains("#utc-slew = 100"));
    fs::write(&config, "utc-slew = 50\n").unwrap();
    let (code, said) = computer.service(&["install", "--root", &root]);
    assert_eq!((code, said.contains("written:")), (0, false), "{said}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "utc-slew = 50\n");

    let (code, said) = computer.service(&["uninstall", "--root", &root]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(all_files(&computer.path("root")), [config.display().to_string()]);
    let (code, said) = computer.service(&["uninstall", "--purge", "--root", &root]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(all_files(&computer.path("root")), [""; 0]);
}

#[test]
fn what_a_package_has_installed_is_left_alone() {
    let computer = Computer::new();
    fs::create_dir_all(computer.path("root/usr/lib/systemd/system")).unwrap();
    computer.touch("root/usr/lib/systemd/system/dantetimesync.service");
    let root = computer.path("root").display().to_string();
    for command in ["install", "uninstall"] {
        let (code, said) = computer.service(&[command, "--root", &root]);
        assert_eq!(code, 69, "{said}");
        assert!(said.contains("comes from a package"), "{said}");
    }
}

#[test]
fn a_configuration_is_checked_without_starting_anything() {
    let computer = Computer::new();
    let run =
        |arguments: &[&str]| said(Command::new(PROGRAM).args(arguments).output().expect("the program runs"));
    let config = computer.config("utc-limit = '500ms'\n");
    assert_eq!(run(&["check-config", &config]), (0, format!("{config}: ok\n")));
    computer.config("utc-limit = 5\nutc_slew = 100\n");
    let (code, told) = run(&["check-config", &config]);
    assert_eq!(code, 78, "{told}");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(
        lines[0].starts_with(&format!("{config}:1: utc-limit: found 5, allowed none, or 0, or 1ms to 24h")),
        "{told}"
    );
    assert!(
        lines[1].starts_with(&format!("{config}:2: utc_slew: found an unknown key, allowed utc-slew")),
        "{told}"
    );
    // The service does not start with it either.
    let (code, told) = run(&["--config", &config, "--dry-run"]);
    assert_eq!(code, 78, "{told}");
    assert!(told.contains(lines[0]) && told.contains(lines[1]), "{told}");
    for arguments in [&["check-config", "/nowhere/c.toml"][..], &["--config", "/nowhere/c.toml", "--dry-run"]]
    {
        let (code, told) = run(arguments);
        assert_eq!(code, 66, "{told}");
        assert!(told.contains("/nowhere/c.toml"), "{told}");
    }
}

/// Killed at the end, whatever happens.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(daemon: &Daemon, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(daemon.0.id().to_string()).status();
    assert!(sent.expect("kill runs").success());
}

/// What the service manager hears next that contains `what`; all that it heard before is passed over. Nothing, when
/// that does not come.
fn hear(manager: &UnixDatagram, what: &str) -> String {
    let mut buffer = [0; 1024];
    for _ in 0..100 {
        let length = manager.recv(&mut buffer).expect("the manager hears something in time");
        let told = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        if told.contains(what) {
            return told;
        }
    }
    String::new()
}

/// How the kernel serves this process's first thread: the 41st field of its line in /proc.
fn scheduling_policy(pid: u32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    let after_the_name = stat.rsplit(") ").next().unwrap_or_default();
    after_the_name.split(' ').nth(38).and_then(|field| field.parse().ok()).expect("a policy")
}

/// In a network of its own, without the right to go before others and with little memory to lock.
#[test]
fn without_priority_and_locked_memory_it_says_so_and_runs_on() {
    let computer = Computer::new();
    let config = computer.config("skip-ntp = true\ninterface = 'lo'\nlog-level = 'debug'\n");
    let manager = UnixDatagram::bind(computer.path("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let script = "ip link set lo up && ulimit -l 1024 && exec setpriv --bounding-set=-sys_nice \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script, "sh", PROGRAM, "--dry-run", "--config", &config]);
    command.env("NOTIFY_SOCKET", computer.path("notify")).stdin(Stdio::null());
    let log = fs::File::create(computer.path("log")).unwrap();
    let mut daemon = Daemon(command.stderr(log).spawn().expect("unshare runs"));
    let log = || fs::read_to_string(computer.path("log")).unwrap_or_default();
    let mut buffer = [0; 1024];
    if let Err(error) = manager.recv(&mut buffer) {
        let ended = daemon.0.try_wait().expect("a child").and_then(|status| status.code());
        assert!(log().contains("Operation not permitted") && ended == Some(1), "{error}: {}", log());
        return eprintln!("skipped: no right to make a network of its own");
    }
    let told = log();
    assert!(told.contains("no real-time priority (Operation not permitted"), "{told}");
    let memory = "no memory that is never swapped out (the limit is 1048576 bytes, and none is needed)";
    assert!(told.contains(memory), "{told}");
    assert_eq!(scheduling_policy(daemon.0.id()), libc::SCHED_OTHER);
    signal(&daemon, "TERM");
    assert_eq!(daemon.0.wait().expect("a child").code(), Some(0), "{}", log());
}

/// In real time on the loopback; without rights for the ports it says so and does nothing.
#[test]
fn the_manager_hears_ready_beats_and_the_end_and_a_hangup_changes_what_can_change() {
    let computer = Computer::new();
    let config = computer.config("skip-ntp = true\ninterface = 'lo'\nlog-level = 'info'\n");
    let manager = UnixDatagram::bind(computer.path("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["--dry-run", "--config", &config]).stdin(Stdio::null());
    command.env("NOTIFY_SOCKET", computer.path("notify")).env("WATCHDOG_USEC", "300000");
    let log = fs::File::create(computer.path("log")).unwrap();
    let mut daemon = Daemon(command.stderr(log).spawn().expect("the program runs"));
    let log = || fs::read_to_string(computer.path("log")).unwrap_or_default();
    let mut buffer = [0; 1024];
    let first = match manager.recv(&mut buffer) {
        Ok(length) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
        Err(error) => {
            let ended = daemon.0.try_wait().expect("a child").and_then(|status| status.code());
            assert_eq!(ended, Some(77), "{error}: {}", log());
            return eprintln!("skipped: no right to take the ports");
        }
    };
    assert!(first.starts_with("READY=1\nSTATUS="), "{first}");
    assert_ne!(hear(&manager, "WATCHDOG=1"), "", "{}", log());
    let allowed = Command::new("chrt").args(["--fifo", "10", "true"]).stderr(Stdio::null()).status();
    if allowed.is_ok_and(|status| status.success()) {
        assert_eq!(scheduling_policy(daemon.0.id()), libc::SCHED_FIFO, "{}", log());
    }
    computer.config("skip-ntp = false\ninterface = 'lo'\nutc-slew = 50\n");
    signal(&daemon, "HUP");
    let mut beats = 0;
    while !log().contains("utc-slew is now 50; it was 100") && beats < 200 {
        assert_ne!(hear(&manager, "WATCHDOG=1"), "", "{}", log());
        beats += 1;
    }
    let told = log();
    assert!(told.contains("utc-slew is now 50; it was 100"), "{told}");
    assert!(
        told.contains("skip-ntp = false needs a restart of the service; true goes on until then"),
        "{told}"
    );
    signal(&daemon, "TERM");
    assert_ne!(hear(&manager, "STOPPING=1"), "", "{}", log());
    assert_eq!(daemon.0.wait().expect("a child").code(), Some(0), "{}", log());
}
