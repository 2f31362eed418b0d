//! The status as others get it from a running program: `demo` serves it as the service does, on loopback and
//! without root.
#![cfg(unix)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dantetimesync::clock::platform::raw_clock;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_dantetimesync");

/// Patience with a computer that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// A demo that serves its status and keeps its events.
struct Demo {
    process: Child,
    folder: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        let demo = Self::start_in(tempfile::tempdir().unwrap());
        demo.wait_served();
        demo
    }

    fn start_in(folder: tempfile::TempDir) -> Self {
        let process = Command::new(BINARY)
            .args(["demo", "--seconds", "600", "--status-socket"])
            .arg(folder.path().join("status.sock"))
            .arg("--event-file")
            .arg(folder.path().join("events.jsonl"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("status.sock")
    }

    fn events(&self) -> PathBuf {
        self.folder.path().join("events.jsonl")
    }

    fn wait_served(&self) {
        let start = Instant::now();
        while status(&self.socket(), &[]).status.code() == Some(2) {
            assert!(start.elapsed() < PATIENCE, "{:?}", status(&self.socket(), &[]));
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// As a service manager ends it: SIGTERM.
    fn end(mut self) -> tempfile::TempDir {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.process.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn status(socket: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).arg("status").args(arguments).arg("--socket").arg(socket).output().unwrap()
}

fn events(history: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).arg("events").args(arguments).arg("--file").arg(history).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn read_all(mut stream: UnixStream) -> Value {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_running_program_tells_its_status_whoever_hangs() {
    let demo = Demo::start();
    let socket = demo.socket();

    // Clients that take nothing, and one that talks instead of listening; twenty that all want an answer.
    let hanging: Vec<UnixStream> = (0..30).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let mut talking = UnixStream::connect(&socket).unwrap();
    let _ = talking.write_all(&[b'x'; 65_536]);
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let socket = socket.clone();
            thread::spawn(move || read_all(UnixStream::connect(&socket).unwrap()))
        })
        .collect();
    for answer in asking {
        let answer = answer.join().unwrap();
        assert_eq!((&answer["schema_version"], &answer["dry_run"]), (&Value::from(1), &Value::from(true)));
        assert_eq!(answer["pid"], demo.process.id());
    }

    // It goes on meanwhile, and locks.
    let locked = status(&socket, &["--json", "--wait-locked", "120"]);
    assert_eq!(locked.status.code(), Some(0), "{locked:?}");
    let first: Value = serde_json::from_slice(&locked.stdout).unwrap();
    assert_eq!(first["state"], "locked");
    assert!(first["offset"]["bound_ns"].as_f64().unwrap() < 50_000.0, "{first}");
    assert_eq!(first["leaders"][0]["standing"], "followed");
    drop(hanging);

    let words = status(&socket, &[]);
    assert_eq!(words.status.code(), Some(0), "{words:?}");
    assert!(out(&words).starts_with("Locked (dry run: a clock made of numbers) to "), "{}", out(&words));
    assert!(out(&words).contains("no limit set") && out(&words).lines().count() <= 24, "{}", out(&words));

    let folder = demo.end();
    assert!(!folder.path().join("status.sock").exists(), "the socket went with the program");
    let history = folder.path().join("events.jsonl");
    let kept = events(&history, &["--json", "--since", "1h"]);
    let kinds: Vec<String> = out(&kept)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds[0], "start");
    assert!(kinds.contains(&"leader".to_owned()) && kinds.contains(&"state".to_owned()), "{kinds:?}");
    let none = events(&history, &["--since", "2200-01-01"]);
    assert_eq!((none.status.code(), out(&none)), (Some(0), String::new()));
}

#[test]
fn a_program_that_was_killed_is_gone_and_its_successor_takes_its_place() {
    let mut demo = Demo::start();
    demo.process.kill().unwrap();
    demo.process.wait().unwrap();
    assert!(demo.socket().exists(), "nobody tidied up");
    let gone = status(&demo.socket(), &[]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(
        said(&gone).starts_with("dantetimesync is not running") && said(&gone).contains("systemctl"),
        "{gone:?}"
    );
    let waited = status(&demo.socket(), &["--wait-locked", "1"]);
    assert_eq!(waited.status.code(), Some(2), "{waited:?}");

    let events = demo.events();
    let before = std::fs::read_to_string(&events).unwrap();
    let folder = std::mem::replace(&mut demo.folder, tempfile::tempdir().unwrap());
    let next = Demo::start_in(folder);
    next.wait_served();
    assert!(std::fs::read_to_string(next.events()).unwrap().starts_with(&before), "the history goes on");
}

#[test]
fn what_does_not_answer_or_talks_nonsense_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);

    // Accepts nobody: connecting works, and then there is silence.
    let _hung = UnixListener::bind(path("hung")).unwrap();
    let start = Instant::now();
    let silent = status(&path("hung"), &[]);
    assert_eq!(silent.status.code(), Some(2));
    assert!(said(&silent).contains("does not answer within 3 s"), "{silent:?}");
    assert!(start.elapsed() < Duration::from_secs(30));

    let garbage = UnixListener::bind(path("garbage")).unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = garbage.accept().unwrap();
        let _ = stream.write_all(b"\x16\x03\x01 no JSON");
    });
    let nonsense = status(&path("garbage"), &[]);
    assert_eq!(nonsense.status.code(), Some(2));
    assert!(said(&nonsense).contains("tells no status of dantetimesync"), "{nonsense:?}");
    serving.join().unwrap();

    let nobody = status(&path("nobody"), &["--json"]);
    assert_eq!((nobody.status.code(), out(&nobody)), (Some(2), String::new()));
}

/// A status in which nothing is absent.
const EXAMPLE: &str = include_str!("../docs/status.example.json");

/// Tells a status to everybody who asks, so many seconds old; `change` gets how often it was told before. Ends with
/// the tests.
fn tell(socket: &Path, age_s: i64, change: impl Fn(&mut Value, u32) + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for (stream, told) in listener.incoming().zip(0..) {
            let mut status: Value = serde_json::from_str(EXAMPLE).unwrap();
            status["raw_ns"] = (raw_clock().as_ns() - age_s * 1_000_000_000).into();
            change(&mut status, told);
            let _ = stream.unwrap().write_all(status.to_string().as_bytes());
        }
    });
}

/// A program that is in this state, for a reason.
fn tell_state(socket: &Path, state: &'static str) {
    tell(socket, 0, move |status, _| {
        (status["state"], status["reason"]) = (state.into(), "it is so".into());
    });
}

#[test]
fn only_a_lock_is_success_and_every_other_state_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for state in ["starting", "no_leader", "acquiring", "holdover", "lost", "conflict"] {
        let socket = folder.path().join(state);
        tell_state(&socket, state);
        let words = status(&socket, &[]);
        assert_eq!(words.status.code(), Some(1), "{words:?}");
        assert!(out(&words).starts_with("Not locked, "), "{}", out(&words));
        assert!(out(&words).contains(": it is so\n") && out(&words).contains("\nTo do: "), "{}", out(&words));
        let json = status(&socket, &["--json"]);
        assert_eq!(json.status.code(), Some(1), "{json:?}");
        assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap()["state"], state);
    }
    let socket = folder.path().join("locked");
    tell_state(&socket, "locked");
    let locked = status(&socket, &[]);
    assert_eq!(locked.status.code(), Some(0), "{locked:?}");
    assert!(out(&locked).starts_with("Locked to ") && !out(&locked).contains("To do: "), "{}", out(&locked));
}

#[test]
fn waiting_for_a_lock_ends_with_it_or_with_the_time_that_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let never = folder.path().join("never");
    tell_state(&never, "acquiring");
    let began = Instant::now();
    let over = status(&never, &["--wait-locked", "2", "--json"]);
    let took = began.elapsed();
    assert_eq!(over.status.code(), Some(1), "{over:?}");
    assert_eq!(serde_json::from_slice::<Value>(&over.stdout).unwrap()["state"], "acquiring");
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(30), "{took:?}");

    let soon = folder.path().join("soon");
    tell(&soon, 0, |status, told| {
        if told < 4 {
            status["state"] = "acquiring".into();
        }
    });
    let began = Instant::now();
    let locked = status(&soon, &["--wait-locked", "600"]);
    assert_eq!(locked.status.code(), Some(0), "{locked:?}");
    assert!(began.elapsed() < PATIENCE, "it did not wait for the rest of its time");
}

#[test]
fn a_lock_that_was_told_too_long_ago_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("stale");
    tell(&socket, 6, |_, _| {});
    let stale = status(&socket, &[]);
    assert_eq!(stale.status.code(), Some(1), "{stale:?}");
    let text = out(&stale);
    assert!(text.starts_with("Not known: the program has said nothing new for 6."), "{text}");
    assert!(text.contains("pid 4711"), "{text}");
    assert_eq!(status(&socket, &["--json"]).status.code(), Some(1));
    assert_eq!(status(&socket, &["--wait-locked", "1"]).status.code(), Some(1));
}

#[test]
fn words_of_a_newer_program_are_no_fault_and_an_unknown_state_is_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let newer = folder.path().join("newer");
    tell(&newer, 0, |status, _| {
        status["stamp_source"] = "of_the_future".into();
        status["leaders"][1]["standing"] = "of_the_future".into();
        status["of_the_future"] = 1.into();
    });
    let locked = status(&newer, &[]);
    assert_eq!(locked.status.code(), Some(0), "{locked:?}");
    let unknown = folder.path().join("unknown");
    tell_state(&unknown, "of_the_future");
    let words = status(&unknown, &[]);
    assert_eq!(words.status.code(), Some(1), "{words:?}");
    assert!(out(&words).starts_with("Not known: in a state that this release has no word for"), "{words:?}");
    let json = status(&unknown, &["--json"]);
    assert_eq!(json.status.code(), Some(1), "{json:?}");
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap()["state"], "unknown");
}

#[test]
fn without_the_terminal_view_watch_says_where_it_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("dantetimesync");
    std::fs::copy(BINARY, &alone).unwrap();
    let absent = Command::new(&alone).arg("watch").env("PATH", folder.path()).output().unwrap();
    assert_eq!(absent.status.code(), Some(66), "{absent:?}");
    assert!(said(&absent).contains("dantetimesync-watch is neither beside"), "{absent:?}");
    // It is executed with the socket that was named.
    let view = folder.path().join("dantetimesync-watch");
    std::fs::write(&view, "#!/bin/sh\necho \"$@\"\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&view, executable).unwrap();
    let there = Command::new(&alone).args(["watch", "--socket", "/some where"]).output().unwrap();
    assert_eq!(out(&there), "--socket /some where\n", "{there:?}");
}

#[test]
fn without_a_history_events_say_so() {
    let absent =
        Command::new(BINARY).args(["events", "--file", "/nonexistent/events.jsonl"]).output().unwrap();
    assert_eq!(absent.status.code(), Some(66));
    assert!(said(&absent).contains("/nonexistent/events.jsonl"), "{absent:?}");
    let wrong = Command::new(BINARY).args(["events", "--since", "yesterday"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
    assert!(said(&wrong).contains("\"yesterday\"") && said(&wrong).contains("30m"), "{wrong:?}");
}
