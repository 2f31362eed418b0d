//! A named pipe, which every user of this computer may read, and nobody of another one.

mod pipe;

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::net::windows::event::{self, Event};
use crate::net::windows::process::running;
use crate::time::Span;
use pipe::{Name, Pipe};

/// Whoever asks while all places are taken waits for so long …
const BUSY_WAIT: Duration = Duration::from_secs(3);
/// … and tries so often: each time somebody else was faster.
const TRIES: u32 = 100;
/// A server that is busy listens again within this; else what is there are remains.
const REMAINS_WAIT: Duration = Duration::from_secs(1);
/// So long it is waited for the listener's end when the place is given back. It ends at once, unless it is waiting
/// for one of those that it serves.
const CLOSE_WAIT: Span = Span::from_ms(500);

/// Somebody who asks, or the one who is asked.
#[derive(Debug)]
pub struct Connection {
    pipe: Pipe,
    limit: Duration,
}

/// The place to ask.
#[derive(Debug)]
pub struct Listener {
    name: Name,
    /// The end that the next one who asks will find; there is always one, so that nobody else can take the name.
    next: Mutex<Option<Pipe>>,
    stop: Arc<Event>,
    closed: Arc<Event>,
}

/// The name of the place; nobody finds it any more when this is dropped.
#[derive(Debug)]
pub struct Claim {
    stop: Arc<Event>,
    closed: Arc<Event>,
}

/// Opens the place.
///
/// # Errors
/// When another program has it already, which is named; when the path is none of a pipe, or the system refuses.
pub fn open(path: &Path) -> io::Result<(Listener, Claim)> {
    let name = Name::of(path)?;
    let first = claim(&name)?;
    let (stop, closed) = (Arc::new(Event::lasting()?), Arc::new(Event::lasting()?));
    let claim = Claim { stop: Arc::clone(&stop), closed: Arc::clone(&closed) };
    Ok((Listener { name, next: Mutex::new(Some(first)), stop, closed }, claim))
}

/// The first end of a name that nobody has. It is asked there first, so that whoever has it can be named.
fn claim(name: &Name) -> io::Result<Pipe> {
    let served = Pipe::connect(name).or_else(|error| {
        if !pipe::is_busy(&error) {
            return Err(error);
        }
        pipe::wait_listening(name, REMAINS_WAIT)?;
        Pipe::connect(name)
    });
    let in_use = |told: String| io::Error::new(io::ErrorKind::AddrInUse, told);
    match served {
        Ok(other) => Err(in_use(format!("{} serves it", server_of(&other)))),
        Err(error) if pipe::is_busy(&error) || error.kind() == io::ErrorKind::TimedOut => {
            // Somebody still holds on to a program that has ended. The name is ours again, unless it never was.
            let pipe = Pipe::create_another(name).map_err(|_| in_use(HELD.to_owned()))?;
            if pipe.owner()?.is_trusted()? { Ok(pipe) } else { Err(in_use(HELD.to_owned())) }
        }
        Err(_) => Pipe::create_first(name).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => in_use(HELD.to_owned()),
            _ => error,
        }),
    }
}

/// What is known of whoever has the name and does not serve it.
const HELD: &str = "a program of another user holds the name";

fn server_of(pipe: &Pipe) -> String {
    let Some(pid) = pipe.server() else { return "another process".to_owned() };
    let process = running().into_iter().find(|process| process.pid == pid);
    let name = process.map_or_else(|| "another process".to_owned(), |process| process.name);
    format!("{name} (pid {pid})")
}

impl Listener {
    /// Waits for the next one who asks; nothing when the place has been given back.
    ///
    /// # Errors
    /// When the system refuses, as where memory is short.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        loop {
            let pipe = match self.exchange(None) {
                Some(pipe) => pipe,
                None => claim(&self.name)?,
            };
            let came = pipe.wait_for_client(&self.stop);
            if event::is_set(self.stop.number()) {
                return Ok(None);
            }
            // Before this end can be closed.
            self.exchange(Pipe::create_another(&self.name).ok());
            match came {
                Ok(()) => return Ok(Some(Connection { pipe, limit: BUSY_WAIT })),
                // It has come and gone.
                Err(error) if pipe::is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn exchange(&self, next: Option<Pipe>) -> Option<Pipe> {
        std::mem::replace(&mut *self.next.lock().unwrap_or_else(PoisonError::into_inner), next)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.exchange(None));
        self.closed.set();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.stop.set();
        let _ = event::wait([self.closed.number()].into_iter(), CLOSE_WAIT);
    }
}

/// Asks at `path`.
///
/// # Errors
/// When nobody is there, asking is not allowed, or too many others are asking.
pub fn connect(path: &Path) -> io::Result<Connection> {
    let name = Name::of(path)?;
    for _ in 0..TRIES {
        match Pipe::connect(&name) {
            Err(error) if pipe::is_busy(&error) => pipe::wait_listening(&name, BUSY_WAIT)?,
            connected => return connected.map(|pipe| Connection { pipe, limit: BUSY_WAIT }),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

impl Connection {
    /// One write, and one read, take at most so long.
    ///
    /// # Errors
    /// None on this system.
    pub fn set_time_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.limit = limit;
        Ok(())
    }
}

impl Read for Connection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.pipe.read(bytes, self.limit) {
            Err(error) if pipe::is_gone(&error) => Ok(0),
            read => read,
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pipe.write(bytes, self.limit)
    }
    /// What was written reaches the one who asks without it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
