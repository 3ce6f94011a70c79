//! Gives lines their places, some with each tick, so that no turn of the loop is long.

use llb_common::line::{PLACES, STANDBY};
use socket2::Socket;

use super::{
    Waiting,
    in_line::{BACKLOG, Lines, Open},
};
use crate::{
    engine::core::Core,
    model::{Address, Instant},
    sys::{epoll::Epoll, readable::Readable},
};

/// How many places a line gets with one tick, of some 20 us each.
const AT_ONCE: u32 = PLACES / 8;

impl Waiting {
    /// Makes what hand-overs and new places need, and forgets what they have left.
    pub(super) fn lengthen_lines(&mut self, core: &mut Core, now: Instant) {
        let Some(Lines { open, stock, .. }) = &mut self.lines else { return };
        let mut short: Vec<Address> = Vec::new();
        for (address, open) in open {
            stock.refill(core, *address);
            open.forget_retired(core, now);
            if !open.is_complete() {
                short.push(*address);
            }
        }
        for address in short {
            if let Err(error) = self.lengthen(core, address) {
                self.give_up_line(core, address, &error, now);
            }
        }
    }

    fn lengthen(&mut self, core: &mut Core, address: Address) -> anyhow::Result<()> {
        let Some(Lines { open, stock, watch, .. }) = &mut self.lines else { return Ok(()) };
        let Some(open) = open.get_mut(&address) else { return Ok(()) };
        for _ in 0..AT_ONCE {
            let place = open.sockets.len() as u32;
            if open.is_complete() {
                tracing::debug!(%address, places = place, "who finds no worker free waits in line");
                break;
            }
            let Some(listener) = stock.take(address) else { break };
            core.bind_own(address, &listener, &open.heritage)?;
            open.listen_at(core, watch, address, place, &listener)?;
            open.sockets.push(listener);
            core.updater.steering().books().add_place(open.group, place);
        }
        Ok(())
    }
}

impl Open {
    /// Has a bound socket listen at a place. What comes to it is counted there from the first on.
    pub(super) fn listen_at(
        &self,
        core: &mut Core,
        watch: &Readable<Epoll>,
        address: Address,
        place: u32,
        socket: &Socket,
    ) -> anyhow::Result<()> {
        core.updater.steering_mut().own_line(address, place, socket)?;
        socket.listen(BACKLOG)?;
        watch.get_ref().add(socket, self.key(place))?;
        Ok(core.updater.steering_mut().listen_in_line(self.group, place, socket)?)
    }
}

/// How many places a line has where so many files may be open and there are so many lines: all of them together take a quarter
/// at the most.
pub(super) fn places(files: u64, lines: usize) -> u32 {
    (files / 4 / lines.max(1) as u64).min(u64::from(STANDBY)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_leave_most_files_for_others() {
        let all = [(1 << 20, 1), (1 << 20, 64), (1_024, 1), (1_024, 4), (256, 64)];
        assert_eq!(all.map(|(files, lines)| places(files, lines)), [STANDBY, STANDBY, STANDBY, 64, 1]);
    }
}
