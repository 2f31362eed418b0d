//! Whether lines can be drawn anew and in colour, which a console of Windows must be asked for.
#![cfg_attr(windows, allow(unsafe_code, reason = "the console's mode is set by a call of the system"))]

use std::io::IsTerminal;

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
