//! The program as the service manager runs it.
#![allow(unsafe_code, reason = "the macro of windows-service makes a function that the system calls")]

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use windows_service::define_windows_service;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::service_dispatcher;

use super::{NAME, event_log, refused};
use crate::cli::Service;
use crate::clock::windows::priority;
use crate::daemon;
use crate::exit::{Failure, USAGE};

/// Windows' number for "not started by the service manager".
const ERROR_FAILED_SERVICE_CONTROLLER_CONNECT: i32 = 1063;

/// A start takes up to ten seconds, where the clock is so noisy that it has to be tried twice.
const START_HINT: Duration = Duration::from_secs(20);
/// A stop takes a turn of the loop.
const STOP_HINT: Duration = Duration::from_secs(2);

/// What the service manager was started with: its callback takes nothing along.
static OPTIONS: OnceLock<Service> = OnceLock::new();
/// How the service manager is told; empty in a program that it has not started.
static HANDLE: OnceLock<ServiceStatusHandle> = OnceLock::new();

/// What makes the loop read its configuration again.
static RELOAD: OnceLock<Arc<AtomicBool>> = OnceLock::new();

define_windows_service!(service_entry, service_main);

/// Runs under the service manager until that says stop.
///
/// # Errors
/// When it was not the service manager that has started the program.
pub(super) fn run(options: &Service) -> Result<ExitCode, Failure> {
    let _ = OPTIONS.set(options.clone());
    match service_dispatcher::start(NAME, service_entry) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(windows_service::Error::Winapi(error))
            if error.raw_os_error() == Some(ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) =>
        {
            Err(Failure::new(
                USAGE,
                anyhow::anyhow!(
                    "`service run` is for the service manager. Without a command the program runs in this console; \
                     `dantetimesync service start` starts the service"
                ),
            ))
        }
        Err(error) => Err(refused("run as a service", error)),
    }
}

/// The start has worked out, as far as this program can see. Nothing happens outside of a service.
pub(crate) fn running() {
    report(ServiceState::Running, ServiceExitCode::NO_ERROR);
}

/// `reload` is set when the service manager tells of changed parameters (`sc.exe control dantetimesync paramchange`).
pub(crate) fn reload_by(reload: &Arc<AtomicBool>) {
    let _ = RELOAD.set(Arc::clone(reload));
}

fn service_main(_arguments: Vec<OsString>) {
    let told = daemon::stop_flag();
    let handler = move |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            // First of all: the loop may end before this thread goes on, and nothing may be told after "stopped".
            report(ServiceState::StopPending, ServiceExitCode::NO_ERROR);
            daemon::end();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::ParamChange => {
            if let Some(reload) = RELOAD.get() {
                reload.store(true, Ordering::Relaxed);
            }
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    // Without a handle nobody can be told anything, and the service manager gives up on the service by itself.
    let Ok(handle) = service_control_handler::register(NAME, handler) else { return };
    let _ = HANDLE.set(handle);
    report(ServiceState::StartPending, ServiceExitCode::NO_ERROR);
    // Of a service with a delayed start this thread has the lowest priority until it runs, and the clock is tried before.
    priority::run_like_others();
    event_log::start();
    let code = match OPTIONS.get().map(daemon::run) {
        None | Some(Ok(_)) => ServiceExitCode::NO_ERROR,
        // What a stop interrupts is no failure, and nothing to start again after.
        Some(Err(_)) if told.load(Ordering::Relaxed) => ServiceExitCode::NO_ERROR,
        Some(Err(failure)) => {
            event_log::error(&format!("{:#}", failure.error));
            ServiceExitCode::ServiceSpecific(failure.code.into())
        }
    };
    event_log::flush();
    report(ServiceState::Stopped, code);
}

fn report(state: ServiceState, exit_code: ServiceExitCode) {
    let Some(handle) = HANDLE.get() else { return };
    let (accepted, wait_hint) = match state {
        ServiceState::Running => {
            let accepted = ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN;
            (accepted | ServiceControlAccept::PARAM_CHANGE, Duration::ZERO)
        }
        ServiceState::StartPending => (ServiceControlAccept::empty(), START_HINT),
        ServiceState::StopPending => (ServiceControlAccept::empty(), STOP_HINT),
        _ => (ServiceControlAccept::empty(), Duration::ZERO),
    };
    let status = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: accepted,
        exit_code,
        checkpoint: 0,
        wait_hint,
        process_id: None,
    };
    if let Err(error) = handle.set_service_status(status) {
        tracing::warn!(%error, "the service manager could not be told the state");
    }
}
