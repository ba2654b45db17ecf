//! The lab: engines, packets and namespaces that the tests and benches share.

pub mod packet;
pub mod privileged;

pub mod cases;
pub mod engine;
pub mod kernel;
pub mod random;
pub mod witness;

pub mod client;
pub mod eventually;
pub mod home;
pub mod link;
pub mod mobile;
pub mod netns;
pub mod relay;
pub mod residue;
pub mod rough;
pub mod scene;
pub mod scratch;
pub mod signaling;
pub mod socket_option;
pub mod token;
pub mod topology;
pub mod trust;
pub mod wire;

pub mod fuzz;

pub mod interop;

pub mod bench;
pub mod lab;
