//! This computer, as Windows shows it.

use std::path::{Path, PathBuf};
use std::process::Command;

use windows_registry::{Key, LOCAL_MACHINE, Type};
use windows_service::service::{
    Service as Handle, ServiceAccess, ServiceExitCode, ServiceStartType, ServiceState,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::host::{Adapter, Host, Rights, Rival, Running, Service, Start, Value};
use crate::clock::platform::OsClock;
use crate::clock::trial::Trace;
use crate::clock::windows::{frequency, since_boot};
use crate::daemon::rivals::steering_now;
use crate::doctor::programs;
use crate::doctor::service::Status;
use crate::net::capture::Surroundings;
use crate::net::interface::adapters;
use crate::net::windows::process::running;
use crate::net::windows::surroundings;
use crate::net::{Capture, EVENT_PORT, GENERAL_PORT};
use crate::status::client::fetch;
use crate::test_clock::try_clock;

/// Values and keys that are read of one key: a firewall has some hundred rules, a computer some dozen drivers.
const ENTRIES_MAX: usize = 20_000;
/// Windows Time, which the checks look at more closely.
const WINDOWS_TIME: &str = "W32Time";

/// The computer that this program runs on.
#[derive(Debug, Clone, Copy)]
pub struct ThisComputer;

impl Host for ThisComputer {
    fn rights(&self) -> Rights {
        let clock = OsClock::observe().and_then(|mut clock| clock.check_permission()).is_ok();
        Rights { administrator: OsClock::is_administrators(), clock }
    }

    fn value(&self, key: &str, name: &str) -> Option<Value> {
        value(&LOCAL_MACHINE.open(key).ok()?, name)
    }

    fn values(&self, key: &str) -> Vec<(String, Value)> {
        let Ok(key) = LOCAL_MACHINE.open(key) else { return Vec::new() };
        let Ok(values) = key.values() else { return Vec::new() };
        let names = values.take(ENTRIES_MAX).map(|(name, _)| name);
        names.filter_map(|name| value(&key, &name).map(|value| (name, value))).collect()
    }

    fn keys(&self, key: &str) -> Vec<String> {
        let Ok(key) = LOCAL_MACHINE.open(key) else { return Vec::new() };
        key.keys().map(|keys| keys.take(ENTRIES_MAX).collect()).unwrap_or_default()
    }

    fn service(&self, name: &str) -> Option<Service> {
        let manager = service_manager()?;
        let state = manager.open_service(name, ServiceAccess::QUERY_STATUS).ok()?.query_status().ok()?;
        let exit_code = match state.exit_code {
            ServiceExitCode::Win32(_) => 0,
            ServiceExitCode::ServiceSpecific(code) => code,
        };
        Some(Service {
            running: match state.current_state {
                ServiceState::Stopped => Running::Stopped,
                ServiceState::StartPending => Running::Starting,
                _ => Running::Yes,
            },
            start: manager.open_service(name, ServiceAccess::QUERY_CONFIG).ok().and_then(|it| start(&it)),
            pid: state.process_id,
            exit_code,
        })
    }

    fn has_services(&self) -> bool {
        service_manager().is_some()
    }

    fn processes(&self) -> Vec<(u32, String)> {
        running().into_iter().map(|process| (process.pid, process.name)).collect()
    }

    fn rivals(&self) -> Vec<Rival> {
        let others = steering_now().into_iter().filter(|rival| rival.service() != Some(WINDOWS_TIME));
        others
            .map(|rival| Rival {
                shown: rival.to_string(),
                service: rival.service().unwrap_or_default().to_owned(),
            })
            .collect()
    }

    fn adapters(&self) -> Vec<Adapter> {
        let listed = adapters().unwrap_or_default().into_iter().filter(|adapter| !adapter.is_loopback());
        listed
            .map(|adapter| Adapter {
                received: adapter.received().unwrap_or_default(),
                name: adapter.name,
                description: adapter.description,
                guid: adapter.guid,
                kind: adapter.kind,
                linked: adapter.up,
                multicast: adapter.multicast,
                speed_bps: adapter.speed_bps,
                addresses: adapter.addresses,
            })
            .collect()
    }

    fn surroundings(&self, capture: Capture) -> Surroundings {
        if capture == Capture::Raw {
            return Surroundings::default();
        }
        surroundings([EVENT_PORT, GENERAL_PORT])
    }

    fn counter_hz(&self) -> i64 {
        frequency()
    }

    fn status(&self, pipe: &Path) -> Option<Status> {
        let status = fetch(pipe).ok()?;
        Status::of(&serde_json::to_value(&status).ok()?)
    }

    fn complaints(&self) -> Option<String> {
        let root = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\Windows".into());
        let program = PathBuf::from(root).join(r"System32\wevtutil.exe");
        let ms = since_boot().as_ns() / 1_000_000;
        let query = format!(
            "/q:*[System[Provider[@Name='dantetimesync'] and Level=2 and TimeCreated[timediff(@SystemTime) <= {ms}]]]"
        );
        let mut command = Command::new(program);
        command.args(["qe", "Application", &query, "/c:3", "/rd:true", "/f:xml", "/uni:true"]);
        programs::run(&mut command).ok().map(|said| decoded(&said))
    }

    fn program(&self) -> String {
        std::env::current_exe().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn try_clock(&self) -> Result<Trace, String> {
        match try_clock(false) {
            Ok(Some(trace)) => Ok(trace),
            Ok(None) => Err("it was told to end".to_owned()),
            Err(failure) => Err(format!("{:#}", failure.error)),
        }
    }
}

/// A number or a text; values of other types are not looked at.
fn value(key: &Key, name: &str) -> Option<Value> {
    let value = key.get_value(name).ok()?;
    match value.ty() {
        Type::U32 => u32::try_from(value).ok().map(Value::Number),
        Type::String | Type::ExpandString => String::try_from(value).ok().map(Value::Text),
        _ => None,
    }
}

fn service_manager() -> Option<ServiceManager> {
    ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).ok()
}

fn start(service: &Handle) -> Option<Start> {
    Some(match service.query_config().ok()?.start_type {
        ServiceStartType::OnDemand => Start::Demand,
        ServiceStartType::Disabled => Start::Disabled,
        _ => Start::Boot,
    })
}

/// Text in the system's wide characters, which `wevtutil` writes where it is told to; else taken as it is.
fn decoded(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.get(1) == Some(&0);
    if !wide {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let characters: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16_lossy(&characters).trim_start_matches('\u{feff}').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_read() {
        let version = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
        let host = ThisComputer;
        assert!(matches!(host.value(version, "CurrentVersion"), Some(Value::Text(text)) if !text.is_empty()));
        assert!(host.values(version).iter().any(|(name, _)| name == "CurrentVersion"));
        assert!(host.keys(r"SOFTWARE\Microsoft").iter().any(|name| name == "Windows NT"));
        assert_eq!(host.value(version, "no such value"), None);
        assert_eq!((host.keys("no such key").len(), host.values("no such key").len()), (0, 0));
    }

    #[test]
    fn services_processes_and_adapters_are_listed() {
        let host = ThisComputer;
        assert!(host.has_services());
        assert_eq!(host.service("no such service"), None);
        let own = std::process::id();
        assert!(host.processes().iter().any(|(pid, _)| *pid == own));
        assert!(
            host.adapters().iter().all(|adapter| !adapter.name.is_empty() && adapter.guid.starts_with('{'))
        );
        assert!(host.counter_hz() > 1_000_000);
        assert!(host.program().ends_with(".exe"));
        assert_eq!(host.status(Path::new(r"\\.\pipe\nobody-tells")), None);
    }

    #[test]
    fn wide_text_is_recognised() {
        let wide: Vec<u8> = "\u{feff}<Data>µs</Data>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decoded(&wide), "<Data>µs</Data>");
        assert_eq!(decoded(&wide[2..]), "<Data>µs</Data>");
        assert_eq!(decoded("<Data>µs</Data>".as_bytes()), "<Data>µs</Data>");
        assert_eq!(decoded(&[]), "");
    }
}
