//! The folder of the state file, as the service finds it on Linux, where it runs as a user of its own.

use std::path::{Path, PathBuf};

use super::{Facts, OWN_FOLDER, Written};
use crate::doctor::account::{Account, Want};
use crate::doctor::host::Host;
use crate::doctor::os::Os;
use crate::doctor::rights;

/// Writes a small file there and removes it again, and asks whether the service's user could have.
pub fn look(host: &Host, file: Option<&Path>, rights: &rights::Facts, account: Option<&Account>) -> Facts {
    let mut facts = super::look(file.map(|file| seen(host, file, rights)).as_deref(), rights.root, Os::Linux);
    let found = facts.folder.take();
    // As it is called.
    facts.folder = file.and_then(Path::parent).map(Path::to_owned);
    let (Some(account), Some(found), Some(called)) = (account, found, facts.folder.clone()) else {
        return facts;
    };
    let (place, runs) = (place(&called), rights.service.is_some());
    if is_refused(account, &found, place, runs, &facts.written) {
        facts.written = Written::ForbiddenFor(account.name.clone());
        if place == Place::InsideOwn {
            // What is there refuses, and not what is to be made in it.
            let missing = found.ancestors().take_while(|folder| !folder.exists()).count();
            facts.folder = called.ancestors().nth(missing).map(Path::to_owned);
        }
    }
    facts
}

/// Where the service sees a file: what its unit hides or protects is so for it alone.
fn seen(host: &Host, file: &Path, rights: &rights::Facts) -> PathBuf {
    let root = rights.service.filter(|_| rights.root).map(|pid| host.path(format!("/proc/{pid}/root")));
    let root = root.filter(|root| root.is_dir()).unwrap_or_else(|| host.path("/"));
    root.join(file.strip_prefix("/").unwrap_or(file))
}

/// Where a folder lies, for the unit of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// systemd gives it its owner at each start.
    Own,
    /// The service makes there what it lacks.
    InsideOwn,
    /// The unit lets the service make nothing there.
    Elsewhere,
}

fn place(folder: &Path) -> Place {
    let own = Path::new(OWN_FOLDER);
    if folder == own {
        Place::Own
    } else if folder.starts_with(own) {
        Place::InsideOwn
    } else {
        Place::Elsewhere
    }
}

/// Whether the service's user may not write where we may.
fn is_refused(account: &Account, folder: &Path, place: Place, runs: bool, written: &Written) -> bool {
    let there = folder.ancestors().find(|folder| folder.exists());
    let may_write = there.is_none_or(|folder| account.may(Want::Write, folder));
    match (written, place) {
        (_, Place::Own) if !runs => false,
        (Written::ToBeMade, Place::InsideOwn) if !runs => false,
        (Written::ToBeMade, _) if !runs => true,
        (Written::Yes | Written::ToBeMade, _) => !may_write,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Problem;
    use crate::doctor::host::made_up::World;
    use crate::doctor::state::check;

    #[test]
    fn where_a_stopped_service_may_write_is_asked_of_its_user_and_not_of_root() {
        let world = World::new()
            .file("/etc/passwd", "dts:x:64999:64999::/:/bin/false\n")
            .file("/srv/a/there", "")
            .file("/var/lib/dantetimesync/state.json", "")
            .file("/var/lib/dantetimesync/roots/state.json", "");
        let host = world.host();
        let account = Account::named(&host, "dts");
        assert!(account.is_some());
        let rights = rights::Facts { root: true, service: None, ..rights::look(&host, false) };
        let seen = |file: &str| {
            let facts = look(&host, Some(Path::new(file)), &rights, account.as_ref());
            check(&facts).remove(0)
        };
        for elsewhere in ["/srv/a/state.json", "/srv/a/b/state.json"] {
            let found = seen(elsewhere);
            assert_eq!(found.problem, Some(Problem::StateReadOnly), "{found:?}");
            assert!(found.seen.contains("cannot be written by dts"), "{}", found.seen);
            let mend = found.mend.unwrap();
            assert!(mend.starts_with("state-file = \"/var/lib/dantetimesync/state.json\""), "{mend}");
        }
        let own = "/var/lib/dantetimesync";
        assert_eq!(seen(&format!("{own}/state.json")).problem, None, "systemd gives it to the service");
        assert_eq!(seen(&format!("{own}/new/state.json")).problem, None, "the service makes it there");
        let found = seen(&format!("{own}/roots/state.json"));
        assert_eq!(found.mend, Some(format!("sudo chown dts: {own}/roots")), "{found:?}");
        // A service that runs could not make it there: what refuses is what is there.
        let running = rights::Facts { service: Some(77), ..rights };
        let file = format!("{own}/roots/new/state.json");
        let facts = look(&host, Some(Path::new(&file)), &running, account.as_ref());
        let found = check(&facts).remove(0);
        assert_eq!(found.mend, Some(format!("sudo chown dts: {own}/roots")), "{found:?}");
    }
}
