//! Who owns things of Windows, and the rights that new ones get.
#![allow(unsafe_code, reason = "both are told by system calls only")]

use std::io;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1, SE_KERNEL_OBJECT,
    SE_OBJECT_TYPE,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, EqualSid, GetSecurityDescriptorControl, IsWellKnownSid,
    OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SE_DACL_PROTECTED, WinBuiltinAdministratorsSid,
    WinLocalSystemSid,
};
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
        let descriptor = Descriptor(made);
        if sid.is_null() {
            return Err(io::Error::other("it has no owner"));
        }
        Ok(Self { sid, descriptor })
    }

    /// Whether the owner is whoever runs this program, administrators or the system.
    ///
    /// # Errors
    /// When the system does not tell who runs this program.
    pub fn is_trusted(&self) -> io::Result<bool> {
        // What this program makes belongs to whoever runs it.
        let made = Event::lasting()?;
        let own = Self::of(made.handle(), SE_KERNEL_OBJECT)?;
        let known = [WinLocalSystemSid, WinBuiltinAdministratorsSid].into_iter().any(|kind| {
            // SAFETY: the owner lives as long as `self`.
            unsafe { IsWellKnownSid(self.sid, kind) != 0 }
        });
        // SAFETY: both live as long as their descriptors.
        Ok(known || unsafe { EqualSid(self.sid, own.sid) } != 0)
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
