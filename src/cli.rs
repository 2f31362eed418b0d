//! The command line. Its doc comments are the help.

mod service;

use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::config::allowed::Allowed;
use crate::config::{default_file, parse, unasked, usual_place};
use crate::place::{self, EVENT_FILE, STATUS_SOCKET};
use crate::time::Span;
pub use service::Service;

/// Makes this computer's system clock tick with a Dante audio network.
///
/// Without a command it runs as the service: it sets the date from an NTP server, finds the Dante leader
/// clock, locks the system clock to it and keeps it locked, until it is told to end (Ctrl-C or SIGTERM).
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of running as the service.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of the service.
    #[command(flatten)]
    pub service: Service,
}

const EXAMPLES: &str = "\
Examples:
  dantetimesync                                 run with the defaults (needs root)
  dantetimesync --interface eth0                listen on one interface only
  dantetimesync --ntp-server pool.ntp.org       take the date from another server
  dantetimesync --skip-ntp                      leave the date alone
  dantetimesync --utc-limit 0                   follow UTC; the leader only keeps it smooth
  dantetimesync --utc-limit 500ms --utc-slew-window 02:00-05:00
                                                follow the leader, and come back to UTC at night, gently
  dantetimesync --dry-run -v                    look, but do not touch the clock
  dantetimesync status                          is the clock locked, how well, and if not, why
  dantetimesync monitor                         is my leader good? Listens, and touches no clock
  dantetimesync demo                            see it work, without root and without Dante

The same settings can stand in a file; see check-config and `man 5 dantetimesync.toml`.

Exit codes: 0 ended as told, 64 bad arguments, 66 no such interface or file, 69 another program steers the clock,
71 network trouble, 75 already running, 77 a permission is missing, 78 faults in the configuration file.";

/// What to do instead of running as the service.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say whether the clock is locked, how well, and if not, why.
    Status(Status),
    /// Watch the service in the terminal: state, leaders, offset, rate and jitter over time.
    Watch(Watch),
    /// Listen to the network, touch no clock, and judge what is heard: is my leader good?
    Monitor(Monitor),
    /// Show what happened: locks, leaders, steps, the way to UTC, other programs' hands on the clock.
    Events(Events),
    /// Show it work on this computer: a leader on loopback, a clock made of numbers, no root.
    Demo(Demo),
    /// Judge a recorded capture of a Dante network: which leaders, how good, how fast this computer was.
    Replay(Replay),
    /// Look at this computer and its network, and say what is wrong and what mends it.
    Doctor(Doctor),
    /// Run the real program in a simulated world, in virtual time, and print how well it did.
    Simulate(Simulate),
    /// Run it in all worlds that come with it, and compare every figure with what must be reached.
    Bench(Bench),
    /// Check a configuration file, and tell everything that is wrong with it.
    CheckConfig(CheckConfig),
    /// Try whether the system clock does as it is told: two seconds of ±50 ppm, then it is as it was (needs root).
    TestClock(TestClock),
    /// Install the service, and hand the clock over to it from another time service and back.
    #[cfg(target_os = "linux")]
    #[command(subcommand)]
    Service(crate::service::linux::ServiceCommand),
    /// Install the service, start and stop it, and hand the clock over to it from Windows Time and back.
    #[cfg(windows)]
    #[command(subcommand)]
    Service(crate::service::windows::ServiceCommand),
}

/// Options of `check-config`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync check-config /etc/dantetimesync/config.toml

Exit codes: 0 the file can be used, 66 there is no such file, 78 it has faults; each is on a line of its own.")]
pub struct CheckConfig {
    /// The file [default: the one that the service reads].
    pub file: Option<PathBuf>,
}

/// Options of `status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dantetimesync status
  dantetimesync status --json | jq .offset
  dantetimesync status --wait-locked 60 && start-the-recording

Exit codes: 0 locked, 1 not locked, 2 not running (or what runs does not answer).")]
pub struct Status {
    /// Print everything as JSON; docs/status.md explains each field.
    #[arg(long)]
    pub json: bool,
    /// Wait until the clock is locked, at most so long.
    #[arg(long, value_name = "SECONDS", value_parser = seconds::<1, 86_400>)]
    pub wait_locked: Option<u32>,
    /// Where the service tells its status.
    #[arg(long, value_name = "PATH", help = status_help())]
    pub socket: Option<PathBuf>,
}

/// Options of `watch`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync watch

Keys: q or Ctrl-C ends, p pauses. Colours are left out where NO_COLOR is set.
It is a program of its own, dantetimesync-watch, which has to lie beside this one or in the PATH.")]
pub struct Watch {
    /// Where the service tells its status.
    #[arg(long, value_name = "PATH", help = status_help())]
    pub socket: Option<PathBuf>,
}

/// Options of `monitor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dantetimesync monitor
  dantetimesync monitor --interface eth0 --seconds 300 --json

It needs no root, but the ports 319 and 320: see what it says where they are refused.
Exit codes: 0 a leader was heard, 1 none, 71 the network cannot be used, 77 a permission is missing.")]
pub struct Monitor {
    /// Listen on this interface only. Default: on all.
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// How long to listen.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds::<1, 86_400>)]
    pub seconds: u32,
    /// Print the verdict as JSON.
    #[arg(long)]
    pub json: bool,
    /// Follow leaders of this PTP subdomain.
    #[arg(long, value_name = "NAME", default_value = "_DFLT", value_parser = parse_subdomain)]
    pub subdomain: Subdomain,
}

/// Options of `events`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dantetimesync events --since 2h
  dantetimesync events --since '2026-05-28 20:26' --json

Exit codes: 0 printed (also when there were none), 64 bad arguments, 66 no history there.")]
pub struct Events {
    /// Only what happened since then: a length of time like 30m, 2h or 7d, or a date in UTC like 2026-05-28 or
    /// "2026-05-28 20:26".
    #[arg(long, value_name = "TIME|DURATION")]
    pub since: Option<String>,
    /// Print JSON, an object a line.
    #[arg(long)]
    pub json: bool,
    /// The history.
    #[arg(long, value_name = "FILE", help = history_help())]
    pub file: Option<PathBuf>,
}

/// Options of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync demo --seconds 90 --leader-ppm-step 25")]
pub struct Demo {
    /// How long to run.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds::<20, 86_400>)]
    pub seconds: u32,
    /// How fast the leader's clock runs, in ppm.
    #[arg(long, value_name = "PPM", default_value_t = 40.0, allow_negative_numbers = true, value_parser = parse_ppm)]
    pub leader_ppm: f64,
    /// Let the leader turn by this many ppm half-way; the demo then succeeds only if the lock was left and
    /// found again.
    #[arg(long, value_name = "PPM", allow_negative_numbers = true, value_parser = parse_ppm)]
    pub leader_ppm_step: Option<f64>,
    /// End as soon as it is locked, or locked again after the leader's turn; `--seconds` is then the longest it takes.
    #[arg(long)]
    pub until_locked: bool,
    /// Tell whoever connects to this socket how the clock is, as the service does: for `status` and `watch`.
    #[arg(long, value_name = "PATH")]
    pub status_socket: Option<PathBuf>,
    /// Keep the history of events here, as the service does.
    #[arg(long, value_name = "FILE")]
    pub event_file: Option<PathBuf>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: tcpdump -i eth0 -w dante.pcap udp port 319 or udp port 320; dantetimesync replay dante.pcap"
)]
pub struct Replay {
    /// The capture (pcap or pcapng).
    pub file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Follow leaders of this PTP subdomain.
    #[arg(long, value_name = "NAME", default_value = "_DFLT", value_parser = parse_subdomain)]
    pub subdomain: Subdomain,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples: sudo dantetimesync doctor
          sudo dantetimesync doctor --interface eth0 --ntp-server pool.ntp.org --json

Nothing is left changed. Exit codes: 0 nothing keeps the service from working, 1 something does.
docs/guide/troubleshooting.md explains every finding.")]
pub struct Doctor {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Take the service's settings from this file [default: the one that the service reads].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// As if the service was told to listen on this interface.
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// How long to listen. A switch that cuts multicast off does so after some minutes: 300 would see it.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = seconds::<2, 3_600>)]
    pub seconds: u32,
    /// As if the service was told to ask this NTP server (may be given several times).
    #[arg(long, value_name = "HOST", action = ArgAction::Append)]
    pub ntp_server: Vec<String>,
    /// Do not ask any NTP server.
    #[arg(long)]
    pub skip_ntp: bool,
    /// As if the service was told to follow this PTP subdomain.
    #[arg(long, value_name = "NAME")]
    pub subdomain: Option<String>,
    /// As if the service was told to hear the network this way.
    #[arg(long, value_name = "auto|udp|raw")]
    pub capture: Option<String>,
    /// As if the service was told to keep its state here.
    #[arg(long, value_name = "FILE|none")]
    pub state_file: Option<PathBuf>,
}

/// Options of `simulate`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync simulate scenarios/s1.toml --seeds 5")]
pub struct Simulate {
    /// The scenario files (TOML).
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How many worlds to run, each with its own chance; default: what the scenario says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub seeds: Option<u32>,
    /// Run the world with this seed only, to look at one of many more closely.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write the first world's course to this file, a line per second.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write what the first world's computer would have captured to this file.
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Draw each file's first world into this folder: phase, rate, UTC, bounds and states over time.
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
}

/// Options of `bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples: dantetimesync bench --seeds 4
          dantetimesync bench --scenario S1 'S7*' --svg pictures

Exit codes: 0 everything is reached, 1 something is not, or differs from the table of --check.")]
pub struct Bench {
    /// Only these scenarios (S7p), or all that begin so (S7*). Default: all.
    #[arg(long, value_name = "ID", num_args = 1.., action = ArgAction::Append)]
    pub scenario: Vec<String>,
    /// How many worlds to run of each, with its own chance each; long scenarios have fewer.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub seeds: u32,
    /// Count the seeds from here: other worlds than those of the table.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub first_seed: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Draw each scenario's first world into this folder: phase, rate, UTC, bounds and states over time.
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// A figure that is known not to be reached is no failure; with 20 seeds or more, one that is known and is
    /// reached is one.
    #[arg(long)]
    pub allow_known: bool,
    /// Write the table to this file, without what depends on the computer.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub save: Option<PathBuf>,
    /// Compare the table with this file, written by --save with the same seeds.
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
}

/// Options of `test-clock`.
#[derive(Debug, Args)]
#[command(after_help = "Examples: dantetimesync test-clock --trace clock.json
          dantetimesync test-clock --replay clock.json

The clock is steered for two seconds (ten where its readings are noisy), never further than 50 µs from where it
would be, and put back. Needs root, on Windows an administrator.

Exit codes: 0 it does as it is told, 1 it does not, 66 no such trace, 69 another program steers the clock, 75 the
service is running, 77 a permission is missing.")]
pub struct TestClock {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write what was seen to this file, for a report or to look at later.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Judge this file, written by --trace on any computer; the clock is not touched.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trace", "force_steer"])]
    pub replay: Option<PathBuf>,
    /// Try it even though another program (chronyd, ntpd …) is steering the clock.
    #[arg(long)]
    pub force_steer: bool,
}

/// Where to ask for the status: what was given, or where the service tells it by its configuration file.
///
/// # Errors
/// When it tells nobody.
pub fn status_place(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let usual = || {
        usual_place("status-socket").ok_or_else(|| {
            anyhow::anyhow!(
                "the service tells its status nowhere, by {}: status-socket is none, or it is a dry run, which tells \
                 it only where status-socket names a place; --socket asks another one",
                default_file().display()
            )
        })
    };
    given.map_or_else(usual, |path| Ok(place::expand(path)))
}

/// That nothing was found at a place says little where the configuration file, which may name another one, could not
/// be read.
pub fn doubted(error: impl Into<anyhow::Error>, given: Option<&Path>) -> anyhow::Error {
    let error = error.into();
    match unasked().filter(|_| given.is_none()) {
        Some(unread) => anyhow::anyhow!("{error:#}. It may be elsewhere: {unread}"),
        None => error,
    }
}

fn status_help() -> String {
    format!(
        "Where the service tells its status [default: status-socket in the configuration file, or {STATUS_SOCKET}]"
    )
}

fn history_help() -> String {
    format!("The history [default: event-file in the configuration file, or {EVENT_FILE}]")
}

/// What somebody wanted who wrote a command that does not exist, where that can be known.
pub fn hint(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let command = match word.as_str() {
        "restart" if cfg!(windows) => {
            "dantetimesync service stop, then dantetimesync service start".to_owned()
        }
        "start" | "stop" if cfg!(windows) => format!("dantetimesync service {word}"),
        "start" | "stop" | "restart" | "reload" | "enable" | "disable" if cfg!(unix) => {
            format!("sudo systemctl {word} dantetimesync.service")
        }
        "install" | "uninstall" | "takeover" | "release" => format!("dantetimesync service {word}"),
        "log" | "logs" | "history" => "dantetimesync events".to_owned(),
        "config" => "dantetimesync check-config".to_owned(),
        "run" | "daemon" => "dantetimesync, without a command".to_owned(),
        _ => return None,
    };
    Some(format!("Perhaps this is meant: {command}"))
}

/// A subdomain's name, NUL padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subdomain(pub [u8; 16]);

/// Whole seconds, or a length of time like 90s, 5m or 1h.
fn seconds<const MIN: u32, const MAX: u32>(text: &str) -> Result<u32, String> {
    let whole = |span: Span| {
        let seconds = span.as_ns() / Span::from_secs(1).as_ns();
        (Span::from_secs(seconds) == span).then_some(seconds)
    };
    let given = text.parse().ok().or_else(|| u32::try_from(whole(parse::span(text)?)?).ok());
    let wanted = || format!("allowed {MIN} to {MAX} whole seconds, also as a length of time like 90s or 5m");
    given.filter(|seconds| (MIN..=MAX).contains(seconds)).ok_or_else(wanted)
}

fn parse_ppm(text: &str) -> Result<f64, String> {
    let ppm: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if ppm.abs() <= 400.0 { Ok(ppm) } else { Err(format!("{ppm} ppm is out of range: -400 to 400 ppm")) }
}

fn parse_subdomain(text: &str) -> Result<Subdomain, String> {
    let allowed = || format!("allowed {}", Allowed::Subdomain.wanted(text));
    parse::subdomain(text).map(Subdomain).ok_or_else(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_may_be_a_length_of_time() {
        let read = seconds::<2, 3_600>;
        assert_eq!((read("2"), read("90s"), read("5m"), read("1h")), (Ok(2), Ok(90), Ok(300), Ok(3_600)));
        for text in ["1", "3601", "2h", "1500ms", "-5", "", "5 parsecs", "1e3", "99999999999999999999h"] {
            assert!(read(text).unwrap_err().contains("2 to 3600"), "{text}");
        }
    }

    #[test]
    fn rates_are_finite_and_within_their_range() {
        for text in ["400.1", "-400.1", "nan", "-inf", ""] {
            assert!(parse_ppm(text).is_err(), "{text}");
        }
        assert_eq!(parse_ppm("-400"), Ok(-400.0));
    }

    #[test]
    fn the_demo_takes_a_leader_that_runs_slow() {
        let arguments = ["dantetimesync", "demo", "--leader-ppm", "-30", "--leader-ppm-step", "-5"];
        let Some(Command::Demo(demo)) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("no demo")
        };
        assert_eq!((demo.leader_ppm, demo.leader_ppm_step, demo.seconds), (-30.0, Some(-5.0), 60));
    }

    #[test]
    fn options_of_the_service_do_not_go_with_a_command() {
        assert!(Cli::try_parse_from(["dantetimesync", "--dry-run", "demo"]).is_err());
        assert!(Cli::try_parse_from(["dantetimesync", "-v", "-q"]).is_err());
    }
}
