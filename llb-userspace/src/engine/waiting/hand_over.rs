//! Gives who waits in line to a worker, and has the place wait for the next.

use std::net::Shutdown;

use llb_common::{abi::Seat as SeatBooks, histogram::bucket};
use socket2::Socket;

use super::{
    Waiting,
    in_line::{BACKLOG, HELD_FOR, Handed, Lines, Open},
};
use crate::{
    engine::core::Core,
    line::{Choice, Waiter},
    model::{Address, Instant},
    sys::socket,
};

impl Waiting {
    /// Ends the listener in which the client waits, so that the kernel asks the selector, which obeys.
    pub(super) fn hand_over(
        &mut self,
        core: &mut Core,
        address: Address,
        waiter: Waiter,
        choice: Choice,
        now: Instant,
    ) {
        let (Waiter { group, place, .. }, Choice { seat, is_awaited }) = (waiter, choice);
        let before = match core.updater.steering().remembers_clients() {
            true => core.charges_at(address),
            false => Vec::new(),
        };
        let Some(lines) = &mut self.lines else { return };
        let Some(open) = lines.open.get_mut(&address) else { return };
        open.arrived.remove(place);
        let listener = &open.sockets[place as usize];
        if open.late.get(&place).is_some_and(|until| now < *until) {
            // If that cannot be done, nor can what follows.
            let _ = socket::let_nobody_in([listener]);
        }
        let books = core.updater.steering().books();
        let SeatBooks { ended, progress_at, .. } = books.seat(seat);
        books.aim(group, place, Some(seat));
        let done = listener.shutdown(Shutdown::Read);
        if is_awaited {
            lines.gap_ns = lines.gap_ns.max(Some(now.since(waiter.since.max(Instant(progress_at)))));
        }
        lines.waits[bucket(now.since(waiter.since)) as usize] += 1;
        // A client that is remembered may have gone home instead.
        let mut given = core.given_since(&before);
        if given.is_empty() {
            given.push((seat, ended));
        }
        for (seat, ended) in given {
            core.updater.steering().books().hold(seat, now.after(HELD_FOR));
            let handed = lines.handed.entry(seat).or_default();
            handed.retain(|one| one.is_due(ended));
            // Served in turn: those before come first.
            handed.push(Handed { at: now, ended: ended + handed.len() as u64 });
            core.wake(address, seat);
        }
        let again = done.map_err(anyhow::Error::from).and_then(|()| lines.listen_again(core, address, place, now));
        if let Err(error) = again {
            tracing::error!(%address, "a place in line is lost, connections wait at workers: {error:#}");
            return self.close_line(core, address, now);
        }
        core.updater.steering().books().free_place(group, place);
    }
}

impl Lines {
    /// Has a place whose listener has ended wait for the next: with a new socket, or without any with the same one.
    fn listen_again(&mut self, core: &mut Core, address: Address, place: u32, now: Instant) -> anyhow::Result<()> {
        let Some(open) = self.open.get_mut(&address) else { return Ok(()) };
        let fresh = self.stock.take(address).filter(|socket| core.bind_own(address, socket, &open.heritage).is_ok());
        let Some(socket) = fresh else {
            let socket = &open.sockets[place as usize];
            socket.listen(BACKLOG)?;
            return Ok(core.updater.steering_mut().listen_in_line(open.group, place, socket)?);
        };
        open.listen_at(core, &self.watch, address, place, &socket)?;
        let ended = std::mem::replace(&mut open.sockets[place as usize], socket);
        open.retire(core, place, ended, now);
        Ok(())
    }
}

impl Open {
    /// Closes a listener that has ended. While handshakes that were given up may still be completed the selector has to know where
    /// they belong.
    fn retire(&mut self, core: &mut Core, place: u32, ended: Socket, now: Instant) {
        let late_until = self.late.remove(&place).filter(|until| now < *until);
        match (late_until, socket::cookie(&ended)) {
            (Some(until), Ok(cookie)) => self.retired.push((until, cookie)),
            _ => core.close_own(ended),
        }
    }

    /// Forgets those to which nobody comes any more.
    pub(super) fn forget_retired(&mut self, core: &mut Core, now: Instant) {
        let due = self.retired.extract_if(.., |(until, _)| now >= *until);
        due.for_each(|(_, cookie)| core.updater.steering_mut().forget(cookie));
    }
}
