//! What others would leave to llb: orphans of workers, and signals that are meant for the workers.

use nix::sys::signal::Signal;

use super::Engine;
use crate::sys::{procfs, reap};

/// Whether children that llb has not started are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Orphans {
    /// They are none of llb's business: the process is another program's.
    #[default]
    Left,
    /// As they end.
    Reaped,
    /// One that its own task waits for has hidden others.
    Hidden,
}

impl Engine {
    /// Waits for the orphans that have ended. Without that they would stay in the table of processes, in a container until
    /// that is full.
    pub(super) fn reap_orphans(&mut self) {
        if self.orphans == Orphans::Left {
            return;
        }
        let reaped = reap::orphans(|pid| self.running.values().any(|running| running.pid == pid));
        if reaped.count > 0 {
            tracing::debug!(count = reaped.count, "orphans of workers have ended");
        }
        self.orphans = if reaped.is_stuck { Orphans::Hidden } else { Orphans::Reaped };
    }

    /// Looks again, if the last time was no use.
    pub(super) fn reap_what_was_hidden(&mut self) {
        if self.orphans == Orphans::Hidden {
            self.reap_orphans();
        }
    }

    /// Sends `signal` to the first process of each worker that catches it. One that does not would be ended by it.
    pub(super) fn pass_on(&self, signal: Signal) {
        let mut told = 0;
        for running in self.running.values() {
            let is_meant = |pid| pid == running.pid && procfs::catches(pid, signal as i32).unwrap_or(false);
            match running.cgroup.signal(&[signal], is_meant) {
                Ok(count) => told += count,
                Err(error) => tracing::warn!(pid = %running.pid, %error, "cannot pass {signal} on"),
            }
        }
        tracing::info!("{signal} is passed on to the {told} of {} workers that catch it", self.running.len());
    }
}
