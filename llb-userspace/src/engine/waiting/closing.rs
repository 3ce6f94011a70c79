//! Closes lines. Nobody is sent to a closed line any more, but who is in the midst of a handshake may arrive yet, and a handshake whose
//! last packet comes at the moment in which its listener ends would be reset. So places in which nobody waits end a little later.

use std::{mem, time::Duration};

use socket2::Socket;

use super::{Waiting, in_line::Lines};
use crate::{
    engine::core::Core,
    model::{Address, Instant},
    sys::socket,
};

/// Most handshakes are over by then. Who is later loses nothing: a listener that has ended gives them to others.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// A place of a line that was closed.
pub(super) struct Closing {
    address: Address,
    until: Instant,
    listener: Socket,
}

impl Lines {
    /// Whether a line that was closed there still has places: their books are not another's yet.
    pub(super) fn is_closing(&self, address: Address) -> bool {
        self.closing.iter().any(|closing| closing.address == address)
    }
}

impl Waiting {
    /// Closes a line: with the next tick at the latest the kernel gives who waits there to the workers, by the selector.
    pub(super) fn close_line(&mut self, core: &mut Core, address: Address, now: Instant) {
        let Some(lines) = &mut self.lines else { return };
        let Some(open) = lines.open.remove(&address) else { return };
        open.retired.iter().for_each(|(_, cookie)| core.updater.steering_mut().forget(*cookie));
        core.updater.steering().books().close_line(open.group, open.sockets.len());
        let closing = |listener| Closing { address, until: now.after(HANDSHAKE), listener };
        lines.closing.extend(open.sockets.into_iter().map(closing));
    }

    /// Ends places of closed lines: those in which somebody waits, and those to which nobody comes any more.
    pub(super) fn close_places(&mut self, core: &mut Core, now: Instant) {
        let Some(lines) = &mut self.lines else { return };
        let waits = |listener: &Socket| socket::accept_queue(listener).is_ok_and(|queue| queue.length > 0);
        let is_due = |closing: &mut Closing| now >= closing.until || waits(&closing.listener);
        let due = lines.closing.extract_if(.., is_due).collect();
        end(core, due, now);
    }

    /// For the end of the fleet: while there are still workers.
    pub(in crate::engine) fn close_lines(&mut self, core: &mut Core, now: Instant) {
        let addresses: Vec<Address> = self.lines.iter().flat_map(|lines| lines.open.keys().copied()).collect();
        addresses.into_iter().for_each(|address| self.close_line(core, address, now));
        if let Some(lines) = self.lines.take() {
            end(core, lines.closing, now);
        }
        core.updater.steering().books().set_concurrency(0);
    }
}

fn end(core: &mut Core, mut due: Vec<Closing>, now: Instant) {
    while let Some(address) = due.first().map(|closing| closing.address) {
        let (here, elsewhere) = mem::take(&mut due).into_iter().partition(|closing| closing.address == address);
        due = elsewhere;
        core.moving(address, now, |core| {
            // If that cannot be done, what waits is given to others all the same.
            let _ = socket::let_nobody_in(here.iter().map(|closing: &Closing| &closing.listener));
            here.into_iter().for_each(|closing| core.close_own(closing.listener));
        });
    }
}
