//! The configuration file.

use std::path::{Path, PathBuf};

use super::finding::{Check, Finding, Problem};

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
}

/// Puts together what reading it has shown; a file that was named must be there.
pub fn look(file: &Path, faults: &[String]) -> Facts {
    Facts { file: file.to_owned(), exists: file.symlink_metadata().is_ok(), faults: faults.to_vec() }
}

/// Judges it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let file = facts.file.display();
    if !facts.exists && facts.faults.is_empty() {
        return vec![Check::Config.ok(format!("there is no {file}: the defaults hold"))];
    }
    if facts.faults.is_empty() {
        return vec![Check::Config.ok(format!("{file} has no fault"))];
    }
    let more = facts.faults.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let shown: Vec<&str> = facts.faults.iter().take(SHOWN).map(String::as_str).collect();
    vec![Problem::ConfigFault.seen(
        format!("{}{more}", shown.join("; ")),
        format!("mend the file, without which the service does not start: dantetimesync check-config {file}"),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &Path, faults: &[&str]) -> Finding {
        let faults: Vec<String> = faults.iter().map(|fault| (*fault).to_owned()).collect();
        check(&look(file, &faults)).remove(0)
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
