//! Does the clock do as it is told? A trial commands it to run a little faster and a little slower, four times half a
//! second, and sees what it does against the raw timeline.
//!
//! On Windows even the sign of the command is disputed, and a loop on an actuator that nobody has verified can only
//! be wrong. So sign and size of the effect are measured before the clock is steered, and where there is none, or
//! no constant one, it is not steered at all. The judgement rests on the recorded [`Trace`] alone: a trace from any
//! computer can be judged again on any other.

mod judgement;

use serde::{Deserialize, Serialize};

use super::{ClockError, Reading};
use crate::time::{Rate, Span, Timestamp};
pub use judgement::{Fault, Finding, SectionFinding};

/// The directions in which the sections pull. Faster as long as slower, so that no phase is left over; in this order
/// a rate that drifts meanwhile cancels as well.
const DIRECTIONS: [f64; 4] = [1.0, -1.0, -1.0, 1.0];

/// How long a section lasts in the first trial, and in the second one if the first was too noisy to tell.
const SECTIONS: [Span; 2] = [Span::from_ms(500), Span::from_secs(2)];

/// The clock is looked at this often.
const LOOK_EVERY: Span = Span::from_ms(20);

/// A clock that can be tried.
pub trait Subject {
    /// What the trial needs to know.
    ///
    /// # Errors
    /// When the clock cannot be read.
    fn facts(&mut self) -> Result<Facts, ClockError>;

    /// Commands a rate against the raw timeline, by the documented meaning of the command; returns the one that was
    /// really commanded.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn command(&mut self, rate: Rate) -> Result<Rate, ClockError>;

    /// Reads the clock; and beside it, where there is one, the coarse clock that should show the same time.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn look(&mut self) -> Result<(Reading, Option<i64>), ClockError>;

    /// Puts back what [`Self::facts`] found.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn put_back(&mut self) -> Result<(), ClockError>;
}

/// What a trial needs to know of the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The call that commands it.
    pub call: &'static str,
    /// The rate at which it was found.
    pub found: Rate,
    /// What it can be commanded to is a multiple of this.
    pub quantum: Rate,
    /// By how much it is to be commanded away from where it was found.
    pub amplitude: Rate,
    /// Its sign is documented beyond doubt: the other one is a fault.
    pub sign_known: bool,
}

/// A recorded trial; units are in the names, as in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The program's version.
    pub version: String,
    /// The operating system.
    pub system: String,
    /// The call that commanded the clock.
    pub call: String,
    /// What the clock can be commanded to is a multiple of this.
    pub quantum_ppm: f64,
    /// The rate at which it was found.
    pub found_ppm: f64,
    /// The sign of the command is documented beyond doubt.
    pub sign_known: bool,
    /// What was seen, in the order of time.
    pub samples: Vec<Sample>,
}

/// One look at the clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Counts the commands.
    pub section: u32,
    /// The rate commanded last.
    pub commanded_ppm: f64,
    /// The raw timeline.
    pub raw_ns: i64,
    /// The system clock.
    pub system_ns: i64,
    /// Neither of them is further off.
    pub uncertainty_ns: i64,
    /// The coarse clock that should show the same time as the system clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coarse_ns: Option<i64>,
}

/// Tries the clock and puts it back. `pass` lets time pass, and says whether to go on; when it does not, there is no
/// trace. What was too noisy to tell, or held up too often, is tried once more, for longer.
///
/// # Errors
/// When the operating system refuses.
pub fn run(
    clock: &mut impl Subject,
    mut pass: impl FnMut(Span) -> bool,
) -> Result<Option<Trace>, ClockError> {
    let facts = clock.facts()?;
    let mut last = None;
    for length in SECTIONS {
        let recorded = record(clock, &facts, length, &mut pass);
        // Whatever happened: first of all the clock is as it was.
        clock.put_back()?;
        let Some(trace) = recorded? else { return Ok(None) };
        let untold = matches!(trace.judge(), Err(Fault::Noisy { .. } | Fault::TooShort { .. }));
        last = Some(trace);
        if !untold {
            break;
        }
    }
    Ok(last)
}

fn record(
    clock: &mut impl Subject,
    facts: &Facts,
    length: Span,
    pass: &mut impl FnMut(Span) -> bool,
) -> Result<Option<Trace>, ClockError> {
    let mut samples = Vec::new();
    for (section, direction) in (0_u32..).zip(DIRECTIONS) {
        let rate = facts.found + Rate::from_ratio(direction * facts.amplitude.ratio());
        let commanded = clock.command(rate)?;
        let mut started = None;
        loop {
            let (reading, coarse_ns) = clock.look()?;
            samples.push(Sample {
                section,
                commanded_ppm: commanded.ppm(),
                raw_ns: reading.raw.as_ns(),
                system_ns: reading.system.as_ns(),
                uncertainty_ns: reading.uncertainty.as_ns(),
                coarse_ns,
            });
            let started: Timestamp<_> = *started.get_or_insert(reading.raw);
            if reading.raw - started >= length {
                break;
            }
            if !pass(LOOK_EVERY) {
                return Ok(None);
            }
        }
    }
    Ok(Some(Trace {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        system: std::env::consts::OS.to_owned(),
        call: facts.call.to_owned(),
        quantum_ppm: facts.quantum.ppm(),
        found_ppm: facts.found.ppm(),
        sign_known: facts.sign_known,
        samples,
    }))
}

#[cfg(test)]
mod tests;
