//! Found by name among the running processes.

use std::fs;
use std::path::Path;

use super::Rival;

/// Name as the kernel cuts it (15 characters), full name, and the argument without which (or with which) it does not
/// steer.
const KNOWN: [(&str, &str, Steers); 11] = [
    ("chronyd", "chronyd", Steers::Without("-x")),
    ("ntpd", "ntpd", Steers::Always),
    ("ntp-daemon", "ntp-daemon", Steers::Always),
    ("systemd-timesyn", "systemd-timesyncd", Steers::Always),
    ("ptp4l", "ptp4l", Steers::With("-S")),
    ("phc2sys", "phc2sys", Steers::Always),
    ("statime", "statime", Steers::Always),
    ("ptpd", "ptpd", Steers::Always),
    ("ntpdate", "ntpdate", Steers::Always),
    ("sntp", "sntp", Steers::With("-S")),
    ("dantesync", "dantesync", Steers::Always),
];

/// Under these a login runs what somebody starts by hand; to stop them would stop the login.
const LOGINS: [&str; 14] = [
    "ssh",
    "sshd",
    "ssh@",
    "sshd@",
    "getty@",
    "serial-getty@",
    "console-getty",
    "user@",
    "cron",
    "crond",
    "cronie",
    "atd",
    "containerd",
    "docker",
];

#[derive(Debug, Clone, Copy)]
enum Steers {
    Always,
    With(&'static str),
    Without(&'static str),
}

/// The programs that are steering now.
pub fn steering_now() -> Vec<Rival> {
    steering_in(Path::new("/proc"))
}

/// The programs that are steering now, by the process table at `proc`.
pub fn steering_in(proc: &Path) -> Vec<Rival> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let mut found: Vec<Rival> = entries.flatten().filter_map(|entry| rival(&entry.path())).collect();
    found.sort_by_key(|rival| rival.pid);
    found
}

fn rival(process: &Path) -> Option<Rival> {
    let pid: u32 = process.file_name()?.to_str()?.parse().ok()?;
    let comm = fs::read_to_string(process.join("comm")).ok()?;
    let (_, name, steers) = KNOWN.iter().find(|(cut, ..)| *cut == comm.trim_end())?;
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let given = |flag: &str| arguments.split(|octet| *octet == 0).any(|argument| argument == flag.as_bytes());
    let steers = match steers {
        Steers::Always => true,
        Steers::With(flag) => given(flag),
        Steers::Without(flag) => !given(flag),
    };
    (steers && !is_simulated(process)).then(|| Rival { name, service: service_of(process), pid })
}

/// The service of systemd in whose group a process runs: the last part of `0::/system.slice/chrony.service`, or of
/// the line `name=systemd` where groups are of the first version.
fn service_of(process: &Path) -> Option<String> {
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    let of_systemd = |line: &&str| {
        // Units of users have names of their own.
        let place = line.strip_prefix("0::").or_else(|| Some(line.split_once(":name=systemd:")?.1));
        place.is_some_and(|place| place.contains("/system.slice/") && !place.contains("/user.slice/"))
    };
    let group = groups
        .lines()
        .filter(of_systemd)
        .find_map(|line| line.rsplit('/').next()?.strip_suffix(".service"))?;
    let by_hand =
        LOGINS.iter().any(|login| group == *login || login.ends_with('@') && group.starts_with(login));
    (!by_hand).then(|| group.to_owned())
}

/// Libraries that give a program another clock than this computer's: what it steers is not ours.
const CLOCK_SIMULATORS: [&str; 2] = ["clknetsim", "faketime"];

fn is_simulated(process: &Path) -> bool {
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    let preloaded =
        environment.split(|octet| *octet == 0).find_map(|entry| entry.strip_prefix(b"LD_PRELOAD="));
    let preloaded = String::from_utf8_lossy(preloaded.unwrap_or_default()).into_owned();
    CLOCK_SIMULATORS.iter().any(|library| preloaded.contains(library))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(proc: &Path, pid: u32, comm: &str, arguments: &str) {
        let folder = proc.join(pid.to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(folder.join("cmdline"), arguments.replace(' ', "\0")).unwrap();
    }

    #[test]
    fn steering_daemons_are_found_and_named() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path(), 70, "systemd-timesyn", "/lib/systemd/systemd-timesyncd");
        process(proc.path(), 42, "chronyd", "/usr/sbin/chronyd -F 1");
        process(proc.path(), 7, "bash", "bash");
        fs::write(proc.path().join("uptime"), "1").unwrap();
        let found = steering_in(proc.path());
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["chronyd (pid 42)", "systemd-timesyncd (pid 70)"]
        );
    }

    #[test]
    fn what_systemd_started_is_stopped_by_systemd_and_the_rest_by_its_number() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, groups) in [
            (42, "0::/system.slice/chronyd.service\n"),
            (43, "0::/user.slice/user-0.slice/session-3.scope\n"),
            (44, "12:cpu:/\n1:name=systemd:/system.slice/chrony.service\n0::/\n"),
            (45, "0::/\n"),
            (46, "0::/system.slice/ssh.service\n"),
            (47, "0::/system.slice/system-getty.slice/getty@tty1.service\n"),
            (49, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-konsole.service\n"),
        ] {
            process(proc.path(), pid, "chronyd", "chronyd");
            fs::write(proc.path().join(format!("{pid}/cgroup")), groups).unwrap();
        }
        process(proc.path(), 48, "ntpd", "ntpd");
        let found = steering_in(proc.path());
        let services: Vec<_> = found.iter().map(Rival::service).collect();
        assert_eq!(services, [Some("chronyd"), None, Some("chrony"), None, None, None, None, None]);
        assert_eq!(
            super::super::how_to_stop(&found),
            "sudo systemctl disable --now chronyd chrony; sudo kill 43 45 46 47 48 49"
        );
    }

    #[test]
    fn daemons_that_only_watch_are_left_alone() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path(), 42, "chronyd", "chronyd -x -d");
        process(proc.path(), 43, "ptp4l", "ptp4l -i eth0 -s");
        assert_eq!(steering_in(proc.path()), []);
        process(proc.path(), 45, "chronyd", "chronyd -d");
        fs::write(proc.path().join("45/environ"), "HOME=/\0LD_PRELOAD=/opt/clknetsim.so\0").unwrap();
        assert_eq!(steering_in(proc.path()), []);
        process(proc.path(), 44, "ptp4l", "ptp4l -S -i eth0");
        assert_eq!(steering_in(proc.path()).len(), 1);
    }
}
