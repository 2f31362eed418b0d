use std::fs::OpenOptions;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;

/// A name that no other test has.
fn place() -> std::path::PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(r"\\.\pipe\dantetimesync-test-{}-{number}", std::process::id()).into()
}

fn read_all(mut connection: Connection) -> String {
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text
}

/// Serves so many, each with its number.
fn serve(listener: Listener, count: usize) -> thread::JoinHandle<Listener> {
    thread::spawn(move || {
        for number in 0..count {
            let mut connection = listener.accept().unwrap().unwrap();
            connection.write_all(number.to_string().as_bytes()).unwrap();
        }
        listener
    })
}

#[test]
fn everybody_may_ask_and_the_place_is_given_back() {
    let path = place();
    let (listener, claim) = open(&path).unwrap();
    let serving = serve(listener, 3);
    let mut told: Vec<String> = (0..3).map(|_| read_all(connect(&path).unwrap())).collect();
    told.sort();
    assert_eq!(told, ["0", "1", "2"]);
    let listener = serving.join().unwrap();
    let accepting = thread::spawn(move || listener.accept().map(|came| came.is_none()));
    drop(claim);
    assert!(accepting.join().unwrap().unwrap(), "nobody came");
    assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(open(&path).is_ok());
}

#[test]
fn who_has_the_name_already_is_named_and_left_alone() {
    let path = place();
    let (listener, _claim) = open(&path).unwrap();
    let told = open(&path).unwrap_err();
    assert_eq!(told.kind(), io::ErrorKind::AddrInUse);
    // It has been asked who it is, and serves the next one all the same.
    let serving = serve(listener, 2);
    read_all(connect(&path).unwrap());
    let own = format!(".exe (pid {}) serves it", std::process::id());
    assert!(told.to_string().ends_with(&own), "{told}");
    drop(serving);
}

#[test]
fn whoever_still_holds_on_to_a_program_that_has_ended_keeps_nobody_from_the_name() {
    let path = place();
    let (listener, claim) = open(&path).unwrap();
    let hanging = connect(&path).unwrap();
    let mut serving = listener.accept().unwrap().unwrap();
    serving.write_all(b"late").unwrap();
    // As at the end of a process: all of its ends are closed.
    drop((listener, claim, serving));
    let (listener, _claim) = open(&path).unwrap();
    let serving = serve(listener, 1);
    assert_eq!(read_all(connect(&path).unwrap()), "0");
    serving.join().unwrap();
    assert_eq!(read_all(hanging), "late");
}

#[test]
fn who_does_not_read_costs_a_limited_time_and_who_does_not_write_too() {
    let path = place();
    let (listener, _claim) = open(&path).unwrap();
    let mut hanging = connect(&path).unwrap();
    hanging.set_time_limit(Duration::from_millis(30)).unwrap();
    assert_eq!(hanging.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    let mut serving = listener.accept().unwrap().unwrap();
    serving.set_time_limit(Duration::from_millis(30)).unwrap();
    // More than the system takes.
    let refused = (0..4).find_map(|_| serving.write(&[b'x'; 1_000_000]).err()).unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn nothing_can_be_said_to_the_server() {
    let path = place();
    let (_listener, _claim) = open(&path).unwrap();
    assert!(OpenOptions::new().write(true).open(&path).is_err());
    assert!(OpenOptions::new().read(true).write(true).open(&path).is_err());
    assert!(connect(&path).is_ok());
}

#[test]
fn what_is_no_name_of_a_pipe_is_refused_with_a_word() {
    for path in [r"C:\status.sock", r"\\.\pipe\", r"\\server\pipe\dantetimesync", "", "x"] {
        for error in [open(Path::new(path)).unwrap_err(), connect(Path::new(path)).unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
            assert!(error.to_string().contains(r"\\.\pipe\dantetimesync"), "{error}");
        }
    }
    assert!(Name::of(Path::new(r"\\.\PIPE\x")).is_ok());
}
