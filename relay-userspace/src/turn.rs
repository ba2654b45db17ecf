//! The TURN server as a state machine: bytes and `Now` in, commands out. No socket, clock, randomness or task in here.
