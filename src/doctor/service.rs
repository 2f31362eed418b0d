//! The service's own word: is it installed, does it run, is it locked, and what did it complain of?

#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(any(windows, test))]
pub mod windows;

use std::path::PathBuf;

use super::finding::{Check, Finding, Problem};
use super::os::Os;
use crate::exit;

/// The unit of systemd.
const UNIT: &str = "dantetimesync.service";

/// What the service manager says of the unit, in the words of systemd.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// `loaded`, `not-found`, `masked` …
    pub load: String,
    /// `active`, `failed`, `inactive`, `activating` …
    pub active: String,
    /// `enabled`, `disabled` …
    pub file: String,
    /// `success`, `exit-code`, `watchdog` …
    pub result: String,
    /// Code with which it ended last.
    pub exit_code: String,
    /// How often it was started anew after an end.
    pub restarts: u32,
    /// It waits to be started anew, or was so within the last minute.
    pub restarting: bool,
    /// The name of its last start in the journal; empty where there was none.
    pub invocation: String,
    /// The user that it runs as, where that is not root.
    pub user: Option<String>,
}

/// What the status socket says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// `locked` and the like.
    pub state: String,
    /// Why it is not locked.
    pub reason: String,
    /// The running program's version.
    pub version: String,
}

impl Status {
    /// What is looked at in a status; nothing of what is none.
    pub(super) fn of(status: &serde_json::Value) -> Option<Self> {
        let word = |key: &str| status.get(key).and_then(|word| word.as_str()).map(str::to_owned);
        Some(Self {
            state: word("state")?,
            reason: word("reason").unwrap_or_default(),
            version: word("version").unwrap_or_default(),
        })
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Its process, where it runs.
    pub process: Option<u32>,
    /// What the service manager says; nothing where there is none.
    pub unit: Option<Unit>,
    /// Where the program tells its status; nothing where it is told not to.
    pub socket: Option<PathBuf>,
    /// What the program says; nothing where it does not answer.
    pub status: Option<Status>,
    /// Its last errors in the journal, since its last start.
    pub errors: Vec<String>,
    /// Another program steers the clock, beside which it does not start.
    pub rival: bool,
    /// Whose words mend it.
    pub os: Os,
}

/// Judges it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let installed = facts.unit.as_ref().filter(|unit| unit.load == "loaded");
    match (installed, facts.process) {
        (None, None) if facts.unit.as_ref().is_some_and(|unit| unit.load == "masked") => {
            found.push(Problem::ServiceStopped.seen(
                "the service is masked: nothing can start it",
                format!("sudo systemctl unmask {UNIT}, then: sudo systemctl enable --now {UNIT}"),
            ));
        }
        (None, None) => {
            let why = match (facts.unit.is_some(), facts.os) {
                (true, Os::Linux) => "no unit dantetimesync is installed",
                (true, Os::Windows) => "it is not installed",
                (false, Os::Linux) => "no systemd answers here",
                (false, Os::Windows) => "the service manager does not answer",
            };
            found.push(Problem::ServiceUnknown.seen(
                format!("the service does not run; {why}"),
                facts.os.either(
                    "sudo dantetimesync, to try it; or install the package and enable the service",
                    "dantetimesync --dry-run, to try it; or dantetimesync service install",
                ),
            ));
        }
        (Some(unit), process) => found.extend(check_unit(unit, process, facts)),
        (None, Some(_)) => {}
    }
    if facts.process.is_some() {
        found.extend(check_status(facts));
    }
    if let Some(last) = facts.errors.last() {
        found.push(
            Problem::ServiceErrors.seen(
                format!(
                    "its last error since {}: {}",
                    facts.os.either("its last start", "this computer was started"),
                    last.trim()
                ),
                facts.os.either(
                    format!("journalctl -u {UNIT} -b, for what went before"),
                    "Event Viewer, Windows Logs, Application, source dantetimesync, for what went before"
                        .to_owned(),
                ),
            ),
        );
    }
    Check::Service.found(found, || {
        let pid = facts.process.map_or(String::new(), |pid| format!(" (pid {pid})"));
        let state = facts.status.as_ref().map_or("running", |status| status.state.as_str());
        format!("version {}{pid}, {state}", env!("CARGO_PKG_VERSION"))
    })
}

fn check_unit(unit: &Unit, process: Option<u32>, facts: &Facts) -> Vec<Finding> {
    let os = facts.os;
    let mut found = Vec::new();
    if unit.active == "failed" || unit.restarting {
        let code = unit.exit_code.as_str();
        // A running one has none yet.
        let code = if process.is_some() {
            String::new()
        } else {
            let meaning = code.parse().ok().and_then(exit::meaning);
            let meaning = meaning.map_or_else(String::new, |meaning| format!(": {meaning}"));
            format!(" ({}, exit code {code}){meaning}", unit.result)
        };
        let seen = if unit.restarting {
            format!("the service ends again and again{code}; restarted {} times", unit.restarts)
        } else {
            format!("the service has failed{code}")
        };
        found.push(
            Problem::ServiceFailed.seen(
                seen,
                match unit.exit_code.as_str() {
                    // What the doctor may itself says nothing of it.
                    "77" if os == Os::Linux => format!(
                        "give back to the unit what its last error says is missing (systemctl cat {UNIT} shows what \
                         was added to it), then: {}",
                        os.restart_service()
                    ),
                    _ => format!("mend what else is said here, then: {}", os.restart_service()),
                },
            ),
        );
    } else if process.is_none() && unit.active != "active" && unit.active != "activating" {
        let start = os
            .either(format!("sudo systemctl enable --now {UNIT}"), "dantetimesync service start".to_owned());
        found.push(Problem::ServiceStopped.seen(
            "the service is installed and does not run",
            if facts.rival {
                os.either("sudo dantetimesync service takeover", "dantetimesync service takeover").to_owned()
                    + ", which stops the other program and remembers it"
            } else {
                start
            },
        ));
    } else if unit.file == "disabled" {
        found.push(Problem::ServiceDisabled.seen(
            "the service runs, and will not be started with the computer",
            os.either(
                format!("sudo systemctl enable {UNIT}"),
                "sc.exe config dantetimesync start= delayed-auto".to_owned(),
            ),
        ));
    }
    found
}

fn check_status(facts: &Facts) -> Vec<Finding> {
    // Without a place it was told to say nothing.
    let Some(socket) = &facts.socket else { return Vec::new() };
    let Some(status) = &facts.status else {
        return vec![Problem::ServiceSilent.seen(
            format!("the service runs, and does not tell its status at {}", socket.display()),
            facts.os.either(
                format!(
                    "{}; where it is started by hand, let it write to /run/dantetimesync",
                    facts.os.restart_service()
                ),
                facts.os.restart_service().to_owned(),
            ),
        )];
    };
    let mut found = Vec::new();
    let own = env!("CARGO_PKG_VERSION");
    if !status.version.is_empty() && status.version != own {
        found.push(Problem::ServiceVersion.seen(
            format!("version {} is running, and {own} is installed", status.version),
            facts.os.restart_service(),
        ));
    }
    if status.state != "locked" {
        let reason = if status.reason.is_empty() { String::new() } else { format!(": {}", status.reason) };
        found.push(Problem::ServiceNotLocked.seen(
            format!("the service is not locked ({}){reason}", status.state.replace('_', " ")),
            "mend what else is said here; where that is nothing, wait half a minute: dantetimesync status",
        ));
    }
    found
}
