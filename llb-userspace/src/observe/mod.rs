//! What the outside sees of a fleet.

pub mod event;
pub(crate) mod log;
pub mod status;
pub(crate) mod stderr;
