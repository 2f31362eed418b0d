//! A daily window, in local time of day: when the clock may be slewed back to UTC.

use std::fmt;

use crate::time::Span;

const DAY: Span = Span::from_secs(86_400);
const MINUTES_PER_DAY: i64 = 1_440;

/// From one time of day to another, over midnight where the second is the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyWindow {
    from: Span,
    length: Span,
}

impl DailyWindow {
    /// Reads `HH:MM-HH:MM`, 00:00 to 24:00.
    ///
    /// # Errors
    /// What is wrong with the text, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let both = text.split_once('-').and_then(|(from, until)| Some((minute(from)?, minute(until)?)));
        let Some((from, until)) = both else {
            return Err("give two times of day, 00:00 to 24:00, like 02:00-05:00".to_owned());
        };
        let length = (until - from).rem_euclid(MINUTES_PER_DAY);
        if length == 0 {
            return Err("the window is empty: its two times must differ".to_owned());
        }
        let span = |minutes: i64| Span::from_secs(60 * minutes);
        Ok(Self { from: span(from % MINUTES_PER_DAY), length: span(length) })
    }

    /// How long it stays open, if it is open at this time of day (any time since some midnight will do).
    pub fn left(&self, time_of_day: Span) -> Option<Span> {
        let since = self.since_opening(time_of_day);
        (since < self.length).then(|| self.length - since)
    }

    /// Until it opens next: tomorrow where it is open now; always more than nothing.
    pub fn opens_in(&self, time_of_day: Span) -> Span {
        DAY - self.since_opening(time_of_day)
    }

    /// How long it is open each day.
    pub fn length(&self) -> Span {
        self.length
    }

    fn since_opening(&self, time_of_day: Span) -> Span {
        Span::from_ns((time_of_day - self.from).as_ns().rem_euclid(DAY.as_ns()))
    }
}

fn minute(text: &str) -> Option<i64> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok().map(i64::from)).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let total = 60 * hours + minutes;
    (minutes < 60 && total <= MINUTES_PER_DAY).then_some(total)
}

impl fmt::Display for DailyWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |span: Span| {
            let minutes = span.as_ns().div_euclid(60_000_000_000).rem_euclid(MINUTES_PER_DAY);
            format!("{:02}:{:02}", minutes / 60, minutes % 60)
        };
        write!(f, "{}-{}", time(self.from), time(self.from + self.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64, minutes: i64) -> Span {
        Span::from_secs(3_600 * hours + 60 * minutes)
    }

    #[test]
    fn it_is_open_from_its_first_time_up_to_its_second() {
        let night = DailyWindow::parse("02:00-05:30").unwrap();
        assert_eq!(night.left(at(1, 59)), None);
        assert_eq!(night.left(at(2, 0)), Some(at(3, 30)));
        assert_eq!(night.left(at(5, 29)), Some(at(0, 1)));
        assert_eq!(night.left(at(5, 30)), None);
        assert_eq!(night.opens_in(at(1, 59)), at(0, 1));
        assert_eq!(night.opens_in(at(2, 0)), at(24, 0));
        assert_eq!(night.opens_in(at(23, 0)), at(3, 0));
    }

    #[test]
    fn it_may_last_over_midnight_and_time_may_be_counted_from_any_midnight() {
        let night = DailyWindow::parse("23:00-01:00").unwrap();
        for day in [-3, 0, 20_000] {
            assert_eq!(night.left(at(24 * day + 23, 30)), Some(at(1, 30)));
            assert_eq!(night.left(at(24 * day, 30)), Some(at(0, 30)));
            assert_eq!(night.left(at(24 * day + 12, 0)), None);
            assert_eq!(night.opens_in(at(24 * day, 30)), at(22, 30));
        }
        assert_eq!(DailyWindow::parse("22:00-24:00").unwrap().left(at(23, 59)), Some(at(0, 1)));
        assert_eq!(DailyWindow::parse("24:00-01:00"), DailyWindow::parse("00:00-01:00"));
    }

    #[test]
    fn it_reads_as_it_is_written() {
        for text in ["02:00-05:30", "23:00-01:00", "00:00-00:01"] {
            assert_eq!(DailyWindow::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in ["", "02:00", "2:00-5:00", "02:00-24:01", "02:60-03:00", "02:00-02:00", "-1:00-02:00"] {
            assert!(DailyWindow::parse(text).is_err(), "{text:?}");
        }
        assert!(DailyWindow::parse("00:00-24:00").is_err(), "without a window it is always open");
    }
}
