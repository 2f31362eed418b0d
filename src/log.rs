//! The log: text for people, or an object of JSON a line; and what the journal of systemd wants.
//!
//! The journal stamps each line itself and takes its priority from the line's head (`<6>`). Text has no time of its
//! own anywhere: a stamp of the clock that is being set would only confuse. JSON is read by programs, which want one:
//! it has `time` where nobody else stamps its lines.

use std::fmt::{Debug, Result};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use crate::time::{System, Timestamp};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// The log was started, and its lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// The log, whose level can be changed.
#[derive(Debug)]
pub struct Log {
    level: Handle<LevelFilter, Registry>,
}

impl Log {
    /// From now on lines up to this level are written to standard error, or in a service of Windows to the event log.
    pub fn start(level: LevelFilter, format: LogFormat) -> Self {
        let (filter, level) = reload::Layer::new(level);
        let journal = is_journal();
        let log = tracing_subscriber::registry().with(filter);
        let layer = fmt::layer().with_writer(writer()).with_ansi(false);
        JSON.store(format == LogFormat::Json, Ordering::Relaxed);
        // A second start, as in tests, leaves the first one's form.
        let _ = match format {
            LogFormat::Json => log.with(layer.event_format(Lines { journal, json: true })).try_init(),
            LogFormat::Text if journal => {
                log.with(layer.event_format(Lines { journal, json: false })).try_init()
            }
            LogFormat::Text => log.with(layer.with_target(false).without_time()).try_init(),
        };
        Self { level }
    }

    /// Lines up to another level.
    pub fn set_level(&self, level: LevelFilter) {
        // It fails where another log was set up before this one, and then there is nothing to change.
        let _ = self.level.reload(level);
    }
}

/// Where lines go: to standard error.
#[cfg(not(windows))]
fn writer() -> fn() -> std::io::Stderr {
    std::io::stderr
}

/// Where lines go: to the event log in a service, else to standard error.
#[cfg(windows)]
use crate::service::windows::log_writer as writer;

/// The last words of a program that ends with an error: in the form of its log if it has begun one, whatever the
/// level of that.
pub fn last_words(error: &str) {
    if JSON.load(Ordering::Relaxed) {
        tracing::error!("{error}");
        return;
    }
    let head = if is_journal() { head(Level::ERROR) } else { "" };
    error.lines().for_each(|line| complain_line!("{head}{line}"));
}

/// Priorities of syslog.
fn head(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Whether standard error goes to the journal: systemd names the stream that it made, and that must be this one.
#[cfg(unix)]
fn is_journal() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stream) = std::io::stderr().as_fd().try_clone_to_owned() else { return false };
    let Ok(file) = std::fs::File::from(stream).metadata() else { return false };
    named == format!("{}:{}", file.dev(), file.ino())
}

#[cfg(not(unix))]
fn is_journal() -> bool {
    false
}

/// Whether lines go to the event log, which stamps them.
#[cfg(windows)]
use crate::service::windows::is_event_log;

#[cfg(not(windows))]
fn is_event_log() -> bool {
    false
}

#[allow(clippy::disallowed_methods, reason = "a stamp for who reads the log; nothing is steered by it")]
fn now() -> Timestamp<System> {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ns(i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX))
}

/// Lines with a priority, or of JSON, or both.
struct Lines {
    journal: bool,
    json: bool,
}

impl<S, F> FormatEvent<S, F> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, F>, mut out: Writer<'_>, event: &Event<'_>) -> Result {
        let level = *event.metadata().level();
        let text = if self.json {
            object(event, !self.journal && !is_event_log())
        } else {
            let mut text = String::new();
            ctx.field_format().format_fields(Writer::new(&mut text), event)?;
            text
        };
        let head = if self.journal { head(level) } else { "" };
        // The journal takes every line for a message of its own.
        text.lines().try_for_each(|line| writeln!(out, "{head}{line}"))
    }
}

fn object(event: &Event<'_>, timed: bool) -> String {
    let mut fields = Fields(serde_json::Map::new());
    if timed {
        fields.put("time", now().date().rfc3339());
    }
    fields.put("level", event.metadata().level().to_string().to_lowercase());
    event.record(&mut fields);
    serde_json::Value::Object(fields.0).to_string()
}

/// The fields of an event as they become JSON.
struct Fields(serde_json::Map<String, serde_json::Value>);

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(lines: Lines, say: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(lines)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(subscriber.finish(), say);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_journal_gets_priorities_and_no_times() {
        let text = logged(Lines { journal: true, json: false }, || {
            tracing::info!(steps = 2, "locked");
            tracing::warn!("two\nlines");
            tracing::error!("gave up");
        });
        assert_eq!(text, "<6>locked steps=2\n<4>two\n<4>lines\n<3>gave up\n");
    }

    #[test]
    fn json_is_an_object_a_line_with_typed_fields() {
        let text = logged(Lines { journal: false, json: true }, || {
            tracing::info!(offset_ns = -1.5, steps = 2_u64, locked = true, leader = %"a\"b", none = None::<f64>, "two\nlines");
        });
        assert_eq!(text.lines().count(), 1);
        let expected = serde_json::json!({
            "level": "info", "message": "two\nlines", "offset_ns": -1.5, "steps": 2, "locked": true, "leader": "a\"b",
        });
        let mut told = serde_json::from_str::<serde_json::Value>(&text).unwrap();
        told.as_object_mut().unwrap().remove("time");
        assert_eq!(told, expected);
    }

    #[test]
    fn json_has_a_time_but_where_the_journal_stamps_it() {
        let told = logged(Lines { journal: false, json: true }, || tracing::info!("locked"));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let time: Timestamp<crate::time::Utc> = told["time"].as_str().unwrap().parse().unwrap();
        // It is cut off at the millisecond.
        assert!((0..60_000_000_000).contains(&(now().as_ns() - time.as_ns())), "{told}");
        let told = logged(Lines { journal: true, json: true }, || tracing::info!("locked"));
        assert_eq!(told, "<6>{\"level\":\"info\",\"message\":\"locked\"}\n");
    }
}
