//! Events of workers' sockets, from the programs.

use std::{
    collections::VecDeque,
    io, mem,
    os::fd::{AsFd, BorrowedFd},
};

use aya::maps::{MapData, RingBuf};
use llb_common::abi::{EVENT_ANSWER, EVENT_BIND, EVENT_CLOSE, EVENT_LISTEN, EVENT_RECEIVE, EVENT_RELEASE, SocketEvent};
use tokio::task::yield_now;

use crate::{model::Address, sys::readable::Readable};

/// Events that are given at once. Hundreds of workers that end together close their listeners within a millisecond, and each of them may
/// change the maps.
const AT_ONCE: usize = 16;

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
pub struct Events {
    ring: Readable<Ring>,
    read: VecDeque<Event>,
    /// Whether others on this thread have had their turn since the last ones were given.
    has_paused: bool,
}

struct Ring(RingBuf<MapData>);

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Events {
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        Ok(Events { ring: Readable::new(Ring(ring))?, read: VecDeque::new(), has_paused: false })
    }

    /// Waits for events and returns some; while there are more, tasks of the same thread run in between.
    ///
    /// # Errors
    /// The event loop's.
    pub async fn next(&mut self) -> io::Result<Vec<Event>> {
        let Events { ring, read, has_paused } = self;
        if read.is_empty() {
            let read_all = |Ring(ring): &mut Ring| {
                while let Some(record) = ring.next() {
                    read.extend(decode(&record));
                }
            };
            ring.readable(read_all).await?;
        } else if !mem::replace(has_paused, true) {
            // Whoever waits for something else as well may go on with that, and asks again.
            yield_now().await;
        }
        *has_paused = false;
        Ok(read.drain(..read.len().min(AT_ONCE)).collect())
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
