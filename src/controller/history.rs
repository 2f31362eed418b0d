//! The events of this run of the program, as the snapshot shows them and the history keeps them.

use std::collections::VecDeque;

use super::PtpController;
use crate::clock::SystemClock;
use crate::events::{Event, EventKind};
use crate::net::PtpNetwork;
use crate::ntp::NtpSource;
use crate::time::{Raw, Span, System, Timestamp};

/// What the snapshot shows.
const SHOWN: usize = 10;

/// What waits to be kept; where nobody takes it, the oldest go.
const WAITING: usize = 64;

/// So many events are kept in this time: a clock that cannot make up its mind must not push everything else out
/// of the history, nor wear out a disk.
const KEPT: u32 = 40;
const WINDOW: Span = Span::from_secs(600);

/// The last events.
#[derive(Debug, Default)]
pub(super) struct History {
    shown: VecDeque<Event>,
    waiting: VecDeque<Event>,
    window: Option<Timestamp<Raw>>,
    in_window: u32,
}

impl History {
    fn add(&mut self, now: Timestamp<Raw>, event: Event) {
        if self.shown.len() >= SHOWN {
            self.shown.pop_front();
        }
        self.shown.push_back(event.clone());
        if self.window.is_none_or(|began| now - began >= WINDOW) {
            let left_out = self.in_window.saturating_sub(KEPT);
            if left_out > 0 {
                let at = Timestamp::<System>::from_ns(event.unix_ns);
                let text = format!("{left_out} more events in the ten minutes before were not kept");
                self.keep(Event::new(at, EventKind::Other, None, &text));
            }
            (self.window, self.in_window) = (Some(now), 0);
        }
        self.in_window = self.in_window.saturating_add(1);
        if self.in_window <= KEPT {
            self.keep(event);
        }
    }

    fn keep(&mut self, event: Event) {
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(event);
    }

    /// The last ones, the newest last.
    pub(super) fn shown(&self) -> Vec<Event> {
        self.shown.iter().cloned().collect()
    }

    /// Those that nobody has taken to keep yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Event> {
        self.waiting.iter()
    }
}

impl<N: PtpNetwork, C: SystemClock, S: NtpSource> PtpController<N, C, S> {
    /// Something happened.
    pub fn note(&mut self, kind: EventKind, text: &str) {
        let at = match self.timeline.system_at(self.now) {
            Some(at) => at,
            // Before the first turn.
            None => self.clock.read().map_or(Timestamp::EPOCH, |reading| reading.system),
        };
        let leader = self.follower.parent().map(|parent| parent.id);
        self.history.add(self.now, Event::new(at, kind, leader, text));
    }

    /// The next event that the history should keep.
    pub fn next_event(&mut self) -> Option<Event> {
        self.history.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp<Raw> {
        Timestamp::from_ns(seconds * 1_000_000_000)
    }

    fn event(seconds: i64) -> Event {
        Event::new(Timestamp::from_ns(seconds), EventKind::State, None, "Locked")
    }

    #[test]
    fn a_flood_of_events_is_shown_but_not_kept() {
        let mut history = History::default();
        for second in 0..100 {
            history.add(at(second), event(second));
        }
        assert_eq!(history.shown.len(), SHOWN);
        assert_eq!(history.shown.back(), Some(&event(99)));
        assert_eq!(history.waiting.len(), 40);
        history.add(at(700), event(700));
        assert_eq!(history.waiting.len(), 42);
        assert!(history.waiting[40].text.starts_with("60 more events"), "{:?}", history.waiting[40]);
    }

    #[test]
    fn what_nobody_takes_does_not_grow() {
        let mut history = History::default();
        for hour in 0..1_000 {
            history.add(at(hour * 3_600), event(hour));
        }
        assert_eq!((history.waiting.len(), history.waiting[0].unix_ns), (WAITING, 936));
    }
}
