//! The settings: one row each, from which come the options, the keys of the file and their checks, the file that is
//! shipped, and the manual.

use super::allowed::Allowed;
use crate::place::{EVENT_FILE, STATE_FILE, STATUS_SOCKET};

/// A setting of the service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Its name: the option is `--name`, the key in the file `name`.
    pub name: &'static str,
    /// What stands for its value in the help.
    pub value: &'static str,
    /// Its value where none is given, as one would write it.
    pub default: &'static str,
    /// What it may be.
    pub allowed: Allowed,
    /// Whether it may be given several times; in the file, as a list.
    pub list: bool,
    /// Whether a running service takes over another value.
    pub live: bool,
    /// What it does.
    pub help: &'static str,
}

/// The NTP server that is asked when none is named.
pub const DEFAULT_NTP_SERVER: &str = "10.77.8.2";

/// What most settings have.
const PLAIN: Setting = Setting {
    name: "",
    value: "",
    default: "",
    allowed: Allowed::Switch,
    list: false,
    live: false,
    help: "",
};
const SWITCH: Setting = Setting { default: "false", ..PLAIN };
const LIVE: Setting = Setting { live: true, ..PLAIN };

/// All of them, in the order in which they are shown.
pub const SETTINGS: [Setting; 20] = [
    Setting {
        name: "interface",
        value: "NAME",
        default: "auto",
        allowed: Allowed::Interface,
        help: "Listen on this interface only, named by its name or address; \"auto\" listens on all and follows the one \
               on which a leader is heard",
        ..PLAIN
    },
    Setting {
        name: "capture",
        value: "auto|udp|raw",
        default: "auto",
        allowed: Allowed::Words(&["auto", "udp", "raw"]),
        help: "How PTP is heard: by the UDP ports 319 and 320 (\"udp\"), or without holding them (\"raw\", Windows \
               only). \"auto\" leaves the ports to Dante's own software and to whoever holds them",
        ..PLAIN
    },
    Setting {
        name: "ntp-server",
        value: "HOST",
        default: DEFAULT_NTP_SERVER,
        allowed: Allowed::Server,
        list: true,
        help: "Take the date from this NTP server. Several may be given: with three or more, one that lies is outvoted",
        ..PLAIN
    },
    Setting {
        name: "skip-ntp",
        help: "Do not ask any NTP server: the date stays as it is. Not in one file with ntp-server, nor in one command",
        ..SWITCH
    },
    Setting { name: "dry-run", help: "Do everything but steer: the system clock is not touched", ..SWITCH },
    Setting {
        name: "utc-limit",
        value: "none|0|TIME",
        default: "none",
        allowed: Allowed::Time { or: &["none", "0"], least: "1ms", most: "24h" },
        help: "How far the clock may leave UTC to follow the leader: \"none\", or a time like \"500ms\", beyond which \
               it is slewed back to UTC; \"0\" follows UTC always",
        ..LIVE
    },
    Setting {
        name: "utc-slew",
        value: "PPM",
        default: "100",
        // Linux takes ±500 ppm without touching the length of its tick.
        allowed: Allowed::Ppm { least: 1.0, most: 500.0 },
        help: "How fast the clock is slewed back to UTC at most",
        ..LIVE
    },
    Setting {
        name: "utc-slew-window",
        value: "HH:MM-HH:MM",
        default: "none",
        allowed: Allowed::Window,
        help: "Slew back to UTC only at this time of day, in local time, like \"02:00-05:00\". It wins over the limit: \
               the clock comes back early where the limit would be passed before the next window, and late where it \
               was passed outside of one",
        ..LIVE
    },
    Setting {
        name: "step-threshold",
        value: "TIME",
        default: "1ms",
        allowed: Allowed::Time { or: &[], least: "10us", most: "1h" },
        help: "At the start, step the clock when it is further off UTC than this",
        ..LIVE
    },
    Setting {
        name: "late-step",
        value: "first-fix|never",
        default: "first-fix",
        allowed: Allowed::Words(&["first-fix", "never"]),
        help: "When the first answer of NTP comes only after the clock has locked, and the clock is more than 1 s off: \
               step it that once (\"first-fix\"), or slew it (\"never\")",
        ..LIVE
    },
    Setting {
        name: "panic-threshold",
        value: "TIME",
        default: "10s",
        // An error below a second is believed.
        allowed: Allowed::Time { or: &[], least: "1s", most: "24h" },
        help: "After the first answer, do not believe an error against UTC above this",
        ..LIVE
    },
    Setting {
        name: "leap",
        value: "slew|kernel",
        default: "slew",
        allowed: Allowed::Words(&["slew", "kernel"]),
        help: "A leap second: UTC moves and utc-limit decides what follows (\"slew\"), or the kernel is told and steps \
               the clock (\"kernel\")",
        ..LIVE
    },
    Setting {
        name: "subdomain",
        value: "NAME",
        default: "_DFLT",
        allowed: Allowed::Subdomain,
        help: "Follow leaders of this PTP subdomain",
        ..PLAIN
    },
    Setting {
        name: "state-file",
        value: "FILE|none",
        default: STATE_FILE,
        allowed: Allowed::File,
        help: "Keep here what is needed to go on after a restart without a step; \"none\" keeps nothing",
        ..PLAIN
    },
    Setting {
        name: "status-socket",
        value: "PATH|none",
        default: STATUS_SOCKET,
        allowed: Allowed::File,
        help: "Tell whoever connects here how the clock is; \"none\" tells nobody. In a dry run nobody is told where no \
               place is named",
        ..PLAIN
    },
    Setting {
        name: "event-file",
        value: "FILE|none",
        default: EVENT_FILE,
        allowed: Allowed::File,
        help: "Keep the history of events here; \"none\" keeps none. Where no file is named it is kept beside the state \
               file, and not where no state is kept",
        ..PLAIN
    },
    Setting {
        name: "force-steer",
        help: "Steer even though another program (chronyd, ntpd ...) is steering the clock",
        ..SWITCH
    },
    Setting {
        name: "real-time",
        value: "auto|never",
        default: "auto",
        allowed: Allowed::Words(&["auto", "never"]),
        help: "Run before other programs and stay in memory where the system allows it (\"auto\"), or like any \
               program (\"never\")",
        ..PLAIN
    },
    Setting {
        name: "log-level",
        value: "LEVEL",
        default: "info",
        allowed: Allowed::Words(&["warn", "info", "debug", "trace"]),
        help: "How much is said: \"warn\" only what needs doing something about, \"debug\" more, \"trace\" every packet",
        ..LIVE
    },
    Setting {
        name: "log-format",
        value: "text|json",
        default: "text",
        allowed: Allowed::Words(&["text", "json"]),
        help: "How log lines look: \"text\", or \"json\", an object a line",
        ..PLAIN
    },
];

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole_its_default_allowed_and_its_name_its_own() {
        for (index, setting) in SETTINGS.iter().enumerate() {
            let Setting { name, default, allowed, help, .. } = setting;
            assert!(allowed.admits(default), "{name} = {default}: {allowed}");
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}: {help}");
            assert_eq!(setting.value.is_empty(), *allowed == Allowed::Switch, "{name}");
            assert!(SETTINGS.iter().skip(index + 1).all(|other| other.name != *name), "{name} twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        }
    }
}
