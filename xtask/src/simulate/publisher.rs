//! What userspace publishes every few milliseconds, from the kernel's numbers alone: the table of
//! `llb-userspace/src/policy` for workers that report nothing.

use llb_common::{
    abi::{NO_SEAT, Seat},
    select::{Load, MIN_COST_NS, believable_ns, clearly_better, expected_ns, given, in_flight, near, outstanding},
    track,
};

use super::{SECOND, books::Books};

/// As in `llb-userspace/src/engine/publish.rs`: then a seat's service time says nothing any more.
const FORGOTTEN_AFTER_NS: u64 = 5 * SECOND;

/// Publishes; `turn` grows by one each time.
pub(super) fn publish(books: &mut Books, turn: usize, now: u64) {
    let members = books.members.clone();
    for seat in &members {
        if is_forgotten(&books.seat(*seat), now) {
            books.renew(*seat);
        }
    }
    let known: Vec<u64> = members.iter().map(|seat| books.seat(*seat).service_ns).filter(|ns| *ns != 0).collect();
    let fleet_ns = if 2 * known.len() > members.len() { median(known) } else { 0 };
    let mut used = Vec::with_capacity(members.len());
    let mut expected = Vec::with_capacity(members.len());
    for index in members {
        let seat = books.seat(index);
        // 0: the kernel uses its own number.
        let cost_ns = match (seat.service_ns, believable_ns(seat.service_ns, fleet_ns)) {
            (0, _) => fleet_ns,
            (own, believed) if believed == own => 0,
            (_, believed) => believed,
        };
        books.published.cost_ns[index as usize] = cost_ns;
        used.push((index, if cost_ns != 0 { cost_ns } else { seat.service_ns.max(MIN_COST_NS) }));
        if in_flight(&seat) == 0 && track::outstanding_at(&seat, now) == 0 {
            books.rest(index);
        }
        expected.push((index, expected_ns(Load::of(&seat, cost_ns), now)));
    }
    books.published.least = least(&expected, turn);
    books.published.near = near(used.iter().copied());
    books.published.at = now;
}

fn is_forgotten(seat: &Seat, now: u64) -> bool {
    seat.service_ns != 0 && given(seat) == 0 && outstanding(seat) == 0 && now >= seat.progress_at + FORGOTTEN_AFTER_NS
}

fn median(mut costs: Vec<u64>) -> u64 {
    costs.sort_unstable();
    costs.get(costs.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

fn least(expected: &[(u32, u64)], turn: usize) -> u32 {
    let Some(best) = expected.iter().map(|(_, ns)| *ns).min() else { return NO_SEAT };
    let tied: Vec<u32> = expected.iter().filter(|(_, ns)| !clearly_better(best, *ns)).map(|(seat, _)| *seat).collect();
    tied[turn % tied.len()]
}
