//! The right to set the clock.

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_NOT_ALL_ASSIGNED, GetLastError, HANDLE, LUID, SetLastError,
};
use windows_sys::Win32::Security::{
    AdjustTokenPrivileges, GetTokenInformation, LUID_AND_ATTRIBUTES, LookupPrivilegeValueW,
    SE_PRIVILEGE_ENABLED, SE_SYSTEMTIME_NAME, TOKEN_ADJUST_PRIVILEGES, TOKEN_ELEVATION, TOKEN_PRIVILEGES,
    TOKEN_QUERY, TokenElevation,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::last_error;
use crate::clock::ClockError;

/// Enables SeSystemtimePrivilege, which administrators and services hold, but disabled.
pub(super) fn enable(action: &'static str) -> Result<(), ClockError> {
    // SAFETY: it returns a constant.
    let process = unsafe { GetCurrentProcess() };
    let mut token: HANDLE = std::ptr::null_mut();
    // SAFETY: `token` is a valid place for the result.
    if unsafe { OpenProcessToken(process, TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(last_error(action));
    }
    let enabled = enable_in(token, action);
    // SAFETY: the handle was opened above and is used no more.
    let _ = unsafe { CloseHandle(token) };
    enabled
}

/// Whether this process runs with the rights of an administrator; without them where the system does not tell.
pub(super) fn elevated() -> bool {
    // SAFETY: it returns a constant.
    let process = unsafe { GetCurrentProcess() };
    let mut token: HANDLE = std::ptr::null_mut();
    // SAFETY: `token` is a valid place for the result.
    if unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) } == 0 {
        return false;
    }
    let mut elevation = TOKEN_ELEVATION { TokenIsElevated: 0 };
    let mut length = 0;
    let size = u32::try_from(size_of::<TOKEN_ELEVATION>()).unwrap_or(0);
    let place = (&raw mut elevation).cast();
    // SAFETY: the place has the size that is given, and outlives the call.
    let told = unsafe { GetTokenInformation(token, TokenElevation, place, size, &raw mut length) };
    // SAFETY: the handle was opened above and is used no more.
    let _ = unsafe { CloseHandle(token) };
    told != 0 && elevation.TokenIsElevated != 0
}

fn enable_in(token: HANDLE, action: &'static str) -> Result<(), ClockError> {
    let mut id = LUID { LowPart: 0, HighPart: 0 };
    // SAFETY: a valid string and a valid place for the result.
    if unsafe { LookupPrivilegeValueW(std::ptr::null(), SE_SYSTEMTIME_NAME, &raw mut id) } == 0 {
        return Err(last_error(action));
    }
    let wanted = TOKEN_PRIVILEGES {
        PrivilegeCount: 1,
        Privileges: [LUID_AND_ATTRIBUTES { Luid: id, Attributes: SE_PRIVILEGE_ENABLED }],
    };
    let none = std::ptr::null_mut();
    // SAFETY: it sets a number of this thread.
    unsafe { SetLastError(0) };
    // SAFETY: `wanted` is valid, and what was before is not asked for.
    let done = unsafe { AdjustTokenPrivileges(token, 0, &raw const wanted, 0, none, none.cast()) };
    // SAFETY: it reads a number of this thread.
    let error = unsafe { GetLastError() };
    // It says that it has succeeded also where the token does not hold the privilege, and only the error tells.
    match (done, error) {
        (_, ERROR_NOT_ALL_ASSIGNED) => Err(ClockError::NotPermitted { action }),
        (0, _) => Err(last_error(action)),
        _ => Ok(()),
    }
}
