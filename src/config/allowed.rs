//! What the value of a setting may be: one description, which checks values and tells people.

use std::fmt;

use super::parse;
use super::window::DailyWindow;
use crate::ptp::is_pulled;
use crate::time::Span;

/// The longest name of an interface on Linux, in bytes: IFNAMSIZ is 16 with the NUL.
const INTERFACE_MAX_LINUX: usize = 15;

/// The longest friendly name of an interface on Windows, in characters of UTF-16: NDIS_IF_MAX_STRING_SIZE.
const INTERFACE_MAX_WINDOWS: usize = 256;

/// The longest name of a host, without the dot at its end: RFC 1035, section 2.3.4.
const HOST_MAX: usize = 253;

/// The longest part of it, from dot to dot.
const LABEL_MAX: usize = 63;

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed {
    /// `true` or `false`; as an option, it is given or not.
    Switch,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A time from `least` to `most`, or one of the words in `or`.
    Time {
        /// Words that are allowed too.
        or: &'static [&'static str],
        /// The shortest time, as one would write it.
        least: &'static str,
        /// The longest one.
        most: &'static str,
    },
    /// A number of ppm.
    Ppm {
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// A time of the day.
    Window,
    /// A PTP subdomain.
    Subdomain,
    /// A network interface.
    Interface,
    /// An NTP server.
    Server,
    /// A file.
    File,
}

impl Allowed {
    /// Whether this value is allowed. A number is written as such, a switch as `true` or `false`.
    pub fn admits(&self, text: &str) -> bool {
        match self {
            Self::Switch => parse::switch(text).is_some(),
            Self::Words(words) => words.contains(&text),
            Self::Time { or, least, most } => {
                let bounds = parse::span(least).zip(parse::span(most));
                let within = |(least, most)| parse::span(text).is_some_and(|it| it >= least && it <= most);
                // Nothing is nothing in any unit.
                let zero = or.contains(&"0") && parse::span(text) == Some(Span::ZERO);
                // Minutes, or milliseconds without their s: 500 of the wrong ones would go unnoticed.
                let doubtful = text.ends_with('m');
                !doubtful && (or.contains(&text) || zero || bounds.is_some_and(within))
            }
            Self::Ppm { least, most } => parse::number(text).is_some_and(|it| it >= *least && it <= *most),
            Self::Window => text == "none" || DailyWindow::parse(text).is_ok(),
            Self::Subdomain => parse::subdomain(text).is_some(),
            Self::Interface => is_interface(text, cfg!(windows)),
            Self::Server => is_server(text),
            Self::File => is_file(text, cfg!(windows)),
        }
    }

    /// What is allowed, for the one who wrote this instead.
    pub fn wanted(&self, text: &str) -> String {
        match self {
            Self::Server if is_none(text) => format!("{self}; skip-ntp = true asks none"),
            Self::Subdomain => match parse::in_capitals(text) {
                // The others are refused in capitals too.
                Some(meant) if !is_pulled(&meant) => format!("{self}; {meant} is written with capitals"),
                _ => self.to_string(),
            },
            _ => self.to_string(),
        }
    }

    /// Whether the file has it without quotes.
    pub fn is_unquoted(&self) -> bool {
        matches!(self, Self::Switch | Self::Ppm { .. })
    }

    /// From where to where, for what has a range.
    pub fn range(&self) -> Option<String> {
        match self {
            Self::Time { least, most, .. } => Some(format!("{least} to {most}")),
            Self::Ppm { least, most } => Some(format!("{least} to {most} ppm")),
            _ => None,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("true or false"),
            Self::Words(words) => f.write_str(&words.join(" or ")),
            Self::Time { or, least, most } => {
                for word in *or {
                    write!(f, "{word}, or ")?;
                }
                write!(f, "{least} to {most} (a number with d, h, min, s, ms or us, like 500ms, but not m)")
            }
            Self::Ppm { least, most } => write!(f, "{least} to {most} ppm"),
            Self::Window => f.write_str(
                "none, or two different times of day as HH:MM-HH:MM, like 02:00-05:00 (24:00 is 00:00)",
            ),
            Self::Subdomain => f.write_str(
                "1 to 16 printable ASCII characters, but not _ALT...: the system clock cannot follow a pulled-up or \
                 pulled-down subdomain",
            ),
            Self::Interface if cfg!(windows) => write!(
                f,
                "auto, or the name of a network interface (1 to {INTERFACE_MAX_WINDOWS} characters, without /), \
                 or its address"
            ),
            Self::Interface => write!(
                f,
                "auto, or the name of a network interface (1 to {INTERFACE_MAX_LINUX} bytes, without blanks and /), \
                 or its address"
            ),
            Self::Server => f.write_str("a host name or an IPv4 address, with :PORT where it is not 123"),
            Self::File => f.write_str("none, or a file"),
        }
    }
}

/// A name that an interface can have, or its address. Linux has the rules of `dev_valid_name`, but for the colon, with
/// which a second address of an interface is called `eth0:1`; on Windows friendly names have blanks and stars (`Local
/// Area Connection* 1`).
fn is_interface(text: &str, windows: bool) -> bool {
    let length = if windows { text.encode_utf16().count() } else { text.len() };
    let longest = if windows { INTERFACE_MAX_WINDOWS } else { INTERFACE_MAX_LINUX };
    let is_bad = |c: char| c == '/' || c.is_control() || (c.is_whitespace() && !windows);
    (1..=longest).contains(&length)
        && !text.trim().is_empty()
        && !text.contains(is_bad)
        && (windows || !matches!(text, "." | ".."))
}

/// A folder is none, however it is written.
fn is_file(text: &str, windows: bool) -> bool {
    let separators: &[char] = if windows { &['/', '\\'] } else { &['/'] };
    let last = text.rsplit(separators).next().unwrap_or_default();
    !matches!(last, "" | "." | "..") && !text.contains(char::is_control)
}

fn is_server(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    is_host(host)
        && !is_none(text)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+'))
        && !looks_like_a_wrong_address(host)
}

/// No server is called so: it is what other settings have for nothing.
fn is_none(text: &str) -> bool {
    text.split(':').next().is_some_and(|host| host.eq_ignore_ascii_case("none"))
}

/// A name that can exist; it may end in the dot of the root.
fn is_host(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let characters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.chars().all(characters)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= HOST_MAX && name.split('.').all(is_label)
}

/// A server as it is compared with others: names know no case, a dot at their end says nothing, and NTP has its port.
pub fn same_server(text: &str) -> String {
    let (host, port) = text.split_once(':').unwrap_or((text, "123"));
    format!("{}:{}", host.trim_end_matches('.').to_ascii_lowercase(), port.trim_start_matches('0'))
}

/// Four numbers, or only digits and dots, that are no address: nobody's host name looks like that.
fn looks_like_a_wrong_address(host: &str) -> bool {
    host.chars().all(|c| c.is_ascii_digit() || c == '.') && host.parse::<std::net::Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: Allowed, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(allowed.admits(text), "{text:?} is allowed: {allowed}");
        }
        for text in bad {
            assert!(!allowed.admits(text), "{text:?} is not allowed: {allowed}");
        }
    }

    #[test]
    fn times_have_a_unit_and_lie_within_their_range() {
        let limit = Allowed::Time { or: &["none", "0"], least: "1ms", most: "24h" };
        check(
            limit,
            &["none", "0", "0s", "1ms", "1.5s", "2000us", "2000µs", "2min", "24h"],
            &[
                "", "s", ".", "-1s", "5 s", "1.2.3s", "1e3s", "500m", "0ss", "nan", "5", "999us", "25h",
                "NONE",
            ],
        );
        assert!(limit.to_string().contains("1ms to 24h") && limit.to_string().contains("500ms"));
        // Minutes, or milliseconds that have lost a letter: 500 minutes would be far from what was meant.
        check(limit, &["2min", "500ms"], &["2m", "500m", "0m"]);
        assert!(limit.to_string().contains("not m"), "{limit}");
    }

    #[test]
    fn numbers_are_finite_and_within_their_range() {
        let slew = Allowed::Ppm { least: 1.0, most: 500.0 };
        check(slew, &["1", "500", "12.5"], &["0.99", "500.1", "-100", "nan", "inf", "fast", "", "1 ppm"]);
        assert_eq!(slew.to_string(), "1 to 500 ppm");
    }

    #[test]
    fn servers_are_names_or_addresses() {
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert_eq!(longest.len(), 253);
        check(
            Allowed::Server,
            &["10.77.8.2", "pool.ntp.org", "pool.ntp.org.", "ntp1:1123", "127.0.0.1:9", "a_b", &longest],
            &[
                "none",
                "None",
                "none:123",
                "a..b",
                "..",
                "a-.b",
                "a.-b",
                "a-",
                &"a".repeat(64),
                &format!("a{longest}"),
                "",
                "10.77.8",
                "10.77.8.256",
                "1.2.3.4:0",
                "a:99999",
                "http://x",
                "a b",
                "a,b",
                "-x",
                "::1",
                "a:+5",
            ],
        );
    }

    #[test]
    fn the_rest_is_what_it_is_called() {
        check(Allowed::Switch, &["true", "false"], &["yes", "1", ""]);
        check(Allowed::Words(&["slew", "kernel"]), &["slew", "kernel"], &["Slew", "smear", ""]);
        check(Allowed::Window, &["none", "02:00-05:00", "23:00-01:00"], &["", "2-5", "05:00-05:00", "02:00"]);
        check(
            Allowed::Subdomain,
            &["_DFLT", "_OWN", "_own", "a b"],
            &["", "much-too-long-a-name", "_ALT2", "Ä", "a\tb", "\u{7f}", "_alt1", "_Alt", "_dflt"],
        );
        check(Allowed::Interface, &["auto", "eth0", "enx0123456789ab"], &["", "a/b", "a\tb"]);
        assert_eq!(Allowed::Interface.admits("Ethernet 2"), cfg!(windows));
        check(
            Allowed::File,
            &["none", "/tmp/s", "s", "./s", "/a/.b", "/a/..b"],
            &["", "/tmp/", "/tmp/.", "/tmp/..", ".", "..", "/a\nb", "/a\tb"],
        );
        assert_eq!(Allowed::File.admits(r"C:\tmp\"), !cfg!(windows));
    }

    #[test]
    fn an_interface_is_named_as_its_system_allows() {
        for (name, linux, windows) in [
            ("eth0", true, true),
            ("eth0.100", true, true),
            ("eth0:1", true, true),
            ("255.255.255.255", true, true),
            ("a23456789012345", true, true),
            ("a234567890123456", false, true),
            ("Ethernet 2", false, true),
            ("vEthernet (Default Switch)", false, true),
            ("Ölüm", true, true),
            ("ÄÖÜÄÖÜÄÖ", false, true),
            ("a\u{a0}b", false, true),
            ("a/b", false, false),
            ("a\\b", true, true),
            ("Local Area Connection* 1", false, true),
            ("a\tb", false, false),
            (".", false, true),
            ("..", false, true),
            ("", false, false),
            (" ", false, false),
        ] {
            assert_eq!(is_interface(name, false), linux, "{name:?} on Linux");
            assert_eq!(is_interface(name, true), windows, "{name:?} on Windows");
        }
        assert!(is_interface(&"ä".repeat(256), true) && !is_interface(&"a".repeat(257), true));
        let told = Allowed::Interface.to_string();
        assert!(
            told.contains(if cfg!(windows) { "256" } else { "15 bytes" }) && told.contains("address"),
            "{told}"
        );
    }
}
