//! What the program tells about itself while it runs: a [`Status`], as JSON, to whoever asks.
//!
//! Nothing is ever read from whoever asks. The thread that steers hands over a snapshot a few times a second and
//! never waits for the one that serves.

pub mod client;
pub mod command;
mod server;
mod transport;
pub mod watch;
pub mod words;

pub use server::StatusServer;

use serde::{Deserialize, Serialize};

use crate::snapshot::Snapshot;
use crate::time::{System, Timestamp};

/// The form of the JSON. Fields are only ever added, which leaves this as it is; it changes when one is removed or
/// means something else.
pub const SCHEMA_VERSION: u32 = 1;

/// A snapshot with what is known of the program that took it. `docs/status.md` explains every field.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The form of this document.
    pub schema_version: u32,
    /// The program's version.
    pub version: String,
    /// The program's process.
    pub pid: u32,
    /// Whether the system clock is only watched, and a clock made of numbers steered.
    pub dry_run: bool,
    /// When it was taken by the steered clock, in UTC: `2026-05-28T20:26:40.250Z`.
    pub taken_utc: Option<String>,
    /// All the rest.
    #[serde(flatten)]
    pub snapshot: Snapshot,
}

impl Status {
    /// Of this process.
    pub fn new(snapshot: Snapshot, dry_run: bool) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            dry_run,
            taken_utc: snapshot.system_ns.map(|ns| Timestamp::<System>::from_ns(ns).date().rfc3339()),
            snapshot,
        }
    }
}

#[cfg(test)]
mod tests;
