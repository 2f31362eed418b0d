//! Windows: a service of the service manager, rules of the firewall, a source of the event log, a folder that only
//! administrators write to, and Windows Time, which has to let go of the clock.

mod event_log;
mod folder;
mod host;
mod install;
mod takeover;
mod tool;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use windows_service::service::{Service as Handle, ServiceAccess, ServiceState, ServiceStatus};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use crate::cli::Service;
use crate::exit::{FAILED, Failure, NO_INPUT, NO_PERMISSION, OS_ERROR};
pub(crate) use event_log::{is_event_log, log_writer};
pub(crate) use host::{reload_by, running};
pub(crate) use takeover::FILE as TAKEN_OVER;

/// The service's name, by which the service manager knows it.
pub const NAME: &str = "dantetimesync";

/// In the service's folder: the options that it was installed with.
pub(crate) const OPTIONS: &str = "service-options.json";

/// Not installed at all.
const NOT_INSTALLED: u8 = 2;

/// Windows' own numbers: this needs an administrator, there is no such service, it does not run, it is ending.
const ERROR_ACCESS_DENIED: i32 = 5;
const ERROR_SERVICE_DOES_NOT_EXIST: i32 = 1060;
const ERROR_SERVICE_CANNOT_ACCEPT_CTRL: i32 = 1061;
const ERROR_SERVICE_NOT_ACTIVE: i32 = 1062;

/// What `service` can do.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example: dantetimesync service install --take-over && dantetimesync service start")]
pub enum ServiceCommand {
    /// Install the service, or install it anew with other options. It is started at every boot.
    Install(Box<Install>),
    /// Stop and remove the service, give the clock back to Windows Time, and put it back as it was found.
    Uninstall(Uninstall),
    /// Start the service.
    #[command(after_help = "Example: dantetimesync service start")]
    Start,
    /// Stop the service.
    #[command(after_help = "Example: dantetimesync service stop")]
    Stop,
    /// Say whether the service is installed, runs, and what is in its way.
    #[command(after_help = "Example: dantetimesync service status

Exit codes: 0 it runs, 1 it does not, 2 it is not installed.")]
    Status,
    /// Stop and disable Windows Time, remember that, and start this service, now and at every boot.
    #[command(after_help = "Example: dantetimesync service takeover")]
    Takeover,
    /// Stop this service, start it at boots no more, and give the clock back to Windows Time.
    #[command(after_help = "Example: dantetimesync service release")]
    Release,
    /// What the service manager starts.
    #[command(hide = true)]
    Run(Box<Service>),
}

/// Options of `service install`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync service install --take-over --interface Ethernet

All options of the service can be given; it is started with them from then on. Without options those of the
installation before stay.")]
pub struct Install {
    /// Stop and disable Windows Time, which steers the same clock. It is given back by uninstall.
    #[arg(long)]
    pub take_over: bool,
    /// Options of the service.
    #[command(flatten)]
    pub service: Service,
}

/// Options of `service uninstall`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dantetimesync service uninstall --purge")]
pub struct Uninstall {
    /// Remove the service's folder as well: state and configuration.
    #[arg(long)]
    pub purge: bool,
}

/// Carries out one of the commands.
///
/// # Errors
/// With the exit code that tells why it could not.
pub fn run(command: &ServiceCommand) -> Result<ExitCode, Failure> {
    match command {
        ServiceCommand::Install(options) => install::install(options.take_over)?,
        ServiceCommand::Uninstall(options) => install::uninstall(options.purge)?,
        ServiceCommand::Start => start()?,
        ServiceCommand::Stop => {
            stop(&open(NAME, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?)?;
            say_line!("stopped");
        }
        ServiceCommand::Status => return status(),
        ServiceCommand::Takeover => {
            takeover::start_at_boot(true)?;
            takeover::take()?;
            start()?;
        }
        ServiceCommand::Release => {
            stop(&open(NAME, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?)?;
            takeover::start_at_boot(false)?;
            takeover::give_back()?;
        }
        ServiceCommand::Run(options) => return host::run(options),
    }
    Ok(ExitCode::SUCCESS)
}

/// A start that fails says why, as far as the service has told it.
fn start() -> Result<(), Failure> {
    let service = open(NAME, ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
    let now = wait(&service, |state| state != ServiceState::StopPending)?.current_state;
    if now != ServiceState::Running {
        // The service manager may be starting it already, after a failure.
        if now == ServiceState::Stopped {
            service.start::<&str>(&[]).map_err(|error| refused("start the service", error))?;
        }
        let reached = wait(&service, |state| matches!(state, ServiceState::Running | ServiceState::Stopped))?;
        if reached.current_state != ServiceState::Running {
            let code = exit_code(&reached);
            return Err(Failure::new(
                FAILED,
                anyhow::anyhow!("the service has ended at once, with {code}: the event log tells why"),
            ));
        }
    }
    say_line!("running");
    Ok(())
}

/// Returns when it has stopped; it may take two seconds.
fn stop(service: &Handle) -> Result<(), Failure> {
    // While it starts it cannot be told to stop.
    if wait(service, |state| state != ServiceState::StartPending)?.current_state == ServiceState::Stopped {
        return Ok(());
    }
    match service.stop() {
        // It has ended by itself in between, or was told already.
        Err(windows_service::Error::Winapi(error))
            if [Some(ERROR_SERVICE_NOT_ACTIVE), Some(ERROR_SERVICE_CANNOT_ACCEPT_CTRL)]
                .contains(&error.raw_os_error()) => {}
        Err(error) => return Err(refused("stop the service", error)),
        Ok(_) => {}
    }
    let reached = wait(service, |state| state == ServiceState::Stopped)?;
    if reached.current_state == ServiceState::Stopped {
        return Ok(());
    }
    Err(Failure::new(
        OS_ERROR,
        anyhow::anyhow!("the service does not stop: it is {:?}", reached.current_state),
    ))
}

fn status() -> Result<ExitCode, Failure> {
    let Some(service) = find(NAME, ServiceAccess::QUERY_STATUS)? else {
        say_line!("not installed: dantetimesync service install");
        return Ok(ExitCode::from(NOT_INSTALLED));
    };
    let state = state(&service)?;
    say_line!("{NAME}: {:?}", state.current_state);
    if let Some(rival) = takeover::rival()? {
        say_line!("in the way: {rival}; `dantetimesync service takeover` stops it");
    }
    if let Some(taken) = takeover::remembered() {
        say_line!("taken over from: {taken}; `dantetimesync service release` gives it back");
    }
    if state.current_state == ServiceState::Running {
        return Ok(ExitCode::SUCCESS);
    }
    if state.current_state == ServiceState::Stopped {
        say_line!("it ended with {}; to start it: dantetimesync service start", exit_code(&state));
    }
    Ok(ExitCode::from(FAILED))
}

fn exit_code(status: &ServiceStatus) -> String {
    use windows_service::service::ServiceExitCode::{ServiceSpecific, Win32};
    match status.exit_code {
        Win32(code) => format!("Windows' code {code}"),
        ServiceSpecific(code) => format!("exit code {code}"),
    }
}

/// The service of this name, if there is one.
fn find(name: &str, access: ServiceAccess) -> Result<Option<Handle>, Failure> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)
        .map_err(|error| refused("reach the service manager", error))?;
    match manager.open_service(name, access) {
        Ok(service) => Ok(Some(service)),
        Err(windows_service::Error::Winapi(error))
            if error.raw_os_error() == Some(ERROR_SERVICE_DOES_NOT_EXIST) =>
        {
            Ok(None)
        }
        Err(error) => Err(refused("open the service", error)),
    }
}

fn open(name: &str, access: ServiceAccess) -> Result<Handle, Failure> {
    find(name, access)?.ok_or_else(|| {
        Failure::new(NO_INPUT, anyhow::anyhow!("the service is not installed: dantetimesync service install"))
    })
}

fn state(service: &Handle) -> Result<ServiceStatus, Failure> {
    service.query_status().map_err(|error| refused("ask for the service's state", error))
}

/// Waits until the state is reached, at most half a minute: a start that measures the clock takes up to ten seconds.
fn wait(service: &Handle, reached: impl Fn(ServiceState) -> bool) -> Result<ServiceStatus, Failure> {
    const TRIES: u32 = 300;
    for _ in 0..TRIES {
        let status = state(service)?;
        if reached(status.current_state) {
            return Ok(status);
        }
        crate::test_clock::pass(crate::time::Span::from_ms(100));
    }
    state(service)
}

/// What the service manager refused, with the operating system's own words.
fn refused(what: &str, error: windows_service::Error) -> Failure {
    let os = match &error {
        windows_service::Error::Winapi(os) => os.raw_os_error(),
        _ => None,
    };
    let error = anyhow::Error::from(error);
    if os == Some(ERROR_ACCESS_DENIED) {
        return Failure::new(
            NO_PERMISSION,
            error.context(format!("cannot {what}: run it in a console opened as administrator")),
        );
    }
    Failure::new(OS_ERROR, error.context(format!("cannot {what}")))
}
