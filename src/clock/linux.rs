//! The kernel clock of Linux.
