//! The leader in its namespace: `examples/leader.rs` as a process.

use std::path::PathBuf;
use std::time::Duration;

use dantetimesync::leader::TimeBase;

use crate::namespaces::Namespaces;
use crate::process::Process;

/// A running leader.
#[derive(Debug)]
pub struct Leader {
    process: Process,
}

/// No test needs a leader for longer.
const LIFE_S: u32 = 600;

impl Leader {
    /// Starts a leader; `arguments` go to the example.
    pub fn start(namespaces: &Namespaces, arguments: &[&str]) -> Self {
        let program = program();
        let interface = Namespaces::LEADER_ADDRESS.to_string();
        let mut command = Namespaces::command_in(&namespaces.leader, program.to_str().unwrap());
        command
            .args(["--interface", &interface, "--seconds", &LIFE_S.to_string(), "--stdin"])
            .args(arguments);
        let leader = Self { process: Process::start(&mut command) };
        leader.process.wait_for_line("time base", 0, Duration::from_secs(10), |line| line.starts_with('{'));
        leader
    }

    /// The leader's clock as it runs now.
    pub fn time_base(&self) -> TimeBase {
        let lines = self.process.lines();
        let latest = lines.iter().rfind(|line| line.starts_with('{')).unwrap();
        serde_json::from_str(latest).unwrap()
    }

    /// Changes the leader's rate against the raw clock, and waits until it is done.
    pub fn set_ppm(&mut self, ppm: f64) {
        let from = self.process.line_count();
        self.process.say(&format!("ppm {ppm}"));
        self.process.wait_for_line("new rate", from, Duration::from_secs(5), |line| line.starts_with('{'));
    }

    pub fn pause(&mut self) {
        self.process.say("pause");
    }

    pub fn resume(&mut self) {
        self.process.say("resume");
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// Cargo builds the examples before it runs the tests, into the folder beside the tests' own.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(|deps| deps.parent()).unwrap().join("examples/leader");
    assert!(program.exists(), "{} is missing: cargo build --example leader", program.display());
    program
}
