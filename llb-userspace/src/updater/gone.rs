//! How many connections have been closed at each seat lately.

use std::time::Duration;

use llb_common::abi::MAX_SEATS;

use crate::model::{Instant, Seat};

/// What was closed before this window and the one before it is forgotten.
const WINDOW: Duration = Duration::from_secs(1);

/// Two windows of a seat: when the present one began, and what had been closed in all when it and the one before began.
#[derive(Clone, Copy, Debug, Default)]
struct Windows {
    since: Instant,
    closed: [u64; 2],
}

/// The windows of every seat.
#[derive(Clone, Debug)]
pub(super) struct Gone(Box<[Windows; MAX_SEATS]>);

impl Gone {
    pub(super) fn new() -> Self {
        Gone(Box::new([Windows::default(); MAX_SEATS]))
    }

    /// What a seat's worker has closed in this window and the one before, if it has closed `closed` in all by now. It is to be
    /// asked for in each window.
    pub(super) fn at(&mut self, seat: Seat, closed: u64, now: Instant) -> u64 {
        let windows = &mut self.0[seat.0 as usize];
        if now >= windows.since.after(WINDOW) {
            let before = if now < windows.since.after(2 * WINDOW) { windows.closed[0] } else { closed };
            *windows = Windows { since: now, closed: [closed, before] };
        }
        closed.saturating_sub(windows.closed[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_closed_in_two_windows_counts() {
        let mut gone = Gone::new();
        let mut at = |ms: u64, closed| gone.at(Seat(3), closed, Instant(1_000_000 * (10_000 + ms)));
        assert_eq!(at(0, 100), 0, "nothing is known of before");
        assert_eq!(at(999, 110), 10);
        assert_eq!(at(1_000, 120), 20);
        assert_eq!(at(2_100, 130), 10);
        assert_eq!(at(4_100, 140), 0, "nobody has asked in a window");
        assert_eq!((at(4_200, 0), at(4_300, 5)), (0, 0), "another worker's");
        assert_eq!((at(5_100, 7), at(6_100, 9)), (0, 2));
    }
}
