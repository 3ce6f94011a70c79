//! llb lets N copies of any server program share one port, and has the kernel hand each new connection to the copy
//! that will answer soonest.
//!
//! The rooms carry the names of the two journeys' stages. Steering: [`report`], [`estimate`], [`policy`], then
//! [`kernel`] publishes. Lifecycle: [`fleet`] spawns workers, waits until they are ready, joins, drains and buries
//! them. [`engine`] is the one loop around both; [`control`] and [`observe`] show it, [`doctor`] tries what it needs, and
//! [`cli`] is the binary. [`worker`] is for the other side: what a worker uses that is written in Rust. It needs none of the
//! rest, so a worker takes llb with `default-features = false, features = ["worker"]`.
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

#[cfg(feature = "master")]
pub mod balancer;
#[cfg(feature = "master")]
#[doc(hidden)] // For the binary, which is this module's `main` and nothing else.
pub mod cli;
#[cfg(feature = "master")]
pub mod config;
#[cfg(feature = "master")]
pub mod control;
#[cfg(feature = "master")]
mod demo;
#[cfg(feature = "master")]
mod doctor;
#[cfg(feature = "master")]
pub mod engine;
#[cfg(feature = "master")]
pub mod estimate;
#[cfg(feature = "master")]
#[expect(unreachable_pub, reason = "`pub` says what this room shows to the others")]
mod fleet;
#[cfg(feature = "master")]
#[doc(hidden)] // For the integration tests, which look at processes, sockets and cgroups as llb does.
pub mod internals {
    pub use crate::{
        fleet::{FleetCgroup, clear_leftover, find, fleet_path},
        sys::{bpffs, clock, mmap, mounts, pidfd, procfs, socket},
    };
}
#[cfg(feature = "master")]
pub mod kernel;
#[cfg(feature = "master")]
pub mod model;
#[cfg(feature = "master")]
pub mod observe;
#[cfg(feature = "master")]
pub mod policy;
#[cfg(feature = "master")]
pub mod report;
#[cfg(any(feature = "master", feature = "worker"))]
#[expect(unreachable_pub, reason = "`pub` says what this room shows to the others")]
mod sys;
#[cfg(feature = "master")]
pub mod updater;
#[cfg(feature = "worker")]
pub mod worker;

#[cfg(feature = "master")]
pub use sys::clock::now;
