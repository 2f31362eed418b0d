//! The configuration file.

use std::path::{Path, PathBuf};

use super::command::Request;
use super::finding::{Check, Finding, Problem};
use super::os::Os;
use crate::quoting::in_shell;

/// Faults that are shown.
const SHOWN: usize = 3;

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The file.
    pub file: PathBuf,
    /// It is there.
    pub exists: bool,
    /// Its faults, each with its place.
    pub faults: Vec<String>,
    /// The service's user, if that one may not read it.
    pub unreadable_for: Option<String>,
    /// It tells the service to only watch the clock.
    pub dry_run: bool,
    /// Whose words mend it.
    pub os: Os,
}

/// Puts together what reading it has shown; a file that was named must be there.
pub fn look(file: &Path, request: &Request, os: Os) -> Facts {
    Facts {
        file: file.to_owned(),
        exists: file.symlink_metadata().is_ok(),
        faults: request.config_faults.clone(),
        unreadable_for: None,
        dry_run: request.dry_run,
        os,
    }
}

/// Judges it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let file = facts.file.display();
    let word = in_shell(&file.to_string());
    let mut found = Vec::new();
    if !facts.faults.is_empty() {
        let more = facts.faults.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let shown: Vec<&str> = facts.faults.iter().take(SHOWN).map(String::as_str).collect();
        found.push(Problem::ConfigFault.seen(
            format!("{}{more}", shown.join("; ")),
            format!(
                "mend it until dantetimesync check-config {word} finds nothing: before that the service does not start, \
                 and the doctor goes by the defaults"
            ),
        ));
    }
    if let Some(user) = &facts.unreadable_for {
        found.push(Problem::ConfigUnreadable.seen(
            format!("{file} cannot be read by {user}, the user that the service runs as: it does not start"),
            format!(
                "sudo chmod a+rX {} {word}",
                in_shell(&facts.file.parent().unwrap_or(&facts.file).display().to_string())
            ),
        ));
    }
    if facts.dry_run {
        found.push(Problem::DryRun.seen(
            format!("dry-run = true in {file}: the service only watches, and leaves the clock alone"),
            format!("take that line out of the file, then {}", facts.os.restart_service()),
        ));
    }
    Check::Config.found(found, || match facts.exists {
        true => format!("{file} has no fault"),
        false => format!("there is no {file}: the defaults hold"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(file: &Path, faults: &[&str]) -> Facts {
        Facts {
            file: file.to_owned(),
            exists: file.exists(),
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
            unreadable_for: None,
            dry_run: false,
            os: Os::Linux,
        }
    }

    fn found(file: &Path, faults: &[&str]) -> Finding {
        check(&facts(file, faults)).remove(0)
    }

    #[test]
    fn a_file_that_the_service_cannot_read_and_one_that_lets_it_only_watch() {
        let file = Path::new("/etc/dantetimesync/config.toml");
        let unreadable = Facts { unreadable_for: Some("dantetimesync".to_owned()), ..facts(file, &[]) };
        let found = check(&unreadable).remove(0);
        assert_eq!(found.problem, Some(Problem::ConfigUnreadable));
        assert_eq!(
            found.mend.as_deref(),
            Some("sudo chmod a+rX /etc/dantetimesync /etc/dantetimesync/config.toml")
        );
        let watching = Facts { dry_run: true, ..facts(file, &[]) };
        assert_eq!(check(&watching)[0].problem, Some(Problem::DryRun));
    }

    #[test]
    fn no_file_and_a_good_file_are_fine() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        assert!(found(&file, &[]).seen.contains("defaults"));
        std::fs::write(&file, "interface = \"eth0\"\n").unwrap();
        let good = found(&file, &[]);
        assert!(good.problem.is_none() && good.seen.contains("no fault"));
    }

    #[test]
    fn faults_are_told_and_of_many_the_first() {
        let file = Path::new("config.toml");
        let one = found(file, &["config.toml:2: utc-slew: found 0, allowed 1..500"]);
        assert_eq!(one.problem, Some(Problem::ConfigFault));
        assert_eq!(one.seen, "config.toml:2: utc-slew: found 0, allowed 1..500");
        assert!(found(file, &["a", "b", "c", "d", "e"]).seen.ends_with("c; and 2 more"));
        let missing = found(file, &["cannot read the configuration file x"]);
        assert_eq!(missing.problem, Some(Problem::ConfigFault));
    }
}
