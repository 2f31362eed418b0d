//! `dantetimesync replay`: a capture through the real follower and estimator.

use std::process::ExitCode;

use serde::Serialize;

use super::{Capture, datagrams};
use crate::cli::Replay;
use crate::estimator::leader::{BOUND_SIGMAS, LeaderEstimator};
use crate::exit::{FAILED, Failure, NO_INPUT};
use crate::ptp::follower::{Follower, LeaderRecord};
use crate::ptp::{DropCounts, Outcome, SyncSample};
use crate::snapshot::BoundedRate;
use crate::time::{LeaderId, Raw, Span, Timestamp};

use super::jitter::Jitter;

/// What a capture says.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// PTP datagrams in the capture.
    pub datagrams: u64,
    /// Frames that are not PTP over UDP and IPv4.
    pub other_frames: u64,
    /// From the first to the last datagram.
    pub length_s: f64,
    /// The leaders that were heard.
    pub leaders: Vec<HeardLeader>,
    /// Samples of the leader that was followed.
    pub samples: u64,
    /// Of them, those that did not fit its line.
    pub outliers: u64,
    /// Datagrams that were not used, by reason.
    pub drops: DropCounts,
    /// Rate of the capturing computer against the leader; positive: the computer gains.
    pub rate: Option<BoundedRate>,
    /// How the arrivals scatter around the leader's line.
    pub jitter: Option<Jitter>,
    /// The answer in words.
    pub verdict: String,
}

/// A leader in the capture.
#[derive(Debug, Clone, Serialize)]
pub struct HeardLeader {
    /// Its identity.
    pub id: LeaderId,
    /// Whether it was followed.
    pub followed: bool,
    /// Its stratum.
    pub stratum: u8,
    /// Whether it is a Preferred Leader.
    pub preferred: bool,
    /// Its measured Sync interval.
    pub interval_ms: f64,
    /// Syncs heard.
    pub syncs: u64,
    /// Syncs with their Follow_Up.
    pub pairs: u64,
}

/// Prints the verdict about a capture.
///
/// # Errors
/// When the file cannot be read, or is no capture.
pub fn run(options: &Replay) -> Result<ExitCode, Failure> {
    let capture = Capture::open(&options.file).map_err(|error| Failure::new(NO_INPUT, error))?;
    let verdict = judge(&capture, options.subdomain.0).map_err(|error| Failure::new(FAILED, error))?;
    if options.json {
        let text = serde_json::to_string_pretty(&verdict).map_err(anyhow::Error::from)?;
        println!("{text}");
    } else {
        print!("{}", verdict.table());
    }
    Ok(if verdict.samples > 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Runs a capture through the follower and the estimator.
///
/// # Errors
/// When the capture is damaged in a way that cannot be skipped.
pub fn judge(capture: &Capture, subdomain: [u8; 16]) -> Result<Verdict, super::CaptureError> {
    let mut follower = Follower::new(subdomain);
    let mut estimator = LeaderEstimator::new();
    let mut samples: Vec<SyncSample> = Vec::new();
    let mut times: Option<(i64, i64)> = None;
    let mut count = 0_u64;
    for datagram in datagrams(capture) {
        let (time_ns, datagram) = datagram?;
        let now = Timestamp::<Raw>::from_ns(time_ns);
        count = count.saturating_add(1);
        times = Some((times.map_or(time_ns, |(first, _)| first), time_ns));
        follower.handle_time(now);
        if let Outcome::Sample(sample) = follower.handle_datagram(&datagram, now) {
            estimator.observe(&sample);
            samples.push(sample);
        }
    }
    let (first, last) = times.unwrap_or_default();
    let end = Timestamp::from_ns(last);
    let (taken, outliers) = estimator.counts();
    let rate = estimator.line(end).map(|line| BoundedRate {
        // The leader's line is leader against raw; the computer against the leader is its inverse.
        value_ppb: line.rate.inverse().ppb(),
        bound_ppb: BOUND_SIGMAS * line.rate_sigma.ppb(),
    });
    let parent = follower.parent().map(|parent| parent.id).or(estimator.leader());
    let leaders: Vec<HeardLeader> = follower.leaders().map(|leader| heard(leader, parent)).collect();
    let jitter = Jitter::of(&samples);
    let frames: u64 = capture.frames().map(|_| 1).sum();
    let mut verdict = Verdict {
        datagrams: count,
        other_frames: frames.saturating_sub(count),
        length_s: Span::from_ns(last.saturating_sub(first)).as_secs_f64(),
        leaders,
        samples: taken,
        outliers,
        drops: follower.drops().clone(),
        rate,
        jitter,
        verdict: String::new(),
    };
    verdict.verdict = verdict.in_words(follower.only_version_two());
    Ok(verdict)
}

fn heard(leader: &LeaderRecord, parent: Option<LeaderId>) -> HeardLeader {
    HeardLeader {
        id: leader.id,
        followed: parent == Some(leader.id),
        stratum: leader.data.stratum,
        preferred: leader.data.preferred,
        interval_ms: leader.interval.as_ns_f64() / 1e6,
        syncs: leader.syncs,
        pairs: leader.pairs,
    }
}

impl Verdict {
    fn in_words(&self, only_version_two: bool) -> String {
        if self.datagrams == 0 {
            return "no PTP in this capture: capture UDP ports 319 and 320 on the Dante network's interface"
                .into();
        }
        if only_version_two || (self.samples == 0 && self.drops.of(crate::ptp::DropReason::VersionTwo) > 0) {
            return "only PTPv2: the device is in an AES67 or ST 2110 mode without PTPv1".into();
        }
        let (Some(rate), Some(jitter)) = (self.rate, self.jitter.as_ref()) else {
            return "PTPv1 is there, but no leader that can be followed (see the drops)".into();
        };
        let quality = match jitter.sd_ns {
            sd if sd < 20e3 => "a good path: microseconds are within reach",
            sd if sd < 100e3 => "a usable path with much queueing",
            _ => "a poor path, or stamps taken in user space",
        };
        let several = if self.leaders.len() > 1 { " More than one leader was heard." } else { "" };
        format!(
            "The computer runs {:+.2} ± {:.2} ppm against the leader; arrivals scatter by {:.1} µs: {quality}.{several}",
            rate.value_ppb / 1e3,
            rate.bound_ppb / 1e3,
            jitter.sd_ns / 1e3,
        )
    }

    /// For people.
    fn table(&self) -> String {
        use std::fmt::Write;
        let mut out = format!(
            "{} PTP datagrams in {:.2} s ({} other frames)\n\n{:<26} {:>8} {:>8} {:>9} {:>9} {:>8} {:>8}\n",
            self.datagrams,
            self.length_s,
            self.other_frames,
            "leader",
            "followed",
            "stratum",
            "preferred",
            "interval",
            "syncs",
            "pairs",
        );
        for leader in &self.leaders {
            let _ = writeln!(
                out,
                "{:<26} {:>8} {:>8} {:>9} {:>6.1} ms {:>8} {:>8}",
                leader.id.to_string(),
                yes(leader.followed),
                leader.stratum,
                yes(leader.preferred),
                leader.interval_ms,
                leader.syncs,
                leader.pairs,
            );
        }
        let _ = writeln!(out, "\n{} samples used, {} did not fit", self.samples, self.outliers);
        for (reason, count) in self.drops.iter() {
            let reason = serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned));
            let _ = writeln!(out, "  {count:>6} datagrams not used: {}", reason.unwrap_or_default());
        }
        if let Some(jitter) = &self.jitter {
            let _ = writeln!(
                out,
                "residual jitter: sd {:.2} µs; min {:+.2}, 1 % {:+.2}, median {:+.2}, 99 % {:+.2}, max {:+.2} µs",
                jitter.sd_ns / 1e3,
                jitter.min_ns / 1e3,
                jitter.p1_ns / 1e3,
                jitter.p50_ns / 1e3,
                jitter.p99_ns / 1e3,
                jitter.max_ns / 1e3,
            );
        }
        let _ = writeln!(out, "\n{}", self.verdict);
        out
    }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
