//! Offsets and constants of the headers the data path reads.
