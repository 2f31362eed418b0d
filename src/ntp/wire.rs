//! NTP bytes.
