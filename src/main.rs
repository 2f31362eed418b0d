//! Arguments to command; wiring of the real backends.

use std::process::ExitCode;

use clap::Parser;
use dantetimesync::cli::{Cli, Command};
use dantetimesync::{daemon, demo, replay, sim};

/// Bad arguments (sysexits.h).
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own code 2 means "misuse of a shell builtin"; service managers know 64.
            let code = if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS };
            let _ = error.print();
            return code;
        }
    };
    let outcome = match &cli.command {
        None => daemon::run(&cli.service),
        Some(Command::Demo(options)) => demo::run(options),
        Some(Command::Replay(options)) => replay::command::run(options),
        Some(Command::Simulate(options)) => sim::command::run_files(options),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("dantetimesync: {:#}", failure.error);
        ExitCode::from(failure.code)
    })
}
