//! Pairing, and which leader is followed.
