//! Who runs first: the priority of a thread. Nothing changes where another one is refused.

use windows_sys::Win32::System::Threading::{
    GetCurrentThread, SetThreadPriority, THREAD_PRIORITY_NORMAL, THREAD_PRIORITY_TIME_CRITICAL,
};

/// The calling thread runs before all others of ordinary programs.
pub(crate) fn run_first() {
    set_priority(THREAD_PRIORITY_TIME_CRITICAL);
}

/// The calling thread runs like all others, whatever it was started with.
pub(crate) fn run_like_others() {
    set_priority(THREAD_PRIORITY_NORMAL);
}

fn set_priority(priority: i32) {
    // SAFETY: it cannot fail, and what it gives need not be closed.
    let own = unsafe { GetCurrentThread() };
    // SAFETY: the calling thread's handle is always valid; a refusal changes nothing.
    let _ = unsafe { SetThreadPriority(own, priority) };
}
