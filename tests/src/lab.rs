//! The lab as a program: real media through a real relay in three namespaces, and what became of it.

pub mod histogram;
pub mod ledger;

pub mod call;
pub mod traffic;
pub mod video;

pub mod video_call;

pub mod canvas;
pub mod interrupt;
pub mod janitor;
pub mod summary;
pub mod table;

pub mod run;
pub mod soak;
