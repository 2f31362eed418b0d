//! Asks for the status twice a second, in a thread of its own: a server that hangs must not freeze the screen.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use dantetimesync::clock::platform::raw_clock;
use dantetimesync::status::Status;
use dantetimesync::status::client::ask;
use dantetimesync::time::{Raw, Timestamp};

/// The program hands over a snapshot this often.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What came of asking.
#[derive(Debug)]
pub struct Told {
    /// When it was told.
    pub at: Timestamp<Raw>,
    /// The status, or why there is none.
    pub status: Result<Box<Status>, String>,
}

/// The answers, as they come.
#[derive(Debug)]
pub struct Feed {
    answers: Receiver<Told>,
    /// Dropped with the feed, which ends the thread.
    _stop: Sender<()>,
}

impl Feed {
    /// Of the program that tells its status at `path`.
    pub fn of(path: &Path) -> Self {
        let (sender, answers) = channel();
        let (stop, stopped) = channel::<()>();
        let path = path.to_owned();
        thread::spawn(move || {
            loop {
                let status = ask(&path).map(Box::new).map_err(|error| error.to_string());
                if sender.send(Told { at: raw_clock(), status }).is_err() {
                    return;
                }
                // Only its time limit ends this wait, or the end of the feed.
                if stopped.recv_timeout(ASK_EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        });
        Self { answers, _stop: stop }
    }

    /// What has been told since the last call.
    pub fn news(&self) -> impl Iterator<Item = Told> {
        self.answers.try_iter()
    }
}
