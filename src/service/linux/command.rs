//! The command line of `dantetimesync service`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::place::TAKEOVER_MEMORY;

/// What `service` can do.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example: dantetimesync service install && dantetimesync service takeover")]
pub enum ServiceCommand {
    /// Write the service's files, for systems without the package. What is there and differs is written anew, but
    /// not the configuration.
    Install(Install),
    /// Give the clock back, and remove what install wrote.
    Uninstall(Uninstall),
    /// Say whether the service is installed, runs, and what is in its way.
    Status(ServiceStatus),
    /// Stop other services that steer the clock, remember them, and start this one. Nothing is stopped before one
    /// of our own NTP servers has answered.
    Takeover(Takeover),
    /// Stop this service, and start what was stopped for it.
    Release(Release),
}

/// Options of `service install`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync service install --print")]
pub struct Install {
    /// Install into the system in this folder, which does not run.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Only show what would be written.
    #[arg(long)]
    pub print: bool,
}

/// Options of `service uninstall`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync service uninstall --purge")]
pub struct Uninstall {
    /// Remove from the system in this folder, which does not run.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Remove the configuration, the state and the service's user as well.
    #[arg(long)]
    pub purge: bool,
    /// Where it is remembered what was stopped.
    #[arg(long, value_name = "FILE", default_value = TAKEOVER_MEMORY)]
    pub memory: PathBuf,
}

/// Options of `service status`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync service status

Exit codes: 0 it runs, 1 it does not, 2 it is not installed.")]
pub struct ServiceStatus {
    /// Where it is remembered what was stopped.
    #[arg(long, value_name = "FILE", default_value = TAKEOVER_MEMORY)]
    pub memory: PathBuf,
}

/// Options of `service takeover`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync service takeover

Exit codes: 0 the service runs, 69 no NTP server of ours has answered, or there is no service to start,
71 the service manager refused, 77 this needs root. Where it is not 0 everything is as it was before.")]
pub struct Takeover {
    /// Do it only if nothing has to be stopped.
    #[arg(long)]
    pub if_free: bool,
    /// Have the service started at boot, but do not start it now.
    #[arg(long)]
    pub no_start: bool,
    /// Find our NTP servers in this file [default: the one that the service reads].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How long to wait for an answer of an NTP server.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub patience: u32,
    /// Where it is remembered what was stopped.
    #[arg(long, value_name = "FILE", default_value = TAKEOVER_MEMORY)]
    pub memory: PathBuf,
}

/// Options of `service release`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync service release")]
pub struct Release {
    /// Where it is remembered what was stopped.
    #[arg(long, value_name = "FILE", default_value = TAKEOVER_MEMORY)]
    pub memory: PathBuf,
}
