//! The terminal view as a user meets it where there is no terminal.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_dantetimesync-watch");
    Command::new(binary).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(64));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("no terminal") && said.contains("dantetimesync status"), "{said}");
    assert!(refused.stdout.is_empty());
}

#[test]
fn the_help_names_the_keys_and_bad_arguments_exit_with_64() {
    let help = run(&["--help"]);
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.status.success() && text.contains("Keys:") && text.contains("NO_COLOR"), "{text}");
    assert_eq!(run(&["--nonsense"]).status.code(), Some(64));
}
