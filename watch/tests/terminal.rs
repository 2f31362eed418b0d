//! The terminal view in a terminal of 80 columns and 24 lines, beside a program that comes and goes.
//!
//! Needs tmux, and the program itself beside the view; without, it skips and says why.

#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic, reason = "tests in real time")]

#[path = "../../tests/shared/terminal.rs"]
mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use terminal::Terminal;

/// What every headline of a demo has, locked or not.
const HEADLINE: &str = "(dry run: a clock made of numbers)";

/// The program to which the view belongs; cargo builds it beside the view, where the whole workspace is built.
fn program() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_dantetimesync-watch")).with_file_name("dantetimesync")
}

/// A demo that tells its status in this folder; killed when dropped.
struct Demo(Child);

impl Demo {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(program());
        command.args(["demo", "--seconds", "600", "--status-socket"]).arg(folder.join("status.sock"));
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The view of what is told in this folder, as somebody has it who came by ssh: no word about colours.
fn watch(folder: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    command.args(["watch", "--socket"]).arg(folder.join("status.sock"));
    command.env_remove("COLORTERM").env_remove("NO_COLOR").env("TERM", "xterm");
    command.envs(environment.iter().copied());
    command
}

/// `None`, and why, where this cannot be.
fn start(test: &str, command: &Command) -> Option<Terminal> {
    let why_not = if !program().exists() {
        "there is no dantetimesync beside the view: build the whole workspace"
    } else if !Command::new("tmux").arg("-V").output().is_ok_and(|out| out.status.success()) {
        "there is no tmux"
    } else {
        return Terminal::start(command);
    };
    println!("{test} skipped: {why_not}");
    None
}

/// It ends with success and leaves the terminal as it was.
#[track_caller]
fn ends_by(terminal: &Terminal, key: &str) {
    assert_eq!(terminal.is_taken_and_has_cursor(), (true, false), "{}", terminal.screen());
    terminal.press(key);
    let left = terminal.wait_for("ended 0");
    assert_eq!(terminal.is_taken_and_has_cursor(), (false, true), "{left}");
    assert_eq!(left.lines().filter(|line| !line.trim().is_empty()).count(), 1, "nothing is left: {left}");
}

#[test]
fn a_program_that_ends_and_comes_back_is_seen_to_do_so() {
    let folder = tempfile::tempdir().unwrap();
    let test = "a_program_that_ends_and_comes_back_is_seen_to_do_so";
    let Some(terminal) = start(test, &watch(folder.path(), &[])) else { return };
    let before = terminal.wait_for("No status for");
    assert!(before.contains("dantetimesync is not running") && before.contains("waiting for it"), "{before}");
    let demo = Demo::start(folder.path());
    let shown = terminal.wait_for(HEADLINE);
    assert!(shown.contains("q quit") && !shown.contains("No status"), "{shown}");
    drop(demo);
    let gone = terminal.wait_for("No status for");
    assert!(gone.contains("is not running") && gone.contains("the last that was told"), "{gone}");
    let _again = Demo::start(folder.path());
    let back = terminal.wait_for(HEADLINE);
    assert!(!back.contains("No status"), "{back}");
    terminal.wait_for("Locked (dry run");
    ends_by(&terminal, "q");
}

#[test]
fn every_terminal_is_given_back_as_it_was_by_every_key_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let _demo = program().exists().then(|| Demo::start(folder.path()));
    for (term, key) in [("xterm", "q"), ("vt100", "C-c"), ("screen-256color", "Escape")] {
        let test = "every_terminal_is_given_back_as_it_was_by_every_key_that_ends";
        let Some(terminal) = start(test, &watch(folder.path(), &[("TERM", term)])) else { return };
        let shown = terminal.wait_for(HEADLINE);
        assert!(shown.contains("q quit"), "{term}: {shown}");
        ends_by(&terminal, key);
    }
}

/// The numbers of all that sets a colour or a style.
fn styles(styled: &str) -> Vec<u32> {
    let sequences = styled.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m'));
    let numbers = sequences.flat_map(|(numbers, _)| numbers.split([';', ':']));
    numbers.filter_map(|number| number.parse().ok()).collect()
}

fn is_colour(number: &u32) -> bool {
    matches!(number, 30..=38 | 40..=48 | 90..=97 | 100..=107)
}

#[test]
fn whoever_wants_no_colours_gets_none_and_others_get_them() {
    const FAINT: u32 = 2;
    let folder = tempfile::tempdir().unwrap();
    let _demo = program().exists().then(|| Demo::start(folder.path()));
    for (no_color, colours) in [("1", false), ("", true)] {
        let test = "whoever_wants_no_colours_gets_none_and_others_get_them";
        let Some(terminal) = start(test, &watch(folder.path(), &[("NO_COLOR", no_color)])) else { return };
        terminal.wait_for(HEADLINE);
        let styled = terminal.styled();
        let styles = styles(&styled);
        assert_eq!(styles.iter().any(is_colour), colours, "NO_COLOR={no_color}: {styled:?}");
        // What is grey otherwise is faint without colours.
        assert_eq!(styles.contains(&FAINT), !colours, "NO_COLOR={no_color}: {styled:?}");
    }
}
