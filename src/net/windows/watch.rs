//! A thread that looks at what may change beside the network's datagrams, so that the loop need not: interfaces,
//! addresses, and other software that needs the ports.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use windows_registry::LOCAL_MACHINE;

use super::event::{self, Event};
use super::process::{self, Process};
use crate::net::capture::Surroundings;
use crate::net::interface::{self, Interface};
use crate::net::{Capture, NetworkError, NetworkOptions};
use crate::time::Span;

/// How often it looks. This is how fast a replugged cable's new address is noticed.
const LOOK_EVERY: Span = Span::from_secs(5);
/// News that wait; more are held back until these are taken.
const QUEUE: usize = 4;

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The interfaces that can be listened on.
    pub usable: Result<Vec<Interface>, NetworkError>,
    /// Other software.
    pub surroundings: Surroundings,
}

/// What can be seen now.
pub fn look(options: &NetworkOptions) -> News {
    Eye::default().look(options)
}

/// What looks, and what it does not look at each time.
#[derive(Debug, Default)]
struct Eye {
    looks: u32,
    service: Option<String>,
}

impl Eye {
    fn look(&mut self, options: &NetworkOptions) -> News {
        let usable = interface::usable(options.interface.as_deref(), options.loopback);
        if options.capture == Capture::Raw {
            return News { usable, surroundings: Surroundings::default() };
        }
        if self.looks.is_multiple_of(SERVICES_EVERY) {
            self.service = dante_service(&images_of_services());
        }
        self.looks = self.looks.wrapping_add(1);
        let ports = [options.event_port, options.general_port];
        News { usable, surroundings: beside(self.service.clone(), ports) }
    }
}

/// Other software on this computer that needs or holds these ports.
pub(crate) fn surroundings(ports: [u16; 2]) -> Surroundings {
    beside(dante_service(&images_of_services()), ports)
}

/// The same beside this service of Dante's.
fn beside(service: Option<String>, ports: [u16; 2]) -> Surroundings {
    let folders = ["ProgramFiles", "ProgramFiles(x86)"].into_iter().filter_map(std::env::var_os);
    let folders: Vec<PathBuf> = folders.map(PathBuf::from).collect();
    Surroundings { dante: dante(&folders, &process::running()).or(service), owners: process::owners(ports) }
}

/// The services are looked at once in so many looks, a minute: the list is long, and software that is installed while
/// this program runs mostly shows by its folder.
const SERVICES_EVERY: u32 = 12;

const SERVICES: &str = r"SYSTEM\CurrentControlSet\Services";
/// No computer has more.
const SERVICES_MAX: usize = 20_000;

/// The files of all services of this computer, with their arguments: so software is found that lies in another folder
/// than that of all programs, and does not run.
fn images_of_services() -> Vec<String> {
    let Ok(services) = LOCAL_MACHINE.open(SERVICES) else { return Vec::new() };
    let Ok(names) = services.keys() else { return Vec::new() };
    let image = |name: String| services.open(name).ok()?.get_string("ImagePath").ok();
    names.take(SERVICES_MAX).filter_map(image).collect()
}

/// Audinate has services that need no ports too, beside Dante Controller.
fn dante_service(images: &[String]) -> Option<String> {
    let images: Vec<String> = images.iter().map(|image| image.to_lowercase()).collect();
    let known = DANTE.iter().find(|(_, folder, beginnings)| {
        let (folder, ours) = (folder.to_lowercase(), |image: &&String| image.contains("audinate"));
        let begins =
            |image: &String| beginnings.iter().any(|beginning| image.contains(&format!(r"\{beginning}")));
        images.iter().filter(ours).any(|image| image.contains(&folder) || begins(image))
    });
    known.map(|(name, ..)| (*name).to_owned())
}

/// Software of Audinate that needs the ports when it starts: its folder in that of all programs, and the beginnings
/// of the names of its processes.
const DANTE: [(&str, &str, &[&str]); 2] = [
    ("Dante Virtual Soundcard", r"Audinate\Dante Virtual Soundcard", &["dvs", "ptp.exe"]),
    ("Dante Via", r"Audinate\Dante Via", &["dantevia", "dante via"]),
];

fn dante(folders: &[PathBuf], running: &[Process]) -> Option<String> {
    for (name, folder, beginnings) in DANTE {
        let begins = |process: &&Process| {
            let process = process.name.to_lowercase();
            beginnings.iter().any(|beginning| process.starts_with(beginning))
        };
        if let Some(Process { pid, name: process }) = running.iter().find(begins) {
            return Some(format!("{name} ({process}, pid {pid})"));
        }
        if folders.iter().any(|programs| programs.join(Path::new(folder)).is_dir()) {
            return Some(name.to_owned());
        }
    }
    None
}

/// The thread, and what it has to say.
#[derive(Debug)]
pub struct Watch {
    news: Receiver<News>,
    ready: Arc<Event>,
    stop: Arc<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts to look for what differs from `known`.
    ///
    /// # Errors
    /// When there is no thread or no event to be had.
    pub fn start(options: NetworkOptions, known: News) -> io::Result<Self> {
        let (outbox, news) = sync_channel(QUEUE);
        let ready = Arc::new(Event::passing()?);
        let stop = Arc::new(Event::lasting()?);
        let (told, end) = (Arc::clone(&ready), Arc::clone(&stop));
        let watch = move || run(&options, known, &outbox, &told, &end);
        let thread = Some(thread::Builder::new().name("watch".to_owned()).spawn(watch)?);
        Ok(Self { news, ready, stop, thread })
    }

    /// The number of the event that tells that there are news. The wait that it ends resets it.
    pub fn number(&self) -> i32 {
        self.ready.number()
    }

    /// The next news, if there are any.
    pub fn next(&self) -> Option<News> {
        self.news.try_recv().ok()
    }
}

fn run(options: &NetworkOptions, mut known: News, outbox: &SyncSender<News>, ready: &Event, stop: &Event) {
    let mut eye = Eye::default();
    loop {
        let waited = event::wait([stop.number()].into_iter(), LOOK_EVERY);
        if waited.is_err() || event::is_set(stop.number()) {
            return;
        }
        let seen = eye.look(options);
        if seen != known && outbox.try_send(seen.clone()).is_ok() {
            known = seen;
            ready.set();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(name: &str) -> Vec<Process> {
        vec![Process { pid: 4, name: "System".to_owned() }, Process { pid: 77, name: name.to_owned() }]
    }

    #[test]
    fn dantes_software_is_found_running_or_installed() {
        let programs = tempfile::tempdir().unwrap();
        let folders = [programs.path().join("none"), programs.path().to_owned()];
        assert_eq!(dante(&folders, &running("explorer.exe")), None);
        assert_eq!(dante(&[], &running("PTP.EXE")).unwrap(), "Dante Virtual Soundcard (PTP.EXE, pid 77)");
        assert!(dante(&[], &running("DanteVia.exe")).unwrap().starts_with("Dante Via ("));
        std::fs::create_dir_all(programs.path().join("Audinate/Dante Controller")).unwrap();
        assert_eq!(dante(&folders, &[]), None, "it does not use the ports");
        std::fs::create_dir_all(programs.path().join("Audinate/Dante Via")).unwrap();
        assert_eq!(dante(&folders, &[]).unwrap(), "Dante Via");
    }

    #[test]
    fn services_are_looked_at_once_a_minute() {
        let options = NetworkOptions::default();
        let mut eye = Eye { looks: 1, service: Some("Dante Via".to_owned()) };
        for _ in 1..SERVICES_EVERY {
            assert_eq!(eye.look(&options).surroundings.dante.as_deref(), Some("Dante Via"));
        }
        // Here is none.
        assert_eq!(eye.look(&options).surroundings.dante, None);
    }

    #[test]
    fn it_is_found_by_its_services_wherever_it_lies() {
        let found = |image: &str| dante_service(&[r"system32\svchost.exe".to_owned(), image.to_owned()]);
        let soundcard = Some("Dante Virtual Soundcard".to_owned());
        assert_eq!(found(r#""D:\Audio\Audinate\Dante Virtual Soundcard\manager.exe" -s"#), soundcard);
        assert_eq!(found(r"E:\AUDINATE\PTP.EXE"), soundcard);
        assert_eq!(found(r"E:\Audinate\Via\DanteVia.exe").as_deref(), Some("Dante Via"));
        assert_eq!(found(r"D:\Audinate\Shared Files\ConMon_server.exe"), None);
        assert_eq!(found(r"D:\Others\ptp.exe"), None);
        assert!(!images_of_services().is_empty());
    }
}
