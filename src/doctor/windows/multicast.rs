//! Does Windows take part in multicast, and in which version of IGMP?

use super::host::Host;
use crate::doctor::finding::{Check, Finding, Problem};

/// Where it is told (Microsoft's reference of TCP/IP's entries in the registry).
const KEY: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
/// `IGMPLevel`: 0 no multicast at all, 1 sends only, 2 all of it, which is the default.
const FULL: u32 = 2;
/// `IGMPVersion`: 2, 3 and 4 for IGMP of the versions 1, 2 and 3; the last is the default.
const VERSION_ONE: u32 = 2;

/// What the registry says; nothing where the defaults hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// `IGMPLevel`.
    pub level: Option<u32>,
    /// `IGMPVersion`.
    pub version: Option<u32>,
    /// PTP is heard all the same: the setting is not in force.
    pub heard: bool,
}

/// Reads them.
pub fn look(host: &impl Host, heard: bool) -> Facts {
    let number = |name| host.value(KEY, name).and_then(|value| value.number());
    Facts { level: number("IGMPLevel"), version: number("IGMPVersion"), heard }
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(level) = facts.level.filter(|level| *level < FULL && !facts.heard) {
        let what =
            if level == 0 { "takes no part in multicast" } else { "sends multicast and receives none" };
        found.push(Problem::MulticastOff.seen(
            format!("Windows {what} (IGMPLevel {level}): no leader can be heard"),
            "netsh interface ipv4 set global mldlevel=all",
        ));
    }
    if facts.version == Some(VERSION_ONE) {
        found.push(Problem::IgmpVersionForced.seen(
            "Windows is made to speak version 1 of IGMP (IGMPVersion 2), which many switches do not understand",
            "netsh interface ipv4 set global mldversion=version3",
        ));
    }
    Check::Multicast.found(found, || match facts.version {
        Some(3) => "Windows takes part, by IGMP version 2".to_owned(),
        _ => "Windows takes part, by IGMP version 3".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::host::made_up::World;
    use super::*;

    fn problem(world: &World) -> Option<Problem> {
        check(&look(world, false))[0].problem
    }

    #[test]
    fn defaults_are_fine() {
        assert_eq!(problem(&World::new()), None);
        assert_eq!(problem(&World::new().number(KEY, "IGMPLevel", 2).number(KEY, "IGMPVersion", 3)), None);
    }

    #[test]
    fn multicast_that_is_switched_off_is_a_failure_and_an_old_version_a_warning() {
        assert_eq!(problem(&World::new().number(KEY, "IGMPLevel", 0)), Some(Problem::MulticastOff));
        assert_eq!(problem(&World::new().number(KEY, "IGMPLevel", 1)), Some(Problem::MulticastOff));
        assert_eq!(problem(&World::new().number(KEY, "IGMPVersion", 2)), Some(Problem::IgmpVersionForced));
        assert_eq!(check(&look(&World::new().number(KEY, "IGMPLevel", 0), true))[0].problem, None);
    }
}
