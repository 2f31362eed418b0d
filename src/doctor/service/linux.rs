//! The service as systemd, the journal and its own socket show it.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{Facts, Status, UNIT, Unit};
use crate::doctor::host::{Host, Unanswered};
use crate::doctor::os::Os;
use crate::doctor::process;

/// A status is some kilobytes.
const STATUS_MAX: u64 = 1024 * 1024;
/// How long a status may take; the service answers within milliseconds.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
/// Errors that are shown.
const ERRORS_SHOWN: &str = "3";

/// Asks the service manager, the journal and the program, which tells its status at `socket`, if anywhere.
pub fn look(host: &Host, socket: Option<&Path>) -> Facts {
    let properties = "LoadState,ActiveState,UnitFileState,Result,ExecMainStatus,NRestarts";
    let unit = match host.run("systemctl", &["show", UNIT, "--no-pager", "-p", properties]) {
        Ok(text) => Some(unit(&text)),
        Err(Unanswered::Missing | Unanswered::Refused(_) | Unanswered::Late) => None,
    };
    let journal = ["-u", UNIT, "-b", "-p", "err", "-n", ERRORS_SHOWN, "-o", "cat", "--no-pager", "-q"];
    let errors = host.run("journalctl", &journal).unwrap_or_default();
    let errors = errors.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("-- "));
    Facts {
        process: process::service(host),
        unit,
        socket: socket.map(Path::to_owned),
        status: socket.and_then(|socket| status(host, socket)),
        errors: errors.map(str::to_owned).collect(),
        os: Os::Linux,
    }
}

fn unit(text: &str) -> Unit {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    Unit {
        load: value("LoadState"),
        active: value("ActiveState"),
        file: value("UnitFileState"),
        result: value("Result"),
        exit_code: value("ExecMainStatus"),
        restarts: value("NRestarts").parse().unwrap_or_default(),
    }
}

fn status(host: &Host, socket: &Path) -> Option<Status> {
    let stream = UnixStream::connect(host.path(socket)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut text = String::new();
    stream.take(STATUS_MAX).read_to_string(&mut text).ok()?;
    Status::of(&serde_json::from_str(&text).ok()?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    use super::super::check;
    use super::*;
    use crate::doctor::finding::{Finding, Problem};
    use crate::doctor::host::made_up::World;

    const SOCKET: &str = "/run/elsewhere/status.sock";

    fn systemd(active: &str, file: &str, code: &str) -> World {
        let text = format!(
            "LoadState=loaded\nActiveState={active}\nUnitFileState={file}\nResult=exit-code\nExecMainStatus={code}\nNRestarts=4\n"
        );
        World::new().program("systemctl show dantetimesync.service", Ok(text))
    }

    fn running(world: World) -> World {
        world.process(77, "dantetimesync", "/usr/sbin/dantetimesync")
    }

    fn problems(world: &World) -> Vec<Problem> {
        check(&look(&world.host(), Some(Path::new(SOCKET))))
            .iter()
            .filter_map(|finding| finding.problem)
            .collect()
    }

    /// What the checks say when the service's socket tells this.
    fn told(world: &World, status: &str) -> Vec<Finding> {
        let path = world.host().path(SOCKET);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let status = status.to_owned();
        let server =
            std::thread::spawn(move || listener.accept().unwrap().0.write_all(status.as_bytes()).unwrap());
        let found = check(&look(&world.host(), Some(Path::new(SOCKET))));
        server.join().unwrap();
        std::fs::remove_file(path).unwrap();
        found
    }

    #[test]
    fn a_service_that_is_locked_is_fine() {
        let world = running(systemd("active", "enabled", "0"));
        let status = format!(r#"{{"state":"locked","reason":"","version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
        let found = told(&world, &status);
        assert_eq!(found[0].problem, None);
        assert!(found[0].seen.ends_with("(pid 77), locked"), "{}", found[0].seen);
    }

    #[test]
    fn without_systemd_or_unit_there_is_nothing_to_judge() {
        assert_eq!(problems(&World::new()), [Problem::ServiceUnknown]);
        let missing =
            World::new().program("systemctl show", Ok("LoadState=not-found\nActiveState=inactive\n".into()));
        let found = check(&look(&missing.host(), None));
        assert!(found[0].problem == Some(Problem::ServiceUnknown) && found[0].seen.contains("no unit"));
        let refused = World::new().program("systemctl", Err(Unanswered::Refused("no bus".into())));
        assert_eq!(problems(&refused), [Problem::ServiceUnknown]);
    }

    #[test]
    fn failures_carry_the_meaning_of_their_code() {
        let world = systemd("failed", "enabled", "69")
            .program("journalctl -u dantetimesync.service", Ok("older\nchronyd is steering\n".into()));
        let found = check(&look(&world.host(), Some(Path::new(SOCKET))));
        assert_eq!(found[0].problem, Some(Problem::ServiceFailed));
        assert!(found[0].seen.contains("another program steers"), "{}", found[0].seen);
        assert_eq!(found[1].problem, Some(Problem::ServiceErrors));
        assert!(found[1].seen.ends_with("chronyd is steering"));
    }

    #[test]
    fn stopped_disabled_and_silent_services_are_told() {
        assert_eq!(problems(&systemd("inactive", "enabled", "0")), [Problem::ServiceStopped]);
        let world = running(systemd("active", "disabled", "0"));
        assert_eq!(problems(&world), [Problem::ServiceDisabled, Problem::ServiceSilent]);
        let found = check(&look(&world.host(), Some(Path::new(SOCKET))));
        assert!(found[1].seen.ends_with(SOCKET), "{}", found[1].seen);
    }

    #[test]
    fn a_service_that_is_told_to_say_nothing_is_not_called_silent() {
        let world = running(systemd("active", "enabled", "0"));
        let found = check(&look(&world.host(), None));
        assert_eq!(found.iter().filter_map(|finding| finding.problem).collect::<Vec<_>>(), []);
    }

    #[test]
    fn the_services_own_reason_is_repeated() {
        let world = running(systemd("active", "enabled", "0"));
        let found = told(&world, r#"{"state":"no_leader","reason":"none was heard","version":"0.0.1"}"#);
        let problems: Vec<_> = found.iter().filter_map(|finding| finding.problem).collect();
        assert_eq!(problems, [Problem::ServiceVersion, Problem::ServiceNotLocked]);
        assert!(found[1].seen.contains("no_leader: none was heard"));
        assert_eq!(told(&world, "nonsense")[0].problem, Some(Problem::ServiceSilent));
    }
}
