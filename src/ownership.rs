//! Who owns things of Windows, and the rights that new ones get.
#![allow(unsafe_code, reason = "both are told by system calls only")]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1, SE_OBJECT_TYPE,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, EqualSid, GetSecurityDescriptorControl, GetTokenInformation, IsWellKnownSid,
    OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SE_DACL_PROTECTED, TOKEN_QUERY, TOKEN_USER,
    TokenUser, WinBuiltinAdministratorsSid, WinLocalSystemSid,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows_sys::core::PCWSTR;

/// Rights that the system has made, and which are given back to it.
#[derive(Debug)]
pub struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    /// The rights that a text in the language of descriptors (SDDL) means.
    ///
    /// # Errors
    /// When it means none.
    pub fn parse(text: PCWSTR) -> io::Result<Self> {
        let mut made: PSECURITY_DESCRIPTOR = std::ptr::null_mut();
        let no_size = std::ptr::null_mut();
        // SAFETY: a string that ends with a zero, and a place for what is made.
        let parsed = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text,
                SDDL_REVISION_1,
                &raw mut made,
                no_size,
            )
        };
        if parsed != 0 { Ok(Self(made)) } else { Err(io::Error::last_os_error()) }
    }

    /// For as long as `self` lives.
    pub fn as_ptr(&self) -> PSECURITY_DESCRIPTOR {
        self.0
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the system has made it for us, and it is given back once.
        let _ = unsafe { LocalFree(self.0) };
    }
}

/// Who owns something, and whether it inherits rights. The number is part of the descriptor.
#[derive(Debug)]
pub struct Ownership {
    sid: PSID,
    descriptor: Descriptor,
}

impl Ownership {
    /// Of what `handle` is open for, with the right to read its rights (`READ_CONTROL`).
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn of(handle: HANDLE, kind: SE_OBJECT_TYPE) -> io::Result<Self> {
        let (mut sid, mut made): (PSID, PSECURITY_DESCRIPTOR) = (std::ptr::null_mut(), std::ptr::null_mut());
        let none = std::ptr::null_mut();
        // SAFETY: the handle is open, and the two places outlive the call.
        let error = unsafe {
            GetSecurityInfo(
                handle,
                kind,
                OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                &raw mut sid,
                none,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                &raw mut made,
            )
        };
        if error != ERROR_SUCCESS {
            return Err(io::Error::from_raw_os_error(error.cast_signed()));
        }
        Ok(Self { sid, descriptor: Descriptor(made) })
    }

    /// Whether the owner is known, and is whoever runs this program, administrators or the system.
    ///
    /// # Errors
    /// When the system does not tell who runs this program.
    pub fn is_trusted(&self) -> io::Result<bool> {
        if self.sid.is_null() {
            return Ok(false);
        }
        let known = [WinLocalSystemSid, WinBuiltinAdministratorsSid].into_iter().any(|kind| {
            // SAFETY: the owner lives as long as `self`.
            unsafe { IsWellKnownSid(self.sid, kind) != 0 }
        });
        Ok(known || User::of_this_program()?.is(self.sid))
    }

    /// Whether the owner is known, and is somebody else. Wine does not know who owns one end of a pipe.
    ///
    /// # Errors
    /// When the system does not tell who runs this program.
    pub fn is_strangers(&self) -> io::Result<bool> {
        Ok(!self.sid.is_null() && !self.is_trusted()?)
    }

    /// Whether it has rights of its own, and inherits none.
    pub fn is_protected(&self) -> bool {
        let (mut control, mut revision) = (0, 0);
        // SAFETY: a descriptor of the system, and two places that outlive the call.
        let told =
            unsafe { GetSecurityDescriptorControl(self.descriptor.0, &raw mut control, &raw mut revision) };
        told != 0 && control & SE_DACL_PROTECTED != 0
    }
}

/// A user as a token names it: a `TOKEN_USER`, whose pointer leads to the number behind it; so it stays in its place.
struct User(Box<[u64; 16]>);

impl User {
    fn of_this_program() -> io::Result<Self> {
        // SAFETY: it returns a constant.
        let process = unsafe { GetCurrentProcess() };
        let mut token: HANDLE = std::ptr::null_mut();
        // SAFETY: `token` is a valid place for the result.
        if unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was just made, and nobody else owns it.
        let token = unsafe { OwnedHandle::from_raw_handle(token) };
        let (mut user, mut length) = (Self(Box::new([0; 16])), 0);
        let (place, size) = (user.0.as_mut_ptr().cast(), u32::try_from(size_of::<[u64; 16]>()).unwrap_or(0));
        // SAFETY: the place has the size that is given, and outlives the call.
        let told =
            unsafe { GetTokenInformation(token.as_raw_handle(), TokenUser, place, size, &raw mut length) };
        if told == 0 { Err(io::Error::last_os_error()) } else { Ok(user) }
    }

    fn is(&self, sid: PSID) -> bool {
        // SAFETY: the system has written a TOKEN_USER there, which is aligned like a pointer.
        let own = unsafe { self.0.as_ptr().cast::<TOKEN_USER>().read() }.User.Sid;
        // SAFETY: both are numbers of users that live as long as the call.
        unsafe { EqualSid(sid, own) != 0 }
    }
}
