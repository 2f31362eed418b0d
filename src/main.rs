//! Arguments to command; wiring of the real backends.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use dantetimesync::cli::{Cli, Command, hint};
use dantetimesync::exit::USAGE;
use dantetimesync::{config, daemon, demo, doctor, events, log, monitor, replay, sim, status, test_clock};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own code 2 means "misuse of a shell builtin"; service managers know 64.
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            let _ = error.print();
            if let Some(hint) = hint(&error) {
                // Whoever does not read it misses nothing.
                let _ = writeln!(std::io::stderr(), "\n{hint}");
            }
            return code;
        }
    };
    let outcome = match &cli.command {
        None => daemon::run(&cli.service),
        Some(Command::Status(options)) => status::command::run(options),
        Some(Command::Watch(options)) => status::watch::run(options),
        Some(Command::Monitor(options)) => monitor::run(options),
        Some(Command::Events(options)) => events::command::run(options),
        Some(Command::Demo(options)) => demo::run(options),
        Some(Command::Replay(options)) => replay::command::run(options),
        Some(Command::Doctor(options)) => doctor::run(options),
        Some(Command::Bench(options)) => sim::command::bench(options),
        Some(Command::Simulate(options)) => sim::command::simulate(options),
        Some(Command::CheckConfig(options)) => config::check::run(options),
        #[cfg(target_os = "linux")]
        Some(Command::Service(command)) => dantetimesync::service::linux::run(command),
        Some(Command::TestClock(options)) => test_clock::run(options),
        #[cfg(windows)]
        Some(Command::Service(command)) => dantetimesync::service::windows::run(command),
    };
    outcome.unwrap_or_else(|failure| {
        let error = format!("{:#}", failure.error);
        // Some begin with its name anyway.
        let told =
            if error.starts_with("dantetimesync ") { error } else { format!("dantetimesync: {error}") };
        log::last_words(&told);
        ExitCode::from(failure.code)
    })
}
