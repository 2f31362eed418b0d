//! A leader, a daemon that follows it, and the path between them.

use std::process::Command;
use std::time::Duration;

use crate::guard::Guard;
use crate::leader::Leader;
use crate::namespaces::Namespaces;
use crate::process::Process;
use crate::recorder::Recorder;
use crate::relay::{Impairment, Relay};

/// Rate of the leader against the raw clock: far from zero, and inside the guard's limits together with a
/// foreign slew and the daemon's own.
const LEADER_PPM: &str = "40";

/// From start to Locked.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// What every run needs, in the order in which it is taken apart: the daemon ends before the clock is restored.
pub struct World {
    pub daemon: Process,
    pub leader: Leader,
    _relay: Option<Relay>,
    _recorder: Option<Recorder>,
    pub namespaces: Namespaces,
    pub guard: Guard,
}

/// How a world is made.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// When the guard ends it.
    pub limit: Duration,
    /// What packets meet on the way; nothing if they go by one virtual cable.
    pub path: Option<Impairment>,
    /// More arguments of the leader.
    pub leader: &'a [&'a str],
}

impl Plan<'_> {
    pub const fn direct(limit: Duration) -> Self {
        Self { limit, path: None, leader: &[] }
    }
}

impl World {
    /// A leader and a daemon that follows it.
    pub fn start(plan: &Plan) -> Self {
        let guard = Guard::take(plan.limit);
        let (namespaces, relay) = match plan.path {
            None => (Namespaces::create(), None),
            Some(path) => {
                let namespaces = Namespaces::with_relay();
                let relay = Relay::start(&namespaces, path);
                (namespaces, Some(relay))
            }
        };
        let recorder = Recorder::if_wanted(&namespaces);
        let mut arguments = vec!["--ppm", LEADER_PPM, "--epoch", "541867"];
        arguments.extend(plan.leader);
        let leader = Leader::start(&namespaces, &arguments);
        let daemon = Process::start(&mut daemon_command(&namespaces, &[]));
        guard.watch(daemon.pid());
        Self { daemon, leader, _relay: relay, _recorder: recorder, namespaces, guard }
    }

    /// The same, once it has locked.
    pub fn locked(plan: &Plan) -> Self {
        let world = Self::start(plan);
        world.wait_for_state("Locked", 0, LOCK_PATIENCE);
        world
    }

    pub fn wait_for_state(&self, state: &str, from: usize, patience: Duration) {
        self.daemon.wait_for_line(state, from, patience, |line| entered(line) == Some(state));
    }

    /// The states entered since the daemon's line number `from`.
    pub fn states_since(&self, from: usize) -> Vec<String> {
        let lines = self.daemon.lines();
        lines.iter().skip(from).filter_map(|line| entered(line)).map(str::to_owned).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let pid = self.daemon.pid();
        if std::thread::panicking() {
            eprintln!("the daemon said:\n{}", self.daemon.lines().join("\n"));
        }
        self.daemon.kill();
        self.guard.unwatch(pid);
    }
}

/// The state that a log line says was entered: ` INFO state=Locked offset_ns=… reason=""`. A summary has a
/// field of that name too, but not in front.
pub fn entered(line: &str) -> Option<&str> {
    let message = line.trim_start().strip_prefix("INFO ")?;
    let (name, state) = message.split_whitespace().next()?.split_once('=')?;
    (name == "state").then_some(state)
}

/// The daemon under test.
pub fn program() -> String {
    std::env::var("DANTETIMESYNC_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_dantetimesync").to_owned())
}

/// The daemon in the follower's namespace, following the leader's rate without NTP, and without a memory of
/// earlier tests.
pub fn daemon_command(namespaces: &Namespaces, arguments: &[&str]) -> Command {
    let mut command = Namespaces::command_in(&namespaces.follower, &program());
    command.args(["--interface", "sl0", "--skip-ntp", "--state-file", "none"]).args(arguments);
    command
}

#[test]
fn only_a_change_of_state_counts_as_one() {
    let locked = r#" INFO state=Locked offset_ns=0.0 offset_bound_ns=792.0 rate_ppb=39943.0 reason="""#;
    assert_eq!(entered(locked), Some("Locked"));
    let acquiring = r#" INFO state=Acquiring reason="Locked needs 0.5""#;
    assert_eq!(entered(acquiring), Some("Acquiring"));
    for other in [
        " INFO summary state=Locked offset_ns=0.0",
        " WARN state=Locked",
        " INFO leader elected: the best one heard, on the interface it is heard on",
        "",
    ] {
        assert_eq!(entered(other), None, "{other}");
    }
}
