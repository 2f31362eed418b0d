//! Events of Windows: what threads wait for.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::sync::LazyLock;
use std::time::Duration;

use windows_sys::Win32::Foundation::{HANDLE, WAIT_FAILED, WAIT_OBJECT_0};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, ResetEvent, SetEvent, WaitForMultipleObjects, WaitForSingleObject,
};

use crate::time::Span;

/// Windows waits for no more at once (MAXIMUM_WAIT_OBJECTS).
const WAIT_MAX: usize = 64;

/// Something that is set or not.
#[derive(Debug)]
pub struct Event(OwnedHandle);

impl Event {
    /// An event that is set until it is reset.
    pub fn lasting() -> io::Result<Self> {
        Self::new(true)
    }

    /// An event that is reset by the wait that it ends.
    pub fn passing() -> io::Result<Self> {
        Self::new(false)
    }

    fn new(manual: bool) -> io::Result<Self> {
        // SAFETY: no attributes and no name are asked for; the rest are integers.
        let handle = unsafe { CreateEventW(std::ptr::null(), manual.into(), 0, std::ptr::null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was just made, and nobody else owns it.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    /// The event's handle.
    pub fn handle(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    /// The handle as a number: Windows keeps all that is in one within 32 bits.
    pub fn number(&self) -> i32 {
        i32::try_from(self.handle().addr()).unwrap_or(NO_EVENT)
    }

    /// Sets it.
    pub fn set(&self) {
        // SAFETY: the handle is an open event's for as long as `self` lives.
        let _ = unsafe { SetEvent(self.handle()) };
    }

    /// Resets it.
    pub fn reset(&self) {
        // SAFETY: as above.
        let _ = unsafe { ResetEvent(self.handle()) };
    }
}

/// Ends a wait for the network before its time.
static WAKE: LazyLock<Option<Event>> = LazyLock::new(|| Event::passing().ok());

/// Ends the wait for the network that goes on, or else the next one.
pub(crate) fn wake() {
    if let Some(event) = WAKE.as_ref() {
        event.set();
    }
}

/// The number of the event by which [`wake`] does that; the wait that it ends resets it.
pub(super) fn wake_number() -> Option<i32> {
    WAKE.as_ref().map(Event::number)
}

/// The number of no event.
const NO_EVENT: i32 = -1;

fn handle(number: i32) -> HANDLE {
    std::ptr::without_provenance_mut(usize::try_from(number).unwrap_or_default())
}

/// Waits until one of two events is set, for as long as it takes; true if it was the first one.
pub fn first_of(events: [&Event; 2]) -> io::Result<bool> {
    let handles = events.map(Event::handle);
    // SAFETY: both handles are open, and the array outlives the call.
    match unsafe { WaitForMultipleObjects(2, handles.as_ptr(), 0, INFINITE) } {
        WAIT_FAILED => Err(io::Error::last_os_error()),
        ended => Ok(ended == WAIT_OBJECT_0),
    }
}

/// Waits until one of the events with these numbers is set, or the time has passed; it is rounded up to ms and is at
/// least 1 ms. Events beyond the 64th do not end the wait.
pub fn wait(numbers: impl Iterator<Item = i32>, timeout: Span) -> io::Result<()> {
    let ms = timeout.as_ns().saturating_add(999_999).div_euclid(1_000_000).max(1);
    let ms = u32::try_from(ms).unwrap_or(INFINITE - 1);
    let mut handles = [std::ptr::null_mut(); WAIT_MAX];
    let mut count = 0_u32;
    for (to, number) in handles.iter_mut().zip(numbers) {
        *to = handle(number);
        count = count.saturating_add(1);
    }
    if count == 0 {
        #[allow(clippy::disallowed_methods, reason = "there is nothing to wait for but time")]
        std::thread::sleep(Duration::from_millis(ms.into()));
        return Ok(());
    }
    // SAFETY: the array outlives the call and has at least `count` entries; a number that is no open handle is refused.
    match unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, ms) } {
        WAIT_FAILED => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Whether the event with this number is set.
pub fn is_set(number: i32) -> bool {
    // SAFETY: a number that is no open handle is refused.
    let waited = unsafe { WaitForSingleObject(handle(number), 0) };
    waited == WAIT_OBJECT_0
}
