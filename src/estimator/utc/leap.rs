//! Leap seconds: UTC counts 23:59:59 twice or not at all, at the end of a month (RFC 5905, 7.3).

use crate::ntp::wire::Leap;
use crate::time::{Span, Timestamp, Utc};

/// What is announced, and what has happened.
#[derive(Debug, Default)]
pub(super) struct LeapWatch {
    pending: Option<(Leap, Timestamp<Utc>)>,
    made: Option<Span>,
    /// The last one was made then: it is announced for a while after it.
    last: Option<Timestamp<Utc>>,
}

impl LeapWatch {
    /// Takes what most servers announce now, at `utc`.
    pub(super) fn announced(&mut self, leap: Option<Leap>, utc: Timestamp<Utc>) {
        let pending = leap.map(|leap| (leap, instant(leap, utc)));
        self.pending = pending.filter(|(_, instant)| self.last != Some(*instant));
    }

    /// What happens at `utc`, if it is time: the kind, and by how much the time that counts on jumps.
    pub(super) fn due(&mut self, utc: Timestamp<Utc>) -> Option<(Leap, Span)> {
        let (leap, instant) = self.pending.take_if(|(_, instant)| utc >= *instant)?;
        self.last = Some(instant);
        let by = jump(leap);
        self.made = Some(by);
        Some((leap, by))
    }

    /// What is to come, and when.
    pub(super) fn pending(&self) -> Option<(Leap, Timestamp<Utc>)> {
        self.pending
    }

    /// The leap that was made since the last call.
    pub(super) fn take_made(&mut self) -> Option<Span> {
        self.made.take()
    }
}

fn jump(leap: Leap) -> Span {
    match leap {
        Leap::Insert => Span::from_secs(-1),
        Leap::Delete => Span::from_secs(1),
        Leap::None | Leap::Unknown => Span::ZERO,
    }
}

/// An inserted second begins where the next month would; a deleted one ends there.
fn instant(leap: Leap, utc: Timestamp<Utc>) -> Timestamp<Utc> {
    match leap {
        Leap::Delete => month_end(utc + Span::from_secs(1)) - Span::from_secs(1),
        _ => month_end(utc),
    }
}

const DAY_S: i64 = 86_400;
const MONTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// i64 ns end here.
const LAST_YEAR: i64 = 2262;

/// The first moment after the month of `utc`.
fn month_end(utc: Timestamp<Utc>) -> Timestamp<Utc> {
    let day = utc.as_ns().div_euclid(DAY_S.saturating_mul(1_000_000_000));
    let mut end: i64 = 0;
    for year in 1970..LAST_YEAR {
        let leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (month, days) in MONTHS.iter().enumerate() {
            end = end.saturating_add(*days).saturating_add(i64::from(leap_year && month == 1));
            if end > day {
                return Timestamp::EPOCH + Span::from_secs(end.saturating_mul(DAY_S));
            }
        }
    }
    Timestamp::from_ns(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp<Utc> {
        Timestamp::EPOCH + Span::from_secs(seconds)
    }

    #[test]
    fn months_end_where_the_calendar_says() {
        // 30 June 2026; 29 February 2028; December 1999; the start of 1970.
        for (inside, end) in [
            (1_782_863_999, 1_782_864_000),
            (1_782_864_000, 1_785_542_400),
            (1_835_395_200, 1_835_481_600),
            (946_684_799, 946_684_800),
            (0, 31 * DAY_S),
        ] {
            assert_eq!(month_end(at(inside)), at(end), "{inside}");
        }
    }

    #[test]
    fn an_inserted_second_is_made_once_at_the_months_end() {
        let mut watch = LeapWatch::default();
        watch.announced(Some(Leap::Insert), at(1_782_860_000));
        assert_eq!(watch.due(at(1_782_863_999)), None);
        assert_eq!(watch.due(at(1_782_864_000)), Some((Leap::Insert, Span::from_secs(-1))));
        assert_eq!(watch.due(at(1_782_864_000)), None);
        assert_eq!(watch.take_made(), Some(Span::from_secs(-1)));
        assert_eq!(watch.take_made(), None);
        // The second that is counted twice is of the old month again, and its leap is still announced.
        watch.announced(Some(Leap::Insert), at(1_782_863_999));
        assert_eq!((watch.pending(), watch.due(at(1_782_864_000))), (None, None));
        watch.announced(Some(Leap::Insert), at(1_782_864_010));
        assert_eq!(watch.pending(), Some((Leap::Insert, at(1_785_542_400))));
    }

    #[test]
    fn a_deleted_second_is_left_out_before_the_months_end() {
        let mut watch = LeapWatch::default();
        watch.announced(Some(Leap::Delete), at(1_782_860_000));
        assert_eq!(watch.due(at(1_782_863_998)), None);
        assert_eq!(watch.due(at(1_782_863_999)), Some((Leap::Delete, Span::from_secs(1))));
    }

    #[test]
    fn an_announcement_that_is_withdrawn_is_forgotten() {
        let mut watch = LeapWatch::default();
        watch.announced(Some(Leap::Insert), at(1_782_860_000));
        watch.announced(None, at(1_782_861_000));
        assert_eq!(watch.due(at(1_782_864_000)), None);
    }
}
