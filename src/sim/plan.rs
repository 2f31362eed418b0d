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
    /// Flicker: a rate whose wander is equally strong in every octave of time between 2 s and 2 h; this is the
    /// standard deviation of each octave.
    pub(super) flicker_ppm: f64,
    /// Jumps at random times, this many an hour in the mean.
    pub(super) jumps_per_h: f64,
    /// Standard deviation of a jump.
    pub(super) jump_ppm: f64,
    pub(super) step: Vec<RateStep>,
}

/// From `at_s` on, the rate differs by `ppm`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateStep {
    pub(super) at_s: f64,
    pub(super) ppm: f64,
    /// The computer counts time by another counter from then on, and says so.
    #[serde(default)]
    pub(super) counter: bool,
}

impl Default for OscillatorPlan {
    fn default() -> Self {
        Self {
            offset_ppm: 23.0,
            walk_ppm_per_sqrt_s: 0.003,
            wave_ppm: 0.0,
            wave_period_s: 1_200.0,
            flicker_ppm: 0.0,
            jumps_per_h: 0.0,
            jump_ppm: 0.0,
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
        within("oscillator.flicker_ppm", self.flicker_ppm, 0.0, 10.0)?;
        within("oscillator.jumps_per_h", self.jumps_per_h, 0.0, 3_600.0)?;
        within("oscillator.jump_ppm", self.jump_ppm, 0.0, 100.0)?;
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
    /// Anything up to this, equally likely.
    Uniform {
        width_us: f64,
    },
    /// A row of this many equal waiting rooms (Erlang): the more there are, the rarer is a fast message.
    Gamma {
        stages: u32,
        mean_us: f64,
    },
    /// A logarithm that is Gaussian: most messages near the median, some very late.
    LogNormal {
        median_us: f64,
        log_sd: f64,
    },
    /// Self-similar load: `flows` transfers are under way in the mean, which begin at random and last a time
    /// with a heavy tail (Pareto, at least `shortest_s`), so that the load is correlated over all scales with
    /// this Hurst exponent. Each adds an exponential wait, all together `mean_us` in the mean.
    SelfSimilar {
        mean_us: f64,
        flows: f64,
        hurst: f64,
        shortest_s: f64,
    },
    /// The Sync beats against another stream's rhythm: a wait that falls evenly from `depth_us` to nothing in
    /// `period_s`, again and again, and a little noise.
    Beat {
        depth_us: f64,
        period_s: f64,
        mean_us: f64,
    },
}

impl NoiseLaw {
    pub(super) fn check(self, key: &'static str) -> Result<(), ScenarioError> {
        within(key, self.size_us(), 0.0, 1e6)?;
        match self {
            Self::Bimodal { probability, .. } => within(key, probability, 0.0, 1.0),
            Self::Gamma { stages, .. } => within(key, f64::from(stages), 1.0, 100.0),
            Self::LogNormal { log_sd, .. } => within(key, log_sd, 0.0, 3.0),
            Self::SelfSimilar { flows, hurst, shortest_s, .. } => {
                within(key, flows, 0.01, 1e3)?;
                within(key, hurst, 0.51, 0.99)?;
                within(key, shortest_s, 1e-3, 1e4)
            }
            Self::Beat { period_s, mean_us, .. } => {
                within(key, period_s, 1e-3, 1e6)?;
                within(key, mean_us, 0.0, 1e6)
            }
            _ => Ok(()),
        }
    }

    /// The parameter that scales the law.
    fn size_us(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Exponential { mean_us }
            | Self::Gamma { mean_us, .. }
            | Self::SelfSimilar { mean_us, .. } => mean_us,
            Self::Gaussian { sd_us } | Self::HalfGaussian { sd_us } => sd_us,
            // Written so that NaN in either is NaN.
            Self::Bimodal { sd_us, apart_us, .. } => sd_us + apart_us,
            Self::Uniform { width_us } => width_us,
            Self::LogNormal { median_us, .. } => median_us,
            Self::Beat { depth_us, .. } => depth_us,
        }
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
    /// Other intervals for a while; what its messages say of the interval stays.
    pub(super) burst: Vec<Burst>,
    pub(super) interval_jitter_us: f64,
    /// The sequence id before its first Sync; at random when not given.
    pub(super) first_sequence: Option<u16>,
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

/// Syncs at another interval, from here (included) to there (not included).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Burst {
    pub(super) from_s: f64,
    pub(super) until_s: f64,
    pub(super) interval_s: f64,
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
            burst: Vec::new(),
            interval_jitter_us: 1.0,
            first_sequence: None,
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
        self.burst.iter().try_for_each(|burst| {
            Window { from_s: burst.from_s, until_s: burst.until_s }.check("leader.burst")?;
            within("leader.burst.interval_s", burst.interval_s, 1.0 / 128.0, 16.0)
        })?;
        self.silent.iter().try_for_each(|window| window.check("leader.silent"))
    }
}

/// Somebody who sends on the same group and ports without being a leader.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StrangerPlan {
    pub(super) kind: StrangerKind,
    /// Messages a second; an impostor's rhythm is the leader's.
    pub(super) per_s: f64,
    /// Of an impostor: how many of the leader's pairs are followed by a forged one.
    pub(super) share: f64,
    /// Of an impostor: its time minus the leader's.
    pub(super) wrong_ms: f64,
    pub(super) from_s: f64,
    pub(super) until_s: f64,
}

impl Default for StrangerPlan {
    fn default() -> Self {
        Self {
            kind: StrangerKind::PtpV2,
            per_s: 1.0,
            share: 1.0,
            wrong_ms: 5.0,
            from_s: 0.0,
            until_s: MAX_DURATION_S,
        }
    }
}

/// What a stranger sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StrangerKind {
    /// PTPv2 Syncs: an AES67 device.
    PtpV2,
    /// PTPv1 Syncs that would win any election, each from another identity, without a Follow_Up.
    Forger,
    /// Complete pairs in the first leader's name, with its next sequence id, between two of its own.
    Impostor,
}

impl StrangerPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("stranger.per_s", self.per_s, 0.01, 10_000.0)?;
        within("stranger.share", self.share, 0.0, 1.0)?;
        within("stranger.wrong_ms", self.wrong_ms, -1e6, 1e6)?;
        self.window().check("stranger")
    }

    /// When it is there.
    pub(super) fn window(&self) -> Window {
        Window { from_s: self.from_s, until_s: self.until_s }
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
    /// The two leap bits; 3 is "not synchronised". 0 announces the world's leap second until it is made.
    pub(super) leap: u8,
    /// It makes the world's leap second without a word.
    pub(super) leap_unannounced: bool,
    /// Requests vanish.
    pub(super) dead: Vec<Window>,
    /// Requests are answered by "port unreachable".
    pub(super) refused: Vec<Window>,
}

/// A leap second of UTC, at the end of June 2026.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeapPlan {
    pub(super) at_s: f64,
    /// A second is left out; else one is put in.
    #[serde(default)]
    pub(super) delete: bool,
}

impl LeapPlan {
    pub(super) fn check(self) -> Result<(), ScenarioError> {
        within("leap_second.at_s", self.at_s, 0.0, MAX_DURATION_S)
    }

    /// True time at the start of its world, in ns since 1970.
    pub(super) fn start_ns(self) -> i64 {
        const JULY_2026_NS: i64 = 1_782_864_000_000_000_000;
        let left_out = if self.delete { 1_000_000_000 } else { 0 };
        JULY_2026_NS - left_out - ns_of_s(self.at_s)
    }

    /// By how much UTC has jumped.
    pub(super) fn leapt_ns(self, elapsed: i64) -> i64 {
        match elapsed >= ns_of_s(self.at_s) {
            false => 0,
            true if self.delete => 1_000_000_000,
            true => -1_000_000_000,
        }
    }
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
            leap_unannounced: false,
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
