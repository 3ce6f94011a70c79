//! `llb why` for people.

use std::collections::BTreeMap;

use super::{Choice, Considered, Seen, Verdict};

/// So many of the last choices are shown in full.
const SHOWN: usize = 3;

/// And so many workers of each; the table above has all.
const SHOWN_WORKERS: usize = 16;

/// What was seen, for people.
pub(crate) fn report(seen: &Seen) -> String {
    let Seen { name, policy, for_ms, made, choices } = seen;
    let mut text = format!("{name}: {policy}, {made} choices within {:.1} s, {} noted\n", for_ms / 1e3, choices.len());
    if choices.is_empty() {
        return text + "no connection was noted: has one come meanwhile?\n";
    }
    let mut reasons = BTreeMap::new();
    choices.iter().for_each(|choice| *reasons.entry(choice.reason).or_insert(0_u64) += 1);
    let reasons = reasons.iter().map(|(reason, times)| format!("{} {times}", reason.text()));
    text += &format!("why: {}\n", reasons.collect::<Vec<_>>().join("; "));
    text += &row(["slot", "pid", "taken", "expected ms", "requests", "passed over"]);
    text.extend(tallies(choices).iter().map(|((slot, pid), tally)| of_worker(*slot, *pid, tally)));
    text += "the last ones:\n";
    text.extend(choices[choices.len().saturating_sub(SHOWN)..].iter().map(of_choice));
    text
}

/// What is known of each worker, by its slot and pid.
fn tallies(choices: &[Choice]) -> BTreeMap<(u32, u32), Vec<&Considered>> {
    let mut tallies: BTreeMap<(u32, u32), Vec<&Considered>> = BTreeMap::new();
    for worker in choices.iter().flat_map(|choice| &choice.workers) {
        tallies.entry((worker.slot, worker.pid)).or_default().push(worker);
    }
    tallies
}

fn of_worker(slot: u32, pid: u32, considered: &[&Considered]) -> String {
    let mut verdicts = BTreeMap::new();
    considered.iter().for_each(|worker| *verdicts.entry(worker.verdict).or_insert(0_u64) += 1);
    let taken = verdicts.remove(&Verdict::Taken).unwrap_or(0);
    let verdicts: Vec<String> = verdicts.iter().map(|(verdict, times)| format!("{} {times}", verdict.text())).collect();
    let median = |of: fn(&Considered) -> f64| {
        let mut values: Vec<f64> = considered.iter().map(|worker| of(worker)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    row([
        &slot.to_string(),
        &pid.to_string(),
        &taken.to_string(),
        &format!("{:.3}", median(|worker| worker.expected_us) / 1e3),
        &format!("{:.0}", median(|worker| worker.requests as f64)),
        if verdicts.is_empty() { "-".to_owned() } else { verdicts.join(", ") }.as_str(),
    ])
}

fn row(cells: [&str; 6]) -> String {
    let [slot, pid, taken, expected, requests, over] = cells;
    format!("{slot:>4} {pid:>7} {taken:>6} {expected:>12} {requests:>9}  {over}\n")
}

fn of_choice(choice: &Choice) -> String {
    let Choice { at_ms, address, reason, moved, slot, workers, .. } = choice;
    let to = slot.map_or_else(String::new, |slot| format!(" slot {slot},"));
    let address = address.as_ref().map_or_else(String::new, |address| format!(" at {address}"));
    let moved = if *moved { " (it had waited elsewhere)" } else { "" };
    let mut text = format!("  after {at_ms:.1} ms{address}:{to} {}{moved}\n", reason.text());
    for worker in workers.iter().take(SHOWN_WORKERS) {
        text += &format!("    slot {}: {}; {}\n", worker.slot, worker.verdict.text(), state(worker));
    }
    if workers.len() > SHOWN_WORKERS {
        text += &format!("    and {} more\n", workers.len() - SHOWN_WORKERS);
    }
    text
}

/// How it stood with a worker.
fn state(worker: &Considered) -> String {
    let ms = |us: f64| format!("{:.3} ms", us / 1e3);
    let mut parts = vec![match worker.requests {
        0 => "nothing to do".to_owned(),
        1 => "1 request".to_owned(),
        requests => format!("{requests} requests"),
    }];
    parts.extend((worker.parked > 0).then(|| format!("{} parked", worker.parked)));
    parts.extend((worker.unproven > 0).then(|| format!("{} of them may hold it up", worker.unproven)));
    parts.extend(worker.silent_us.map(|us| format!("no answer for {}", ms(us))));
    parts.push(format!("expected within {}", ms(worker.expected_us)));
    parts.join(", ")
}
