//! The guide: every command in it is one that exists, with options that exist, and those that need no rights, no
//! network and no time run here. Settings in it are settings that can be used, and links lead somewhere.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::Parser;
use dantetimesync::cli::Cli;
use dantetimesync::config::{Settings, file};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Other people's programs that the guide may use; what they are given is theirs to document.
const OTHERS: [&str; 9] =
    ["apt", "cargo", "ethtool", "ip", "journalctl", "nft", "sed", "systemctl", "tcpdump"];

/// The beginnings of those that run here. All that the program does, also beside a service that is locked, runs in the
/// container that `ci/boot-guide.sh` is in, where every command must be one that is known there.
const RUN_HERE: [&str; 4] = ["replay", "service install --print", "--version", "--help"];

fn pages() -> Vec<PathBuf> {
    let folder = fs::read_dir(Path::new(ROOT).join("docs/guide")).expect("the guide");
    let mut pages: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
    pages.sort();
    assert!(pages.len() >= 6, "{pages:?}");
    pages
}

/// The blocks of this kind, as lines, with the place of each for people.
fn blocks(kind: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("text");
        let mut block: Option<(String, Vec<String>)> = None;
        for (number, line) in text.lines().enumerate() {
            match (&mut block, line.strip_prefix("```")) {
                (None, Some(found)) if found == kind => {
                    block = Some((format!("{}:{}", page.display(), number + 1), Vec::new()));
                }
                // A block of another kind is passed over like text; its end opens nothing.
                (None, _) => {}
                (Some(_), Some(_)) => blocks.extend(block.take()),
                (Some((_, lines)), None) => lines.push(line.to_owned()),
            }
        }
        assert!(block.is_none(), "{}: a block is not closed", page.display());
    }
    assert!(!blocks.is_empty(), "no {kind} in the guide");
    blocks
}

/// The command without who runs it and where it was built.
fn bare(line: &str) -> String {
    let line = line.strip_prefix("sudo ").unwrap_or(line);
    line.strip_prefix("target/release/").unwrap_or(line).to_owned()
}

#[test]
fn every_command_exists_with_all_its_options() {
    for (place, lines) in blocks("sh") {
        for line in lines {
            let line = bare(&line);
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.first() == Some(&"dantetimesync") {
                if let Err(error) = Cli::try_parse_from(&words) {
                    assert!(!error.use_stderr(), "{place}: {line}: {error}");
                }
            } else {
                assert!(words.first().is_some_and(|word| OTHERS.contains(word)), "{place}: {line}");
            }
        }
    }
}

#[test]
fn commands_for_windows_exist_with_all_their_options() {
    // What only Windows has is parsed there alone: `service start` and `stop`, and options of the installation.
    const ONLY_THERE: [&str; 2] = ["service start", "service install"];
    for (place, lines) in blocks("bat") {
        for line in lines {
            let Some(arguments) = line.strip_prefix("dantetimesync ") else {
                assert!(line.contains("setup.exe /S") || line.contains("uninstall.exe"), "{place}: {line}");
                continue;
            };
            if ONLY_THERE.iter().any(|only| arguments.starts_with(only)) {
                continue;
            }
            if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
                assert!(!error.use_stderr(), "{place}: {line}: {error}");
            }
        }
    }
}

#[test]
fn the_services_that_are_spoken_of_are_those_that_are_shipped() {
    for (place, lines) in blocks("sh") {
        for line in lines.iter().map(|line| bare(line)).filter(|line| line.starts_with("systemctl ")) {
            let unit =
                line.split_whitespace().last().expect("a unit").trim_end_matches(".service").to_owned();
            let shipped = Path::new(ROOT).join(format!("packaging/{unit}.service"));
            assert!(shipped.exists() || unit == "chrony", "{place}: {line}");
        }
    }
}

#[test]
fn commands_that_can_run_here_do() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(Path::new(ROOT).join("tests/data/s1-60s.pcap"), folder.path().join("dante.pcap"))
        .expect("a capture");
    let lines: BTreeSet<String> =
        blocks("sh").into_iter().flat_map(|(_, lines)| lines).map(|line| bare(&line)).collect();
    let mut ran = BTreeSet::new();
    for line in &lines {
        let Some(arguments) = line.strip_prefix("dantetimesync ") else { continue };
        let Some(rule) = RUN_HERE.iter().find(|rule| arguments.starts_with(*rule)) else { continue };
        ran.insert(rule);
        let output = Command::new(env!("CARGO_BIN_EXE_dantetimesync"))
            .args(arguments.split_whitespace())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {said}");
    }
    assert!(ran.len() >= 3, "the guide shows little that can be tried: {ran:?}");
}

/// What a tool answers where the interface is two virtual ones, and how long it may run.
fn in_a_network_of_its_own(line: &str) -> Output {
    let script = format!(
        "ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up && \
         exec timeout 2 {line}"
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "--kill-child", "--fork", "sh", "-c", &script]).stdin(Stdio::null());
    command.current_dir(std::env::temp_dir()).output().expect("unshare runs")
}

#[test]
fn the_commands_of_others_are_understood_by_them() {
    if !Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no right to make a network of its own");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let default = folder.path().join("chrony");
    fs::write(&default, "DAEMON_OPTS=\"-F 1\"\n").expect("a file");
    let mut ran = 0;
    for (place, lines) in blocks("sh") {
        for line in lines.iter().map(|line| bare(line)) {
            let tool = line.split_whitespace().next().unwrap_or_default();
            let there = Command::new(tool).arg("--version").output().is_ok();
            if !["ethtool", "ip", "nft", "sed", "tcpdump"].contains(&tool) || !there {
                continue;
            }
            let line = line
                .replace("/etc/default/chrony", &default.to_string_lossy())
                .replace("-w dante.pcap", "-w /dev/null");
            let output = in_a_network_of_its_own(&line);
            let said = String::from_utf8_lossy(&output.stderr);
            // Nothing arrives, so a capture goes on until it is stopped; two virtual ends have no link that sleeps.
            let fine = matches!(output.status.code(), Some(0 | 124)) || said.contains("not supported");
            assert!(fine, "{place}: {line}: {:?}: {said}", output.status.code());
            ran += 1;
        }
    }
    assert!(ran >= 3, "the guide shows {ran} commands of others that are here");
    assert_eq!(fs::read_to_string(&default).expect("the file"), "DAEMON_OPTS=\"-x -F 1\"\n", "sed");
}

#[test]
fn settings_in_the_guide_can_be_used() {
    for (place, lines) in blocks("toml") {
        let choices = file::parse(Path::new(&place), &lines.join("\n"));
        let settings = choices.and_then(|choices| Settings::from_choices(&choices));
        assert!(settings.is_ok(), "{}", settings.unwrap_err());
    }
}

/// All of the program's sources, as one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for path in fs::read_dir(folder).expect("sources").flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            text += &sources(&path);
        } else {
            text += &fs::read_to_string(&path).unwrap_or_default();
        }
    }
    text
}

#[test]
fn what_the_log_is_quoted_with_is_what_it_says() {
    let sources = sources(&Path::new(ROOT).join("src"));
    let page = fs::read_to_string(Path::new(ROOT).join("docs/guide/first-lock.md")).expect("text");
    let quoted: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(quoted.len() >= 5, "{quoted:?}");
    for words in quoted {
        assert!(sources.contains(words), "the program never says: {words}");
    }
}

#[test]
fn links_lead_to_pages_that_exist() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("text");
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if !target.contains("://") {
                let file = target.split('#').next().unwrap_or_default();
                let path = page.parent().expect("a folder").join(file);
                assert!(file.is_empty() || path.exists(), "{}: {target}", page.display());
            }
        }
    }
}
