//! `dantetimesync test-clock`: does this computer's clock do as it is told, or did the one in a recorded trace?

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Context;
use serde::Serialize;

use crate::cli::TestClock;
use crate::clock::platform::OsClock;
use crate::clock::trial::{self, Fault, Finding, SectionFinding, Trace};
use crate::daemon;
use crate::exit::{FAILED, Failure, NO_INPUT};
use crate::time::Span;

/// What a trial says, for machines.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Whether the clock is one that can be steered.
    obeys: bool,
    /// Why not.
    fault: Option<String>,
    system: &'a str,
    call: &'a str,
    quantum_ppm: f64,
    found_ppm: f64,
    /// What it does of what it is told; negative: the other way round.
    gain: Option<f64>,
    gain_sigma: Option<f64>,
    /// The gain that it is steered by.
    gain_used: Option<f64>,
    base_ppm: Option<f64>,
    base_sigma_ppm: Option<f64>,
    noise_ns: Option<f64>,
    sections: &'a [SectionFinding],
}

/// Runs the trial, or judges a recorded one.
///
/// # Errors
/// When the clock may not be steered or the file not be read. A clock that does not obey is an exit code.
pub fn run(options: &TestClock) -> Result<ExitCode, Failure> {
    let trace = match &options.replay {
        Some(file) => read(file)?,
        None => match try_clock(options.force_steer)? {
            Some(trace) => trace,
            None => return Err(Failure::new(FAILED, anyhow::anyhow!("ended; the clock is as it was"))),
        },
    };
    if let Some(file) = &options.trace {
        let text = serde_json::to_string(&trace).map_err(anyhow::Error::from)?;
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    let judged = trace.judge();
    let text = if options.json { json(&trace, &judged)? } else { words(&trace, &judged) };
    // A reader that has seen enough is no failure.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(if judged.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Nobody else may have a hand on the clock meanwhile. Nothing if it was told to end.
///
/// # Errors
/// When the clock may not be steered, or not by this process.
pub(crate) fn try_clock(force: bool) -> Result<Option<Trace>, Failure> {
    let _lock = daemon::claim(force)?;
    let mut clock = OsClock::observe()?;
    clock.check_permission()?;
    let stop = daemon::stop_flag();
    let pass = |span| {
        pass(span);
        !stop.load(Ordering::Relaxed)
    };
    Ok(trial::run(&mut clock, pass)?)
}

/// Lets time pass.
#[allow(clippy::disallowed_methods, reason = "a trial on the real clock, before or without the loop")]
pub(crate) fn pass(span: Span) {
    std::thread::sleep(std::time::Duration::from_nanos(span.as_ns().max(0).unsigned_abs()));
}

fn read(file: &Path) -> Result<Trace, Failure> {
    let missing = |error: anyhow::Error| Failure::new(NO_INPUT, error);
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(missing)?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no trace of test-clock", file.display()))
        .map_err(missing)
}

fn json(trace: &Trace, judged: &Result<Finding, Fault>) -> Result<String, Failure> {
    let finding = judged.as_ref().ok();
    let report = Report {
        obeys: finding.is_some(),
        fault: judged.as_ref().err().map(ToString::to_string),
        system: &trace.system,
        call: &trace.call,
        quantum_ppm: trace.quantum_ppm,
        found_ppm: trace.found_ppm,
        gain: finding.map(|finding| finding.gain),
        gain_sigma: finding.map(|finding| finding.gain_sigma),
        gain_used: finding.map(|finding| finding.law().0),
        base_ppm: finding.map(|finding| finding.base_ppm),
        base_sigma_ppm: finding.map(|finding| finding.base_sigma_ppm),
        noise_ns: finding.map(|finding| finding.noise_ns),
        sections: finding.map_or(&[], |finding| &finding.sections),
    };
    Ok(serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?)
}

fn words(trace: &Trace, judged: &Result<Finding, Fault>) -> String {
    let mut text = format!(
        "{}, in steps of {:.6} ppm; found at {:+.3} ppm\n",
        trace.call, trace.quantum_ppm, trace.found_ppm
    );
    let finding = match judged {
        Ok(finding) => finding,
        Err(fault) => return text + &format!("It cannot be steered: {fault}.\n"),
    };
    for SectionFinding { commanded_ppm, seen_ppm } in &finding.sections {
        text += &format!("  told {commanded_ppm:+9.3} ppm   ran {seen_ppm:+9.3} ppm\n");
    }
    let (gain, _) = finding.law();
    text += &format!(
        "gain {:.4} ± {:.4}, base {:+.3} ± {:.3} ppm, readings scatter by {:.0} ns\n",
        finding.gain, finding.gain_sigma, finding.base_ppm, finding.base_sigma_ppm, finding.noise_ns
    );
    text += if gain == 1.0 {
        "The clock does as it is told.\n"
    } else if gain == -1.0 {
        "The clock does as it is told, with the sign the other way round: allowed for.\n"
    } else {
        "The clock follows, but not as far as is documented: allowed for.\n"
    };
    text
}
