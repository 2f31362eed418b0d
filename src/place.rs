//! Where this program keeps what outlives it, where it is told what to do, and where it says how it is.

use std::path::{Path, PathBuf};

/// The folder that all programs of a Windows computer have for their data, as a user writes it.
#[cfg(windows)]
const SHARED: &str = "%ProgramData%";

/// The configuration file that is read where none is named.
pub const CONFIG_FILE: &str =
    if cfg!(windows) { r"%ProgramData%\dantetimesync\config.toml" } else { "/etc/dantetimesync/config.toml" };

/// Where the state is kept unless another file is named.
pub const STATE_FILE: &str = if cfg!(windows) {
    r"%ProgramData%\dantetimesync\state.json"
} else {
    "/var/lib/dantetimesync/state.json"
};

/// The name of the history of events, beside the state file.
pub const EVENT_NAME: &str = "events.jsonl";

/// Where the history of events is kept unless another file, or another state file, is named.
pub const EVENT_FILE: &str = if cfg!(windows) {
    r"%ProgramData%\dantetimesync\events.jsonl"
} else {
    "/var/lib/dantetimesync/events.jsonl"
};

/// Where the status is told unless another place is named.
pub const STATUS_SOCKET: &str =
    if cfg!(windows) { r"\\.\pipe\dantetimesync" } else { "/run/dantetimesync/status.sock" };

/// The longest path of a socket, in bytes: 108 in `sockaddr_un`, with the NUL. A pipe of Windows has 256 characters.
pub const SOCKET_MAX: usize = if cfg!(windows) { 256 } else { 107 };

/// Where it is remembered what a takeover stopped. Beside the state and not in it: that folder is the service's own,
/// and this file root's.
#[cfg(unix)]
pub const TAKEOVER_MEMORY: &str = "/var/lib/dantetimesync-takeover.json";

/// The folder of its data. It need not exist yet.
#[cfg(windows)]
pub fn data() -> PathBuf {
    expand(r"%ProgramData%\dantetimesync")
}

/// The path that is meant: on Windows `%ProgramData%` at its head is the computer's folder of that name.
pub fn expand(path: impl AsRef<Path>) -> PathBuf {
    #[cfg(windows)]
    if let Ok(rest) = path.as_ref().strip_prefix(SHARED) {
        let shared = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
        return PathBuf::from(shared).join(rest);
    }
    path.as_ref().to_owned()
}

/// The files that say that the program runs. The service has a folder of its own in /run, which nobody else has while
/// it does not run. One that is started by hand as root holds the second one, which the service can see but not make;
/// one without rights the third.
#[cfg(unix)]
pub fn locks() -> Vec<PathBuf> {
    ["/run/dantetimesync/lock", "/run/dantetimesync.lock", "/tmp/dantetimesync.lock"]
        .map(PathBuf::from)
        .into()
}

/// The file in [`data`] that says that the program runs.
#[cfg(windows)]
pub const LOCK_NAME: &str = "dantetimesync.lock";
/// Beside it, as which process.
#[cfg(windows)]
pub const PID_NAME: &str = "dantetimesync.pid";

/// The files that say that the program runs: whoever may steer the clock may write there, and, once the service is
/// installed, nobody else may read it, because whoever reads a file can lock it.
#[cfg(windows)]
pub fn locks() -> Vec<PathBuf> {
    vec![data().join(LOCK_NAME)]
}

/// The files that it has besides those of the settings.
#[cfg(unix)]
pub fn own() -> Vec<PathBuf> {
    let mut own = locks();
    own.push(PathBuf::from(TAKEOVER_MEMORY));
    own
}

/// The files that it has besides those of the settings.
#[cfg(windows)]
pub fn own() -> Vec<PathBuf> {
    use crate::service::windows::{OPTIONS, TAKEN_OVER};
    let beside = [PID_NAME, crate::daemon::FOUND_FILE, OPTIONS, TAKEN_OVER];
    locks().into_iter().chain(beside.iter().map(|name| data().join(name))).collect()
}

/// The file beside this one that is written first and then put in its place.
pub fn new_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_written_out_is_meant_as_it_is() {
        assert_eq!(expand("/x/state.json"), Path::new("/x/state.json"));
        assert_eq!(expand(STATUS_SOCKET), Path::new(STATUS_SOCKET));
    }

    #[cfg(windows)]
    #[test]
    fn the_shared_folder_is_found() {
        let state = expand(STATE_FILE);
        assert!(state.is_absolute() && state.ends_with(r"dantetimesync\state.json"), "{}", state.display());
        assert_eq!(state.parent(), Some(data().as_path()));
    }
}
