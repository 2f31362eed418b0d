//! `dantetimesync replay`: a capture through the real follower and estimator.

use std::process::ExitCode;

use super::judge::{Judge, Source, Verdict};
use super::{Capture, datagrams};
use crate::cli::Replay;
use crate::exit::{FAILED, Failure, NO_INPUT};
use crate::time::{Raw, Timestamp};

/// Prints the verdict about a capture.
///
/// # Errors
/// When the file cannot be read, or is no capture.
pub fn run(options: &Replay) -> Result<ExitCode, Failure> {
    let capture = Capture::open(&options.file).map_err(|error| Failure::new(NO_INPUT, error))?;
    let verdict = judge(&capture, options.subdomain.0).map_err(|error| Failure::new(FAILED, error))?;
    if options.json {
        let text = serde_json::to_string_pretty(&verdict).map_err(anyhow::Error::from)?;
        crate::exit::print(&format!("{text}\n"))?;
    } else {
        crate::exit::print(&verdict.table())?;
    }
    Ok(if verdict.samples > 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Runs a capture through the follower and the estimator.
///
/// # Errors
/// When the capture is damaged in a way that cannot be skipped.
pub fn judge(capture: &Capture, subdomain: [u8; 16]) -> Result<Verdict, super::CaptureError> {
    let mut judge = Judge::new(subdomain);
    let mut count = 0_u64;
    for datagram in datagrams(capture) {
        let (time_ns, datagram) = datagram?;
        count = count.saturating_add(1);
        judge.take(&datagram, Timestamp::<Raw>::from_ns(time_ns));
    }
    let frames: u64 = capture.frames().map(|_| 1).sum();
    Ok(Verdict { other_frames: frames.saturating_sub(count), ..judge.verdict(Source::Capture) })
}
