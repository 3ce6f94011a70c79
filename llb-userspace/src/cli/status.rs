//! `llb status`.

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};

use anyhow::Context;

use super::args::StatusArgs;
use crate::{control, observe::status::Status};

pub(super) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let status = control::status(&args.fleet.runtime_dir, args.fleet.name.as_str())?;
    let text = if args.json { serde_json::to_string(&status)? + "\n" } else { table(&status) };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Who has seen enough, as `head` has, closes.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write the status"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn table(status: &Status) -> String {
    let mut text = format!(
        "{}: {}, pid {}, up {:.0} s, {} connections\n",
        status.name, status.policy, status.pid, status.uptime_s, status.connections
    );
    for group in &status.groups {
        text += &format!("  {} on slots {:?}\n", group.address, group.slots);
    }
    text += &format!(
        "{:>4} {:>8} {:>9} {:>8} {:>6} {:>10} {:>6} {:>9} {:>6} {:>10} {:>8}  {}\n",
        "slot",
        "pid",
        "state",
        "up s",
        "open",
        "in flight",
        "share",
        "answered",
        "failed",
        "cost",
        "restarts",
        "last exit"
    );
    for worker in &status.workers {
        let share = 100.0 * worker.chosen as f64 / status.connections.max(1) as f64;
        text += &format!(
            "{:>4} {:>8} {:>9} {:>8.0} {:>6} {:>10} {:>5.1}% {:>9} {:>6} {:>7.2} ms {:>8}  {}\n",
            worker.slot,
            worker.pid,
            worker.state,
            worker.uptime_s,
            worker.open,
            worker.in_flight,
            share,
            worker.answered,
            worker.failed,
            worker.cost_us / 1e3,
            worker.restarts,
            worker.last_exit.as_deref().unwrap_or("-"),
        );
    }
    let counted: Vec<String> =
        status.selector.iter().filter(|(_, n)| **n > 0).map(|(outcome, n)| format!("{outcome} {n}")).collect();
    text + &format!("chosen: {}\n", counted.join(", "))
}
