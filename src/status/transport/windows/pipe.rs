//! The ends of named pipes. Whoever waits for one does so for a limited time, or until told to stop.
#![allow(unsafe_code, reason = "pipes, and the rights to them, are reached by system calls only")]

use std::fs::OpenOptions;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_IO_PENDING, ERROR_NO_DATA, ERROR_OPERATION_ABORTED, ERROR_PIPE_BUSY,
    ERROR_PIPE_CONNECTED, ERROR_PIPE_NOT_CONNECTED, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Security::Authorization::SE_KERNEL_OBJECT;
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_FLAGS_AND_ATTRIBUTES, PIPE_ACCESS_OUTBOUND,
    ReadFile, SECURITY_ANONYMOUS, WriteFile,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, GetNamedPipeServerProcessId, PIPE_READMODE_BYTE,
    PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT, WaitNamedPipeW,
};
use windows_sys::core::{BOOL, PCWSTR, w};

use crate::net::windows::event::{self, Event};
use crate::ownership::{Descriptor, Owner};
use crate::time::Span;

/// The names of pipes of this computer begin so.
const PREFIX: &str = r"\\.\pipe\";

/// So much the system takes without waiting for the one who asks; a status with 32 leaders is half as long.
const BUFFER: u32 = 64 * 1024;

/// The system, administrators and whoever has made it may do everything, which includes making another end of it;
/// everybody may read. Nothing is inherited.
const RIGHTS: PCWSTR = w!("D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;S-1-3-4)(A;;GR;;;WD)");

/// The name of a pipe.
#[derive(Debug)]
pub struct Name {
    path: PathBuf,
    /// With a zero at its end.
    wide: Vec<u16>,
}

impl Name {
    /// # Errors
    /// When it is none of a pipe of this computer.
    pub fn of(path: &Path) -> io::Result<Self> {
        let text = path.to_string_lossy();
        let head = text.get(..PREFIX.len()).unwrap_or_default();
        if !head.eq_ignore_ascii_case(PREFIX) || text.len() == PREFIX.len() || text.contains('\0') {
            let problem =
                format!("it must be the name of a pipe of this computer, like {PREFIX}dantetimesync");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let wide = path.as_os_str().encode_wide().chain([0]).collect();
        Ok(Self { path: path.to_owned(), wide })
    }
}

/// One end of a pipe.
#[derive(Debug)]
pub struct Pipe {
    handle: OwnedHandle,
    /// Set when what was begun has ended.
    done: Event,
}

impl Pipe {
    /// The serving end of a name that nobody has.
    ///
    /// # Errors
    /// `PermissionDenied` where somebody has it.
    pub fn create_first(name: &Name) -> io::Result<Self> {
        Self::create(name, FILE_FLAG_FIRST_PIPE_INSTANCE)
    }

    /// Another serving end, for another one who asks.
    ///
    /// # Errors
    /// When that is not allowed, or memory is short.
    pub fn create_another(name: &Name) -> io::Result<Self> {
        Self::create(name, 0)
    }

    fn create(name: &Name, first: FILE_FLAGS_AND_ATTRIBUTES) -> io::Result<Self> {
        let done = Event::lasting()?;
        let rights = Descriptor::parse(RIGHTS)?;
        let attributes = SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
            lpSecurityDescriptor: rights.as_ptr(),
            bInheritHandle: 0,
        };
        // SAFETY: the name ends with a zero; it, the attributes and the rights outlive the call.
        let handle = unsafe {
            CreateNamedPipeW(
                name.wide.as_ptr(),
                // It only goes out: there is nothing that could be read from whoever asks.
                PIPE_ACCESS_OUTBOUND | FILE_FLAG_OVERLAPPED | first,
                PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                PIPE_UNLIMITED_INSTANCES,
                BUFFER,
                0,
                0,
                &raw const attributes,
            )
        };
        if handle == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was just made, and nobody else owns it.
        Ok(Self { handle: unsafe { OwnedHandle::from_raw_handle(handle) }, done })
    }

    /// The asking end. The server learns nothing of who asks, and cannot act in the asker's name.
    ///
    /// # Errors
    /// When there is no such pipe, it is busy ([`is_busy`]), or may not be read.
    pub fn connect(name: &Name) -> io::Result<Self> {
        let done = Event::lasting()?;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(FILE_FLAG_OVERLAPPED).security_qos_flags(SECURITY_ANONYMOUS);
        Ok(Self { handle: options.open(&name.path)?.into(), done })
    }

    /// Waits until somebody asks, or until `stop`, however long that takes.
    ///
    /// # Errors
    /// When it is stopped, the one who asked has gone again ([`is_gone`]), or the system refuses.
    pub fn wait_for_client(&self, stop: &Event) -> io::Result<()> {
        let wait = |done: &Event| event::first_of([done, stop]).map(drop);
        // SAFETY: the handle is an open pipe's; `run` keeps the other one until the system has done with it.
        let came = self.run(wait, |handle, overlapped| unsafe { ConnectNamedPipe(handle, overlapped) });
        match came {
            Err(error) if is(&error, &[ERROR_PIPE_CONNECTED]) => Ok(()),
            came => came.map(drop),
        }
    }

    /// Reads what is there, or waits for it for `limit` at most.
    ///
    /// # Errors
    /// `TimedOut`; [`is_gone`] after the last byte; or the system refuses.
    pub fn read(&self, bytes: &mut [u8], limit: Duration) -> io::Result<usize> {
        let (start, length) = (bytes.as_mut_ptr(), length_of(bytes));
        let read = |handle, overlapped| {
            // SAFETY: so many bytes may be written there, by this call or until `run` returns.
            unsafe { ReadFile(handle, start, length, std::ptr::null_mut(), overlapped) }
        };
        self.run(within(limit), read)
    }

    /// Writes, and waits for `limit` at most where the other end has to read first.
    ///
    /// # Errors
    /// `TimedOut`; [`is_gone`] where nobody reads any more; or the system refuses.
    pub fn write(&self, bytes: &[u8], limit: Duration) -> io::Result<usize> {
        let (start, length) = (bytes.as_ptr(), length_of(bytes));
        let write = |handle, overlapped| {
            // SAFETY: so many bytes may be read there, by this call or until `run` returns.
            unsafe { WriteFile(handle, start, length, std::ptr::null_mut(), overlapped) }
        };
        self.run(within(limit), write)
    }

    /// The process that serves the other end, where the system tells.
    pub fn server(&self) -> Option<u32> {
        let mut pid = 0;
        // SAFETY: the handle is an open pipe's, and the number outlives the call.
        let told = unsafe { GetNamedPipeServerProcessId(self.handle.as_raw_handle(), &raw mut pid) };
        (told != 0 && pid != 0).then_some(pid)
    }

    /// Who owns the name: the owner of the first end says who may make others.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn owner(&self) -> io::Result<Owner> {
        Owner::of(self.handle.as_raw_handle(), SE_KERNEL_OBJECT)
    }

    /// Begins something, waits, and gives up on it when it has not ended then. Returns only when the system uses
    /// nothing of it any more; how many bytes went.
    fn run(
        &self,
        wait: impl FnOnce(&Event) -> io::Result<()>,
        begin: impl FnOnce(HANDLE, *mut OVERLAPPED) -> BOOL,
    ) -> io::Result<usize> {
        let handle = self.handle.as_raw_handle();
        let mut overlapped = OVERLAPPED { hEvent: self.done.handle(), ..OVERLAPPED::default() };
        if begin(handle, &raw mut overlapped) == 0 {
            let error = io::Error::last_os_error();
            if !is(&error, &[ERROR_IO_PENDING]) {
                return Err(error);
            }
            let waited = wait(&self.done);
            if waited.is_err() || !event::is_set(self.done.number()) {
                // SAFETY: both are what was begun with. It may have ended meanwhile, and is then left as it is.
                let _ = unsafe { CancelIoEx(handle, &raw const overlapped) };
            }
        }
        let mut length = 0;
        // SAFETY: as above; it returns when the system has let go of it.
        if unsafe { GetOverlappedResult(handle, &raw const overlapped, &raw mut length, 1) } == 0 {
            let error = io::Error::last_os_error();
            let given_up = is(&error, &[ERROR_OPERATION_ABORTED]);
            return Err(if given_up { io::ErrorKind::TimedOut.into() } else { error });
        }
        usize::try_from(length).map_err(io::Error::other)
    }
}

fn within(limit: Duration) -> impl FnOnce(&Event) -> io::Result<()> {
    let limit = Span::from_ms(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    move |done| event::wait([done.number()].into_iter(), limit)
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn is(error: &io::Error, codes: &[u32]) -> bool {
    error.raw_os_error().is_some_and(|code| codes.contains(&code.cast_unsigned()))
}

/// Whether there is such a pipe, and nobody at its other end listens at the moment.
pub fn is_busy(error: &io::Error) -> bool {
    is(error, &[ERROR_PIPE_BUSY])
}

/// Whether the other end was closed.
pub fn is_gone(error: &io::Error) -> bool {
    is(error, &[ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED])
}

/// Waits for a pipe that [`is_busy`]. Somebody else may be faster then.
///
/// # Errors
/// `TimedOut`, or the pipe is gone.
pub fn wait_listening(name: &Name, limit: Duration) -> io::Result<()> {
    let ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1);
    // SAFETY: the name ends with a zero and outlives the call.
    let listening = unsafe { WaitNamedPipeW(name.wide.as_ptr(), ms) } != 0;
    if listening { Ok(()) } else { Err(io::Error::last_os_error()) }
}
