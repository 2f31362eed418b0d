//! A capture of what comes to the computer, as a free-running one would take it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::net::SocketAddrV4;

use super::sender::Outgoing;
use crate::config::DEFAULT_SUBDOMAIN;
use crate::net::{EVENT_PORT, GENERAL_PORT, Port};
use crate::ptp;
use crate::replay::CaptureWriter;

/// What the clock of the capture reads at the start: 14 November 2023, in ns since 1970. A round number, so that
/// the time since the start can be read from a frame's stamp.
const START_NS: i64 = 1_700_000_000_000_000_000;

/// Writes a capture file.
#[derive(Debug)]
pub(super) struct Tap {
    writer: CaptureWriter<BufWriter<File>>,
    /// The first error, after which nothing more is written; kept until the end, as a world has no use for it.
    failed: Option<io::Error>,
}

impl Tap {
    /// Starts the file.
    pub(super) fn new(file: File) -> io::Result<Self> {
        Ok(Self { writer: CaptureWriter::new(BufWriter::new(file))?, failed: None })
    }

    /// A message arrives, `elapsed` ns of the raw clock after the start.
    pub(super) fn take(&mut self, elapsed: i64, message: &Outgoing) {
        if self.failed.is_some() {
            return;
        }
        let port = match message.port {
            Port::Event => EVENT_PORT,
            Port::General => GENERAL_PORT,
        };
        // All senders use this group, whatever subdomain they speak of.
        let group = SocketAddrV4::new(ptp::group(&DEFAULT_SUBDOMAIN), port);
        let time_ns = START_NS.saturating_add(elapsed);
        let written = self.writer.write_udp(time_ns, message.source, group, message.payload.as_slice());
        self.failed = written.err();
    }

    /// Ends the file.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.writer.finish().map(drop),
        }
    }
}
