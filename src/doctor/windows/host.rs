//! The seam between the checks and a Windows computer: its registry, services, processes and cards as plain values.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::clock::trial::Trace;
use crate::doctor::service::Status;
use crate::net::Capture;
use crate::net::capture::Surroundings;

/// A value of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `REG_DWORD`.
    Number(u32),
    /// `REG_SZ` and `REG_EXPAND_SZ`.
    Text(String),
}

impl Value {
    /// As a number; drivers write theirs as text.
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// As text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Number(_) => None,
            Self::Text(text) => Some(text.as_str()),
        }
    }
}

/// Whether a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// It does not.
    Stopped,
    /// It will, in a moment.
    Starting,
    /// It does, or pauses, or is about to end.
    Yes,
}

/// When a service is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the computer.
    Boot,
    /// When something asks for it: a person, a program, or an event such as an address that was got.
    Demand,
    /// Never.
    Disabled,
}

/// What the service manager says of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Whether it runs.
    pub running: Running,
    /// When it is started; nothing where the system does not tell.
    pub start: Option<Start>,
    /// Its process, where it runs.
    pub pid: Option<u32>,
    /// The code with which it ended last, by its own word; 0 where all was well or it never ran.
    pub exit_code: u32,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// The name that Windows shows.
    pub name: String,
    /// What its driver calls it.
    pub description: String,
    /// Its name in the registry: `{8A…}`.
    pub guid: String,
    /// `IfType`: 6 Ethernet, 71 wireless, 131 a tunnel …
    pub kind: u32,
    /// It has a link.
    pub linked: bool,
    /// It can send to many.
    pub multicast: bool,
    /// In bit/s; 0 where it is not told.
    pub speed_bps: u64,
    /// Its addresses, with the length of their prefixes.
    pub addresses: Vec<(Ipv4Addr, u8)>,
    /// Packets that have come in since it was switched on.
    pub received: u64,
}

/// What this process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// It runs with the rights of an administrator.
    pub administrator: bool,
    /// It holds the right to set the clock.
    pub clock: bool,
}

/// Another program that steers the clock, Windows' own service left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// For people: `ntpd (pid 77)`.
    pub shown: String,
    /// The service that it usually runs as.
    pub service: String,
}

/// A computer, or tables that look like one.
pub trait Host {
    /// What this process may do.
    fn rights(&self) -> Rights;
    /// A value below `HKEY_LOCAL_MACHINE`; nothing where it cannot be read.
    fn value(&self, key: &str, name: &str) -> Option<Value>;
    /// All values of a key, by name.
    fn values(&self, key: &str) -> Vec<(String, Value)>;
    /// The names of the keys below a key.
    fn keys(&self, key: &str) -> Vec<String>;
    /// A service; nothing where there is none of this name.
    fn service(&self, name: &str) -> Option<Service>;
    /// Whether the service manager answers at all.
    fn has_services(&self) -> bool;
    /// The programs that run: number and file name.
    fn processes(&self) -> Vec<(u32, String)>;
    /// Other programs that steer the clock.
    fn rivals(&self) -> Vec<Rival>;
    /// The interfaces, the loopback left out.
    fn adapters(&self) -> Vec<Adapter>;
    /// Who else needs or holds the PTP ports.
    fn surroundings(&self, capture: Capture) -> Surroundings;
    /// Ticks of the performance counter in a second.
    fn counter_hz(&self) -> i64;
    /// What the running service tells of itself at this pipe; nothing where it does not answer.
    fn status(&self, pipe: &Path) -> Option<Status>;
    /// Errors of the service in the event log since the boot, as XML; nothing where it cannot be asked.
    fn complaints(&self) -> Option<String>;
    /// Where this program lies.
    fn program(&self) -> String;
    /// Tries the clock and puts it back; or why that was not done.
    fn try_clock(&self) -> Result<Trace, String>;
}

#[cfg(test)]
pub mod made_up {
    //! A computer that does not exist.

    use std::collections::BTreeMap;

    use super::*;

    /// Tables; what is not in them is missing.
    #[derive(Debug, Clone)]
    pub struct World {
        pub rights: Rights,
        pub registry: BTreeMap<(String, String), Value>,
        pub services: BTreeMap<String, Service>,
        pub processes: Vec<(u32, String)>,
        pub rivals: Vec<Rival>,
        pub adapters: Vec<Adapter>,
        pub surroundings: Surroundings,
        pub counter_hz: i64,
        pub status: Option<Status>,
        pub complaints: Option<String>,
        pub trial: Result<Trace, String>,
    }

    /// Where our program is in this world.
    pub const PROGRAM: &str = r"C:\Program Files\dantetimesync\dantetimesync.exe";

    impl World {
        /// An administrator's computer without anything.
        pub fn new() -> Self {
            Self {
                rights: Rights { administrator: true, clock: true },
                registry: BTreeMap::new(),
                services: BTreeMap::new(),
                processes: vec![(4, "System".to_owned())],
                rivals: Vec::new(),
                adapters: Vec::new(),
                surroundings: Surroundings::default(),
                counter_hz: 10_000_000,
                status: None,
                complaints: None,
                trial: Err("nobody tries".to_owned()),
            }
        }
        pub fn text(mut self, key: &str, name: &str, text: &str) -> Self {
            self.registry.insert((key.to_owned(), name.to_owned()), Value::Text(text.to_owned()));
            self
        }
        pub fn number(mut self, key: &str, name: &str, number: u32) -> Self {
            self.registry.insert((key.to_owned(), name.to_owned()), Value::Number(number));
            self
        }
        pub fn service(mut self, name: &str, running: Running, start: Start) -> Self {
            let pid = (running == Running::Yes).then_some(900);
            let service = Service { running, start: Some(start), pid, exit_code: 0 };
            self.services.insert(name.to_owned(), service);
            self
        }
        pub fn process(mut self, pid: u32, name: &str) -> Self {
            self.processes.push((pid, name.to_owned()));
            self
        }
        pub fn adapter(mut self, adapter: Adapter) -> Self {
            self.adapters.push(adapter);
            self
        }
    }

    /// A card with a cable, at 10.0.N.5/24.
    pub fn card(name: &str, net: u8) -> Adapter {
        Adapter {
            name: name.to_owned(),
            description: "Intel(R) Ethernet Controller I225-V".to_owned(),
            guid: format!("{{00000000-0000-0000-0000-0000000000{net:02X}}}"),
            kind: 6,
            linked: true,
            multicast: true,
            speed_bps: 1_000_000_000,
            addresses: vec![([10, 0, net, 5].into(), 24)],
            received: 0,
        }
    }

    impl Host for World {
        fn rights(&self) -> Rights {
            self.rights
        }
        fn value(&self, key: &str, name: &str) -> Option<Value> {
            self.registry.get(&(key.to_owned(), name.to_owned())).cloned()
        }
        fn values(&self, key: &str) -> Vec<(String, Value)> {
            let of_key = self.registry.iter().filter(|((known, _), _)| known == key);
            of_key.map(|((_, name), value)| (name.clone(), value.clone())).collect()
        }
        fn keys(&self, key: &str) -> Vec<String> {
            let below = self.registry.keys().filter_map(|(known, _)| {
                let rest = known.strip_prefix(key)?.strip_prefix('\\')?;
                rest.split('\\').next().map(str::to_owned)
            });
            let mut names: Vec<String> = below.collect();
            names.dedup();
            names
        }
        fn service(&self, name: &str) -> Option<Service> {
            self.services.get(name).copied()
        }
        fn has_services(&self) -> bool {
            true
        }
        fn processes(&self) -> Vec<(u32, String)> {
            self.processes.clone()
        }
        fn rivals(&self) -> Vec<Rival> {
            self.rivals.clone()
        }
        fn adapters(&self) -> Vec<Adapter> {
            self.adapters.clone()
        }
        fn surroundings(&self, _capture: Capture) -> Surroundings {
            self.surroundings.clone()
        }
        fn counter_hz(&self) -> i64 {
            self.counter_hz
        }
        fn status(&self, _pipe: &Path) -> Option<Status> {
            self.status.clone()
        }
        fn complaints(&self) -> Option<String> {
            self.complaints.clone()
        }
        fn program(&self) -> String {
            PROGRAM.to_owned()
        }
        fn try_clock(&self) -> Result<Trace, String> {
            self.trial.clone()
        }
    }
}
