//! The kernel line: the only room that knows aya. Elsewhere a seat is a number and a listener a file descriptor.
//!
//! [`Steering`] owns the programs and maps of one fleet. Nothing ends with the process: the cgroup programs stay until
//! their cgroup is removed, a group's selector until its last listener is closed, and the maps as long as a program uses
//! them. [`Pins`] lead the next master to them.

mod attach;
mod books;
mod connections;
mod error;
mod events;
mod groups;
mod load;
mod loader;
mod pins;
mod probe;
mod resume;
mod value;

pub use attach::AttachedBooks;
pub use books::{Books, Counters, Latencies, Publication};
pub(crate) use connections::Connections;
pub use error::{KernelError, Opaque};
pub use events::{Event, EventKind, Events};
pub use groups::Member;
pub use load::{Limit, Options, Steering};
pub use pins::{Pins, PinsError};
pub(crate) use probe::{Probe, probe, programs};
pub use resume::Known;
