//! A fleet in a program of one's own: what it is to be, the thread that runs it, and why that failed.

mod builder;
mod error;
mod handle;

pub use self::{
    builder::{Fleet, FleetBuilder},
    error::FleetError,
    handle::FleetHandle,
};
