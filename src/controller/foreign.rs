//! What somebody else does to the system clock: counted, told, named where possible, and a conflict when it does
//! not stop (R5).

use std::collections::VecDeque;

use tracing::{info, warn};

use crate::clock::Foreign;
use crate::time::{Raw, Span, Timestamp};

/// Three foreign changes within a minute are a conflict, which ends after a minute without one (R5).
const CONFLICT_CHANGES: usize = 3;
const CONFLICT_WINDOW: Span = Span::from_secs(60);

/// Finds the running programs that are known to steer clocks, as an administrator knows them. It may take some ms,
/// so it is called when a clock was touched, not more often.
pub type Lookup = fn() -> Vec<String>;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Foreigners {
    recent: VecDeque<Timestamp<Raw>>,
    total: u64,
    last: Option<String>,
    conflict: bool,
    lookup: Option<Lookup>,
    suspects: Vec<String>,
}

impl Foreigners {
    /// From now on those who may have done it are looked for.
    pub(super) fn look_with(&mut self, lookup: Lookup) {
        self.lookup = Some(lookup);
    }

    /// Somebody changed the clock: what to tell of it, unless that is a conflict already.
    pub(super) fn note(&mut self, now: Timestamp<Raw>, foreign: Foreign) -> Option<String> {
        let told = match foreign {
            Foreign::Step(by) => format!("another program stepped the system clock by {by}"),
            Foreign::Slew(by) => format!("another program changed the system clock's rate by {by}"),
        };
        let window = now - CONFLICT_WINDOW;
        self.recent.retain(|at| *at >= window);
        self.recent.push_back(now);
        self.total = self.total.saturating_add(1);
        let news = !self.conflict;
        if self.conflict {
            self.last = Some(told);
        } else {
            self.suspects = self.lookup.map(|lookup| lookup()).unwrap_or_default();
            let told = format!("{told}{}", self.named());
            warn!("{told}");
            self.last = Some(told);
        }
        if self.recent.len() >= CONFLICT_CHANGES && !self.conflict {
            self.conflict = true;
            warn!(
                "another program keeps changing the system clock{}: steering is suspended until it stops",
                self.named()
            );
        }
        while self.recent.len() > CONFLICT_CHANGES {
            self.recent.pop_front();
        }
        self.last.clone().filter(|_| news)
    }

    /// A conflict ends after a minute of peace.
    pub(super) fn pass(&mut self, now: Timestamp<Raw>) {
        let window = now - CONFLICT_WINDOW;
        if self.conflict && self.recent.back().is_none_or(|last| *last < window) {
            self.conflict = false;
            info!("no other program has changed the clock for a minute: steering again");
        }
    }

    /// Somebody keeps steering the clock.
    pub(super) fn conflict(&self) -> bool {
        self.conflict
    }

    /// Changes so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The last one, in words.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Who was running when the clock was last touched and may have done it.
    pub(super) fn suspects(&self) -> &[String] {
        &self.suspects
    }

    fn named(&self) -> String {
        match self.suspects.as_slice() {
            [] => String::new(),
            [one] => format!(" ({one} is running)"),
            several => format!(" ({} are running)", several.join(", ")),
        }
    }
}
