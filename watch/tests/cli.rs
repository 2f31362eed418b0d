//! The terminal view as a user meets it where there is no terminal.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests in real time")]

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

#[cfg(target_os = "linux")]
#[test]
fn without_its_terminal_it_does_not_live_on() {
    use std::time::{Duration, Instant};

    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let (binary, shown) = (env!("CARGO_BIN_EXE_dantetimesync-watch"), pid_file.display());
    let line = format!("trap '' HUP; echo $$ >{shown}; exec {binary} --socket {shown}");
    // The terminal is script's, and goes away with it. As with `nohup`, the signal that tells so is ignored.
    let mut terminal = Command::new("script");
    let terminal = terminal.args(["-qec", &line, "/dev/null"]);
    let mut terminal =
        terminal.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let wait_until = |what: &str, done: &dyn Fn() -> bool| {
        while !done() {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let pid = || std::fs::read_to_string(&pid_file).ok()?.trim().parse::<u32>().ok();
    wait_until("it has started", &|| {
        let name = pid().and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
        name.is_some_and(|name| name.starts_with("dantetimesync"))
    });
    // Until it reads the keyboard.
    std::thread::sleep(Duration::from_secs(1));
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    let process = format!("/proc/{}", pid().unwrap());
    wait_until("it has ended", &|| !std::path::Path::new(&process).exists());
}
