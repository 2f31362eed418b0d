//! What a console of Windows tells its programs: Ctrl-C, that its window was closed, that the computer shuts down.
#![allow(unsafe_code, reason = "the handler is a function that the system calls")]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use tracing::warn;
use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT,
    SetConsoleCtrlHandler,
};
use windows_sys::core::BOOL;

use crate::net::windows::event;

/// One for the process, as the handler is.
static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));

/// The system ends a program 5 s after it has told that the window was closed, and at once when the handler returns:
/// so long the program has to end by itself. The loop hears it at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Set by Ctrl-C, Ctrl-Break and the closing of the window. Of a shutdown only services are told by this way; theirs is
/// heard by `service/windows/host.rs` as well.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    // SAFETY: the handler is a function that lives for ever and may be called by any thread.
    if unsafe { SetConsoleCtrlHandler(Some(handle), 1) } == 0 {
        let error = io::Error::last_os_error();
        warn!(%error, "cannot hear the console: Ctrl-C will end the program the hard way");
    }
    Arc::clone(&STOP)
}

/// Tells the program to end, and ends the loop's wait for the network.
pub(crate) fn end() {
    STOP.store(true, Ordering::Relaxed);
    event::wake();
}

/// From now on a change of its parameters, told by the service manager, sets `reload`. A console has nothing like it.
pub(crate) fn hangup(_stop: &Arc<AtomicBool>, reload: &Arc<AtomicBool>) {
    crate::service::windows::reload_by(reload);
}

unsafe extern "system" fn handle(event: u32) -> BOOL {
    match event {
        CTRL_C_EVENT | CTRL_BREAK_EVENT => end(),
        CTRL_CLOSE_EVENT | CTRL_SHUTDOWN_EVENT => {
            end();
            #[allow(
                clippy::disallowed_methods,
                reason = "a thread of the system that waits for the program's end"
            )]
            thread::sleep(PATIENCE);
        }
        // Only services hear of it, and it is no reason for them to end.
        CTRL_LOGOFF_EVENT => {}
        _ => return 0,
    }
    1
}
