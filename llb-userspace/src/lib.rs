//! llb lets N copies of any server program share one port, and has the kernel hand each new connection to the copy
//! that will answer soonest.
//!
//! The rooms carry the names of the two journeys' stages. Steering: [`report`], [`estimate`], [`policy`], then
//! [`kernel`] publishes. Lifecycle: [`fleet`] spawns workers, waits until they are ready, joins, drains and buries
//! them. [`engine`] is the one loop around both; [`control`] and [`observe`] show it, [`doctor`] tries what it needs, and
//! [`cli`] is the binary.

pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod doctor;
pub mod engine;
pub mod estimate;
pub mod fleet;
pub mod kernel;
pub mod model;
pub mod observe;
pub mod policy;
pub mod report;
pub mod sys;
