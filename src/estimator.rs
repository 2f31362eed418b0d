//! Lines on the raw timeline: the leader's, and UTC's.

pub mod filter;
pub mod leader;
pub mod utc;
