//! The socket filter.
