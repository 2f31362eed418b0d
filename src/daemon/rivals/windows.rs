//! Found by name among the running processes, and by asking the service manager for Windows' own time service, which
//! shares its process with others.

use windows_service::service::{ServiceAccess, ServiceState};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::Rival;
use crate::net::windows::process::{Process, running};

/// Windows' own time service.
const W32TIME: &str = "W32Time";

/// The program's file, in lower case; its name; its service.
const KNOWN: [(&str, &str, &str); 8] = [
    ("ntpd.exe", "ntpd", "NTP"),
    ("chronyd.exe", "chronyd", "chronyd"),
    ("nettimeservice.exe", "NetTime", "NetworkTimeService"),
    ("nettime.exe", "NetTime", "NetworkTimeService"),
    ("dimension4.exe", "Dimension 4", "Dimension4"),
    ("timesyncservice.exe", "TimeSync", "TimeSync"),
    ("ptpsync.exe", "PTPSync", "PTPSync"),
    ("dantesync.exe", "dantesync", "dantesync"),
];

/// The programs that are steering now.
pub fn steering_now() -> Vec<Rival> {
    let mut found: Vec<Rival> = windows_time().into_iter().collect();
    found.extend(steering_in(&running()));
    found
}

fn steering_in(running: &[Process]) -> Vec<Rival> {
    let rival = |process: &Process| {
        let file = process.name.to_lowercase();
        let (_, name, service) = KNOWN.iter().find(|(known, ..)| *known == file)?;
        Some(Rival { name, service: Some((*service).to_owned()), pid: process.pid })
    };
    running.iter().filter_map(rival).collect()
}

fn windows_time() -> Option<Rival> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).ok()?;
    let service = manager.open_service(W32TIME, ServiceAccess::QUERY_STATUS).ok()?;
    let status = service.query_status().ok()?;
    let steers = status.current_state != ServiceState::Stopped;
    steers.then(|| Rival {
        name: "Windows Time",
        service: Some(W32TIME.to_owned()),
        pid: status.process_id.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steering_programs_are_found_and_named() {
        let process = |pid, name: &str| Process { pid, name: name.to_owned() };
        let running = [process(4, "System"), process(77, "NTPD.exe"), process(78, "ntpd.exe.bak")];
        let found = steering_in(&running);
        assert_eq!(found, [Rival { name: "ntpd", service: Some("NTP".to_owned()), pid: 77 }]);
    }
}
