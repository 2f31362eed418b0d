//! May the clock be set and the ports be opened, by the service, or by who would start it?

use super::finding::{Check, Finding, Problem};
use super::host::Host;
use super::process;
use crate::net::EVENT_PORT;

/// Numbers of capabilities in linux/capability.h.
const NET_BIND_SERVICE: u32 = 10;
const NET_RAW: u32 = 13;
const SYS_TIME: u32 = 25;
/// Ports below this are privileged where the kernel does not say otherwise.
const PORT_START: u16 = 1024;

/// Whose rights were looked at, and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The running service; this very process where there is none.
    pub service: Option<u32>,
    /// The doctor's user is root.
    pub root: bool,
    /// Effective capabilities; none where they cannot be read.
    pub effective: Option<u64>,
    /// `net.ipv4.ip_unprivileged_port_start`.
    pub port_start: u16,
    /// The doctor itself may see packets before the firewall.
    pub raw: bool,
    /// The service only watches the clock, and needs no right to set it.
    pub dry_run: bool,
    /// The process lives in a user namespace, where a capability for the clock means nothing.
    pub user_namespace: bool,
}

/// Reads the rights of the running service, or of this process.
pub fn look(host: &Host, dry_run: bool) -> Facts {
    let service = process::service(host);
    let folder = service.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}"));
    let status = host.read(format!("{folder}/status")).unwrap_or_default();
    let own = host.read("/proc/self/status").unwrap_or_default();
    let map = host.read(format!("{folder}/uid_map")).unwrap_or_default();
    let map: Vec<&str> = map.split_whitespace().collect();
    Facts {
        service,
        root: field(&own, "Uid:").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0"),
        effective: effective(&status),
        raw: effective(&own).is_none_or(|set| set >> NET_RAW & 1 == 1),
        port_start: host.number("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or(PORT_START),
        dry_run,
        // The first namespace maps every number to itself.
        user_namespace: !map.is_empty() && map != ["0", "0", "4294967295"],
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn effective(status: &str) -> Option<u64> {
    u64::from_str_radix(field(status, "CapEff:")?, 16).ok()
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let who = match facts.service {
        Some(pid) => format!("the service (pid {pid})"),
        None if facts.root => "this root".to_owned(),
        None => "this user".to_owned(),
    };
    let has = |bit: u32| facts.effective.is_none_or(|set| set >> bit & 1 == 1);
    let mut found = Vec::new();
    if facts.user_namespace && !facts.dry_run {
        found.push(Problem::UserNamespace.seen(
            format!("{who} lives in a user namespace: the kernel lets nobody there set the clock"),
            "run it on the host, or in a container without user namespaces (docker run --userns=host)",
        ));
    }
    if !has(SYS_TIME) && !facts.dry_run {
        let seen = format!("{who} may not set the clock: CAP_SYS_TIME is missing");
        found.push(Problem::NoClockRight.seen(seen, facts.mend("SYS_TIME")));
    }
    let ports_are_free = facts.port_start <= EVENT_PORT;
    if !has(NET_BIND_SERVICE) && !ports_are_free {
        let seen = format!(
            "{who} may not open the ports 319 and 320: CAP_NET_BIND_SERVICE is missing, and ports are free only \
             from {} on (net.ipv4.ip_unprivileged_port_start)",
            facts.port_start
        );
        found.push(Problem::NoPortRight.seen(seen, facts.mend("NET_BIND_SERVICE")));
    }
    if !facts.raw {
        found.push(Problem::NoRawRight.seen(
            "the doctor has no CAP_NET_RAW: what comes in before the firewall cannot be seen",
            if facts.root {
                "give it back to this root, in a container: --cap-add=NET_RAW"
            } else {
                "sudo dantetimesync doctor"
            },
        ));
    }
    Check::Rights.found(found, || {
        let ports = if ports_are_free { " (anybody may)" } else { "" };
        let clock =
            if facts.dry_run { "is to leave the clock alone, and may" } else { "may set the clock and" };
        format!("{who} {clock} open the ports 319 and 320{ports}")
    })
}

impl Facts {
    fn mend(&self, capability: &str) -> String {
        match (self.service, self.root) {
            (Some(_), _) => format!(
                "sudo systemctl edit dantetimesync, and add: [Service] AmbientCapabilities=CAP_{capability} \
                 CapabilityBoundingSet=CAP_{capability}"
            ),
            (None, true) => format!("give it back to this root, in a container: --cap-add={capability}"),
            (None, false) => "sudo dantetimesync doctor".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::World;

    fn world(uid: u32, effective: &str) -> World {
        let status = format!("Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t{effective}\n");
        World::new()
            .file("/proc/self/status", &status)
            .file("/proc/self/uid_map", "         0          0 4294967295\n")
            .file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "1024\n")
    }

    fn problems(world: &World) -> Vec<Option<Problem>> {
        check(&look(&world.host(), false)).iter().map(|finding| finding.problem).collect()
    }

    #[test]
    fn root_may_everything() {
        assert_eq!(problems(&world(0, "000001ffffffffff")), [None]);
    }

    #[test]
    fn a_user_may_nothing_and_is_told_of_sudo() {
        let found = check(&look(&world(1000, "0000000000000000").host(), false));
        let problems: Vec<_> = found.iter().filter_map(|finding| finding.problem).collect();
        assert_eq!(problems, [Problem::NoClockRight, Problem::NoPortRight, Problem::NoRawRight]);
        assert!(found[0].seen.contains("this user"));
        assert_eq!(found[0].mend.as_deref(), Some("sudo dantetimesync doctor"));
    }

    #[test]
    fn a_root_without_the_clocks_right_is_told_of_its_container() {
        let found = check(&look(&world(0, "000001fffdffffff").host(), false));
        assert_eq!(found[0].problem, Some(Problem::NoClockRight));
        assert!(found[0].mend.as_deref().unwrap().contains("--cap-add=SYS_TIME"));
    }

    #[test]
    fn a_dry_run_needs_no_right_to_set_the_clock() {
        let found = check(&look(&world(0, "000001fffdffffff").host(), true));
        assert_eq!(found[0].problem, None, "{found:?}");
        assert!(found[0].seen.contains("leave the clock alone"), "{}", found[0].seen);
    }

    #[test]
    fn ports_that_are_free_for_all_need_no_right() {
        let world =
            world(1000, "0000000002002000").file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0\n");
        assert_eq!(problems(&world), [None]);
    }

    #[test]
    fn a_user_namespace_is_seen_through() {
        let world = world(0, "000001ffffffffff").file("/proc/self/uid_map", "0 100000 65536\n");
        assert_eq!(problems(&world), [Some(Problem::UserNamespace)]);
    }

    #[test]
    fn the_rights_of_a_running_service_count_more_than_those_of_the_doctor() {
        let world = world(1000, "0000000000000000")
            .process(77, "dantetimesync", "/usr/sbin/dantetimesync --interface eth0")
            .file("/proc/77/status", "Uid:\t0\t0\t0\t0\nCapEff:\t0000000002002400\n");
        assert_eq!(problems(&world), [Some(Problem::NoRawRight)]);
        let world = world.file("/proc/77/status", "Uid:\t9\t9\t9\t9\nCapEff:\t0000000000002400\n");
        let found = check(&look(&world.host(), false));
        assert_eq!(found[0].problem, Some(Problem::NoClockRight));
        assert!(found[0].seen.contains("the service (pid 77)"));
    }
}
