//! The kernel line: the only room that knows aya. Elsewhere a seat is a number and a listener a file descriptor.
//!
//! [`Steering`] owns the programs and maps of one fleet. Nothing ends with the process: the cgroup programs stay until
//! their cgroup is removed, a group's selector until its last listener is closed, and the maps as long as a program uses
//! them. [`Pins`] lead the next master to them.
//!
//! This is what [`crate::balancer`] and `engine` are made of. To load programs takes `CAP_BPF`, `CAP_NET_ADMIN` and
//! `CAP_PERFMON`. All times are ns of `CLOCK_MONOTONIC` ([`crate::now`]).
//!
//! # Listeners of this process
//!
//! Who sits where is said by a [`crate::registry`], and [`crate::updater`] brings the maps there and publishes what each seat
//! costs, by what workers report and by what the kernel counts:
//!
//! ```no_run
//! use std::{fs::File, thread::sleep, time::Duration};
//! use llb::{
//!     config::{Policy, Tracking},
//!     kernel::{AttachedBooks, Latencies, Member, Options, Outcome, Stage, Steering},
//!     now,
//!     registry::Registry,
//!     updater::Updater,
//! };
//! use llb_common::{histogram::quantile, select::in_flight};
//!
//! # fn stop() -> bool { true }
//! # fn copy_of(cookie: u64) -> std::io::Result<std::os::fd::OwnedFd> { unimplemented!() }
//! fn steer(registry: &Registry) -> Result<(), Box<dyn std::error::Error>> {
//!     let steering = Steering::load(&Options { cgroup_level: None, limits: Vec::new(), keeps_books: true, sticky: None })?;
//!     // The kernel counts what belongs to joined listeners, of all that is in this cgroup; until this is dropped.
//!     let _attached: AttachedBooks = steering.attach_books(File::open("/sys/fs/cgroup/web")?.into())?;
//!     let mut updater = Updater::new(steering, Policy::LeastLatency, Tracking::Full);
//!     updater.reconcile(registry, |socket| Ok(copy_of(socket.cookie)?), now());
//!     while !stop() {
//!         updater.update(now());
//!         sleep(Duration::from_millis(9));
//!     }
//!
//!     let steering = updater.steering();
//!     let counters = steering.counters()?;
//!     println!("{} connections, {} to the first choice", counters.total(Stage::Select), counters.get(Outcome::First));
//!     for (address, members) in steering.groups() {
//!         for Member { seat, .. } in members {
//!             let (books, latencies): (_, Latencies) = (steering.books().seat(*seat), steering.books().latencies(*seat));
//!             println!("{address}, seat {seat}: {} in flight, p99 {} ns", in_flight(&books), quantile(&latencies, 990));
//!         }
//!         assert_eq!(steering.members(address).len(), members.len());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Listeners of other processes
//!
//! [`Steering::attach`] makes the programs tell of each socket that a process in the cgroup binds, and has it share its port;
//! it needs no change of the process:
//!
//! ```no_run
//! use std::fs::File;
//! use llb::{
//!     kernel::{EventKind, Limit, Options, Steering},
//!     model::WorkerId,
//!     registry::{Registry, Socket, State},
//! };
//!
//! # fn worker_of(cgroup: u64) -> WorkerId { unimplemented!() }
//! # async fn watch(registry: &mut Registry) -> Result<(), Box<dyn std::error::Error>> {
//! let limits = vec![Limit { addr: None, port: 8080 }];
//! // Workers are in cgroups two below the root of the hierarchy, as in /sys/fs/cgroup/web/worker-0.
//! let mut steering = Steering::load(&Options { cgroup_level: Some(2), limits, keeps_books: true, sticky: None })?;
//! steering.attach(File::open("/sys/fs/cgroup/web")?)?;
//! let mut events = steering.take_events()?.expect("nobody has taken them before");
//! loop {
//!     for event in events.next().await? {
//!         let (cookie, address, worker) = (event.cookie, event.address, worker_of(event.cgroup));
//!         match event.kind {
//!             EventKind::Bind | EventKind::Answer | EventKind::Release | EventKind::Receive => {}
//!             // Without a seat it is expected; with one, and joined, it is chosen.
//!             EventKind::Listen => registry.enter(Socket { cookie, address, udp: false, worker, seat: None, state: State::Expected }),
//!             EventKind::Close => registry.remove(cookie),
//!         }
//!     }
//! }
//! # }
//! ```

mod attach;
mod binds;
mod books;
mod checks;
mod connections;
mod error;
mod flows;
mod groups;
mod limit;
mod lines;
mod loader;
mod object;
mod pins;
mod probe;
mod reach;
mod socket_events;
mod steering;
mod sticky;
mod value;
mod why;

pub use attach::AttachedBooks;
pub use binds::OwnPorts;
pub use books::{Books, Counters, Latencies, Publication};
pub(crate) use checks::Checks;
pub(crate) use connections::Connections;
pub use error::KernelError;
pub(crate) use flows::Census;
pub use limit::Limit;
pub use llb_common::outcome::{Outcome, Stage};
pub use object::Options;
pub use pins::{Pins, PinsError};
pub(crate) use probe::{Probe, probe, programs};
pub(crate) use reach::{Joined, Reaches};
pub use socket_events::{Event, EventKind, Events};
pub use steering::Steering;
pub(crate) use sticky::Resident;
pub use sticky::Sticky;
pub(crate) use why::Choices;

pub use crate::registry::Member;
