//! One round of a cell: a fleet for each policy, and the clients of each.

use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::policy::Policy;
use super::provide::Provided;
use super::result::Section;
use crate::fleet::{Bench, Fleet};

/// Adds what each policy's clients see to the section; nothing if one of them sees nothing.
pub(super) fn round(bench: &Bench, provided: &Provided, section: &mut Section, seconds: f64, seed: u64) -> Result<()> {
    let cell = section.cell;
    let mut fleets = Vec::new();
    for (number, policy) in Policy::ALL.into_iter().enumerate() {
        let worker = |port| cell.worker(provided, port);
        fleets.push(Fleet::of_program(bench, number, policy.name(), cell.workers, worker)?);
    }
    let written = thread::scope(|scope| {
        let clients = fleets.iter().map(|fleet| {
            let load = cell.load(fleet.addr.port(), seconds, seed);
            scope.spawn(move || clients(provided, &load))
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    let written: Vec<Value> = Result::from_iter::<Vec<Result<Value>>>(written)?;
    for (seen, written) in section.seen.iter_mut().zip(&written) {
        seen.add(written, cell)?;
    }
    // All at once: each waits for its workers.
    fleets.iter().for_each(Fleet::end);
    Ok(())
}

/// Runs client.py to its end.
fn clients(provided: &Provided, load: &Value) -> Result<Value> {
    let mut command = Command::new(&provided.python);
    command.arg(provided.here.join("client.py")).arg(load.to_string()).stdin(Stdio::null());
    let out = command.output().context("cannot start the clients")?;
    serde_json::from_slice(&out.stdout)
        .with_context(|| format!("the clients failed: {}", String::from_utf8_lossy(&out.stderr).trim()))
}
