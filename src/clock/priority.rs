//! Being served first: real-time priority and memory that stays in memory. Both only make stamps of this program
//! itself and answers to the kernel earlier; without them the kernel's stamps are as good as ever.

use std::io;

/// The lowest real-time priority that comes before every ordinary program. Threads of the kernel that serve
/// interrupts have 50, and must come first.
const PRIORITY: i32 = 10;

/// Gives the calling thread real-time priority, which threads that it starts do not inherit, and locks the
/// program's memory.
///
/// Neither is tried from within the unit's settings, because a unit with `CPUSchedulingPolicy=fifo` does not start
/// at all in some control groups.
pub fn rise() -> Vec<Refused> {
    let mut refused = Vec::new();
    if let Err(reason) = schedule_first() {
        refused.push(Refused { what: "real-time priority", reason });
    }
    if let Err(reason) = lock_memory() {
        refused.push(Refused { what: "memory that is never swapped out", reason });
    }
    refused
}

/// Something that the system did not allow.
#[derive(Debug, thiserror::Error)]
#[error("no {what} ({reason}): going on without")]
pub struct Refused {
    what: &'static str,
    reason: io::Error,
}

#[allow(unsafe_code, reason = "the standard library does not reach the scheduler")]
fn schedule_first() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: the parameter outlives the call, which only reads it; 0 is the calling thread.
    let set = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameter)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Pages are locked when they are first used, so that unused stacks of threads cost nothing. Where only little may
/// be locked nothing is: later allocations would fail.
#[allow(unsafe_code, reason = "the standard library does not lock memory")]
fn lock_memory() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit outlives the call, which fills it in.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur != libc::RLIM_INFINITY {
        return Err(io::Error::other(format!("the limit is {} bytes, and none is needed", limit.rlim_cur)));
    }
    let how = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: takes and gives no memory of this program.
    if unsafe { libc::mlockall(how) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_and_is_no_fault() {
        // In a thread of its own, which the others do not notice. Memory is the whole program's and left alone.
        let refused = std::thread::spawn(schedule_first).join().unwrap();
        let told = refused.map_err(|reason| Refused { what: "real-time priority", reason }.to_string());
        assert!(told.is_ok() || told.unwrap_err().ends_with("going on without"));
    }
}
