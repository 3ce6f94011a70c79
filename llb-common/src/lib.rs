//! What llb's two halves share: the layout of the maps ([`abi`]), the names of programs and maps ([`names`]),
//! the choice of a seat ([`select`], [`set`]), the books of a connection ([`track`], [`histogram`]) and what becomes of each choice
//! ([`outcome`]).
//!
//! The kernel program, the tests and any simulation call the very same functions, so nothing here allocates,
//! reads a clock, or loops without a constant bound. All times are nanoseconds of `CLOCK_MONOTONIC`, which is
//! what the kernel's `bpf_ktime_get_ns` returns.
//!
//! ```
//! use llb_common::{
//!     abi::{NO_SEAT, SeatSet},
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
//!     fn has(&self, seat: u32) -> bool {
//!         seat < 2
//!     }
//!     fn idle(&self, _near_only: bool) -> SeatSet {
//!         [0b10, 0, 0, 0]
//!     }
//!     fn last(&self) -> u32 {
//!         NO_SEAT
//!     }
//!     fn claim(&self, _seat: u32) -> bool {
//!         true
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
pub mod books;
pub mod histogram;
pub mod names;
pub mod outcome;
pub mod policy;
pub mod select;
pub mod set;
pub mod track;
