//! What can go wrong at the kernel line.

use std::{error::Error, io};

use aya::maps::MapError;

use crate::model::{Address, Seat};

/// An error of the library that loads the programs, as a source: what it says can be shown, and its types are none of this
/// crate's promises.
type Opaque = Box<dyn Error + Send + Sync>;

/// A failure at the kernel line; it names the object.
///
/// ```
/// use llb::kernel::KernelError;
///
/// /// What to tell who runs the program.
/// fn advice(error: &KernelError) -> &'static str {
///     match error {
///         KernelError::TooManyGroups { .. } => "steer fewer ports",
///         KernelError::Object { .. } | KernelError::Load { .. } | KernelError::Attach { .. } => "run `llb doctor`",
///         _ => "report it",
///     }
/// }
///
/// let many = KernelError::TooManyGroups { address: llb::model::Address(([127, 0, 0, 1], 80).into()) };
/// assert!(many.to_string().starts_with("cannot steer 127.0.0.1:80"));
/// assert_eq!(advice(&many), "steer fewer ports");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The object was refused as a whole: mostly missing rights, or a kernel without BTF.
    #[error("cannot load the eBPF object; run `llb doctor`, it tries each thing that llb needs")]
    Object {
        /// aya's word.
        #[source]
        source: Opaque,
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
        source: Opaque,
    },
    /// A pinned program could not be opened.
    #[error("cannot open the pinned eBPF program {name}")]
    Reopen {
        /// Its name.
        name: &'static str,
        /// aya's word.
        #[source]
        source: Opaque,
    },
    /// A map refused an operation.
    #[error("cannot use the map {map}")]
    Map {
        /// Its name.
        map: &'static str,
        /// aya's word.
        #[source]
        source: Opaque,
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
        source: Opaque,
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

/// What aya says of a map, as an error of that map.
pub(super) fn map_error(map: &'static str) -> impl Fn(MapError) -> KernelError {
    move |source| KernelError::Map { map, source: Box::new(source) }
}
