//! What the path of a test allows: the scatter of the arrivals that were heard in it.
//!
//! The kernel's own part of a direct path moves by 1.4 to 2.4 µs with the load of the computer. On a shared machine
//! it does so by itself, and stays there for tens of seconds: no listener can tell that from a leader that moves. So
//! the phase on a direct path is judged by fixed gates, or by the arrivals where those scatter more.

use std::fmt;
use std::path::{Path, PathBuf};

use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::replay::Capture;
use dantetimesync::replay::command::judge;

use crate::namespaces::Namespaces;
use crate::observer::Observation;
use crate::recorder::Recorder;

/// Gates of the direct path. Goals, on a computer that has nothing else to do: 150 and 500 ns. A shared one
/// gets three times as much …
const RMS_NS: f64 = 400.0;
const MAX_NS: f64 = 2_000.0;
const RATE_PPM: f64 = 0.05;

/// … or a third of the band in which 98 % of the arrivals lie (evenly spread over it they have a standard deviation of
/// 0.29 of it), the whole band at most, and 0.1 ppm for each µs of it.
const RMS_SHARE: f64 = 1.0 / 3.0;
const RATE_PPM_PER_NS: f64 = 1e-4;

/// The widest band that excuses anything: two moves of the kernel's part and the scatter around them. No machine showed
/// more than 4.4 µs.
const BAND_MOST_NS: f64 = 6_000.0;

/// Listens until it is asked.
#[derive(Debug)]
pub struct Arrivals {
    recorder: Recorder,
    path: PathBuf,
}

/// The width of the band (ns) in which 98 % of the arrivals lay, as far as it counts.
#[derive(Debug, Clone, Copy)]
pub struct Band(f64);

impl Arrivals {
    /// Listens where the daemon does, from before what is judged: a filter has a memory.
    pub fn listen(namespaces: &Namespaces) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel-arrivals.pcap");
        Self { recorder: Recorder::start(namespaces, path.clone()), path }
    }

    pub fn band(self) -> Band {
        drop(self.recorder);
        let heard = judge(&Capture::open(&self.path).unwrap(), DEFAULT_SUBDOMAIN).unwrap().jitter.unwrap();
        Band((heard.p99_ns - heard.p1_ns).min(BAND_MOST_NS))
    }
}

impl Band {
    /// Fails where the clock was held worse than the path allows.
    pub fn judge(&self, observation: &Observation) {
        assert!(observation.rms_ns() <= RMS_NS.max(self.0 * RMS_SHARE), "{observation}; {self}");
        assert!(observation.max_ns() <= MAX_NS.max(self.0), "{observation}; {self}");
        assert!(
            observation.rate_rms_ppm() <= RATE_PPM.max(self.0 * RATE_PPM_PER_NS),
            "{observation}; {self}"
        );
    }
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "98 % of the arrivals within {:.0} ns", self.0)
    }
}
