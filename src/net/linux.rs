//! Linux sockets.
