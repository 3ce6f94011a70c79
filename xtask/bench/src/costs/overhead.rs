//! A program that does nothing, run where llb's selector would: what the statistics say of it is their own.

use std::fs;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::SockRef;

use super::runs::{Runs, Shown};
use crate::{closed_loop, empty, worker};

/// Listeners of its group: enough that the kernel asks the program.
const LISTENERS: usize = 4;

/// Clients: enough for some thousand runs a second, and few beside those of the fleet that is measured.
const CLIENTS: usize = 4;

/// A reuseport group in which the empty program chooses.
pub(super) struct Empty {
    addr: SocketAddr,
    listeners: Vec<TcpListener>,
    program: OwnedFd,
}

impl Empty {
    pub(super) fn new() -> Result<Self> {
        let first = worker::listen(0, true).context("cannot listen")?;
        let addr = first.local_addr()?;
        let others = (1..LISTENERS).map(|_| worker::listen(addr.port(), true));
        let listeners: Vec<TcpListener> = std::iter::once(Ok(first)).chain(others).collect::<Result<_, _>>()?;
        let program = empty::load().context("cannot load an empty program")?;
        empty::attach(&program, listeners[0].as_fd()).context("cannot attach an empty program")?;
        Ok(Self { addr, listeners, program })
    }

    /// Has it run for this long, and no more after that.
    pub(super) fn load(&self, duration: Duration) -> Result<()> {
        thread::scope(|scope| {
            for listener in &self.listeners {
                // It ends by the shutdown below, which it takes for a broken listener.
                scope.spawn(|| worker::serve(listener, &mut worker::Work::new(1.0, 0)));
            }
            // The listeners must end whatever became of the load: the scope waits for who serves on them.
            let load = closed_loop::run(self.addr, CLIENTS, 1, duration);
            self.listeners
                .iter()
                .try_for_each(|listener| SockRef::from(listener).shutdown(Shutdown::Both))
                .context("cannot close a listener")?;
            load.map(drop)
        })
    }

    pub(super) fn runs(&self) -> Result<Runs> {
        let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.program.as_raw_fd()))?;
        Ok(Shown::read(&fdinfo).context("the kernel shows no statistics")?.runs)
    }
}
