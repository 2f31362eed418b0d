//! The seam between the checks and the computer: files below a root, and the few programs that are asked.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use super::programs::Unanswered;
use super::programs::{self, LENGTH_MAX};

/// A program's answer.
pub type Answer = Result<String, Unanswered>;

/// Runs programs, or stands in for them.
pub trait Runner {
    /// What the program writes to its standard output.
    fn run(&self, program: &str, arguments: &[&str]) -> Answer;
}

/// A computer, or a folder that looks like one.
pub struct Host {
    root: PathBuf,
    runner: Box<dyn Runner>,
}

impl Host {
    /// This computer.
    pub fn this() -> Self {
        Self::new(Path::new("/"), Programs)
    }

    /// Files below `root`, programs by `runner`.
    pub fn new(root: &Path, runner: impl Runner + 'static) -> Self {
        Self { root: root.to_owned(), runner: Box::new(runner) }
    }

    /// Where an absolute path lies.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let path = absolute.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file; nothing where it cannot be read.
    pub fn read(&self, absolute: impl AsRef<Path>) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.path(absolute)).ok()?.take(LENGTH_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The text of a file without the space around it; nothing where that is all.
    pub fn word(&self, absolute: impl AsRef<Path>) -> Option<String> {
        let text = self.read(absolute)?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A file that holds a number.
    pub fn number<T: std::str::FromStr>(&self, absolute: impl AsRef<Path>) -> Option<T> {
        self.word(absolute)?.parse().ok()
    }

    /// Names in a folder, sorted; none where it cannot be read.
    pub fn names(&self, absolute: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.path(absolute)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// Whether there is something at a path.
    pub fn exists(&self, absolute: impl AsRef<Path>) -> bool {
        self.path(absolute).symlink_metadata().is_ok()
    }

    /// What a program says.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Answer {
        self.runner.run(program, arguments)
    }
}

/// The programs of this computer.
struct Programs;

impl Runner for Programs {
    fn run(&self, program: &str, arguments: &[&str]) -> Answer {
        let mut command = Command::new(find(program).ok_or(Unanswered::Missing)?);
        command.args(arguments).env("LC_ALL", "C");
        programs::run(&mut command).map(|said| String::from_utf8_lossy(&said).into_owned())
    }
}

/// A user's search path often lacks the folders of the administrator's programs.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
pub mod made_up {
    //! A computer that does not exist.

    use super::*;

    /// Files and answers; what is not there is missing.
    pub struct World {
        folder: tempfile::TempDir,
        answers: Vec<(String, Answer)>,
    }

    impl World {
        pub fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), answers: Vec::new() }
        }
        /// With a file.
        pub fn file(self, absolute: &str, text: &str) -> Self {
            let path = self.folder.path().join(absolute.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }
        /// With a folder.
        pub fn folder(self, absolute: &str) -> Self {
            fs::create_dir_all(self.folder.path().join(absolute.trim_start_matches('/'))).unwrap();
            self
        }
        /// With a program that answers to any arguments that begin so.
        pub fn program(mut self, command: &str, answer: Answer) -> Self {
            self.answers.push((command.to_owned(), answer));
            self
        }
        /// With a running process.
        pub fn process(self, pid: u32, comm: &str, arguments: &str) -> Self {
            let folder = format!("/proc/{pid}");
            self.file(&format!("{folder}/comm"), &format!("{comm}\n"))
                .file(&format!("{folder}/cmdline"), &arguments.replace(' ', "\0"))
        }
        /// As the checks see it; the folder must be kept.
        pub fn host(&self) -> Host {
            Host::new(self.folder.path(), Answers(self.answers.clone()))
        }
    }

    struct Answers(Vec<(String, Answer)>);

    impl Runner for Answers {
        fn run(&self, program: &str, arguments: &[&str]) -> Answer {
            let asked =
                std::iter::once(program).chain(arguments.iter().copied()).collect::<Vec<_>>().join(" ");
            let known = self.0.iter().find(|(command, _)| asked.starts_with(command));
            known.map_or(Err(Unanswered::Missing), |(_, answer)| answer.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::made_up::World;
    use super::*;

    #[test]
    fn files_are_found_below_the_root() {
        let world = World::new().file("/proc/sys/x", " 12\n").file("/proc/sys/y", "\n").folder("/proc/a");
        let host = world.host();
        assert_eq!(host.number::<u32>("/proc/sys/x"), Some(12));
        assert_eq!((host.word("/proc/sys/y"), host.read("/proc/none")), (None, None));
        assert_eq!(host.names("/proc"), ["a", "sys"]);
        assert!(host.exists("/proc/a") && !host.exists("/etc"));
    }

    #[test]
    fn programs_answer_refuse_or_are_missing() {
        let host = Host::this();
        assert_eq!(host.run("sh", &["-c", "echo yes"]).as_deref(), Ok("yes\n"));
        let refused = host.run("sh", &["-c", "echo no >&2; exit 3"]);
        assert_eq!(refused, Err(Unanswered::Refused("no".to_owned())));
        assert_eq!(host.run("no-such-program-anywhere", &[]), Err(Unanswered::Missing));
    }
}
