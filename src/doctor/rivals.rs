//! Who else steers the clock: known programs among the running ones.

use super::finding::{Check, Finding, Problem};
use super::host::Host;
use super::process;
use crate::daemon::rivals::{Rival, how_to_stop, steering_in};

/// The guest's part of a virtual machine that may set the clock: short name of the process, and how to keep it off.
const GUEST_TOOLS: [(&str, &str); 4] = [
    ("vmtoolsd", "vmware-toolbox-cmd timesync disable"),
    (
        "VBoxService",
        "on the host: VBoxManage setextradata MACHINE VBoxInternal/Devices/VMMDev/0/Config/GetHostTimeDisabled 1",
    ),
    ("prltoolsd", "on the host: prlctl set MACHINE --time-sync off"),
    ("xe-daemon", "on the host: switch off the synchronisation of this machine's time"),
];

/// Where the devices of Hyper-V are.
const VMBUS: &str = "/sys/bus/vmbus/devices";
/// The class of Hyper-V's time synchronisation among the devices that a host gives its guest.
const HYPER_V_TIME: &str = "{9527e630-d0ae-497b-adce-e80ab0175caf}";

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Programs that steer the clock.
    pub steering: Vec<Rival>,
    /// Guest tools, by name and process number.
    pub guest_tools: Vec<(String, u32)>,
    /// Hyper-V's host may set the clock, without a process.
    pub hyper_v: bool,
}

/// Looks through the running processes.
pub fn look(host: &Host) -> Facts {
    let is_tool = |name: &str| GUEST_TOOLS.iter().any(|(tool, _)| *tool == name);
    let tools = process::running(host).into_iter().filter(|(_, name)| is_tool(name));
    Facts {
        steering: steering_in(&host.path("/proc")),
        guest_tools: tools.map(|(pid, name)| (name, pid)).collect(),
        hyper_v: host.names(VMBUS).iter().any(|device| {
            host.word(format!("{VMBUS}/{device}/class_id")).as_deref() == Some(HYPER_V_TIME)
                && host.exists(format!("{VMBUS}/{device}/driver"))
        }),
    }
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if !facts.steering.is_empty() {
        let names: Vec<String> = facts.steering.iter().map(ToString::to_string).collect();
        let verb = if names.len() == 1 { "steers" } else { "steer" };
        found.push(Problem::RivalRunning.seen(
            format!("{} {verb} the clock too: the service refuses to start beside it", names.join(" and ")),
            how_to_stop(&facts.steering),
        ));
    }
    for (name, pid) in &facts.guest_tools {
        let mend = GUEST_TOOLS.iter().find(|(tool, _)| tool == name).map_or("", |(_, mend)| *mend);
        found.push(Problem::GuestTools.seen(
            format!("{name} (pid {pid}) belongs to a virtual machine and may set the clock from its host"),
            mend,
        ));
    }
    if facts.hyper_v {
        found.push(Problem::GuestTools.seen(
            "Hyper-V's time synchronisation is on: the host steps the clock when the machine starts or goes on after a pause",
            "on the host: Disable-VMIntegrationService -VMName NAME -Name 'Time Synchronization'",
        ));
    }
    Check::Rivals.found(found, || "no other program that steers the clock is running".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::World;

    #[test]
    fn daemons_and_guest_tools_are_named_with_what_stops_them() {
        let world = World::new()
            .process(42, "chronyd", "/usr/sbin/chronyd")
            .file("/proc/42/cgroup", "0::/system.slice/chrony.service\n")
            .process(43, "ntpd", "ntpd -g")
            .process(50, "VBoxService", "VBoxService")
            .process(60, "bash", "bash");
        let found = check(&look(&world.host()));
        let problems: Vec<_> = found.iter().filter_map(|finding| finding.problem).collect();
        assert_eq!(problems, [Problem::RivalRunning, Problem::GuestTools]);
        assert!(found[0].seen.contains("chronyd (pid 42) and ntpd (pid 43)"), "{}", found[0].seen);
        assert_eq!(found[0].mend.as_deref(), Some("sudo systemctl disable --now chrony; sudo kill 43"));
        assert!(found[1].mend.as_deref().unwrap().contains("GetHostTimeDisabled"));
    }

    #[test]
    fn hyper_v_needs_no_process() {
        let device = "/sys/bus/vmbus/devices/9527e630-1";
        let world = World::new().file(&format!("{device}/class_id"), &format!("{HYPER_V_TIME}\n"));
        assert_eq!(check(&look(&world.host()))[0].problem, None);
        let world = world.folder(&format!("{device}/driver"));
        assert_eq!(check(&look(&world.host()))[0].problem, Some(Problem::GuestTools));
    }

    #[test]
    fn a_quiet_computer_is_fine() {
        let world = World::new().process(60, "bash", "bash").process(42, "chronyd", "chronyd -x");
        assert_eq!(check(&look(&world.host()))[0].problem, None);
    }
}
