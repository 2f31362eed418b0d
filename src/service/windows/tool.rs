//! Windows' own programs, for what the service manager does not do.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs one of them from the system's folder, where no other program can take its place.
///
/// # Errors
/// When it cannot be started or ends with another code than 0: what it has said.
pub(super) fn run<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> io::Result<()> {
    let root = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\Windows".into());
    let program = PathBuf::from(root).join("System32").join(name);
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let code = output.status.code().unwrap_or(-1);
    Err(io::Error::other(format!("{name} has failed with code {code}: {}", said.trim())))
}
