//! A terminal of tmux in which one program runs.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Until a screen shows what it shall, on a computer that is busy.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(500);

/// Made so far by this process.
static MADE: AtomicU32 = AtomicU32::new(0);

/// The terminal of tmux, 80 by 24, in which one program runs; it ends with this value.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// `None` where there is no tmux. What the command sets or removes of the environment is set or removed.
    pub fn start(command: &Command) -> Option<Self> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { socket: format!("dantetimesync-{}-{number}", std::process::id()) };
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let set = command.get_envs().map(|(name, value)| match value {
            Some(value) => format!("'{}={}'", name.to_str().unwrap(), value.to_str().unwrap()),
            None => format!("-u '{}'", name.to_str().unwrap()),
        });
        // Names that are removed must come before those that are set.
        let mut set: Vec<String> = set.collect();
        set.sort_by_key(|word| !word.starts_with("-u"));
        // What remains of the screen when the program has ended is looked at too.
        let line = format!("env {} {}; echo ended $?; sleep 600", set.join(" "), words.join(" "));
        let started =
            terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &line])?;
        assert!(started.status.success(), "{started:?}");
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Option<Output> {
        Command::new("tmux").args(["-L", &self.socket]).args(arguments).output().ok()
    }

    fn said(&self, arguments: &[&str]) -> String {
        let said = self.tmux(arguments).unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    pub fn screen(&self) -> String {
        self.said(&["capture-pane", "-p"])
    }

    /// The same with what makes it coloured, bold or faint.
    pub fn styled(&self) -> String {
        self.said(&["capture-pane", "-p", "-e"])
    }

    /// Whether the screen is the one that programs take for themselves, and whether the cursor is seen.
    pub fn is_taken_and_has_cursor(&self) -> (bool, bool) {
        let flags = self.said(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        let (taken, cursor) = flags.trim().split_once(' ').unwrap_or_else(|| panic!("{flags:?}"));
        (taken == "1", cursor == "1")
    }

    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]).unwrap();
    }

    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(Instant::now() < end, "no {text:?} on the screen:\n{screen}");
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}
