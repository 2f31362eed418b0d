//! Taking the clock over from another service, and giving it back.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::rival_units::{self, RivalUnit};
use super::systemctl::{Systemctl, UNIT, runs};
use super::{Takeover, answer, cannot};
use crate::cli::Service;
use crate::config::Choices;
use crate::daemon::rivals;
use crate::exit::{self, FAILED, Failure, NO_INPUT, UNAVAILABLE};
use crate::state::file::replace;
use crate::time::Span;

/// More than the units of all time services there are take.
const LENGTH_MAX: u64 = 16 * 1024;

/// The file that remembers what was stopped. It is root's, since what is in it is started as root.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    units: Vec<RivalUnit>,
}

impl Memory {
    /// The file at `path`, which need not exist.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What was stopped and not given back yet.
    pub fn read(&self) -> Result<Vec<RivalUnit>, Failure> {
        let mut text = String::new();
        match File::open(&self.path).and_then(|file| file.take(LENGTH_MAX).read_to_string(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(|error| cannot(&format!("read {}", self.path.display()), &error))?,
        };
        let remembered: Remembered = serde_json::from_str(&text).map_err(|error| {
            let path = self.path.display();
            let reason =
                anyhow::anyhow!("{path} does not say what was stopped: {error}; mend it or delete it");
            Failure::new(NO_INPUT, reason)
        })?;
        Ok(remembered.units)
    }

    /// Remembers these; nothing is left of the file where there are none.
    fn write(&self, units: Vec<RivalUnit>) -> Result<(), Failure> {
        let written = if units.is_empty() { self.forget() } else { self.keep(&Remembered { units }) };
        written.map_err(|error| cannot(&format!("write {}", self.path.display()), &error))
    }

    fn forget(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// On the disk before anything is stopped.
    fn keep(&self, remembered: &Remembered) -> io::Result<()> {
        replace(&self.path, &serde_json::to_string_pretty(remembered)?)
    }
}

/// Stops what steers the clock, remembers it, and starts the service.
pub fn takeover(options: &Takeover) -> Result<ExitCode, Failure> {
    let systemctl = Systemctl::of_this_computer();
    let memory = Memory::new(&options.memory);
    let Some(ours) = own_unit(&systemctl)? else {
        let reason = anyhow::anyhow!("{UNIT} is not installed: dantetimesync service install");
        return Err(Failure::new(UNAVAILABLE, reason));
    };
    let rivals = rival_units::found(&systemctl)?;
    if options.if_free && !rivals.is_empty() {
        let names: Vec<&str> = rivals.iter().map(|rival| rival.unit.as_str()).collect();
        say_line!("{} steers the clock; nothing was changed.", names.join(", "));
        say_line!("To hand the clock over: dantetimesync service takeover");
        return Ok(ExitCode::SUCCESS);
    }
    let before = memory.read()?;
    if !rivals.is_empty() {
        require_an_answer(options)?;
        memory.write(with_new(&before, &rivals))?;
    }
    let done = stop(&systemctl, &rivals).and_then(|()| start(&systemctl, options));
    if let Err(failure) = done {
        say_line!("that did not work; putting everything back as it was ...");
        match put_back(&systemctl, &ours, rivals, &before, &memory) {
            Ok(()) => say_line!("everything is as it was"),
            Err(other) => say_line!("not everything could be put back: {:#}", other.error),
        }
        return Err(failure);
    }
    Ok(ExitCode::SUCCESS)
}

/// Our own unit as it stands, if there is one.
fn own_unit(systemctl: &Systemctl) -> Result<Option<RivalUnit>, Failure> {
    let Some(file) = systemctl.unit_file(UNIT)? else { return Ok(None) };
    let active = runs(&systemctl.state(UNIT)?);
    Ok(Some(RivalUnit { unit: UNIT.to_owned(), active, enabled: file.starts_with("enabled") }))
}

/// After a takeover that has failed: our own unit is as it was, and so is what was stopped now. What an earlier takeover
/// stopped stays so.
fn put_back(
    systemctl: &Systemctl,
    ours: &RivalUnit,
    stopped: Vec<RivalUnit>,
    before: &[RivalUnit],
    memory: &Memory,
) -> Result<(), Failure> {
    let halted = if ours.active { Ok(()) } else { systemctl.act(&["stop", UNIT]) };
    let disabled = if ours.enabled { Ok(()) } else { systemctl.act(&["disable", UNIT]) };
    // Whatever became of our own: nobody is left without a clock service.
    let left = give_all_back(systemctl, stopped);
    memory.write(with_new(before, &left))?;
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|rival| rival.unit.as_str()).collect();
        let reason = anyhow::anyhow!("{} (dantetimesync service release tries again)", names.join(", "));
        return Err(Failure::new(FAILED, reason));
    }
    halted.and(disabled)
}

/// Those, and of these the ones that are not among them.
fn with_new(before: &[RivalUnit], more: &[RivalUnit]) -> Vec<RivalUnit> {
    let new = more.iter().filter(|rival| before.iter().all(|known| known.unit != rival.unit));
    before.iter().chain(new).cloned().collect()
}

/// Nobody is left without a date: first one of our own servers must have told it.
fn require_an_answer(options: &Takeover) -> Result<(), Failure> {
    let service = Service { file: options.config.clone(), options: Choices::default() };
    let servers = service.settings()?.config.ntp_servers;
    let named = servers.join(", ");
    if servers.is_empty() {
        let reason = "the configuration has skip-ntp, so nobody would set the date: name an ntp-server first";
        return Err(Failure::new(UNAVAILABLE, anyhow::anyhow!(reason)));
    }
    say_line!("asking {named} for the time ...");
    let patience = options.patience;
    let Some(answered) = answer::first(&servers, Span::from_secs(i64::from(patience)))? else {
        return Err(Failure::new(
            UNAVAILABLE,
            anyhow::anyhow!(
                "none of our NTP servers ({named}) has answered in {patience} s: nothing was changed. Name one that \
                 does as ntp-server in the configuration"
            ),
        ));
    };
    say_line!("{} has answered: this computer's clock is {} off", answered.server, answered.clock_ahead);
    Ok(())
}

fn stop(systemctl: &Systemctl, rivals: &[RivalUnit]) -> Result<(), Failure> {
    for rival in rivals {
        systemctl.act(&["disable", "--now", &rival.unit])?;
        say_line!("stopped {rival}");
    }
    Ok(())
}

fn start(systemctl: &Systemctl, options: &Takeover) -> Result<(), Failure> {
    if options.no_start {
        systemctl.act(&["enable", UNIT])?;
        say_line!("{UNIT} will be started at boot");
        return Ok(());
    }
    let left = rivals::names();
    if !left.is_empty() {
        let reason =
            anyhow::anyhow!("{} steers the clock and is no service: end it, and try again", left.join(", "));
        return Err(Failure::new(UNAVAILABLE, reason));
    }
    systemctl.act(&["enable", UNIT])?;
    if let Err(failure) = systemctl.act(&["start", UNIT]) {
        let code = systemctl.property(UNIT, "ExecMainStatus")?;
        let meaning = code.parse().ok().and_then(exit::meaning);
        let because = meaning.map_or_else(String::new, |meaning| format!(": {meaning} (exit code {code})"));
        let told =
            format!("the service did not start{because}; `journalctl -u dantetimesync` has its last words");
        return Err(Failure { error: failure.error.context(told), ..failure });
    }
    say_line!("{UNIT} runs, and is started at boot");
    Ok(())
}

/// Stops the service, and starts what was stopped for it.
pub fn release(memory: &Memory) -> Result<ExitCode, Failure> {
    let systemctl = Systemctl::of_this_computer();
    let remembered = memory.read()?;
    if systemctl.unit_file(UNIT)?.is_some() {
        systemctl.act(&["disable", "--now", UNIT])?;
        say_line!("stopped {UNIT}");
    }
    let left = give_all_back(&systemctl, remembered);
    let code = if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) };
    memory.write(left)?;
    Ok(code)
}

/// Starts these again; gives those that could not be.
fn give_all_back(systemctl: &Systemctl, stopped: Vec<RivalUnit>) -> Vec<RivalUnit> {
    let mut left = Vec::new();
    for rival in stopped {
        if !rival.is_known() {
            say_line!("left out {}: it does not steer clocks", rival.unit);
            continue;
        }
        match give_back(systemctl, &rival) {
            Ok(()) => say_line!("gave the clock back: {} is as it was", rival.unit),
            Err(failure) => {
                say_line!("{} was not given back: {:#}", rival.unit, failure.error);
                left.push(rival);
            }
        }
    }
    left
}

fn give_back(systemctl: &Systemctl, rival: &RivalUnit) -> Result<(), Failure> {
    // It may have been removed meanwhile, and then there is nothing to give back to.
    if systemctl.unit_file(&rival.unit)?.is_none() && !rival.unit.contains('@') {
        return Ok(());
    }
    if rival.enabled {
        systemctl.act(&["enable", &rival.unit])?;
    }
    if rival.active {
        systemctl.act(&["start", &rival.unit])?;
    }
    Ok(())
}
