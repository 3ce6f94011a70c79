//! `llb status`.

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};

use anyhow::Context;

use super::args::StatusArgs;
use crate::observe::status::Status;

pub(super) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let status = args.fleet.of().status()?;
    let text = if args.json { serde_json::to_string(&status)? + "\n" } else { table(&status) };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Who has seen enough, as `head` has, closes.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write the status"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// All columns but the last, which says as much as there is to say, fit into a terminal of 100.
fn table(status: &Status) -> String {
    let tracking = if status.tracking == "full" { String::new() } else { format!(", tracking {}", status.tracking) };
    let mut text = format!(
        "{}: {}{tracking}, pid {}, up {:.0} s, {} connections\n",
        status.name, status.policy, status.pid, status.uptime_s, status.connections
    );
    for group in &status.groups {
        text += &format!("  {} on slots {:?}\n", group.address, group.slots);
    }
    text += &format!(
        "{:>4} {:>7} {:>8} {:>6} {:>6} {:>9} {:>6} {:>9} {:>6} {:>8} {:>8} {:>8}  {}\n",
        "slot",
        "pid",
        "state",
        "up s",
        "open",
        "in flight",
        "share",
        "answered",
        "failed",
        "p99 ms",
        "cost ms",
        "restarts",
        "last exit"
    );
    for worker in &status.workers {
        let share = 100.0 * worker.chosen as f64 / status.connections.max(1) as f64;
        text += &format!(
            "{:>4} {:>7} {:>8} {:>6.0} {:>6} {:>9} {:>5.1}% {:>9} {:>6} {:>8} {:>8} {:>8}  {}\n",
            worker.slot,
            worker.pid,
            worker.state,
            worker.uptime_s,
            counted(worker.open),
            counted(worker.in_flight),
            share,
            counted(worker.answered),
            counted(worker.failed),
            ms(worker.latency_us.map(|latency| latency.p99)),
            ms(Some(worker.cost_us).filter(|us| *us > 0.0)),
            worker.restarts,
            worker.last_exit.as_deref().unwrap_or("-"),
        );
    }
    let outcomes: Vec<String> =
        status.selector.iter().filter(|(_, n)| **n > 0).map(|(outcome, n)| format!("{outcome} {n}")).collect();
    text + &format!("chosen: {}\n", outcomes.join(", "))
}

/// What nobody counts is not 0.
fn counted(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn ms(us: Option<f64>) -> String {
    us.map_or_else(|| "-".to_owned(), |us| format!("{:.2}", us / 1e3))
}
