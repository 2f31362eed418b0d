//! dantetimesync makes a computer's system clock tick with a Dante audio network.
//!
//! The path of the data, one direction, one deciding thread:
//!
//! ```text
//! wire ──► net ──► ptp ──► estimator ──► discipline ──► clock
//! wire ──► net ──► ntp ──►                   │
//!                                            └──► Snapshot ──► status, events, log
//! ```
//!
//! [`controller::PtpController`] is the loop that carries values along it. `docs/ARCHITECTURE.md` has the rules.

#[macro_use]
mod terminal;

pub mod cli;
pub mod clock;
pub mod config;
pub mod controller;
pub mod daemon;
pub mod demo;
pub mod discipline;
pub mod doctor;
pub mod dry_run;
pub mod estimator;
pub mod events;
pub mod exit;
pub mod leader;
pub mod log;
pub mod monitor;
pub mod net;
pub mod ntp;
#[cfg(windows)]
mod ownership;
mod place;
pub mod ptp;
mod quoting;
pub mod replay;
pub mod service;
pub mod sim;
pub mod snapshot;
pub mod state;
pub mod status;
pub mod test_clock;
pub mod time;
