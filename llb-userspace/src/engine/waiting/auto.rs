//! `--concurrency auto`: looks at workers that hold requests, and opens and closes the line by what
//! [`crate::line::auto`] makes of it.

use llb_common::{abi::Seat as SeatBooks, select::in_flight};

use super::{
    Waiting,
    in_line::{Handed, Lines},
};
use crate::{
    engine::core::Core,
    line::auto::Sight,
    model::{Instant, Seat},
    sys::activity::Activity,
};

impl Waiting {
    /// Opens or closes the line, if that is to be found out and is due.
    pub(super) fn find_out(&mut self, core: &mut Core, now: Instant) {
        let Some(Lines { auto: Some(auto), handed, .. }) = &mut self.lines else { return };
        if !auto.is_due(now) {
            return;
        }
        let views = core.updater.views().iter().filter(|view| view.joined);
        let (seats, busy): (Vec<Seat>, Vec<Seat>) = (
            views.clone().map(|view| view.seat).collect(),
            views.filter(|view| view.in_flight + view.parked > 0).map(|view| view.seat).collect(),
        );
        let Some(seat) = auto.next_to_see(&busy, now) else { return };
        if let Some(sight) = sight(core, seat, handed.get(&seat).map_or(&[], Vec::as_slice)) {
            auto.saw(sight);
        }
        let books = core.updater.steering().books();
        let all: Vec<(Seat, SeatBooks)> = seats.into_iter().map(|seat| (seat, books.seat(seat))).collect();
        let (before, concurrency) = (auto.doubt(), auto.judge(&all));
        let after = auto.doubt();
        if before.is_none() != after.is_none() {
            match after {
                None => tracing::info!("workers serve one request at a time: who finds none free waits in line"),
                Some(doubt) => tracing::info!("nobody waits in line any more: {doubt}"),
            }
        }
        self.limit(core, concurrency);
    }

    /// Has so many requests at most given to each worker; with 0, as many as come.
    fn limit(&mut self, core: &Core, concurrency: u32) {
        if let Some(lines) = &mut self.lines
            && lines.concurrency != concurrency
        {
            lines.concurrency = concurrency;
            core.updater.steering().books().set_concurrency(concurrency);
        }
    }
}

/// What the worker of a seat does while it holds a request; nothing if it has none, has not accepted all, or did something
/// meanwhile. That one who holds several waits for no more says nothing: all its threads may have one.
fn sight(core: &mut Core, seat: Seat, handed: &[Handed]) -> Option<Sight> {
    let before = core.updater.steering().books().seat(seat);
    // What was handed over is in the books when it is heard of next.
    let handed = handed.iter().filter(|one| one.is_due(before.ended)).count() as u64;
    let held = in_flight(&before) + handed;
    let id = core.taker(seat).filter(|_| held > 0)?;
    let copies = core.copies(id, seat);
    if copies.is_empty() || copies.iter().any(|copied| copied.waiting > 0) {
        return None;
    }
    let activity = core.activity_of(id, &copies)?;
    drop(copies);
    let after = core.updater.steering().books().seat(seat);
    if (before.begun, before.ended) != (after.begun, after.ended) {
        return None;
    }
    match activity {
        Activity::Waits => Some(Sight::Waits),
        Activity::Runs | Activity::Blocked => (held == 1).then_some(Sight::Works),
        Activity::Unknown => Some(Sight::Hidden),
    }
}
