//! Who else steers the clock: Windows' own service, known programs, and what belongs to a virtual machine.

use super::host::{Host, Rival, Running, Start};
use crate::doctor::finding::{Check, Finding, Problem};

/// Windows' own time service, and where it is told what to do.
const WINDOWS_TIME: &str = "W32Time";
const PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\W32Time\Parameters";

/// Hyper-V's part in the guest that sets its clock.
const HYPER_V: &str = "vmictimesync";

/// The guest's part of a virtual machine that may set the clock: file name of the program in lower case, and how to
/// keep it off.
const GUEST_TOOLS: [(&str, &str); 4] = [
    ("vmtoolsd.exe", r#""C:\Program Files\VMware\VMware Tools\VMwareToolboxCmd.exe" timesync disable"#),
    (
        "vboxservice.exe",
        "on the host: VBoxManage setextradata MACHINE VBoxInternal/Devices/VMMDev/0/Config/GetHostTimeDisabled 1",
    ),
    ("prl_tools.exe", "on the host: prlctl set MACHINE --time-sync off"),
    ("xenagent.exe", "on the host: switch off the synchronisation of this machine's time"),
];

/// Windows Time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowsTime {
    /// Its process, where it runs.
    pub pid: Option<u32>,
    /// When it is started.
    pub start: Option<Start>,
    /// Where it takes the time from: `NTP`, `NT5DS` (the domain), `AllSync`, `NoSync`.
    pub source: Option<String>,
}

/// Our own service.
const SERVICE: &str = "dantetimesync";

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Windows Time; nothing where there is no such service.
    pub windows_time: Option<WindowsTime>,
    /// Our own service is installed, and can take over from it.
    pub installed: bool,
    /// Programs that steer the clock.
    pub others: Vec<Rival>,
    /// Guest tools, by number and file name.
    pub guest_tools: Vec<(u32, String)>,
    /// Hyper-V's host may set the clock.
    pub hyper_v: bool,
}

/// Asks the service manager, and looks through the running programs.
pub fn look(host: &impl Host) -> Facts {
    let is_tool = |name: &str| GUEST_TOOLS.iter().any(|(tool, _)| *tool == name);
    let running = host.processes().into_iter().map(|(pid, name)| (pid, name.to_lowercase()));
    Facts {
        windows_time: host.service(WINDOWS_TIME).map(|service| WindowsTime {
            pid: (service.running != Running::Stopped).then(|| service.pid.unwrap_or_default()),
            start: service.start,
            source: host.value(PARAMETERS, "Type").and_then(|value| value.text().map(str::to_owned)),
        }),
        installed: host.service(SERVICE).is_some(),
        others: host.rivals(),
        guest_tools: running.filter(|(_, name)| is_tool(name)).collect(),
        hyper_v: host.service(HYPER_V).is_some_and(|service| service.running != Running::Stopped),
    }
}

impl Facts {
    /// The names of those that steer, for the blame.
    pub fn steering(&self) -> Vec<String> {
        let own = self.windows_time.as_ref().and_then(|service| service.pid);
        let own = own.map(|pid| format!("Windows Time (pid {pid})"));
        own.into_iter().chain(self.others.iter().map(|rival| rival.shown.clone())).collect()
    }
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts
        .windows_time
        .iter()
        .filter_map(|service| check_windows_time(service, facts.installed))
        .collect();
    if !facts.others.is_empty() {
        let names: Vec<&str> = facts.others.iter().map(|rival| rival.shown.as_str()).collect();
        let mut services: Vec<&str> = facts.others.iter().map(|rival| rival.service.as_str()).collect();
        services.dedup();
        let stop =
            services.iter().map(|name| format!("sc.exe stop {name} & sc.exe config {name} start= disabled"));
        let verb = if names.len() == 1 { "steers" } else { "steer" };
        found.push(Problem::RivalRunning.seen(
            format!("{} {verb} the clock too: the service refuses to start beside it", names.join(" and ")),
            stop.collect::<Vec<_>>().join(" & "),
        ));
    }
    for (pid, name) in &facts.guest_tools {
        let mend = GUEST_TOOLS.iter().find(|(tool, _)| tool == name).map_or("", |(_, mend)| *mend);
        found.push(Problem::GuestTools.seen(
            format!("{name} (pid {pid}) belongs to a virtual machine and may set the clock from its host"),
            mend,
        ));
    }
    if facts.hyper_v {
        found.push(Problem::GuestTools.seen(
            "Hyper-V's time synchronisation is on (service vmictimesync): the host steps the clock when the machine \
             starts or goes on after a pause",
            "sc.exe stop vmictimesync & sc.exe config vmictimesync start= disabled",
        ));
    }
    Check::Rivals.found(found, || match &facts.windows_time {
        None => "no other program that steers the clock is running, and there is no Windows Time".to_owned(),
        Some(_) => {
            "Windows Time is disabled, and no other program that steers the clock is running".to_owned()
        }
    })
}

fn check_windows_time(service: &WindowsTime, installed: bool) -> Option<Finding> {
    let mend = if installed {
        "dantetimesync service takeover"
    } else {
        "dantetimesync service install --take-over"
    };
    let source = match service.source.as_deref() {
        Some("NT5DS") => ", which takes the time from its domain,",
        Some("NoSync") => ", though told to take no time from anybody (NoSync),",
        Some("AllSync") => ", which takes the time from its domain and from NTP,",
        Some("NTP") => ", which takes the time from NTP,",
        _ => "",
    };
    if let Some(pid) = service.pid {
        return Some(Problem::RivalRunning.seen(
            format!("Windows Time (W32Time, pid {pid}){source} runs: the service refuses to start beside it"),
            mend,
        ));
    }
    let when = match service.start? {
        Start::Disabled => return None,
        Start::Boot => "with the computer",
        Start::Demand => "as soon as something asks for it, such as a new address or a daily task",
    };
    Some(Problem::RivalReturns.seen(
        format!("Windows Time (W32Time){source} is stopped, but will be started again {when}"),
        format!("{mend}, which disables it and remembers how it was"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::host::made_up::World;
    use super::*;

    fn problems(world: &World) -> Vec<Problem> {
        check(&look(world)).iter().filter_map(|finding| finding.problem).collect()
    }

    #[test]
    fn windows_time_is_told_with_where_it_takes_the_time_from() {
        let world =
            World::new().service(WINDOWS_TIME, Running::Yes, Start::Demand).text(PARAMETERS, "Type", "NT5DS");
        let found = check(&look(&world));
        assert_eq!(found[0].problem, Some(Problem::RivalRunning));
        assert!(
            found[0].seen.contains("(W32Time, pid 900), which takes the time from its domain"),
            "{found:?}"
        );
        assert_eq!(found[0].mend.as_deref(), Some("dantetimesync service install --take-over"));
        let installed = world.clone().service(SERVICE, Running::Stopped, Start::Boot);
        assert_eq!(check(&look(&installed))[0].mend.as_deref(), Some("dantetimesync service takeover"));
        assert_eq!(look(&world).steering(), ["Windows Time (pid 900)"]);
    }

    #[test]
    fn windows_time_that_only_sleeps_comes_back_and_a_disabled_one_does_not() {
        let stopped = |start| World::new().service(WINDOWS_TIME, Running::Stopped, start);
        assert_eq!(problems(&stopped(Start::Demand)), [Problem::RivalReturns]);
        assert_eq!(problems(&stopped(Start::Boot)), [Problem::RivalReturns]);
        assert_eq!(problems(&stopped(Start::Disabled)), []);
        assert_eq!(problems(&World::new()), []);
    }

    #[test]
    fn other_programs_are_named_with_what_stops_them() {
        let mut world = World::new();
        world.rivals = vec![Rival { shown: "ntpd (pid 77)".to_owned(), service: "NTP".to_owned() }];
        let found = check(&look(&world));
        assert_eq!(found[0].problem, Some(Problem::RivalRunning));
        assert!(found[0].seen.starts_with("ntpd (pid 77) steers"));
        assert_eq!(found[0].mend.as_deref(), Some("sc.exe stop NTP & sc.exe config NTP start= disabled"));
    }

    #[test]
    fn the_time_of_virtual_machines_is_found_by_program_and_by_service() {
        let world = World::new().process(50, "VBoxService.exe").process(51, "vmtoolsd.exe");
        let found = check(&look(&world));
        assert_eq!(found.len(), 2);
        assert!(found[0].mend.as_deref().unwrap().contains("GetHostTimeDisabled"));
        assert!(found[1].mend.as_deref().unwrap().ends_with("timesync disable"));
        let world = World::new().service(HYPER_V, Running::Yes, Start::Demand);
        assert_eq!(problems(&world), [Problem::GuestTools]);
        // Every Windows has that service; on a real computer it is stopped.
        assert_eq!(problems(&World::new().service(HYPER_V, Running::Stopped, Start::Demand)), []);
    }
}
