//! `dantetimesync watch`: hands over to `dantetimesync-watch`, so that nothing of a terminal is linked into the
//! program that steers.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::cli::Watch;
use crate::exit::{Failure, NO_INPUT, OS_ERROR};

const NAME: &str = "dantetimesync-watch";

/// Becomes the other program, where the system can do that, and waits for it elsewhere.
///
/// # Errors
/// When it is not there, or cannot be started.
pub fn run(options: &Watch) -> Result<ExitCode, Failure> {
    let own = std::env::current_exe().ok();
    let program = beside(own.as_deref()).unwrap_or_else(|| PathBuf::from(NAME));
    let mut command = Command::new(&program);
    // Else it takes what the configuration says by itself.
    if let Some(socket) = &options.socket {
        command.arg("--socket").arg(socket);
    }
    become_it(&mut command).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(
            NO_INPUT,
            anyhow::anyhow!(
                "{NAME} is neither beside {} nor in the PATH: it is a program of its own, built with \
                 `cargo build --release --package {NAME}`",
                own.as_deref().map_or_else(|| "this program".into(), Path::to_string_lossy)
            ),
        ),
        _ => Failure::new(OS_ERROR, anyhow::anyhow!("cannot start {}: {error}", program.display())),
    })
}

fn beside(own: Option<&Path>) -> Option<PathBuf> {
    let name = format!("{NAME}{}", std::env::consts::EXE_SUFFIX);
    own.map(|own| own.with_file_name(name)).filter(|path| path.is_file())
}

#[cfg(unix)]
fn become_it(command: &mut Command) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn become_it(command: &mut Command) -> io::Result<ExitCode> {
    let status = command.status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(crate::exit::FAILED).into())
}
