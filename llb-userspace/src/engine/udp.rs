//! UDP: time passes for flows, what lives is counted, and who does not read gets no new flows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use llb_common::{abi::MAX_SEATS, set};

use super::{Engine, messages::Message, worker::Running};
use crate::{
    fleet::{Listener, Worker, backlog::Backlog},
    kernel::Census,
    model::{Instant, Seat, WorkerId},
    observe::status::{FlowStatus, GroupStatus, UdpStatus},
    registry::Registry,
    sys::{
        procnet::{self, Datagrams},
        socket,
    },
};

/// Between two looks at the sockets' queues and at the table of flows, which is a megabyte.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is known of the fleet's UDP sockets.
#[derive(Debug, Default)]
pub(super) struct Udp {
    look_at: Option<Instant>,
    /// Whether somebody is looking at the queues.
    looking: bool,
    census: Option<Census>,
    sockets: BTreeMap<u64, Socket>,
    /// What a seat had been given when its worker got it.
    before: BTreeMap<(WorkerId, Seat), u64>,
}

/// A socket that has joined.
#[derive(Clone, Copy, Debug)]
struct Socket {
    inode: u64,
    seat: Seat,
    backlog: Backlog,
    dropped: u64,
}

impl Udp {
    /// Whether a seat has flows that are not idle. A master that has just taken over has not counted them yet.
    pub(super) fn has_flows(&self, mut seats: impl Iterator<Item = Seat>) -> bool {
        self.census.is_none() || seats.any(|seat| self.flows(seat) > 0)
    }

    fn flows(&self, seat: Seat) -> u64 {
        self.census.as_ref().map_or(0, |census| census.established[seat.0 as usize % MAX_SEATS])
    }

    pub(super) fn reap(&mut self, id: WorkerId) {
        self.before.retain(|(worker, _), _| *worker != id);
    }
}

impl Engine {
    /// What is done with every tick.
    pub(super) fn tend_udp(&mut self, now: Instant) {
        self.updater.steering_mut().tend_flows(now);
        if self.lives.workers().all(|worker| worker.udp.is_empty()) {
            return;
        }
        if self.config.quic_lb {
            self.number_workers();
        }
        if self.udp.look_at.is_some_and(|at| now < at) {
            return;
        }
        self.udp.look_at = Some(now.after(LOOK_EVERY));
        self.udp.census = Some(self.updater.steering().count_flows());
        self.identify();
        self.look_at_queues();
    }

    /// Tells the kernel side whom a QUIC connection id names: one that drains as well, and nobody who is gone.
    fn number_workers(&self) {
        let number = |worker: &Worker| Some((self.running.get(&worker.id)?.number?, worker.seats().next()?));
        let receivers = self.lives.workers().filter(|worker| !worker.udp.is_empty());
        self.updater.steering().number_workers(receivers.filter_map(number));
    }

    /// Notes the sockets that have joined, and forgets those that are gone.
    fn identify(&mut self) {
        let joined = |worker: &Worker| {
            let id = worker.id;
            let sockets = worker.udp.clone().into_iter();
            sockets.filter_map(move |Listener { cookie, seat, .. }| Some((cookie, (id, seat?))))
        };
        let joined: BTreeMap<u64, (WorkerId, Seat)> = self.lives.workers().flat_map(joined).collect();
        self.udp.sockets.retain(|cookie, _| joined.contains_key(cookie));
        for (cookie, (id, seat)) in joined {
            if self.udp.sockets.contains_key(&cookie) {
                continue;
            }
            let inode = self.copy(id, cookie).and_then(|copy| socket::inode(copy).ok());
            // One that is just going, or of a worker that cannot be looked into, has no queue to be seen.
            let Some(inode) = inode else { continue };
            self.udp.sockets.insert(cookie, Socket { inode, seat, backlog: Backlog::default(), dropped: 0 });
        }
    }

    /// Looks beside the loop, if anything has come since the last look.
    fn look_at_queues(&mut self) {
        let steering = self.updater.steering();
        let is_given = |socket: &Socket| steering.is_given(socket.seat) || !socket.backlog.is_empty();
        if self.udp.looking || !self.udp.sockets.values().any(is_given) {
            return;
        }
        // All are in one network namespace, or those that are not have no queue to be seen.
        let Some(pid) = self.running.values().map(|running: &Running| running.pid).next() else { return };
        self.udp.looking = true;
        let inbox = self.inbox.clone();
        let look = tokio::task::spawn_blocking(move || procnet::datagrams(pid).unwrap_or_default());
        tokio::task::spawn_local(async move {
            // A closed inbox is the end of the engine.
            let _ = inbox.send(Message::Datagrams { found: look.await.unwrap_or_default() }).await;
        });
    }

    /// What was seen of the queues.
    pub(super) fn saw_queues(&mut self, found: &[Datagrams]) {
        self.udp.looking = false;
        let queues: BTreeMap<u64, &Datagrams> = found.iter().map(|queue| (queue.inode, queue)).collect();
        let mut behind: BTreeSet<Seat> = BTreeSet::new();
        for socket in self.udp.sockets.values_mut() {
            let Some(queue) = queues.get(&socket.inode) else { continue };
            socket.backlog.step(queue.queued);
            socket.dropped = queue.dropped;
            if !socket.backlog.is_empty() {
                behind.insert(socket.seat);
            }
        }
        for socket in self.udp.sockets.values().filter(|socket| !behind.contains(&socket.seat)) {
            // Whoever has read everything owes nothing, whether or not there was anything to be answered.
            self.updater.steering().quit(socket.seat);
        }
        let still = self.udp.sockets.values().filter(|socket| socket.backlog.stands_still()).map(|socket| socket.seat);
        let hung = |worker: &&Worker| self.rescue.any_hung(worker.seats());
        let hung = self.lives.workers().filter(hung).flat_map(Worker::seats);
        let withheld = set::of(still.chain(hung).map(|seat| seat.0));
        self.updater.withhold(withheld);
    }

    /// Workers have got seats: what was counted there before is not their own.
    pub(super) fn begin_flows(&mut self, registry: &Registry) {
        for (seat, holder) in registry.holders() {
            let steering = self.updater.steering();
            let before = self.udp.before.entry((holder.worker, seat));
            before.or_insert_with(|| steering.datagrams(seat).unwrap_or(0));
        }
    }

    /// What is shown of a worker's UDP sockets; none if it has none.
    pub(super) fn flow_status(&self, worker: &Worker) -> Option<FlowStatus> {
        if worker.udp.is_empty() {
            return None;
        }
        let counted = |seat: Seat| {
            let before = self.udp.before.get(&(worker.id, seat)).copied().unwrap_or(0);
            self.updater.steering().datagrams(seat).unwrap_or(0).saturating_sub(before)
        };
        let sockets = || worker.udp.iter().filter_map(|socket| self.udp.sockets.get(&socket.cookie));
        Some(FlowStatus {
            flows: worker.seats().map(|seat| self.udp.flows(seat)).sum(),
            datagrams: worker.seats().map(counted).sum(),
            dropped: sockets().map(|socket| socket.dropped).sum(),
            stands_still: sockets().any(|socket| socket.backlog.stands_still()),
        })
    }

    /// The same of the fleet; none if nobody has a UDP socket.
    pub(super) fn udp_status(&self) -> Option<UdpStatus> {
        let steering = self.updater.steering();
        let groups: Vec<GroupStatus> = steering.flow_groups().map(|group| self.group(group)).collect();
        if groups.is_empty() {
            return None;
        }
        let census = self.udp.census.as_ref();
        let fates = steering.fates().ok().into_iter().flatten();
        Some(UdpStatus {
            groups,
            flow_timeout_s: self.config.udp_flow_timeout.as_secs_f64(),
            flows: census.map_or(0, |census| census.established.iter().sum()),
            newcomers: census.map_or(0, |census| census.newcomers),
            datagrams: fates.map(|(fate, count)| (fate.name().to_owned(), count)).collect(),
        })
    }
}
