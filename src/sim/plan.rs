//! The parts of a world, as a scenario describes them. Values are checked when the scenario is read.

#![allow(clippy::as_conversions, reason = "validated seconds and microseconds become nanoseconds")]

use serde::Deserialize;

use super::scenario::{MAX_DURATION_S, ScenarioError, within};

/// The local oscillator, against true time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OscillatorPlan {
    pub(super) offset_ppm: f64,
    pub(super) walk_ppm_per_sqrt_s: f64,
    /// A sine of this amplitude: temperature.
    pub(super) wave_ppm: f64,
    pub(super) wave_period_s: f64,
    pub(super) step: Vec<RateStep>,
}

/// From `at_s` on, the rate differs by `ppm`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateStep {
    pub(super) at_s: f64,
    pub(super) ppm: f64,
}

impl Default for OscillatorPlan {
    fn default() -> Self {
        Self {
            offset_ppm: 23.0,
            walk_ppm_per_sqrt_s: 0.003,
            wave_ppm: 0.0,
            wave_period_s: 1_200.0,
            step: Vec::new(),
        }
    }
}

impl OscillatorPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("oscillator.offset_ppm", self.offset_ppm, -1_000.0, 1_000.0)?;
        within("oscillator.walk_ppm_per_sqrt_s", self.walk_ppm_per_sqrt_s, 0.0, 1.0)?;
        within("oscillator.wave_ppm", self.wave_ppm, 0.0, 100.0)?;
        within("oscillator.wave_period_s", self.wave_period_s, 1.0, 1e6)?;
        self.step.iter().try_for_each(|step| {
            within("oscillator.step.at_s", step.at_s, 0.0, MAX_DURATION_S)?;
            within("oscillator.step.ppm", step.ppm, -1_000.0, 1_000.0)
        })
    }
}

/// The system clock.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClockPlan {
    /// System clock minus UTC at the start.
    pub(super) start_offset_ms: f64,
    /// Standard deviation of a reading.
    pub(super) read_noise_ns: f64,
    /// The rate is a multiple of this; Linux: 2^-16 ppm.
    pub(super) rate_quantum_ppm: f64,
    /// A step is a multiple of this.
    pub(super) step_quantum_ns: i64,
}

impl Default for ClockPlan {
    fn default() -> Self {
        Self {
            start_offset_ms: 20.0,
            read_noise_ns: 50.0,
            rate_quantum_ppm: 1.0 / 65_536.0,
            step_quantum_ns: 1,
        }
    }
}

impl ClockPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("clock.start_offset_ms", self.start_offset_ms, -2e12, 2e12)?;
        within("clock.read_noise_ns", self.read_noise_ns, 0.0, 1e6)?;
        within("clock.rate_quantum_ppm", self.rate_quantum_ppm, 1e-9, 10.0)?;
        within("clock.step_quantum_ns", self.step_quantum_ns as f64, 1.0, 1e9)
    }
}

/// How late the program wakes up after a datagram has come or a deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReaderPlan {
    pub(super) wake_us: f64,
    /// Mean of an exponential on top.
    pub(super) wake_noise_us: f64,
    pub(super) stall_probability: f64,
    /// Mean of an exponential: another program held the processor.
    pub(super) stall_ms: f64,
    /// Datagrams that one socket holds.
    pub(super) socket_datagrams: usize,
}

impl Default for ReaderPlan {
    fn default() -> Self {
        Self {
            wake_us: 50.0,
            wake_noise_us: 30.0,
            stall_probability: 0.001,
            stall_ms: 3.0,
            socket_datagrams: 277,
        }
    }
}

impl ReaderPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("reader.wake_us", self.wake_us, 0.0, 1e6)?;
        within("reader.wake_noise_us", self.wake_noise_us, 0.0, 1e6)?;
        within("reader.stall_probability", self.stall_probability, 0.0, 1.0)?;
        within("reader.stall_ms", self.stall_ms, 0.0, 1e5)?;
        within("reader.socket_datagrams", self.socket_datagrams as f64, 1.0, 1e6)
    }
}

/// The law of what queues add to the shortest delay.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(tag = "law", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum NoiseLaw {
    None,
    Exponential {
        mean_us: f64,
    },
    /// On both sides of the base delay; a message never arrives before it was sent.
    Gaussian {
        sd_us: f64,
    },
    HalfGaussian {
        sd_us: f64,
    },
    /// Two routes: a Gaussian, and with `probability` another one later by `apart_us`.
    Bimodal {
        sd_us: f64,
        apart_us: f64,
        probability: f64,
    },
}

impl NoiseLaw {
    pub(super) fn check(self, key: &'static str) -> Result<(), ScenarioError> {
        let (size, probability) = match self {
            Self::None => (0.0, 0.0),
            Self::Exponential { mean_us } => (mean_us, 0.0),
            Self::Gaussian { sd_us } | Self::HalfGaussian { sd_us } => (sd_us, 0.0),
            Self::Bimodal { sd_us, apart_us, probability } => (sd_us.max(apart_us), probability),
        };
        within(key, size, 0.0, 1e6)?;
        within(key, probability, 0.0, 1.0)
    }
}

/// The way from the leader to this computer; every message is delayed on its own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PathPlan {
    pub(super) base_us: f64,
    pub(super) noise: NoiseLaw,
    pub(super) spike_probability: f64,
    pub(super) spike_us: f64,
    pub(super) loss: f64,
    pub(super) duplicate: f64,
    /// With this probability a message is held back, by up to `reorder_us`.
    pub(super) reorder: f64,
    pub(super) reorder_us: f64,
    pub(super) change: Vec<PathChange>,
}

/// What is given replaces the path's value from `at_s` on.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PathChange {
    pub(super) at_s: f64,
    pub(super) base_us: Option<f64>,
    pub(super) noise: Option<NoiseLaw>,
}

impl Default for PathPlan {
    fn default() -> Self {
        Self {
            base_us: 30.0,
            noise: NoiseLaw::Exponential { mean_us: 20.0 },
            spike_probability: 0.005,
            spike_us: 500.0,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_us: 1_000.0,
            change: Vec::new(),
        }
    }
}

impl PathPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("path.base_us", self.base_us, 0.0, 1e6)?;
        self.noise.check("path.noise")?;
        within("path.spike_probability", self.spike_probability, 0.0, 1.0)?;
        within("path.spike_us", self.spike_us, 0.0, 1e6)?;
        within("path.loss", self.loss, 0.0, 1.0)?;
        within("path.duplicate", self.duplicate, 0.0, 1.0)?;
        within("path.reorder", self.reorder, 0.0, 1.0)?;
        within("path.reorder_us", self.reorder_us, 0.0, 1e7)?;
        self.change.iter().try_for_each(|change| {
            within("path.change.at_s", change.at_s, 0.0, MAX_DURATION_S)?;
            within("path.change.base_us", change.base_us.unwrap_or_default(), 0.0, 1e6)?;
            change.noise.map_or(Ok(()), |noise| noise.check("path.change.noise"))
        })
    }
}

/// A Dante leader.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LeaderPlan {
    /// Written like a MAC address: `"02:1d:c1:00:00:01"`.
    #[serde(deserialize_with = "uuid")]
    pub(super) uuid: [u8; 6],
    pub(super) port: u16,
    pub(super) stratum: u8,
    pub(super) preferred: bool,
    pub(super) variance: i16,
    pub(super) subdomain: String,
    /// Its time at the scenario's start, and so the base of its time when it starts later.
    pub(super) uptime_s: f64,
    /// Its rate against true time.
    pub(super) rate_ppm: f64,
    /// Steps of its rate, which add up.
    pub(super) rate_step: Vec<RateStep>,
    pub(super) interval_s: f64,
    pub(super) interval_jitter_us: f64,
    pub(super) start_s: f64,
    pub(super) stop_s: Option<f64>,
    /// It starts again `down_s` after `at_s`, with its time and sequence at zero.
    pub(super) reboot: Option<Reboot>,
    /// It says nothing, but its time goes on.
    pub(super) silent: Vec<Window>,
}

/// A leader's reboot.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reboot {
    pub(super) at_s: f64,
    pub(super) down_s: f64,
}

/// From here (included) to there (not included).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    pub(super) from_s: f64,
    pub(super) until_s: f64,
}

impl Window {
    pub(super) fn holds(&self, elapsed_ns: i64) -> bool {
        (ns_of_s(self.from_s)..ns_of_s(self.until_s)).contains(&elapsed_ns)
    }

    pub(super) fn check(&self, key: &'static str) -> Result<(), ScenarioError> {
        within(key, self.from_s, 0.0, MAX_DURATION_S)?;
        within(key, self.until_s, self.from_s, MAX_DURATION_S)
    }
}

fn uuid<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[u8; 6], D::Error> {
    let text = String::deserialize(deserializer)?;
    let octets = text.split(':').map(|part| u8::from_str_radix(part, 16).ok());
    let octets: Option<Vec<u8>> = octets.collect();
    octets.and_then(|octets| octets.try_into().ok()).ok_or_else(|| {
        serde::de::Error::custom(format!("uuid = {text:?} is not six hexadecimal octets with colons between"))
    })
}

impl Default for LeaderPlan {
    fn default() -> Self {
        Self {
            uuid: [0x02, 0x1d, 0xc1, 0x00, 0x00, 0x01],
            port: 1,
            stratum: 121,
            preferred: true,
            variance: -4_000,
            subdomain: "_DFLT".to_owned(),
            uptime_s: 86_400.0,
            rate_ppm: 0.0,
            rate_step: Vec::new(),
            interval_s: 0.25,
            interval_jitter_us: 1.0,
            start_s: 0.0,
            stop_s: None,
            reboot: None,
            silent: Vec::new(),
        }
    }
}

impl LeaderPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("length of leader.subdomain", self.subdomain.len() as f64, 1.0, 16.0)?;
        within("leader.uptime_s", self.uptime_s, 0.0, 4e9)?;
        within("leader.rate_ppm", self.rate_ppm, -1_000.0, 1_000.0)?;
        within("leader.interval_s", self.interval_s, 1.0 / 128.0, 16.0)?;
        within("leader.interval_jitter_us", self.interval_jitter_us, 0.0, 1e3)?;
        within("leader.start_s", self.start_s, 0.0, MAX_DURATION_S)?;
        within("leader.stop_s", self.stop_s.unwrap_or(self.start_s), self.start_s, MAX_DURATION_S)?;
        if let Some(reboot) = self.reboot {
            within("leader.reboot.at_s", reboot.at_s, self.start_s, MAX_DURATION_S)?;
            within("leader.reboot.down_s", reboot.down_s, 0.0, MAX_DURATION_S)?;
        }
        self.rate_step.iter().try_for_each(|step| {
            within("leader.rate_step.at_s", step.at_s, 0.0, MAX_DURATION_S)?;
            within("leader.rate_step.ppm", step.ppm, -1_000.0, 1_000.0)
        })?;
        self.silent.iter().try_for_each(|window| window.check("leader.silent"))
    }
}

/// Somebody who sends on the same group and ports without being a leader.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StrangerPlan {
    pub(super) kind: StrangerKind,
    pub(super) per_s: f64,
}

/// What a stranger sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StrangerKind {
    /// PTPv2 Syncs: an AES67 device.
    PtpV2,
    /// PTPv1 Syncs that would win any election, each from another identity, without a Follow_Up.
    Forger,
}

impl StrangerPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("stranger.per_s", self.per_s, 0.01, 10_000.0)
    }
}

/// An NTP server and the way to it and back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NtpPlan {
    pub(super) base_us: f64,
    pub(super) noise: NoiseLaw,
    pub(super) spike_probability: f64,
    pub(super) spike_us: f64,
    /// Answers come later by this, on the way back.
    pub(super) late_s: f64,
    /// The server's time minus UTC.
    pub(super) offset_ms: f64,
    /// Steps of the server's time, which add up.
    pub(super) offset_step: Vec<OffsetStep>,
    pub(super) stratum: u8,
    /// The two leap bits; 3 is "not synchronised".
    pub(super) leap: u8,
    /// Requests vanish.
    pub(super) dead: Vec<Window>,
    /// Requests are answered by "port unreachable".
    pub(super) refused: Vec<Window>,
}

/// From `at_s` on, the time differs by `ms`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OffsetStep {
    pub(super) at_s: f64,
    pub(super) ms: f64,
}

impl Default for NtpPlan {
    fn default() -> Self {
        Self {
            base_us: 5_000.0,
            noise: NoiseLaw::Exponential { mean_us: 100.0 },
            spike_probability: 0.005,
            spike_us: 5_000.0,
            late_s: 0.0,
            offset_ms: 0.0,
            offset_step: Vec::new(),
            stratum: 2,
            leap: 0,
            dead: Vec::new(),
            refused: Vec::new(),
        }
    }
}

impl NtpPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("ntp.base_us", self.base_us, 0.0, 1e7)?;
        self.noise.check("ntp.noise")?;
        within("ntp.spike_probability", self.spike_probability, 0.0, 1.0)?;
        within("ntp.spike_us", self.spike_us, 0.0, 1e7)?;
        within("ntp.late_s", self.late_s, 0.0, 3_600.0)?;
        within("ntp.offset_ms", self.offset_ms, -1e9, 1e9)?;
        within("ntp.leap", f64::from(self.leap), 0.0, 3.0)?;
        self.offset_step.iter().try_for_each(|step| {
            within("ntp.offset_step.at_s", step.at_s, 0.0, MAX_DURATION_S)?;
            within("ntp.offset_step.ms", step.ms, -1e9, 1e9)
        })?;
        self.dead.iter().try_for_each(|window| window.check("ntp.dead"))?;
        self.refused.iter().try_for_each(|window| window.check("ntp.refused"))
    }
}

/// Somebody else's hand on the system clock.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForeignPlan {
    pub(super) at_s: f64,
    /// Moves the clock at once.
    #[serde(default)]
    pub(super) step_ms: f64,
    /// Adds to the rate that is set, until the next command replaces it.
    #[serde(default)]
    pub(super) slew_ppm: f64,
}

impl ForeignPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("foreign.at_s", self.at_s, 0.0, MAX_DURATION_S)?;
        within("foreign.step_ms", self.step_ms, -1e9, 1e9)?;
        within("foreign.slew_ppm", self.slew_ppm, -1_000.0, 1_000.0)
    }
}

/// Seconds of a scenario as ns.
pub(super) fn ns_of_s(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

/// Microseconds of a scenario as ns.
pub(super) fn ns_of_us(us: f64) -> i64 {
    (us * 1e3).round() as i64
}
