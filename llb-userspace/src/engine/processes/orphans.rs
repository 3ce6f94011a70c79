//! What others would leave to llb: orphans of workers, and signals that are meant for the workers.

use nix::sys::signal::Signal;

use super::Processes;
use crate::{
    engine::core::Core,
    sys::{procfs, reap},
};

/// Whether children that llb has not started are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) enum Orphans {
    /// They are none of llb's business: the process is another program's.
    #[default]
    Left,
    /// As they end.
    Reaped,
    /// One that its own task waits for has hidden others.
    Hidden,
}

impl Processes {
    /// Waits for the orphans that have ended. Without that they would stay in the table of processes, in a container until
    /// that is full.
    pub(in crate::engine) fn reap_orphans(&mut self, core: &Core) {
        if self.orphans == Orphans::Left {
            return;
        }
        let reaped = reap::orphans(|pid| core.running.values().any(|running| running.pid == pid));
        if reaped.count > 0 {
            tracing::debug!(count = reaped.count, "orphans of workers have ended");
        }
        self.orphans = if reaped.is_stuck { Orphans::Hidden } else { Orphans::Reaped };
    }

    /// Looks again, if the last time was no use.
    pub(in crate::engine) fn retry_reaping(&mut self, core: &Core) {
        if self.orphans == Orphans::Hidden {
            self.reap_orphans(core);
        }
    }
}

/// Sends `signal` to the first process of each worker that catches it. One that does not would be ended by it.
pub(in crate::engine) fn pass_on(core: &Core, signal: Signal) {
    let mut told = 0;
    for running in core.running.values().filter(|running| running.runs.get()) {
        let is_meant = |pid| pid == running.pid && procfs::catches(pid, signal as i32).unwrap_or(false);
        match running.cgroup.signal(&[signal], is_meant) {
            Ok(count) => told += count,
            Err(error) => tracing::warn!(pid = %running.pid, %error, "cannot pass {signal} on"),
        }
    }
    tracing::info!("{signal} is passed on to the {told} of {} workers that catch it", core.running.len());
}
