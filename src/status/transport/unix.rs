//! A socket in the file system, which every user of this computer may connect to.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everybody may read the status; to connect is to write, for the kernel.
const SOCKET_MODE: u32 = 0o666;
/// … and get at it.
const FOLDER_MODE: u32 = 0o755;

/// Somebody who asks, or the one who is asked.
#[derive(Debug)]
pub struct Connection(UnixStream);

/// The place to ask.
#[derive(Debug)]
pub struct Listener(UnixListener);

/// The file of the place; it is removed when this is dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// The file's number: what another process has put there since is not removed.
    inode: Option<u64>,
}

/// Opens the place; a socket there that nobody serves any more is replaced.
///
/// # Errors
/// When it is served already, is something else than a socket, or cannot be made.
pub fn open(path: &Path) -> io::Result<(Listener, Claim)> {
    make_folder(path)?;
    remove_stale(path)?;
    let socket = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    let claim = Claim { path: path.to_owned(), inode: inode(path) };
    Ok((Listener(socket), claim))
}

impl Listener {
    /// Waits for the next one who asks; there is always one more, until the program ends.
    ///
    /// # Errors
    /// When the system refuses, as where too many files are open.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        self.0.accept().map(|(stream, _)| Some(Connection(stream)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let inode = inode(&self.path);
        if inode.is_some() && inode == self.inode {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|file| file.ino())
}

fn make_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
    else {
        return Ok(());
    };
    fs::create_dir_all(folder)?;
    // Whatever the umask says.
    fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves it")),
        Err(_) => fs::remove_file(path),
    }
}

/// Asks at `path`.
///
/// # Errors
/// When nobody is there, or asking is not allowed.
pub fn connect(path: &Path) -> io::Result<Connection> {
    UnixStream::connect(path).map(Connection)
}

impl Connection {
    /// One write, and one read, take at most so long.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_time_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.0.set_write_timeout(Some(limit))?;
        self.0.set_read_timeout(Some(limit))
    }
}

impl Read for Connection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/status.sock");
        (folder, path)
    }

    #[test]
    fn everybody_may_ask_and_the_place_is_given_back() {
        let (_folder, path) = place();
        let opened = open(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o666, 0o755));
        assert!(connect(&path).is_ok());
        drop(opened);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_nobody_serves_is_replaced() {
        let (_folder, path) = place();
        fs::create_dir(path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists() && connect(&path).is_err());
        let _listener = open(&path).unwrap();
        assert!(connect(&path).is_ok());
    }

    #[test]
    fn what_is_in_use_or_no_socket_is_left_alone() {
        let (_folder, path) = place();
        let first = open(&path).unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(connect(&path).is_ok());
        drop(first);
        fs::write(&path, "precious").unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn what_another_process_put_there_is_not_removed() {
        let (_folder, path) = place();
        let first = open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = open(&path).unwrap();
        drop(first);
        assert!(connect(&path).is_ok());
        drop(second);
    }
}
