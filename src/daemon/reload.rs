//! Another configuration for a running service: SIGHUP reads the file again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tracing::{info, warn};

use crate::cli::Service;
use crate::config::file::FileError;
use crate::config::table::{SETTINGS, Setting};
use crate::config::{Choices, Settings};

/// Reads the file beside the loop, which must not wait for a disk, and compares it with what is running.
#[derive(Debug)]
pub struct Reload {
    asked: Arc<AtomicBool>,
    service: Service,
    running: Choices,
    /// A thread reads.
    reading: bool,
    send: SyncSender<Result<Choices, FileError>>,
    receive: Receiver<Result<Choices, FileError>>,
}

impl Reload {
    /// `running` is what the service was started with.
    pub fn new(service: Service, running: Choices) -> Self {
        let (send, receive) = sync_channel(1);
        Self { asked: Arc::default(), service, running, reading: false, send, receive }
    }

    /// What a signal sets to have the file read again.
    pub fn asked(&self) -> &Arc<AtomicBool> {
        &self.asked
    }

    /// The new settings, when there are some. Never waits.
    pub fn poll(&mut self) -> Option<Settings> {
        if !self.reading && self.asked.swap(false, Ordering::Relaxed) {
            self.start_reading();
        }
        let read = self.receive.try_recv().ok()?;
        self.reading = false;
        match read {
            Ok(choices) => self.take(&choices),
            Err(error) => {
                refused(&error);
                None
            }
        }
    }

    fn start_reading(&mut self) {
        let (service, send) = (self.service.clone(), self.send.clone());
        let read = move || {
            // The receiver may have gone, with the program.
            let _ = send.send(service.choices());
        };
        match thread::Builder::new().name("config".to_owned()).spawn(read) {
            Ok(_) => self.reading = true,
            Err(error) => warn!(%error, "the configuration was not read again; the old settings stay"),
        }
    }

    /// Tells what changes and what cannot, a line each, and gives what holds from now on.
    fn take(&mut self, new: &Choices) -> Option<Settings> {
        let mut merged = Choices::default();
        let mut told = Vec::new();
        for setting in &SETTINGS {
            let (old_text, new_text) = (text(&self.running, setting), text(new, setting));
            let taken = if setting.live { new } else { &self.running };
            taken.of(setting.name).for_each(|choice| merged.add(choice.clone()));
            if old_text != new_text {
                told.push((setting, old_text, new_text));
            }
        }
        let settings = match Settings::from_choices(&merged) {
            Ok(settings) => settings,
            // The new ones are good together, and the old ones; not the new ones that can change with the old
            // ones that cannot.
            Err(faults) => {
                refused(&faults.into());
                return None;
            }
        };
        if told.is_empty() {
            info!("the configuration was read again: nothing has changed");
        }
        for (Setting { name, live, .. }, old, new) in told {
            if *live {
                info!("{name} is now {new}; it was {old}");
            } else {
                warn!("{name} = {new} needs a restart of the service; {old} goes on until then");
            }
        }
        self.running = merged;
        Some(settings)
    }
}

fn refused(error: &FileError) {
    warn!("the configuration was read again and is not used; the old settings stay");
    for line in error.to_string().lines() {
        warn!("{line}");
    }
}

/// What a setting is set to, for people.
fn text(choices: &Choices, setting: &Setting) -> String {
    let values: Vec<&str> = choices.of(setting.name).map(|choice| choice.value.as_str()).collect();
    if values.is_empty() { setting.default.to_owned() } else { values.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::{Config, UtcLimit};
    use crate::time::Span;

    fn reload(path: &Path) -> (Reload, Arc<AtomicBool>) {
        let service = Service { file: Some(path.to_owned()), options: Choices::default() };
        let running = service.choices().unwrap();
        let reload = Reload::new(service, running);
        let asked = Arc::clone(reload.asked());
        (reload, asked)
    }

    /// What a hangup brings, once the file was read.
    fn hangup(reload: &mut Reload, asked: &AtomicBool) -> Option<Settings> {
        asked.store(true, Ordering::Relaxed);
        let mut settings = reload.poll();
        while reload.reading {
            thread::yield_now();
            settings = reload.poll();
        }
        settings
    }

    #[test]
    fn what_can_change_does_and_the_rest_stays_until_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, "interface = 'eth0'\nutc-limit = '1s'\n").unwrap();
        let (mut reload, asked) = reload(&path);
        assert_eq!(reload.poll(), None);
        fs::write(&path, "interface = 'eth1'\nutc-limit = '2s'\nutc-slew = 50\n").unwrap();
        let settings = hangup(&mut reload, &asked).unwrap();
        assert_eq!(settings.interface.as_deref(), Some("eth0"));
        assert_eq!(settings.config.utc_limit, UtcLimit::Within(Span::from_secs(2)));
        fs::write(&path, "interface = 'eth0'\n").unwrap();
        assert_eq!(hangup(&mut reload, &asked).unwrap().config, Config::default());
    }

    #[test]
    fn a_file_with_faults_or_without_a_trace_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, "utc-limit = '1s'\n").unwrap();
        let (mut reload, asked) = reload(&path);
        fs::write(&path, "utc-limit = '2s'\nleap = 'x'\n").unwrap();
        assert_eq!(hangup(&mut reload, &asked), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(hangup(&mut reload, &asked), None);
        // And a mended one is taken.
        fs::write(&path, "utc-limit = '2s'\n").unwrap();
        assert!(hangup(&mut reload, &asked).is_some());
    }

    #[test]
    fn new_settings_that_do_not_go_with_old_ones_that_stay_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, "skip-ntp = true\n").unwrap();
        let (mut reload, asked) = reload(&path);
        fs::write(&path, "utc-limit = '2s'\n").unwrap();
        assert_eq!(hangup(&mut reload, &asked), None);
    }
}
