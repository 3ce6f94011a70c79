//! What the outside sees of a fleet: [`status`] and [`event`]. [`crate::control`] asks for them.

pub(crate) mod age;
pub mod event;
pub(crate) mod journald;
mod json;
pub(crate) mod log;
pub mod status;
pub(crate) mod stderr;
pub(crate) mod writer;
