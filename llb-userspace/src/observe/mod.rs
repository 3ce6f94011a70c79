//! What the outside sees of a fleet.

pub mod event;
pub mod log;
pub mod status;
pub mod stderr;
