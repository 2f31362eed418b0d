//! What happened to the clock, for whoever asks later: leaders, locks, steps, the way to UTC, foreign hands.

pub mod command;
pub mod file;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{LeaderId, System, Timestamp};

/// Longer texts are cut: they hold names that came from elsewhere.
const TEXT_MAX: usize = 400;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The system clock when it happened, in ns since 1970; where the clock was stepped, after the step.
    pub unix_ns: i64,
    /// The same for people, in UTC: `2026-05-28T20:26:40.250Z`.
    pub utc: String,
    /// What kind of thing it was.
    pub kind: EventKind,
    /// The leader that was followed, if one was.
    pub leader: Option<LeaderId>,
    /// What happened, in one line.
    pub text: String,
}

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The program started.
    Start,
    /// The program ended as it was told.
    Stop,
    /// Another state: a lock was entered or left.
    State,
    /// Another leader is followed, or about to be; or its time began anew.
    Leader,
    /// The clock was stepped by this program.
    Step,
    /// What is done about the error against UTC: limits, slews, leap seconds.
    Utc,
    /// Somebody else changed the clock.
    Foreign,
    /// The computer slept or stood still.
    Sleep,
    /// An NTP server is not believed, or is again.
    Ntp,
    /// A kind that this release does not know.
    #[serde(other)]
    Other,
}

impl Event {
    /// At a moment of the system clock. Line breaks and what is too long are taken out of the text.
    pub fn new(at: Timestamp<System>, kind: EventKind, leader: Option<LeaderId>, text: &str) -> Self {
        let text = text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { unix_ns: at.as_ns(), utc: at.date().rfc3339(), kind, leader, text }
    }
}

impl fmt::Display for Event {
    /// A line for people, without the leader.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Timestamp::<System>::from_ns(self.unix_ns).date().to_string();
        write!(f, "{}  {:<7}  {}", date.trim_end_matches(" UTC"), self.kind, self.text)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::State => "state",
            Self::Leader => "leader",
            Self::Step => "step",
            Self::Utc => "utc",
            Self::Foreign => "foreign",
            Self::Sleep => "sleep",
            Self::Ntp => "ntp",
            Self::Other => "other",
        })
    }
}
