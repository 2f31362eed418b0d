//! The folder of the state file: is it there, can it be written, and is there room?

#[cfg(target_os = "linux")]
pub mod linux;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::finding::{Check, Finding, Problem};
use super::os::Os;

/// What is written to try: more than a state file has.
const TRIAL: [u8; 16_384] = [0; 16_384];

/// Where the unit of the package lets the service write.
#[cfg(any(target_os = "linux", test))]
pub const OWN_FOLDER: &str = "/var/lib/dantetimesync";

/// What came of trying to write there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It can be written.
    Yes,
    /// The folder is not there, and can be made.
    ToBeMade,
    /// The folder is not there, and cannot be made.
    Missing,
    /// It cannot be written by anybody.
    ReadOnly,
    /// There is no room.
    Full,
    /// This user may not.
    Forbidden,
    /// We may, but not the user that the service runs as.
    #[cfg(any(target_os = "linux", test))]
    ForbiddenFor(String),
    /// Another refusal, in the system's words.
    Refused(String),
}

/// The folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where it is; nothing where no state is kept.
    pub folder: Option<PathBuf>,
    /// Whether it can be written.
    pub written: Written,
    /// This process is root or an administrator, so that a refusal is meant for the service as well.
    pub root: bool,
    /// Whose words mend it.
    pub os: Os,
}

/// Writes a small file there and removes it again.
pub fn look(state_file: Option<&Path>, root: bool, os: Os) -> Facts {
    let folder = state_file.and_then(Path::parent).map(Path::to_owned);
    let written = folder.as_deref().map_or(Written::Yes, try_to_write);
    Facts { folder, written, root, os }
}

fn try_to_write(folder: &Path) -> Written {
    if !folder.exists() {
        let nearest = folder.ancestors().find(|ancestor| ancestor.exists());
        return match nearest.map(try_to_write) {
            Some(Written::Yes) => Written::ToBeMade,
            Some(Written::Forbidden) => Written::Forbidden,
            _ => Written::Missing,
        };
    }
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let opened = OpenOptions::new().write(true).create_new(true).open(&path);
    let result = opened.and_then(|mut file| file.write_all(&TRIAL).and_then(|()| file.sync_all()));
    let _ = fs::remove_file(&path);
    match result {
        Ok(()) => Written::Yes,
        Err(error) => match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => Written::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Written::Full,
            io::ErrorKind::PermissionDenied => Written::Forbidden,
            _ => Written::Refused(error.to_string()),
        },
    }
}

/// Judges it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(folder) = facts.folder.as_ref().map(|folder| folder.display().to_string()) else {
        return vec![Check::State.ok("no state is kept: every start begins anew")];
    };
    let finding = match &facts.written {
        Written::Yes => Check::State.ok(format!("{folder} can be written")),
        Written::ToBeMade => Check::State.ok(format!("{folder} is not there yet; the service makes it")),
        Written::Missing => Problem::StateMissing.seen(
            format!("{folder} is missing and cannot be made: every start begins anew"),
            facts.os.either(format!("mkdir -p {folder}"), format!("mkdir \"{folder}\"")),
        ),
        Written::Full => Problem::StateFull.seen(
            format!("no room is left in {folder}: after a restart everything is learned anew"),
            facts.os.either(format!("make room: df {folder}"), "make room on that disk".to_owned()),
        ),
        Written::Forbidden if !facts.root => Problem::StateUnread.seen(
            format!("whether the service can write to {folder} cannot be seen by this user"),
            facts.os.doctor_with_rights(),
        ),
        Written::ReadOnly => Problem::StateReadOnly.seen(
            format!("{folder} is on a file system that is read only: after a restart everything is learned anew"),
            facts.os.either(
                "name a place that can be written (--state-file FILE, systemd: StateDirectory=), or none (--state-file none)",
                "name a place that can be written (--state-file FILE), or none (--state-file none)",
            ),
        ),
        #[cfg(any(target_os = "linux", test))]
        Written::ForbiddenFor(user) => Problem::StateReadOnly.seen(
            format!("{folder} cannot be written by {user}, the user that the service runs as: after a restart everything is learned anew"),
            if Path::new(&folder).starts_with(OWN_FOLDER) {
                format!("sudo chown {user}: {folder}")
            } else {
                facts.os.setting("state-file", &format!("{OWN_FOLDER}/state.json"))
            },
        ),
        Written::Forbidden | Written::Refused(_) => {
            let reason = match &facts.written {
                Written::Refused(reason) => reason.as_str(),
                _ => "permission denied",
            };
            Problem::StateReadOnly.seen(
                format!("{folder} cannot be written ({reason}): after a restart everything is learned anew"),
                facts.os.either(
                    format!("look at its owner and mode: ls -ld {folder}"),
                    "dantetimesync service install, which gives the folder its rights again".to_owned(),
                ),
            )
        }
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(folder: &tempfile::TempDir, file: &str) -> Facts {
        look(Some(&folder.path().join(file)), true, Os::Linux)
    }

    fn problem(facts: &Facts) -> Option<Problem> {
        check(facts)[0].problem
    }

    #[test]
    fn a_folder_that_can_be_written_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(problem(&facts(&folder, "state.json")), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_folder_and_none_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let missing = facts(&folder, "var/lib/state.json");
        assert_eq!((problem(&missing), missing.written), (None, Written::ToBeMade));
        assert!(!folder.path().join("var").exists());
        fs::write(folder.path().join("var"), "").unwrap();
        assert_eq!(problem(&facts(&folder, "var/lib/state.json")), Some(Problem::StateMissing));
        let none = look(None, true, Os::Linux);
        assert!(problem(&none).is_none() && check(&none)[0].seen.contains("no state"));
    }

    #[test]
    fn a_file_in_the_way_is_a_refusal() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("here"), "").unwrap();
        let facts = facts(&folder, "here/state.json");
        // Windows has another word for it: there is no such folder.
        assert!(matches!(problem(&facts), Some(Problem::StateReadOnly | Problem::StateMissing)), "{facts:?}");
    }

    #[test]
    fn each_refusal_has_its_name_and_each_system_its_words() {
        for os in [Os::Linux, Os::Windows] {
            let facts = |written, root| Facts { folder: Some("x".into()), written, root, os };
            assert_eq!(problem(&facts(Written::ReadOnly, false)), Some(Problem::StateReadOnly));
            assert_eq!(problem(&facts(Written::Full, false)), Some(Problem::StateFull));
            assert_eq!(problem(&facts(Written::Forbidden, false)), Some(Problem::StateUnread));
            let for_user = check(&facts(Written::ForbiddenFor("dts".to_owned()), true)).remove(0);
            assert!(for_user.mend.unwrap().starts_with("state-file = "), "{os:?}");
            let own = Facts {
                folder: Some(OWN_FOLDER.into()),
                ..facts(Written::ForbiddenFor("dts".to_owned()), true)
            };
            let own = check(&own).remove(0);
            assert_eq!(own.mend.as_deref(), Some("sudo chown dts: /var/lib/dantetimesync"));
            let refused = check(&facts(Written::Forbidden, true)).remove(0);
            assert_eq!(refused.problem, Some(Problem::StateReadOnly));
            assert_eq!(refused.mend.unwrap().contains("ls -ld"), os == Os::Linux);
        }
    }
}
