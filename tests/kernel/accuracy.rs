//! How well the system clock ticks with the leader, by paths good and bad.
//!
//! The phase is judged around the mean of its run: a listener cannot know the delay of the path. What else it cannot
//! know is said in `arrivals`.

use std::thread;
use std::time::Duration;

use dantetimesync::time::Span;

use crate::arrivals::Arrivals;
use crate::load::Load;
use crate::observer::Observation;
use crate::relay::Impairment;
use crate::world::{Plan, World};
use crate::{Extent, extent, kernel_test, long_test, watch};

/// From the lock, or from a change of the load, until the filter has the noise's measure.
fn settle() {
    thread::sleep(Duration::from_secs(if extent() == Some(Extent::Long) { 40 } else { 20 }));
}

/// What the lock itself promises: out of it, the lock must have been left.
const LOCK_NS: f64 = 100_000.0;

#[test]
fn a_direct_path_is_held_idle_and_loaded() {
    const NAME: &str = "a_direct_path_is_held_idle_and_loaded";
    kernel_test!(NAME);
    let world = World::locked(&Plan::direct(Duration::from_secs(500)));
    let (idle, states) = watch_direct(&world, &format!("{NAME}: idle"));
    assert_eq!(states, [""; 0], "the lock was left");
    let switched = world.daemon.line_count();
    let load = Load::start();
    let (loaded, states) = watch_direct(&world, &format!("{NAME}: every processor busy"));
    drop(load);
    assert_eq!(states, [""; 0], "the lock was left");
    let moved = loaded.constant_ns() - idle.constant_ns();
    // A path that is suddenly 1.5 µs shorter is not told at once from a leader that turns.
    let states = world.states_since(switched);
    println!("{NAME}: the load moved the constant by {moved} ns; states entered since: {states:?}");
}

/// Watches the clock once the filter has the noise's measure, and judges what it saw; with it come the states that
/// were entered meanwhile.
fn watch_direct(world: &World, case: &str) -> (Observation, Vec<String>) {
    let arrivals = Arrivals::listen(&world.namespaces);
    settle();
    let settled = world.daemon.line_count();
    let observation = Observation::of(&world.leader.time_base(), watch(30, 180));
    let states = world.states_since(settled);
    let band = arrivals.band();
    println!("{case}: {observation}; {band}");
    band.judge(&observation);
    (observation, states)
}

#[test]
fn a_wandering_leader_is_followed() {
    const NAME: &str = "a_wandering_leader_is_followed";
    long_test!(NAME);
    // The sum swings by up to ±0.16 ppm.
    let wander = ["--wander", "0.05,60", "--wander", "0.1,240", "--wander", "0.01,17"];
    let plan = Plan { leader: &wander, ..Plan::direct(Duration::from_secs(300)) };
    let world = World::locked(&plan);
    settle();
    let observation = Observation::of(&world.leader.time_base(), 180);
    println!("{NAME}: {observation}");
    assert!(observation.rms_ns() <= 300.0, "{observation}");
}

/// A switched network: short queues, and a long one now and then.
const SWITCHED: Impairment = Impairment {
    base: Span::from_us(300),
    queue: Span::from_us(20),
    spike: (0.02, Span::from_ms(1)),
    loss: 0.0,
    duplicate: 0.0,
    reorder: 0.0,
};

/// A network that nobody should run audio over.
const HOSTILE: Impairment = Impairment {
    base: Span::from_us(300),
    queue: Span::from_us(200),
    spike: (0.05, Span::from_ms(3)),
    loss: 0.1,
    duplicate: 0.05,
    reorder: 0.05,
};

#[test]
fn a_switched_path_is_held_to_microseconds() {
    const NAME: &str = "a_switched_path_is_held_to_microseconds";
    kernel_test!(NAME);
    let plan = Plan { path: Some(SWITCHED), ..Plan::direct(Duration::from_secs(320)) };
    let world = World::locked(&plan);
    settle();
    let observation = Observation::of(&world.leader.time_base(), watch(30, 180));
    println!("{NAME}: {observation}");
    assert!(observation.rms_ns() <= 3_000.0, "{observation}");
}

#[test]
fn a_hostile_path_is_held_or_the_lock_is_left() {
    const NAME: &str = "a_hostile_path_is_held_or_the_lock_is_left";
    long_test!(NAME);
    let plan = Plan { path: Some(HOSTILE), ..Plan::direct(Duration::from_secs(400)) };
    let world = World::start(&plan);
    // A lock may take its time here, or never come.
    thread::sleep(Duration::from_secs(150));
    let from = world.daemon.line_count();
    let before = world.states_since(0);
    let observation = Observation::of(&world.leader.time_base(), 180);
    let meanwhile = world.states_since(from);
    println!("{NAME}: {observation}; states entered before: {before:?}, meanwhile: {meanwhile:?}");
    assert!(observation.rms_ns() <= 15_000.0, "{observation}");
    let locked = meanwhile.is_empty() && before.last().is_some_and(|state| state == "Locked");
    assert!(!locked || observation.max_ns() <= LOCK_NS, "Locked, but {observation}");
}
