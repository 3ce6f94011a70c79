//! Listeners of llb's own beside those of the workers, and what becomes of connections that go from them to workers.

use std::os::fd::AsFd;

use nix::libc;
use socket2::Socket;

use crate::{
    engine::core::Core,
    model::{Address, Instant, Seat},
    sys::{
        born,
        socket::{self, Heritage},
    },
};

impl Core {
    /// Sockets of our own, of an address's family, that the kernel takes for made by workers. They are bound to nothing yet.
    pub(in crate::engine) fn make_own(&self, address: Address, count: usize) -> anyhow::Result<Vec<Socket>> {
        let family = if address.0.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let owner = self.config.identity.as_ref().map(|identity| identity.uid);
        let made = born::sockets(self.cgroup.of_own_sockets()?.as_fd(), family, owner, count)?;
        Ok(made.into_iter().map(Socket::from).collect())
    }

    /// Binds one of them beside the listeners of the workers: with what those have it looks as theirs to clients.
    pub(in crate::engine) fn bind_own(
        &mut self,
        address: Address,
        socket: &Socket,
        heritage: &Heritage,
    ) -> anyhow::Result<()> {
        self.updater.steering_mut().own(socket)?;
        socket.set_reuse_port(true)?;
        // Connections inherit it, and what is left of them for a minute keeps nobody from the port when llb is gone.
        socket.set_reuse_address(true)?;
        heritage.give(socket);
        Ok(socket.bind(&address.0.into())?)
    }

    /// Closes a listener of our own: the kernel gives who waits there to the workers.
    pub(in crate::engine) fn close_own(&mut self, listener: Socket) {
        let cookie = socket::cookie(&listener);
        drop(listener);
        if let Ok(cookie) = cookie {
            self.updater.steering_mut().forget(cookie);
        }
    }

    /// How often each member of a group has been chosen, and how many requests have ended there.
    pub(in crate::engine) fn charges_at(&self, address: Address) -> Vec<(Seat, u64, u64)> {
        let (members, books) = (self.updater.steering().members(address), self.updater.steering().books());
        let charges = |seat| (seat, books.seat(seat).charged, books.seat(seat).ended);
        members.iter().map(|member| charges(member.seat)).collect()
    }

    /// Who has been chosen since, and how many requests had ended there before.
    pub(in crate::engine) fn given_since(&self, before: &[(Seat, u64, u64)]) -> Vec<(Seat, u64)> {
        let books = self.updater.steering().books();
        let changed = before.iter().filter(|(seat, charged, _)| books.seat(*seat).charged != *charged);
        changed.map(|(seat, _, ended)| (*seat, *ended)).collect()
    }

    /// Some kernels wake nobody for a connection that moves: see `health/wake.rs`.
    pub(in crate::engine) fn wake(&mut self, address: Address, seat: Seat) {
        let member = self.updater.steering().members(address).iter().find(|member| member.seat == seat).copied();
        let Some(cookie) = member.map(|member| member.cookie) else { return };
        // One that has closed by now has handed on what it held.
        if let Some(copy) = self.copy_of(cookie) {
            let _ = socket::wake(copy);
        }
    }

    /// Does what gives connections to the workers of an address. Who is given some is not idle, and not to be ended, before
    /// these are answered.
    pub(in crate::engine) fn moving(&mut self, address: Address, now: Instant, act: impl FnOnce(&mut Self)) {
        let before = self.charges_at(address);
        act(self);
        for (seat, _) in self.given_since(&before) {
            self.updater.steering().books().hold(seat, now.after(self.config.drain_timeout));
            self.wake(address, seat);
        }
    }
}
