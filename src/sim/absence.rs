//! When the follower is not there: its program is restarted, its computer sleeps or stands still, its cable is
//! pulled. What each of them does to the clocks.

use serde::Deserialize;

use super::plan::ns_of_s;
use super::scenario::{MAX_DURATION_S, ScenarioError, within};
use crate::state::SavedState;
use crate::time::LeaderId;

/// The program ends and is started again.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartPlan {
    pub(super) at_s: f64,
    pub(super) down_s: f64,
    pub(super) kind: RestartKind,
    #[serde(default)]
    pub(super) state: StateKind,
    /// After a boot: by how much the raw clock's calibration differs.
    #[serde(default)]
    pub(super) calibration_ppm: f64,
    /// After a boot: error of the clock that the system clock is set from.
    #[serde(default)]
    pub(super) rtc_ms: f64,
    /// While it is down, somebody moves the system clock by this.
    #[serde(default)]
    pub(super) moved_ms: f64,
}

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RestartKind {
    /// It is told to, and leaves as it should.
    Clean,
    /// At once; the state file is as old as it is.
    Kill,
    /// With the computer: the raw clock begins anew, the system clock is set from another one.
    Reboot,
}

/// What the next run finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum StateKind {
    /// What the last one left.
    #[default]
    Kept,
    /// Nothing.
    None,
    /// A state of another leader with another time.
    Foreign,
}

impl RestartPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("restart.at_s", self.at_s, 0.0, MAX_DURATION_S)?;
        within("restart.down_s", self.down_s, 0.0, MAX_DURATION_S)?;
        within("restart.calibration_ppm", self.calibration_ppm, -1_000.0, 1_000.0)?;
        within("restart.rtc_ms", self.rtc_ms, -1e9, 1e9)?;
        within("restart.moved_ms", self.moved_ms, -1e9, 1e9)
    }

    /// What the next run finds of what the last one left, as it went through the file.
    pub(super) fn found(&self, left: Option<SavedState>) -> Option<SavedState> {
        let mut state = SavedState::from_json(&left?.to_json()).ok()?;
        match self.state {
            StateKind::Kept => Some(state),
            StateKind::None => None,
            StateKind::Foreign => {
                let LeaderId::V1 { uuid, .. } = &mut state.leader;
                *uuid = [0x02, 0x1d, 0xc1, 0xff, 0xff, 0xff];
                state.leader_ns += ns_of_s(12_345.0);
                state.target.leader_ns += ns_of_s(12_345.0);
                state.rate_ppb += 12_000.0;
                Some(state)
            }
        }
    }
}

/// The computer sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspendPlan {
    pub(super) at_s: f64,
    pub(super) length_s: f64,
    pub(super) kind: SuspendKind,
    /// Error of the clock that the system clock is set from when it wakes up.
    #[serde(default)]
    pub(super) rtc_ms: f64,
}

/// What a sleep looks like to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SuspendKind {
    /// The raw clock stands still, the system clock is set, and the computer knows that it slept.
    Linux,
    /// The raw clock goes on, the system clock is set, and the computer knows that it slept.
    Windows,
    /// A virtual machine: all of its clocks stand still, and none tells.
    Pause,
}

impl SuspendPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("suspend.at_s", self.at_s, 0.0, MAX_DURATION_S)?;
        within("suspend.length_s", self.length_s, 0.001, MAX_DURATION_S)?;
        within("suspend.rtc_ms", self.rtc_ms, -1e9, 1e9)
    }
}

/// The network cable is pulled, and put back.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnplugPlan {
    pub(super) at_s: f64,
    pub(super) length_s: f64,
    /// The last octet of the address that the computer has afterwards.
    #[serde(default = "usual_host")]
    pub(super) host: u8,
}

pub(super) const fn usual_host() -> u8 {
    2
}

impl UnplugPlan {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("unplug.at_s", self.at_s, 0.0, MAX_DURATION_S)?;
        within("unplug.length_s", self.length_s, 0.0, MAX_DURATION_S)
    }
}
