//! Whether lines can be drawn anew and in colour, which a console of Windows must be asked for.
#![cfg_attr(windows, allow(unsafe_code, reason = "the console's mode is set by a call of the system"))]

use std::fmt::Arguments;
use std::io::{IsTerminal, Write};

/// What people are told: whoever does not read it to the end (`| head`) or leaves no room for it ends nothing that is
/// being done.
macro_rules! say {
    ($($words:tt)*) => { $crate::terminal::write(std::io::stdout(), format_args!($($words)*)) };
}

/// The same with the end of the line.
macro_rules! say_line {
    () => { say!("\n") };
    ($($words:tt)*) => { say!("{}\n", format_args!($($words)*)) };
}

/// The same to standard error.
macro_rules! complain {
    ($($words:tt)*) => { $crate::terminal::write(std::io::stderr(), format_args!($($words)*)) };
}

/// The same with the end of the line.
macro_rules! complain_line {
    ($($words:tt)*) => { complain!("{}\n", format_args!($($words)*)) };
}

/// Writes it, if that is possible.
pub fn write(mut to: impl Write, words: Arguments<'_>) {
    let _ = to.write_fmt(words).and_then(|()| to.flush());
}

/// Begins the present line of a terminal anew.
pub const CLEAR_LINE: &str = "\r\x1b[K";

/// Whether `stream` shows a person escape sequences as what they mean.
#[cfg(unix)]
pub fn draws_on(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
}

/// Whether `stream` shows a person escape sequences as what they mean: a console does since Windows 10, when asked.
#[cfg(windows)]
pub fn draws_on(stream: &(impl IsTerminal + std::os::windows::io::AsRawHandle)) -> bool {
    use windows_sys::Win32::System::Console::{
        ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode, SetConsoleMode,
    };
    if !stream.is_terminal() {
        return false;
    }
    let console = stream.as_raw_handle();
    let mut mode = 0;
    // SAFETY: the handle is open as long as the stream, and `mode` is a valid place for the result.
    if unsafe { GetConsoleMode(console, &raw mut mode) } == 0 {
        // A terminal of another making, which shows itself as a pipe: they all draw.
        return true;
    }
    // SAFETY: the handle is open as long as the stream.
    unsafe { SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING) != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_into_a_file() {
        assert!(!draws_on(&tempfile::tempfile().unwrap()));
    }
}
