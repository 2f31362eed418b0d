//! `dantetimesync service`: puts the program into the operating system's hands, and takes it out again.

#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(windows)]
pub mod windows;
