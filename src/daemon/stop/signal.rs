//! Signals.

use std::ffi::c_int;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing::warn;

/// Set by SIGINT and SIGTERM; the signal also ends the wait in `poll`.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    set_by(SIGINT, &stop);
    set_by(SIGTERM, &stop);
    stop
}

/// From now on SIGHUP sets `reload`, or `stop` in a terminal: who closes the terminal that the program was started in
/// wants it to end, and not to read its file again.
pub(crate) fn hangup(stop: &Arc<AtomicBool>, reload: &Arc<AtomicBool>) {
    set_by(SIGHUP, if std::io::stdin().is_terminal() { stop } else { reload });
}

fn set_by(signal: c_int, flag: &Arc<AtomicBool>) {
    if let Err(error) = signal_hook::flag::register(signal, Arc::clone(flag)) {
        warn!(%error, signal, "cannot catch the signal: it will end the program the hard way");
    }
}
