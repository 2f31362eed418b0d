//! By which way PTP is heard, so that nobody else is kept from it.
//!
//! Linux shares its UDP ports among all who ask for it. On Windows Dante's own software wants the ports 319 and 320
//! for itself: whoever holds them first is the reason that it cannot start. There the datagrams can be captured
//! instead, below the ports.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Capture {
    /// The way that disturbs nobody.
    #[default]
    Auto,
    /// By UDP sockets on the ports 319 and 320.
    Udp,
    /// By a raw socket, without holding the ports (Windows only).
    Raw,
}

/// How PTP is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By UDP sockets on the ports.
    #[default]
    Udp,
    /// By raw sockets: all IP packets are looked at, and the ports are left alone.
    Raw,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP sockets",
            Self::Raw => "a raw socket, which leaves the ports alone",
        })
    }
}

/// Who holds one of the PTP ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The port.
    pub port: u16,
    /// The process.
    pub pid: u32,
    /// The name of its program, where known.
    pub name: Option<String>,
}

impl fmt::Display for Owner {
    /// `ptp.exe (pid 1234)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name.as_deref().unwrap_or("a program"), self.pid)
    }
}

/// What was found on this computer that decides it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Software that needs the ports for itself when it starts, installed or running.
    pub dante: Option<String>,
    /// Other programs that hold a port now.
    pub owners: Vec<Owner>,
}

/// The ways to try, in this order, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The first way.
    pub first: Way,
    /// What to do where the first one is refused.
    pub second: Option<Way>,
    /// Why it is so.
    pub reason: String,
}

/// How to listen at the start.
pub fn plan(wanted: Capture, found: &Surroundings) -> Plan {
    let (first, second, reason) = match (wanted, &found.dante, found.owners.first()) {
        (Capture::Udp, None, _) => (Way::Udp, None, "as asked for".to_owned()),
        (Capture::Udp, Some(dante), _) => {
            (Way::Udp, None, format!("as asked for: {dante} cannot start as long as this program runs"))
        }
        (Capture::Raw, ..) => (Way::Raw, None, "as asked for".to_owned()),
        // Never the ports, whatever is refused: it would be found out only when the other one is started.
        (Capture::Auto, Some(dante), _) => {
            (Way::Raw, None, format!("{dante} needs the ports of PTP for itself"))
        }
        // Who holds a port already cannot be kept from it: sharing is the second choice.
        (Capture::Auto, None, Some(owner)) => {
            (Way::Raw, Some(Way::Udp), format!("UDP port {} is held by {owner}", owner.port))
        }
        (Capture::Auto, None, None) => (Way::Udp, Some(Way::Raw), "nobody else needs the ports".to_owned()),
    };
    Plan { first, second, reason }
}

/// Why the ports must be left while running, if what was found demands it. To come back to them is left to the next
/// start, since what has gone may come again.
pub fn must_leave_ports(wanted: Capture, now: Way, found: &Surroundings) -> Option<String> {
    match (wanted, now, &found.dante) {
        (Capture::Auto, Way::Udp, Some(_)) => Some(plan(wanted, found).reason),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(dante: bool, owned: bool) -> Surroundings {
        let owner = Owner { port: 320, pid: 77, name: Some("other.exe".to_owned()) };
        Surroundings {
            dante: dante.then(|| "Dante Virtual Soundcard".to_owned()),
            owners: if owned { vec![owner] } else { Vec::new() },
        }
    }

    #[test]
    fn with_dante_software_the_ports_are_never_touched_unless_asked_for() {
        for owned in [false, true] {
            let plan = plan(Capture::Auto, &found(true, owned));
            assert_eq!((plan.first, plan.second), (Way::Raw, None));
            assert!(plan.reason.contains("Dante Virtual Soundcard"), "{}", plan.reason);
        }
        let plan = plan(Capture::Udp, &found(true, false));
        assert_eq!((plan.first, plan.second), (Way::Udp, None));
        assert!(plan.reason.contains("Dante Virtual Soundcard cannot start"), "{}", plan.reason);
    }

    #[test]
    fn a_port_that_is_held_is_named_with_its_holder_and_captured() {
        let plan = plan(Capture::Auto, &found(false, true));
        assert_eq!((plan.first, plan.second), (Way::Raw, Some(Way::Udp)));
        assert_eq!(plan.reason, "UDP port 320 is held by other.exe (pid 77)");
    }

    #[test]
    fn where_nobody_else_is_the_ports_are_used() {
        let plan = plan(Capture::Auto, &found(false, false));
        assert_eq!((plan.first, plan.second), (Way::Udp, Some(Way::Raw)));
    }

    #[test]
    fn what_is_asked_for_is_done() {
        for (dante, owned) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(plan(Capture::Raw, &found(dante, owned)).first, Way::Raw);
            assert_eq!(plan(Capture::Udp, &found(dante, owned)).first, Way::Udp);
            assert_eq!(plan(Capture::Raw, &found(dante, owned)).second, None);
            assert_eq!(plan(Capture::Udp, &found(dante, owned)).second, None);
        }
    }

    #[test]
    fn the_ports_are_left_when_dante_software_comes_and_not_taken_again() {
        let reason = must_leave_ports(Capture::Auto, Way::Udp, &found(true, true)).unwrap();
        assert!(reason.contains("Dante Virtual Soundcard"), "{reason}");
        for (wanted, now, dante, owned) in [
            // They share already.
            (Capture::Auto, Way::Udp, false, true),
            (Capture::Auto, Way::Raw, false, false),
            (Capture::Auto, Way::Raw, true, false),
            (Capture::Udp, Way::Udp, true, true),
            (Capture::Raw, Way::Raw, true, true),
        ] {
            assert_eq!(must_leave_ports(wanted, now, &found(dante, owned)), None, "{wanted:?} {now:?}");
        }
    }
}
