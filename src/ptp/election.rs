//! Best-master election.
