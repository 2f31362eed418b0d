//! The daemon on the real clock: how it starts, and what disturbs it.

use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use dantetimesync::time::Span;

use crate::clock;
use crate::guard::Guard;
use crate::kernel_test;
use crate::leader::Leader;
use crate::namespaces::Namespaces;
use crate::observer::Observation;
use crate::process::Process;
use crate::world::{LOCK_PATIENCE, Plan, World, daemon_command, entered, program};

/// Exit codes, as sysexits.h and the README have them.
const EXIT_NO_INPUT: i32 = 66;
const EXIT_TEMPORARY_FAILURE: i32 = 75;
const EXIT_NO_PERMISSION: i32 = 77;

/// A daemon that gives up says so at once.
const EXIT_PATIENCE: Duration = Duration::from_secs(10);

/// The lock may be kept for 10 intervals: 2.5 s.
const HOLDOVER_PATIENCE: Duration = Duration::from_secs(10);

/// Runs a daemon that is to give up at once, and tells how it ended and what it said.
fn run_to_end(guard: &Guard, command: &mut Command) -> (ExitStatus, String) {
    let mut daemon = Process::start(command);
    guard.watch(daemon.pid());
    let status = daemon.wait(EXIT_PATIENCE);
    guard.unwatch(daemon.pid());
    (status, daemon.lines().join("\n"))
}

#[test]
fn a_leader_that_turns_falls_silent_or_reboots_is_followed() {
    const NAME: &str = "a_leader_that_turns_falls_silent_or_reboots_is_followed";
    kernel_test!(NAME);
    let mut world = World::locked(&Plan::direct(Duration::from_secs(240)));
    thread::sleep(Duration::from_secs(5));
    world.leader.set_ppm(65.0);
    let turned = Observation::of(&world.leader.time_base(), 30);
    println!(
        "{NAME}: turned by 25 ppm: within 1 ppm for good after {:.1} s, {:.1} µs off at most",
        turned.rate_settled_s(1.0),
        turned.excursion_ns() / 1e3
    );
    assert!(turned.rate_settled_s(1.0) <= 25.0, "{turned}");

    let from = world.daemon.line_count();
    world.leader.pause();
    world.wait_for_state("Holdover", from, HOLDOVER_PATIENCE);
    let held = Observation::of(&world.leader.time_base(), 6);
    println!("{NAME}: silent: {held}");
    let from = world.daemon.line_count();
    world.leader.resume();
    world.wait_for_state("Locked", from, LOCK_PATIENCE);

    let from = world.daemon.line_count();
    world.leader.kill();
    world.wait_for_state("Holdover", from, HOLDOVER_PATIENCE);
    let from = world.daemon.line_count();
    // Back from a reboot: the same device, its uptime near zero.
    world.leader = Leader::start(&world.namespaces, &["--ppm", "65", "--epoch", "12"]);
    world.wait_for_state("Locked", from, LOCK_PATIENCE);
    let rebooted = Observation::of(&world.leader.time_base(), 6);
    println!("{NAME}: rebooted: {rebooted}");
    for observation in [held, rebooted] {
        assert!(observation.rate_rms_ppm() <= 0.5, "{observation}");
    }
}

#[test]
fn missing_interface_lists_what_there_is() {
    kernel_test!("missing_interface_lists_what_there_is");
    let guard = Guard::take(Duration::from_secs(60));
    let namespaces = Namespaces::create();
    let mut command = Namespaces::command_in(&namespaces.follower, &program());
    let (status, said) = run_to_end(&guard, command.args(["--interface", "nosuch0", "--skip-ntp"]));
    assert_eq!(status.code(), Some(EXIT_NO_INPUT), "{said}");
    assert!(said.contains("nosuch0") && said.contains("sl0"), "{said}");
}

#[test]
fn no_cap_sys_time_exits_77() {
    kernel_test!("no_cap_sys_time_exits_77");
    let guard = Guard::take(Duration::from_secs(60));
    let namespaces = Namespaces::create();
    let mut command = Namespaces::command_in(&namespaces.follower, "setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]);
    command.arg(program()).args(["--interface", "sl0", "--skip-ntp"]);
    let (status, said) = run_to_end(&guard, &mut command);
    assert_eq!(status.code(), Some(EXIT_NO_PERMISSION), "{said}");
    assert!(said.contains("CAP_SYS_TIME"), "{said}");
}

/// What a log line says that another program did to the clock.
fn foreign_change(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("WARN another program ")
}

/// The foreign change of the rate that a log line tells of, in ppm.
fn foreign_slew_ppm(line: &str) -> Option<f64> {
    let by = foreign_change(line)?.strip_prefix("changed the system clock's rate by ")?;
    by.split_once(" ppm")?.0.parse().ok()
}

#[test]
fn foreign_changes_are_read_from_their_warnings_only() {
    let stepped = " WARN another program stepped the system clock by +50.0 ms";
    assert_eq!(foreign_change(stepped), Some("stepped the system clock by +50.0 ms"));
    assert_eq!(foreign_slew_ppm(stepped), None);
    let slewed = " WARN another program changed the system clock's rate by +19.871 ppm";
    assert_eq!(foreign_slew_ppm(slewed), Some(19.871));
    assert_eq!(foreign_change(" INFO stepped the clock to UTC by=+50.0 ms"), None);
}

#[test]
fn other_programs_are_lived_with() {
    const NAME: &str = "other_programs_are_lived_with";
    kernel_test!(NAME);
    let world = World::locked(&Plan::direct(Duration::from_secs(240)));

    let (status, said) = run_to_end(&world.guard, &mut daemon_command(&world.namespaces, &[]));
    assert_eq!(status.code(), Some(EXIT_TEMPORARY_FAILURE), "{said}");
    assert!(said.contains(&world.daemon.pid().to_string()), "{said}");

    // It hears the leader too, on the same ports, and steers nothing.
    let mut dry_run = Process::start(&mut daemon_command(&world.namespaces, &["--dry-run"]));
    world.guard.watch(dry_run.pid());
    dry_run.wait_for_line("Locked", 0, LOCK_PATIENCE, |line| entered(line) == Some("Locked"));
    let beside = Observation::of(&world.leader.time_base(), 3);
    world.guard.unwatch(dry_run.pid());
    dry_run.kill();
    assert!(beside.rate_rms_ppm() <= 0.5, "the dry run steered: {beside}");

    let from = world.daemon.line_count();
    clock::step(Span::from_ms(50)).unwrap();
    let said = world.daemon.wait_for_line("report of the step", from, REPORT_PATIENCE, |line| {
        foreign_change(line).is_some_and(|told| told.starts_with("stepped the system clock by +50.0 ms"))
    });
    println!("{NAME}: {}", said.trim());
    // Adopted, not undone: the clock stays where it was put, and ticks with the leader.
    let stepped = Observation::of(&world.leader.time_base(), 10);
    let deviation = world.guard.saved().deviation().unwrap();
    println!("{NAME}: {stepped}");
    assert!(stepped.rate_rms_ppm() <= 1.0, "{stepped}");
    // What it gained at 40 ppm since the test began adds some ms.
    assert!(deviation > Span::from_ms(49) && deviation < Span::from_ms(60), "{deviation}");

    let from = world.daemon.line_count();
    clock::slew_by(20.0).unwrap();
    let said = world.daemon.wait_for_line("report of the slew", from, REPORT_PATIENCE, |line| {
        // Measured over a piece that may have begun before the slew: the mean is smaller.
        foreign_slew_ppm(line).is_some_and(|ppm| ppm > 0.0 && ppm < 21.0)
    });
    println!("{NAME}: {}", said.trim());
    // What the slew gained is taken back at 0.8 ppm at most while Locked.
    thread::sleep(Duration::from_secs(10));
    let slewed = Observation::of(&world.leader.time_base(), 10);
    println!("{NAME}: {slewed}");
    assert!(slewed.rate_rms_ppm() <= 1.0, "{slewed}");
    // Two are not yet a conflict.
    assert!(!world.states_since(0).contains(&"Conflict".to_owned()));
}

/// The next Sync wakes the daemon, and then it sees: 0.25 s, and room for a busy computer.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);
