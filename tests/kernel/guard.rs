//! Puts the machine's clock back as it was, whatever happens to the test.
//!
//! The guard restores when it is dropped. A watchdog (this test binary once more, in a session of its own)
//! does it when the test process dies, when the clock leaves its limits, or when time runs out. Only if both
//! are killed at once does nothing restore; the saved state is then still in the lock file.

#![allow(unsafe_code, reason = "setsid")]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use dantetimesync::time::Span;

use crate::clock::{self, Saved};

/// Shared with every other program that moves the clock under a guard on this computer.
const LOCK: &str = "/run/clkguard.lock";

/// Waiting for the lock: longer than any test runs.
const LOCK_PATIENCE: Duration = Duration::from_secs(1_800);

/// The clock's rate may leave the saved one by this much, plus the quantum of the comparison.
const PPM_LIMIT: f64 = 100.01;

/// The clock may leave its saved line by this much.
const PHASE_LIMIT: Span = Span::from_ms(250);

/// How often the watchdog looks.
const LOOK: Duration = Duration::from_millis(100);

/// Tells the watchdog what it is, and carries the saved state.
const WATCHDOG: &str = "DANTETIMESYNC_WATCHDOG";

/// The saved state, the time left in ms.
type Orders = (Saved, u64);

/// Holds the clock's state; see the text of the module.
#[derive(Debug)]
pub struct Guard {
    saved: Saved,
    watchdog: Child,
    line: UnixStream,
    /// Held by the watchdog too: the next guard waits until it has restored.
    _lock: File,
}

impl Guard {
    /// Waits for its turn, then saves. After `limit` the watchdog ends everything.
    pub fn take(limit: Duration) -> Self {
        let mut lock = locked();
        let saved = Saved::take().unwrap();
        let orders: Orders = (saved, u64::try_from(limit.as_millis()).unwrap());
        let orders = serde_json::to_string(&orders).unwrap();
        writeln!(lock, "{orders}").unwrap();
        let (line, theirs) = UnixStream::pair().unwrap();
        let watchdog = Command::new(env::current_exe().unwrap())
            .args(["--exact", "guard::watchdog_process", "--ignored", "--nocapture"])
            .env(WATCHDOG, orders)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            // Not for writing: the lock lives as long as somebody holds this file.
            .stdout(Stdio::from(lock.try_clone().unwrap()))
            .spawn()
            .unwrap();
        let guard = Self { saved, watchdog, line, _lock: lock };
        guard.line.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut ready = [0; 6];
        (&guard.line).read_exact(&mut ready).expect("the watchdog says that it is ready");
        assert_eq!(&ready, b"ready\n");
        guard
    }

    /// The watchdog kills this process before it restores.
    pub fn watch(&self, pid: u32) {
        writeln!(&self.line, "watch {pid}").unwrap();
    }

    /// The process has ended; its number may be given to another one.
    pub fn unwatch(&self, pid: u32) {
        // The watchdog may have ended everything already.
        let _ = writeln!(&self.line, "unwatch {pid}");
    }

    pub const fn saved(&self) -> &Saved {
        &self.saved
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let restored = self.saved.restore();
        let _ = writeln!(&self.line, "done");
        let ended = self.watchdog.wait();
        match &restored {
            Ok(deviation) => println!("guard: clock restored, its deviation was {deviation}"),
            Err(error) => eprintln!("guard: CLOCK NOT RESTORED: {error}"),
        }
        if !thread::panicking() {
            restored.unwrap();
            assert!(ended.unwrap().success(), "the watchdog had to end the test");
        }
    }
}

fn locked() -> File {
    let mut lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(LOCK)
        .unwrap_or_else(|error| panic!("{LOCK}: {error}"));
    let end = Instant::now() + LOCK_PATIENCE;
    while let Err(error) = lock.try_lock() {
        assert!(Instant::now() < end, "another guard holds {LOCK}: {error}");
        thread::sleep(LOOK);
    }
    lock.set_len(0).unwrap();
    lock.rewind().unwrap();
    lock
}

#[test]
#[ignore = "the watchdog of a guard, started by it"]
fn watchdog_process() {
    let Ok(orders) = env::var(WATCHDOG) else { return };
    let (saved, limit_ms): Orders = serde_json::from_str(&orders).unwrap();
    // SAFETY: the call has no arguments. It fails when this process leads a group already, which does no harm.
    unsafe { libc::setsid() };
    let mut watchdog = Watchdog {
        saved,
        end: Instant::now() + Duration::from_millis(limit_ms),
        line: UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap()),
        watched: Vec::new(),
    };
    let Some(reason) = watchdog.watch().unwrap() else { return };
    watchdog.kill_watched();
    eprintln!("watchdog: {reason}: restoring the clock: {:?}", saved.restore());
    // Not by panicking: the test's report would go into the lock file.
    std::process::exit(1);
}

struct Watchdog {
    saved: Saved,
    end: Instant,
    line: UnixStream,
    /// Process numbers with their start times, so that a number that was given away is not killed.
    watched: Vec<(u32, String)>,
}

impl Watchdog {
    /// Why the clock must be restored; `None` when the guard did it.
    fn watch(&mut self) -> io::Result<Option<&'static str>> {
        self.line.write_all(b"ready\n")?;
        self.line.set_read_timeout(Some(LOOK))?;
        let mut lines = BufReader::new(self.line.try_clone()?);
        // Kept over a timeout: it may hold the first half of a line.
        let mut line = String::new();
        loop {
            match lines.read_line(&mut line) {
                Ok(0) => return Ok(Some("the test died")),
                Ok(_) => {
                    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                        ["done"] => return Ok(None),
                        ["watch", pid] => self.watched.extend(pid.parse().ok().and_then(started)),
                        ["unwatch", pid] => self.watched.retain(|(watched, _)| watched.to_string() != *pid),
                        _ => {}
                    }
                    line.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(Some("the line to the test broke")),
            }
            if let Some(reason) = self.beyond_limits()? {
                return Ok(Some(reason));
            }
        }
    }

    fn beyond_limits(&self) -> io::Result<Option<&'static str>> {
        let ppm = clock::kernel_rate()?.ppm();
        Ok(if (ppm - self.saved.ppm()).abs() > PPM_LIMIT {
            Some("the clock's rate left its limits")
        } else if self.saved.deviation()?.abs() > PHASE_LIMIT {
            Some("the clock left its line")
        } else if Instant::now() > self.end {
            Some("time has run out")
        } else {
            None
        })
    }

    fn kill_watched(&self) {
        for watched in &self.watched {
            if started(watched.0).as_ref() == Some(watched) {
                crate::process::signal(watched.0, libc::SIGKILL);
            }
        }
        // Signals are delivered at once, but the last clock call may still be under way.
        thread::sleep(2 * LOOK);
    }
}

/// The process with its start time, by field 22 of its stat; `None` when it is gone.
fn started(pid: u32) -> Option<(u32, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; field 3 follows it.
    let (_, fields) = stat.rsplit_once(')')?;
    Some((pid, fields.split_whitespace().nth(22 - 3)?.to_owned()))
}
