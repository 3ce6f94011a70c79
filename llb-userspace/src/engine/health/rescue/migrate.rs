//! Gives the connections that wait for a seat to others.

use std::{io, os::fd::OwnedFd, time::Duration};

use llb_common::{
    select::{self, Load, expected_ns},
    track::outstanding_at,
};

use super::{Rescue, ms};
use crate::{
    config::chooses_by_load,
    engine::core::{Copied, Core},
    fleet::{
        Kind, Listener,
        hang::{HUNG_AFTER, SeatHealth, SeatWatch},
    },
    kernel::Member,
    model::{Instant, Seat, WorkerId},
    sys::socket,
};

/// How long what has been moved counts as load where it has gone to. By then it is answered, or is moved once more.
const HELD_FOR: Duration = Duration::from_secs(1);

/// Whether what waits for a worker that hangs is moved.
pub(super) fn rescues(core: &Core) -> bool {
    core.config.hanging.rescue && chooses_by_load(core.config.policy)
}

/// Tells that connections have been moved from a worker that hangs.
pub(super) fn note_rescued(core: &mut Core, id: WorkerId, moved: u32) {
    if moved > 0 {
        let cause = format!("{moved} connections that waited for it were given to others");
        core.supervisor.note_worker(Kind::Rescued, id, &cause);
    }
}

fn empty(core: &Core, id: WorkerId, sockets: &[OwnedFd]) -> anyhow::Result<Option<Vec<io::Result<u32>>>> {
    let Some(running) = core.running.get(&id) else { return Ok(None) };
    Ok(running.cgroup.freezer()?.empty(sockets)?)
}

/// What came of it; how many connections have moved.
fn emptied(core: &mut Core, id: WorkerId, listeners: &[Listener], emptied: Vec<io::Result<u32>>) -> u32 {
    let mut moved = 0;
    for (Listener { cookie, address, .. }, emptied) in listeners.iter().zip(emptied) {
        match emptied {
            Ok(0) => {}
            Ok(count) => {
                moved += count;
                core.sockets.reopens(*cookie);
                core.updater.listens_anew(*cookie);
            }
            // The event of its close, if it has come so far, is the worker's loss.
            Err(error) => tracing::error!(slot = %core.slot(id), %address, %error, "a listener was lost"),
        }
    }
    moved
}

/// How often each member of the listeners' groups has been chosen.
fn charges(core: &Core, listeners: &[Listener]) -> Vec<(Member, u64)> {
    let books = core.updater.steering().books();
    let members = listeners.iter().flat_map(|listener| core.updater.steering().members(listener.address));
    members.map(|member| (*member, books.load(member.seat).charged)).collect()
}

impl Rescue {
    /// Moves what waits for the seat to others, if one of them is clearly better off: first it leaves their groups, so
    /// that nothing comes back.
    pub(super) fn rescue(&mut self, core: &mut Core, id: WorkerId, seat: Seat, copies: Vec<Copied>, now: Instant) {
        let silent_ns = self.watches.get(&seat).map_or(0, |watch| watch.silent_ns(now));
        // What a client waits for may be in the memory of this worker alone: not for one long request is it sent elsewhere.
        let is_hung = self.watches.get(&seat).is_some_and(|watch| watch.is_silent_for(HUNG_AFTER, now));
        let rescues = rescues(core) && (is_hung || !core.updater.steering().remembers_clients());
        let helped = |copied: &Copied| {
            let mut others =
                core.updater.steering().members(copied.listener.address).iter().filter(|other| other.seat != seat);
            copied.waiting > 0 && others.any(|other| self.is_better_off(core, other, silent_ns, now))
        };
        let (listeners, sockets): (Vec<Listener>, Vec<OwnedFd>) = copies
            .into_iter()
            .filter(|copied| rescues && helped(copied))
            .map(|copied| (copied.listener, copied.socket))
            .unzip();
        if listeners.is_empty() {
            return;
        }
        core.sockets.set_aside(listeners.iter().map(|listener| listener.cookie));
        core.reconcile(now);
        // Another's program, which a worker may have attached, would move nothing: the kernel would reset what waits.
        for (listener, socket) in listeners.iter().zip(&sockets) {
            if let Err(error) = core.updater.steering().attach_anew(listener.address, socket) {
                tracing::error!(%error, "cannot attach the selector anew");
            }
        }
        let is_expecting = outstanding_at(&core.updater.steering().books().seat(seat), now.0) > 0;
        let Some(watch) = self.watches.get_mut(&seat) else { return };
        watch.left(now);
        if watch.expects(is_expecting, now) {
            core.republish(now);
            return;
        }
        let before = charges(core, &listeners);
        let counts = empty(core, id, &sockets);
        let Some(watch) = self.watches.get_mut(&seat) else { return };
        match counts {
            Ok(Some(counts)) => {
                let moved = emptied(core, id, &listeners, counts);
                core.reconcile(now);
                self.received(core, &before, now);
                if let Some(running) = core.running.get_mut(&id) {
                    running.rescued += u64::from(moved);
                }
                core.keep_rescued(id, moved);
                tracing::debug!(slot = %core.slot(id), moved, silent_ms = ms(silent_ns), "rescued");
                if let Some(watch) = self.watches.get_mut(&seat) {
                    watch.migrated(moved);
                    // What waits behind a long request is moved several times a second. That is balance, and no event.
                    if watch.health() == SeatHealth::Hung {
                        note_rescued(core, id, moved);
                    }
                }
            }
            Ok(None) => {
                watch.resists(now);
                tracing::debug!(slot = %core.slot(id), "does not stand still, so those who wait for it must wait");
            }
            Err(error) => {
                watch.resists(now);
                tracing::error!(slot = %core.slot(id), "cannot rescue the connections that wait: {error:#}");
            }
        }
        core.republish(now);
    }

    /// Whether a member of a group would answer in less than half the time that another has been silent. One that is
    /// suspected itself is not asked.
    fn is_better_off(&self, core: &Core, member: &Member, silent_ns: u64, now: Instant) -> bool {
        if self.watches.get(&member.seat).is_some_and(SeatWatch::is_suspected) {
            return false;
        }
        let books = core.updater.steering().books().load(member.seat);
        let requests = select::given(&books) + outstanding_at(&books, now.0);
        let load = Load { requests, ..Load::of(&books, core.updater.table().cost_ns[member.seat.0 as usize]) };
        requests == 0 || expected_ns(load, now.0) <= silent_ns / 2
    }

    /// Wakes the workers to which connections may have moved.
    fn received(&mut self, core: &mut Core, before: &[(Member, u64)], now: Instant) {
        for (Member { seat, cookie }, charged) in before {
            let books = core.updater.steering().books().seat(*seat);
            if books.charged == *charged {
                continue;
            }
            core.updater.steering().books().hold(*seat, now.after(HELD_FOR));
            let cost_ns = core.updater.cost_ns(*seat, &books);
            self.watches
                .entry(*seat)
                .and_modify(SeatWatch::receives)
                .or_insert_with(|| SeatWatch::receiving(&books, cost_ns, now));
            let owner = core.taker(*seat);
            // One that has closed its listener since has passed them on.
            if let Some(id) = owner
                && let Some(copy) = core.copy(id, *cookie)
                && let Err(error) = socket::wake(copy)
            {
                tracing::warn!(slot = %core.slot(id), %error, "cannot wake a worker for connections that it was given");
            }
        }
    }
}
