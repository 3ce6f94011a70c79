//! What can go wrong for a master of its own.

use std::{error::Error, io, net::SocketAddr, path::PathBuf};

use crate::kernel::KernelError;

/// What lies behind an error: it can be shown, and its type is none of this crate's promises.
type Opaque = Box<dyn Error + Send + Sync>;

/// Why a balancer cannot do what it was asked to.
///
/// ```no_run
/// use llb::balancer::{Balancer, BalancerError};
///
/// # fn example(balancer: &mut Balancer, listener: &std::net::TcpListener) -> Result<(), BalancerError> {
/// match balancer.join(0, listener) {
///     Err(BalancerError::NotShared { address, .. }) => println!("set SO_REUSEPORT before {address} is bound"),
///     joined => joined?,
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BalancerError {
    /// The kernel refused a program or a map.
    #[error(transparent)]
    Kernel(Opaque),
    /// It is not known in which cgroup this process is.
    #[error("cannot tell in which cgroup this process is; name one in Settings::cgroup, or use Tracking::Reports")]
    OwnCgroup {
        /// Why.
        #[source]
        source: Opaque,
    },
    /// The cgroup cannot be opened.
    #[error("cannot open the cgroup {}", path.display())]
    Cgroup {
        /// Its directory.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// What was to be joined is no socket.
    #[error("what the worker in slot {slot} listens on is no socket")]
    NoSocket {
        /// The slot.
        slot: u32,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// It is a socket of another family.
    #[error("what the worker in slot {slot} listens on is no TCP socket")]
    NotTcp {
        /// The slot.
        slot: u32,
    },
    /// It does not listen.
    #[error("the socket of slot {slot} on {address} does not listen; call listen(2) before it joins")]
    NotListening {
        /// The slot.
        slot: u32,
        /// Its address.
        address: SocketAddr,
    },
    /// It does not share its port.
    #[error("the socket of slot {slot} on {address} does not share its port; set SO_REUSEPORT before bind(2)")]
    NotShared {
        /// The slot.
        slot: u32,
        /// Its address.
        address: SocketAddr,
    },
    /// Somebody else has the slot.
    #[error("slot {slot} has a member; drop that before another joins")]
    Taken {
        /// The slot.
        slot: u32,
    },
    /// The system gives no thread.
    #[error("cannot start the balancer's thread")]
    Thread {
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// All seats are taken.
    #[error(
        "no seat is free for slot {slot}: there are {}, those of workers that still answer included",
        llb_common::abi::MAX_SEATS
    )]
    NoSeat {
        /// The slot.
        slot: u32,
    },
    /// The kernel does not take the listener.
    #[error("cannot put the socket of slot {slot} on {address} into its group")]
    Join {
        /// The slot.
        slot: u32,
        /// Its address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: Opaque,
    },
}

impl BalancerError {
    pub(super) fn kernel(error: KernelError) -> Self {
        BalancerError::Kernel(error.into())
    }
}
