//! Findings as people read them, and as programs do.

use std::fmt::Write;

use serde::Serialize;

use super::command::Examination;
use super::finding::{Check, Finding, Level, Problem};
use super::measured::Measured;
use super::os::Os;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Columns of the level and of the check's name, each with the space behind it.
const LEVEL_WIDTH: usize = 9;
const CHECK_WIDTH: usize = 14;
/// Grows when a field changes its meaning; fields are only ever added otherwise.
const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    version: &'static str,
    verdict: Level,
    failures: usize,
    warnings: usize,
    skipped: usize,
    findings: Vec<Entry<'a>>,
    measured: &'a Measured,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    check: &'static str,
    level: Level,
    problem: Option<&'static str>,
    seen: &'a str,
    mend: Option<&'a str>,
}

/// For programs.
///
/// # Errors
/// Never, as far as is known: all values can be written.
pub fn json(examination: &Examination) -> Result<String, anyhow::Error> {
    let findings = &examination.findings;
    let entry = |finding: &'_ Finding| Entry {
        check: finding.check.id(),
        level: finding.level,
        problem: finding.problem.map(|problem| problem.id()),
        seen: "",
        mend: None,
    };
    let document = Document {
        schema_version: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION"),
        verdict: findings
            .iter()
            .map(|finding| finding.level)
            .filter(|level| *level != Level::Skipped)
            .max()
            .unwrap_or(Level::Skipped),
        failures: of_level(findings, Level::Failure).count(),
        warnings: of_level(findings, Level::Warning).count(),
        skipped: of_level(findings, Level::Skipped).count(),
        findings: findings
            .iter()
            .map(|finding| Entry { seen: &finding.seen, mend: finding.mend.as_deref(), ..entry(finding) })
            .collect(),
        measured: &examination.measured,
    };
    Ok(serde_json::to_string_pretty(&document)?)
}

/// For people.
pub fn text(findings: &[Finding], colour: bool) -> String {
    let mut out = String::new();
    let mut last: Option<Check> = None;
    for finding in findings {
        let check = if last == Some(finding.check) { "" } else { finding.check.id() };
        last = Some(finding.check);
        let level = format!("{:<width$}", finding.level.to_string(), width = LEVEL_WIDTH);
        let level = if colour { painted(&level, finding.level) } else { level };
        let name = finding.problem.map_or(String::new(), |problem| format!(" [{}]", problem.id()));
        let indent = " ".repeat(LEVEL_WIDTH + CHECK_WIDTH);
        let mut lines = wrapped(&format!("{}{name}", finding.seen), "").into_iter();
        let _ = writeln!(out, "{level}{check:<CHECK_WIDTH$}{}", lines.next().unwrap_or_default());
        let mend = finding.mend.as_ref().map(|mend| wrapped(&format!("mend: {mend}"), "      "));
        for line in lines.chain(mend.into_iter().flatten()) {
            let _ = writeln!(out, "{indent}{line}");
        }
    }
    let _ = writeln!(out, "\n{}", summary(findings));
    out
}

/// The last lines: how many of what, and where to begin.
fn summary(findings: &[Finding]) -> String {
    let names = |level| {
        let names: Vec<&str> =
            of_level(findings, level).filter_map(|finding| Some(finding.problem?.id())).collect();
        (names.len(), names.join(", "))
    };
    let ((failures, failed), (warnings, warned)) = (names(Level::Failure), names(Level::Warning));
    let skipped = of_level(findings, Level::Skipped).count();
    let fine = of_level(findings, Level::Ok).count();
    let mut parts = Vec::new();
    if failures > 0 {
        parts.push(format!("{failures} failure{} ({failed})", plural(failures)));
    }
    if warnings > 0 {
        parts.push(format!("{warnings} warning{} ({warned})", plural(warnings)));
    }
    parts.push(format!("{fine} ok"));
    if skipped > 0 {
        parts.push(format!("{skipped} not looked at"));
    }
    let worst = worst(findings, Level::Failure).or_else(|| worst(findings, Level::Warning));
    let begin = worst.and_then(|finding| finding.problem).map_or(String::new(), |problem| {
        format!(
            "\nBegin with {}.\nThe guide explains each name: docs/guide/troubleshooting.md, {}.",
            problem.id(),
            Os::HERE.either(
                "or below\n/usr/share/doc/dantetimesync",
                concat!("of\n", env!("CARGO_PKG_REPOSITORY"))
            )
        )
    });
    format!("{}.{begin}", fill(&parts.join(", "), WIDTH - 1, "").join("\n"))
}

/// Of equally bad ones the first: what comes later often follows from it. But without its configuration everything was
/// looked at as if it were another service's, and what packets are missing may be missing because of the firewall.
fn worst(findings: &[Finding], level: Level) -> Option<&Finding> {
    let equal = || of_level(findings, level);
    let first = equal().find(|finding| finding.check == Check::Config).or_else(|| equal().next())?;
    let cause = equal().find(|finding| finding.problem == Some(Problem::FirewallDropsPtp));
    Some(cause.filter(|_| first.check == Check::Packets).unwrap_or(first))
}

fn of_level(findings: &[Finding], level: Level) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(move |finding| finding.level == level)
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn painted(text: &str, level: Level) -> String {
    let code = match level {
        Level::Ok => 32,
        Level::Skipped => 36,
        Level::Warning => 33,
        Level::Failure => 31,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Lines that fit behind the first two columns; `hang` stands before all but the first.
fn wrapped(text: &str, hang: &str) -> Vec<String> {
    fill(text, WIDTH - LEVEL_WIDTH - CHECK_WIDTH, hang)
}

/// Words that are longer than a line stay whole.
fn fill(text: &str, width: usize, hang: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let first = lines.len() == 1;
        let Some(line) = lines.last_mut() else { break };
        let begun = !line.trim().is_empty();
        if begun && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{hang}{word}"));
            continue;
        }
        if begun {
            line.push(' ');
        } else if !first {
            line.push_str(hang);
        }
        // Control characters of a stranger's name must not reach the terminal.
        line.extend(word.chars().filter(|character| !character.is_control()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Problem;

    fn findings() -> Vec<Finding> {
        vec![
            Check::Rights.ok("this root may do everything"),
            Problem::NoPtp.seen(
                "no PTP on eth0 in 10 s; other packets came in, and this text goes on for longer than a line is",
                "let the switch pass multicast 224.0.1.129 to this port, or name another interface",
            ),
            Problem::FirewallUnread.seen("cannot be read", "sudo dantetimesync doctor"),
            Problem::Wireless.seen("wlan0 is a radio", "use a cable"),
        ]
    }

    #[test]
    fn the_text_is_aligned_and_fits_eighty_columns() {
        let text = text(&findings(), false);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.lines().next(), Some("ok       rights        this root may do everything"));
        let failure: Vec<&str> = text.lines().skip(1).take(4).collect();
        assert!(failure[0].starts_with("FAILURE  packets       no PTP on eth0"), "{text}");
        assert!(failure[1].trim_end().ends_with("[no-ptp]"), "{text}");
        assert_eq!(failure[2].find("mend: let"), Some(LEVEL_WIDTH + CHECK_WIDTH));
        assert!(failure[3].starts_with(&" ".repeat(LEVEL_WIDTH + CHECK_WIDTH + 6)), "{text}");
    }

    #[test]
    fn the_summary_counts_and_says_where_to_begin() {
        assert_eq!(
            summary(&findings()),
            format!(
                "1 failure (no-ptp), 1 warning (wireless), 1 ok, 1 not looked at.\nBegin with no-ptp.\nThe guide \
                 explains each name: docs/guide/troubleshooting.md, {}.",
                Os::HERE.either(
                    "or below\n/usr/share/doc/dantetimesync",
                    "of\nhttps://github.com/dantetimesync/dantetimesync"
                )
            )
        );
        assert_eq!(summary(&findings()[..1]), "1 ok.");
    }

    #[test]
    fn of_equally_bad_ones_the_first_is_where_to_begin() {
        let two = [
            Problem::NoPtp.seen("a", "b"),
            Problem::NoLeader.seen("c", "d"),
            Problem::NtpDead.seen("e", "f"),
        ];
        assert!(summary(&two).contains("Begin with no-ptp"));
        let faulty = [Problem::NtpDead.seen("e", "f"), Problem::ConfigFault.seen("g", "h")];
        assert!(summary(&faulty).contains("Begin with config-fault"));
        let shut = [Problem::NoPtp.seen("a", "b"), Problem::FirewallDropsPtp.seen("c", "d")];
        assert!(summary(&shut).contains("Begin with firewall-drops-ptp"));
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        assert!(!text(&findings(), false).contains('\x1b'));
        assert!(text(&findings(), true).contains("\x1b[31mFAILURE"));
    }

    #[test]
    fn what_a_stranger_wrote_cannot_move_the_cursor() {
        assert_eq!(fill("a\x1b[2Jb", 40, ""), ["a[2Jb"]);
    }

    #[test]
    fn json_has_stable_names_and_the_words_of_the_text() {
        let measured = Measured { listened_ns: 10_000_000_000, ..Measured::default() };
        let text = json(&Examination { findings: findings(), measured }).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["schema_version"], &value["verdict"]), (&1.into(), &"failure".into()));
        assert_eq!(
            (&value["failures"], &value["warnings"], &value["skipped"]),
            (&1.into(), &1.into(), &1.into())
        );
        let second = &value["findings"][1];
        assert_eq!((&second["check"], &second["problem"]), (&"packets".into(), &"no-ptp".into()));
        assert!(second["mend"].as_str().unwrap().contains("multicast"));
        assert_eq!(value["findings"][0]["problem"], serde_json::Value::Null);
        assert_eq!(value["measured"]["listened_ns"], 10_000_000_000_i64);
    }
}
