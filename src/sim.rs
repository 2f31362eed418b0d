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

mod absence;
mod backend;
pub mod catalogue;
pub mod command;
mod load;
mod oracle;
mod oscillator;
mod path;
mod plan;
mod random;
mod report;
pub mod runner;
mod scenario;
mod sender;
mod server;
mod statistics;
mod svg;
mod tap;
mod twin;
mod world;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::rc::Rc;

pub use backend::{SimClock, SimNetwork, SimNtp};
pub use oracle::{DisturbanceFigures, Figures, RunResult, Second};
pub use report::{Check, Summary, csv, snapshot_of, summarise, table};
pub use scenario::{Scenario, ScenarioError};
pub use svg::draw;

use crate::config::Config;
use crate::controller::PtpController;
use crate::snapshot::Snapshot;
use crate::state::SavedState;
use absence::RestartKind;
use oracle::Oracle;
use tap::Tap;
use world::{SharedWorld, World};

/// What is judged: the controller, or a follower that must fail.
pub trait Follower {
    /// One turn of its loop, with at most one wait.
    fn turn(&mut self);
    /// What it claims.
    fn snapshot(&mut self) -> Snapshot;
    /// What it wants to be saved now.
    fn state_due(&mut self) -> Option<SavedState> {
        None
    }
    /// It is told to end; returns what it leaves for the next run.
    fn shut_down(&mut self) -> Option<SavedState> {
        None
    }
    /// It starts with what the last run left.
    fn resume(&mut self, _saved: &SavedState) {}
}

impl Follower for RealController {
    fn turn(&mut self) {
        self.turn();
    }
    fn snapshot(&mut self) -> Snapshot {
        PtpController::glance(self)
    }
    fn state_due(&mut self) -> Option<SavedState> {
        PtpController::state_due(self)
    }
    fn shut_down(&mut self) -> Option<SavedState> {
        PtpController::shut_down(self);
        self.state()
    }
    fn resume(&mut self, saved: &SavedState) {
        PtpController::resume(self, saved);
    }
}

/// Plays a scenario with the real controller.
pub fn run(scenario: &Scenario, seed: u64) -> RunResult {
    let result = run_with(scenario, seed, real_controller(seed));
    let Some(twin) = scenario.twin() else { return result };
    let seed = twin::seed_of(seed);
    twin::compare(scenario, result, &run_with(&twin, seed, real_controller(seed)))
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

fn real_controller(seed: u64) -> impl FnMut(Config, SimNetwork, SimClock, SimNtp) -> RealController {
    move |config, network, clock, ntp| PtpController::new(config, network, clock, ntp, seed)
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
    make: impl FnMut(Config, SimNetwork, SimClock, SimNtp) -> F,
) -> RunResult {
    run_in(&Rc::new(RefCell::new(World::new(scenario, seed))), scenario, seed, make)
}

fn run_in<F: Follower>(
    shared: &SharedWorld,
    scenario: &Scenario,
    seed: u64,
    mut make: impl FnMut(Config, SimNetwork, SimClock, SimNtp) -> F,
) -> RunResult {
    let mut start = || {
        make(
            scenario.follower_config(),
            SimNetwork::new(Rc::clone(shared)),
            SimClock::new(Rc::clone(shared)),
            SimNtp::new(Rc::clone(shared)),
        )
    };
    let mut follower = start();
    let mut left: Option<SavedState> = None;
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
        left = follower.state_due().or(left);
        let restart = shared.borrow().restart_due();
        if let Some(plan) = restart {
            if plan.kind != RestartKind::Kill {
                left = follower.shut_down().or(left);
            }
            shared.borrow_mut().restart(plan);
            oracle.forget_what_is_shown();
            follower = start();
            left = plan.found(left);
            if let Some(saved) = &left {
                follower.resume(saved);
            }
        }
    }
    let world = shared.borrow();
    oracle.judge(seed, &world)
}

#[cfg(test)]
mod tests;
