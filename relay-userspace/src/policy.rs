//! (arrives with its concept)
