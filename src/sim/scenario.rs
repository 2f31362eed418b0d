//! Scenarios: what differs from the base world, as TOML.
//!
//! Every key has the base world's value as its default, so that the file of the base world is nearly empty.

#![allow(clippy::as_conversions, reason = "validated seconds and microseconds become nanoseconds")]

use serde::Deserialize;

use crate::config::{Config, UtcLimit};
use crate::time::{Rate, Span};

/// A simulated world, the events in it, and the figures that must be reached.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) duration_s: f64,
    /// Figures called steady leave out everything before.
    pub(super) steady_from_s: f64,
    /// How many seeds the table runs, counted from 1.
    pub(super) seeds: u64,
    pub(super) oscillator: OscillatorPlan,
    pub(super) clock: ClockPlan,
    pub(super) reader: ReaderPlan,
    pub(super) path: PathPlan,
    pub(super) leader: Vec<LeaderPlan>,
    pub(super) stranger: Vec<StrangerPlan>,
    pub(super) ntp: Vec<NtpPlan>,
    pub(super) foreign: Vec<ForeignPlan>,
    pub(super) config: ConfigPlan,
    pub(super) disturbance: Vec<DisturbancePlan>,
    pub(super) limits: Limits,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            id: "S1".to_owned(),
            title: "the base world".to_owned(),
            duration_s: 3_600.0,
            steady_from_s: 600.0,
            seeds: 20,
            oscillator: OscillatorPlan::default(),
            clock: ClockPlan::default(),
            reader: ReaderPlan::default(),
            path: PathPlan::default(),
            leader: vec![LeaderPlan::default()],
            stranger: Vec::new(),
            ntp: vec![NtpPlan::default()],
            foreign: Vec::new(),
            config: ConfigPlan::default(),
            disturbance: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Scenario {
    /// Reads a scenario and checks its values.
    ///
    /// # Errors
    /// When the text is not TOML, has unknown keys, or a value is out of its range.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::Syntax(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Its short name in the table.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is about, in a few words.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How many seeds its row of the table pools; they count from 1.
    pub fn seeds(&self) -> u64 {
        self.seeds
    }

    /// The same world, shorter or longer; clamped to a second at least and 31 days at most.
    #[must_use]
    pub fn lasting(mut self, duration: Span) -> Self {
        self.duration_s = duration.as_secs_f64().clamp(1.0, MAX_DURATION_S);
        self
    }

    /// What the follower in this world is configured with.
    pub(super) fn follower_config(&self) -> Config {
        Config {
            ntp_servers: (0..self.ntp.len()).map(|index| format!("10.77.8.{}", index + 2)).collect(),
            utc_limit: self.config.utc_limit,
            utc_slew: Rate::from_ppm(self.config.utc_slew_ppm),
            ..Config::default()
        }
    }

    fn check(&self) -> Result<(), ScenarioError> {
        within("duration_s", self.duration_s, 1.0, MAX_DURATION_S)?;
        within("steady_from_s", self.steady_from_s, 0.0, self.duration_s)?;
        within("seeds", self.seeds as f64, 1.0, 1_000.0)?;
        self.oscillator.check()?;
        self.clock.check()?;
        self.reader.check()?;
        self.path.check()?;
        within("number of leaders", self.leader.len() as f64, 0.0, 8.0)?;
        self.leader.iter().try_for_each(LeaderPlan::check)?;
        self.stranger.iter().try_for_each(StrangerPlan::check)?;
        within("number of ntp servers", self.ntp.len() as f64, 0.0, 8.0)?;
        self.ntp.iter().try_for_each(NtpPlan::check)?;
        self.foreign.iter().try_for_each(ForeignPlan::check)?;
        within("config.utc_slew_ppm", self.config.utc_slew_ppm, 0.0, 500.0)?;
        self.disturbance.iter().try_for_each(|disturbance| {
            within("disturbance.at_s", disturbance.at_s, 0.0, self.duration_s)?;
            within("disturbance.allow_s", disturbance.allow_s, 0.0, self.duration_s)?;
            within("disturbance.recover_s", disturbance.recover_s, 0.0, self.duration_s)
        })
    }
}

/// The longest scenario: beyond it, nanoseconds in a float lose more than they should.
const MAX_DURATION_S: f64 = 31.0 * 86_400.0;

/// Why a scenario cannot be played.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScenarioError {
    /// Not TOML, an unknown key, or a value of the wrong type; the text says where.
    #[error("{0}")]
    Syntax(String),
    /// A value out of its range.
    #[error("{key} = {value} is out of range: {low} to {high}")]
    OutOfRange {
        /// The key, with the table it stands in.
        key: &'static str,
        /// Its value.
        value: f64,
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
    },
}

fn within(key: &'static str, value: f64, low: f64, high: f64) -> Result<(), ScenarioError> {
    // Written so that NaN is out of every range.
    if value >= low && value <= high {
        Ok(())
    } else {
        Err(ScenarioError::OutOfRange { key, value, low, high })
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
    fn check(&self) -> Result<(), ScenarioError> {
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
    fn check(&self) -> Result<(), ScenarioError> {
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
    fn check(&self) -> Result<(), ScenarioError> {
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
    fn check(self, key: &'static str) -> Result<(), ScenarioError> {
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
    fn check(&self) -> Result<(), ScenarioError> {
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

    fn check(&self, key: &'static str) -> Result<(), ScenarioError> {
        within(key, self.from_s, 0.0, MAX_DURATION_S)?;
        within(key, self.until_s, self.from_s, MAX_DURATION_S)
    }
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
    fn check(&self) -> Result<(), ScenarioError> {
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
    fn check(&self) -> Result<(), ScenarioError> {
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
    fn check(&self) -> Result<(), ScenarioError> {
        within("ntp.base_us", self.base_us, 0.0, 1e7)?;
        self.noise.check("ntp.noise")?;
        within("ntp.spike_probability", self.spike_probability, 0.0, 1.0)?;
        within("ntp.spike_us", self.spike_us, 0.0, 1e7)?;
        within("ntp.late_s", self.late_s, 0.0, 3_600.0)?;
        within("ntp.offset_ms", self.offset_ms, -1e9, 1e9)?;
        within("ntp.leap", f64::from(self.leap), 0.0, 3.0)?;
        self.offset_step.iter().try_for_each(|step| within("ntp.offset_step.ms", step.ms, -1e9, 1e9))?;
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
    fn check(&self) -> Result<(), ScenarioError> {
        within("foreign.at_s", self.at_s, 0.0, MAX_DURATION_S)?;
        within("foreign.step_ms", self.step_ms, -1e9, 1e9)?;
        within("foreign.slew_ppm", self.slew_ppm, -1_000.0, 1_000.0)
    }
}

/// What the follower is told.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigPlan {
    /// `"none"`, or a time like `"0s"`, `"500ms"`.
    #[serde(deserialize_with = "utc_limit")]
    pub(super) utc_limit: UtcLimit,
    pub(super) utc_slew_ppm: f64,
}

impl Default for ConfigPlan {
    fn default() -> Self {
        Self { utc_limit: UtcLimit::None, utc_slew_ppm: 100.0 }
    }
}

fn utc_limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<UtcLimit, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parse = |text: &str| text.trim().parse::<u32>().ok().map(i64::from);
    match (text.as_str(), text.strip_suffix("ms"), text.strip_suffix('s')) {
        ("none", ..) => Some(UtcLimit::None),
        (_, Some(ms), _) => parse(ms).map(|ms| UtcLimit::Within(Span::from_ms(ms))),
        (_, None, Some(s)) => parse(s).map(|s| UtcLimit::Within(Span::from_secs(s))),
        _ => None,
    }
    .ok_or_else(|| {
        serde::de::Error::custom(format!(
            "utc_limit = {text:?} is neither \"none\" nor whole \"…ms\" or \"…s\""
        ))
    })
}

/// Something that happens, what it excuses, and what must be reached after it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisturbancePlan {
    pub(super) at_s: f64,
    pub(super) what: String,
    /// A Locked that is not true is excused for this long.
    #[serde(default)]
    pub(super) allow_s: f64,
    /// Left out of the steady figures and of the false demotions for this long.
    #[serde(default)]
    pub(super) recover_s: f64,
    /// The unknown constant of the path may be another one from here on.
    #[serde(default)]
    pub(super) refit: bool,
    /// To the first 60 s throughout which the true rate error is below 1 ppm.
    pub(super) settle_s: Option<f64>,
    /// To the first snapshot that is not Locked.
    pub(super) leave_s: Option<f64>,
    /// To the next Locked; 0 when Locked was not left.
    pub(super) relock_s: Option<f64>,
    /// To the moment from which on the phase error stays within 10 µs.
    pub(super) pull_in_s: Option<f64>,
    /// Largest true phase error until the next disturbance.
    pub(super) phase_us: Option<f64>,
    /// Largest true rate error until the next disturbance, over one second.
    pub(super) rate_ppm: Option<f64>,
}

/// The figures that must be reached; those that are not given are shown and not judged.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) lock_s: Option<f64>,
    pub(super) settle_s: Option<f64>,
    pub(super) rate_rms_ppm: Option<f64>,
    pub(super) rate_max_ppm: Option<f64>,
    pub(super) phase_rms_us: Option<f64>,
    pub(super) phase_pp_us: Option<f64>,
    pub(super) utc_rms_us: Option<f64>,
    pub(super) utc_max_us: Option<f64>,
    pub(super) ntp_per_h: Option<f64>,
    pub(super) steps: Option<f64>,
    pub(super) backward: Option<f64>,
    pub(super) false_lock_s: Option<f64>,
    pub(super) demote_per_day: Option<f64>,
    pub(super) bound_ok: Option<f64>,
    pub(super) bound_ratio: Option<[f64; 2]>,
}

impl Default for Limits {
    /// What must hold in every world.
    fn default() -> Self {
        Self {
            lock_s: None,
            settle_s: None,
            rate_rms_ppm: None,
            rate_max_ppm: None,
            phase_rms_us: None,
            phase_pp_us: None,
            utc_rms_us: None,
            utc_max_us: None,
            ntp_per_h: Some(240.0),
            steps: Some(0.0),
            backward: Some(0.0),
            false_lock_s: Some(0.0),
            demote_per_day: Some(1.0),
            bound_ok: Some(0.995),
            bound_ratio: Some([3.0, 12.0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_base_world() {
        assert_eq!(Scenario::from_toml("").unwrap(), Scenario::default());
    }

    #[test]
    fn what_is_given_replaces_what_is_not() {
        let scenario = Scenario::from_toml(
            "id = 'X'\n[path]\nnoise = { law = 'half_gaussian', sd_us = 400.0 }\n[[leader]]\nrate_ppm = 7.0\n\
             [config]\nutc_limit = '500ms'",
        )
        .unwrap();
        assert_eq!(scenario.path.noise, NoiseLaw::HalfGaussian { sd_us: 400.0 });
        assert_eq!(scenario.path.base_us, 30.0);
        assert_eq!((scenario.leader[0].rate_ppm, scenario.leader[0].interval_s), (7.0, 0.25));
        assert_eq!(scenario.follower_config().utc_limit, UtcLimit::Within(Span::from_ms(500)));
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_key_and_range() {
        let error = Scenario::from_toml("[path]\nloss = 1.5").unwrap_err();
        assert_eq!(error.to_string(), "path.loss = 1.5 is out of range: 0 to 1");
        let error = Scenario::from_toml("duration_s = nan").unwrap_err();
        assert_eq!(error.to_string(), "duration_s = NaN is out of range: 1 to 2678400");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let error = Scenario::from_toml("[path]\njitter = 1").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("jitter"), "{error}");
    }

    #[test]
    fn a_limit_on_utc_that_is_no_time_is_refused() {
        for text in ["'5'", "'0.5s'", "'-1s'", "'nones'", "'5min'"] {
            let error = Scenario::from_toml(&format!("[config]\nutc_limit = {text}")).unwrap_err();
            assert!(error.to_string().contains("utc_limit"), "{text}: {error}");
        }
    }

    #[test]
    fn every_scenario_that_is_shipped_can_be_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let scenario = Scenario::from_toml(&std::fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let stem = path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(scenario.id.to_lowercase(), stem, "the file is named after its id");
            count += 1;
        }
        assert!(count >= 25, "{count} scenarios");
    }
}
