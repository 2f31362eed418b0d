//! Found by name among the running processes.

use std::fs;
use std::path::Path;

use super::Rival;

/// Name as the kernel cuts it (15 characters), full name, service, and the argument without which (or with
/// which) it does not steer.
const KNOWN: [(&str, &str, &str, Steers); 11] = [
    ("chronyd", "chronyd", "chrony", Steers::Without("-x")),
    ("ntpd", "ntpd", "ntp", Steers::Always),
    ("ntp-daemon", "ntp-daemon", "ntpd-rs", Steers::Always),
    ("systemd-timesyn", "systemd-timesyncd", "systemd-timesyncd", Steers::Always),
    ("ptp4l", "ptp4l", "ptp4l", Steers::With("-S")),
    ("phc2sys", "phc2sys", "phc2sys", Steers::Always),
    ("statime", "statime", "statime", Steers::Always),
    ("ptpd", "ptpd", "ptpd", Steers::Always),
    ("ntpdate", "ntpdate", "ntpdate", Steers::Always),
    ("sntp", "sntp", "sntp", Steers::With("-S")),
    ("dantesync", "dantesync", "dantesync", Steers::Always),
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
    let (_, name, service, steers) = KNOWN.iter().find(|(cut, ..)| *cut == comm.trim_end())?;
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let given = |flag: &str| arguments.split(|octet| *octet == 0).any(|argument| argument == flag.as_bytes());
    let steers = match steers {
        Steers::Always => true,
        Steers::With(flag) => given(flag),
        Steers::Without(flag) => !given(flag),
    };
    (steers && !is_simulated(process)).then_some(Rival { name, service, pid })
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
        assert_eq!(found[0].service(), "chrony");
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
