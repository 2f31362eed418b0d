//! Whole Windows computers that do not exist, and what the doctor says of them.

use super::host::made_up::{World, card};
use super::host::{Rights, Running, Start};
use super::*;
use crate::config::DEFAULT_SUBDOMAIN;
use crate::doctor::finding::{Check, Level, Problem};
use crate::doctor::packets::tests::heard;
use crate::doctor::traffic::tests::{Speaker, link};
use crate::net::Capture;

fn request() -> Request {
    Request {
        dry_run: false,
        interface: None,
        subdomain: DEFAULT_SUBDOMAIN,
        capture: Capture::Auto,
        servers: Vec::new(),
        state_file: None,
        status_socket: Some("a pipe".into()),
        seconds: 10,
        config_file: "no such file".into(),
        config_faults: Vec::new(),
    }
}

/// One with a card on which a leader is heard, and Windows Time taken over from.
fn good() -> World {
    let trace = include_str!("../../../tests/data/clock/usual.json");
    let mut world = World::new()
        .adapter(card("eth0", 1))
        .service("W32Time", Running::Stopped, Start::Disabled)
        .service("dantetimesync", Running::Stopped, Start::Boot);
    world.trial = Ok(serde_json::from_str(trace).unwrap());
    world
}

fn examined(world: &World) -> Examination {
    let request = request();
    judge(world, &request, Before::look(world, &request), &heard(vec![link(&[Speaker::PLAIN], |_| false)]))
}

fn of(examination: &Examination, level: Level) -> Vec<Problem> {
    let wanted = examination.findings.iter().filter(|finding| finding.level == level);
    wanted.filter_map(|finding| finding.problem).collect()
}

#[test]
fn a_good_computer_has_no_failure_and_its_checks_come_in_order() {
    let examination = examined(&good());
    assert_eq!(of(&examination, Level::Failure), []);
    assert_eq!(of(&examination, Level::Warning), [Problem::ServiceStopped]);
    let checks: Vec<Check> = examination.findings.iter().map(|finding| finding.check).collect();
    assert!(checks.is_sorted(), "{checks:?}");
    assert_eq!(examination.measured.clock_gain.map(f64::round), Some(1.0));
    assert_eq!(examination.measured.leader_interface.as_deref(), Some("eth0"));
    assert_eq!(examination.measured.syncs, 40);
}

#[test]
fn beside_windows_time_the_clock_is_not_tried() {
    let world = good().service("W32Time", Running::Yes, Start::Demand);
    let examination = examined(&world);
    assert_eq!(of(&examination, Level::Failure), [Problem::RivalRunning]);
    assert!(of(&examination, Level::Skipped).contains(&Problem::ClockUntried));
    assert_eq!(examination.measured.clock_gain, None);
}

#[test]
fn while_the_service_steers_or_without_the_right_the_clock_is_not_tried() {
    let running = good().service("dantetimesync", Running::Yes, Start::Boot);
    let untried = |world: &World| {
        let examination = examined(world);
        let found =
            examination.findings.iter().find(|finding| finding.problem == Some(Problem::ClockUntried));
        found.map(|finding| finding.seen.clone()).unwrap_or_default()
    };
    let tried = examined(&running);
    let tried = tried.findings.iter().find(|finding| finding.check == Check::Trial).unwrap();
    assert_eq!(tried.seen, "the service (pid 900) has tried the clock at its start");
    let user = World { rights: Rights { administrator: false, clock: false }, ..good() };
    assert!(untried(&user).contains("no right"));
    assert_eq!(of(&examined(&user), Level::Failure), [Problem::NoClockRight]);
}

#[test]
fn a_clock_that_does_not_obey_is_a_failure() {
    let trace = include_str!("../../../tests/data/clock/wine-8.json");
    let world = World { trial: Ok(serde_json::from_str(trace).unwrap()), ..good() };
    assert_eq!(of(&examined(&world), Level::Failure), [Problem::ClockDisobeys]);
}

#[test]
fn a_virtual_machine_is_known_by_its_firmware() {
    let world = good().text(FIRMWARE, "SystemManufacturer", "VMware, Inc.");
    let examination = examined(&world);
    let machine = examination.findings.iter().find(|finding| finding.check == Check::Machine).unwrap();
    assert!(machine.seen.contains("VMware"), "{}", machine.seen);
}
