//! `dantetimesync watch`: the running service in the terminal, until q is pressed.
//!
//! A program of its own, so that nothing of a terminal is linked into the one that steers. It only asks for the
//! status, as everybody may; [`screen`] draws it, as a function of what was told.

mod course;
mod feed;
mod screen;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use dantetimesync::cli::Watch;
use dantetimesync::clock::platform::raw_clock;
use dantetimesync::exit::{FAILED, USAGE};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use course::Course;
use feed::Feed;
use screen::{Palette, View};

/// How long a key may wait for its effect, and a new status to be drawn.
const TICK: Duration = Duration::from_millis(100);

/// Watches dantetimesync in the terminal.
#[derive(Debug, Parser)]
#[command(name = "dantetimesync-watch", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    watch: Watch,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            let _ = error.print();
            return code;
        }
    };
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        complain("this is no terminal; `dantetimesync status` prints the same once");
        return ExitCode::from(USAGE);
    }
    // Also restores the terminal when this program panics.
    let mut terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => {
            complain(&format!("the terminal cannot be used: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let watched = watch(&mut terminal, &cli.watch);
    ratatui::restore();
    match watched {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

fn watch(terminal: &mut DefaultTerminal, options: &Watch) -> anyhow::Result<()> {
    let stop = stop_flag();
    let feed = Feed::of(&dantetimesync::cli::status_place(options.socket.as_deref())?);
    let mut course = Course::default();
    let mut view = View::new(Palette::from_environment());
    while !stop.load(Ordering::Relaxed) {
        let mut news = false;
        for told in feed.news() {
            news = true;
            course.add(&told);
            view.take(told);
        }
        if news || view.redraw || view.ticks() {
            view.redraw = false;
            let now = raw_clock();
            terminal.draw(|frame| screen::draw(frame, &view, &course, now)).context("cannot draw")?;
        }
        if event::poll(TICK).context("cannot read the keyboard")? {
            match event::read().context("cannot read the keyboard")? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if ends(&key) {
                        return Ok(());
                    }
                    view.press(key.code);
                }
                Event::Resize(..) => view.redraw = true,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whoever does not read it ends nothing.
fn complain(why: &str) {
    let _ = writeln!(std::io::stderr(), "dantetimesync-watch: {why}");
}

fn ends(key: &KeyEvent) -> bool {
    let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
    matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc)
        || (with_control && matches!(key.code, KeyCode::Char('c' | 'd')))
}

/// Set by what ends a program, so that the terminal is restored.
fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // Refused, the signal ends the program the hard way; so does a second one.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop));
        let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
    }
    // Of a terminal that has gone away nothing is restored, and what reads it does not come back. Whoever starts this
    // with `nohup` has the signal ignored, which would keep it reading for ever.
    #[cfg(unix)]
    let _ = signal_hook::flag::register_conditional_shutdown(
        signal_hook::consts::SIGHUP,
        1,
        Arc::new(AtomicBool::new(true)),
    );
    stop
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_shows_an_example() {
        Cli::command().debug_assert();
        assert!(Cli::command().render_long_help().to_string().contains("Example"));
    }

    #[test]
    fn q_escape_and_control_c_end_it() {
        let key = |code, modifiers| ends(&KeyEvent::new(code, modifiers));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE) && key(KeyCode::Esc, KeyModifiers::NONE));
        assert!(key(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE) && !key(KeyCode::Char('w'), KeyModifiers::NONE));
    }
}
