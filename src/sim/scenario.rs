//! Scenarios: what differs from the base world, as TOML.
//!
//! Every key has the base world's value as its default, so that the file of the base world is nearly empty.

#![allow(clippy::as_conversions, reason = "small counts are compared with their range")]

use serde::Deserialize;

use super::absence::{RestartPlan, SuspendPlan, UnplugPlan};
use super::plan::{
    ClockPlan, ForeignPlan, LeaderPlan, LeapPlan, NtpPlan, OscillatorPlan, PathPlan, ReaderPlan, StrangerPlan,
};
use super::twin::TwinPlan;
use crate::config::{Choices, Config, Faults};
use crate::time::Span;

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
    /// UTC has one; the world then starts so long before the end of June 2026.
    pub(super) leap_second: Option<LeapPlan>,
    pub(super) foreign: Vec<ForeignPlan>,
    pub(super) restart: Vec<RestartPlan>,
    pub(super) suspend: Vec<SuspendPlan>,
    pub(super) unplug: Vec<UnplugPlan>,
    /// Another computer beside this one.
    pub(super) twin: Option<TwinPlan>,
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
            leap_second: None,
            foreign: Vec::new(),
            restart: Vec::new(),
            suspend: Vec::new(),
            unplug: Vec::new(),
            twin: None,
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

    /// How long it lasts.
    pub fn duration(&self) -> Span {
        Span::from_secs_f64(self.duration_s)
    }

    /// What the follower in this world is configured with.
    pub(super) fn follower_config(&self) -> Config {
        self.config.read(&self.servers()).expect("a scenario is checked when it is read")
    }

    fn servers(&self) -> Vec<String> {
        (0..self.ntp.len()).map(|index| format!("10.77.8.{}", index + 2)).collect()
    }

    /// The world of the other computer, if there is one.
    pub(super) fn twin(&self) -> Option<Self> {
        let TwinPlan { oscillator, start_offset_ms } = self.twin.clone()?;
        let clock = ClockPlan { start_offset_ms, ..self.clock };
        Some(Self {
            oscillator,
            clock,
            twin: None,
            restart: Vec::new(),
            suspend: Vec::new(),
            unplug: Vec::new(),
            ..self.clone()
        })
    }

    /// True time at the start, in ns since 1970: a moment in 2026.
    pub(super) fn start_ns(&self) -> i64 {
        self.leap_second.map_or(START_NS, LeapPlan::start_ns)
    }

    /// By how much UTC has jumped `elapsed` ns after the start.
    pub(super) fn leapt_ns(&self, elapsed: i64) -> i64 {
        self.leap_second.map_or(0, |leap| leap.leapt_ns(elapsed))
    }

    /// The oracle tells leaders apart by what they call themselves.
    fn check_identities(&self) -> Result<(), ScenarioError> {
        let identity = |leader: &LeaderPlan| (leader.uuid, leader.port, leader.subdomain.clone());
        let mut seen = std::collections::BTreeSet::new();
        match self.leader.iter().position(|leader| !seen.insert(identity(leader))) {
            Some(index) => Err(ScenarioError::SameLeader { number: index + 1 }),
            None => Ok(()),
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
        self.check_identities()?;
        self.stranger.iter().try_for_each(StrangerPlan::check)?;
        within("number of ntp servers", self.ntp.len() as f64, 0.0, 8.0)?;
        self.ntp.iter().try_for_each(NtpPlan::check)?;
        self.leap_second.map_or(Ok(()), LeapPlan::check)?;
        self.foreign.iter().try_for_each(ForeignPlan::check)?;
        self.restart.iter().try_for_each(RestartPlan::check)?;
        self.suspend.iter().try_for_each(SuspendPlan::check)?;
        self.unplug.iter().try_for_each(UnplugPlan::check)?;
        self.config.read(&self.servers())?;
        self.twin.iter().try_for_each(TwinPlan::check)?;
        self.disturbance.iter().try_for_each(|disturbance| {
            within("disturbance.at_s", disturbance.at_s, 0.0, self.duration_s)?;
            within("disturbance.allow_s", disturbance.allow_s, 0.0, self.duration_s)?;
            within("disturbance.recover_s", disturbance.recover_s, 0.0, self.duration_s)
        })
    }
}

/// True time at the start of a world without a leap second.
const START_NS: i64 = 1_780_000_000_000_000_000;

/// The longest scenario: beyond it, nanoseconds in a float lose more than they should.
pub(super) const MAX_DURATION_S: f64 = 31.0 * 86_400.0;

/// Why a scenario cannot be played.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScenarioError {
    /// Not TOML, an unknown key, or a value of the wrong type; the text says where.
    #[error("{0}")]
    Syntax(String),
    /// The follower cannot be told that.
    #[error("in [config]: {0}")]
    Config(Faults),
    /// Two leaders that nobody can tell apart.
    #[error("leader {number} has the uuid, port and subdomain of an earlier one; one of them must differ")]
    SameLeader {
        /// The later one of the two, counted from 1.
        number: usize,
    },
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

/// Refuses a value that is not within its range.
pub(super) fn within(key: &'static str, value: f64, low: f64, high: f64) -> Result<(), ScenarioError> {
    // Written so that NaN is out of every range.
    if value >= low && value <= high {
        Ok(())
    } else {
        Err(ScenarioError::OutOfRange { key, value, low, high })
    }
}

/// What the follower is told, as on its command line; what is not given has the program's default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigPlan {
    pub(super) utc_limit: Option<String>,
    pub(super) utc_slew_ppm: Option<f64>,
    /// In UTC: there is no other local time in these worlds.
    pub(super) utc_slew_window: Option<String>,
    pub(super) step_threshold: Option<String>,
    pub(super) late_step: Option<String>,
    pub(super) panic_threshold: Option<String>,
    pub(super) leap: Option<String>,
}

impl ConfigPlan {
    fn read(&self, servers: &[String]) -> Result<Config, ScenarioError> {
        let choices = Choices::default()
            .with("skip-ntp", servers.is_empty().then_some("true"))
            .with("utc-limit", self.utc_limit.clone())
            .with("utc-slew", self.utc_slew_ppm.map(|ppm| ppm.to_string()))
            .with("utc-slew-window", self.utc_slew_window.clone())
            .with("step-threshold", self.step_threshold.clone())
            .with("late-step", self.late_step.clone())
            .with("panic-threshold", self.panic_threshold.clone())
            .with("leap", self.leap.clone());
        let choices =
            servers.iter().fold(choices, |all, server| all.with("ntp-server", Some(server.as_str())));
        Config::from_choices(&choices).map_err(ScenarioError::Config)
    }
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
    /// Largest distance from the line that was followed before, in the Locked seconds of `recover_s`.
    pub(super) line_us: Option<f64>,
    /// True phase error by its printed bound, in the last second before the next disturbance.
    pub(super) bound_share: Option<f64>,
    /// Seconds in Holdover with bounds that are too wide for it.
    pub(super) overstay_s: Option<f64>,
    /// At least so many samples counted as not fitting.
    pub(super) outliers: Option<f64>,
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
    pub(super) slews: Option<f64>,
    pub(super) slew_max_ppm: Option<f64>,
    pub(super) slew_outside_s: Option<f64>,
    pub(super) twin_rate_ppm: Option<f64>,
    pub(super) twin_rate_rms_ppm: Option<f64>,
    pub(super) twin_rms_us: Option<f64>,
    pub(super) ntp_per_h: Option<f64>,
    pub(super) steps: Option<f64>,
    pub(super) backward: Option<f64>,
    pub(super) false_lock_s: Option<f64>,
    pub(super) demote_per_day: Option<f64>,
    pub(super) bound_ok: Option<f64>,
    pub(super) bound_ok_unlocked: Option<f64>,
    pub(super) bound_ratio: Option<[f64; 2]>,
    pub(super) bound_ratio_rate: Option<[f64; 2]>,
    pub(super) bound_ratio_utc: Option<[f64; 2]>,
    /// Seconds of processor time for an hour of the world.
    pub(super) cpu_s_per_h: f64,
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
            slews: None,
            slew_max_ppm: None,
            slew_outside_s: None,
            twin_rate_ppm: None,
            twin_rate_rms_ppm: None,
            twin_rms_us: None,
            ntp_per_h: Some(240.0),
            steps: Some(0.0),
            backward: Some(0.0),
            false_lock_s: Some(0.0),
            demote_per_day: Some(1.0),
            bound_ok: Some(0.995),
            bound_ok_unlocked: Some(0.99),
            bound_ratio: Some([3.0, 12.0]),
            bound_ratio_rate: Some([3.0, 12.0]),
            bound_ratio_utc: Some([3.0, 12.0]),
            cpu_s_per_h: 0.3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::NoiseLaw;
    use super::*;
    use crate::config::UtcLimit;

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
    fn leaders_are_told_apart() {
        let error = Scenario::from_toml("[[leader]]\n[[leader]]\nrate_ppm = 7.0").unwrap_err();
        assert_eq!(error, ScenarioError::SameLeader { number: 2 });
        let two = Scenario::from_toml("[[leader]]\n[[leader]]\nuuid = '02:1d:c1:00:00:0a'").unwrap();
        assert_eq!(two.leader[1].uuid, [2, 0x1d, 0xc1, 0, 0, 10]);
        let error = Scenario::from_toml("[[leader]]\nuuid = '02:1d:c1:00:00'").unwrap_err();
        assert!(error.to_string().contains("six hexadecimal octets"), "{error}");
    }

    #[test]
    fn what_the_follower_cannot_be_told_is_refused() {
        for text in ["utc_limit = '5'", "utc_slew_ppm = 900.0", "late_step = 'no'", "utc_limit = '10s'"] {
            let error = Scenario::from_toml(&format!("[config]\n{text}")).unwrap_err().to_string();
            assert!(error.starts_with("in [config]: "), "{text}: {error}");
        }
        let error = Scenario::from_toml("[config]\nutc_slew = '5'").unwrap_err();
        assert!(matches!(error, ScenarioError::Syntax(_)), "{error}");
    }
}
