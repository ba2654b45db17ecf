//! The machine in a network of virtual time: a table of what happens and what it says, and what holds whatever happens.

mod invariants;
mod names;
mod table;
mod world;
