//! The command line, as a user meets it: help, refusals, exit codes, and the demo in real time.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

struct Run {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Run {
    let binary = env!("CARGO_BIN_EXE_dantetimesync");
    let Output { status, stdout, stderr } =
        Command::new(binary).args(arguments).stdin(Stdio::null()).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Run { code: status.code().expect("it was not killed"), out: text(stdout), err: text(stderr) }
}

/// The same, but it is stopped after so many seconds: then the code is 124.
#[cfg(unix)]
fn run_for(arguments: &[&str], seconds: &str) -> Run {
    let binary = env!("CARGO_BIN_EXE_dantetimesync");
    let mut command = Command::new("timeout");
    let Output { status, stdout, stderr } =
        command.args([seconds, binary]).args(arguments).stdin(Stdio::null()).output().expect("timeout runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Run { code: status.code().expect("it was not killed"), out: text(stdout), err: text(stderr) }
}

/// A file with this content, gone at the end of the test.
fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a file");
    (folder, path)
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let (_folder, empty) = file("config.toml", b"");
    let empty = empty.to_str().expect("UTF-8");
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/s1-60s.pcap");
    let bench = ["bench", "--scenario", "S5", "--seeds", "1", "--allow-known"];
    for arguments in [
        &["replay", capture][..],
        &["replay", capture, "--json"],
        &["check-config", empty],
        &bench,
        &[&bench[..], &["--json"]].concat(),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let binary = env!("CARGO_BIN_EXE_dantetimesync");
        let output = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(writer)
            .output()
            .expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{arguments:?}: {told}");
    }
}

#[test]
fn every_help_shows_an_example() {
    for command in [
        &["--help"][..],
        &["demo", "--help"],
        &["status", "--help"],
        &["watch", "--help"],
        &["monitor", "--help"],
        &["events", "--help"],
        &["doctor", "--help"],
        &["replay", "--help"],
        &["simulate", "--help"],
        &["bench", "--help"],
        &["check-config", "--help"],
        &["service", "--help"],
        &["service", "install", "--help"],
        &["service", "uninstall", "--help"],
        &["service", "status", "--help"],
        &["service", "takeover", "--help"],
        &["service", "release", "--help"],
        &["test-clock", "--help"],
    ] {
        let Run { code, out, err } = run(command);
        assert_eq!((code, err.as_str()), (0, ""), "{command:?}");
        assert!(out.contains("Usage: dantetimesync"), "{out}");
        assert!(out.contains("Example"), "{out}");
        let example = out.split("Example").nth(1).unwrap_or_default();
        assert!(example.contains("dantetimesync"), "{out}");
    }
}

#[test]
fn the_help_names_the_exit_codes() {
    let help = run(&["--help"]).out;
    for code in ["64", "66", "69", "71", "75", "77", "78"] {
        assert!(help.contains(code), "{code}: {help}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let Run { code, out, .. } = run(&["--version"]);
    assert_eq!((code, out.trim()), (0, concat!("dantetimesync ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn bad_arguments_exit_with_64_and_name_the_value_and_what_is_allowed() {
    for (arguments, parts) in [
        (&["--utc-slew", "900"][..], &["900", "1 to 500 ppm"][..]),
        (&["--utc-limit", "5"], &["5", "500ms"]),
        (&["--utc-limit", "100000s"], &["100000s", "1ms to 24h"]),
        // Everything at once.
        (
            &["--utc-slew", "0", "--utc-limit", "x", "--leap", "no"],
            &["utc-slew", "utc-limit", "slew or kernel"],
        ),
        (&["--utc-slew-window", "2-5"], &["2-5", "02:00-05:00"]),
        (&["--subdomain", "much-too-long-a-name"], &["much-too-long-a-name", "1 to 16"]),
        (&["--capture", "some"], &["some", "auto", "udp", "raw"]),
        (&["--subdomain", "_ALT1"], &["_ALT1", "cannot follow"]),
        (&["demo", "--seconds", "5"], &["5", "20 to 86400"]),
        (&["doctor", "--seconds", "2h"], &["2h", "2 to 3600", "5m"]),
        (&["demo", "--leader-ppm", "1000"], &["1000", "-400 to 400 ppm"]),
        (&["simulate", "s1.toml", "--seeds", "0"], &["0", "1..=10000"]),
        (&["simulate"], &["<FILES>"]),
        (&["bench", "--seeds", "1001"], &["1001", "1..=1000"]),
        (&["bench", "--save", "a", "--check", "b"], &["--save", "--check"]),
        (&["replay"], &["<FILE>"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["no-such-command"], &["no-such-command"]),
        (
            &["start"],
            &["start", if cfg!(windows) { "dantetimesync service start" } else { "sudo systemctl start" }],
        ),
        (&["uninstall"], &["uninstall", "dantetimesync service uninstall"]),
        (&["-v", "--quiet"], &["--quiet"]),
    ] {
        let Run { code, out, err } = run(arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}: {err}");
        for part in parts {
            assert!(err.contains(part), "{arguments:?} without {part:?}: {err}");
        }
    }
}

#[test]
fn an_unknown_interface_exits_with_66_and_lists_what_there_is() {
    let Run { code, err, .. } = run(&["--interface", "nosuch0", "--skip-ntp", "--dry-run"]);
    assert_eq!(code, 66, "{err}");
    assert!(err.contains("nosuch0") && err.contains("does not exist"), "{err}");
    assert!(err.contains("there are: ") || err.contains("there is no other"), "{err}");
}

#[test]
fn the_last_words_have_the_form_of_the_log() {
    let arguments =
        ["--interface", "nosuch0", "--skip-ntp", "--dry-run", "--log-format", "json", "--log-level"];
    let Run { code, err, .. } = run(&[&arguments[..], &["warn"]].concat());
    assert_eq!(code, 66, "{err}");
    let last: serde_json::Value = serde_json::from_str(err.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["level"], "error", "{err}");
    assert!(last["message"].as_str().expect("a message").contains("nosuch0"), "{err}");
    // Faults of the settings too, where an option says how.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("c.toml");
    let path = file.to_str().expect("UTF-8");
    for text in ["utc-slew = 0", "no toml"] {
        std::fs::write(&file, text).expect("it can be written");
        let Run { code, err, .. } = run(&["--config", path, "--dry-run", "--log-format", "json"]);
        assert_eq!(code, 78, "{err}");
        let only: serde_json::Value = serde_json::from_str(&err).expect("JSON");
        assert!(only["message"].as_str().expect("a message").contains("c.toml:1"), "{err}");
    }
}

/// On Windows raw capture exists, and then goes on.
#[cfg(unix)]
#[test]
fn raw_capture_is_refused_where_ports_are_shared() {
    let Run { code, err, .. } = run(&["--capture", "raw", "--skip-ntp", "--dry-run"]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("Windows only") && err.contains("--capture udp"), "{err}");
    // In the file it is a fault of the file.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "skip-ntp = true\ncapture = 'raw'\n").expect("it can be written");
    let file = file.to_str().expect("UTF-8");
    for arguments in [&["check-config", file][..], &["--config", file, "--dry-run"]] {
        let Run { code, err, .. } = run(arguments);
        assert_eq!(code, 78, "{arguments:?}: {err}");
        assert!(err.contains(&format!("{file}:2: capture: found 'raw', allowed auto or udp")), "{err}");
    }
}

#[test]
fn all_of_a_file_is_judged_whatever_its_letters_are_and_none_that_is_endless() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("c.toml");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&file, b"# caf\xe9\nutc-slew = 0\n").expect("it can be written");
    let Run { code, err, .. } = run(&["check-config", path]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("c.toml:1: found bytes that are no UTF-8"), "{err}");
    assert!(err.contains("c.toml:2: utc-slew: found 0"), "{err}");
    std::fs::write(&file, "#".repeat(300_000)).expect("it can be written");
    let Run { code, err, .. } = run(&["check-config", path]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("longer than"), "{err}");
}

/// What is told to nobody ends nothing, and an answer that is lost is no success.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_what_is_told_is_survived_and_under_an_answer_is_an_error() {
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("a full disk");
    let program = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_dantetimesync"));
        program.stdin(Stdio::null());
        program
    };
    for (arguments, code) in [
        (&["check-config", "/dev/zero"][..], 66),
        (&["status", "--socket", "/nowhere"], 2),
        (&["events", "--file", "/nowhere"], 66),
        (&["restart"], 64),
    ] {
        let ended = program().args(arguments).stderr(full()).status().expect("it runs");
        assert_eq!(ended.code(), Some(code), "{arguments:?}");
    }
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/s1-60s.pcap");
    let lost = program().args(["replay", capture]).stdout(full()).output().expect("it runs");
    let said = String::from_utf8_lossy(&lost.stderr);
    assert_eq!(lost.status.code(), Some(71), "{said}");
    assert!(said.contains("the answer cannot be written"), "{said}");
}

/// Told at once, and not waited for.
#[cfg(unix)]
#[test]
fn a_configuration_that_is_no_file_is_named_with_what_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let socket = folder.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    for (file, what) in [
        (path(&fifo), "a FIFO"),
        (path(&socket), "a socket"),
        (path(folder.path()), "a directory"),
        ("/dev/tty".to_owned(), "a device"),
        ("/dev/zero".to_owned(), "a device"),
    ] {
        for arguments in [&["check-config", &file][..], &["--dry-run", "--config", &file]] {
            let Run { code, out, err } = run_for(arguments, "10");
            assert_eq!((code, out.as_str()), (66, ""), "{arguments:?}: {err}");
            assert!(err.contains(&file) && err.contains(what), "{arguments:?}: {err}");
            assert_eq!(err.lines().count(), 1, "{err}");
        }
    }
}

/// What a shell hands over is read, and nothing is a configuration too.
#[cfg(unix)]
#[test]
fn a_configuration_is_read_from_a_pipe_that_a_shell_hands_over() {
    let program = env!("CARGO_BIN_EXE_dantetimesync");
    for (script, code, said) in [
        ("echo 'utc-slew = 5' | $0 check-config /dev/stdin", 0, "/dev/stdin: ok"),
        ("echo 'utc-slew = 0' | $0 check-config /dev/stdin", 78, "/dev/stdin:1: utc-slew: found 0"),
        ("echo 'utc-slew = 0' | $0 check-config /dev/fd/0", 78, "/dev/fd/0:1: utc-slew: found 0"),
        ("$0 check-config /dev/null", 0, "/dev/null: ok"),
    ] {
        let output = Command::new("sh").args(["-c", script, program]).output().expect("sh runs");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert_eq!(output.status.code(), Some(code), "{script}: {told}");
        assert!(told.starts_with(said), "{script}: {told}");
    }
}

#[test]
fn a_broken_scenario_is_named_with_key_value_and_range() {
    for (text, parts) in [
        ("duration_s = -1.0", &["duration_s", "-1", "1 to 2678400"][..]),
        ("seeds = 5000", &["seeds", "5000", "1 to 1000"]),
        ("no_such_key = 1", &["no_such_key"]),
        ("[config]\nutc_limit = 'soon'", &["utc-limit", "soon", "none"]),
        ("duration_s = ", &["duration_s"]),
    ] {
        let (_folder, path) = file("broken.toml", text.as_bytes());
        let Run { code, out, err } = run(&["simulate", path.to_str().expect("UTF-8")]);
        assert_eq!((code, out.as_str()), (66, ""), "{text}: {err}");
        assert!(err.contains("broken.toml"), "{err}");
        for part in parts {
            assert!(err.contains(part), "{text} without {part:?}: {err}");
        }
    }
    let Run { code, err, .. } = run(&["simulate", "/nowhere/s1.toml"]);
    assert_eq!(code, 66);
    assert!(err.contains("/nowhere/s1.toml"), "{err}");
}

#[test]
fn what_is_no_capture_is_refused() {
    for content in [&b""[..], b"this is a text, and no capture of anything at all", &[0xff; 400]] {
        let (_folder, path) = file("no.pcap", content);
        let Run { code, out, err } = run(&["replay", path.to_str().expect("UTF-8")]);
        assert_eq!((code, out.as_str()), (66, ""), "{err}");
        assert!(err.starts_with("dantetimesync: ") && err.len() > 30, "{err}");
    }
    let Run { code, err, .. } = run(&["replay", "/nowhere/dante.pcap"]);
    assert_eq!(code, 66);
    assert!(err.contains("/nowhere/dante.pcap"), "{err}");
}

/// A world that takes no time to play.
const SHORT: &[u8] = b"id = 'short'\ntitle = 'two minutes'\nduration_s = 120.0\nsteady_from_s = 60.0\n\
                       [limits]\nlock_s = 60.0\nbound_ok = 0.5\nbound_ratio = [0.1, 100.0]\n\
                       bound_ratio_rate = [0.1, 100.0]\nntp_per_h = 1000.0\n";

#[test]
fn a_simulation_as_json_names_its_units() {
    let (_folder, path) = file("short.toml", SHORT);
    let Run { out, err, .. } = run(&["simulate", path.to_str().expect("UTF-8"), "--seeds", "1", "--json"]);
    let json: serde_json::Value =
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    assert_eq!((&json[0]["id"], &json[0]["seeds"]), (&"short".into(), &1.into()));
    let checks = json[0]["checks"].as_array().expect("checks");
    let value = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no {name}: {out}"))["value"].as_f64()
    };
    for name in ["rate_rms_ppm", "phase_rms_us", "utc_max_us", "settle_s", "ntp_per_h", "demote_per_day"] {
        assert!(value(name).is_some(), "{name}: {out}");
    }
    assert!(value("lock_s").is_some_and(|lock| lock > 1.0 && lock < 60.0), "{out}");
}

#[test]
fn a_simulations_verdict_is_in_its_table_and_its_exit_code() {
    let never = [SHORT, b"rate_rms_ppm = 0.0\n"].concat();
    for (text, code, verdict) in [(SHORT, 0, "PASS  short"), (&never[..], 1, "FAIL  short")] {
        let (_folder, path) = file("short.toml", text);
        let it = run(&["simulate", path.to_str().expect("UTF-8"), "--seeds", "1"]);
        assert_eq!(it.code, code, "{}{}", it.out, it.err);
        assert!(it.out.contains(verdict), "{}", it.out);
    }
}

#[test]
fn a_simulations_course_is_written_second_by_second() {
    let (folder, path) = file("short.toml", SHORT);
    let csv = folder.path().join("course.csv");
    let arguments = ["simulate", path.to_str().expect("UTF-8"), "--seeds", "1", "--csv"];
    run(&[&arguments[..], &[csv.to_str().expect("UTF-8")]].concat());
    let text = fs::read_to_string(csv).expect("the course");
    assert!(text.starts_with("t_s,state,phase_ns,"), "{text}");
    // A line per second from the first one on that has something to show.
    assert!((60..=121).contains(&text.lines().count()), "{}", text.lines().count());
    let columns = |line: &str| line.split(',').count();
    assert!(text.lines().all(|line| columns(line) == 13), "{text}");
}

/// A row that is quickly played and reached.
const ROW: [&str; 5] = ["bench", "--seeds", "1", "--scenario", "s10d"];

#[test]
fn the_bench_plays_its_own_scenarios_from_anywhere_and_says_what_is_reached() {
    let Run { code, out, err } = run(&ROW);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("PASS  S10d") && out.contains("1 rows: 1 pass, 0 fail"), "{out}");
    assert!(out.contains("rate_rms_ppm") && out.contains("<= 0.03"), "{out}");
    let Run { code, err, .. } = run(&["bench", "--scenario", "S99"]);
    assert_eq!(code, 66, "{err}");
    assert!(err.contains("S99") && err.contains("S1-8hz"), "{err}");
}

#[test]
fn a_figure_that_differs_from_the_saved_table_fails_and_is_told() {
    let (folder, path) = file("table.txt", b"");
    let table = path.to_str().expect("UTF-8");
    assert_eq!(run(&[&ROW[..], &["--save", table]].concat()).code, 0);
    assert_eq!(run(&[&ROW[..], &["--check", table]].concat()).code, 0);
    let text = fs::read_to_string(&path).expect("the table");
    assert!(text.contains("S10d rate_rms_ppm") && !text.contains("cpu"), "{text}");
    fs::write(&path, text.replacen("S10d steps", "S10d jumps", 1)).expect("another table");
    let Run { code, err, .. } = run(&[&ROW[..], &["--check", table]].concat());
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("- S10d jumps") && err.contains("+ S10d steps"), "{err}");
    let missing = folder.path().join("none.txt");
    assert_eq!(run(&[&ROW[..], &["--check", missing.to_str().expect("UTF-8")]].concat()).code, 66);
}

/// In real time on loopback: a computer that is much too busy may not lock in 20 s, so it gets a longer try. A lock ends
/// it. Under Wine, where the program stamps by itself, it wants the computer for itself: `ci/windows.sh` runs it.
#[test]
#[cfg_attr(windows, ignore = "ci/windows.sh runs the demo alone")]
fn the_demo_locks() {
    let Run { code, out, err } = run(&["demo", "--seconds", "300", "--until-locked"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("demo: success") && out.contains("locked after"), "{out}");
    assert!(out.contains("nothing on this computer changes"), "{out}");
}

#[test]
fn a_demo_that_never_locks_fails() {
    // So much the leader turns that the lock is left, and there is no time to find it again.
    let Run { code, out, err } =
        run(&["demo", "--seconds", "20", "--leader-ppm-step", "100", "--until-locked"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("demo: FAILED"), "{out}");
}

fn test_clock(name: &str) -> (i32, serde_json::Value) {
    let file = format!("{}/tests/data/clock/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let Run { code, out, err } = run(&["test-clock", "--json", "--replay", &file]);
    assert_eq!(err, "", "{name}");
    (code, serde_json::from_str(&out).expect("JSON"))
}

#[test]
fn a_recorded_clock_that_obeys_is_judged_good_and_its_gain_is_told() {
    for (name, gain) in [("usual", 1.0), ("inverted", -1.0), ("virtual-machine", 1.0)] {
        let (code, report) = test_clock(name);
        assert_eq!((code, report["obeys"].as_bool()), (0, Some(true)), "{name}: {report}");
        assert_eq!(report["gain_used"].as_f64(), Some(gain), "{name}: {report}");
    }
    let (code, report) = test_clock("gain");
    assert_eq!(code, 0);
    let [gain, base] = ["gain_used", "base_ppm"].map(|key| report[key].as_f64().expect("a number"));
    assert!((gain - 1.5).abs() < 0.01 && (base + 7.0).abs() < 0.5, "{report}");
}

#[test]
fn a_recorded_clock_that_does_not_obey_is_named() {
    for (name, said) in [
        ("dead", "does not move"),
        ("wine-8", "does not move"),
        ("runs-away", "runs away"),
        ("two-clocks", "precise clock and its coarse one differ"),
        ("unsteady", "does not follow steadily"),
    ] {
        let (code, report) = test_clock(name);
        assert_eq!((code, report["obeys"].as_bool()), (1, Some(false)), "{name}: {report}");
        assert!(report["fault"].as_str().is_some_and(|fault| fault.contains(said)), "{name}: {report}");
        let file = format!("{}/tests/data/clock/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let Run { code, out, .. } = run(&["test-clock", "--replay", &file]);
        assert!(code == 1 && out.contains("It cannot be steered") && out.contains(said), "{out}");
    }
}

#[test]
fn what_is_no_trace_is_refused() {
    let (_folder, path) = file("x.json", b"{}");
    let Run { code, err, .. } = run(&["test-clock", "--replay", path.to_str().expect("UTF-8")]);
    assert!(code == 66 && err.contains("is no trace of test-clock"), "{code} {err}");
    let Run { code, err, .. } = run(&["test-clock", "--replay", "/nowhere/x.json"]);
    assert!(code == 66 && err.contains("cannot read"), "{code} {err}");
}
