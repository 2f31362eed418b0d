//! Who owns things of Windows, and the rights that new ones get.
#![allow(unsafe_code, reason = "both are told by system calls only")]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1, SE_KERNEL_OBJECT,
    SE_OBJECT_TYPE,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, EqualSid, GetSecurityDescriptorControl, GetTokenInformation, IsWellKnownSid,
    OBJECT_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SE_DACL_PROTECTED,
    TOKEN_QUERY, TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid, WinLocalSystemSid,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows_sys::core::PCWSTR;

use crate::net::windows::event::Event;

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

/// Who owns something. The number is part of the descriptor.
#[derive(Debug)]
pub struct Owner {
    sid: PSID,
    _descriptor: Descriptor,
}

impl Owner {
    /// Of what `handle` is open for, with the right to read its rights (`READ_CONTROL`).
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn of(handle: HANDLE, kind: SE_OBJECT_TYPE) -> io::Result<Self> {
        let (sid, descriptor) = describe(handle, kind, OWNER_SECURITY_INFORMATION)?;
        Ok(Self { sid, _descriptor: descriptor })
    }

    /// Whether it is the system, or administrators together.
    pub fn is_administrators(&self) -> bool {
        [WinLocalSystemSid, WinBuiltinAdministratorsSid].into_iter().any(|kind| {
            // SAFETY: the owner lives as long as `self`, and one that is not known is refused.
            !self.sid.is_null() && unsafe { IsWellKnownSid(self.sid, kind) != 0 }
        })
    }

    /// Whether it is one of these, or whoever runs this program.
    ///
    /// # Errors
    /// When the system does not tell who that is.
    pub fn is_trusted(&self) -> io::Result<bool> {
        if self.sid.is_null() || self.is_administrators() || User::of_this_program()?.is(self.sid) {
            return Ok(!self.sid.is_null());
        }
        // What this program makes may belong to another of its numbers than the user's.
        let made = Event::lasting()?;
        let own = Self::of(made.handle(), SE_KERNEL_OBJECT)?;
        // SAFETY: both live as long as their descriptors.
        Ok(!own.sid.is_null() && unsafe { EqualSid(self.sid, own.sid) } != 0)
    }
}

/// Whether what `handle` is open for has rights of its own, and inherits none.
///
/// # Errors
/// When the system does not tell.
pub fn is_protected(handle: HANDLE, kind: SE_OBJECT_TYPE) -> io::Result<bool> {
    let (_, descriptor) = describe(handle, kind, DACL_SECURITY_INFORMATION)?;
    let (mut control, mut revision) = (0, 0);
    // SAFETY: a descriptor of the system, and two places that outlive the call.
    let told = unsafe { GetSecurityDescriptorControl(descriptor.0, &raw mut control, &raw mut revision) };
    Ok(told != 0 && control & SE_DACL_PROTECTED != 0)
}

fn describe(
    handle: HANDLE,
    kind: SE_OBJECT_TYPE,
    what: OBJECT_SECURITY_INFORMATION,
) -> io::Result<(PSID, Descriptor)> {
    let (mut owner, mut made): (PSID, PSECURITY_DESCRIPTOR) = (std::ptr::null_mut(), std::ptr::null_mut());
    let none = std::ptr::null_mut();
    // SAFETY: the handle is open, and the two places outlive the call.
    let error = unsafe {
        GetSecurityInfo(
            handle,
            kind,
            what,
            &raw mut owner,
            none,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw mut made,
        )
    };
    let descriptor = Descriptor(made);
    if error == ERROR_SUCCESS {
        Ok((owner, descriptor))
    } else {
        Err(io::Error::from_raw_os_error(error.cast_signed()))
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
