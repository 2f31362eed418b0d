//! What else Windows knows of time: sleep, boot, time zone. All of it is optional.

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, FILETIME, SYSTEMTIME};
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RegGetValueW};
use windows_sys::Win32::System::SystemInformation::GetTickCount64;
use windows_sys::Win32::System::Time::{
    FileTimeToSystemTime, SystemTimeToFileTime, SystemTimeToTzSpecificLocalTime,
};
use windows_sys::core::{BOOL, s, w};

use super::adjustment::exported;
use super::{FILETIME_NS, from_filetime, to_filetime};
use crate::time::{Span, Timestamp, Utc};

type QueryTime = unsafe extern "system" fn(*mut u64);
type QueryUnbiased = unsafe extern "system" fn(*mut u64) -> BOOL;

/// Interrupt time with the sleep minus interrupt time without it. Both step by a tick (15.6 ms) and are read one after
/// the other: a tick in between is no sleep that anybody would believe.
pub(super) fn slept() -> Option<Span> {
    let call = exported(s!("QueryUnbiasedInterruptTime"))?;
    // SAFETY: the documented signature.
    let unbiased =
        unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, QueryUnbiased>(call) };
    let with_sleep = with_sleep();
    let mut awake = 0;
    // SAFETY: a valid place for the result.
    if unsafe { unbiased(&raw mut awake) } == 0 {
        return None;
    }
    let slept = i64::try_from(with_sleep).ok()?.saturating_sub(i64::try_from(awake).ok()?);
    Some(Span::from_ns(slept.saturating_mul(FILETIME_NS)))
}

/// Time since the boot, sleep included.
pub(super) fn since_boot() -> Span {
    Span::from_ns(i64::try_from(with_sleep()).unwrap_or(i64::MAX).saturating_mul(FILETIME_NS))
}

/// Time since the boot in 100 ns, sleep included.
fn with_sleep() -> u64 {
    if let Some(call) = exported(s!("QueryInterruptTime")) {
        // SAFETY: the documented signature.
        let query = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, QueryTime>(call) };
        let mut time = 0;
        // SAFETY: a valid place for the result.
        unsafe { query(&raw mut time) };
        return time;
    }
    // SAFETY: it takes nothing and cannot fail.
    let ms = unsafe { GetTickCount64() };
    ms.saturating_mul(10_000)
}

/// Windows counts its boots in the registry. Where it does not (Wine), one boot cannot be told from another.
pub(super) fn boot_id() -> Option<String> {
    const KEY: windows_sys::core::PCWSTR =
        w!("SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Memory Management\\PrefetchParameters");
    let (mut value, mut size) = (0_u32, 4_u32);
    let (kind, place) = (std::ptr::null_mut(), &raw mut value);
    // SAFETY: valid strings, and a place of `size` bytes for a number.
    let error = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            KEY,
            w!("BootId"),
            RRF_RT_REG_DWORD,
            kind,
            place.cast(),
            &raw mut size,
        )
    };
    (error == ERROR_SUCCESS).then(|| format!("boot {value}"))
}

/// Local time minus UTC; zero where that cannot be told.
pub(super) fn local_offset(at: Timestamp<Utc>) -> Span {
    shift(at).unwrap_or(Span::ZERO)
}

fn shift(at: Timestamp<Utc>) -> Option<Span> {
    // Whole seconds: the broken-down time ends at ms.
    let at = Timestamp::<Utc>::from_ns(at.as_ns().div_euclid(1_000_000_000).checked_mul(1_000_000_000)?);
    let filetime = to_filetime(at);
    // SAFETY: a SYSTEMTIME is plain numbers, for which zeros are valid.
    let mut utc: SYSTEMTIME = unsafe { std::mem::zeroed() };
    // SAFETY: both are valid places.
    if unsafe { FileTimeToSystemTime(&raw const filetime, &raw mut utc) } == 0 {
        return None;
    }
    let mut local = utc;
    // SAFETY: no zone means the computer's own; both times are valid places.
    if unsafe { SystemTimeToTzSpecificLocalTime(std::ptr::null(), &raw const utc, &raw mut local) } == 0 {
        return None;
    }
    let mut filetime = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    // SAFETY: both are valid places.
    if unsafe { SystemTimeToFileTime(&raw const local, &raw mut filetime) } == 0 {
        return None;
    }
    Some(from_filetime::<Utc>(filetime) - at)
}
