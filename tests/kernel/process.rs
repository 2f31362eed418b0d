//! A child process whose lines are kept.

#![allow(unsafe_code, reason = "kill")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A child with everything it says; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<thread::JoinHandle<()>>,
}

/// How long a child may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at a child.
const LOOK: Duration = Duration::from_millis(20);

impl Process {
    /// Starts `command`, its standard input a pipe that ends with this value.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            keep_lines(child.stdout.take().unwrap(), &lines),
            keep_lines(child.stderr.take().unwrap(), &lines),
        ];
        let stdin = child.stdin.take();
        Self { child, stdin, lines, readers }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything the child has said so far, on both streams.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// How many lines it has said so far: where to start waiting for the next ones.
    pub fn line_count(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Says one line to the child.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The first line from the `from`th on that `wanted` likes. Panics with all that was said after `patience`,
    /// or when the child has ended without it.
    pub fn wait_for_line(
        &self,
        what: &str,
        from: usize,
        patience: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        let end = Instant::now() + patience;
        loop {
            // Looked at before the lines: whatever it said is among them then.
            let silent = self.readers.iter().all(thread::JoinHandle::is_finished);
            let found = self.lines.lock().unwrap().iter().skip(from).find(|line| wanted(line)).cloned();
            match found {
                Some(line) => return line,
                None if silent => panic!("it ended without {what}; it said:\n{}", self.lines().join("\n")),
                None if Instant::now() > end => {
                    panic!("no {what} within {patience:?}; it said:\n{}", self.lines().join("\n"))
                }
                None => thread::sleep(LOOK),
            }
        }
    }

    /// Waits for the child's own end, and for the rest of its lines; panics after `patience`.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let end = Instant::now() + patience;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => {
                    self.readers.drain(..).for_each(|reader| reader.join().unwrap());
                    return status;
                }
                None if Instant::now() > end => {
                    panic!("still running after {patience:?}; it said:\n{}", self.lines().join("\n"))
                }
                None => thread::sleep(LOOK),
            }
        }
    }

    /// Kills the child at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(self.child.id(), libc::SIGTERM);
            let end = Instant::now() + PATIENCE;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
                thread::sleep(LOOK);
            }
        }
        self.kill();
    }
}

/// Signals a process that this test started.
pub fn signal(pid: u32, signal: libc::c_int) {
    let pid = libc::pid_t::try_from(pid).unwrap();
    assert!(pid > 1, "0 and below are groups");
    // SAFETY: kill has no memory effects here; the number is that of one process.
    unsafe { libc::kill(pid, signal) };
}

fn keep_lines(stream: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) -> thread::JoinHandle<()> {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    })
}
