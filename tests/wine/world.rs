//! A follower's namespace with a Windows of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::namespaces::Namespaces;

/// Where the service tells its status.
pub const PIPE: &str = r"\\.\pipe\dantetimesync";
/// A program that only watches tells it there too, if it is told so.
pub const TOLD_AT_PIPE: [&str; 2] = ["--status-socket", PIPE];

/// Wine's sockets are where its server was started, so every world has a server, and a prefix for it that is thrown away.
pub struct World {
    pub namespaces: Namespaces,
    pub exe: PathBuf,
    prefix: tempfile::TempDir,
}

impl World {
    /// `None`, and why, where these tests cannot run.
    pub fn create(test: &str) -> Option<Self> {
        let Some(exe) = env::var_os("DANTETIMESYNC_EXE") else {
            eprintln!("{test}: skipped, DANTETIMESYNC_EXE names no program for Windows");
            return None;
        };
        let id = Command::new("id").arg("-u").output().map(|output| output.stdout).unwrap_or_default();
        if id != b"0\n" {
            eprintln!("{test}: skipped, network namespaces need root");
            return None;
        }
        let ours = env::var_os("WINEPREFIX").expect("WINEPREFIX: source ci/cargo-windows.sh");
        let ours = PathBuf::from(ours);
        let prefix = tempfile::tempdir_in(ours.parent().unwrap()).unwrap();
        // The files are shared; the registry is not, since every server writes its own, nor is our folder, whose lock
        // would tell of the other worlds.
        let (from, to) = (ours.display(), prefix.path().display());
        let copy = format!(
            "cp -al {from}/. {to}/ && rm -rf {to}/*.reg {to}/.stamp {to}/drive_c/ProgramData/dantetimesync && cp \
             {from}/*.reg {to}/"
        );
        assert!(Command::new("sh").args(["-c", &copy]).status().unwrap().success(), "{copy}");
        Some(Self { namespaces: Namespaces::create(), exe: exe.into(), prefix })
    }

    /// One of Windows' own programs, or ours.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/wine-run");
        let mut command = self.linux_command(run.to_str().unwrap());
        command.arg(program).args(arguments);
        command
    }

    /// A program of this computer that works on the same Windows.
    pub fn linux_command(&self, program: &str) -> Command {
        let mut command = Namespaces::command_in(&self.namespaces.follower, program);
        command.env("WINEPREFIX", self.prefix.path());
        command
    }

    /// A folder on the drive of its Windows.
    pub fn install(&self, folder: &str) {
        std::fs::create_dir_all(self.prefix.path().join("drive_c").join(folder)).unwrap();
    }

    /// Ends all of its programs.
    pub fn end(&self) {
        let mut server = Command::new("wineserver-stable");
        server.env("WINEPREFIX", self.prefix.path());
        let _ = server.arg("-k").output();
        let _ = server.arg("-w").output();
    }
}

/// A file of this Linux as Windows' own programs know it.
pub fn windows_path(file: &Path) -> String {
    format!("Z:{}", file.display()).replace('/', "\\")
}

impl Drop for World {
    fn drop(&mut self) {
        self.end();
    }
}
