//! NTP decisions.
