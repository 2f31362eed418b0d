//! Rate arithmetic of the operating systems.
