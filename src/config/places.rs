//! The places of the settings: each file is a file of its own.

use std::path::{Component, Path, PathBuf};

use super::allowed::Allowed;
use super::file::FileError;
use super::{Choices, Fault, Reader, Settings, default_file, file, table};
use crate::place;

/// What the program writes for one setting.
#[derive(Debug)]
struct Place {
    name: &'static str,
    file: PathBuf,
    /// What is written first and then put in its place.
    new: Option<PathBuf>,
}

impl Place {
    fn of(name: &'static str, file: &Path) -> Self {
        let file = whole(file);
        // Nothing is written into a socket.
        let new = (name != "status-socket").then(|| place::new_beside(&file));
        Self { name, file, new }
    }

    fn writes(&self, path: &Path) -> bool {
        self.file == path || self.new.as_deref() == Some(path)
    }

    /// Why it may not be beside `other`, which has this name.
    fn clash(&self, other: &Self, named: &str) -> Option<String> {
        let what = match () {
            () if self.file == other.file => format!("{named} names the same"),
            () if self.new.as_ref() == Some(&other.file) => format!("it is written by way of {named}"),
            () if other.new.as_ref() == Some(&self.file) => format!("{named} is written by way of it"),
            () => return None,
        };
        Some(format!("a file of its own: {what}"))
    }
}

impl Reader<'_> {
    /// Two things in one place would write over each other, or over the configuration.
    pub(super) fn check_places(&mut self) {
        let names = table::SETTINGS.iter().filter(|setting| setting.allowed == Allowed::File);
        let mut places: Vec<Place> =
            names.filter_map(|it| Some(Place::of(it.name, &self.place_of(it.name)?))).collect();
        // What has no line cannot be mended: it comes first, so that it is told of the one that has.
        places.sort_by_key(|place| self.choices.of(place.name).last().map(|choice| &choice.origin));
        let own: Vec<PathBuf> = place::own().iter().map(|path| whole(path)).collect();
        for (index, place) in places.iter().enumerate() {
            if !self.is_given(place.name) {
                continue;
            }
            self.check_configuration(place);
            if own.iter().any(|own| place.writes(own)) {
                let allowed = "a file of its own: dantetimesync keeps something else there";
                self.refuse(place.name, allowed.to_owned());
            }
            let mut earlier = places.iter().take(index);
            if let Some(why) = earlier.find_map(|other| place.clash(other, &self.named(other.name))) {
                self.refuse(place.name, why);
            }
        }
    }

    fn check_configuration(&mut self, place: &Place) {
        let Some(file) = self.choices.file().map(|file| whole(&place::expand(file))) else { return };
        if place.file == file {
            self.refuse(place.name, "another file: the settings stand in this file".to_owned());
        } else if place.writes(&file) {
            let allowed = "another file: it is written by way of the one in which the settings stand";
            self.refuse(place.name, allowed.to_owned());
        }
    }

    /// The file of this setting, given or by default; nothing for none, and for what is wrong by itself.
    fn place_of(&self, name: &'static str) -> Option<PathBuf> {
        let setting = table::find(name)?;
        let text = match self.choices.of(name).last() {
            Some(choice) => choice.value.as_str(),
            None if name == "event-file" => {
                return Some(self.place_of("state-file")?.with_file_name(place::EVENT_NAME));
            }
            None => setting.default,
        };
        (text != "none" && setting.allowed.admits(text)).then(|| place::expand(text))
    }
}

/// Folders, devices and the like where a file is named: a file that is written takes their place.
pub(super) fn no_files(choices: &Choices) -> Vec<Fault> {
    let names = table::SETTINGS.iter().filter(|setting| setting.allowed == Allowed::File);
    // To look at a pipe of Windows is to open it.
    let names = names.filter(|setting| cfg!(not(windows)) || setting.name != "status-socket");
    let given = names.filter_map(|setting| choices.of(setting.name).last());
    let given = given.filter(|choice| choice.value != "none" && Allowed::File.admits(&choice.value));
    let faults = given.filter_map(|choice| {
        let there = place::expand(&choice.value).metadata().ok()?;
        let what = match there.file_type() {
            it if it.is_dir() => "a folder",
            it if !it.is_file() && choice.name != "status-socket" => {
                "no file but a device, a pipe or a socket"
            }
            _ => return None,
        };
        Some(Fault::of(choice, format!("{}: this is {what}", Allowed::File)))
    });
    faults.collect()
}

/// Where the service has the file of this setting: by the usual configuration file, or by default where that cannot be
/// read or has faults; nothing where it says none, or a dry run that names no place.
pub fn usual_place(name: &str) -> Option<PathBuf> {
    place_by(&default_file(), name)
}

/// Why the usual configuration file could not be asked, where there is one: it may name other places than those by
/// default.
pub fn unasked() -> Option<FileError> {
    unasked_of(&default_file())
}

fn unasked_of(file: &Path) -> Option<FileError> {
    file::read(file).err().filter(|error| !error.is_missing() && !matches!(error, FileError::Faulty(_)))
}

fn place_by(file: &Path, name: &str) -> Option<PathBuf> {
    let read = file::read(file).ok().and_then(|choices| Settings::from_choices(&choices).ok());
    let settings = read.or_else(|| Settings::from_choices(&Choices::default()).ok())?;
    if name == "event-file" { settings.event_file } else { settings.status_socket }
}

/// From the root, without detours. What links lead to is not looked at: the file need not be there yet.
fn whole(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    if cfg!(windows) { PathBuf::from(whole.to_string_lossy().to_lowercase()) } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_or_a_device_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let choices = Choices::default().with("event-file", Some(path.as_str()));
        assert!(Settings::from_choices(&choices).is_ok());
        let told = Settings::checked(&choices).unwrap_err().to_string();
        assert!(told.starts_with("event-file: found ") && told.contains("this is a folder"), "{told}");
        if cfg!(unix) {
            for name in ["state-file", "event-file"] {
                let choices = Choices::default().with(name, Some("/dev/null"));
                let told = Settings::checked(&choices).unwrap_err().to_string();
                assert!(told.ends_with("this is no file but a device, a pipe or a socket"), "{told}");
            }
        }
        let free = Choices::default().with("event-file", Some(format!("{path}/new")));
        assert!(Settings::checked(&free).is_ok());
    }

    #[test]
    fn the_usual_places_are_those_of_the_configuration_where_it_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        let root = if cfg!(windows) { "C:/" } else { "/" };
        let place = |name| place_by(&file, name).map(|path| path.display().to_string());
        let by_default = Some(place::expand(place::STATUS_SOCKET).display().to_string());
        assert_eq!(place("status-socket"), by_default);
        std::fs::write(&file, format!("dry-run = true\nstatus-socket = '{root}s'\nstate-file = '{root}d/x'"))
            .unwrap();
        assert_eq!(place("status-socket"), Some(format!("{root}s")));
        // A dry run keeps no state, and so no history beside it.
        assert_eq!(place("event-file"), None);
        std::fs::write(&file, format!("state-file = '{root}d/x'")).unwrap();
        let beside = Path::new(root).join("d").join(place::EVENT_NAME).display().to_string();
        assert_eq!(place("event-file").map(|path| path.replace('\\', "/")), Some(beside.replace('\\', "/")));
        std::fs::write(&file, "dry-run = true").unwrap();
        assert_eq!((place("status-socket"), place("event-file")), (None, None));
        std::fs::write(&file, "status-socket = 'none'\nevent-file = 'none'").unwrap();
        assert_eq!((place("status-socket"), place("event-file")), (None, None));
        std::fs::write(&file, format!("status-socket = '{root}s'\nleap = 'x'")).unwrap();
        assert_eq!(place("status-socket"), by_default);
        // That one could be asked, and so could one that is not there; not what is no file.
        assert!(unasked_of(&file).is_none() && unasked_of(&folder.path().join("missing")).is_none());
        let told = unasked_of(folder.path()).map(|error| error.to_string()).unwrap_or_default();
        assert!(told.ends_with("is a directory, and no file"), "{told}");
    }
}
