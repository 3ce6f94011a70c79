//! llb lets N copies of any server program share one port, and has the kernel hand each new connection to the copy
//! that will answer soonest.
//!
//! The rooms carry the names of the two journeys' stages. Steering: [`report`], [`estimate`], [`policy`], then
//! [`kernel`] publishes. Lifecycle: [`fleet`] spawns workers, waits until they are ready, joins, drains and buries
//! them. [`engine`] is the one loop around both; [`control`] and [`observe`] show it, [`doctor`] tries what it needs, and
//! [`cli`] is the binary.
//!
//! From reports to the least-latency seat, without a kernel:
//!
//! ```
//! use llb::{
//!     estimate::Estimate,
//!     model::{Instant, Seat},
//!     policy::{View, table},
//! };
//!
//! let now = Instant(1_000_000_000);
//! let view = |seat, latency_ns| {
//!     let mut estimate = Estimate::default();
//!     for _ in 0..10 {
//!         estimate.observe(now, latency_ns);
//!     }
//!     View {
//!         seat: Seat(seat),
//!         estimate_ns: estimate.get_at(now, None),
//!         at_least_ns: 0,
//!         kernel_ns: None,
//!         in_flight: 0,
//!         progress_at: now,
//!         joined: true,
//!     }
//! };
//! let table = table(&[view(0, 20_000_000), view(1, 2_000_000)], now, 0);
//! assert_eq!(table.least, Some(Seat(1)));
//! ```

pub mod balancer;
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
pub mod updater;
