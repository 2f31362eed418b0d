//! Who runs first, and who is slowed down to save power. Nothing changes where another priority is refused, or a Windows
//! is too old to slow anybody down.

use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentThread, PROCESS_POWER_THROTTLING_CURRENT_VERSION,
    PROCESS_POWER_THROTTLING_EXECUTION_SPEED, PROCESS_POWER_THROTTLING_IGNORE_TIMER_RESOLUTION,
    PROCESS_POWER_THROTTLING_STATE, ProcessPowerThrottling, SetProcessInformation, SetThreadPriority,
    THREAD_PRIORITY_NORMAL, THREAD_PRIORITY_TIME_CRITICAL,
};

/// On battery Windows slows down what has no window and plays no sound (power throttling, EcoQoS): its processors and,
/// since Windows 11, its timers. A clock is nothing to slow down, and takes next to no power.
pub(crate) fn run_at_full_speed() {
    let speed = PROCESS_POWER_THROTTLING_EXECUTION_SPEED;
    // A Windows that does not know the second one refuses both. Each call sets both: what it leaves out is the system's.
    let _ = never(speed | PROCESS_POWER_THROTTLING_IGNORE_TIMER_RESOLUTION) || never(speed);
}

/// Whether none of these is ever done to this process from now on.
fn never(kinds: u32) -> bool {
    let state = PROCESS_POWER_THROTTLING_STATE {
        Version: PROCESS_POWER_THROTTLING_CURRENT_VERSION,
        ControlMask: kinds,
        StateMask: 0,
    };
    let size = u32::try_from(size_of::<PROCESS_POWER_THROTTLING_STATE>()).unwrap_or(0);
    // SAFETY: it cannot fail, and what it gives need not be closed.
    let own = unsafe { GetCurrentProcess() };
    // SAFETY: the state lives through the call, which reads as many bytes as it is told that there are; a refusal changes
    // nothing.
    unsafe { SetProcessInformation(own, ProcessPowerThrottling, (&raw const state).cast(), size) != 0 }
}

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
