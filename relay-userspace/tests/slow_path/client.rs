//! A small TURN client.
