//! What can go wrong at the kernel line.

use std::io;

use aya::{EbpfError, maps::MapError, pin::PinError, programs::ProgramError};

use crate::model::{Address, Seat};

/// A failure at the kernel line; it names the object.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The object was refused as a whole: mostly missing rights, or a kernel without BTF.
    #[error("cannot load the eBPF object; run `llb doctor`, it tries each thing that llb needs")]
    Object {
        /// aya's word.
        #[source]
        source: Box<EbpfError>,
    },
    /// One program was refused.
    #[error("the kernel refuses the eBPF program {name}; run `llb doctor`, and see --log debug for what it says")]
    Load {
        /// Its name.
        name: &'static str,
        /// The system's word; the verifier's, which can be a thousand lines, is in the log.
        #[source]
        source: io::Error,
    },
    /// One program could not be attached to the fleet's cgroup.
    #[error("cannot attach the eBPF program {name} to the cgroup; run `llb doctor`")]
    Attach {
        /// Its name.
        name: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The object is not the one that this llb was built with.
    #[error("the eBPF object has no {what} {name}; rebuild it with `cargo xtask ebpf`")]
    Missing {
        /// "map" or "program".
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A map or program could not be pinned.
    #[error("cannot pin {name}")]
    Pin {
        /// Its name.
        name: &'static str,
        /// aya's word.
        #[source]
        source: Box<PinError>,
    },
    /// A pinned program could not be opened.
    #[error("cannot open the pinned eBPF program {name}")]
    Reopen {
        /// Its name.
        name: &'static str,
        /// aya's word.
        #[source]
        source: Box<ProgramError>,
    },
    /// A map refused an operation.
    #[error("cannot use the map {map}")]
    Map {
        /// Its name.
        map: &'static str,
        /// aya's word.
        #[source]
        source: Box<MapError>,
    },
    /// A map could not be mapped into memory.
    #[error("cannot map {map} into memory")]
    Mmap {
        /// Its name.
        map: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A ring buffer could not be watched.
    #[error("cannot wait for events of {map}")]
    Watch {
        /// Its name.
        map: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The selector could not be attached to a group.
    #[error("cannot attach the selector to the listeners of {address}")]
    Select {
        /// The group's address.
        address: Address,
        /// aya's word.
        #[source]
        source: Box<ProgramError>,
    },
    /// More groups than the maps have room for.
    #[error(
        "cannot steer {address}: workers already listen on {} addresses, the most that llb steers; \
         name those that matter with -p",
        llb_common::abi::MAX_GROUPS
    )]
    TooManyGroups {
        /// The address that came too late.
        address: Address,
    },
    /// A seat has two listeners in one group.
    #[error("seat {seat} already has a listener on {address}")]
    SeatTaken {
        /// The seat.
        seat: Seat,
        /// The group's address.
        address: Address,
    },
    /// A listener's cookie could not be read.
    #[error("cannot read the cookie of the listener on {address}")]
    Cookie {
        /// The group's address.
        address: Address,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}
