//! Events of workers' sockets, from the programs.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use aya::maps::{MapData, RingBuf};
use llb_common::abi::{EVENT_ANSWER, EVENT_BIND, EVENT_CLOSE, EVENT_LISTEN, EVENT_RECEIVE, EVENT_RELEASE, SocketEvent};

use crate::{model::Address, sys::readable::Readable};

/// What a worker's socket did. An example is [there](super#listeners-of-other-processes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is about to bind; the kernel may still refuse the address.
    Bind,
    /// It listens.
    Listen,
    /// It no longer does.
    Close,
    /// None of this: some worker has answered while somebody waits in line. Only where there is a line.
    Answer,
    /// Nobody has it open any more, whether or not it has ever listened.
    Release,
    /// It is a UDP socket, and has bound: datagrams come.
    Receive,
}

/// A worker's socket did something.
///
/// ```
/// use llb::kernel::{Event, EventKind};
///
/// fn text(event: &Event) -> String {
///     let Event { kind, address, cookie, cgroup } = event;
///     let what = match kind {
///         EventKind::Bind => "is about to bind",
///         EventKind::Listen => "listens on",
///         EventKind::Close => "has left",
///         EventKind::Answer => "is not meant",
///         EventKind::Release => "is closed, that was bound to",
///         EventKind::Receive => "receives at",
///     };
///     format!("socket {cookie} of the worker in cgroup {cgroup} {what} {address}")
/// }
/// let address = llb::model::Address(([127, 0, 0, 1], 8080).into());
/// let event = Event { kind: EventKind::Listen, address, cookie: 41, cgroup: 7 };
/// assert_eq!(text(&event), "socket 41 of the worker in cgroup 7 listens on 127.0.0.1:8080");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Where.
    pub address: Address,
    /// The socket's cookie.
    pub cookie: u64,
    /// Id of the worker's cgroup.
    pub cgroup: u64,
}

/// The events' queue: [`Steering::take_events`](super::Steering::take_events).
///
/// ```no_run
/// use llb::kernel::Events;
///
/// async fn print(mut events: Events) -> std::io::Result<()> {
///     loop {
///         events.next().await?.iter().for_each(|event| println!("{event:?}"));
///     }
/// }
/// ```
pub struct Events(Readable<Ring>);

struct Ring(RingBuf<MapData>);

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Events {
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        Readable::new(Ring(ring)).map(Events)
    }

    /// Waits for events and returns all there are.
    ///
    /// # Errors
    /// The event loop's.
    pub async fn next(&mut self) -> io::Result<Vec<Event>> {
        let read = |Ring(ring): &mut Ring| {
            let mut events = Vec::new();
            while let Some(record) = ring.next() {
                events.extend(decode(&record));
            }
            events
        };
        self.0.readable(read).await
    }
}

fn decode(record: &[u8]) -> Option<Event> {
    let raw: SocketEvent = bytemuck::try_pod_read_unaligned(record).ok()?;
    let kind = match raw.kind {
        EVENT_BIND => EventKind::Bind,
        EVENT_LISTEN => EventKind::Listen,
        EVENT_CLOSE => EventKind::Close,
        EVENT_ANSWER => EventKind::Answer,
        EVENT_RELEASE => EventKind::Release,
        EVENT_RECEIVE => EventKind::Receive,
        _ => return None,
    };
    let ipv4 = raw.family == nix::libc::AF_INET as u32;
    let address = Address::from_event(raw.addr, u16::try_from(raw.port).ok()?, ipv4);
    Some(Event { kind, address, cookie: raw.cookie, cgroup: raw.cgroup })
}
