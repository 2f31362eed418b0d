//! Simulated worlds: the real [`PtpController`] on virtual clocks, networks and NTP servers.
//!
//! A [`Scenario`] describes the world, a seed its noise. [`run`] plays one, the oracle compares what the
//! follower says with what is true, and [`summarise`] pools the seeds and judges them against the scenario's
//! limits. No file here reads a clock of the computer: an hour passes in a fraction of a second, and the same
//! seed gives the same figures.
//!
//! ```text
//! oscillator ─► raw clock ─► system clock ◄── commands (backend)
//!      sender ─► path ─► sockets ──────────► PtpController ──► Snapshot
//!      server ─► ─────────▲                                       │
//!      world: true time, queue of events ──► marks ──► oracle ◄───┘
//! ```

mod backend;
pub mod command;
mod oracle;
mod oscillator;
mod path;
mod plan;
mod random;
mod report;
mod scenario;
mod sender;
mod server;
mod tap;
mod world;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::rc::Rc;

pub use backend::{SimClock, SimNetwork, SimNtp};
pub use oracle::{DisturbanceFigures, Figures, RunResult, Second};
pub use report::{Check, Summary, csv, summarise, table};
pub use scenario::{Scenario, ScenarioError};

use crate::config::Config;
use crate::controller::PtpController;
use crate::snapshot::Snapshot;
use oracle::Oracle;
use tap::Tap;
use world::{SharedWorld, World};

/// What is judged: the controller, or a follower that must fail.
pub trait Follower {
    /// One turn of its loop, with at most one wait.
    fn turn(&mut self);
    /// What it claims.
    fn snapshot(&mut self) -> Snapshot;
}

impl Follower for RealController {
    fn turn(&mut self) {
        self.turn();
    }
    fn snapshot(&mut self) -> Snapshot {
        PtpController::snapshot(self)
    }
}

/// Plays a scenario with the real controller.
pub fn run(scenario: &Scenario, seed: u64) -> RunResult {
    run_with(scenario, seed, real_controller(seed))
}

/// Plays a scenario with the real controller, and writes what its computer would have captured meanwhile to
/// `file`, as pcap: every datagram that came to the two PTP ports, also those for which a socket had no room.
///
/// The stamps are those of a computer that nobody steers, or `replay` would find the controller's work instead
/// of the oscillator's rate: the raw clock, on a date of its own.
///
/// # Errors
/// When the file cannot be written.
pub fn run_captured(scenario: &Scenario, seed: u64, file: File) -> io::Result<RunResult> {
    let mut world = World::new(scenario, seed);
    world.tap = Some(Tap::new(file)?);
    let shared = Rc::new(RefCell::new(world));
    let result = run_in(&shared, scenario, seed, real_controller(seed));
    let tap = shared.borrow_mut().tap.take();
    tap.map_or(Ok(()), Tap::finish)?;
    Ok(result)
}

type RealController = PtpController<SimNetwork, SimClock, SimNtp>;

fn real_controller(seed: u64) -> impl FnOnce(Config, SimNetwork, SimClock, SimNtp) -> RealController {
    move |config, network, clock, ntp| PtpController::new(config, network, clock, ntp, seed)
}

/// Plays a scenario with the real controller and all of its seeds, from 1 on.
pub fn run_seeds(scenario: &Scenario) -> Vec<RunResult> {
    (1..=scenario.seeds()).map(|seed| run(scenario, seed)).collect()
}

/// A snapshot is taken after a turn only when this much true time has passed, in ns, or the clock was changed:
/// a forger's thousand datagrams a second must not cost a thousand snapshots.
const SNAPSHOT_INTERVAL_NS: i64 = 5_000_000;

/// A turn that does not wait takes this long, in ns, so that no follower stops the world.
const IDLE_TURN_NS: i64 = 1_000;

/// Plays a scenario with any follower.
pub fn run_with<F: Follower>(
    scenario: &Scenario,
    seed: u64,
    make: impl FnOnce(Config, SimNetwork, SimClock, SimNtp) -> F,
) -> RunResult {
    run_in(&Rc::new(RefCell::new(World::new(scenario, seed))), scenario, seed, make)
}

fn run_in<F: Follower>(
    shared: &SharedWorld,
    scenario: &Scenario,
    seed: u64,
    make: impl FnOnce(Config, SimNetwork, SimClock, SimNtp) -> F,
) -> RunResult {
    let mut follower = make(
        scenario.follower_config(),
        SimNetwork::new(Rc::clone(shared)),
        SimClock::new(Rc::clone(shared)),
        SimNtp::new(Rc::clone(shared)),
    );
    let mut oracle = Oracle::new(scenario);
    let (mut seen_at, mut seen_commands) = (i64::MIN, 0);
    loop {
        let before = shared.borrow().now();
        follower.turn();
        let due = {
            let mut world = shared.borrow_mut();
            if world.now() == before {
                world.idle(IDLE_TURN_NS);
            }
            // The seconds that passed in this turn were shown the snapshot from before it.
            oracle.take_seconds(&mut world);
            if world.is_over() {
                break;
            }
            let due = world.now().saturating_sub(seen_at) >= SNAPSHOT_INTERVAL_NS
                || world.record.commands != seen_commands;
            if due {
                (seen_at, seen_commands) = (world.now(), world.record.commands);
            }
            due
        };
        if due {
            let snapshot = follower.snapshot();
            oracle.take_snapshot(snapshot, &shared.borrow());
        }
    }
    let world = shared.borrow();
    oracle.judge(seed, &world)
}

#[cfg(test)]
mod tests;
