//! Puts the service into the computer, and takes it out again.

use std::ffi::OsString;
use std::path::{self, Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use anyhow::Context;
use windows_service::service::{
    Service as Handle, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState,
    ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::{NAME, OPTIONS, event_log, find, folder, refused, state, stop, takeover, tool};
use crate::clock::platform::OsClock;
use crate::daemon;
use crate::exit::{Failure, OS_ERROR};
use crate::place;

const DISPLAY: &str = "Dante time sync";
const DESCRIPTION: &str = "Makes this computer's clock tick with the leader clock of a Dante audio network.";
/// The rules of the firewall: one for the ports of PTP, one for raw sockets, of which no port is known.
const RULES: [(&str, Option<&str>); 2] =
    [("dantetimesync (PTP)", Some("localport=319,320")), ("dantetimesync (capture)", None)];

/// After a failure it is started again: soon, later, and then every five minutes, so that a fault that stays does not
/// fill the event log.
const RESTARTS: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(60), Duration::from_secs(300)];
/// After a day without a failure it is the first one again.
const FORGET: Duration = Duration::from_secs(86_400);

/// Installs, or installs anew; a running service is started again with what has changed.
pub(super) fn install(take_over: bool) -> Result<(), Failure> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let was_running = match find(NAME, ServiceAccess::QUERY_STATUS | ServiceAccess::STOP)? {
        Some(service) => {
            let running = state(&service)?.current_state != ServiceState::Stopped;
            stop(&service)?;
            running
        }
        None => false,
    };
    if let Some(left) = folder::own(&place::data()).context("cannot protect the folder").map_err(os)? {
        say_line!("what others may have put into the service's folder was left in {}", left.display());
    }
    warn_of_place(&program);
    let given = whole_path(launch_arguments(std::env::args_os()))
        .context("cannot tell where the configuration file is")
        .map_err(os)?;
    let options = remembered_options(&place::data(), given).map_err(os)?;
    let (service, start_type) = register(info(&program, options))?;
    configure(&service, start_type);
    event_log::register().context("cannot tell the event log").map_err(os)?;
    open_firewall(&program);
    match start_type {
        ServiceStartType::AutoStart => {
            say_line!("installed {NAME}, started about two minutes after every boot")
        }
        _ => say_line!(
            "installed {NAME}, not started at boot, as it was: `dantetimesync service takeover` changes that"
        ),
    }
    if take_over {
        takeover::take()?;
    } else if let Some(rival) = takeover::rival()? {
        say_line!(
            "{rival} steers the clock, so the service will not: `dantetimesync service takeover` stops it"
        );
    }
    if was_running {
        service.start::<&str>(&[]).map_err(|error| refused("start the service again", error))?;
    }
    Ok(())
}

/// Leaves the computer as it was found, but for the folder unless that is asked for.
pub(super) fn uninstall(purge: bool) -> Result<(), Failure> {
    let access = ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE;
    if let Some(service) = find(NAME, access)? {
        stop(&service)?;
        service.delete().map_err(|error| refused("remove the service", error))?;
    }
    close_firewall();
    event_log::unregister();
    restore_clock();
    takeover::give_back()?;
    if purge && place::data().exists() {
        fs::remove_dir_all(place::data()).context("cannot remove the folder").map_err(os)?;
    }
    say_line!("removed {NAME}");
    Ok(())
}

/// One that is there already is started as it was: somebody may have released the clock.
fn register(mut info: ServiceInfo) -> Result<(Handle, ServiceStartType), Failure> {
    let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START;
    if let Some(service) = find(NAME, access | ServiceAccess::QUERY_CONFIG)? {
        let now = service.query_config().map_err(|error| refused("ask how the service is started", error))?;
        info.start_type = now.start_type;
        service.change_config(&info).map_err(|error| refused("change the service", error))?;
        return Ok((service, info.start_type));
    }
    let manager = ServiceManager::local_computer(
        None::<&str>,
        ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE,
    )
    .map_err(|error| refused("reach the service manager", error))?;
    let service =
        manager.create_service(&info, access).map_err(|error| refused("install the service", error))?;
    Ok((service, info.start_type))
}

/// The service runs as the system, so whoever may replace its file may do everything.
fn warn_of_place(program: &Path) {
    let lower = |path: OsString| PathBuf::from(path.to_ascii_lowercase());
    let safe = ["ProgramFiles", "ProgramFiles(x86)", "ProgramW6432"].into_iter().filter_map(std::env::var_os);
    let place = lower(program.into());
    if !safe.map(lower).any(|folder| place.starts_with(folder)) {
        say_line!(
            "careful: the service runs {} from now on, as the system; put it below C:\\Program Files, where only \
             administrators can replace it, and install it again",
            program.display()
        );
    }
}

fn info(program: &Path, options: Vec<OsString>) -> ServiceInfo {
    let mut launch_arguments = vec!["service".into(), "run".into()];
    launch_arguments.extend(options);
    ServiceInfo {
        name: NAME.into(),
        display_name: DISPLAY.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program.to_owned(),
        launch_arguments,
        dependencies: Vec::new(),
        account_name: None,
        account_password: None,
    }
}

/// The service's options: what stands behind `service install`, but for the option of the installation itself. They
/// have been checked already, as arguments of this command.
fn launch_arguments(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    arguments.skip_while(|argument| argument != "install").skip(1).filter(|it| it != "--take-over").collect()
}

/// With the configuration file by its whole path: the service runs in another folder than this command. The other
/// options that name files demand it.
fn whole_path(options: Vec<OsString>) -> io::Result<Vec<OsString>> {
    const OPTION: &str = "--config";
    let mut is_file = false;
    let whole = |option: OsString| {
        if std::mem::replace(&mut is_file, option == OPTION) {
            return path::absolute(place::expand(option)).map(OsString::from);
        }
        match option.to_str().and_then(|text| text.strip_prefix(OPTION)?.strip_prefix('=')) {
            Some(file) => {
                let mut option = OsString::from(format!("{OPTION}="));
                option.push(path::absolute(place::expand(file))?);
                Ok(option)
            }
            None => Ok(option),
        }
    };
    options.into_iter().map(whole).collect()
}

/// Without options those of the installation before stay: an upgrade gives none.
fn remembered_options(folder: &Path, given: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    let file = folder.join(OPTIONS);
    let kept =
        fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str::<Vec<String>>(&text).ok());
    if let (true, Some(kept)) = (given.is_empty(), kept) {
        return Ok(kept.into_iter().map(OsString::from).collect());
    }
    let text: Vec<_> = given.iter().map(|option| option.to_string_lossy()).collect();
    fs::write(&file, serde_json::to_string(&text)?).context("cannot remember the service's options")?;
    Ok(given)
}

/// What makes the service better, but is no reason to go without it.
fn configure(service: &Handle, start_type: ServiceStartType) {
    let restarts = RESTARTS.map(|delay| ServiceAction { action_type: ServiceActionType::Restart, delay });
    let actions = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGET),
        reboot_msg: None,
        command: None,
        actions: Some(restarts.to_vec()),
    };
    tell("set what happens after a failure", service.update_failure_actions(actions));
    tell("restart after an error too", service.set_failure_actions_on_non_crash_failures(true));
    if start_type == ServiceStartType::AutoStart {
        tell("start after the other services", service.set_delayed_auto_start(true));
    }
    tell("describe the service", service.set_description(DESCRIPTION));
}

fn tell<E: Into<anyhow::Error>>(what: &str, done: Result<(), E>) {
    if let Err(error) = done {
        say_line!("could not {what}: {:#}", error.into());
    }
}

/// PTP comes unasked: without a rule the firewall drops it.
fn open_firewall(program: &Path) {
    close_firewall();
    for (name, ports) in RULES {
        let added = tool::run("netsh.exe", &rule(name, ports, program));
        tell(&format!("make the firewall's rule \"{name}\""), added);
    }
}

/// What `netsh` is told to let UDP in to the program, to these ports or to all.
fn rule(name: &str, ports: Option<&str>, program: &Path) -> Vec<OsString> {
    let name = format!("name={name}");
    let words = ["advfirewall", "firewall", "add", "rule", &name, "dir=in", "action=allow", "protocol=UDP"];
    let mut of_program = OsString::from("program=");
    of_program.push(program);
    let words = words.into_iter().chain(ports).chain(["profile=any"]);
    words.map(OsString::from).chain([of_program]).collect()
}

/// There may be no rules.
fn close_firewall() {
    for (name, _) in RULES {
        let name = format!("name={name}");
        let _ = tool::run("netsh.exe", &["advfirewall", "firewall", "delete", "rule", &name]);
    }
}

fn restore_clock() {
    let restored = daemon::put_back_found(|found| {
        let mut clock = OsClock::observe()?;
        clock.check_permission()?;
        clock.restore(found)
    });
    tell("put the clock's rate back as it was found", restored);
}

fn os(error: anyhow::Error) -> Failure {
    Failure::new(OS_ERROR, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_started_with_the_options_of_its_installation() {
        let given = ["x.exe", "service", "install", "--take-over", "--interface", "Ethernet 2", "-v"];
        let options = launch_arguments(given.into_iter().map(OsString::from));
        assert_eq!(options, ["--interface", "Ethernet 2", "-v"]);
        let info = info(Path::new("x.exe"), options);
        assert_eq!(info.launch_arguments[..3], ["service", "run", "--interface"]);
        let folder = tempfile::tempdir().unwrap();
        let again = |given: &[&str]| {
            let given = given.iter().map(OsString::from).collect();
            remembered_options(folder.path(), given).unwrap()
        };
        assert_eq!(again(&[]), [""; 0]);
        assert_eq!(again(&["--interface", "Ethernet 2"]), ["--interface", "Ethernet 2"]);
        assert_eq!(again(&[]), ["--interface", "Ethernet 2"]);
        assert_eq!(again(&["-v"]), ["-v"]);
        assert_eq!(launch_arguments(["x.exe", "service"].into_iter().map(OsString::from)), [""; 0]);
    }

    #[test]
    fn the_file_that_the_service_reads_is_known_by_its_whole_path() {
        let whole = |options: &[&str]| {
            whole_path(options.iter().map(OsString::from).collect())
                .unwrap()
                .into_iter()
                .map(|option| option.into_string().unwrap())
                .collect::<Vec<_>>()
        };
        let here = std::env::current_dir().unwrap().join("my.toml").into_os_string().into_string().unwrap();
        assert_eq!(
            whole(&["-v", "--config", "my.toml", "--interface", "my.toml"]),
            ["-v", "--config", &here, "--interface", "my.toml"]
        );
        assert_eq!(whole(&["--config=my.toml"]), [format!("--config={here}")]);
        assert_eq!(whole(&["--config", r"C:\my.toml", "--config"]), ["--config", r"C:\my.toml", "--config"]);
        assert!(!whole(&["--config", r"%ProgramData%\my.toml"])[1].contains('%'));
    }

    #[test]
    fn the_firewall_lets_in_the_ports_and_what_a_raw_socket_of_the_program_hears() {
        let program = Path::new(r"C:\Program Files\dantetimesync\dantetimesync.exe");
        let [ports, raw] = RULES.map(|(name, ports)| rule(name, ports, program));
        assert_eq!(
            ports,
            [
                "advfirewall",
                "firewall",
                "add",
                "rule",
                "name=dantetimesync (PTP)",
                "dir=in",
                "action=allow",
                "protocol=UDP",
                "localport=319,320",
                "profile=any",
                r"program=C:\Program Files\dantetimesync\dantetimesync.exe",
            ]
        );
        assert_eq!(raw[4], "name=dantetimesync (capture)");
        assert_eq!(raw[5..8], ports[5..8]);
        assert_eq!(raw[8..], ports[9..], "any port, but this program only");
    }
}
