//! Another configuration for a running service: SIGHUP reads the file again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tracing::{info, warn};

use crate::cli::Service;
use crate::config::file::FileError;
use crate::config::table::{SETTINGS, Setting};
use crate::config::{Choices, Faults, Settings};

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

/// What another configuration brings.
#[derive(Debug)]
struct News {
    choices: Choices,
    settings: Settings,
    /// What is said of it, and whether that holds already.
    told: Vec<(bool, String)>,
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
        let news = match self.news(new) {
            Ok(news) => news,
            Err(faults) => {
                refused(&faults.into());
                return None;
            }
        };
        if news.told.is_empty() {
            info!("the configuration was read again: nothing has changed");
        }
        for (holds, line) in &news.told {
            if *holds { info!("{line}") } else { warn!("{line}") }
        }
        self.running = news.choices;
        Some(news.settings)
    }

    /// The new choices are good together, and the old ones; not always the new ones that can change with the old ones
    /// that cannot. Those that are at fault wait for the restart too, and where that does not help all of them.
    fn news(&self, new: &Choices) -> Result<News, Faults> {
        let mut waiting: Vec<&str> = Vec::new();
        loop {
            let choices = self.merged(new, &waiting);
            let faults = match Settings::from_choices(&choices) {
                Ok(settings) => return Ok(News { told: self.told(new, &waiting), choices, settings }),
                Err(faults) => faults,
            };
            let live = SETTINGS.iter().filter(|setting| setting.live && self.changes(new, setting));
            let mut more: Vec<&str> = live.map(|setting| setting.name).collect();
            more.retain(|name| !waiting.contains(name));
            if more.is_empty() {
                return Err(faults);
            }
            let is_at_fault = |name: &&str| faults.all().iter().any(|fault| fault.name == *name);
            if more.iter().any(is_at_fault) {
                more.retain(is_at_fault);
            }
            waiting.extend(more);
        }
    }

    /// The new ones that can change and do not wait, and the old ones.
    fn merged(&self, new: &Choices, waiting: &[&str]) -> Choices {
        let mut merged = Choices::default();
        for setting in &SETTINGS {
            let is_taken = setting.live && !waiting.contains(&setting.name);
            let taken = if is_taken { new } else { &self.running };
            taken.of(setting.name).for_each(|choice| merged.add(choice.clone()));
        }
        merged
    }

    fn changes(&self, new: &Choices, setting: &Setting) -> bool {
        text(&self.running, setting) != text(new, setting)
    }

    fn told(&self, new: &Choices, waiting: &[&str]) -> Vec<(bool, String)> {
        let line = |setting: &Setting| {
            let Setting { name, live, .. } = setting;
            let (old, new) = (text(&self.running, setting), text(new, setting));
            if !live {
                return (
                    false,
                    format!("{name} = {new} needs a restart of the service; {old} goes on until then"),
                );
            }
            if !waiting.contains(name) {
                return (true, format!("{name} is now {new}; it was {old}"));
            }
            let why = "is good, but not beside what needs a restart of the service";
            (false, format!("{name} = {new} {why}; {old} goes on until then"))
        };
        SETTINGS.iter().filter(|setting| self.changes(new, setting)).map(line).collect()
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
    fn new_settings_that_do_not_go_with_old_ones_that_stay_wait_and_the_others_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, "skip-ntp = true\n").unwrap();
        let (mut reload, asked) = reload(&path);
        fs::write(&path, "utc-limit = '2s'\nutc-slew = 50\nlog-level = 'debug'\n").unwrap();
        let settings = hangup(&mut reload, &asked).unwrap();
        assert_eq!(settings.config.utc_limit, UtcLimit::None);
        assert_eq!(settings.config.utc_slew, crate::time::Rate::from_ppm(50.0));
        assert_eq!(settings.log_level, tracing::level_filters::LevelFilter::DEBUG);
        // Nothing is forgotten: a later file is compared with what runs.
        fs::write(&path, "skip-ntp = true\n").unwrap();
        assert_eq!(hangup(&mut reload, &asked).unwrap().config.utc_slew, crate::time::Rate::from_ppm(100.0));
    }

    #[test]
    fn it_is_said_that_the_file_is_good_and_what_needs_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, "skip-ntp = true\n").unwrap();
        let (reload, _) = reload(&path);
        fs::write(&path, "utc-limit = '2s'\nutc-slew = 50\n").unwrap();
        let news = reload.news(&reload.service.choices().unwrap()).unwrap();
        let told: Vec<&str> = news.told.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(
            told,
            [
                "skip-ntp = false needs a restart of the service; true goes on until then",
                "utc-limit = 2s is good, but not beside what needs a restart of the service; none goes on until then",
                "utc-slew is now 50; it was 100",
            ]
        );
    }
}
