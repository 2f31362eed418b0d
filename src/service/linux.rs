//! Linux: units of systemd, which is reached through the program `systemctl` and nothing else.

mod answer;
mod command;
mod install;
mod rival_units;
mod systemctl;
mod takeover;

use std::process::ExitCode;

use crate::exit::{FAILED, Failure, NO_PERMISSION};
pub use command::{Install, Release, ServiceCommand, ServiceStatus, Takeover, Uninstall};
use systemctl::{Systemctl, UNIT};
use takeover::Memory;

/// Not installed at all.
const NOT_INSTALLED: u8 = 2;

/// Carries out one of the commands.
///
/// # Errors
/// With the exit code that tells why it could not.
pub fn run(command: &ServiceCommand) -> Result<ExitCode, Failure> {
    match command {
        ServiceCommand::Install(options) => install::install(options),
        ServiceCommand::Uninstall(options) => install::uninstall(options),
        ServiceCommand::Status(options) => status(&Memory::new(&options.memory)),
        ServiceCommand::Takeover(options) => takeover::takeover(options),
        ServiceCommand::Release(options) => takeover::release(&Memory::new(&options.memory)),
    }
}

/// What is installed, what runs, and what would be in the way.
fn status(memory: &Memory) -> Result<ExitCode, Failure> {
    let systemctl = Systemctl::of_this_computer();
    let installed = systemctl.unit_file(UNIT)?;
    let Some(enabled) = installed else {
        say_line!("not installed: dantetimesync service install, or the package");
        return Ok(ExitCode::from(NOT_INSTALLED));
    };
    let active = systemctl.state(UNIT)?;
    say_line!("{UNIT}: {active}, {enabled}");
    for rival in rival_units::found(&systemctl)? {
        say_line!("in the way: {rival}");
    }
    for remembered in memory.read()? {
        say_line!("taken over from: {remembered}; `dantetimesync service release` gives it back");
    }
    if active == "active" {
        return Ok(ExitCode::SUCCESS);
    }
    say_line!("to start it: dantetimesync service takeover");
    Ok(ExitCode::from(FAILED))
}

/// What most likely is the matter when a file cannot be written.
fn cannot(what: &str, error: &std::io::Error) -> Failure {
    let code = if error.kind() == std::io::ErrorKind::PermissionDenied {
        NO_PERMISSION
    } else {
        crate::exit::OS_ERROR
    };
    let hint = if code == NO_PERMISSION { "; run it as root" } else { "" };
    Failure::new(code, anyhow::anyhow!("cannot {what}: {error}{hint}"))
}
