//! The service's files, for systems without the package.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::systemctl::{Systemctl, UNIT};
use super::takeover::{self, Memory};
use super::{Install, Uninstall, cannot};
use crate::config::manual;
use crate::exit::{Failure, OS_ERROR, UNAVAILABLE};

const SERVICE: &str = include_str!("../../../packaging/dantetimesync.service");
const WAIT: &str = include_str!("../../../packaging/dantetimesync-wait.service");
const USER: &str = include_str!("../../../packaging/dantetimesync.sysusers");

/// Where the package's units find the program.
const PACKAGED_PROGRAM: &str = "/usr/bin/dantetimesync";
/// Where the program is copied to when it lies where the service could not reach it.
const OWN_PROGRAM: &str = "usr/local/bin/dantetimesync";
/// Folders that a service can reach.
const SHARED: [&str; 2] = ["/usr/", "/opt/"];
/// Where the package's units lie.
const PACKAGED_UNITS: [&str; 2] = ["usr/lib/systemd/system", "lib/systemd/system"];

const CONFIG: &str = "etc/dantetimesync/config.toml";
const SYSUSERS: &str = "etc/sysusers.d/dantetimesync.conf";
const UNITS: &str = "etc/systemd/system";
const WAIT_UNIT: &str = "dantetimesync-wait.service";
/// What only `--purge` removes.
const STATE: &str = "var/lib/dantetimesync";

/// Writes what is missing or differs, and says what.
pub fn install(options: &Install) -> Result<ExitCode, Failure> {
    let root = options.root.as_deref().unwrap_or(Path::new("/"));
    refuse_beside_a_package(root)?;
    let own = std::env::current_exe().and_then(fs::canonicalize);
    let own = own.map_err(|error| cannot("find this program's own file", &error))?;
    // In another system it is not there yet.
    let reached = options.root.is_none() && SHARED.iter().any(|folder| own.starts_with(folder));
    let program = if reached { own.clone() } else { Path::new("/").join(OWN_PROGRAM) };
    let files = files(&program);
    if options.print {
        for (path, content) in &files {
            say_line!("# /{}\n{content}", path.display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !reached {
        copy_program(&own, &root.join(OWN_PROGRAM))?;
    }
    for (path, content) in &files {
        write(&root.join(path), content, path == Path::new(CONFIG))?;
    }
    make_user(options.root.as_deref())?;
    if options.root.is_none() {
        Systemctl::of_this_computer().act(&["daemon-reload"])?;
    }
    say_line!("Next: look at /{CONFIG}, then: dantetimesync service takeover");
    Ok(ExitCode::SUCCESS)
}

/// Gives the clock back and removes what `install` wrote.
pub fn uninstall(options: &Uninstall) -> Result<ExitCode, Failure> {
    let root = options.root.as_deref().unwrap_or(Path::new("/"));
    refuse_beside_a_package(root)?;
    let systemctl = Systemctl::of(options.root.as_deref());
    if options.root.is_none() {
        takeover::release(&Memory::new(&options.memory))?;
    } else if systemctl.unit_file(UNIT)?.is_some() {
        systemctl.act(&["disable", UNIT])?;
    }
    let units = Path::new(UNITS);
    let mut gone = vec![units.join(UNIT), units.join(WAIT_UNIT), SYSUSERS.into(), OWN_PROGRAM.into()];
    if options.purge {
        gone.push(CONFIG.into());
    }
    for path in gone {
        remove(&root.join(path))?;
    }
    if options.purge {
        // What somebody else put beside the file stays.
        let _ = fs::remove_dir(root.join(CONFIG).parent().unwrap_or(root));
        purge(root, options.root.as_deref())?;
    } else {
        say_line!("kept: /{CONFIG}, /{STATE} and the user dantetimesync; --purge removes them too");
    }
    if options.root.is_none() {
        systemctl.act(&["daemon-reload"])?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Two units of one name would be read half and half.
fn refuse_beside_a_package(root: &Path) -> Result<(), Failure> {
    match PACKAGED_UNITS.iter().map(|folder| root.join(folder).join(UNIT)).find(|unit| unit.exists()) {
        None => Ok(()),
        Some(unit) => Err(Failure::new(
            UNAVAILABLE,
            anyhow::anyhow!("{} comes from a package: install and remove that", unit.display()),
        )),
    }
}

/// Paths from the root, and what is in them.
fn files(program: &Path) -> Vec<(PathBuf, String)> {
    let with_program = |unit: &str| unit.replace(PACKAGED_PROGRAM, &program.display().to_string());
    vec![
        (Path::new(UNITS).join(UNIT), with_program(SERVICE)),
        (Path::new(UNITS).join(WAIT_UNIT), with_program(WAIT)),
        (SYSUSERS.into(), USER.to_owned()),
        (CONFIG.into(), manual::default_file()),
    ]
}

fn write(path: &Path, content: &str, keep: bool) -> Result<(), Failure> {
    match fs::read_to_string(path) {
        Ok(present) if present == content => say_line!("unchanged: {}", path.display()),
        Ok(_) if keep => say_line!("kept: {}", path.display()),
        _ => {
            let folder = path.parent().unwrap_or(path);
            let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, content));
            written.map_err(|error| cannot(&format!("write {}", path.display()), &error))?;
            say_line!("written: {}", path.display());
        }
    }
    Ok(())
}

/// By another name first: the program may be running.
fn copy_program(from: &Path, to: &Path) -> Result<(), Failure> {
    if from == to || fs::read(from).is_ok_and(|own| fs::read(to).is_ok_and(|there| own == there)) {
        say_line!("unchanged: {}", to.display());
        return Ok(());
    }
    let new = to.with_extension("new");
    let copied = fs::create_dir_all(to.parent().unwrap_or(to)).and_then(|()| {
        fs::copy(from, &new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
        fs::rename(&new, to)
    });
    copied.map_err(|error| cannot(&format!("copy this program to {}", to.display()), &error))?;
    say_line!("written: {}", to.display());
    Ok(())
}

fn make_user(root: Option<&Path>) -> Result<(), Failure> {
    let mut command = Command::new("systemd-sysusers");
    if let Some(root) = root {
        command.arg("--root").arg(root);
    }
    run(command.arg(Path::new("/").join(SYSUSERS)))
}

/// Removes the state and the user.
fn purge(root: &Path, given: Option<&Path>) -> Result<(), Failure> {
    match fs::remove_dir_all(root.join(STATE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(cannot(&format!("remove /{STATE}"), &error));
        }
        _ => {}
    }
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
    if !passwd.lines().any(|line| line.starts_with("dantetimesync:")) {
        return Ok(());
    }
    let mut command = Command::new("userdel");
    if let Some(given) = given {
        command.arg("--root").arg(given);
    }
    run(command.arg("dantetimesync"))
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Ok(()) => say_line!("removed: {}", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(&format!("remove {}", path.display()), &error)),
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| cannot(&format!("run {name}"), &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(OS_ERROR, anyhow::anyhow!("{name} failed: {}", said.trim())))
}
