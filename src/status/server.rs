//! Serves the newest status. The thread that steers only ever tries to put one into the slot.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use tracing::{debug, warn};

use super::Status;
use super::transport::{self, Claim, Connection, Listener};
use crate::snapshot::Snapshot;

/// Served at one time; more wait until one of them is done.
const SERVED_MAX: usize = 8;
/// Whoever asks and does not take the answer holds a place for this long per write …
const WRITE_LIMIT: Duration = Duration::from_secs(2);
/// … and gets so many of them. A status is shorter than what the kernel takes at once.
const WRITES_MAX: usize = 4;
/// A status that could not be accepted is tried again after this: too many open files, usually.
const REFUSED_WAIT: Duration = Duration::from_millis(500);
/// The threads need little, and where memory is locked they must not take more.
const STACK: usize = 128 * 1024;

/// Serves the status; when it is dropped, nobody finds it any more.
#[derive(Debug)]
pub struct StatusServer {
    shared: Arc<Shared>,
    _claim: Claim,
    dry_run: bool,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Option<Arc<Status>>>,
    /// How many are being served.
    served: Mutex<usize>,
    done: Condvar,
}

impl StatusServer {
    /// Serves at `path`. Where that cannot be, it costs one warning, and nobody is served.
    pub fn open(path: &Path, dry_run: bool) -> Option<Self> {
        let shared = Arc::new(Shared::default());
        let opened = transport::open(path).and_then(|(listener, claim)| {
            let shared = Arc::clone(&shared);
            let accept = move || accept(&listener, &shared);
            thread::Builder::new().name("status".to_owned()).stack_size(STACK).spawn(accept)?;
            Ok(claim)
        });
        match opened {
            Ok(claim) => Some(Self { shared, _claim: claim, dry_run }),
            Err(error) => {
                warn!(
                    "no status at {} ({error}): `dantetimesync status` and `watch` will not work. Name another place \
                     with --status-socket PATH, or none",
                    path.display()
                );
                None
            }
        }
    }

    /// Hands the newest snapshot over. Where the serving thread is looking at the slot in this very moment, the
    /// snapshot is left out, and the next one comes soon.
    pub fn publish(&self, snapshot: Snapshot) {
        let status = Arc::new(Status::new(snapshot, self.dry_run));
        let old = match self.shared.slot.try_lock() {
            Ok(mut slot) => slot.replace(status),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().replace(status),
            Err(TryLockError::WouldBlock) => return,
        };
        drop(old);
    }

    /// Holds the slot as the serving thread does.
    #[cfg(test)]
    pub(super) fn while_looked_at(&self, look: impl FnOnce()) {
        let _slot = self.shared.slot.lock().unwrap_or_else(PoisonError::into_inner);
        look();
    }
}

fn accept(listener: &Listener, shared: &Arc<Shared>) {
    loop {
        let connection = match listener.accept() {
            Ok(Some(connection)) => connection,
            Ok(None) => return,
            Err(error) => {
                debug!(%error, "nobody could be told the status");
                #[allow(
                    clippy::disallowed_methods,
                    reason = "not the thread that steers, and it must not spin"
                )]
                thread::sleep(REFUSED_WAIT);
                continue;
            }
        };
        let place = Place::take(shared);
        let serve = move || {
            if let Err(error) = serve(connection, &place.0) {
                debug!(%error, "a status was not taken");
            }
        };
        if let Err(error) = thread::Builder::new().name("status".to_owned()).stack_size(STACK).spawn(serve) {
            debug!(%error, "no thread to tell the status");
        }
    }
}

/// One of the [`SERVED_MAX`] places, given back when it is dropped.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Self {
        let served = shared.served.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |served: &mut usize| *served >= SERVED_MAX;
        let mut served = shared.done.wait_while(served, full).unwrap_or_else(PoisonError::into_inner);
        *served += 1;
        Self(Arc::clone(shared))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut served = self.0.served.lock().unwrap_or_else(PoisonError::into_inner);
        *served = served.saturating_sub(1);
        self.0.done.notify_one();
    }
}

fn serve(mut connection: Connection, shared: &Shared) -> io::Result<()> {
    serve_on(&mut connection, shared)
}

fn serve_on(connection: &mut Connection, shared: &Shared) -> io::Result<()> {
    connection.set_time_limit(WRITE_LIMIT)?;
    let status = shared.slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(status) = status else { return Ok(()) };
    let mut text = serde_json::to_vec(&*status)?;
    text.push(b'\n');
    let mut rest = text.as_slice();
    for _ in 0..WRITES_MAX {
        let written = connection.write(rest)?;
        rest = rest.get(written..).unwrap_or_default();
        if rest.is_empty() {
            return connection.flush();
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "it was taken too slowly"))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests in real time")]
mod tests {
    #[cfg(unix)]
    use std::io::Read;
    use std::sync::mpsc::channel;
    #[cfg(unix)]
    use std::time::Instant;

    use super::*;
    #[cfg(unix)]
    use crate::time::Timestamp;

    #[test]
    fn the_ninth_waits_until_one_of_the_eight_is_done() {
        let shared = Arc::new(Shared::default());
        let mut served: Vec<Place> = (0..SERVED_MAX).map(|_| Place::take(&shared)).collect();
        let (sender, taken) = channel();
        let ninth = Arc::clone(&shared);
        let waiting = thread::spawn(move || sender.send(Place::take(&ninth)).is_ok());
        assert!(taken.recv_timeout(Duration::from_millis(50)).is_err(), "all places are taken");
        served.pop();
        assert!(taken.recv_timeout(Duration::from_secs(60)).is_ok());
        assert!(waiting.join().unwrap());
    }

    /// Longer than the system takes of a connection that nobody reads.
    #[cfg(unix)]
    fn endless() -> Snapshot {
        Snapshot::before_start(Timestamp::EPOCH, Timestamp::EPOCH, &"x".repeat(600 * 1024))
    }

    #[cfg(unix)]
    fn place() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.sock");
        (folder, path)
    }

    /// Until `done`; panics after a minute.
    #[cfg(unix)]
    fn wait_until(what: &str, done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[cfg(unix)]
    #[test]
    fn whoever_takes_nothing_costs_a_limited_time() {
        let (_folder, path) = place();
        let (listener, _claim) = transport::open(&path).unwrap();
        let asking = transport::connect(&path).unwrap();
        let connection = listener.accept().unwrap().unwrap();
        let shared = Shared::default();
        *shared.slot.lock().unwrap() = Some(Arc::new(Status::new(endless(), false)));
        let (sender, ended) = channel();
        let began = Instant::now();
        thread::spawn(move || sender.send(serve(connection, &shared)));
        let limit = Duration::from_secs(30);
        let refused = ended.recv_timeout(limit).expect("it ends by itself").unwrap_err();
        let took = began.elapsed();
        assert!(matches!(refused.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{refused}");
        assert!(took >= WRITE_LIMIT, "{took:?}");
        drop(asking);
    }

    #[cfg(unix)]
    #[test]
    fn eight_who_take_nothing_keep_the_ninth_waiting_and_no_longer_than_their_time() {
        let (_folder, path) = place();
        let server = StatusServer::open(&path, false).unwrap();
        server.publish(endless());
        let began = Instant::now();
        let mut hanging: Vec<_> = (0..SERVED_MAX).map(|_| transport::connect(&path).unwrap()).collect();
        // The first octet of it: what they are being told is the endless one.
        hanging.iter_mut().for_each(|it| it.read_exact(&mut [0]).unwrap());
        let served = || *server.shared.served.lock().unwrap();
        wait_until("all places are taken", || served() == SERVED_MAX);
        server.publish(Snapshot::before_start(Timestamp::EPOCH, Timestamp::EPOCH, "short"));
        let mut ninth = transport::connect(&path).unwrap();
        ninth.set_time_limit(Duration::from_secs(60)).unwrap();
        let mut told = String::new();
        ninth.read_to_string(&mut told).unwrap();
        let waited = began.elapsed();
        assert!(waited >= WRITE_LIMIT, "{waited:?}: it did not wait");
        assert_eq!(serde_json::from_str::<Status>(&told).unwrap().snapshot.reason, "short");
        drop(hanging);
        wait_until("all places are given back", || served() == 0);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_read_from_whoever_talks() {
        let (_folder, path) = place();
        let (listener, _claim) = transport::open(&path).unwrap();
        let mut talking = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let mut connection = listener.accept().unwrap().unwrap();
        talking.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        // The server's own end of it, looked at after the answer.
        let shared = Shared::default();
        *shared.slot.lock().unwrap() = Some(Arc::new(Status::new(
            Snapshot::before_start(Timestamp::EPOCH, Timestamp::EPOCH, "x"),
            false,
        )));
        serve_on(&mut connection, &shared).unwrap();
        let mut said = [0; 3];
        connection.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"GET", "it was still there");
        drop(connection);
        let mut told = String::new();
        // What was not read makes the end an error, after the answer.
        let ended = talking.read_to_string(&mut told).map_err(|error| error.kind());
        assert!(ended.is_ok() || ended == Err(io::ErrorKind::ConnectionReset), "{ended:?}");
    }
}
