//! Timestamps as dates, for people.

use std::fmt;

use super::{System, Timestamp, Utc};

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// A day of the Gregorian calendar with its time of day, in UTC: `2026-05-28 20:26:40.250 UTC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// The year.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// ns since midnight.
    pub time_of_day: i64,
}

impl Date {
    fn from_ns(ns: i64) -> Self {
        let (year, month, day) = civil(ns.div_euclid(NS_PER_DAY));
        Self { year, month, day, time_of_day: ns.rem_euclid(NS_PER_DAY) }
    }
}

/// A text that is no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no date in UTC: give one like 2026-05-28, 2026-05-28 20:26 or 2026-05-28T20:26:40Z")]
pub struct DateError(String);

impl Date {
    /// The form for machines: `2026-05-28T20:26:40.250Z`.
    pub fn rfc3339(&self) -> String {
        let text = self.to_string();
        format!("{}Z", text.trim_end_matches(" UTC").replacen(' ', "T", 1))
    }
}

impl std::str::FromStr for Timestamp<Utc> {
    type Err = DateError;
    /// Reads what [`Date`] writes, in both forms; the time of day may be left out, and so may its end.
    fn from_str(text: &str) -> Result<Self, DateError> {
        parse(text.trim()).ok_or_else(|| DateError(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<Timestamp<Utc>> {
    let text = text.trim_end_matches(" UTC").trim_end_matches('Z');
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let [year, month, day] = numbers::<3>(date, '-')?;
    // The years that i64 ns can hold, but for a few months at either end.
    let days = days_before(year, month).filter(|_| (1_678..=2_261).contains(&year))?;
    let in_month = days_before(year + month / 12, month % 12 + 1)? - days;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let time = if time.matches(':').count() == 1 { format!("{time}:00") } else { time.to_owned() };
    let [hours, minutes, seconds] = numbers::<3>(&time, ':')?;
    let ranges = (1..=in_month).contains(&day) && hours < 24 && minutes < 60 && seconds < 60;
    let digits = fraction.len() <= 9 && fraction.bytes().all(|octet| octet.is_ascii_digit());
    let ns: i64 = format!("{fraction:0<9}").parse().ok().filter(|_| ranges && digits)?;
    let seconds = (days + day - 1) * 86_400 + hours * 3_600 + minutes * 60 + seconds;
    Some(Timestamp::from_ns(seconds * 1_000_000_000 + ns))
}

/// Numbers without sign, of at most four digits.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let number = |part: &str| {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit());
        part.parse().ok().filter(|_| digits)
    };
    text.split(separator).map(number).collect::<Option<Vec<i64>>>()?.try_into().ok()
}

/// Days from 1970-01-01 to the first of a month; the inverse of [`civil`].
fn days_before(year: i64, month: i64) -> Option<i64> {
    if !(1..=12).contains(&month) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

impl Timestamp<System> {
    /// As a date.
    pub fn date(self) -> Date {
        Date::from_ns(self.as_ns())
    }
}

impl Timestamp<Utc> {
    /// As a date.
    pub fn date(self) -> Date {
        Date::from_ns(self.as_ns())
    }
}

/// Year, month and day of the `days`th day after 1970-01-01.
///
/// The calendar repeats after 400 years, which are 146 097 days; a year that is thought to begin in March has its
/// leap day at the end, so that the days before each month are (153 m + 2) / 5.
fn civil(days: i64) -> (i64, i64, i64) {
    // 0000-03-01 lies 719 468 days before 1970-01-01.
    let since = days + 719_468;
    let (era, day_of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.time_of_day / 1_000_000;
        let (h, min, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        let Self { year, month, day, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {h:02}:{min:02}:{s:02}.{:03} UTC", ms % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(seconds: i64) -> String {
        Timestamp::<Utc>::from_ns(seconds * 1_000_000_000).date().to_string()
    }

    #[test]
    fn known_moments_have_their_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000 UTC"),
            (-1, "1969-12-31 23:59:59.000 UTC"),
            (951_782_399, "2000-02-28 23:59:59.000 UTC"),
            (951_782_400, "2000-02-29 00:00:00.000 UTC"),
            (1_709_164_800, "2024-02-29 00:00:00.000 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00.000 UTC"),
            (1_780_000_000, "2026-05-28 20:26:40.000 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00.000 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn days_follow_each_other_through_the_whole_range() {
        let length = |year: i64, month: i64| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = civil(-110_000);
        for days in -109_999..110_000 {
            (year, month, day) = match (month, day + 1) {
                (12, 32) => (year + 1, 1, 1),
                (_, next) if next > length(year, month) => (year, month + 1, 1),
                (_, next) => (year, month, next),
            };
            assert_eq!(civil(days), (year, month, day), "{days}");
        }
    }

    #[test]
    fn dates_read_as_they_are_written() {
        for ns in
            [0, -1_000_000, 951_782_399_000_000_000, 1_780_000_000_250_000_000, 1_709_164_800_001_000_000]
        {
            let date = Timestamp::<Utc>::from_ns(ns).date();
            assert_eq!(date.to_string().parse(), Ok(Timestamp::<Utc>::from_ns(ns)));
            assert_eq!(date.rfc3339().parse(), Ok(Timestamp::<Utc>::from_ns(ns)));
        }
        assert_eq!(
            Timestamp::<Utc>::from_ns(1_780_000_000_250_000_000).date().rfc3339(),
            "2026-05-28T20:26:40.250Z"
        );
        let read = |text: &str| text.parse::<Timestamp<Utc>>().map(|at| at.as_ns() / 1_000_000_000);
        assert_eq!(read("1970-01-02"), Ok(86_400));
        assert_eq!(read("1970-01-02 01:02"), Ok(86_400 + 3_720));
        assert_eq!(read("1970-01-02T01:02:03Z"), Ok(86_400 + 3_723));
        assert_eq!(read("2024-12-31").unwrap() + 86_400, read("2025-01-01").unwrap());
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "today",
            "2026",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2026-04-31",
            "2026-01-01 24:00",
            "1500-01-01",
            "2026-01-01 1",
            "2026-01-01 10:60",
            "2026-01-01T10:00:00.1234567890",
            "2026-01-01T10:00:00+01:00",
            "-1-1-1",
        ] {
            assert!(text.parse::<Timestamp<Utc>>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_dates_too() {
        for ns in [i64::MIN, i64::MAX] {
            let date = Timestamp::<System>::from_ns(ns).date();
            assert!((1_677..=2_262).contains(&date.year) && (1..=12).contains(&date.month), "{date}");
        }
    }
}
