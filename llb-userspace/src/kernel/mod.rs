//! The kernel line: the only room that knows aya. Elsewhere a seat is a number and a listener a file descriptor.
//!
//! [`Steering`] owns the programs and maps of one fleet. Nothing ends with the process: the cgroup programs stay until
//! their cgroup is removed, a group's selector until its last listener is closed, and the maps as long as a program uses
//! them. [`Pins`] lead the next master to them.
//!
//! This is what [`crate::balancer`] and [`crate::engine`] are made of. To load programs takes `CAP_BPF`, `CAP_NET_ADMIN` and
//! `CAP_PERFMON`. All times are ns of `CLOCK_MONOTONIC` ([`crate::now`]).
//!
//! # Listeners of this process
//!
//! Whoever makes the listening sockets puts each into its group, under a seat of its own, and publishes what each seat
//! costs, again and again. [`crate::updater`] does so with what workers report; by hand, and by what the kernel counts, it is
//! this:
//!
//! ```no_run
//! use std::{fs::File, net::TcpListener, thread::sleep, time::Duration};
//! use llb::{
//!     common::{histogram::quantile, select::{given, in_flight}, track::outstanding_at},
//!     config::Policy,
//!     kernel::{AttachedBooks, Books, Latencies, Member, Options, Outcome, Publication, Stage, Steering},
//!     model::{Address, Instant, Seat},
//!     now,
//!     policy::{Table, View, table},
//! };
//!
//! fn view(books: &Books, seat: Seat, now: Instant) -> View {
//!     let counts = books.seat(seat);
//!     View {
//!         seat,
//!         estimate_ns: None,
//!         at_least_ns: 0,
//!         kernel_ns: (counts.service_ns != 0).then_some(counts.service_ns),
//!         in_flight: given(&counts) + outstanding_at(&counts, now.0),
//!         progress_at: Instant(counts.progress_at),
//!         joined: true,
//!         fresh: false,
//!         few: false,
//!         held: false,
//!         parked: in_flight(&counts) - given(&counts),
//!         open: counts.opened - counts.closed,
//!     }
//! }
//!
//! # fn stop() -> bool { true }
//! fn steer(listeners: &[TcpListener; 2]) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut steering = Steering::load(&Options { cgroup_level: None, limits: Vec::new(), keeps_books: true, sticky: None })?;
//!     // The kernel counts what belongs to joined listeners, of all that is in this cgroup; until this is dropped.
//!     let _attached: AttachedBooks = steering.attach_books(File::open("/sys/fs/cgroup/web")?.into())?;
//!     let mut cookies = Vec::new();
//!     for (seat, listener) in (0..).map(Seat).zip(listeners) {
//!         steering.books().renew(seat);
//!         cookies.push(steering.join(Address(listener.local_addr()?), seat, listener)?);
//!     }
//!     let mut turn = 0;
//!     while !stop() {
//!         let views = [Seat(0), Seat(1)].map(|seat| view(steering.books(), seat, now()));
//!         let Table { least, near, cost_ns, .. } = table(&views, now(), turn);
//!         let publication = Publication { least, near, cost_ns: &cost_ns };
//!         steering.books().publish(Policy::LeastLatency, &publication, now());
//!         turn += 1;
//!         steering.flush_log();
//!         sleep(Duration::from_millis(9));
//!     }
//!
//!     let counters = steering.counters()?;
//!     println!("{} connections, {} to the first choice", counters.total(Stage::Select), counters.get(Outcome::First));
//!     for (address, members) in steering.groups() {
//!         for Member { seat, .. } in members {
//!             let (books, latencies): (_, Latencies) = (steering.books().seat(*seat), steering.books().latencies(*seat));
//!             println!("{address}, seat {seat}: {} answered, p99 {} ns", books.answered, quantile(&latencies, 990));
//!         }
//!     }
//!
//!     // The second is to end: no new connection goes there, and what it has begun is waited for.
//!     steering.leave(cookies[1])?;
//!     while view(steering.books(), Seat(1), now()).in_flight > 0 {
//!         sleep(Duration::from_millis(9));
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
//! use std::{fs::File, io, os::fd::OwnedFd};
//! use llb::{kernel::{EventKind, Limit, Options, Steering}, model::Seat};
//!
//! # fn copy_of(cgroup: u64, cookie: u64) -> io::Result<OwnedFd> { unimplemented!() }
//! # fn seat_of(cgroup: u64) -> Option<Seat> { None }
//! # async fn watch() -> Result<(), Box<dyn std::error::Error>> {
//! let limits = vec![Limit { addr: None, port: 8080 }];
//! // Workers are in cgroups two below the root of the hierarchy, as in /sys/fs/cgroup/web/worker-0.
//! let mut steering = Steering::load(&Options { cgroup_level: Some(2), limits, keeps_books: true, sticky: None })?;
//! steering.attach(File::open("/sys/fs/cgroup/web")?)?;
//! let mut events = steering.take_events()?.expect("nobody has taken them before");
//! loop {
//!     for event in events.next().await? {
//!         match (event.kind, seat_of(event.cgroup)) {
//!             (EventKind::Bind | EventKind::Answer | EventKind::Release | EventKind::Receive, _) => {}
//!             // A copy by pidfd_getfd(2), closed here: kept, it would keep the listener alive.
//!             (EventKind::Listen, Some(seat)) => {
//!                 steering.join(event.address, seat, copy_of(event.cgroup, event.cookie)?)?;
//!             }
//!             // It is to join later; until then what the hash gives to it goes through the selector.
//!             (EventKind::Listen, None) => steering.expect(event.address, event.cookie),
//!             (EventKind::Close, _) => {
//!                 steering.leave(event.cookie)?;
//!                 // When what waited there has migrated:
//!                 steering.forget(event.cookie);
//!             }
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
mod events;
mod flows;
mod groups;
mod lines;
mod load;
mod loader;
mod pins;
mod probe;
mod reach;
mod resume;
mod sticky;
mod value;
mod why;

pub use attach::AttachedBooks;
pub use binds::OwnPorts;
pub use books::{Books, Counters, Latencies, Publication};
pub(crate) use checks::Checks;
pub(crate) use connections::Connections;
pub use error::KernelError;
pub use events::{Event, EventKind, Events};
pub(crate) use flows::Census;
pub use groups::Member;
pub use llb_common::outcome::{Outcome, Stage};
pub use load::{Limit, Options, Steering};
pub use pins::{Pins, PinsError};
pub(crate) use probe::{Probe, probe, programs};
pub(crate) use reach::{Joined, Reaches};
pub use resume::Known;
pub(crate) use sticky::Resident;
pub use sticky::Sticky;
pub(crate) use why::Choices;
