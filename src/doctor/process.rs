//! Running programs, as `/proc` shows them.

use super::host::Host;

/// Programs that run, by their short name (15 characters), with their process numbers; in the order of numbers.
pub fn running(host: &Host) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = host
        .names("/proc")
        .iter()
        .filter_map(|name| Some((name.parse().ok()?, host.word(format!("/proc/{name}/comm"))?)))
        .collect();
    found.sort_unstable_by_key(|(pid, _)| *pid);
    found
}

/// The arguments of a process, its program's name among them.
pub fn arguments(host: &Host, pid: u32) -> Vec<String> {
    let text = host.read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split('\0').filter(|argument| !argument.is_empty()).map(str::to_owned).collect()
}

/// The service that steers this computer's clock: this program, run without a command and not only for show.
pub fn service(host: &Host) -> Option<u32> {
    let is_service = |pid: u32| {
        let arguments = arguments(host, pid);
        let command = arguments.get(1).is_some_and(|argument| !argument.starts_with('-'));
        !command && !arguments.iter().any(|argument| argument == "--dry-run")
    };
    running(host)
        .into_iter()
        .find(|(pid, name)| name == env!("CARGO_PKG_NAME") && *pid != std::process::id() && is_service(*pid))
        .map(|(pid, _)| pid)
}

/// Hundredths of a second, whatever the kernel counts in itself.
const TICKS_PER_S: f64 = 100.0;

/// For how long a process has lived, in s; both figures count a sleep of the computer.
pub fn age_s(host: &Host, pid: u32) -> Option<f64> {
    let stat = host.read(format!("/proc/{pid}/stat"))?;
    // A name may hold blanks and parentheses; the start is the twentieth word behind it.
    let (_, behind) = stat.rsplit_once(')')?;
    let started: f64 = behind.split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 = host.word("/proc/uptime")?.split(' ').next()?.parse().ok()?;
    Some(uptime - started / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::World;

    #[test]
    fn the_service_is_told_from_its_other_commands() {
        let world = World::new()
            .process(5, "dantetimesync", "dantetimesync doctor --json")
            .process(6, "dantetimesync", "dantetimesync --dry-run")
            .process(12, "bash", "bash");
        assert_eq!(service(&world.host()), None);
        let world = world.process(110, "dantetimesync", "/usr/sbin/dantetimesync --skip-ntp");
        assert_eq!(service(&world.host()), Some(110));
    }

    #[test]
    fn the_age_of_a_process_is_read_behind_its_name() {
        let age = age_s(&Host::this(), std::process::id()).unwrap();
        assert!((0.0..3_600.0).contains(&age), "{age}");
        assert_eq!(age_s(&World::new().host(), 5), None);
    }
}
