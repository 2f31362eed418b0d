//! `dantetimesync doctor`: from the options to what is printed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::finding::{Check, Finding, Level};
use super::measured::Measured;
use super::os::Os;
use super::report;
use crate::cli::{Doctor, Service};
use crate::config::{Choice, Choices, Origin, Settings, default_file};
use crate::exit::{FAILED, Failure, USAGE, print};
use crate::net::Capture;
use crate::terminal::{self, CLEAR_LINE};

/// What is asked of the computer: the service's choices, as far as the doctor needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The only interface to listen on.
    pub interface: Option<String>,
    /// The subdomain to follow.
    pub subdomain: [u8; 16],
    /// By which way to listen.
    pub capture: Capture,
    /// The time servers.
    pub servers: Vec<String>,
    /// Where the state is kept, if it is.
    pub state_file: Option<PathBuf>,
    /// Where the service tells its status, if it does.
    pub status_socket: Option<PathBuf>,
    /// How long to listen.
    pub seconds: u32,
    /// The configuration file.
    pub config_file: PathBuf,
    /// What is wrong with it, a line each.
    pub config_faults: Vec<String>,
    /// It tells the service to only watch.
    pub dry_run: bool,
}

/// All findings, in the order of the checks, and the figures behind them.
#[derive(Debug)]
pub struct Examination {
    /// What was found.
    pub findings: Vec<Finding>,
    /// The figures behind it.
    pub measured: Measured,
}

/// Examines this computer and prints what was found; code 1 if something cannot work.
///
/// # Errors
/// When the options are wrong, or neither clock nor interfaces can be read.
pub fn run(options: &Doctor) -> Result<ExitCode, Failure> {
    let request = request(options)?;
    let mut examination = examine(&request, options.json)?;
    if options.config.is_some() {
        name_config_file(&request.config_file, &mut examination.findings);
    }
    print(&if options.json {
        format!("{}\n", report::json(&examination)?)
    } else {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = !no_color && terminal::draws_on(&std::io::stdout());
        report::text(&examination.findings, colour)
    })?;
    let failed = examination.findings.iter().any(|finding| finding.level == Level::Failure);
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// The service's settings, as its file and these options have them. Faults of the file are findings, and then only
/// the options count; faults of the options are errors.
fn request(options: &Doctor) -> Result<Request, Failure> {
    let chosen = choices(options);
    let service = Service { file: options.config.clone(), options: chosen.clone() };
    let by_options = Settings::checked(&chosen).map_err(|faults| Failure::new(USAGE, faults))?;
    let (mut settings, faults) = match service.settings() {
        Ok(settings) => (settings, Vec::new()),
        Err(error) => (by_options, error.to_string().lines().map(str::to_owned).collect()),
    };
    if !faults.is_empty() && options.ntp_server.is_empty() {
        // Nobody may want those by default.
        settings.config.ntp_servers.clear();
    }
    Ok(Request {
        interface: settings.interface,
        subdomain: settings.config.subdomain,
        capture: settings.capture,
        servers: settings.config.ntp_servers,
        state_file: settings.state_file,
        status_socket: settings.status_socket,
        seconds: options.seconds,
        config_file: options.config.clone().map_or_else(default_file, whole),
        config_faults: faults,
        dry_run: settings.dry_run,
    })
}

/// From the root: what is looked at may be seen from elsewhere.
fn whole(file: PathBuf) -> PathBuf {
    std::path::absolute(&file).unwrap_or(file)
}

/// Mends are told for the usual configuration file; here another one is looked at. The check of the file names it anyway.
fn name_config_file(file: &Path, findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|finding| finding.check != Check::Config) {
        if let Some(mend) = &mut finding.mend {
            *mend = mend.replace(Os::HERE.configuration(), &file.display().to_string());
        }
    }
}

fn choices(options: &Doctor) -> Choices {
    let mut choices = Choices::default();
    let mut add = |name, value: Option<String>| {
        let Some(value) = value else { return };
        choices.add(Choice { name, found: format!("{value:?}"), value, origin: Origin::Option });
    };
    add("interface", options.interface.clone());
    add("subdomain", options.subdomain.clone());
    add("capture", options.capture.clone());
    add("skip-ntp", options.skip_ntp.then(|| "true".to_owned()));
    add("state-file", options.state_file.as_ref().map(|file| file.to_string_lossy().into_owned()));
    for server in &options.ntp_server {
        add("ntp-server", Some(server.clone()));
    }
    choices
}

fn examine(request: &Request, quiet: bool) -> Result<Examination, Failure> {
    let terminal = terminal::draws_on(&std::io::stderr());
    let length = request.seconds;
    if !quiet && !terminal {
        complain_line!("listening for {length} s");
    }
    let examination = super::this_computer(request, |seconds, messages| {
        if terminal {
            complain!("{CLEAR_LINE}listening: {seconds} of {length} s, {messages} PTP messages ");
        }
    });
    if terminal {
        complain!("{CLEAR_LINE}");
    }
    examination.map_err(|error| Failure::new(crate::exit::OS_ERROR, error))
}
