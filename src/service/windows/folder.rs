//! The service's folder: everybody may read it, and only administrators and the system may write, because it holds
//! what the service, which may set the clock, believes.
//!
//! `%ProgramData%` lets every user make folders, and such a folder lets every user make files. So what is found at the
//! service's place before the first installation may be anybody's, or lead elsewhere (a junction). It is moved away
//! and never changed: a new folder is made with its rights, and what an administrator has put into a folder of his own comes along.
#![allow(unsafe_code, reason = "rights are given, and owners told, by system calls only")]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};

use windows_sys::Win32::Security::Authorization::SE_FILE_OBJECT;
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::{
    CreateDirectoryW, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT,
    READ_CONTROL,
};
use windows_sys::core::{PCWSTR, w};

use super::tool;
use crate::ownership::{self, Descriptor, Owner};
use crate::place;

/// Owned by administrators; they and the system may do everything, users read. Nothing is inherited from above, and
/// all of it is inherited by what lies in it.
const RIGHTS: PCWSTR = w!("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)");

/// What comes along from a folder that was there before.
const KEPT: [&str; 6] = [
    "config.toml",
    "state.json",
    "events.jsonl",
    super::OPTIONS,
    super::takeover::FILE,
    crate::daemon::FOUND_FILE,
];

/// Makes the folder, or makes it the service's own; where the old one lies, if something of it was not believed.
///
/// # Errors
/// When something of the old one is in use, or the system refuses; then it is as it was.
pub(super) fn own(folder: &Path) -> io::Result<Option<PathBuf>> {
    let found = fs::symlink_metadata(folder).map(|_| ());
    if found.is_ok() && is_own(folder).unwrap_or(false) {
        return lock_file(folder).map(|()| None);
    }
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    // It takes its place when all is in it.
    let new = beside(folder, "new")?;
    create(&new)?;
    let replaced = fill(&new, folder).and_then(|came| {
        let aside = found.is_ok().then(|| set_aside(folder)).transpose()?;
        fs::rename(&new, folder)?;
        Ok(aside.filter(|aside| !is_spent(aside, &came)))
    });
    if replaced.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    replaced
}

/// Whether it is a folder that an earlier installation has made, and nobody else could.
fn is_own(folder: &Path) -> io::Result<bool> {
    let meta = fs::symlink_metadata(folder)?;
    let opened = open(folder)?;
    let protected = ownership::is_protected(opened.as_raw_handle(), SE_FILE_OBJECT)?;
    Ok(meta.is_dir() && !is_link(&meta) && protected && owner(folder)?.is_administrators())
}

/// A name beside the folder that nothing has.
fn beside(folder: &Path, what: &str) -> io::Result<PathBuf> {
    let name = |number: u32| {
        let mut name = OsString::from(folder);
        name.push(format!(".{what}-{number}"));
        PathBuf::from(name)
    };
    let free = (1..1000).map(name).find(|path| fs::symlink_metadata(path).is_err());
    free.ok_or_else(|| io::Error::other("a thousand old folders lie there already"))
}

fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let aside = beside(folder, "before")?;
    fs::rename(folder, &aside).map_err(|error| {
        let told = format!("{} is in use: close what has it open ({error})", folder.display());
        io::Error::new(error.kind(), told)
    })?;
    Ok(aside)
}

fn create(folder: &Path) -> io::Result<()> {
    let rights = Descriptor::parse(RIGHTS)?;
    let attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
        lpSecurityDescriptor: rights.as_ptr(),
        bInheritHandle: 0,
    };
    let wide: Vec<u16> = folder.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: the path ends with a zero; it, the attributes and the rights outlive the call.
    let made = unsafe { CreateDirectoryW(wide.as_ptr(), &raw const attributes) };
    if made == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Copies what is believed of an old folder, whose files would keep their rights if they were moved; the names of those
/// that came. Nothing comes out of a folder of somebody else, or through a link: he could change where that leads.
fn fill(new: &Path, old: &Path) -> io::Result<Vec<&'static str>> {
    lock_file(new)?;
    let whole = fs::symlink_metadata(old).is_ok_and(|meta| meta.is_dir() && !is_link(&meta));
    if !whole || !owner(old).and_then(|owner| owner.is_trusted()).unwrap_or(false) {
        return Ok(Vec::new());
    }
    let mut came = Vec::new();
    for name in KEPT.into_iter().filter(|name| is_believed(&old.join(name))) {
        fs::copy(old.join(name), new.join(name))?;
        came.push(name);
    }
    Ok(came)
}

/// Removes from the old folder what has come along and what is of no worth, and the folder when nothing is left.
fn is_spent(aside: &Path, came: &[&str]) -> bool {
    let worthless = [place::LOCK_NAME, place::PID_NAME];
    for name in came.iter().copied().chain(worthless).filter(|name| is_believed(&aside.join(name))) {
        let _ = fs::remove_file(aside.join(name));
    }
    fs::remove_dir(aside).is_ok()
}

fn is_believed(file: &Path) -> bool {
    let plain = fs::symlink_metadata(file).is_ok_and(|meta| meta.is_file() && !is_link(&meta));
    plain && owner(file).and_then(|owner| owner.is_trusted()).unwrap_or(false)
}

fn is_link(meta: &fs::Metadata) -> bool {
    meta.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0
}

/// Of the thing itself, not of what it leads to.
fn owner(path: &Path) -> io::Result<Owner> {
    Owner::of(open(path)?.as_raw_handle(), SE_FILE_OBJECT)
}

fn open(path: &Path) -> io::Result<File> {
    let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
    OpenOptions::new().access_mode(READ_CONTROL).custom_flags(flags).open(path)
}

/// The file that says that the service runs: whoever can read it could lock it, and keep the service from starting.
fn lock_file(folder: &Path) -> io::Result<()> {
    let file = folder.join(place::LOCK_NAME);
    OpenOptions::new().append(true).create(true).open(&file)?;
    // SYSTEM and Administrators.
    let rights = ["/inheritance:r", "/grant:r", "*S-1-5-18:F", "*S-1-5-32-544:F"];
    let mut arguments = vec![file.into_os_string()];
    arguments.extend(rights.map(OsString::from));
    tool::run("icacls.exe", &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_there_gives_only_what_belongs_to_us_and_a_new_one_is_empty() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("data");
        assert_eq!(own(&folder).unwrap(), None);
        let names = |folder: &Path| {
            let mut names: Vec<_> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(names(&folder), [place::LOCK_NAME]);

        let older = above.path().join("older");
        fs::create_dir_all(older.join("config.toml")).unwrap();
        fs::write(older.join("state.json"), "{}").unwrap();
        fs::write(older.join("planted.dll"), "").unwrap();
        fs::write(older.join(place::LOCK_NAME), "").unwrap();
        let left = own(&older).unwrap().unwrap();
        assert_eq!(names(&older), [place::LOCK_NAME, "state.json"]);
        assert_eq!(names(&left), ["config.toml", "planted.dll"]);
        assert!(left.to_string_lossy().ends_with("older.before-1"));
    }
}
