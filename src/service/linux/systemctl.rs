//! The one way to the service manager.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exit::{Failure, OS_ERROR, UNAVAILABLE};

/// The service's unit.
pub const UNIT: &str = "dantetimesync.service";

/// The program `systemctl`, as it is found on the PATH.
#[derive(Debug, Clone)]
pub struct Systemctl {
    /// A folder that holds another system, which does not run.
    root: Option<PathBuf>,
}

/// A unit in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The unit.
    pub unit: String,
    /// The columns behind its name.
    pub words: Vec<String>,
}

/// Whether a unit in this state runs, or is about to.
pub fn runs(state: &str) -> bool {
    matches!(state, "active" | "activating" | "reloading")
}

impl Systemctl {
    /// Of the computer that runs.
    pub fn of_this_computer() -> Self {
        Self { root: None }
    }

    /// Of a system in a folder; only what needs no running manager works there.
    pub fn of(root: Option<&Path>) -> Self {
        Self { root: root.map(Path::to_owned) }
    }

    /// Does something, and tells what the manager says where it fails.
    pub fn act(&self, arguments: &[&str]) -> Result<(), Failure> {
        let (succeeded, _, err) = self.run(arguments)?;
        if succeeded {
            return Ok(());
        }
        let said = if err.is_empty() { "it does not say why" } else { &err };
        Err(Failure::new(OS_ERROR, anyhow::anyhow!("systemctl {} failed: {said}", arguments.join(" "))))
    }

    /// Units that match these patterns, loaded ones or files. Where no manager runs nothing is loaded.
    pub fn list(&self, what: &str, patterns: &[&str]) -> Result<Vec<Listed>, Failure> {
        let options = [what, "--all", "--full", "--plain", "--no-legend", "--no-pager", "--type=service"];
        let (_, out, _) = self.run(&[&options[..], patterns].concat())?;
        let listed = out.lines().filter_map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some(Listed { unit: words.next()?, words: words.collect() })
        });
        Ok(listed.collect())
    }

    /// `enabled`, `disabled` and so on; none where there is no such unit.
    pub fn unit_file(&self, unit: &str) -> Result<Option<String>, Failure> {
        let listed = self.list("list-unit-files", &[unit])?;
        Ok(listed
            .into_iter()
            .find(|listed| listed.unit == unit)
            .and_then(|listed| listed.words.into_iter().next()))
    }

    /// `active`, `inactive`, `failed` and so on.
    pub fn state(&self, unit: &str) -> Result<String, Failure> {
        Ok(self.run(&["is-active", unit])?.1)
    }

    /// A property of a unit; empty where no manager runs.
    pub fn property(&self, unit: &str, property: &str) -> Result<String, Failure> {
        Ok(self.run(&["show", "--value", &format!("--property={property}"), unit])?.1)
    }

    fn run(&self, arguments: &[&str]) -> Result<(bool, String, String), Failure> {
        let mut command = Command::new("systemctl");
        if let Some(root) = &self.root {
            command.arg("--root").arg(root);
        }
        let output = command.args(arguments).stdin(Stdio::null()).output().map_err(|error| {
            let why = "systemctl does not run: this needs systemd";
            Failure::new(UNAVAILABLE, anyhow::Error::from(error).context(why))
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
    }
}
