//! What is said about the clock's error against UTC: once each, and a slew an hour ahead.

use crate::discipline::Outlook;
use crate::snapshot::Activity;
use crate::time::Span;

/// A slew is announced so long before it begins, where it can be foretold.
const AHEAD: Span = Span::from_secs(3_600);
/// What was announced and has moved away further than this will be announced again.
const AGAIN: Span = Span::from_secs(7_200);

/// Errors that are worth a warning: 1 s, 2 s, 4 s …
const FIRST_WARNING: Span = Span::from_secs(1);

/// Remembers what was said.
#[derive(Debug)]
pub struct Announcer {
    activity: Activity,
    announced: bool,
    warn_above: Span,
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// As expected.
    Info(String),
    /// Somebody should look.
    Warning(String),
}

impl Announcer {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self { activity: Activity::Leader, announced: false, warn_above: FIRST_WARNING }
    }

    /// The clock is this far off UTC: a warning whenever that has doubled.
    pub fn error(&mut self, error: Span) -> Option<News> {
        if error.abs() <= self.warn_above {
            return None;
        }
        while error.abs() > self.warn_above && self.warn_above < Span::MAX {
            self.warn_above = self.warn_above.times(2);
        }
        Some(News::Warning(format!("the clock, following the leader, is {error} off UTC")))
    }

    /// What is new about the way back to UTC.
    pub fn outlook(&mut self, outlook: &Outlook) -> Option<News> {
        let before = std::mem::replace(&mut self.activity, outlook.activity);
        if before != outlook.activity {
            self.announced = false;
            return Some(turned(outlook));
        }
        let ahead = outlook.slew_in.filter(|_| outlook.activity == Activity::Leader);
        self.announced &= ahead.is_some_and(|ahead| ahead < AGAIN);
        let ahead = ahead.filter(|ahead| *ahead <= AHEAD && !self.announced)?;
        self.announced = true;
        let takes =
            outlook.slew_for.map_or_else(String::new, |takes| format!(", for about {}", rough(takes)));
        Some(News::Info(format!(
            "the clock is {} off UTC: in {} it will begin to be slewed back{takes}",
            outlook.error,
            rough(ahead)
        )))
    }
}

/// What the activity that has just begun means.
fn turned(outlook: &Outlook) -> News {
    let error = outlook.error;
    let takes = rough(outlook.slew_for.unwrap_or_default());
    match outlook.activity {
        Activity::Leader => {
            News::Info(format!("the clock, {error} off UTC, has the leader's exact rate again"))
        }
        Activity::Following => News::Info(format!("following UTC; the clock is {error} off")),
        Activity::Returning => {
            News::Info(format!("slewing the clock back to UTC: it is {error} off; this takes about {takes}"))
        }
        Activity::Waiting => {
            let opens = rough(outlook.slew_in.unwrap_or_default());
            News::Info(format!(
                "the clock is {error} off UTC, beyond utc-limit: it will be slewed back when utc-slew-window \
                 opens, in {opens}"
            ))
        }
        Activity::Holding => News::Warning(format!(
            "the leader leaves UTC about as fast as utc-slew allows, or faster: the clock, {error} off, cannot come \
             back; give it a greater utc-slew"
        )),
        Activity::Refused => News::Warning(format!(
            "the clock is {error} off UTC, beyond panic-threshold: it is left alone. If that is true, set the date \
             and start again"
        )),
    }
}

/// In the unit that is read at a glance.
fn rough(span: Span) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Rate;

    fn outlook(activity: Activity, slew_in: Option<Span>) -> Outlook {
        Outlook {
            error: Span::from_ms(437),
            activity,
            slew: Rate::ZERO,
            limit_in: slew_in,
            slew_in,
            slew_for: Some(Span::from_secs(6_000)),
        }
    }

    fn leader(minutes: i64) -> Outlook {
        outlook(Activity::Leader, Some(Span::from_secs(60 * minutes)))
    }

    #[test]
    fn a_slew_is_announced_an_hour_ahead_and_once() {
        let mut announcer = Announcer::new();
        assert_eq!(announcer.outlook(&leader(61)), None);
        let News::Info(text) = announcer.outlook(&leader(60)).unwrap() else { panic!("no warning") };
        assert!(
            text.contains("+437.0 ms") && text.contains("in 60 min") && text.contains("100 min"),
            "{text}"
        );
        for minutes in [59, 62, 30, 1] {
            assert_eq!(announcer.outlook(&leader(minutes)), None, "{minutes}");
        }
    }

    #[test]
    fn a_slew_that_was_put_off_is_announced_again() {
        let mut announcer = Announcer::new();
        assert!(announcer.outlook(&leader(50)).is_some());
        assert_eq!(announcer.outlook(&leader(300)), None);
        assert!(announcer.outlook(&leader(50)).is_some());
    }

    #[test]
    fn every_turn_is_said_once() {
        let mut announcer = Announcer::new();
        let all = [
            (Activity::Returning, false),
            (Activity::Waiting, false),
            (Activity::Holding, true),
            (Activity::Refused, true),
            (Activity::Following, false),
            (Activity::Leader, false),
        ];
        for (activity, warns) in all {
            let news = announcer.outlook(&outlook(activity, None)).unwrap();
            assert_eq!(matches!(news, News::Warning(_)), warns, "{news:?}");
            assert_eq!(announcer.outlook(&outlook(activity, None)), None);
        }
        // And the next slew is announced again.
        assert!(announcer.outlook(&leader(10)).is_some());
    }

    #[test]
    fn an_error_is_warned_of_whenever_it_has_doubled() {
        let mut announcer = Announcer::new();
        let warned: Vec<i64> =
            (0..=100).filter(|ds| announcer.error(Span::from_ms(-100 * ds)).is_some()).collect();
        assert_eq!(warned, [11, 21, 41, 81]);
        // A jump is one line.
        assert!(announcer.error(Span::from_secs(1_000)).is_some());
        assert_eq!(announcer.error(Span::from_secs(1_001)), None);
        assert!(announcer.error(Span::MAX).is_some());
    }
}
