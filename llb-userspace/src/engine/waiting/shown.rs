//! The lines as they are shown.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use llb_common::outcome::Outcome;

use super::{Waiting, in_line::Open};
use crate::{
    engine::core::Core,
    line::auto::{Auto, Seen},
    model::Seat,
    observe::status::{LatencyStatus, LineStatus, histogram},
};

impl Waiting {
    /// What a worker on these seats was seen to do while it held a request, and how often: only what was seen.
    pub(in crate::engine) fn looks(&self, seats: &[Seat]) -> BTreeMap<String, u64> {
        let auto = self.lines.as_ref().and_then(|lines| lines.auto.as_ref());
        let seen: Vec<Seen> = auto.iter().flat_map(|auto| seats.iter().map(|seat| auto.seen(*seat))).collect();
        let counts = [
            ("works", seen.iter().map(|seen| seen.works).sum::<u64>()),
            ("waits", seen.iter().map(|seen| seen.waits).sum()),
            ("hidden", seen.iter().map(|seen| seen.hidden).sum()),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).map(|(what, count)| (what.to_owned(), count)).collect()
    }

    /// The lines as they are shown; none where nobody waits in line.
    pub(in crate::engine) fn line_status(&self, core: &Core, counted: impl Fn(Outcome) -> u64) -> Option<LineStatus> {
        let lines = self.lines.as_ref()?;
        Some(LineStatus {
            concurrency: lines.concurrency,
            is_open: lines.concurrency == 0
                || core.updater.steering().groups().all(|(at, _)| lines.open.get(&at).is_some_and(Open::is_complete)),
            why: lines.auto.as_ref().map(Auto::why),
            waiting: core.updater.steering().books().waiting().load(Relaxed),
            waited: counted(Outcome::Waits),
            handed_over: counted(Outcome::HandedOver),
            given_up: lines.given_up,
            wait_us: LatencyStatus::of(&lines.waits),
            wait_histogram: histogram(&lines.waits),
        })
    }
}
