//! Whom to believe: the times that most servers can agree on.
//!
//! Each server says "UTC is in here": an interval around its own time, as wide as what its answers cannot
//! tell. If more than half of the intervals hold the truth, the truth lies where more than half of them
//! overlap; so the hull of all such places holds it whatever the others say (Marzullo's idea).

use crate::time::{Span, Timestamp, Utc};

/// Where a server says that UTC is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) low: Timestamp<Utc>,
    pub(super) high: Timestamp<Utc>,
}

impl Interval {
    /// From its middle and half of its width.
    pub(super) fn around(middle: Timestamp<Utc>, half: Span) -> Self {
        Self { low: middle - half.abs(), high: middle + half.abs() }
    }

    /// From end to end.
    pub(super) fn width(&self) -> Span {
        self.high - self.low
    }

    /// Whether both can be true.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }

    fn holds(&self, point: Timestamp<Utc>) -> bool {
        self.low <= point && point <= self.high
    }
}

/// The hull of the places where more than half of the intervals overlap; `None` if there is no such place.
///
/// Its ends are ends of intervals, so only those need looking at; servers are few.
pub(super) fn agreed(intervals: &[Interval]) -> Option<Interval> {
    let shared = |point: Timestamp<Utc>| {
        let holding = intervals.iter().filter(|interval| interval.holds(point)).count();
        holding.saturating_mul(2) > intervals.len()
    };
    let low = intervals.iter().map(|interval| interval.low).filter(|low| shared(*low)).min()?;
    let high = intervals.iter().map(|interval| interval.high).filter(|high| shared(*high)).max()?;
    Some(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interval(low: i64, high: i64) -> Interval {
        Interval { low: Timestamp::from_ns(low), high: Timestamp::from_ns(high) }
    }

    #[test]
    fn one_server_is_believed_as_it_is() {
        assert_eq!(agreed(&[interval(-5, 5)]), Some(interval(-5, 5)));
        assert_eq!(agreed(&[]), None);
    }

    #[test]
    fn two_must_overlap() {
        assert_eq!(agreed(&[interval(-5, 5), interval(3, 9)]), Some(interval(3, 5)));
        assert_eq!(agreed(&[interval(-5, 5), interval(6, 9)]), None);
    }

    #[test]
    fn of_three_the_liar_is_outvoted_and_of_four_two_liars_are_not() {
        let honest = [interval(-5, 5), interval(-4, 6)];
        let lie = interval(80, 90);
        assert_eq!(agreed(&[honest[0], lie, honest[1]]), Some(interval(-4, 5)));
        assert_eq!(agreed(&[honest[0], lie, honest[1], lie]), None);
    }

    #[test]
    fn a_liar_that_overlaps_cannot_cut_the_truth_off() {
        // The truth is 0; all three overlap only at 4 to 5.
        let agreed = agreed(&[interval(-5, 5), interval(-6, 5), interval(4, 20)]).unwrap();
        assert_eq!(agreed, interval(-5, 5));
    }

    proptest! {
        #[test]
        fn a_majority_that_is_right_keeps_the_truth_inside(
            truth in -1_000_000_i64..1_000_000,
            right in prop::collection::vec((0_i64..5_000, 0_i64..5_000), 1..6),
            liars in prop::collection::vec((-20_000_i64..20_000, 0_i64..9_000), 0..6),
            turn in 0_usize..12,
        ) {
            let liars = liars.into_iter().take(right.len() - 1);
            let mut all: Vec<Interval> =
                right.iter().map(|(below, above)| interval(truth - below, truth + above)).collect();
            all.extend(liars.map(|(low, width)| interval(truth + low, truth + low + width)));
            let turn = turn % all.len();
            all.rotate_left(turn);
            let agreed = agreed(&all);
            prop_assert!(agreed.is_some_and(|it| it.holds(Timestamp::from_ns(truth))), "{agreed:?}");
        }
    }
}
