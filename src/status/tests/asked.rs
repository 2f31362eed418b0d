//! Who tells it, and who asks.

use std::io::{Read, Write};
use std::path::Path;

use super::super::client::{StatusError, ask, fetch};
use super::*;

/// A place of its own for a test.
fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    #[cfg(unix)]
    let path = folder.path().join("status.sock");
    #[cfg(windows)]
    let path = {
        let mut path = std::ffi::OsString::from(r"\\.\pipe\");
        path.push(folder.path().file_name().unwrap());
        path.into()
    };
    (folder, path)
}

#[test]
fn whoever_connects_gets_the_newest_snapshot() {
    let (_folder, path) = place();
    let server = StatusServer::open(&path, true).unwrap();
    assert!(matches!(fetch(&path), Err(StatusError::NothingYet(_))));
    for locks in 1..3 {
        server.publish(Snapshot { locks, ..full().snapshot });
    }
    let status = fetch(&path).unwrap();
    assert_eq!((status.snapshot.locks, status.dry_run, status.pid), (2, true, std::process::id()));
    assert!(status.taken_utc.unwrap().starts_with("2026-05-28T"));
    drop(server);
    assert!(matches!(fetch(&path), Err(StatusError::NotRunning(_))));
}

/// Serves `text` to one client.
fn stranger(path: &Path, text: Vec<u8>) {
    let (listener, claim) = transport::open(path).unwrap();
    std::thread::spawn(move || {
        let mut connection = listener.accept().unwrap().unwrap();
        drop(claim);
        let _ = connection.write_all(&text);
    });
}

#[test]
fn what_is_no_status_is_refused_with_a_reason() {
    let answers: [(&[u8], &str); 5] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "tells no status"),
        (b"{}", "schema_version"),
        (b"{\"schema_version\": 7}", "version 7"),
        (b"{\"schema_version\": 1}", "missing field"),
        (&[0xff; 3_000_000], "longer than"),
    ];
    for (answer, told) in answers {
        let (_folder, path) = place();
        stranger(&path, answer.to_vec());
        let error = ask(&path).unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains('\n'), "{error}");
    }
}

/// Says something to the server, as far as that is possible at all.
fn talk(path: &Path) {
    #[cfg(unix)]
    let _ = std::os::unix::net::UnixStream::connect(path).unwrap().write_all(&[b'x'; 100_000]);
    #[cfg(windows)]
    assert!(std::fs::OpenOptions::new().write(true).open(path).is_err(), "a pipe that goes one way");
}

#[test]
fn a_server_that_hangs_is_told_apart_from_one_that_is_not_there() {
    let (_folder, path) = place();
    assert!(matches!(fetch(&path), Err(StatusError::NotRunning(_))));
    let (_listener, _claim) = transport::open(&path).unwrap();
    assert!(matches!(fetch(&path), Err(StatusError::Silent { .. })));
}

#[test]
fn nobody_who_hangs_keeps_others_waiting_and_nothing_is_read_from_them() {
    let (_folder, path) = place();
    let server = StatusServer::open(&path, false).unwrap();
    server.publish(full().snapshot);
    let hanging: Vec<_> = (0..30).map(|_| transport::connect(&path).unwrap()).collect();
    talk(&path);
    assert_eq!(fetch(&path).unwrap().snapshot.samples, 31_900);
    // Whoever takes the answer late still gets it.
    let mut late = String::new();
    hanging.into_iter().next_back().unwrap().read_to_string(&mut late).unwrap();
    assert!(serde_json::from_str::<Status>(&late).is_ok(), "{late}");
}

#[test]
fn a_place_that_cannot_be_had_costs_nothing_but_the_status() {
    let longer_than_any =
        format!(r"{}{}", if cfg!(windows) { r"\\.\pipe\" } else { "/tmp/" }, "x".repeat(300));
    for place in ["/proc/status.sock", "C:\\status.sock", &longer_than_any] {
        if cfg!(unix) && place.starts_with("C:") {
            continue;
        }
        assert!(StatusServer::open(Path::new(place), false).is_none(), "{place}");
    }
}

#[test]
fn publishing_never_waits_for_a_slot_that_is_looked_at() {
    let (_folder, path) = place();
    let server = StatusServer::open(&path, false).unwrap();
    server.publish(full().snapshot);
    server.while_looked_at(|| server.publish(Snapshot { samples: 1, ..full().snapshot }));
    assert_eq!(fetch(&path).unwrap().snapshot.samples, 31_900, "left out");
    server.publish(Snapshot { samples: 2, ..full().snapshot });
    assert_eq!(fetch(&path).unwrap().snapshot.samples, 2);
}
