//! The terminal view, in a terminal of this Linux that Wine shows as a console.

use crate::leader::Leader;
use crate::process::Process;
use crate::terminal::Terminal;
use crate::world::{TOLD_AT_PIPE, World};

#[test]
fn the_terminal_view_shows_the_leader_and_ends_by_q() {
    let Some(world) = World::create("the terminal view") else { return };
    let _leader = Leader::start(&world.namespaces, &[]);
    let exe = world.exe.to_str().unwrap().to_owned();
    let watch = exe.replace(".exe", "-watch.exe");
    let Some(terminal) = Terminal::start(&world.command(&watch, &[])) else {
        eprintln!("the terminal view: skipped, there is no tmux");
        return;
    };
    let follow = [&["--dry-run", "--skip-ntp"], &TOLD_AT_PIPE[..]].concat();
    let _follower = Process::start(&mut world.command(&exe, &follow));
    // Wine's console moves the cursor its own way, so that lines run into each other; words are whole.
    let screen = terminal.wait_for("02:00:5e:10:00:01");
    println!("{screen}");
    terminal.press("q");
    terminal.wait_for("ended 0");
}
