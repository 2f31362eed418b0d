//! How the program hears that it shall end, or read its configuration again.

#[cfg(windows)]
mod console;
#[cfg(unix)]
mod signal;

#[cfg(windows)]
pub(crate) use console::{end, hangup, stop_flag};
#[cfg(unix)]
pub(crate) use signal::{hangup, stop_flag};
