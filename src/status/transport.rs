//! How a status reaches whoever asks: a file per system.
//!
//! Each has `open` (a `Listener` that accepts until the place is given back, and a `Claim` on it, which gives it back when
//! it is dropped),
//! `Connection` (what is written to it reaches the one who asks; `set_time_limit` bounds a write, and a read) and
//! `connect`.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{Claim, Connection, Listener, connect, open};
#[cfg(windows)]
pub use windows::{Claim, Connection, Listener, connect, open};
