//! Firewalls of computers that do not exist.

use super::super::host::Start;
use super::super::host::made_up::{PROGRAM, World};
use super::*;

/// The rule that `service install` makes, as Windows writes it.
fn ours() -> String {
    format!(
        "v2.30|Action=Allow|Active=TRUE|Dir=In|Protocol=17|LPort=319|LPort=320|App={PROGRAM}|\
         Name=dantetimesync (PTP)|"
    )
}

/// A rule that has nothing to do with us, as there are hundreds.
const OTHER: &str =
    "v2.30|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=5357|App=System|Name=@FirewallAPI.dll|";

/// With the firewall running, and these rules besides.
fn world(rules: &[&str]) -> World {
    let world = World::new().service(SERVICE, Running::Yes, Start::Boot);
    let world = world.text(&format!(r"{OWN}\{RULES}"), "Other", OTHER);
    let named = rules.iter().enumerate();
    named.fold(world, |world, (number, rule)| {
        world.text(&format!(r"{OWN}\{RULES}"), &format!("R{number}"), rule)
    })
}

fn found(world: &World) -> Finding {
    let found = check(&look(world, false, true));
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

fn problem(world: &World) -> Option<Problem> {
    found(world).problem
}

#[test]
fn with_our_rule_ptp_gets_in() {
    let found = found(&world(&[&ours()]));
    assert_eq!(found.problem, None);
    assert_eq!(
        found.seen,
        "on for networks of the kinds domain, private, public; UDP 319 and 320 get in to this program"
    );
}

#[test]
fn the_rule_for_raw_sockets_which_names_no_port_lets_it_in_as_well() {
    let without_ports = ours().replace("LPort=319|LPort=320|", "");
    assert_eq!(problem(&world(&[&without_ports])), None);
    assert_eq!(problem(&world(&[&ours(), &without_ports])), None);
}

#[test]
fn without_it_nothing_comes_in_and_the_rule_is_told() {
    let found = found(&world(&[]));
    assert_eq!(found.problem, Some(Problem::FirewallDropsPtp));
    let mend = found.mend.unwrap();
    assert!(mend.contains("service install") && mend.ends_with(&format!("program=\"{PROGRAM}\"")), "{mend}");
}

#[test]
fn a_rule_for_another_place_of_the_program_is_none() {
    let other = ours().replace("Program Files", "Users\\me\\Downloads");
    assert_eq!(problem(&world(&[&other])), Some(Problem::FirewallDropsPtp));
    // What counts is the program that the service runs, not that which is the doctor.
    let moved = world(&[&other]).text(
        IMAGE,
        "ImagePath",
        r#""C:\Users\me\Downloads\dantetimesync\dantetimesync.exe" service run"#,
    );
    assert_eq!(problem(&moved), None);
    let variable = ours().replace(r"C:\Program Files", "%ProgramFiles%");
    assert_eq!(problem(&world(&[&variable])), None);
}

#[test]
fn one_port_is_not_enough_and_a_range_is() {
    assert_eq!(problem(&world(&[&ours().replace("LPort=320|", "")])), Some(Problem::FirewallDropsPtp));
    assert_eq!(
        problem(&world(&["v2.30|Action=Allow|Active=TRUE|Dir=In|Protocol=17|LPort2_10=300-330|"])),
        None
    );
}

#[test]
fn a_rule_that_blocks_wins_and_is_removed_by_its_name() {
    // What Windows makes when somebody says "Cancel" to its question.
    let cancelled = format!(
        "v2.30|Action=Block|Active=TRUE|Dir=In|Protocol=17|App={}|Name=dantetimesync.exe|",
        PROGRAM.to_lowercase()
    );
    let found = found(&world(&[&ours(), &cancelled]));
    assert_eq!(found.problem, Some(Problem::FirewallDropsPtp));
    assert!(found.seen.contains("\"dantetimesync.exe\" blocks"), "{}", found.seen);
    assert_eq!(found.mend.as_deref(), Some("in PowerShell: Remove-NetFirewallRule -Name 'R1'"));
    let inactive = cancelled.replace("TRUE", "FALSE");
    assert_eq!(problem(&world(&[&ours(), &inactive])), None);
}

#[test]
fn a_rule_for_some_networks_or_with_conditions_may_not_be_enough() {
    let private = ours().replace("Protocol", "Profile=Private|Profile=Domain|Protocol");
    let found = found(&world(&[&private]));
    assert_eq!(found.problem, Some(Problem::FirewallMayDrop));
    assert!(found.seen.ends_with("in networks of the kinds public"), "{}", found.seen);
    let nearby = ours().replace("App=", "RA4=LocalSubnet|App=");
    assert_eq!(problem(&world(&[&nearby])), Some(Problem::FirewallMayDrop));
}

#[test]
fn what_blocks_everything_is_told_apart() {
    let shields = world(&[&ours()]);
    let shields = PROFILES.iter().fold(shields, |world, (_, [own, _], _)| {
        world.number(&format!(r"{OWN}\{own}"), "DoNotAllowExceptions", 1)
    });
    let found = found(&shields);
    assert_eq!(found.problem, Some(Problem::FirewallDropsPtp));
    assert!(found.mend.unwrap().contains("Blocks all incoming"));
}

#[test]
fn a_policy_may_set_our_rule_aside() {
    let merged = PROFILES.iter().fold(world(&[&ours()]), |world, (_, [_, policy], _)| {
        world.number(&format!(r"{POLICY}\{policy}"), "AllowLocalPolicyMerge", 0)
    });
    assert_eq!(problem(&merged), Some(Problem::FirewallDropsPtp));
    assert_eq!(problem(&merged.text(&format!(r"{POLICY}\{RULES}"), "GP", &ours())), None);
}

#[test]
fn a_firewall_that_is_off_or_missing_is_fine() {
    let off = PROFILES.iter().fold(world(&[]), |world, (_, [own, _], _)| {
        world.number(&format!(r"{OWN}\{own}"), "EnableFirewall", 0)
    });
    assert!(found(&off).seen.contains("is off"));
    assert!(found(&World::new().service(SERVICE, Running::Stopped, Start::Boot)).seen.contains("is off"));
    assert!(found(&World::new()).seen.contains("no Windows firewall"));
    let unread = World::new().service(SERVICE, Running::Yes, Start::Boot);
    assert_eq!(problem(&unread), Some(Problem::FirewallUnread));
}

#[test]
fn who_hears_a_leader_is_let_in_whatever_the_rules_look_like() {
    assert_eq!(check(&look(&world(&[]), true, true))[0].problem, None);
}

#[test]
fn requests_to_time_servers_that_are_kept_in_are_told() {
    let shut = PROFILES.iter().fold(world(&[&ours()]), |world, (_, [own, _], _)| {
        world.number(&format!(r"{OWN}\{own}"), "DefaultOutboundAction", 1)
    });
    let problem = |world: &World, answered| check(&look(world, false, answered))[0].problem;
    assert_eq!(problem(&shut, false), Some(Problem::FirewallDropsNtp));
    assert_eq!(problem(&shut, true), None);
    let open = "v2.30|Action=Allow|Active=TRUE|Dir=Out|Protocol=17|RPort=123|Name=NTP|";
    let with = shut.text(&format!(r"{OWN}\{RULES}"), "R9", open);
    assert_eq!(problem(&with, false), None);
    assert_eq!(problem(&world(&[&ours()]), false), None);
}

proptest::proptest! {
    #[test]
    fn any_rule_is_survived(text in "\\PC*") {
        let _ = Rule::parse("x", &text, true);
        let _ = Rule::parse("x", &format!("v2|{text}|Active=TRUE"), true);
    }
}
