//! Whether the user that the service runs as may do what root may: by owners and modes, as the kernel decides it for
//! somebody without `CAP_DAC_OVERRIDE`. Access lists (ACLs) are not looked at.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::host::Host;

/// A user of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    uid: u32,
    groups: Vec<u32>,
}

/// What is wanted of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// To read a file.
    Read,
    /// To make files in a folder.
    Write,
    /// To pass through a folder.
    Pass,
}

impl Want {
    /// The bits of a mode that others need for it.
    const fn bits(self) -> u32 {
        match self {
            Self::Read => 0o4,
            Self::Write => 0o3,
            Self::Pass => 0o1,
        }
    }
}

impl Account {
    /// The user of this name, by `/etc/passwd` and `/etc/group`; nothing where it is not listed there.
    pub fn named(host: &Host, name: &str) -> Option<Self> {
        let users = host.read("/etc/passwd")?;
        let mut fields =
            users.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
        let (uid, gid) = (fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?);
        let groups = host.read("/etc/group").unwrap_or_default();
        let more = groups.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (gid, members) = (fields.nth(2)?.parse().ok()?, fields.next()?);
            members.split(',').any(|member| member == name).then_some(gid)
        });
        Some(Self { name: name.to_owned(), uid, groups: std::iter::once(gid).chain(more).collect() })
    }

    /// Whether it may do this at `path` and pass through all folders above; true where that cannot be seen.
    pub fn may(&self, want: Want, path: &Path) -> bool {
        self.has(want, path) && path.ancestors().skip(1).all(|folder| self.has(Want::Pass, folder))
    }

    fn has(&self, want: Want, path: &Path) -> bool {
        let Ok(meta) = path.metadata() else { return true };
        let bits = if meta.uid() == self.uid {
            meta.mode() >> 6
        } else if self.groups.contains(&meta.gid()) {
            meta.mode() >> 3
        } else {
            meta.mode()
        };
        self.uid == 0 || bits & want.bits() == want.bits()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::doctor::host::made_up::World;

    #[test]
    fn owners_groups_and_folders_above_decide() {
        let world = World::new().file("/etc/dts/config.toml", "");
        let host = world.host();
        let (file, folder) = (host.path("/etc/dts/config.toml"), host.path("/etc/dts"));
        let meta = file.metadata().unwrap();
        let (owner, group) = (meta.uid(), meta.gid());
        let account = |uid, groups: &[u32]| Account { name: "x".to_owned(), uid, groups: groups.to_vec() };
        let stranger = account(owner + 1, &[group + 1]);
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        // The folder that the made-up world lies in is its owner's own.
        set(&host.path("/"), 0o755);
        set(&folder, 0o755);
        set(&file, 0o640);
        assert!(!stranger.may(Want::Read, &file));
        assert!(account(owner + 1, &[group + 1, group]).may(Want::Read, &file));
        set(&file, 0o644);
        assert!(stranger.may(Want::Read, &file) && !stranger.may(Want::Write, &folder));
        set(&folder, 0o750);
        assert!(!stranger.may(Want::Read, &file));
        set(&folder, 0o777);
        assert!(stranger.may(Want::Write, &folder));
        assert!(account(0, &[]).may(Want::Write, &folder));
        assert!(stranger.may(Want::Read, Path::new("/no/such/file")));
    }

    #[test]
    fn users_are_found_with_all_their_groups() {
        let world = World::new()
            .file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndts:x:107:115::/:/usr/sbin/nologin\n")
            .file("/etc/group", "adm:x:4:syslog,dts\ndts:x:115:\naudio:x:29:dtsx\n");
        let account = Account::named(&world.host(), "dts").unwrap();
        assert_eq!(account, Account { name: "dts".to_owned(), uid: 107, groups: vec![115, 4] });
        assert_eq!(Account::named(&world.host(), "nobody"), None);
    }
}
