//! What can go wrong in a worker.

use std::{io, net::SocketAddr};

/// Why something between this worker and llb failed.
///
/// ```
/// use llb::worker::{Error, bind};
///
/// let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let address = taken.local_addr()?;
/// match bind(address) {
///     Err(Error::Listen { address: refused, source }) => {
///         assert_eq!((refused, source.kind()), (address, std::io::ErrorKind::AddrInUse));
///     }
///     other => panic!("somebody else listens there: {other:?}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `LLB_FD` is set, but is no number.
    #[error(
        "LLB_FD is {0:?}, which is no descriptor; llb sets it, so leave it as it is, or unset it to run without llb"
    )]
    Variable(String),
    /// `LLB_FD` names something that is not the channel.
    #[error(
        "descriptor {fd}, which LLB_FD names, is not the channel to llb; was it closed, or the variable passed on without \
         it? Unset LLB_FD to run without llb"
    )]
    Channel {
        /// What `LLB_FD` names.
        fd: i32,
        #[source]
        #[expect(missing_docs, reason = "it is the system's")]
        source: io::Error,
    },
    /// The process may have no more threads.
    #[error("cannot start the thread that reads what llb says")]
    Thread(#[source] io::Error),
    /// llb has ended, or does not read.
    #[error("cannot tell llb {line}")]
    Say {
        /// What was to be said.
        line: &'static str,
        #[source]
        #[expect(missing_docs, reason = "it is the system's")]
        source: io::Error,
    },
    /// The name of the address leads nowhere.
    #[error("cannot resolve the address to listen on")]
    Resolve(#[source] io::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The last that was tried.
        address: SocketAddr,
        #[source]
        #[expect(missing_docs, reason = "it is the system's")]
        source: io::Error,
    },
}
