//! Tests on the real kernel clock: the daemon steers `CLOCK_REALTIME` of this computer while its leader runs
//! on `CLOCK_MONOTONIC_RAW` in another network namespace, and an observer reads both.
//!
//! They need root and move the machine's clock (by milliseconds, at most 100 ppm, always put back), so they
//! run only when asked for: `cargo build --example leader && DANTETIMESYNC_KERNEL_TESTS=1 cargo test --test kernel`. One at a
//! time: there is one clock. `DANTETIMESYNC_KERNEL_TESTS=long` watches for longer and plays more paths.
//! `DANTETIMESYNC_BIN` names another daemon than the one that cargo built.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests in real time, on real clocks"
)]

mod accuracy;
mod arrivals;
mod clock;
mod daemon;
mod flood;
mod guard;
mod harness;
mod leader;
mod load;
mod namespaces;
mod observer;
mod packets;
mod process;
mod recorder;
mod relay;
mod utc;
mod world;

use std::process::Command;

/// Whether the kernel tests may run; prints why not.
fn wanted(test: &str, needs: Needs) -> bool {
    let why_not = if extent().is_none() {
        "DANTETIMESYNC_KERNEL_TESTS is neither 1 nor long"
    } else if !clock::is_root() {
        "this is not root"
    } else if needs == Needs::Clock && !clock::can_be_set() {
        "the clock cannot be set here"
    } else if !Command::new("ip").args(["netns", "list"]).output().is_ok_and(|out| out.status.success()) {
        "there is no `ip netns`"
    } else {
        return true;
    };
    println!("{test} skipped: {why_not}");
    false
}

/// How much is wanted of the kernel tests, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Some minutes, for every change.
    Short,
    /// Everything, with the figures that are quoted.
    Long,
}

fn extent() -> Option<Extent> {
    match std::env::var("DANTETIMESYNC_KERNEL_TESTS").as_deref() {
        Ok("1") => Some(Extent::Short),
        Ok("long") => Some(Extent::Long),
        _ => None,
    }
}

/// How long to watch, in s.
fn watch(short: usize, long: usize) -> usize {
    if extent() == Some(Extent::Long) { long } else { short }
}

/// What a test needs besides root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Network namespaces; the clock is only read.
    Namespaces,
    /// The clock as well, to move it.
    Clock,
}

/// Returns from a test that moves the clock unless the kernel tests may run.
macro_rules! kernel_test {
    ($name:expr) => {
        if !crate::wanted($name, crate::Needs::Clock) {
            return;
        }
    };
}
use kernel_test;

/// The same for a test that only reads the clock.
macro_rules! namespace_test {
    ($name:expr) => {
        if !crate::wanted($name, crate::Needs::Namespaces) {
            return;
        }
    };
}
use namespace_test;

/// The same for a test that is run only at length.
macro_rules! long_test {
    ($name:expr) => {
        if crate::extent() != Some(crate::Extent::Long) {
            println!("{} skipped: DANTETIMESYNC_KERNEL_TESTS is not long", $name);
            return;
        }
        crate::kernel_test!($name);
    };
}
use long_test;
