//! `dantetimesync doctor`: looks at everything on which a lock depends, and says what is wrong and what mends it.
//!
//! Each group of checks has three parts: *facts*, plain values; `look`, which collects them from a `Host` (a computer,
//! or a folder or a table that looks like one); and `check`, a function from facts to findings. Where the facts are
//! the same on all systems, so is the check, and only what mends is said in other words (`os`); then the
//! collectors have a file per system. What is examined in which order stands in `linux` and in `windows`. `listen` is
//! the one edge with sockets and a clock. The network hears IGMP and NTP requests, a trial file in the state folder is
//! removed again, and nothing is left changed. On Linux the clock is only read; on Windows it is tried as at each start
//! of the service, where nobody steers it.

mod command;
mod finding;
mod measured;
mod os;
mod report;

mod clock;
mod config;
mod interfaces;
mod leader;
mod listen;
mod machine;
mod ntp;
mod packets;
mod programs;
mod service;
mod state;
mod traffic;

#[cfg(target_os = "linux")]
mod account;
#[cfg(target_os = "linux")]
mod firewall;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod multicast;
#[cfg(target_os = "linux")]
mod ports;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod processor;
#[cfg(target_os = "linux")]
mod rights;
#[cfg(target_os = "linux")]
mod rivals;
#[cfg(target_os = "linux")]
mod stamps;

#[cfg(any(windows, test))]
mod windows;

pub use command::run;

#[cfg(target_os = "linux")]
fn this_computer(
    request: &command::Request,
    progress: impl FnMut(i64, u64),
) -> std::io::Result<command::Examination> {
    linux::examine(&host::Host::this(), request, progress)
}

#[cfg(windows)]
fn this_computer(
    request: &command::Request,
    progress: impl FnMut(i64, u64),
) -> std::io::Result<command::Examination> {
    windows::examine(&windows::this::ThisComputer, request, progress)
}
