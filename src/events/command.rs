//! `dantetimesync events`: the history, for people or as JSON.

use std::io;
use std::process::ExitCode;

use super::{Event, file};
use crate::cli::{self, Events};
use crate::config::{default_file, parse, usual_place};
use crate::exit::{Failure, NO_INPUT, USAGE};
use crate::place;
use crate::time::{Timestamp, Utc};

/// Prints the events.
///
/// # Errors
/// When the history cannot be read, or the time that was given is none.
pub fn run(options: &Events) -> Result<ExitCode, Failure> {
    let since = match &options.since {
        Some(text) => since(text, now()).map_err(|error| Failure::new(USAGE, error))?,
        None => Timestamp::from_ns(i64::MIN),
    };
    let file = match &options.file {
        Some(file) => place::expand(file),
        None => usual_place("event-file").ok_or_else(kept_nowhere)?,
    };
    let path = file.display();
    let all = file::read(&file).map_err(|error| {
        let reason = if error.kind() == io::ErrorKind::NotFound {
            let missing = anyhow::anyhow!(
                "no history at {path}: the service has not written one yet; --file names another"
            );
            cli::doubted(missing, options.file.as_deref())
        } else {
            anyhow::anyhow!("the history {path} cannot be read: {error}")
        };
        Failure::new(NO_INPUT, reason)
    })?;
    let mut out = String::new();
    for event in all.iter().filter(|event| event.unix_ns >= since.as_ns()) {
        out.push_str(&line(event, options.json).map_err(anyhow::Error::from)?);
        out.push('\n');
    }
    crate::exit::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

fn kept_nowhere() -> Failure {
    let file = default_file();
    let reason = "event-file or state-file is none, or it is a dry run, which keeps one only where event-file names it";
    let error = anyhow::anyhow!(
        "the service keeps no history, by {}: {reason}; --file names another",
        file.display()
    );
    Failure::new(NO_INPUT, error)
}

fn line(event: &Event, json: bool) -> serde_json::Result<String> {
    if json { serde_json::to_string(event) } else { Ok(event.to_string()) }
}

/// A time that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "--since {text:?}: {problem}; give a length of time like 90s, 30m, 2h or 7d, or a date in UTC like 2026-05-28 \
     or \"2026-05-28 20:26\""
)]
struct SinceError {
    text: String,
    problem: &'static str,
}

/// A date, or a length of time before `now`.
fn since(text: &str, now: Timestamp<Utc>) -> Result<Timestamp<Utc>, SinceError> {
    let refused = |problem| SinceError { text: text.to_owned(), problem };
    if text.contains('-') {
        return text.parse().map_err(|_| refused("no date"));
    }
    let back = parse::span(text).ok_or_else(|| refused("no length of time"))?;
    Ok(now - back)
}

#[allow(clippy::disallowed_methods, reason = "a command that only shows: its user counts back from now")]
fn now() -> Timestamp<Utc> {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ns(i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_or_lengths() {
        let now = Timestamp::from_ns(1_780_000_000_000_000_000);
        let back = |text: &str| since(text, now).map(|at| (now - at).as_ns() / 1_000_000_000).unwrap();
        assert_eq!((back("90s"), back("30min"), back("1.5h"), back("7d")), (90, 1_800, 5_400, 604_800));
        assert_eq!((back("2m"), back("2min"), back("0.5d"), back("1500ms")), (120, 120, 43_200, 1));
        assert_eq!(back("2026-05-28 20:26:30"), 10);
        assert_eq!(back("1900000d"), i64::MAX / 1_000_000_000, "before all time is everything");
        for text in ["", "5", "2 h", "yesterday", "2026-05", "1.2.3h", "h", "2M", "2mo", "3w"] {
            let told = since(text, now).unwrap_err().to_string();
            assert!(told.contains(&format!("{text:?}")) && told.contains("30m"), "{told}");
        }
    }
}
