//! What the statistics say of a program that does nothing, where llb's selector would run.

use std::fs;
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aya::sys::{Stats, enable_stats};
use socket2::SockRef;

use super::empty;
use super::runs::Shown;
use crate::bench::{closed, worker};

/// Listeners of the group, and clients that connect to it: enough that the kernel asks the program, and that thousands
/// of connections come in [`DURATION`].
const LISTENERS: usize = 4;
const CLIENTS: usize = 4;
const DURATION: Duration = Duration::from_secs(2);

/// Fewer runs say nothing.
const ENOUGH: u64 = 1_000;

/// Time a run of the empty program, ns.
pub(super) fn measure() -> Result<f64> {
    let first = worker::listen(0, true).context("cannot listen")?;
    let addr = first.local_addr()?;
    let others = (1..LISTENERS).map(|_| worker::listen(addr.port(), true));
    let listeners: Vec<TcpListener> = std::iter::once(Ok(first)).chain(others).collect::<Result<_, _>>()?;
    let program = empty::load().context("cannot load an empty program")?;
    empty::attach(&program, listeners[0].as_fd()).context("cannot attach an empty program")?;

    let statistics = enable_stats(Stats::RunTime)?;
    thread::scope(|scope| {
        for listener in &listeners {
            // It ends by the shutdown below, which it takes for a broken listener.
            scope.spawn(|| worker::serve(listener, 1));
        }
        closed::run(addr, CLIENTS, DURATION);
        listeners.iter().try_for_each(|listener| SockRef::from(listener).shutdown(Shutdown::Both))
    })?;
    drop(statistics);
    let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))?;
    let runs = Shown::read(&fdinfo).context("the kernel shows no statistics")?.runs;
    match runs.mean_ns() {
        Some(mean) if runs.count >= ENOUGH => Ok(mean),
        _ => bail!("the empty program ran {} times only", runs.count),
    }
}
