//! May the clock be set, by the service, or by who would start it?

use super::host::{Host, Rights};
use crate::doctor::finding::{Check, Finding, Problem};
use crate::doctor::os::Os;

/// Whose rights were looked at, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The running service, which has the system's own rights.
    pub service: Option<u32>,
    /// What the doctor itself may do.
    pub own: Rights,
}

/// Reads this process's rights.
pub fn look(host: &impl Host, service: Option<u32>) -> Facts {
    Facts { service, own: host.rights() }
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if facts.service.is_none() && !facts.own.clock {
        let seen = "this user may not set the clock: the privilege SeSystemtimePrivilege is missing";
        let mend = if facts.own.administrator {
            "secpol.msc, Local Policies, User Rights Assignment: give \"Change the system time\" to Administrators"
        } else {
            "run it in a console opened as administrator, or as a service: dantetimesync service install"
        };
        found.push(Problem::NoClockRight.seen(seen, mend));
    }
    if !facts.own.administrator {
        found.push(Problem::NotAdministrator.seen(
            "the doctor is not run as administrator: it can neither try the clock nor hear PTP below its ports",
            Os::Windows.doctor_with_rights(),
        ));
    }
    Check::Rights.found(found, || match facts.service {
        Some(pid) => format!("the service (pid {pid}) has the system's rights, and may set the clock"),
        None => "this administrator may set the clock".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(service: Option<u32>, administrator: bool, clock: bool) -> Vec<Problem> {
        let facts = Facts { service, own: Rights { administrator, clock } };
        check(&facts).iter().filter_map(|finding| finding.problem).collect()
    }

    #[test]
    fn an_administrator_may_everything_and_a_user_is_told_of_the_console() {
        assert_eq!(problems(None, true, true), []);
        assert_eq!(problems(None, false, false), [Problem::NoClockRight, Problem::NotAdministrator]);
        let facts = Facts { service: None, own: Rights { administrator: false, clock: false } };
        assert!(check(&facts)[0].mend.as_deref().unwrap().contains("opened as administrator"));
    }

    #[test]
    fn an_administrator_whose_right_was_taken_is_told_of_the_policy() {
        let facts = Facts { service: None, own: Rights { administrator: true, clock: false } };
        let found = check(&facts);
        assert_eq!(found[0].problem, Some(Problem::NoClockRight));
        assert!(found[0].mend.as_deref().unwrap().starts_with("secpol.msc"));
    }

    #[test]
    fn a_running_service_has_rights_of_its_own() {
        assert_eq!(problems(Some(7), false, false), [Problem::NotAdministrator]);
        assert_eq!(problems(Some(7), true, true), []);
    }
}
