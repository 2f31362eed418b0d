//! Those who are told what the loop does: whoever asks for the status, and the history of events. Each is optional,
//! and none holds the loop up.

use std::path::Path;

use crate::clock::SystemClock;
use crate::clock::platform::raw_clock;
use crate::controller::PtpController;
use crate::events::EventKind;
use crate::events::file::EventFile;
use crate::net::PtpNetwork;
use crate::ntp::NtpSource;
use crate::snapshot::Snapshot;
use crate::status::StatusServer;
use crate::time::{Raw, Timestamp};

/// See the module's text.
#[derive(Debug, Default)]
pub struct Audience {
    dry_run: bool,
    status: Option<StatusServer>,
    events: Option<EventFile>,
}

impl Audience {
    /// At these places; nowhere where none is named.
    pub fn open(status_socket: Option<&Path>, event_file: Option<&Path>, dry_run: bool) -> Self {
        Self {
            dry_run,
            status: status_socket.and_then(|path| StatusServer::open(path, dry_run)),
            events: event_file.map(EventFile::open),
        }
    }

    /// Before the loop runs: why it does not yet, and since when.
    pub fn hear_waiting(&self, since: Timestamp<Raw>, reason: &str) {
        if let Some(status) = &self.status {
            let fault = Some(reason.to_owned());
            status.publish(Snapshot { fault, ..Snapshot::before_start(raw_clock(), since, reason) });
        }
    }

    /// Before the first turn.
    pub fn hear_start<N: PtpNetwork, C: SystemClock, S: NtpSource>(
        &self,
        controller: &mut PtpController<N, C, S>,
    ) {
        let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
        let dry = if self.dry_run { ", dry run" } else { "" };
        controller.note(EventKind::Start, &format!("dantetimesync {version} started, pid {pid}{dry}"));
    }

    /// After a turn.
    pub fn hear<N: PtpNetwork, C: SystemClock, S: NtpSource>(&self, controller: &mut PtpController<N, C, S>) {
        if let Some(events) = &self.events {
            while let Some(event) = controller.next_event() {
                events.write(event);
            }
        }
        if let Some(status) = &self.status
            && let Some(snapshot) = controller.snapshot_due()
        {
            status.publish(snapshot);
        }
    }

    /// After the last turn.
    pub fn hear_end<N: PtpNetwork, C: SystemClock, S: NtpSource>(
        &self,
        controller: &mut PtpController<N, C, S>,
    ) {
        controller.note(EventKind::Stop, "ending as told; the learned rate stays");
        self.hear(controller);
    }
}
