//! What the user can choose: as text (`Choices`), and as the parts of the program see it (`Settings`, `Config`).
//!
//! Every setting is a row of [`table::SETTINGS`]. A value comes from an option or from a line of the file, options
//! win, and everything that is wrong is told at once.

pub mod allowed;
pub mod check;
pub mod choices;
pub mod file;
pub mod manual;
pub mod parse;
mod places;
pub mod table;
pub mod window;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use crate::log::LogFormat;
use crate::net::Capture;
use crate::place;
use crate::time::{Rate, Span};
use allowed::{Allowed, same_server};
pub use choices::{Choice, Choices, Origin};
pub use places::{unasked, usual_place};
pub use table::DEFAULT_NTP_SERVER;
use window::DailyWindow;

/// All choices of the parts that decide, with the defaults of the program run without any.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The subdomain that is followed, NUL padded.
    pub subdomain: [u8; 16],
    /// NTP servers, by name or address; none with `--skip-ntp`.
    pub ntp_servers: Vec<String>,
    /// Which truth wins: see R5.
    pub utc_limit: UtcLimit,
    /// How fast the clock is slewed back to UTC.
    pub utc_slew: Rate,
    /// When it may be slewed back, in local time; always without one.
    pub utc_slew_window: Option<DailyWindow>,
    /// At start, errors above this are stepped.
    pub step_threshold: Span,
    /// Whether the clock may be stepped after it has locked.
    pub late_step: LateStep,
    /// After the first fix, an error above this is refused.
    pub panic_threshold: Span,
    /// Who makes a leap second.
    pub leap: LeapMode,
}

/// How far the clock may leave UTC to follow the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UtcLimit {
    /// As far as the leader leads.
    None,
    /// No further than this; zero follows UTC always.
    Within(Span),
}

/// Whether the clock may be stepped after it has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateStep {
    /// Once, by the first accepted answer of NTP, if the clock is more than 1 s off.
    FirstFix,
    /// Never: it is slewed.
    Never,
}

/// Who makes a leap second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeapMode {
    /// UTC moves by 1 s against the clock, and `utc-limit` decides what follows from that.
    Slew,
    /// The kernel is told, and steps the clock by 1 s at the end of the UTC day.
    Kernel,
}

/// The subdomain of every Dante network that is not pulled up or down.
pub const DEFAULT_SUBDOMAIN: [u8; 16] = *b"_DFLT\0\0\0\0\0\0\0\0\0\0\0";

/// All that the service can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the parts that decide go by.
    pub config: Config,
    /// The only interface to listen on; `None` for all.
    pub interface: Option<String>,
    /// By which way PTP is heard.
    pub capture: Capture,
    /// Steer a clock made of numbers.
    pub dry_run: bool,
    /// Steer beside another program that does.
    pub force_steer: bool,
    /// Whether to ask for real-time priority and locked memory.
    pub real_time: bool,
    /// Where the state is kept; nowhere in a dry run.
    pub state_file: Option<PathBuf>,
    /// Where the status is told; nowhere in a dry run that names no place: the usual one belongs to the one who
    /// steers.
    pub status_socket: Option<PathBuf>,
    /// Where the history of events is kept; nowhere where no state is kept either, unless a file is named.
    pub event_file: Option<PathBuf>,
    /// How much is said.
    pub log_level: LevelFilter,
    /// How log lines look.
    pub log_format: LogFormat,
}

impl Settings {
    /// Reads and checks all choices.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_choices(choices: &Choices) -> Result<Self, Faults> {
        let mut reader = Reader::new(choices);
        let dry_run = reader.one("dry-run", parse::switch);
        let state_file = reader.file("state-file").filter(|_| !dry_run);
        let beside_state = state_file.as_ref().map(|state| state.with_file_name(place::EVENT_NAME));
        let settings = Self {
            config: reader.config(),
            interface: reader.one("interface", |text| Some((text != "auto").then(|| text.to_owned()))),
            capture: reader.one("capture", parse::capture),
            dry_run,
            force_steer: reader.one("force-steer", parse::switch),
            real_time: reader.one("real-time", |text| Some(text == "auto")),
            state_file,
            status_socket: reader
                .file("status-socket")
                .filter(|_| !dry_run || reader.is_given("status-socket")),
            event_file: reader.file("event-file").filter(|_| reader.is_given("event-file")),
            log_level: reader.one("log-level", |text| text.parse().ok()),
            log_format: reader.one("log-format", parse::log_format),
        };
        let unsaid = !reader.is_given("event-file");
        let event_file = if unsaid { beside_state } else { settings.event_file };
        let settings = Self { event_file, ..settings };
        reader.check_capture();
        reader.check_dry_run();
        reader.check_socket();
        reader.check_places();
        reader.end(settings)
    }

    /// The same, with what only the disk can tell. Not for the loop, which must not wait for it.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn checked(choices: &Choices) -> Result<Self, Faults> {
        let no_files = places::no_files(choices);
        match Self::from_choices(choices) {
            Err(faults) => Err(faults.and(Faults::new(no_files))),
            Ok(_) if !no_files.is_empty() => Err(Faults::new(no_files)),
            Ok(settings) => Ok(settings),
        }
    }
}

impl Config {
    /// Reads and checks the choices of the parts that decide.
    ///
    /// # Errors
    /// Everything that is wrong, at once, each with its name, its value and what is allowed.
    pub fn from_choices(choices: &Choices) -> Result<Self, Faults> {
        let mut reader = Reader::new(choices);
        let config = reader.config();
        reader.end(config)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::from_choices(&Choices::default()).expect("the defaults of the table are allowed")
    }
}

/// Reads values by the table, and collects what is wrong on the way.
#[derive(Debug)]
struct Reader<'a> {
    choices: &'a Choices,
    faults: Vec<Fault>,
    /// The settings that were read: all of them, at the end.
    #[cfg(test)]
    read: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    fn new(choices: &'a Choices) -> Self {
        Self {
            choices,
            faults: Vec::new(),
            #[cfg(test)]
            read: Vec::new(),
        }
    }

    /// The value that was given last, or the default.
    fn one<T>(&mut self, name: &'static str, convert: impl Fn(&str) -> Option<T>) -> T {
        let all = self.all(name, &convert);
        all.into_iter().last().expect("the default is there, and allowed")
    }

    /// The values that were given and are allowed; the default where there are none.
    fn all<T>(&mut self, name: &'static str, convert: impl Fn(&str) -> Option<T>) -> Vec<T> {
        #[cfg(test)]
        self.read.push(name);
        let setting = table::find(name).expect("every setting that is read is in the table");
        let mut values = Vec::new();
        for choice in self.choices.of(name) {
            match convert(&choice.value).filter(|_| setting.allowed.admits(&choice.value)) {
                Some(value) => values.push(value),
                None => self.faults.push(Fault::of(choice, setting.allowed.wanted(&choice.value))),
            }
        }
        if values.is_empty() {
            values.extend(convert(setting.default));
        }
        values
    }

    fn config(&mut self) -> Config {
        let servers = self.all("ntp-server", |text| Some(text.to_owned()));
        let skip = self.one("skip-ntp", parse::switch);
        let config = Config {
            subdomain: self.one("subdomain", parse::subdomain),
            ntp_servers: if skip { Vec::new() } else { servers },
            utc_limit: self.one("utc-limit", parse::utc_limit),
            utc_slew: self.one("utc-slew", parse::ppm),
            utc_slew_window: self.one("utc-slew-window", parse::window),
            step_threshold: self.one("step-threshold", parse::span),
            late_step: self.one("late-step", parse::late_step),
            panic_threshold: self.one("panic-threshold", parse::span),
            leap: self.one("leap", parse::leap),
        };
        self.check_skipped(skip);
        self.check_together(&config);
        config
    }

    /// What each is fine by itself and makes no sense together. What is wrong by itself has its default here.
    fn check_together(&mut self, config: &Config) {
        self.check_servers(config);
        let UtcLimit::Within(limit) = config.utc_limit else { return };
        let panic = config.panic_threshold.as_secs_f64();
        if limit >= config.panic_threshold && self.is_sound("panic-threshold") {
            self.refuse("utc-limit", format!("less than panic-threshold, which is {panic} s"));
        }
        if config.ntp_servers.is_empty() {
            self.refuse("utc-limit", "none with skip-ntp: without NTP nobody knows UTC".to_owned());
        }
        if limit == Span::ZERO && config.utc_slew_window.is_some() {
            let allowed = "none with utc-limit 0, which follows UTC at all times";
            self.refuse("utc-slew-window", allowed.to_owned());
        }
    }

    /// Who names servers and asks none has forgotten one of the two. From two places it is meant: an operator skips
    /// NTP for a test, whatever the file says.
    fn check_skipped(&mut self, skip: bool) {
        let given = self.choices.of("skip-ntp").last().zip(self.choices.of("ntp-server").next());
        if skip && given.is_some_and(|(skip, server)| skip.origin.is_beside(&server.origin)) {
            let first = self.choices.of("ntp-server").next();
            let servers = self.named_at("ntp-server", first);
            self.refuse("skip-ntp", format!("false where {servers} names who is asked"));
        }
    }

    /// One server with two votes would outvote an honest one.
    fn check_servers(&mut self, config: &Config) {
        let mut known = HashSet::new();
        // What is wrong by itself was told.
        let given = self.choices.of("ntp-server").filter(|choice| Allowed::Server.admits(&choice.value));
        for choice in given {
            if !known.insert(same_server(&choice.value)) {
                self.faults.push(Fault::of(choice, "each server once".to_owned()));
            }
        }
        if config.ntp_servers.len() > SERVERS_MAX {
            self.refuse("ntp-server", format!("at most {SERVERS_MAX} servers"));
        }
    }

    /// As an option it is refused where the network is opened.
    fn check_capture(&mut self) {
        let raw = self.choices.of("capture").last().filter(|choice| choice.value == "raw");
        if cfg!(not(windows)) && raw.is_some_and(|raw| matches!(raw.origin, Origin::Line { .. })) {
            self.refuse("capture", "auto or udp: raw is for Windows only".to_owned());
        }
    }

    /// Who insists on steering and steers nothing has forgotten one of the two. From two places it is meant.
    fn check_dry_run(&mut self) {
        let on = |name| self.choices.of(name).last().filter(|choice| choice.value == "true");
        let both = on("dry-run").zip(on("force-steer"));
        if both.is_some_and(|(dry, force)| dry.origin.is_beside(&force.origin)) {
            let dry = self.named("dry-run");
            self.refuse("force-steer", format!("false where {dry} has nothing steered"));
        }
    }

    fn check_socket(&mut self) {
        let place = self.choices.of("status-socket").last().map(|choice| place::expand(&choice.value));
        let length = place.map_or(0, |place| place.as_os_str().len());
        if length > place::SOCKET_MAX && self.is_sound("status-socket") {
            let most = place::SOCKET_MAX;
            self.refuse("status-socket", format!("a path of at most {most} bytes: this one has {length}"));
        }
    }

    /// A file, or none.
    fn file(&mut self, name: &'static str) -> Option<PathBuf> {
        self.one(name, |text| Some((text != "none").then(|| place::expand(text))))
    }

    /// A setting, and where it was set.
    fn named(&self, name: &str) -> String {
        self.named_at(name, self.choices.of(name).last())
    }

    fn named_at(&self, name: &str, choice: Option<&Choice>) -> String {
        match choice.map(|choice| &choice.origin) {
            Some(Origin::Line { line, .. }) => format!("{name} (line {line})"),
            Some(Origin::Option) => format!("--{name}"),
            Some(Origin::Unsaid) => name.to_owned(),
            None => format!("{name} (by default)"),
        }
    }

    fn is_given(&self, name: &str) -> bool {
        self.choices.of(name).next().is_some()
    }

    fn is_sound(&self, name: &str) -> bool {
        self.faults.iter().all(|fault| fault.name != name)
    }

    /// Refuses the value that was given last.
    fn refuse(&mut self, name: &'static str, allowed: String) {
        let choice = self.choices.of(name).last();
        let by_default = || Fault {
            origin: Origin::Unsaid,
            name: name.to_owned(),
            found: table::find(name).map_or_else(String::new, |setting| format!("{:?}", setting.default)),
            allowed: allowed.clone(),
        };
        self.faults.push(choice.map_or_else(by_default, |choice| Fault::of(choice, allowed.clone())));
    }

    fn end<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(value) } else { Err(Faults::new(self.faults)) }
    }
}

/// NTP servers at most: each is asked every minute or so, and more do not make the time better.
const SERVERS_MAX: usize = 16;

/// A choice that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it was made.
    pub origin: Origin,
    /// The setting; empty where it is no setting.
    pub name: String,
    /// What it was set to, as it was written.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

impl Fault {
    fn of(choice: &Choice, allowed: String) -> Self {
        Self {
            origin: choice.origin.clone(),
            name: choice.name.to_owned(),
            found: choice.found.clone(),
            allowed,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, name, found, allowed } = self;
        match origin {
            Origin::Line { file, line } => write!(f, "{}:{line}: ", file.display())?,
            Origin::Option => f.write_str("--")?,
            Origin::Unsaid => {}
        }
        if !name.is_empty() {
            write!(f, "{name}: ")?;
        }
        write!(f, "found {found}, allowed {allowed}")
    }
}

/// Nobody mends more at once, and a file of nothing but faults shall not take long to refuse.
const FAULTS_MAX: usize = 100;

/// Everything that is wrong with the choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    all: Vec<Fault>,
    /// How many there are besides.
    more: usize,
}

impl Faults {
    fn new(faults: Vec<Fault>) -> Self {
        Self::of_many(faults, 0)
    }

    /// In the order of the file, and as many as anybody wants to read.
    fn of_many(mut all: Vec<Fault>, more: usize) -> Self {
        all.sort_by(|a, b| a.origin.cmp(&b.origin));
        let more = more + all.len().saturating_sub(FAULTS_MAX);
        all.truncate(FAULTS_MAX);
        Self { all, more }
    }

    /// These and more.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.all.extend(more.all);
        Self::of_many(self.all, self.more + more.more)
    }

    /// The first of them, those of options before the others.
    pub fn all(&self) -> &[Fault] {
        &self.all
    }

    /// Whether the file is at fault, and not only options.
    pub fn of_file(&self) -> bool {
        self.all.iter().any(|fault| matches!(fault.origin, Origin::Line { .. }))
    }
}

impl fmt::Display for Faults {
    /// One line per fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.all.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        if self.more > 0 { write!(f, "\nand {} more", self.more) } else { Ok(()) }
    }
}

/// The file that is read when no other one is named; it need not exist.
pub fn default_file() -> PathBuf {
    place::expand(place::CONFIG_FILE)
}

#[cfg(test)]
mod tests;
