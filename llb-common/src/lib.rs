//! What llb's two halves share: the layout of the maps ([`abi`]), the names of programs and maps ([`names`]),
//! the choice of a seat ([`select`]), the books of a connection ([`track`]) and what becomes of each choice
//! ([`outcome`]).
//!
//! The kernel program, the tests and any simulation call the very same functions, so nothing here allocates,
//! reads a clock, or loops without a constant bound. All times are nanoseconds of `CLOCK_MONOTONIC`, which is
//! what the kernel's `bpf_ktime_get_ns` returns.
#![no_std]

pub mod abi;
pub mod names;
pub mod outcome;
pub mod policy;
pub mod select;
pub mod track;
