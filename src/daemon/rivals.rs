//! Other programs that steer the system clock.

#[cfg(unix)]
mod linux;
#[cfg(windows)]
mod windows;

use std::fmt;

#[cfg(unix)]
pub use linux::{steering_in, steering_now};
#[cfg(windows)]
pub use windows::steering_now;

/// A running program that steers the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    name: &'static str,
    service: &'static str,
    pid: u32,
}

impl Rival {
    /// The service that it usually runs as.
    pub fn service(&self) -> &'static str {
        self.service
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Their names, for people.
pub fn names() -> Vec<String> {
    steering_now().iter().map(ToString::to_string).collect()
}

/// How the services of these rivals are stopped for good, in words.
pub fn how_to_stop(rivals: &[Rival]) -> String {
    let services: Vec<&str> = rivals.iter().map(Rival::service).collect();
    if cfg!(windows) {
        let commands = services
            .iter()
            .map(|service| format!("sc.exe stop {service}, and sc.exe config {service} start= disabled"));
        commands.collect::<Vec<_>>().join("; ")
    } else {
        format!("systemctl disable --now {}", services.join(" "))
    }
}
