//! The program for Windows, under Wine, beside a Linux: two systems on a virtual cable.
//!
//! Needs root, iproute2, Wine and the environment of `ci/cargo-windows.sh`; `DANTETIMESYNC_EXE` names the program:
//!
//! ```text
//! cargo +windows-cross build --target x86_64-pc-windows-gnu --workspace && cargo build --example leader
//! DANTETIMESYNC_EXE=target/x86_64-pc-windows-gnu/debug/dantetimesync.exe cargo test --test wine
//! ```
//!
//! Nothing here touches this computer's clock: the program only watches it (`--dry-run`), and `ci/wine-run` takes the
//! right away besides.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests in real time"
)]

mod doctor;
#[allow(dead_code, reason = "shared with the kernel tests")]
#[path = "../kernel/leader.rs"]
mod leader;
#[allow(dead_code, reason = "shared with the kernel tests")]
#[path = "../kernel/namespaces.rs"]
mod namespaces;
#[allow(dead_code, reason = "shared with the kernel tests")]
#[path = "../kernel/process.rs"]
mod process;
mod program;
#[allow(dead_code, reason = "shared with the terminal view's own tests")]
#[path = "../shared/terminal.rs"]
mod terminal;
mod watch;
mod world;
