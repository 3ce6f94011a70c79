//! UDP: flows age, those that live are counted, and a worker that does not read gets no new ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use llb_common::{abi::MAX_SEATS, set};

use super::Rescue;
use crate::{
    engine::{
        core::{Core, Running},
        inbox::Message,
    },
    fleet::{Listener, Worker, backlog::Backlog},
    kernel::Census,
    model::{Instant, Seat, WorkerId},
    observe::status::{FlowStatus, GroupStatus, UdpStatus},
    sys::{
        procnet::{self, Datagrams},
        socket,
    },
};

/// Between two looks at the sockets' queues and at the table of flows, which is a megabyte.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is known of the fleet's UDP sockets.
#[derive(Debug, Default)]
pub(in crate::engine) struct Udp {
    look_at: Option<Instant>,
    /// Whether somebody is looking at the queues.
    looking: bool,
    census: Option<Census>,
    sockets: BTreeMap<u64, Socket>,
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
    pub(in crate::engine) fn has_flows(&self, mut seats: impl Iterator<Item = Seat>) -> bool {
        self.census.is_none() || seats.any(|seat| self.flows(seat) > 0)
    }

    fn flows(&self, seat: Seat) -> u64 {
        self.census.as_ref().map_or(0, |census| census.established[seat.0 as usize % MAX_SEATS])
    }
}

impl Udp {
    /// What is done with every tick.
    pub(in crate::engine) fn tend_udp(&mut self, core: &mut Core, now: Instant) {
        core.updater.steering_mut().tend_flows(now);
        if core.supervisor.workers().all(|worker| worker.udp.is_empty()) {
            return;
        }
        if core.config.quic_lb {
            number_workers(core);
        }
        if self.look_at.is_some_and(|at| now < at) {
            return;
        }
        self.look_at = Some(now.after(LOOK_EVERY));
        self.census = core.updater.steering().count_flows().ok();
        self.identify(core);
        self.look_at_queues(core);
    }

    /// Notes the sockets that have joined, and forgets those that are gone.
    fn identify(&mut self, core: &mut Core) {
        let joined = |worker: &Worker| {
            let id = worker.id;
            let sockets = worker.udp.clone().into_iter();
            sockets.filter_map(move |Listener { cookie, seat, .. }| Some((cookie, (id, seat?))))
        };
        let joined: BTreeMap<u64, (WorkerId, Seat)> = core.supervisor.workers().flat_map(joined).collect();
        self.sockets.retain(|cookie, _| joined.contains_key(cookie));
        for (cookie, (id, seat)) in joined {
            if self.sockets.contains_key(&cookie) {
                continue;
            }
            let inode = core.copy(id, cookie).and_then(|copy| socket::inode(copy).ok());
            // One that is just going, or of a worker that cannot be looked into, has no queue to be seen.
            let Some(inode) = inode else { continue };
            self.sockets.insert(cookie, Socket { inode, seat, backlog: Backlog::default(), dropped: 0 });
        }
    }

    /// Looks beside the loop, if anything has come since the last look.
    fn look_at_queues(&mut self, core: &Core) {
        let steering = core.updater.steering();
        let is_given = |socket: &Socket| steering.is_given(socket.seat) || !socket.backlog.is_empty();
        if self.looking || !self.sockets.values().any(is_given) {
            return;
        }
        // All are in one network namespace, or those that are not have no queue to be seen.
        let Some(pid) = core.running.values().map(|running: &Running| running.pid).next() else { return };
        self.looking = true;
        let inbox = core.inbox.clone();
        let look = tokio::task::spawn_blocking(move || procnet::datagrams(pid).unwrap_or_default());
        tokio::task::spawn_local(async move {
            // A closed inbox is the end of the engine.
            let _ = inbox.send(Message::Datagrams { found: look.await.unwrap_or_default() }).await;
        });
    }

    /// What was seen of the queues.
    pub(in crate::engine) fn saw_queues(&mut self, core: &mut Core, rescue: &Rescue, found: &[Datagrams]) {
        self.looking = false;
        let queues: BTreeMap<u64, &Datagrams> = found.iter().map(|queue| (queue.inode, queue)).collect();
        let mut behind: BTreeSet<Seat> = BTreeSet::new();
        for socket in self.sockets.values_mut() {
            let Some(queue) = queues.get(&socket.inode) else { continue };
            socket.backlog.step(queue.queued);
            socket.dropped = queue.dropped;
            if !socket.backlog.is_empty() {
                behind.insert(socket.seat);
            }
        }
        for socket in self.sockets.values().filter(|socket| !behind.contains(&socket.seat)) {
            // A worker that has read everything owes nothing, whether or not there was anything to be answered.
            core.updater.steering().quit(socket.seat);
        }
        let still = self.sockets.values().filter(|socket| socket.backlog.stands_still()).map(|socket| socket.seat);
        let hung = |worker: &&Worker| rescue.any_hung(worker.seats());
        let hung = core.supervisor.workers().filter(hung).flat_map(Worker::seats);
        let withheld = set::of(still.chain(hung).map(|seat| seat.0));
        core.updater.withhold(withheld);
    }

    /// What is shown of a worker's UDP sockets; none if it has none.
    pub(in crate::engine) fn flow_status(&self, core: &Core, worker: &Worker) -> Option<FlowStatus> {
        if worker.udp.is_empty() {
            return None;
        }
        let counted = |seat: Seat| {
            let before = core.sockets.datagrams_before(worker.id, seat);
            core.updater.steering().datagrams(seat).unwrap_or(0).saturating_sub(before)
        };
        let sockets = || worker.udp.iter().filter_map(|socket| self.sockets.get(&socket.cookie));
        Some(FlowStatus {
            flows: worker.seats().map(|seat| self.flows(seat)).sum(),
            datagrams: worker.seats().map(counted).sum(),
            dropped: sockets().map(|socket| socket.dropped).sum(),
            stands_still: sockets().any(|socket| socket.backlog.stands_still()),
        })
    }

    /// The same of the fleet; none if nobody has a UDP socket.
    pub(in crate::engine) fn udp_status(&self, core: &Core) -> Option<UdpStatus> {
        let steering = core.updater.steering();
        let groups: Vec<GroupStatus> = steering.flow_groups().map(|group| core.group(group)).collect();
        if groups.is_empty() {
            return None;
        }
        let census = self.census.as_ref();
        let fates = steering.fates().ok().into_iter().flatten();
        Some(UdpStatus {
            groups,
            flow_timeout_s: core.config.udp_flow_timeout.as_secs_f64(),
            flows: census.map_or(0, |census| census.established.iter().sum()),
            newcomers: census.map_or(0, |census| census.newcomers),
            datagrams: fates.map(|(fate, count)| (fate.name().to_owned(), count)).collect(),
        })
    }
}

/// Tells the kernel side which workers QUIC connection ids name: draining ones too, but none that is gone.
fn number_workers(core: &Core) {
    let number = |worker: &Worker| Some((core.running.get(&worker.id)?.number?, worker.seats().next()?));
    let receivers = core.supervisor.workers().filter(|worker| !worker.udp.is_empty());
    core.updater.steering().number_workers(receivers.filter_map(number));
}
