//! The files that are made from the program's own definitions and shipped with it: the configuration file, the manual
//! and the completions. They lie in `packaging/generated`, so that a package can be built with nothing but cargo, and
//! this test fails when they are not what the definitions say. To make them anew:
//!
//! ```sh
//! DANTETIMESYNC_UPDATE=1 cargo test --test generated
//! ```
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::aot::{Bash, Fish, Generator, Zsh, generate};
use dantetimesync::cli::Cli;
use dantetimesync::config::manual;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/generated");

/// What shall be in the folder.
fn files() -> BTreeMap<PathBuf, String> {
    let command = Cli::command().name("dantetimesync");
    let mut files = BTreeMap::from([
        (PathBuf::from("config.toml"), manual::default_file()),
        (PathBuf::from("man/dantetimesync.toml.5"), manual::page()),
        (PathBuf::from("dantetimesync.bash"), completions(Bash, &command)),
        (PathBuf::from("_dantetimesync"), completions(Zsh, &command)),
        (PathBuf::from("dantetimesync.fish"), completions(Fish, &command)),
    ]);
    let mut built = command.disable_help_subcommand(true);
    built.build();
    add_pages(&built, &mut files);
    files
}

fn completions(shell: impl Generator, command: &Command) -> String {
    let mut text = Vec::new();
    generate(shell, &mut command.clone(), "dantetimesync", &mut text);
    trimmed(&text)
}

/// A page for the command and for each of its own. They are built, so that each knows its whole name.
fn add_pages(command: &Command, files: &mut BTreeMap<PathBuf, String>) {
    let mut text = Vec::new();
    let page =
        clap_mangen::Man::new(command.clone()).source(concat!("dantetimesync ", env!("CARGO_PKG_VERSION")));
    page.render(&mut text).expect("memory takes everything");
    files.insert(Path::new("man").join(page.get_filename()), trimmed(&text));
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        add_pages(subcommand, files);
    }
}

/// Without spaces at the ends of lines, which reviewers' tools complain of.
fn trimmed(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

fn present(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(present(&path));
        } else {
            let name = path.strip_prefix(FOLDER).expect("it lies below").to_owned();
            found.insert(name, fs::read_to_string(&path).expect("text"));
        }
    }
    found
}

#[test]
fn the_shipped_files_are_what_the_definitions_say() {
    let (made, found) = (files(), present(Path::new(FOLDER)));
    if std::env::var_os("DANTETIMESYNC_UPDATE").is_some() {
        for name in found.keys().filter(|name| !made.contains_key(*name)) {
            fs::remove_file(Path::new(FOLDER).join(name)).expect("to be removed");
        }
        for (name, text) in &made {
            let path = Path::new(FOLDER).join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("to be written");
        }
        return;
    }
    let names = |files: &BTreeMap<PathBuf, String>| files.keys().cloned().collect::<Vec<_>>();
    let how = "DANTETIMESYNC_UPDATE=1 cargo test --test generated";
    assert_eq!(names(&found), names(&made), "files come or go; {how}");
    for (name, text) in &made {
        let line = text.lines().zip(found[name].lines()).find(|(made, found)| made != found);
        assert!(found[name] == *text, "{} is not up to date ({line:?}); {how}", name.display());
    }
}

#[test]
fn every_command_and_option_is_in_the_manual_and_in_every_completion() {
    let files = files();
    let page = &files[Path::new("man/dantetimesync.1")];
    let toml = &files[Path::new("man/dantetimesync.toml.5")];
    for setting in &dantetimesync::config::table::SETTINGS {
        let escaped = setting.name.replace('-', "\\-");
        assert!(page.contains(&format!("\\-\\-{escaped}")), "{} is not in the manual", setting.name);
        assert!(toml.contains(&escaped), "{}", setting.name);
        for shell in ["dantetimesync.bash", "_dantetimesync", "dantetimesync.fish"] {
            assert!(files[Path::new(shell)].contains(setting.name), "{} is not in {shell}", setting.name);
        }
    }
    for command in Cli::command().get_subcommands() {
        let name = format!("man/dantetimesync-{}.1", command.get_name());
        assert!(files.contains_key(Path::new(&name)), "{name}");
    }
}
