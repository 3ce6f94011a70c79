//! What llb's two halves share: the layout of the maps ([`abi`]), the names of programs and maps ([`names`]),
//! the choice of a seat ([`select`]), the books of a connection ([`track`]) and what becomes of each choice
//! ([`outcome`]).
//!
//! The kernel program, the tests and any simulation call the very same functions, so nothing here allocates,
//! reads a clock, or loops without a constant bound. All times are nanoseconds of `CLOCK_MONOTONIC`, which is
//! what the kernel's `bpf_ktime_get_ns` returns.
//!
//! ```
//! use llb_common::{
//!     abi::NO_SEAT,
//!     policy::Policy,
//!     select::{Choice, Fleet, Load, choose},
//! };
//!
//! /// Two seats that answer in a millisecond; the first has had a request for half a second.
//! struct Two;
//! impl Fleet for Two {
//!     fn member(&self, place: u32) -> u32 {
//!         place
//!     }
//!     fn load(&self, seat: u32) -> Load {
//!         Load { requests: u64::from(seat == 0), since: 500_000_000, cost_ns: 1_000_000, ..Load::default() }
//!     }
//! }
//!
//! let now = 1_000_000_000;
//! let choice = choose(Policy::LeastLatency, &Two, 2, NO_SEAT, 0, now);
//! assert_eq!(choice, Choice::Seat { seat: 1, first: false });
//! ```
#![no_std]

pub mod abi;
pub mod names;
pub mod outcome;
pub mod policy;
pub mod select;
pub mod track;
