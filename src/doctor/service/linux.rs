//! The service as systemd, the journal and its own socket show it.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{Facts, Status, UNIT, Unit};
use crate::doctor::host::Host;
use crate::doctor::os::Os;
use crate::doctor::process;

/// A status is some kilobytes.
const STATUS_MAX: u64 = 1024 * 1024;
/// How long a status may take; the service answers within milliseconds.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
/// Errors that are shown.
const ERRORS_SHOWN: &str = "3";

/// A unit that was started anew so recently, and so often, has not shown yet that it stays.
const STAYS_AFTER_S: f64 = 60.0;
const RESTARTS_MIN: u32 = 2;

/// What the service manager says of the unit; nothing where there is none.
pub fn unit(host: &Host) -> Option<Unit> {
    let shown = host.run("systemctl", &["show", UNIT, "--no-pager", "-p", PROPERTIES]).ok()?;
    let value = |key: &str| property(&shown, key);
    let restarts = value("NRestarts").parse().unwrap_or_default();
    let age = process::service(host).and_then(|pid| process::age_s(host, pid));
    let young = age.is_some_and(|age| age < STAYS_AFTER_S);
    let user = value("User");
    Some(Unit {
        load: value("LoadState"),
        active: value("ActiveState"),
        file: value("UnitFileState"),
        result: value("Result"),
        exit_code: value("ExecMainStatus"),
        restarts,
        restarting: value("SubState").starts_with("auto-restart") || restarts >= RESTARTS_MIN && young,
        invocation: value("InvocationID"),
        user: (!user.is_empty() && user != "root").then_some(user),
    })
}

const PROPERTIES: &str = "LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus,NRestarts,\
                          InvocationID,User";

/// Asks the journal and the program, which tells its status at `socket`, if anywhere, and does not start beside a
/// `rival`.
pub fn look(host: &Host, unit: Option<Unit>, socket: Option<&Path>, rival: bool) -> Facts {
    let errors = unit.as_ref().map(|unit| errors(host, unit)).unwrap_or_default();
    Facts {
        process: process::service(host),
        unit,
        socket: socket.map(Path::to_owned),
        status: socket.and_then(|socket| status(host, socket)),
        errors,
        rival,
        os: Os::Linux,
    }
}

/// What the program itself complained of since its last start; of one that is started again and again, also before.
fn errors(host: &Host, unit: &Unit) -> Vec<String> {
    // By the fields that the journal itself adds: `-u` would also show what systemd says of the unit.
    let whose = match (unit.restarting, unit.invocation.as_str()) {
        (true, _) => format!("_SYSTEMD_UNIT={UNIT}"),
        (false, "") => return Vec::new(),
        (false, id) => format!("_SYSTEMD_INVOCATION_ID={id}"),
    };
    let arguments = [&whose, "-b", "-p", "err", "-n", ERRORS_SHOWN, "-o", "cat", "--no-pager", "-q"];
    let told = host.run("journalctl", &arguments).unwrap_or_default();
    let lines = told.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("-- "));
    lines.map(str::to_owned).collect()
}

/// A property in the answer of `systemctl show`.
fn property(shown: &str, key: &str) -> String {
    let value = shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().to_owned()
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
    use crate::doctor::host::Unanswered;
    use crate::doctor::host::made_up::World;

    const SOCKET: &str = "/run/elsewhere/status.sock";

    fn systemd(active: &str, file: &str, code: &str) -> World {
        let text = format!(
            "LoadState=loaded\nActiveState={active}\nUnitFileState={file}\nResult=exit-code\nExecMainStatus={code}\nNRestarts=4\n"
        );
        World::new().program("systemctl show dantetimesync.service", Ok(text))
    }

    /// As the doctor looks at it.
    fn seen(world: &World, socket: Option<&Path>) -> Vec<Finding> {
        let host = world.host();
        check(&look(&host, unit(&host), socket, false))
    }

    fn running(world: World) -> World {
        world.process(77, "dantetimesync", "/usr/sbin/dantetimesync")
    }

    fn problems(world: &World) -> Vec<Problem> {
        seen(world, Some(Path::new(SOCKET))).iter().filter_map(|finding| finding.problem).collect()
    }

    /// What the checks say when the service's socket tells this.
    fn told(world: &World, status: &str) -> Vec<Finding> {
        let path = world.host().path(SOCKET);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let status = status.to_owned();
        let server =
            std::thread::spawn(move || listener.accept().unwrap().0.write_all(status.as_bytes()).unwrap());
        let found = seen(world, Some(Path::new(SOCKET)));
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
        let found = seen(&missing, None);
        assert!(found[0].problem == Some(Problem::ServiceUnknown) && found[0].seen.contains("no unit"));
        let refused = World::new().program("systemctl", Err(Unanswered::Refused("no bus".into())));
        assert_eq!(problems(&refused), [Problem::ServiceUnknown]);
    }

    #[test]
    fn a_masked_unit_is_told_with_what_unmasks_it() {
        let masked =
            World::new().program("systemctl show", Ok("LoadState=masked\nActiveState=inactive\n".into()));
        let found = seen(&masked, None);
        assert!(
            found[0].problem == Some(Problem::ServiceStopped) && found[0].seen.contains("masked"),
            "{found:?}"
        );
        assert!(found[0].mend.as_deref().unwrap().starts_with("sudo systemctl unmask"), "{found:?}");
    }

    #[test]
    fn a_service_without_a_right_is_sent_to_its_unit() {
        let mend = |code: &str| seen(&systemd("failed", "enabled", code), None)[0].mend.clone().unwrap();
        assert!(mend("77").contains("systemctl cat dantetimesync.service"), "{}", mend("77"));
        assert!(mend("71").starts_with("mend what else is said here"), "{}", mend("71"));
    }

    #[test]
    fn failures_carry_the_meaning_of_their_code_and_the_programs_own_words() {
        let text = "LoadState=loaded\nActiveState=failed\nUnitFileState=enabled\nResult=exit-code\n\
                    ExecMainStatus=69\nNRestarts=0\nInvocationID=abc\nUser=dantetimesync\n";
        // What systemd says of the unit has not our invocation's field, and what an earlier run said another one.
        let world =
            World::new().program("systemctl show dantetimesync.service", Ok(text.to_owned())).program(
                "journalctl _SYSTEMD_INVOCATION_ID=abc -b -p err",
                Ok("older\nchronyd is steering\n".into()),
            );
        assert_eq!(unit(&world.host()).unwrap().user.as_deref(), Some("dantetimesync"));
        let found = seen(&world, Some(Path::new(SOCKET)));
        assert_eq!(found[0].problem, Some(Problem::ServiceFailed));
        assert!(found[0].seen.contains("another program steers"), "{}", found[0].seen);
        assert_eq!(found[1].problem, Some(Problem::ServiceErrors));
        assert!(found[1].seen.ends_with("chronyd is steering"));
    }

    #[test]
    fn a_service_that_ends_again_and_again_has_failed() {
        let state = |active: &str, sub: &str, code: &str| {
            format!(
                "LoadState=loaded\nActiveState={active}\nSubState={sub}\nUnitFileState=enabled\nResult=exit-code\n\
                 ExecMainStatus={code}\nNRestarts=7\nInvocationID=abc\n"
            )
        };
        let journal = "journalctl _SYSTEMD_UNIT=dantetimesync.service -b -p err";
        let waits = World::new()
            .program("systemctl show", Ok(state("activating", "auto-restart", "66")))
            .program(journal, Ok("there is no interface eth9\n".into()));
        let found = seen(&waits, None);
        assert_eq!(found[0].problem, Some(Problem::ServiceFailed));
        assert!(found[0].seen.contains("exit code 66): the interface"), "{}", found[0].seen);
        assert!(found[0].seen.ends_with("restarted 7 times") && found[1].seen.ends_with("eth9"), "{found:?}");
        // In the moment in which it runs, it is the same; a minute later it stays.
        let runs = |uptime: &str| {
            running(World::new().file("/proc/uptime", uptime))
                .file("/proc/77/stat", &format!("77 (dante) time) S 1{} 10000 0\n", " 0".repeat(17)))
                .program("systemctl show", Ok(state("active", "running", "0")))
        };
        assert_eq!(seen(&runs("110.5 200.1\n"), None)[0].problem, Some(Problem::ServiceFailed));
        assert_eq!(seen(&runs("170.5 200.1\n"), None)[0].problem, None);
    }

    #[test]
    fn beside_a_rival_a_stopped_service_is_started_by_a_takeover() {
        let host = systemd("inactive", "enabled", "0").host();
        let mend = |rival| check(&look(&host, unit(&host), None, rival)).remove(0).mend.unwrap();
        assert!(mend(false).contains("enable --now") && mend(true).contains("service takeover"));
    }

    #[test]
    fn stopped_disabled_and_silent_services_are_told() {
        assert_eq!(problems(&systemd("inactive", "enabled", "0")), [Problem::ServiceStopped]);
        let world = running(systemd("active", "disabled", "0"));
        assert_eq!(problems(&world), [Problem::ServiceDisabled, Problem::ServiceSilent]);
        let found = seen(&world, Some(Path::new(SOCKET)));
        assert!(found[1].seen.ends_with(SOCKET), "{}", found[1].seen);
    }

    #[test]
    fn a_service_that_is_told_to_say_nothing_is_not_called_silent() {
        let world = running(systemd("active", "enabled", "0"));
        let found = seen(&world, None);
        assert_eq!(found.iter().filter_map(|finding| finding.problem).collect::<Vec<_>>(), []);
    }

    #[test]
    fn the_services_own_reason_is_repeated() {
        let world = running(systemd("active", "enabled", "0"));
        let found = told(&world, r#"{"state":"no_leader","reason":"none was heard","version":"0.0.1"}"#);
        let problems: Vec<_> = found.iter().filter_map(|finding| finding.problem).collect();
        assert_eq!(problems, [Problem::ServiceVersion, Problem::ServiceNotLocked]);
        assert!(found[1].seen.contains("not locked (no leader): none was heard"));
        assert_eq!(told(&world, "nonsense")[0].problem, Some(Problem::ServiceSilent));
    }
}
