//! llb runs N copies of any TCP server on one port, and has the Linux kernel hand each new connection to the copy that will
//! answer soonest. An eBPF program decides, once per connection, by what the kernel sees of each copy; no bytes pass through
//! llb.
//!
//! # Ways to use it
//!
//! | you have | take |
//! |---|---|
//! | a server, in any language | the binary: `llb run -- node server.js`; it needs nothing of what is here |
//! | a program that is to run such a server | [`Fleet`], the same in a thread of its own or in your event loop; [`control`] asks and tells a fleet that runs |
//! | a program that makes its own workers and listening sockets | [`balancer`], the map updater |
//! | a worker in Rust that wants to report, or to share the port by itself | [`worker`] |
//!
//! To load the eBPF programs takes Linux 6.1 on x86-64, and root or `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON`; a fleet also
//! takes a cgroup of version 2 that it may use, and more rights if its workers are another user's. Workers need none. The
//! binary's `llb doctor` tries each of these on a machine.
//!
//! A fleet, in a program of your own:
//!
//! ```no_run
//! use llb::{Fleet, FleetError};
//!
//! # fn main() -> Result<(), FleetError> {
//! let fleet = Fleet::builder("python3", ["-m", "http.server", "8080"]).workers(4).spawn()?;
//! println!("{} workers serve on {} addresses", fleet.up().serving, fleet.up().addresses.len());
//! fleet.wait()
//! # }
//! ```
//!
//! Workers of a master of your own, and a worker: see [`balancer`] and [`worker`].
//!
//! # What it is made of
//!
//! [`observe`] says what a fleet is, and what happens in it. How connections are chosen is private: `ARCHITECTURE.md` has the
//! stages. Times are nanoseconds of `CLOCK_MONOTONIC`, and the present is always an argument: [`now`].
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `master` | all but [`worker`], and the binary |
//! | `top` | `llb top`, in the binary |
//! | `worker` | [`worker`], and no eBPF |
//! | `tokio`, `tower` | [`worker`] for programs on tokio, and a layer of tower's that reports |
//!
//! All of them are on by default. A worker takes what it uses: `default-features = false, features = ["tokio"]`.
#![cfg_attr(
    not(all(feature = "master", feature = "tokio", feature = "tower")),
    expect(rustdoc::broken_intra_doc_links, reason = "pages of a part name the other parts")
)]

#[cfg(feature = "master")]
mod agent;
#[cfg(feature = "master")]
pub mod balancer;
#[cfg(feature = "master")]
mod causes;
#[cfg(feature = "master")]
#[doc(hidden)] // For the binary, which is this module's `main` and the demo.
pub mod cli;
#[cfg(feature = "master")]
#[doc(hidden)] // For the binary and the tests.
pub mod config;
#[cfg(feature = "master")]
pub mod control;
#[cfg(feature = "master")]
mod doctor;
#[cfg(feature = "master")]
mod embed;
#[cfg(feature = "master")]
mod engine;
#[cfg(feature = "master")]
#[doc(hidden)] // For the tests and the simulation.
pub mod estimate;
#[cfg(feature = "master")]
#[expect(unreachable_pub, reason = "`pub` says what this room shows to the others")]
mod fleet;
#[cfg(feature = "master")]
mod get;
#[cfg(feature = "master")]
mod instant;
#[cfg(feature = "master")]
#[doc(hidden)] // For the integration tests, which look at processes, sockets and cgroups as llb does, and for the simulation.
pub mod internals {
    pub use crate::{
        engine::{RunError, run_by},
        fleet::{FleetCgroup, clear_leftover, find, fleet_path},
        sys::{bpffs, cgroup_attach, clock, mmap, mounts, pidfd, procfs, socket},
        updater::publish::{Ledger, Publisher, Seated},
    };
}
#[cfg(feature = "master")]
#[doc(hidden)] // For the tests and the simulation.
pub mod kernel;
#[cfg(feature = "master")]
mod line;
#[cfg(feature = "master")]
mod metrics;
#[cfg(feature = "master")]
#[doc(hidden)] // For the binary and the tests.
pub mod model;
#[cfg(feature = "master")]
pub mod observe;
#[cfg(feature = "master")]
#[doc(hidden)] // For the tests and the simulation.
pub mod policy;
#[cfg(feature = "master")]
#[doc(hidden)] // For the tests.
pub mod registry;
#[cfg(feature = "master")]
#[doc(hidden)] // For the tests.
pub mod report;
#[cfg(any(feature = "master", feature = "worker"))]
#[expect(unreachable_pub, reason = "`pub` says what this room shows to the others")]
mod sys;
#[cfg(feature = "top")]
mod top;
#[cfg(feature = "master")]
mod tracking;
#[cfg(feature = "master")]
#[doc(hidden)] // For the tests and the simulation.
pub mod updater;
#[cfg(feature = "master")]
mod why;
#[cfg(feature = "worker")]
pub mod worker;

#[cfg(feature = "master")]
pub use self::{
    embed::{Fleet, FleetBuilder, FleetError, FleetHandle},
    engine::Up,
    instant::Instant,
    sys::clock::now,
};

/// What a plain `cargo test` says of what it does not run.
#[cfg(all(test, not(feature = "tests-as-root")))]
#[test]
#[ignore = "the integration tests and some of these need root: `cargo xtask test` runs all"]
fn tests_that_need_root() {}
