//! The loop.

use crate::clock::SystemClock;
use crate::config::Config;
use crate::net::PtpNetwork;
use crate::ntp::NtpSource;
use crate::snapshot::Snapshot;

/// Carries values from the backends to the parts that decide, and back.
#[derive(Debug)]
pub struct PtpController<N, C, S> {
    network: N,
    clock: C,
    ntp: S,
}

impl<N: PtpNetwork, C: SystemClock, S: NtpSource> PtpController<N, C, S> {
    /// Ready to run; nothing is touched yet.
    pub fn new(_config: Config, network: N, clock: C, ntp: S) -> Self {
        Self { network, clock, ntp }
    }

    /// One turn of the loop: waits once (at most until the next deadline), takes what has come, decides, acts.
    pub fn turn(&mut self) {
        unimplemented!()
    }

    /// What is known now.
    pub fn snapshot(&mut self) -> Snapshot {
        unimplemented!()
    }
}
