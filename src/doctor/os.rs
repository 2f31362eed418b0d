//! The operating systems that are examined: the same fault is mended by other words on each.

use crate::quoting::{in_shell, in_toml};

/// An operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// With systemd, iproute2 and so on.
    Linux,
    /// Windows.
    Windows,
}

impl Os {
    /// The one that this program was built for.
    pub const HERE: Self = if cfg!(windows) { Self::Windows } else { Self::Linux };

    /// Of two ways to say a thing, the one of this system.
    pub fn either<T>(self, linux: T, windows: T) -> T {
        match self {
            Self::Linux => linux,
            Self::Windows => windows,
        }
    }

    /// The doctor, run by somebody who may see everything.
    pub fn doctor_with_rights(self) -> &'static str {
        self.either("sudo dantetimesync doctor", "dantetimesync doctor, in a console opened as administrator")
    }

    /// The same, listening for a minute.
    pub fn longer_doctor(self) -> &'static str {
        self.either(
            "sudo dantetimesync doctor --seconds 60",
            "dantetimesync doctor --seconds 60, in a console opened as administrator",
        )
    }

    /// How a setting is given its value, for the service and for a start by hand.
    pub fn setting(self, key: &str, value: &str) -> String {
        let (file, restart) = (self.configuration(), self.restart_service());
        let (quoted, word) = (in_toml(value), in_shell(value));
        format!("{key} = {quoted} in {file}, then {restart} (or --{key} {word}, where you start it yourself)")
    }

    /// The configuration file that the service reads.
    pub fn configuration(self) -> &'static str {
        self.either("/etc/dantetimesync/config.toml", r"%ProgramData%\dantetimesync\config.toml")
    }

    /// What starts the service anew.
    pub fn restart_service(self) -> &'static str {
        self.either(
            "sudo systemctl restart dantetimesync",
            "dantetimesync service stop, then dantetimesync service start",
        )
    }

    /// What starts the service.
    pub fn start_service(self) -> &'static str {
        self.either("sudo systemctl start dantetimesync", "dantetimesync service start")
    }
}

impl Default for Os {
    fn default() -> Self {
        Self::HERE
    }
}
