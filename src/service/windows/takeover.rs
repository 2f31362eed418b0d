//! Windows Time steers the same clock. With the user's consent it is stopped, disabled and remembered; it is given
//! back as it was.
#![allow(unsafe_code, reason = "how a service is started is changed alone by a system call only")]

use std::fs;
use std::path::PathBuf;
use std::ptr::{null, null_mut};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use windows_service::service::{Service as Handle, ServiceAccess, ServiceStartType, ServiceState};
use windows_sys::Win32::System::Services::{ChangeServiceConfigW, SERVICE_NO_CHANGE};

use super::{NAME, find, open, refused, state, stop};
use crate::exit::{Failure, OS_ERROR};
use crate::place;
use crate::state::file::{self, replace};

const RIVAL: &str = "W32Time";
const SHOWN: &str = "Windows Time (W32Time)";
pub(crate) const FILE: &str = "taken-over.json";

/// How Windows Time was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    /// At every boot ("auto"), or when something asks for it ("demand").
    start: String,
    running: bool,
}

/// Windows Time, where it may steer the clock.
pub(super) fn rival() -> Result<Option<&'static str>, Failure> {
    let Some(service) = find(RIVAL, ServiceAccess::QUERY_STATUS)? else { return Ok(None) };
    Ok((state(&service)?.current_state != ServiceState::Stopped).then_some(SHOWN))
}

/// Who was taken over from.
pub(super) fn remembered() -> Option<&'static str> {
    file().exists().then_some(SHOWN)
}

/// From now on this program's service is started at every boot, or only when somebody starts it: the next boot must
/// not undo what was decided.
pub(super) fn start_at_boot(yes: bool) -> Result<(), Failure> {
    let service = open(NAME, ServiceAccess::CHANGE_CONFIG)?;
    configure(&service, if yes { ServiceStartType::AutoStart } else { ServiceStartType::OnDemand })
}

/// Stops it for good. How it was found is on the disk before anything is changed.
pub(super) fn take() -> Result<(), Failure> {
    let access = ServiceAccess::QUERY_STATUS
        | ServiceAccess::QUERY_CONFIG
        | ServiceAccess::CHANGE_CONFIG
        | ServiceAccess::STOP;
    let Some(service) = find(RIVAL, access)? else { return Ok(()) };
    let config = service.query_config().map_err(|error| refused("ask how Windows Time is started", error))?;
    let running = state(&service)?.current_state != ServiceState::Stopped;
    if !running && config.start_type == ServiceStartType::Disabled {
        return Ok(());
    }
    // What was found first is what is given back.
    if kept()?.is_none() {
        let start = if config.start_type == ServiceStartType::AutoStart { "auto" } else { "demand" };
        let text = serde_json::to_string(&Taken { start: start.to_owned(), running })
            .map_err(anyhow::Error::from)?;
        replace(&file(), &text)
            .context("cannot remember how Windows Time was found, so it is left alone")
            .map_err(|error| Failure::new(OS_ERROR, error))?;
    }
    configure(&service, ServiceStartType::Disabled)?;
    stop(&service)?;
    say_line!("{SHOWN} was stopped and disabled; uninstall and `service release` give the clock back to it");
    Ok(())
}

/// Gives the clock back to it, if it was taken from it.
pub(super) fn give_back() -> Result<(), Failure> {
    let Some(taken) = kept()? else { return Ok(()) };
    let access = ServiceAccess::START | ServiceAccess::QUERY_STATUS | ServiceAccess::CHANGE_CONFIG;
    let Some(service) = find(RIVAL, access)? else { return Ok(()) };
    let at_boot = taken.start == "auto";
    configure(&service, if at_boot { ServiceStartType::AutoStart } else { ServiceStartType::OnDemand })?;
    if taken.running && state(&service)?.current_state == ServiceState::Stopped {
        service.start::<&str>(&[]).map_err(|error| refused("start Windows Time", error))?;
    }
    let _ = fs::remove_file(file());
    say_line!("{SHOWN} has the clock again");
    Ok(())
}

/// Changes how it is started, and nothing else.
fn configure(service: &Handle, start: ServiceStartType) -> Result<(), Failure> {
    let (handle, same, none) = (service.raw_handle(), SERVICE_NO_CHANGE, null());
    // SAFETY: a service that is open, and otherwise only "no change".
    let done = unsafe {
        ChangeServiceConfigW(
            handle,
            same,
            start.to_raw(),
            same,
            none,
            none,
            null_mut(),
            none,
            none,
            none,
            none,
        )
    };
    if done == 0 {
        let error = windows_service::Error::Winapi(std::io::Error::last_os_error());
        return Err(refused("change how a service is started", error));
    }
    Ok(())
}

fn kept() -> Result<Option<Taken>, Failure> {
    let kept = file::kept(&file()).context("cannot read how Windows Time was found");
    kept.map_err(|error| Failure::new(OS_ERROR, error))
}

fn file() -> PathBuf {
    place::data().join(FILE)
}
