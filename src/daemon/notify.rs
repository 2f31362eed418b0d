//! What the service manager is told: ready, still alive, what is going on (systemd's `sd_notify` protocol; the one of
//! Windows hears only that the start has worked out).
//!
//! Written here and not taken from a library because the loop must never wait: a datagram that does not fit is lost.

use std::ffi::OsStr;
use std::io;

use tracing::{debug, warn};

use crate::time::{Raw, Span, Timestamp};

/// The manager is told so often within its watchdog's time.
const BEATS: i64 = 3;

/// Without a watchdog the status line is renewed this often.
const STATUS_EVERY: Span = Span::from_secs(10);

#[cfg(target_os = "linux")]
type Socket = std::os::unix::net::UnixDatagram;

/// Other systems' managers are not told in this way.
#[cfg(not(target_os = "linux"))]
type Socket = std::net::UdpSocket;

/// The way to the service manager; leads nowhere where there is none.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<Socket>,
    every: Span,
    beat_at: Timestamp<Raw>,
    ready: bool,
}

impl Notifier {
    /// As the environment says: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` where `WATCHDOG_PID` is this process or not set.
    pub fn from_environment() -> Self {
        let read = |name| std::env::var(name).ok();
        let own = read("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog =
            read("WATCHDOG_USEC").filter(|_| own).and_then(|us| us.parse().ok()).map(Span::from_us);
        Self::new(std::env::var_os("NOTIFY_SOCKET").as_deref(), watchdog)
    }

    fn new(address: Option<&OsStr>, watchdog: Option<Span>) -> Self {
        let socket = address.map(open).and_then(|opened| {
            opened
                .map_err(|error| warn!(%error, "the service manager cannot be told that the service runs"))
                .ok()
        });
        let every =
            watchdog.filter(|watchdog| *watchdog > Span::ZERO).map_or(STATUS_EVERY, |it| it.part(BEATS));
        Self { socket, every, beat_at: Timestamp::EPOCH, ready: false }
    }

    /// Tells once that other services may start.
    pub fn ready(&mut self, status: &str) {
        if !std::mem::replace(&mut self.ready, true) {
            self.tell(&format!("READY=1\nSTATUS={status}"));
            #[cfg(windows)]
            crate::service::windows::running();
        }
    }

    /// Whether that was told.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Tells, when it is time to, that the service is alive, and what it does.
    pub fn beat(&mut self, now: Timestamp<Raw>, status: impl FnOnce() -> String) {
        if self.socket.is_some() && now >= self.beat_at {
            self.beat_at = now + self.every;
            self.tell(&format!("WATCHDOG=1\nSTATUS={}", status()));
        }
    }

    /// Tells that the service ends as it was told to.
    pub fn stopping(&mut self) {
        self.tell("STOPPING=1\nSTATUS=ending");
    }

    fn tell(&mut self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            // A watchdog that hears nothing for its whole time says so itself.
            debug!(%error, "the service manager was not told");
        }
    }
}

/// A path, or with `@` in front a name in Linux' abstract namespace.
#[cfg(target_os = "linux")]
fn open(address: &OsStr) -> io::Result<Socket> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::SocketAddr;

    let socket = Socket::unbound()?;
    socket.set_nonblocking(true)?;
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(not(target_os = "linux"))]
fn open(_: &OsStr) -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    fn at(seconds: i64) -> Timestamp<Raw> {
        Timestamp::from_ns(seconds * 1_000_000_000)
    }

    fn heard(manager: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    fn manager(folder: &std::path::Path) -> (UnixDatagram, std::path::PathBuf) {
        let path = folder.join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        (manager, path)
    }

    #[test]
    fn the_manager_hears_ready_once_and_beats_at_a_third_of_the_watchdogs_time() {
        let folder = tempfile::tempdir().unwrap();
        let (manager, path) = manager(folder.path());
        let mut notifier = Notifier::new(Some(path.as_os_str()), Some(Span::from_secs(30)));
        notifier.ready("waiting");
        notifier.ready("again");
        assert_eq!(heard(&manager).as_deref(), Some("READY=1\nSTATUS=waiting"));
        assert_eq!(heard(&manager), None);
        let beats = (1..=30).filter(|second| {
            notifier.beat(at(*second), || "Locked".to_owned());
            heard(&manager).inspect(|told| assert_eq!(told, "WATCHDOG=1\nSTATUS=Locked")).is_some()
        });
        assert_eq!(beats.collect::<Vec<_>>(), [1, 11, 21]);
        notifier.stopping();
        assert!(heard(&manager).unwrap().starts_with("STOPPING=1"));
    }

    #[test]
    fn a_manager_that_does_not_read_or_is_gone_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let (manager, path) = manager(folder.path());
        let mut notifier = Notifier::new(Some(path.as_os_str()), None);
        for second in 0..10_000 {
            notifier.beat(at(second), || "x".repeat(100));
        }
        drop(manager);
        notifier.stopping();
        let mut nobody = Notifier::new(Some(OsStr::new("/nowhere/notify")), None);
        nobody.ready("");
        Notifier::new(None, None).beat(at(1), || panic!("nobody listens"));
    }

    #[test]
    fn an_abstract_name_is_reached() {
        let name = format!("dantetimesync-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        Notifier::new(Some(OsStr::new(&format!("@{name}"))), None).ready("");
        assert!(heard(&manager).unwrap().starts_with("READY=1"));
    }
}
