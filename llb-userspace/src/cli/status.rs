//! `llb status`.

use std::process::ExitCode;

use super::{args::FleetCommand, output};
use crate::observe::{
    age::age,
    status::{FlowStatus, LineStatus, SlotStatus, Status, WorkerStatus},
};

pub(super) fn run(args: &FleetCommand) -> anyhow::Result<ExitCode> {
    let status = args.fleet.of().status()?;
    output::write(&if args.json { serde_json::to_string(&status)? + "\n" } else { table(&status) })?;
    Ok(ExitCode::SUCCESS)
}

/// One row of the table: all columns but the last two fit into a terminal of 100. The last says as much as there is to say.
fn row(cells: [&str; 16]) -> String {
    const WIDTHS: [usize; 15] = [4, 7, 8, 3, 4, 5, 6, 6, 6, 8, 6, 6, 7, 7, 8];
    let (last, aligned) = (cells[15], cells.iter().zip(WIDTHS));
    let aligned: Vec<String> = aligned.map(|(cell, width)| format!("{cell:>width$}")).collect();
    format!("{}  {last}", aligned.join(" ")).trim_end().to_owned() + "\n"
}

fn table(status: &Status) -> String {
    let tracking = if status.tracking == "full" { String::new() } else { format!(", tracking {}", status.tracking) };
    let reloading = status.reloading.map_or_else(String::new, |next| format!(", reloading to {next}"));
    let mut text = format!(
        "{}: {}{tracking}, pid {}, up {}, {} workers, generation {}{reloading}, {} connections\n",
        status.name,
        status.policy,
        status.pid,
        age(status.uptime_s),
        status.slots.len(),
        status.generation,
        status.connections
    );
    for group in &status.groups {
        text += &format!("  {} on slots {:?}\n", group.address, group.slots);
    }
    for group in status.udp.iter().flat_map(|udp| &udp.groups) {
        text += &format!("  udp {} on slots {:?}\n", group.address, group.slots);
    }
    text += &row([
        "slot",
        "pid",
        "state",
        "gen",
        "up",
        "open",
        "flight",
        "queued",
        "share",
        "answered",
        "failed",
        "errors",
        "p99 ms",
        "cost ms",
        "restarts",
        "last exit",
    ]);
    // A slot without a worker has a row of its own, in its place.
    let empty = |slot: &&SlotStatus| status.workers.iter().all(|worker| worker.slot != slot.slot);
    let mut rows: Vec<(u32, String)> = status.workers.iter().map(|worker| (worker.slot, of_worker(worker))).collect();
    rows.extend(status.slots.iter().filter(empty).map(|slot| (slot.slot, of_slot(slot))));
    rows.sort_by_key(|(slot, _)| *slot);
    text.extend(rows.into_iter().map(|(_, row)| row));
    let outcomes: Vec<String> =
        status.selector.iter().filter(|(_, n)| **n > 0).map(|(outcome, n)| format!("{outcome} {n}")).collect();
    if let Some(canary) = &status.canary {
        text += &format!("canary: {canary}\n");
    }
    let recycled: u32 = status.slots.iter().map(|slot| slot.recycled).sum();
    if recycled > 0 {
        text += &format!("recycled: {recycled} workers\n");
    }
    text += &format!("chosen: {}\n", outcomes.join(", "));
    if status.waiting_for_worker > 0 {
        text += &format!("{} connections wait until a worker listens\n", status.waiting_for_worker);
    }
    if let Some(udp) = &status.udp {
        let fates = udp.datagrams.iter().filter(|(_, n)| **n > 0).map(|(fate, n)| format!("{fate} {n}"));
        let fates: Vec<String> = fates.collect();
        text += &format!("udp: {} flows, {} newcomers; datagrams: {}\n", udp.flows, udp.newcomers, fates.join(", "));
        for worker in &status.workers {
            let Some(FlowStatus { flows, datagrams, dropped, stands_still }) = &worker.udp else { continue };
            let note = if *stands_still { ", does not read" } else { "" };
            let of = format!("slot {}, pid {}", worker.slot, worker.pid);
            text += &format!("udp: {of}: {flows} flows, {datagrams} datagrams, {dropped} dropped{note}\n");
        }
    }
    if let Some(line) = &status.line {
        let LineStatus { waiting, waited, handed_over, given_up, why, .. } = line;
        let why = why.as_ref().map_or_else(String::new, |why| format!("; {why}"));
        text +=
            &format!("line: {waiting} wait, {waited} waited, {handed_over} handed over, {given_up} given up{why}\n");
    }
    text
}

fn of_worker(worker: &WorkerStatus) -> String {
    row([
        &worker.slot.to_string(),
        &worker.pid.to_string(),
        &worker.state,
        &worker.generation.to_string(),
        &age(worker.uptime_s),
        &counted(worker.open),
        &counted(worker.in_flight),
        &counted(worker.queued),
        &format!("{:.1}%", 100.0 * worker.share),
        &counted(worker.answered),
        &counted(worker.failed),
        &counted(worker.errors),
        &ms(worker.latency_us.map(|latency| latency.p99)),
        &ms(Some(worker.cost_us).filter(|us| *us > 0.0)),
        &worker.restarts.to_string(),
        worker.last_exit.as_deref().unwrap_or("-"),
    ])
}

fn of_slot(slot: &SlotStatus) -> String {
    let starts = slot.starts_in_s.map(|seconds| format!("starts in {seconds:.1} s"));
    let last: Vec<String> = slot.last_exit.clone().into_iter().chain(starts).collect();
    let (number, restarts, last) = (slot.slot.to_string(), slot.restarts.to_string(), last.join("; "));
    let mut cells = ["-"; 16];
    (cells[0], cells[2], cells[14], cells[15]) = (&number, &slot.state, &restarts, &last);
    row(cells)
}

/// What nobody counts is not 0.
fn counted(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn ms(us: Option<f64>) -> String {
    us.map_or_else(|| "-".to_owned(), |us| format!("{:.2}", us / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let shown = [0.4, 59.9, 60.0, 3599.0, 3600.0, 172_799.0, 172_800.0, 1e8].map(age);
        assert_eq!(shown, ["0s", "59s", "1m", "59m", "1h", "47h", "2d", "1157d"]);
    }

    #[test]
    fn the_head_of_the_table_fits_a_terminal() {
        let head = row(["x"; 16]);
        assert!(head.trim_end().len() <= 100 + " restarts  x".len(), "{head}");
    }
}
