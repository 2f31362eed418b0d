//! Programs that are asked, with a limit to how long they may take.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// No answer that is looked at is longer; a larger one is cut.
pub const LENGTH_MAX: u64 = 4 * 1024 * 1024;
/// How long a program may take to answer: a service manager that starts up needs a second or two.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a program gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// It is not installed.
    Missing,
    /// It ended with an error, and these words.
    Refused(String),
    /// It took too long.
    Late,
}

/// What the program writes to its standard output.
///
/// # Errors
/// When there is no answer.
pub fn run(command: &mut Command) -> Result<Vec<u8>, Unanswered> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unanswered::Missing,
        _ => refused(&error),
    })?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Unanswered::Refused("it has no output".to_owned()));
    };
    let (sender, receiver) = mpsc::channel();
    keep(false, out, sender.clone());
    keep(true, err, sender);
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        match receiver.recv_timeout(PATIENCE) {
            Ok((true, bytes)) => complained = bytes,
            Ok((false, bytes)) => said = bytes,
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Unanswered::Late);
            }
        }
    }
    let status = child.wait().map_err(|error| refused(&error))?;
    let words = String::from_utf8_lossy(&complained);
    if status.success() { Ok(said) } else { Err(Unanswered::Refused(words.trim().to_owned())) }
}

/// Reads a stream to its end, beside the wait for it: a program that writes much must not wait for its reader.
fn keep(is_error: bool, stream: impl Read + Send + 'static, sender: mpsc::Sender<(bool, Vec<u8>)>) {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.take(LENGTH_MAX).read_to_end(&mut bytes);
        let _ = sender.send((is_error, bytes));
    });
}

fn refused(error: &io::Error) -> Unanswered {
    Unanswered::Refused(error.to_string())
}
