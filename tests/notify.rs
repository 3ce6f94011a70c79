//! tmp
mod harness;
