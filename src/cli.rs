//! The command line. Its doc comments are the help.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::config::{Config, DEFAULT_NTP_SERVER, UtcLimit};
use crate::time::{Rate, Span};

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
  dantetimesync --dry-run -v                    look, but do not touch the clock
  dantetimesync demo                            see it work, without root and without Dante

Exit codes: 0 ended as told, 64 bad arguments, 66 no such interface, 69 another program steers the clock,
71 network trouble, 75 already running, 77 a permission is missing.";

/// What to do instead of running as the service.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show it work on this computer: a leader on loopback, a clock made of numbers, no root.
    Demo(Demo),
    /// Judge a recorded capture of a Dante network: which leaders, how good, how fast this computer was.
    Replay(Replay),
    /// Run the real program in a simulated world, in virtual time, and print how well it did.
    Simulate(Simulate),
}

/// Options of the service.
#[derive(Debug, Args)]
pub struct Service {
    /// Listen on this interface only. Default: on all, and follow the one on which a leader is heard.
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Take the date from this NTP server (name or address; may be given several times).
    #[arg(long, value_name = "HOST", default_value = DEFAULT_NTP_SERVER, action = ArgAction::Append)]
    pub ntp_server: Vec<String>,
    /// Do not ask any NTP server: the date stays as it is.
    #[arg(long)]
    pub skip_ntp: bool,
    /// Do everything but steer: the system clock is not touched.
    #[arg(long)]
    pub dry_run: bool,
    /// How far the clock may leave UTC to follow the leader: "none", or a time like "500ms"; "0" follows UTC.
    #[arg(long, value_name = "none|TIME", default_value = "none", value_parser = parse_utc_limit)]
    pub utc_limit: UtcLimit,
    /// How fast the clock is slewed back to UTC, in ppm (1 to 500).
    #[arg(long, value_name = "PPM", default_value = "100", value_parser = parse_slew)]
    pub utc_slew: Rate,
    /// Follow leaders of this PTP subdomain.
    #[arg(long, value_name = "NAME", default_value = "_DFLT", value_parser = parse_subdomain)]
    pub subdomain: Subdomain,
    /// Steer even though another program (chronyd, ntpd …) is steering the clock.
    #[arg(long)]
    pub force_steer: bool,
    /// Say more; twice: every packet.
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say only what needs doing something about.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Options of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync demo --seconds 90 --leader-ppm-step 25")]
pub struct Demo {
    /// How long to run.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(20..=86_400))]
    pub seconds: u32,
    /// How fast the leader's clock runs, in ppm.
    #[arg(long, value_name = "PPM", default_value_t = 40.0, allow_negative_numbers = true, value_parser = parse_ppm)]
    pub leader_ppm: f64,
    /// Let the leader turn by this many ppm half-way; the demo then succeeds only if the lock was left and
    /// found again.
    #[arg(long, value_name = "PPM", allow_negative_numbers = true, value_parser = parse_ppm)]
    pub leader_ppm_step: Option<f64>,
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
}

/// A subdomain's name, NUL padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subdomain(pub [u8; 16]);

impl Service {
    /// The choices of the parts that decide.
    pub fn config(&self) -> Config {
        Config {
            subdomain: self.subdomain.0,
            ntp_servers: if self.skip_ntp { Vec::new() } else { self.ntp_server.clone() },
            utc_limit: self.utc_limit,
            utc_slew: self.utc_slew,
            ..Config::default()
        }
    }
}

/// Reads `none`, `0`, `500ms`, `2s`, `1.5s`, `20us`.
pub fn parse_utc_limit(text: &str) -> Result<UtcLimit, String> {
    if text == "none" { Ok(UtcLimit::None) } else { parse_span(text).map(UtcLimit::Within) }
}

fn parse_span(text: &str) -> Result<Span, String> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let scale = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "" if number == "0" => 1.0,
        _ => return Err(format!("{text:?} is no time: give a number with s, ms or us, like 500ms")),
    };
    let value: f64 = number.parse().map_err(|_| format!("{number:?} is no number"))?;
    let seconds = value * scale;
    if seconds > 86_400.0 {
        return Err(format!("{text} is out of range: 0 to 86400 s"));
    }
    Ok(Span::from_secs_f64(seconds))
}

fn parse_slew(text: &str) -> Result<Rate, String> {
    let ppm: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if !(1.0..=500.0).contains(&ppm) {
        return Err(format!("{ppm} ppm is out of range: 1 to 500 ppm"));
    }
    Ok(Rate::from_ppm(ppm))
}

fn parse_ppm(text: &str) -> Result<f64, String> {
    let ppm: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if ppm.abs() <= 400.0 { Ok(ppm) } else { Err(format!("{ppm} ppm is out of range: -400 to 400 ppm")) }
}

fn parse_subdomain(text: &str) -> Result<Subdomain, String> {
    if text.is_empty() || text.len() > 16 || !text.is_ascii() {
        return Err(format!("{text:?} is no subdomain: 1 to 16 ASCII characters"));
    }
    // Their PTP time runs up to 4 % fast or slow; a system clock that followed it would be useless.
    if text.starts_with("_ALT") {
        return Err(format!(
            "{text} is a pulled-up or pulled-down subdomain: a system clock cannot follow it"
        ));
    }
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    Ok(Subdomain(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn service(arguments: &[&str]) -> Result<Config, clap::Error> {
        let all = std::iter::once("dantetimesync").chain(arguments.iter().copied());
        Cli::try_parse_from(all).map(|cli| cli.service.config())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_arguments_the_defaults_hold() {
        assert_eq!(service(&[]).unwrap(), Config::default());
    }

    #[test]
    fn a_server_replaces_the_default_and_skip_ntp_removes_all() {
        assert_eq!(service(&["--ntp-server", "pool.ntp.org"]).unwrap().ntp_servers, ["pool.ntp.org"]);
        assert!(service(&["--skip-ntp"]).unwrap().ntp_servers.is_empty());
    }

    #[test]
    fn values_out_of_range_are_named_with_their_range() {
        for (arguments, expected) in [
            (["--utc-slew", "900"], "1 to 500 ppm"),
            (["--utc-limit", "5"], "like 500ms"),
            (["--utc-limit", "100000s"], "0 to 86400 s"),
            (["--subdomain", "_ALT1"], "pulled-up"),
            (["--subdomain", "much-too-long-a-name"], "1 to 16"),
        ] {
            let error = service(&arguments).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn limits_read_as_times() {
        assert_eq!(parse_utc_limit("none"), Ok(UtcLimit::None));
        assert_eq!(parse_utc_limit("0"), Ok(UtcLimit::Within(Span::ZERO)));
        assert_eq!(parse_utc_limit("1.5s"), Ok(UtcLimit::Within(Span::from_ms(1_500))));
        assert_eq!(parse_utc_limit("20us"), Ok(UtcLimit::Within(Span::from_us(20))));
    }

    #[test]
    fn what_is_no_time_is_refused_by_name() {
        for text in ["", "s", ".", "-1s", "5 s", "1.2.3s", "1e3s", "500m", "0ss", "nan"] {
            let error = parse_utc_limit(text).unwrap_err();
            assert!(error.contains("is no "), "{text:?}: {error}");
        }
        assert_eq!(parse_utc_limit("86400s"), Ok(UtcLimit::Within(Span::from_secs(86_400))));
    }

    #[test]
    fn rates_are_finite_and_within_their_range() {
        for text in ["0.99", "500.1", "-100", "nan", "inf", "fast"] {
            assert!(parse_slew(text).is_err(), "{text}");
        }
        assert_eq!(parse_slew("1"), Ok(Rate::from_ppm(1.0)));
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
