//! The terminal view, in a terminal of this Linux that Wine shows as a console.

use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::leader::Leader;
use crate::process::Process;
use crate::world::{TOLD_AT_PIPE, World};

/// Until a screen shows what it shall, on a computer that is busy.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(500);

/// The terminal of tmux, 80 by 24, in which one program runs; it ends with this value.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// `None` where there is no tmux.
    fn start(command: &Command) -> Option<Self> {
        let socket = format!("dantetimesync-wine-{}", std::process::id());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let set: Vec<String> = set
            .map(|(name, value)| format!("{}='{}'", name.to_str().unwrap(), value.to_str().unwrap()))
            .collect();
        // What remains of the screen when the program has ended is looked at too.
        let line = format!("env {} {}; echo ended $?; sleep 600", set.join(" "), words.join(" "));
        let terminal = Self { socket };
        let started =
            terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &line])?;
        assert!(started.status.success(), "{started:?}");
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Option<Output> {
        Command::new("tmux").args(["-L", &self.socket]).args(arguments).output().ok()
    }

    fn screen(&self) -> String {
        let shown = self.tmux(&["capture-pane", "-p"]).unwrap();
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]).unwrap();
    }

    #[track_caller]
    fn wait_for(&self, text: &str) -> String {
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

#[test]
fn the_terminal_view_shows_the_leader_and_ends_by_q() {
    let Some(world) = World::create("the terminal view") else { return };
    let _leader = Leader::start(&world.namespaces, &[]);
    let exe = world.exe.to_str().unwrap().to_owned();
    let watch = exe.replace(".exe", "-watch.exe");
    let Some(terminal) = Terminal::start(&world.command(&watch, &[])) else {
        eprintln!("the terminal view: skipped, there is no tmux");
        return;
    };
    let follow = [&["--dry-run", "--skip-ntp"], &TOLD_AT_PIPE[..]].concat();
    let _follower = Process::start(&mut world.command(&exe, &follow));
    // Wine's console moves the cursor its own way, so that lines run into each other; words are whole.
    let screen = terminal.wait_for("02:00:5e:10:00:01");
    println!("{screen}");
    terminal.press("q");
    terminal.wait_for("ended 0");
}
