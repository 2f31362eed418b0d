//! The options of the service. They are not written down here but made from the table of settings, so that every
//! option has a key in the file and every key an option.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::allowed::Allowed;
use crate::config::file::{self, FileError};
use crate::config::table::{SETTINGS, Setting};
use crate::config::{Choice, Choices, Faults, Origin, Settings, default_file};

/// What the command line says about the service.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// The file to read instead of the usual one.
    pub file: Option<PathBuf>,
    /// What options say.
    pub options: Choices,
}

impl Service {
    /// Options and file together, checked. A usual file that does not exist is no fault.
    ///
    /// # Errors
    /// When a file that was named cannot be read; everything that is wrong in options and file, at once.
    pub fn settings(&self) -> Result<Settings, FileError> {
        Ok(Settings::from_choices(&self.choices()?)?)
    }

    /// The same, as text.
    ///
    /// # Errors
    /// As those of [`Self::settings`].
    pub fn choices(&self) -> Result<Choices, FileError> {
        let (path, named) = match &self.file {
            Some(path) => (path.clone(), true),
            None => (default_file(), false),
        };
        let choices = match file::read(&path) {
            Err(error) if error.is_missing() && !named => self.options.clone(),
            Err(FileError::Faulty(faults)) => return Err(self.and_of_options(faults).into()),
            read => self.options.clone().over(&read?),
        };
        Settings::checked(&choices)?;
        Ok(choices)
    }

    /// A file that has no choices for its faults does not hide those of the options.
    fn and_of_options(&self, faults: Faults) -> Faults {
        match Settings::checked(&self.options) {
            Err(more) => faults.and(more),
            Ok(_) => faults,
        }
    }
}

#[cfg(test)]
/// Options that have no key: where the file is, and shorter ways to say `--log-level`.
const WITHOUT_KEY: [&str; 3] = ["config", "verbose", "quiet"];

impl Args for Service {
    fn augment_args(command: Command) -> Command {
        let file = format!("Read this file [default: {}]", default_file().display());
        let command = command.args(SETTINGS.iter().map(option)).arg(
            option_of_program("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help(file),
        );
        command
            .arg(
                option_of_program("verbose")
                    .short('v')
                    .action(ArgAction::Count)
                    .conflicts_with("log-level")
                    .help("Say more, like --log-level debug; twice: every packet"),
            )
            .arg(
                option_of_program("quiet")
                    .short('q')
                    .action(ArgAction::SetTrue)
                    .conflicts_with_all(["verbose", "log-level"])
                    .help("Say only what needs doing something about, like --log-level warn"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Service {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Choices::default();
        for setting in &SETTINGS {
            for value in matches.get_many::<String>(setting.name).into_iter().flatten().cloned() {
                let found = format!("{value:?}");
                options.add(Choice { name: setting.name, value, found, origin: Origin::Option });
            }
        }
        let level = match (matches.get_flag("quiet"), matches.get_count("verbose")) {
            (true, _) => Some("warn"),
            (false, 0) => None,
            (false, 1) => Some("debug"),
            (false, _) => Some("trace"),
        };
        Ok(Self { file: matches.get_one("config").cloned(), options: options.with("log-level", level) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn option_of_program(name: &'static str) -> Arg {
    Arg::new(name).long(name)
}

/// Values are checked with those of the file, so that everything that is wrong is told at once.
fn option(setting: &Setting) -> Arg {
    let arg = option_of_program(setting.name);
    if setting.allowed == Allowed::Switch {
        // What the file switches on can be switched off.
        return arg
            .value_name("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .help(setting.help);
    }
    let range = setting.allowed.range().map_or_else(String::new, |range| format!("; {range}"));
    arg.value_name(setting.value)
        .action(if setting.list { ArgAction::Append } else { ArgAction::Set })
        .allow_negative_numbers(true)
        .help(format!("{} [default: {}{range}]", setting.help, setting.default))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::config::{Config, UtcLimit};
    use clap::{CommandFactory, Parser};
    use tracing::level_filters::LevelFilter;

    fn service(arguments: &[&str]) -> Service {
        let all = std::iter::once("dantetimesync").chain(arguments.iter().copied());
        Cli::try_parse_from(all).unwrap().service
    }

    fn settings(arguments: &[&str]) -> Result<Settings, Faults> {
        Settings::from_choices(&service(arguments).options)
    }

    #[test]
    fn every_option_has_a_key_and_every_key_an_option() {
        let command = Cli::command();
        let mut options: Vec<&str> = command
            .get_arguments()
            .filter_map(|arg| arg.get_long())
            .filter(|name| !WITHOUT_KEY.contains(name) && !["help", "version"].contains(name))
            .collect();
        let mut keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        options.sort_unstable();
        keys.sort_unstable();
        assert_eq!(options, keys);
        for name in WITHOUT_KEY {
            assert!(command.get_arguments().any(|arg| arg.get_long() == Some(name)), "{name}");
        }
    }

    #[test]
    fn without_arguments_the_defaults_hold_and_the_help_tells_them() {
        assert_eq!(settings(&[]).unwrap().config, Config::default());
        let help = Cli::command().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for setting in SETTINGS.iter().filter(|setting| setting.allowed != Allowed::Switch) {
            assert!(help.contains(&format!("[default: {}", setting.default)), "{}: {help}", setting.name);
        }
        assert!(
            help.contains("[default: 100; 1 to 500 ppm]") && help.contains("[default: 1ms; 10us to 1h]"),
            "{help}"
        );
    }

    #[test]
    fn every_option_arrives() {
        for setting in &SETTINGS {
            let option = format!("--{}", setting.name);
            let arguments: &[&str] = if setting.value.is_empty() { &[&option] } else { &[&option, "-5"] };
            let options = service(arguments).options;
            let choice = options.of(setting.name).next().unwrap_or_else(|| panic!("no {option}"));
            assert_eq!(choice.value, if setting.value.is_empty() { "true" } else { "-5" });
            assert_eq!(choice.origin, Origin::Option);
        }
        let two = settings(&["--ntp-server", "a", "--ntp-server", "b"]).unwrap().config;
        assert_eq!(two.ntp_servers, ["a", "b"]);
    }

    #[test]
    fn a_switch_can_be_switched_off_against_the_file() {
        assert!(settings(&["--dry-run"]).unwrap().dry_run && settings(&["--dry-run=true"]).unwrap().dry_run);
        let off = service(&["--dry-run=false"]).options;
        let file = Choices::default().with("dry-run", Some("true"));
        assert!(!Settings::from_choices(&off.over(&file)).unwrap().dry_run);
        assert!(settings(&["--dry-run=maybe"]).unwrap_err().to_string().contains("true or false"));
        // A word behind it is no value.
        assert!(Cli::try_parse_from(["dantetimesync", "--dry-run", "demo"]).is_err());
    }

    #[test]
    fn ntp_is_skipped_against_the_file_but_not_against_the_same_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "ntp-server = 'a'\n").unwrap();
        let file = path.to_str().unwrap();
        let skipped = service(&["--config", file, "--skip-ntp"]).settings().unwrap();
        assert_eq!(skipped.config.ntp_servers, Vec::<String>::new());
        let told = settings(&["--skip-ntp", "--ntp-server", "a"]).unwrap_err().to_string();
        assert!(told.starts_with("--skip-ntp: found \"true\"") && told.contains("--ntp-server"), "{told}");
        assert!(settings(&["--skip-ntp=false", "--ntp-server", "a"]).is_ok());
    }

    #[test]
    fn the_short_options_set_the_level() {
        for (arguments, level) in [
            (&["-q"][..], LevelFilter::WARN),
            (&[], LevelFilter::INFO),
            (&["-v"], LevelFilter::DEBUG),
            (&["-vv"], LevelFilter::TRACE),
            (&["--log-level", "warn"], LevelFilter::WARN),
        ] {
            assert_eq!(settings(arguments).unwrap().log_level, level, "{arguments:?}");
        }
        for contradiction in [["-v", "-q"], ["-q", "--log-level=info"], ["-v", "--log-level=info"]] {
            assert!(Cli::try_parse_from([&["dantetimesync"][..], &contradiction].concat()).is_err());
        }
    }

    #[test]
    fn a_named_file_is_read_and_options_win_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "utc-limit = '2s'\nutc-slew = 20\nlog-level = 'warn'\n").unwrap();
        let file = path.to_str().unwrap();
        let read = service(&["--config", file, "--utc-limit", "1s", "-v"]).settings().unwrap();
        assert_eq!(read.config.utc_limit, UtcLimit::Within(crate::time::Span::from_secs(1)));
        assert_eq!(read.config.utc_slew, crate::time::Rate::from_ppm(20.0));
        assert_eq!(read.log_level, LevelFilter::DEBUG);
        std::fs::write(&path, "utc-slew = 0\n").unwrap();
        let FileError::Faulty(faults) = service(&["--config", file, "--leap", "x"]).settings().unwrap_err()
        else {
            panic!("it was read")
        };
        let told = faults.to_string();
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(
            told.contains("--leap: found \"x\"") && told.contains("c.toml:1: utc-slew: found 0,"),
            "{told}"
        );
        assert!(faults.of_file());
        std::fs::remove_file(&path).unwrap();
        assert!(service(&["--config", file]).settings().unwrap_err().is_missing());
    }
}
