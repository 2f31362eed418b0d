//! Who needs or holds the PTP ports, and by which way PTP is heard beside him.

use super::host::Host;
use crate::doctor::finding::{Check, Finding, Problem};
use crate::doctor::os::Os;
use crate::net::capture::{Surroundings, plan};
use crate::net::{Capture, Way};

/// What is known of the ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What the settings ask for.
    pub capture: Capture,
    /// Dante's own software, and who holds a port.
    pub found: Surroundings,
    /// Raw sockets are for administrators.
    pub administrator: bool,
    /// The doctor could listen as the service would.
    pub listened: bool,
}

/// Looks who else is there; before sockets of our own are open.
pub fn look(host: &impl Host, capture: Capture, administrator: bool, service: Option<u32>) -> Facts {
    let mut found = host.surroundings(capture);
    // Our own service is no stranger.
    found.owners.retain(|owner| Some(owner.pid) != service);
    Facts { capture, found, administrator, listened: true }
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let plan = plan(facts.capture, &facts.found);
    let mut found = Vec::new();
    match (facts.capture, &facts.found.dante, facts.found.owners.first()) {
        (Capture::Udp, Some(dante), _) => found.push(Problem::PortKeptFromDante.seen(
            format!("{dante} needs UDP ports 319 and 320 for itself, and --capture udp keeps it from them"),
            Os::Windows.setting("capture", "auto"),
        )),
        (Capture::Udp, None, Some(owner)) if !facts.listened => found.push(Problem::PortTaken.seen(
            format!("UDP port {} is held by {owner}, which does not share", owner.port),
            format!("stop {owner}; or leave it the port: {}", Os::Windows.setting("capture", "auto")),
        )),
        _ => {}
    }
    if plan.first == Way::Raw && !facts.administrator && !facts.listened {
        found.push(Problem::PortUntried.seen(
            format!("PTP is to be heard below its ports ({}), for which this user has no right", plan.reason),
            Os::Windows.doctor_with_rights(),
        ));
    }
    Check::Ports.found(found, || match plan.first {
        Way::Udp => format!("319 and 320 can be used: {}", plan.reason),
        Way::Raw => format!("319 and 320 are left alone, PTP is heard below them: {}", plan.reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::capture::Owner;

    fn facts(capture: Capture, dante: bool, owned: bool) -> Facts {
        let owner = Owner { port: 319, pid: 77, name: Some("ptp.exe".to_owned()) };
        let found = Surroundings {
            dante: dante.then(|| "Dante Virtual Soundcard (ptp.exe, pid 77)".to_owned()),
            owners: if owned { vec![owner] } else { Vec::new() },
        };
        Facts { capture, found, administrator: true, listened: true }
    }

    fn problem(facts: &Facts) -> Option<Problem> {
        check(facts)[0].problem
    }

    #[test]
    fn dantes_software_is_named_and_left_alone() {
        let found = check(&facts(Capture::Auto, true, true));
        assert_eq!(found[0].problem, None);
        assert!(found[0].seen.contains("left alone") && found[0].seen.contains("Dante Virtual Soundcard"));
        assert!(check(&facts(Capture::Auto, false, false))[0].seen.contains("nobody else needs the ports"));
    }

    #[test]
    fn who_is_told_to_hold_the_ports_is_warned_for_dantes_sake() {
        assert_eq!(problem(&facts(Capture::Udp, true, false)), Some(Problem::PortKeptFromDante));
        assert_eq!(problem(&facts(Capture::Udp, false, false)), None);
    }

    #[test]
    fn our_own_service_is_no_stranger() {
        let mut world = super::super::host::made_up::World::new();
        world.surroundings = facts(Capture::Auto, false, true).found;
        let seen = |service| check(&look(&world, Capture::Auto, true, service))[0].seen.clone();
        assert!(seen(None).contains("held by ptp.exe (pid 77)"), "{}", seen(None));
        assert!(seen(Some(77)).contains("nobody else needs the ports"), "{}", seen(Some(77)));
    }

    #[test]
    fn a_holder_that_shares_is_fine_and_one_that_does_not_is_named() {
        assert_eq!(problem(&facts(Capture::Udp, false, true)), None);
        let refused = Facts { listened: false, ..facts(Capture::Udp, false, true) };
        let found = check(&refused);
        assert_eq!(found[0].problem, Some(Problem::PortTaken));
        assert!(found[0].seen.contains("ptp.exe (pid 77)"));
    }

    #[test]
    fn below_the_ports_nobody_listens_without_rights() {
        let user = Facts { administrator: false, listened: false, ..facts(Capture::Auto, true, false) };
        assert_eq!(problem(&user), Some(Problem::PortUntried));
    }
}
