//! What the integration tests stand on: a [`Stage`] (a network namespace and a directory of its own), on it a
//! [`Fleet`] run by the real binary, and an HTTP client that says which worker answered.
//!
//! A test says what it waits for ([`until`]) and never how long; each has a namespace of its own, so fixed ports are
//! free in all of them at once; and whatever a test does, its fleet is gone after it, or it fails.

pub(crate) mod as_llb;
pub(crate) mod balance;
pub(crate) mod blows;
pub(crate) mod books;
pub(crate) mod example;
pub(crate) mod far;
pub(crate) mod fleet;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod in_line;
pub(crate) mod launcher;
mod netns;
pub(crate) mod open_loop;
pub(crate) mod output;
mod pins;
pub(crate) mod plain;
pub(crate) mod proc;
pub(crate) mod prometheus;
pub(crate) mod reporting;
pub(crate) mod stage;
pub(crate) mod steady;
pub(crate) mod stopped;

use std::{env, thread, time::Duration};

use llb::internals::clock;

pub(crate) use books::Tally;
pub(crate) use far::Far;
pub(crate) use fleet::{Ended, Fleet};
pub(crate) use launcher::Launcher;
pub(crate) use llb_kit::http::{Answer, Client, get, try_get};
pub(crate) use plain::Plain;
pub(crate) use stage::Stage;

/// Far longer than anything here takes, also on a machine that has a bad minute.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How long to wait before looking again, ms, at the least.
const PAUSE_MS: u64 = 2;

/// And later this part of the time that has been waited, up to so many ms: no wait is longer by more than that part, and what
/// takes seconds is not looked for five hundred times a second, by all tests that run at once.
const PART: u64 = 32;
const LONGEST_PAUSE_MS: u64 = 20;

/// Another number in its place, for a machine on which looking itself takes long.
const OTHER_PAUSE_MS: &str = "LLB_TEST_PAUSE_MS";

/// Waits until `condition` holds, and fails the test if it does not within [`DEADLINE`].
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(DEADLINE, condition), "waited {DEADLINE:?} in vain until {what}");
}

/// Waits until `condition` holds; false if it does not within `patience`.
pub(crate) fn holds_within(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let least_ms = env::var(OTHER_PAUSE_MS).map_or(PAUSE_MS, |ms| ms.parse().expect("a number of milliseconds"));
    let begun = clock::now();
    let deadline = begun.after(patience);
    loop {
        if condition() {
            return true;
        }
        let now = clock::now();
        if now >= deadline {
            return false;
        }
        let part_ms = now.since(begun) / 1_000_000 / PART;
        thread::sleep(Duration::from_millis(part_ms.min(LONGEST_PAUSE_MS).max(least_ms)));
    }
}
