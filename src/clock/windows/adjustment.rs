//! The two calls by which Windows is told how fast its clock shall run, found at run time: a program that imports the
//! precise one does not start where it is missing.

use std::fmt;

use windows_sys::Win32::Foundation::FARPROC;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::SystemInformation::{GetSystemTimeAdjustment, SetSystemTimeAdjustment};
use windows_sys::core::{BOOL, PCSTR, PCWSTR, s, w};

use super::last_error;
use crate::clock::ClockError;

type GetPrecise = unsafe extern "system" fn(*mut u64, *mut u64, *mut BOOL) -> BOOL;
type SetPrecise = unsafe extern "system" fn(u64, BOOL) -> BOOL;

const GET: &str = "read the clock's rate";
const SET: &str = "set the clock's rate";

/// How this system is told.
#[derive(Clone, Copy)]
pub(super) enum Call {
    /// By a frequency; since Windows 10 and Server 2016.
    Precise(GetPrecise, SetPrecise),
    /// By 100 ns in every tick.
    Legacy,
}

/// What the system says of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Now {
    pub(super) adjustment: u64,
    pub(super) nominal: u64,
    pub(super) disabled: bool,
}

impl Now {
    /// The adjustment that the clock runs at.
    pub(super) fn effective(self) -> u64 {
        if self.disabled { self.nominal } else { self.adjustment }
    }
}

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = if self.disabled { "disabled" } else { "enabled" };
        write!(f, "{} of {} units, {on}", self.adjustment, self.nominal)
    }
}

impl Call {
    /// The precise one where it is there and answers.
    pub(super) fn find() -> Self {
        Self::precise().filter(|call| call.get().is_ok()).unwrap_or(Self::Legacy)
    }

    fn precise() -> Option<Self> {
        let get = exported(s!("GetSystemTimeAdjustmentPrecise"))?;
        let set = exported(s!("SetSystemTimeAdjustmentPrecise"))?;
        // SAFETY: the signature of GetSystemTimeAdjustmentPrecise, as documented in sysinfoapi.h.
        let get = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, GetPrecise>(get) };
        // SAFETY: the signature of SetSystemTimeAdjustmentPrecise, as documented in sysinfoapi.h.
        let set = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, SetPrecise>(set) };
        Some(Self::Precise(get, set))
    }

    pub(super) const fn is_precise(self) -> bool {
        matches!(self, Self::Precise(..))
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Precise(..) => "SetSystemTimeAdjustmentPrecise",
            Self::Legacy => "SetSystemTimeAdjustment",
        }
    }

    pub(super) fn get(self) -> Result<Now, ClockError> {
        let mut disabled = 0;
        let (done, adjustment, nominal) = match self {
            Self::Precise(get, _) => {
                let (mut adjustment, mut nominal) = (0, 0);
                // SAFETY: three valid places for the results.
                let done = unsafe { get(&raw mut adjustment, &raw mut nominal, &raw mut disabled) };
                (done, adjustment, nominal)
            }
            Self::Legacy => {
                let (mut adjustment, mut nominal) = (0, 0);
                let places = (&raw mut adjustment, &raw mut nominal, &raw mut disabled);
                // SAFETY: three valid places for the results.
                let done = unsafe { GetSystemTimeAdjustment(places.0, places.1, places.2) };
                (done, u64::from(adjustment), u64::from(nominal))
            }
        };
        if done == 0 {
            Err(last_error(GET))
        } else {
            Ok(Now { adjustment, nominal, disabled: disabled != 0 })
        }
    }

    pub(super) fn set(self, adjustment: u64, disabled: bool) -> Result<(), ClockError> {
        let done = match self {
            // SAFETY: a call with plain numbers.
            Self::Precise(_, set) => unsafe { set(adjustment, BOOL::from(disabled)) },
            Self::Legacy => {
                let adjustment = u32::try_from(adjustment).map_err(|_| ClockError::Os {
                    action: SET,
                    reason: format!("{adjustment} units are more than the call takes"),
                })?;
                // SAFETY: a call with plain numbers.
                unsafe { SetSystemTimeAdjustment(adjustment, BOOL::from(disabled)) }
            }
        };
        if done == 0 { Err(last_error(SET)) } else { Ok(()) }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A function of the system's own libraries, which are loaded in every process.
pub(super) fn exported(name: PCSTR) -> FARPROC {
    const LIBRARIES: [PCWSTR; 2] = [w!("kernelbase.dll"), w!("kernel32.dll")];
    LIBRARIES.into_iter().find_map(|library| {
        // SAFETY: a valid string; the handle is not owned.
        let module = unsafe { GetModuleHandleW(library) };
        if module.is_null() {
            return None;
        }
        // SAFETY: a module that stays loaded and a valid string.
        unsafe { GetProcAddress(module, name) }
    })
}

/// Whether the lowest library of all exports a function: Wine's has some of its own.
#[cfg(test)]
pub(super) fn exported_by_ntdll(name: PCSTR) -> bool {
    // SAFETY: a valid string; the handle is not owned.
    let module = unsafe { GetModuleHandleW(w!("ntdll.dll")) };
    // SAFETY: a module that stays loaded and a valid string.
    unsafe { GetProcAddress(module, name) }.is_some()
}
