//! Services that steer the clock, as the service manager knows them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::systemctl::{Systemctl, runs};
use crate::exit::Failure;

/// The units of programs that steer the system clock, and the argument without which, or with which, they do not.
const KNOWN: [(&str, Steers); 17] = [
    ("chrony.service", Steers::Without(" -x")),
    ("chronyd.service", Steers::Without(" -x")),
    ("dantesync.service", Steers::Always),
    ("ntp.service", Steers::Always),
    ("ntpd.service", Steers::Always),
    ("ntpd-rs.service", Steers::Always),
    ("ntpsec.service", Steers::Always),
    ("openntpd.service", Steers::Always),
    ("phc2sys.service", Steers::Always),
    ("phc2sys@*.service", Steers::Always),
    // With a card that stamps it steers the card's clock.
    ("ptp4l.service", Steers::With(" -S")),
    ("ptp4l@*.service", Steers::With(" -S")),
    ("ptpd.service", Steers::Always),
    ("ptpd2.service", Steers::Always),
    ("statime.service", Steers::Always),
    ("systemd-timesyncd.service", Steers::Always),
    ("timemaster.service", Steers::Always),
];

#[derive(Debug, Clone, Copy)]
enum Steers {
    Always,
    With(&'static str),
    Without(&'static str),
}

/// A service that steers the clock, or will after the next boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RivalUnit {
    /// Its unit.
    pub unit: String,
    /// It runs.
    pub active: bool,
    /// It is started at boot.
    pub enabled: bool,
}

impl RivalUnit {
    /// Whether this is a unit that could have been taken over: what is remembered in a file is not believed blindly.
    pub fn is_known(&self) -> bool {
        self.steers().is_some()
    }

    fn steers(&self) -> Option<Steers> {
        let fits = |pattern: &str| match pattern.split_once('*') {
            Some((before, after)) => self.unit.starts_with(before) && self.unit.ends_with(after),
            None => self.unit == pattern,
        };
        KNOWN.iter().find(|(pattern, _)| fits(pattern)).map(|(_, steers)| *steers)
    }

    fn is_steering(&self, systemctl: &Systemctl) -> Result<bool, Failure> {
        let given = |flag: &str| Ok(systemctl.property(&self.unit, "ExecStart")?.contains(flag));
        match self.steers() {
            None => Ok(false),
            Some(Steers::Always) => Ok(true),
            Some(Steers::With(flag)) => given(flag),
            Some(Steers::Without(flag)) => given(flag).map(|given| !given),
        }
    }
}

impl fmt::Display for RivalUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = if self.active { "running" } else { "not running" };
        let boot = if self.enabled { ", started at boot" } else { "" };
        write!(f, "{} ({runs}{boot})", self.unit)
    }
}

/// All that run or are started at boot.
pub fn found(systemctl: &Systemctl) -> Result<Vec<RivalUnit>, Failure> {
    let patterns: Vec<&str> = KNOWN.iter().map(|(pattern, _)| *pattern).collect();
    let mut found: Vec<RivalUnit> = Vec::new();
    // Behind the name: whether it is loaded, whether it is active.
    for listed in systemctl.list("list-units", &patterns)? {
        let active = listed.words.get(1).is_some_and(|state| runs(state));
        found.push(RivalUnit { unit: listed.unit, active, enabled: false });
    }
    for listed in systemctl.list("list-unit-files", &patterns)? {
        let enabled = listed.words.first().is_some_and(|state| state.starts_with("enabled"));
        match found.iter_mut().find(|known| known.unit == listed.unit) {
            Some(known) => known.enabled |= enabled,
            None => found.push(RivalUnit { unit: listed.unit, active: false, enabled }),
        }
    }
    let mut steering = Vec::new();
    for rival in found.into_iter().filter(|rival| rival.active || rival.enabled) {
        if rival.is_steering(systemctl)? {
            steering.push(rival);
        }
    }
    Ok(steering)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_services_of_time_are_given_back() {
        let named = |unit: &str| RivalUnit { unit: unit.to_owned(), active: true, enabled: true };
        assert!(named("chrony.service").is_known() && named("ptp4l@eth0.service").is_known());
        assert!(!named("ssh.service").is_known() && !named("ptp4l@").is_known());
    }
}
