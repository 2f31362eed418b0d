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
    /// The service that it runs as; nothing for one that somebody started by hand.
    service: Option<String>,
    pid: u32,
}

impl Rival {
    /// The service that it runs as; nothing for one that somebody started by hand.
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
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

/// How these rivals are stopped for good, in words.
pub fn how_to_stop(rivals: &[Rival]) -> String {
    let mut services: Vec<&str> = rivals.iter().filter_map(Rival::service).collect();
    services.dedup();
    let mut commands: Vec<String> = if cfg!(windows) {
        // Stopped by hand, Windows Time would not be given back when this program is removed.
        let stop = |service: &&str| match *service {
            "W32Time" => {
                "dantetimesync service takeover, or at the installation dantetimesync service install \
                          --take-over: it is given back later"
                    .to_owned()
            }
            service => format!("sc.exe stop {service}, and sc.exe config {service} start= disabled"),
        };
        services.iter().map(stop).collect()
    } else if services.is_empty() {
        Vec::new()
    } else {
        vec![format!("sudo systemctl disable --now {}", services.join(" "))]
    };
    let by_hand = rivals.iter().filter(|rival| rival.service.is_none()).map(|rival| rival.pid.to_string());
    let by_hand: Vec<String> = by_hand.collect();
    if !by_hand.is_empty() {
        let kill = if cfg!(windows) { "taskkill /pid" } else { "sudo kill" };
        commands.push(format!("{kill} {}", by_hand.join(" ")));
    }
    commands.join("; ")
}
