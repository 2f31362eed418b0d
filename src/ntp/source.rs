//! NTP sockets.
